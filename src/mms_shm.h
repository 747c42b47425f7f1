/* The shared mapping of a host's PHP: made once in MINIT, inherited by every worker, never unmapped.
 * size and layout version, the HLC word, the table of open requests, then max_clusters slots, each with everything that
 * the workers and the replicator of one cluster share. Offsets, no pointers. */
#ifndef MMS_SHM_H
#define MMS_SHM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "mms_base.h"
#include "mms_breaker.h"
#include "mms_checkpoint.h"
#include "mms_config.h"
#include "mms_hints.h"
#include "mms_hlc.h"
#include "mms_mailbox.h"
#include "mms_metrics.h"
#include "mms_reservation.h"

#define MMS_SHM_MAGIC 0x4d4d5348u /* "MMSH" */
#define MMS_SHM_LAYOUT 1
#define MMS_ELECTION_SEATS 4
#define MMS_HINT_CAPACITY 32768u
#define MMS_SHM_CLUSTERS_MAX 64u
#define MMS_SIGHTINGS_MAX 2048u
#define MMS_REFUSALS 9

/* The latest repair scan of a node that this host made; the replicator writes all of it but `wanted`. */
struct mms_repair_sh {
	_Atomic uint32_t running;       /* 1: under way now */
	_Atomic uint32_t wanted;        /* scans asked for by mmsession_repair(); any process adds */
	_Atomic uint32_t served;        /* of these, how many had been asked for when the last whole scan began */
	_Atomic uint32_t finished;      /* whole scans ever */
	_Atomic uint64_t total;         /* keys on all sources, as they say: what has to be walked; 0 = not known */
	_Atomic uint64_t walked;        /* of these, about so many by now */
	_Atomic uint64_t scanned;       /* sessions compared */
	_Atomic uint64_t moved;         /* records put on nodes */
	_Atomic uint64_t bytes;         /* of these */
	_Atomic int64_t started_us;     /* monotonic; 0 = never */
	_Atomic int64_t ended_us;       /* monotonic; when the last attempt ended, whole or not; 0 = none has */
};

/* Another host's life, as the replicators of this one have seen it; the replicator writes all of it. */
struct mms_sighting_sh {
	_Atomic uint64_t name_hash;     /* mms_identity_hash(), 0 = free */
	_Atomic uint64_t beat;          /* the highest */
	_Atomic int64_t changed_us;     /* monotonic; when that one was first seen */
};

/* One node as this host sees it. */
struct mms_node_sh {
	struct mms_breaker_sh breaker;
	struct mms_note_sh warning;     /* a setting of the server that does harm; the replicator */
	struct mms_note_sh refusal;     /* what it refuses of mmsession's own keys (mms_refusal.h); the replicator */
	_Atomic int64_t refused_us[MMS_REFUSALS]; /* by enum mms_refusal; monotonic; when it was refused last, 0 = it is allowed; the
	                                           * replicator */
	_Atomic uint32_t complete;      /* 1: "no such session" from it proves something; the replicator, and a request thread that
	                                 * meets it first */
	_Atomic uint32_t founded;       /* enum mms_founding; whoever met it */
	_Atomic uint32_t avoided;       /* 1: another host's marker says that it does not use it now; the replicator */
	_Atomic uint32_t greeted;       /* 1: a replicator of this life has met it; the replicator */
	_Atomic uint32_t behind;        /* 1: our behind marker for it stands on its peers; the replicator */
	_Atomic uint64_t behind_token;  /* of that marker, 0 = none: a successor goes on with it; the replicator */
	_Atomic uint64_t behind_id;     /* the node id that the marker's key names; the replicator */
	_Atomic uint64_t node_id;       /* from its marker key, 0 = not met yet; the replicator */
	_Atomic uint64_t run_hash;      /* of the server's run_id, 0 = not met yet; the replicator */
	_Atomic uint64_t distrust_until; /* mailbox entries before it: their masks speak of an earlier incarnation; the replicator */
	_Atomic uint64_t met_run;       /* this incarnation (run_hash and node_id) has been met by a replicator of this life; the replicator */
	_Atomic int64_t met_us;         /* monotonic; when it was; the replicator */
	_Atomic int64_t unknown_us;     /* monotonic; since when a living host does not list it, 0 = all do; the replicator */
	_Atomic int64_t unlisted_us;    /* monotonic; since when some living host has not met it, which this one reaches, 0 = all have; the
	                                 * replicator */
	_Atomic int64_t unlisted_seen_us; /* monotonic; when such a host was seen last; the replicator */
	_Atomic int64_t behind_served_us; /* monotonic; as lives_served_us, of a scan of this node and the markers of dead lives for it; the
	                                   * replicator */
	_Atomic int64_t unable_us;      /* monotonic; since when this host has had no address or port for a connection to it, 0 = it had,
	                                 * last time; the replicator */
	_Atomic int64_t lag_us;         /* age of the oldest entry that it has not acknowledged; the replicator */
	_Atomic uint64_t acked_count;   /* mirrors acknowledged; the replicator */
	_Atomic uint64_t closed_above;  /* of our closed sequence on it, with the server of closed_run; the replicator */
	_Atomic uint64_t closed_run;    /* run_hash of that server, 0 = none; the replicator */
	_Atomic uint64_t missed_beat;   /* first beat that found this count of overflows, 0 = none has; the replicator */
	_Atomic uint32_t missed_overflows; /* of its hints; the replicator */
	struct mms_repair_sh repair;
	_Atomic uint32_t address_sequence; /* seqlock of the three below: odd while the replicator writes */
	_Atomic uint32_t address_len;   /* 0 = host name not resolved yet */
	_Atomic uint32_t address_check; /* CRC-32C of length and address: two replicators may write at once, or one die */
	_Atomic uint64_t address[sizeof(struct sockaddr_storage) / 8]; /* through the two functions below only */
};

