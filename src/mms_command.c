/* Commands as RESP, the scripts, and what their replies mean. The difficulty is the put script: it is the merge on the
 * server, must order records exactly as mms_version_compare() does, and runs for every write. Numbers are unpacked into
 * parts below 2^53 (a Lua number holds no more), and strings are only ever compared for equality: `<` is strcoll there
 * and depends on the server's locale. */
#include "mms_command.h"

#include <string.h>

_Static_assert(MMS_RECORD_HEADER_SIZE == 80, "the scripts know the size of the header");

/* Bytes of s: what stands at the key. WRONGTYPE and whatever else the key may hold is not ours. */
#define LUA_READ \
	"local k,h=KEYS[1],ARGV[1]\n" \
	"local s=redis.pcall('GETRANGE',k,0,79)\n"

#define LUA_NOT_A_STRING \
	"if type(s)~='string' then\n" \
	" if string.find(s.err,'WRONGTYPE',1,true) then return 3 end\n" \
	" return s\n" \
	"end\n"

/* n: is h newer than s? nil when they are the same version. Leaves the flags in f (of s) and g (of h). */
#define LUA_COMPARE \
	"local n,g,b1,b2,b3,b4,b5,b6,b7,b8\n" \
	"local f,a1,a2,a3,a4,a5,a6,a7,a8=struct.unpack('>BxxxI6I2I6I2I4I4I4I4',s,5)\n" \
	"g,b1,b2,b3,b4,b5,b6,b7,b8=struct.unpack('>BxxxI6I2I6I2I4I4I4I4',h,5)\n" \
	"if a1~=b1 then n=b1>a1\n" \
	"elseif a2~=b2 then n=b2>a2\n" \
	"elseif (f%4>1)~=(g%4>1) then n=f%4>1\n" \
	"elseif f%2~=g%2 then n=g%2==1\n" \
	"elseif a3~=b3 then n=b3>a3\n" \
	"elseif a4~=b4 then n=b4>a4\n" \
	"elseif a5~=b5 then n=b5>a5\n" \
	"elseif a6~=b6 then n=b6>a6\n" \
	"elseif a7~=b7 then n=b7>a7\n" \
	"elseif a8~=b8 then n=b8>a8 end\n"

/* Is the value as long as its header says? A tombstone is a header alone. */
#define LUA_WHOLE \
	"redis.call('STRLEN',k)==80+(f%2==1 and 0 or struct.unpack('>I4',s,69))"

/* KEYS: key, tmp. ARGV: header, ttl_ms, grace_ms, expected. 1 stored, 2 equal, {3, head} foreign,
 * {4, header, pttl} newer, {4, header, pttl, 1} damaged. The TTL is set on tmp before the rename, not on the key after:
 * were PEXPIRE denied to us, the session would have taken over the few seconds of tmp. */
static const char put_script[] =
	LUA_READ
	"local t=KEYS[2]\n"
	"if s=='' and redis.call('EXISTS',k)==0 then\n"
	" redis.call('PEXPIRE',t,ARGV[2])\n"
	" redis.call('RENAME',t,k)\n"
	" return 1\n"
	"end\n"
	"local e=s==ARGV[4] and s~=''\n"
	"if type(s)~='string' or not e and (#s<80 or string.sub(s,1,4)~='MMS\\1') then\n"
	" redis.call('DEL',t)\n"
	" " LUA_NOT_A_STRING
	" return {3,s}\n"
	"end\n"
	"local p=redis.call('PTTL',k)\n"
	"local l=tonumber(ARGV[2])\n"
	"local w=p\n"
	"if not e then\n"
	LUA_COMPARE
	" if not n then\n"
	"  redis.call('DEL',t)\n"
	"  if n==nil and s~=h or not (" LUA_WHOLE ") then return {4,s,p,1} end\n"
	"  if p>=0 and l>p and (n==nil or f%2==0 and g%2==0) then\n"
	"   redis.call('PEXPIRE',k,l)\n"
	"   p=l\n"
	"  end\n"
	"  if n==nil then return 2 end\n"
	"  return {4,s,p}\n"
	" end\n"
	" if p>0 and g%2==1 and f%2==0 then w=p+tonumber(ARGV[3]) end\n"
	"end\n"
	"redis.call('PEXPIRE',t,w>l and w or l)\n"
	"redis.call('RENAME',t,k)\n"
	"return 1\n";

/* KEYS: key. ARGV: header, ttl_ms. 1 touched, {3, head} foreign, {4, header, pttl} newer or a tombstone,
 * {4, header, pttl, 1} newer but damaged, 5 lacking. */
