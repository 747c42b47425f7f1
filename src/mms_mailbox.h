/* Mailbox: the shared-memory ring of writes on their way to the nodes. Many producers (request threads of all
 * workers) under one robust mutex, one consumer (the replicator).
 *
 * Publication is one store of `head` after the copy, so a producer killed anywhere leaves nothing to repair.
 * Positions count bytes, modulo 2^56; the ring size is a power of two. Entries are contiguous: a pad covers what is
 * left before the ring's end. A producer that finds the ring empty starts again at its beginning, so that few pages are
 * touched: it moves `base`, the position that lies at the ring's first byte, which means nothing while no entry
 * exists. (A pad for the rest of the ring would do too, but nothing could be pushed until it is passed.)
 *
 * What the consumer may do without the mutex: read entries between tail and head (only it moves tail, and nothing
 * between them is overwritten) and move tail, by CAS on position and epoch together. A consumer that was stopped
 * and succeeded finds the epoch changed: whatever it copied since must be thrown away unsent
 * (mms_mailbox_owned()). Producers may set the mask of their own entry only under the mutex, after checking that it
 * still lies behind tail: only producers overwrite, and they hold the mutex then. */
#ifndef MMS_MAILBOX_H
#define MMS_MAILBOX_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"
#include "mms_clock.h"

#define MMS_MAILBOX_MIN_SIZE (64u * 1024u)
#define MMS_MAILBOX_MAX_SIZE (UINT64_C(1) << 32)
#define MMS_MAILBOX_WAIT_MS 20 /* longest wait of a push for the lock */

enum mms_parcel_kind {
	MMS_PARCEL_PUT = 1,  /* a whole record (or tombstone): conditional put on every node */
	MMS_PARCEL_TOUCH = 2 /* the header of the version whose TTL is to be raised; no payload */
};

/* What a producer hands in. Borrowed for the call. */
struct mms_parcel {
	enum mms_parcel_kind kind;
	struct mms_slice key;      /* whole key */
	const unsigned char *header; /* MMS_RECORD_HEADER_SIZE bytes */
	struct mms_slice payload;  /* empty for touches and tombstones */
	uint64_t ttl_ms;
	uint64_t have_mask;        /* nodes that have it already */
	bool settled;              /* true: no request thread is about to send it (read repair) */
};

/* An entry as the consumer sees it; slices point into the ring and stay valid until tail passes them, for a
 * consumer that still owns the mailbox. */
struct mms_mailbox_item {
	enum mms_parcel_kind kind;
	struct mms_slice key;
	struct mms_slice record;   /* header, then payload */
	uint64_t ttl_ms;           /* as of pushed_at */
	struct mms_mono pushed_at;
	uint64_t have_mask;
	bool settled;              /* the producer has said which nodes took it */
	uint64_t next;             /* position of the following entry */
};

/* A producer's handle on its entry until it settles it. */
struct mms_ticket {
	uint64_t position;
	bool valid;
};

struct mms_mailbox_sh {
	pthread_mutex_t lock;          /* robust, process-shared; producers only */
	_Atomic uint64_t head;         /* position after the last published entry; producers, under lock */
	_Atomic uint64_t tail;         /* epoch << 56 | position; the consumer, by CAS */
	_Atomic uint64_t base;         /* position at the ring's first byte (modulo size); producers, while it is empty */
	uint64_t size;                 /* bytes of the ring, power of two; set once at creation */
	uint64_t ring_offset;          /* bytes from this struct to the ring; set once at creation */
	_Atomic uint32_t stalled;      /* 1: a lock holder seems stopped, others trylock only; any producer */
	_Atomic uint32_t sleeping;     /* 1: the consumer waits on its eventfd; consumer sets, a producer clears */
	_Atomic uint64_t pushed_count; /* entries ever pushed, but for those of producers killed in between; under lock */
	_Atomic uint64_t passed_count; /* entries ever passed by tail; the consumer */
};

/* Prepares a zeroed struct and its ring of `size` bytes (rounded down to a power of two) at ring, aligned to 8 bytes
 * (64 are better). MMS_ERR_CONFIG when size or alignment won't do. The ring is not touched. */
enum mms_status mms_mailbox_init(struct mms_mailbox_sh *mailbox, void *ring, uint64_t size,
		struct mms_error *error);

