/* What other requests' writes mean to a write: counted, and with the session lock on, noticed when the lock ran out or
 * did not keep them away. */
#ifndef MMS_OVERLAP_H
#define MMS_OVERLAP_H

#include "mms_answer.h"
#include "mms_client.h"
#include "mms_lease.h"
#include "mms_write.h"

/* Before a write of the session that was read as answer: is it not to be made? Without a round trip while the lock is
 * good, and where none was taken. Otherwise the lock is taken again, if it is free, and the newest copy is read again.
 * Call it when the write's version has been stamped: whoever writes after this gets a higher one. Takes one
 * mmsession.budget_ms for the lock and one for the read at most; a write's deadline begins after it. True: *status is
 * MMS_OK after a logout (the data is dropped, as without a lock), MMS_ERR_GUARD when another request has written since
 * or has the lock, MMS_ERR_NO_NODE when no node could be asked. */
bool mms_overlap_stops(struct mms_client *client, struct mms_slice key, struct mms_lease *lease, struct mms_answer *answer,
		enum mms_status *status, struct mms_error *error);

/* After it: counts conflicts and late writes, once for each write, however many nodes were asked. */
void mms_overlap_count(struct mms_client *client, const struct mms_write_result *result);

/* And in the end: MMS_ERR_GUARD, with the error, when a newer write stands in its place in spite of a lock. */
enum mms_status mms_overlap_after(struct mms_client *client, struct mms_lease *lease,
		const struct mms_write_result *result, struct mms_error *error);

#endif
