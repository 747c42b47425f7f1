/* Hints in an open hash table with linear probing. Its difficulty: a writer may be killed at any instruction, and an
 * entry is far too large for one store. So an entry is marked before it is written and valid only after it, and who
 * gets the lock from a dead holder drops the marked ones, counts anew and marks all nodes as overflowed. */
#include "mms_hints.h"

#include <string.h>

#include "mms_lock.h"

#define PROBES_MAX 256u  /* 16 cache lines of words; at three quarters full, one key in thousands needs more */
#define WALK_MAX 4096u
#define FILL 6u            /* eighths of the table */
#define FILL_AFTER_LOSS 7u /* for a hint that another one has gone for: no more of them are valid than before */
#define NOWHERE UINT32_MAX
#define STATE_BITS 3u

enum state { STATE_FREE = 0, STATE_WRITING = 1, STATE_VALID = 2, STATE_DELETED = 3 };

/* What mms_hints_add was asked for. */
struct wish {
	struct mms_slice key;
	const unsigned char *header;
	struct mms_version version;
	uint64_t missing_mask;
	int64_t deadline_us;
};

static uint32_t round_capacity(uint32_t capacity);
static bool lock(struct mms_hints_sh *hints);
static void recover_locked(struct mms_hints_sh *hints);
static void free_deleted_ends_locked(struct mms_hints_sh *hints);
static void recount_locked(struct mms_hints_sh *hints);
static bool put_locked(struct mms_hints_sh *hints, const struct wish *wish, struct mms_mono now);
static uint32_t find_locked(struct mms_hints_sh *hints, struct mms_slice key, uint32_t *vacant);
static bool may_fill_locked(struct mms_hints_sh *hints, uint32_t index, uint32_t fill);
static void purge_locked(struct mms_hints_sh *hints, struct mms_slice key, struct mms_mono now);
static bool make_room_locked(struct mms_hints_sh *hints, const struct wish *wish, uint32_t vacant);
static void fill_locked(struct mms_hints_sh *hints, uint32_t index, const struct wish *wish);
static void merge_locked(struct mms_hints_sh *hints, uint32_t index, const struct wish *wish);
static bool expire_locked(struct mms_hints_sh *hints, uint32_t index, struct mms_mono now);
static void forget_locked(struct mms_hints_sh *hints, uint32_t index, unsigned node);
static void remove_locked(struct mms_hints_sh *hints, uint32_t index);
static void keep_tombstone(struct mms_hint_sh *entry, const unsigned char *header, const struct mms_version *version);
static bool version_of(const struct mms_hint_sh *entry, const unsigned char *header, struct mms_version *out);
static bool stored_version(const struct mms_hint_sh *entry, struct mms_version *out);
static void copy_out(const struct mms_hint_sh *entry, struct mms_hint *out);
static void count_nodes(struct mms_hints_sh *hints, uint64_t mask, uint32_t amount);
static uint32_t hash_of(struct mms_slice key);
static _Atomic uint32_t *word_at(struct mms_hints_sh *hints, uint32_t index);
static struct mms_hint_sh *entry_at(struct mms_hints_sh *hints, uint32_t index);
static enum state state_at(struct mms_hints_sh *hints, uint32_t index);
static void set_state(struct mms_hints_sh *hints, uint32_t index, enum state state);

uint64_t mms_hints_table_size(uint32_t capacity)
{
	return (uint64_t)round_capacity(capacity) * (sizeof(uint32_t) + sizeof(struct mms_hint_sh));
}

enum mms_status mms_hints_init(struct mms_hints_sh *hints, void *table, uint32_t capacity, struct mms_error *error)
{
	if ((uintptr_t)table < (uintptr_t)(hints + 1) || (uintptr_t)table % 8 != 0) {
		mms_error_set(error, "hints: the table must lie behind its struct, aligned to 8 bytes");
		return MMS_ERR_CONFIG;
	}
	hints->capacity = round_capacity(capacity);
	hints->table_offset = (uintptr_t)table - (uintptr_t)hints;
	return mms_lock_init(&hints->lock, error);
}

