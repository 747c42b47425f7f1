/* Hints: what nodes missed is noted once per key, newest version first, within bounds, and forgotten when it should. */
#include "hints_table.h"

#include <pthread.h>

static const struct mms_mono NOW = { 1000000 };
static const struct mms_mono LATER = { 9000000 };
static const struct mms_mono MUCH_LATER = { 20000000 };

static bool add(struct mms_hints_sh *hints, uint64_t number, uint64_t hlc, uint64_t mask)
{
	struct hinted hinted;

	hinted_of(&hinted, number, hlc);
	return mms_hints_add(hints, hinted.slice, hinted.header, mask, LATER, NOW);
}

static void settle(struct mms_hints_sh *hints, uint64_t number, uint64_t hlc, unsigned node)
{
	struct hinted hinted;

	hinted_of(&hinted, number, hlc);
	mms_hints_settle(hints, hinted.slice, node, &hinted.version);
}

/* The node's hint about this key; false when there is none. */
static bool find(struct mms_hints_sh *hints, unsigned node, uint64_t number, struct mms_hint *out)
{
	uint32_t cursor = 0;
	uint64_t found;
	uint64_t hlc;

	do {
		if (mms_hints_next(hints, node, &cursor, NOW, out)) {
			assert_true(hint_is_intact(out, &found, &hlc));
			if (found == number) {
				return true;
			}
		}
	} while (cursor != 0);
	return false;
}

static uint64_t hlc_of(const struct mms_hint *hint)
{
	uint64_t number;
	uint64_t hlc;

	assert_true(hint_is_intact(hint, &number, &hlc));
	return hlc;
}

static uint32_t walk(struct mms_hints_sh *hints, unsigned node, struct mms_mono now)
{
	struct mms_hint hint;
	uint32_t cursor = 0;
	uint32_t count = 0;

	do {
		count += mms_hints_next(hints, node, &cursor, now, &hint);
	} while (cursor != 0);
	return count;
}

static void a_hint_is_found_by_the_nodes_that_lack_it(void **state)
{
	struct mms_hints_sh *hints = hints_of(64);
	struct mms_hint hint;

	(void) state;
	assert_true(add(hints, 1, 10, 5));
	assert_true(find(hints, 0, 1, &hint));
	assert_int_equal(hint.missing_mask, 5);
	assert_int_equal(hint.deadline.us, LATER.us);
	assert_int_equal(hlc_of(&hint), 10);
	assert_true(find(hints, 2, 1, &hint));
	assert_false(find(hints, 1, 1, &hint));
	assert_int_equal(mms_hints_count(hints, 0), 1);
	assert_int_equal(mms_hints_count(hints, 1), 0);
	assert_int_equal(mms_hints_count(hints, 2), 1);
	assert_false(mms_hints_overflowed(hints, 0));
	assert_int_equal(atomic_load(&hints->changed_count), 1);
	hints_unmap(hints);
}

static void hints_about_one_key_become_one(void **state)
{
	struct mms_hints_sh *hints = hints_of(64);
	struct hinted older;
	struct mms_hint hint;

	(void) state;
	assert_true(add(hints, 1, 10, 1));
	assert_true(add(hints, 1, 12, 2));
	hinted_of(&older, 1, 11);
	assert_true(mms_hints_add(hints, older.slice, older.header, 4, MUCH_LATER, NOW));
	assert_true(find(hints, 1, 1, &hint));
	assert_int_equal(hlc_of(&hint), 12);
	assert_int_equal(hint.missing_mask, 7);
	assert_int_equal(hint.deadline.us, MUCH_LATER.us);
	assert_int_equal(atomic_load(&hints->used), 1);
	for (unsigned node = 0; node < 3; node++) {
		assert_int_equal(mms_hints_count(hints, node), 1);
	}
	hints_unmap(hints);
}

static void bury(struct mms_hints_sh *hints, struct hinted *out, uint64_t hlc)
{
	struct mms_record_header header = { .version = { .hlc = hlc, .writer = 9, .sequence = 1, .tombstone = true } };

	hinted_of(out, 1, hlc);
	mms_record_encode(&header, out->slice, out->header);
	out->version = header.version;
	assert_true(mms_hints_add(hints, out->slice, out->header, 1, LATER, NOW));
}

static void raise_again(struct mms_hints_sh *hints, struct hinted *out, uint64_t incarnation)
{
	struct mms_record_header header = { .version = { .incarnation = incarnation, .hlc = 100, .writer = 9, .sequence = 1 } };

	hinted_of(out, 1, 100);
	mms_record_encode(&header, out->slice, out->header);
	out->version = header.version;
	assert_true(mms_hints_add(hints, out->slice, out->header, 1, LATER, NOW));
}

