/* Bytes as a node may answer them: any verdict, no read beyond the end, and what is good encodes to the same bytes.
 * Input: a byte of modes (1: put magic, 2: put the right checksums), a key length, then the record. Without the
 * checksums set right nearly nothing would get past them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mms_record.h"

#define KEY "PHPSESSION:4f1c9d0e7b6a"
#define MODE_MAGIC 1
#define MODE_CHECKSUMS 2

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds)
{
	if (!holds) {
		abort();
	}
}

static void put32(char *out, uint32_t value)
{
	for (int index = 3; index >= 0; index--) {
		out[index] = (char) (unsigned char) value;
		value >>= 8;
	}
}

static void forge(char *bytes, size_t len, struct mms_slice key, uint8_t modes)
{
	if (len < MMS_RECORD_HEADER_SIZE) {
		return;
	}
	if (modes & MODE_MAGIC) {
		memcpy(bytes, "MMS\x01", 4);
		if ((bytes[4] & 2) == 0) {
			memset(bytes + 5, 0, 3);
		}
	}
	if (modes & MODE_CHECKSUMS) {
		put32(bytes + 72, mms_crc32c(0, bytes + MMS_RECORD_HEADER_SIZE, len - MMS_RECORD_HEADER_SIZE));
		put32(bytes + 76, mms_crc32c(mms_crc32c(0, key.ptr, key.len), bytes, 76));
	}
}

static void judge(struct mms_slice bytes, struct mms_slice key)
{
	struct mms_record_header header;
	struct mms_record_header whole;
	struct mms_slice payload;
	unsigned char encoded[MMS_RECORD_HEADER_SIZE];
	char text[80];
	const enum mms_record_verdict verdict = mms_record_decode(bytes, key, &header);
	const enum mms_record_verdict whole_verdict = mms_record_decode_whole(bytes, key, &whole, &payload);

	if (verdict != MMS_RECORD_GOOD) {
		check(whole_verdict == verdict);
		return;
	}
	mms_record_encode(&header, key, encoded);
	check(memcmp(encoded, bytes.ptr, sizeof(encoded)) == 0);
	mms_version_format(&header.version, text, sizeof(text));
	check(strlen(text) < sizeof(text));
	check(mms_version_compare(&header.version, &header.version) == 0);
	if (whole_verdict == MMS_RECORD_GOOD) {
		check(mms_version_compare(&header.version, &whole.version) == 0);
		check(payload.ptr == bytes.ptr + MMS_RECORD_HEADER_SIZE && payload.len + MMS_RECORD_HEADER_SIZE == bytes.len);
		mms_record_describe(&whole, payload);
		check(whole.payload_crc == header.payload_crc && whole.payload_len == header.payload_len);
	} else {
		check(whole_verdict == MMS_RECORD_DAMAGED);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2) {
		return 0;
	}
	const struct mms_slice key = {KEY, data[1] % sizeof(KEY)};
	const size_t len = size - 2;
	char *bytes = malloc(len == 0 ? 1 : len);

	check(bytes != NULL);
	memcpy(bytes, data + 2, len);
	forge(bytes, len, key, data[0]);
	judge((struct mms_slice) {bytes, len}, key);
	free(bytes);
	return 0;
}
