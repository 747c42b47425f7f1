/* One non-blocking stream socket, plain or with TLS: the connect, bytes out, bytes in. Knows nothing of what they say, and nobody
 * else makes system calls on it but for poll(). Descriptors are close-on-exec; sends raise no SIGPIPE; EINTR is not seen. */
#ifndef MMS_SOCKET_H
#define MMS_SOCKET_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "mms_base.h"
#include "mms_tls.h"

/* Lives in its owner; MMS_SOCKET_CLOSED is a closed one. */
struct mms_socket {
	int fd;               /* -1 when closed */
	bool connecting;      /* connect, or TLS handshake, under way; after a failed open too */
	struct mms_tls *tls;  /* NULL when plain or closed */
};
#define MMS_SOCKET_CLOSED ((struct mms_socket) {.fd = -1})

/* Starts to connect a closed one (TCP_NODELAY, keep-alive). 0 or an errno; EAGAIN: the listen queue of a Unix socket is full. */
int mms_socket_open(struct mms_socket *sock, const struct sockaddr *address, socklen_t len);
/* All that follows goes through TLS; its handshake is done by the next calls of send and receive. As mms_tls_new(). */
enum mms_status mms_socket_start_tls(struct mms_socket *sock, struct mms_tls_context *context, const char *name,
		struct mms_error *error);
/* Not a byte is sent. */
void mms_socket_close(struct mms_socket *sock);

/* Bytes of all parts together. */
size_t mms_socket_length(const struct iovec *parts, size_t part_count);
/* Bytes taken, or -1 with errno. A first byte taken ends a plain connect. With TLS only the first part is looked at: each would be
 * a record, and a system call, of its own. */
ssize_t mms_socket_send(struct mms_socket *sock, struct iovec *parts, size_t part_count);
/* Bytes that came, 0 at the end, or -1 with errno. With TLS into the first part alone. */
ssize_t mms_socket_receive(struct mms_socket *sock, struct iovec *parts, size_t part_count);
/* Was a receive of len bytes into a room of size bytes all that there is for now? */
bool mms_socket_is_drained(const struct mms_socket *sock, size_t len, size_t size);
/* Bytes that no poll() tells of: less than a TLS record. */
bool mms_socket_has_pending(const struct mms_socket *sock);

/* While it is connecting: does it wait for room in the socket, not for bytes? */
bool mms_socket_wants_write(const struct mms_socket *sock);
/* It is connecting, but only the TLS handshake is under way: somebody has taken the connection. */
bool mms_socket_in_handshake(const struct mms_socket *sock);
/* What to do about this errno of a plain connect: ": ...", or nothing. */
const char *mms_socket_remedy(int number);
/* What a connecting one is at, for messages. */
const char *mms_socket_stage(const struct mms_socket *sock);

#endif
