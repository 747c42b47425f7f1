/* What a node refuses of what mmsession keeps on it beside sessions: hashes of lives, behind markers and hosts, leases of scans, closed
 * sequences. A permission that is missing there, or a key that somebody else has taken, is no fault of the node, which serves sessions as
 * well as ever. It is said as a warning about that node until the same is allowed again. */
#ifndef MMS_REFUSAL_H
#define MMS_REFUSAL_H

#include "mms_link.h"

enum mms_refusal {
	MMS_REFUSAL_LIVES_SET,
	MMS_REFUSAL_LIVES_READ,
	MMS_REFUSAL_BEHIND_SET,
	MMS_REFUSAL_BEHIND_READ,
	MMS_REFUSAL_BEHIND_DELETE,
	MMS_REFUSAL_HOSTS_READ,
	MMS_REFUSAL_LEASE,
	MMS_REFUSAL_SWEEP_LEASE,
	MMS_REFUSAL_CLOSED,
	MMS_REFUSAL_COUNT
};

/* A node's answer to that. Returns what an error is about: MMS_CLASS_NONE when it is none; MMS_CLASS_PERMISSION, MMS_CLASS_WRONGTYPE
 * and MMS_CLASS_OTHER are about this alone, and noted; any other is about the node, and left to the caller. */
enum mms_reply_class mms_refusal_see(struct mms_link *link, enum mms_refusal what, const struct mms_reply *reply);

#endif
