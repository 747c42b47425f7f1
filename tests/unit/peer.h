/* A connection and its scripted peer in one thread: the test plays the server. Include after cmocka.h. */
#ifndef MMS_TEST_PEER_H
#define MMS_TEST_PEER_H

#include "mms_conn.h"
#include "server.h"

#define S(literal) ((struct mms_slice) {literal, sizeof(literal) - 1})
#define HANDSHAKE_LEN (MMS_SCRIPT_COUNT * (5 + 40 + 2))

static struct {
	bool tcp;
	int listener, fd; /* fd: the accepted side, -1 before */
	char path[96];
	union {
		struct sockaddr any;
		struct sockaddr_in in;
		struct sockaddr_un un;
	} address;
	socklen_t address_len;
} peer;

static struct mms_conn *conn;
static struct mms_error error;
static const struct mms_conn_options options = {.node_name = "web2", .node_address = "tcp://10.0.0.2:6379",
	.user = {"", 0}, .password = {"", 0}, .max_reply_bytes = 1 << 20, .max_output_bytes = 1 << 20};

static inline void listen_now(bool tcp, int backlog)
{
	peer.tcp = tcp;
	peer.fd = -1;
	if (tcp) {
		peer.address.in = address_of_port(0);
		peer.address_len = sizeof(peer.address.in);
	} else {
		snprintf(peer.path, sizeof(peer.path), "/tmp/mms_unit_conn_%ld", (long) getpid());
		unlink(peer.path);
		peer.address.un = address_of_path(peer.path);
		peer.address_len = sizeof(peer.address.un);
	}
	peer.listener = socket(peer.address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(peer.listener, &peer.address.any, peer.address_len), 0);
	assert_int_equal(listen(peer.listener, backlog), 0);
	if (tcp) {
		assert_int_equal(getsockname(peer.listener, &peer.address.any, &peer.address_len), 0);
	}
}

static inline void wait_for(short events)
{
	struct pollfd waiting = {mms_conn_fd(conn), events, 0};

	assert_int_equal(poll(&waiting, 1, 5000), 1);
}

/* Connects, accepts, and sends the handshake. */
static inline void connect_now(void)
{
	assert_int_equal(mms_conn_open(conn, &peer.address.any, peer.address_len, &error), MMS_OK);
	peer.fd = accept4(peer.listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(peer.fd >= 0);
	wait_for(POLLOUT);
	assert_int_equal(mms_conn_flush(conn, &error), MMS_OK);
	assert_int_equal(mms_conn_state(conn), MMS_CONN_OPEN);
	assert_false(mms_conn_wants_write(conn));
}

static inline void setup_peer(bool tcp)
{
	listen_now(tcp, 8);
	conn = mms_conn_new(&options);
	assert_non_null(conn);
	connect_now();
}

static inline void peer_close(void)
{
	if (peer.fd >= 0) {
		close(peer.fd);
	}
	peer.fd = -1;
}

/* Closes with a reset instead of an orderly end; TCP alone knows that. */
static inline void peer_reset(void)
{
	struct linger linger = {1, 0};

	setsockopt(peer.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	peer_close();
}

static inline void teardown_peer(void)
{
	mms_conn_free(conn);
	peer_close();
	close(peer.listener);
	if (!peer.tcp) {
		unlink(peer.path);
	}
}

static inline void peer_write(const char *bytes, size_t len)
{
	assert_int_equal(send(peer.fd, bytes, len, MSG_NOSIGNAL), (ssize_t) len);
}

static inline size_t handshake_answer(char *out)
{
	size_t len = 0;

	for (int index = 0; index < MMS_SCRIPT_COUNT; index++) {
		len += (size_t) sprintf(out + len, "$40\r\n%s\r\n", mms_command_script_sha1((enum mms_script) index));
	}
	assert_int_equal(len, HANDSHAKE_LEN);
	return len;
}

/* Waits for readiness, so that what was written is surely there. */
static inline enum mms_status receive(void)
{
	wait_for(POLLIN);
	return mms_conn_receive(conn, &error);
}

static inline void finish_handshake(void)
{
	char answer[HANDSHAKE_LEN + 1];

	assert_false(mms_conn_was_used(conn));
	peer_write(answer, handshake_answer(answer));
	assert_int_equal(receive(), MMS_OK);
	assert_true(mms_conn_was_used(conn));
}

static inline enum mms_status send_ping(void)
{
	struct mms_command command;

	mms_command_init(&command);
	mms_command_ping(&command);
	return mms_conn_send(conn, &command, &error);
}

static inline void assert_reply(const char *text)
{
	struct mms_reply *reply;

	assert_int_equal(mms_conn_take_reply(conn, &reply, &error), MMS_OK);
	if (text == NULL) {
		assert_null(reply);
		return;
	}
	assert_non_null(reply);
	assert_int_equal(mms_reply_text(reply).len, strlen(text));
	assert_memory_equal(mms_reply_text(reply).ptr, text, strlen(text));
	mms_reply_free(reply);
}

static inline void assert_closed(void)
{
	assert_int_equal(mms_conn_state(conn), MMS_CONN_CLOSED);
	assert_int_equal(mms_conn_fd(conn), -1);
	assert_int_equal(mms_conn_outstanding(conn), 0);
	assert_int_equal(mms_conn_queued_bytes(conn), 0);
	assert_false(mms_conn_wants_write(conn));
	assert_int_equal(strncmp(error.text, "node web2 (tcp://10.0.0.2:6379): ", 33), 0);
	assert_int_equal(send_ping(), MMS_ERR_CLOSED);
	assert_int_equal(mms_conn_receive(conn, &error), MMS_ERR_CLOSED);
	assert_int_equal(mms_conn_flush(conn, &error), MMS_ERR_CLOSED);
}

#endif
