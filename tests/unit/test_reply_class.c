/* Server errors: what they mean, and what the breaker is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "mms_reply_class.h"

static struct mms_reply *parsed(const char *bytes, size_t len)
{
	struct mms_reply_reader *reader = mms_reply_reader_new(1000, 50);
	struct mms_reply *reply = NULL;
	struct mms_error error;

	assert_non_null(reader);
	assert_int_equal(mms_reply_reader_feed(reader, bytes, len, &error), MMS_OK);
	assert_int_equal(mms_reply_reader_next(reader, &reply, &error), MMS_OK);
	assert_non_null(reply);
	mms_reply_reader_free(reader);
	return reply;
}

static void server_errors_have_a_meaning(void **state)
{
	static const struct {
		const char *line;
		enum mms_reply_class class_;
	} cases[] = {
		{"+OK", MMS_CLASS_NONE},
		{":1", MMS_CLASS_NONE},
		{"-LOADING Redis is loading the dataset in memory", MMS_CLASS_HARD},
		{"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", MMS_CLASS_HARD},
		{"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", MMS_CLASS_HARD},
		{"-BUSYGROUP Consumer Group name already exists", MMS_CLASS_OTHER},
		{"-ERR max number of clients reached", MMS_CLASS_HARD},
		{"-ERR max number of clients + cluster connections reached", MMS_CLASS_HARD},
		{"-OOM command not allowed when used memory > 'maxmemory'.", MMS_CLASS_WRITE},
		{"-READONLY You can't write against a read only replica.", MMS_CLASS_WRITE},
		{"-MISCONF Redis is configured to save RDB snapshots, but ...", MMS_CLASS_WRITE},
		{"-NOREPLICAS Not enough good replicas to write.", MMS_CLASS_WRITE},
		{"-NOAUTH Authentication required.", MMS_CLASS_AUTH},
		{"-WRONGPASS invalid username-password pair or user is disabled.", MMS_CLASS_AUTH},
		{"-ERR invalid password", MMS_CLASS_AUTH},
		{"-NOPERM this user has no permissions to run the 'get' command", MMS_CLASS_PERMISSION},
		{"-DENIED Redis is running in protected mode because ...", MMS_CLASS_AUTH},
		{"-ERR AUTH <password> called without any password configured for the default user.", MMS_CLASS_AUTH},
		{"-ERR Client sent AUTH, but no password is set", MMS_CLASS_AUTH},
		{"-ERR The user executing the script can't run this command or subcommand script: 1, on @user_script:1.",
			MMS_CLASS_PERMISSION},
		{"-MOVED 3999 127.0.0.1:6381", MMS_CLASS_CLUSTER},
		{"-ASK 3999 127.0.0.1:6381", MMS_CLASS_CLUSTER},
		{"-CLUSTERDOWN Hash slot not served", MMS_CLASS_CLUSTER},
		{"-CROSSSLOT Keys in request don't hash to the same slot", MMS_CLASS_CLUSTER},
		{"-ERR SELECT is not allowed in cluster mode", MMS_CLASS_CLUSTER},
		{"-NOSCRIPT No matching script. Please use EVAL.", MMS_CLASS_NOSCRIPT},
		{"-WRONGTYPE Operation against a key holding the wrong kind of value", MMS_CLASS_WRONGTYPE},
		{"-ERR Error running script (call to f_0a): @user_script:5: @user_script: 5: -OOM command not allowed",
			MMS_CLASS_WRITE},
		{"-ERR Error running script (call to f_0a): @user_script:5: -READONLY You can't write", MMS_CLASS_WRITE},
		{"-ERR Error running script (call to f_0a): @user_script:48: @user_script: 48: The user executing the script can't "
			"run this command or subcommand", MMS_CLASS_PERMISSION},
		{"-@user_script: 2: The user executing the script can't run this command or subcommand", MMS_CLASS_PERMISSION},
		{"-ERR Error running script (call to f_0a): @user_script:5: nonsense", MMS_CLASS_OTHER},
		{"-ERR Error running script (call to f_0a): @user_script:", MMS_CLASS_OTHER},
		{"-READONLY You can't write against a read only replica. script: 0a, on @user_script:5.", MMS_CLASS_WRITE},
		{"-LOADING", MMS_CLASS_HARD},
		{"-LOADINGX", MMS_CLASS_OTHER},
		{"-ERR", MMS_CLASS_OTHER},
		{"-", MMS_CLASS_OTHER},
		{"-ERR unknown command", MMS_CLASS_OTHER},
	};

	(void) state;
	for (size_t index = 0; index < sizeof(cases) / sizeof(cases[0]); index++) {
		char line[256];
		int len = snprintf(line, sizeof(line), "%s\r\n", cases[index].line);
		struct mms_reply *reply = parsed(line, (size_t) len);

		if (mms_reply_classify(reply) != cases[index].class_) {
			fail_msg("%s: class %d, not %d", cases[index].line, mms_reply_classify(reply), cases[index].class_);
		}
		mms_reply_free(reply);
	}
}

static void a_class_tells_the_breaker_what_it_must_know(void **state)
{
	enum mms_fault fault;

	(void) state;
	assert_true(mms_reply_class_fault(MMS_CLASS_HARD, &fault) && fault == MMS_FAULT_HARD);
	assert_true(mms_reply_class_fault(MMS_CLASS_AUTH, &fault) && fault == MMS_FAULT_HARD);
	assert_true(mms_reply_class_fault(MMS_CLASS_PERMISSION, &fault) && fault == MMS_FAULT_HARD);
	assert_true(mms_reply_class_fault(MMS_CLASS_CLUSTER, &fault) && fault == MMS_FAULT_HARD);
	assert_true(mms_reply_class_fault(MMS_CLASS_WRITE, &fault) && fault == MMS_FAULT_WRITE_ONLY);
	assert_true(mms_reply_class_fault(MMS_CLASS_OTHER, &fault) && fault == MMS_FAULT_SOFT);
	assert_false(mms_reply_class_fault(MMS_CLASS_NONE, &fault));
	assert_false(mms_reply_class_fault(MMS_CLASS_NOSCRIPT, &fault));
	assert_false(mms_reply_class_fault(MMS_CLASS_WRONGTYPE, &fault));
}

/* What a node that answers with this line is said to be wrong with. */
static void tell(const struct mms_node_config *node, const char *line, struct mms_error *error)
{
	char bytes[512], words[128];
	int len = snprintf(bytes, sizeof(bytes), "-%s\r\n", line);
	struct mms_reply *reply = parsed(bytes, (size_t) len);

	mms_reply_class_words(reply, words, sizeof(words));
	mms_reply_class_tell(node, words, error);
	mms_reply_free(reply);
}