/* What people should know about a cluster, besides its nodes' faults. */
enum mms_notice {
	MMS_NOTICE_FOREIGN_KEY, /* a session's key holds something else; whoever meets it */
	MMS_NOTICE_CLOCK,       /* state: hosts whose clock is wrong; the replicator */
	MMS_NOTICE_HOST_ID,     /* state: another host bears this one's id; the replicator */
	MMS_NOTICE_IMPORT,      /* what another handler left can't be taken; whoever meets it */
	MMS_NOTICE_NODES,       /* state: a living host has not met a node of this one's list; the replicator */
	MMS_NOTICE_COUNT
};
#define MMS_NOTICE_NAMES { "foreign_key", "clock", "host_id", "import", "nodes" }

/* Who may be the replicator. The thread holds its seat's mutex for life; seat and epoch change together by CAS, so a
 * stopped owner can be succeeded without its mutex. */
struct mms_election_sh {
	pthread_mutex_t seats[MMS_ELECTION_SEATS]; /* robust */
	pthread_mutex_t standby;                   /* robust; the one thread that waits to succeed holds it */
	_Atomic uint32_t seat;                     /* index of the seat in office; who takes office, by CAS */
	_Atomic int64_t beat_us;                   /* monotonic; last heartbeat of the owner */
	_Atomic int64_t since_us;                  /* monotonic; when the owner took office */
	_Atomic int32_t owner_pid;                 /* 0 = none; for people */
	_Atomic int64_t standby_beat_us;           /* monotonic; last heartbeat of the thread that waits to succeed */
};

struct mms_cluster_sh {
	_Atomic uint64_t fingerprint;   /* 0 = free; published last, under slots_lock */
	_Atomic int32_t wake_fd;        /* eventfd, same number in all processes; set once in MINIT */
	struct mms_settings settings;   /* what the claimer knew; written before fingerprint is published */
	uint32_t claimer_uid, claimer_gid; /* whose process claimed it; written with settings */
	struct mms_election_sh election;
	struct mms_metrics_sh metrics;
	_Atomic uint64_t beat;          /* of this life, as published on the nodes (mms_hosts); the replicator */
	_Atomic uint64_t watermark_ms;  /* of this life, as published; the replicator */
	struct mms_repair_sh sweep;     /* all nodes compared with all: after a host's death, and now and then */
	_Atomic uint32_t dead_swept;    /* 1: no life that died is known whose writes wait for a sweep; the replicator */
	_Atomic int64_t swept_us;       /* monotonic; when this life last compared everything, 0 = never; the replicator */
	_Atomic int64_t lives_served_us; /* monotonic; when a sweep began that served all lives dead by then, while some node refuses to
	                                  * delete their lines; 0 = none does; the replicator */
	_Atomic uint64_t swept_servers; /* mms_aftermath's word for the servers that were compared then; the replicator */
	_Atomic int64_t clock_spread_ms; /* how far clocks of hosts are apart, for mms_visit; the replicator's survey */
	_Atomic int64_t looked_us;      /* monotonic; when a replicator last looked at the hosts; the replicator */
	_Atomic int64_t looking_us;     /* monotonic; since when they have done so without a pause; the replicator */
	struct mms_sighting_sh sightings[MMS_SIGHTINGS_MAX];
	_Atomic uint32_t published;     /* 1: some node may know of this life; the replicator */
	struct mms_node_sh nodes[MMS_NODES_MAX];
	_Atomic uint64_t reserved;      /* latest reservation of a request of this cluster; request threads, any order */
	struct mms_note_sh notices[MMS_NOTICE_COUNT];
	struct mms_hints_sh hints;
	struct mms_mailbox_sh mailbox;
};

struct mms_shm {
	uint32_t magic, layout;
	uint64_t size;
	uint64_t slot_offset, slot_size; /* bytes */
	uint32_t slot_count;
	uint32_t mapping_random;         /* lower half of every writer stamped here; non-zero */
	mms_hlc_word hlc;                /* any process, by CAS */
	mms_hlc_anchor anchor;           /* of the wall clock, for mms_hlc_now(); MINIT, then the replicators */
	_Atomic uint64_t write_sequence; /* any process adds; below 2^48 */
	_Atomic uint32_t slots_stalled;  /* 1: a holder of slots_lock seems stopped, nobody waits for it; anyone */
	pthread_mutex_t slots_lock;      /* robust: only around the claim of a slot */
};

