/* Other lives: what one office sees of them, and what it has from those before it. */
#include "processes.h"

#include "mms_identity.h"
#include "mms_sightings.h"

static struct mms_cluster_sh *cluster;

static struct mms_sightings fresh(void)
{
	struct mms_sightings sightings;

	cluster = calloc(1, sizeof(*cluster));
	assert_non_null(cluster);
	assert_true(mms_sightings_init(&sightings, cluster));
	return sightings;
}

static void end(struct mms_sightings *sightings)
{
	mms_sightings_fini(sightings);
	free(cluster);
}

static void next_office(struct mms_sightings *sightings)
{
	mms_sightings_fini(sightings);
	assert_true(mms_sightings_init(sightings, cluster));
}

static struct mms_slice life(unsigned number)
{
	static char text[MMS_LIFE_NAME_MAX];

	snprintf(text, sizeof(text), "web%u 00000000000000ff", number);
	return mms_slice_of(text);
}

static void note(struct mms_sightings *sightings, unsigned number, uint64_t beat, int64_t now_us)
{
	mms_sightings_note(sightings, life(number), beat, (struct mms_mono){ now_us });
}

static void only_a_higher_beat_is_a_sign_of_life(void **state)
{
	struct mms_sightings sightings = fresh();

	(void) state;
	assert_null(mms_sightings_find(&sightings, life(1)));
	assert_int_equal(mms_sightings_changed_us(&sightings, life(1)), 0);
	note(&sightings, 1, 7, 100);
	note(&sightings, 1, 7, 200);
	note(&sightings, 1, 5, 300);
	assert_int_equal(mms_sightings_changed_us(&sightings, life(1)), 100);
	assert_int_equal(mms_sightings_find(&sightings, life(1))->beat, 7);
	note(&sightings, 1, 8, 400);
	assert_int_equal(mms_sightings_changed_us(&sightings, life(1)), 400);
	assert_int_equal(sightings.count, 1);
	end(&sightings);
}

static void the_next_office_goes_on_with_what_was_seen(void **state)
{
	struct mms_sightings sightings = fresh();

	(void) state;
	note(&sightings, 1, 7, 100);
	next_office(&sightings);
	assert_null(mms_sightings_find(&sightings, life(1)));
	assert_int_equal(mms_sightings_changed_us(&sightings, life(1)), 100);
	note(&sightings, 1, 7, 500);
	assert_int_equal(mms_sightings_find(&sightings, life(1))->changed_at.us, 100);
	next_office(&sightings);
	note(&sightings, 1, 8, 600); /* it has beaten since */
	assert_int_equal(mms_sightings_changed_us(&sightings, life(1)), 600);
	end(&sightings);
}

static void a_time_of_the_future_is_not_taken_over(void **state)
{
	struct mms_sightings sightings = fresh();

	(void) state;
	mms_shm_note_sighting(cluster, mms_identity_hash(life(1)), 7, 1000);
	note(&sightings, 1, 7, 100);
	assert_int_equal(mms_sightings_changed_us(&sightings, life(1)), 100);
	end(&sightings);
}

static void with_no_place_left_the_longest_silent_one_is_given_up(void **state)
{
	struct mms_sightings sightings = fresh();

	(void) state;
	for (unsigned number = 0; number < MMS_SIGHTINGS_MAX; number++) {
		note(&sightings, number, 1, 100 + number);
	}
	note(&sightings, 0, 2, 5000);
	note(&sightings, MMS_SIGHTINGS_MAX, 1, 6000);
	assert_int_equal(sightings.count, MMS_SIGHTINGS_MAX);
	assert_null(mms_sightings_find(&sightings, life(1)));
	assert_non_null(mms_sightings_find(&sightings, life(0)));
	assert_non_null(mms_sightings_find(&sightings, life(MMS_SIGHTINGS_MAX)));
	end(&sightings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_a_higher_beat_is_a_sign_of_life),
		cmocka_unit_test(the_next_office_goes_on_with_what_was_seen),
		cmocka_unit_test(a_time_of_the_future_is_not_taken_over),
		cmocka_unit_test(with_no_place_left_the_longest_silent_one_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
