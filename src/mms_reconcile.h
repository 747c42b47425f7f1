/* Bringing one key to the same version on a set of nodes: ask them for its header, fetch the newest copy, put it where it
 * is lacking; where the version is the same, a life that is shorter by more than touch_interval is prolonged. Hints
 * (mms_delivery) and repair scans (mms_scan) are made of it. Part of the replicator's thread; dozens of keys at a time, each
 * in three round trips as a rule, and never more than MMS_RECONCILE_MOVING_MAX bytes of payload (or one record) under way. */
#ifndef MMS_RECONCILE_H
#define MMS_RECONCILE_H

#include "mms_link.h"
#include "mms_record.h"

#define MMS_RECONCILE_JOBS 128
#define MMS_RECONCILE_MOVING_MAX (4u << 20)

struct mms_reconciler; /* opaque */

struct mms_reconcile_result {
	struct mms_slice key;
	uint64_t answered_mask;           /* nodes that said all they were asked; others may hold anything */
	bool found;                       /* some copy could be had (or was offered) */
	struct mms_record_header newest;  /* the newest of these; a header whose payload is damaged or gone is none */
	uint64_t equal_mask;              /* nodes that hold the newest (or newer) now, found or put there */
	uint64_t rotten_mask;             /* nodes whose payload was found damaged behind a good header */
	uint64_t damaged_mask;            /* nodes whose own newer copy is damaged, and can't be replaced by an older one */
	uint64_t filled_mask;             /* of these, nodes that were given it */
	uint64_t foreign_mask;            /* nodes where the key is not ours */
	uint64_t moved_bytes;             /* payload put on nodes, all together */
};

typedef void (*mms_reconcile_done_fn)(void *context, uint64_t token, const struct mms_reconcile_result *result);

struct mms_reconcile_order {
	struct mms_slice key;          /* copied */
	uint64_t ask_mask;             /* nodes to ask; those that are not ready are left out */
	uint64_t fill_mask;            /* of these, nodes that may be given the newest copy */
	const unsigned char *offered;  /* header of a tombstone that counts as a copy too, or NULL; copied */
	uint64_t offered_ttl_ms;
	mms_reconcile_done_fn done_fn; /* called exactly once per order that was taken */
	void *context;
	uint64_t token;
};

struct mms_reconciler *mms_reconciler_new(struct mms_office *office);
/* All links must be down by now (every order is answered). */
void mms_reconciler_free(struct mms_reconciler *reconciler);

/* False when all jobs are taken or no node could be asked: done_fn is then not called. */
bool mms_reconcile(struct mms_reconciler *reconciler, const struct mms_reconcile_order *order);

/* Free jobs. */
uint32_t mms_reconcile_room(const struct mms_reconciler *reconciler);

#endif
