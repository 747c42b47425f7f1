/* Who a node is: id and completeness from its marker key `<prefix>:node`, the server's run_id. Run after every connect of
 * the replicator; the link is READY once it is known. Hosts agree on nodes by this id, never by index or address.
 *
 * Marker value: "<id, 16 hex digits> <run_id> <1 complete | 0>". The first host to meet a node makes it (SET NX). It is
 * complete only while the marker's run_id is the server's current one: a restart, empty or from an old dump, makes a node
 * incomplete, and "no such session" from it proves nothing (protocol.md, rules b and e). Making it complete again is the
 * repair scan's business. */
#ifndef MMS_IDENTITY_H
#define MMS_IDENTITY_H

#include "mms_link.h"

/* Queues the questions on a link that is connecting. */
void mms_identity_ask(struct mms_link *link);

/* `<prefix>:node` and `<prefix>:behind:<node>:<host>`; returns the length. */
size_t mms_identity_marker_key(const struct mms_office *office, char *out, size_t size);
size_t mms_identity_behind_key(const struct mms_office *office, unsigned missing_node, char *out, size_t size);

#endif
