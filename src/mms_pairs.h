/* A copy of a hash as a node answered it (HGETALL), bounded. Pure. */
#ifndef MMS_PAIRS_H
#define MMS_PAIRS_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"
#include "mms_clock.h"
#include "mms_reply.h"

#define MMS_PAIRS_MAX 4096
#define MMS_PAIRS_NO_TAG UINT32_MAX
#define MMS_PAIRS_TEXT_MAX 3072      /* bytes of a pair; a longer one is nothing that a host wrote (mms_life.h), and not kept */

struct mms_pair {
	struct mms_slice field, value;   /* in the same block */
	bool cleared;                    /* deleted by its reader since */
	uint32_t tag;                    /* its reader's; MMS_PAIRS_NO_TAG at first */
};

struct mms_pairs {
	struct mms_pair *pairs;
	uint32_t count;
	bool cut;                        /* there were more than MMS_PAIRS_MAX */
	struct mms_mono read_at;         /* 0 = nothing is known */
};

/* Replaces what was kept; an answer that is no array leaves nothing. */
void mms_pairs_keep(struct mms_pairs *pairs, const struct mms_reply *reply, struct mms_mono now);
void mms_pairs_free(struct mms_pairs *pairs);

/* Is there a pair of this field? Looks at *place first (0 at the beginning), and leaves there the one behind it: who asks in the order
 * of the list has each found at once. */
bool mms_pairs_has(const struct mms_pairs *pairs, struct mms_slice field, uint32_t *place);
/* Marks this pair as cleared. */
void mms_pairs_clear(struct mms_pairs *pairs, struct mms_slice field, struct mms_slice value);

bool mms_pairs_same(struct mms_slice a, struct mms_slice b);

#endif
