/* Closed sequences: what they say, and that nothing else is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "mms_closed.h"

#define MAPPING UINT64_C(0x1122334455667788)

static void says_of_each_sequence_whether_it_is_closed(void **state)
{
	struct mms_closed closed = { .above = 10, .highest = 20 };

	(void)state;
	mms_closed_add_open(&closed, 15);
	mms_closed_add_open(&closed, 12);
	assert_false(mms_closed_has(&closed, 10));
	assert_true(mms_closed_has(&closed, 11));
	assert_false(mms_closed_has(&closed, 12));
	assert_true(mms_closed_has(&closed, 14));
	assert_false(mms_closed_has(&closed, 15));
	assert_true(mms_closed_has(&closed, 20));
	assert_false(mms_closed_has(&closed, 21));
	assert_int_equal(closed.open[0], 12);
}

static void keeps_the_lowest_open_ones_and_stops_before_the_others(void **state)
{
	struct mms_closed closed = { .above = 0, .highest = 1000 };

	(void)state;
	for (uint64_t sequence = 200; sequence > 100; sequence--) {
		mms_closed_add_open(&closed, sequence);
	}
	assert_int_equal(closed.open_count, MMS_CLOSED_OPEN_MAX);
	assert_int_equal(closed.highest, 100 + MMS_CLOSED_OPEN_MAX);
	mms_closed_add_open(&closed, 500);
	assert_int_equal(closed.highest, 100 + MMS_CLOSED_OPEN_MAX);
	for (uint64_t sequence = 101; sequence <= 200; sequence++) {
		assert_false(mms_closed_has(&closed, sequence));
	}
	assert_true(mms_closed_has(&closed, 100));
}

static void comes_back_as_it_was_encoded(void **state)
{
	unsigned char value[MMS_CLOSED_VALUE_MAX];
	struct mms_closed closed = { .above = 7, .highest = (UINT64_C(1) << 48) - 1 }, back;
	size_t len;

	(void)state;
	for (uint64_t sequence = 8; sequence < 8 + MMS_CLOSED_OPEN_MAX; sequence++) {
		len = mms_closed_encode(&closed, MAPPING, value);
		assert_true(mms_closed_decode((struct mms_slice){ (const char *)value, len }, MAPPING, &back));
		assert_true(mms_closed_equal(&closed, &back));
		mms_closed_add_open(&closed, sequence);
		assert_false(mms_closed_equal(&closed, &back));
	}
	assert_int_equal(mms_closed_encode(&closed, MAPPING, value), MMS_CLOSED_VALUE_MAX);
}

static void believes_no_damaged_value_and_none_of_another_mapping(void **state)
{
	unsigned char value[MMS_CLOSED_VALUE_MAX];
	struct mms_closed closed = { .above = 7, .highest = 99 }, back;
	size_t len;

	(void)state;
	mms_closed_add_open(&closed, 50);
	len = mms_closed_encode(&closed, MAPPING, value);
	assert_false(mms_closed_decode((struct mms_slice){ (const char *)value, len }, MAPPING + 1, &back));
	for (size_t cut = 0; cut < len; cut++) {
		assert_false(mms_closed_decode((struct mms_slice){ (const char *)value, cut }, MAPPING, &back));
	}
	for (size_t bit = 0; bit < 8 * len; bit++) {
		value[bit / 8] ^= (unsigned char)(1u << bit % 8);
		assert_false(mms_closed_decode((struct mms_slice){ (const char *)value, len }, MAPPING, &back));
		value[bit / 8] ^= (unsigned char)(1u << bit % 8);
	}
	assert_false(mms_closed_decode((struct mms_slice){ NULL, 0 }, MAPPING, &back));
}

static void has_its_key_among_those_that_are_no_sessions(void **state)
{
	char key[5 + MMS_CLOSED_KEY_EXTRA];

	(void)state;
	assert_int_equal(mms_closed_key("shop:", MAPPING, key, sizeof key), sizeof key - 1);
	assert_string_equal(key, "shop::ct:1122334455667788");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_of_each_sequence_whether_it_is_closed),
		cmocka_unit_test(keeps_the_lowest_open_ones_and_stops_before_the_others),
		cmocka_unit_test(comes_back_as_it_was_encoded),
		cmocka_unit_test(believes_no_damaged_value_and_none_of_another_mapping),
		cmocka_unit_test(has_its_key_among_those_that_are_no_sessions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
