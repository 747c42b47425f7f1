/* The invariants of docs/protocol.md, asserted at every step that a node or a visitor makes. */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "node.h"
#include "reference.h"

void check_reset(void);

/* --- on the nodes --- */
void check_stored(struct node *node, const char *key, size_t key_len, const struct entry *old, const char *value,
		size_t len, int64_t expires_at);
void check_deleted(struct node *node, const struct entry *entry);
/* Copies were lost: whoever had the last one of something is excused. node: the one that was emptied, -1 = none was. */
void check_content_lost(int node);
/* A host's replicator looks at this node's marker. */
void check_marker_asked(struct node *node, unsigned host);

/* --- by the visitors --- */

/* What stood on the nodes when a read began. */
struct sight {
	bool present[5];
	struct reference_version version[5];
	uint32_t life[5], emptied[5];
};
void check_sight(unsigned session, struct sight *sight);

/* PHP was told that this version is stored. root: what its content descends from. of_blind: it logs out of a blind session
 * that was really read. */
void check_acknowledged(unsigned session, const struct reference_version *version, int64_t expires_at, uint32_t root,
		bool of_blind);
/* A number for the content of one write; payloads carry it. */
uint32_t check_new_serial(void);
/* A number for a read, which begins now: content that descends from it bears it if the read finds nothing. */
uint32_t check_new_root(void);

/* --- at the end --- */

/* NULL when all is as it must be once everything is healed, else what is still open (no failure yet). */
const char *check_unsettled(void);
/* After that. */
void check_final(void);

#endif
