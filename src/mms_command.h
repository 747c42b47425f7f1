/* Every Redis command and script that mmsession sends, encoded as RESP into a caller's buffer. No allocation, no copy
 * of a payload: a command is a short list of byte ranges, of which the payload is one, borrowed. (hiredis' formatter
 * allocates and copies every argument: docs/decisions/0002.)
 *
 *   struct mms_command command;
 *   mms_command_init(&command);
 *   mms_command_read_whole(&command, key);
 *   mms_conn_send(conn, &command, ...);
 */
#ifndef MMS_COMMAND_H
#define MMS_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "mms_base.h"
#include "mms_record.h"
#include "mms_script.h"

#define MMS_COMMAND_SCRATCH 4096
#define MMS_COMMAND_PARTS 16

/* One or more commands of one round trip. Plain data, lives on the stack; must not be moved once filled. */
struct mms_command {
	struct iovec parts[MMS_COMMAND_PARTS]; /* in order; point into scratch, static text, or the caller's payload */
	uint32_t part_count;
	uint32_t reply_count;                  /* replies that the server will send for it */
	uint32_t leading_count;                /* the first of them, which matter only as far as they are errors */
	bool bound;                            /* means something on the connection of the WATCH before it alone */
	bool any_length;                       /* asks for a whole value: how long that is, is nothing that its node can help */
	uint32_t scratch_used;
	bool overflow;                         /* something did not fit: a programmer's error, refused by conn */
	char scratch[MMS_COMMAND_SCRATCH];
};

void mms_command_init(struct mms_command *command);

/* Handshake (see mms_handshake.h for all of it). Empty user = password only. Replies: 1 each; load_scripts: MMS_SCRIPT_COUNT. */
void mms_command_auth(struct mms_command *command, struct mms_slice user, struct mms_slice password);
/* No reply to this, nor to anything after it on the connection. */
void mms_command_reply_off(struct mms_command *command);
void mms_command_select(struct mms_command *command, uint32_t db);
void mms_command_load_scripts(struct mms_command *command);
void mms_command_ping(struct mms_command *command);
void mms_command_info_server(struct mms_command *command);

/* INFO memory, INFO replication. Replies: 2 strings. */
void mms_command_info_settings(struct mms_command *command);
/* The server's clock and a hash: TIME, HGETALL. Replies: 2 arrays. */
void mms_command_time_and_hash(struct mms_command *command, struct mms_slice key);
/* HSET, PEXPIRE. Replies: 2. */
void mms_command_hash_set(struct mms_command *command, struct mms_slice key, struct mms_slice field,
		struct mms_slice value, uint64_t ttl_ms);
/* HDEL. Replies: 1. */
void mms_command_hash_delete(struct mms_command *command, struct mms_slice key, struct mms_slice field);

/* Whole record and its remaining life: GET, PTTL. Replies: 2. */
void mms_command_read_whole(struct mms_command *command, struct mms_slice key);
/* To stand before a whole read: whoever changes key from now on makes the next watched put on this connection do nothing.
 * unwatch: an earlier WATCH may still stand. rehearse: an empty transaction shows that this user may make one at all; a
 * refused MULTI would let the put behind it through unwatched. Leading replies: 1, +1, +2. */
void mms_command_watch(struct mms_command *command, struct mms_slice key, bool unwatch, bool rehearse);
/* The values of other keys as they are before that: MGET, GET, PTTL. Replies: 3. */
void mms_command_read_after(struct mms_command *command, const struct mms_slice *keys, unsigned key_count,
		struct mms_slice key);
/* Header alone: GETRANGE, PTTL. Replies: 2 (an empty string when there is no key). The types of the two differ on purpose, as
 * those of a whole read do: should a node answer something twice, the next answers don't fit their questions any more. */
void mms_command_read_header(struct mms_command *command, struct mms_slice key);
/* As a whole read, but no more than the first len_max (> 0) bytes; an empty string when there is no key. Replies: 2. */
void mms_command_read_up_to(struct mms_command *command, struct mms_slice key, uint64_t len_max);

/* Conditional put: SET tmp PX, then the script on headers, which renames tmp onto key when the record is newer than what
 * stands there. tmp_key must be unique per write; it expires after MMS_COMMAND_TMP_TTL_S when the script does not run.
 * expected: the first MMS_RECORD_HEADER_SIZE bytes (or all, if there are fewer) of a damaged value that is to be
 * replaced whatever they say, or empty. Give it only what was verified to be damaged: a sound header behind which only
 * the payload is damaged may meanwhile stand before a sound payload, so repair that with the same version or a newer, or
 * with a watched put.
 * A tombstone that replaces a live record lives for its remaining life and MMS_TOMBSTONE_GRACE_MS at least. ttl_ms is held
 * within 1 ms and MMS_COMMAND_TTL_MAX_MS, and not sent when it is what the header says anyway. Replies: 2; judge the second with
 * mms_put_parse(). Copies header and expected, borrows the payload until sent. */
