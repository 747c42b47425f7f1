/* The ring of writes on their way to the nodes. Its difficulty: a producer may be killed or stopped at any instruction
 * and must leave nothing to repair. So one store of `head` publishes everything (a pad and the entry after it), nothing
 * that a producer writes past it is believed, and `base` moves only while there is nothing to be believed. */
#include "mms_mailbox.h"

#include <string.h>

#include "mms_config.h"
#include "mms_lock.h"
#include "mms_record.h"

#define EPOCH_SHIFT 56
#define POSITION_MASK ((UINT64_C(1) << EPOCH_SHIFT) - 1)
#define ENTRY_ALIGN 64u  /* a header never crosses the ring's end, and no two entries share a cache line */
#define KIND_PAD 3u      /* covers the bytes up to the ring's end */
#define BYTES_MAX (UINT64_C(1) << 30)
#define TTL_MAX_MS (UINT64_C(1) << 48) /* in microseconds, and added to a time, it still is a number */
#define TIME_MAX_US (INT64_MAX / 4)

/* Head of an entry; key, record header and payload follow without gaps. A pad has kind, size and position alone. */
struct entry_sh {
	uint64_t position;          /* its own: what stands here is an entry and not the inside of an old one */
	uint64_t size;              /* bytes to the next entry, a multiple of ENTRY_ALIGN */
	uint32_t kind;              /* enum mms_parcel_kind or KIND_PAD */
	uint32_t key_len;
	uint32_t record_len;        /* record header and payload */
	_Atomic uint32_t settled;   /* 1: have_mask is the producer's last word */
	uint64_t ttl_ms;
	int64_t pushed_at_us;       /* monotonic */
	_Atomic uint64_t have_mask; /* nodes that have it already; the producer, under the lock */
	uint32_t key_hash;          /* CRC-32C of the key: for those who look for one */
	uint32_t reserved;
};

_Static_assert(sizeof(struct entry_sh) == ENTRY_ALIGN, "an entry's head is one cache line");
_Static_assert(MMS_MAILBOX_MIN_SIZE % ENTRY_ALIGN == 0, "the ring is whole cache lines");

static uint64_t position_of(uint64_t tail_word);
static uint64_t span(uint64_t from, uint64_t to);
static uint64_t offset_of(const struct mms_mailbox_sh *mailbox, uint64_t position);
static struct entry_sh *entry_at(const struct mms_mailbox_sh *mailbox, uint64_t offset);
static uint64_t size_for(uint64_t key_len, uint64_t record_len);
static uint64_t size_of_parcel(const struct mms_mailbox_sh *mailbox, const struct mms_parcel *parcel);
static bool find_place(struct mms_mailbox_sh *mailbox, uint64_t size, uint64_t *position);
static void write_pad(struct mms_mailbox_sh *mailbox, uint64_t position, uint64_t size);
static void write_entry(struct mms_mailbox_sh *mailbox, uint64_t position, uint64_t size,
		const struct mms_parcel *parcel, struct mms_mono now);
static void publish(struct mms_mailbox_sh *mailbox, uint64_t head);
static const struct entry_sh *read_entry(const struct mms_mailbox_sh *mailbox, uint64_t position, uint64_t head,
		struct entry_sh *out);
static bool entry_is_sound(const struct entry_sh *entry);
static void describe(const struct entry_sh *entry, const char *bytes, struct mms_mailbox_item *item);
static void order_reads_before_check(void);

enum mms_status mms_mailbox_init(struct mms_mailbox_sh *mailbox, void *ring, uint64_t size, struct mms_error *error)
{
	const uintptr_t distance = (uintptr_t)ring - (uintptr_t)mailbox;
	uint64_t rounded = MMS_MAILBOX_MIN_SIZE;

	if (size < MMS_MAILBOX_MIN_SIZE || (uintptr_t)ring < (uintptr_t)mailbox || (uintptr_t)ring % 8 != 0) {
		mms_error_set(error, "mailbox: a ring of %llu bytes at this place won't do (at least %u, aligned to 8)",
				(unsigned long long)size, MMS_MAILBOX_MIN_SIZE);
		return MMS_ERR_CONFIG;
	}
	while (rounded * 2 <= size && rounded < MMS_MAILBOX_MAX_SIZE) {
		rounded *= 2;
	}
	mailbox->size = rounded;
	mailbox->ring_offset = distance;
	return mms_lock_init(&mailbox->lock, error);
}

