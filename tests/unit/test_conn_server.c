/* Connections to real servers: handshake with every kind of credentials, refusals, big records, idle close. Runs once for
 * every server found (see server.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mms_conn.h"
#include "mms_put.h"
#include "server.h"

#define S(literal) ((struct mms_slice) {literal, sizeof(literal) - 1})
#define EMPTY ((struct mms_slice) {"", 0})

static const char *program;
static struct server server;
static struct client admin; /* logged in, whatever a test changes */
static struct mms_error error;

static struct mms_conn *conn_of(struct mms_slice user, struct mms_slice password, uint32_t db)
{
	const struct mms_conn_options options = {.node_name = "web2", .node_address = server.socket_path, .user = user,
		.password = password, .db = db, .max_reply_bytes = 64 << 20, .max_output_bytes = 64 << 20};
	struct mms_conn *conn = mms_conn_new(&options);

	assert_non_null(conn);
	return conn;
}

static enum mms_status open_conn(struct mms_conn *conn, bool tcp)
{
	struct sockaddr_in in = address_of_port(server.port);
	struct sockaddr_un un = address_of_path(server.socket_path);

	return tcp ? mms_conn_open(conn, (struct sockaddr *) &in, sizeof(in), &error)
			: mms_conn_open(conn, (struct sockaddr *) &un, sizeof(un), &error);
}

/* Waits for the next reply, as a request thread would. */
static enum mms_status await(struct mms_conn *conn, struct mms_reply **reply)
{
	int64_t deadline = test_now_ms() + SERVER_DEADLINE_MS;
	enum mms_status status = MMS_OK;

	*reply = NULL;
	while (status == MMS_OK) {
		status = mms_conn_take_reply(conn, reply, &error);
		if (status != MMS_OK || *reply != NULL || test_now_ms() > deadline) {
			break;
		}
		short wants = mms_conn_wants_write(conn) ? POLLIN | POLLOUT : POLLIN;
		struct pollfd waiting = {mms_conn_fd(conn), wants, 0};

		assert_true(poll(&waiting, 1, 1000) >= 0);
		if ((waiting.revents & POLLOUT) != 0) {
			status = mms_conn_flush(conn, &error);
		}
		if (status == MMS_OK && (waiting.revents & ~POLLOUT) != 0) {
			status = mms_conn_receive(conn, &error);
		}
	}
	return status;
}

static enum mms_status ping(struct mms_conn *conn)
{
	struct mms_command command;
	struct mms_reply *reply = NULL;

	mms_command_init(&command);
	mms_command_ping(&command);
	enum mms_status status = mms_conn_send(conn, &command, &error);

	if (status == MMS_OK) {
		status = await(conn, &reply);
	}
	if (status == MMS_OK) {
		assert_non_null(reply);
		assert_memory_equal(mms_reply_text(reply).ptr, "PONG", 4);
	}
	mms_reply_free(reply);
	return status;
}

static enum mms_status open_and_ping(struct mms_slice user, struct mms_slice password, enum mms_reply_class *class_)
{
	struct mms_conn *conn = conn_of(user, password, 0);

	assert_int_equal(open_conn(conn, false), MMS_OK);
	enum mms_status status = ping(conn);

	*class_ = mms_conn_refusal(conn);
	mms_conn_free(conn);
	return status;
}

static void assert_said(const char *words)
{
	if (strstr(error.text, words) == NULL) {
		fail_msg("%s lacks: %s", error.text, words);
	}
	assert_null(strstr(error.text, "topsecret"));
}

static void a_command_is_answered_over_both_kinds_of_socket(void **state)
{
	(void) state;
	for (int tcp = 0; tcp < 2; tcp++) {
		struct mms_conn *conn = conn_of(EMPTY, EMPTY, 0);

		assert_int_equal(open_conn(conn, tcp == 1), MMS_OK);
		for (int round = 0; round < 100; round++) {
			assert_int_equal(ping(conn), MMS_OK);
		}
		assert_int_equal(mms_conn_outstanding(conn), 0);
		mms_conn_free(conn);
	}
}

