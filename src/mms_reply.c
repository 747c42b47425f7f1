/* Replies over hiredis' incremental parser. The difficulty: hiredis takes what it is told, an array of two billion
 * elements, strings of any length, arrays in arrays, and 0.14 has no setting against it. Objects are therefore our own: the
 * functions that make them count what one reply costs and refuse before memory is spent; what can't be refused there (a long
 * string or line that is still arriving) is judged by peeking at the parser's public state after every feed.
 *
 * A string that is not whole yet is taken out of the parser's hands, unless it is an array's: hiredis would gather it in a
 * buffer, which grows by being copied, and copy it once more into the object. So it goes into its object as it comes. */
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

/* All strings within one array: arrays are lists of keys and of what hosts say of themselves; no session comes in one. hiredis
 * holds such a string twice. */
#define ARRAY_BYTES_MAX (16u << 20)

/* Longest "<length>\r\n" of a string or array worth waiting for. */
#define LENGTH_LINE_MAX 32

/* Above this much of one reply in its buffer the parser is replaced when the reply is done: hiredis would keep the
 * buffer until the next reply comes, in every idle worker. */
#define BUFFER_KEEP_LEN 65536

#define LINE_END_LEN 2

/* How much the parser is shown first of more than so much. */
#define LOOK_FIRST_LEN 512
#define LOOK_FIRST_MIN 2048

#define READY_INITIAL 8

#if HIREDIS_MAJOR >= 1
typedef size_t array_count;
#else
typedef int array_count;
#endif

/* Text or elements lie behind it, in the same allocation; the shared ones have none. */
struct mms_reply {
	enum mms_reply_type type;
	size_t count;                             /* bytes of text, or elements */
	union {
		int64_t integer;
		const char *text;
		struct mms_reply **elements;          /* NULL: not read yet, in what will never be handed out */
	};
};

struct mms_reply_reader {
	redisReader *parser;
	struct mms_reply *growing;                /* a string that the parser gave up to us, not whole yet; NULL = none */
	size_t grown_len;                         /* bytes of it, and of the line's end behind it, that have come */
	size_t max_bytes, max_elements;
	size_t reply_bytes, reply_elements;       /* spent on the reply under way */
	size_t peak_len;                          /* most bytes that the parser had buffered since it was made */
	const char *refusal;                      /* why a check refused; NULL: hiredis' own error, or none */
	bool failed;
	struct mms_reply **ready;                 /* whole replies in order: ready[ready_first .. ready_end) */
	size_t ready_first, ready_end, ready_capacity;
};

static const char too_long[] = "a reply is longer than allowed";
static const char no_line_end[] = "a string does not end where it should";
static const char unasked_type[] = "a reply of a type that nobody asked for";

static redisReader *make_parser(struct mms_reply_reader *reader);
static enum mms_status drain(struct mms_reply_reader *reader, struct mms_error *error);
static enum mms_status push_ready(struct mms_reply_reader *reader, struct mms_reply *reply, struct mms_error *error);
static enum mms_status feed_parser(struct mms_reply_reader *reader, const char *bytes, size_t len, struct mms_error *error);
static enum mms_status judge_unfinished(struct mms_reply_reader *reader, struct mms_error *error);
static enum mms_status begin_growing(struct mms_reply_reader *reader, size_t len, size_t line_len, struct mms_error *error);
static enum mms_status fail(struct mms_reply_reader *reader, struct mms_error *error);
static enum mms_status renew_parser(struct mms_reply_reader *reader, struct mms_error *error);
static const redisReadTask *current_task(const redisReader *parser);
static bool is_too_long(const struct mms_reply_reader *reader, bool in_array, uint64_t len);
static bool announced_string(const redisReader *parser, uint64_t *len, size_t *line_len);
static void *make_string(const redisReadTask *task, char *text, size_t len);
static void *make_array(const redisReadTask *task, array_count count);
static void *make_integer(const redisReadTask *task, long long value);
static void *make_nil(const redisReadTask *task);
static void free_reply(void *inner);
static bool is_shared(const struct mms_reply *reply);
#if HIREDIS_MAJOR >= 1
static void *refused_double(const redisReadTask *task, double value, char *text, size_t len);
static void *refused_bool(const redisReadTask *task, int value);
#endif
static struct mms_reply *new_text(enum mms_reply_type type, size_t len);
static void *place(const redisReadTask *task, const struct mms_reply *reply);
static void *refuse(const redisReadTask *task, const char *why);

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
	mms_reply_free(reader->growing);
	if (reader->parser != NULL) {
		redisReaderFree(reader->parser);
	}
	free(reader);
}