bool mms_hints_add(struct mms_hints_sh *hints, struct mms_slice key, const unsigned char *header,
		uint64_t missing_mask, struct mms_mono deadline, struct mms_mono now)
{
	const struct mms_slice bytes = { (const char *)header, MMS_RECORD_HEADER_SIZE };
	struct wish wish = { key, header, { 0 }, missing_mask, deadline.us };
	struct mms_record_header decoded;
	bool added = false;

	if (missing_mask == 0 || deadline.us <= now.us) {
		return true;
	}
	if (key.len != 0 && key.len <= MMS_KEY_MAX && mms_record_decode(bytes, key, &decoded) == MMS_RECORD_GOOD
			&& lock(hints)) {
		wish.version = decoded.version;
		added = put_locked(hints, &wish, now);
		mms_lock_release(&hints->lock);
	}
	if (!added) {
		mms_hints_overflow(hints, missing_mask);
		return false;
	}
	atomic_fetch_add_explicit(&hints->changed_count, 1, memory_order_release);
	return true;
}

bool mms_hints_next(struct mms_hints_sh *hints, unsigned node, uint32_t *cursor, struct mms_mono now,
		struct mms_hint *out)
{
	/* The cursor is an index plus one, so that 0 can mean both start and end. */
	uint32_t index = *cursor == 0 ? 0 : *cursor - 1;
	uint32_t end;
	bool found = false;

	if (index >= hints->capacity || node >= MMS_NODES_MAX) {
		*cursor = 0;
		return false;
	}
	*cursor = index + 1;
	if (!lock(hints)) {
		return false;
	}
	end = hints->capacity - index > WALK_MAX ? index + WALK_MAX : hints->capacity;
	for (; index < end && !found; index++) {
		if (state_at(hints, index) == STATE_VALID && !expire_locked(hints, index, now)
				&& (entry_at(hints, index)->missing_mask >> node & 1) != 0) {
			copy_out(entry_at(hints, index), out);
			found = true;
		}
	}
	mms_lock_release(&hints->lock);
	*cursor = found || index < hints->capacity ? index + 1 : 0;
	return found;
}

void mms_hints_settle(struct mms_hints_sh *hints, struct mms_slice key, unsigned node,
		const struct mms_version *version)
{
	struct mms_version stored;
	uint32_t index;

	if (node >= MMS_NODES_MAX || key.len > MMS_KEY_MAX || !lock(hints)) {
		return; /* it stays, and is found settled when it is delivered */
	}
	index = find_locked(hints, key, NULL);
	if (index != NOWHERE) {
		if (!stored_version(entry_at(hints, index), &stored)) {
			mms_hints_overflow(hints, UINT64_C(1) << node);
			forget_locked(hints, index, node);
		} else if (mms_version_compare(&stored, version) <= 0) {
			forget_locked(hints, index, node);
		}
	}
	mms_lock_release(&hints->lock);
}

void mms_hints_drop(struct mms_hints_sh *hints, const struct mms_hint *read, unsigned node)
{
	const struct mms_slice key = { read->key, read->key_len };
	uint32_t index;

	if (node >= MMS_NODES_MAX || key.len > MMS_KEY_MAX || !lock(hints)) {
		return;
	}
	index = find_locked(hints, key, NULL);
	if (index != NOWHERE && entry_at(hints, index)->deadline_us == read->deadline.us
			&& memcmp(entry_at(hints, index)->header, read->header, MMS_RECORD_HEADER_SIZE) == 0
			&& memcmp(entry_at(hints, index)->tombstone, read->tombstone, MMS_RECORD_HEADER_SIZE) == 0) {
		forget_locked(hints, index, node);
	}
	mms_lock_release(&hints->lock);
}

void mms_hints_pend(struct mms_hints_sh *hints, unsigned node)
{
	const uint64_t mask = node < MMS_NODES_MAX && atomic_load(&hints->used) > 0 ? UINT64_C(1) << node : 0;

	for (uint32_t start = 0; mask != 0 && start < hints->capacity; start += WALK_MAX) {
		const uint32_t end = hints->capacity - start > WALK_MAX ? start + WALK_MAX : hints->capacity;

		if (!lock(hints)) {
			mms_hints_overflow(hints, mask);
			return;
		}
		for (uint32_t index = start; index < end; index++) {
			if (state_at(hints, index) == STATE_VALID && (entry_at(hints, index)->missing_mask & mask) == 0) {
				entry_at(hints, index)->missing_mask |= mask;
				count_nodes(hints, mask, 1);
			}
		}
		mms_lock_release(&hints->lock);
	}
	atomic_fetch_add_explicit(&hints->changed_count, 1, memory_order_release);
}