uint64_t mms_mailbox_entry_max(const struct mms_mailbox_sh *mailbox)
{
	return mailbox->size / 4;
}

bool mms_mailbox_push(struct mms_mailbox_sh *mailbox, const struct mms_parcel *parcel, struct mms_mono now,
		struct mms_ticket *ticket)
{
	const uint64_t size = size_of_parcel(mailbox, parcel);
	struct mms_ticket handle = { 0, false };

	if (size != 0 && mms_lock_wait_unless_stalled(&mailbox->lock, &mailbox->stalled, MMS_MAILBOX_WAIT_MS)
			!= MMS_LOCK_BUSY) {
		MMS_TEST_POINT("locked");
		if (find_place(mailbox, size, &handle.position)) {
			write_entry(mailbox, handle.position, size, parcel, now);
			MMS_TEST_POINT("written");
			publish(mailbox, handle.position + size);
			MMS_TEST_POINT("published");
			handle.valid = true;
		}
		mms_lock_release(&mailbox->lock);
	}
	if (ticket != NULL) {
		*ticket = handle;
	}
	return handle.valid;
}

void mms_mailbox_settle(struct mms_mailbox_sh *mailbox, const struct mms_ticket *ticket, uint64_t have_mask)
{
	uint64_t tail;
	uint64_t head;

	if (!ticket->valid || mms_lock_spin_unless_stalled(&mailbox->lock, &mailbox->stalled) == MMS_LOCK_BUSY) {
		return;
	}
	MMS_TEST_POINT("settling");
	tail = position_of(atomic_load_explicit(&mailbox->tail, memory_order_acquire));
	head = atomic_load_explicit(&mailbox->head, memory_order_relaxed);
	if (span(tail, ticket->position) < span(tail, head)) {
		struct entry_sh *entry = entry_at(mailbox, offset_of(mailbox, ticket->position));

		if (entry->position == ticket->position) {
			atomic_fetch_or_explicit(&entry->have_mask, have_mask, memory_order_relaxed);
			atomic_store_explicit(&entry->settled, 1, memory_order_release);
		}
	}
	mms_lock_release(&mailbox->lock);
}

/* Both sides write one word and then read the other's: sequentially consistent, or both could read the old one. */
bool mms_mailbox_must_wake(struct mms_mailbox_sh *mailbox)
{
	return atomic_load(&mailbox->sleeping) != 0 && atomic_exchange(&mailbox->sleeping, 0) != 0;
}

uint8_t mms_mailbox_take_over(struct mms_mailbox_sh *mailbox)
{
	/* The epoch stands in the highest bits: an addition there carries nowhere and keeps the position. */
	const uint64_t before = atomic_fetch_add(&mailbox->tail, UINT64_C(1) << EPOCH_SHIFT);

	return (uint8_t)((before >> EPOCH_SHIFT) + 1);
}

bool mms_mailbox_owned(const struct mms_mailbox_sh *mailbox, uint8_t epoch)
{
	order_reads_before_check();
	return (uint8_t)(atomic_load_explicit(&mailbox->tail, memory_order_acquire) >> EPOCH_SHIFT) == epoch;
}

uint64_t mms_mailbox_head(const struct mms_mailbox_sh *mailbox)
{
	return atomic_load_explicit(&mailbox->head, memory_order_acquire) & POSITION_MASK;
}

uint64_t mms_mailbox_tail(const struct mms_mailbox_sh *mailbox)
{
	return position_of(atomic_load_explicit(&mailbox->tail, memory_order_acquire));
}

