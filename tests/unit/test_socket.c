/* Sockets: which descriptors they have. What goes over them is tested with connections (test_conn.c). */
#include "processes.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>

#include "mms_socket.h"

static void listen_on(struct sockaddr_in *address)
{
	socklen_t len = sizeof(*address);
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(bind(fd, (const struct sockaddr *) address, len), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *) address, &len), 0);
}

/* What is printed into a closed standard output must not go to a node. */
static int connect_without_standard_descriptors(void *argument)
{
	struct mms_socket sock = MMS_SOCKET_CLOSED;
	int flags;

	close(0);
	close(1);
	close(2);
	if (mms_socket_open(&sock, argument, sizeof(struct sockaddr_in)) != 0) {
		return 1;
	}
	flags = fcntl(sock.fd, F_GETFL);
	if (sock.fd < MMS_FD_FIRST || (flags & O_NONBLOCK) == 0 || (fcntl(sock.fd, F_GETFD) & FD_CLOEXEC) == 0) {
		return 2;
	}
	if (fcntl(0, F_GETFD) >= 0 || fcntl(1, F_GETFD) >= 0 || fcntl(2, F_GETFD) >= 0) {
		return 3;
	}
	mms_socket_close(&sock);
	return 0;
}

static void a_socket_is_no_standard_descriptor(void **state)
{
	struct sockaddr_in address;

	(void) state;
	listen_on(&address);
	assert_exits_with_0(spawn(connect_without_standard_descriptors, &address));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_socket_is_no_standard_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
