/* Rule i: may a node that was repaired be called complete, by what all lives say on the nodes? Part of the replicator's thread. */
#ifndef MMS_SETTLED_H
#define MMS_SETTLED_H

#include <stdbool.h>

#include "mms_hosts.h"

/* Every configured node was read since this one returned, and every life written there, this one too, has settled it: what it had in
 * its mailbox and its hints when it met this incarnation is done with. */
bool mms_settled_by_all(const struct mms_hosts *hosts, unsigned node);

#endif