/* Unlike anything else in a hint it is all that was stored, and it may be the last of it. */
static void a_tombstone_is_kept_beside_what_is_newer(void **state)
{
	struct hinted older, newer, newest, again;
	struct mms_hint hint, before;

	(void) state;
	for (int round = 0; round < 2; round++) {
		struct mms_hints_sh *hints = hints_of(64);

		assert_true(add(hints, 1, 10, 1));
		assert_true(find(hints, 0, 1, &hint));
		assert_null(mms_hint_tombstone(&hint));
		if (round == 0) {
			bury(hints, &older, 11);
			raise_again(hints, &again, 11);
		} else {
			raise_again(hints, &again, 11);
			bury(hints, &older, 11);
		}
		assert_true(find(hints, 0, 1, &before));
		assert_memory_equal(before.header, again.header, MMS_RECORD_HEADER_SIZE);
		assert_memory_equal(mms_hint_tombstone(&before), older.header, MMS_RECORD_HEADER_SIZE);
		bury(hints, &newer, 12);
		bury(hints, &older, 11);
		mms_hints_drop(hints, &before, 0); /* another one by now */
		assert_true(find(hints, 0, 1, &hint));
		assert_memory_equal(hint.header, again.header, MMS_RECORD_HEADER_SIZE);
		assert_memory_equal(mms_hint_tombstone(&hint), newer.header, MMS_RECORD_HEADER_SIZE);
		newest = again;
		mms_record_encode(&(struct mms_record_header){ .version = { .incarnation = 11, .hlc = 200, .sequence = 1,
				.tombstone = true } }, newest.slice, newest.header);
		assert_true(mms_hints_add(hints, newest.slice, newest.header, 1, LATER, NOW));
		assert_true(find(hints, 0, 1, &hint));
		assert_memory_equal(mms_hint_tombstone(&hint), newest.header, MMS_RECORD_HEADER_SIZE);
		hint.tombstone[0] = 'M'; /* a damaged mapping */
		hint.header[4] = 0;
		assert_null(mms_hint_tombstone(&hint));
		hints_unmap(hints);
	}
}

static void settling_forgets_what_the_node_has_and_nothing_newer(void **state)
{
	struct mms_hints_sh *hints = hints_of(64);
	struct mms_hint hint;

	(void) state;
	assert_true(add(hints, 1, 10, 3));
	settle(hints, 1, 9, 0);
	assert_int_equal(mms_hints_count(hints, 0), 1);
	settle(hints, 1, 10, 0);
	assert_int_equal(mms_hints_count(hints, 0), 0);
	assert_false(find(hints, 0, 1, &hint));
	assert_true(find(hints, 1, 1, &hint));
	settle(hints, 1, 11, 1);
	settle(hints, 1, 11, 1);
	settle(hints, 2, 11, 1);
	settle(hints, 1, 11, 64);
	assert_int_equal(mms_hints_count(hints, 1), 0);
	assert_int_equal(atomic_load(&hints->used), 0);
	hints_unmap(hints);
}

static void dropping_needs_the_hint_that_was_read(void **state)
{
	struct mms_hints_sh *hints = hints_of(64);
	struct mms_hint read;

	(void) state;
	assert_true(add(hints, 1, 10, 3));
	assert_true(find(hints, 0, 1, &read));
	assert_true(add(hints, 1, 11, 1));
	mms_hints_drop(hints, &read, 0);
	assert_int_equal(mms_hints_count(hints, 0), 1);
	assert_true(find(hints, 0, 1, &read));
	mms_hints_drop(hints, &read, 0);
	assert_int_equal(mms_hints_count(hints, 0), 0);
	assert_int_equal(mms_hints_count(hints, 1), 1);
	mms_hints_drop(hints, &read, 64);
	read.key_len = MMS_KEY_MAX + 1;
	mms_hints_drop(hints, &read, 1);
	assert_int_equal(mms_hints_count(hints, 1), 1);
	hints_unmap(hints);
}

static void expired_hints_are_gone(void **state)
{
	struct mms_hints_sh *hints = hints_of(64);
	struct hinted hinted;

	(void) state;
	hinted_of(&hinted, 1, 10);
	assert_true(mms_hints_add(hints, hinted.slice, hinted.header, 1, NOW, NOW));
	assert_int_equal(mms_hints_count(hints, 0), 0);
	assert_true(add(hints, 1, 10, 3));
	assert_int_equal(walk(hints, 0, MUCH_LATER), 0);
	assert_int_equal(mms_hints_count(hints, 0), 0);
	assert_int_equal(mms_hints_count(hints, 1), 0);
	assert_int_equal(atomic_load(&hints->used), 0);
	assert_false(mms_hints_overflowed(hints, 0));
	hints_unmap(hints);
}

