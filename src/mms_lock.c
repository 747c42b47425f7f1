/* Robust process-shared mutexes. The difficulty: a holder may be killed or stopped at any instruction. Killed, the
 * kernel hands the mutex on (EOWNERDEAD); stopped, nobody can take it, so every wait has an end. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_mutex_clocklock, pthread_clockjoin_np */
#endif
#include "mms_lock.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#if defined(__linux__) && defined(__GLIBC__)
#include <linux/futex.h>
#include <limits.h>
#include <sys/syscall.h>
#include <unistd.h>
#define HAVE_FUTEX 1
#endif

#include "mms_clock.h"

#define SPIN_TRIES 32
#define PAUSES_PER_TRY 8
#define NAP_NS 200000 /* between two tries where the C library has no monotonic wait */

#if defined(__SANITIZE_THREAD__)
#define THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define THREAD_SANITIZER 1
#endif
#endif

/* The thread sanitizers (gcc 12, clang 14) do not see a lock that was taken by pthread_mutex_clocklock, nor a thread that was
 * joined by pthread_clockjoin_np. */
#if defined(__GLIBC__) && defined(__GLIBC_PREREQ) && !defined(THREAD_SANITIZER)
#if __GLIBC_PREREQ(2, 30)
#define HAVE_CLOCKLOCK 1
#endif
#if __GLIBC_PREREQ(2, 31)
#define HAVE_CLOCKJOIN 1
#endif
#endif

static struct timespec timespec_of(int64_t us);
static bool is_plain(const pthread_mutex_t *mutex);
static enum mms_lock_result outcome(pthread_mutex_t *mutex, int result);
static enum mms_lock_result wait_until(pthread_mutex_t *mutex, struct mms_mono deadline);
static enum mms_lock_result mark(enum mms_lock_result result, _Atomic uint32_t *stalled);
static void pause_briefly(void);

enum mms_status mms_lock_init(pthread_mutex_t *mutex, struct mms_error *error)
{
	pthread_mutexattr_t attributes;
	int result = pthread_mutexattr_init(&attributes);

	if (result == 0) {
		result = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
		if (result == 0) {
			result = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
		}
		if (result == 0) {
			result = pthread_mutex_init(mutex, &attributes);
		}
		pthread_mutexattr_destroy(&attributes);
	}
	if (result != 0) {
		mms_error_set(error, "shared memory: robust mutex: %s", strerror(result));
		return MMS_ERR_LOCAL;
	}
	return MMS_OK;
}

enum mms_lock_result mms_lock_try(pthread_mutex_t *mutex)
{
	return is_plain(mutex) ? outcome(mutex, pthread_mutex_trylock(mutex)) : MMS_LOCK_BUSY;
}

/* A critical section takes less than a microsecond or two, a futex wait and its wake ten: look again a few times. */
enum mms_lock_result mms_lock_spin(pthread_mutex_t *mutex)
{
	for (int try = 0; try < SPIN_TRIES; try++) {
		enum mms_lock_result result = mms_lock_try(mutex);

		if (result != MMS_LOCK_BUSY) {
			return result;
		}
		pause_briefly();
	}
	return MMS_LOCK_BUSY;
}

enum mms_lock_result mms_lock_wait(pthread_mutex_t *mutex, unsigned wait_ms)
{
	enum mms_lock_result result = mms_lock_spin(mutex);
	struct mms_mono deadline;

	if (result != MMS_LOCK_BUSY || wait_ms == 0 || !is_plain(mutex)) {
		return result;
	}
	deadline = mms_clock_mono();
	deadline.us += (int64_t)wait_ms * 1000;
	return wait_until(mutex, deadline);
}

void mms_lock_release(pthread_mutex_t *mutex)
{
	if (is_plain(mutex)) {
		pthread_mutex_unlock(mutex);
	}
}

enum mms_lock_result mms_lock_wait_unless_stalled(pthread_mutex_t *mutex, _Atomic uint32_t *stalled,
		unsigned wait_ms)
{
	if (atomic_load_explicit(stalled, memory_order_relaxed) != 0) {
		return mark(mms_lock_try(mutex), stalled);
	}
	return mark(mms_lock_wait(mutex, wait_ms), stalled);
}

enum mms_lock_result mms_lock_spin_unless_stalled(pthread_mutex_t *mutex, _Atomic uint32_t *stalled)
{
	if (atomic_load_explicit(stalled, memory_order_relaxed) != 0) {
		enum mms_lock_result result = mms_lock_try(mutex);

		return result == MMS_LOCK_BUSY ? result : mark(result, stalled);
	}
	return mms_lock_spin(mutex);
}

#ifdef HAVE_FUTEX
/* A robust mutex is a futex in which the kernel, too, leaves word of its holder's death, and wakes somebody if a bit says that
 * somebody sleeps: pthread's own waits set it as well. The word and its bits are ABI, of glibc and of the kernel. */
static bool names_a_holder(int word)
{
	return (word & FUTEX_TID_MASK) != 0 && (word & FUTEX_OWNER_DIED) == 0;
}

