/* Keeping a link up: connect, reconnect, probe, give up after a deadline. */
#ifndef MMS_TENDING_H
#define MMS_TENDING_H

#include "mms_link.h"

/* With no node usable, the first that returns is wanted at once: probes come this often, whatever the breakers' waits. */
#define MMS_TENDING_ALL_DOWN_US 250000

/* Once per link and round of the loop. */
void mms_tending_run(struct mms_link *link);

/* When it must be run again without being told, monotonic; INT64_MAX = not of itself. */
int64_t mms_tending_next_us(const struct mms_link *link);

#endif
