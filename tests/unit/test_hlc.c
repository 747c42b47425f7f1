/* The hybrid logical clock: unique, monotonic, near the wall clock, and deaf to clocks that are far ahead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdlib.h>

#include "mms_hlc.h"

#define NOW_MS INT64_C(1760000000000)
#define DRIFT_MS 500
#define HOUR_MS INT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)
#define YEAR_MS INT64_C(31557600000)
#define ROLLOVER_MS (1024 * 7 * DAY_MS) /* of the week number of GPS: 19.6 years */

#define THREADS 4
#define STAMPS_EACH 50000

static struct mms_wall wall(int64_t ms)
{
	return (struct mms_wall) {ms};
}

static uint64_t stamp_of(int64_t ms, unsigned counter)
{
	return (uint64_t) ms << 16 | counter;
}

/* A generator of its own: the same numbers everywhere. */
static uint64_t next_random(uint64_t *seed)
{
	*seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *seed >> 33;
}

static void first_stamp_is_the_wall_clock(void **state)
{
	mms_hlc_word word = 0;

	(void) state;
	assert_true(mms_hlc_stamp(&word, wall(NOW_MS), 0, DRIFT_MS) == stamp_of(NOW_MS, 0));
	assert_true(mms_hlc_stamp(&word, wall(NOW_MS), 0, DRIFT_MS) == stamp_of(NOW_MS, 1));
	assert_true(mms_hlc_stamp(&word, wall(NOW_MS + 1), 0, DRIFT_MS) == stamp_of(NOW_MS + 1, 0));
	assert_true(mms_hlc_ms(stamp_of(NOW_MS, 77)) == (uint64_t) NOW_MS);
}

static void stamp_goes_just_above_what_was_read(void **state)
{
	mms_hlc_word word = 0;
	const uint64_t read = stamp_of(NOW_MS + DRIFT_MS, 9);

	(void) state;
	assert_true(mms_hlc_stamp(&word, wall(NOW_MS), read, DRIFT_MS) == read + 1);
	assert_true(atomic_load(&word) == read + 1);
	assert_true(mms_hlc_stamp(&word, wall(NOW_MS), 0, DRIFT_MS) == read + 2);
	/* what was read is old: the wall clock is above it */
	assert_true(mms_hlc_stamp(&word, wall(NOW_MS + 2 * DRIFT_MS), read, DRIFT_MS) == stamp_of(NOW_MS + 2 * DRIFT_MS, 0));
}

static void stamp_above_a_clock_far_ahead_does_not_drag_the_word(void **state)
{
	static const int64_t ahead_ms[] = {DRIFT_MS + 1, 1000, HOUR_MS, DAY_MS, 9 * 366 * DAY_MS};

	(void) state;
	for (size_t index = 0; index < sizeof(ahead_ms) / sizeof(ahead_ms[0]); index++) {
		mms_hlc_word word = 0;
		const uint64_t own = mms_hlc_stamp(&word, wall(NOW_MS), 0, DRIFT_MS);
		const uint64_t foreign = stamp_of(NOW_MS + ahead_ms[index], 3);

		assert_true(mms_hlc_stamp(&word, wall(NOW_MS), foreign, DRIFT_MS) == foreign + 1);
		assert_true(atomic_load(&word) == own);
		assert_true(mms_hlc_stamp(&word, wall(NOW_MS), 0, DRIFT_MS) == own + 1);
	}
}

static void observing_follows_near_clocks_only(void **state)
{
	mms_hlc_word word = stamp_of(NOW_MS, 0);

	(void) state;
	assert_false(mms_hlc_observe(&word, wall(NOW_MS), stamp_of(NOW_MS + DRIFT_MS, 65535), DRIFT_MS));
	assert_true(atomic_load(&word) == stamp_of(NOW_MS + DRIFT_MS, 65535));
	assert_false(mms_hlc_observe(&word, wall(NOW_MS), stamp_of(NOW_MS - DAY_MS, 0), DRIFT_MS));
	assert_true(atomic_load(&word) == stamp_of(NOW_MS + DRIFT_MS, 65535));
	assert_true(mms_hlc_observe(&word, wall(NOW_MS), stamp_of(NOW_MS + DRIFT_MS + 1, 0), DRIFT_MS));
	assert_true(atomic_load(&word) == stamp_of(NOW_MS + DRIFT_MS, 65535));
	assert_false(mms_hlc_observe(&word, wall(NOW_MS), 0, DRIFT_MS));
}

