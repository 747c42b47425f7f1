/* poll(), eventfd() and their like, replaced at link time. Every call is a point where its process may die. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "net.h"
#include "world.h"

#define FIRST_FD 100
#define FILES_MAX 1024

int __real_close(int fd);
ssize_t __real_read(int fd, void *buffer, size_t size);
ssize_t __real_write(int fd, const void *buffer, size_t size);
int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __real_gettimeofday(struct timeval *time, void *zone);
ssize_t __real_getrandom(void *buffer, size_t size, unsigned flags);
pid_t __real_getpid(void);

static struct file files[FILES_MAX];
static unsigned files_used; /* none open from here on */

void files_reset(void)
{
	memset(files, 0, files_used * sizeof files[0]);
	files_used = 0;
}

struct file *files_at(int fd)
{
	unsigned index = (unsigned)(fd - FIRST_FD);

	return fd < FIRST_FD || index >= files_used || files[index].kind == FILE_FREE ? NULL : &files[index];
}

static int open_file(enum file_kind kind)
{
	unsigned i = 0;

	while (i < files_used && files[i].kind != FILE_FREE) {
		i++;
	}
	if (i == FILES_MAX) {
		errno = EMFILE;
		return -1;
	}
	files_used = i == files_used ? i + 1 : files_used;
	files[i] = (struct file){ .kind = kind, .owner = sched_self() != NULL ? sched_self()->process : NULL };
	return FIRST_FD + (int)i;
}

static void close_file(struct file *file)
{
	if (file->kind == FILE_SOCKET && file->connection != NULL) {
		net_close(file->connection);
	}
	memset(file, 0, sizeof *file);
}

void files_changed(struct file *file)
{
	if (file->waiter != NULL) {
		sched_wake(file->waiter);
	}
}

void files_close_of(struct process *process)
{
	for (unsigned i = 0; i < files_used; i++) {
		if (files[i].kind != FILE_FREE && files[i].owner == process) {
			close_file(&files[i]);
		}
		if (files[i].waiter != NULL && files[i].waiter->process == process) {
			files[i].waiter = NULL;
		}
	}
}

static short ready_events(struct file *file, short events)
{
	short found = 0;

	switch (file->kind) {
	case FILE_EVENT:
		found = (short)(POLLOUT | (file->count > 0 ? POLLIN : 0));
		break;
	case FILE_SOCKET:
		found = file->connection == NULL ? POLLOUT | POLLHUP : net_ready(file->connection);
		break;
	default:
		break;
	}
	return (short)(found & (events | POLLERR | POLLHUP));
}

static int look(struct pollfd *fds, nfds_t count)
{
	int found = 0;

	for (nfds_t i = 0; i < count; i++) {
		struct file *file = files_at(fds[i].fd);

		fds[i].revents = 0;
		if (fds[i].fd < 0) {
			continue;
		}
		fds[i].revents = file == NULL ? POLLNVAL : ready_events(file, fds[i].events);
		found += fds[i].revents != 0;
	}
	return found;
}

static int wait_for(struct pollfd *fds, nfds_t count, int64_t wait_us)
{
	int64_t until = wait_us < 0 ? SCHED_NEVER : sched_now() + wait_us;
	struct thread *self = sched_self();
	int found;

	sched_point();
	found = look(fds, count);
	if (found > 0 || wait_us == 0) {
		return found;
	}
	for (nfds_t i = 0; i < count; i++) {
		struct file *file = files_at(fds[i].fd);

		if (file != NULL) {
			file->waiter = self;
		}
	}
	while (found == 0 && sched_now() < until) {
		if (!sched_block(until)) {
			break;
		}
		found = look(fds, count);
	}
	for (nfds_t i = 0; i < count; i++) {
		struct file *file = files_at(fds[i].fd);

		if (file != NULL && file->waiter == self) {
			file->waiter = NULL;
		}
	}
	return found > 0 ? found : look(fds, count);
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	return wait_for(fds, count, timeout_ms < 0 ? -1 : (int64_t)timeout_ms * 1000);
}

int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const void *mask)
{
	(void)mask;
	/* A wait that is no whole microsecond is rounded up, or it would end before its time. */
	return wait_for(fds, count, timeout == NULL ? -1 : timeout->tv_sec * 1000000 + (timeout->tv_nsec + 999) / 1000);
}

/* Whoever runs this: who spins does so where there are two cores. */
int __wrap_sched_getaffinity(pid_t process, size_t size, cpu_set_t *cores)
{
	(void)process;
	memset(cores, 0, size);
	CPU_SET(0, cores);
	CPU_SET(1, cores);
	return 0;
}

/* Who spins must see time pass. */
int __wrap_sched_yield(void)
{
	(void)wait_for(NULL, 0, 2);
	return 0;
}

int __wrap_nanosleep(const struct timespec *duration, struct timespec *left)
{
	(void)left;
	(void)wait_for(NULL, 0, duration->tv_sec * 1000000 + duration->tv_nsec / 1000);
	return 0;
}

