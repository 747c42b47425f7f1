/* Reservations: what a snapshot says, who overlaps, and what is left of processes that are killed. The second half is
 * needs hooks between the instructions that matter, so the module is built into this file.
 * TEST VARIANTS: plain asan
 * TEST SECONDS: 300 */
#include "squad.h"

#include <sched.h>

static void at_point(const char *name);

#define MMS_TEST_POINT(name) at_point(name)
#define mms_reservation_claim hooked_claim
#define mms_reservation_release hooked_release
#define mms_reservation_begin hooked_begin
#define mms_reservation_take hooked_take
#define mms_reservation_close hooked_close
#define mms_reservation_end hooked_end
#define mms_reservation_overlapped hooked_overlapped
#define mms_reservation_snapshot hooked_snapshot
#define mms_reservation_reap hooked_reap
#include "../../src/mms_reservation.c"

#define SEQUENCES (1u << 24)

/* Where this process kills itself, dawdles, or somebody else comes in between. */
static struct {
	const char *name;
	uint64_t dawdle;
	void (*beginning)(void); /* called once, by who is about to say that it begins */
} hook;

static void at_point(const char *name)
{
	if (hook.beginning != NULL && strcmp(name, "beginning") == 0) {
		void (*beginning)(void) = hook.beginning;

		hook.beginning = NULL;
		beginning();
	}
	if (hook.name != NULL && strcmp(hook.name, name) == 0) {
		raise(SIGKILL);
	}
	if (hook.dawdle != 0 && random_below(&hook.dawdle, 8) == 0) {
		sched_yield();
	}
}

struct arena {
	_Atomic uint64_t counter;
	_Atomic uint64_t done_count;
	struct mms_reservations_sh table;
	_Atomic unsigned char done[SEQUENCES]; /* 1: what this sequence reserved is over */
};

static struct arena *new_arena(void)
{
	return shared_pages(sizeof(struct arena));
}

static struct mms_closed snapshot_of(struct arena *arena)
{
	struct mms_closed closed = { .above = 0 };

	mms_reservation_snapshot(&arena->table, &arena->counter, &closed);
	return closed;
}

static void lists_what_is_open_and_nothing_else(void **state)
{
	struct arena *arena = new_arena();
	struct mms_reservation_sh *one = mms_reservation_claim(&arena->table), *two = mms_reservation_claim(&arena->table);
	struct mms_closed closed;

	(void)state;
	assert_true(one != NULL && two != NULL && one != two);
	closed = snapshot_of(arena);
	assert_int_equal(closed.highest, 0);
	mms_reservation_begin(&arena->table, one, 11);
	assert_int_equal(mms_reservation_take(one, &arena->counter), 1);
	mms_reservation_begin(&arena->table, two, 12);
	assert_int_equal(mms_reservation_take(two, &arena->counter), 2);
	mms_reservation_end(one);
	mms_reservation_begin(&arena->table, one, 11);
	assert_int_equal(mms_reservation_take(one, &arena->counter), 3);
	closed = snapshot_of(arena);
	assert_true(mms_closed_has(&closed, 1));
	assert_false(mms_closed_has(&closed, 2));
	assert_false(mms_closed_has(&closed, 3));
	assert_false(mms_closed_has(&closed, 4));
	mms_reservation_end(two);
	closed = snapshot_of(arena);
	assert_true(mms_closed_has(&closed, 2));
	assert_false(mms_closed_has(&closed, 3));
	mms_reservation_release(one);
	closed = snapshot_of(arena);
	assert_true(mms_closed_has(&closed, 3));
	assert_ptr_equal(mms_reservation_claim(&arena->table), one);
}

static void both_hear_of_another_request_of_the_session(void **state)
{
	struct arena *arena = new_arena();
	struct mms_reservation_sh *one = mms_reservation_claim(&arena->table), *two = mms_reservation_claim(&arena->table);

	(void)state;
	mms_reservation_begin(&arena->table, one, 11);
	mms_reservation_begin(&arena->table, two, 12);
	assert_false(mms_reservation_overlapped(one));
	mms_reservation_begin(&arena->table, two, 11);
	assert_true(mms_reservation_overlapped(one));
	assert_true(mms_reservation_overlapped(two));
	mms_reservation_close(two);
	mms_reservation_begin(&arena->table, one, 11);
	assert_true(mms_reservation_overlapped(one)); /* it writes no more, but its answer is still to come */
	mms_reservation_end(two);
	assert_true(mms_reservation_overlapped(one)); /* it was open at some time while this one was */
	mms_reservation_end(one);
	mms_reservation_begin(&arena->table, one, 11);
	assert_false(mms_reservation_overlapped(one));
}

