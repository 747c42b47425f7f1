/* The merge order three times: mms_version_compare(), the scripts that nodes run (in the Lua that Redis has, on a node
 * of a few lines), and the plain reference below. Three records in any order must leave the same bytes on a node, and
 * every answer of the scripts must be the reference's. Input: what the three versions are made of, few values of many, so
 * that they are often equal or next to each other.
 *
 * TEST LINK: mms_record mms_command    TEST PACKAGES: lua5.1    TEST OPTIONS: -max_len=64 -detect_leaks=0 (Lua frees when it likes) */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "mms_command.h"
#include "mms_record.h"

#define KEY "shop:4f1c9d0e7b6a"
#define RECORDS 3
#define FIELDS 7
#define GRACE_MS 3600000
#define VALUE_MAX (MMS_RECORD_HEADER_SIZE + 8)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct value {
	int there;
	size_t len;
	unsigned char bytes[VALUE_MAX];
	double ttl_ms;
};

struct record {
	struct mms_record_header header;
	struct value value;
};

static struct value node[2]; /* at the key, and at tmp */
static lua_State *lua;
static int functions[MMS_SCRIPT_COUNT];

#define check(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "line %d: not true: %s\n", __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

/* The reference. "Newer" is: the greater of these, compared one after the other. */
static void rank(const struct mms_version *version, uint64_t out[FIELDS])
{
	out[0] = version->incarnation;
	out[1] = !version->blind;
	out[2] = version->blind ? version->generation : 0;
	out[3] = version->tombstone;
	out[4] = version->hlc;
	out[5] = version->writer;
	out[6] = version->sequence;
}

static int reference(const struct mms_version *a, const struct mms_version *b)
{
	uint64_t of_a[FIELDS], of_b[FIELDS];

	rank(a, of_a);
	rank(b, of_b);
	for (unsigned field = 0; field < FIELDS; field++) {
		if (of_a[field] != of_b[field]) {
			return of_a[field] > of_b[field] ? 1 : -1;
		}
	}
	return 0;
}

static int sign(int number)
{
	return (number > 0) - (number < 0);
}

static struct value *value_of(const char *key)
{
	return strcmp(key, "tmp") == 0 ? &node[1] : &node[0];
}

/* redis.call() and redis.pcall(), as far as the scripts go. */
static int call(lua_State *state)
{
	const char *verb = luaL_checkstring(state, 1);
	struct value *value = value_of(luaL_checkstring(state, 2));

	if (strcmp(verb, "GETRANGE") == 0) {
		lua_pushlstring(state, (const char *) value->bytes, value->there ? value->len < 80 ? value->len : 80 : 0);
	} else if (strcmp(verb, "EXISTS") == 0) {
		lua_pushnumber(state, value->there);
	} else if (strcmp(verb, "STRLEN") == 0) {
		lua_pushnumber(state, (lua_Number) value->len);
	} else if (strcmp(verb, "PTTL") == 0) {
		lua_pushnumber(state, value->there ? value->ttl_ms : -2);
	} else if (strcmp(verb, "PEXPIRE") == 0) {
		check(value->there && luaL_checknumber(state, 3) > 0);
		value->ttl_ms = luaL_checknumber(state, 3);
		lua_pushnumber(state, 1);
	} else if (strcmp(verb, "DEL") == 0) {
		value->there = 0;
		lua_pushnumber(state, 1);
	} else {
		check(strcmp(verb, "RENAME") == 0 && value->there);
		*value_of(luaL_checkstring(state, 3)) = *value;
		value->there = 0;
		lua_pushboolean(state, 1);
	}
	return 1;
}

/* struct.unpack() for big-endian numbers and skipped bytes. */
static int unpack(lua_State *state)
{
	const char *format = luaL_checkstring(state, 1);
	size_t len, at = (size_t) luaL_checknumber(state, 3) - 1;
	const unsigned char *bytes = (const unsigned char *) luaL_checklstring(state, 2, &len);
	int results = 0;

	check(*format++ == '>');
	for (; *format != '\0'; format++) {
		unsigned width = *format == 'I' ? (unsigned) (*++format - '0') : 1;
		uint64_t number = 0;

		check(at + width <= len && width <= 6);
		for (; width > 0; width--) {
			number = number << 8 | bytes[at++];
		}
		if (*format != 'x') {
			lua_pushnumber(state, (lua_Number) number);
			results++;
		}
	}
	return results;
}

