/* Reply parsing under libFuzzer. The first byte says how the rest is sliced; whatever comes must be refused or parsed
 * within the limits, and the same bytes in other slices must give the same replies.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -Isrc $(pkg-config --cflags hiredis) tests/fuzz/fuzz_reply.c \
 *     src/mms_{reply,reply_class,command,script,put,record,handshake,base}.c -lhiredis -lisal
 *
 * TEST LINK: mms_command mms_put mms_handshake    TEST OPTIONS: -max_len=1024    TEST BLIND: cmp */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mms_handshake.h"
#include "mms_put.h"
#include "mms_reply.h"

#define MAX_BYTES 4096
#define MAX_ELEMENTS 64

struct summary {
	enum mms_status status;
	size_t replies, elements, bytes;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct mms_reply *reply, unsigned depth, size_t *elements, size_t *bytes)
{
	struct mms_slice text = mms_reply_text(reply);

	if (depth > MMS_REPLY_DEPTH_MAX) {
		abort();
	}
	*bytes += text.len;
	*elements += mms_reply_count(reply);
	for (size_t index = 0; index < mms_reply_count(reply); index++) {
		walk(mms_reply_element(reply, index), depth + 1, elements, bytes);
	}
}

static void use(const struct mms_reply *reply, struct summary *summary)
{
	static const struct mms_login login = {{"user", 4}, {"secret", 6}, 3};
	struct mms_put_result result;
	struct mms_error error;
	size_t elements = 0, bytes = 0;

	walk(reply, 0, &elements, &bytes);
	if (elements > MAX_ELEMENTS || bytes > MAX_BYTES) {
		abort();
	}
	summary->replies++;
	summary->elements += elements;
	summary->bytes += bytes;
	(void) mms_reply_classify(reply);
	mms_put_parse(NULL, reply, &result);
	mms_put_parse(reply, reply, &result);
	for (uint32_t index = 0; index < 6; index++) {
		if (mms_handshake_judge(&login, index, reply, &error) != MMS_OK && strstr(error.text, "secret") != NULL) {
			abort();
		}
	}
}

/* As one who feeds, or as one who receives into the string under way. */
static enum mms_status take(struct mms_reply_reader *reader, const char *bytes, size_t len, bool straight)
{
	size_t room = 0;
	char *rest = straight ? mms_reply_reader_room(reader, &room) : NULL;
	size_t first = rest == NULL ? 0 : len < room ? len : room;
	enum mms_status status = MMS_OK;

	if (room > MAX_BYTES + 2) {
		abort();
	}
	if (first > 0) {
		memcpy(rest, bytes, first);
		status = mms_reply_reader_filled(reader, first, NULL);
	}
	return status == MMS_OK ? mms_reply_reader_feed(reader, bytes + first, len - first, NULL) : status;
}

static struct summary parse(const char *bytes, size_t len, size_t slice, bool straight)
{
	struct mms_reply_reader *reader = mms_reply_reader_new(MAX_BYTES, MAX_ELEMENTS);
	struct summary summary = {MMS_OK, 0, 0, 0};
	struct mms_reply *reply;

	for (size_t at = 0; at < len && summary.status == MMS_OK; at += slice) {
		summary.status = take(reader, bytes + at, slice < len - at ? slice : len - at, straight);
		while (mms_reply_reader_next(reader, &reply, NULL) == MMS_OK && reply != NULL) {
			use(reply, &summary);
			mms_reply_free(reply);
		}
		(void) mms_reply_reader_partial(reader);
	}
	mms_reply_reader_free(reader);
	return summary;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2) {
		return 0;
	}
	size_t slice = (size_t) data[0] + 1;
	struct summary sliced = parse((const char *) data + 1, size - 1, slice, (slice & 1) != 0);
	struct summary single = parse((const char *) data + 1, size - 1, 1, false);

	if (sliced.status != single.status) {
		abort();
	}
	/* Replies that come in one slice with what is refused are lost with it. */
	if (sliced.status == MMS_OK && (sliced.replies != single.replies || sliced.elements != single.elements
			|| sliced.bytes != single.bytes)) {
		abort();
	}
	return 0;
}
