/* One connection: socket, output queue, handshake, replies in order. The difficulty is what a lost connection means: a
 * server that closed an idle one did nothing wrong, one that died within a reply did, one that never accepted is down,
 * and a process without descriptors must not blame the node. System calls are most of the cost of a request, so the
 * handshake goes out with the first command, a connect is found finished by sending, and a short read ends reading. */
#include "mms_conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mms_handshake.h"
#include "mms_output.h"
#include "mms_tls.h"

/* What one receive takes on the stack; more, from the heap, only while a longer string is arriving. */
#define RECEIVE_LEN 16384
#define RECEIVE_LONG_LEN 65536

/* Reads in one call: a server that sends without end must not keep us from the other nodes. */
#define READS_MAX 64

/* Longest array that we ask for, with room: a batch of a key scan. */
#define REPLY_ELEMENTS_MAX 65536

struct mms_conn {
	struct mms_conn_options options;
	struct mms_login login;
	int fd;                             /* -1 when closed */
	enum mms_conn_state state;
	struct mms_tls *tls;                /* NULL when plain or closed */
	struct mms_reply_reader *reader;    /* made anew by every open */
	struct mms_output output;           /* queued */
	bool blocked;                       /* the socket took less than it was given: only flush tries again */
	uint32_t handshake_done, handshake_left; /* its replies */
	uint32_t outstanding;               /* replies to commands that were not taken yet */
	uint64_t moved_bytes;               /* sent and received since open */
	bool used;                          /* a whole reply came since open */
	bool answered;                      /* a byte came since the first of the outstanding commands was sent */
	enum mms_reply_class refusal;
};

static enum mms_status start_connect(struct mms_conn *conn, const struct sockaddr *address, socklen_t len,
		struct mms_error *error);
static void set_tcp_options(int fd);
static enum mms_status queue_handshake(struct mms_conn *conn, struct mms_error *error);
static enum mms_status admit(struct mms_conn *conn, const struct mms_command *command, struct mms_error *error);
static struct iovec queued_part(const struct mms_conn *conn);
static enum mms_status transmit(struct mms_conn *conn, struct iovec *parts, size_t part_count, size_t *sent,
		struct mms_error *error);
static enum mms_status append(struct mms_conn *conn, const struct mms_command *command, size_t skip,
		struct mms_error *error);
static enum mms_status read_socket(struct mms_conn *conn, size_t *total, struct mms_error *error);
static ssize_t read_once(struct mms_conn *conn, char *buffer, size_t size);
static enum mms_status start_tls(struct mms_conn *conn, struct mms_error *error);
static bool is_drained(const struct mms_conn *conn, size_t len, size_t size);
static enum mms_status check_handshake(struct mms_conn *conn, struct mms_error *error);
static enum mms_status lost(struct mms_conn *conn, const char *what, int number, struct mms_error *error);
static enum mms_status lost_sending(struct mms_conn *conn, int number, struct mms_error *error);
static bool is_local_shortage(int number);
static enum mms_status fail(struct mms_conn *conn, enum mms_status status, const char *text, struct mms_error *error);

struct mms_conn *mms_conn_new(const struct mms_conn_options *options)
{
	struct mms_conn *conn = calloc(1, sizeof(*conn));

	if (conn == NULL) {
		return NULL;
	}
	conn->options = *options;
	conn->login = (struct mms_login) {options->user, options->password, options->db, options->silent};
	conn->fd = -1;
	conn->state = MMS_CONN_CLOSED;
	return conn;
}

