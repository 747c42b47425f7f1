/* Hints under SIGKILL and SIGSTOP, built twice as in test_mailbox_kill.c: as they are, and with a hook in their
 * critical sections. MMS_KILLS=10000 makes the random part longer, MMS_SEED repeats its choices.
 * TEST VARIANTS: plain
 * TEST SECONDS: 600 */
#include "hints_table.h"
#include "squad.h"

#include <sched.h>

static void at_point(const char *name);

#define MMS_TEST_POINT(name) at_point(name)
#define mms_hints_table_size hooked_table_size
#define mms_hints_init hooked_init
#define mms_hints_add hooked_add
#define mms_hints_next hooked_next
#define mms_hints_settle hooked_settle
#define mms_hints_drop hooked_drop
#define mms_hints_count hooked_count
#define mms_hints_overflowed hooked_overflowed
#define mms_hints_overflow hooked_overflow
#define mms_hints_overflow_count hooked_overflow_count
#define mms_hints_end_overflow hooked_end_overflow
#define mms_hints_pend hooked_pend
#define mms_hint_tombstone hooked_tombstone
void mms_hints_overflow(struct mms_hints_sh *hints, uint64_t mask);
#include "../../src/mms_hints.c"
#undef mms_hints_table_size
#undef mms_hints_init
#undef mms_hints_add
#undef mms_hints_next
#undef mms_hints_settle
#undef mms_hints_drop
#undef mms_hints_count
#undef mms_hints_overflowed
#undef mms_hints_overflow
#undef mms_hints_overflow_count
#undef mms_hints_end_overflow
#undef mms_hints_pend
#undef mms_hint_tombstone

static const struct mms_mono NOW = { 1000000 };
static const struct mms_mono LATER = { 9000000 };

/* What this process does at which point. */
static struct {
	const char *name;
	int signal;      /* to send to itself there */
	uint64_t dawdle; /* random state: dawdle now and then; 0: never */
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

/* Hints of one node, all intact; counted. The bits of found, if given, are the numbers of their keys. */
static uint32_t walk(struct mms_hints_sh *hints, unsigned node, bool *found, uint64_t keys)
{
	struct mms_hint hint;
	uint32_t cursor = 0;
	uint32_t count = 0;

	do {
		uint64_t number;
		uint64_t hlc;

		if (mms_hints_next(hints, node, &cursor, NOW, &hint)) {
			assert_true(hint_is_intact(&hint, &number, &hlc));
			count++;
			if (found != NULL) {
				assert_true(number < keys && !found[number]);
				found[number] = true;
			}
		}
	} while (cursor != 0);
	return count;
}

/* --- one process that dies or stops at a given point --- */

enum act { ACT_ADD, ACT_MERGE, ACT_SETTLE, ACT_RECOVER };

struct victim {
	struct mms_hints_sh *hints;
	const char *point;
	enum act act;
	int signal;
};

static int act_and_meet_the_signal(void *argument)
{
	const struct victim *victim = argument;
	struct hinted hinted;

	hinted_of(&hinted, victim->act == ACT_MERGE || victim->act == ACT_SETTLE ? 3 : 100, 20);
	hook.name = victim->point;
	hook.signal = victim->signal;
	if (victim->act == ACT_SETTLE) {
		hooked_settle(victim->hints, hinted.slice, 0, &hinted.version);
		return 0;
	}
	return hooked_add(victim->hints, hinted.slice, hinted.header, 3, LATER, NOW) ? 0 : 1;
}

static struct mms_hints_sh *ten_hints(void)
{
	struct mms_hints_sh *hints = hints_of(64);
	struct hinted hinted;

