/* The output queue: order, memory, what is dropped.
 * TEST WRAP: free realloc */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "freed.h"
#include "mms_output.h"

static void bytes_leave_in_the_order_in_which_they_came(void **state)
{
	struct mms_output output = {0};
	unsigned char next_in = 0, next_out = 0;
	uint64_t seed = 7;

	(void) state;
	assert_int_equal(mms_output_waiting(&output).len, 0);
	for (int round = 0; round < 20000; round++) {
		char bytes[3000];

		seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
		size_t len = (seed >> 33) % (round % 100 == 0 ? sizeof(bytes) : 40);
		size_t drop = (seed >> 48) % 120;

		for (size_t index = 0; index < len; index++) {
			bytes[index] = (char) next_in++;
		}
		assert_true(mms_output_append(&output, bytes, len));
		struct mms_slice waiting = mms_output_waiting(&output);

		drop = drop < waiting.len ? drop : waiting.len;
		for (size_t index = 0; index < drop; index++) {
			assert_int_equal((unsigned char) waiting.ptr[index], next_out++);
		}
		assert_int_equal(mms_output_drop(&output, drop), 0);
		assert_int_equal(mms_output_waiting(&output).len, (unsigned char) (next_in - next_out)
				+ (mms_output_waiting(&output).len & ~(size_t) 0xff));
		assert_true(output.capacity <= 16 * 4096); /* the queue is short, whatever has passed through it */
	}
	mms_output_fini(&output);
}

static void what_was_sent_beyond_the_queue_is_told(void **state)
{
	struct mms_output output = {0};

	(void) state;
	assert_int_equal(mms_output_drop(&output, 0), 0);
	assert_int_equal(mms_output_drop(&output, 5), 5);
	assert_true(mms_output_append(&output, "abc", 3));
	assert_int_equal(mms_output_drop(&output, 2), 0);
	assert_int_equal(mms_output_drop(&output, 5), 4);
	assert_int_equal(mms_output_waiting(&output).len, 0);
	mms_output_fini(&output);
}

static void a_large_buffer_goes_when_it_is_empty(void **state)
{
	struct mms_output output = {0};
	char *bytes = calloc(1, 1 << 20);

	(void) state;
	assert_non_null(bytes);
	assert_true(mms_output_append(&output, bytes, 1 << 20));
	assert_int_equal(mms_output_drop(&output, (1 << 20) - 1), 0);
	assert_true(output.capacity >= 1 << 20);
	assert_int_equal(mms_output_drop(&output, 1), 0);
	assert_int_equal(output.capacity, 0);
	assert_true(mms_output_append(&output, "abc", 3));
	assert_memory_equal(mms_output_waiting(&output).ptr, "abc", 3);
	assert_int_equal(mms_output_drop(&output, 3), 0);
	assert_true(output.capacity > 0); /* a small one stays */
	mms_output_fini(&output);
	free(bytes);
}

static void a_length_that_no_memory_has_is_refused_and_changes_nothing(void **state)
{
	struct mms_output output = {0};

	(void) state;
	assert_true(mms_output_append(&output, "abc", 3));
	assert_false(mms_output_append(&output, "x", SIZE_MAX));
	assert_false(mms_output_append(&output, "x", SIZE_MAX / 2));
	assert_false(mms_output_reserve(&output, SIZE_MAX));
	assert_true(mms_output_reserve(&output, 100000));
	assert_true(output.capacity >= 100003);
	assert_int_equal(mms_output_waiting(&output).len, 3);
	mms_output_fini(&output);
}

static void nothing_of_a_password_is_left(void **state)
{
	static char filler[5000];
	struct mms_output output = {0};

	(void) state;
	mms_output_expect_secret(&output, 13);
	assert_true(mms_output_append(&output, "AUTH hunter2 ", 13));
	assert_true(mms_output_append(&output, "later", 5));
	assert_int_equal(mms_output_drop(&output, 13), 0);
	assert_true(holds(output.bytes, output.capacity, "hunter2"));
	mms_output_wipe(&output);
	assert_false(holds(output.bytes, output.capacity, "hunter2"));
	assert_int_equal(mms_output_waiting(&output).len, 5);
	assert_memory_equal(mms_output_waiting(&output).ptr, "later", 5);
	assert_true(mms_output_append(&output, filler, sizeof(filler))); /* moves to a larger buffer */
	assert_memory_equal(mms_output_waiting(&output).ptr, "later", 5);
	mms_output_fini(&output);
	mms_output_wipe(&output);
}

/* As with TLS, where the first command waits behind the handshake. */
static void a_password_is_in_no_buffer_that_is_freed_however_large_it_grew(void **state)
{
	const size_t steps[] = {10, 4096, 100000, 300000, 1 << 20};
	char *record = calloc(1, 1 << 20);

	(void) state;
	assert_non_null(record);
	for (int way = 0; way < 4; way++) {
		struct mms_output output = {0};

		freed = freed_with_word = 0;
		if (way == 1) { /* at the end of one buffer, and then within another */
			assert_true(mms_output_append(&output, record, 4090));
			mms_output_drop(&output, 4000);
		}
		mms_output_expect_secret(&output, 13);
		assert_true(mms_output_append(&output, "AUTH ", 5));
		assert_true(mms_output_append(&output, "hunter2 ", 8));
		for (size_t index = 0; index < sizeof(steps) / sizeof(steps[0]); index++) {
			assert_true(mms_output_append(&output, record, steps[index]));
		}
		if (way == 2) {
			mms_output_drop(&output, 20);
			mms_output_wipe(&output);
			assert_false(holds(output.bytes, output.capacity, "hunter2"));
			assert_int_equal(output.secret_end, 0);
			assert_true(mms_output_append(&output, record, 1 << 20));
		} else if (way == 3) { /* nothing of it has gone: it is secret still */
			mms_output_wipe(&output);
			assert_true(mms_output_append(&output, record, 1 << 20));
			assert_true(holds(output.bytes, output.capacity, "hunter2"));
		}
		mms_output_drop(&output, mms_output_waiting(&output).len);
		mms_output_fini(&output);
		assert_true(freed >= 4);
		assert_int_equal(freed_with_word, 0);
	}
	free(record);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_leave_in_the_order_in_which_they_came),
		cmocka_unit_test(what_was_sent_beyond_the_queue_is_told),
		cmocka_unit_test(a_large_buffer_goes_when_it_is_empty),
		cmocka_unit_test(nothing_of_a_password_is_left),
		cmocka_unit_test(a_password_is_in_no_buffer_that_is_freed_however_large_it_grew),
		cmocka_unit_test(a_length_that_no_memory_has_is_refused_and_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
