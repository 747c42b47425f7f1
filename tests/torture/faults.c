/* See faults.h. A call that may fail is described by a list of ways: an errno, or a letter for what is no error: a short
 * count, the end of the connection, a mutex that is busy. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define SHORT (-1)  /* one byte of what was asked for */
#define HALF (-2)   /* half of it */
#define ENDED (-3)  /* nothing: end of file */
#define WAYS_MAX 8

static _Atomic bool armed;
static _Atomic unsigned long calls, wanted;
static _Atomic unsigned wanted_way;
static _Atomic long blocks;
static const char *_Atomic hit_name;
static _Atomic unsigned hit_ways;
static _Atomic int hit_how;
static void *hit_stack[32];
static int hit_depth;

#ifdef FAULTS_PRELOAD
#define NAMED(name) name
static bool is_ours(const void *caller);
#define CALLER __builtin_return_address(0)
#define REAL(name) ((__typeof__(&name)) real(#name))
static void *real(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}
#else
#define NAMED(name) __wrap_##name
#define is_ours(caller) true
#define CALLER NULL
#define REAL(name) __real_##name
#endif

void faults_arm(unsigned long n, unsigned way)
{
	atomic_store(&calls, 0);
	atomic_store(&wanted, n);
	atomic_store(&wanted_way, way);
	atomic_store(&hit_name, NULL);
	atomic_store(&hit_ways, 0);
	atomic_store(&hit_how, 0);
	atomic_store(&armed, true);
}

void faults_disarm(void)
{
	atomic_store(&armed, false);
}

void faults_resume(void)
{
	atomic_store(&armed, true);
}

unsigned long faults_calls(void)
{
	return atomic_load(&calls);
}

const char *faults_hit(void)
{
	return atomic_load(&hit_name);
}

const char *faults_how(void)
{
	const int how = atomic_load(&hit_how);

	return how == SHORT ? "one-byte" : how == HALF ? "half" : how == ENDED ? "end" : strerrorname_np(how);
}

unsigned faults_ways(void)
{
	return atomic_load(&hit_ways);
}

void faults_show(void)
{
	if (faults_hit() != NULL) {
		backtrace_symbols_fd(hit_stack, hit_depth, 2);
	}
}

long faults_blocks(void)
{
	return atomic_load(&blocks);
}

/* 0, or how this call has to fail. */
static int fault(const char *name, const void *caller, const int *ways)
{
	unsigned count = 0, way;

	if (!atomic_load(&armed) || !is_ours(caller) || atomic_fetch_add(&calls, 1) + 1 != atomic_load(&wanted)) {
		return 0;
	}
	while (count < WAYS_MAX && ways[count] != 0) {
		count++;
	}
	way = atomic_load(&wanted_way);
	hit_depth = backtrace(hit_stack, 32);
	atomic_store(&hit_ways, count);
	atomic_store(&hit_how, ways[way < count ? way : 0]);
	atomic_store(&hit_name, name);
	return ways[way < count ? way : 0];
}

#define FAULT(name, ...) fault(#name, CALLER, (const int[WAYS_MAX + 1]){ __VA_ARGS__ })
#define REFUSE(value) do { errno = how; return value; } while (0)

/* --- memory --- */

#ifdef FAULTS_PRELOAD
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
#define REAL_malloc __libc_malloc
#define REAL_calloc __libc_calloc
#define REAL_realloc __libc_realloc
#else
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *memory);
#define REAL_malloc __real_malloc
#define REAL_calloc __real_calloc
#define REAL_realloc __real_realloc

void __wrap_free(void *memory)
{
	atomic_fetch_sub(&blocks, memory != NULL);
	__real_free(memory);
}
void *NAMED(malloc)(size_t size);
void *NAMED(calloc)(size_t count, size_t size);
void *NAMED(realloc)(void *old, size_t size);
#endif

void *NAMED(malloc)(size_t size)
{
	int how = FAULT(malloc, ENOMEM);
	void *memory;

	if (how != 0) {
		REFUSE(NULL);
	}
	memory = REAL_malloc(size);
	atomic_fetch_add(&blocks, memory != NULL);
	return memory;
}