int mms_mailbox_peek(const struct mms_mailbox_sh *mailbox, uint64_t position, struct mms_mailbox_item *item)
{
	const uint64_t head = mms_mailbox_head(mailbox);
	const struct entry_sh *place;
	struct entry_sh entry;

	if (span(position, head) == 0) {
		return 0;
	}
	place = read_entry(mailbox, position, head, &entry);
	/* A pad is published together with the entry after it: never two in a row, and never one alone. */
	if (place != NULL && entry.kind == KIND_PAD) {
		place = read_entry(mailbox, entry.position + entry.size, head, &entry);
	}
	if (place == NULL || !entry_is_sound(&entry)) {
		return -1;
	}
	describe(&entry, (const char *)(place + 1), item);
	return 1;
}

int mms_mailbox_seek(const struct mms_mailbox_sh *mailbox, uint32_t key_hash, uint64_t *position, unsigned *entries_left)
{
	const uint64_t head = mms_mailbox_head(mailbox);

	while (*entries_left > 0 && span(*position, head) != 0) {
		const uint64_t offset = offset_of(mailbox, *position);
		const struct entry_sh *entry = entry_at(mailbox, offset);
		uint64_t size;

		if (offset % ENTRY_ALIGN != 0) {
			return -1;
		}
		size = entry->size;
		if (entry->position != *position || size == 0 || size % ENTRY_ALIGN != 0 || size > span(*position, head)) {
			return -1;
		}
		if (entry->kind != KIND_PAD) {
			if (entry->key_hash == key_hash) {
				return 1;
			}
			--*entries_left;
		}
		*position = (*position + size) & POSITION_MASK;
	}
	return 0;
}

bool mms_mailbox_holds(const struct mms_mailbox_sh *mailbox, uint64_t position)
{
	uint64_t tail;

	order_reads_before_check();
	tail = position_of(atomic_load_explicit(&mailbox->tail, memory_order_acquire));
	return span(tail, position) < span(tail, mms_mailbox_head(mailbox));
}

bool mms_mailbox_advance(struct mms_mailbox_sh *mailbox, uint8_t epoch, uint64_t from, uint64_t to,
		uint64_t entries)
{
	uint64_t expected = (uint64_t)epoch << EPOCH_SHIFT | (from & POSITION_MASK);
	const uint64_t wanted = (uint64_t)epoch << EPOCH_SHIFT | (to & POSITION_MASK);

	if (!atomic_compare_exchange_strong_explicit(&mailbox->tail, &expected, wanted, memory_order_acq_rel,
			memory_order_acquire)) {
		return false;
	}
	atomic_fetch_add_explicit(&mailbox->passed_count, entries, memory_order_relaxed);
	return true;
}

int64_t mms_mailbox_distance(uint64_t a, uint64_t b)
{
	const uint64_t forward = span(a, b);

	return forward <= POSITION_MASK / 2 ? (int64_t)forward : -(int64_t)span(b, a);
}

bool mms_mailbox_fall_asleep(struct mms_mailbox_sh *mailbox, uint64_t seen_head)
{
	atomic_store(&mailbox->sleeping, 1);
	return span(seen_head, atomic_load(&mailbox->head)) == 0;
}

void mms_mailbox_stay_awake(struct mms_mailbox_sh *mailbox)
{
	atomic_store(&mailbox->sleeping, 0);
}

uint64_t mms_mailbox_used(const struct mms_mailbox_sh *mailbox)
{
	const uint64_t tail = mms_mailbox_tail(mailbox); /* before head, which may go on meanwhile */
	const uint64_t used = span(tail, mms_mailbox_head(mailbox));

	return used < mailbox->size ? used : mailbox->size;
}

/* Killed processes leave the counters some entries apart; the bytes know better where they contradict. */
uint64_t mms_mailbox_entries(const struct mms_mailbox_sh *mailbox)
{
	const uint64_t passed = atomic_load_explicit(&mailbox->passed_count, memory_order_relaxed);
	const uint64_t pushed = atomic_load_explicit(&mailbox->pushed_count, memory_order_relaxed);
	const uint64_t most = mms_mailbox_used(mailbox) / size_for(1, MMS_RECORD_HEADER_SIZE);

	if (most == 0 || pushed <= passed) {
		return most == 0 ? 0 : 1;
	}
	return pushed - passed < most ? pushed - passed : most;
}

static uint64_t position_of(uint64_t tail_word)
{
	return tail_word & POSITION_MASK;
}

