/* The CPU time of the replicator's thread counts toward max_execution_time of the request beside it (ITIMER_PROF): before that
 * matters, another process takes over, or this one slows down. */
#include "mms_retire.h"

#include <poll.h>

#include "mms_election.h"

#define SHORT_US 1000000         /* without a descriptor, or memory, for a connection */
#define SHORT_OFFICE_US 10000000 /* an office that is younger is not left for that */
#define SLOW_STEP_US 1000        /* with nobody to hand over to: so much CPU in each pause, a tenth of the processor at most */
#define SLOW_PAUSE_MS 10

/* A page has leaked this process's descriptors, or its memory: the next process may have some. What the whole host lacks must not
 * make the office wander. */
static bool is_short(const struct mms_office *office)
{
	return office->short_since.us != 0 && office->now.us - office->short_since.us > SHORT_US
			&& mms_clock_apart(office->now.us, atomic_load(&office->cluster->election.since_us)) > SHORT_OFFICE_US;
}

static bool has_used_up_its_time(struct mms_retire *retire, uint64_t request_count, uint32_t allowance_ms)
{
	int64_t cpu_us;

	if (allowance_ms == 0) {
		return false;
	}
	cpu_us = mms_clock_thread_cpu_us();
	if (request_count != retire->request_seen) {
		retire->request_seen = request_count;
		retire->cpu_at_request_us = cpu_us;
	}
	return cpu_us - retire->cpu_at_request_us >= (int64_t)allowance_ms * 1000;
}

void mms_retire_begin(struct mms_retire *retire, uint64_t request_count)
{
	retire->request_seen = request_count;
	retire->cpu_at_request_us = mms_clock_thread_cpu_us();
}

bool mms_retire_wanted(struct mms_retire *retire, const struct mms_office *office, uint64_t request_count, uint32_t allowance_ms)
{
	bool used_up = has_used_up_its_time(retire, request_count, allowance_ms);

	if ((used_up || is_short(office)) && mms_election_has_standby(office->cluster, office->now)) {
		return true;
	}
	if (used_up) {
		retire->cpu_at_request_us += SLOW_STEP_US;
		(void)poll(NULL, 0, SLOW_PAUSE_MS);
	}
	return false;
}
