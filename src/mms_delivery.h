/* Hints on their way: for each session id that a node missed, ask all other nodes for their header, fetch the newest copy
 * and put it. A few dozen at a time (protocol.md, rule g). */
#ifndef MMS_DELIVERY_H
#define MMS_DELIVERY_H

#include "mms_link.h"

#define MMS_DELIVERY_JOBS 64

struct mms_delivery;   /* opaque; belongs to the replicator's thread */
struct mms_reconciler;

/* reconciler is borrowed and must outlive it. */
struct mms_delivery *mms_delivery_new(struct mms_office *office, struct mms_reconciler *reconciler);
void mms_delivery_free(struct mms_delivery *delivery);

/* Starts jobs for ready nodes that have hints. */
void mms_delivery_run(struct mms_delivery *delivery);

/* When a node with hints left should be looked at again; INT64_MAX = not on its own account. Monotonic microseconds. */
int64_t mms_delivery_next_us(const struct mms_delivery *delivery);

#endif
