/* What a read found. */
#ifndef MMS_ANSWER_H
#define MMS_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_record.h"
#include "mms_reply.h"

enum mms_found {
	MMS_FOUND_NOTHING,   /* no node that answered has it */
	MMS_FOUND_RECORD,
	MMS_FOUND_TOMBSTONE, /* destroyed: no session */
	MMS_FOUND_FOREIGN,   /* the key holds something that is not ours, and no node has a record */
	MMS_FOUND_UNREADABLE /* no node could be read, or the newest copy could not be fetched */
};

/* A node's answer about a key that still stands as long as nobody wrote: a put based on it may be a watched one. */
struct mms_watched {
	bool valid;
	uint32_t node;
	uint32_t serial;               /* the client's watch_serial when it was made */
};

/* What a read found. Owns the reply that the payload borrows from: mms_answer_clear() when done. */
struct mms_answer {
	enum mms_found found;
	bool enough;                   /* one node's copy, which satisfies what the visitor came with */
	bool authoritative;            /* every configured node answered and all are complete (rule b) */
	bool imported;                 /* NOTHING: payload is what another handler left (mms_import.h), pttl_ms its life */
	bool degraded;                 /* read = quorum could not be had, and mmsession.on_no_quorum lets it pass */
	uint64_t answered_mask;        /* nodes that answered */
	uint64_t absent_mask;          /* complete nodes that said no */
	uint64_t holders_mask;         /* nodes that hold exactly this version, intact as far as seen */
	struct mms_record_header header; /* RECORD, TOMBSTONE */
	unsigned char header_bytes[MMS_RECORD_HEADER_SIZE];
	int64_t pttl_ms;               /* remaining life as far as known, 0 = unknown */
	struct mms_slice payload;      /* RECORD, imported; borrows from `owner`, or from `copied` */
	struct mms_reply *owner;
	char *copied;                  /* the record, when it came from this host's mailbox; malloc */
	struct mms_watched watched;    /* the node that holds this very record, or none */
	struct mms_error error;        /* UNREADABLE: why; last, as clearing leaves its length alone */
};

/* Makes storage that holds anything an empty answer: MMS_FOUND_UNREADABLE without an error. */
void mms_answer_init(struct mms_answer *answer);
/* Frees what it owns and makes it MMS_FOUND_UNREADABLE without an error; fine on a zeroed one. */
void mms_answer_clear(struct mms_answer *answer);

#endif