/* Largest entry (key, header, payload and overhead) that is taken: a quarter of the ring. */
uint64_t mms_mailbox_entry_max(const struct mms_mailbox_sh *mailbox);

/* Copies the parcel in and publishes it. False when the ring is full, the parcel too large or malformed (no key, one
 * over MMS_KEY_MAX, a touch with a payload, a TTL beyond 2^48 ms), or the lock can't be had within 20 ms (at once while
 * stalled): the caller takes the other way (protocol.md, rule k). Never blocks longer. ticket may be NULL. */
bool mms_mailbox_push(struct mms_mailbox_sh *mailbox, const struct mms_parcel *parcel, struct mms_mono now,
		struct mms_ticket *ticket);

/* The producer's last word on its entry: these nodes have it. Harmless when the entry has been passed meanwhile, when
 * the lock can't be had (the consumer then sends once more) and on an invalid ticket. */
void mms_mailbox_settle(struct mms_mailbox_sh *mailbox, const struct mms_ticket *ticket, uint64_t have_mask);

/* True when the consumer sleeps and this caller is the one to wake it (write to its eventfd). Call it after the push.
 * A caller killed between the two takes the wake-up with it: the consumer never sleeps without a time limit. */
bool mms_mailbox_must_wake(struct mms_mailbox_sh *mailbox);

/* --- the consumer --- */

/* Makes the caller the consumer; earlier ones are fenced off. Returns its epoch (8 bits, it comes round). It starts at
 * tail: what an earlier one had sent and not passed yet is sent again, which is harmless. */
uint8_t mms_mailbox_take_over(struct mms_mailbox_sh *mailbox);
/* Asked after copying bytes out of entries: true means that they were intact while they were copied. */
bool mms_mailbox_owned(const struct mms_mailbox_sh *mailbox, uint8_t epoch);

uint64_t mms_mailbox_head(const struct mms_mailbox_sh *mailbox);
uint64_t mms_mailbox_tail(const struct mms_mailbox_sh *mailbox);

/* The entry at position (skipping pads). Returns 1 with *item filled, 0 when position has reached head, -1 when what
 * stands there can't be an entry: the mapping is damaged, or the caller is fenced off and reads what others overwrite.
 * If it still owns the mailbox, it skips to head and treats every node as behind. */
int mms_mailbox_peek(const struct mms_mailbox_sh *mailbox, uint64_t position, struct mms_mailbox_item *item);

/* For those who are not the consumer: the next entry, from *position on, whose key has this CRC-32C. 1: it is at *position (to be
 * peeked at, and compared); 0: none up to head, or *entries_left, which counts down, is used up; -1: what stands there is no
 * entry, or not any more. */
int mms_mailbox_seek(const struct mms_mailbox_sh *mailbox, uint32_t key_hash, uint64_t *position, unsigned *entries_left);

/* For those who are not the consumer: had the entry at position not been passed when bytes were copied out of it just now?
 * Then they are its own. */
bool mms_mailbox_holds(const struct mms_mailbox_sh *mailbox, uint64_t position);

/* Moves tail from `from` to `to`, passing `entries` entries; false when the caller is fenced off. */
bool mms_mailbox_advance(struct mms_mailbox_sh *mailbox, uint8_t epoch, uint64_t from, uint64_t to,
		uint64_t entries);

/* Signed distance b - a of two positions. */
int64_t mms_mailbox_distance(uint64_t a, uint64_t b);

/* Declares the consumer asleep; returns false when something was pushed past `seen_head`: then it goes on, and
 * may be woken once for nothing. (Taking the word back here could rob a successor of its wake-up.) Also for one that leaves. */
bool mms_mailbox_fall_asleep(struct mms_mailbox_sh *mailbox, uint64_t seen_head);
/* Declares it awake again: producers skip the wake-up. Only for a consumer that has just found itself the owner; a
 * stopped one that goes on would rob its successor of a wake-up (one that is then as late as its time limit). */
void mms_mailbox_stay_awake(struct mms_mailbox_sh *mailbox);

/* Bytes between tail and head, and entries not yet passed (approximate for outsiders). */
uint64_t mms_mailbox_used(const struct mms_mailbox_sh *mailbox);
uint64_t mms_mailbox_entries(const struct mms_mailbox_sh *mailbox);

#endif
