/* Commands as RESP. */
#include "mms_command.h"

#include <string.h>

#define NUMBER_LEN_MAX 20 /* digits of 2^64 - 1 */

static void begin(struct mms_command *command, const char *verb, unsigned argument_count);
static void argument(struct mms_command *command, struct mms_slice value);
static void write_argument(char *at, struct mms_slice value, size_t line_len);
static void word(struct mms_command *command, const char *text);
static void number(struct mms_command *command, uint64_t value);
static void length_line(struct mms_command *command, char type, uint64_t value);
static size_t length_line_len(uint64_t value);
static void write_length_line(char *at, char type, uint64_t value, size_t len);
static char *digits_before(char *end, uint64_t value);
static char *room_for(struct mms_command *command, size_t len);
static void copy(struct mms_command *command, const void *bytes, size_t len);
static void borrow(struct mms_command *command, const void *bytes, size_t len);
static void set_record(struct mms_command *command, struct mms_slice key, const unsigned char *header,
		struct mms_slice payload, const char *unit, uint64_t ttl, unsigned options);
static void load_script(struct mms_command *command, enum mms_script script);
static void evalsha(struct mms_command *command, enum mms_script script, unsigned key_count, unsigned argument_count);
static uint64_t within(uint64_t value, uint64_t min, uint64_t max);

void mms_command_init(struct mms_command *command)
{
	command->part_count = 0;
	command->reply_count = 0;
	command->leading_count = 0;
	command->bound = false;
	command->any_length = false;
	command->scratch_used = 0;
	command->overflow = false;
}

void mms_command_auth(struct mms_command *command, struct mms_slice user, struct mms_slice password)
{
	begin(command, "AUTH", user.len > 0 ? 3 : 2);
	if (user.len > 0) {
		argument(command, user);
	}
	argument(command, password);
}

void mms_command_reply_off(struct mms_command *command)
{
	begin(command, "CLIENT", 3);
	word(command, "REPLY");
	word(command, "OFF");
	command->reply_count--;
}

void mms_command_select(struct mms_command *command, uint32_t db)
{
	begin(command, "SELECT", 2);
	number(command, db);
}

void mms_command_load_scripts(struct mms_command *command)
{
	for (int index = 0; index < MMS_SCRIPT_COUNT; index++) {
		load_script(command, (enum mms_script) index);
	}
}

void mms_command_ping(struct mms_command *command)
{
	begin(command, "PING", 1);
}

void mms_command_info_server(struct mms_command *command)
{
	begin(command, "INFO", 2);
	word(command, "server");
}

void mms_command_info_settings(struct mms_command *command)
{
	begin(command, "INFO", 2);
	word(command, "memory");
	begin(command, "INFO", 2);
	word(command, "replication");
}

void mms_command_time_and_hash(struct mms_command *command, struct mms_slice key)
{
	begin(command, "TIME", 1);
	mms_command_fields_read(command, key);
}

void mms_command_hash_set(struct mms_command *command, struct mms_slice key, struct mms_slice field,
		struct mms_slice value, uint64_t ttl_ms)
{
	mms_command_field_set(command, key, field, value);
	begin(command, "PEXPIRE", 3);
	argument(command, key);
	number(command, within(ttl_ms, 1, MMS_COMMAND_TTL_MAX_MS));
}

void mms_command_hash_delete(struct mms_command *command, struct mms_slice key, struct mms_slice field)
{
	begin(command, "HDEL", 3);
	argument(command, key);
	argument(command, field);
}

void mms_command_read_whole(struct mms_command *command, struct mms_slice key)
{
	mms_command_get(command, key);
	begin(command, "PTTL", 2);
	argument(command, key);
}

void mms_command_watch(struct mms_command *command, struct mms_slice key, bool unwatch, bool rehearse)
{
	if (unwatch) {
		begin(command, "UNWATCH", 1);
	}
	if (rehearse) {
		begin(command, "MULTI", 1);
		begin(command, "EXEC", 1);
	}
	begin(command, "WATCH", 2);
	argument(command, key);
	command->leading_count = command->reply_count;
}

