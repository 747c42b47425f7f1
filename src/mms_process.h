/* What one PHP process has of mmsession: the inherited mapping, its replicator threads, the notice of a fork, and the
 * knowledge of whether it is the last process on the mapping. Made once in MINIT, inherited by fork, gone with MSHUTDOWN. */
#ifndef MMS_PROCESS_H
#define MMS_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"
#include "mms_shm.h"

struct mms_process; /* opaque */

/* Makes the mapping and all else. NULL with an error. */
struct mms_process *mms_process_new(uint32_t max_clusters, uint64_t mailbox_size, struct mms_error *error);

/* MSHUTDOWN: stops this process's replicators. The last process on the mapping first empties all mailboxes, for at most
 * drain_ms; others hand over at once. NULL is fine. The mapping stays: other processes use it, and this one's threads may until
 * their globals end. Afterwards it is the caller's to unmap (mms_shm_unmap()); not when false is returned: then a thread did not
 * end in time, and still uses it. */
bool mms_process_end(struct mms_process *process, uint32_t drain_ms);

struct mms_shm *mms_process_shm(struct mms_process *process);

/* Call before anything else of a request: notices a fork (one load) and then closes what was inherited. Returns the
 * generation of the process: who keeps connections compares it and drops theirs when it has changed. Thread-safe. */
uint32_t mms_process_generation(struct mms_process *process);

/* A request begins to use this cluster: starts a replicator thread here if the host lacks one, for these settings (this
 * process's own: those in the mapping are anybody's word). Puts right what stands wrong in the slot. cpu_allowance_ms: CPU time
 * that the thread may use beside one request, 0 = any. Thread-safe; waits for nobody but a thread of this process that is starting one;
 * costs some loads when all is well. */
void mms_process_tend(struct mms_process *process, struct mms_cluster_sh *cluster, const struct mms_settings *settings,
		uint32_t cpu_allowance_ms);

/* A request ends: who mirrors may have died since it began, and no other request may come soon. The same without the rest; costs as
 * much. */
void mms_process_look_after(struct mms_process *process, struct mms_cluster_sh *cluster, const struct mms_settings *settings);

/* Waits until all that was in the mailbox at the call is acknowledged or a hint, at most timeout_ms. */
bool mms_process_flush(struct mms_process *process, struct mms_cluster_sh *cluster, const struct mms_settings *settings,
		uint32_t timeout_ms);

#endif
