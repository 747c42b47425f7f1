/* Answers that have grown old while the read waited in vain for another node. */
#ifndef MMS_REFRESH_H
#define MMS_REFRESH_H

#include "mms_judge.h"

#define MMS_REFRESH_AGE_US 5000 /* an answer that is younger counts as it is: mirrors take about as long */

/* When some node failed and answers of others, good ones among them, are older than MMS_REFRESH_AGE_US, asks these for their
 * header once more, damaged ones too, within the deadline, and judges that. What does not answer now keeps the verdict that it
 * had. A payload at hand stays so (copy.whole) while its node still has that version. header_only may be NULL while all that
 * were asked have answered. */
void mms_refresh_answers(struct mms_fanout *fanout, const struct mms_question *question,
		const struct mms_command *header_only, struct mms_copy *copies);
/* The same with all good answers, whatever their age. */
void mms_refresh_all(struct mms_fanout *fanout, const struct mms_question *question, const struct mms_command *header_only,
		struct mms_copy *copies);

#endif
