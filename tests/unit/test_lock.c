/* Locks: bounded waits, holders that die or are stopped.
 * TEST VARIANTS: asan tsan */
#include "processes.h"

#include <pthread.h>

#include "mms_lock.h"

#define WAIT_MS 20
#define SLACK_US 200000 /* a busy machine may not run us for so long */

struct shared {
	pthread_mutex_t lock;
	_Atomic uint32_t stalled;
	_Atomic uint32_t held;
	_Atomic uint32_t let_go;
	long counter;
};

static struct shared *shared_new(void)
{
	struct shared *shared = shared_pages(sizeof(*shared));

	assert_int_equal(mms_lock_init(&shared->lock, NULL), MMS_OK);
	return shared;
}

static void shared_free(struct shared *shared)
{
	munmap(shared, sizeof(*shared));
}

/* Takes the lock and holds it until told to let go. */
static int hold(void *argument)
{
	struct shared *shared = argument;

	if (mms_lock_wait(&shared->lock, 1000) == MMS_LOCK_BUSY) {
		return 1;
	}
	atomic_store(&shared->held, 1);
	while (atomic_load(&shared->let_go) == 0) {
		nap_us(100);
	}
	mms_lock_release(&shared->lock);
	return 0;
}

static pid_t spawn_holder(struct shared *shared)
{
	const int64_t until = now_us() + DEADLINE_US;
	pid_t pid;

	atomic_store(&shared->held, 0);
	pid = spawn(hold, shared);
	while (atomic_load(&shared->held) == 0) {
		assert_true(now_us() < until);
		nap_us(100);
	}
	return pid;
}

static void a_free_lock_is_taken_and_a_taken_one_is_busy(void **state)
{
	struct shared *shared = shared_new();
	pid_t holder;

	(void) state;
	assert_true(mms_lock_is_free(&shared->lock));
	assert_int_equal(mms_lock_try(&shared->lock), MMS_LOCK_TAKEN);
	mms_lock_release(&shared->lock);
	assert_int_equal(mms_lock_spin(&shared->lock), MMS_LOCK_TAKEN);
	mms_lock_release(&shared->lock);
	holder = spawn_holder(shared);
	assert_false(mms_lock_is_free(&shared->lock));
	assert_int_equal(mms_lock_try(&shared->lock), MMS_LOCK_BUSY);
	assert_int_equal(mms_lock_spin(&shared->lock), MMS_LOCK_BUSY);
	assert_int_equal(mms_lock_wait(&shared->lock, 0), MMS_LOCK_BUSY);
	atomic_store(&shared->let_go, 1);
	assert_exits_with_0(holder);
	assert_int_equal(mms_lock_try(&shared->lock), MMS_LOCK_TAKEN);
	mms_lock_release(&shared->lock);
	shared_free(shared);
}

static void a_wait_ends_with_its_time(void **state)
{
	struct shared *shared = shared_new();
	pid_t holder = spawn_holder(shared);
	int64_t before = now_us();

	(void) state;
	assert_int_equal(mms_lock_wait(&shared->lock, WAIT_MS), MMS_LOCK_BUSY);
	assert_in_range(now_us() - before, WAIT_MS * 1000, WAIT_MS * 1000 + SLACK_US);
	atomic_store(&shared->let_go, 1);
	assert_exits_with_0(holder);
	shared_free(shared);
}

static void a_wait_ends_when_the_holder_lets_go(void **state)
{
	struct shared *shared = shared_new();
	pid_t holder = spawn_holder(shared);

	(void) state;
	atomic_store(&shared->let_go, 1);
	assert_int_equal(mms_lock_wait(&shared->lock, DEADLINE_US / 1000), MMS_LOCK_TAKEN);
	mms_lock_release(&shared->lock);
	assert_exits_with_0(holder);
	shared_free(shared);
}

static void the_lock_of_a_killed_holder_is_taken_from_the_dead_once(void **state)
{
	struct shared *shared = shared_new();

	(void) state;
	kill_child(spawn_holder(shared));
	assert_int_equal(mms_lock_try(&shared->lock), MMS_LOCK_TAKEN_FROM_DEAD);
	mms_lock_release(&shared->lock);
	assert_int_equal(mms_lock_try(&shared->lock), MMS_LOCK_TAKEN);
	mms_lock_release(&shared->lock);
	kill_child(spawn_holder(shared));
	assert_true(mms_lock_is_free(&shared->lock));
	shared_free(shared);
}