void mms_reply_reader_limit(struct mms_reply_reader *reader, size_t max_bytes)
{
	if (reader != NULL) {
		reader->max_bytes = max_bytes;
	}
}

enum mms_status mms_reply_reader_feed(struct mms_reply_reader *reader, const char *bytes, size_t len,
		struct mms_error *error)
{
	/* Of many bytes the parser is shown the first ones alone: how long a string is stands in front of it. */
	size_t piece = len > LOOK_FIRST_MIN ? LOOK_FIRST_LEN : len;

	if (reader->failed) {
		return fail(reader, error);
	}
	for (enum mms_status status; len > 0; bytes += piece, len -= piece, piece = len) {
		size_t room;
		char *rest = mms_reply_reader_room(reader, &room);

		if (rest != NULL) {
			piece = piece < room ? piece : room;
			memcpy(rest, bytes, piece);
			status = mms_reply_reader_filled(reader, piece, error);
		} else {
			status = feed_parser(reader, bytes, piece, error);
		}
		if (status != MMS_OK) {
			return status;
		}
	}
	return MMS_OK;
}

char *mms_reply_reader_room(struct mms_reply_reader *reader, size_t *len)
{
	if (reader->growing == NULL || reader->failed) {
		return NULL;
	}
	*len = reader->growing->count + LINE_END_LEN - reader->grown_len;
	return (char *) (reader->growing + 1) + reader->grown_len;
}

enum mms_status mms_reply_reader_filled(struct mms_reply_reader *reader, size_t len, struct mms_error *error)
{
	struct mms_reply *reply = reader->growing;
	char *end = (char *) (reply + 1) + reply->count;

	reader->grown_len += len;
	if (reader->grown_len < reply->count + LINE_END_LEN) {
		return MMS_OK;
	}
	if (end[0] != '\r' || end[1] != '\n') {
		reader->refusal = no_line_end;
		return fail(reader, error);
	}
	end[0] = '\0';
	reader->growing = NULL;
	return push_ready(reader, reply, error);
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
	return !reader->failed && (reader->growing != NULL || reader->parser->ridx >= 0
			|| reader->parser->pos < reader->parser->len);
}

size_t mms_reply_reader_ready(const struct mms_reply_reader *reader)
{
	return reader->ready_end - reader->ready_first;
}

void mms_reply_free(struct mms_reply *reply)
{
	free_reply(reply);
}

enum mms_reply_type mms_reply_type(const struct mms_reply *reply)
{
	return reply != NULL ? reply->type : MMS_REPLY_ERROR;
}

int64_t mms_reply_integer(const struct mms_reply *reply)
{
	return reply != NULL && reply->type == MMS_REPLY_INTEGER ? reply->integer : 0;
}

struct mms_slice mms_reply_text(const struct mms_reply *reply)
{
	struct mms_slice text = {"", 0};

	if (reply != NULL && (reply->type == MMS_REPLY_STRING || reply->type == MMS_REPLY_STATUS || reply->type == MMS_REPLY_ERROR)) {
		text.ptr = reply->text;
		text.len = reply->count;
	}
	return text;
}

size_t mms_reply_count(const struct mms_reply *reply)
{
	return reply != NULL && reply->type == MMS_REPLY_ARRAY ? reply->count : 0;
}

const struct mms_reply *mms_reply_element(const struct mms_reply *reply, size_t index)
{
	return index < mms_reply_count(reply) ? reply->elements[index] : NULL;
}