static void the_handshake_loads_the_scripts_and_selects_the_database(void **state)
{
	struct mms_conn *conn = conn_of(EMPTY, EMPTY, 3);
	struct mms_command command;
	unsigned char header[MMS_RECORD_HEADER_SIZE];
	struct mms_record_header record = {.version = {.hlc = 5}};
	struct mms_reply *first, *second;
	struct mms_put_result result;

	(void) state;
	assert_true(client_do(&admin, 2, "SCRIPT", "FLUSH"));
	mms_record_describe(&record, S("payload"));
	mms_record_encode(&record, S("key"), header);
	mms_command_init(&command);
	mms_command_put(&command, S("key"), S("tmp"), header, S("payload"), 60000, EMPTY);
	assert_int_equal(open_conn(conn, true), MMS_OK);
	assert_int_equal(mms_conn_send(conn, &command, &error), MMS_OK);
	assert_int_equal(await(conn, &first), MMS_OK);
	assert_int_equal(await(conn, &second), MMS_OK);
	mms_put_parse(first, second, &result);
	mms_reply_free(first);
	mms_reply_free(second);
	assert_int_equal(result.outcome, MMS_PUT_STORED);
	assert_int_equal(client_integer(&admin, "EXISTS", "key"), 0);
	assert_true(client_do(&admin, 2, "SELECT", "3"));
	assert_int_equal(client_integer(&admin, "EXISTS", "key"), 1);
	assert_true(client_do(&admin, 1, "FLUSHDB"));
	assert_true(client_do(&admin, 2, "SELECT", "0"));
	mms_conn_free(conn);
	conn = conn_of(EMPTY, EMPTY, 100000);
	assert_int_equal(open_conn(conn, false), MMS_OK);
	assert_int_equal(ping(conn), MMS_ERR_REFUSED);
	assert_said("SELECT: ERR");
	assert_said("check the db of this node");
	mms_conn_free(conn);
}

static void big_records_pass_in_both_directions(void **state)
{
	const size_t len = 20 << 20;
	char *payload = malloc(len);
	unsigned char header[MMS_RECORD_HEADER_SIZE];
	struct mms_record_header record = {.version = {.hlc = 5}};

	(void) state;
	assert_non_null(payload);
	for (size_t index = 0; index < len; index++) {
		payload[index] = (char) (index * 2654435761u >> 13);
	}
	struct mms_slice bytes = {payload, len}, found;

	mms_record_describe(&record, bytes);
	mms_record_encode(&record, S("key"), header);
	for (int tcp = 0; tcp < 2; tcp++) {
		struct mms_conn *conn = conn_of(EMPTY, EMPTY, 0);
		struct mms_command command;
		struct mms_reply *first, *second;
		struct mms_put_result result;

		assert_int_equal(open_conn(conn, tcp == 1), MMS_OK);
		mms_command_init(&command);
		mms_command_put(&command, S("key"), S("tmp"), header, bytes, 60000, EMPTY);
		assert_int_equal(mms_conn_send(conn, &command, &error), MMS_OK);
		assert_int_equal(await(conn, &first), MMS_OK);
		assert_int_equal(await(conn, &second), MMS_OK);
		mms_put_parse(first, second, &result);
		mms_reply_free(first);
		mms_reply_free(second);
		assert_int_equal(result.outcome, tcp == 0 ? MMS_PUT_STORED : MMS_PUT_EQUAL);
		assert_int_equal(mms_conn_queued_bytes(conn), 0);
		mms_command_init(&command);
		mms_command_read_whole(&command, S("key"));
		assert_int_equal(mms_conn_send(conn, &command, &error), MMS_OK);
		assert_int_equal(await(conn, &first), MMS_OK);
		assert_int_equal(await(conn, &second), MMS_OK);
		assert_int_equal(mms_record_decode_whole(mms_reply_text(first), S("key"), &record, &found), MMS_RECORD_GOOD);
		assert_int_equal(found.len, len);
		assert_memory_equal(found.ptr, payload, len);
		mms_reply_free(first);
		mms_reply_free(second);
		mms_conn_free(conn);
	}
	assert_true(client_do(&admin, 2, "DEL", "key"));
	free(payload);
}

