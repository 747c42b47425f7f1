/* The record: what one session looks like on a node, and the order in which records win.
 *
 * Bytes (numbers big-endian, so that a script on the server can unpack them into parts below 2^53):
 *   0  "MMS"            3  format (1)        4  flags: 1 tombstone, 2 blind, 4|8 codec, 16 reserved
 *   5  generation (3)   8  incarnation      16  HLC                  24  writer
 *  32  sequence        40  base HLC         48  base writer          56  base sequence
 *  64  longest lifetime in seconds          68  payload length       72  CRC-32C of the payload
 *  76  CRC-32C over key + bytes 0..75       80  payload
 * A tombstone is a header alone. docs/protocol.md has the reasons. */
#ifndef MMS_RECORD_H
#define MMS_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"

#define MMS_GENERATION_MAX 0xffffffu
#define MMS_RECORD_HEADER_SIZE 80
#define MMS_RECORD_FORMAT 1

/* Tombstones outlive what they bury by so much. */
#define MMS_TOMBSTONE_GRACE_MS (3600 * 1000)

/* What orders records; "newer" always means the whole of it. */
struct mms_version {
	uint64_t incarnation; /* HLC of the tombstone, not a blind one, that it was opened on; 0 = first */
	uint64_t hlc;
	uint64_t writer;      /* host hash (upper 32 bits) and random part of the mapping that stamped it */
	uint64_t sequence;    /* of that mapping, below 2^48 */
	bool tombstone;
	bool blind;           /* created on an uncertain miss: loses to any real record of its incarnation */
	uint32_t generation;  /* blind only: of how many blind logouts, one after the other, it follows the last; below 2^24 */
};

struct mms_record_header {
	struct mms_version version;
	uint64_t base_hlc, base_writer, base_sequence; /* version that the write was based on; zeros = none */
	uint32_t lifetime_s;                           /* longest lifetime that the session ever had */
	uint32_t payload_len;
	uint32_t payload_crc;
};

enum mms_record_verdict {
	MMS_RECORD_GOOD,
	MMS_RECORD_DAMAGED, /* ours, but short, lying, or with a wrong checksum: as absent, to be replaced */
	MMS_RECORD_FOREIGN  /* not ours or of a format we don't know: never overwritten, never handed out */
};

/* Merge order (incarnation, not blind, generation, tombstone, HLC, writer, sequence): <0, 0, >0 as a is older, equal, newer. */
int mms_version_compare(const struct mms_version *a, const struct mms_version *b);

/* True when 80 header bytes carry the tombstone flag; nothing else is looked at. */
bool mms_record_is_tombstone(const unsigned char *header_bytes);
/* The largest lifetime among all versions so far. */
uint32_t mms_record_lifetime_s(const unsigned char *header_bytes);
/* A live record that was written on nothing: no base, the first incarnation. */
bool mms_record_is_first(const unsigned char *header_bytes);

/* Fills payload_len and payload_crc from the payload. */
void mms_record_describe(struct mms_record_header *header, struct mms_slice payload);

/* Writes the 80 bytes, checksum included. key is the whole key on the node (prefix + session id). */
void mms_record_encode(const struct mms_record_header *header, struct mms_slice key,
		unsigned char out[MMS_RECORD_HEADER_SIZE]);

/* Reads a header from the start of bytes (a header alone or a whole record; len may be anything). out is only
 * valid on MMS_RECORD_GOOD. A header whose magic or format was hit by a flipped bit is told from a foreign one
 * by its checksum, which is right once they are put back. */
enum mms_record_verdict mms_record_decode(struct mms_slice bytes, struct mms_slice key,
		struct mms_record_header *out);

/* Reads a whole record: header, length and payload checksum. *payload borrows from bytes. */
enum mms_record_verdict mms_record_decode_whole(struct mms_slice bytes, struct mms_slice key,
		struct mms_record_header *out, struct mms_slice *payload);

/* "1234.5/abcdef.17 tombstone": for logs, traces and the status; NUL-terminated, cut at size. */
void mms_version_format(const struct mms_version *version, char *out, size_t size);

#endif
