/* pthread's mutexes and threads, replaced at link time (-Wl,--wrap). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "locks.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "mms_clock.h"
#include "world.h"

_Static_assert(sizeof(struct lock) <= sizeof(pthread_mutex_t), "a lock lives in a pthread_mutex_t");
#ifdef __GLIBC__
_Static_assert(offsetof(struct lock, word) == offsetof(pthread_mutex_t, __data.__lock), "mms_lock looks at its holder");
_Static_assert(offsetof(struct lock, kind) == offsetof(pthread_mutex_t, __data.__kind), "mms_lock looks at its kind");
#endif
#define ROBUST_AND_SHARED 0x90

static struct thread *waiters[64];
static unsigned waiter_count;

void locks_reset(void)
{
	waiter_count = 0;
}

static struct lock *lock_of(pthread_mutex_t *mutex)
{
	return (struct lock *)mutex;
}

static int take(struct lock *lock)
{
	struct thread *self = sched_self();

	if (lock->owner != NULL) {
		return EBUSY;
	}
	lock->owner = self != NULL ? self : (struct thread *)lock;
	lock->word = 1; /* whoever it is; a pointer's bits would be other ones in each run of a seed */
	if (self != NULL) {
		lock->next_held = self->held;
		self->held = lock;
	}
	return lock->inconsistent ? EOWNERDEAD : 0;
}

static void wake_waiters(struct lock *lock)
{
	for (unsigned i = 0; i < waiter_count; i++) {
		if (waiters[i]->waits_for == lock) {
			sched_wake(waiters[i]);
		}
	}
}

static void stop_waiting(struct thread *thread)
{
	for (unsigned i = 0; i < waiter_count; i++) {
		if (waiters[i] == thread) {
			waiters[i] = waiters[--waiter_count];
			break;
		}
	}
	thread->waits_for = NULL;
}

static void give_back(struct lock *lock)
{
	struct thread *owner = lock->owner;

	lock->owner = NULL;
	lock->word = 0;
	if (owner == NULL || owner == (struct thread *)lock) {
		return;
	}
	for (struct lock **link = &owner->held; *link != NULL; link = &(*link)->next_held) {
		if (*link == lock) {
			*link = lock->next_held;
			break;
		}
	}
	wake_waiters(lock);
}

void locks_abandon(struct thread *thread)
{
	if (thread->waits_for != NULL) {
		stop_waiting(thread);
	}
	while (thread->held != NULL) {
		struct lock *lock = thread->held;

		lock->inconsistent = 1;
		give_back(lock);
	}
}

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
	(void)attributes;
	memset(mutex, 0, sizeof *mutex);
	lock_of(mutex)->kind = ROBUST_AND_SHARED;
	return 0;
}

int __wrap_pthread_mutex_destroy(pthread_mutex_t *mutex)
{
	(void)mutex;
	return 0;
}

int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex)
{
	sched_point();
	return take(lock_of(mutex));
}

/* There is no futex here: it looks twice a second, as where the C library is not known. */
bool __wrap_mms_lock_watch(pthread_mutex_t *mutex, struct mms_mono deadline)
{
	(void)mutex;
	(void)deadline;
	return false;
}

void __wrap_mms_lock_rouse(pthread_mutex_t *mutex)
{
	(void)mutex;
}

int __wrap_pthread_mutex_consistent(pthread_mutex_t *mutex)
{
	lock_of(mutex)->inconsistent = 0;
	return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	sched_point();
	give_back(lock_of(mutex));
	return 0;
}

int __wrap_pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until)
{
	struct lock *lock = lock_of(mutex);
	struct thread *self = sched_self();
	int64_t until_us = (int64_t)until->tv_sec * 1000000 + until->tv_nsec / 1000;
	int result = take(lock);

	(void)clock;
	while (result == EBUSY) {
		bool woken;

		self->waits_for = lock;
		waiters[waiter_count++] = self;
		woken = sched_block(until_us);
		stop_waiting(self);
		result = take(lock);
		if (!woken && result == EBUSY) {
			return ETIMEDOUT;
		}
	}
	return result;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*entry)(void *), void *argument)
{
	(void)attributes;
	*thread = (pthread_t)(uintptr_t)sched_spawn(sched_self()->process, entry, argument);
	return 0;
}

int __wrap_pthread_clockjoin_np(pthread_t thread, void **result, clockid_t clock, const struct timespec *until)
{
	struct thread *joined = (struct thread *)(uintptr_t)thread, *self = sched_self();
	int64_t until_us = (int64_t)until->tv_sec * 1000000 + until->tv_nsec / 1000;

	(void)result;
	(void)clock;
	while (joined->state != THREAD_ENDED) {
		joined->joiner = self;
		if (!sched_block(until_us)) {
			joined->joiner = NULL;
			return ETIMEDOUT;
		}
	}
	return 0;
}

int __wrap_pthread_detach(pthread_t thread)
{
	(void)thread;
	return 0;
}

int __wrap_pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	(void)how;
	(void)set;
	if (old != NULL) {
		sigemptyset(old);
	}
	return 0;
}
