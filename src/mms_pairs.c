/* One block per hash: the pairs, then their text. */
#include "mms_pairs.h"

#include <stdlib.h>
#include <string.h>

void mms_pairs_keep(struct mms_pairs *pairs, const struct mms_reply *reply, struct mms_mono now)
{
	size_t count = reply == NULL ? 0 : mms_reply_count(reply) / 2, size = 0;
	char *text;

	mms_pairs_free(pairs);
	if (reply == NULL || mms_reply_type(reply) != MMS_REPLY_ARRAY) {
		return;
	}
	pairs->cut = count > MMS_PAIRS_MAX;
	count = pairs->cut ? MMS_PAIRS_MAX : count;
	for (size_t i = 0; i < 2 * count; i++) {
		size += mms_reply_text(mms_reply_element(reply, i)).len;
	}
	pairs->pairs = malloc(count * sizeof *pairs->pairs + size + 1);
	if (pairs->pairs == NULL) {
		return;
	}
	text = (char *)(pairs->pairs + count);
	for (size_t i = 0; i < count; i++) {
		struct mms_slice field = mms_reply_text(mms_reply_element(reply, 2 * i));
		struct mms_slice value = mms_reply_text(mms_reply_element(reply, 2 * i + 1));

		if (field.len > 0) {
			memcpy(text, field.ptr, field.len);
		}
		if (value.len > 0) {
			memcpy(text + field.len, value.ptr, value.len);
		}
		pairs->pairs[pairs->count++] = (struct mms_pair){ .field = { text, field.len },
			.value = { text + field.len, value.len } };
		text += field.len + value.len;
	}
	pairs->read_at = now;
}

void mms_pairs_free(struct mms_pairs *pairs)
{
	free(pairs->pairs);
	memset(pairs, 0, sizeof *pairs);
}

void mms_pairs_clear(struct mms_pairs *pairs, struct mms_slice field, struct mms_slice value)
{
	for (uint32_t i = 0; i < pairs->count; i++) {
		struct mms_pair *pair = &pairs->pairs[i];

		pair->cleared = pair->cleared || (mms_pairs_same(pair->field, field) && mms_pairs_same(pair->value, value));
	}
}

bool mms_pairs_same(struct mms_slice a, struct mms_slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