	for (uint64_t number = 0; number < 10; number++) {
		hinted_of(&hinted, number, 10);
		assert_true(mms_hints_add(hints, hinted.slice, hinted.header, 1, LATER, NOW));
	}
	return hints;
}

/* left: hints of node 0 after it. */
static void die_at(const char *point, enum act act, uint32_t left)
{
	struct mms_hints_sh *hints = ten_hints();
	struct victim victim = { hints, point, act, SIGKILL };
	struct hinted hinted;

	assert_is_killed(spawn(act_and_meet_the_signal, &victim));
	if (act == ACT_RECOVER) {
		victim.point = "recovering";
		assert_is_killed(spawn(act_and_meet_the_signal, &victim));
	}
	hinted_of(&hinted, 200, 10);
	assert_true(mms_hints_add(hints, hinted.slice, hinted.header, 4, LATER, NOW));
	assert_true(atomic_load(&hints->overflow_mask) == UINT64_MAX);
	assert_int_equal(walk(hints, 0, NULL, 0), left);
	assert_int_equal(mms_hints_count(hints, 0), left);
	assert_int_equal(mms_hints_count(hints, 1), walk(hints, 1, NULL, 0));
	assert_int_equal(mms_hints_count(hints, 2), 1);
	for (uint64_t number = 0; number < 300; number++) {
		hinted_of(&hinted, number, 30);
		for (unsigned node = 0; node < 3; node++) {
			mms_hints_settle(hints, hinted.slice, node, &hinted.version);
		}
	}
	assert_int_equal(atomic_load(&hints->used), 0);
	hints_unmap(hints);
}

static void a_death_at_any_point_costs_one_hint_and_says_so(void **state)
{
	(void) state;
	die_at("locked", ACT_ADD, 10);
	die_at("half written", ACT_ADD, 10);
	die_at("written", ACT_ADD, 11);
	die_at("merging", ACT_MERGE, 9);
	die_at("removed", ACT_SETTLE, 9);
	die_at("half written", ACT_RECOVER, 10);
}

static void a_stopped_holder_costs_no_hint(void **state)
{
	struct mms_hints_sh *hints = ten_hints();
	struct victim victim = { hints, "half written", ACT_ADD, SIGSTOP };
	pid_t stopped = spawn(act_and_meet_the_signal, &victim);
	struct hinted hinted;

	(void) state;
	assert_true(WIFSTOPPED(await_child(stopped, WUNTRACED)));
	hinted_of(&hinted, 300, 10);
	assert_false(mms_hints_add(hints, hinted.slice, hinted.header, 4, LATER, NOW));
	assert_int_equal(atomic_load(&hints->overflow_mask), 4);
	kill(stopped, SIGCONT);
	assert_exits_with_0(stopped);
	assert_true(mms_hints_add(hints, hinted.slice, hinted.header, 4, LATER, NOW));
	assert_int_equal(walk(hints, 0, NULL, 0), 11);
	assert_int_equal(walk(hints, 2, NULL, 0), 1);
	assert_int_equal(atomic_load(&hints->overflow_mask), 4);
	hints_unmap(hints);
}

/* --- many, killed at random --- */

#define MEMBERS 16
#define KEYS_EACH 40
#define KEYS (MEMBERS * KEYS_EACH)
#define NODES 3

/* What must be there, by key; only the key's own member writes it. A key is in flux while its member changes it: that
 * member's death leaves the outcome open, but must not touch any other key. */
struct arena {
	bool hooked;
	_Atomic uint32_t required[KEYS]; /* nodes */
	_Atomic uint32_t in_flux[KEYS];
	_Atomic uint64_t changes;
	_Atomic uint64_t hlc;
	struct mms_hints_sh *hints;
};

static void change(struct squad_member *member, struct arena *arena)
{
	const uint64_t key = member->slot * KEYS_EACH + random_below(&member->seed, KEYS_EACH);
	const unsigned node = (unsigned) random_below(&member->seed, NODES);
	const uint32_t mask = (uint32_t) random_below(&member->seed, (1u << NODES) - 1) + 1;
	struct hinted hinted;

	hinted_of(&hinted, key, atomic_fetch_add(&arena->hlc, 1) + 1);
	atomic_store(&member->squad->inside[member->slot], 1);
	if (random_below(&member->seed, 2) == 0) {
		atomic_store(&arena->in_flux[key], 1);
		if ((arena->hooked ? hooked_add : mms_hints_add)(arena->hints, hinted.slice, hinted.header, mask, LATER, NOW)) {
			atomic_fetch_or(&arena->required[key], mask);
		}
	} else {
		atomic_store(&arena->in_flux[key], 1);
		atomic_fetch_and(&arena->required[key], ~(1u << node));
		(arena->hooked ? hooked_settle : mms_hints_settle)(arena->hints, hinted.slice, node, &hinted.version);
	}
	atomic_store(&arena->in_flux[key], 0);
	atomic_store(&member->squad->inside[member->slot], 0);
}

static int work(struct squad_member *member)
{
	struct arena *arena = member->squad->arena;
	uint32_t cursor = 0;

	/* Of a key in flux when the one before died nothing is known. */
	for (unsigned key = member->slot * KEYS_EACH; key < (member->slot + 1) * KEYS_EACH; key++) {
		if (atomic_exchange(&arena->in_flux[key], 0) != 0) {
			atomic_store(&arena->required[key], 0);
		}
	}
	hook.dawdle = arena->hooked ? member->seed : 0;
	while (atomic_load(&member->squad->stop) == 0) {
		struct mms_hint hint;
		uint64_t number;
		uint64_t hlc;

		change(member, arena);
		atomic_fetch_add(&arena->changes, 1);
		if (mms_hints_next(arena->hints, (unsigned) random_below(&member->seed, NODES), &cursor, NOW, &hint)
				&& !hint_is_intact(&hint, &number, &hlc)) {
			squad_fail(member->squad, "a torn hint was handed out", hint.key_len);
			return 1;
		}
		if (random_below(&member->seed, 64) == 0) {
			nap_us((long) random_below(&member->seed, 500));
		}
	}
	return 0;
}

static void assert_hints_are_whole(struct arena *arena)
{
	for (unsigned node = 0; node < NODES; node++) {
		bool found[KEYS] = { false };

		assert_int_equal(walk(arena->hints, node, found, KEYS), mms_hints_count(arena->hints, node));
		for (unsigned key = 0; key < KEYS; key++) {
			if ((atomic_load(&arena->required[key]) >> node & 1) != 0 && !found[key]) {
				fail_msg("the hint that node %u lacks key %u was lost", node, key);
			}
		}
	}
}

static void assert_progress(struct arena *arena)
{
	const uint64_t changes = atomic_load(&arena->changes);
	const int64_t until = now_us() + DEADLINE_US;

	while (atomic_load(&arena->changes) < changes + 100) {
		if (now_us() > until) {
			fail_msg("nothing was changed for a long time: the hints are stuck");
		}
		nap_us(200);
	}
}

static void random_kills(bool hooked, unsigned kills)
{
	struct squad *squad = shared_pages(sizeof(*squad));
	struct arena *arena = shared_pages(sizeof(*arena));

	arena->hooked = hooked;
	arena->hints = hints_of(1024);
	squad->seed = random_seed(hooked ? "with dawdling" : "as built");
	squad->size = MEMBERS;
	squad->work = work;
	squad->arena = arena;
	while (squad->killed < kills) {
		squad_start_all(squad);
		for (unsigned kill = 0; kill < 100 && squad->killed < kills; kill++) {
			nap_us((long) random_below(&squad->seed, 8000));
			squad_replace_one(squad);
		}
		assert_progress(arena);
		squad_stop(squad);
		assert_hints_are_whole(arena);
	}
	print_message("%u kills, %u of them around a change; %llu changes\n", squad->killed, squad->killed_inside,
			(unsigned long long) arena->changes);
	hints_unmap(arena->hints);
	munmap(arena, sizeof(*arena));
	munmap(squad, sizeof(*squad));
}

static void random_kills_lose_no_hint_of_others(void **state)
{
	(void) state;
	random_kills(false, kills_wanted(300));
}

static void random_kills_in_a_widened_critical_section_neither(void **state)
{
	(void) state;
	random_kills(true, kills_wanted(300));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_death_at_any_point_costs_one_hint_and_says_so),
		cmocka_unit_test(a_stopped_holder_costs_no_hint),
		cmocka_unit_test(random_kills_lose_no_hint_of_others),
		cmocka_unit_test(random_kills_in_a_widened_critical_section_neither),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