void mms_conn_set_password(struct mms_conn *conn, struct mms_slice password)
{
	conn->options.password = password;
	conn->login.password = password;
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
	mms_tls_free(conn->tls);
	conn->tls = NULL;
	if (conn->fd >= 0) {
		(void) close(conn->fd); /* never again after EINTR: Linux has released the descriptor */
	}
	conn->fd = -1;
	conn->state = MMS_CONN_CLOSED;
	mms_reply_reader_free(conn->reader);
	conn->reader = NULL;
	(void) mms_output_drop(&conn->output, mms_conn_queued_bytes(conn));
	if (conn->handshake_left > 0) {
		mms_output_wipe(&conn->output);
	}
	conn->blocked = false;
	conn->handshake_done = 0;
	conn->handshake_left = 0;
	conn->outstanding = 0;
	conn->moved_bytes = 0;
	conn->used = false;
	conn->answered = false;
}

enum mms_conn_state mms_conn_state(const struct mms_conn *conn)
{
	return conn->state;
}

int mms_conn_fd(const struct mms_conn *conn)
{
	return conn->fd;
}

bool mms_conn_wants_write(const struct mms_conn *conn)
{
	if (conn->state == MMS_CONN_CONNECTING) {
		return conn->tls == NULL || mms_tls_wants_write(conn->tls);
	}
	return mms_conn_queued_bytes(conn) > 0;
}

const char *mms_conn_stage(const struct mms_conn *conn)
{
	return conn->tls != NULL && mms_tls_begun(conn->tls) ? "TLS handshake (is this a port for TLS?)" : "connect";
}

