/* One connection: output queue, handshake, replies in order. The difficulty is what a lost connection means: a
 * server that closed an idle one did nothing wrong, one that died within a reply did, one that never accepted is down,
 * and a process without descriptors must not blame the node. System calls are most of the cost of a request, so the
 * handshake goes out with the first command, a connect is found finished by sending, and a short read ends reading. */
#include "mms_conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mms_handshake.h"
#include "mms_output.h"
#include "mms_socket.h"

/* What one receive takes on the stack; the rest of a long string goes where it belongs. */
#define RECEIVE_LEN 16384

/* Reads and bytes in one call: a server that sends without end must not keep us from the other nodes. */
#define READS_MAX 64
#define READ_BYTES_MAX ((size_t) 4 << 20)

/* Longest array that we ask for, with room: a batch of a key scan. */
#define REPLY_ELEMENTS_MAX 65536

struct mms_conn {
	struct mms_conn_options options;
	struct mms_login login;
	struct mms_socket sock;
	struct mms_reply_reader *reader;    /* made anew by every open */
	struct mms_output output;           /* queued */
	bool blocked;                       /* the socket took less than it was given: only flush tries again */
	uint32_t handshake_done, handshake_left; /* its replies */
	uint32_t outstanding;               /* replies to commands that were not taken yet */
	uint32_t unheard;                   /* replies that come before those and that nobody wants */
	uint64_t moved_bytes, received_bytes; /* since open: sent and received; received alone */
	bool used;                          /* a whole reply came since open */
	bool answered;                      /* a byte came since the first of the outstanding commands was sent */
	enum mms_reply_class refusal;
};

static const char no_buffer[] = "send: a command that does not fit its buffer";
static const char no_room[] = "send: more than max_output_bytes are waiting";

static enum mms_status start_connect(struct mms_conn *conn, const struct sockaddr *address, socklen_t len,
		struct mms_error *error);
static enum mms_status queue_handshake(struct mms_conn *conn, struct mms_error *error);
static enum mms_status admit(struct mms_conn *conn, const struct mms_command *command, struct mms_error *error);
static enum mms_status admit_whole(struct mms_conn *conn, const struct mms_command *command, struct mms_error *error);
static struct iovec queued_part(const struct mms_conn *conn);
static enum mms_status transmit(struct mms_conn *conn, struct iovec *parts, size_t part_count, size_t *sent,
		struct mms_error *error);
static enum mms_status append(struct mms_conn *conn, const struct mms_command *command, size_t skip,
		struct mms_error *error);
static enum mms_status read_socket(struct mms_conn *conn, size_t *total, struct mms_error *error);
static enum mms_status digest(struct mms_conn *conn, const struct iovec *parts, size_t len, struct mms_error *error);
static enum mms_status start_tls(struct mms_conn *conn, struct mms_error *error);
static enum mms_status check_handshake(struct mms_conn *conn, struct mms_error *error);
static enum mms_status drop_unheard(struct mms_conn *conn, struct mms_error *error);
static enum mms_status lost(struct mms_conn *conn, const char *what, int number, struct mms_error *error);
static enum mms_status lost_sending(struct mms_conn *conn, int number, struct mms_error *error);
static bool is_local_shortage(int number);
static enum mms_status fail(struct mms_conn *conn, enum mms_status status, const char *text, struct mms_error *error);

/* An error that ends nothing. */
static enum mms_status refuse(const struct mms_conn *conn, enum mms_status status, const char *text, struct mms_error *error)
{
	mms_error_set(error, "node %s (%s): %s", conn->options.node_name, conn->options.node_address, text);
	return status;
}

struct mms_conn *mms_conn_new(const struct mms_conn_options *options)
{
	struct mms_conn *conn = calloc(1, sizeof(*conn));

	if (conn == NULL) {
		return NULL;
	}
	conn->options = *options;
	conn->login = (struct mms_login) {options->user, options->password, options->db, options->silent};
	conn->sock = MMS_SOCKET_CLOSED;
	return conn;
}

