/* The same calls with and without TLS. A connect is found finished by sending, which saves a system call. */
#include "mms_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

static void set_tcp_options(int fd);

int mms_socket_open(struct mms_socket *sock, const struct sockaddr *address, socklen_t len)
{
	int result;

	sock->connecting = true;
	sock->fd = mms_fd_move_up(socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	if (sock->fd < 0) {
		return errno;
	}
	if (address->sa_family != AF_UNIX) {
		set_tcp_options(sock->fd);
	}
	do {
		result = connect(sock->fd, address, len);
	} while (result < 0 && errno == EINTR && address->sa_family == AF_UNIX);

	if (result == 0) {
		sock->connecting = false;
		return 0;
	}
	return errno == EINPROGRESS || errno == EINTR ? 0 : errno; /* TCP goes on connecting after EINTR */
}

enum mms_status mms_socket_start_tls(struct mms_socket *sock, struct mms_tls_context *context, const char *name,
		struct mms_error *error)
{
	enum mms_status status = MMS_OK;

	sock->tls = mms_tls_new(context, sock->fd, name, &status, error);
	if (sock->tls == NULL) {
		return status;
	}
	sock->connecting = true; /* also when connect() was done at once */
	return MMS_OK;
}

void mms_socket_close(struct mms_socket *sock)
{
	mms_tls_free(sock->tls);
	if (sock->fd >= 0) {
		(void) close(sock->fd); /* never again after EINTR: Linux has released the descriptor */
	}
	*sock = MMS_SOCKET_CLOSED;
}

size_t mms_socket_length(const struct iovec *parts, size_t part_count)
{
	size_t len = 0;

	for (size_t index = 0; index < part_count; index++) {
		len += parts[index].iov_len;
	}
	return len;
}

ssize_t mms_socket_send(struct mms_socket *sock, struct iovec *parts, size_t part_count)
{
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = part_count};
	ssize_t result;

	do {
		result = sock->tls != NULL ? mms_tls_write(sock->tls, parts[0].iov_base, parts[0].iov_len)
				: sendmsg(sock->fd, &message, MSG_NOSIGNAL);
	} while (result < 0 && errno == EINTR);

	if (result > 0 || (sock->tls != NULL && mms_tls_finished(sock->tls))) {
		sock->connecting = false;
	}
	return result;
}

ssize_t mms_socket_receive(struct mms_socket *sock, struct iovec *parts, size_t part_count)
{
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = part_count};
	ssize_t result;

	do {
		result = sock->tls != NULL ? mms_tls_read(sock->tls, parts->iov_base, parts->iov_len)
				: part_count == 1 ? recv(sock->fd, parts->iov_base, parts->iov_len, 0) : recvmsg(sock->fd, &message, 0);
	} while (result < 0 && errno == EINTR);

	if (sock->tls != NULL ? mms_tls_finished(sock->tls) : result >= 0) {
		sock->connecting = false;
	}
	return result;
}

/* A short read was all that the socket had; of TLS, a short record was. */
bool mms_socket_is_drained(const struct mms_socket *sock, size_t len, size_t size)
{
	return sock->tls == NULL ? len < size : len < MMS_TLS_RECORD_MAX && !mms_tls_pending(sock->tls);
}

bool mms_socket_has_pending(const struct mms_socket *sock)
{
	return sock->tls != NULL && mms_tls_pending(sock->tls);
}

bool mms_socket_wants_write(const struct mms_socket *sock)
{
	return sock->connecting && (sock->tls == NULL || mms_tls_wants_write(sock->tls));
}

bool mms_socket_in_handshake(const struct mms_socket *sock)
{
	return sock->connecting && sock->tls != NULL && mms_tls_begun(sock->tls);
}

const char *mms_socket_stage(const struct mms_socket *sock)
{
	return sock->tls != NULL && mms_tls_begun(sock->tls) ? "TLS handshake (is this a port for TLS?)" : "connect";
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

const char *mms_socket_remedy(int number)
{
	switch (number) {
	case EACCES:
		return ": PHP's user may not open it: put him into the socket's group, or see SELinux";
	case ENOENT:
		return ": no such socket: see unixsocket in the server's configuration";
	case ECONNREFUSED:
		return ": is the server started, and does it listen there (port, bind)?";
	case EADDRNOTAVAIL:
		return ": this host has no address or free port for it";
	default:
		return "";
	}
}
