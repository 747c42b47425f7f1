/* The handshake: which steps it has, and what the answers to them mean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "commands.h"
#include "mms_handshake.h"

static void the_handshake_has_only_the_steps_that_are_needed(void **state)
{
	const struct mms_login none = {EMPTY, EMPTY, 0, false}, all = {S("joe"), S("secret"), 7, false};
	struct mms_command command;

	(void) state;
	mms_command_init(&command);
	mms_handshake_command(&none, &command);
	assert_int_equal(command.reply_count, MMS_SCRIPT_COUNT);
	mms_command_init(&command);
	mms_handshake_command(&all, &command);
	struct sent sent = sent_of(&command);

	assert_int_equal(sent.count, 2 + MMS_SCRIPT_COUNT);
	assert_line(&sent, 0, "AUTH joe secret");
	assert_line(&sent, 1, "SELECT 7");
	for (size_t index = 0; index < MMS_SCRIPT_COUNT; index++) {
		struct mms_slice text = argument_of(&sent, 2 + index, 2);
		const char *script = mms_command_script_text((enum mms_script) index);

		assert_int_equal(text.len, strlen(script));
		assert_memory_equal(text.ptr, script, text.len);
	}
	forget(&sent);
}

static void the_longest_credentials_fit(void **state)
{
	static char user[64], password[512];
	const struct mms_login login = {{user, sizeof(user)}, {password, sizeof(password)}, UINT32_MAX, false};
	struct mms_command command;

	(void) state;
	mms_command_init(&command);
	mms_handshake_command(&login, &command);
	struct sent sent = sent_of(&command);

	assert_int_equal(argument_of(&sent, 0, 2).len, sizeof(password));
	forget(&sent);
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

static enum mms_status judge(const struct mms_login *login, uint32_t index, const char *answer, struct mms_error *error)
{
	struct mms_reply *reply = reply_of(answer, strlen(answer));
	enum mms_status status = mms_handshake_judge(login, index, reply, error);

	mms_reply_free(reply);
	return status;
}

static void a_refused_handshake_names_step_cause_and_remedy(void **state)
{
	const struct mms_login login = {S("joe"), S("secret"), 7, false}, plain = {EMPTY, EMPTY, 0, false};
	static const struct {
		bool plain;
		uint32_t index;
		const char *answer, *text;
	} cases[] = {
		{false, 0, "-WRONGPASS invalid username-password pair or user is disabled.\r\n", "AUTH: WRONGPASS invalid "
			"username-password pair or user is disabled: check mmsession.user and mmsession.password_file"},
		{false, 0, "-ERR wrong number of arguments for 'auth' command\r\n", "leave mmsession.user empty"},
		{false, 0, "-ERR Client sent AUTH, but no password is set\r\n", "leave mmsession.password_file empty"},
		{false, 1, "-ERR DB index is out of range\r\n", "SELECT: ERR DB index is out of range: check the db of this node"},
		{false, 1, "-ERR SELECT is not allowed in cluster mode\r\n", "Cluster mode is not supported, set cluster-enabled no"},
		{false, 0, "-ERR AUTH <password> called without any password configured for the default user. Are you sure your "
			"configuration is correct?\r\n", "default user: the server has no password, leave mmsession.password_file empty"},
		{false, 1, "-NOPERM this user has no permissions\r\n", "+select"},
		{false, 2, "-NOPERM this user has no permissions to run the 'script' command\r\n", "+script|load"},
		{true, 0, "-NOAUTH Authentication required.\r\n", "(SCRIPT LOAD): NOAUTH Authentication required: check mmsession"},
		{true, 0, "-LOADING Redis is loading the dataset in memory\r\n", "loading the scripts (SCRIPT LOAD): LOADING Redis is loading the "
			"dataset in memory: wait until it has read its data"},
		{true, 0, "-DENIED Redis is running in protected mode\r\n", "protected mode: give the server"},
		{true, 0, "-ERR max number of clients reached\r\n", "raise the server's maxclients"},
	};

	(void) state;
	for (size_t index = 0; index < sizeof(cases) / sizeof(cases[0]); index++) {
		struct mms_error error;

		assert_int_equal(judge(cases[index].plain ? &plain : &login, cases[index].index, cases[index].answer, &error),
				MMS_ERR_REFUSED);
		if (strstr(error.text, cases[index].text) == NULL) {
			fail_msg("%s lacks: %s", error.text, cases[index].text);
		}
	}
}

static void an_answer_that_was_not_asked_for_is_a_protocol_error(void **state)
{
	const struct mms_login login = {S("joe"), S("secret"), 7, false};
	struct mms_error error;
	char bytes[64];

	(void) state;
	assert_int_equal(judge(&login, 0, "+OK\r\n", &error), MMS_OK);
	assert_int_equal(judge(&login, 0, "+QUEUED\r\n", &error), MMS_ERR_PROTOCOL);
	assert_int_equal(judge(&login, 0, ":1\r\n", &error), MMS_ERR_PROTOCOL);
	assert_int_equal(judge(&login, 1, "$2\r\nOK\r\n", &error), MMS_ERR_PROTOCOL);
	snprintf(bytes, sizeof(bytes), "$40\r\n%s\r\n", mms_command_script_sha1(MMS_SCRIPT_TOUCH));
	assert_int_equal(judge(&login, 3, bytes, &error), MMS_OK);
	assert_int_equal(judge(&login, 2, bytes, &error), MMS_ERR_PROTOCOL);
	assert_non_null(strstr(error.text, "another SHA-1"));
	assert_int_equal(judge(&login, 2, "$-1\r\n", &error), MMS_ERR_PROTOCOL);
	assert_int_equal(judge(&login, 99, "$-1\r\n", &error), MMS_ERR_PROTOCOL);
}

static void a_password_that_a_server_echoes_is_not_repeated(void **state)
{
	const struct mms_login login = {S("joe"), S("secret"), 0, false};
	struct mms_error error;

	(void) state;
	assert_int_equal(judge(&login, 0, "-ERR unknown command `AUTH`, with args beginning with: `joe`, `secr\r\n", &error),
			MMS_ERR_REFUSED);
	assert_null(strstr(error.text, "secr"));
	assert_non_null(strstr(error.text, "unknown command"));
	assert_int_equal(judge(&login, 0, "-ERR what is this secret thing\r\n", &error), MMS_ERR_REFUSED);
	assert_null(strstr(error.text, "secret"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_handshake_has_only_the_steps_that_are_needed),
		cmocka_unit_test(the_longest_credentials_fit),
		cmocka_unit_test(a_refused_handshake_names_step_cause_and_remedy),
		cmocka_unit_test(an_answer_that_was_not_asked_for_is_a_protocol_error),
		cmocka_unit_test(a_password_that_a_server_echoes_is_not_repeated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