const char *mms_reply_library_version(void)
{
#define TEXT_OF(number) #number
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)
	return VERSION_TEXT(HIREDIS_MAJOR, HIREDIS_MINOR, HIREDIS_PATCH);
}

static redisReader *make_parser(struct mms_reply_reader *reader)
{
	static const redisReplyObjectFunctions functions = {
		.createString = make_string, .createArray = make_array, .createInteger = make_integer, .createNil = make_nil,
		.freeObject = free_reply,
#if HIREDIS_MAJOR >= 1
		.createDouble = refused_double, .createBool = refused_bool,
#endif
	};
	/* hiredis has no const there; it only reads. */
	redisReader *parser = redisReaderCreateWithFunctions((redisReplyObjectFunctions *) (uintptr_t) &functions);

	if (parser != NULL) {
		parser->privdata = reader;
	}
	return parser;
}

static enum mms_status feed_parser(struct mms_reply_reader *reader, const char *bytes, size_t len, struct mms_error *error)
{
	if (redisReaderFeed(reader->parser, bytes, len) != REDIS_OK) {
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
		if (is_too_long(reader, parser->ridx > 0, announced)) {
			reader->refusal = too_long;
		} else if (parser->ridx == 0) {
			return begin_growing(reader, (size_t) announced, line_len, error);
		}
	} else if (waiting > LINE_MAX_LEN || (waiting > LENGTH_LINE_MAX
			&& (task->type == REDIS_REPLY_STRING || task->type == REDIS_REPLY_ARRAY))) {
		reader->refusal = "a line without an end";
	}
	return reader->refusal == NULL ? MMS_OK : fail(reader, error);
}

/* Takes the string under way, which is within the limit, and what the parser has of it; the parser is left as after a whole
 * reply. */
static enum mms_status begin_growing(struct mms_reply_reader *reader, size_t len, size_t line_len, struct mms_error *error)
{
	redisReader *parser = reader->parser;
	size_t have = parser->len - parser->pos - line_len;

	reader->growing = new_text(MMS_REPLY_STRING, len);
	if (reader->growing == NULL) {
		return fail(reader, error);
	}
	memcpy(reader->growing + 1, parser->buf + parser->pos + line_len, have); /* less than len and the line's end */
	reader->grown_len = have;
	parser->pos = parser->len;
	parser->ridx = -1;
	return MMS_OK;
}

