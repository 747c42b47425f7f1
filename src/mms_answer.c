/* The answer owns the reply that its payload lies in; there is nothing more to it. */
#include "mms_answer.h"

#include <string.h>

void mms_answer_clear(struct mms_answer *answer)
{
	mms_reply_free(answer->owner);
	memset(answer, 0, sizeof *answer);
	answer->found = MMS_FOUND_UNREADABLE;
}