void mms_conn_set_password(struct mms_conn *conn, struct mms_slice password)
{
	conn->options.password = password;
	conn->login.password = password;
}

void mms_conn_set_limits(struct mms_conn *conn, size_t max_reply_bytes, size_t max_output_bytes)
{
	conn->options.max_reply_bytes = max_reply_bytes;
	conn->options.max_output_bytes = max_output_bytes;
	mms_reply_reader_limit(conn->reader, max_reply_bytes);
}

void mms_conn_free(struct mms_conn *conn)
{
	if (conn != NULL) {
		mms_conn_close(conn);
		mms_output_fini(&conn->output);
		free(conn);
	}
}

enum mms_status mms_conn_open(struct mms_conn *conn, const struct sockaddr *address, socklen_t len,
		struct mms_error *error)
{
	mms_conn_close(conn);
	conn->refusal = MMS_CLASS_NONE;
	conn->reader = mms_reply_reader_new(conn->options.max_reply_bytes, REPLY_ELEMENTS_MAX);
	if (conn->reader == NULL) {
		return fail(conn, MMS_ERR_MEMORY, "out of memory", error);
	}
	enum mms_status status = start_connect(conn, address, len, error);

	if (status == MMS_OK && conn->options.tls_name != NULL) {
		status = start_tls(conn, error);
	}
	return status == MMS_OK ? queue_handshake(conn, error) : status;
}

void mms_conn_close(struct mms_conn *conn)
{
	mms_socket_close(&conn->sock);
	mms_reply_reader_free(conn->reader);
	conn->reader = NULL;
	(void) mms_output_drop(&conn->output, mms_conn_queued_bytes(conn));
	mms_output_wipe(&conn->output); /* of the password, if it is there still */
	conn->blocked = false;
	conn->handshake_done = 0;
	conn->handshake_left = 0;
	conn->outstanding = 0;
	conn->unheard = 0;
	conn->moved_bytes = conn->received_bytes = 0;
	conn->used = false;
	conn->answered = false;
}

enum mms_conn_state mms_conn_state(const struct mms_conn *conn)
{
	return conn->sock.fd < 0 ? MMS_CONN_CLOSED : conn->sock.connecting ? MMS_CONN_CONNECTING : MMS_CONN_OPEN;
}

int mms_conn_fd(const struct mms_conn *conn)
{
	return conn->sock.fd;
}

bool mms_conn_wants_write(const struct mms_conn *conn)
{
	return conn->sock.connecting ? mms_socket_wants_write(&conn->sock) : mms_conn_queued_bytes(conn) > 0;
}

bool mms_conn_was_taken(const struct mms_conn *conn)
{
	return mms_conn_state(conn) == MMS_CONN_OPEN || mms_socket_in_handshake(&conn->sock);
}

const char *mms_conn_stage(const struct mms_conn *conn)
{
	return mms_socket_stage(&conn->sock);
}

const struct mms_tls *mms_conn_tls(const struct mms_conn *conn)
{
	return conn->sock.connecting ? NULL : conn->sock.tls;
}

uint32_t mms_conn_outstanding(const struct mms_conn *conn)
{
	return conn->outstanding;
}

bool mms_conn_was_used(const struct mms_conn *conn)
{
	return conn->used;
}

enum mms_status mms_conn_send(struct mms_conn *conn, const struct mms_command *command, struct mms_error *error)
{
	struct iovec parts[1 + MMS_COMMAND_PARTS];
	size_t before = 0, sent = 0;
	enum mms_status status = admit(conn, command, error);

	if (status != MMS_OK || conn->blocked) {
		return status != MMS_OK ? status : append(conn, command, 0, error);
	}
	if (conn->sock.tls != NULL) { /* in one piece */
		status = append(conn, command, 0, error);
		return status == MMS_OK ? mms_conn_flush(conn, error) : status;
	}
	if (mms_conn_queued_bytes(conn) > 0) {
		parts[before++] = queued_part(conn);
	}
	memcpy(parts + before, command->parts, command->part_count * sizeof(parts[0]));
	status = transmit(conn, parts, before + command->part_count, &sent, error);
	if (status != MMS_OK) {
		return status;
	}
	return append(conn, command, mms_output_drop(&conn->output, sent), error);
}