static int kill_soon(void *argument)
{
	nap_us(20000);
	return kill(*(pid_t *) argument, SIGKILL);
}

static void a_waiter_gets_the_lock_when_its_holder_is_killed(void **state)
{
	struct shared *shared = shared_new();
	pid_t holder = spawn_holder(shared);
	pid_t killer = spawn(kill_soon, &holder);

	(void) state;
	assert_int_equal(mms_lock_wait(&shared->lock, DEADLINE_US / 1000), MMS_LOCK_TAKEN_FROM_DEAD);
	mms_lock_release(&shared->lock);
	assert_exits_with_0(killer);
	await_child(holder, 0);
	shared_free(shared);
}

/* hold() takes it from the dead, and dies with it in the middle of the repair. */
static void a_holder_that_dies_repairing_leaves_it_to_the_next(void **state)
{
	struct shared *shared = shared_new();

	(void) state;
	kill_child(spawn_holder(shared));
	kill_child(spawn_holder(shared));
	assert_int_equal(mms_lock_wait(&shared->lock, WAIT_MS), MMS_LOCK_TAKEN_FROM_DEAD);
	mms_lock_release(&shared->lock);
	shared_free(shared);
}

static void *take_and_end(void *argument)
{
	struct shared *shared = argument;

	assert_int_equal(mms_lock_try(&shared->lock), MMS_LOCK_TAKEN);
	return NULL;
}

static void a_thread_that_ended_with_it_counts_as_dead(void **state)
{
	struct shared *shared = shared_new();
	pthread_t thread;

	(void) state;
	assert_int_equal(pthread_create(&thread, NULL, take_and_end, shared), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(mms_lock_wait(&shared->lock, WAIT_MS), MMS_LOCK_TAKEN_FROM_DEAD);
	mms_lock_release(&shared->lock);
	shared_free(shared);
}

static void a_stopped_holder_costs_one_wait_and_not_one_per_call(void **state)
{
	struct shared *shared = shared_new();
	pid_t holder = spawn_holder(shared);
	int64_t before;

	(void) state;
	kill(holder, SIGSTOP);
	assert_true(WIFSTOPPED(await_child(holder, WUNTRACED)));
	assert_int_equal(mms_lock_wait_unless_stalled(&shared->lock, &shared->stalled, 500), MMS_LOCK_BUSY);
	assert_int_equal(atomic_load(&shared->stalled), 1);
	before = now_us();
	for (int i = 0; i < 100; i++) {
		assert_int_equal(mms_lock_wait_unless_stalled(&shared->lock, &shared->stalled, 500), MMS_LOCK_BUSY);
		assert_int_equal(mms_lock_spin_unless_stalled(&shared->lock, &shared->stalled), MMS_LOCK_BUSY);
	}
	assert_true(now_us() - before < 400000);
	atomic_store(&shared->let_go, 1);
	kill(holder, SIGCONT);
	assert_exits_with_0(holder);
	assert_int_equal(mms_lock_wait_unless_stalled(&shared->lock, &shared->stalled, 500), MMS_LOCK_TAKEN);
	assert_int_equal(atomic_load(&shared->stalled), 0);
	mms_lock_release(&shared->lock);
	shared_free(shared);
}

static void whoever_gets_a_stalled_lock_clears_the_flag(void **state)
{
	struct shared *shared = shared_new();

	(void) state;
	atomic_store(&shared->stalled, 1);
	assert_int_equal(mms_lock_spin_unless_stalled(&shared->lock, &shared->stalled), MMS_LOCK_TAKEN);
	mms_lock_release(&shared->lock);
	assert_int_equal(atomic_load(&shared->stalled), 0);
	assert_int_equal(mms_lock_spin_unless_stalled(&shared->lock, &shared->stalled), MMS_LOCK_TAKEN);
	mms_lock_release(&shared->lock);
	shared_free(shared);
}

#define COUNTERS 4
#define COUNTS 5000

static void *count_up(void *argument)
{
	struct shared *shared = argument;

	for (int i = 0; i < COUNTS; i++) {
		while (mms_lock_wait(&shared->lock, 1000) == MMS_LOCK_BUSY) {
		}
		shared->counter++;
		mms_lock_release(&shared->lock);
	}
	return NULL;
}

static void threads_exclude_each_other(void **state)
{
	struct shared *shared = shared_new();
	pthread_t threads[COUNTERS];

	(void) state;
	for (int i = 0; i < COUNTERS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, shared), 0);
	}
	for (int i = 0; i < COUNTERS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
	assert_int_equal(shared->counter, COUNTERS * COUNTS);
	shared_free(shared);
}