void *NAMED(calloc)(size_t count, size_t size)
{
	int how = FAULT(calloc, ENOMEM);
	void *memory;

	if (how != 0) {
		REFUSE(NULL);
	}
	memory = REAL_calloc(count, size);
	atomic_fetch_add(&blocks, memory != NULL);
	return memory;
}

void *NAMED(realloc)(void *old, size_t size)
{
	int how = FAULT(realloc, ENOMEM);
	void *memory;

	if (how != 0) {
		REFUSE(NULL);
	}
	memory = REAL_realloc(old, size);
	atomic_fetch_add(&blocks, old == NULL && memory != NULL);
	return memory;
}

#ifndef FAULTS_PRELOAD
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
	char *copy = __wrap_malloc(strlen(text) + 1);

	return copy == NULL ? NULL : strcpy(copy, text);
}
#endif

/* --- the others: declare the real one, then fail or pass on --- */

#ifdef FAULTS_PRELOAD
#define WRAP(type, name, parameters) type name parameters
#else
#define WRAP(type, name, parameters) \
	type __real_##name parameters; \
	type __wrap_##name parameters; \
	type __wrap_##name parameters
#endif

WRAP(int, socket, (int domain, int type, int protocol))
{
	int how = FAULT(socket, EMFILE, ENFILE, ENOBUFS, EACCES);

	if (how != 0) {
		REFUSE(-1);
	}
	return REAL(socket)(domain, type, protocol);
}

WRAP(int, connect, (int fd, const struct sockaddr *address, socklen_t len))
{
	int how = FAULT(connect, ECONNREFUSED, EINTR, EAGAIN, ENOENT, EACCES, ETIMEDOUT, EADDRNOTAVAIL);

	if (how != 0) {
		REFUSE(-1);
	}
	return REAL(connect)(fd, address, len);
}

WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags))
{
	int how = FAULT(sendmsg, EPIPE, EINTR, EAGAIN, ECONNRESET, ENOBUFS, SHORT, HALF);
	struct iovec part;

	if (how > 0) {
		REFUSE(-1);
	}
	if (how < 0 && message->msg_iovlen > 0 && message->msg_iov[0].iov_len > 0) {
		part = message->msg_iov[0];
		part.iov_len = how == SHORT ? 1 : (part.iov_len + 1) / 2;
		return send(fd, part.iov_base, part.iov_len, flags);
	}
	return REAL(sendmsg)(fd, message, flags);
}

WRAP(ssize_t, send, (int fd, const void *bytes, size_t size, int flags))
{
	int how = FAULT(send, EPIPE, ECONNRESET, EINTR, EAGAIN, ENOBUFS, SHORT);

	if (how == SHORT) {
		return REAL(send)(fd, bytes, size > 1 ? 1 : size, flags);
	}
	if (how != 0) {
		REFUSE(-1);
	}
	return REAL(send)(fd, bytes, size, flags);
}

WRAP(ssize_t, recv, (int fd, void *bytes, size_t size, int flags))
{
	int how = FAULT(recv, ECONNRESET, EINTR, EAGAIN, ENOMEM, SHORT, HALF, ENDED);

	if (how > 0) {
		REFUSE(-1);
	}
	if (how == ENDED) {
		return 0;
	}
	return REAL(recv)(fd, bytes, how == SHORT ? 1 : how == HALF ? (size + 1) / 2 : size, flags);
}

WRAP(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags))
{
	int how = FAULT(recvmsg, ECONNRESET, EINTR, EAGAIN, ENOMEM, SHORT, HALF, ENDED);
	size_t first = message->msg_iovlen > 0 ? message->msg_iov[0].iov_len : 0;

	if (how > 0) {
		REFUSE(-1);
	}
	if (how == ENDED) {
		return 0;
	}
	if (how < 0 && first > 0) {
		return REAL(recv)(fd, message->msg_iov[0].iov_base, how == SHORT ? 1 : (first + 1) / 2, flags);
	}
	return REAL(recvmsg)(fd, message, flags);
}

