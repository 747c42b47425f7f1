/* A bounded set of keys, by hash: which sessions a repair scan has found equal on all nodes. Pure. */
#ifndef MMS_KEYSET_H
#define MMS_KEYSET_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"

#define MMS_KEYSET_SLOTS_MAX (1u << 19) /* 4 MiB, three quarters of them used */

struct mms_keyset {
	uint64_t *slots;    /* hashes; 0 = free */
	uint32_t capacity;  /* a power of two, or 0 */
	uint32_t count;
};

/* Remembers the key; false when there is no room or no memory for it: nothing has changed then. */
bool mms_keyset_add(struct mms_keyset *keyset, struct mms_slice key);
/* Two keys are taken for one with a chance of 2^-64. */
bool mms_keyset_has(const struct mms_keyset *keyset, struct mms_slice key);
/* Forgets everything; a zeroed struct is an empty set. */
void mms_keyset_clear(struct mms_keyset *keyset);

#endif