static const char touch_script[] =
	LUA_READ
	LUA_NOT_A_STRING
	"if s=='' and redis.call('EXISTS',k)==0 then return 5 end\n"
	"if #s<80 or string.sub(s,1,4)~='MMS\\1' then return {3,s} end\n"
	LUA_COMPARE
	"if s~=h and n~=false then return 5 end\n"
	"local p=redis.call('PTTL',k)\n"
	"local l=tonumber(ARGV[2])\n"
	"if not (" LUA_WHOLE ") then\n"
	" if s==h then return 5 end\n"
	" return {4,s,p,1}\n"
	"end\n"
	"if f%2==1 then return {4,s,p} end\n"
	"if p>=0 and l>p then\n"
	" redis.call('PEXPIRE',k,l)\n"
	" p=l\n"
	"end\n"
	"if s==h then return 1 end\n"
	"return {4,s,p}\n";

static const char delete_if_script[] =
	"if redis.pcall('GET',KEYS[1])==ARGV[1] then return redis.call('DEL',KEYS[1]) end\n"
	"return 0\n";

static const char replace_if_script[] =
	"local v=redis.pcall('GET',KEYS[1])\n"
	"if (v or '')~=ARGV[1] then return 0 end\n"
	"if ARGV[3]~='0' then redis.call('SET',KEYS[1],ARGV[2],'PX',ARGV[3]) else redis.call('SET',KEYS[1],ARGV[2]) end\n"
	"return 1\n";

struct script {
	const char *text;
	size_t len;
	const char *sha1;
};

static const struct script scripts[MMS_SCRIPT_COUNT] = {
	[MMS_SCRIPT_PUT] = {put_script, sizeof(put_script) - 1, "eb07d80e507ea38ed386d47478fa83c4f1c80f56"},
	[MMS_SCRIPT_TOUCH] = {touch_script, sizeof(touch_script) - 1, "81e649e1602549395af3973e5c2b76e2498cd891"},
	[MMS_SCRIPT_DELETE_IF] = {delete_if_script, sizeof(delete_if_script) - 1,
		"72b068665a3718053783485aaf4f74f0eeb9e62a"},
	[MMS_SCRIPT_REPLACE_IF] = {replace_if_script, sizeof(replace_if_script) - 1,
		"dfd6eb71d954a22b8e3c7604033fc256250bd86e"},
};

/* Codes that the scripts answer with. */
enum { ANSWER_STORED = 1, ANSWER_EQUAL = 2, ANSWER_FOREIGN = 3, ANSWER_NEWER = 4, ANSWER_LACKING = 5 };

#define NUMBER_LEN_MAX 20 /* digits of 2^64 - 1 */

static void begin(struct mms_command *command, const char *verb, unsigned argument_count);
static void argument(struct mms_command *command, struct mms_slice value);
static void word(struct mms_command *command, const char *text);
static void number(struct mms_command *command, uint64_t value);
static void length_line(struct mms_command *command, char type, uint64_t value);
static char *digits_before(char *end, uint64_t value);
static void copy(struct mms_command *command, const void *bytes, size_t len);
static void borrow(struct mms_command *command, const void *bytes, size_t len);
static void set_record(struct mms_command *command, struct mms_slice key, const unsigned char *header,
		struct mms_slice payload, uint64_t ttl_ms);
static void evalsha(struct mms_command *command, enum mms_script script, unsigned key_count, unsigned argument_count);
static struct mms_slice header_slice(const unsigned char *header);
static uint64_t within(uint64_t value, uint64_t min, uint64_t max);
static void parse_answer(const struct mms_reply *answer, struct mms_put_result *out);
static bool parse_details(const struct mms_reply *answer, struct mms_put_result *out);
static void put_error(const struct mms_reply *reply, const char *what, struct mms_put_result *out);

void mms_command_init(struct mms_command *command)
{
	command->part_count = 0;
	command->reply_count = 0;
	command->leading_count = 0;
	command->bound = false;
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
		begin(command, "SCRIPT", 3);
		word(command, "LOAD");
		length_line(command, '$', scripts[index].len);
		borrow(command, scripts[index].text, scripts[index].len);
		copy(command, "\r\n", 2);
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
	begin(command, "HGETALL", 2);
	argument(command, key);
}

void mms_command_hash_set(struct mms_command *command, struct mms_slice key, struct mms_slice field,
		struct mms_slice value, uint64_t ttl_ms)
{
	begin(command, "HSET", 4);
	argument(command, key);
	argument(command, field);
	argument(command, value);
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
	begin(command, "GETRANGE", 4);
	argument(command, key);
	number(command, 0);
	number(command, MMS_RECORD_HEADER_SIZE - 1);
	begin(command, "PTTL", 2);
	argument(command, key);
}

void mms_command_put(struct mms_command *command, struct mms_slice key, struct mms_slice tmp_key,
		const unsigned char *header, struct mms_slice payload, uint64_t ttl_ms, uint64_t grace_ms,
		struct mms_slice expected)
{
	set_record(command, tmp_key, header, payload, MMS_COMMAND_TMP_TTL_MS);
	evalsha(command, MMS_SCRIPT_PUT, 2, 4);
	argument(command, key);
	argument(command, tmp_key);
	argument(command, header_slice(header));
	number(command, within(ttl_ms, 1, MMS_COMMAND_TTL_MAX_MS));
	number(command, within(grace_ms, 0, MMS_COMMAND_TTL_MAX_MS));
	argument(command, expected);
}