WRAP(int, poll, (struct pollfd *fds, nfds_t count, int timeout_ms))
{
	int how = FAULT(poll, EINTR, ENOMEM);

	if (how != 0) {
		REFUSE(-1);
	}
	return REAL(poll)(fds, count, timeout_ms);
}

WRAP(int, ppoll, (struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask))
{
	int how = FAULT(ppoll, EINTR, ENOMEM);

	if (how != 0) {
		REFUSE(-1);
	}
	return REAL(ppoll)(fds, count, timeout, mask);
}

WRAP(void *, mmap, (void *address, size_t size, int protection, int flags, int fd, off_t offset))
{
	int how = FAULT(mmap, ENOMEM, EPERM);

	if (how != 0) {
		REFUSE(MAP_FAILED);
	}
	return REAL(mmap)(address, size, protection, flags, fd, offset);
}

WRAP(int, madvise, (void *address, size_t size, int advice))
{
	int how = FAULT(madvise, EINVAL);

	if (how != 0) {
		REFUSE(-1);
	}
	return REAL(madvise)(address, size, advice);
}

WRAP(int, eventfd, (unsigned initial, int flags))
{
	int how = FAULT(eventfd, EMFILE, ENOMEM);

	if (how != 0) {
		REFUSE(-1);
	}
	return REAL(eventfd)(initial, flags);
}

WRAP(int, pipe2, (int fds[2], int flags))
{
	int how = FAULT(pipe2, EMFILE);

	if (how != 0) {
		REFUSE(-1);
	}
	return REAL(pipe2)(fds, flags);
}

WRAP(int, open, (const char *path, int flags, ...))
{
	int how = FAULT(open, EMFILE, ENOENT, EACCES, EINTR);
	va_list arguments;
	mode_t mode;

	if (how != 0) {
		REFUSE(-1);
	}
	va_start(arguments, flags);
	mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
	va_end(arguments);
	return REAL(open)(path, flags, mode);
}

WRAP(ssize_t, read, (int fd, void *bytes, size_t size))
{
	int how = FAULT(read, EIO, EINTR, EAGAIN, SHORT, ENDED);

	if (how > 0) {
		REFUSE(-1);
	}
	if (how == ENDED) {
		return 0;
	}
	/* A short read of an eventfd is refused by the kernel. */
	return REAL(read)(fd, bytes, how == SHORT ? 1 : size);
}

WRAP(ssize_t, write, (int fd, const void *bytes, size_t size))
{
	int how = FAULT(write, EAGAIN, EINTR, EIO);

	if (how != 0) {
		REFUSE(-1);
	}
	return REAL(write)(fd, bytes, size);
}

/* The descriptor is closed all the same, as Linux does it. */
WRAP(int, close, (int fd))
{
	int how = FAULT(close, EINTR, EIO);
	int result = REAL(close)(fd);

	if (how != 0) {
		REFUSE(-1);
	}
	return result;
}

WRAP(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t len))
{
	int how = FAULT(setsockopt, ENOMEM, EINVAL);

	if (how != 0) {
		REFUSE(-1);
	}
	return REAL(setsockopt)(fd, level, name, value, len);
}

WRAP(ssize_t, getrandom, (void *out, size_t size, unsigned flags))
{
	int how = FAULT(getrandom, EAGAIN, EINTR, ENOSYS, SHORT);

	if (how > 0) {
		REFUSE(-1);
	}
	return REAL(getrandom)(out, how == SHORT ? 1 : size, flags);
}

WRAP(int, nanosleep, (const struct timespec *duration, struct timespec *left))
{
	int how = FAULT(nanosleep, EINTR);

	if (how != 0) {
		REFUSE(-1);
	}
	return REAL(nanosleep)(duration, left);
}

/* Threads and mutexes return their error. */

