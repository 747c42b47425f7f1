/* Which node needs a repair scan now, and whose keys have been compared for it: the scan's reasons and its memory. A target is
 * a node's index, or node_count for the sweep, which compares all with all. Part of the replicator's thread. */
#ifndef MMS_PASSES_H
#define MMS_PASSES_H

#include "mms_checkpoint.h"
#include "mms_hosts.h"
#include "mms_link.h"
#include "mms_notes.h"

/* What is known of the passes for a target, while it stays the same incarnation; for the sweep, while all nodes do. */
struct mms_pass {
	uint64_t incarnation;         /* of the target, or of all */
	uint64_t mask;                /* nodes that take part */
	uint64_t done_mask;           /* of these, whose keys have been compared */
	uint64_t since_ms;            /* sweep: only what was stamped at or after this */
	int64_t dead_us;              /* sweep: the last sign of life of those that were dead when it began */
	int64_t begun_us;             /* monotonic; when the first of these passes did */
	uint32_t overflows;           /* of its hints, counted when the first of these passes began */
	uint32_t wanted;              /* scans asked for by then: with its end they are served */
	uint64_t salt;                /* of the keys that they compared */
	unsigned source;              /* whose keys are being walked */
	uint64_t source_run;          /* which server that was */
	uint64_t cursor;              /* of SCAN there: all keys before it have been compared; 0 = none has */
	char token[MMS_CHECKPOINT_TOKEN]; /* of the lease under which they are made; empty = none */
	struct mms_notes notes;       /* what was known by then to be cleared by it */
	char *roll;                   /* lives that were known by then (mms_scanned); NULL = none, or no memory */
	struct mms_mono retry_at;     /* no attempt before */
};

struct mms_passes {
	struct mms_office *office;
	struct mms_hosts *hosts;
	struct mms_checkpoint_sh *checkpoint; /* of the scan that was begun last, for a successor */
	unsigned kept;                /* its target; node_count + 1 = none */
	uint64_t text_len, text_check; /* of what goes with it */
	struct mms_mono looked_at;    /* when the three below were known, and how much had been heard by then */
	uint32_t heard;
	uint64_t left_behind;         /* nodes for which the dead left markers */
	uint64_t dirty_since_ms;      /* as mms_aftermath_dirty() gave them */
	int64_t dead_us;
	bool dirty;
	struct mms_pass each[MMS_NODES_MAX + 1];
};

/* Borrows both. What a predecessor was at is known again: its target is `kept`. */
void mms_passes_init(struct mms_passes *passes, struct mms_office *office, struct mms_hosts *hosts);
void mms_passes_fini(struct mms_passes *passes);

/* What the nodes say of the dead: before the questions below, in each round. What was known is good for a moment: with fifty nodes it
 * is thousands of lines, and rounds may follow each other in a millisecond. afresh: not for what is decided now. */
void mms_passes_look(struct mms_passes *passes, bool afresh);

/* Is the target in need, is there a source that has not been compared, and is it time? */
bool mms_passes_ready(const struct mms_passes *passes, unsigned target);
/* When one of them may be; INT64_MAX = none is in need. Monotonic microseconds. */
int64_t mms_passes_next_us(const struct mms_passes *passes);

/* What has been compared by now, if it still counts: the node is the same incarnation, and it has not been known to miss
 * more since. */
uint64_t mms_passes_done(const struct mms_passes *passes, unsigned target);

/* A scan begins. True when it begins anew, with what is known now; false when it goes on with what was interrupted. */
bool mms_passes_begin(struct mms_passes *passes, unsigned target);
/* This is the lease's token from now on: a successor may take the lease over by it. */
void mms_passes_leased(struct mms_passes *passes, unsigned target, const char *token);
/* The keys of this source, which is ready, are walked now: from which cursor of SCAN on? */
uint64_t mms_passes_walk(struct mms_passes *passes, unsigned target, unsigned source);
/* They have been compared up to this cursor, of the server that was there when the walk began. */
void mms_passes_advance(struct mms_passes *passes, unsigned target, uint64_t cursor);
/* All of them have been. */
void mms_passes_walked(struct mms_passes *passes, unsigned target);
/* Keys on which all nodes have been found to agree since the scan began. */
struct mms_keyset mms_passes_compared(const struct mms_passes *passes, unsigned target);

/* What the scan was for is done with, as far as it was known when it began. */
void mms_passes_end(struct mms_passes *passes, unsigned target);

uint64_t mms_passes_all_mask(const struct mms_office *office);
/* Nodes that a scan can take part in now. */
uint64_t mms_passes_able_mask(const struct mms_office *office);

#endif
