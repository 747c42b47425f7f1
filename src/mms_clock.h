/* The only place that asks the kernel for the time. Wall and monotonic time are different types on purpose. */
#ifndef MMS_CLOCK_H
#define MMS_CLOCK_H

#include <stdint.h>

struct mms_mono { int64_t us; };  /* CLOCK_MONOTONIC; comparable across processes of one host */
struct mms_wall { int64_t ms; };  /* CLOCK_REALTIME, Unix milliseconds; may jump */
struct mms_boot { int64_t ms; };  /* CLOCK_BOOTTIME: goes on while the machine sleeps */

struct mms_mono mms_clock_mono(void);
struct mms_wall mms_clock_wall(void);
struct mms_boot mms_clock_boot(void);

/* CPU time that the calling thread has used, in microseconds. */
int64_t mms_clock_thread_cpu_us(void);

/* later - earlier, held within 64 bits: one of them may come from a damaged mapping. */
static inline int64_t mms_clock_apart(int64_t later, int64_t earlier)
{
	int64_t apart;

	return __builtin_sub_overflow(later, earlier, &apart) ? (later < earlier ? INT64_MIN : INT64_MAX) : apart;
}

/* Microseconds from now until deadline, 0 when it has passed. */
int64_t mms_clock_left_us(struct mms_mono now, struct mms_mono deadline);

#endif
