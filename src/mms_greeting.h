/* The replicator greets a node after every connect: who are you, and are you complete? The link is READY once that is
 * known. */
#ifndef MMS_GREETING_H
#define MMS_GREETING_H

#include "mms_link.h"

/* Queues the questions on a link that is connecting. */
void mms_greeting_ask(struct mms_link *link);

/* Once a second: is the marker still there (FLUSHALL leaves connections up), and what does it say now (another host may
 * have repaired the node)? */
void mms_greeting_recheck(struct mms_link *link);

/* Somebody else's value stands where its marker belongs: it can't be complete, and nothing is written over that. */
bool mms_greeting_is_taken(const struct mms_link *link);

#endif
