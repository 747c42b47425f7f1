/* The read operation (docs/protocol.md, "Operations"): whole record from the local node, headers from the peers, the
 * highest version wins, stale nodes are repaired in the background. */
#ifndef MMS_READ_H
#define MMS_READ_H

#include "mms_answer.h"
#include "mms_client.h"
#include "mms_token.h"

/* Reads key within the budget that ends at deadline. Always fills answer. */
void mms_read_record(struct mms_client *client, struct mms_slice key, struct mms_mono deadline,
		struct mms_answer *answer);

/* The same for a visitor who came with tokens: one node is asked first, and the others only if its copy does not satisfy
 * the plan. An empty plan, or NULL, makes no difference. With mmsession.lock all are asked, and the plan says what they may lack. */
void mms_read_for_visitor(struct mms_client *client, struct mms_slice key, struct mms_mono deadline,
		const struct mms_token_plan *plan, struct mms_answer *answer);

#endif
