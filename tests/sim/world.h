/* Everything that one schedule is played with: nodes, hosts with their PHP, clocks. One at a time. */
#ifndef WORLD_H
#define WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_client.h"
#include "mms_replicator.h"
#include "mms_store.h"
#include "node.h"
#include "sched.h"

#define NODES_MAX 5
#define HOSTS_MAX 5
#define WORKERS_MAX 3
#define SESSIONS_MAX 4
#define VISITORS_MAX 4
#define PREFIX "mms:"

struct request;

struct worker {
	struct process *process;
	struct mms_client *client;
	struct mms_store *store;
	struct mms_descriptors descriptors;
	struct mms_replicator_host replicator_host;
	struct mms_replicator *replicator;
	bool tending;
	struct request *request; /* under way, or NULL */
};

struct host {
	unsigned index;
	struct mms_shm *shm;            /* NULL: no PHP runs */
	struct mms_shm_shape shape;     /* of shm */
	struct mms_cluster_sh *cluster; /* once a worker claimed it */
	struct mms_settings *settings;
	uint64_t fingerprint;
	int64_t wall_offset_us;
	uint32_t process_count;
	struct worker workers[WORKERS_MAX];
};

struct world {
	bool running;     /* clocks and random numbers are simulated */
	bool failed, tracing;
	char failure[512];
	unsigned node_count, host_count, session_count, visitor_count;
	uint32_t lifetime_s, touch_interval_s, write_acks, read_mode, lock, spin_us;
	bool signing;     /* tokens bear a code */
	const char *headers; /* of its schedule */
	bool one_place;   /* visitors send tokens back in a header, not in cookies */
	bool sound;       /* no faults in this schedule: tokens keep all their promises */
	bool pools;       /* the first two hosts are pools of one PHP: one mapping, host id and clock, and a cluster each */
	unsigned apart_mask; /* hosts; commands that they send in one go need not be read in one go */
	bool calm;        /* nor any delays: no lock runs out while its last write is on its way */
	struct node nodes[NODES_MAX];
	struct host hosts[HOSTS_MAX];
};

extern struct world world;

/* The first failure of a schedule counts; it ends the run at the next step. */
void world_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* CLOCK_REALTIME of a host. */
int64_t world_wall_us(unsigned host);
int64_t world_true_us(void); /* what nodes take for the time */
const char *world_sha1(int script);

#endif
