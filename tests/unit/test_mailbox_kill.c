/* Mailbox under SIGKILL and SIGSTOP. Each of its functions exists twice here: as built, and with a hook in its critical
 * sections, where a process may dawdle (so that random kills hit it there), kill or stop itself.
 * MMS_KILLS=10000 makes the random part longer, MMS_SEED repeats its choices (the kernel's remain its own).
 * TEST VARIANTS: plain
 * TEST SECONDS: 600 */
#include "parcels.h"
#include "squad.h"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>

static void at_point(const char *name);

#define MMS_TEST_POINT(name) at_point(name)
#define mms_mailbox_init hooked_init
#define mms_mailbox_entry_max hooked_entry_max
#define mms_mailbox_push hooked_push
#define mms_mailbox_settle hooked_settle
#define mms_mailbox_must_wake hooked_must_wake
#define mms_mailbox_take_over hooked_take_over
#define mms_mailbox_owned hooked_owned
#define mms_mailbox_head hooked_head
#define mms_mailbox_tail hooked_tail
#define mms_mailbox_peek hooked_peek
#define mms_mailbox_seek hooked_seek
#define mms_mailbox_holds hooked_holds
#define mms_mailbox_advance hooked_advance
#define mms_mailbox_distance hooked_distance
#define mms_mailbox_fall_asleep hooked_fall_asleep
#define mms_mailbox_stay_awake hooked_stay_awake
#define mms_mailbox_used hooked_used
#define mms_mailbox_entries hooked_entries
#include "../../src/mms_mailbox.c"
#undef mms_mailbox_init
#undef mms_mailbox_entry_max
#undef mms_mailbox_push
#undef mms_mailbox_settle
#undef mms_mailbox_must_wake
#undef mms_mailbox_take_over
#undef mms_mailbox_owned
#undef mms_mailbox_head
#undef mms_mailbox_tail
#undef mms_mailbox_peek
#undef mms_mailbox_seek
#undef mms_mailbox_holds
#undef mms_mailbox_advance
#undef mms_mailbox_distance
#undef mms_mailbox_fall_asleep
#undef mms_mailbox_stay_awake
#undef mms_mailbox_used
#undef mms_mailbox_entries

/* What this process does at which point; all of it stays in the process. */
static struct {
	const char *name;   /* of the point; NULL: at every one */
	int signal;         /* to send to itself there */
	uint64_t dawdle;    /* random state: dawdle now and then; 0: never */
} hook;

static void at_point(const char *name)
{
	if (hook.signal != 0 && strcmp(hook.name, name) == 0) {
		const int signal = hook.signal;

		hook.signal = 0;
		raise(signal);
	}
	if (hook.dawdle != 0 && random_below(&hook.dawdle, 8) == 0) {
		for (uint64_t left = random_below(&hook.dawdle, 12); left > 0; left--) {
			sched_yield();
		}
	}
}

/* --- one producer that dies or stops at a given point --- */

struct victim {
	struct mms_mailbox_sh *mailbox;
	const char *point;
	int signal;
	uint64_t number;
	size_t len;
};

static int push_and_meet_the_signal(void *argument)
{
	const struct victim *victim = argument;
	struct parcel *parcel = malloc(sizeof(*parcel));
	struct mms_ticket ticket;

	if (parcel == NULL) {
		return 1;
	}
	hook.name = victim->point;
	hook.signal = victim->signal;
	parcel_fill(parcel, 0, victim->number, victim->len);
	if (!hooked_push(victim->mailbox, &parcel->parcel, mms_clock_mono(), &ticket)) {
		return 2;
	}
	hooked_settle(victim->mailbox, &ticket, 1);
	free(parcel);
	return 0;
}

/* before: entries in the mailbox when the victim comes. Its own one must be there exactly if it was published. */
static void die_at(const char *point, unsigned before, size_t len, bool is_published)
{
	struct mms_mailbox_sh *mailbox = mailbox_of(MMS_MAILBOX_MIN_SIZE);
	const uint8_t epoch = mms_mailbox_take_over(mailbox);
	struct victim victim = { mailbox, point, SIGKILL, 1000, len };
	uint64_t position = 0;

	/* Two more in front of them and passed, so that there is room after the ring's end has been reached. */
	for (unsigned i = 0; i < before + 2; i++) {
		assert_true(push_number(mailbox, i, len, NULL));
	}
	assert_next_is(mailbox, &position, 0);
	assert_next_is(mailbox, &position, 1);
	assert_true(mms_mailbox_advance(mailbox, epoch, 0, position, 2));
	assert_is_killed(spawn(push_and_meet_the_signal, &victim));
	assert_true(push_number(mailbox, 2000, 100, NULL));
	for (unsigned i = 2; i < before + 2; i++) {
		assert_next_is(mailbox, &position, i);
	}
	if (is_published) {
		assert_next_is(mailbox, &position, 1000);
	}
	assert_next_is(mailbox, &position, 2000);
	assert_end(mailbox, position);
	assert_int_equal(atomic_load(&mailbox->stalled), 0);
	mailbox_unmap(mailbox);
}

