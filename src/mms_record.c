/* Bytes of the record and the merge order. The difficulty is the verdict on bytes that don't check out: what is
 * ours and damaged is replaced from another node, what is not ours must never be touched (protocol.md, rule a). */
#include "mms_record.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define FLAG_TOMBSTONE 1u
#define FLAG_BLIND 2u
#define SEQUENCE_END (UINT64_C(1) << 48)

#define MAGIC_LEN 4 /* with the format number */

/* Offsets of the fields; the table in the header describes them. */
enum {
	AT_FLAGS = 4,
	AT_GENERATION = AT_FLAGS + 1,
	AT_INCARNATION = 8,
	AT_HLC = 16,
	AT_WRITER = 24,
	AT_SEQUENCE = 32,
	AT_BASE_HLC = 40,
	AT_BASE_WRITER = 48,
	AT_BASE_SEQUENCE = 56,
	AT_LIFETIME = 64,
	AT_PAYLOAD_LEN = 68,
	AT_PAYLOAD_CRC = 72,
	AT_HEADER_CRC = 76
};

_Static_assert(AT_HEADER_CRC + 4 == MMS_RECORD_HEADER_SIZE, "the checksum ends the header");

static const unsigned char magic[MAGIC_LEN] = {'M', 'M', 'S', MMS_RECORD_FORMAT};

static int compare_numbers(uint64_t a, uint64_t b);
static enum mms_record_verdict judge(const unsigned char *header, struct mms_slice key);
static bool is_truthful(const unsigned char *bytes, const struct mms_record_header *header);
static void read_fields(const unsigned char *bytes, struct mms_record_header *out);
static uint32_t header_crc(const unsigned char *header, struct mms_slice key);
static void put32(unsigned char *out, uint32_t value);
static void put64(unsigned char *out, uint64_t value);
static uint32_t get32(const unsigned char *bytes);
static uint64_t get64(const unsigned char *bytes);

int mms_version_compare(const struct mms_version *a, const struct mms_version *b)
{
	if (a->incarnation != b->incarnation) {
		return compare_numbers(a->incarnation, b->incarnation);
	}
	if (a->blind != b->blind) {
		return a->blind ? -1 : 1;
	}
	if (a->generation != b->generation && a->blind) {
		return compare_numbers(a->generation, b->generation);
	}
	if (a->tombstone != b->tombstone) {
		return a->tombstone ? 1 : -1;
	}
	if (a->hlc != b->hlc) {
		return compare_numbers(a->hlc, b->hlc);
	}
	if (a->writer != b->writer) {
		return compare_numbers(a->writer, b->writer);
	}
	return compare_numbers(a->sequence, b->sequence);
}

bool mms_record_is_tombstone(const unsigned char *header_bytes)
{
	return (header_bytes[4] & 1) != 0;
}

uint32_t mms_record_lifetime_s(const unsigned char *header_bytes)
{
	return get32(header_bytes + AT_LIFETIME);
}

bool mms_record_is_first(const unsigned char *header_bytes)
{
	return !mms_record_is_tombstone(header_bytes) && get64(header_bytes + AT_INCARNATION) == 0
			&& get64(header_bytes + AT_BASE_HLC) == 0 && get64(header_bytes + AT_BASE_WRITER) == 0
			&& get64(header_bytes + AT_BASE_SEQUENCE) == 0;
}

void mms_record_describe(struct mms_record_header *header, struct mms_slice payload)
{
	assert(payload.len <= UINT32_MAX);
	header->payload_len = (uint32_t) payload.len;
	header->payload_crc = mms_crc32c(0, payload.ptr, payload.len);
}

void mms_record_encode(const struct mms_record_header *header, struct mms_slice key,
		unsigned char out[MMS_RECORD_HEADER_SIZE])
{
	const struct mms_version *version = &header->version;

	assert(version->sequence < SEQUENCE_END && header->base_sequence < SEQUENCE_END);
	assert(!version->tombstone || header->payload_len == 0);
	memset(out, 0, MMS_RECORD_HEADER_SIZE);
	memcpy(out, magic, sizeof(magic));
	assert(version->generation <= (version->blind ? MMS_GENERATION_MAX : 0));
	put32(out + AT_FLAGS, version->generation);
	out[AT_FLAGS] = (unsigned char) ((version->tombstone ? FLAG_TOMBSTONE : 0) | (version->blind ? FLAG_BLIND : 0));
	put64(out + AT_INCARNATION, version->incarnation);
	put64(out + AT_HLC, version->hlc);
	put64(out + AT_WRITER, version->writer);
	put64(out + AT_SEQUENCE, version->sequence);
	put64(out + AT_BASE_HLC, header->base_hlc);
	put64(out + AT_BASE_WRITER, header->base_writer);
	put64(out + AT_BASE_SEQUENCE, header->base_sequence);
	put32(out + AT_LIFETIME, header->lifetime_s);
	put32(out + AT_PAYLOAD_LEN, header->payload_len);
	put32(out + AT_PAYLOAD_CRC, header->payload_crc);
	put32(out + AT_HEADER_CRC, header_crc(out, key));
}

enum mms_record_verdict mms_record_decode(struct mms_slice bytes, struct mms_slice key,
		struct mms_record_header *out)
{
	const unsigned char *header = (const unsigned char *) bytes.ptr;

	if (bytes.len < MMS_RECORD_HEADER_SIZE) {
		size_t len = bytes.len < MAGIC_LEN ? bytes.len : MAGIC_LEN;

		return len == 0 || memcmp(header, magic, len) == 0 ? MMS_RECORD_DAMAGED : MMS_RECORD_FOREIGN;
	}
	enum mms_record_verdict verdict = judge(header, key);