enum mms_status mms_conn_queue(struct mms_conn *conn, const struct mms_command *command, struct mms_error *error)
{
	enum mms_status status = admit_whole(conn, command, error);

	return status == MMS_OK ? append(conn, command, 0, error) : status;
}

enum mms_status mms_conn_send_unheard(struct mms_conn *conn, const struct mms_command *command, struct mms_error *error)
{
	enum mms_status status = mms_conn_send(conn, command, error);

	if (status == MMS_OK) {
		conn->outstanding -= command->reply_count;
		conn->unheard += command->reply_count;
	}
	return status;
}

enum mms_status mms_conn_flush(struct mms_conn *conn, struct mms_error *error)
{
	size_t sent = 0;

	if (conn->sock.fd < 0) {
		return fail(conn, MMS_ERR_CLOSED, "the connection is closed", error);
	}
	if (mms_conn_queued_bytes(conn) == 0) {
		return MMS_OK;
	}
	struct iovec part = queued_part(conn);
	enum mms_status status = transmit(conn, &part, 1, &sent, error);

	(void) mms_output_drop(&conn->output, sent);
	return status;
}

size_t mms_conn_queued_bytes(const struct mms_conn *conn)
{
	return mms_output_waiting(&conn->output).len;
}

uint64_t mms_conn_moved_bytes(const struct mms_conn *conn)
{
	return conn->moved_bytes;
}

uint64_t mms_conn_received_bytes(const struct mms_conn *conn)
{
	return conn->received_bytes;
}

enum mms_status mms_conn_receive(struct mms_conn *conn, struct mms_error *error)
{
	size_t total = 0;

	if (conn->sock.fd < 0) {
		return fail(conn, MMS_ERR_CLOSED, "the connection is closed", error);
	}
	bool was_connecting = conn->sock.tls != NULL && conn->sock.connecting;
	enum mms_status status = read_socket(conn, &total, error);

	if (status == MMS_OK && was_connecting && !conn->sock.connecting) {
		status = mms_conn_flush(conn, error); /* what waited for the end of the TLS handshake */
	}
	if (status != MMS_OK) {
		return status;
	}
	if (total > 0) {
		status = check_handshake(conn, error);
	}
	if (status == MMS_OK && conn->handshake_left == 0 && conn->unheard > 0) {
		status = drop_unheard(conn, error);
	}
	if (status != MMS_OK || conn->handshake_left > 0 || conn->unheard > 0) {
		return status;
	}
	size_t ready = mms_reply_reader_ready(conn->reader);

	if (ready > conn->outstanding || (ready == conn->outstanding && mms_reply_reader_partial(conn->reader))) {
		return fail(conn, MMS_ERR_PROTOCOL, "receive: a reply that nobody asked for", error);
	}
	return MMS_OK;
}

enum mms_status mms_conn_take_reply(struct mms_conn *conn, struct mms_reply **reply, struct mms_error *error)
{
	*reply = NULL;
	if (conn->sock.fd < 0) {
		return fail(conn, MMS_ERR_CLOSED, "the connection is closed", error);
	}
	/* mms_conn_receive() has judged the handshake and refused replies that nobody asked for. */
	if (conn->handshake_left > 0 || conn->unheard > 0 || conn->outstanding == 0) {
		return MMS_OK;
	}
	enum mms_status status = mms_reply_reader_next(conn->reader, reply, error);

	if (status == MMS_OK && *reply != NULL) {
		conn->outstanding--;
		conn->used = true;
	}
	return status;
}

enum mms_reply_class mms_conn_refusal(const struct mms_conn *conn)
{
	return conn->refusal;
}

