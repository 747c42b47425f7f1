/* The read operation (docs/protocol.md, "Operations"): whole record from the local node, headers from the peers, the
 * highest version wins, stale nodes are repaired in the background. */
#ifndef MMS_READ_H
#define MMS_READ_H

#include "mms_answer.h"
#include "mms_client.h"

/* Reads key within the budget that ends at deadline. Always fills answer. local_only: settings' read = local. */
void mms_read_record(struct mms_client *client, struct mms_slice key, struct mms_mono deadline,
		struct mms_answer *answer);

#endif