const unsigned char *mms_hint_tombstone(const struct mms_hint *hint)
{
	const struct mms_slice bytes = { (const char *)hint->tombstone, MMS_RECORD_HEADER_SIZE };
	const struct mms_slice key = { hint->key, hint->key_len };
	struct mms_record_header header;

	if (mms_record_is_tombstone(hint->header)) {
		return hint->header;
	}
	return hint->tombstone[0] != 0 && mms_record_decode(bytes, key, &header) == MMS_RECORD_GOOD && header.version.tombstone
			? hint->tombstone : NULL;
}

uint32_t mms_hints_count(const struct mms_hints_sh *hints, unsigned node)
{
	return node < MMS_NODES_MAX ? atomic_load_explicit(&hints->node_count[node], memory_order_relaxed) : 0;
}

bool mms_hints_overflowed(const struct mms_hints_sh *hints, unsigned node)
{
	return node < MMS_NODES_MAX
			&& (atomic_load_explicit(&hints->overflow_mask, memory_order_acquire) >> node & 1) != 0;
}

/* The count comes first: whoever sees the bit set by this call sees the count too, and one killed in between has at least
 * kept a scan that was under way from ending what it did not see. */
void mms_hints_overflow(struct mms_hints_sh *hints, uint64_t mask)
{
	for (uint64_t left = mask; left != 0; left &= left - 1) {
		const unsigned node = (unsigned)__builtin_ctzll(left);

		if (node < MMS_NODES_MAX) {
			atomic_fetch_add(&hints->overflow_count[node], 1);
		}
	}
	atomic_fetch_or(&hints->overflow_mask, mask);
	atomic_fetch_add_explicit(&hints->changed_count, 1, memory_order_release);
}

uint32_t mms_hints_overflow_count(const struct mms_hints_sh *hints, unsigned node)
{
	return node < MMS_NODES_MAX ? atomic_load(&hints->overflow_count[node]) : 0;
}

bool mms_hints_end_overflow(struct mms_hints_sh *hints, unsigned node, uint32_t count)
{
	const uint64_t mask = node < MMS_NODES_MAX ? UINT64_C(1) << node : 0;

	if (mms_hints_overflow_count(hints, node) != count) {
		return false;
	}
	atomic_fetch_and(&hints->overflow_mask, ~mask);
	if (mms_hints_overflow_count(hints, node) != count) {
		atomic_fetch_or(&hints->overflow_mask, mask); /* one came between the two looks */
		return false;
	}
	return true;
}

static uint32_t round_capacity(uint32_t capacity)
{
	uint32_t rounded = MMS_HINTS_MIN_CAPACITY;

	while (rounded <= capacity / 2) {
		rounded *= 2;
	}
	return rounded;
}

static bool lock(struct mms_hints_sh *hints)
{
	const enum mms_lock_result result =
			mms_lock_wait_unless_stalled(&hints->lock, &hints->stalled, MMS_HINTS_WAIT_MS);

	if (result == MMS_LOCK_TAKEN_FROM_DEAD) {
		recover_locked(hints);
	}
	MMS_TEST_POINT("locked");
	return result != MMS_LOCK_BUSY;
}

/* Right after a holder's death, and again if this one dies in the middle of it. The overflow comes first: what is
 * dropped is then known to be missed at every moment. */
static void recover_locked(struct mms_hints_sh *hints)
{
	mms_hints_overflow(hints, UINT64_MAX);
	for (uint32_t index = 0; index < hints->capacity; index++) {
		const enum state state = state_at(hints, index);

		if (state == STATE_WRITING || (state == STATE_VALID && entry_at(hints, index)->missing_mask == 0)) {
			set_state(hints, index, STATE_DELETED);
		}
	}
	MMS_TEST_POINT("recovering");
	free_deleted_ends_locked(hints);
	recount_locked(hints);
}

/* Twice round, because a run of deleted entries may begin before the table's end and go on at its start. */
static void free_deleted_ends_locked(struct mms_hints_sh *hints)
{
	const uint32_t last = hints->capacity - 1;

	for (uint64_t step = 2 * (uint64_t)hints->capacity; step > 0; step--) {
		const uint32_t index = (uint32_t)(step - 1) & last;

		if (state_at(hints, index) == STATE_DELETED && state_at(hints, (index + 1) & last) == STATE_FREE) {
			set_state(hints, index, STATE_FREE);
		}
	}
}