static void an_own_clock_that_stepped_back_is_no_foreign_one(void **state)
{
	mms_hlc_word word = 0;
	const uint64_t before = mms_hlc_stamp(&word, wall(NOW_MS + DAY_MS), 0, DRIFT_MS);
	/* the session was last written here, before the step */
	const uint64_t after = mms_hlc_stamp(&word, wall(NOW_MS), before, DRIFT_MS);

	(void) state;
	assert_true(after == before + 1);
	assert_true(atomic_load(&word) == after);
}

static void a_frozen_clock_carries_into_the_milliseconds(void **state)
{
	mms_hlc_word word = 0;
	uint64_t last = 0;

	(void) state;
	for (int count = 0; count < 200000; count++) {
		const uint64_t stamp = mms_hlc_stamp(&word, wall(NOW_MS), last, DRIFT_MS);

		assert_true(stamp > last);
		last = stamp;
	}
	assert_true(last == stamp_of(NOW_MS, 0) + 199999);
	assert_int_equal(mms_hlc_ms(last) - (uint64_t) NOW_MS, 199999 / 65536);
}

static void stamps_never_step_back_with_the_clock(void **state)
{
	static const int64_t steps_ms[] = {-1, -1000, -HOUR_MS, -DAY_MS, HOUR_MS, DAY_MS, -2 * DAY_MS, 1000, -NOW_MS};
	mms_hlc_word word = 0;
	int64_t now_ms = NOW_MS;
	uint64_t last = 0;

	(void) state;
	for (size_t index = 0; index < sizeof(steps_ms) / sizeof(steps_ms[0]); index++) {
		for (int count = 0; count < 1000; count++) {
			const uint64_t stamp = mms_hlc_stamp(&word, wall(now_ms + count), 0, DRIFT_MS);

			assert_true(stamp > last);
			last = stamp;
		}
		now_ms += steps_ms[index];
	}
}

static void a_strobing_clock_gives_unique_ordered_stamps(void **state)
{
	mms_hlc_word word = 0;
	uint64_t seed = 4711;
	uint64_t last = 0;

	(void) state;
	for (int count = 0; count < 1000000; count++) {
		/* 4 ms to 262 s, forth and back */
		const int64_t swing = INT64_C(4) << next_random(&seed) % 17;
		const uint64_t stamp = mms_hlc_stamp(&word, wall(NOW_MS + (count & 1 ? swing : -swing)), 0, DRIFT_MS);

		assert_true(stamp > last);
		last = stamp;
	}
}

/* Four hosts with clocks of their own, one of them a day ahead, hand sessions to each other. */
static void stamps_rise_along_every_hand_over_and_good_hosts_stay_near_the_time(void **state)
{
	static const int64_t offset_ms[] = {0, 200, -250, DAY_MS};
	mms_hlc_word words[4] = {0};
	uint64_t sessions[16] = {0};
	uint64_t seed = 99;

	(void) state;
	for (int count = 0; count < 200000; count++) {
		const unsigned host = (unsigned) (next_random(&seed) % 4);
		uint64_t *session = &sessions[next_random(&seed) % 16];
		const struct mms_wall now = {NOW_MS + count / 20 + offset_ms[host]};

		mms_hlc_observe(&words[host], now, *session, DRIFT_MS);
		const uint64_t stamp = mms_hlc_stamp(&words[host], now, *session, DRIFT_MS);

		assert_true(stamp > *session);
		*session = stamp;
		if (host != 3) {
			assert_true(mms_hlc_ms(atomic_load(&words[host])) <= (uint64_t) now.ms + DRIFT_MS + 1);
		}
	}
}

struct stamper {
	mms_hlc_word *word;
	unsigned number;
	uint64_t stamps[STAMPS_EACH];
};

static void *stamp_many(void *argument)
{
	struct stamper *stamper = argument;
	uint64_t seed = stamper->number;
	uint64_t last = 0;

	for (int index = 0; index < STAMPS_EACH; index++) {
		const struct mms_wall now = {NOW_MS + (int64_t) (next_random(&seed) % 20)};

		if (next_random(&seed) % 4 == 0) {
			mms_hlc_observe(stamper->word, now, stamp_of(NOW_MS + (int64_t) (next_random(&seed) % 400), 0), DRIFT_MS);
		}
		last = mms_hlc_stamp(stamper->word, now, index % 2 ? last : 0, DRIFT_MS);
		stamper->stamps[index] = last;
	}
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t first = *(const uint64_t *) a;
	const uint64_t second = *(const uint64_t *) b;

	return (first > second) - (first < second);
}

