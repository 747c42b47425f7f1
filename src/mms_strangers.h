/* Hosts whose list of nodes differs from this one's, as their lives (mms_hosts) tell: a node of ours that a living host does not
 * list is compared with the others now and then, for what that host writes comes to it by scan only; and people are told, in the
 * notice MMS_NOTICE_NODES. Since when it is so stands in shared memory: offices may be short. Part of the replicator's thread. */
#ifndef MMS_STRANGERS_H
#define MMS_STRANGERS_H

#include "mms_hosts.h"

struct mms_strangers {
	const struct mms_hosts *hosts;
	uint32_t heard; /* answers about lives that have been looked at */
};

/* Borrows hosts. */
void mms_strangers_init(struct mms_strangers *strangers, const struct mms_hosts *hosts);

/* Looks anew when some node has told of lives since. */
void mms_strangers_run(struct mms_strangers *strangers);

/* True for one of the lives that list this node, while others have not known it for some time. */
bool mms_strangers_must_share(const struct mms_office *office, unsigned node);

#endif
