/* The version of a write, from what its request has read: above it, in its incarnation or a new one, blind or not
 * (docs/protocol.md, "Merge order"). */
#ifndef MMS_NEXT_H
#define MMS_NEXT_H

#include "mms_answer.h"
#include "mms_client.h"
#include "mms_record.h"

/* Stamps it now, above the answer's and above `above` (0 = any). */
struct mms_version mms_next_version(struct mms_client *client, const struct mms_answer *answer, uint64_t above,
		bool tombstone);

/* Notes in the header of a record what it is based on, and the longest lifetime so far. */
void mms_next_describe_base(const struct mms_answer *answer, struct mms_record_header *header);

#endif