static void a_password_is_needed_and_a_wrong_one_is_said(void **state)
{
	enum mms_reply_class class_;

	(void) state;
	assert_int_equal(open_and_ping(EMPTY, S("topsecret"), &class_), MMS_ERR_REFUSED); /* the server has none yet */
	assert_int_equal(class_, MMS_CLASS_AUTH);
	assert_said("leave mmsession.password_file empty");
	assert_true(client_do(&admin, 4, "CONFIG", "SET", "requirepass", "topsecret"));
	assert_int_equal(open_and_ping(EMPTY, S("topsecret"), &class_), MMS_OK);
	assert_int_equal(class_, MMS_CLASS_NONE);
	assert_int_equal(open_and_ping(EMPTY, S("topsecret2"), &class_), MMS_ERR_REFUSED);
	assert_int_equal(class_, MMS_CLASS_AUTH);
	assert_said("node web2 (");
	assert_said("): AUTH: ");
	assert_said("check mmsession.user and mmsession.password_file");
	assert_int_equal(open_and_ping(EMPTY, EMPTY, &class_), MMS_ERR_REFUSED);
	assert_int_equal(class_, MMS_CLASS_AUTH);
	assert_said("(SCRIPT LOAD): NOAUTH");
	assert_said("check mmsession.user and mmsession.password_file");
	assert_true(client_do(&admin, 4, "CONFIG", "SET", "requirepass", ""));
}

static void a_user_logs_in_and_a_missing_permission_is_named(void **state)
{
	enum mms_reply_class class_;
	struct mms_reply *reply = client_ask(&admin, 2, "ACL", "WHOAMI");
	bool has_users = mms_reply_type(reply) != MMS_REPLY_ERROR;

	(void) state;
	mms_reply_free(reply);
	if (!has_users) {
		fprintf(stderr, "this server has no users\n");
		skip();
	}
	assert_true(client_do(&admin, 7, "ACL", "SETUSER", "joe", "on", ">topsecret", "~*", "+@all"));
	assert_int_equal(open_and_ping(S("joe"), S("topsecret"), &class_), MMS_OK);
	assert_int_equal(open_and_ping(S("joe"), S("wrong"), &class_), MMS_ERR_REFUSED);
	assert_int_equal(class_, MMS_CLASS_AUTH);
	assert_said("AUTH: WRONGPASS");
	assert_int_equal(open_and_ping(S("jim"), S("topsecret"), &class_), MMS_ERR_REFUSED);
	assert_int_equal(class_, MMS_CLASS_AUTH);
	assert_true(client_do(&admin, 4, "ACL", "SETUSER", "joe", "-script"));
	assert_int_equal(open_and_ping(S("joe"), S("topsecret"), &class_), MMS_ERR_REFUSED);
	assert_int_equal(class_, MMS_CLASS_PERMISSION);
	assert_said("(SCRIPT LOAD): NOPERM");
	assert_said("needs the permissions +script|load and +evalsha");
	assert_true(client_do(&admin, 3, "ACL", "DELUSER", "joe"));
}

static void a_server_without_room_for_clients_says_so(void **state)
{
	struct mms_conn *conns[8];
	enum mms_status status = MMS_OK;
	size_t count = 0;

	(void) state;
	assert_true(client_do(&admin, 4, "CONFIG", "SET", "maxclients", "3"));
	while (count < 8 && status == MMS_OK) {
		conns[count] = conn_of(EMPTY, EMPTY, 0);
		status = open_conn(conns[count], count % 2 == 0);
		if (status == MMS_OK) {
			status = ping(conns[count]);
		}
		count++;
	}
	assert_int_equal(status, MMS_ERR_REFUSED);
	assert_int_equal(mms_conn_refusal(conns[count - 1]), MMS_CLASS_HARD);
	assert_said("max number of clients");
	while (count > 0) {
		mms_conn_free(conns[--count]);
	}
	assert_true(client_do(&admin, 4, "CONFIG", "SET", "maxclients", "1000"));
}