int __wrap_eventfd(unsigned initial, int flags)
{
	int fd = open_file(FILE_EVENT);

	(void)flags;
	if (fd >= 0) {
		files_at(fd)->count = initial;
	}
	return fd;
}

/* Only libevent's own pair, and nobody writes to it. */
int __wrap_pipe2(int fds[2], int flags)
{
	(void)flags;
	fds[0] = open_file(FILE_PIPE);
	fds[1] = open_file(FILE_PIPE);
	return fds[0] < 0 || fds[1] < 0 ? -1 : 0;
}

int __wrap_socket(int family, int type, int protocol)
{
	(void)family;
	(void)type;
	(void)protocol;
	sched_point();
	return open_file(FILE_SOCKET);
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	(void)fd;
	(void)level;
	(void)name;
	(void)value;
	(void)len;
	return 0;
}

int __wrap_fcntl(int fd, int command, ...)
{
	(void)fd;
	(void)command;
	return 0;
}

int __wrap_fcntl64(int fd, int command, ...)
{
	(void)fd;
	(void)command;
	return 0;
}

int __wrap_close(int fd)
{
	struct file *file = files_at(fd);

	if (fd < FIRST_FD) {
		return __real_close(fd);
	}
	sched_point();
	if (file == NULL) {
		world_fail("a descriptor that is not open was closed: %d", fd);
		errno = EBADF;
		return -1;
	}
	close_file(file);
	return 0;
}

ssize_t __wrap_read(int fd, void *buffer, size_t size)
{
	struct file *file = files_at(fd);

	if (fd < FIRST_FD) {
		return __real_read(fd, buffer, size);
	}
	sched_point();
	if (file == NULL || file->kind != FILE_EVENT || file->count == 0) {
		errno = EAGAIN;
		return -1;
	}
	memcpy(buffer, &file->count, sizeof file->count);
	file->count = 0;
	return sizeof file->count;
}

ssize_t __wrap_write(int fd, const void *buffer, size_t size)
{
	struct file *file = files_at(fd);
	uint64_t added;

	if (fd < FIRST_FD) {
		return __real_write(fd, buffer, size);
	}
	sched_point();
	if (file == NULL || file->kind != FILE_EVENT) {
		errno = EBADF;
		return -1;
	}
	memcpy(&added, buffer, sizeof added);
	file->count += added;
	files_changed(file);
	return (ssize_t)size;
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len)
{
	struct file *file = files_at(fd);

	(void)len;
	sched_point();
	return net_connect(file, address);
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct file *file = files_at(fd);

	(void)flags;
	sched_point();
	if (file == NULL || file->kind != FILE_SOCKET || file->connection == NULL) {
		errno = EBADF;
		return -1;
	}
	return net_send(file->connection, message->msg_iov, message->msg_iovlen);
}

ssize_t __wrap_recv(int fd, void *buffer, size_t size, int flags)
{
	struct file *file = files_at(fd);

	(void)flags;
	sched_point();
	if (file == NULL || file->kind != FILE_SOCKET || file->connection == NULL) {
		errno = EBADF;
		return -1;
	}
	return net_receive(file->connection, buffer, size);
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t total = __wrap_recv(fd, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len, flags), more;

	for (size_t i = 1; i < message->msg_iovlen && total > 0 && (size_t)total >= message->msg_iov[0].iov_len; i++) {
		more = net_receive(files_at(fd)->connection, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
		if (more <= 0) {
			break; /* what ends or fails, does so at the next call too */
		}
		total += more;
		if ((size_t)more < message->msg_iov[i].iov_len) {
			break;
		}
	}
	return total;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
	struct thread *self = sched_self();
	int64_t us = sched_now();

	if (!world.running) {
		return __real_clock_gettime(clock, time);
	}
	if (clock == CLOCK_THREAD_CPUTIME_ID) {
		us = 0;
	} else if (clock == CLOCK_REALTIME) {
		us = world_wall_us(self != NULL ? self->process->host : 0);
	}
	time->tv_sec = us / 1000000;
	time->tv_nsec = us % 1000000 * 1000;
	return 0;
}

int __wrap_gettimeofday(struct timeval *time, void *zone)
{
	if (!world.running) {
		return __real_gettimeofday(time, zone);
	}
	time->tv_sec = sched_now() / 1000000;
	time->tv_usec = sched_now() % 1000000;
	return 0;
}

ssize_t __wrap_getrandom(void *buffer, size_t size, unsigned flags)
{
	unsigned char *bytes = buffer;

	if (!world.running) {
		return __real_getrandom(buffer, size, flags);
	}
	for (size_t i = 0; i < size; i++) {
		bytes[i] = (unsigned char)random_next(&sched_random);
	}
	return (ssize_t)size;
}

pid_t __wrap_getpid(void)
{
	return world.running ? 1000 : __real_getpid();
}