static void stamp_from_threads(uint64_t first)
{
	mms_hlc_word word = first;
	struct stamper *stampers = calloc(THREADS, sizeof(*stampers));
	uint64_t *all = calloc(THREADS * STAMPS_EACH, sizeof(*all));
	pthread_t threads[THREADS];
	size_t count = 0;

	assert_non_null(stampers);
	assert_non_null(all);
	for (unsigned index = 0; index < THREADS; index++) {
		stampers[index].word = &word;
		stampers[index].number = index + 1;
		assert_int_equal(pthread_create(&threads[index], NULL, stamp_many, &stampers[index]), 0);
	}
	for (unsigned index = 0; index < THREADS; index++) {
		assert_int_equal(pthread_join(threads[index], NULL), 0);
		for (int nth = 0; nth < STAMPS_EACH; nth++) {
			assert_true(nth == 0 || stampers[index].stamps[nth] > stampers[index].stamps[nth - 1]);
			all[count++] = stampers[index].stamps[nth];
		}
	}
	qsort(all, count, sizeof(*all), by_value);
	for (size_t index = 1; index < count; index++) {
		assert_true(all[index] > all[index - 1]);
	}
	assert_true(atomic_load(&word) == all[count - 1]);
	assert_false(mms_hlc_absurd(all[count - 1], wall(NOW_MS)));
	free(all);
	free(stampers);
}

static void threads_get_unique_stamps_each_in_order(void **state)
{
	(void) state;
	stamp_from_threads(0);
	stamp_from_threads(stamp_of(NOW_MS + ROLLOVER_MS, 7)); /* all of them find that the clock was put right */
}

static void a_word_from_a_time_that_nobody_believes_comes_back(void **state)
{
	mms_hlc_word word = 0;
	const uint64_t wrong = mms_hlc_stamp(&word, wall(NOW_MS + ROLLOVER_MS), 0, DRIFT_MS);
	const uint64_t right = mms_hlc_stamp(&word, wall(NOW_MS), 0, DRIFT_MS);

	(void) state;
	assert_true(mms_hlc_absurd(wrong, wall(NOW_MS)));
	assert_true(right == stamp_of(NOW_MS, 0));
	assert_true(atomic_load(&word) == right);
	assert_true(mms_hlc_stamp(&word, wall(NOW_MS), right, DRIFT_MS) == right + 1);
	/* as an authentic token of that time may ask for */
	assert_true(mms_hlc_stamp(&word, wall(NOW_MS), wrong, DRIFT_MS) == right + 2);
	/* one that others believe stays, and so does all before a clock that can't judge */
	word = stamp_of(NOW_MS + 10 * YEAR_MS, 0);
	assert_true(mms_hlc_stamp(&word, wall(NOW_MS), 0, DRIFT_MS) == stamp_of(NOW_MS + 10 * YEAR_MS, 1));
	word = wrong;
	assert_true(mms_hlc_stamp(&word, wall(0), 0, DRIFT_MS) == wrong + 1);
}

static void a_wall_clock_that_leaps_by_years_is_not_followed(void **state)
{
	static const struct { int64_t anchor, wall, boot, believed; } cases[] = {
		{NOW_MS, NOW_MS + HOUR_MS, HOUR_MS, NOW_MS + HOUR_MS},
		{NOW_MS, NOW_MS + ROLLOVER_MS, HOUR_MS, NOW_MS + HOUR_MS},
		{NOW_MS, NOW_MS + ROLLOVER_MS + HOUR_MS, 2 * HOUR_MS, NOW_MS + 2 * HOUR_MS},
		{NOW_MS, NOW_MS + 9 * YEAR_MS, 0, NOW_MS + 9 * YEAR_MS},
		{NOW_MS, NOW_MS + 9 * YEAR_MS + 1, 0, NOW_MS},
		{NOW_MS, NOW_MS + 9 * YEAR_MS + 1, 1, NOW_MS + 9 * YEAR_MS + 1},
		{NOW_MS, NOW_MS - ROLLOVER_MS, HOUR_MS, NOW_MS - ROLLOVER_MS},
		/* nothing is known, or what is known can't be: a machine that woke up in 1970, a damaged mapping */
		{0, NOW_MS + ROLLOVER_MS, HOUR_MS, NOW_MS + ROLLOVER_MS},
		{1000, NOW_MS, HOUR_MS, NOW_MS},
		{INT64_MIN, NOW_MS, HOUR_MS, NOW_MS}, {INT64_MIN, NOW_MS, -1, NOW_MS},
		{INT64_MAX, NOW_MS, 0, NOW_MS}, {INT64_MAX, NOW_MS, HOUR_MS, NOW_MS},
	};

	(void) state;
	for (size_t index = 0; index < sizeof(cases) / sizeof(cases[0]); index++) {
		mms_hlc_anchor anchor = cases[index].anchor;

		assert_true(mms_hlc_believed(&anchor, wall(cases[index].wall), (struct mms_boot) {cases[index].boot}).ms
				== cases[index].believed);
	}
}