static struct arena *between;
static struct mms_reservation_sh *newcomer;

static void another_claims_and_begins(void)
{
	newcomer = hooked_claim(&between->table);
	hooked_begin(&between->table, newcomer, 11);
}

/* It claims the next place while the first is about to say that it is there, and looks before that. */
static void one_of_two_that_begin_at_once_sees_the_other(void **state)
{
	struct mms_reservation_sh *one;

	(void)state;
	between = new_arena();
	one = hooked_claim(&between->table);
	hook.beginning = another_claims_and_begins;
	hooked_begin(&between->table, one, 11);
	assert_true(hooked_overlapped(one));
	assert_true(hooked_overlapped(newcomer));
}

static void a_full_table_has_no_place(void **state)
{
	struct arena *arena = new_arena();
	struct mms_reservation_sh *last = NULL;

	(void)state;
	for (unsigned i = 0; i < MMS_RESERVATIONS_MAX; i++) {
		last = mms_reservation_claim(&arena->table);
		assert_non_null(last);
	}
	assert_null(mms_reservation_claim(&arena->table));
	mms_reservation_release(last);
	assert_ptr_equal(mms_reservation_claim(&arena->table), last);
}

/* What the looks at 1024 owners cost, a full table would cost every request. */
static void the_owners_of_a_full_table_are_looked_at_once_a_second(void **state)
{
	struct arena *arena = new_arena();

	(void)state;
	for (unsigned i = 0; i < MMS_RESERVATIONS_MAX; i++) {
		assert_non_null(mms_reservation_claim(&arena->table));
	}
	assert_null(mms_reservation_claim(&arena->table));
	atomic_store(&arena->table.places[7].owner, UINT64_C(1) << 32 | 0x3fffffff); /* dies */
	assert_null(mms_reservation_claim(&arena->table));
	atomic_fetch_sub(&arena->table.full_us, 1000000);
	assert_ptr_equal(mms_reservation_claim(&arena->table), &arena->table.places[7]);
}

/* Sizes and owners that nobody wrote on purpose. */
static void a_damaged_table_is_no_trap(void **state)
{
	struct arena *arena = new_arena();
	uint64_t seed = random_seed("damage");
	struct mms_closed closed;

	(void)state;
	for (unsigned round = 0; round < 50; round++) {
		for (size_t i = 0; i < sizeof arena->table / 8; i++) {
			((uint64_t *)(void *)&arena->table)[i] = random_next(&seed);
		}
		mms_reservation_release(mms_reservation_claim(&arena->table));
		closed = snapshot_of(arena);
		assert_true(closed.open_count <= MMS_CLOSED_OPEN_MAX);
		mms_reservation_begin(&arena->table, &arena->table.places[3], 5);
	}
	memset(&arena->table, 0xff, sizeof arena->table);
	(void)mms_reservation_reap(&arena->table);
}

/* --- killed processes --- */

struct victim {
	struct arena *arena;
	const char *point;
};

static int die_reserving(void *argument)
{
	const struct victim *victim = argument;
	struct mms_reservation_sh *place = mms_reservation_claim(&victim->arena->table);

	mms_reservation_begin(&victim->arena->table, place, 99);
	hook.name = victim->point;
	(void)mms_reservation_take(place, &victim->arena->counter);
	raise(SIGKILL);
	return 1;
}

static void die_at(const char *point, uint64_t counted)
{
	struct arena *arena = new_arena();
	struct victim victim = { arena, point };
	struct mms_reservation_sh *mine = mms_reservation_claim(&arena->table);
	struct mms_closed closed;
	pid_t pid;

	mms_reservation_begin(&arena->table, mine, 1);
	(void)mms_reservation_take(mine, &arena->counter);
	mms_reservation_end(mine);
	pid = spawn(die_reserving, &victim);
	assert_is_killed(pid);
	assert_int_equal(atomic_load(&arena->counter), counted);
	closed = snapshot_of(arena);
	assert_true(mms_closed_has(&closed, 1));
	assert_false(mms_closed_has(&closed, 2));
	mms_reservation_begin(&arena->table, mine, 99);
	assert_true(mms_reservation_overlapped(mine));
	mms_reservation_end(mine);
	assert_int_equal(mms_reservation_reap(&arena->table), 1);
	assert_int_equal(mms_reservation_reap(&arena->table), 0);
	mms_reservation_begin(&arena->table, mine, 99);
	assert_false(mms_reservation_overlapped(mine));
	mms_reservation_end(mine);
	closed = snapshot_of(arena);
	assert_int_equal(closed.highest, counted);
	assert_int_equal(closed.open_count, 0);
}

