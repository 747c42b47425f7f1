/* Mutexes as the library asks for them: robust, with owners that may be killed. They live in the memory of the
 * pthread_mutex_t that they stand for. */
#ifndef LOCKS_H
#define LOCKS_H

#include <stdint.h>

#include "sched.h"

struct lock {
	int word;              /* where glibc's has its holder's id, 0 = free: the library looks at it before it tries */
	uint32_t inconsistent; /* its owner died */
	uint32_t unused[2];
	int kind;              /* where glibc's mutex has its kind: the library looks whether it is one of ours */
	struct thread *owner;
	struct lock *next_held;
};

void locks_reset(void);
/* The thread is gone: what it holds goes to whoever asks next, as of a dead owner. */
void locks_abandon(struct thread *thread);

#endif
