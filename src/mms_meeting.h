/* The request thread meets nodes that nobody on this host has identified yet: only on the first misses after PHP's start,
 * before the replicator has greeted them. Without it, the first visitor's "no such session" would prove nothing. And it asks
 * complete nodes whether they still are, for the replicator learns of an emptied one up to a second later. */
#ifndef MMS_MEETING_H
#define MMS_MEETING_H

#include <stdint.h>

#include "mms_fanout.h"

/* Asks those nodes of mask that are not identified, in at most two round trips within the fan-out's deadline, and publishes
 * what they say. Slots of other nodes are left alone. */
void mms_meeting_run(struct mms_fanout *fanout, uint64_t mask);

/* Which nodes of mask, known as complete, still are: their markers are read again, on the connections that have just answered
 * (with the server's run_id, once for each connection). One that was emptied a moment ago has none, or one that says
 * incomplete, and what this host knew of it is old. One round trip. */
uint64_t mms_meeting_confirm(struct mms_fanout *fanout, uint64_t mask);

/* Nodes whose server has not been asked for its run_id on the connection that stands now, or gave another one than this host
 * believes: what it knows of them need not hold. */
uint64_t mms_meeting_unknown_mask(const struct mms_client *client);

/* Does this marker, which was read on the node's connection (nil or anything else: no), say that the node is complete? Only for a
 * connection on which the server's run_id has been asked for. */
bool mms_meeting_judge(struct mms_client *client, unsigned node, const struct mms_reply *marker);

#endif
