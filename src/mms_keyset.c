/* Open addressing over 64-bit hashes that grows until its bound: what it does not take is compared once more. */
#include "mms_keyset.h"

#include <stdlib.h>

#define SLOTS_MIN 4096u

/* FNV-1a (Fowler, Noll, Vo), and MurmurHash3's finalizer (Appleby), so that the low bits depend on all others. */
static uint64_t hash_of(struct mms_slice key)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < key.len; i++) {
		hash = (hash ^ (unsigned char)key.ptr[i]) * UINT64_C(1099511628211);
	}
	hash = (hash ^ hash >> 33) * UINT64_C(0xff51afd7ed558ccd);
	hash = (hash ^ hash >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	hash ^= hash >> 33;
	return hash == 0 ? 1 : hash;
}

/* Where the hash stands, or would; there is always a free slot. */
static uint32_t place_of(const uint64_t *slots, uint32_t capacity, uint64_t hash)
{
	uint32_t at = (uint32_t)hash & (capacity - 1);

	while (slots[at] != 0 && slots[at] != hash) {
		at = (at + 1) & (capacity - 1);
	}
	return at;
}

static bool grow(struct mms_keyset *keyset)
{
	uint32_t capacity = keyset->capacity == 0 ? SLOTS_MIN : keyset->capacity * 2;
	uint64_t *slots;

	if (capacity > MMS_KEYSET_SLOTS_MAX || (slots = calloc(capacity, sizeof *slots)) == NULL) {
		return false;
	}
	for (uint32_t i = 0; i < keyset->capacity; i++) {
		if (keyset->slots[i] != 0) {
			slots[place_of(slots, capacity, keyset->slots[i])] = keyset->slots[i];
		}
	}
	free(keyset->slots);
	keyset->slots = slots;
	keyset->capacity = capacity;
	return true;
}

bool mms_keyset_add(struct mms_keyset *keyset, struct mms_slice key)
{
	uint64_t hash = hash_of(key);
	uint32_t at;

	if (keyset->count >= keyset->capacity / 4 * 3 && !grow(keyset)) {
		return false;
	}
	at = place_of(keyset->slots, keyset->capacity, hash);
	keyset->count += keyset->slots[at] == 0 ? 1 : 0;
	keyset->slots[at] = hash;
	return true;
}

bool mms_keyset_has(const struct mms_keyset *keyset, struct mms_slice key)
{
	return keyset->capacity != 0 && keyset->slots[place_of(keyset->slots, keyset->capacity, hash_of(key))] != 0;
}

void mms_keyset_clear(struct mms_keyset *keyset)
{
	free(keyset->slots);
	*keyset = (struct mms_keyset){ 0 };
}