void mms_command_put_watched(struct mms_command *command, struct mms_slice key, const unsigned char *header,
		struct mms_slice payload, uint64_t ttl_ms)
{
	begin(command, "MULTI", 1);
	command->leading_count = command->reply_count;
	command->bound = true;
	set_record(command, key, header, payload, within(ttl_ms, 1, MMS_COMMAND_TTL_MAX_MS));
	begin(command, "EXEC", 1);
}

void mms_command_touch(struct mms_command *command, struct mms_slice key, const unsigned char *header, uint64_t ttl_ms)
{
	evalsha(command, MMS_SCRIPT_TOUCH, 1, 2);
	argument(command, key);
	argument(command, header_slice(header));
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
}

void mms_command_parse_put(const struct mms_reply *first, const struct mms_reply *second, struct mms_put_result *out)
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

void mms_command_parse_watched(const struct mms_reply *first, const struct mms_reply *second,
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

const char *mms_command_script_text(enum mms_script script)
{
	return scripts[script].text;
}

const char *mms_command_script_sha1(enum mms_script script)
{
	return scripts[script].sha1;
}

/* Starts one command; the rest of its argument_count arguments, of which the verb is the first, have to follow. */
static void begin(struct mms_command *command, const char *verb, unsigned argument_count)
{
	length_line(command, '*', argument_count);
	word(command, verb);
	command->reply_count++;
}

static void argument(struct mms_command *command, struct mms_slice value)
{
	length_line(command, '$', value.len);
	copy(command, value.ptr, value.len);
	copy(command, "\r\n", 2);
}

static void word(struct mms_command *command, const char *text)
{
	argument(command, mms_slice_of(text));
}

static void number(struct mms_command *command, uint64_t value)
{
	char digits[NUMBER_LEN_MAX];
	char *first = digits_before(digits + sizeof(digits), value);

	argument(command, (struct mms_slice) {first, (size_t) (digits + sizeof(digits) - first)});
}

static void length_line(struct mms_command *command, char type, uint64_t value)
{
	char line[1 + NUMBER_LEN_MAX + 2];
	char *first = digits_before(line + sizeof(line) - 2, value);

	*--first = type;
	memcpy(line + sizeof(line) - 2, "\r\n", 2);
	copy(command, first, (size_t) (line + sizeof(line) - first));
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

/* Into the scratch, continuing the last part where that ends at the scratch's end. */
static void copy(struct mms_command *command, const void *bytes, size_t len)
{
	char *target = command->scratch + command->scratch_used;

	if (command->overflow || len > sizeof(command->scratch) - command->scratch_used) {
		command->overflow = true;
		return;
	}
	if (len == 0) {
		return;
	}
	memcpy(target, bytes, len);
	command->scratch_used += (uint32_t) len;
	if (command->part_count > 0) {
		struct iovec *last = &command->parts[command->part_count - 1];

		if ((char *) last->iov_base + last->iov_len == target) {
			last->iov_len += len;
			return;
		}
	}
	borrow(command, target, len);
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
		struct mms_slice payload, uint64_t ttl_ms)
{
	begin(command, "SET", 5);
	argument(command, key);
	length_line(command, '$', MMS_RECORD_HEADER_SIZE + (uint64_t) payload.len);
	copy(command, header, MMS_RECORD_HEADER_SIZE);
	borrow(command, payload.ptr, payload.len);
	copy(command, "\r\n", 2);
	word(command, "PX");
	number(command, ttl_ms);
}

static void evalsha(struct mms_command *command, enum mms_script script, unsigned key_count, unsigned argument_count)
{
	begin(command, "EVALSHA", 3 + key_count + argument_count);
	word(command, scripts[script].sha1);
	number(command, key_count);
}

static struct mms_slice header_slice(const unsigned char *header)
{
	return (struct mms_slice) {(const char *) header, MMS_RECORD_HEADER_SIZE};
}

static uint64_t within(uint64_t value, uint64_t min, uint64_t max)
{
	return value < min ? min : value > max ? max : value;
}

static void parse_answer(const struct mms_reply *answer, struct mms_put_result *out)
{
	const struct mms_reply *code = mms_reply_type(answer) == MMS_REPLY_ARRAY ? mms_reply_element(answer, 0) : answer;

	switch (code == NULL ? 0 : mms_reply_integer(code)) {
	case ANSWER_STORED:
		out->outcome = MMS_PUT_STORED;
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
	mms_text_copy(out->error_text, sizeof(out->error_text),
			class_ == MMS_CLASS_NONE ? mms_slice_of(what) : mms_reply_text(reply));
}