void mms_command_read_after(struct mms_command *command, const struct mms_slice *keys, unsigned key_count,
		struct mms_slice key)
{
	begin(command, "MGET", 1 + key_count);
	for (unsigned i = 0; i < key_count; i++) {
		argument(command, keys[i]);
	}
	mms_command_read_whole(command, key);
}

void mms_command_read_header(struct mms_command *command, struct mms_slice key)
{
	mms_command_read_up_to(command, key, MMS_RECORD_HEADER_SIZE);
}

void mms_command_read_up_to(struct mms_command *command, struct mms_slice key, uint64_t len_max)
{
	begin(command, "GETRANGE", 4);
	argument(command, key);
	number(command, 0);
	number(command, len_max - 1);
	begin(command, "PTTL", 2);
	argument(command, key);
}

void mms_command_put(struct mms_command *command, struct mms_slice key, struct mms_slice tmp_key,
		const unsigned char *header, struct mms_slice payload, uint64_t ttl_ms, struct mms_slice expected)
{
	set_record(command, tmp_key, header, payload, "EX", MMS_COMMAND_TMP_TTL_S, 0);
	bool lives_longest = ttl_ms > 0 && expected.len == 0 && ttl_ms == (uint64_t) mms_record_lifetime_s(header) * 1000;

	evalsha(command, MMS_SCRIPT_PUT, 2, expected.len > 0 ? 2 : lives_longest ? 0 : 1);
	argument(command, key);
	argument(command, tmp_key);
	if (!lives_longest) {
		number(command, within(ttl_ms, 1, MMS_COMMAND_TTL_MAX_MS));
	}
	if (expected.len > 0) {
		argument(command, expected);
	}
}

void mms_command_put_watched(struct mms_command *command, struct mms_slice key, const unsigned char *header,
		struct mms_slice payload, uint64_t ttl_ms)
{
	begin(command, "MULTI", 1);
	command->leading_count = command->reply_count;
	command->bound = true;
	set_record(command, key, header, payload, "PX", within(ttl_ms, 1, MMS_COMMAND_TTL_MAX_MS), 0);
	begin(command, "EXEC", 1);
}

void mms_command_put_new(struct mms_command *command, struct mms_slice key, const unsigned char *header,
		struct mms_slice payload, uint64_t ttl_ms)
{
	set_record(command, key, header, payload, "PX", within(ttl_ms, 1, MMS_COMMAND_TTL_MAX_MS), 1);
	word(command, "NX");
}

void mms_command_touch(struct mms_command *command, struct mms_slice key, const unsigned char *header, uint64_t ttl_ms)
{
	evalsha(command, MMS_SCRIPT_TOUCH, 1, 2);
	argument(command, key);
	argument(command, (struct mms_slice) {(const char *) header, MMS_RECORD_HEADER_SIZE});
	number(command, within(ttl_ms, 1, MMS_COMMAND_TTL_MAX_MS));
}

void mms_command_set_once(struct mms_command *command, struct mms_slice key, struct mms_slice value)
{
	begin(command, "SET", 4);
	argument(command, key);
	argument(command, value);
	word(command, "NX");
	mms_command_get(command, key);
}

void mms_command_lease(struct mms_command *command, struct mms_slice key, struct mms_slice value, uint64_t ttl_ms)
{
	begin(command, "SET", 6);
	argument(command, key);
	argument(command, value);
	word(command, "PX");
	number(command, within(ttl_ms, 1, MMS_COMMAND_TTL_MAX_MS));
	word(command, "NX");
	mms_command_get(command, key);
}

void mms_command_set(struct mms_command *command, struct mms_slice key, struct mms_slice value, uint64_t ttl_ms)
{
	begin(command, "SET", ttl_ms > 0 ? 5 : 3);
	argument(command, key);
	argument(command, value);
	if (ttl_ms > 0) {
		word(command, "PX");
		number(command, within(ttl_ms, 1, MMS_COMMAND_TTL_MAX_MS));
	}
}

