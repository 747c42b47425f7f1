/* A session as it was read here: what was found, when, and the lock behind which it was read. What a write builds on.
 *
 *   mms_opened_init(&opened);
 *   mms_opened_fill(client, &opened, id, visit, locking);
 *   ... opened.answer ...
 *   mms_opened_clear(client, &opened);
 */
#ifndef MMS_OPENED_H
#define MMS_OPENED_H

#include <stdbool.h>

#include "mms_answer.h"
#include "mms_client.h"
#include "mms_clock.h"
#include "mms_config.h"
#include "mms_lease.h"
#include "mms_visit.h"

struct mms_opened {
	bool valid;                  /* else it is empty, and lease and answer mean nothing */
	bool given;                  /* PHP has this content: it was read for it, or written by it */
	bool changed;                /* PHP was given another version of it before, in this request */
	bool created_here;           /* the id was made here a moment ago */
	bool doubtful;               /* a write failed since: nodes may hold what it carried, or get it yet */
	bool behind_lock;            /* its read came after the session's lock was taken, or tried in vain */
	char key[MMS_KEY_MAX];
	size_t key_len, prefix_len;
	struct mms_boot read_at;     /* when it was fetched, or before */
	struct mms_boot pttl_at;     /* when answer.pttl_ms was true, or before */
	struct mms_lease lease;
	struct mms_version as_read;  /* answer.imported: what it is stored as if it stays what it was, stamped when it was read */
	struct mms_answer answer;
};

/* What PHP has of an id whose place was given to another. */
struct mms_displaced {
	char key[MMS_KEY_MAX];
	size_t key_len; /* 0 = none */
	bool exists;
	struct mms_version version;
};

/* Makes storage that holds anything an empty one; answer is to be looked at after mms_opened_fill(). */
void mms_opened_init(struct mms_opened *opened);

bool mms_opened_is_for(const struct mms_opened *opened, struct mms_slice id);
struct mms_slice mms_opened_key(const struct mms_opened *opened);

/* Reads the session, after its lock if locking (and mmsession.lock) say so; replaces what was there. The same id with a lock that
 * still holds: it is prolonged, nobody else gets it in between. visit: the visitor for whom it is read, NULL = what all nodes
 * have. What came of it is in answer. */
void mms_opened_fill(struct mms_client *client, struct mms_opened *opened, struct mms_slice id, struct mms_visit *visit,
		bool locking);

/* Takes the lock of what was read without. False when another request kept it: then it is unreadable, answer.error says so. */
bool mms_opened_lock(struct mms_client *client, struct mms_opened *opened);

/* Gives the lock back and makes it empty. */
void mms_opened_clear(struct mms_client *client, struct mms_opened *opened);

/* After a successful write, what was written is what was read: the next write of this request builds on it. */
void mms_opened_become(struct mms_opened *opened, const struct mms_record_header *header, const unsigned char *header_bytes,
		int64_t ttl_ms);

/* Its place is about to be another id's: what PHP has of this one is remembered, if it has anything. */
void mms_opened_displace(const struct mms_opened *opened, struct mms_displaced *out);
/* Is what was read now not what PHP was given of it then? */
bool mms_opened_differs(const struct mms_opened *now, const struct mms_displaced *then);

#endif
