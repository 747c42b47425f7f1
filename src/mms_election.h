/* Who is the replicator of a cluster on this host: its seat, the role of the one who stands by, and how he learns without
 * asking that the seat has become free. */
#ifndef MMS_ELECTION_H
#define MMS_ELECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_shm.h"

/* A heartbeat older than this: its owner is stopped, another takes over. */
#define MMS_ELECTION_STALE_US 2000000
/* The same of him who stands by and looks every two seconds. */
#define MMS_ELECTION_STANDBY_STALE_US 5000000

/* A thread that is, or may become, the replicator. */
struct mms_candidate {
	struct mms_cluster_sh *cluster;
	uint32_t seat;    /* held, in office; MMS_ELECTION_NO_SEAT */
	bool standing_by; /* holds that role */
};
#define MMS_ELECTION_NO_SEAT UINT32_MAX

/* Takes the seat in office if its owner is dead or has left, another one if he does not beat any more; false when he lives.
 * epoch: of the mailbox from now on. Gives up standing by. */
bool mms_election_win(struct mms_candidate *candidate, uint8_t *epoch);
void mms_election_resign(struct mms_candidate *candidate);

/* Takes the role, or beats in it; false when another thread has it. */
bool mms_election_stand_by(struct mms_candidate *candidate);
void mms_election_withdraw(struct mms_candidate *candidate);
/* Sleeps until the owner dies, leaves, or may have been stopped: two seconds, while he beats. A call of mms_election_rouse()
 * ends it too, but one that comes just before it sleeps may be missed: to be repeated. False: see mms_lock_watch(). */
bool mms_election_watch(const struct mms_candidate *candidate);
void mms_election_rouse(struct mms_cluster_sh *cluster);

/* Does somebody stand by, alive and not stopped? */
bool mms_election_has_standby(struct mms_cluster_sh *cluster, struct mms_mono now);
/* Is a thread missing (nobody in office, or office without heartbeat)? Cheap: for every request. standby_too: or nobody
 * standing by. */
bool mms_election_vacant(struct mms_cluster_sh *cluster, struct mms_mono now, bool standby_too);

#endif
