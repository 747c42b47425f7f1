/* What server errors mean. The difficulty is that servers say the same thing in many ways: with and without "ERR", and within
 * the text of another error when it came up in a script. */
#include "mms_reply_class.h"

#include <string.h>

/* How errors begin, behind an "ERR"; a blank or the end follows. */
static const struct {
	const char *text;
	enum mms_reply_class class_;
} prefixes[] = {
	{"LOADING", MMS_CLASS_HARD}, {"MASTERDOWN", MMS_CLASS_HARD}, {"BUSY", MMS_CLASS_HARD},
	{"UNKILLABLE", MMS_CLASS_HARD}, {"max number of clients", MMS_CLASS_HARD},
	{"OOM", MMS_CLASS_WRITE}, {"READONLY", MMS_CLASS_WRITE}, {"MISCONF", MMS_CLASS_WRITE},
	{"NOREPLICAS", MMS_CLASS_WRITE},
	{"NOAUTH", MMS_CLASS_AUTH}, {"WRONGPASS", MMS_CLASS_AUTH}, {"NOPERM", MMS_CLASS_AUTH}, {"DENIED", MMS_CLASS_AUTH},
	{"invalid password", MMS_CLASS_AUTH}, {"Client sent AUTH, but no password is set", MMS_CLASS_AUTH},
	{"AUTH", MMS_CLASS_AUTH}, {"ACL failure", MMS_CLASS_AUTH},
	{"The user executing the script can't", MMS_CLASS_AUTH},
	{"MOVED", MMS_CLASS_CLUSTER}, {"ASK", MMS_CLASS_CLUSTER}, {"CLUSTERDOWN", MMS_CLASS_CLUSTER},
	{"CROSSSLOT", MMS_CLASS_CLUSTER}, {"TRYAGAIN", MMS_CLASS_CLUSTER},
	{"SELECT is not allowed in cluster mode", MMS_CLASS_CLUSTER},
	{"NOSCRIPT", MMS_CLASS_NOSCRIPT}, {"WRONGTYPE", MMS_CLASS_WRONGTYPE},
};

static struct mms_slice error_within_script(struct mms_slice text);
static enum mms_reply_class classify_text(struct mms_slice text);

enum mms_reply_class mms_reply_classify(const struct mms_reply *reply)
{
	if (mms_reply_type(reply) != MMS_REPLY_ERROR) {
		return MMS_CLASS_NONE;
	}
	struct mms_slice text = mms_reply_text(reply);
	enum mms_reply_class class_ = classify_text(error_within_script(text));

	return class_ != MMS_CLASS_OTHER ? class_ : classify_text(text);
}

bool mms_reply_class_fault(enum mms_reply_class class_, enum mms_fault *fault)
{
	switch (class_) {
	case MMS_CLASS_HARD:
	case MMS_CLASS_AUTH:
	case MMS_CLASS_CLUSTER:
		*fault = MMS_FAULT_HARD;
		return true;
	case MMS_CLASS_WRITE:
		*fault = MMS_FAULT_WRITE_ONLY;
		return true;
	case MMS_CLASS_OTHER:
		*fault = MMS_FAULT_SOFT; /* it may be about one key: only a row of them says that the node is at fault */
		return true;
	case MMS_CLASS_NONE:
	case MMS_CLASS_NOSCRIPT:
	case MMS_CLASS_WRONGTYPE:
		break;
	}
	return false;
}

/* Up to version 6 a command's error inside a script comes wrapped: "ERR Error running script (call to f_...):
 * @user_script:9: @user_script: 9: -OOM command not allowed ...", or from pcall "@user_script: 9: ..."; the colons and the
 * hyphen vary. Empty if not wrapped. */
static struct mms_slice error_within_script(struct mms_slice text)
{
	static const char mark[] = "user_script:";
	const size_t mark_len = sizeof(mark) - 1;
	struct mms_slice cause = {text.ptr, 0};

	for (size_t index = 0; index + mark_len < text.len; index++) {
		if (memcmp(text.ptr + index, mark, mark_len) == 0) {
			cause.ptr = text.ptr + index + mark_len;
			cause.len = text.len - index - mark_len;
		}
	}
	while (cause.len > 0 && memchr("0123456789: -", *cause.ptr, 13) != NULL) {
		cause.ptr++;
		cause.len--;
	}
	return cause;
}

static enum mms_reply_class classify_text(struct mms_slice text)
{
	if (text.len > 4 && memcmp(text.ptr, "ERR ", 4) == 0) {
		text.ptr += 4;
		text.len -= 4;
	}
	for (size_t index = 0; index < sizeof(prefixes) / sizeof(prefixes[0]); index++) {
		size_t len = strlen(prefixes[index].text);

		if (text.len >= len && memcmp(text.ptr, prefixes[index].text, len) == 0
				&& (text.len == len || text.ptr[len] == ' ')) {
			return prefixes[index].class_;
		}
	}
	return MMS_CLASS_OTHER;
}
