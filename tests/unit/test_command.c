/* Commands as bytes and answers as outcomes, without a server: test_command_server.c has the scripts. */
/* TEST LINK: mms_put */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "commands.h"

#include "mms_put.h"

static void simple_commands_say_what_they_mean(void **state)
{
	struct mms_command command;
	char evalsha[256];

	(void) state;
	mms_command_init(&command);
	mms_command_auth(&command, EMPTY, S("secret"));
	mms_command_auth(&command, S("joe"), S("secret"));
	mms_command_select(&command, 15);
	mms_command_ping(&command);
	mms_command_info_server(&command);
	mms_command_read_whole(&command, S("key"));
	mms_command_read_header(&command, S("key"));
	mms_command_set(&command, S("key"), S("value"), 0);
	mms_command_set(&command, S("key"), S("value"), 1500);
	mms_command_set_once(&command, S("key"), S(""));
	mms_command_delete_if(&command, S("key"), S("value"));
	mms_command_set_existing(&command, S("key"), S("value"), 1500);
	struct sent sent = sent_of(&command);

	assert_int_equal(command.part_count, 1); /* all of it goes out as one range */
	assert_line(&sent, 0, "AUTH secret");
	assert_line(&sent, 1, "AUTH joe secret");
	assert_line(&sent, 2, "SELECT 15");
	assert_line(&sent, 3, "PING");
	assert_line(&sent, 4, "INFO server");
	assert_line(&sent, 5, "GET key");
	assert_line(&sent, 6, "PTTL key");
	assert_line(&sent, 7, "GETRANGE key 0 79");
	assert_line(&sent, 8, "PTTL key");
	assert_line(&sent, 9, "SET key value");
	assert_line(&sent, 10, "SET key value PX 1500");
	assert_line(&sent, 11, "SET key  NX");
	assert_line(&sent, 12, "GET key");
	snprintf(evalsha, sizeof(evalsha), "EVALSHA %s 1 key value", mms_command_script_sha1(MMS_SCRIPT_DELETE_IF));
	assert_line(&sent, 13, evalsha);
	assert_line(&sent, 14, "SET key value PX 1500 XX");
	forget(&sent);
}

static void a_lease_says_whose_it_is(void **state)
{
	struct mms_command command;

	(void) state;
	mms_command_init(&command);
	mms_command_lease(&command, S("key"), S("value"), 1500);
	mms_command_lease(&command, S("key"), S("value"), 0);
	struct sent sent = sent_of(&command);

	assert_int_equal(sent.count, 4);
	assert_line(&sent, 0, "SET key value PX 1500 NX");
	assert_line(&sent, 1, "GET key");
	assert_line(&sent, 2, "SET key value PX 1 NX"); /* for ever is no lease */
	forget(&sent);
}

static void other_keys_are_read_before_the_record(void **state)
{
	struct mms_slice keys[2] = {S("one"), S("two")};
	struct mms_command command;

	(void) state;
	mms_command_init(&command);
	mms_command_read_after(&command, keys, 2, S("key"));
	struct sent sent = sent_of(&command);

	assert_int_equal(sent.count, 3);
	assert_line(&sent, 0, "MGET one two");
	assert_line(&sent, 1, "GET key");
	assert_line(&sent, 2, "PTTL key");
	forget(&sent);
}

static void bytes_are_sent_as_they_are(void **state)
{
	struct mms_command command;

	(void) state;
	mms_command_init(&command);
	mms_command_get(&command, S("a\0b\r\n\xff"));
	struct sent sent = sent_of(&command);

	assert_int_equal(argument_of(&sent, 0, 1).len, 6);
	assert_memory_equal(argument_of(&sent, 0, 1).ptr, "a\0b\r\n\xff", 6);
	forget(&sent);
}

