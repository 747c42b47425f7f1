/* Replies over hiredis' incremental parser. The difficulty: hiredis takes what it is told, an array of two billion
 * elements, strings of any length, arrays in arrays, and 0.14 has no setting against it. Objects are therefore made by
 * our own functions, which count what one reply costs and refuse before hiredis allocates; what can't be refused there
 * (a long string or line that is still arriving) is judged by peeking at the parser's public state after every feed. */
#include "mms_reply.h"

#include <stdlib.h>
#include <string.h>

/* Its inline functions don't survive -Wconversion. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include <hiredis.h>
#pragma GCC diagnostic pop

/* A status, error or number is one line; the longest that servers send are error texts that quote a command. */
#define LINE_MAX_LEN 65536

/* Longest "<length>\r\n" of a string or array worth waiting for. */
#define LENGTH_LINE_MAX 32

/* Above this much of one reply in its buffer the parser is replaced when the reply is done: hiredis would keep the
 * buffer until the next reply comes, in every idle worker. */
#define BUFFER_KEEP_LEN 65536

#define READY_INITIAL 8

#if HIREDIS_MAJOR >= 1
typedef size_t array_count;
#else
typedef int array_count;
#endif

struct mms_reply_reader {
	redisReader *parser;
	redisReplyObjectFunctions functions;      /* hiredis' own, some of them behind a check of ours */
	const redisReplyObjectFunctions *defaults;
	size_t max_bytes, max_elements;
	size_t reply_bytes, reply_elements;       /* spent on the reply under way */
	size_t peak_len;                          /* most bytes that the parser had buffered since it was made */
	const char *refusal;                      /* why a check refused; NULL: hiredis' own error, or none */
	bool failed;
	struct mms_reply **ready;                 /* whole replies in order: ready[ready_first .. ready_end) */
	size_t ready_first, ready_end, ready_capacity;
};

static const char too_long[] = "a reply is longer than allowed";
static const char unasked_type[] = "a reply of a type that nobody asked for";

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

static void *shared_status(const redisReadTask *task, const char *text, size_t len);
static void free_unless_shared(void *reply);
static redisReader *make_parser(struct mms_reply_reader *reader);
static enum mms_status drain(struct mms_reply_reader *reader, struct mms_error *error);
static enum mms_status push_ready(struct mms_reply_reader *reader, struct mms_reply *reply, struct mms_error *error);
static enum mms_status judge_unfinished(struct mms_reply_reader *reader, struct mms_error *error);
static enum mms_status fail(struct mms_reply_reader *reader, struct mms_error *error);
static enum mms_status renew_parser(struct mms_reply_reader *reader, struct mms_error *error);
static const redisReadTask *current_task(const redisReader *parser);
static bool announced_string(const redisReader *parser, uint64_t *len, size_t *line_len);
static void *checked_string(const redisReadTask *task, char *text, size_t len);
static void *checked_array(const redisReadTask *task, array_count count);
#if HIREDIS_MAJOR >= 1
static void *refused_double(const redisReadTask *task, double value, char *text, size_t len);
static void *refused_bool(const redisReadTask *task, int value);
#endif
static void *refuse(const redisReadTask *task, const char *why);
static struct mms_slice error_within_script(struct mms_slice text);
static enum mms_reply_class classify_text(struct mms_slice text);

struct mms_reply_reader *mms_reply_reader_new(size_t max_bytes, size_t max_elements)
{
	struct mms_reply_reader *reader = calloc(1, sizeof(*reader));

	if (reader == NULL) {
		return NULL;
	}
	reader->max_bytes = max_bytes;
	reader->max_elements = max_elements;
	reader->parser = make_parser(reader);
	if (reader->parser == NULL) {
		free(reader);
		return NULL;
	}
	return reader;
}

void mms_reply_reader_free(struct mms_reply_reader *reader)
{
	if (reader == NULL) {
		return;
	}
	while (reader->ready_first < reader->ready_end) {
		mms_reply_free(reader->ready[reader->ready_first++]);
	}
	free(reader->ready);
	if (reader->parser != NULL) {
		redisReaderFree(reader->parser);
	}
	free(reader);
}

