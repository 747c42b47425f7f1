/* What a scan leaves for other hosts: whom it covers, and which texts say nothing.
 * TEST LINK: mms_repair */
#include "repairs.h"

#include "mms_scanned.h"

static bool covers(const char *text, const char *life, uint64_t beat)
{
	return mms_scanned_covers(slice(text), slice("aa bb 1"), slice(life), beat);
}

static void covers_lives_that_were_heard_of_by_then(void **state)
{
	const char *text = "aa bb 1\nweb2 0f 17\nweb2 0f1 99\nweb3 01 3\n";

	(void)state;
	assert_true(covers(text, "web2 0f", 17));
	assert_true(covers(text, "web2 0f", 1));
	assert_false(covers(text, "web2 0f", 18));
	assert_true(covers(text, "web2 0f1", 99));
	assert_true(covers(text, "web3 01", 3));
	assert_false(covers(text, "web3 0", 0));
	assert_false(covers(text, "web4 01", 0));
}

static void a_word_about_another_incarnation_covers_nobody(void **state)
{
	(void)state;
	assert_false(covers("aa bb 0\nweb2 0f 17\n", "web2 0f", 1));
	assert_false(covers("aa cc 1\nweb2 0f 17\n", "web2 0f", 1));
	assert_false(covers("web2 0f 17\n", "web2 0f", 1));
	assert_false(covers("", "web2 0f", 1));
	assert_false(mms_scanned_covers(slice("\nweb2 0f 17\n"), slice(""), slice("web2 0f"), 1)); /* no marker is known */
}

static void damaged_lines_say_nothing(void **state)
{
	(void)state;
	assert_false(covers("aa bb 1\nweb2 0f\n", "web2 0f", 0));
	assert_false(covers("aa bb 1\nweb2 0f \n", "web2 0f", 1));
	assert_false(covers("aa bb 1\nweb2 0f -5\n", "web2 0f", 1));
	assert_false(covers("aa bb 1\nweb2 0f 17x\n", "web2 0f", 1));
	assert_false(covers("aa bb 1\nweb2 0f 123456789012345678901\n", "web2 0f", 1));
	assert_true(covers("aa bb 1\n\n\nweb2 0f 17", "web2 0f", 17)); /* cut behind a whole number */
}

static void a_roll_has_every_life_that_was_seen(void **state)
{
	struct mms_life life = { .beat = 41 };
	char text[MMS_LIFE_TEXT_MAX], *roll, *all;

	(void)state;
	begin(2);
	roll = mms_scanned_roll(hosts);
	assert_string_equal(roll, "");
	free(roll);
	mms_life_write(&life, text);
	node_do(0, "HSET", RIG_PREFIX ":lives", "web8 00000000000000aa", text);
	node_do(1, "HSET", RIG_PREFIX ":lives", "web9 00000000000000ff", text);
	turn_until(mms_hosts_sighted_count(hosts) == 2);
	roll = mms_scanned_roll(hosts);
	all = mms_scanned_text("aa bb 1", roll);
	assert_true(covers(all, "web8 00000000000000aa", 41));
	assert_true(covers(all, "web9 00000000000000ff", 41));
	assert_false(covers(all, "web9 00000000000000ff", 42));
	free(roll);
	free(all);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(covers_lives_that_were_heard_of_by_then),
		cmocka_unit_test(a_word_about_another_incarnation_covers_nobody),
		cmocka_unit_test(damaged_lines_say_nothing),
		cmocka_unit_test(a_roll_has_every_life_that_was_seen),
	};

	return rig_run(tests);
}