static void recount_locked(struct mms_hints_sh *hints)
{
	uint32_t used = 0;

	for (unsigned node = 0; node < MMS_NODES_MAX; node++) {
		atomic_store_explicit(&hints->node_count[node], 0, memory_order_relaxed);
	}
	for (uint32_t index = 0; index < hints->capacity; index++) {
		used += state_at(hints, index) != STATE_FREE;
		if (state_at(hints, index) == STATE_VALID) {
			count_nodes(hints, entry_at(hints, index)->missing_mask, 1);
		}
	}
	atomic_store_explicit(&hints->used, used, memory_order_relaxed);
}

static bool put_locked(struct mms_hints_sh *hints, const struct wish *wish, struct mms_mono now)
{
	uint32_t fill = FILL, vacant;
	uint32_t index = find_locked(hints, wish->key, &vacant);

	if (index != NOWHERE) {
		merge_locked(hints, index, wish);
		return true;
	}
	if (!may_fill_locked(hints, vacant, fill)) {
		purge_locked(hints, wish->key, now);
		find_locked(hints, wish->key, &vacant);
		if (!may_fill_locked(hints, vacant, FILL) && make_room_locked(hints, wish, vacant)) {
			find_locked(hints, wish->key, &vacant);
			fill = FILL_AFTER_LOSS;
		}
		if (!may_fill_locked(hints, vacant, fill)) {
			return false;
		}
	}
	fill_locked(hints, vacant, wish);
	return true;
}

/* Index of the key's hint or NOWHERE; *vacant (may be NULL) is the first place on the way that can take it. */
static uint32_t find_locked(struct mms_hints_sh *hints, struct mms_slice key, uint32_t *vacant)
{
	const uint32_t hash = hash_of(key);
	const uint32_t probes = hints->capacity < PROBES_MAX ? hints->capacity : PROBES_MAX;
	uint32_t place = NOWHERE;
	uint32_t found = NOWHERE;

	for (uint32_t step = 0; step < probes && found == NOWHERE; step++) {
		const uint32_t index = ((hash >> 8) + step) & (hints->capacity - 1);
		const uint32_t word = atomic_load_explicit(word_at(hints, index), memory_order_relaxed);

		if (place == NOWHERE && (word == STATE_FREE || (word & STATE_BITS) == STATE_DELETED)) {
			place = index;
		}
		if (word == STATE_FREE) {
			break;
		}
		if (word == ((hash & ~STATE_BITS) | STATE_VALID)) {
			const struct mms_hint_sh *entry = entry_at(hints, index);

			if (entry->key_len == key.len && memcmp(entry->key, key.ptr, key.len) == 0) {
				found = index;
			}
		}
	}
	if (vacant != NULL) {
		*vacant = place;
	}
	return found;
}

/* A free place only while fewer eighths of the table are used than fill; a deleted one always. */
static bool may_fill_locked(struct mms_hints_sh *hints, uint32_t index, uint32_t fill)
{
	return index != NOWHERE && (state_at(hints, index) == STATE_DELETED
			|| atomic_load_explicit(&hints->used, memory_order_relaxed) < hints->capacity / 8 * fill);
}

/* Removes what has expired where this key would stand. */
static void purge_locked(struct mms_hints_sh *hints, struct mms_slice key, struct mms_mono now)
{
	const uint32_t hash = hash_of(key);
	const uint32_t probes = hints->capacity < PROBES_MAX ? hints->capacity : PROBES_MAX;

	for (uint32_t step = 0; step < probes; step++) {
		const uint32_t index = ((hash >> 8) + step) & (hints->capacity - 1);

		if (state_at(hints, index) == STATE_VALID) {
			expire_locked(hints, index, now);
		}
	}
}

/* A node that has missed more than fits will be compared whole, so what else it misses may go: were it to keep every place, all
 * others would be compared whole as well, for one session that they have not got, or got a moment later. Where the way of this key
 * ends at a free place, one goes rather whose removal frees a place too (remove_locked()). */
