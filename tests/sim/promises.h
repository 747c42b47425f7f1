/* What PHP was told is stored, and what must be left of it (invariants 3 and 6 of docs/protocol.md). */
#ifndef PROMISES_H
#define PROMISES_H

#include <stdbool.h>
#include <stdint.h>

#include "node.h"
#include "reference.h"

struct host;

void promises_reset(void);

/* PHP was told that this version is stored. root: what its content descends from. of_blind: it logs out of a blind session
 * that was really read. */
void promises_acknowledged(unsigned session, const struct reference_version *version, int64_t expires_at, uint32_t root,
		bool of_blind);
/* A version that is about to be written. */
void promises_stamped(unsigned session, const struct reference_version *version);
/* A number for a read, which begins now: content that descends from it bears it if the read finds nothing. */
uint32_t promises_new_root(void);

/* --- on the nodes --- */

/* It stands on a node (again): what hosts were told by others before says nothing of this copy. */
void promises_stored(unsigned node, unsigned session, const struct reference_version *version);
/* Copies were lost: whoever had the last one of something is excused. node: the one that was emptied, -1 = none was. */
void promises_lost(int node);
/* This copy on a node was damaged, which tells no host anything. */
void promises_damaged(unsigned node, unsigned session, const struct reference_version *version);
/* A host's replicator looks at this node's marker. */
void promises_marker_asked(struct node *node, unsigned host);
/* A node's marker was made or changed; flag: its last character ('2': by a host that never knew the node). */
void promises_marked(const struct node *node, char flag);

/* Was something newer than what a read has shown (NULL: nothing) acknowledged before the read began, and is there still?
 * Then that is *out. */
bool promises_newer(unsigned session, int64_t before_us, const struct reference_version *shown, struct reference_version *out);

/* Was PHP told before that moment that this very version is stored, and is nothing lost since that it could have gone with? */
bool promises_owed(unsigned session, const struct reference_version *version, int64_t before_us);
/* Are all nodes, to a host that meets them now, a first installation, though some have been emptied? */
bool promises_all_founded(void);

/* Is it, or something newer that must stay, on any node, or still to be delivered by a host? */
bool promises_kept(unsigned session, const struct reference_version *version);

/* The newest put of a session, or that of the version wanted, among the first few entries of a host's mailbox that have not
 * lived their life. wanted: NULL = any. */
bool promises_in_mailbox(struct host *host, unsigned session, const struct reference_version *wanted,
		struct reference_version *out);

/* At the end, when all is settled. */
void promises_final(void);

#endif