static void a_put_borrows_the_payload_and_sends_the_header_once(void **state)
{
	static char payload[100000];
	unsigned char header[MMS_RECORD_HEADER_SIZE];
	struct mms_command command;

	(void) state;
	memset(header, 0xa5, sizeof(header));
	memset(payload, 'p', sizeof(payload));
	mms_command_init(&command);
	mms_command_put(&command, S("key"), S("tmp"), header, (struct mms_slice) {payload, sizeof(payload)}, 60000,
			S("expected"));
	assert_int_equal(command.part_count, 3);
	assert_ptr_equal(command.parts[1].iov_base, payload);
	assert_int_equal(command.parts[1].iov_len, sizeof(payload));
	memset(header, 0, sizeof(header)); /* it was copied */
	struct sent sent = sent_of(&command);

	assert_int_equal(mms_reply_count(sent.commands[0]), 5);
	assert_memory_equal(argument_of(&sent, 0, 0).ptr, "SET", 3);
	assert_memory_equal(argument_of(&sent, 0, 1).ptr, "tmp", 3);
	struct mms_slice record = argument_of(&sent, 0, 2);

	assert_int_equal(record.len, MMS_RECORD_HEADER_SIZE + sizeof(payload));
	assert_memory_equal(record.ptr + MMS_RECORD_HEADER_SIZE, payload, sizeof(payload));
	assert_int_equal((unsigned char) record.ptr[0], 0xa5);
	assert_memory_equal(argument_of(&sent, 0, 3).ptr, "EX", 2);
	assert_memory_equal(argument_of(&sent, 0, 4).ptr, "10", 2);
	assert_int_equal(mms_reply_count(sent.commands[1]), 7);
	assert_memory_equal(argument_of(&sent, 1, 1).ptr, mms_command_script_sha1(MMS_SCRIPT_PUT), 40);
	assert_memory_equal(argument_of(&sent, 1, 3).ptr, "key", 3);
	assert_memory_equal(argument_of(&sent, 1, 4).ptr, "tmp", 3);
	assert_memory_equal(argument_of(&sent, 1, 5).ptr, "60000", 5);
	assert_memory_equal(argument_of(&sent, 1, 6).ptr, "expected", 8);
	forget(&sent);
}

static void a_new_record_is_put_by_one_command_that_replaces_nothing(void **state)
{
	unsigned char header[MMS_RECORD_HEADER_SIZE];
	struct mms_command command;

	(void) state;
	memset(header, 0xa5, sizeof(header));
	mms_command_init(&command);
	mms_command_put_new(&command, S("key"), header, S("payload"), 0);
	memset(header, 0, sizeof(header)); /* it was copied */
	struct sent sent = sent_of(&command);

	assert_int_equal(sent.count, 1);
	assert_int_equal(mms_reply_count(sent.commands[0]), 6);
	assert_memory_equal(argument_of(&sent, 0, 0).ptr, "SET", 3);
	assert_memory_equal(argument_of(&sent, 0, 1).ptr, "key", 3);
	assert_int_equal(argument_of(&sent, 0, 2).len, MMS_RECORD_HEADER_SIZE + 7);
	assert_int_equal((unsigned char) argument_of(&sent, 0, 2).ptr[0], 0xa5);
	assert_memory_equal(argument_of(&sent, 0, 2).ptr + MMS_RECORD_HEADER_SIZE, "payload", 7);
	assert_memory_equal(argument_of(&sent, 0, 3).ptr, "PX", 2);
	assert_memory_equal(argument_of(&sent, 0, 4).ptr, "1", 1); /* never for ever */
	assert_memory_equal(argument_of(&sent, 0, 5).ptr, "NX", 2);
	forget(&sent);
}

static void the_longest_keys_fit(void **state)
{
	static char key[320], tmp[400];
	unsigned char header[MMS_RECORD_HEADER_SIZE] = {0};
	struct mms_slice long_key = {key, sizeof(key)}, expected = {key, MMS_RECORD_HEADER_SIZE};
	struct mms_command command;

	(void) state;
	memset(key, 'k', sizeof(key));
	memset(tmp, 't', sizeof(tmp));
	mms_command_init(&command);
	mms_command_put(&command, long_key, (struct mms_slice) {tmp, sizeof(tmp)}, header, S("p"), UINT64_MAX,
			expected);
	mms_command_touch(&command, long_key, header, UINT64_MAX);
	mms_command_read_whole(&command, long_key);
	struct sent sent = sent_of(&command);

	assert_int_equal(sent.count, 5);
	forget(&sent);
}

static void ttls_stay_within_what_a_server_can_add(void **state)
{
	unsigned char header[MMS_RECORD_HEADER_SIZE] = {0};
	struct mms_command command;

	(void) state;
	mms_command_init(&command);
	mms_command_put(&command, S("k"), S("t"), header, EMPTY, UINT64_MAX, EMPTY);
	mms_command_put(&command, S("k"), S("t"), header, EMPTY, 0, EMPTY);
	mms_command_touch(&command, S("k"), header, 0);
	struct sent sent = sent_of(&command);

	assert_int_equal(argument_of(&sent, 1, 5).len, 15);
	assert_memory_equal(argument_of(&sent, 1, 5).ptr, "281474976710656", 15);
	assert_int_equal(mms_reply_count(sent.commands[1]), 6); /* nothing is expected */
	assert_int_equal(argument_of(&sent, 3, 5).ptr[0], '1'); /* 0 would delete the key */
	assert_int_equal(argument_of(&sent, 4, 5).ptr[0], '1');
	forget(&sent);
}