/* Random bytes where a lock stood: taken or not, but never the end of the process and never a long wait. */
static void a_lock_that_was_written_over_is_busy_or_free(void **state)
{
	struct shared *shared = shared_new();
	unsigned char *bytes = (unsigned char *) &shared->lock;
	uint64_t seed = 88172645463325252u;

	(void) state;
	for (unsigned round = 0; round < 20000; round++) {
		for (size_t index = 0; index < sizeof(shared->lock); index++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			bytes[index] = round % 2 == 0 && seed % 3 == 0 ? 0 : (unsigned char) (seed >> 32);
		}
		if (round % 3 == 0) {
			bytes[offsetof(pthread_mutex_t, __data.__kind)] = (unsigned char) (round / 3);
			memset(bytes + offsetof(pthread_mutex_t, __data.__kind) + 1, 0, 3);
		}
		atomic_store(&shared->stalled, 1);
		if (mms_lock_wait_unless_stalled(&shared->lock, &shared->stalled, WAIT_MS) != MMS_LOCK_BUSY) {
			mms_lock_release(&shared->lock);
		}
	}
	shared_free(shared);
}

/* While it was held. glibc ends the process over a priority ceiling that can't be, and many processors over elision. */
static int release_written_over(void *argument)
{
	struct shared *shared = argument;

	if (mms_lock_try(&shared->lock) != MMS_LOCK_TAKEN) {
		return 1;
	}
#ifdef __GLIBC__
	shared->lock.__data.__kind = (int) shared->counter;
#endif
	mms_lock_release(&shared->lock);
	return mms_lock_try(&shared->lock) == MMS_LOCK_BUSY ? 0 : 2;
}

static void a_held_lock_that_was_written_over_is_let_go_without_harm(void **state)
{
	static const int kinds[] = {0x40 | 0x80, 0x20 | 0x90, 0x100, 0x80 | 0x100, 1, 2, -1};
	struct shared *shared = shared_new();

	(void) state;
#ifndef __GLIBC__
	skip();
#endif
	for (size_t index = 0; index < sizeof(kinds) / sizeof(kinds[0]); index++) {
		assert_int_equal(mms_lock_init(&shared->lock, NULL), MMS_OK);
		shared->counter = kinds[index];
		assert_exits_with_0(spawn(release_written_over, shared));
	}
	shared_free(shared);
}

/* Far enough away for a test to fail, should nobody end the sleep. */
static struct mms_mono far(void)
{
	return (struct mms_mono){ mms_clock_mono().us + DEADLINE_US };
}

static bool watch(struct shared *shared, struct mms_mono deadline)
{
	bool slept = mms_lock_watch(&shared->lock, deadline);

#ifndef __GLIBC__
	skip();
#endif
	return slept;
}

static void a_watch_ends_with_its_time_and_takes_nothing(void **state)
{
	struct shared *shared = shared_new();
	pid_t holder = spawn_holder(shared);
	int64_t before = now_us();

	(void) state;
	assert_true(watch(shared, (struct mms_mono){ before + WAIT_MS * 1000 }));
	assert_in_range(now_us() - before, WAIT_MS * 1000 - 1000, WAIT_MS * 1000 + SLACK_US);
	assert_int_equal(mms_lock_try(&shared->lock), MMS_LOCK_BUSY);
	atomic_store(&shared->let_go, 1);
	assert_exits_with_0(holder);
	assert_int_equal(mms_lock_try(&shared->lock), MMS_LOCK_TAKEN);
	mms_lock_release(&shared->lock);
	shared_free(shared);
}