static enum mms_status start_connect(struct mms_conn *conn, const struct sockaddr *address, socklen_t len,
		struct mms_error *error)
{
	int number = mms_socket_open(&conn->sock, address, len);

	if (number == EAGAIN && address->sa_family == AF_UNIX) {
		return fail(conn, MMS_ERR_CONNECT, "connect: the listen queue is full, the server does not accept", error);
	}
	return number == 0 ? MMS_OK : lost(conn, conn->sock.fd < 0 ? "socket" : "connect", number, error);
}

static enum mms_status queue_handshake(struct mms_conn *conn, struct mms_error *error)
{
	struct mms_command command;

	mms_command_init(&command);
	mms_handshake_command(&conn->login, &command);
	if (command.overflow) {
		return fail(conn, MMS_ERR_LOCAL, "user and password are too long", error);
	}
	conn->handshake_left = command.reply_count;
	mms_output_expect_secret(&conn->output, mms_socket_length(command.parts, command.part_count));

	enum mms_status status = append(conn, &command, 0, error);

	explicit_bzero(command.scratch, command.scratch_used);
	return status;
}

/* Everything that must hold before a byte of the command may leave. */
static enum mms_status admit(struct mms_conn *conn, const struct mms_command *command, struct mms_error *error)
{
	if (conn->sock.fd < 0) {
		return fail(conn, MMS_ERR_CLOSED, "the connection is closed", error);
	}
	if (command->overflow) {
		return fail(conn, MMS_ERR_LOCAL, no_buffer, error);
	}
	if (conn->outstanding == 0) {
		conn->answered = false;
	}
	conn->outstanding += command->reply_count;
	return MMS_OK;
}

/* As admit, if there is room for all of the command behind what is queued. */
static enum mms_status admit_whole(struct mms_conn *conn, const struct mms_command *command, struct mms_error *error)
{
	size_t len = mms_socket_length(command->parts, command->part_count), queued = mms_conn_queued_bytes(conn);
	size_t max = conn->options.max_output_bytes;

	if (command->overflow || queued > max || len > max - queued) {
		return refuse(conn, MMS_ERR_LOCAL, command->overflow ? no_buffer : no_room, error);
	}
	return mms_output_reserve(&conn->output, len) ? admit(conn, command, error)
			: refuse(conn, MMS_ERR_MEMORY, "out of memory", error);
}

static struct iovec queued_part(const struct mms_conn *conn)
{
	struct mms_slice waiting = mms_output_waiting(&conn->output);

	return (struct iovec) {(void *) (uintptr_t) waiting.ptr, waiting.len}; /* an iovec has no const; it is only read */
}

/* Once. Nothing sent is no error. With TLS there is one part. */
static enum mms_status transmit(struct mms_conn *conn, struct iovec *parts, size_t part_count, size_t *sent,
		struct mms_error *error)
{
	size_t whole = mms_socket_length(parts, part_count);
	ssize_t result = mms_socket_send(&conn->sock, parts, part_count);

	if (result < 0 && errno != EAGAIN) { /* which is EWOULDBLOCK here */
		return lost_sending(conn, errno, error);
	}
	if (result > 0) {
		*sent = (size_t) result;
		conn->moved_bytes += (size_t) result;
	}
	conn->blocked = *sent < whole;
	return MMS_OK;
}

/* Queues the command, but for its first `skip` bytes. */
static enum mms_status append(struct mms_conn *conn, const struct mms_command *command, size_t skip,
		struct mms_error *error)
{
	for (uint32_t index = 0; index < command->part_count; index++) {
		const struct iovec *part = &command->parts[index];

		if (skip >= part->iov_len) {
			skip -= part->iov_len;
			continue;
		}
		size_t len = part->iov_len - skip, queued = mms_conn_queued_bytes(conn), max = conn->options.max_output_bytes;

		/* The handshake, queued before there are commands, goes in whatever the limit. */
		if (conn->outstanding > 0 && (queued > max || len > max - queued)) {
			return fail(conn, MMS_ERR_LOCAL, no_room, error);
		}
		if (!mms_output_append(&conn->output, (const char *) part->iov_base + skip, len)) {
			return fail(conn, MMS_ERR_MEMORY, "out of memory", error);
		}
		skip = 0;
	}
	return MMS_OK;
}