static void what_does_not_fit_is_marked_and_nothing_is_overwritten(void **state)
{
	static char big[MMS_COMMAND_SCRATCH];
	struct {
		struct mms_command command;
		unsigned char fence[64];
	} guarded;
	unsigned char header[MMS_RECORD_HEADER_SIZE] = {0};

	(void) state;
	memset(&guarded, 0x5a, sizeof(guarded));
	mms_command_init(&guarded.command);
	mms_command_get(&guarded.command, (struct mms_slice) {big, sizeof(big)});
	assert_true(guarded.command.overflow);
	mms_command_ping(&guarded.command);
	assert_true(guarded.command.overflow);
	for (size_t index = 0; index < sizeof(guarded.fence); index++) {
		assert_int_equal(guarded.fence[index], 0x5a);
	}
	mms_command_init(&guarded.command);
	for (int index = 0; index < MMS_COMMAND_PARTS / 2; index++) { /* the payloads need more parts than there are */
		mms_command_put(&guarded.command, S("k"), S("t"), header, S("p"), 1, EMPTY);
	}
	assert_true(guarded.command.overflow);
}

static struct mms_reply *reply_of(const char *bytes, size_t len)
{
	struct mms_reply_reader *reader = mms_reply_reader_new(1 << 16, 64);
	struct mms_reply *reply = NULL;

	assert_int_equal(mms_reply_reader_feed(reader, bytes, len, NULL), MMS_OK);
	assert_int_equal(mms_reply_reader_next(reader, &reply, NULL), MMS_OK);
	assert_non_null(reply);
	mms_reply_reader_free(reader);
	return reply;
}

/* Answers as text; first may be NULL. */
static struct mms_put_result judged(const char *first, const char *second)
{
	struct mms_reply *one = first == NULL ? NULL : reply_of(first, strlen(first));
	struct mms_reply *two = reply_of(second, strlen(second));
	struct mms_put_result result;

	memset(&result, 0xff, sizeof(result));
	mms_put_parse(one, two, &result);
	mms_reply_free(one);
	mms_reply_free(two);
	return result;
}

static struct mms_put_result judged_as_new(const char *answer)
{
	struct mms_reply *reply = reply_of(answer, strlen(answer));
	struct mms_put_result result;

	memset(&result, 0xff, sizeof(result));
	mms_put_parse_new(reply, &result);
	mms_reply_free(reply);
	return result;
}

static void the_answer_to_a_new_record_says_whether_something_stood_there(void **state)
{
	(void) state;
	assert_int_equal(judged_as_new("+OK\r\n").outcome, MMS_PUT_STORED);
	assert_int_equal(judged_as_new("$-1\r\n").outcome, MMS_PUT_CHANGED);
	assert_int_equal(judged_as_new("-OOM command not allowed\r\n").outcome, MMS_PUT_ERROR);
	assert_int_equal(judged_as_new("-OOM command not allowed\r\n").error_class, MMS_CLASS_WRITE);
	assert_int_equal(judged_as_new(":1\r\n").outcome, MMS_PUT_ERROR);
	assert_int_equal(judged_as_new(":1\r\n").error_class, MMS_CLASS_OTHER);
}

static void answers_of_the_scripts_have_outcomes(void **state)
{
	(void) state;
	assert_int_equal(judged("+OK\r\n", ":1\r\n").outcome, MMS_PUT_STORED);
	assert_int_equal(judged("+OK\r\n", ":2\r\n").outcome, MMS_PUT_EQUAL);
	assert_int_equal(judged("+OK\r\n", ":3\r\n").outcome, MMS_PUT_FOREIGN);
	assert_int_equal(judged(NULL, ":1\r\n").outcome, MMS_PUT_STORED);
	assert_false(judged("+OK\r\n", ":1\r\n").over_unread);
	assert_int_equal(judged("+OK\r\n", ":6\r\n").outcome, MMS_PUT_STORED);
	assert_true(judged("+OK\r\n", ":6\r\n").over_unread);
	assert_int_equal(judged(NULL, ":5\r\n").outcome, MMS_PUT_LACKING);
	struct mms_put_result result = judged("+OK\r\n", "*2\r\n:3\r\n$3\r\nabc\r\n");

	assert_int_equal(result.outcome, MMS_PUT_FOREIGN);
	assert_int_equal(result.header_len, 3);
	assert_false(result.has_header);
	assert_memory_equal(result.header, "abc", 3);
	char bytes[256];

	snprintf(bytes, sizeof(bytes), "*3\r\n:4\r\n$80\r\n%080d\r\n:1234\r\n", 7);
	result = judged("+OK\r\n", bytes);
	assert_int_equal(result.outcome, MMS_PUT_NEWER);
	assert_true(result.has_header);
	assert_false(result.damaged);
	assert_int_equal(result.header[79], '7');
	assert_int_equal(result.pttl_ms, 1234);
	snprintf(bytes, sizeof(bytes), "*4\r\n:4\r\n$80\r\n%080d\r\n:-1\r\n:1\r\n", 7);
	result = judged(NULL, bytes);
	assert_int_equal(result.outcome, MMS_PUT_NEWER);
	assert_true(result.damaged);
	assert_int_equal(result.pttl_ms, -1);
}