static enum mms_status fail(struct mms_reply_reader *reader, struct mms_error *error)
{
	reader->failed = true;
	if (reader->refusal == NULL && (reader->parser == NULL || reader->parser->err != REDIS_ERR_PROTOCOL)) {
		mms_error_set(error, "out of memory");
		return MMS_ERR_MEMORY;
	}
	mms_error_set(error, "%s", reader->refusal != NULL ? reader->refusal : reader->parser->errstr);
	return reader->refusal == too_long ? MMS_ERR_TOO_LARGE : MMS_ERR_PROTOCOL;
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

/* The limit may have fallen since the reply began. */
static bool is_too_long(const struct mms_reply_reader *reader, bool in_array, uint64_t len)
{
	size_t limit = in_array && reader->max_bytes > ARRAY_BYTES_MAX ? ARRAY_BYTES_MAX : reader->max_bytes;

	return reader->reply_bytes > limit || len > limit - reader->reply_bytes;
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
	if (index == 0 || index + 1 >= have || line[index] != '\r' || line[index + 1] != '\n'
			|| (line[0] == '0' && index > 1)) {
		return false;
	}
	*len = value;
	*line_len = index + 2;
	return true;
}

static void *make_string(const redisReadTask *task, char *text, size_t len)
{
	/* Statuses that every transaction answers with; nothing is allocated for them. */
	static const struct mms_reply ok = {MMS_REPLY_STATUS, 2, {.text = "OK"}};
	static const struct mms_reply queued = {MMS_REPLY_STATUS, 6, {.text = "QUEUED"}};
	struct mms_reply_reader *reader = task->privdata;
	struct mms_reply *reply;

	if (task->type != REDIS_REPLY_STRING && task->type != REDIS_REPLY_STATUS && task->type != REDIS_REPLY_ERROR) {
		return refuse(task, unasked_type);
	}
	/* First, as when its length alone has come. A line is no value: it is never rightly so long. */
	if (is_too_long(reader, task->parent != NULL, len)) {
		return refuse(task, task->type == REDIS_REPLY_STRING ? too_long : "a line is longer than allowed");
	}
	/* hiredis does not look at the two bytes behind a string; when they are wrong we are out of step. */
	if (text[len] != '\r' || text[len + 1] != '\n') {
		return refuse(task, no_line_end);
	}
	reader->reply_bytes += len;
	if (task->type == REDIS_REPLY_STATUS && len == ok.count && memcmp(text, ok.text, len) == 0) {
		return place(task, &ok);
	}
	if (task->type == REDIS_REPLY_STATUS && len == queued.count && memcmp(text, queued.text, len) == 0) {
		return place(task, &queued);
	}
	reply = new_text(task->type == REDIS_REPLY_STRING ? MMS_REPLY_STRING
			: task->type == REDIS_REPLY_STATUS ? MMS_REPLY_STATUS : MMS_REPLY_ERROR, len);
	if (reply == NULL) {
		return NULL;
	}
	memcpy(reply + 1, text, len);
	((char *) (reply + 1))[len] = '\0';
	return place(task, reply);
}

static void *make_array(const redisReadTask *task, array_count count)
{
	struct mms_reply_reader *reader = task->privdata;
	struct mms_reply *reply;
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
	reply = calloc(1, sizeof(*reply) + (size_t) count * sizeof(reply->elements[0]));
	if (reply == NULL) {
		return NULL;
	}
	reply->type = MMS_REPLY_ARRAY;
	reply->count = (size_t) count;
	reply->elements = (struct mms_reply **) (void *) (reply + 1);
	return place(task, reply);
}

static void *make_integer(const redisReadTask *task, long long value)
{
	struct mms_reply *reply = malloc(sizeof(*reply));

	if (reply == NULL) {
		return NULL;
	}
	*reply = (struct mms_reply) {MMS_REPLY_INTEGER, 0, {.integer = value}};
	return place(task, reply);
}

static void *make_nil(const redisReadTask *task)
{
	static const struct mms_reply nil = {MMS_REPLY_NIL, 0, {.text = ""}};

	/* A missing string or array; RESP3 has a type for it, which hiredis 1.x knows. */
	if (task->type != REDIS_REPLY_STRING && task->type != REDIS_REPLY_ARRAY) {
		return refuse(task, unasked_type);
	}
	return place(task, &nil);
}

/* At most MMS_REPLY_DEPTH_MAX deep. */
static void free_reply(void *inner)
{
	struct mms_reply *reply = inner;

	if (reply == NULL || is_shared(reply)) {
		return;
	}
	for (size_t index = 0; index < mms_reply_count(reply); index++) {
		free_reply(reply->elements[index]);
	}
	free(reply);
}

/* One without an allocation of its own. */
static bool is_shared(const struct mms_reply *reply)
{
	return reply->type == MMS_REPLY_NIL || (reply->type == MMS_REPLY_STATUS && reply->text != (const char *) (reply + 1));
}

/* Room for len bytes and a line's end. */
static struct mms_reply *new_text(enum mms_reply_type type, size_t len)
{
	struct mms_reply *reply = malloc(sizeof(*reply) + len + LINE_END_LEN);

	if (reply != NULL) {
		*reply = (struct mms_reply) {type, len, {.text = (const char *) (reply + 1)}};
	}
	return reply;
}

/* Where the parser wants a new object; it keeps the outermost one itself. A shared one is never written to. */
static void *place(const redisReadTask *task, const struct mms_reply *reply)
{
	struct mms_reply *placed = (struct mms_reply *) (uintptr_t) reply;

	if (task->parent != NULL) {
		((struct mms_reply *) task->parent->obj)->elements[task->idx] = placed;
	}
	return placed;
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