/* Feeds the parser until a short read. The end of the connection, met while replies wait to be taken, is left for a
 * later call: the replies before it count. */
static enum mms_status read_socket(struct mms_conn *conn, size_t *total, struct mms_error *error)
{
	char stack[RECEIVE_LEN];
	enum mms_status status = MMS_OK;

	/* What TLS has decrypted must not stay there: no poll() tells of it. It is less than a record. */
	for (unsigned round = 0; status == MMS_OK && ((round < READS_MAX && *total < READ_BYTES_MAX)
			|| mms_socket_has_pending(&conn->sock)); round++) {
		struct iovec parts[] = {{NULL, 0}, {stack, sizeof(stack)}};

		parts[0].iov_base = mms_reply_reader_room(conn->reader, &parts[0].iov_len);

		bool growing = parts[0].iov_base != NULL;
		ssize_t result = mms_socket_receive(&conn->sock, growing ? parts : parts + 1, growing ? 2 : 1);

		if (result <= 0) {
			bool ended = result == 0 || errno != EAGAIN;

			if (ended && mms_reply_reader_ready(conn->reader) == 0) {
				status = lost(conn, "receive", result == 0 ? 0 : errno, error);
			}
			break;
		}
		*total += (size_t) result;
		conn->moved_bytes += (size_t) result;
		conn->received_bytes += (size_t) result;
		conn->answered = true;
		status = digest(conn, parts, (size_t) result, error);
		if (status == MMS_OK && mms_socket_is_drained(&conn->sock, (size_t) result, parts[0].iov_len + parts[1].iov_len)) {
			break;
		}
	}
	return status;
}

/* len bytes lie in the parts: first in the string under way, if there is one. */
static enum mms_status digest(struct mms_conn *conn, const struct iovec *parts, size_t len, struct mms_error *error)
{
	size_t grown = len < parts[0].iov_len ? len : parts[0].iov_len;
	enum mms_status status = MMS_OK;
	struct mms_error cause;

	if (grown > 0) {
		status = mms_reply_reader_filled(conn->reader, grown, &cause);
	}
	if (status == MMS_OK && len > grown) {
		status = mms_reply_reader_feed(conn->reader, parts[1].iov_base, len - grown, &cause);
	}
	if (status != MMS_OK) {
		char text[sizeof(cause.text) + 16];

		(void) snprintf(text, sizeof(text), "receive: %s", cause.text);
		status = fail(conn, status, text, error);
	}
	return status;
}

static enum mms_status start_tls(struct mms_conn *conn, struct mms_error *error)
{
	struct mms_error cause;
	enum mms_status status = mms_socket_start_tls(&conn->sock, conn->options.tls, conn->options.tls_name, &cause);

	/* Never without: for whoever asks, a node that can't be talked to in secret is one that can't be reached. */
	return status == MMS_OK ? MMS_OK : fail(conn, status == MMS_ERR_CONFIG ? MMS_ERR_CONNECT : status, cause.text, error);
}

static enum mms_status check_handshake(struct mms_conn *conn, struct mms_error *error)
{
	while (conn->handshake_left > 0) {
		struct mms_reply *reply;
		struct mms_error cause;
		enum mms_status status = mms_reply_reader_next(conn->reader, &reply, &cause);

		if (status == MMS_OK && reply == NULL) {
			return MMS_OK;
		}
		if (status == MMS_OK) {
			status = mms_handshake_judge(&conn->login, conn->handshake_done, reply, &cause);
			conn->refusal = status == MMS_ERR_REFUSED ? mms_reply_classify(reply) : MMS_CLASS_NONE;
			mms_reply_free(reply);
		}
		if (status != MMS_OK) {
			return fail(conn, status, cause.text, error);
		}
		conn->used = true;
		conn->handshake_done++;
		conn->handshake_left--;
		if (conn->handshake_left == 0) {
			mms_output_wipe(&conn->output); /* of the password */
		}
	}
	return MMS_OK;
}

