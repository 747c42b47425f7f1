/* The replicator: the background thread that empties a cluster's mailbox. One per host and cluster is in office; one more
 * stands by in another process and succeeds when the first dies, hands over or is stopped. The thread blocks all signals
 * and calls nothing of PHP. */
#ifndef MMS_REPLICATOR_H
#define MMS_REPLICATOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mms_descriptors.h"
#include "mms_shm.h"

/* Idle loops beat this often. */
#define MMS_REPLICATOR_BEAT_US 1000000

struct mms_replicator; /* opaque; heap of one process */

/* What the thread and its process tell each other. */
struct mms_replicator_host {
	struct mms_shm *shm;
	const struct mms_shm_shape *shape; /* of shm, as it was when nobody else had it */
	struct mms_descriptors *descriptors;
	_Atomic uint64_t request_count;    /* request threads add: a request begins */
	_Atomic uint32_t cpu_allowance_ms; /* CPU that the thread may use beside one request; 0 = any (request threads) */
};

/* Starts a thread for this cluster; it takes office or stands by as it finds things, and ends when there is nothing to do
 * for it (not at once: mms_replicator_ask()). settings are copied; NULL = those of the slot, which are some other process's word:
 * checked, and a password file is then read with that process's rights alone. NULL when it can't be started. */
struct mms_replicator *mms_replicator_start(struct mms_replicator_host *host, struct mms_cluster_sh *cluster,
		const struct mms_settings *settings, struct mms_error *error);

/* False when the thread has ended: another is to be started. */
bool mms_replicator_running(const struct mms_replicator *replicator);
/* For who finds that a thread is missing: false when this one has ended; otherwise it looks once more before it ends. */
bool mms_replicator_ask(struct mms_replicator *replicator);

/* Ends the thread and frees everything. drain_ms: how long it may go on for what is in the mailbox now; it never waits
 * for a node whose breaker is open. last: the mapping dies with this process, so what a silent node has not acknowledged
 * is sent to it unasked before the end: a stopped server reads it when it goes on. Joins within drain_ms and
 * 5 s; false when the thread did not end by then: it and all that it uses must then stay. NULL is fine. */
bool mms_replicator_stop(struct mms_replicator *replicator, uint32_t drain_ms, bool last);

/* "2.1.12-stable": of libevent as in use. */
const char *mms_replicator_library_version(void);

#endif
