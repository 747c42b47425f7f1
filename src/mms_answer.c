/* The answer owns what its payload lies in; there is nothing more to it. */
#include "mms_answer.h"

#include <stdlib.h>
#include <string.h>

void mms_answer_clear(struct mms_answer *answer)
{
	mms_reply_free(answer->owner);
	free(answer->copied);
	memset(answer, 0, sizeof *answer);
	answer->found = MMS_FOUND_UNREADABLE;
}