static bool make_room_locked(struct mms_hints_sh *hints, const struct wish *wish, uint32_t vacant)
{
	const uint64_t overflow_mask = atomic_load(&hints->overflow_mask);
	const uint32_t last = hints->capacity - 1, probes = hints->capacity < PROBES_MAX ? hints->capacity : PROBES_MAX;
	const uint32_t start = hash_of(wish->key) >> 8, back = vacant == NOWHERE ? 0 : probes;
	uint32_t chosen = NOWHERE;

	if ((wish->missing_mask & ~overflow_mask) == 0) {
		return false;
	}
	for (uint32_t step = 0; step < back + probes; step++) {
		const uint32_t index = (start - back + step) & last;
		const struct mms_hint_sh *entry = entry_at(hints, index);

		if (state_at(hints, index) == STATE_VALID && (entry->missing_mask & ~overflow_mask) == 0 && entry->tombstone[0] == 0
				&& !mms_record_is_tombstone(entry->header)) {
			chosen = index;
			if (vacant == NOWHERE || state_at(hints, (index + 1) & last) == STATE_FREE) {
				break;
			}
		}
	}
	if (chosen != NOWHERE) {
		mms_hints_overflow(hints, entry_at(hints, chosen)->missing_mask); /* first, and anew: a comparison under way may be past it */
		remove_locked(hints, chosen);
	}
	return chosen != NOWHERE;
}

static void fill_locked(struct mms_hints_sh *hints, uint32_t index, const struct wish *wish)
{
	struct mms_hint_sh *entry = entry_at(hints, index);

	if (state_at(hints, index) == STATE_FREE) {
		atomic_fetch_add_explicit(&hints->used, 1, memory_order_relaxed);
	}
	set_state(hints, index, STATE_WRITING);
	entry->missing_mask = wish->missing_mask;
	entry->deadline_us = wish->deadline_us;
	entry->key_len = (uint32_t)wish->key.len;
	memcpy(entry->header, wish->header, MMS_RECORD_HEADER_SIZE);
	memset(entry->tombstone, 0, sizeof entry->tombstone);
	MMS_TEST_POINT("half written");
	memcpy(entry->key, wish->key.ptr, wish->key.len);
	atomic_store_explicit(word_at(hints, index), (hash_of(wish->key) & ~STATE_BITS) | STATE_VALID,
			memory_order_release);
	MMS_TEST_POINT("written");
	count_nodes(hints, wish->missing_mask, 1);
}

static void merge_locked(struct mms_hints_sh *hints, uint32_t index, const struct wish *wish)
{
	struct mms_hint_sh *entry = entry_at(hints, index);
	const uint64_t added_mask = wish->missing_mask & ~entry->missing_mask;
	struct mms_version stored;

	set_state(hints, index, STATE_WRITING);
	entry->missing_mask |= wish->missing_mask;
	if (entry->deadline_us < wish->deadline_us) {
		entry->deadline_us = wish->deadline_us;
	}
	MMS_TEST_POINT("merging");
	if (!stored_version(entry, &stored)) {
		memcpy(entry->header, wish->header, MMS_RECORD_HEADER_SIZE);
	} else if (mms_version_compare(&stored, &wish->version) < 0) {
		keep_tombstone(entry, entry->header, &stored);
		memcpy(entry->header, wish->header, MMS_RECORD_HEADER_SIZE);
	} else {
		keep_tombstone(entry, wish->header, &wish->version);
	}
	if (mms_record_is_tombstone(entry->header)) {
		memset(entry->tombstone, 0, sizeof entry->tombstone);
	}
	set_state(hints, index, STATE_VALID);
	count_nodes(hints, added_mask, 1);
}

/* Unless it is none, or there is a newer one. */
static void keep_tombstone(struct mms_hint_sh *entry, const unsigned char *header, const struct mms_version *version)
{
	struct mms_version kept;

	if (version->tombstone && (!version_of(entry, entry->tombstone, &kept) || mms_version_compare(&kept, version) < 0)) {
		memcpy(entry->tombstone, header, MMS_RECORD_HEADER_SIZE);
	}
}

/* True when it was removed: past its deadline, or with a length that can't be (a damaged mapping). */
static bool expire_locked(struct mms_hints_sh *hints, uint32_t index, struct mms_mono now)
{
	const struct mms_hint_sh *entry = entry_at(hints, index);
	const bool damaged = entry->key_len > MMS_KEY_MAX;

	if (damaged) {
		mms_hints_overflow(hints, UINT64_MAX);
	} else if (entry->deadline_us > now.us) {
		return false;
	}
	remove_locked(hints, index);
	return true;
}

