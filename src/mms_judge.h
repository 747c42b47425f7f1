/* What one node's answer to a read is worth, looked at alone. */
#ifndef MMS_JUDGE_H
#define MMS_JUDGE_H

#include <stdbool.h>

#include "mms_fanout.h"
#include "mms_record.h"

enum mms_verdict {
	MMS_VERDICT_UNASKED,
	MMS_VERDICT_FAILED,  /* no answer, an error, or one that does not fit its question */
	MMS_VERDICT_ABSENT,
	MMS_VERDICT_DAMAGED, /* as absent, but proves nothing */
	MMS_VERDICT_FOREIGN, /* something that is not ours stands there */
	MMS_VERDICT_HAS      /* header is good; payload too, if whole */
};

struct mms_copy {
	enum mms_verdict verdict;
	bool whole;                      /* payload is at hand and checked */
	struct mms_record_header header; /* HAS; of the last answer that had one otherwise, zeros = none */
};

struct mms_question {
	struct mms_slice key;
	struct mms_wall now; /* of the read: stamps years ahead of it are damage */
};

/* Judges the slot of a node that was asked for the whole record, or for the header alone. Counts what is wrong with
 * it; tells the breaker what the node is to blame for. copy: of an earlier answer, or zeros. */
void mms_judge_answer(struct mms_fanout *fanout, unsigned node, const struct mms_question *question, bool whole,
		struct mms_copy *copy);

#endif