/* What never changes in a mapping, kept by each process in memory of its own: what anybody wrote over it is put right. */
struct mms_shm_shape {
	uint64_t size, slot_size; /* bytes */
	uint32_t slot_count;
	uint32_t mapping_random;
	int32_t wake_fds[MMS_SHM_CLUSTERS_MAX];
};

/* Makes the mapping with room for max_clusters clusters (1..MMS_SHM_CLUSTERS_MAX) with mailbox_size bytes each (rounded
 * up to a power of two; MMS_MAILBOX_MIN_SIZE..MMS_MAILBOX_MAX_SIZE) and one eventfd per slot. NULL with an error on
 * failure. Address space only: no page but one per slot is touched, the rest comes with its use. */
struct mms_shm *mms_shm_map(uint32_t max_clusters, uint64_t mailbox_size, struct mms_error *error);

/* Only for tests and for a start-up that fails halfway: closes the eventfds and unmaps. */
void mms_shm_unmap(struct mms_shm *shm);

/* Checks magic, layout, and the offsets, sizes and strings of all slots (a corrupted mapping must not crash a
 * worker). */
bool mms_shm_valid(const struct mms_shm *shm);

/* Takes the shape down; the mapping is fresh, or has just been mended. */
void mms_shm_remember(const struct mms_shm *shm, struct mms_shm_shape *shape);

/* Puts right sizes, offsets and descriptors that are not as remembered: of the mapping itself and of one slot (NULL: of
 * all). Cheap: called at each request's beginning and in each round of the replicator. Everything else in the mapping is
 * checked where it is used. Returns whether all was sound. */
bool mms_shm_mend(struct mms_shm *shm, const struct mms_shm_shape *shape, const struct mms_cluster_sh *one);

/* The slot of this cluster, claimed on first use; settings are copied on that occasion. Takes no lock once the slot is
 * claimed. NULL when all slots belong to other clusters, the claim lock can't be had in 20 ms, or the slot of this
 * fingerprint belongs to another cluster. */
struct mms_cluster_sh *mms_shm_cluster(struct mms_shm *shm, const struct mms_settings *settings,
		uint64_t fingerprint);

/* Slot by index (0..slot_count-1), NULL when free: for drains and status. */
struct mms_cluster_sh *mms_shm_cluster_at(struct mms_shm *shm, uint32_t index);

/* How far the scan has come that this cluster's replicator began last. */
struct mms_checkpoint_sh *mms_shm_checkpoint(struct mms_cluster_sh *cluster);

/* The table of open requests, behind the struct; zeroed at first, which is what it starts as. */
struct mms_reservations_sh *mms_shm_reservations(struct mms_shm *shm);

/* Who stamps versions, and names reservations and temporary keys, for this cluster in this mapping: the host's hash above a random
 * number. Clusters of one mapping may have prefix and nodes in common (another user, another order), and each has a mailbox and a
 * replicator of its own that knows nothing of the other's. */
uint64_t mms_shm_writer(const struct mms_shm *shm, const struct mms_cluster_sh *cluster, uint32_t host_hash);

uint64_t mms_shm_next_sequence(struct mms_shm *shm);

/* What is kept of a life that is called so (mms_identity_hash(), not 0), or NULL. */
const struct mms_sighting_sh *mms_shm_find_sighting(const struct mms_cluster_sh *cluster, uint64_t name_hash);

/* Keeps it, when there is no place left in that of the life that has been silent for longest. The replicator alone. */
void mms_shm_note_sighting(struct mms_cluster_sh *cluster, uint64_t name_hash, uint64_t beat, int64_t changed_us);

/* A node's server and what it holds, as one number: another after a restart, a FLUSHALL, or for another node. */
uint64_t mms_shm_incarnation(const struct mms_node_sh *node);

/* This cluster's life in this mapping: a number that no other mapping and cluster on any host has, as far as chance goes. */
uint64_t mms_shm_life(const struct mms_shm *shm, const struct mms_cluster_sh *cluster);

/* Wakes the replicator if it sleeps; one system call at most. A caller killed before that call takes the wake-up with
 * it (see mms_mailbox_must_wake). */
void mms_shm_wake(struct mms_cluster_sh *cluster);
/* Wakes it whether it sleeps or not (breaker opened, flush). */
void mms_shm_kick(struct mms_cluster_sh *cluster);

/* Address of a node as published by the replicator; false when it is not resolved yet, or being written by one that
 * was stopped or killed. A length of 0 takes it back. */
bool mms_shm_node_address(const struct mms_node_sh *node, struct sockaddr_storage *out, uint32_t *len);
/* Another number after each address that was published: a connection to an earlier one is not to be used on. */
static inline uint32_t mms_shm_address_sequence(const struct mms_node_sh *node)
{
	return atomic_load_explicit(&node->address_sequence, memory_order_acquire);
}
void mms_shm_publish_address(struct mms_node_sh *node, const struct sockaddr *address, uint32_t len);

#endif