/* Nothing is repaired after a death: what was published is there, what was not is not, at every point. */
static void a_death_at_any_point_leaves_the_mailbox_whole(void **state)
{
	(void) state;
	die_at("locked", 3, 500, false);
	die_at("begun anew", 0, 500, false);
	die_at("half written", 0, 500, false);
	die_at("half written", 3, 500, false);
	die_at("padded", 4, 10000, false); /* 6 of 10176 bytes before it: it needs a pad */
	die_at("written", 4, 10000, false);
	die_at("written", 3, 500, false);
	die_at("published", 4, 10000, true);
	die_at("published", 0, 500, true);
	die_at("settling", 3, 500, true);
}

static int push_fifty_and_tell_the_time(void *argument)
{
	struct victim *victim = argument;
	const int64_t before = now_us();

	for (int i = 0; i < 50; i++) {
		if (push_number(victim->mailbox, 5, 10, NULL)) {
			return 1;
		}
	}
	/* One wait of 20 ms and not fifty; the rest is for a busy machine to run us. */
	return now_us() - before < 500000 ? 0 : 2;
}

static void a_stopped_holder_delays_each_process_once_and_goes_on_later(void **state)
{
	struct mms_mailbox_sh *mailbox = mailbox_of(MMS_MAILBOX_MIN_SIZE);
	struct victim victim = { mailbox, "half written", SIGSTOP, 1, 500 };
	pid_t stopped = spawn(push_and_meet_the_signal, &victim);
	pid_t others[6];
	uint64_t position = 0;
	int64_t before;

	(void) state;
	assert_true(WIFSTOPPED(await_child(stopped, WUNTRACED)));
	for (int i = 0; i < 6; i++) {
		others[i] = spawn(push_fifty_and_tell_the_time, &victim);
	}
	for (int i = 0; i < 6; i++) {
		assert_exits_with_0(others[i]);
	}
	before = now_us();
	for (int i = 0; i < 50; i++) {
		assert_false(push_number(mailbox, 2, 10, NULL));
	}
	assert_true(now_us() - before < 500000);
	assert_int_equal(atomic_load(&mailbox->stalled), 1);
	assert_end(mailbox, position);
	kill(stopped, SIGCONT);
	assert_exits_with_0(stopped);
	assert_true(push_number(mailbox, 2, 10, NULL));
	assert_int_equal(atomic_load(&mailbox->stalled), 0);
	assert_next_is(mailbox, &position, 1);
	assert_next_is(mailbox, &position, 2);
	assert_end(mailbox, position);
	mailbox_unmap(mailbox);
}

static void a_stopped_holder_that_is_killed_frees_the_mailbox(void **state)
{
	struct mms_mailbox_sh *mailbox = mailbox_of(MMS_MAILBOX_MIN_SIZE);
	struct victim victim = { mailbox, "written", SIGSTOP, 1, 500 };
	pid_t stopped = spawn(push_and_meet_the_signal, &victim);
	uint64_t position = 0;

	(void) state;
	assert_true(WIFSTOPPED(await_child(stopped, WUNTRACED)));
	assert_false(push_number(mailbox, 2, 10, NULL));
	kill_child(stopped);
	assert_true(push_number(mailbox, 3, 10, NULL));
	assert_next_is(mailbox, &position, 3);
	assert_end(mailbox, position);
	mailbox_unmap(mailbox);
}

/* --- many producers and a consumer, killed at random --- */

#define PRODUCERS 16
#define CONSUMER PRODUCERS
#define NUMBERS_MAX (1u << 22)
#define RING_SIZE (512u * 1024u)
#define MARK_COMMITTED 1
#define MARK_DELIVERED 2

struct arena {
	bool hooked;
	int wake_fd;
	_Atomic uint32_t next_number[PRODUCERS];
	_Atomic uint64_t deliveries;
	_Atomic uint64_t refusals;
	_Atomic uint64_t fenced;
	_Atomic unsigned char marks[PRODUCERS][NUMBERS_MAX]; /* of each number: pushed for certain, seen by a consumer */
	struct mms_mailbox_sh *mailbox;
};

