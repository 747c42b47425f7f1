/* What server errors mean, and what to do about them. The difficulty is that servers say the same thing in many ways: with and
 * without "ERR", and within the text of another error when it came up in a script. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include "mms_reply_class.h"

#include <stdio.h>
#include <string.h>

#define NO_MEMORY "raise the server's maxmemory, or remove what else it holds"
#define NO_MASTER "it is a replica: REPLICAOF NO ONE, or list its master instead"
#define NO_SAVE "see its log and the space on its disk, or set stop-writes-on-bgsave-error no"
#define NO_AOF "see its log and the space on its disk, or set appendonly no"
#define NO_CREDENTIALS "check mmsession.user and mmsession.password_file"
#define NO_PASSWORD_THERE "the server has no password, leave mmsession.password_file empty"
#define NO_PERMISSION "mmsession.user needs that permission, see docs/operations.md"
#define NO_CLUSTER "Redis Cluster mode is not supported, set cluster-enabled no"

/* How errors begin, behind an "ERR"; a blank or the end follows. Of two that fit the first counts. */
static const struct meaning {
	const char *text;
	enum mms_reply_class class_;
	const char *remedy; /* NULL: nothing that is true of all of them, or the server says it */
} meanings[] = {
	{"LOADING", MMS_CLASS_HARD, "wait until it has read its data"},
	{"MASTERDOWN", MMS_CLASS_HARD, NO_MASTER},
	{"BUSY", MMS_CLASS_HARD, "wait for what it runs, or end it by SCRIPT KILL or FUNCTION KILL"},
	{"UNKILLABLE", MMS_CLASS_HARD, NULL},
	{"max number of clients", MMS_CLASS_HARD, "raise the server's maxclients"},
	{"OOM", MMS_CLASS_WRITE, NO_MEMORY},
	{"READONLY", MMS_CLASS_WRITE, NO_MASTER},
	{"MISCONF Errors writing to the AOF", MMS_CLASS_WRITE, NO_AOF},
	{"MISCONF", MMS_CLASS_WRITE, NO_SAVE},
	{"NOREPLICAS", MMS_CLASS_WRITE, "set min-replicas-to-write 0, mmsession does the copying"},
	{"NOAUTH", MMS_CLASS_AUTH, NO_CREDENTIALS},
	{"WRONGPASS", MMS_CLASS_AUTH, NO_CREDENTIALS},
	{"invalid password", MMS_CLASS_AUTH, NO_CREDENTIALS},
	{"Client sent AUTH, but no password is set", MMS_CLASS_AUTH, NO_PASSWORD_THERE},
	{"AUTH", MMS_CLASS_AUTH, NO_PASSWORD_THERE}, /* "AUTH <password> called without any password configured ..." */
	{"NOPERM", MMS_CLASS_PERMISSION, NO_PERMISSION},
	{"ACL failure", MMS_CLASS_PERMISSION, NO_PERMISSION},
	{"The user executing the script can't", MMS_CLASS_PERMISSION, NO_PERMISSION},
	{"DENIED", MMS_CLASS_AUTH,
		"protected mode: give the server's default user a password (requirepass), or switch him off (user default off resetpass)"},
	{"MOVED", MMS_CLASS_CLUSTER, NO_CLUSTER},
	{"ASK", MMS_CLASS_CLUSTER, NO_CLUSTER},
	{"CLUSTERDOWN", MMS_CLASS_CLUSTER, NO_CLUSTER},
	{"CROSSSLOT", MMS_CLASS_CLUSTER, NO_CLUSTER},
	{"TRYAGAIN", MMS_CLASS_CLUSTER, NO_CLUSTER},
	{"SELECT is not allowed in cluster mode", MMS_CLASS_CLUSTER, NO_CLUSTER},
	{"NOSCRIPT", MMS_CLASS_NOSCRIPT, NULL},
	{"WRONGTYPE", MMS_CLASS_WRONGTYPE, NULL},
};

static struct mms_slice known_part(struct mms_slice text);
static struct mms_slice error_within_script(struct mms_slice text);
static const struct meaning *meaning_of(struct mms_slice text);

enum mms_reply_class mms_reply_classify(const struct mms_reply *reply)
{
	if (mms_reply_type(reply) != MMS_REPLY_ERROR) {
		return MMS_CLASS_NONE;
	}
	const struct meaning *meaning = meaning_of(known_part(mms_reply_text(reply)));

	return meaning != NULL ? meaning->class_ : MMS_CLASS_OTHER;
}

bool mms_reply_class_fault(enum mms_reply_class class_, enum mms_fault *fault)
{
	switch (class_) {
	case MMS_CLASS_HARD:
	case MMS_CLASS_AUTH:
	case MMS_CLASS_PERMISSION:
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

void mms_reply_class_words(const struct mms_reply *reply, char *out, size_t size)
{
	mms_text_copy(out, size, mms_reply_class_unquoted(known_part(mms_reply_text(reply))));
}

struct mms_slice mms_reply_class_unquoted(struct mms_slice text)
{
	static const char quote[] = ", with args";
	const char *found = text.len == 0 ? NULL : memmem(text.ptr, text.len, quote, sizeof quote - 1);

	return found == NULL ? text : (struct mms_slice) {text.ptr, (size_t) (found - text.ptr)};
}

const char *mms_reply_class_remedy(struct mms_slice text)
{
	const struct meaning *meaning = meaning_of(known_part(text));

	return meaning != NULL ? meaning->remedy : NULL;
}

void mms_reply_class_advise(const char *words, const char *remedy, char *out, size_t size)
{
	const char *sentence_end = remedy != NULL ? strstr(words, ". ") : NULL;
	size_t len = sentence_end != NULL ? (size_t) (sentence_end - words) : strlen(words);
	size_t needed = remedy != NULL ? strlen(remedy) + 2 : 0;
	size_t room = size > needed + 1 ? size - needed - 1 : 0;

	if (len > room) {
		len = room;
	}
	while (len > 0 && (words[len - 1] == '.' || words[len - 1] == ' ')) {
		len--;
	}
	(void) snprintf(out, size, "%.*s%s%s", (int) len, words, remedy != NULL ? ": " : "", remedy != NULL ? remedy : "");
}

void mms_reply_class_tell(const struct mms_node_config *node, const char *words, struct mms_error *error)
{
	size_t len;

	mms_error_set(error, "node %s (%s): server answered: ", node->name, node->address);
	len = strlen(error->text);
	mms_reply_class_advise(words, mms_reply_class_remedy(mms_slice_of(words)), error->text + len, MMS_NOTE_TEXT_SIZE - len);
}

/* Without what is around it, if what is within is known. */
static struct mms_slice known_part(struct mms_slice text)
{
	struct mms_slice within = error_within_script(text);

	return meaning_of(within) != NULL ? within : text;
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

static const struct meaning *meaning_of(struct mms_slice text)
{
	if (text.len > 4 && memcmp(text.ptr, "ERR ", 4) == 0) {
		text.ptr += 4;
		text.len -= 4;
	}
	for (size_t index = 0; index < sizeof(meanings) / sizeof(meanings[0]); index++) {
		size_t len = strlen(meanings[index].text);

		if (text.len >= len && memcmp(text.ptr, meanings[index].text, len) == 0
				&& (text.len == len || text.ptr[len] == ' ')) {
			return &meanings[index];
		}
	}
	return NULL;
}
