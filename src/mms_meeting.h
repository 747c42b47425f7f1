/* The request thread meets nodes that nobody on this host has identified yet: only on the first misses after PHP's start,
 * before the replicator has greeted them. Without it, the first visitor's "no such session" would prove nothing. */
#ifndef MMS_MEETING_H
#define MMS_MEETING_H

#include <stdint.h>

#include "mms_fanout.h"

/* Asks those nodes of mask that are not identified, in at most two round trips within the fan-out's deadline, and publishes
 * what they say. Slots of other nodes are left alone. */
void mms_meeting_run(struct mms_fanout *fanout, uint64_t mask);

#endif