static int produce(struct squad_member *member)
{
	struct arena *arena = member->squad->arena;
	struct parcel *parcel = malloc(sizeof(*parcel));
	const uint64_t one = 1;
	struct mms_ticket ticket;
	unsigned reuses = 0;

	hook.dawdle = arena->hooked ? member->seed : 0;
	while (parcel != NULL && atomic_load(&member->squad->stop) == 0) {
		const uint32_t number = atomic_fetch_add(&arena->next_number[member->slot], 1);
		const uint64_t limit = random_below(&member->seed, 4) == 0 ? PARCEL_PAYLOAD_MAX : 1500;
		bool pushed;

		if (number >= NUMBERS_MAX) {
			nap_us(1000);
			atomic_store(&arena->next_number[member->slot], NUMBERS_MAX);
			continue;
		}
		/* The same payload several times, so that most of the time goes into pushing. */
		if (reuses-- == 0) {
			reuses = 30;
			parcel_fill(parcel, member->slot, number, (size_t) random_below(&member->seed, limit));
		}
		parcel_number(parcel, member->slot, number);
		atomic_store(&member->squad->inside[member->slot], 1);
		pushed = (arena->hooked ? hooked_push : mms_mailbox_push)(arena->mailbox, &parcel->parcel, mms_clock_mono(),
				&ticket);
		if (pushed) {
			atomic_fetch_or(&arena->marks[member->slot][number], MARK_COMMITTED);
			if (mms_mailbox_must_wake(arena->mailbox) && write(arena->wake_fd, &one, sizeof(one)) < 0) {
				squad_fail(member->squad, "the eventfd was full", number);
			}
			(arena->hooked ? hooked_settle : mms_mailbox_settle)(arena->mailbox, &ticket,
					UINT64_C(1) << member->slot);
		}
		atomic_store(&member->squad->inside[member->slot], 0);
		if (!pushed) {
			atomic_fetch_add(&arena->refusals, 1);
			nap_us(100);
		} else if (random_below(&member->seed, 256) == 0) {
			nap_us((long) random_below(&member->seed, 1000));
		}
	}
	free(parcel);
	return 0;
}

/* Nothing is said of what was read until it is known that it was still ours when it had been read. */
static const char *inspect(struct arena *arena, uint8_t epoch, uint64_t position, int64_t *last,
		struct mms_mailbox_item *item)
{
	const char *failure = NULL;
	uint32_t producer = 0;
	uint64_t number = 0;

	if (mms_mailbox_peek(arena->mailbox, position, item) != 1) {
		failure = "something between tail and head is no entry";
	} else if (!item_is_intact(item, &producer, &number) || producer >= PRODUCERS || number >= NUMBERS_MAX) {
		failure = "an entry was torn";
	} else if ((int64_t) number <= last[producer]) {
		failure = "an entry came twice or out of order";
	} else if (item->have_mask != (PARCEL_MASK | UINT64_C(1) << producer)
			&& (item->settled || item->have_mask != PARCEL_MASK)) {
		failure = "an entry was settled with another's mask";
	}
	if (!mms_mailbox_owned(arena->mailbox, epoch)) {
		return "fenced";
	}
	if (failure == NULL) {
		atomic_fetch_or(&arena->marks[producer][number], MARK_DELIVERED);
		last[producer] = (int64_t) number;
	}
	return failure;
}

/* Passes what is there; NULL when all was well. */
static const char *deliver(struct arena *arena, uint8_t epoch, int64_t *last, uint64_t *count)
{
	const uint64_t tail = mms_mailbox_tail(arena->mailbox);
	struct mms_mailbox_item item;
	uint64_t position = tail;

	for (*count = 0; *count < 100 && position != mms_mailbox_head(arena->mailbox); ++*count) {
		const char *failure = inspect(arena, epoch, position, last, &item);

		if (failure != NULL) {
			return failure;
		}
		position = item.next;
	}
	if (!mms_mailbox_advance(arena->mailbox, epoch, tail, position, *count)) {
		return "fenced";
	}
	atomic_fetch_add(&arena->deliveries, *count);
	return NULL;
}

static int consume(struct squad_member *member)
{
	struct arena *arena = member->squad->arena;
	const uint8_t epoch = mms_mailbox_take_over(arena->mailbox);
	struct pollfd wake = { .fd = arena->wake_fd, .events = POLLIN };
	int64_t last[PRODUCERS];

	memset(last, 0xff, sizeof(last));
	while (atomic_load(&member->squad->stop) == 0) {
		uint64_t count;
		const char *failure = deliver(arena, epoch, last, &count);
		uint64_t wakes;

		if (failure != NULL && strcmp(failure, "fenced") == 0) {
			atomic_fetch_add(&arena->fenced, 1);
			return 0;
		}
		if (failure != NULL) {
			squad_fail(member->squad, failure, mms_mailbox_tail(arena->mailbox));
			return 1;
		}
		/* A producer may die between must_wake and the write: nobody sleeps without an end. */
		if (count == 0 && mms_mailbox_fall_asleep(arena->mailbox, mms_mailbox_tail(arena->mailbox))) {
			if (poll(&wake, 1, 20) == 1 && read(arena->wake_fd, &wakes, sizeof(wakes)) < 0) {
				wakes = 0;
			}
			mms_mailbox_stay_awake(arena->mailbox);
		}
	}
	return 0;
}

