/* All that the replicator does beside mirroring: hints, scans, closed reservations, and the word of other hosts. One object, so
 * that an office is opened and closed in one place. */
#ifndef MMS_UPKEEP_H
#define MMS_UPKEEP_H

#include "mms_link.h"

struct mms_upkeep; /* opaque; belongs to the replicator's thread */

/* NULL when memory is short. */
struct mms_upkeep *mms_upkeep_new(struct mms_office *office);
/* All links must be down by now (every order is answered). NULL is fine. */
void mms_upkeep_free(struct mms_upkeep *upkeep);

/* One turn without waiting: what is due. Before the mirrors of the same round. */
void mms_upkeep_run(struct mms_upkeep *upkeep);
/* When it wants to be called again; INT64_MAX = not on its own account. Monotonic microseconds. */
int64_t mms_upkeep_next_us(const struct mms_upkeep *upkeep);

/* At the end of PHP: no hint can be delivered now. */
bool mms_upkeep_idle(const struct mms_upkeep *upkeep);
/* The last process leaves: as mms_hosts_leave(). */
bool mms_upkeep_leave(struct mms_upkeep *upkeep);

#endif
