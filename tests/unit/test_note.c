/* Notes: texts in shared memory that are logged once. How they survive torn and dead writers is in test_breaker.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mms_note.h"

#define MINUTE_US INT64_C(60000000)

static struct mms_note_sh note;

static void fresh(void)
{
	memset(&note, 0, sizeof(note));
}

static void what_was_written_is_read(void **state)
{
	char text[MMS_NOTE_TEXT_SIZE], small[4];
	char large[2 * MMS_NOTE_TEXT_SIZE];

	(void) state;
	fresh();
	assert_int_equal(mms_note_read(&note, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	mms_note_write(&note, "first", 1000);
	mms_note_write(&note, "2nd", 2000);
	assert_int_equal(mms_note_read(&note, text, sizeof(text)), 2000);
	assert_string_equal(text, "2nd");
	mms_note_read(&note, small, sizeof(small) - 1);
	assert_string_equal(small, "2n");
	memset(large, 'x', sizeof(large) - 1);
	large[sizeof(large) - 1] = '\0';
	mms_note_write(&note, large, 3000);
	mms_note_read(&note, text, sizeof(text));
	assert_int_equal(strlen(text), MMS_NOTE_TEXT_SIZE - 1);
}

static void one_caller_logs_it_once_a_minute_at_most(void **state)
{
	(void) state;
	fresh();
	assert_false(mms_note_pending(&note));
	assert_false(mms_note_take_event(&note, MINUTE_US));
	mms_note_raise(&note);
	mms_note_raise(&note);
	assert_true(mms_note_pending(&note));
	assert_true(mms_note_take_event(&note, MINUTE_US));
	assert_false(mms_note_pending(&note));
	mms_note_raise(&note);
	assert_false(mms_note_take_event(&note, 2 * MINUTE_US - 1));
	assert_true(mms_note_pending(&note));
	assert_true(mms_note_take_event(&note, 2 * MINUTE_US));
	assert_false(mms_note_take_event(&note, 9 * MINUTE_US));
}

static void a_state_is_raised_when_it_begins(void **state)
{
	char text[MMS_NOTE_TEXT_SIZE];

	(void) state;
	fresh();
	mms_note_state(&note, NULL, 0);
	assert_false(mms_note_pending(&note));
	mms_note_state(&note, "bad", 1000);
	mms_note_state(&note, "still bad", 2000);
	assert_int_equal(note.active, 1);
	assert_int_equal(note.raised_count, 1);
	mms_note_state(&note, NULL, 0);
	assert_int_equal(note.active, 0);
	assert_int_equal(mms_note_read(&note, text, sizeof(text)), 2000); /* what it was stays to be seen */
	assert_string_equal(text, "still bad");
	mms_note_state(&note, "bad again", 3000);
	assert_int_equal(note.raised_count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(one_caller_logs_it_once_a_minute_at_most),
		cmocka_unit_test(a_state_is_raised_when_it_begins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
