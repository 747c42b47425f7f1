/* Moving in: a session that another handler (phpredis) left on the nodes as plain data, under mmsession.import_prefix. It is only
 * read, and only where ours is absent everywhere; the request's own write makes a record of it. docs/operations.md, "Moving in". */
#ifndef MMS_IMPORT_H
#define MMS_IMPORT_H

#include "mms_answer.h"
#include "mms_client.h"

/* For an answer that found nothing: asks all nodes in one round trip, within the deadline, for the other handler's key of this id.
 * Of several copies the one that lives longest is taken, which was written last. Then answer->imported is true, payload is the
 * data, and pttl_ms its remaining life: what is stored instead, a tombstone too, has to outlive it. With a node that does not say
 * whether it has one, and none elsewhere, the answer is no longer authoritative, and nobody's "no". A copy longer than this
 * process takes makes the answer MMS_FOUND_UNREADABLE. A copy that can't be used (another type, no end of life, one of our records, no
 * permission) is left alone, with a notice. Without import_prefix, or with any other answer, it does nothing. */
void mms_import_find(struct mms_client *client, struct mms_slice id, struct mms_mono deadline, struct mms_answer *answer);

#endif
