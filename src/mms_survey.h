/* The replicator's look at what no request notices: hosts whose clock is wrong, two hosts with one id, settings of a server
 * that do harm. Each host writes itself into a hash on every node (`<prefix>:hosts`) every few seconds, with the difference
 * between its clock and that node's; so all clocks are compared with the same ones, and every host can name the wrong one.
 * Findings are notices in shared memory. Three things rest on it: which time stamps follow when this host's clock is years ahead
 * (mms_hlc_now()), by which clock a sweep is noted on a node (mms_link), and when a page counts as gone (mms_visit). */
#ifndef MMS_SURVEY_H
#define MMS_SURVEY_H

#include "mms_link.h"

struct mms_survey; /* opaque */

/* NULL when memory is short: then there is no survey. */
struct mms_survey *mms_survey_new(struct mms_office *office);
void mms_survey_free(struct mms_survey *survey); /* NULL is fine */

/* Asks every ready node that is due. NULL is fine. */
void mms_survey_run(struct mms_survey *survey);

#endif
