/* The closed sequence: what a host says of its reservations on a node, under the key <prefix>:ct:<mapping>. It says: of the
 * reservations above `above` and up to `highest`, all but the `open` ones are done with, and whatever they wrote this node
 * has acknowledged (docs/protocol.md, "Session token"). Pure.
 *
 * Value (numbers big-endian): 0 "MCT", 3 format (1), 4 above, 12 highest, 20 open reservations (8 each), last the CRC-32C of
 * the mapping (8 bytes) and all before it. */
#ifndef MMS_CLOSED_H
#define MMS_CLOSED_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"

#define MMS_CLOSED_OPEN_MAX 32u /* open reservations listed; with more, `highest` stays below the next one */
#define MMS_CLOSED_VALUE_MAX (24 + 8 * MMS_CLOSED_OPEN_MAX)
#define MMS_CLOSED_KEY_EXTRA 21 /* bytes of the key beyond the prefix, with a NUL */

struct mms_closed {
	uint64_t above, highest;
	uint32_t open_count;
	uint64_t open[MMS_CLOSED_OPEN_MAX]; /* ascending */
};

/* Enters an open reservation; to be called before `highest` is relied on, since it may be lowered. */
void mms_closed_add_open(struct mms_closed *closed, uint64_t sequence);

bool mms_closed_has(const struct mms_closed *closed, uint64_t sequence);

/* Whether the two say the same of every reservation up to a.highest. */
bool mms_closed_equal(const struct mms_closed *a, const struct mms_closed *b);

size_t mms_closed_encode(const struct mms_closed *closed, uint64_t mapping, unsigned char out[MMS_CLOSED_VALUE_MAX]);

/* False when the value is not one, or of another mapping. */
bool mms_closed_decode(struct mms_slice value, uint64_t mapping, struct mms_closed *out);

/* size is at least strlen(prefix) + MMS_CLOSED_KEY_EXTRA; returns the length without NUL. */
size_t mms_closed_key(const char *prefix, uint64_t mapping, char *out, size_t size);

#endif
