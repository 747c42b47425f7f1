/* What a finished scan of a node tells the other hosts: which of their lives were known when it began, and by which beat.
 * Whatever such a life had missed for the node by then is on it now, so it need not scan the node again, and a node that was
 * away for long is compared once, not once by every host. Text in `<prefix>:scanned` on the node: its marker in the first line,
 * so that a dump's word is not taken for one about this incarnation; then "<life> <beat>" in a line each. Part of the
 * replicator's thread. */
#ifndef MMS_SCANNED_H
#define MMS_SCANNED_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_hosts.h"

#define MMS_SCANNED_TTL_MS 600000

/* The lines of all lives that have been seen, as of now. The caller frees it; NULL when memory is short. */
char *mms_scanned_roll(const struct mms_hosts *hosts);

/* marker + roll, as it is to stand on the node. The caller frees it; NULL when memory is short. */
char *mms_scanned_text(const char *marker, const char *roll);

/* Had the scan that left this text behind, on the node with this marker, heard of the life at this beat or a later one? */
bool mms_scanned_covers(struct mms_slice text, struct mms_slice marker, struct mms_slice life, uint64_t beat);

#endif
