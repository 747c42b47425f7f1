/* Competitive spinning with a back-off: in vain doubles the waits that are left out, success takes one step back. */
#include "mms_spin.h"

#define FAILURES_MAX 9 /* 512 waits left out */

void mms_spin_init(struct mms_spin *spin, uint32_t limit_us, int cores)
{
	spin->limit_us = cores > 1 ? limit_us : 0;
	spin->failures = 0;
	spin->skip = 0;
}

bool mms_spin_begin(struct mms_spin *spin, uint32_t latency_us)
{
	if (spin->limit_us == 0 || latency_us > MMS_SPIN_NEAR_US) {
		return false;
	}
	if (spin->skip > 0) {
		spin->skip--;
		return false;
	}
	return true;
}

void mms_spin_end(struct mms_spin *spin, bool answered)
{
	if (answered) {
		spin->failures -= spin->failures > 0 ? 1 : 0;
		return;
	}
	spin->failures += spin->failures < FAILURES_MAX ? 1 : 0;
	spin->skip = 1u << spin->failures;
}
