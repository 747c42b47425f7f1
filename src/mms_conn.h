/* One non-blocking connection to one node: socket, output queue, handshake, replies in order. The same code serves the
 * request thread (which polls a handful of them) and the replicator (libevent tells it about readiness). No waiting in
 * here, no retry, no clock.
 *
 * Every connection starts with AUTH (if any), SELECT (if db > 0) and SCRIPT LOAD, pipelined with the first command;
 * their replies are consumed here. After any error the connection is closed and must be opened again: a reply that comes
 * late can never answer another request. Sockets are close-on-exec; sends use MSG_NOSIGNAL.
 *
 * With TLS, its handshake is a part of connecting: it goes on in flush and receive, whichever is called, the state is
 * MMS_CONN_CONNECTING until it is finished, its failure is MMS_ERR_CONNECT, and nothing queued leaves before. That it takes long
 * is no failure yet: see mms_conn_was_taken(). */
#ifndef MMS_CONN_H
#define MMS_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "mms_base.h"
#include "mms_command.h"
#include "mms_reply_class.h"

struct mms_conn; /* opaque */
struct mms_tls_context;

struct mms_conn_options {
	const char *node_name;    /* for messages; borrowed for the connection's life */
	const char *node_address; /* for messages; borrowed */
	struct mms_slice user, password; /* borrowed for the connection's life */
	const char *tls_name;     /* TLS, with a certificate for this name; NULL = plain; borrowed */
	struct mms_tls_context *tls; /* borrowed for the connection's life; if it is missing, no TLS connection ever opens */
	uint32_t db;
	bool silent;              /* the server is told to send no replies (CLIENT REPLY OFF); none must be waited for */
	size_t max_reply_bytes;   /* of one reply */
	size_t max_output_bytes;  /* queued beyond what the socket takes: more is MMS_ERR_LOCAL */
};

enum mms_conn_state { MMS_CONN_CLOSED, MMS_CONN_CONNECTING, MMS_CONN_OPEN };

/* A closed connection; NULL when memory is short. Copies options. */
struct mms_conn *mms_conn_new(const struct mms_conn_options *options);
/* Another password for the next open; borrowed like the first. */
void mms_conn_set_password(struct mms_conn *conn, struct mms_slice password);
/* Other limits, from now on; while no reply is outstanding. */
void mms_conn_set_limits(struct mms_conn *conn, size_t max_reply_bytes, size_t max_output_bytes);
/* Closes and frees; NULL is fine. */
void mms_conn_free(struct mms_conn *conn);

/* Starts a non-blocking connect (TCP_NODELAY, keep-alive) and queues the handshake. MMS_ERR_CONNECT on immediate
 * refusal, MMS_ERR_LOCAL when this process has no descriptor or port left. */
enum mms_status mms_conn_open(struct mms_conn *conn, const struct sockaddr *address, socklen_t len,
		struct mms_error *error);

/* Closes at once; nothing is sent (no QUIT), queued output and outstanding replies are forgotten. */
void mms_conn_close(struct mms_conn *conn);

enum mms_conn_state mms_conn_state(const struct mms_conn *conn);
int mms_conn_fd(const struct mms_conn *conn);           /* -1 when closed */
/* Room in the socket is waited for: connecting, or output queued; during a TLS handshake only if that is what it needs. */
bool mms_conn_wants_write(const struct mms_conn *conn);
/* Has the server's side taken the connection? Open ones, and those in their TLS handshake: a server that is late from here on is a
 * slow one, not one that can't be reached. */
bool mms_conn_was_taken(const struct mms_conn *conn);
/* What a connection that is not open yet is at, for messages: "connect", or "TLS handshake" with a question. */
const char *mms_conn_stage(const struct mms_conn *conn);
/* Of an open connection with TLS, for mms_tls_describe(); NULL of any other. Borrows until the next call. */
const struct mms_tls *mms_conn_tls(const struct mms_conn *conn);
/* Replies still to come for commands sent (handshake not counted). */
uint32_t mms_conn_outstanding(const struct mms_conn *conn);
/* True once a whole reply has been received since open: such a connection, found closed by the server with nothing half
 * received, was idle (MMS_ERR_CLOSED), no fault. */
bool mms_conn_was_used(const struct mms_conn *conn);

/* Sends or queues the command; what the socket does not take at once is copied. On error the connection is closed. */
enum mms_status mms_conn_send(struct mms_conn *conn, const struct mms_command *command, struct mms_error *error);
/* As send, but only queues: several commands go out with one mms_conn_flush(). What can't be queued (MMS_ERR_LOCAL: it does not
 * fit within max_output_bytes, or its own buffer; MMS_ERR_MEMORY) leaves the connection, and all that was asked on it, as it is. */
enum mms_status mms_conn_queue(struct mms_conn *conn, const struct mms_command *command, struct mms_error *error);
/* Sends what is queued, as far as the socket takes it; also finishes a connect, and goes on with a TLS handshake. */
enum mms_status mms_conn_flush(struct mms_conn *conn, struct mms_error *error);
/* As send, for a command whose answer changes nothing: its replies are dropped when they come, before any other is
 * looked at. Only while no reply is outstanding. One that is an error ends the connection when it is met, as if the
 * server had closed it while it was idle: the next one loads the scripts again. */
enum mms_status mms_conn_send_unheard(struct mms_conn *conn, const struct mms_command *command, struct mms_error *error);
/* Bytes queued and not yet taken by the socket. */
size_t mms_conn_queued_bytes(const struct mms_conn *conn);

/* Bytes sent and received since open: what tells a slow node from a silent one. */
uint64_t mms_conn_moved_bytes(const struct mms_conn *conn);
/* Those received. What the socket takes says of the node only that it reads, and that only once the socket's buffer is full. */
uint64_t mms_conn_received_bytes(const struct mms_conn *conn);

/* Reads what the socket has and parses it; MMS_OK also when nothing was there. The end of the connection is reported once
 * the replies before it have been taken; a reply that nobody asked for is MMS_ERR_PROTOCOL. Errors close the connection:
 * MMS_ERR_CLOSED, MMS_ERR_RESET, MMS_ERR_CONNECT, MMS_ERR_PROTOCOL, MMS_ERR_TOO_LARGE (a reply over max_reply_bytes),
 * MMS_ERR_REFUSED (handshake refused; class in mms_conn_refusal()). */
enum mms_status mms_conn_receive(struct mms_conn *conn, struct mms_error *error);

/* The next reply to a command, in order, or NULL when none is complete yet. Caller frees. Replies of the handshake are
 * judged by mms_conn_receive() and never seen here. */
enum mms_status mms_conn_take_reply(struct mms_conn *conn, struct mms_reply **reply, struct mms_error *error);

/* Why the server refused the handshake (MMS_CLASS_NONE if it did not). Valid until the next open. */
enum mms_reply_class mms_conn_refusal(const struct mms_conn *conn);

#endif