static void forget_locked(struct mms_hints_sh *hints, uint32_t index, unsigned node)
{
	struct mms_hint_sh *entry = entry_at(hints, index);
	const uint64_t mask = UINT64_C(1) << node;

	if (entry->missing_mask == mask) {
		remove_locked(hints, index);
	} else if ((entry->missing_mask & mask) != 0) {
		entry->missing_mask &= ~mask;
		count_nodes(hints, mask, UINT32_MAX);
	}
}

/* A deleted entry is needed only to lead a search on to the next one. Where a free one follows it is freed, and with it
 * those before: no entry stays deleted in a table without valid ones, which so never has to be rebuilt. */
static void remove_locked(struct mms_hints_sh *hints, uint32_t index)
{
	const uint32_t last = hints->capacity - 1;

	count_nodes(hints, entry_at(hints, index)->missing_mask, UINT32_MAX);
	set_state(hints, index, STATE_DELETED);
	MMS_TEST_POINT("removed");
	if (state_at(hints, (index + 1) & last) != STATE_FREE) {
		return;
	}
	for (uint32_t steps = 0; steps < hints->capacity && state_at(hints, index) == STATE_DELETED; steps++) {
		set_state(hints, index, STATE_FREE);
		atomic_fetch_sub_explicit(&hints->used, 1, memory_order_relaxed);
		index = (index - 1) & last;
	}
}

static bool stored_version(const struct mms_hint_sh *entry, struct mms_version *out)
{
	return version_of(entry, entry->header, out);
}

static bool version_of(const struct mms_hint_sh *entry, const unsigned char *bytes_of_header, struct mms_version *out)
{
	const struct mms_slice bytes = { (const char *)bytes_of_header, MMS_RECORD_HEADER_SIZE };
	const struct mms_slice key = { entry->key, entry->key_len };
	struct mms_record_header header;

	if (mms_record_decode(bytes, key, &header) != MMS_RECORD_GOOD) {
		return false;
	}
	*out = header.version;
	return true;
}

static void copy_out(const struct mms_hint_sh *entry, struct mms_hint *out)
{
	memcpy(out->key, entry->key, entry->key_len);
	out->key_len = entry->key_len;
	out->missing_mask = entry->missing_mask;
	out->deadline.us = entry->deadline_us;
	memcpy(out->header, entry->header, MMS_RECORD_HEADER_SIZE);
	memcpy(out->tombstone, entry->tombstone, MMS_RECORD_HEADER_SIZE);
}

/* amount is 1 or, for one less, UINT32_MAX. */
static void count_nodes(struct mms_hints_sh *hints, uint64_t mask, uint32_t amount)
{
	for (; mask != 0; mask &= mask - 1) {
		atomic_fetch_add_explicit(&hints->node_count[__builtin_ctzll(mask)], amount, memory_order_relaxed);
	}
}

/* CRC-32C for speed, then a finalizer (Wellons, "lowbias32"), because close keys get close checksums. */
static uint32_t hash_of(struct mms_slice key)
{
	uint32_t hash = mms_crc32c(0, key.ptr, key.len);

	hash = (hash ^ hash >> 16) * UINT32_C(0x7feb352d);
	hash = (hash ^ hash >> 15) * UINT32_C(0x846ca68b);
	return hash ^ hash >> 16;
}

static _Atomic uint32_t *word_at(struct mms_hints_sh *hints, uint32_t index)
{
	return (_Atomic uint32_t *)((uintptr_t)hints + hints->table_offset) + index;
}

static struct mms_hint_sh *entry_at(struct mms_hints_sh *hints, uint32_t index)
{
	return (struct mms_hint_sh *)(uintptr_t)word_at(hints, hints->capacity) + index;
}

static enum state state_at(struct mms_hints_sh *hints, uint32_t index)
{
	return (enum state)(atomic_load_explicit(word_at(hints, index), memory_order_relaxed) & STATE_BITS);
}

/* Keeps the hash. The signal fences hold the compiler: what it writes to the entry must stay on its side. (A killed
 * process has executed a prefix of its instructions, and the kernel hands on the lock after all of their stores.) */
static void set_state(struct mms_hints_sh *hints, uint32_t index, enum state state)
{
	const uint32_t word = atomic_load_explicit(word_at(hints, index), memory_order_relaxed);

	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit(word_at(hints, index), state == STATE_FREE ? 0 : (word & ~STATE_BITS) | state,
			memory_order_release);
	atomic_signal_fence(memory_order_seq_cst);
}
