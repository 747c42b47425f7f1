/* The context: files that can't be used, each with its message, and their renewal. Sessions are tested in test_conn_tls.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "certs.h"
#include "mms_tls.h"

static struct mms_error error;

static struct mms_tls_context *context_of(const char *ca, const char *client, const char *key)
{
	const struct mms_tls_files files = {ca, client, key, true};
	struct mms_tls_context *context = mms_tls_context_new(&files);

	assert_non_null(context);
	return context;
}

static void assert_refused(const char *ca, const char *client, const char *key, const char *words)
{
	struct mms_tls_context *context = context_of(ca, client, key);
	enum mms_status status;

	assert_int_equal(mms_tls_context_load(context, &error), MMS_ERR_CONFIG);
	if (strstr(error.text, words) == NULL) {
		fail_msg("%s lacks: %s", error.text, words);
	}
	assert_null(mms_tls_new(context, 0, "node.lan", &status, &error));
	assert_int_equal(status, MMS_ERR_CONFIG);
	mms_tls_context_free(context);
}

static void copy(const char *from, const char *to)
{
	char command[512];

	snprintf(command, sizeof(command), "cp '%s' '%s.new' && mv '%s.new' '%s'", cert(from), cert(to), cert(to), cert(to));
	assert_int_equal(system(command), 0);
}

static void each_file_that_is_of_no_use_is_named(void **state)
{
	(void) state;
	assert_refused(cert("none.pem"), "", "", "/none.pem: No such file or directory");
	assert_refused(cert("none.pem"), "", "", "mmsession.tls_ca_file = /");
	assert_refused(cert("san"), "", "", "it must hold the CA's certificate as PEM");
	assert_refused(certs, "", "", "it must be a file");
	assert_refused("/dev/null", "", "", "it must be a file");
	assert_int_equal(mkfifo(cert("fifo"), 0600), 0);
	assert_refused(cert("fifo"), "", "", "it must be a file");
	assert_refused("", cert("san"), cert("client.key"), "mmsession.tls_cert_file = ");
	assert_refused("", cert("san"), cert("client.key"), "it must hold this host's certificate as PEM");
	assert_refused("", cert("client.pem"), "", "mmsession.tls_cert_file = ");
	assert_refused("", cert("client.pem"), cert("none.key"), "mmsession.tls_key_file = ");
	assert_refused("", cert("client.pem"), cert("node.key"), "key values mismatch");
	assert_refused("", cert("node.pem"), cert("locked.key"), "without a passphrase"); /* nobody is asked for it */
	assert_refused("", "", cert("client.key"), "but mmsession.tls_cert_file is empty: set both or none");
}

static void good_files_load_and_a_key_may_stand_beside_its_certificate(void **state)
{
	static const char *const lists[][3] = {{"", "", ""}, {"ca.pem", "", ""}, {"ca.pem", "client.pem", "client.key"},
		{"", "both.pem", ""}};
	char command[256];

	(void) state;
	snprintf(command, sizeof(command), "cd '%s' && cat client.pem client.key >both.pem", certs);
	assert_int_equal(system(command), 0);
	for (size_t index = 0; index < sizeof(lists) / sizeof(lists[0]); index++) {
		char paths[3][128];

		for (int which = 0; which < 3; which++) {
			snprintf(paths[which], sizeof(paths[which]), "%s", lists[index][which][0] != '\0' ? cert(lists[index][which]) : "");
		}
		struct mms_tls_context *context = context_of(paths[0], paths[1], paths[2]);

		assert_int_equal(mms_tls_context_load(context, &error), MMS_OK);
		mms_tls_context_free(context);
	}
}

static void renewed_files_are_read_again_and_broken_ones_change_nothing(void **state)
{
	struct mms_tls_context *context;

	(void) state;
	copy("node.pem", "mine.pem");
	copy("node.key", "mine.key");
	context = context_of("", cert("mine.pem"), cert("mine.key"));
	assert_int_equal(mms_tls_context_load(context, &error), MMS_OK);
	copy("client.pem", "mine.pem"); /* its key is still the old one: the middle of a renewal */
	assert_int_equal(mms_tls_context_load(context, &error), MMS_OK);
	copy("client.key", "mine.key");
	assert_int_equal(mms_tls_context_load(context, &error), MMS_OK);
	unlink(cert("mine.pem"));
	assert_int_equal(mms_tls_context_load(context, &error), MMS_OK);
	mms_tls_context_free(context);
	/* There was never anything to go on with. */
	copy("node.pem", "mine.pem");
	context = context_of("", cert("mine.pem"), cert("mine.key"));
	assert_int_equal(mms_tls_context_load(context, &error), MMS_ERR_CONFIG);
	copy("client.pem", "mine.pem");
	assert_int_equal(mms_tls_context_load(context, &error), MMS_OK);
	mms_tls_context_free(context);
}

static void a_frozen_context_looks_at_no_file(void **state)
{
	struct mms_tls_context *context = context_of(cert("ca.pem"), "", "");

	(void) state;
	assert_int_equal(mms_tls_context_load(context, &error), MMS_OK);
	mms_tls_context_freeze(context);
	assert_int_equal(mms_tls_context_load(context, &error), MMS_OK);
	mms_tls_context_free(context);
	context = context_of(cert("none.pem"), "", "");
	assert_int_equal(mms_tls_context_load(context, &error), MMS_ERR_CONFIG);
	mms_tls_context_freeze(context);
	copy("ca.pem", "none.pem");
	assert_int_equal(mms_tls_context_load(context, &error), MMS_ERR_CONFIG);
	unlink(cert("none.pem"));
	mms_tls_context_free(context);
	mms_tls_context_freeze(NULL);
}

/* Its own session's end is told by what the peer sees: nothing. */
static void a_session_that_is_given_up_says_nothing(void **state)
{
	struct mms_tls_context *context = context_of("", "", "");
	enum mms_status status;
	char byte;
	int fds[2];

	(void) state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	struct mms_tls *tls = mms_tls_new(context, fds[0], "node.lan.", &status, &error);

	assert_non_null(tls);
	assert_true(mms_tls_wants_write(tls));
	assert_false(mms_tls_begun(tls));
	assert_false(mms_tls_finished(tls));
	assert_false(mms_tls_pending(tls));
	assert_string_equal(mms_tls_failure(tls), "");
	mms_tls_free(tls);
	assert_int_equal(recv(fds[1], &byte, 1, MSG_DONTWAIT), -1);
	tls = mms_tls_new(context, fds[0], "node.lan", &status, &error);
	assert_int_equal(mms_tls_write(tls, "x", 1), -1);
	assert_true(mms_tls_begun(tls));
	assert_false(mms_tls_wants_write(tls));
	close(fds[1]);
	assert_true(mms_tls_write(tls, "x", 1) < 0); /* and no SIGPIPE */
	mms_tls_free(tls);
	close(fds[0]);
	mms_tls_context_free(context);
}

static int setup(void **state)
{
	(void) state;
	return certs_make();
}

static int teardown(void **state)
{
	(void) state;
	certs_remove();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_file_that_is_of_no_use_is_named),
		cmocka_unit_test(good_files_load_and_a_key_may_stand_beside_its_certificate),
		cmocka_unit_test(renewed_files_are_read_again_and_broken_ones_change_nothing),
		cmocka_unit_test(a_frozen_context_looks_at_no_file),
		cmocka_unit_test(a_session_that_is_given_up_says_nothing),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
