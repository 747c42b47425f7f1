/* From the mailbox to the nodes: batches of mirrors, acknowledgements, and what becomes of entries that a node can't take
 * (hints, protected by a behind marker: protocol.md, rules g and h). */
#ifndef MMS_MIRROR_H
#define MMS_MIRROR_H

#include "mms_link.h"

/* Sends every ready node what it lacks, as far as its window goes; turns entries of unusable nodes into hints; moves the
 * mailbox' tail. False when this replicator has been succeeded: it must drop its connections unsent and leave. */
bool mms_mirror_run(struct mms_office *office);

/* Draining (office->last_words): true when every node has acknowledged everything, or can't be reached, so that there is
 * nothing left to wait for. */
bool mms_mirror_all_heard(const struct mms_office *office);
/* True when every node has acknowledged everything; the tail may not have followed yet. */
bool mms_mirror_all_acknowledged(const struct mms_office *office);

/* Does this node lack the entry, as far as its producer knew? */
bool mms_mirror_needs(const struct mms_link *link, const struct mms_mailbox_item *item);

/* The command that brings the entry to a node; false when it has expired, or its key is no session of this cluster. may_be_new:
 * a record that was written on nothing is put where nothing stands, and an answer of nil says that something does: half the
 * bytes and a third of the server's work. Borrows item and tmp_key until sent. */
#define MMS_MIRROR_TMP_KEY_MAX (MMS_PREFIX_MAX + 64)
bool mms_mirror_encode(struct mms_office *office, const struct mms_mailbox_item *item, bool may_be_new,
		char *tmp_key, struct mms_command *command);

#endif