void mms_command_set_existing(struct mms_command *command, struct mms_slice key, struct mms_slice value, uint64_t ttl_ms)
{
	begin(command, "SET", 6);
	argument(command, key);
	argument(command, value);
	word(command, "PX");
	number(command, within(ttl_ms, 1, MMS_COMMAND_TTL_MAX_MS));
	word(command, "XX");
}

void mms_command_delete_if(struct mms_command *command, struct mms_slice key, struct mms_slice value)
{
	evalsha(command, MMS_SCRIPT_DELETE_IF, 1, 1);
	argument(command, key);
	argument(command, value);
}

void mms_command_release(struct mms_command *command, struct mms_slice key, struct mms_slice value)
{
	load_script(command, MMS_SCRIPT_DELETE_IF);
	mms_command_delete_if(command, key, value);
}

void mms_command_field_set(struct mms_command *command, struct mms_slice key, struct mms_slice field,
		struct mms_slice value)
{
	begin(command, "HSET", 4);
	argument(command, key);
	argument(command, field);
	argument(command, value);
}

void mms_command_field_delete_if(struct mms_command *command, struct mms_slice key, struct mms_slice field,
		struct mms_slice value)
{
	evalsha(command, MMS_SCRIPT_DELETE_IF, 1, 2);
	argument(command, key);
	argument(command, value);
	argument(command, field);
}

void mms_command_fields_read(struct mms_command *command, struct mms_slice key)
{
	begin(command, "HGETALL", 2);
	argument(command, key);
}

void mms_command_replace_if(struct mms_command *command, struct mms_slice key, struct mms_slice old,
		struct mms_slice value, uint64_t ttl_ms)
{
	evalsha(command, MMS_SCRIPT_REPLACE_IF, 1, 3);
	argument(command, key);
	argument(command, old);
	argument(command, value);
	number(command, ttl_ms == 0 ? 0 : within(ttl_ms, 1, MMS_COMMAND_TTL_MAX_MS));
}

void mms_command_scan(struct mms_command *command, struct mms_slice cursor, struct mms_slice pattern, uint32_t count)
{
	begin(command, "SCAN", 6);
	argument(command, cursor);
	word(command, "MATCH");
	argument(command, pattern);
	word(command, "COUNT");
	number(command, count);
}

void mms_command_count_keys(struct mms_command *command)
{
	begin(command, "DBSIZE", 1);
}

void mms_command_get(struct mms_command *command, struct mms_slice key)
{
	begin(command, "GET", 2);
	argument(command, key);
	command->any_length = true;
}

const char *mms_command_script_text(enum mms_script script)
{
	return mms_script(script)->text;
}

const char *mms_command_script_sha1(enum mms_script script)
{
	return mms_script(script)->sha1;
}

/* Starts one command; the rest of its argument_count arguments, of which the verb is the first, have to follow. */
static void begin(struct mms_command *command, const char *verb, unsigned argument_count)
{
	const struct mms_slice name = {verb, strlen(verb)};
	size_t count_len = length_line_len(argument_count), line_len = length_line_len(name.len);
	char *at = room_for(command, count_len + line_len + name.len + 2);

	if (at != NULL) {
		write_length_line(at, '*', argument_count, count_len);
		write_argument(at + count_len, name, line_len);
	}
	command->reply_count++;
}

static void argument(struct mms_command *command, struct mms_slice value)
{
	size_t line_len = length_line_len(value.len);
	char *at = room_for(command, line_len + value.len + 2);

	if (at != NULL) {
		write_argument(at, value, line_len);
	}
}

/* line_len: of its length, as length_line_len() says. */
static void write_argument(char *at, struct mms_slice value, size_t line_len)
{
	write_length_line(at, '$', value.len, line_len);
	at += line_len;
	if (value.len > 0) {
		memcpy(at, value.ptr, value.len);
	}
	memcpy(at + value.len, "\r\n", 2);
}

