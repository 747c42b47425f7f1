/* From the mailbox to the nodes: batches of mirrors, acknowledgements, and what becomes of entries that a node can't take
 * (hints, protected by a behind marker: protocol.md, rules g and h). */
#ifndef MMS_MIRROR_H
#define MMS_MIRROR_H

#include "mms_link.h"

/* Sends every ready node what it lacks, as far as its window goes; turns entries of unusable nodes into hints; moves the
 * mailbox' tail. False when this replicator has been succeeded: it must drop its connections unsent and leave. */
bool mms_mirror_run(struct mms_office *office);

/* Last words (office->last_words): true when every node has acknowledged, or can't be connected, so that there is nothing
 * left to wait for. A silent node that was sent everything keeps this false until the time is over. */
bool mms_mirror_all_said(const struct mms_office *office);

#endif
