/* How far the writes of this life need nobody's care any more (protocol.md, rule j): all that were stamped before the watermark are
 * on the nodes, or noted there as missed. The replicator's thread moves it, lives of other hosts read it on the nodes. */
#ifndef MMS_WATERMARK_H
#define MMS_WATERMARK_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_link.h"

/* A moment that the mailbox has not been emptied to yet. */
struct mms_watermark_mark {
	bool taken;
	uint64_t position, ms; /* the mailbox' head, and the HLC, at that moment */
};

/* Moves the watermark to the mark once the mailbox's tail has passed it, and takes the next one. covered: behind markers on the nodes
 * tell of all hints (mms_marker_covers()); otherwise it stays, and so does the mark. A watermark of a time that nobody would believe
 * is brought back. */
void mms_watermark_move(struct mms_watermark_mark *mark, struct mms_office *office, bool covered);

#endif
