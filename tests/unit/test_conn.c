/* Connections against a scripted peer: opening, handshake, slices, the output queue. test_conn_loss.c has lost connections
 * and wrong replies, test_conn_server.c real servers.
 * TEST WRAP: free realloc connect */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4 */
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

#include "freed.h"
#include "peer.h"

static void sockets_are_private_to_the_process_and_never_block(void **state)
{
	int value = 0;
	socklen_t len = sizeof(value);

	(void) state;
	setup_peer(true);
	assert_true(fcntl(mms_conn_fd(conn), F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(mms_conn_fd(conn), F_GETFL) & O_NONBLOCK);
	assert_int_equal(getsockopt(mms_conn_fd(conn), IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
	assert_int_equal(value, 1);
	assert_int_equal(getsockopt(mms_conn_fd(conn), SOL_SOCKET, SO_KEEPALIVE, &value, &len), 0);
	assert_int_equal(value, 1);
	assert_int_equal(mms_conn_receive(conn, &error), MMS_OK); /* nothing there: at once */
	teardown_peer();
}

static void the_handshake_goes_out_with_the_first_command_in_one_piece(void **state)
{
	static char bytes[16384];

	(void) state;
	listen_now(false, 8);
	conn = mms_conn_new(&options);
	assert_int_equal(mms_conn_open(conn, &peer.address.any, peer.address_len, &error), MMS_OK);
	assert_true(mms_conn_wants_write(conn));
	assert_int_equal(send_ping(), MMS_OK);
	assert_int_equal(mms_conn_queued_bytes(conn), 0);
	assert_int_equal(mms_conn_outstanding(conn), 1);
	peer.fd = accept4(peer.listener, NULL, NULL, SOCK_CLOEXEC);
	ssize_t len = recv(peer.fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	assert_true(len > 14);
	assert_memory_equal(bytes, "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n", 26);
	assert_memory_equal(bytes + len - 14, "*1\r\n$4\r\nPING\r\n", 14);
	finish_handshake();
	assert_reply(NULL);
	peer_write("+PONG\r\n", 7);
	assert_int_equal(receive(), MMS_OK);
	assert_reply("PONG");
	assert_reply(NULL);
	assert_int_equal(mms_conn_outstanding(conn), 0);
	mms_conn_close(conn); /* says nothing */
	assert_int_equal(recv(peer.fd, bytes, sizeof(bytes), 0), 0);
	mms_conn_close(conn);
	mms_conn_free(NULL);
	teardown_peer();
}

static void replies_in_slices_of_one_byte_arrive_whole_and_in_order(void **state)
{
	char answer[HANDSHAKE_LEN + 64];

	for (int tcp = 0; tcp < 2; tcp++) {
		(void) state;
		setup_peer(tcp == 1);
		assert_int_equal(send_ping(), MMS_OK);
		assert_int_equal(send_ping(), MMS_OK);
		size_t len = handshake_answer(answer);

		len += (size_t) sprintf(answer + len, "$5\r\nfirst\r\n+second\r\n");
		for (size_t index = 0; index < len; index++) {
			peer_write(answer + index, 1);
			assert_int_equal(receive(), MMS_OK);
			if (index + 1 == HANDSHAKE_LEN + 11) {
				assert_reply("first");
				assert_int_equal(mms_conn_outstanding(conn), 1);
			}
			if (index + 1 < len) {
				assert_reply(NULL);
			}
		}
		assert_reply("second");
		teardown_peer();
	}
}

static void assert_handshake_refused(const char *answer, enum mms_status expected, enum mms_reply_class class_,
		const char *words)
{
	setup_peer(false);
	peer_write(answer, strlen(answer));
	assert_int_equal(receive(), expected);
	assert_int_equal(mms_conn_refusal(conn), class_);
	if (strstr(error.text, words) == NULL) {
		fail_msg("%s lacks: %s", error.text, words);
	}
	assert_closed();
	assert_int_equal(mms_conn_refusal(conn), class_); /* until the next open */
	connect_now();
	assert_int_equal(mms_conn_refusal(conn), MMS_CLASS_NONE);
	teardown_peer();
}

static void a_refused_handshake_says_so(void **state)
{
	(void) state;
	assert_handshake_refused("-LOADING Redis is loading the dataset in memory\r\n", MMS_ERR_REFUSED, MMS_CLASS_HARD,
			"node web2 (tcp://10.0.0.2:6379): loading the scripts (SCRIPT LOAD): LOADING Redis is loading the dataset in memory: wait "
			"until it has read its data");
	assert_handshake_refused("-NOAUTH Authentication required.\r\n", MMS_ERR_REFUSED, MMS_CLASS_AUTH,
			"check mmsession.user and mmsession.password_file");
	assert_handshake_refused("-MOVED 1 127.0.0.1:1\r\n", MMS_ERR_REFUSED, MMS_CLASS_CLUSTER, "Cluster mode");
	assert_handshake_refused("$40\r\n0000000000000000000000000000000000000000\r\n", MMS_ERR_PROTOCOL, MMS_CLASS_NONE,
			"another SHA-1");
	assert_handshake_refused("+OK\r\n", MMS_ERR_PROTOCOL, MMS_CLASS_NONE, "another SHA-1");
}

static void a_refusal_is_found_though_sending_fails_first(void **state)
{
	static const char refusal[] = "-ERR max number of clients reached\r\n";

	(void) state;
	listen_now(false, 8);
	conn = mms_conn_new(&options);
	assert_int_equal(mms_conn_open(conn, &peer.address.any, peer.address_len, &error), MMS_OK);
	peer.fd = accept4(peer.listener, NULL, NULL, SOCK_CLOEXEC);
	peer_write(refusal, sizeof(refusal) - 1);
	peer_close();
	assert_int_equal(send_ping(), MMS_ERR_REFUSED);
	assert_int_equal(mms_conn_refusal(conn), MMS_CLASS_HARD);
	assert_non_null(strstr(error.text, "max number of clients reached: raise the server's maxclients"));
	teardown_peer();
}

static void nobody_listening_is_a_connect_error_with_its_cause(void **state)
{
	struct sockaddr_in nobody = address_of_port(port_pick());
	struct sockaddr_un nowhere = address_of_path("/tmp/mms_unit_nobody_is_here");

	(void) state;
	conn = mms_conn_new(&options);
	enum mms_status status = mms_conn_open(conn, (struct sockaddr *) &nobody, sizeof(nobody), &error);

	if (status == MMS_OK) {
		wait_for(POLLOUT);
		status = mms_conn_flush(conn, &error);
	}
	assert_int_equal(status, MMS_ERR_CONNECT);
	assert_string_equal(error.text, "node web2 (tcp://10.0.0.2:6379): connect: Connection refused: is the server started, and does it listen there "
			"(port, bind)?");
	assert_closed();
	/* Found by reading, too. */
	status = mms_conn_open(conn, (struct sockaddr *) &nobody, sizeof(nobody), &error);
	if (status == MMS_OK) {
		wait_for(POLLIN);
		status = mms_conn_receive(conn, &error);
	}
	assert_int_equal(status, MMS_ERR_CONNECT);
	assert_int_equal(mms_conn_open(conn, (struct sockaddr *) &nowhere, sizeof(nowhere), &error), MMS_ERR_CONNECT);
	assert_non_null(strstr(error.text, "connect: No such file or directory: no such socket: see unixsocket in the server's configuration"));
	assert_closed();
	mms_conn_free(conn);
}

static void a_full_listen_queue_is_a_connect_error(void **state)
{
	struct mms_conn *conns[64];
	enum mms_status status = MMS_OK;
	size_t count = 0;

	(void) state;
	listen_now(false, 1);
	for (count = 0; count < 64 && status == MMS_OK; count++) {
		conns[count] = mms_conn_new(&options);
		status = mms_conn_open(conns[count], &peer.address.any, peer.address_len, &error);
	}
	assert_int_equal(status, MMS_ERR_CONNECT);
	assert_non_null(strstr(error.text, "connect: the listen queue is full"));
	while (count > 0) {
		mms_conn_free(conns[--count]);
	}
	conn = NULL;
	teardown_peer();
}

static int connect_fails; /* with this, 0: it does not */

int __real_connect(int fd, const struct sockaddr *address, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len);

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len)
{
	errno = connect_fails;
	return connect_fails != 0 ? -1 : __real_connect(fd, address, len);
}

static void what_this_host_lacks_is_told_apart(void **state)
{
	static const struct { int number; enum mms_status status; } cases[] = { { EADDRNOTAVAIL, MMS_ERR_NO_ADDRESS }, { EMFILE, MMS_ERR_LOCAL },
		{ ENOBUFS, MMS_ERR_LOCAL }, { ENETUNREACH, MMS_ERR_CONNECT }, { ECONNREFUSED, MMS_ERR_CONNECT } };

	(void) state;
	listen_now(true, 8);
	conn = mms_conn_new(&options);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		connect_fails = cases[i].number;
		assert_int_equal(mms_conn_open(conn, &peer.address.any, peer.address_len, &error), cases[i].status);
		assert_non_null(strstr(error.text, strerror(cases[i].number)));
		assert_closed();
	}
	connect_fails = 0;
	teardown_peer();
}

static void a_process_without_descriptors_does_not_blame_the_node(void **state)
{
	struct rlimit limit, none;

	(void) state;
	listen_now(true, 8);
	conn = mms_conn_new(&options);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	enum mms_status status = mms_conn_open(conn, &peer.address.any, peer.address_len, &error);

	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(status, MMS_ERR_LOCAL);
	assert_non_null(strstr(error.text, "socket: Too many open files"));
	assert_closed();
	teardown_peer();
}

static void what_the_socket_does_not_take_is_queued_up_to_the_limit(void **state)
{
	static char payload[300000], got[1 << 22];
	unsigned char header[MMS_RECORD_HEADER_SIZE] = {0};
	struct mms_command command;
	size_t sent = 0, received = 0;
	enum mms_status status = MMS_OK;

	(void) state;
	setup_peer(false);
	finish_handshake();
	while (recv(peer.fd, got, sizeof(got), MSG_DONTWAIT) > 0) {
	}
	for (size_t index = 0; index < sizeof(payload); index++) {
		payload[index] = (char) ('a' + index % 23);
	}
	mms_command_init(&command);
	mms_command_put(&command, S("key"), S("tmp"), header, (struct mms_slice) {payload, sizeof(payload)}, 1, S(""));
	for (int round = 0; round < 4; round++) {
		assert_int_equal(mms_conn_send(conn, &command, &error), MMS_OK);
		for (uint32_t part = 0; part < command.part_count; part++) {
			sent += command.parts[part].iov_len;
		}
	}
	assert_true(mms_conn_wants_write(conn));
	assert_true(mms_conn_queued_bytes(conn) > 0);
	memset(payload, 'z', sizeof(payload)); /* it was copied */
	while (received < sent) {
		ssize_t result = recv(peer.fd, got + received, sizeof(got) - received, MSG_DONTWAIT);

		received += result > 0 ? (size_t) result : 0;
		assert_int_equal(mms_conn_flush(conn, &error), MMS_OK);
	}
	assert_false(mms_conn_wants_write(conn));
	assert_int_equal(received, sent);
	for (size_t round = 1; round < 4; round++) { /* all four are the same bytes, and none is lost or doubled */
		assert_memory_equal(got, got + round * sent / 4, sent / 4);
	}
	assert_null(memchr(got, 'z', received));
	for (int round = 0; round < 100 && status == MMS_OK; round++) {
		status = mms_conn_send(conn, &command, &error);
	}
	assert_int_equal(status, MMS_ERR_LOCAL);
	assert_non_null(strstr(error.text, "max_output_bytes"));
	assert_closed();
	teardown_peer();
}

static void queued_commands_go_out_with_one_flush(void **state)
{
	char bytes[64];
	struct mms_command command;

	(void) state;
	setup_peer(true);
	finish_handshake();
	char drain[16384];

	assert_true(recv(peer.fd, drain, sizeof(drain), 0) > 0);
	mms_command_init(&command);
	mms_command_ping(&command);
	assert_int_equal(mms_conn_queue(conn, &command, &error), MMS_OK);
	assert_int_equal(mms_conn_queue(conn, &command, &error), MMS_OK);
	assert_int_equal(mms_conn_queued_bytes(conn), 28);
	assert_int_equal(mms_conn_outstanding(conn), 2);
	assert_int_equal(recv(peer.fd, bytes, sizeof(bytes), MSG_DONTWAIT), -1);
	assert_int_equal(mms_conn_send(conn, &command, &error), MMS_OK); /* what was queued goes first */
	assert_int_equal(mms_conn_queued_bytes(conn), 0);
	assert_int_equal(recv(peer.fd, bytes, 42, MSG_WAITALL), 42);
	teardown_peer();
}

static void a_command_that_did_not_fit_is_refused(void **state)
{
	static char big[MMS_COMMAND_SCRATCH];
	struct mms_command command;

	(void) state;
	setup_peer(true);
	mms_command_init(&command);
	mms_command_get(&command, (struct mms_slice) {big, sizeof(big)});
	assert_int_equal(mms_conn_send(conn, &command, &error), MMS_ERR_LOCAL);
	assert_closed();
	teardown_peer();
}

/* Others' commands are under way on the connection. */
static void what_can_not_be_queued_leaves_the_connection_as_it_is(void **state)
{
	static char payload[300000];
	unsigned char header[MMS_RECORD_HEADER_SIZE] = {0};
	struct mms_command command, ping;
	size_t queued;

	(void) state;
	setup_peer(true);
	finish_handshake();
	mms_command_init(&ping);
	mms_command_ping(&ping);
	assert_int_equal(mms_conn_queue(conn, &ping, &error), MMS_OK);
	queued = mms_conn_queued_bytes(conn);
	mms_command_init(&command);
	mms_command_put(&command, S("key"), S("tmp"), header, (struct mms_slice) {payload, sizeof(payload)}, 1, S(""));
	mms_conn_set_limits(conn, 1 << 20, 200000);
	assert_int_equal(mms_conn_queue(conn, &command, &error), MMS_ERR_LOCAL);
	assert_non_null(strstr(error.text, "max_output_bytes"));
	mms_command_init(&command);
	mms_command_get(&command, (struct mms_slice) {payload, MMS_COMMAND_SCRATCH});
	assert_int_equal(mms_conn_queue(conn, &command, &error), MMS_ERR_LOCAL);
	assert_non_null(strstr(error.text, "does not fit"));
	assert_int_equal(mms_conn_state(conn), MMS_CONN_OPEN);
	assert_int_equal(mms_conn_queued_bytes(conn), queued);
	assert_int_equal(mms_conn_outstanding(conn), 1);
	assert_int_equal(mms_conn_flush(conn, &error), MMS_OK);
	peer_write("+PONG\r\n", 7);
	assert_int_equal(receive(), MMS_OK);
	teardown_peer();
}

static enum mms_status send_unheard(void)
{
	struct mms_command command;

	mms_command_init(&command);
	mms_command_ping(&command);
	return mms_conn_send_unheard(conn, &command, &error);
}

static void answers_that_nobody_wants_are_dropped_in_their_place(void **state)
{
	(void) state;
	for (int slices = 0; slices < 2; slices++) {
		const char answers[] = "+dropped\r\n:7\r\n+wanted\r\n";

		setup_peer(true);
		finish_handshake();
		assert_int_equal(send_unheard(), MMS_OK);
		assert_int_equal(send_unheard(), MMS_OK);
		assert_int_equal(mms_conn_outstanding(conn), 0);
		assert_int_equal(send_ping(), MMS_OK);
		for (size_t index = 0; index < sizeof(answers) - 1; index += slices ? 1 : sizeof(answers) - 1) {
			assert_reply(NULL);
			peer_write(answers + index, slices ? 1 : sizeof(answers) - 1);
			assert_int_equal(receive(), MMS_OK);
		}
		assert_reply("wanted");
		assert_int_equal(mms_conn_outstanding(conn), 0);
		/* And one more that nobody asked for is none of them. */
		peer_write("+more\r\n", 7);
		assert_int_equal(receive(), MMS_ERR_PROTOCOL);
		teardown_peer();
	}
}

/* Nothing of an answer that somebody waits for has come: the server did nothing wrong. */
static void a_connection_that_ends_behind_a_dropped_answer_was_idle(void **state)
{
	(void) state;
	setup_peer(true);
	finish_handshake();
	assert_int_equal(send_unheard(), MMS_OK);
	assert_int_equal(send_ping(), MMS_OK);
	peer_write("+dropped\r\n", 10);
	assert_int_equal(receive(), MMS_OK);
	shutdown(peer.fd, SHUT_RDWR);
	assert_int_equal(receive(), MMS_ERR_CLOSED);
	assert_closed();
	teardown_peer();
}

static void a_dropped_error_ends_the_connection_as_idle(void **state)
{
	const char answers[] = "-NOSCRIPT No matching script.\r\n+wanted\r\n";

	(void) state;
	setup_peer(true);
	finish_handshake();
	assert_int_equal(send_unheard(), MMS_OK);
	assert_int_equal(send_ping(), MMS_OK);
	peer_write(answers, sizeof(answers) - 1);
	assert_int_equal(receive(), MMS_ERR_CLOSED);
	assert_closed();
	teardown_peer();
}

/* The first command waits behind the handshake, as it always does with TLS, and the buffer grows for it. */
static void no_memory_that_is_freed_has_the_password_in_it(void **state)
{
	static char payload[300000];
	unsigned char header[MMS_RECORD_HEADER_SIZE];
	struct mms_record_header record = {.version = {.hlc = 5}};
	struct mms_conn_options secret = options;
	struct mms_command command;

	(void) state;
	secret.password = S(FREED_WORD);
	mms_record_describe(&record, (struct mms_slice) {payload, sizeof(payload)});
	mms_record_encode(&record, S("key"), header);
	for (int way = 0; way < 3; way++) {
		listen_now(false, 8);
		conn = mms_conn_new(&secret);
		assert_non_null(conn);
		assert_int_equal(mms_conn_open(conn, &peer.address.any, peer.address_len, &error), MMS_OK);
		freed = freed_with_word = 0;
		mms_command_init(&command);
		mms_command_put(&command, S("key"), S("tmp"), header, (struct mms_slice) {payload, sizeof(payload)}, 60000, S(""));
		assert_int_equal(mms_conn_queue(conn, &command, &error), MMS_OK);
		if (way > 0) { /* a part, which the peer does not read; and what the peer has refused */
			assert_int_equal(mms_conn_flush(conn, &error), MMS_OK);
			assert_true(mms_conn_queued_bytes(conn) > 0);
		}
		if (way > 1) {
			peer.fd = accept4(peer.listener, NULL, NULL, SOCK_CLOEXEC);
			peer_write("-ERR invalid password\r\n", 23);
			assert_int_equal(receive(), MMS_ERR_REFUSED);
		}
		teardown_peer();
		assert_true(freed > 0);
		assert_int_equal(freed_with_word, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sockets_are_private_to_the_process_and_never_block),
		cmocka_unit_test(the_handshake_goes_out_with_the_first_command_in_one_piece),
		cmocka_unit_test(replies_in_slices_of_one_byte_arrive_whole_and_in_order),
		cmocka_unit_test(a_refused_handshake_says_so),
		cmocka_unit_test(a_refusal_is_found_though_sending_fails_first),
		cmocka_unit_test(nobody_listening_is_a_connect_error_with_its_cause),
		cmocka_unit_test(a_full_listen_queue_is_a_connect_error),
		cmocka_unit_test(what_this_host_lacks_is_told_apart),
		cmocka_unit_test(a_process_without_descriptors_does_not_blame_the_node),
		cmocka_unit_test(what_the_socket_does_not_take_is_queued_up_to_the_limit),
		cmocka_unit_test(no_memory_that_is_freed_has_the_password_in_it),
		cmocka_unit_test(queued_commands_go_out_with_one_flush),
		cmocka_unit_test(a_command_that_did_not_fit_is_refused),
		cmocka_unit_test(what_can_not_be_queued_leaves_the_connection_as_it_is),
		cmocka_unit_test(answers_that_nobody_wants_are_dropped_in_their_place),
		cmocka_unit_test(a_connection_that_ends_behind_a_dropped_answer_was_idle),
		cmocka_unit_test(a_dropped_error_ends_the_connection_as_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
