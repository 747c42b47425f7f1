/* What is kept of a hash: whole pairs, so many and so long and no more. */
#include "rig.h"

#include "mms_life.h"
#include "mms_pairs.h"

#define NOW ((struct mms_mono){ 42 })

static char text[(MMS_PAIRS_MAX + 2) * 64 + 4 * MMS_PAIRS_TEXT_MAX];
static size_t text_len;

static void begin_array(unsigned elements)
{
	text_len = (size_t) snprintf(text, sizeof(text), "*%u\r\n", elements);
}

static void add(const char *bytes, size_t len)
{
	text_len += (size_t) snprintf(text + text_len, sizeof(text) - text_len, "$%zu\r\n%.*s\r\n", len, (int) len, bytes);
}

static void keep(struct mms_pairs *pairs)
{
	struct mms_reply_reader *reader = mms_reply_reader_new(sizeof(text), 4 * MMS_PAIRS_MAX);
	struct mms_reply *reply;
	struct mms_error error;

	assert_int_equal(mms_reply_reader_feed(reader, text, text_len, &error), MMS_OK);
	assert_int_equal(mms_reply_reader_next(reader, &reply, &error), MMS_OK);
	assert_non_null(reply);
	mms_pairs_keep(pairs, reply, NOW);
	mms_reply_free(reply);
	mms_reply_reader_free(reader);
}

static void whole_pairs_are_kept(void **state)
{
	struct mms_pairs pairs = { 0 };

	(void) state;
	begin_array(5);
	add("a", 1);
	add("1", 1);
	add("", 0);
	add("", 0);
	add("odd", 3);
	keep(&pairs);
	assert_int_equal(pairs.count, 2);
	assert_false(pairs.cut);
	assert_int_equal(pairs.read_at.us, NOW.us);
	assert_true(mms_pairs_same(pairs.pairs[0].field, slice("a")) && mms_pairs_same(pairs.pairs[0].value, slice("1")));
	assert_int_equal(pairs.pairs[1].field.len + pairs.pairs[1].value.len, 0);
	assert_false(pairs.pairs[0].cleared || pairs.pairs[1].cleared);
	mms_pairs_clear(&pairs, slice("a"), slice("2"));
	assert_false(pairs.pairs[0].cleared);
	mms_pairs_clear(&pairs, slice("a"), slice("1"));
	assert_true(pairs.pairs[0].cleared);
	text_len = (size_t) snprintf(text, sizeof(text), "-ERR no\r\n");
	keep(&pairs);
	assert_int_equal(pairs.count, 0);
	assert_int_equal(pairs.read_at.us, 0);
	mms_pairs_keep(&pairs, NULL, NOW);
	assert_int_equal(pairs.read_at.us, 0);
	mms_pairs_free(&pairs);
}

static void a_field_is_found_from_any_place(void **state)
{
	struct mms_pairs pairs = { 0 };
	uint32_t place = 0;

	(void) state;
	assert_false(mms_pairs_has(&pairs, slice("a"), &place));
	begin_array(6);
	for (const char *field = "abc"; *field != '\0'; field++) {
		add(field, 1);
		add("value", 5);
	}
	keep(&pairs);
	for (uint32_t turn = 0; turn < 2; turn++) { /* in order, and around */
		assert_true(mms_pairs_has(&pairs, slice("a"), &place) && place == 1);
		assert_true(mms_pairs_has(&pairs, slice("b"), &place) && place == 2);
		assert_true(mms_pairs_has(&pairs, slice("c"), &place) && place == 3);
	}
	assert_true(mms_pairs_has(&pairs, slice("b"), &place));
	assert_false(mms_pairs_has(&pairs, slice("d"), &place) || mms_pairs_has(&pairs, slice("value"), &place));
	assert_int_equal(place, 2);
	mms_pairs_free(&pairs);
}

static void many_are_cut(void **state)
{
	struct mms_pairs pairs = { 0 };

	(void) state;
	for (unsigned more = 0; more < 2; more++) {
		char field[16];

		begin_array(2 * (MMS_PAIRS_MAX + more));
		for (unsigned i = 0; i < MMS_PAIRS_MAX + more; i++) {
			add(field, (size_t) snprintf(field, sizeof(field), "field %u", i));
			add("value", 5);
		}
		keep(&pairs);
		assert_int_equal(pairs.count, MMS_PAIRS_MAX);
		assert_int_equal(pairs.cut, more > 0);
		(void) snprintf(field, sizeof(field), "field %u", MMS_PAIRS_MAX - 1);
		assert_true(mms_pairs_same(pairs.pairs[MMS_PAIRS_MAX - 1].field, slice(field)));
	}
	mms_pairs_free(&pairs);
}

/* A node may say anything; what it says must not lie in the replicator's memory. */
static void long_ones_are_left_out(void **state)
{
	static char large[MMS_PAIRS_TEXT_MAX + 1];
	struct mms_pairs pairs = { 0 };

	(void) state;
	assert_true(MMS_LIFE_NAME_MAX + MMS_LIFE_TEXT_MAX <= MMS_PAIRS_TEXT_MAX);
	memset(large, 'x', sizeof(large));
	begin_array(8);
	add("a", 1);
	add("1", 1);
	add("too long", 8);
	add(large, MMS_PAIRS_TEXT_MAX - 7);
	add(large, MMS_PAIRS_TEXT_MAX);
	add("", 0);
	add("b", 1);
	add("2", 1);
	keep(&pairs);
	assert_int_equal(pairs.count, 3);
	assert_false(pairs.cut);
	assert_int_equal(pairs.pairs[1].field.len, MMS_PAIRS_TEXT_MAX);
	assert_true(mms_pairs_same(pairs.pairs[2].field, slice("b")) && mms_pairs_same(pairs.pairs[2].value, slice("2")));
	mms_pairs_free(&pairs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_pairs_are_kept),
		cmocka_unit_test(a_field_is_found_from_any_place),
		cmocka_unit_test(many_are_cut),
		cmocka_unit_test(long_ones_are_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
