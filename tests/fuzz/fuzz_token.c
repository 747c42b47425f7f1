/* Text as a visitor may send it: no read beyond the end, what is taken encodes to the same text, and no set of tokens makes
 * a plan that holds one of another session. Input: a mode (1: the bytes are made into base64url first, 2: with the right
 * code), then the text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mms_token.h"

#define MODE_TEXT 1
#define MODE_CODE 2
#define TEXT_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds)
{
	if (!holds) {
		abort();
	}
}

static void mac(const void *context, struct mms_slice bytes, unsigned char out[MMS_TOKEN_MAC_SIZE])
{
	const uint32_t sum = mms_crc32c(*(const uint32_t *)context, bytes.ptr, bytes.len);

	for (unsigned i = 0; i < MMS_TOKEN_MAC_SIZE; i++) {
		out[i] = (unsigned char)(sum >> i);
	}
}

static size_t make_text(const uint8_t *data, size_t size, char *out)
{
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	size_t len = 0;
	uint32_t held = 0;
	unsigned bits = 0;

	for (size_t i = 0; i < size && len + 3 < TEXT_MAX; i++) {
		held = held << 8 | data[i];
		for (bits += 8; bits >= 6; bits -= 6) {
			out[len++] = alphabet[held >> (bits - 6) & 63];
		}
	}
	if (bits > 0) {
		out[len++] = alphabet[held << (6 - bits) & 63];
	}
	return len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t key = 4711;
	const struct mms_token_signer signer = { size > 0 && (data[0] & MODE_CODE) != 0 ? mac : NULL, &key };
	unsigned char signed_bytes[TEXT_MAX];
	char made[TEXT_MAX], again[MMS_TOKEN_TEXT_MAX];
	struct mms_slice text;
	struct mms_token token;
	struct mms_token_set set = { .count = 0 };
	struct mms_token_plan plan;
	struct mms_version bound;
	uint64_t hlc;

	if (size == 0 || size > TEXT_MAX / 2) {
		return 0;
	}
	text = (struct mms_slice){ (const char *)data + 1, size - 1 };
	if ((data[0] & MODE_TEXT) != 0) {
		memcpy(signed_bytes, data + 1, size - 1);
		if (signer.mac_fn != NULL) {
			mac(&key, text, signed_bytes + size - 1);
			size += MMS_TOKEN_MAC_SIZE;
		}
		text = (struct mms_slice){ made, make_text(signed_bytes, size - 1, made) };
	}
	if (mms_token_decode(text, &signer, &token)) {
		uint32_t digest = token.digest;

		check(mms_token_encode(&token, &signer, again) == text.len && memcmp(again, text.ptr, text.len) == 0);
		check(token.digest == digest && token.slot < MMS_TOKEN_SLOTS && token.digest_count <= MMS_TOKEN_SLOTS);
	}
	mms_token_set_add(&set, text, &signer);
	mms_token_set_add(&set, text, &signer);
	check(set.count <= MMS_TOKEN_SLOTS);
	for (unsigned i = 0; i < set.count; i++) {
		mms_token_plan_make(&set, set.tokens[i].session, &plan);
		for (unsigned k = 0; k < plan.count; k++) {
			check(plan.tokens[k]->session == set.tokens[i].session && !plan.tokens[k]->uncertain);
			check(!mms_token_satisfied(plan.tokens[k], &(struct mms_version){ .blind = true }, true));
		}
		(void)mms_token_bound(&set, set.tokens[i].session, &bound, &hlc);
		check(signer.mac_fn != NULL || hlc == 0);
	}
	return 0;
}