static bool seems_held(const pthread_mutex_t *mutex)
{
	return names_a_holder(__atomic_load_n(&mutex->__data.__lock, __ATOMIC_RELAXED));
}

bool mms_lock_watch(pthread_mutex_t *mutex, struct mms_mono deadline)
{
	const struct timespec until = timespec_of(deadline.us);
	int *word = &mutex->__data.__lock, held = __atomic_load_n(word, __ATOMIC_RELAXED);

	if (!is_plain(mutex) || !names_a_holder(held)) {
		return false;
	}
	if (((unsigned)held & FUTEX_WAITERS) == 0) {
		int waited_for = (int)((unsigned)held | FUTEX_WAITERS);

		if (!__atomic_compare_exchange_n(word, &held, waited_for, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
			return false;
		}
		held = waited_for;
	}
	return syscall(SYS_futex, word, FUTEX_WAIT_BITSET, held, &until, NULL, FUTEX_BITSET_MATCH_ANY) == 0
			|| errno == ETIMEDOUT || errno == EINTR;
}

void mms_lock_rouse(pthread_mutex_t *mutex)
{
	(void)syscall(SYS_futex, &mutex->__data.__lock, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}
#else
static bool seems_held(const pthread_mutex_t *mutex)
{
	(void)mutex;
	return false;
}

bool mms_lock_watch(pthread_mutex_t *mutex, struct mms_mono deadline)
{
	(void)mutex;
	(void)deadline;
	return false;
}

void mms_lock_rouse(pthread_mutex_t *mutex)
{
	(void)mutex;
}
#endif

bool mms_lock_is_free(pthread_mutex_t *mutex)
{
	if (seems_held(mutex) || mms_lock_try(mutex) == MMS_LOCK_BUSY) {
		return false;
	}
	mms_lock_release(mutex);
	return true;
}

#ifdef HAVE_CLOCKJOIN
bool mms_lock_join(pthread_t thread, struct mms_mono deadline)
{
	const struct timespec until = timespec_of(deadline.us);

	return pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &until) == 0;
}
#else
/* By the wall clock, there is no other: set meanwhile, it makes the wait longer or shorter. */
bool mms_lock_join(pthread_t thread, struct mms_mono deadline)
{
	const struct timespec until =
			timespec_of(mms_clock_wall().ms * 1000 + mms_clock_left_us(mms_clock_mono(), deadline));

	return pthread_timedjoin_np(thread, NULL, &until) == 0;
}
#endif

/* A mutex of ours is robust (0x10) and process-shared (0x80), nothing else. One that seems to be more was written over: glibc
 * ends the process over priorities that can't be, and one with elision runs an instruction that many processors don't have.
 * (The bits are part of its ABI: mutexes are shared between its releases.) */
static bool is_plain(const pthread_mutex_t *mutex)
{
#ifdef __GLIBC__
	return (mutex->__data.__kind & ~0x90) == 0;
#else
	(void)mutex;
	return true;
#endif
}

static struct timespec timespec_of(int64_t us)
{
	return (struct timespec){ (time_t)(us / 1000000), (long)(us % 1000000) * 1000 };
}

static enum mms_lock_result outcome(pthread_mutex_t *mutex, int result)
{
	if (result == 0) {
		return MMS_LOCK_TAKEN;
	}
	if (result == EOWNERDEAD && pthread_mutex_consistent(mutex) == 0) {
		return MMS_LOCK_TAKEN_FROM_DEAD;
	}
	return MMS_LOCK_BUSY;
}

#ifdef HAVE_CLOCKLOCK
static enum mms_lock_result wait_until(pthread_mutex_t *mutex, struct mms_mono deadline)
{
	const struct timespec until = timespec_of(deadline.us);

	return outcome(mutex, pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &until));
}
#else
/* pthread_mutex_timedlock waits by the wall clock, which may be set back by a day. */
static enum mms_lock_result wait_until(pthread_mutex_t *mutex, struct mms_mono deadline)
{
	const struct timespec nap = { 0, NAP_NS };
	enum mms_lock_result result = mms_lock_try(mutex);

	while (result == MMS_LOCK_BUSY && mms_clock_left_us(mms_clock_mono(), deadline) > 0) {
		nanosleep(&nap, NULL);
		result = mms_lock_try(mutex);
	}
	return result;
}
#endif

/* The flag is only a hint: set or cleared a moment too late it costs one trylock in vain or one wait. */
static enum mms_lock_result mark(enum mms_lock_result result, _Atomic uint32_t *stalled)
{
	uint32_t should_be = result == MMS_LOCK_BUSY;

	if (atomic_load_explicit(stalled, memory_order_relaxed) != should_be) {
		atomic_store_explicit(stalled, should_be, memory_order_relaxed);
	}
	return result;
}

static void pause_briefly(void)
{
	for (int i = 0; i < PAUSES_PER_TRY; i++) {
#if defined(__x86_64__) || defined(__i386__)
		__builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
		__asm__ __volatile__("yield" ::: "memory");
#else
		__asm__ __volatile__("" ::: "memory");
#endif
	}
}