enum mms_status mms_reply_reader_feed(struct mms_reply_reader *reader, const char *bytes, size_t len,
		struct mms_error *error)
{
	if (reader->failed || redisReaderFeed(reader->parser, bytes, len) != REDIS_OK) {
		return fail(reader, error);
	}
	if (reader->parser->len > reader->peak_len) {
		reader->peak_len = reader->parser->len;
	}
	enum mms_status status = drain(reader, error);

	if (status != MMS_OK) {
		return status;
	}
	if (mms_reply_reader_partial(reader)) {
		return judge_unfinished(reader, error);
	}
	return reader->peak_len > BUFFER_KEEP_LEN ? renew_parser(reader, error) : MMS_OK;
}

enum mms_status mms_reply_reader_next(struct mms_reply_reader *reader, struct mms_reply **reply,
		struct mms_error *error)
{
	*reply = NULL;
	if (reader->failed) {
		return fail(reader, error);
	}
	if (reader->ready_first < reader->ready_end) {
		*reply = reader->ready[reader->ready_first++];
	}
	return MMS_OK;
}

bool mms_reply_reader_partial(const struct mms_reply_reader *reader)
{
	return !reader->failed && (reader->parser->ridx >= 0 || reader->parser->pos < reader->parser->len);
}

size_t mms_reply_reader_ready(const struct mms_reply_reader *reader)
{
	return reader->ready_end - reader->ready_first;
}

size_t mms_reply_reader_missing(const struct mms_reply_reader *reader)
{
	uint64_t announced;
	size_t line_len;

	if (reader->failed || !announced_string(reader->parser, &announced, &line_len) || announced > reader->max_bytes) {
		return 0;
	}
	return line_len + (size_t) announced + 2 - (reader->parser->len - reader->parser->pos);
}

void mms_reply_free(struct mms_reply *reply)
{
	free_unless_shared(reply);
}

/* Statuses that every transaction answers with; nothing is allocated for them. Their text is never written to. */
static const redisReply shared_statuses[] = {
	{.type = REDIS_REPLY_STATUS, .str = (char *) (uintptr_t) "OK", .len = 2},
	{.type = REDIS_REPLY_STATUS, .str = (char *) (uintptr_t) "QUEUED", .len = 6},
};

/* NULL when the text is another one, or an element of an array: hiredis frees those itself. */
static void *shared_status(const redisReadTask *task, const char *text, size_t len)
{
	for (size_t index = 0; index < sizeof(shared_statuses) / sizeof(shared_statuses[0]); index++) {
		const redisReply *shared = &shared_statuses[index];

		if (task->parent == NULL && task->type == REDIS_REPLY_STATUS && (size_t) shared->len == len
				&& memcmp(shared->str, text, len) == 0) {
			return (void *) (uintptr_t) shared;
		}
	}
	return NULL;
}

static void free_unless_shared(void *reply)
{
	if (reply != NULL && reply != &shared_statuses[0] && reply != &shared_statuses[1]) {
		freeReplyObject(reply);
	}
}

enum mms_reply_type mms_reply_type(const struct mms_reply *reply)
{
	switch (((const redisReply *) reply)->type) {
	case REDIS_REPLY_STATUS: return MMS_REPLY_STATUS;
	case REDIS_REPLY_INTEGER: return MMS_REPLY_INTEGER;
	case REDIS_REPLY_STRING: return MMS_REPLY_STRING;
	case REDIS_REPLY_NIL: return MMS_REPLY_NIL;
	case REDIS_REPLY_ARRAY: return MMS_REPLY_ARRAY;
	default: return MMS_REPLY_ERROR; /* only errors are left: the reader refuses all else */
	}
}

int64_t mms_reply_integer(const struct mms_reply *reply)
{
	const redisReply *inner = (const redisReply *) reply;

	return inner->type == REDIS_REPLY_INTEGER ? (int64_t) inner->integer : 0;
}