static int release_the_parents(void *argument)
{
	struct arena *arena = argument;

	mms_reservation_release(&arena->table.places[0]);
	return 0;
}

static void a_child_does_not_give_back_its_parents_place(void **state)
{
	struct arena *arena = new_arena();
	struct mms_reservation_sh *mine = mms_reservation_claim(&arena->table);
	uint64_t owner = atomic_load(&mine->owner);

	(void)state;
	assert_ptr_equal(mine, &arena->table.places[0]);
	assert_exits_with_0(spawn(release_the_parents, arena));
	assert_int_equal(atomic_load(&mine->owner), owner);
	mms_reservation_release(mine);
	assert_int_equal(atomic_load(&mine->owner), 0);
}

static void a_killed_process_leaves_its_reservation_until_it_is_reaped(void **state)
{
	(void)state;
	die_at("bound", 1);
	die_at("fetched", 2);
	die_at("never", 2);
}

static int hold_one(void *argument)
{
	struct arena *arena = argument;
	struct mms_reservation_sh *place = mms_reservation_claim(&arena->table);

	mms_reservation_begin(&arena->table, place, 99);
	(void)mms_reservation_take(place, &arena->counter);
	for (;;) {
		nap_us(1000);
	}
	return 0;
}

static pid_t holder_of(struct arena *arena)
{
	pid_t pid = spawn(hold_one, arena);
	int64_t until = now_us() + DEADLINE_US;

	while (atomic_load(&arena->counter) == 0 && now_us() < until) {
		nap_us(500);
	}
	assert_int_equal(atomic_load(&arena->counter), 1);
	return pid;
}

static void the_living_and_the_stopped_are_not_reaped_but_a_zombie_is(void **state)
{
	struct arena *arena = new_arena();
	pid_t pid = holder_of(arena);
	siginfo_t info;

	(void)state;
	assert_int_equal(mms_reservation_reap(&arena->table), 0);
	kill(pid, SIGSTOP);
	assert_int_equal(mms_reservation_reap(&arena->table), 0);
	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0); /* dead, its exit status not fetched */
	assert_int_equal(mms_reservation_reap(&arena->table), 1);
	assert_is_killed(pid);
}

/* The id of a dead owner may be a living process' by now. */
static void a_successor_with_the_same_id_is_not_the_owner(void **state)
{
	struct arena *arena = new_arena();
	pid_t pid = holder_of(arena);

	(void)state;
	atomic_fetch_sub(&arena->table.places[0].owner, UINT64_C(1) << 32); /* as if it had been started a tick earlier */
	assert_int_equal(mms_reservation_reap(&arena->table), 1);
	kill_child(pid);
}

/* It could not tell: a chroot without /proc, or no descriptor left for it. */
static void an_owner_who_did_not_know_his_start_lives_on(void **state)
{
	struct arena *arena = new_arena();
	pid_t pid = holder_of(arena);

	(void)state;
	atomic_fetch_and(&arena->table.places[0].owner, UINT32_MAX);
	assert_int_equal(mms_reservation_reap(&arena->table), 0);
	assert_int_not_equal(atomic_load(&arena->table.places[0].sequence), 0);
	kill_child(pid);
	assert_int_equal(mms_reservation_reap(&arena->table), 1);
}

static void a_full_table_gives_the_places_of_the_dead(void **state)
{
	struct arena *arena = new_arena();
	pid_t pid = holder_of(arena);

	(void)state;
	for (unsigned i = 1; i < MMS_RESERVATIONS_MAX; i++) {
		assert_non_null(mms_reservation_claim(&arena->table));
	}
	assert_null(mms_reservation_claim(&arena->table));
	kill_child(pid);
	atomic_fetch_sub(&arena->table.full_us, 1000000); /* a second later */
	assert_ptr_equal(mms_reservation_claim(&arena->table), &arena->table.places[0]);
	assert_int_equal(atomic_load(&arena->table.places[0].sequence), 0);
}

