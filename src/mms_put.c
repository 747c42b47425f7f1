/* Replies come from servers of several makes, and through proxies: whatever does not look as it should is an error, never a success. */
#include "mms_put.h"

#include <string.h>

/* Codes that the scripts answer with. */
enum { ANSWER_STORED = 1, ANSWER_EQUAL = 2, ANSWER_FOREIGN = 3, ANSWER_NEWER = 4, ANSWER_LACKING = 5,
	ANSWER_STORED_OVER_UNREAD = 6 };

static void parse_answer(const struct mms_reply *answer, struct mms_put_result *out);
static bool parse_details(const struct mms_reply *answer, struct mms_put_result *out);
static void put_error(const struct mms_reply *reply, const char *what, struct mms_put_result *out);

void mms_put_parse(const struct mms_reply *first, const struct mms_reply *second, struct mms_put_result *out)
{
	memset(out, 0, sizeof(*out));
	if (first != NULL && mms_reply_type(first) != MMS_REPLY_STATUS) {
		put_error(first, "an unexpected answer to SET", out);
	} else if (mms_reply_type(second) == MMS_REPLY_ERROR) {
		put_error(second, "", out);
	} else {
		parse_answer(second, out);
	}
}

void mms_put_parse_new(const struct mms_reply *reply, struct mms_put_result *out)
{
	memset(out, 0, sizeof(*out));
	if (mms_reply_type(reply) == MMS_REPLY_STATUS) {
		out->outcome = MMS_PUT_STORED;
	} else if (mms_reply_type(reply) == MMS_REPLY_NIL) {
		out->outcome = MMS_PUT_CHANGED;
	} else {
		put_error(reply, "an unexpected answer to SET", out);
	}
}

void mms_put_parse_watched(const struct mms_reply *first, const struct mms_reply *second,
		struct mms_put_result *out)
{
	const struct mms_reply *stored = mms_reply_element(second, 0);

	memset(out, 0, sizeof(*out));
	if (mms_reply_type(first) != MMS_REPLY_STATUS) {
		put_error(first, "an unexpected answer to SET", out);
	} else if (mms_reply_type(second) == MMS_REPLY_NIL) {
		out->outcome = MMS_PUT_CHANGED;
	} else if (mms_reply_type(second) == MMS_REPLY_ARRAY && mms_reply_count(second) == 1
			&& mms_reply_type(stored) == MMS_REPLY_STATUS) {
		out->outcome = MMS_PUT_STORED;
	} else {
		put_error(stored != NULL ? stored : second, "an unexpected answer to EXEC", out);
	}
}

static void parse_answer(const struct mms_reply *answer, struct mms_put_result *out)
{
	const struct mms_reply *code = mms_reply_type(answer) == MMS_REPLY_ARRAY ? mms_reply_element(answer, 0) : answer;

	switch (code == NULL ? 0 : mms_reply_integer(code)) {
	case ANSWER_STORED:
	case ANSWER_STORED_OVER_UNREAD:
		out->outcome = MMS_PUT_STORED;
		out->over_unread = mms_reply_integer(code) == ANSWER_STORED_OVER_UNREAD;
		return;
	case ANSWER_EQUAL:
		out->outcome = MMS_PUT_EQUAL;
		return;
	case ANSWER_LACKING:
		out->outcome = MMS_PUT_LACKING;
		return;
	case ANSWER_FOREIGN:
		out->outcome = MMS_PUT_FOREIGN;
		(void) parse_details(answer, out); /* without them it is WRONGTYPE */
		return;
	case ANSWER_NEWER:
		out->outcome = MMS_PUT_NEWER;
		if (parse_details(answer, out) && out->has_header && mms_reply_count(answer) >= 3) {
			return;
		}
		break;
	default:
		break;
	}
	put_error(answer, "an unexpected answer of the script", out);
}

/* [code, header, pttl, damaged]: as much of it as is there. */
static bool parse_details(const struct mms_reply *answer, struct mms_put_result *out)
{
	if (mms_reply_count(answer) < 2) {
		return false;
	}
	struct mms_slice header = mms_reply_text(mms_reply_element(answer, 1));

	if (header.len > MMS_RECORD_HEADER_SIZE) {
		return false;
	}
	memcpy(out->header, header.ptr, header.len);
	out->header_len = (uint32_t) header.len;
	out->has_header = header.len == MMS_RECORD_HEADER_SIZE;
	if (mms_reply_count(answer) > 2) {
		out->pttl_ms = mms_reply_integer(mms_reply_element(answer, 2));
	}
	out->damaged = mms_reply_count(answer) > 3;
	return true;
}

/* what: the text when the reply is no error. */
static void put_error(const struct mms_reply *reply, const char *what, struct mms_put_result *out)
{
	enum mms_reply_class class_ = mms_reply_classify(reply);

	memset(out, 0, sizeof(*out));
	out->outcome = class_ == MMS_CLASS_NOSCRIPT ? MMS_PUT_NOSCRIPT
			: class_ == MMS_CLASS_WRONGTYPE ? MMS_PUT_FOREIGN : MMS_PUT_ERROR;
	out->error_class = class_ == MMS_CLASS_NONE ? MMS_CLASS_OTHER : class_;
	if (class_ == MMS_CLASS_NONE) {
		mms_text_copy(out->error_text, sizeof(out->error_text), mms_slice_of(what));
	} else {
		mms_reply_class_words(reply, out->error_text, sizeof(out->error_text));
	}
}