static void the_anchor_is_set_by_the_first_plausible_clock_and_by_one_that_was_put_right(void **state)
{
	const struct mms_boot boot = {HOUR_MS};
	mms_hlc_anchor anchor = 0;

	(void) state;
	mms_hlc_settle(&anchor, wall(HOUR_MS), boot); /* 1970 */
	assert_true(atomic_load(&anchor) == 0);
	mms_hlc_settle(&anchor, wall(NOW_MS), boot);
	assert_true(atomic_load(&anchor) == NOW_MS - HOUR_MS);
	mms_hlc_settle(&anchor, wall(NOW_MS + DAY_MS), boot);
	mms_hlc_settle(&anchor, wall(NOW_MS - DAY_MS), boot);
	mms_hlc_settle(&anchor, wall(NOW_MS + ROLLOVER_MS), boot);
	mms_hlc_settle(&anchor, wall(NOW_MS - ROLLOVER_MS), boot); /* not plausible */
	assert_true(atomic_load(&anchor) == NOW_MS - HOUR_MS);
	atomic_store(&anchor, NOW_MS + ROLLOVER_MS);
	mms_hlc_settle(&anchor, wall(NOW_MS), boot);
	assert_true(atomic_load(&anchor) == NOW_MS - HOUR_MS);
	atomic_store(&anchor, INT64_MAX);
	mms_hlc_settle(&anchor, wall(NOW_MS), boot);
	assert_true(atomic_load(&anchor) == NOW_MS - HOUR_MS);
}

static void the_time_for_stamps_is_the_wall_clock_as_long_as_it_does_not_leap(void **state)
{
	static const int64_t anchors[] = {0, INT64_MIN, INT64_MAX, NOW_MS};

	(void) state;
	for (size_t index = 0; index < sizeof(anchors) / sizeof(anchors[0]); index++) {
		mms_hlc_anchor anchor = anchors[index];
		const int64_t before = mms_clock_wall().ms, now = mms_hlc_now(&anchor).ms;

		assert_true(before <= now && now <= mms_clock_wall().ms);
	}
}

static void nothing_wraps_around(void **state)
{
	mms_hlc_word word = UINT64_MAX;

	(void) state;
	assert_true(mms_hlc_stamp(&word, wall(HOUR_MS), 0, DRIFT_MS) == UINT64_MAX);
	word = 0;
	assert_true(mms_hlc_stamp(&word, wall(HOUR_MS), UINT64_MAX, DRIFT_MS) == UINT64_MAX);
	assert_true(atomic_load(&word) == 0);
	assert_true(mms_hlc_stamp(&word, wall(INT64_MAX), 0, UINT32_MAX) == stamp_of((INT64_C(1) << 48) - 1, 0));
	word = 0;
	assert_true(mms_hlc_stamp(&word, wall(INT64_MIN), 0, DRIFT_MS) == 1);
	assert_true(mms_hlc_stamp(&word, wall(-1), 0, DRIFT_MS) == 2);
	assert_true(mms_hlc_observe(&word, wall(-1), stamp_of(DRIFT_MS + 1, 0), DRIFT_MS));
	assert_true(mms_hlc_observe(&word, wall(NOW_MS), UINT64_MAX, UINT32_MAX));
}