WRAP(int, pthread_create, (pthread_t *thread, const pthread_attr_t *attributes, void *(*entry)(void *), void *argument))
{
	int how = FAULT(pthread_create, EAGAIN);

	return how != 0 ? how : REAL(pthread_create)(thread, attributes, entry, argument);
}

WRAP(int, pthread_clockjoin_np, (pthread_t thread, void **result, clockid_t clock, const struct timespec *until))
{
	int how = FAULT(pthread_clockjoin_np, ETIMEDOUT);

	return how != 0 ? how : REAL(pthread_clockjoin_np)(thread, result, clock, until);
}

WRAP(int, pthread_mutexattr_setrobust, (pthread_mutexattr_t *attributes, int robustness))
{
	int how = FAULT(pthread_mutexattr_setrobust, EINVAL);

	return how != 0 ? how : REAL(pthread_mutexattr_setrobust)(attributes, robustness);
}

WRAP(int, pthread_mutex_init, (pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes))
{
	int how = FAULT(pthread_mutex_init, ENOMEM);

	return how != 0 ? how : REAL(pthread_mutex_init)(mutex, attributes);
}

WRAP(int, pthread_mutex_trylock, (pthread_mutex_t *mutex))
{
	int how = FAULT(pthread_mutex_trylock, EBUSY, ENOTRECOVERABLE);

	return how != 0 ? how : REAL(pthread_mutex_trylock)(mutex);
}

WRAP(int, pthread_mutex_clocklock, (pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until))
{
	int how = FAULT(pthread_mutex_clocklock, ETIMEDOUT);

	return how != 0 ? how : REAL(pthread_mutex_clocklock)(mutex, clock, until);
}

#ifdef FAULTS_PRELOAD
static bool tls_too;

/* By the object that the call came from: PHP itself ends when its memory does, which says nothing about the module. OpenSSL,
 * which PHP uses too, counts from the module's first call on (MMS_FAULT_TLS). */
static bool is_ours(const void *caller)
{
	static const char *const names[] = { "mmsession.so", "libevent", "libhiredis", "libssl", "libcrypto" };
	static const size_t plain = 3;
	static _Atomic bool begun;
	static _Thread_local bool asking;
	bool ours = false;
	Dl_info info;

	if (asking) {
		return false;
	}
	asking = true;
	if (dladdr(caller, &info) != 0 && info.dli_fname != NULL) {
		size_t count = tls_too && atomic_load(&begun) ? sizeof(names) / sizeof(names[0]) : plain;

		for (size_t index = 0; index < count; index++) {
			ours = ours || strstr(info.dli_fname, names[index]) != NULL;
		}
		if (ours) {
			atomic_store(&begun, true);
		}
	}
	asking = false;
	return ours;
}

/* PHP opens modules with RTLD_DEEPBIND: they would find the C library before us. */
void *dlopen(const char *name, int flags)
{
	return REAL(dlopen)(name, flags & ~RTLD_DEEPBIND);
}

static int report_fd = -1;

/* MMS_FAULT="n way": armed from the start. What was hit goes to descriptor MMS_FAULT_REPORT at the end. */
__attribute__((constructor)) static void begin(void)
{
	const char *order = getenv("MMS_FAULT"), *fd = getenv("MMS_FAULT_REPORT");
	unsigned long n;
	unsigned way;

	tls_too = getenv("MMS_FAULT_TLS") != NULL;
	report_fd = fd == NULL ? -1 : atoi(fd); /* PHP clears its environment before the end */
	if (order != NULL && sscanf(order, "%lu %u", &n, &way) == 2) {
		faults_arm(n, way);
	}
}

__attribute__((destructor)) static void report(void)
{
	char line[128];

	if (report_fd >= 0 && atomic_load(&armed)) {
		faults_disarm();
		(void) !REAL(write)(report_fd, line, (size_t) snprintf(line, sizeof(line), "%lu %s %s %u\n", faults_calls(),
				faults_hit() == NULL ? "none" : faults_hit(), faults_hit() == NULL ? "-" : faults_how(), faults_ways()));
	}
}
#endif
