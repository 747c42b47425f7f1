/* Which nodes other hosts do not use now, as their behind markers say. A write acknowledged by such a node alone would not be
 * seen over there before its mirror arrives, so it wants a second one (decisions/0008): node.avoided tells request threads.
 * Part of the replicator's thread. */
#ifndef MMS_AVOIDED_H
#define MMS_AVOIDED_H

#include "mms_hosts.h"
#include "mms_link.h"

#define MMS_AVOIDED_LOOK_US 20000    /* markers are read so often while mirrors are acknowledged */
#define MMS_AVOIDED_REST_US 900000   /* and so often otherwise, when the replicator is awake anyway */

struct mms_avoided; /* opaque */

/* NULL when there is no memory: then nothing is known of others. Borrows office and hosts. */
struct mms_avoided *mms_avoided_new(struct mms_office *office, const struct mms_hosts *hosts);
/* All links must be down. NULL is none. */
void mms_avoided_free(struct mms_avoided *avoided);

/* Reads markers where it is time. Nobody has to be woken for it. NULL does nothing. */
void mms_avoided_run(struct mms_avoided *avoided);

#endif