static void stamps_years_ahead_are_absurd_unless_the_own_clock_is(void **state)
{
	(void) state;
	assert_false(mms_hlc_absurd(stamp_of(NOW_MS, 0), wall(NOW_MS)));
	assert_false(mms_hlc_absurd(0, wall(NOW_MS)));
	assert_false(mms_hlc_absurd(stamp_of(NOW_MS + DAY_MS, 0), wall(NOW_MS)));
	assert_false(mms_hlc_absurd(stamp_of(NOW_MS + 10 * YEAR_MS, 65535), wall(NOW_MS)));
	assert_true(mms_hlc_absurd(stamp_of(NOW_MS + 10 * YEAR_MS + 1, 0), wall(NOW_MS)));
	assert_true(mms_hlc_absurd(UINT64_MAX, wall(NOW_MS)));
	/* a machine that woke up in 1970, or 2023, can't judge */
	assert_false(mms_hlc_absurd(stamp_of(NOW_MS, 0), wall(0)));
	assert_false(mms_hlc_absurd(UINT64_MAX, wall(1704067199999)));
	assert_true(mms_hlc_absurd(UINT64_MAX, wall(1704067200000)));
}

static void a_sound_header_with_an_absurd_stamp_or_incarnation_is_damage(void **state)
{
	const struct mms_slice key = {"mms:a", 5};
	const uint64_t good = stamp_of(NOW_MS, 0), absurd = stamp_of(NOW_MS + 100 * 365 * DAY_MS, 0);
	const struct {
		uint64_t incarnation, hlc;
		int64_t now_ms;
		enum mms_record_verdict verdict;
	} cases[] = {
		{0, good, NOW_MS, MMS_RECORD_GOOD}, {good, good, NOW_MS, MMS_RECORD_GOOD},
		{0, absurd, NOW_MS, MMS_RECORD_DAMAGED}, {absurd, good, NOW_MS, MMS_RECORD_DAMAGED},
		{0, absurd, 0, MMS_RECORD_GOOD}, /* a machine in 1970 can't judge */
	};

	(void) state;
	for (size_t index = 0; index < sizeof(cases) / sizeof(cases[0]); index++) {
		struct mms_record_header header = {.version = {.incarnation = cases[index].incarnation, .hlc = cases[index].hlc}};
		unsigned char bytes[MMS_RECORD_HEADER_SIZE];
		struct mms_record_header decoded;

		mms_record_describe(&header, (struct mms_slice) {"", 0});
		mms_record_encode(&header, key, bytes);
		assert_int_equal(mms_hlc_decode((struct mms_slice) {(const char *) bytes, sizeof(bytes)}, key,
				wall(cases[index].now_ms), &decoded), cases[index].verdict);
		bytes[20] ^= 1;
		assert_int_equal(mms_hlc_decode((struct mms_slice) {(const char *) bytes, sizeof(bytes)}, key,
				wall(cases[index].now_ms), &decoded), MMS_RECORD_DAMAGED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_stamp_is_the_wall_clock),
		cmocka_unit_test(stamp_goes_just_above_what_was_read),
		cmocka_unit_test(stamp_above_a_clock_far_ahead_does_not_drag_the_word),
		cmocka_unit_test(observing_follows_near_clocks_only),
		cmocka_unit_test(an_own_clock_that_stepped_back_is_no_foreign_one),
		cmocka_unit_test(a_frozen_clock_carries_into_the_milliseconds),
		cmocka_unit_test(stamps_never_step_back_with_the_clock),
		cmocka_unit_test(a_strobing_clock_gives_unique_ordered_stamps),
		cmocka_unit_test(stamps_rise_along_every_hand_over_and_good_hosts_stay_near_the_time),
		cmocka_unit_test(threads_get_unique_stamps_each_in_order),
		cmocka_unit_test(a_word_from_a_time_that_nobody_believes_comes_back),
		cmocka_unit_test(a_wall_clock_that_leaps_by_years_is_not_followed),
		cmocka_unit_test(the_anchor_is_set_by_the_first_plausible_clock_and_by_one_that_was_put_right),
		cmocka_unit_test(the_time_for_stamps_is_the_wall_clock_as_long_as_it_does_not_leap),
		cmocka_unit_test(nothing_wraps_around),
		cmocka_unit_test(stamps_years_ahead_are_absurd_unless_the_own_clock_is),
		cmocka_unit_test(a_sound_header_with_an_absurd_stamp_or_incarnation_is_damage),
	};

	return cmocka_run_group_tests_name("hlc", tests, NULL, NULL);
}
