/* One pass of a repair scan: walks the keys of one node (SCAN) and has each brought to its newest version on some nodes.
 * Headers only travel where versions are equal. Memory: one answer to SCAN, and what mms_reconcile has under way. Part of
 * the replicator's thread; nothing in here waits. */
#ifndef MMS_SCAN_H
#define MMS_SCAN_H

#include "mms_keyset.h"
#include "mms_link.h"

struct mms_scan; /* opaque */
struct mms_reconciler;

/* 800 million keys of one node. A cursor that does not come to its end is no cursor. */
#define MMS_SCAN_STEPS_MAX (UINT64_C(1) << 22)

struct mms_scan_order {
	unsigned source;     /* whose keys */
	uint64_t mask;       /* nodes that are to agree on them, the source among them */
	bool whole;          /* these are all that take part: what they agree on needs no other pass */
	uint64_t cursor;     /* where the walk begins: 0, or what mms_scan_cursor() said of this source's server */
	struct mms_keyset compared; /* what they agreed on: left out, and added to when whole; nothing when `shared` is NULL */
	uint64_t since_ms;   /* only records stamped at or after this (HLC, Unix milliseconds); 0 = all */
	struct mms_repair_sh *report; /* counted into; may be NULL */
	uint64_t steps_max;  /* SCANs, beyond which it fails; 0 = MMS_SCAN_STEPS_MAX */
};

enum mms_scan_state {
	MMS_SCAN_IDLE,
	MMS_SCAN_RUNNING,
	MMS_SCAN_DONE,       /* every key was compared, every answer came */
	MMS_SCAN_FAILED      /* an answer is missing: the pass proves nothing */
};

struct mms_scan *mms_scan_new(struct mms_office *office, struct mms_reconciler *reconciler);
/* After the reconciler's links are down (see mms_reconciler_free()), before the reconciler itself. */
void mms_scan_free(struct mms_scan *scan);

/* Begins a pass; one under way is forgotten. */
void mms_scan_begin(struct mms_scan *scan, const struct mms_scan_order *order);
/* Goes on; DONE and FAILED stay until the next begin or stop. */
enum mms_scan_state mms_scan_run(struct mms_scan *scan);
/* All keys before this cursor have been compared, and their answers came. It stays where the first one was missing; after
 * that the pass goes on, for what it can still do, and fails. */
uint64_t mms_scan_cursor(const struct mms_scan *scan);
/* Forgets the pass: answers still under way count for nothing. */
void mms_scan_stop(struct mms_scan *scan);

#endif
