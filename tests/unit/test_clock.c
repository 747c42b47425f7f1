/* Clocks: domains, units, and the time that is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "mms_clock.h"

static int64_t kernel_us(clockid_t clock)
{
	struct timespec now;

	assert_int_equal(clock_gettime(clock, &now), 0);
	return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void monotonic_time_is_the_kernels_in_microseconds(void **state)
{
	const int64_t before = kernel_us(CLOCK_MONOTONIC);
	const int64_t us = mms_clock_mono().us;
	const int64_t after = kernel_us(CLOCK_MONOTONIC);

	(void) state;
	assert_true(before <= us && us <= after);
}

static void wall_time_is_unix_milliseconds(void **state)
{
	const int64_t before = kernel_us(CLOCK_REALTIME) / 1000;
	const int64_t ms = mms_clock_wall().ms;
	const int64_t after = kernel_us(CLOCK_REALTIME) / 1000;

	(void) state;
	assert_true(before <= ms && ms <= after);
}

static void boot_time_is_never_behind_monotonic_time(void **state)
{
	const int64_t before = mms_clock_mono().us / 1000;
	const int64_t ms = mms_clock_boot().ms;

	(void) state;
	assert_true(ms >= before);
	assert_true(ms <= kernel_us(CLOCK_BOOTTIME) / 1000);
}

static void monotonic_time_never_steps_back(void **state)
{
	int64_t last = mms_clock_mono().us;

	(void) state;
	for (int count = 0; count < 100000; count++) {
		const int64_t now = mms_clock_mono().us;

		assert_true(now >= last);
		last = now;
	}
}

static atomic_bool enough;

static void *burn(void *argument)
{
	(void) argument;
	while (!atomic_load(&enough)) {
	}
	return NULL;
}

static void cpu_time_is_the_calling_threads_own(void **state)
{
	const int64_t before = mms_clock_thread_cpu_us();
	const struct timespec pause = {0, 50000000};
	pthread_t thread;

	(void) state;
	assert_int_equal(pthread_create(&thread, NULL, burn, NULL), 0);
	nanosleep(&pause, NULL);
	const int64_t asleep = mms_clock_thread_cpu_us() - before;

	atomic_store(&enough, 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(asleep >= 0 && asleep < 40000);

	const int64_t deadline = mms_clock_mono().us + 10000000;
	const int64_t start = mms_clock_thread_cpu_us();

	while (mms_clock_thread_cpu_us() - start < 20000) {
		assert_true(mms_clock_mono().us < deadline);
	}
}

static void time_left_is_never_negative(void **state)
{
	static const struct { int64_t now, deadline, left; } cases[] = {
		{0, 0, 0}, {5, 5, 0}, {5, 6, 1}, {6, 5, 0}, {1000, 26000, 25000}, {INT64_MAX, 0, 0},
		{0, INT64_MAX, INT64_MAX}, {-1, INT64_MAX, INT64_MAX}, {INT64_MIN, INT64_MAX, INT64_MAX}, {5, INT64_MIN, 0},
	};

	(void) state;
	for (size_t index = 0; index < sizeof(cases) / sizeof(cases[0]); index++) {
		const struct mms_mono now = {cases[index].now};
		const struct mms_mono deadline = {cases[index].deadline};

		assert_true(mms_clock_left_us(now, deadline) == cases[index].left);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(monotonic_time_is_the_kernels_in_microseconds),
		cmocka_unit_test(wall_time_is_unix_milliseconds),
		cmocka_unit_test(boot_time_is_never_behind_monotonic_time),
		cmocka_unit_test(monotonic_time_never_steps_back),
		cmocka_unit_test(cpu_time_is_the_calling_threads_own),
		cmocka_unit_test(time_left_is_never_negative),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
