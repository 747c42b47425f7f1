/* Robust process-shared mutexes with bounded waits: the only way this code takes a lock in shared memory. And the bounded wait
 * for a thread's end. */
#ifndef MMS_LOCK_H
#define MMS_LOCK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"
#include "mms_clock.h"

/* A point inside a critical section where a test may delay, stop or kill its holder. Empty in every build; a test
 * defines it and then includes the .c file. */
#ifndef MMS_TEST_POINT
#define MMS_TEST_POINT(name) ((void)0)
#endif

enum mms_lock_result {
	MMS_LOCK_TAKEN,
	MMS_LOCK_TAKEN_FROM_DEAD, /* taken, and the last holder died holding it: check what it guarded */
	MMS_LOCK_BUSY             /* not taken within the wait */
};

enum mms_status mms_lock_init(pthread_mutex_t *mutex, struct mms_error *error);
enum mms_lock_result mms_lock_try(pthread_mutex_t *mutex);
/* Tries for a few microseconds without sleeping. */
enum mms_lock_result mms_lock_spin(pthread_mutex_t *mutex);
/* Waits at most wait_ms (monotonic). A mutex left inconsistent by a dead holder is made consistent. */
enum mms_lock_result mms_lock_wait(pthread_mutex_t *mutex, unsigned wait_ms);
void mms_lock_release(pthread_mutex_t *mutex);

/* The same for a mutex with a `stalled` flag beside it. A wait in vain sets the flag, and while it is set nobody
 * waits: a stopped holder (SIGSTOP, a frozen container) costs every process one wait and not one per call. Whoever
 * gets the lock clears it. */
enum mms_lock_result mms_lock_wait_unless_stalled(pthread_mutex_t *mutex, _Atomic uint32_t *stalled,
		unsigned wait_ms);
enum mms_lock_result mms_lock_spin_unless_stalled(pthread_mutex_t *mutex, _Atomic uint32_t *stalled);

/* Is nobody alive holding it? Mostly a look at one word, so that many may ask often; holds it for a moment otherwise. */
bool mms_lock_is_free(pthread_mutex_t *mutex);

/* Sleeps until the mutex may have become free (its holder died or let go of it), mms_lock_rouse() or the deadline; takes
 * nothing. May end early, and miss a rousing that comes as it begins. False, without having slept, when it seems to be free, and
 * where the C library's mutexes are not known. */
bool mms_lock_watch(pthread_mutex_t *mutex, struct mms_mono deadline);
void mms_lock_rouse(pthread_mutex_t *mutex);

/* Joins a thread; false, and it is not joined, when it has not ended by then. */
bool mms_lock_join(pthread_t thread, struct mms_mono deadline);

#endif
