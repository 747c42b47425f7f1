/* The order is a list of keys, compared one after another; as in the model, the maximum wins. */
#include "reference.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static uint64_t big_endian(const char *bytes, unsigned count)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < count; i++) {
		value = value << 8 | (unsigned char)bytes[i];
	}
	return value;
}

bool reference_decode(const char *bytes, size_t len, struct reference_version *out)
{
	if (len < REFERENCE_HEADER || memcmp(bytes, "MMS\1", 4) != 0) {
		return false;
	}
	*out = (struct reference_version){
		.generation = (uint32_t)big_endian(bytes + 5, 3),
		.incarnation = big_endian(bytes + 8, 8),
		.hlc = big_endian(bytes + 16, 8),
		.writer = big_endian(bytes + 24, 8),
		.sequence = big_endian(bytes + 32, 8),
		.tombstone = (bytes[4] & 1) != 0,
		.blind = (bytes[4] & 2) != 0,
		.lifetime_s = (uint32_t)big_endian(bytes + 64, 4),
		.payload_len = (uint32_t)big_endian(bytes + 68, 4),
	};
	return true;
}

bool reference_base(const char *header, struct reference_version *out)
{
	*out = (struct reference_version){ .hlc = big_endian(header + 40, 8), .writer = big_endian(header + 48, 8),
		.sequence = big_endian(header + 56, 8) };
	return (out->hlc | out->writer | out->sequence) != 0;
}

int reference_compare(const struct reference_version *a, const struct reference_version *b)
{
	const uint64_t left[] = { a->incarnation, !a->blind, a->generation, a->tombstone, a->hlc, a->writer, a->sequence };
	const uint64_t right[] = { b->incarnation, !b->blind, b->generation, b->tombstone, b->hlc, b->writer, b->sequence };

	for (unsigned i = 0; i < sizeof left / sizeof left[0]; i++) {
		if (left[i] != right[i]) {
			return left[i] < right[i] ? -1 : 1;
		}
	}
	return 0;
}

void reference_format(const struct reference_version *version, char out[100])
{
	snprintf(out, 100, "%s%s%.0dinc %" PRIx64 " hlc %" PRIx64 ".%u writer %04x seq %" PRIu64,
			version->blind ? "blind " : "", version->tombstone ? "TOMBSTONE " : "", (int)version->generation, version->incarnation >> 16,
			version->hlc >> 16, (unsigned)(version->hlc & 0xffff), (unsigned)(version->writer & 0xffff), version->sequence);
}