static uint64_t span(uint64_t from, uint64_t to)
{
	return (to - from) & POSITION_MASK;
}

static uint64_t offset_of(const struct mms_mailbox_sh *mailbox, uint64_t position)
{
	return (position - atomic_load_explicit(&mailbox->base, memory_order_relaxed)) & (mailbox->size - 1);
}

static struct entry_sh *entry_at(const struct mms_mailbox_sh *mailbox, uint64_t offset)
{
	return (struct entry_sh *)((uintptr_t)mailbox + mailbox->ring_offset + offset);
}

static uint64_t size_for(uint64_t key_len, uint64_t record_len)
{
	const uint64_t bytes = sizeof(struct entry_sh) + key_len + record_len;

	return (bytes + ENTRY_ALIGN - 1) & ~(uint64_t)(ENTRY_ALIGN - 1);
}

/* Bytes that the parcel takes; 0 when it can't be taken. */
static uint64_t size_of_parcel(const struct mms_mailbox_sh *mailbox, const struct mms_parcel *parcel)
{
	const bool is_touch = parcel->kind == MMS_PARCEL_TOUCH;
	uint64_t size;

	if ((!is_touch && parcel->kind != MMS_PARCEL_PUT) || (is_touch && parcel->payload.len != 0)) {
		return 0;
	}
	if (parcel->key.len == 0 || parcel->key.len > MMS_KEY_MAX || parcel->payload.len > BYTES_MAX
			|| parcel->ttl_ms > TTL_MAX_MS) {
		return 0;
	}
	size = size_for(parcel->key.len, MMS_RECORD_HEADER_SIZE + parcel->payload.len);
	return size <= mms_mailbox_entry_max(mailbox) ? size : 0;
}

/* Where the next entry goes, after a pad if it has to; false when the ring is full. An empty ring is begun anew. A
 * head that can't be (a damaged mapping) is met by the consumer too, who skips to it: empty, and begun anew. */
static bool find_place(struct mms_mailbox_sh *mailbox, uint64_t size, uint64_t *position)
{
	const uint64_t tail = position_of(atomic_load_explicit(&mailbox->tail, memory_order_acquire));
	const uint64_t head = atomic_load_explicit(&mailbox->head, memory_order_relaxed) & POSITION_MASK;
	const uint64_t used = span(tail, head);
	uint64_t to_end;

	if (used == 0) {
		atomic_store_explicit(&mailbox->base, head, memory_order_relaxed);
		MMS_TEST_POINT("begun anew");
	}
	to_end = mailbox->size - offset_of(mailbox, head);
	if (used > mailbox->size || to_end % ENTRY_ALIGN != 0) {
		return false;
	}
	*position = head;
	if (size <= to_end) {
		return used + size <= mailbox->size;
	}
	if (used + to_end + size > mailbox->size) {
		return false;
	}
	write_pad(mailbox, head, to_end);
	*position = (head + to_end) & POSITION_MASK;
	return true;
}

static void write_pad(struct mms_mailbox_sh *mailbox, uint64_t position, uint64_t size)
{
	struct entry_sh *pad = entry_at(mailbox, offset_of(mailbox, position));

	pad->position = position;
	pad->size = size;
	pad->kind = KIND_PAD;
	MMS_TEST_POINT("padded");
}

static void write_entry(struct mms_mailbox_sh *mailbox, uint64_t position, uint64_t size,
		const struct mms_parcel *parcel, struct mms_mono now)
{
	struct entry_sh *entry = entry_at(mailbox, offset_of(mailbox, position));
	char *bytes = (char *)(entry + 1);

	entry->position = position;
	entry->size = size;
	entry->kind = (uint32_t)parcel->kind;
	entry->key_len = (uint32_t)parcel->key.len;
	entry->record_len = (uint32_t)(MMS_RECORD_HEADER_SIZE + parcel->payload.len);
	entry->ttl_ms = parcel->ttl_ms;
	entry->pushed_at_us = now.us;
	entry->key_hash = mms_crc32c(0, parcel->key.ptr, parcel->key.len);
	entry->reserved = 0;
	atomic_store_explicit(&entry->have_mask, parcel->have_mask, memory_order_relaxed);
	atomic_store_explicit(&entry->settled, parcel->settled, memory_order_relaxed);
	memcpy(bytes, parcel->key.ptr, parcel->key.len);
	bytes += parcel->key.len;
	memcpy(bytes, parcel->header, MMS_RECORD_HEADER_SIZE);
	MMS_TEST_POINT("half written");
	if (parcel->payload.len != 0) {
		memcpy(bytes + MMS_RECORD_HEADER_SIZE, parcel->payload.ptr, parcel->payload.len);
	}
}

