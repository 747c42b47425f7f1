/* Robust process-shared mutexes with bounded waits: the only way this code takes a lock in shared memory. */
#ifndef MMS_LOCK_H
#define MMS_LOCK_H

#include <pthread.h>
#include <stdbool.h>

#include "mms_base.h"

enum mms_lock_result {
	MMS_LOCK_TAKEN,
	MMS_LOCK_TAKEN_FROM_DEAD, /* taken, and the last holder died holding it: check what it guarded */
	MMS_LOCK_BUSY             /* not taken within the wait */
};

enum mms_status mms_lock_init(pthread_mutex_t *mutex, struct mms_error *error);
enum mms_lock_result mms_lock_try(pthread_mutex_t *mutex);
/* Waits at most wait_ms (monotonic). A mutex left inconsistent by a dead holder is made consistent. */
enum mms_lock_result mms_lock_wait(pthread_mutex_t *mutex, unsigned wait_ms);
void mms_lock_release(pthread_mutex_t *mutex);

#endif