static void word(struct mms_command *command, const char *text)
{
	argument(command, (struct mms_slice) {text, strlen(text)});
}

static void number(struct mms_command *command, uint64_t value)
{
	char digits[NUMBER_LEN_MAX];
	char *first = digits_before(digits + sizeof(digits), value);

	argument(command, (struct mms_slice) {first, (size_t) (digits + sizeof(digits) - first)});
}

static void length_line(struct mms_command *command, char type, uint64_t value)
{
	size_t len = length_line_len(value);
	char *at = room_for(command, len);

	if (at != NULL) {
		write_length_line(at, type, value, len);
	}
}

static size_t length_line_len(uint64_t value)
{
	size_t len = 4; /* type, one digit, line's end */

	for (; value >= 10; value /= 10) {
		len++;
	}
	return len;
}

/* len: its length, as length_line_len() says. */
static void write_length_line(char *at, char type, uint64_t value, size_t len)
{
	*at = type;
	(void) digits_before(at + len - 2, value);
	memcpy(at + len - 2, "\r\n", 2);
}

/* Writes the digits so that they end before `end`; returns where they begin. */
static char *digits_before(char *end, uint64_t value)
{
	do {
		*--end = (char) ('0' + value % 10);
		value /= 10;
	} while (value > 0);
	return end;
}

static void copy(struct mms_command *command, const void *bytes, size_t len)
{
	char *at = room_for(command, len);

	if (at != NULL) {
		memcpy(at, bytes, len);
	}
}

/* The next len bytes, more than none, of the scratch: they belong to the command already, and are to be written. They continue
 * the last part where that ends at the scratch's end. NULL when they don't fit. */
static char *room_for(struct mms_command *command, size_t len)
{
	char *target = command->scratch + command->scratch_used;

	if (command->overflow || len > sizeof(command->scratch) - command->scratch_used) {
		command->overflow = true;
		return NULL;
	}
	command->scratch_used += (uint32_t) len;
	if (command->part_count > 0) {
		struct iovec *last = &command->parts[command->part_count - 1];

		if ((char *) last->iov_base + last->iov_len == target) {
			last->iov_len += len;
			return target;
		}
	}
	borrow(command, target, len);
	return target;
}

static void borrow(struct mms_command *command, const void *bytes, size_t len)
{
	if (len == 0) {
		return;
	}
	if (command->overflow || command->part_count == MMS_COMMAND_PARTS) {
		command->overflow = true;
		return;
	}
	struct iovec *part = &command->parts[command->part_count++];

	part->iov_base = (void *) (uintptr_t) bytes; /* an iovec has no const; it is only read */
	part->iov_len = len;
}

static void set_record(struct mms_command *command, struct mms_slice key, const unsigned char *header,
		struct mms_slice payload, const char *unit, uint64_t ttl, unsigned options)
{
	begin(command, "SET", 5 + options);
	argument(command, key);
	length_line(command, '$', MMS_RECORD_HEADER_SIZE + (uint64_t) payload.len);
	copy(command, header, MMS_RECORD_HEADER_SIZE);
	borrow(command, payload.ptr, payload.len);
	copy(command, "\r\n", 2);
	word(command, unit);
	number(command, ttl);
}

static void load_script(struct mms_command *command, enum mms_script script)
{
	begin(command, "SCRIPT", 3);
	word(command, "LOAD");
	length_line(command, '$', mms_script(script)->len);
	borrow(command, mms_script(script)->text, mms_script(script)->len);
	copy(command, "\r\n", 2);
}

static void evalsha(struct mms_command *command, enum mms_script script, unsigned key_count, unsigned argument_count)
{
	begin(command, "EVALSHA", 3 + key_count + argument_count);
	word(command, mms_script(script)->sha1);
	number(command, key_count);
}

static uint64_t within(uint64_t value, uint64_t min, uint64_t max)
{
	return value < min ? min : value > max ? max : value;
}
