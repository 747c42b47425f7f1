/* What the lives of all hosts (mms_life) tell each other on the nodes, once a second: each writes that it lives into
 * `<prefix>:lives` on every node, and reads there who else does, and in `<prefix>:behind` who knows whom to miss writes.
 * From this follow: who lives and who is dead, whether a repaired node may be called complete (rule i); in mms_aftermath, what
 * the dead left to be compared; in mms_strangers, which nodes others don't know.
 * Part of the replicator's thread. */
#ifndef MMS_HOSTS_H
#define MMS_HOSTS_H

#include "mms_life.h"
#include "mms_link.h"
#include "mms_pairs.h"
#include "mms_sightings.h"

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
struct mms_slice mms_hosts_own(const struct mms_hosts *hosts); /* NUL-terminated */
/* Other lives that have been seen, and the highest beat of each. The name is valid until the next run. */
uint32_t mms_hosts_sighted_count(const struct mms_hosts *hosts);
const char *mms_hosts_sighted(const struct mms_hosts *hosts, uint32_t index, uint64_t *beat);
/* What this life has missed for a node beyond its hints, it had missed by this beat, at this count of overflows. False when there
 * has been more since the last beat. */
bool mms_hosts_missed_by(const struct mms_hosts *hosts, unsigned node, uint64_t *beat, uint32_t *overflows);
/* Has another life died, as far as this replicator can know? */
bool mms_hosts_is_dead(const struct mms_hosts *hosts, struct mms_slice life);
/* Has another life given a sign of life at this moment or since, as far as is known? Also true when replicators of this life have
 * not looked all the time since. */
bool mms_hosts_heard_since(const struct mms_hosts *hosts, struct mms_slice life, struct mms_mono moment);

/* What a node's hash had when it was read last; the caller may mark pairs as cleared. */
enum mms_hosts_hash { MMS_HOSTS_LIVES, MMS_HOSTS_BEHIND, MMS_HOSTS_HASHES };
struct mms_pairs *mms_hosts_list(const struct mms_hosts *hosts, enum mms_hosts_hash hash, unsigned node);
/* Has the life died that this pair of such a list is of? As mms_hosts_is_dead(), for those who go through all of them often. */
bool mms_hosts_is_of_dead(const struct mms_hosts *hosts, enum mms_hosts_hash hash, const struct mms_pair *entry);
/* What is known of the beats of the life that this pair of a list of lives is of; NULL for this very life, and for what is none. */
const struct mms_sighting *mms_hosts_sighting(const struct mms_hosts *hosts, const struct mms_pair *entry);
/* Forgets what this node had of lives; it is asked again at once. */
void mms_hosts_read_again(struct mms_hosts *hosts, unsigned node);
/* Publishes and reads on all nodes at the next run, and not only when the next second is over. */
void mms_hosts_hurry(struct mms_hosts *hosts);
/* Has every node that answers been read after this moment? */
bool mms_hosts_read_since(const struct mms_hosts *hosts, struct mms_mono moment);
/* Nodes may differ in what they have heard of a life, and only the latest counts: is it this, by the beat in this entry of a list of
 * lives? */
bool mms_hosts_is_latest(const struct mms_hosts *hosts, const struct mms_pair *entry, uint64_t beat);

struct mms_office *mms_hosts_office(const struct mms_hosts *hosts);
/* When the replicators of this life began to look, one after the other without a pause. */
struct mms_mono mms_hosts_since(const struct mms_hosts *hosts);

/* How often a node has answered about lives, or has not been able to: who has seen this number has seen all that is known. The other:
 * about lives or markers. */
uint32_t mms_hosts_heard_count(const struct mms_hosts *hosts);
uint32_t mms_hosts_change_count(const struct mms_hosts *hosts);
/* The latest that another life has said of itself; false when no node has it. */
bool mms_hosts_latest(const struct mms_hosts *hosts, struct mms_slice life, struct mms_life *out);
/* Does this life say that it has met the node with this id? */
bool mms_hosts_has_met(const struct mms_hosts *hosts, struct mms_slice life, uint64_t node_id);

/* The end of this life: takes its entries back, which is its clean mark, if nothing is left in the mailbox and markers tell
 * of all hints. True when no node can be told any more. Called until then. */
bool mms_hosts_leave(struct mms_hosts *hosts);

#endif
