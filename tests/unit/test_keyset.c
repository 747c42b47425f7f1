/* A bounded set of keys. */
#include "processes.h"

#include "mms_keyset.h"

static struct mms_slice key_number(unsigned number)
{
	static char text[32];

	snprintf(text, sizeof(text), "mms:%u", number);
	return mms_slice_of(text);
}

static void an_empty_set_has_nothing(void **state)
{
	struct mms_keyset keyset = { 0 };

	(void) state;
	assert_false(mms_keyset_has(&keyset, mms_slice_of("a")));
	assert_false(mms_keyset_has(&keyset, mms_slice_of("")));
	mms_keyset_clear(&keyset);
}

static void what_was_added_is_there_and_nothing_else(void **state)
{
	struct mms_keyset keyset = { 0 };

	(void) state;
	for (unsigned number = 0; number < 100000; number++) {
		assert_false(mms_keyset_has(&keyset, key_number(number)));
		assert_true(mms_keyset_add(&keyset, key_number(number)));
		assert_true(mms_keyset_add(&keyset, key_number(number)));
		assert_int_equal(keyset.count, number + 1);
	}
	for (unsigned number = 0; number < 200000; number++) {
		assert_int_equal(mms_keyset_has(&keyset, key_number(number)), number < 100000);
	}
	mms_keyset_clear(&keyset);
	assert_false(mms_keyset_has(&keyset, key_number(0)));
	assert_int_equal(keyset.count, 0);
}

static void a_full_set_takes_no_more_and_keeps_what_it_has(void **state)
{
	struct mms_keyset keyset = { 0 };
	unsigned number = 0;

	(void) state;
	while (mms_keyset_add(&keyset, key_number(number))) {
		number++;
	}
	assert_int_equal(number, MMS_KEYSET_SLOTS_MAX / 4 * 3);
	assert_false(mms_keyset_has(&keyset, key_number(number)));
	for (unsigned each = 0; each < number; each += 1000) {
		assert_true(mms_keyset_has(&keyset, key_number(each)));
	}
	mms_keyset_clear(&keyset);
	assert_true(mms_keyset_add(&keyset, key_number(number)));
	mms_keyset_clear(&keyset);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_set_has_nothing),
		cmocka_unit_test(what_was_added_is_there_and_nothing_else),
		cmocka_unit_test(a_full_set_takes_no_more_and_keeps_what_it_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