#define MISCONF "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk"
#define MISCONF_MORE ". Commands that may modify the data set are disabled, because this instance is configured to report errors " \
	"during writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details " \
	"about the RDB error."
#define WRAPPED "ERR Error running script (call to f_2597e0576dd54eb42864e3a1b8392b96e018bcc3): @user_script:148: @user_script: 148: -"

static void a_message_has_node_cause_and_remedy(void **state)
{
	static const struct mms_node_config node = {.name = "web1", .address = "tcp://10.0.0.2:6379"};
	static const struct {
		const char *line, *text;
	} cases[] = {
		{"OOM command not allowed when used memory > 'maxmemory'.", "OOM command not allowed when used memory > 'maxmemory': raise "
			"the server's maxmemory, or remove what else it holds"},
		{"OOM command not allowed when used memory > 'maxmemory'. script: 2597e0576dd54eb42864e3a1b8392b96e018bcc3, on "
			"@user_script:1.", "OOM command not allowed when used memory > 'maxmemory': raise the server's maxmemory, or remove "
			"what else it holds"},
		{WRAPPED "OOM command not allowed when used memory > 'maxmemory'.", "OOM command not allowed when used memory > "
			"'maxmemory': raise the server's maxmemory, or remove what else it holds"},
		{"READONLY You can't write against a read only replica.", "READONLY You can't write against a read only replica: it is a "
			"replica: REPLICAOF NO ONE, or list its master instead"},
		{"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "MASTERDOWN Link with MASTER is down "
			"and replica-serve-stale-data is set to 'no': it is a replica: REPLICAOF NO ONE, or list its master instead"},
		{MISCONF MISCONF_MORE, MISCONF ": see its log and the space on its disk, or set "
			"stop-writes-on-bgsave-error no"},
		{"MISCONF Errors writing to the AOF file: No space left on device", "MISCONF Errors writing to the AOF file: No space left "
			"on device: see its log and the space on its disk, or set appendonly no"},
		{"NOREPLICAS Not enough good replicas to write.", "NOREPLICAS Not enough good replicas to write: set min-replicas-to-write "
			"0, mmsession does the copying"},
		{"LOADING Redis is loading the dataset in memory", "LOADING Redis is loading the dataset in memory: wait until it has read "
			"its data"},
		{"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", "BUSY Redis is busy running a "
			"script: wait for what it runs, or end it by SCRIPT KILL or FUNCTION KILL"},
		{"NOAUTH Authentication required.", "NOAUTH Authentication required: check mmsession.user and mmsession.password_file"},
		{"NOPERM this user has no permissions to run the 'evalsha' command", "NOPERM this user has no permissions to run the "
			"'evalsha' command: mmsession.user needs that permission, see docs/operations.md"},
		{WRAPPED "The user executing the script can't run this command or subcommand", "The user executing the script can't run "
			"this command or subcommand: mmsession.user needs that permission, see docs/operations.md"},
		{"MOVED 3999 127.0.0.1:6381", "MOVED 3999 127.0.0.1:6381: Redis Cluster mode is not supported, set cluster-enabled no"},
		{"CLUSTERDOWN Hash slot not served", "CLUSTERDOWN Hash slot not served: Redis Cluster mode is not supported, set "
			"cluster-enabled no"},
		{"ERR max number of clients reached", "ERR max number of clients reached: raise the server's maxclients"},
		{"ERR something new. Nobody knows what.", "ERR something new. Nobody knows what"},
		{"...", ""},
	};

	(void) state;
	for (size_t index = 0; index < sizeof(cases) / sizeof(cases[0]); index++) {
		char text[512];
		struct mms_error error;

		snprintf(text, sizeof(text), "node web1 (tcp://10.0.0.2:6379): server answered: %s", cases[index].text);
		tell(&node, cases[index].line, &error);
		assert_string_equal(error.text, text);
	}
}

