/* The answer owns what its payload lies in; there is nothing more to it. */
#include "mms_answer.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

void mms_answer_clear(struct mms_answer *answer)
{
	mms_reply_free(answer->owner);
	free(answer->copied);
	mms_answer_init(answer);
}

void mms_answer_init(struct mms_answer *answer)
{
	memset(answer, 0, offsetof(struct mms_answer, error));
	answer->error.text[0] = '\0';
	answer->found = MMS_FOUND_UNREADABLE;
}
