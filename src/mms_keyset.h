/* A bounded set of keys, by hash, in shared memory: which sessions a repair scan has found equal on all nodes. It outlives the
 * process that scans, and its successor goes on with it. Each use has a salt of its own: what a predecessor adds that was
 * stopped and comes back late is in nobody's set. */
#ifndef MMS_KEYSET_H
#define MMS_KEYSET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"

#define MMS_KEYSET_SLOTS (1u << 21) /* 16 MiB, three quarters of them used */

/* Zeroed: empty. */
struct mms_keyset_sh {
	_Atomic uint32_t count;                   /* of slots in use, of any salt; the replicator */
	_Atomic uint64_t slots[MMS_KEYSET_SLOTS]; /* hashes, 0 = free; the replicator */
};

struct mms_keyset {
	struct mms_keyset_sh *shared;
	uint64_t salt;
};

/* Remembers the key; false when there is no room for it: nothing has changed then. */
bool mms_keyset_add(const struct mms_keyset *keyset, struct mms_slice key);
/* Two keys are taken for one with a chance of 2^-64. */
bool mms_keyset_has(const struct mms_keyset *keyset, struct mms_slice key);
/* Forgets everything, of every salt, and gives the memory back. */
void mms_keyset_clear(struct mms_keyset_sh *shared);

#endif
