/* Hints: several threads at once, so that the thread sanitizer can watch.
 * TEST VARIANTS: asan tsan */
#include "hints_table.h"

#include <pthread.h>

#define THREADS 3
#define KEYS 100
#define ROUNDS (SANITIZED ? 3000 : 30000)

static const struct mms_mono NOW = { 1000000 };
static const struct mms_mono LATER = { 9000000 };

struct team {
	struct mms_hints_sh *hints;
	_Atomic uint64_t next;
	uint64_t masks[THREADS * KEYS];
};

/* Each thread has keys of its own and knows what must be left of them; all walk over all. */
static void *change(void *argument)
{
	struct team *team = argument;
	const uint64_t mine = atomic_fetch_add(&team->next, 1) * KEYS;
	uint64_t seed = mine + 1;
	struct mms_hint hint;
	struct hinted hinted;
	uint32_t cursor = 0;

	for (uint64_t round = 1; round < (uint64_t) ROUNDS; round++) {
		const uint64_t number = mine + random_below(&seed, KEYS);
		const unsigned node = (unsigned) random_below(&seed, 3);

		hinted_of(&hinted, number, round);
		if (random_below(&seed, 2) == 0) {
			if (mms_hints_add(team->hints, hinted.slice, hinted.header, UINT64_C(1) << node, LATER, NOW)) {
				team->masks[number] |= UINT64_C(1) << node;
			}
		} else {
			mms_hints_settle(team->hints, hinted.slice, node, &hinted.version);
			team->masks[number] &= ~(UINT64_C(1) << node);
		}
		mms_hints_next(team->hints, node, &cursor, NOW, &hint);
	}
	return NULL;
}

static void assert_noted_hints_are_there(struct team *team, unsigned node)
{
	bool found[THREADS * KEYS] = { false };
	struct mms_hint hint;
	uint32_t cursor = 0;
	uint32_t count = 0;
	uint64_t number;
	uint64_t hlc;

	do {
		if (mms_hints_next(team->hints, node, &cursor, NOW, &hint)) {
			assert_true(hint_is_intact(&hint, &number, &hlc));
			assert_true(number < THREADS * KEYS && !found[number]);
			found[number] = true;
			count++;
		}
	} while (cursor != 0);
	for (unsigned i = 0; i < THREADS * KEYS; i++) {
		assert_true(found[i] || (team->masks[i] >> node & 1) == 0);
	}
	assert_int_equal(mms_hints_count(team->hints, node), count);
}

/* More than was noted may be there: a machine too busy to get the lock within its wait leaves hints unsettled. */
static void threads_lose_no_hint_and_keep_counts_exact(void **state)
{
	struct team team = { .hints = hints_of(512) };
	pthread_t threads[THREADS];

	(void) state;
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, change, &team), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
	}
	for (unsigned node = 0; node < 3; node++) {
		assert_noted_hints_are_there(&team, node);
	}
	hints_unmap(team.hints);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_lose_no_hint_and_keep_counts_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