static void a_full_table_marks_the_nodes_as_overflowed(void **state)
{
	struct mms_hints_sh *hints = hints_of(64);
	struct mms_hint hint;
	struct hinted hinted;

	(void) state;
	for (uint64_t number = 0; number < 48; number++) {
		assert_true(add(hints, number, 10, 1));
	}
	assert_int_equal(atomic_load(&hints->overflow_mask), 0);
	assert_false(add(hints, 48, 10, 6));
	assert_int_equal(atomic_load(&hints->overflow_mask), 6);
	assert_int_equal(mms_hints_count(hints, 1), 0);
	assert_int_equal(mms_hints_count(hints, 0), 48);
	assert_true(mms_hints_overflowed(hints, 1));
	assert_false(mms_hints_overflowed(hints, 0));
	/* A known key needs no room, and what has expired gives room. */
	assert_true(add(hints, 7, 11, 2));
	hinted_of(&hinted, 49, 10);
	assert_true(mms_hints_add(hints, hinted.slice, hinted.header, 8, (struct mms_mono){ MUCH_LATER.us + 9 }, MUCH_LATER));
	assert_true(find(hints, 3, 49, &hint));
	hints_unmap(hints);
}

/* A node that is away has filled the table and will be compared whole: another one that misses a session now and then, or a write that
 * the mailbox did not take and that all acknowledge, finds a place all the same. */
static void what_is_compared_anyway_makes_room_for_others(void **state)
{
	static const uint32_t capacities[] = { 1024, 4096 };

	(void) state;
	for (unsigned i = 0; i < 2; i++) {
		struct mms_hints_sh *hints = hints_of(capacities[i]);
		const uint32_t full = capacities[i] / 4 * 3;
		struct mms_hint hint;
		uint32_t overflows;

		for (uint64_t number = 0; number < full; number++) {
			assert_true(add(hints, number, 10, 4));
		}
		assert_false(add(hints, full, 10, 4));
		assert_false(add(hints, full, 10, 4)); /* it gains nothing by room */
		assert_int_equal(mms_hints_count(hints, 2), full);
		assert_int_equal(atomic_load(&hints->overflow_mask), 4);
		for (uint64_t number = 100000; number < 100000 + full / 2; number++) {
			overflows = mms_hints_overflow_count(hints, 2);
			assert_true(add(hints, number, 10, 7));
			assert_int_equal(mms_hints_overflow_count(hints, 2), overflows + 1); /* a comparison under way starts anew */
			assert_true(find(hints, 1, number, &hint));
			settle(hints, number, 10, 0);
			settle(hints, number, 10, 1);
			assert_true(atomic_load(&hints->used) <= capacities[i] / 8 * 7);
		}
		assert_int_equal(atomic_load(&hints->overflow_mask), 4);
		assert_int_equal(mms_hints_count(hints, 0) + mms_hints_count(hints, 1), 0);
		for (uint64_t number = 200000; number < 200000 + full / 4; number++) {
			assert_true(add(hints, number, 10, 2)); /* these stay */
		}
		assert_int_equal(mms_hints_count(hints, 1), full / 4);
		assert_int_equal(walk(hints, 1, NOW), full / 4);
		assert_int_equal(atomic_load(&hints->overflow_mask), 4);
		hints_unmap(hints);
	}
}

static void a_table_takes_three_quarters_of_its_capacity(void **state)
{
	struct mms_hints_sh *hints = hints_of(32768);
	uint64_t number = 0;

	(void) state;
	while (add(hints, number, 10, 1)) {
		number++;
	}
	assert_in_range(number, 24000, 24576);
	assert_int_equal(mms_hints_count(hints, 0), number);
	assert_int_equal(walk(hints, 0, NOW), number);
	hints_unmap(hints);
}

static void a_walk_is_made_in_bounded_steps(void **state)
{
	struct mms_hints_sh *hints = hints_of(32768);
	struct mms_hint hint;
	uint32_t cursor = 0;
	unsigned calls = 0;

	(void) state;
	do {
		assert_false(mms_hints_next(hints, 0, &cursor, NOW, &hint));
		calls++;
	} while (cursor != 0);
	assert_int_equal(calls, 32768 / 4096);
	cursor = UINT32_MAX;
	assert_false(mms_hints_next(hints, 0, &cursor, NOW, &hint));
	assert_int_equal(cursor, 0);
	cursor = 1;
	assert_false(mms_hints_next(hints, 64, &cursor, NOW, &hint));
	assert_int_equal(cursor, 0);
	hints_unmap(hints);
}

