/* What is left to be compared after others: lives that died with a mailbox (rule j), markers that they left behind for nodes
 * (rule h), and the sweep that is due now and then. From what mms_hosts has read on the nodes. Part of the replicator's
 * thread. */
#ifndef MMS_AFTERMATH_H
#define MMS_AFTERMATH_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_hosts.h"
#include "mms_notes.h"

/* Rule j: is there a life that died without a clean mark? since_ms: HLC from which on its writes may be on one node only. latest_us: the
 * last sign of life of any of them, monotonic. Whoever dies later, or once more, has given a later one. */
bool mms_aftermath_dirty(const struct mms_hosts *hosts, uint64_t *since_ms, int64_t *latest_us);

/* Is it time for the slow periodic sweep, by what the nodes say of the last one and this cluster's repair_interval? Also when
 * no word of any is found, 10 s after this replicator came. */
bool mms_aftermath_sweep_due(const struct mms_hosts *hosts);
/* Writes on the nodes that everything was compared with everything just now. */
void mms_aftermath_swept(struct mms_hosts *hosts);

/* Rule h: the nodes for which dead lives left markers. */
uint64_t mms_aftermath_left_behind(const struct mms_hosts *hosts);

/* Adds the markers for this node (node_count: the dead lives) as they are known now. */
void mms_aftermath_note(const struct mms_hosts *hosts, unsigned node, struct mms_notes *notes);
/* Deletes what was noted from the nodes, by compare, but for markers of lives that may have lived since the scan began; frees the
 * notes. A marker that stays asks for another scan when its life is dead, which clears it. */
void mms_aftermath_clear(struct mms_hosts *hosts, struct mms_notes *notes, struct mms_mono begun_at);

#endif
