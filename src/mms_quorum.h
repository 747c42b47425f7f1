/* The second half of read = quorum: what a read returns is held by a majority of all nodes before PHP sees it, so that the
 * next read, whichever majority answers it, finds it or something newer (Attiya, Bar-Noy, Dolev, "Sharing Memory Robustly in
 * Message-Passing Systems", 1995). */
#ifndef MMS_QUORUM_H
#define MMS_QUORUM_H

#include "mms_answer.h"
#include "mms_client.h"

/* answer: of a read with read = quorum that succeeded. A record or tombstone that fewer than a majority hold is put on more
 * nodes until they are one. Where that fails the answer becomes MMS_FOUND_UNREADABLE with the reason, unless
 * mmsession.on_no_quorum is degrade. Incomplete nodes count here: they hold what they are given. */
void mms_quorum_write_back(struct mms_client *client, struct mms_slice key, struct mms_mono deadline,
		struct mms_answer *answer);

#endif