struct mms_slice mms_reply_text(const struct mms_reply *reply)
{
	const redisReply *inner = (const redisReply *) reply;
	struct mms_slice text = {"", 0};

	if (inner->type == REDIS_REPLY_STRING || inner->type == REDIS_REPLY_STATUS || inner->type == REDIS_REPLY_ERROR) {
		text.ptr = inner->str;
		text.len = (size_t) inner->len; /* an int in 0.14; never negative */
	}
	return text;
}

size_t mms_reply_count(const struct mms_reply *reply)
{
	const redisReply *inner = (const redisReply *) reply;

	return inner->type == REDIS_REPLY_ARRAY ? inner->elements : 0;
}

const struct mms_reply *mms_reply_element(const struct mms_reply *reply, size_t index)
{
	const redisReply *inner = (const redisReply *) reply;

	return index < mms_reply_count(reply) ? (const struct mms_reply *) inner->element[index] : NULL;
}

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

const char *mms_reply_library_version(void)
{
#define TEXT_OF(number) #number
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)
	return VERSION_TEXT(HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
}

static redisReader *make_parser(struct mms_reply_reader *reader)
{
	redisReader *parser = redisReaderCreate();

	if (parser == NULL) {
		return NULL;
	}
	reader->defaults = parser->fn;
	reader->functions = *parser->fn;
	reader->functions.createString = checked_string;
	reader->functions.createArray = checked_array;
	reader->functions.freeObject = free_unless_shared;
#if HIREDIS_MAJOR >= 1
	reader->functions.createDouble = refused_double;
	reader->functions.createBool = refused_bool;
#endif
	parser->fn = &reader->functions;
	parser->privdata = reader;
	return parser;
}

static enum mms_status drain(struct mms_reply_reader *reader, struct mms_error *error)
{
	while (reader->parser->pos < reader->parser->len) {
		void *reply = NULL;

		if (redisReaderGetReply(reader->parser, &reply) != REDIS_OK) {
			return fail(reader, error);
		}
		if (reply == NULL) {
			return MMS_OK;
		}
		reader->reply_bytes = 0;
		reader->reply_elements = 0;
		enum mms_status status = push_ready(reader, reply, error);

		if (status != MMS_OK) {
			return status;
		}
	}
	return MMS_OK;
}

static enum mms_status push_ready(struct mms_reply_reader *reader, struct mms_reply *reply, struct mms_error *error)
{
	if (reader->ready_first == reader->ready_end) {
		reader->ready_first = reader->ready_end = 0;
	}
	if (reader->ready_end == reader->ready_capacity) {
		size_t capacity = reader->ready_capacity == 0 ? READY_INITIAL : 2 * reader->ready_capacity;
		struct mms_reply **larger = realloc(reader->ready, capacity * sizeof(struct mms_reply *));

		if (larger == NULL) {
			mms_reply_free(reply);
			return fail(reader, error);
		}
		reader->ready = larger;
		reader->ready_capacity = capacity;
	}
	reader->ready[reader->ready_end++] = reply;
	return MMS_OK;
}

/* What waits in the parser may only be a string within the limit, or a line that can still end. */
static enum mms_status judge_unfinished(struct mms_reply_reader *reader, struct mms_error *error)
{
	const redisReader *parser = reader->parser;
	const redisReadTask *task = current_task(parser);
	size_t waiting = parser->len - parser->pos;
	uint64_t announced;
	size_t line_len;

	if (announced_string(parser, &announced, &line_len)) {
		if (announced > reader->max_bytes - reader->reply_bytes) {
			reader->refusal = too_long;
		}
	} else if (waiting > LINE_MAX_LEN || (waiting > LENGTH_LINE_MAX
			&& (task->type == REDIS_REPLY_STRING || task->type == REDIS_REPLY_ARRAY))) {
		reader->refusal = "a line without an end";
	}
	return reader->refusal == NULL ? MMS_OK : fail(reader, error);
}