#define MMS_COMMAND_TMP_TTL_S 10
#define MMS_COMMAND_TTL_MAX_MS (UINT64_C(1) << 48)
void mms_command_put(struct mms_command *command, struct mms_slice key, struct mms_slice tmp_key,
		const unsigned char *header, struct mms_slice payload, uint64_t ttl_ms, struct mms_slice expected);

/* The put of one who has read key behind a WATCH on this connection and knows that his record is newer than what he found
 * there: SET in a transaction, a third of the conditional put's work for the server. Bound; replies: 2 behind a leading
 * one, for mms_put_parse_watched(). Copies header, borrows the payload until sent. */
void mms_command_put_watched(struct mms_command *command, struct mms_slice key, const unsigned char *header,
		struct mms_slice payload, uint64_t ttl_ms);

/* Raises the TTL to at least ttl_ms if the node holds this very header, or a newer live record. Replies: 1; judge with
 * mms_put_parse(): STORED = raised or long enough, LACKING = absent, older, or of this version but damaged (a
 * put is due), NEWER = a newer one or a tombstone stands there, FOREIGN. */
void mms_command_touch(struct mms_command *command, struct mms_slice key, const unsigned char *header, uint64_t ttl_ms);

/* A record where nothing stands: one command, half the bytes of a conditional put. Replies: 1, a status when it was stored,
 * nil when something stands there: mms_put_parse_new(). Copies header, borrows the payload until sent. */
void mms_command_put_new(struct mms_command *command, struct mms_slice key, const unsigned char *header,
		struct mms_slice payload, uint64_t ttl_ms);

/* SET key value NX, then GET key. Replies: 2. */
void mms_command_set_once(struct mms_command *command, struct mms_slice key, struct mms_slice value);
/* A lease: SET key value PX ttl_ms NX, then GET key, which says whose it is. Replies: 2; status or nil, string or nil. */
void mms_command_lease(struct mms_command *command, struct mms_slice key, struct mms_slice value, uint64_t ttl_ms);
/* SET key value PX ttl_ms (0 = for ever). Replies: 1. */
void mms_command_set(struct mms_command *command, struct mms_slice key, struct mms_slice value, uint64_t ttl_ms);
/* The same, only if key exists. Replies: 1, nil when it does not. */
void mms_command_set_existing(struct mms_command *command, struct mms_slice key, struct mms_slice value, uint64_t ttl_ms);
/* Deletes key if its value is `value`. Replies: 1 integer. */
void mms_command_delete_if(struct mms_command *command, struct mms_slice key, struct mms_slice value);
/* The same where nobody listens who could load a script that was flushed: the script comes first, for 261 bytes and 0.7 us
 * of the server's time. EVAL would be a permission more, and lacking it nothing that anybody notices. Replies: 2. */
void mms_command_release(struct mms_command *command, struct mms_slice key, struct mms_slice value);
/* One field of a hash without TTL: set, delete if it has this value. Replies: 1 integer each. */
void mms_command_field_set(struct mms_command *command, struct mms_slice key, struct mms_slice field,
		struct mms_slice value);
void mms_command_field_delete_if(struct mms_command *command, struct mms_slice key, struct mms_slice field,
		struct mms_slice value);
/* All fields of a hash. Replies: 1 array (field, value, ...). */
void mms_command_fields_read(struct mms_command *command, struct mms_slice key);
void mms_command_get(struct mms_command *command, struct mms_slice key);
/* Number of keys in the database. Replies: 1 integer. */
void mms_command_count_keys(struct mms_command *command);
/* Sets key to value (for ttl_ms, 0 = for ever) if it holds `old`, "" = is absent. Replies: 1 integer, 1 = done. */
void mms_command_replace_if(struct mms_command *command, struct mms_slice key, struct mms_slice old,
		struct mms_slice value, uint64_t ttl_ms);
/* One step through the keys that match pattern. Replies: 1 array (next cursor, keys). */
void mms_command_scan(struct mms_command *command, struct mms_slice cursor, struct mms_slice pattern, uint32_t count);

/* Scripts: text and SHA-1 in hex. The test compares the SHA-1 with what SCRIPT LOAD answers. */
const char *mms_command_script_text(enum mms_script script);
const char *mms_command_script_sha1(enum mms_script script);

#endif