/* The one store that makes it all exist; sequentially consistent for the sake of mms_mailbox_must_wake. */
static void publish(struct mms_mailbox_sh *mailbox, uint64_t head)
{
	atomic_store(&mailbox->head, head & POSITION_MASK);
	atomic_fetch_add_explicit(&mailbox->pushed_count, 1, memory_order_relaxed);
}

/* Copies an entry's head and checks the copy (the original may change under a fenced consumer): a pad or entry that
 * begins here and ends before head and before the ring's end. NULL when there is none. */
static const struct entry_sh *read_entry(const struct mms_mailbox_sh *mailbox, uint64_t position, uint64_t head,
		struct entry_sh *out)
{
	const uint64_t left = span(position, head);
	const uint64_t offset = offset_of(mailbox, position); /* once: it changes too under a fenced consumer */
	const uint64_t to_end = mailbox->size - offset;
	const struct entry_sh *entry = entry_at(mailbox, offset);

	if (offset % ENTRY_ALIGN != 0 || left < ENTRY_ALIGN || left > mailbox->size) {
		return NULL;
	}
	out->settled = atomic_load_explicit(&entry->settled, memory_order_acquire); /* before the mask it vouches for */
	out->have_mask = atomic_load_explicit(&entry->have_mask, memory_order_relaxed);
	out->position = entry->position;
	out->size = entry->size;
	out->kind = entry->kind;
	out->key_len = entry->key_len;
	out->record_len = entry->record_len;
	out->ttl_ms = entry->ttl_ms;
	out->pushed_at_us = entry->pushed_at_us;
	if (span(out->position, position) != 0 || out->size == 0 || out->size % ENTRY_ALIGN != 0 || out->size > left) {
		return NULL;
	}
	return (out->kind == KIND_PAD ? out->size == to_end : out->size <= to_end) ? entry : NULL;
}

static bool entry_is_sound(const struct entry_sh *entry)
{
	if (entry->kind != MMS_PARCEL_PUT && entry->kind != MMS_PARCEL_TOUCH) {
		return false;
	}
	if (entry->key_len == 0 || entry->key_len > MMS_KEY_MAX || entry->record_len < MMS_RECORD_HEADER_SIZE) {
		return false;
	}
	if (entry->kind == MMS_PARCEL_TOUCH && entry->record_len != MMS_RECORD_HEADER_SIZE) {
		return false;
	}
	if (entry->ttl_ms > TTL_MAX_MS || entry->pushed_at_us < 0 || entry->pushed_at_us > TIME_MAX_US) {
		return false;
	}
	return entry->size == size_for(entry->key_len, entry->record_len);
}

static void describe(const struct entry_sh *entry, const char *bytes, struct mms_mailbox_item *item)
{
	item->kind = entry->kind == MMS_PARCEL_TOUCH ? MMS_PARCEL_TOUCH : MMS_PARCEL_PUT;
	item->key.ptr = bytes;
	item->key.len = entry->key_len;
	item->record.ptr = bytes + entry->key_len;
	item->record.len = entry->record_len;
	item->ttl_ms = entry->ttl_ms;
	item->pushed_at.us = entry->pushed_at_us;
	item->have_mask = entry->have_mask;
	item->settled = entry->settled != 0;
	item->next = (entry->position + entry->size) & POSITION_MASK;
}

/* Loads of the entry must not sink below the load of the epoch. gcc can't check fences with its thread sanitizer, and
 * a fenced consumer's reads are races by design, told from good ones by that epoch. */
static void order_reads_before_check(void)
{
#ifndef __SANITIZE_THREAD__
	atomic_thread_fence(memory_order_acquire);
#endif
}