static void a_watch_ends_when_the_holder_is_killed(void **state)
{
	struct shared *shared = shared_new();
	pid_t holder = spawn_holder(shared);
	pid_t killer = spawn(kill_soon, &holder);
	int64_t before = now_us();

	(void) state;
	assert_true(watch(shared, far()));
	assert_true(now_us() - before < DEADLINE_US / 2);
	assert_int_equal(mms_lock_try(&shared->lock), MMS_LOCK_TAKEN_FROM_DEAD);
	mms_lock_release(&shared->lock);
	assert_exits_with_0(killer);
	await_child(holder, 0);
	assert_false(watch(shared, far())); /* free: nothing to sleep on */
	shared_free(shared);
}

static int let_go_soon(void *argument)
{
	nap_us(20000);
	atomic_store(&((struct shared *) argument)->let_go, 1);
	return 0;
}

static void a_watch_ends_when_the_holder_lets_go(void **state)
{
	struct shared *shared = shared_new();
	pid_t holder = spawn_holder(shared), other = spawn(let_go_soon, shared);

	(void) state;
	assert_true(watch(shared, far()));
	assert_int_equal(mms_lock_try(&shared->lock), MMS_LOCK_TAKEN);
	mms_lock_release(&shared->lock);
	assert_exits_with_0(holder);
	assert_exits_with_0(other);
	shared_free(shared);
}

static int rouse(void *argument)
{
	struct shared *shared = argument;

	while (atomic_load(&shared->let_go) == 0) {
		mms_lock_rouse(&shared->lock);
		nap_us(1000);
	}
	return 0;
}

static void a_watch_ends_when_it_is_roused(void **state)
{
	struct shared *shared = shared_new();
	pid_t holder = spawn_holder(shared), other = spawn(rouse, shared);

	(void) state;
	assert_true(watch(shared, far()));
	assert_int_equal(mms_lock_try(&shared->lock), MMS_LOCK_BUSY);
	atomic_store(&shared->let_go, 1);
	assert_exits_with_0(holder);
	assert_exits_with_0(other);
	shared_free(shared);
}

static void *wait_to_be_let_go(void *argument)
{
	struct shared *shared = argument;

	while (atomic_load(&shared->let_go) == 0) {
		nap_us(100);
	}
	return NULL;
}

static void a_join_ends_with_its_time_or_with_the_thread(void **state)
{
	struct shared *shared = shared_new();
	struct mms_mono before = mms_clock_mono(), until = { before.us + WAIT_MS * 1000 };
	pthread_t thread;

	(void) state;
	assert_int_equal(pthread_create(&thread, NULL, wait_to_be_let_go, shared), 0);
	assert_false(mms_lock_join(thread, until));
	assert_in_range(mms_clock_mono().us - before.us, WAIT_MS * 1000 - 1000, WAIT_MS * 1000 + SLACK_US);
	assert_false(mms_lock_join(thread, before)); /* a time that has passed is no wait */
	atomic_store(&shared->let_go, 1);
	assert_true(mms_lock_join(thread, (struct mms_mono){ mms_clock_mono().us + DEADLINE_US }));
	shared_free(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_free_lock_is_taken_and_a_taken_one_is_busy),
		cmocka_unit_test(a_lock_that_was_written_over_is_busy_or_free),
		cmocka_unit_test(a_held_lock_that_was_written_over_is_let_go_without_harm),
		cmocka_unit_test(a_wait_ends_with_its_time),
		cmocka_unit_test(a_wait_ends_when_the_holder_lets_go),
		cmocka_unit_test(the_lock_of_a_killed_holder_is_taken_from_the_dead_once),
		cmocka_unit_test(a_waiter_gets_the_lock_when_its_holder_is_killed),
		cmocka_unit_test(a_holder_that_dies_repairing_leaves_it_to_the_next),
		cmocka_unit_test(a_thread_that_ended_with_it_counts_as_dead),
		cmocka_unit_test(a_stopped_holder_costs_one_wait_and_not_one_per_call),
		cmocka_unit_test(whoever_gets_a_stalled_lock_clears_the_flag),
		cmocka_unit_test(threads_exclude_each_other),
		cmocka_unit_test(a_watch_ends_with_its_time_and_takes_nothing),
		cmocka_unit_test(a_watch_ends_when_the_holder_is_killed),
		cmocka_unit_test(a_watch_ends_when_the_holder_lets_go),
		cmocka_unit_test(a_watch_ends_when_it_is_roused),
		cmocka_unit_test(a_join_ends_with_its_time_or_with_the_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
