/* Whether a replicator should leave its office though nobody told it to: it costs the request beside it too much, or its process can't
 * connect to nodes any more. Somebody must stand by. Part of the replicator's thread. */
#ifndef MMS_RETIRE_H
#define MMS_RETIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_link.h"

struct mms_retire {
	uint64_t request_seen;      /* the process's request_count when a request was seen to begin last */
	int64_t cpu_at_request_us;  /* of this thread, then */
};

/* With the office. */
void mms_retire_begin(struct mms_retire *retire, uint64_t request_count);

/* Once per round. request_count: requests that this process has begun; allowance_ms: CPU time that this thread may use beside
 * one of them, 0 = any. Sleeps for 10 ms when it is used up and nobody stands by. */
bool mms_retire_wanted(struct mms_retire *retire, const struct mms_office *office, uint64_t request_count, uint32_t allowance_ms);

#endif
