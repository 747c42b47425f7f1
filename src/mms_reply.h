/* Replies: the only door to hiredis. Parsing, and access by type. Knows no socket. */
#ifndef MMS_REPLY_H
#define MMS_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"

struct mms_reply_reader; /* incremental parser of one connection */
struct mms_reply;        /* one reply; owned by whom took it */

enum mms_reply_type {
	MMS_REPLY_STATUS, MMS_REPLY_ERROR, MMS_REPLY_INTEGER, MMS_REPLY_STRING, MMS_REPLY_NIL, MMS_REPLY_ARRAY
};

/* max_bytes: most that the strings of one reply may hold together; max_elements: most elements that its arrays may have
 * together. A reply beyond the first is MMS_ERR_TOO_LARGE, beyond the second a protocol error, both found before memory is spent
 * on it; so are arrays nested more than MMS_REPLY_DEPTH_MAX deep, lines without an end, and types of RESP3 (which nobody asked
 * for). NULL when memory is short. */
#define MMS_REPLY_DEPTH_MAX 7
struct mms_reply_reader *mms_reply_reader_new(size_t max_bytes, size_t max_elements);
void mms_reply_reader_free(struct mms_reply_reader *reader);
/* Another max_bytes, between two replies; NULL is fine. */
void mms_reply_reader_limit(struct mms_reply_reader *reader, size_t max_bytes);

/* Bytes as they came, parsed at once. MMS_ERR_PROTOCOL when they are no RESP or pass a limit, MMS_ERR_TOO_LARGE, MMS_ERR_MEMORY;
 * each is for good: every later call fails the same way. */
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

/* Where the next bytes belong while a string is under way, so that they can be received without a copy: *len of them, down to
 * the end of its line. NULL = nothing is, they are to be fed. Good until the next call on the reader; what was received there
 * is told by mms_reply_reader_filled(), with at most *len bytes: it fails as a feed of them would. */
char *mms_reply_reader_room(struct mms_reply_reader *reader, size_t *len);
enum mms_status mms_reply_reader_filled(struct mms_reply_reader *reader, size_t len, struct mms_error *error);

void mms_reply_free(struct mms_reply *reply);
/* NULL stands for an answer that is not there, here and below: an error without words, which is never taken for "there is nothing". */
enum mms_reply_type mms_reply_type(const struct mms_reply *reply);
int64_t mms_reply_integer(const struct mms_reply *reply);        /* 0 unless an integer */
struct mms_slice mms_reply_text(const struct mms_reply *reply);  /* string, status, error; borrows until free */
size_t mms_reply_count(const struct mms_reply *reply);           /* elements of an array, else 0 */
const struct mms_reply *mms_reply_element(const struct mms_reply *reply, size_t index); /* NULL beyond the end */

/* "0.14.1", "1.2.0": of the library in use. */
const char *mms_reply_library_version(void);

#endif
