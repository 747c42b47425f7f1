/* Behind markers (protocol.md, rule h): in the hash `<prefix>:behind`, field "<node> <host> <life>" = random token, on every
 * usable node other than the missing one, before the first write is acknowledged as passed without it: the ring keeps entries
 * until it stands. Set when a node becomes unusable or has hints, deleted when it has been served. A life never
 * clears another's; what a dead one left is cleared by a scan that began after reading it (mms_hosts, mms_repair). */
#ifndef MMS_MARKER_H
#define MMS_MARKER_H

#include "mms_link.h"
#include "mms_pairs.h"

/* Sets or deletes markers as the state of the nodes asks for. */
void mms_marker_run(struct mms_office *office);

/* What this peer answered to a question for its behind markers. A marker of ours that is not there any more is set again: another
 * host may have taken this life for dead (it was silent for a while) and cleared what it had left. */
void mms_marker_see(struct mms_link *peer, const struct mms_pairs *there);

/* This life was silent for so long that another host may have taken it for dead, and be about to delete its markers, by compare, for what
 * they said before: they get other tokens, and are set anew. */
void mms_marker_renew(struct mms_office *office);

/* True when the marker for this link's node stands on every ready peer (or there is none): its mailbox entries may become
 * hints. */
bool mms_marker_stands(const struct mms_link *link);

/* True when every node that misses writes of this life is named so by a marker: what is lost with the mapping is then
 * written down, but for the mailbox. */
bool mms_marker_covers(const struct mms_office *office);

/* A server error to a write of ours: tells the breaker what it is worth; one that is about the whole node ends the connection. */
void mms_marker_blame(struct mms_link *link, enum mms_reply_class refusal, const char *text);

#endif
