/* Tokens of read = session-token: what a visitor must at least be shown, carried by himself from host to host, and the
 * decision whether one node's copy is enough for him (docs/protocol.md, "Session token"). Pure: no clock, no network, and
 * the authentication code is the caller's function.
 *
 * A token is text: base64url, without padding, of (numbers big-endian)
 *   0  format, 1            1  flags: 1 pending, 2 uncertain, 4 the reserved version would be blind, 8 the version read is
 *                              a tombstone, 16 it is blind, 32 it has an incarnation, 64 the reserved one has
 *   2  slot of the host     3  count of digests
 *   4  session (8)          then the version read: [incarnation (8)], HLC (8), writer (8), sequence (6)
 *      the reservation: mapping (8), sequence (6), and if pending [incarnation (8)], HLC (8)
 *      digests (4 each)     last the authentication code (16), if there is a key
 * Several tokens in one text are joined by dots. */
#ifndef MMS_TOKEN_H
#define MMS_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"
#include "mms_record.h"

#define MMS_TOKEN_SLOTS 8        /* tokens that one visitor carries at most: one per host; more hosts share */
#define MMS_TOKEN_MAC_SIZE 16
#define MMS_TOKEN_BYTES_MAX (4 + 8 + 30 + 14 + 16 + 4 * MMS_TOKEN_SLOTS + MMS_TOKEN_MAC_SIZE)
#define MMS_TOKEN_TEXT_MAX ((MMS_TOKEN_BYTES_MAX + 2) / 3 * 4) /* characters, without a NUL */

/* What one answer told its visitor. */
struct mms_token {
	uint64_t session;            /* mms_token_session() of the key */
	struct mms_version read;     /* he was shown this, or may have been: nothing less from now on */
	struct mms_version reserved; /* what the request may have written; writer and sequence are those of the reservation,
	                              * and name the token */
	bool pending;                /* the request could still write when this was sent; else `read` says it all */
	bool uncertain;              /* something may be missing in `read`: only an authoritative read helps. With `pending` and
	                              * the sequence 0 it stands for others that were too many: only time helps */
	unsigned slot;               /* of the host that made it, below MMS_TOKEN_SLOTS */
	unsigned digest_count;
	uint32_t digests[MMS_TOKEN_SLOTS]; /* of the tokens that came with the request: this one covers them */
	bool authentic;              /* decoded only: its code was right, so its stamps are a host's own */
	uint32_t digest;             /* of its text; set by encode and decode */
};

/* The first MMS_TOKEN_MAC_SIZE bytes of HMAC-SHA-256 (or the like) over bytes; context is the key. */
typedef void (*mms_token_mac_fn)(const void *context, struct mms_slice bytes, unsigned char out[MMS_TOKEN_MAC_SIZE]);

struct mms_token_signer {
	mms_token_mac_fn mac_fn; /* NULL: tokens bear no code, and one that does is refused */
	const void *context;
};

/* Everything that came with one request. What is no token, or was not made with our key, stands in it as one of session 0:
 * it tells nothing, but something was told to the visitor with it, until a later token covers its digest. */
struct mms_token_set {
	struct mms_token tokens[MMS_TOKEN_SLOTS];
	unsigned count;
	bool too_many;
	bool lost;                   /* one of those too many may be of a page that is about to write */
	unsigned char cookie[MMS_TOKEN_SLOTS]; /* 1 + slot of the cookie that has it; 0 = none has, it came another way */
};

/* What a node's copy must satisfy for its answer to be enough; empty: no copy is. Borrows from the set. */
struct mms_token_plan {
	const struct mms_token *tokens[MMS_TOKEN_SLOTS];
	unsigned count;
	bool unclear;                /* empty though tokens came: nobody can say by them what the visitor has seen */
};

/* 64 bits that stand for a whole key (prefix and session id); never 0. */
uint64_t mms_token_session(struct mms_slice key);

/* Writes the text (not NUL-terminated) and sets token->digest; returns its length. */
size_t mms_token_encode(struct mms_token *token, const struct mms_token_signer *signer, char out[MMS_TOKEN_TEXT_MAX]);

/* False when the text is not exactly one token of ours, or its code is missing or wrong (compared in constant time). */
bool mms_token_decode(struct mms_slice text, const struct mms_token_signer *signer, struct mms_token *out);

/* Is it one of those that are given out where a visitor would have too many? */
bool mms_token_stands_for_others(const struct mms_token *token);

/* Adds the tokens of a text, one or several with dots between them. What is beyond MMS_TOKEN_SLOTS is looked at, not kept. */
void mms_token_set_add(struct mms_token_set *set, struct mms_slice text, const struct mms_token_signer *signer);

/* The tokens that count for this session: all that no other token of it covers. Empty when there is none, or when one that
 * is uncertain, of another session or no token stands among them: then nobody can say what the visitor has seen. */
void mms_token_plan_make(const struct mms_token_set *set, uint64_t session, struct mms_token_plan *plan);

/* Is a node's live record of this version enough for the token? closed: the node is known to hold whatever the token's
 * reservation wrote. A blind record never is: an authoritative read may clear it. */
bool mms_token_satisfied(const struct mms_token *token, const struct mms_version *local, bool closed);

/* Has the visitor, or may he have, been shown more than this? What pages have reserved is left alone: it is asked for as long as it may
 * be written. */
bool mms_token_plan_misses(const struct mms_token_plan *plan, const struct mms_version *shown);

/* The least that the visitor must be shown by what came for this session: the highest of its versions read and, where they
 * are pending, reserved. False when there is no token of this session. authentic_hlc: highest stamp of those that are
 * authentic, 0 = none; a stamp of ours may be raised above it, never above one that a visitor could have made up. */
bool mms_token_bound(const struct mms_token_set *set, uint64_t session, struct mms_version *bound,
		uint64_t *authentic_hlc);

#endif
