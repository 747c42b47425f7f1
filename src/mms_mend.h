/* Read repair: what a read found goes to the nodes that answered and lack it. */
#ifndef MMS_MEND_H
#define MMS_MEND_H

#include "mms_answer.h"
#include "mms_judge.h"

/* copies: one per node, judged; the fanout still holds the replies of those that are damaged. Damaged copies are replaced here
 * and now, the rest goes through the mailbox. With read = quorum, a copy that no majority holds is left to whoever brings it
 * to one before the answer. */
void mms_mend_nodes(struct mms_fanout *fanout, const struct mms_question *question, const struct mms_copy *copies,
		const struct mms_answer *answer);

#endif
