/* The kernel's clocks as types. clock_gettime() can only fail here for a clock that a sandbox does not know. */
#include "mms_clock.h"

#include <stdbool.h>
#include <time.h>

#define US_PER_SECOND 1000000
#define NS_PER_US 1000

static bool read_us(clockid_t clock, int64_t *us);

struct mms_mono mms_clock_mono(void)
{
	struct mms_mono mono = {0};

	read_us(CLOCK_MONOTONIC, &mono.us);
	return mono;
}

struct mms_wall mms_clock_wall(void)
{
	struct mms_wall wall = {0};
	int64_t us = 0;

	read_us(CLOCK_REALTIME, &us);
	wall.ms = us / 1000;
	return wall;
}

struct mms_boot mms_clock_boot(void)
{
	struct mms_boot boot = {0};
	int64_t us = 0;

	/* Without it a sleep of the machine goes unnoticed; time still passes. */
	if (!read_us(CLOCK_BOOTTIME, &us)) {
		read_us(CLOCK_MONOTONIC, &us);
	}
	boot.ms = us / 1000;
	return boot;
}

int64_t mms_clock_thread_cpu_us(void)
{
	int64_t us = 0;

	read_us(CLOCK_THREAD_CPUTIME_ID, &us);
	return us;
}

int64_t mms_clock_left_us(struct mms_mono now, struct mms_mono deadline)
{
	int64_t left_us;

	if (deadline.us <= now.us) {
		return 0;
	}
	if (__builtin_sub_overflow(deadline.us, now.us, &left_us)) {
		return INT64_MAX;
	}
	return left_us;
}

/* Leaves *us alone when the clock is unknown. */
static bool read_us(clockid_t clock, int64_t *us)
{
	struct timespec time;

	if (clock_gettime(clock, &time) != 0) {
		return false;
	}
	*us = (int64_t) time.tv_sec * US_PER_SECOND + time.tv_nsec / NS_PER_US;
	return true;
}