const struct mms_tls *mms_conn_tls(const struct mms_conn *conn)
{
	return conn->state == MMS_CONN_OPEN ? conn->tls : NULL;
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
	if (conn->tls != NULL) { /* in one piece: each part would be a record, and a system call, of its own */
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
	enum mms_status status = admit(conn, command, error);

	return status == MMS_OK ? append(conn, command, 0, error) : status;
}

enum mms_status mms_conn_flush(struct mms_conn *conn, struct mms_error *error)
{
	size_t sent = 0;

	if (conn->state == MMS_CONN_CLOSED) {
		return fail(conn, MMS_ERR_CLOSED, "the connection is closed", error);
	}
	if (mms_conn_queued_bytes(conn) == 0) {
		return MMS_OK;
	}
	struct iovec part = queued_part(conn);
	enum mms_status status = transmit(conn, &part, 1, &sent, error);

	if (status == MMS_OK) {
		(void) mms_output_drop(&conn->output, sent);
	}
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

enum mms_status mms_conn_receive(struct mms_conn *conn, struct mms_error *error)
{
	size_t total = 0;

	if (conn->state == MMS_CONN_CLOSED) {
		return fail(conn, MMS_ERR_CLOSED, "the connection is closed", error);
	}
	bool was_connecting = conn->tls != NULL && conn->state == MMS_CONN_CONNECTING;
	enum mms_status status = read_socket(conn, &total, error);

	if (status == MMS_OK && was_connecting && conn->state == MMS_CONN_OPEN) {
		status = mms_conn_flush(conn, error); /* what waited for the end of the TLS handshake */
	}
	if (status != MMS_OK) {
		return status;
	}
	if (total > 0) {
		status = check_handshake(conn, error);
	}
	if (status != MMS_OK || conn->handshake_left > 0) {
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
	if (conn->state == MMS_CONN_CLOSED) {
		return fail(conn, MMS_ERR_CLOSED, "the connection is closed", error);
	}
	/* mms_conn_receive() has judged the handshake and refused replies that nobody asked for. */
	if (conn->handshake_left > 0 || conn->outstanding == 0) {
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
	int result;

	conn->state = MMS_CONN_CONNECTING;
	conn->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (conn->fd < 0) {
		return lost(conn, "socket", errno, error);
	}
	if (address->sa_family != AF_UNIX) {
		set_tcp_options(conn->fd);
	}
	do {
		result = connect(conn->fd, address, len);
	} while (result < 0 && errno == EINTR && address->sa_family == AF_UNIX);

	if (result == 0) {
		conn->state = MMS_CONN_OPEN;
	} else if (errno == EAGAIN && address->sa_family == AF_UNIX) {
		return fail(conn, MMS_ERR_CONNECT, "connect: the listen queue is full, the server does not accept", error);
	} else if (errno != EINPROGRESS && errno != EINTR) { /* TCP goes on connecting after EINTR */
		return lost(conn, "connect", errno, error);
	}
	return MMS_OK;
}

/* Without them the connection works too: latency and the discovery of dead peers suffer. */
static void set_tcp_options(int fd)
{
	int on = 1, idle_s = 60, interval_s = 10, count = 3;

	(void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	(void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	(void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	(void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	(void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
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
	enum mms_status status = append(conn, &command, 0, error);

	explicit_bzero(command.scratch, command.scratch_used);
	return status;
}

/* Everything that must hold before a byte of the command may leave. */
static enum mms_status admit(struct mms_conn *conn, const struct mms_command *command, struct mms_error *error)
{
	if (conn->state == MMS_CONN_CLOSED) {
		return fail(conn, MMS_ERR_CLOSED, "the connection is closed", error);
	}
	if (command->overflow) {
		return fail(conn, MMS_ERR_LOCAL, "send: a command that does not fit its buffer", error);
	}
	if (conn->outstanding == 0) {
		conn->answered = false;
	}
	conn->outstanding += command->reply_count;
	return MMS_OK;
}

static struct iovec queued_part(const struct mms_conn *conn)
{
	struct mms_slice waiting = mms_output_waiting(&conn->output);

	return (struct iovec) {(void *) (uintptr_t) waiting.ptr, waiting.len}; /* an iovec has no const; it is only read */
}

/* One sendmsg. Nothing sent is no error; a first byte taken, or room for it, ends a connect. With TLS there is one part. */
static enum mms_status transmit(struct mms_conn *conn, struct iovec *parts, size_t part_count, size_t *sent,
		struct mms_error *error)
{
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = part_count};
	size_t whole = 0;
	ssize_t result;

	for (size_t index = 0; index < part_count; index++) {
		whole += parts[index].iov_len;
	}
	do {
		result = conn->tls != NULL ? mms_tls_write(conn->tls, parts[0].iov_base, parts[0].iov_len)
				: sendmsg(conn->fd, &message, MSG_NOSIGNAL);
	} while (result < 0 && errno == EINTR);

	if (conn->tls != NULL && mms_tls_finished(conn->tls)) {
		conn->state = MMS_CONN_OPEN;
	}
	if (result < 0 && errno != EAGAIN) { /* which is EWOULDBLOCK here */
		return lost_sending(conn, errno, error);
	}
	if (result > 0) {
		conn->state = MMS_CONN_OPEN;
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
			return fail(conn, MMS_ERR_LOCAL, "send: more than max_output_bytes are waiting", error);
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
	char *buffer = stack, *longer = NULL;
	size_t size = sizeof(stack);
	enum mms_status status = MMS_OK;

	/* What TLS has decrypted must not stay there: no poll() tells of it. It is less than a record. */
	for (unsigned round = 0; status == MMS_OK
			&& (round < READS_MAX || (conn->tls != NULL && mms_tls_pending(conn->tls))); round++) {
		if (longer == NULL && mms_reply_reader_missing(conn->reader) > sizeof(stack)) {
			longer = malloc(RECEIVE_LONG_LEN);
			buffer = longer != NULL ? longer : stack;
			size = longer != NULL ? RECEIVE_LONG_LEN : sizeof(stack);
		}
		ssize_t result = read_once(conn, buffer, size);

		if (result <= 0) {
			bool ended = result == 0 || errno != EAGAIN;

			if (ended && mms_reply_reader_ready(conn->reader) == 0) {
				status = lost(conn, "receive", result == 0 ? 0 : errno, error);
			}
			break;
		}
		struct mms_error cause;

		*total += (size_t) result;
		conn->moved_bytes += (size_t) result;
		conn->answered = true;
		status = mms_reply_reader_feed(conn->reader, buffer, (size_t) result, &cause);
		if (status != MMS_OK) {
			char text[sizeof(cause.text) + 16];

			(void) snprintf(text, sizeof(text), "receive: %s", cause.text);
			status = fail(conn, status, text, error);
		}
		if (status == MMS_OK && is_drained(conn, (size_t) result, size)) {
			break;
		}
	}
	free(longer);
	return status;
}

static ssize_t read_once(struct mms_conn *conn, char *buffer, size_t size)
{
	ssize_t result;

	do {
		result = conn->tls != NULL ? mms_tls_read(conn->tls, buffer, size) : recv(conn->fd, buffer, size, 0);
	} while (result < 0 && errno == EINTR);

	if (conn->tls != NULL ? mms_tls_finished(conn->tls) : result >= 0) {
		conn->state = MMS_CONN_OPEN;
	}
	return result;
}

/* The handshake itself waits for the first flush or receive. */
static enum mms_status start_tls(struct mms_conn *conn, struct mms_error *error)
{
	struct mms_error cause;
	enum mms_status status;

	conn->tls = mms_tls_new(conn->options.tls, conn->fd, conn->options.tls_name, &status, &cause);
	if (conn->tls == NULL) {
		/* Never without: for whoever asks, a node that can't be talked to in secret is one that can't be reached. */
		return fail(conn, status == MMS_ERR_CONFIG ? MMS_ERR_CONNECT : status, cause.text, error);
	}
	conn->state = MMS_CONN_CONNECTING; /* also when connect() was done at once */
	return MMS_OK;
}

/* A short read was all that the socket had; of TLS, a short record was. */
static bool is_drained(const struct mms_conn *conn, size_t len, size_t size)
{
	return conn->tls == NULL ? len < size : len < MMS_TLS_RECORD_MAX && !mms_tls_pending(conn->tls);
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

/* The connection is gone; number: errno, 0 for an orderly end. What that says about the node depends on the moment. */
static enum mms_status lost(struct mms_conn *conn, const char *what, int number, struct mms_error *error)
{
	bool idle = conn->used && conn->handshake_left == 0 && (conn->outstanding == 0 || !conn->answered)
			&& (number == 0 || number == ECONNRESET || number == EPIPE);
	bool of_tls = conn->tls != NULL && number == EPROTO;
	enum mms_status status = is_local_shortage(number) ? MMS_ERR_LOCAL
			: conn->state == MMS_CONN_CONNECTING ? MMS_ERR_CONNECT
			: of_tls ? MMS_ERR_PROTOCOL : idle ? MMS_ERR_CLOSED : MMS_ERR_RESET;
	const char *cause = status == MMS_ERR_CLOSED ? "the server closed the idle connection"
			: of_tls ? mms_tls_failure(conn->tls)
			: number == 0 ? "the server closed the connection" : strerror(number);
	char text[480];

	if (of_tls) {
		what = conn->state == MMS_CONN_CONNECTING ? "TLS handshake" : "TLS";
	} else if (conn->tls != NULL && conn->state == MMS_CONN_OPEN && !conn->used) { /* its alert may have got lost */
		what = "TLS, before the first answer (does the node want a client certificate?)";
	} else if (conn->tls != NULL && conn->state == MMS_CONN_CONNECTING) {
		what = mms_conn_stage(conn);
	}
	(void) snprintf(text, sizeof(text), "%s: %s", what, cause);
	return fail(conn, status, text, error);
}

/* A server that refuses a connection says why before it closes, and we may have met the end first. */
static enum mms_status lost_sending(struct mms_conn *conn, int number, struct mms_error *error)
{
	bool connecting = conn->state == MMS_CONN_CONNECTING;
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
	return number == EMFILE || number == ENFILE || number == EADDRNOTAVAIL || number == ENOBUFS || number == ENOMEM;
}

static enum mms_status fail(struct mms_conn *conn, enum mms_status status, const char *text, struct mms_error *error)
{
	mms_error_set(error, "node %s (%s): %s", conn->options.node_name, conn->options.node_address, text);
	mms_conn_close(conn);
	return status;
}