static void server_errors_become_outcomes_with_class_and_text(void **state)
{
	struct mms_put_result result;

	(void) state;
	assert_int_equal(judged("+OK\r\n", "-NOSCRIPT No matching script.\r\n").outcome, MMS_PUT_NOSCRIPT);
	assert_int_equal(judged("+OK\r\n", "-WRONGTYPE Operation against\r\n").outcome, MMS_PUT_FOREIGN);
	result = judged("-OOM command not allowed\r\n", "-ERR no such key\r\n");
	assert_int_equal(result.outcome, MMS_PUT_ERROR);
	assert_int_equal(result.error_class, MMS_CLASS_WRITE);
	assert_string_equal(result.error_text, "OOM command not allowed");
	assert_int_equal(judged("-NOAUTH Authentication\r\n", ":1\r\n").error_class, MMS_CLASS_AUTH);
	result = judged("+OK\r\n", "-ERR \x1b[31mred\x01\r\n");
	assert_int_equal(result.error_class, MMS_CLASS_OTHER);
	assert_string_equal(result.error_text, "ERR ?[31mred?");
}

static void answers_of_a_wrong_shape_are_errors(void **state)
{
	static const char *const shapes[] = {"+OK\r\n", "$-1\r\n", ":0\r\n", ":7\r\n", ":-1\r\n", "*0\r\n", "*1\r\n:4\r\n",
		"*2\r\n:4\r\n$3\r\nabc\r\n", "*3\r\n:4\r\n$3\r\nabc\r\n:1\r\n", "*1\r\n*1\r\n:1\r\n", "$1\r\n1\r\n"};
	char bytes[256];

	(void) state;
	for (size_t index = 0; index < sizeof(shapes) / sizeof(shapes[0]); index++) {
		struct mms_put_result result = judged("+OK\r\n", shapes[index]);

		assert_int_equal(result.outcome, MMS_PUT_ERROR);
		assert_int_equal(result.error_class, MMS_CLASS_OTHER);
		assert_true(result.error_text[0] != '\0');
		assert_false(result.has_header);
	}
	snprintf(bytes, sizeof(bytes), "*3\r\n:4\r\n$81\r\n%081d\r\n:1\r\n", 7);
	assert_int_equal(judged("+OK\r\n", bytes).outcome, MMS_PUT_ERROR);
	assert_int_equal(judged(":1\r\n", ":1\r\n").outcome, MMS_PUT_ERROR);
}

static void scripts_never_order_strings(void **state)
{
	(void) state;
	for (int index = 0; index < MMS_SCRIPT_COUNT; index++) {
		const char *text = mms_command_script_text((enum mms_script) index);

		/* `<` appears only before a length, `>` only between numbers: string order depends on the server's locale. */
		for (const char *at = strchr(text, '<'); at != NULL; at = strchr(at + 1, '<')) {
			assert_memory_equal(at, "<80", 3);
			assert_memory_equal(at - 2, "#s", 2);
		}
		assert_null(strstr(text, "s>"));
		assert_null(strstr(text, ">s"));
		assert_null(strstr(text, "h>"));
		assert_null(strstr(text, ">h"));
		assert_int_equal(strlen(mms_command_script_sha1((enum mms_script) index)), 40);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lease_says_whose_it_is),
		cmocka_unit_test(other_keys_are_read_before_the_record),
		cmocka_unit_test(simple_commands_say_what_they_mean),
		cmocka_unit_test(bytes_are_sent_as_they_are),
		cmocka_unit_test(a_put_borrows_the_payload_and_sends_the_header_once),
		cmocka_unit_test(a_new_record_is_put_by_one_command_that_replaces_nothing),
		cmocka_unit_test(the_answer_to_a_new_record_says_whether_something_stood_there),
		cmocka_unit_test(the_longest_keys_fit),
		cmocka_unit_test(ttls_stay_within_what_a_server_can_add),
		cmocka_unit_test(what_does_not_fit_is_marked_and_nothing_is_overwritten),
		cmocka_unit_test(answers_of_the_scripts_have_outcomes),
		cmocka_unit_test(server_errors_become_outcomes_with_class_and_text),
		cmocka_unit_test(answers_of_a_wrong_shape_are_errors),
		cmocka_unit_test(scripts_never_order_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