static void prepare(void)
{
	lua = luaL_newstate();
	check(lua != NULL);
	luaL_openlibs(lua);
	lua_newtable(lua);
	lua_pushcfunction(lua, call);
	lua_setfield(lua, -2, "call");
	lua_pushcfunction(lua, call);
	lua_setfield(lua, -2, "pcall");
	lua_setglobal(lua, "redis");
	lua_newtable(lua);
	lua_pushcfunction(lua, unpack);
	lua_setfield(lua, -2, "unpack");
	lua_setglobal(lua, "struct");
	for (int script = 0; script <= MMS_SCRIPT_TOUCH; script++) {
		const char *text = mms_command_script_text((enum mms_script) script);

		check(luaL_loadbuffer(lua, text, strlen(text), "script") == 0);
		functions[script] = luaL_ref(lua, LUA_REGISTRYINDEX);
	}
}

/* Runs a script with these arguments; returns its number, or the first of its list, and the list's length in *count. */
static int run_script(enum mms_script script, const struct record *record, double ttl_ms, size_t *count)
{
	char number[32];
	int answer, given = 0;

	lua_newtable(lua);
	lua_pushstring(lua, KEY);
	lua_rawseti(lua, -2, 1);
	lua_pushstring(lua, "tmp");
	lua_rawseti(lua, -2, 2);
	lua_setglobal(lua, "KEYS");
	lua_newtable(lua);
	if (script == MMS_SCRIPT_TOUCH) {
		lua_pushlstring(lua, (const char *) record->value.bytes, MMS_RECORD_HEADER_SIZE);
		lua_rawseti(lua, -2, ++given);
	}
	/* As mms_command_put(): not what the header says anyway. */
	if (script == MMS_SCRIPT_TOUCH || ttl_ms != 1000.0 * mms_record_lifetime_s(record->value.bytes)) {
		snprintf(number, sizeof(number), "%.0f", ttl_ms);
		lua_pushstring(lua, number);
		lua_rawseti(lua, -2, ++given);
	}
	lua_setglobal(lua, "ARGV");
	lua_rawgeti(lua, LUA_REGISTRYINDEX, functions[script]);
	if (lua_pcall(lua, 0, 1, 0) != 0) {
		fprintf(stderr, "%s\n", lua_tostring(lua, -1));
		abort();
	}
	*count = 0;
	if (lua_istable(lua, -1)) {
		*count = lua_objlen(lua, -1);
		lua_rawgeti(lua, -1, 1);
		answer = (int) lua_tonumber(lua, -1);
		lua_pop(lua, 1);
	} else {
		answer = (int) lua_tonumber(lua, -1);
	}
	lua_pop(lua, 1);
	return answer;
}

/* A live write of the same incarnation that is newer than what the record was based on. */
static int is_unread(const struct mms_record_header *stands, const struct mms_record_header *header)
{
	const struct mms_version *a = &stands->version;

	if (a->tombstone || header->version.tombstone || a->incarnation != header->version.incarnation) {
		return 0;
	}
	if (a->hlc != header->base_hlc) {
		return a->hlc > header->base_hlc;
	}
	return a->writer != header->base_writer ? a->writer > header->base_writer : a->sequence > header->base_sequence;
}

static int put(const struct record *record, double ttl_ms)
{
	const struct value before = node[0];
	struct mms_record_header stands;
	size_t count;
	int answer, order = 1;

	if (before.there) {
		check(mms_record_decode((struct mms_slice){ (const char *) before.bytes, before.len }, mms_slice_of(KEY), &stands)
				== MMS_RECORD_GOOD);
		order = reference(&record->header.version, &stands.version);
	}
	node[1] = record->value;
	node[1].ttl_ms = 10000;
	answer = run_script(MMS_SCRIPT_PUT, record, ttl_ms, &count);
	check(!node[1].there);
	if (order > 0) {
		check(answer == (before.there && is_unread(&stands, &record->header) ? 6 : 1));
		check(memcmp(node[0].bytes, record->value.bytes, record->value.len) == 0 && node[0].len == record->value.len);
		check(node[0].ttl_ms >= ttl_ms && (!before.there || node[0].ttl_ms >= before.ttl_ms));
		if (before.there && record->header.version.tombstone && !stands.version.tombstone) {
			check(node[0].ttl_ms >= before.ttl_ms + GRACE_MS);
		}
	} else {
		const int same = before.len == record->value.len && memcmp(before.bytes, record->value.bytes, 80) == 0;

		check(answer == (order == 0 && same ? 2 : 4));
		check(answer == 2 || count == (size_t) (order == 0 ? 4 : 3));
		check(memcmp(node[0].bytes, before.bytes, before.len) == 0 && node[0].len == before.len);
		check(node[0].ttl_ms >= before.ttl_ms);
	}
	return order;
}

