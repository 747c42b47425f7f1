/* What the lives of all hosts (mms_life) tell each other on the nodes, once a second: each writes that it lives into
 * `<prefix>:lives` on every node, and reads there who else does, and in `<prefix>:behind` who knows whom to miss writes.
 * From this follow: whether a repaired node may be called complete (rule i), whether somebody died with a mailbox that may
 * have held acknowledged writes (rule j), which nodes dead hosts left behind (rule h), and which nodes others don't know.
 * Part of the replicator's thread. */
#ifndef MMS_HOSTS_H
#define MMS_HOSTS_H

#include "mms_link.h"
#include "mms_notes.h"

#define MMS_HOSTS_BEAT_US 1000000
#define MMS_HOSTS_DEAD_US 5000000     /* without a new beat: dead, until it beats again */

struct mms_hosts; /* opaque */

struct mms_hosts *mms_hosts_new(struct mms_office *office);
/* All links must be down. */
void mms_hosts_free(struct mms_hosts *hosts);

/* Publishes and reads where it is due. Before the mirrors of the same round: a node hears of a life before it gets its
 * first write. */
void mms_hosts_run(struct mms_hosts *hosts);
int64_t mms_hosts_next_us(const struct mms_hosts *hosts);

/* Is this the name of this very life? */
bool mms_hosts_is_own(const struct mms_hosts *hosts, struct mms_slice life);
/* Has another life died, as far as this replicator can know? */
bool mms_hosts_is_dead(const struct mms_hosts *hosts, struct mms_slice life);

/* Does this life say that it has met the node with this id? */
bool mms_hosts_has_met(const struct mms_hosts *hosts, struct mms_slice life, uint64_t node_id);

/* Rule i: every configured node was read since this one returned, and every life written there has settled it. */
bool mms_hosts_settled(const struct mms_hosts *hosts, unsigned node);

/* Rule j: is there a life that died without a clean mark? since_ms: HLC from which on its writes may be on one node only. */
bool mms_hosts_dirty(const struct mms_hosts *hosts, uint64_t *since_ms);

/* Rule h: did a dead life leave a marker behind for this node? */
bool mms_hosts_left_behind(const struct mms_hosts *hosts, unsigned node);

/* Is it time for the slow periodic sweep, by what the nodes say of the last one and this cluster's repair_interval? Also when
 * no word of any is found, 10 s after this replicator came. */
bool mms_hosts_sweep_due(const struct mms_hosts *hosts);
/* Writes on the nodes that everything was compared with everything just now. */
void mms_hosts_swept(struct mms_hosts *hosts);

/* True for one of the lives that list this node, while others have not known it for some time: what they write comes to it
 * by scan only. */
bool mms_hosts_must_share(const struct mms_hosts *hosts, unsigned node);

/* Adds the markers for this node (node_count: the dead lives) as they are known now. */
void mms_hosts_note(const struct mms_hosts *hosts, unsigned node, struct mms_notes *notes);
/* Deletes what was noted from the nodes, by compare, and frees the notes. */
void mms_hosts_clear(struct mms_hosts *hosts, struct mms_notes *notes);

/* The end of this life: takes its entries back, which is its clean mark, if nothing is left in the mailbox and markers tell
 * of all hints. True when no node can be told any more. Called until then. */
bool mms_hosts_leave(struct mms_hosts *hosts);

#endif
