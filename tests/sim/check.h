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

/* Is this a session's key ("mms:s<n>")? */
bool check_session_of(const char *key, size_t len, unsigned *session);
/* The record on a node, if it is sound. */
struct entry *check_record_on(struct node *node, unsigned session, struct reference_version *version);
/* Has every node stored it, or something newer? Then a mailbox that still has it is only waiting for answers under way. */
bool check_went_everywhere(unsigned session, const struct reference_version *version);

/* --- by the visitors --- */

/* What stood on the nodes when a read began. */
struct sight {
	bool present[5];
	struct reference_version version[5];
	uint32_t life[5], emptied[5];
};
void check_sight(unsigned session, struct sight *sight);

/* What a node has of a session; false when it has none, or got it after that moment. */
bool check_stood(struct node *node, unsigned session, int64_t at, struct reference_version *version);
/* A request sets out to store this, or to prolong it. */
void check_written(unsigned session, const struct reference_version *version, int64_t expires_at);
/* A number for the content of one write; payloads carry it. */
uint32_t check_new_serial(void);

/* --- at the end --- */

/* Rule g: this host has nothing left to deliver. */
void check_delivered(unsigned host);

/* NULL when all is as it must be once everything is healed, else what is still open (no failure yet). */
const char *check_unsettled(void);
#endif
