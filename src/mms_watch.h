/* The WATCH before a request's read of the first node (docs/protocol.md, "Operations"): while it stands, the write need not
 * ask again what the node holds. */
#ifndef MMS_WATCH_H
#define MMS_WATCH_H

#include "mms_answer.h"
#include "mms_fanout.h"

/* One read's WATCH. */
struct mms_watching {
	int node;        /* that was sent one; -1 = none */
	bool rehearsing; /* with an empty transaction before it */
};

/* Begins a command for this node: a WATCH where this client may. A read of the whole record is to follow. */
void mms_watch_lead(struct mms_client *client, struct mms_watching *watching, unsigned node, struct mms_slice key,
		struct mms_command *command);

/* Once the node is no longer waited for. A user who may not make transactions may have been left within one: the node is
 * asked again, plainly, on another connection (once per client and node). */
void mms_watch_note(struct mms_fanout *fanout, struct mms_watching *watching, struct mms_command *command,
		struct mms_slice key);

/* What a write may make of it. sound: the node holds just what the answer says, payload and life, or nothing. */
struct mms_watched mms_watch_offer(const struct mms_client *client, const struct mms_watching *watching, bool sound);

/* A watched put is about to be sent: whatever comes of it, its EXEC uses the WATCH up. */
void mms_watch_use(struct mms_client *client, unsigned node);

#endif