static int reserve_all_the_time(struct squad_member *member)
{
	struct arena *arena = member->squad->arena;
	struct mms_reservation_sh *place = mms_reservation_claim(&arena->table);
	uint64_t random = member->seed;

	hook.dawdle = member->seed;
	while (place != NULL && atomic_load(&member->squad->stop) == 0) {
		uint64_t sequence;

		mms_reservation_begin(&arena->table, place, 1 + random_below(&random, 5));
		sequence = mms_reservation_take(place, &arena->counter);
		if (sequence >= SEQUENCES) {
			squad_fail(member->squad, "more sequences than this test has room for", sequence);
			return 0;
		}
		atomic_store(&arena->done[sequence], 1);
		mms_reservation_end(place);
		if (random_below(&random, 4) == 0) {
			nap_us(2000);
		}
	}
	return place == NULL;
}

static bool lives(const struct squad *squad, uint64_t owner)
{
	for (unsigned slot = 0; slot < squad->size; slot++) {
		if (squad->pids[slot] == (pid_t)(uint32_t)owner) {
			return true;
		}
	}
	return false;
}

/* What the dead left open counts as over; of those who died while they fetched a sequence nobody knows which. */
static unsigned bury(struct squad *squad)
{
	struct arena *arena = squad->arena;
	unsigned unknown = 0;

	for (unsigned i = 0; i < MMS_RESERVATIONS_MAX; i++) {
		struct mms_reservation_sh *place = &arena->table.places[i];
		uint64_t sequence = atomic_load(&place->sequence);

		if (sequence == 0 || lives(squad, atomic_load(&place->owner))) {
			continue;
		}
		if ((sequence & BOUND) != 0) {
			unknown++;
		} else {
			atomic_store(&arena->done[sequence], 1);
		}
	}
	return unknown;
}

/* Everything that is closed was over before. */
static void nothing_is_closed_too_early_among_kills(void **state)
{
	struct squad *squad = shared_pages(sizeof *squad);
	struct arena *arena = new_arena();
	unsigned wanted = kills_wanted(300), unknown = 0;
	struct mms_closed closed;
	uint64_t looked = 0;

	(void)state;
	squad->seed = random_seed("kills");
	squad->size = 6;
	squad->work = reserve_all_the_time;
	squad->arena = arena;
	squad_start_all(squad);
	while (squad->killed < wanted && squad->failure[0] == '\0') {
		squad_replace_one(squad);
		for (unsigned look = 0; look < 20; look++) {
			unsigned not_over = 0;

			closed = snapshot_of(arena);
			for (uint64_t sequence = 1; sequence <= closed.highest; sequence++) {
				if (mms_closed_has(&closed, sequence) && atomic_load(&arena->done[sequence]) == 0) {
					not_over++;
				}
			}
			looked += closed.highest;
			if (not_over > unknown) {
				squad_fail(squad, "sequences closed that were never over", not_over - unknown);
			}
		}
		unknown += bury(squad);
		(void)mms_reservation_reap(&arena->table);
	}
	atomic_store(&squad->stop, 1);
	squad_stop(squad);
	assert_true(looked > wanted);
	(void)mms_reservation_reap(&arena->table);
	closed = snapshot_of(arena);
	assert_int_equal(closed.highest, atomic_load(&arena->counter));
	assert_int_equal(closed.open_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_what_is_open_and_nothing_else),
		cmocka_unit_test(both_hear_of_another_request_of_the_session),
		cmocka_unit_test(one_of_two_that_begin_at_once_sees_the_other),
		cmocka_unit_test(a_full_table_has_no_place),
		cmocka_unit_test(the_owners_of_a_full_table_are_looked_at_once_a_second),
		cmocka_unit_test(a_damaged_table_is_no_trap),
		cmocka_unit_test(a_child_does_not_give_back_its_parents_place),
		cmocka_unit_test(a_killed_process_leaves_its_reservation_until_it_is_reaped),
		cmocka_unit_test(the_living_and_the_stopped_are_not_reaped_but_a_zombie_is),
		cmocka_unit_test(a_successor_with_the_same_id_is_not_the_owner),
		cmocka_unit_test(an_owner_who_did_not_know_his_start_lives_on),
		cmocka_unit_test(a_full_table_gives_the_places_of_the_dead),
		cmocka_unit_test(nothing_is_closed_too_early_among_kills),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