	if (verdict == MMS_RECORD_GOOD) {
		read_fields(header, out);
		if (!is_truthful(header, out)) {
			verdict = MMS_RECORD_DAMAGED;
		}
	}
	return verdict;
}

enum mms_record_verdict mms_record_decode_whole(struct mms_slice bytes, struct mms_slice key,
		struct mms_record_header *out, struct mms_slice *payload)
{
	enum mms_record_verdict verdict = mms_record_decode(bytes, key, out);

	if (verdict != MMS_RECORD_GOOD) {
		return verdict;
	}
	struct mms_slice rest = {bytes.ptr + MMS_RECORD_HEADER_SIZE, bytes.len - MMS_RECORD_HEADER_SIZE};

	if (rest.len != out->payload_len || mms_crc32c(0, rest.ptr, rest.len) != out->payload_crc) {
		return MMS_RECORD_DAMAGED;
	}
	*payload = rest;
	return MMS_RECORD_GOOD;
}

void mms_version_format(const struct mms_version *version, char *out, size_t size)
{
	char incarnation[48] = "";

	if (version->incarnation != 0) {
		snprintf(incarnation, sizeof(incarnation), " incarnation %llu.%u",
				(unsigned long long) (version->incarnation >> 16), (unsigned) (version->incarnation & 0xffff));
	}
	snprintf(out, size, "%llu.%u/%llx.%llu%s%s%s", (unsigned long long) (version->hlc >> 16),
			(unsigned) (version->hlc & 0xffff), (unsigned long long) version->writer,
			(unsigned long long) version->sequence, incarnation, version->tombstone ? " tombstone" : "",
			version->blind ? " blind" : "");
}

static int compare_numbers(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* Whose bytes they are, and whether they are as they were written. */
static enum mms_record_verdict judge(const unsigned char *header, struct mms_slice key)
{
	const bool ours = memcmp(header, magic, sizeof(magic)) == 0;

	if (get32(header + AT_HEADER_CRC) == header_crc(header, key)) {
		/* A flag that we don't know, rightly checksummed, was set by a newer release. */
		const bool known = (header[AT_FLAGS] & ~(FLAG_TOMBSTONE | FLAG_BLIND)) == 0;

		return ours && known ? MMS_RECORD_GOOD : MMS_RECORD_FOREIGN;
	}
	if (ours) {
		return MMS_RECORD_DAMAGED;
	}
	unsigned char restored[MMS_RECORD_HEADER_SIZE];

	memcpy(restored, header, sizeof(restored));
	memcpy(restored, magic, sizeof(magic));
	return get32(restored + AT_HEADER_CRC) == header_crc(restored, key) ? MMS_RECORD_DAMAGED : MMS_RECORD_FOREIGN;
}

/* What no writer of ours puts in a header, whatever its checksum says. */
static bool is_truthful(const unsigned char *bytes, const struct mms_record_header *header)
{
	if (header->version.sequence >= SEQUENCE_END || header->base_sequence >= SEQUENCE_END) {
		return false;
	}
	if (header->version.generation != 0 && !header->version.blind) {
		return false;
	}
	return (bytes[AT_FLAGS] & FLAG_TOMBSTONE) == 0 || header->payload_len == 0;
}

static void read_fields(const unsigned char *bytes, struct mms_record_header *out)
{
	out->version.generation = get32(bytes + AT_FLAGS) & MMS_GENERATION_MAX;
	out->version.incarnation = get64(bytes + AT_INCARNATION);
	out->version.hlc = get64(bytes + AT_HLC);
	out->version.writer = get64(bytes + AT_WRITER);
	out->version.sequence = get64(bytes + AT_SEQUENCE);
	out->version.tombstone = (bytes[AT_FLAGS] & FLAG_TOMBSTONE) != 0;
	out->version.blind = (bytes[AT_FLAGS] & FLAG_BLIND) != 0;
	out->base_hlc = get64(bytes + AT_BASE_HLC);
	out->base_writer = get64(bytes + AT_BASE_WRITER);
	out->base_sequence = get64(bytes + AT_BASE_SEQUENCE);
	out->lifetime_s = get32(bytes + AT_LIFETIME);
	out->payload_len = get32(bytes + AT_PAYLOAD_LEN);
	out->payload_crc = get32(bytes + AT_PAYLOAD_CRC);
}

/* Over key + header without its last field: a good record under another's key does not pass. */
static uint32_t header_crc(const unsigned char *header, struct mms_slice key)
{
	return mms_crc32c(mms_crc32c(0, key.ptr, key.len), header, AT_HEADER_CRC);
}

/* Byte by byte, not in a loop: so compilers make one instruction of it. */
static void put32(unsigned char *out, uint32_t value)
{
	out[0] = (unsigned char) (value >> 24);
	out[1] = (unsigned char) (value >> 16);
	out[2] = (unsigned char) (value >> 8);
	out[3] = (unsigned char) value;
}

static void put64(unsigned char *out, uint64_t value)
{
	put32(out, (uint32_t) (value >> 32));
	put32(out + 4, (uint32_t) value);
}

static uint32_t get32(const unsigned char *bytes)
{
	return (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 | (uint32_t) bytes[2] << 8 | bytes[3];
}

static uint64_t get64(const unsigned char *bytes)
{
	return (uint64_t) get32(bytes) << 32 | get32(bytes + 4);
}
