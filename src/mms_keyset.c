/* Open addressing over 64-bit hashes, up to a bound: what it does not take is compared once more. Every probe is bounded too:
 * somebody may have filled the table with rubbish. */
#include "mms_keyset.h"

#include <sys/mman.h>

#define PROBES_MAX 1024u     /* at three quarters full, a search that long has a chance below 10^-40 */
#define PAGE_BYTES 4096u

/* FNV-1a (Fowler, Noll, Vo), and MurmurHash3's finalizer (Appleby), so that the low bits depend on all others. */
static uint64_t hash_of(struct mms_slice key, uint64_t salt)
{
	uint64_t hash = UINT64_C(14695981039346656037) ^ salt;

	for (size_t i = 0; i < key.len; i++) {
		hash = (hash ^ (unsigned char)key.ptr[i]) * UINT64_C(1099511628211);
	}
	hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
	hash = (hash ^ hash >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	hash ^= hash >> 33;
	return hash == 0 ? 1 : hash;
}

/* Where the hash stands, or would; NULL when neither is found. *stands: what is there. */
static _Atomic uint64_t *place_of(struct mms_keyset_sh *shared, uint64_t hash, uint64_t *stands)
{
	uint32_t at = (uint32_t)hash;

	for (uint32_t probe = 0; probe < PROBES_MAX; probe++, at++) {
		_Atomic uint64_t *slot = &shared->slots[at & (MMS_KEYSET_SLOTS - 1)];

		*stands = atomic_load_explicit(slot, memory_order_relaxed);
		if (*stands == 0 || *stands == hash) {
			return slot;
		}
	}
	return NULL;
}

bool mms_keyset_add(const struct mms_keyset *keyset, struct mms_slice key)
{
	struct mms_keyset_sh *shared = keyset->shared;
	uint64_t hash = hash_of(key, keyset->salt), stands;
	_Atomic uint64_t *slot;

	if (atomic_load_explicit(&shared->count, memory_order_relaxed) >= MMS_KEYSET_SLOTS / 4 * 3
			|| (slot = place_of(shared, hash, &stands)) == NULL) {
		return false;
	}
	if (stands == 0) {
		/* First, so that a table with something in it never counts as empty. */
		atomic_fetch_add_explicit(&shared->count, 1, memory_order_relaxed);
		atomic_store_explicit(slot, hash, memory_order_relaxed);
	}
	return true;
}

bool mms_keyset_has(const struct mms_keyset *keyset, struct mms_slice key)
{
	uint64_t stands;

	return atomic_load_explicit(&keyset->shared->count, memory_order_relaxed) != 0
			&& place_of(keyset->shared, hash_of(key, keyset->salt), &stands) != NULL && stands != 0;
}

static void wipe(struct mms_keyset_sh *shared, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		atomic_store_explicit(&shared->slots[i], 0, memory_order_relaxed);
	}
}

void mms_keyset_clear(struct mms_keyset_sh *shared)
{
	const uint32_t per_page = PAGE_BYTES / sizeof shared->slots[0];
	const uintptr_t begin = (uintptr_t)shared->slots, page = (begin + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
	const uint32_t first = (uint32_t)((page - begin) / sizeof shared->slots[0]);
	const uint32_t last = first + (MMS_KEYSET_SLOTS - first) / per_page * per_page;

	if (atomic_load_explicit(&shared->count, memory_order_relaxed) == 0) {
		return;
	}
	if (madvise((void *)page, (last - first) * sizeof shared->slots[0], MADV_REMOVE) != 0) {
		wipe(shared, first, last); /* not this kind of memory: it stays in use, and is empty */
	}
	wipe(shared, 0, first);
	wipe(shared, last, MMS_KEYSET_SLOTS);
	atomic_store_explicit(&shared->count, 0, memory_order_relaxed);
}
