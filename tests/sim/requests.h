/* What visitors do: one request is a thread of a worker that calls the store as the PHP glue does. */
#ifndef REQUESTS_H
#define REQUESTS_H

#include <stdbool.h>
#include <stdint.h>

#include "check.h"
#include "mms_token.h"
#include "reach.h"
#include "world.h"

#define REQUEST_TOKENS_MAX (MMS_TOKEN_SLOTS * (MMS_TOKEN_TEXT_MAX + 1))

enum request_kind {
	REQUEST_READ,      /* session_start, session_abort */
	REQUEST_WRITE,     /* read, think, write */
	REQUEST_TOUCH,     /* read, think, the same data */
	REQUEST_DESTROY,   /* read, think, destroy */
	REQUEST_BLUNT,     /* destroy without a read */
	REQUEST_STRICT,    /* exists, read, write */
	REQUEST_WRITE_TWICE,
	REQUEST_KINDS
};

/* What a visitor knows of a session. */
struct told {
	bool known;
	struct reference_version version;
};

struct request {
	enum request_kind kind;
	unsigned visitor, session;
	struct worker *worker;
	uint32_t number;
	int64_t think_us;
	uint32_t payload_len;
	/* what the probes saw */
	bool has_read, found, authoritative, shown_tombstone;
	struct reference_version read, stamped, base; /* base: what its next write builds on */
	bool has_base, by_one_node;          /* whose copy was enough for the visitor */
	bool was_stamped, met_newer;
	struct reference_version newer;
	int64_t expires_at;
	uint32_t root, lifetime_s;
	/* tokens.c: what the visitor will know of it */
	bool was_shown, has_told, token_sent;
	struct request *outer;               /* the page that this one's session is but the second of; NULL = none */
	bool beside;                         /* another one of its visitor and session was unanswered on this host meanwhile */
	bool unseen;                         /* that was on a host with the same slot */
	bool shares_slot;                    /* with another host, maybe */
	struct told told_before;             /* when it began */
	char token[REQUEST_TOKENS_MAX];
	size_t token_len;
	unsigned headers_before; /* it was sent */
	int64_t token_made_at;
	unsigned token_slot;
	uint64_t signed_hlc;                 /* the highest of the tokens that came with it and are authentic */
	bool forged;                         /* one that came with it is not */
	int64_t locked_until; /* its session lock, by the nodes' clock; 0 = none */
	bool writing_back;    /* what was read, for read = quorum */
	bool looking_again;   /* its lock ran out: the next read shows nobody anything */
	struct reference_version shown, told;
	struct reach reach;
	struct reference_version in_mailbox; /* of its host, when the read began */
	bool had_mailbox, saw_failure;       /* saw_failure: a node had failed when answers were refreshed */
	int64_t read_began_at, refreshed_at; /* 0 = they were not */
	uint64_t refreshed_mask;             /* nodes whose answers then count */
};

void requests_reset(void);
/* False when the worker is busy, or the visitor has a request under way and may have but one. */
bool request_start(unsigned host, unsigned worker, unsigned visitor, unsigned session, enum request_kind kind,
		int64_t think_us, uint32_t payload_len, uint32_t lifetime_s);
bool requests_under_way(void);

#endif
