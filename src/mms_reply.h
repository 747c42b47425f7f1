/* Replies: the only door to hiredis. Parsing, access by type, and the meaning of server errors. Knows no socket. */
#ifndef MMS_REPLY_H
#define MMS_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"
#include "mms_breaker.h"

struct mms_reply_reader; /* incremental parser of one connection */
struct mms_reply;        /* one reply; owned by whom took it */

enum mms_reply_type {
	MMS_REPLY_STATUS, MMS_REPLY_ERROR, MMS_REPLY_INTEGER, MMS_REPLY_STRING, MMS_REPLY_NIL, MMS_REPLY_ARRAY
};

/* What a server error means for us. */
enum mms_reply_class {
	MMS_CLASS_NONE,      /* no error */
	MMS_CLASS_HARD,      /* LOADING, MASTERDOWN, max clients, BUSY: node unusable for now */
	MMS_CLASS_WRITE,     /* OOM, READONLY, MISCONF, NOREPLICAS: readable, not writable */
	MMS_CLASS_AUTH,      /* NOAUTH, WRONGPASS, ERR invalid password, NOPERM, DENIED (protected mode): configuration */
	MMS_CLASS_CLUSTER,   /* MOVED, ASK, CLUSTERDOWN, CROSSSLOT: Redis Cluster mode is refused */
	MMS_CLASS_NOSCRIPT,  /* load and repeat */
	MMS_CLASS_WRONGTYPE, /* the key is not ours */
	MMS_CLASS_OTHER
};

/* max_bytes: most that the strings of one reply may hold together; max_elements: most elements that its arrays may have
 * together. A reply beyond either is a protocol error, found before memory is spent on it; so are arrays nested more
 * than MMS_REPLY_DEPTH_MAX deep, lines without an end, and types of RESP3 (which nobody asked for). NULL when memory is
 * short. */
#define MMS_REPLY_DEPTH_MAX 7
struct mms_reply_reader *mms_reply_reader_new(size_t max_bytes, size_t max_elements);
void mms_reply_reader_free(struct mms_reply_reader *reader);

/* Bytes as they came, parsed at once. MMS_ERR_PROTOCOL when they are no RESP or pass a limit, MMS_ERR_MEMORY; either is
 * for good: every later call fails the same way. */
enum mms_status mms_reply_reader_feed(struct mms_reply_reader *reader, const char *bytes, size_t len,
		struct mms_error *error);

/* The next whole reply: MMS_OK with *reply set (caller frees) or NULL when more bytes are needed. Fails after a feed
 * that failed. */
enum mms_status mms_reply_reader_next(struct mms_reply_reader *reader, struct mms_reply **reply,
		struct mms_error *error);

/* True when a part of an unfinished reply has been fed. */
bool mms_reply_reader_partial(const struct mms_reply_reader *reader);

/* Whole replies that mms_reply_reader_next() has not handed out yet. */
size_t mms_reply_reader_ready(const struct mms_reply_reader *reader);

/* Bytes that the long string under way still lacks; 0 when that is unknown. How much to ask the socket for. */
size_t mms_reply_reader_missing(const struct mms_reply_reader *reader);

void mms_reply_free(struct mms_reply *reply);
enum mms_reply_type mms_reply_type(const struct mms_reply *reply);
int64_t mms_reply_integer(const struct mms_reply *reply);        /* 0 unless an integer */
struct mms_slice mms_reply_text(const struct mms_reply *reply);  /* string, status, error; borrows until free */
size_t mms_reply_count(const struct mms_reply *reply);           /* elements of an array, else 0 */
const struct mms_reply *mms_reply_element(const struct mms_reply *reply, size_t index); /* NULL beyond the end */

enum mms_reply_class mms_reply_classify(const struct mms_reply *reply);

/* The fault that a breaker is told for this class; classes that are no fault of the node give false. */
bool mms_reply_class_fault(enum mms_reply_class class_, enum mms_fault *fault);

/* "0.14.1", "1.2.0": of the library in use. */
const char *mms_reply_library_version(void);

#endif
