/* Whether a short wait is worth spinning for. A thread that sleeps for an answer that comes 20 us later pays two context
 * switches and an interrupt between cores for it, more than the answer itself; one that spins on a busy machine takes the
 * core from those who would answer. So: spin for a moment, give the core away in between (sched_yield()), and after spins
 * that were in vain leave out more and more of them (Karlin et al. 1990, competitive spinning, with a back-off).
 *
 * Pure: no clock, no system call. One per thread. */
#ifndef MMS_SPIN_H
#define MMS_SPIN_H

#include <stdbool.h>
#include <stdint.h>

/* An answer that usually takes longer is slept for at once. */
#define MMS_SPIN_NEAR_US 500
/* Looks at the sockets in one spin at most, however the clock behaves. */
#define MMS_SPIN_ROUNDS_MAX 1000

struct mms_spin {
	uint32_t limit_us;  /* length of one spin; 0 = never */
	uint32_t failures;  /* weight of the spins in vain */
	uint32_t skip;      /* waits still to be left out */
};

/* limit_us: mmsession.spin_us. cores: that this process may run on; with one there is nobody to spin for. */
void mms_spin_init(struct mms_spin *spin, uint32_t limit_us, int cores);

/* Before a wait for nodes of which the slowest usually takes latency_us (0 = unknown): true = spin for limit_us. */
bool mms_spin_begin(struct mms_spin *spin, uint32_t latency_us);

/* After the spin: have all answers come in it? */
void mms_spin_end(struct mms_spin *spin, bool answered);

#endif
