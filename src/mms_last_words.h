/* What the last process on a mapping does for nodes that have not acknowledged everything: the mailbox dies with it, so what
 * is left is sent to them unasked. A stopped or overloaded server reads it when it goes on. */
#ifndef MMS_LAST_WORDS_H
#define MMS_LAST_WORDS_H

#include "mms_link.h"

/* Sends each node what stands in the mailbox beyond its ack_position, and what it has hints for (fetched from a node that
 * answers), on a connection of its own that wants no replies, as far as the kernel's buffers take it. All links must be down.
 * Ends at deadline at the latest; a node that can't be connected within connect_timeout_ms is left out. */
void mms_last_words_say(struct mms_office *office, struct mms_mono deadline);

#endif