/* A table of masks beside it says what must be there. */
static void check_against(struct mms_hints_sh *hints, const uint64_t *masks, const uint64_t *hlcs, unsigned keys)
{
	uint32_t counts[MMS_NODES_MAX] = { 0 };

	for (unsigned key = 0; key < keys; key++) {
		for (unsigned node = 0; node < MMS_NODES_MAX; node++) {
			counts[node] += masks[key] >> node & 1;
		}
	}
	for (unsigned node = 0; node < MMS_NODES_MAX; node++) {
		assert_int_equal(mms_hints_count(hints, node), counts[node]);
	}
	for (unsigned node = 0; node < 3; node++) {
		struct mms_hint hint;
		uint32_t cursor = 0;
		uint32_t found = 0;

		do {
			uint64_t number;
			uint64_t hlc;

			if (mms_hints_next(hints, node, &cursor, NOW, &hint)) {
				assert_true(hint_is_intact(&hint, &number, &hlc));
				assert_true(number < keys && hint.missing_mask == masks[number] && hlc == hlcs[number]);
				found++;
			}
		} while (cursor != 0);
		assert_int_equal(found, counts[node]);
	}
}

static void random_changes_keep_table_and_counts_exact(void **state)
{
	struct mms_hints_sh *hints = hints_of(128);
	uint64_t masks[96] = { 0 };
	uint64_t hlcs[96] = { 0 };
	uint64_t seed = random_seed("changes");

	(void) state;
	for (uint64_t step = 1; step < 60000; step++) {
		const uint64_t number = random_below(&seed, 96);
		const unsigned node = (unsigned) random_below(&seed, 3);

		if (random_below(&seed, 5) < 2) {
			const uint64_t mask = random_below(&seed, 7) + 1;

			if (add(hints, number, step, mask)) {
				masks[number] |= mask;
				hlcs[number] = step;
			} else {
				assert_true(atomic_load(&hints->used) >= 96);
			}
		} else {
			settle(hints, number, step, node);
			masks[number] &= ~(UINT64_C(1) << node);
		}
		if (step % 100 == 0) {
			check_against(hints, masks, hlcs, 96);
		}
	}
	for (uint64_t number = 0; number < 96; number++) {
		for (unsigned node = 0; node < 3; node++) {
			settle(hints, number, 1 << 20, node);
		}
	}
	assert_int_equal(atomic_load(&hints->used), 0);
	hints_unmap(hints);
}

static void an_emptied_table_is_as_good_as_new(void **state)
{
	struct mms_hints_sh *hints = hints_of(1024);

	(void) state;
	for (uint64_t round = 0; round < 20; round++) {
		for (uint64_t number = 0; number < 768; number++) {
			assert_true(add(hints, round * 1000 + number, 10, 1));
		}
		for (uint64_t number = 0; number < 768; number++) {
			settle(hints, round * 1000 + (number * 35 + round) % 768, 10, 0); /* 35 and 768 have no common factor */
		}
		assert_int_equal(mms_hints_count(hints, 0), 0);
		assert_int_equal(atomic_load(&hints->used), 0);
	}
	assert_int_equal(atomic_load(&hints->overflow_mask), 0);
	hints_unmap(hints);
}

static void what_is_no_header_of_the_key_is_not_noted(void **state)
{
	struct mms_hints_sh *hints = hints_of(64);
	static const char long_key[MMS_KEY_MAX + 1];
	struct hinted one;
	struct hinted other;

	(void) state;
	hinted_of(&one, 1, 1);
	hinted_of(&other, 2, 1);
	assert_false(mms_hints_add(hints, one.slice, other.header, 1, LATER, NOW));
	assert_false(mms_hints_add(hints, (struct mms_slice){ long_key, sizeof(long_key) }, one.header, 2, LATER, NOW));
	assert_false(mms_hints_add(hints, (struct mms_slice){ long_key, 0 }, one.header, 4, LATER, NOW));
	assert_true(mms_hints_add(hints, one.slice, one.header, 0, LATER, NOW));
	assert_int_equal(atomic_load(&hints->overflow_mask), 7);
	assert_int_equal(atomic_load(&hints->used), 0);
	hints_unmap(hints);
}

