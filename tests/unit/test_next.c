/* The version of a write, from what its request has read. */
#include "rig.h"

#include "mms_next.h"

/* A tombstone of a blind logout, the n-th in a row, and what a request that has read it without authority writes. */
static struct mms_version after_blind_logout(struct host *host, uint32_t generation, bool tombstone, struct mms_version *logout)
{
	struct mms_answer answer = { .found = MMS_FOUND_TOMBSTONE };

	*logout = (struct mms_version){ .incarnation = 7, .hlc = stamp_ago(1000), .writer = 1, .sequence = 1, .blind = true,
		.tombstone = true, .generation = generation };
	answer.header.version = *logout;
	return mms_next_version(host->client, &answer, 0, tombstone);
}

static void what_follows_a_blind_logout_is_of_the_next_generation(void **state)
{
	struct mms_version logout, next;
	struct host *host;

	(void)state;
	rig_fresh();
	host = host_new(1, "web1");
	for (uint32_t generation = 0; generation < MMS_GENERATION_MAX; generation = 2 * generation + 1) {
		next = after_blind_logout(host, generation, false, &logout);
		assert_int_equal(next.generation, generation + 1);
		assert_int_equal(next.incarnation, 7);
		assert_true(next.blind && mms_version_compare(&next, &logout) > 0);
	}
	host_free(host);
}

/* Three bytes have no room for more: beyond the last generation a session is of that one still, and a logout wins over it. Were it the
 * first again, it would lose to all that was written before. */
static void the_last_generation_is_not_followed_by_the_first(void **state)
{
	unsigned char bytes[MMS_RECORD_HEADER_SIZE];
	struct mms_record_header header = { .lifetime_s = 1440 }, read;
	struct mms_version logout, next;
	struct host *host;

	(void)state;
	rig_fresh();
	host = host_new(1, "web1");
	next = after_blind_logout(host, MMS_GENERATION_MAX - 1, false, &logout);
	assert_int_equal(next.generation, MMS_GENERATION_MAX);
	for (unsigned tombstone = 0; tombstone < 2; tombstone++) {
		next = after_blind_logout(host, MMS_GENERATION_MAX, tombstone == 1, &logout);
		assert_int_equal(next.generation, MMS_GENERATION_MAX);
		assert_true(next.blind && next.tombstone == (tombstone == 1));
		header.version = next;
		mms_record_describe(&header, slice(""));
		mms_record_encode(&header, key_of("s"), bytes);
		assert_int_equal(mms_record_decode((struct mms_slice){ (const char *)bytes, sizeof(bytes) }, key_of("s"), &read),
				MMS_RECORD_GOOD);
		assert_int_equal(mms_version_compare(&read.version, &next), 0);
		/* What was written before the last of these logouts stays behind it, whatever its stamp. */
		logout.generation--;
		logout.hlc = stamp_ago(-1000);
		assert_true(mms_version_compare(&next, &logout) > 0);
	}
	host_free(host);
}

/* One that is real does not count them. */
static void what_is_not_blind_has_no_generation(void **state)
{
	struct mms_answer answer = { .found = MMS_FOUND_TOMBSTONE, .authoritative = true };
	struct mms_version next;
	struct host *host;

	(void)state;
	rig_fresh();
	host = host_new(1, "web1");
	answer.header.version = (struct mms_version){ .incarnation = 7, .hlc = stamp_ago(1000), .writer = 1, .sequence = 1, .blind = true,
		.tombstone = true, .generation = MMS_GENERATION_MAX };
	next = mms_next_version(host->client, &answer, 0, false);
	assert_false(next.blind);
	assert_int_equal(next.generation, 0);
	assert_int_equal(next.incarnation, 7);
	host_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_follows_a_blind_logout_is_of_the_next_generation),
		cmocka_unit_test(the_last_generation_is_not_followed_by_the_first),
		cmocka_unit_test(what_is_not_blind_has_no_generation),
	};

	return rig_run(tests);
}