static enum mms_status fail(struct mms_reply_reader *reader, struct mms_error *error)
{
	reader->failed = true;
	if (reader->refusal == NULL && (reader->parser == NULL || reader->parser->err != REDIS_ERR_PROTOCOL)) {
		mms_error_set(error, "out of memory");
		return MMS_ERR_MEMORY;
	}
	mms_error_set(error, "%s", reader->refusal != NULL ? reader->refusal : reader->parser->errstr);
	return MMS_ERR_PROTOCOL;
}

static enum mms_status renew_parser(struct mms_reply_reader *reader, struct mms_error *error)
{
	redisReaderFree(reader->parser);
	reader->parser = make_parser(reader);
	reader->peak_len = 0;
	return reader->parser != NULL ? MMS_OK : fail(reader, error);
}

static const redisReadTask *current_task(const redisReader *parser)
{
#if HIREDIS_MAJOR >= 1
	return parser->task[parser->ridx];
#else
	return &parser->rstack[parser->ridx];
#endif
}

/* Is the parser waiting for the rest of a string whose length it knows? It stands at "<length>\r\n" then, and reads that
 * line again when more comes. A nil ("-1") and a length that is no number are judged by hiredis. */
static bool announced_string(const redisReader *parser, uint64_t *len, size_t *line_len)
{
	if (parser->ridx < 0 || current_task(parser)->type != REDIS_REPLY_STRING) {
		return false;
	}
	const char *line = parser->buf + parser->pos;
	size_t have = parser->len - parser->pos;
	size_t index = 0;
	uint64_t value = 0;

	while (index < have && index < LENGTH_LINE_MAX && line[index] >= '0' && line[index] <= '9') {
		value = value > UINT64_MAX / 16 ? value : value * 10 + (uint64_t) (line[index] - '0');
		index++;
	}
	if (index == 0 || index + 1 >= have || line[index] != '\r' || line[index + 1] != '\n') {
		return false;
	}
	*len = value;
	*line_len = index + 2;
	return true;
}

static void *checked_string(const redisReadTask *task, char *text, size_t len)
{
	struct mms_reply_reader *reader = task->privdata;

	if (task->type != REDIS_REPLY_STRING && task->type != REDIS_REPLY_STATUS && task->type != REDIS_REPLY_ERROR) {
		return refuse(task, unasked_type);
	}
	/* hiredis does not look at the two bytes behind a string; when they are wrong we are out of step. */
	if (text[len] != '\r' || text[len + 1] != '\n') {
		return refuse(task, "a string does not end where it should");
	}
	if (len > reader->max_bytes - reader->reply_bytes) {
		return refuse(task, too_long);
	}
	reader->reply_bytes += len;

	void *shared = shared_status(task, text, len);

	return shared != NULL ? shared : reader->defaults->createString(task, text, len);
}

static void *checked_array(const redisReadTask *task, array_count count)
{
	struct mms_reply_reader *reader = task->privdata;
	unsigned depth = 1;

	if (task->type != REDIS_REPLY_ARRAY) {
		return refuse(task, unasked_type);
	}
	for (const redisReadTask *outer = task->parent; outer != NULL; outer = outer->parent) {
		depth++;
	}
	if (depth > MMS_REPLY_DEPTH_MAX) {
		return refuse(task, "arrays nested too deep");
	}
	if ((size_t) count > reader->max_elements - reader->reply_elements) {
		return refuse(task, "a reply has more elements than allowed");
	}
	reader->reply_elements += (size_t) count;
	return reader->defaults->createArray(task, count);
}

#if HIREDIS_MAJOR >= 1
static void *refused_double(const redisReadTask *task, double value, char *text, size_t len)
{
	(void) value, (void) text, (void) len;
	return refuse(task, unasked_type);
}

static void *refused_bool(const redisReadTask *task, int value)
{
	(void) value;
	return refuse(task, unasked_type);
}
#endif

/* hiredis takes NULL for "out of memory"; the reason tells the two apart. */
static void *refuse(const redisReadTask *task, const char *why)
{
	struct mms_reply_reader *reader = task->privdata;

	reader->refusal = why;
	return NULL;
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