static void the_words_give_way_to_the_remedy(void **state)
{
	struct mms_node_config node;
	struct mms_error error;
	char small[16];

	(void) state;
	memset(&node, 0, sizeof(node));
	memset(node.name, 'n', sizeof(node.name) - 1);
	memset(node.address, 'a', sizeof(node.address) - 1);
	tell(&node, MISCONF MISCONF_MORE, &error);
	assert_int_equal(strlen(error.text), MMS_NOTE_TEXT_SIZE - 1);
	assert_non_null(strstr(error.text, "aaa): server answered: MISCONF Redis is con"));
	assert_string_equal(strstr(error.text, ": see"), ": see its log and the space on its disk, or "
			"set stop-writes-on-bgsave-error no");
	mms_reply_class_advise("some words", "do it", small, sizeof(small));
	assert_string_equal(small, "some wor: do it");
	mms_reply_class_advise("some. words", "do it", small, sizeof(small));
	assert_string_equal(small, "some: do it");
	mms_reply_class_advise("some words", "do it", small, 4);
	assert_string_equal(small, ": d");
	mms_reply_class_advise("some. words.", NULL, small, sizeof(small));
	assert_string_equal(small, "some. words");
	mms_reply_class_advise("", NULL, small, 1);
	assert_string_equal(small, "");
}

static void what_a_server_quotes_is_not_repeated(void **state)
{
	static const char text[] = "ERR unknown command 'SET', with args beginning with: 'mms:3f2b' 'MMS";
	struct mms_slice rest = mms_reply_class_unquoted((struct mms_slice) {text, sizeof(text) - 1});

	(void) state;
	assert_int_equal(rest.len, strlen("ERR unknown command 'SET'"));
	rest = mms_reply_class_unquoted((struct mms_slice) {text, 10});
	assert_int_equal(rest.len, 10);
	rest = mms_reply_class_unquoted((struct mms_slice) {NULL, 0});
	assert_int_equal(rest.len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_a_server_quotes_is_not_repeated),
		cmocka_unit_test(server_errors_have_a_meaning),
		cmocka_unit_test(a_class_tells_the_breaker_what_it_must_know),
		cmocka_unit_test(a_message_has_node_cause_and_remedy),
		cmocka_unit_test(the_words_give_way_to_the_remedy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