static void a_connection_that_the_server_closes_while_idle_is_no_fault(void **state)
{
	(void) state;
	for (int tcp = 0; tcp < 2; tcp++) {
		struct mms_conn *conn = conn_of(EMPTY, EMPTY, 0);

		assert_int_equal(open_conn(conn, tcp == 1), MMS_OK);
		assert_int_equal(ping(conn), MMS_OK);
		assert_true(client_do(&admin, 6, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"));
		int64_t deadline = test_now_ms() + SERVER_DEADLINE_MS;
		enum mms_status status = MMS_OK;

		while (status == MMS_OK && test_now_ms() < deadline) { /* the server may take its time */
			test_pause();
			status = ping(conn);
		}
		assert_int_equal(status, MMS_ERR_CLOSED);
		assert_said("the server closed the idle connection");
		assert_int_equal(open_conn(conn, tcp == 1), MMS_OK);
		assert_int_equal(ping(conn), MMS_OK);
		mms_conn_free(conn);
	}
}

static void a_killed_server_is_refused_at_the_next_connect(void **state)
{
	struct mms_conn *conn = conn_of(EMPTY, EMPTY, 0);
	struct server other;

	(void) state;
	struct server first = server;

	assert_true(server_start(&other, program, NULL));
	server = other;
	assert_int_equal(open_conn(conn, true), MMS_OK);
	assert_int_equal(ping(conn), MMS_OK);
	server_stop(&other);
	assert_int_equal(ping(conn), MMS_ERR_CLOSED);
	enum mms_status status = open_conn(conn, true);

	if (status == MMS_OK) {
		status = ping(conn);
	}
	assert_int_equal(status, MMS_ERR_CONNECT);
	assert_said("connect: Connection refused");
	assert_int_equal(open_conn(conn, false), MMS_ERR_CONNECT);
	server = first;
	mms_conn_free(conn);
}

static void many_commands_in_flight_are_answered_in_order(void **state)
{
	struct mms_conn *conn = conn_of(EMPTY, EMPTY, 0);
	char value[32], key[32];
	struct mms_reply *reply;

	(void) state;
	assert_int_equal(open_conn(conn, true), MMS_OK);
	for (int index = 0; index < 3000; index++) {
		struct mms_command command;

		snprintf(key, sizeof(key), "key%d", index % 7);
		snprintf(value, sizeof(value), "value%d", index);
		mms_command_init(&command);
		mms_command_set(&command, mms_slice_of(key), mms_slice_of(value), 60000);
		mms_command_get(&command, mms_slice_of(key));
		assert_int_equal((index % 3 == 0 ? mms_conn_send : mms_conn_queue)(conn, &command, &error), MMS_OK);
	}
	assert_int_equal(mms_conn_outstanding(conn), 6000);
	for (int index = 0; index < 3000; index++) {
		assert_int_equal(await(conn, &reply), MMS_OK);
		assert_memory_equal(mms_reply_text(reply).ptr, "OK", 2);
		mms_reply_free(reply);
		assert_int_equal(await(conn, &reply), MMS_OK);
		snprintf(value, sizeof(value), "value%d", index);
		assert_int_equal(mms_reply_text(reply).len, strlen(value));
		assert_memory_equal(mms_reply_text(reply).ptr, value, strlen(value));
		mms_reply_free(reply);
	}
	mms_conn_free(conn);
}

static int start(void **state)
{
	(void) state;
	return server_start(&server, program, NULL) && client_open(&admin, &server) ? 0 : -1;
}

static int stop(void **state)
{
	(void) state;
	client_close(&admin);
	server_stop(&server);
	return 0;
}

int main(void)
{
	static char paths[SERVERS_MAX][PATH_MAX];
	const size_t count = servers_find(paths);
	int failed = 0;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_command_is_answered_over_both_kinds_of_socket),
		cmocka_unit_test(the_handshake_loads_the_scripts_and_selects_the_database),
		cmocka_unit_test(big_records_pass_in_both_directions),
		cmocka_unit_test(a_password_is_needed_and_a_wrong_one_is_said),
		cmocka_unit_test(a_user_logs_in_and_a_missing_permission_is_named),
		cmocka_unit_test(a_server_without_room_for_clients_says_so),
		cmocka_unit_test(a_connection_that_the_server_closes_while_idle_is_no_fault),
		cmocka_unit_test(a_killed_server_is_refused_at_the_next_connect),
		cmocka_unit_test(many_commands_in_flight_are_answered_in_order),
	};

	if (count == 0) {
		return servers_missing("test_conn_server");
	}
	for (size_t index = 0; index < count; index++) {
		program = paths[index];
		printf("%s\n", program);
		failed += cmocka_run_group_tests(tests, start, stop);
	}
	return failed;
}
