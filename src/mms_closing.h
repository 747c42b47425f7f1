/* Replicator: says on every node up to where this host's reservations are closed and delivered there, so that other hosts
 * can tell "not written" from "not here yet" (docs/protocol.md, "Session token"). Costs nothing while no request of the
 * cluster reserves. */
#ifndef MMS_CLOSING_H
#define MMS_CLOSING_H

#include <stdint.h>

#include "mms_link.h"

struct mms_closing; /* opaque; the replicator's thread alone */

/* NULL when memory is short. Borrows office. */
struct mms_closing *mms_closing_new(struct mms_office *office);
void mms_closing_free(struct mms_closing *closing);

/* Queues what is due; the links are flushed by whoever has checked that this replicator is still in office. */
void mms_closing_run(struct mms_closing *closing);

/* Monotonic us when it wants to run without being told, INT64_MAX = never. */
int64_t mms_closing_next_us(const struct mms_closing *closing);

#endif
