/* Mailbox: several producers and the consumer at once, as threads, so that the thread sanitizer can watch.
 * TEST VARIANTS: asan tsan */
#include "parcels.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>

#define SIZE MMS_MAILBOX_MIN_SIZE

struct stall {
	struct mms_mailbox_sh *mailbox;
	pthread_barrier_t taken, let_go;
};

static void *hold_the_lock(void *argument)
{
	struct stall *stall = argument;

	pthread_mutex_lock(&stall->mailbox->lock);
	pthread_barrier_wait(&stall->taken);
	pthread_barrier_wait(&stall->let_go);
	pthread_mutex_unlock(&stall->mailbox->lock);
	return NULL;
}

static void a_held_lock_delays_one_push_and_no_more(void **state)
{
	struct stall stall = { .mailbox = mailbox_of(SIZE) };
	struct mms_ticket ticket;
	pthread_t holder;
	int64_t before;

	(void) state;
	assert_true(push_number(stall.mailbox, 1, 10, &ticket));
	pthread_barrier_init(&stall.taken, NULL, 2);
	pthread_barrier_init(&stall.let_go, NULL, 2);
	assert_int_equal(pthread_create(&holder, NULL, hold_the_lock, &stall), 0);
	pthread_barrier_wait(&stall.taken);
	before = now_us();
	assert_false(push_number(stall.mailbox, 2, 10, NULL));
	assert_in_range(now_us() - before, 20000, 220000);
	before = now_us();
	for (int i = 0; i < 50; i++) {
		assert_false(push_number(stall.mailbox, 2, 10, NULL));
		mms_mailbox_settle(stall.mailbox, &ticket, 1);
	}
	assert_true(now_us() - before < 400000);
	pthread_barrier_wait(&stall.let_go);
	pthread_join(holder, NULL);
	assert_true(push_number(stall.mailbox, 2, 10, NULL));
	assert_int_equal(atomic_load(&stall.mailbox->stalled), 0);
	pthread_barrier_destroy(&stall.taken);
	pthread_barrier_destroy(&stall.let_go);
	mailbox_unmap(stall.mailbox);
}

#define PRODUCERS 3
#define PUSHES (SANITIZED ? 8000 : 60000)

struct crowd {
	struct mms_mailbox_sh *mailbox;
	_Atomic uint32_t next_producer;
	_Atomic uint64_t pushed;
	uint64_t seen;
	int wake_fd;
	const char *failure;
	_Atomic bool failed;
};

static void *produce(void *argument)
{
	struct crowd *crowd = argument;
	struct parcel *parcel = malloc(sizeof(*parcel));
	const uint32_t producer = atomic_fetch_add(&crowd->next_producer, 1);
	uint64_t seed = producer + 1;

	for (uint64_t number = 1; number <= (uint64_t) PUSHES && parcel != NULL && !atomic_load(&crowd->failed);) {
		const uint64_t one = 1;
		struct mms_ticket ticket;

		parcel_fill(parcel, producer, number, (size_t) random_below(&seed, 700));
		if (!mms_mailbox_push(crowd->mailbox, &parcel->parcel, mms_clock_mono(), &ticket)) {
			nap_us(50);
			continue;
		}
		if (mms_mailbox_must_wake(crowd->mailbox) && write(crowd->wake_fd, &one, sizeof(one)) < 0) {
			break;
		}
		mms_mailbox_settle(crowd->mailbox, &ticket, UINT64_C(1) << producer);
		atomic_fetch_add(&crowd->pushed, 1);
		number++;
		if (random_below(&seed, 64) == 0) {
			nap_us((long) random_below(&seed, 200));
		}
	}
	free(parcel);
	return NULL;
}

static const char *check_batch(struct crowd *crowd, uint64_t *last, uint64_t *position, uint64_t *count)
{
	struct mms_mailbox_item item;
	int found = 0;

	for (*count = 0; *count < 50 && (found = mms_mailbox_peek(crowd->mailbox, *position, &item)) == 1; ++*count) {
		uint32_t producer;
		uint64_t number;

		if (!item_is_intact(&item, &producer, &number) || producer >= PRODUCERS) {
			return "an entry was torn";
		}
		if (number != ++last[producer]) {
			return "an entry was lost, doubled or out of order";
		}
		/* The mask comes first, so that it may be seen before the flag, but not the flag before it. */
		if (item.have_mask != (PARCEL_MASK | UINT64_C(1) << producer)
				&& (item.settled || item.have_mask != PARCEL_MASK)) {
			return "an entry was settled with another's mask";
		}
		*position = item.next;
	}
	return found < 0 ? "something was no entry" : NULL;
}

/* Sleeps without a time limit in effect: a lost wake-up ends the test after the deadline. */
static const char *sleep_until_woken(struct crowd *crowd)
{
	struct pollfd wake = { .fd = crowd->wake_fd, .events = POLLIN };
	uint64_t wakes;

	if (!mms_mailbox_fall_asleep(crowd->mailbox, mms_mailbox_tail(crowd->mailbox))) {
		return NULL;
	}
	if (poll(&wake, 1, DEADLINE_US / 1000) != 1) {
		return "a wake-up was lost";
	}
	if (read(crowd->wake_fd, &wakes, sizeof(wakes)) < 0) {
		return "the eventfd was empty";
	}
	mms_mailbox_stay_awake(crowd->mailbox);
	return NULL;
}

static void *consume(void *argument)
{
	struct crowd *crowd = argument;
	const uint8_t epoch = mms_mailbox_take_over(crowd->mailbox);
	uint64_t last[PRODUCERS] = { 0 };

	while (crowd->seen < (uint64_t) PUSHES * PRODUCERS && crowd->failure == NULL) {
		const uint64_t tail = mms_mailbox_tail(crowd->mailbox);
		uint64_t position = tail;
		uint64_t count;

		crowd->failure = check_batch(crowd, last, &position, &count);
		if (crowd->failure == NULL && !mms_mailbox_advance(crowd->mailbox, epoch, tail, position, count)) {
			crowd->failure = "the only consumer was fenced off";
		}
		crowd->seen += count;
		if (crowd->failure == NULL && count == 0) {
			crowd->failure = sleep_until_woken(crowd);
		}
	}
	atomic_store(&crowd->failed, crowd->failure != NULL);
	return NULL;
}

static void threads_lose_nothing_and_no_wake_up(void **state)
{
	struct crowd crowd = { .mailbox = mailbox_of(SIZE), .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	pthread_t threads[PRODUCERS + 1];

	(void) state;
	assert_int_equal(pthread_create(&threads[PRODUCERS], NULL, consume, &crowd), 0);
	for (int i = 0; i < PRODUCERS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, produce, &crowd), 0);
	}
	for (int i = 0; i <= PRODUCERS; i++) {
		pthread_join(threads[i], NULL);
	}
	if (crowd.failure != NULL) {
		fail_msg("%s after %llu entries", crowd.failure, (unsigned long long) crowd.seen);
	}
	assert_int_equal(crowd.seen, PUSHES * PRODUCERS);
	assert_int_equal(mms_mailbox_entries(crowd.mailbox), 0);
	close(crowd.wake_fd);
	mailbox_unmap(crowd.mailbox);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_held_lock_delays_one_push_and_no_more),
		cmocka_unit_test(threads_lose_nothing_and_no_wake_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