static void touch(const struct record *record, double ttl_ms)
{
	const struct value before = node[0];
	struct mms_record_header stands;
	size_t count;
	int answer, order;

	check(mms_record_decode((struct mms_slice){ (const char *) before.bytes, before.len }, mms_slice_of(KEY), &stands)
			== MMS_RECORD_GOOD);
	order = reference(&record->header.version, &stands.version);
	answer = run_script(MMS_SCRIPT_TOUCH, record, ttl_ms, &count);
	if (memcmp(before.bytes, record->value.bytes, MMS_RECORD_HEADER_SIZE) == 0) {
		check(answer == (stands.version.tombstone ? 4 : 1));
	} else {
		check(answer == (order < 0 ? 4 : 5));
	}
	check(memcmp(node[0].bytes, before.bytes, before.len) == 0 && node[0].there);
	check(node[0].ttl_ms == (answer != 5 && !stands.version.tombstone && ttl_ms > before.ttl_ms ? ttl_ms : before.ttl_ms));
}

static uint64_t number_of(const uint8_t *data, uint64_t max)
{
	static const uint64_t bases[] = { 0, 1, 0xff, 0xffff, 0x10000, UINT32_MAX, UINT64_C(1) << 32, (UINT64_C(1) << 48) - 1,
		UINT64_C(1) << 48, (UINT64_C(1) << 53) - 1, UINT64_C(1) << 53, UINT64_C(1) << 63, UINT64_MAX,
		UINT64_C(0x0001999999999999), UINT64_C(0x199a2b3c4d5e0000), UINT64_C(0x8000000000000000) };
	const uint64_t base = bases[data[0] % 16] ^ (data[1] % 4 == 0 ? 0 : UINT64_C(1) << (data[1] / 4));

	return base & max;
}

static void make(struct record *record, const uint8_t *data)
{
	static const char payload[] = "a|s:1:\"b";
	struct mms_version *version = &record->header.version;
	size_t len = data[9] % 8;

	memset(record, 0, sizeof(*record));
	version->tombstone = data[0] & 1;
	version->blind = (data[0] & 2) != 0;
	version->generation = version->blind ? data[0] >> 2 & 3 : 0;
	version->incarnation = number_of(data + 1, UINT64_MAX);
	version->hlc = number_of(data + 3, UINT64_MAX);
	version->writer = number_of(data + 5, UINT64_MAX);
	version->sequence = number_of(data + 7, (UINT64_C(1) << 48) - 1);
	record->header.lifetime_s = data[10] % 2;
	len = version->tombstone ? 0 : len;
	mms_record_describe(&record->header, (struct mms_slice){ payload, len });
	mms_record_encode(&record->header, mms_slice_of(KEY), record->value.bytes);
	memcpy(record->value.bytes + MMS_RECORD_HEADER_SIZE, payload, len);
	record->value.len = MMS_RECORD_HEADER_SIZE + len;
	record->value.there = 1;
}

static void compare(const struct record *a, const struct record *b)
{
	struct mms_record_header decoded;

	check(sign(mms_version_compare(&a->header.version, &b->header.version))
			== reference(&a->header.version, &b->header.version));
	check(mms_record_decode((struct mms_slice){ (const char *) a->value.bytes, a->value.len }, mms_slice_of(KEY), &decoded)
			== MMS_RECORD_GOOD);
	check(reference(&decoded.version, &a->header.version) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t orders[6][RECORDS] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };
	struct record records[RECORDS];
	const struct record *newest = &records[0];
	int ambiguous = 0;

	if (size < RECORDS * 11 + 2) {
		return 0;
	}
	if (lua == NULL) {
		prepare();
	}
	for (unsigned i = 0; i < RECORDS; i++) {
		make(&records[i], data + i * 11);
	}
	for (unsigned i = 0; i < RECORDS * RECORDS; i++) {
		const struct record *a = &records[i / RECORDS], *b = &records[i % RECORDS];

		compare(a, b);
		ambiguous |= reference(&a->header.version, &b->header.version) == 0
				&& memcmp(&a->value, &b->value, sizeof(a->value)) != 0;
		newest = reference(&a->header.version, &newest->header.version) > 0 ? a : newest;
	}
	/* One order in full; and another, which must end the same. One version has one content, or it is damage. */
	for (unsigned turn = 0; turn < 2; turn++) {
		memset(node, 0, sizeof(node));
		for (unsigned i = 0; i < RECORDS; i++) {
			(void) put(&records[orders[data[RECORDS * 11 + turn] % 6][i]], 1000 * (i + 1));
		}
		check(ambiguous || (node[0].len == newest->value.len
				&& memcmp(node[0].bytes, newest->value.bytes, node[0].len) == 0));
	}
	touch(&records[data[RECORDS * 11] % RECORDS], 1000 * data[RECORDS * 11 + 1]);
	return 0;
}
