/* Repair scan: brings a node that came back emptied, restored or behind up to date, and says so in its marker; and the sweep,
 * which compares all nodes with all, after a host's death and now and then. One
 * repairer at a time per node (a lease on the node itself); every configured node's keys are compared with the node's
 * own, headers only, and records move, either way, only where versions differ. Bounded memory and rate; a scan that is
 * interrupted goes on with the source it was at. */
#ifndef MMS_REPAIR_H
#define MMS_REPAIR_H

#include "mms_link.h"

struct mms_repair; /* opaque; belongs to the replicator's thread */
struct mms_hosts;
struct mms_reconciler;

/* Borrows all three. */
struct mms_repair *mms_repair_new(struct mms_office *office, struct mms_reconciler *reconciler, struct mms_hosts *hosts);
void mms_repair_free(struct mms_repair *repair);

/* Starts, goes on with, or ends a scan as the state of the nodes asks for. */
void mms_repair_run(struct mms_repair *repair);

/* When it wants to be called again; INT64_MAX = not on its own account. Monotonic microseconds. */
int64_t mms_repair_next_us(const struct mms_repair *repair);

#endif