static int work(struct squad_member *member)
{
	return member->slot == CONSUMER ? consume(member) : produce(member);
}

/* A consumer is stopped, succeeded, and goes on: it must see that it is out, and touch nothing. */
static void succeed_a_stopped_consumer(struct squad *squad)
{
	struct arena *arena = squad->arena;
	const pid_t old = squad->pids[CONSUMER];
	const uint64_t deliveries = atomic_load(&arena->deliveries);
	const int64_t until = now_us() + DEADLINE_US;

	kill(old, SIGSTOP);
	assert_true(WIFSTOPPED(await_child(old, WUNTRACED)));
	squad_start(squad, CONSUMER);
	while (atomic_load(&arena->deliveries) < deliveries + 200) {
		assert_true(now_us() < until);
		nap_us(200);
	}
	kill(old, SIGCONT);
	assert_exits_with_0(old);
}

static void assert_progress(struct squad *squad)
{
	struct arena *arena = squad->arena;
	const uint64_t deliveries = atomic_load(&arena->deliveries);
	const int64_t until = now_us() + DEADLINE_US;

	while (atomic_load(&arena->deliveries) == deliveries) {
		if (now_us() > until) {
			fail_msg("nothing was delivered for a long time: the mailbox is stuck");
		}
		nap_us(200);
	}
}

/* What is left is delivered by this process; then every number that was pushed for certain has been seen. */
static uint64_t assert_nothing_is_lost(struct arena *arena)
{
	const uint8_t epoch = mms_mailbox_take_over(arena->mailbox);
	uint64_t committed = 0;
	int64_t last[PRODUCERS];
	uint64_t count;

	memset(last, 0xff, sizeof(last));
	do {
		assert_null(deliver(arena, epoch, last, &count));
	} while (count != 0);
	for (unsigned producer = 0; producer < PRODUCERS; producer++) {
		const uint32_t numbers = atomic_load(&arena->next_number[producer]);

		for (uint32_t number = 0; number < numbers && number < NUMBERS_MAX; number++) {
			const unsigned char marks = atomic_load(&arena->marks[producer][number]);

			committed += (marks & MARK_COMMITTED) != 0;
			if (marks == MARK_COMMITTED) {
				fail_msg("number %u of producer %u was pushed and never seen", number, producer);
			}
		}
	}
	assert_int_equal(mms_mailbox_used(arena->mailbox), 0);
	return committed;
}

static void random_kills(bool hooked, unsigned kills)
{
	struct squad *squad = shared_pages(sizeof(*squad));
	struct arena *arena = shared_pages(sizeof(*arena));
	uint64_t committed;

	arena->hooked = hooked;
	arena->mailbox = mailbox_of(RING_SIZE);
	arena->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	squad->seed = random_seed(hooked ? "with dawdling" : "as built");
	squad->size = PRODUCERS + 1;
	squad->work = work;
	squad->arena = arena;
	squad_start_all(squad);
	for (unsigned kill = 1; kill <= kills; kill++) {
		nap_us((long) random_below(&squad->seed, 8000));
		squad_replace_one(squad);
		if (kill % 25 == 0) {
			assert_progress(squad);
		}
		if (kill % 100 == 0) {
			succeed_a_stopped_consumer(squad);
		}
	}
	squad_stop(squad);
	committed = assert_nothing_is_lost(arena);
	print_message("%u kills, %u of them around push or settle; %llu entries pushed, %llu refused\n", squad->killed,
			squad->killed_inside, (unsigned long long) committed, (unsigned long long) arena->refusals);
	assert_true(committed > kills);
	assert_true(push_number(arena->mailbox, 1, 100, NULL));
	close(arena->wake_fd);
	mailbox_unmap(arena->mailbox);
	munmap(arena, sizeof(*arena));
	munmap(squad, sizeof(*squad));
}

static void random_kills_lose_and_tear_nothing(void **state)
{
	(void) state;
	random_kills(false, kills_wanted(600));
}

static void random_kills_in_a_widened_critical_section_neither(void **state)
{
	(void) state;
	random_kills(true, kills_wanted(600));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_death_at_any_point_leaves_the_mailbox_whole),
		cmocka_unit_test(a_stopped_holder_delays_each_process_once_and_goes_on_later),
		cmocka_unit_test(a_stopped_holder_that_is_killed_frees_the_mailbox),
		cmocka_unit_test(random_kills_lose_and_tear_nothing),
		cmocka_unit_test(random_kills_in_a_widened_critical_section_neither),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
