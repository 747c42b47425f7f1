/* Connections with TLS to real servers, through a relay that the test plays itself: slices, stalls, resets, certificates of all
 * kinds, and that nothing readable ever passes. Runs once for every server found (see server.h). */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "certs.h"
#include "mms_conn.h"
#include "mms_put.h"
#include "mms_tls.h"
#include "server.h"

#define S(literal) ((struct mms_slice) {literal, sizeof(literal) - 1})
#define EMPTY ((struct mms_slice) {"", 0})
#define ALL SIZE_MAX

static const char *program;
static struct server server;
static int tls_port;
static struct mms_error error;
static struct mms_tls_context *context;
static struct mms_conn *conn;

/* Between the connection and the server; sockets are -1 when there is none. */
static struct {
	int listener, near, far;
	size_t slice;             /* forwarded at once in each direction, 0 = nothing */
	char seen[1 << 16];       /* the first that passed, both ways */
	size_t seen_len, moved, sent; /* both ways; to the server */
	int flip;                 /* a bit of the next bytes from the server */
} relay;

static void relay_open(void)
{
	struct sockaddr_in address = address_of_port(0);

	memset(&relay, 0, sizeof(relay));
	relay.near = relay.far = -1;
	relay.slice = ALL;
	relay.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(relay.listener, (struct sockaddr *) &address, sizeof(address)), 0);
	assert_int_equal(listen(relay.listener, 8), 0);
}