static void *hold_for_a_while(void *argument)
{
	struct mms_hints_sh *hints = argument;

	pthread_mutex_lock(&hints->lock);
	atomic_store(&hints->changed_count, 77);
	while (atomic_load(&hints->changed_count) != 0) {
		nap_us(100);
	}
	pthread_mutex_unlock(&hints->lock);
	return NULL;
}

static void a_held_lock_delays_one_call_and_marks_the_nodes(void **state)
{
	struct mms_hints_sh *hints = hints_of(64);
	struct mms_hint hint;
	uint32_t cursor = 0;
	pthread_t holder;
	int64_t before;

	(void) state;
	assert_true(add(hints, 1, 10, 1));
	assert_int_equal(pthread_create(&holder, NULL, hold_for_a_while, hints), 0);
	while (atomic_load(&hints->changed_count) != 77) {
		nap_us(100);
	}
	before = now_us();
	assert_false(add(hints, 2, 10, 2));
	assert_in_range(now_us() - before, 20000, 220000);
	before = now_us();
	for (int i = 0; i < 50; i++) {
		assert_false(add(hints, 2, 10, 4));
	}
	assert_true(now_us() - before < 400000);
	assert_int_equal(atomic_load(&hints->overflow_mask), 6);
	assert_false(mms_hints_next(hints, 0, &cursor, NOW, &hint));
	assert_int_not_equal(cursor, 0);
	atomic_store(&hints->changed_count, 0);
	pthread_join(holder, NULL);
	assert_true(mms_hints_next(hints, 0, &cursor, NOW, &hint));
	assert_true(add(hints, 2, 10, 2));
	hints_unmap(hints);
}

static void a_damaged_entry_is_dropped_and_all_nodes_marked(void **state)
{
	struct mms_hints_sh *hints = hints_of(64);
	struct mms_hint_sh *entries = (struct mms_hint_sh *) (void *) ((char *) hints + TABLE_OFFSET + 64 * 4);

	(void) state;
	assert_true(add(hints, 1, 10, 1));
	for (unsigned i = 0; i < 64; i++) {
		entries[i].key_len = UINT32_MAX;
	}
	assert_int_equal(walk(hints, 0, NOW), 0);
	assert_true(atomic_load(&hints->overflow_mask) == UINT64_MAX);
	assert_int_equal(mms_hints_count(hints, 0), 0);
	hints_unmap(hints);
}

static void a_damaged_header_is_replaced_or_settled(void **state)
{
	struct mms_hints_sh *hints = hints_of(64);
	struct mms_hint_sh *entries = (struct mms_hint_sh *) (void *) ((char *) hints + TABLE_OFFSET + 64 * 4);
	struct mms_hint hint;

	(void) state;
	assert_true(add(hints, 1, 10, 1));
	for (unsigned i = 0; i < 64; i++) {
		entries[i].header[20] ^= 0x40;
	}
	assert_true(add(hints, 1, 9, 1));
	assert_true(find(hints, 0, 1, &hint));
	assert_int_equal(hlc_of(&hint), 9);
	for (unsigned i = 0; i < 64; i++) {
		entries[i].header[20] ^= 0x40;
	}
	settle(hints, 1, 9, 0);
	assert_int_equal(mms_hints_count(hints, 0), 0);
	assert_true(mms_hints_overflowed(hints, 0));
	hints_unmap(hints);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hint_is_found_by_the_nodes_that_lack_it),
		cmocka_unit_test(hints_about_one_key_become_one),
		cmocka_unit_test(a_tombstone_is_kept_beside_what_is_newer),
		cmocka_unit_test(settling_forgets_what_the_node_has_and_nothing_newer),
		cmocka_unit_test(dropping_needs_the_hint_that_was_read),
		cmocka_unit_test(expired_hints_are_gone),
		cmocka_unit_test(a_full_table_marks_the_nodes_as_overflowed),
		cmocka_unit_test(what_is_compared_anyway_makes_room_for_others),
		cmocka_unit_test(a_table_takes_three_quarters_of_its_capacity),
		cmocka_unit_test(a_walk_is_made_in_bounded_steps),
		cmocka_unit_test(random_changes_keep_table_and_counts_exact),
		cmocka_unit_test(an_emptied_table_is_as_good_as_new),
		cmocka_unit_test(what_is_no_header_of_the_key_is_not_noted),
		cmocka_unit_test(a_held_lock_delays_one_call_and_marks_the_nodes),
		cmocka_unit_test(a_damaged_entry_is_dropped_and_all_nodes_marked),
		cmocka_unit_test(a_damaged_header_is_replaced_or_settled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