/* What came for the commands after it alone tells whether the server has begun to answer them. */
static enum mms_status drop_unheard(struct mms_conn *conn, struct mms_error *error)
{
	while (conn->unheard > 0) {
		struct mms_reply *reply;
		struct mms_error cause;
		enum mms_status status = mms_reply_reader_next(conn->reader, &reply, &cause);

		if (status != MMS_OK) {
			return fail(conn, status, cause.text, error);
		}
		if (reply == NULL) {
			break;
		}
		bool refused = mms_reply_type(reply) == MMS_REPLY_ERROR;

		mms_reply_free(reply);
		if (refused) {
			return fail(conn, MMS_ERR_CLOSED, "receive: an error in answer to a command that nobody waited for", error);
		}
		conn->used = true;
		conn->unheard--;
	}
	conn->answered = conn->unheard == 0
			&& (mms_reply_reader_ready(conn->reader) > 0 || mms_reply_reader_partial(conn->reader));
	return MMS_OK;
}

/* The connection is gone; number: errno, 0 for an orderly end. What that says about the node depends on the moment. */
static enum mms_status lost(struct mms_conn *conn, const char *what, int number, struct mms_error *error)
{
	bool idle = conn->used && conn->handshake_left == 0 && (conn->outstanding == 0 || !conn->answered)
			&& (number == 0 || number == ECONNRESET || number == EPIPE);
	bool of_tls = conn->sock.tls != NULL && number == EPROTO;
	enum mms_status status = number == EADDRNOTAVAIL ? MMS_ERR_NO_ADDRESS : is_local_shortage(number) ? MMS_ERR_LOCAL
			: conn->sock.connecting ? MMS_ERR_CONNECT
			: of_tls ? MMS_ERR_PROTOCOL : idle ? MMS_ERR_CLOSED : MMS_ERR_RESET;
	const char *cause = status == MMS_ERR_CLOSED ? "the server closed the idle connection"
			: of_tls ? mms_tls_failure(conn->sock.tls)
			: number == 0 ? "the server closed the connection" : strerror(number);
	char text[480];

	if (of_tls) {
		what = conn->sock.connecting ? "TLS handshake" : "TLS";
	} else if (conn->sock.tls != NULL && !conn->sock.connecting && !conn->used) { /* its alert may have got lost */
		what = "TLS, before the first answer (does the node want a client certificate?)";
	} else if (conn->sock.tls != NULL && conn->sock.connecting) {
		what = mms_conn_stage(conn);
	}
	(void) snprintf(text, sizeof(text), "%s: %s%s", what, cause, conn->sock.connecting ? mms_socket_remedy(number) : "");
	return fail(conn, status, text, error);
}

/* A server that refuses a connection says why before it closes, and we may have met the end first. */
static enum mms_status lost_sending(struct mms_conn *conn, int number, struct mms_error *error)
{
	bool connecting = conn->sock.connecting;
	bool was_answered = conn->answered;
	size_t total = 0;

	if (!connecting && conn->handshake_left > 0) {
		enum mms_status status = read_socket(conn, &total, error);

		if (status == MMS_OK) {
			status = check_handshake(conn, error);
		}
		if (status != MMS_OK) {
			return status;
		}
	}
	conn->answered = was_answered || total > 0;
	return lost(conn, connecting ? "connect" : "send", number, error);
}

static bool is_local_shortage(int number)
{
	return number == EMFILE || number == ENFILE || number == ENOBUFS || number == ENOMEM;
}

static enum mms_status fail(struct mms_conn *conn, enum mms_status status, const char *text, struct mms_error *error)
{
	(void) refuse(conn, status, text, error);
	mms_conn_close(conn);
	return status;
}