static void relay_drop(bool reset)
{
	struct linger linger = {reset, 0};

	if (relay.near >= 0) {
		setsockopt(relay.near, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		close(relay.near);
	}
	if (relay.far >= 0) {
		close(relay.far);
	}
	relay.near = relay.far = -1;
}

static void relay_close(void)
{
	relay_drop(false);
	close(relay.listener);
}

/* Whether something passed. An end is passed on. */
static bool forward(int from, int to)
{
	static char buffer[65536];
	size_t size = relay.slice < sizeof(buffer) ? relay.slice : sizeof(buffer);
	ssize_t len = size == 0 ? -1 : recv(from, buffer, size, MSG_DONTWAIT);

	if (len == 0) {
		shutdown(to, SHUT_WR);
	}
	if (len <= 0) {
		return false;
	}
	if (relay.flip && from == relay.far) {
		buffer[len - 1] ^= 4;
		relay.flip = 0;
	}
	for (ssize_t index = 0; index < len && relay.seen_len < sizeof(relay.seen); index++) {
		relay.seen[relay.seen_len++] = buffer[index];
	}
	relay.moved += (size_t) len;
	relay.sent += from == relay.near ? (size_t) len : 0;
	for (ssize_t done = 0; done < len;) {
		struct pollfd room = {to, POLLOUT, 0};
		ssize_t result = send(to, buffer + done, (size_t) (len - done), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (result < 0 && errno != EAGAIN) {
			return false;
		}
		done += result > 0 ? result : 0;
		if (result < 0 && to == relay.far) {
			poll(&room, 1, 100);
		} else if (result < 0) { /* the connection under test is to take it */
			assert_int_equal(mms_conn_receive(conn, &error), MMS_OK);
		}
	}
	return true;
}

static void relay_turn(void)
{
	if (relay.near < 0) {
		struct pollfd waiting = {relay.listener, POLLIN, 0};
		struct sockaddr_in address = address_of_port(tls_port);

		if (poll(&waiting, 1, 0) != 1) {
			return;
		}
		relay.near = accept4(relay.listener, NULL, NULL, SOCK_CLOEXEC);
		relay.far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(relay.far, (struct sockaddr *) &address, sizeof(address)), 0);
	}
	(void) forward(relay.near, relay.far);
	(void) forward(relay.far, relay.near);
}

static struct mms_tls_context *context_of(const char *ca, const char *client, const char *key, bool verify)
{
	const struct mms_tls_files files = {ca, client, key, verify};

	context = mms_tls_context_new(&files);
	assert_non_null(context);
	return context;
}

static void conn_make(struct mms_tls_context *with, const char *name)
{
	const struct mms_conn_options options = {.node_name = "web2", .node_address = "tls://10.0.0.2:6380", .user = EMPTY,
		.password = EMPTY, .tls = with, .tls_name = name, .max_reply_bytes = 64 << 20, .max_output_bytes = 64 << 20};

	conn = mms_conn_new(&options);
	assert_non_null(conn);
}

static enum mms_status conn_open(void)
{
	struct sockaddr_in address;
	socklen_t len = sizeof(address);

	assert_int_equal(getsockname(relay.listener, (struct sockaddr *) &address, &len), 0);
	return mms_conn_open(conn, (struct sockaddr *) &address, len, &error);
}

static void conn_end(void)
{
	mms_conn_free(conn);
	mms_tls_context_free(context);
	conn = NULL;
	context = NULL;
	relay_drop(false);
}

/* One turn as the loops of the library do it. */
static enum mms_status turn(int wait_ms)
{
	short wants = mms_conn_wants_write(conn) ? POLLIN | POLLOUT : POLLIN;
	struct pollfd waiting = {mms_conn_fd(conn), wants, 0};
	enum mms_status status = MMS_OK;

	relay_turn();
	if (poll(&waiting, 1, wait_ms) == 1) {
		if (mms_conn_wants_write(conn)) {
			status = mms_conn_flush(conn, &error);
		}
		if (status == MMS_OK) {
			status = mms_conn_receive(conn, &error);
		}
	}
	return status;
}

static enum mms_status await(struct mms_reply **reply)
{
	int64_t deadline = test_now_ms() + SERVER_DEADLINE_MS;
	enum mms_status status = MMS_OK;

	*reply = NULL;
	while (status == MMS_OK) {
		status = mms_conn_take_reply(conn, reply, &error);
		if (status != MMS_OK || *reply != NULL || test_now_ms() > deadline) {
			break;
		}
		status = turn(1);
	}
	return status;
}

static enum mms_status ping(void)
{
	struct mms_command command;
	struct mms_reply *reply = NULL;

	mms_command_init(&command);
	mms_command_ping(&command);
	enum mms_status status = mms_conn_send(conn, &command, &error);

	if (status == MMS_OK) {
		status = await(&reply);
	}
	if (status == MMS_OK) {
		assert_non_null(reply);
		assert_memory_equal(mms_reply_text(reply).ptr, "PONG", 4);
	}
	mms_reply_free(reply);
	return status;
}

static enum mms_status visit(struct mms_tls_context *with, const char *name)
{
	conn_make(with, name);
	enum mms_status status = conn_open();

	if (status == MMS_OK) {
		status = ping();
	}
	if (status != MMS_OK) {
		assert_int_equal(mms_conn_state(conn), MMS_CONN_CLOSED);
		assert_int_equal(strncmp(error.text, "node web2 (tls://10.0.0.2:6380): ", 33), 0);
	}
	return status;
}

static void assert_said(const char *words)
{
	if (strstr(error.text, words) == NULL) {
		fail_msg("%s lacks: %s", error.text, words);
	}
}

static void assert_unseen(const char *words)
{
	assert_true(relay.seen_len > 0);
	assert_null(memmem(relay.seen, relay.seen_len, words, strlen(words)));
}

/* The server with these settings; NULL-terminated. */
static void serve(const char *certificate, const char *clients)
{
	char port[16], key[96];

	snprintf(key, sizeof(key), "%.*s.key", (int) (strlen(cert(certificate)) - 4), cert(certificate));
	server_stop(&server);
	tls_port = port_pick();
	snprintf(port, sizeof(port), "%d", tls_port);
	const char *const extra[] = {"--tls-port", port, "--tls-cert-file", cert(certificate), "--tls-key-file", key,
		"--tls-ca-cert-file", cert("ca.pem"), "--tls-auth-clients", clients, NULL};

	assert_true(server_start(&server, program, extra));
}

static int setup(void **state)
{
	(void) state;
	relay_open();
	return 0;
}

static int teardown(void **state)
{
	(void) state;
	conn_end();
	relay_close();
	return 0;
}

static void commands_are_answered_and_nothing_readable_passes(void **state)
{
	char told[160];

	(void) state;
	assert_int_equal(visit(context_of(cert("ca.pem"), "", "", true), "node.lan"), MMS_OK);
	for (int round = 0; round < 100; round++) {
		assert_int_equal(ping(), MMS_OK);
	}
	mms_tls_describe(mms_conn_tls(conn), told, sizeof(told));
	assert_int_equal(strncmp(told, "TLSv1.", 6), 0);
	assert_null(strstr(told, "not verified"));
	assert_unseen("PING");
	assert_unseen("PONG");
	assert_unseen("SCRIPT");
}

static void a_certificate_is_for_an_address_too(void **state)
{
	(void) state;
	assert_int_equal(visit(context_of(cert("ca.pem"), "", "", true), "127.0.0.1"), MMS_OK);
	conn_end();
	assert_int_equal(visit(context_of(cert("ca.pem"), "", "", true), "127.0.0.2"), MMS_ERR_CONNECT);
	assert_said("TLS handshake: the node's certificate is not for 127.0.0.2");
}

static void a_handshake_in_single_bytes_is_one(void **state)
{
	(void) state;
	relay.slice = 1;
	conn_make(context_of(cert("ca.pem"), "", "", true), "node.lan");
	assert_int_equal(conn_open(), MMS_OK);
	assert_int_equal(mms_conn_state(conn), MMS_CONN_CONNECTING);
	int64_t deadline = test_now_ms() + SERVER_DEADLINE_MS;

	while (mms_conn_state(conn) == MMS_CONN_CONNECTING && test_now_ms() < deadline) {
		assert_int_equal(turn(0), MMS_OK);
	}
	assert_int_equal(mms_conn_state(conn), MMS_CONN_OPEN);
	assert_true(relay.moved > 500);
	relay.slice = 20;
	assert_int_equal(ping(), MMS_OK);
}

static void a_stalled_handshake_is_connecting_and_keeps_nobody_busy(void **state)
{
	struct pollfd waiting;
	struct mms_command command;

	(void) state;
	relay.slice = 0;
	conn_make(context_of(cert("ca.pem"), "", "", true), "node.lan");
	assert_int_equal(conn_open(), MMS_OK);
	mms_command_init(&command);
	mms_command_ping(&command);
	assert_int_equal(mms_conn_send(conn, &command, &error), MMS_OK);
	for (int round = 0; round < 20; round++) {
		assert_int_equal(turn(5), MMS_OK);
	}
	assert_int_equal(mms_conn_state(conn), MMS_CONN_CONNECTING);
	assert_string_equal(mms_conn_stage(conn), "TLS handshake (is this a port for TLS?)");
	assert_false(mms_conn_wants_write(conn)); /* there is output, but it waits for bytes */
	assert_true(mms_conn_queued_bytes(conn) > 0);
	waiting = (struct pollfd) {mms_conn_fd(conn), POLLIN, 0};
	assert_int_equal(poll(&waiting, 1, 20), 0);
	relay.slice = ALL;
	struct mms_reply *reply;

	assert_int_equal(await(&reply), MMS_OK);
	assert_non_null(reply);
	mms_reply_free(reply);
}

static void a_connection_lost_in_the_handshake_was_never_one(void **state)
{
	char hello[4096];

	(void) state;
	for (int reset = 0; reset < 2; reset++) {
		enum mms_status status = MMS_OK;

		relay.slice = 0;
		conn_make(context_of(cert("ca.pem"), "", "", true), "node.lan");
		assert_int_equal(conn_open(), MMS_OK);
		for (int round = 0; round < 5; round++) {
			assert_int_equal(turn(1), MMS_OK);
		}
		assert_true(relay.near >= 0);
		assert_true(recv(relay.near, hello, sizeof(hello), 0) > 0); /* what is not read would make a reset of any close */
		relay_drop(reset);
		for (int round = 0; round < 100 && status == MMS_OK; round++) {
			status = turn(10);
		}
		assert_int_equal(status, MMS_ERR_CONNECT);
		assert_said("TLS handshake (is this a port for TLS?): ");
		assert_said(reset ? "Connection reset by peer" : "the server closed the connection");
		conn_end();
	}
}

static void a_refused_connect_is_no_matter_of_tls(void **state)
{
	struct sockaddr_in address = address_of_port(port_pick());
	enum mms_status status;

	(void) state;
	conn_make(context_of(cert("ca.pem"), "", "", true), "node.lan");
	status = mms_conn_open(conn, (struct sockaddr *) &address, sizeof(address), &error);
	for (int round = 0; round < 100 && status == MMS_OK; round++) {
		status = turn(10);
	}
	assert_int_equal(status, MMS_ERR_CONNECT);
	assert_said("): connect: Connection refused");
}

static void a_server_without_tls_is_not_talked_to(void **state)
{
	enum mms_status status = MMS_OK;
	char got[4096];

	(void) state;
	conn_make(context_of(cert("ca.pem"), "", "", true), "node.lan");
	assert_int_equal(conn_open(), MMS_OK);
	relay.near = accept4(relay.listener, NULL, NULL, SOCK_CLOEXEC);
	relay.slice = 0;
	assert_int_equal(turn(5), MMS_OK);
	ssize_t len = recv(relay.near, got, sizeof(got), 0);

	assert_true(len > 3);
	assert_int_equal(got[0], 0x16); /* a handshake, and nothing else */
	assert_null(memmem(got, (size_t) len, "SCRIPT", 6));
	assert_int_equal(send(relay.near, "-ERR unknown command\r\n", 22, MSG_NOSIGNAL), 22);
	for (int round = 0; round < 100 && status == MMS_OK; round++) {
		status = turn(10);
	}
	assert_int_equal(status, MMS_ERR_CONNECT);
	assert_said("TLS handshake: ");
	assert_said("what answers does not speak TLS; is this the node's tls-port?");
}

static void a_wrong_certificate_is_refused_with_its_remedy(void **state)
{
	(void) state;
	assert_int_equal(visit(context_of(cert("other.pem"), "", "", true), "node.lan"), MMS_ERR_CONNECT);
	assert_said("TLS handshake: the node's certificate: ");
	assert_said("mmsession.tls_ca_file must hold the certificate of the CA that signed the node's");
	conn_end();
	assert_int_equal(visit(context_of("", "", "", true), "node.lan"), MMS_ERR_CONNECT); /* what the system trusts */
	assert_said("mmsession.tls_ca_file must hold");
	conn_end();
	assert_int_equal(visit(context_of(cert("ca.pem"), "", "", true), "node.lam"), MMS_ERR_CONNECT);
	assert_said("the node's certificate is not for node.lam: write a name that it is for into the node list, as host or as ?tls_name=");
	conn_end();
	serve("expired.pem", "no");
	assert_int_equal(visit(context_of(cert("ca.pem"), "", "", true), "node.lan"), MMS_ERR_CONNECT);
	assert_said("certificate has expired: renew it on the node");
	conn_end();
	serve("future.pem", "no");
	assert_int_equal(visit(context_of(cert("ca.pem"), "", "", true), "node.lan"), MMS_ERR_CONNECT);
	assert_said("certificate is not yet valid: is this host's clock right?");
	conn_end();
	serve("node.pem", "no");
}

static void without_verification_any_certificate_will_do_and_it_is_said(void **state)
{
	char told[160];

	(void) state;
	assert_int_equal(visit(context_of("", "", "", false), "elsewhere.example.com"), MMS_OK);
	mms_tls_describe(mms_conn_tls(conn), told, sizeof(told));
	assert_non_null(strstr(told, ", certificate not verified"));
	assert_unseen("PONG");
}

static void a_client_certificate_is_shown_where_it_is_demanded(void **state)
{
	(void) state;
	serve("node.pem", "yes");
	for (int round = 0; round < 20; round++) { /* whatever comes first: the alert, or that the server has closed */
		enum mms_status status = visit(context_of(cert("ca.pem"), "", "", true), "node.lan");

		assert_true(status == MMS_ERR_CONNECT || status == MMS_ERR_PROTOCOL);
		assert_said("set mmsession.tls_cert_file and mmsession.tls_key_file, or tls-auth-clients on the node");
		conn_end();
	}
	assert_int_equal(visit(context_of(cert("ca.pem"), cert("client.pem"), cert("client.key"), true), "node.lan"), MMS_OK);
	conn_end();
	assert_int_equal(visit(context_of(cert("ca.pem"), cert("other.pem"), cert("other.key"), true), "node.lan"),
			MMS_ERR_PROTOCOL);
	assert_said("the node refuses; does it want a client certificate (mmsession.tls_cert_file) that its CA signed?");
	conn_end();
	serve("node.pem", "no");
}

static void big_records_pass_in_both_directions_through_small_buffers(void **state)
{
	const size_t len = 2 << 20;
	char *payload = malloc(len);
	unsigned char header[MMS_RECORD_HEADER_SIZE];
	struct mms_record_header record = {.version = {.hlc = 5}};
	struct mms_slice bytes = {payload, len}, found;
	int small = 4096;

	(void) state;
	assert_non_null(payload);
	for (size_t index = 0; index < len; index++) {
		payload[index] = (char) (index * 2654435761u >> 13);
	}
	memcpy(payload, "readable words", 14);
	mms_record_describe(&record, bytes);
	mms_record_encode(&record, S("key"), header);
	assert_int_equal(visit(context_of(cert("ca.pem"), "", "", true), "node.lan"), MMS_OK);
	assert_int_equal(setsockopt(mms_conn_fd(conn), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	for (int round = 0; round < 3; round++) {
		struct mms_command command;
		struct mms_reply *first, *second;
		struct mms_put_result result;

		relay.slice = round == 1 ? 1000 : ALL;
		mms_command_init(&command);
		mms_command_put(&command, S("key"), S("tmp"), header, bytes, 60000, EMPTY);
		assert_int_equal(mms_conn_send(conn, &command, &error), MMS_OK);
		assert_true(mms_conn_wants_write(conn)); /* it did not fit */
		assert_int_equal(await(&first), MMS_OK);
		assert_int_equal(await(&second), MMS_OK);
		mms_put_parse(first, second, &result);
		assert_int_equal(result.outcome, round == 0 ? MMS_PUT_STORED : MMS_PUT_EQUAL);
		mms_reply_free(first);
		mms_reply_free(second);
		assert_int_equal(mms_conn_queued_bytes(conn), 0);
		mms_command_init(&command);
		mms_command_read_whole(&command, S("key"));
		assert_int_equal(mms_conn_send(conn, &command, &error), MMS_OK);
		assert_int_equal(await(&first), MMS_OK);
		assert_int_equal(await(&second), MMS_OK);
		assert_int_equal(mms_record_decode_whole(mms_reply_text(first), S("key"), &record, &found), MMS_RECORD_GOOD);
		assert_int_equal(found.len, len);
		assert_memory_equal(found.ptr, payload, len);
		mms_reply_free(first);
		mms_reply_free(second);
	}
	assert_unseen("readable words");
	free(payload);
}

static void many_small_replies_are_all_read(void **state)
{
	struct mms_command command;
	struct mms_reply *reply;

	(void) state;
	assert_int_equal(visit(context_of(cert("ca.pem"), "", "", true), "node.lan"), MMS_OK);
	for (int count = 0; count < 20000; count++) {
		mms_command_init(&command);
		mms_command_ping(&command);
		assert_int_equal(mms_conn_queue(conn, &command, &error), MMS_OK);
	}
	assert_int_equal(mms_conn_flush(conn, &error), MMS_OK);
	for (int count = 0; count < 20000; count++) {
		assert_int_equal(await(&reply), MMS_OK);
		assert_non_null(reply);
		mms_reply_free(reply);
	}
	assert_int_equal(mms_conn_outstanding(conn), 0);
}

static void a_changed_bit_is_noticed(void **state)
{
	enum mms_status status;

	(void) state;
	assert_int_equal(visit(context_of(cert("ca.pem"), "", "", true), "node.lan"), MMS_OK);
	for (int round = 0; round < 10; round++) { /* session tickets are out of the way */
		assert_int_equal(turn(2), MMS_OK);
	}
	relay.flip = 1;
	status = ping();
	assert_int_equal(status, MMS_ERR_PROTOCOL);
	assert_said("): TLS: ");
}

static void a_closed_idle_connection_is_no_fault(void **state)
{
	(void) state;
	assert_int_equal(visit(context_of(cert("ca.pem"), "", "", true), "node.lan"), MMS_OK);
	for (int round = 0; round < 10; round++) {
		assert_int_equal(turn(2), MMS_OK);
	}
	relay_drop(false);
	assert_int_equal(turn(1000), MMS_ERR_CLOSED);
	assert_said("the server closed the idle connection");
}

static void a_child_closes_without_a_byte_and_the_parent_goes_on(void **state)
{
	int outcome = -1;

	(void) state;
	assert_int_equal(visit(context_of(cert("ca.pem"), "", "", true), "node.lan"), MMS_OK);
	for (int round = 0; round < 10; round++) {
		assert_int_equal(turn(2), MMS_OK);
	}
	size_t moved = relay.moved;
	pid_t child = fork();

	if (child == 0) {
		mms_conn_close(conn);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &outcome, 0), child);
	assert_int_equal(outcome, 0);
	for (int round = 0; round < 10; round++) {
		assert_int_equal(turn(2), MMS_OK);
	}
	assert_int_equal(relay.moved, moved);
	assert_int_equal(ping(), MMS_OK);
}

static void without_a_context_nothing_is_sent(void **state)
{
	(void) state;
	assert_int_equal(visit(NULL, "node.lan"), MMS_ERR_CONNECT);
	assert_said("TLS: there is no context for it");
	relay_turn();
	assert_int_equal(relay.sent, 0);
}

int main(void)
{
	static char paths[SERVERS_MAX][PATH_MAX];
	size_t count = servers_find(paths);
	int failed = 0;
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(commands_are_answered_and_nothing_readable_passes),
		TEST(a_certificate_is_for_an_address_too),
		TEST(a_handshake_in_single_bytes_is_one),
		TEST(a_stalled_handshake_is_connecting_and_keeps_nobody_busy),
		TEST(a_connection_lost_in_the_handshake_was_never_one),
		TEST(a_refused_connect_is_no_matter_of_tls),
		TEST(a_server_without_tls_is_not_talked_to),
		TEST(a_wrong_certificate_is_refused_with_its_remedy),
		TEST(without_verification_any_certificate_will_do_and_it_is_said),
		TEST(a_client_certificate_is_shown_where_it_is_demanded),
		TEST(big_records_pass_in_both_directions_through_small_buffers),
		TEST(many_small_replies_are_all_read),
		TEST(a_changed_bit_is_noticed),
		TEST(a_closed_idle_connection_is_no_fault),
		TEST(a_child_closes_without_a_byte_and_the_parent_goes_on),
		TEST(without_a_context_nothing_is_sent),
	};

	if (count == 0) {
		return servers_missing("test_conn_tls");
	}
	if (certs_make() != 0) {
		fprintf(stderr, "test_conn_tls: openssl made no certificates in %s\n", certs);
		return 1;
	}
	for (size_t index = 0; index < count; index++) {
		program = paths[index];
		printf("# %s\n", program);
		serve("node.pem", "no");
		failed += cmocka_run_group_tests(tests, NULL, NULL);
		server_stop(&server);
	}
	certs_remove();
	return failed;
}
