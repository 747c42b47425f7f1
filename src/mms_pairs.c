/* One block per hash: the pairs, then their text. */
#include "mms_pairs.h"

#include <stdlib.h>
#include <string.h>

static size_t length_of(const struct mms_reply *reply, size_t pair)
{
	return mms_reply_text(mms_reply_element(reply, 2 * pair)).len + mms_reply_text(mms_reply_element(reply, 2 * pair + 1)).len;
}

static char *copy(char *to, struct mms_slice from, struct mms_slice *kept)
{
	if (from.len > 0) {
		memcpy(to, from.ptr, from.len);
	}
	*kept = (struct mms_slice){ to, from.len };
	return to + from.len;
}

void mms_pairs_keep(struct mms_pairs *pairs, const struct mms_reply *reply, struct mms_mono now)
{
	size_t count = reply == NULL ? 0 : mms_reply_count(reply) / 2, size = 0, kept = 0, end = 0;
	char *text;

	mms_pairs_free(pairs);
	if (reply == NULL || mms_reply_type(reply) != MMS_REPLY_ARRAY) {
		return;
	}
	for (; end < count && kept < MMS_PAIRS_MAX; end++) {
		size_t len = length_of(reply, end);

		kept += len <= MMS_PAIRS_TEXT_MAX ? 1 : 0;
		size += len <= MMS_PAIRS_TEXT_MAX ? len : 0;
	}
	pairs->cut = end < count;
	pairs->pairs = malloc(kept * sizeof *pairs->pairs + size + 1);
	if (pairs->pairs == NULL) {
		return;
	}
	text = (char *)(pairs->pairs + kept);
	for (size_t i = 0; i < end; i++) {
		if (length_of(reply, i) <= MMS_PAIRS_TEXT_MAX) {
			struct mms_pair *pair = &pairs->pairs[pairs->count++];

			pair->cleared = false;
			pair->tag = MMS_PAIRS_NO_TAG;
			text = copy(text, mms_reply_text(mms_reply_element(reply, 2 * i)), &pair->field);
			text = copy(text, mms_reply_text(mms_reply_element(reply, 2 * i + 1)), &pair->value);
		}
	}
	pairs->read_at = now;
}

void mms_pairs_free(struct mms_pairs *pairs)
{
	free(pairs->pairs);
	memset(pairs, 0, sizeof *pairs);
}

bool mms_pairs_has(const struct mms_pairs *pairs, struct mms_slice field, uint32_t *place)
{
	for (uint32_t i = 0; i < pairs->count; i++) {
		uint32_t at = (*place + i) % pairs->count;

		if (mms_pairs_same(pairs->pairs[at].field, field)) {
			*place = at + 1;
			return true;
		}
	}
	return false;
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
