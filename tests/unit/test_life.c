/* Text of a life, and what it says of a node. */
#include "rig.h"

#include "mms_life.h"

static const struct mms_life sample_life = { .beat = 7, .watermark_ms = 1700000000000, .node_count = 2, .nodes = {
	{ .id = 0xa, .run_hash = 0x1a, .settled = true, .connected = true },
	{ .id = 0xb, .run_hash = 0x1b, .settled = false, .connected = false } } };

static void it_is_read_as_it_was_written(void **state)
{
	char text[MMS_LIFE_TEXT_MAX], name[MMS_LIFE_NAME_MAX];
	struct mms_life life;

	(void) state;
	const size_t len = mms_life_write(&sample_life, text);

	assert_int_equal(len, strlen(text));
	assert_string_equal(text, "7 1700000000000 000000000000000a:000000000000001a:sc 000000000000000b:000000000000001b:pd");
	memset(&life, 0, sizeof(life));
	assert_true(mms_life_parse(slice(text), &life));
	assert_memory_equal(&life, &sample_life, sizeof(life));
	assert_int_equal(mms_life_name("web1", 0xfe, name), 21);
	assert_string_equal(name, "web1 00000000000000fe");
}

static void the_largest_fits(void **state)
{
	char text[MMS_LIFE_TEXT_MAX], host_id[65], other[65], name[MMS_LIFE_NAME_MAX], other_name[MMS_LIFE_NAME_MAX];
	struct mms_life life = { .beat = UINT64_MAX, .watermark_ms = UINT64_MAX, .node_count = MMS_NODES_MAX }, again;

	(void) state;
	for (unsigned i = 0; i < MMS_NODES_MAX; i++) {
		life.nodes[i] = (struct mms_life_node){ .id = UINT64_MAX - i, .run_hash = UINT64_MAX, .settled = true };
	}
	assert_true(mms_life_write(&life, text) < sizeof(text));
	memset(&again, 0, sizeof(again));
	assert_true(mms_life_parse(slice(text), &again));
	assert_memory_equal(&again, &life, sizeof(life));
	memset(host_id, 'h', 64);
	host_id[64] = '\0';
	assert_true(mms_life_name(host_id, UINT64_MAX, name) < sizeof(name));
	(void) snprintf(other, sizeof(other), "%.63sx", host_id);
	(void) mms_life_name(other, UINT64_MAX, other_name);
	assert_string_not_equal(name, other_name); /* whole, to the last byte */
}

static void nonsense_is_refused(void **state)
{
#define A "000000000000000a"
	const char *wrong[] = { "", "7", "x 7", "7 x", "7 8 ", "7 8 9", "7 8 " A ":" A, "7 8 " A ":" A ":sc extra", "7 8 " A ":" A ":s",
		"7 8 " A ":" A ":xc", "7 8 " A ":" A ":sx", "7 8 " A " " A ":sc", "7 8 a:b:sc", "7 8 00000000000000-a:" A ":sc", "-7 8",
		"18446744073709551616 8", "7 18446744073709551616", " 7 8", "7  8", "7 8  " A ":" A ":sc" };
	char large[MMS_LIFE_TEXT_MAX + 1];
	struct mms_life life;

	(void) state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_false(mms_life_parse(slice(wrong[i]), &life));
	}
	assert_true(mms_life_parse(slice("7 8"), &life)); /* has met no node */
	assert_true(mms_life_parse(slice("7 8 " A ":" A ":sc"), &life));
#undef A
	memset(large, '7', sizeof(large));
	assert_false(mms_life_parse((struct mms_slice){ large, sizeof(large) }, &life));
}

static void the_head_is_read_without_the_rest(void **state)
{
	const char *none[] = { "7", "7 ", "x 8", "7 x", "18446744073709551616 8" };
	uint64_t beat, watermark_ms;

	(void) state;
	assert_true(mms_life_head(slice("18446744073709551615 8 whatever follows"), &beat, &watermark_ms));
	assert_true(beat == UINT64_MAX);
	assert_int_equal(watermark_ms, 8);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		assert_false(mms_life_head(slice(none[i]), &beat, &watermark_ms));
		assert_int_equal(beat, 0);
		assert_int_equal(watermark_ms, 0);
	}
}

static void a_node_is_settled_by_its_incarnation(void **state)
{
	const uint64_t known[] = { 0xa, 0xb };

	(void) state;
	assert_true(mms_life_settled(&sample_life, 0xa, 0x1a, true, known, 2));
	assert_false(mms_life_settled(&sample_life, 0xa, 0x2a, true, known, 2)); /* it has not met this one yet */
	assert_false(mms_life_settled(&sample_life, 0xb, 0x1b, true, known, 2)); /* it has something left */
	assert_true(mms_life_lists(&sample_life, 0xa));
	assert_false(mms_life_lists(&sample_life, 0xc));
}

/* It may be the node that it can't reach, under the id that it had before it was emptied. */
static void a_stranger_may_be_the_node_itself(void **state)
{
	const uint64_t all[] = { 0xa, 0xb, 0xc }, some[] = { 0xa, 0xc };
	struct mms_life life = sample_life;

	(void) state;
	assert_true(mms_life_settled(&life, 0xc, 0x1c, true, all, 3));
	assert_false(mms_life_settled(&life, 0xc, 0x1c, false, all, 3)); /* it may be about to hear of it */
	assert_false(mms_life_settled(&life, 0xc, 0x1c, true, some, 2));
	life.nodes[1].connected = true; /* that one lives, so it is not this */
	assert_true(mms_life_settled(&life, 0xc, 0x1c, true, some, 2));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_read_as_it_was_written),
		cmocka_unit_test(the_largest_fits),
		cmocka_unit_test(nonsense_is_refused),
		cmocka_unit_test(the_head_is_read_without_the_rest),
		cmocka_unit_test(a_node_is_settled_by_its_incarnation),
		cmocka_unit_test(a_stranger_may_be_the_node_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
