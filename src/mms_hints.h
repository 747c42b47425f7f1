/* Hints: session ids that nodes are known to have missed, with the version missed (protocol.md, rule g). One open
 * hash table for all nodes of a cluster in shared memory, under a robust mutex of its own. A killed writer leaves at
 * most one torn entry, found by its state word: it is dropped and all nodes are marked as overflowed (behind), so that
 * a scan delivers. Nothing waits longer than 20 ms for the lock; who can't get it marks the nodes as overflowed. */
#ifndef MMS_HINTS_H
#define MMS_HINTS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"
#include "mms_clock.h"
#include "mms_config.h"
#include "mms_record.h"

#define MMS_HINTS_MIN_CAPACITY 64u
#define MMS_HINTS_WAIT_MS 20 /* longest wait for the lock */

/* One entry. Its state stands apart, in a dense array of words at the table's start: probing and walking touch a few
 * cache lines there and only the entries that count, and an almost empty table only a few pages. */
struct mms_hint_sh {
	uint64_t missing_mask;    /* nodes that lack it; under the lock */
	int64_t deadline_us;      /* monotonic: the record is dead everywhere after it; under the lock */
	uint32_t key_len;
	uint32_t reserved;
	unsigned char header[MMS_RECORD_HEADER_SIZE]; /* newest version known to be missed; a tombstone is itself */
	unsigned char tombstone[MMS_RECORD_HEADER_SIZE]; /* newest tombstone that is older than header, which has no payload here;
	                                                  * none: its first byte is 0 */
	char key[MMS_KEY_MAX];
};

/* The table: capacity words (2 bits of state: 0 free, 1 being written, 2 valid, 3 deleted; 30 bits of the key's hash),
 * then capacity entries. All of it under the lock. */
struct mms_hints_sh {
	pthread_mutex_t lock;
	uint32_t capacity;                 /* entries, power of two; set once */
	_Atomic uint32_t stalled;          /* 1: a lock holder seems stopped, nobody waits for it; anyone */
	uint64_t table_offset;             /* bytes from this struct to the table; set once */
	_Atomic uint32_t used;             /* valid + deleted entries; under the lock */
	_Atomic uint32_t node_count[MMS_NODES_MAX]; /* valid hints per node; under the lock, read by anyone */
	_Atomic uint64_t overflow_mask;    /* nodes that missed more than fits; anyone sets, the replicator clears */
	_Atomic uint32_t overflow_count[MMS_NODES_MAX]; /* overflows ever, counted before the bit is set; anyone */
	_Atomic uint64_t changed_count;    /* additions and overflows ever, so that the replicator sees new ones */
};

/* A copy of one hint, for the replicator. */
struct mms_hint {
	char key[MMS_KEY_MAX];
	uint32_t key_len;
	uint64_t missing_mask;
	struct mms_mono deadline;
	unsigned char header[MMS_RECORD_HEADER_SIZE];
	unsigned char tombstone[MMS_RECORD_HEADER_SIZE];
};

/* Bytes of a table of capacity entries (rounded down to a power of two, at least 64). */
uint64_t mms_hints_table_size(uint32_t capacity);

/* Prepares a zeroed struct and its zeroed table of capacity entries (rounded as above), which lies behind the struct,
 * aligned to 8 bytes. The table is not touched. */
enum mms_status mms_hints_init(struct mms_hints_sh *hints, void *table, uint32_t capacity, struct mms_error *error);

/* Notes that the nodes of missing_mask lack the version of `header`. An older hint for the key takes over the newer
 * header, the later deadline, and both masks; a tombstone that gives way to something else, or comes after it, is kept beside
 * it: the hint may be all that is left of it, and of the other version there may be nothing left. False when the table is full or
 * locked, or the header is none of this
 * key: the nodes are in overflow_mask then. Versions are compared by decoding the stored headers. */
bool mms_hints_add(struct mms_hints_sh *hints, struct mms_slice key, const unsigned char *header,
		uint64_t missing_mask, struct mms_mono deadline, struct mms_mono now);

/* Copies the next hint that `node` misses, from *cursor on (start with 0; it is advanced; at most 4096 entries are
 * walked per call). Returns false when none was found: *cursor is then 0 when the table's end was reached, and
 * non-zero when the walk should go on with another call (also when the lock can't be had now). Expired hints are
 * removed on the way. */
bool mms_hints_next(struct mms_hints_sh *hints, unsigned node, uint32_t *cursor, struct mms_mono now,
		struct mms_hint *out);

/* The node has at least `version` now: forget it for that node, unless the hint has become newer meanwhile. */
void mms_hints_settle(struct mms_hints_sh *hints, struct mms_slice key, unsigned node,
		const struct mms_version *version);

/* Nobody has it: forget it for that node if the hint is still the one that was read. */
void mms_hints_drop(struct mms_hints_sh *hints, const struct mms_hint *read, unsigned node);

/* The node is another, or was emptied: whatever others miss, it misses too (protocol.md, rule f). In pieces, so that nobody
 * waits for long; a piece that can't be had is an overflow of the node. */
void mms_hints_pend(struct mms_hints_sh *hints, unsigned node);

/* The newest tombstone that the hint has, as a record: its header. NULL for none. */
const unsigned char *mms_hint_tombstone(const struct mms_hint *hint);

/* Number of hints of a node; whether it missed more than fits. */
uint32_t mms_hints_count(const struct mms_hints_sh *hints, unsigned node);
bool mms_hints_overflowed(const struct mms_hints_sh *hints, unsigned node);

/* These nodes miss something that no hint says: a scan has to deliver. */
void mms_hints_overflow(struct mms_hints_sh *hints, uint64_t mask);
/* Overflows of a node so far; a scan that began at this count and has ended may end the overflow. False, and nothing
 * changed, when another came since. */
uint32_t mms_hints_overflow_count(const struct mms_hints_sh *hints, unsigned node);
bool mms_hints_end_overflow(struct mms_hints_sh *hints, unsigned node, uint32_t count);

#endif
