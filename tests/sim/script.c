/* redis.call, redis.pcall, redis.error_reply, KEYS, ARGV, struct.unpack, and Redis' conversion of what a script returns. The state lives for
 * the whole run; scripts are compiled once and keep nothing between calls. */
#include "script.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mms_command.h"
#include "sched.h"
#include "transaction.h"
#include "world.h"

static lua_State *lua;
static int functions[MMS_SCRIPT_COUNT];
static struct node *current;

void *__real_realloc(void *old, size_t size);
void __real_free(void *memory);

static void *allocate(void *context, void *old, size_t old_size, size_t size)
{
	(void)context;
	(void)old_size;
	if (size == 0) {
		__real_free(old);
		return NULL;
	}
	return __real_realloc(old, size);
}

/* struct.unpack(format, text, position): '>', 'x', 'B', 'I<n>'. */
static int unpack(lua_State *state)
{
	const char *format = luaL_checkstring(state, 1);
	size_t len, at;
	const unsigned char *text = (const unsigned char *)luaL_checklstring(state, 2, &len);
	int results = 0;

	at = (size_t)luaL_optinteger(state, 3, 1) - 1;
	for (; *format != '\0'; format++) {
		unsigned bytes = 1;
		double number = 0;

		if (*format == '>') {
			continue;
		}
		if (*format == 'I') {
			bytes = (unsigned)(*++format - '0');
		} else if (*format != 'x' && *format != 'B') {
			return luaL_error(state, "sim: struct.unpack does not know %c", *format);
		}
		if (at + bytes > len) {
			return luaL_error(state, "data string too short");
		}
		for (unsigned i = 0; i < bytes; i++) {
			number = number * 256 + text[at + i];
		}
		at += bytes;
		if (*format != 'x') {
			lua_pushnumber(state, number);
			results++;
		}
	}
	lua_pushnumber(state, (double)(at + 1));
	return results + 1;
}

static const char *text_at(lua_State *state, int index, size_t *len)
{
	if (!lua_isstring(state, index)) {
		luaL_error(state, "Lua redis() command arguments must be strings or integers");
	}
	return lua_tolstring(state, index, len);
}

static void push_status(lua_State *state, const char *text)
{
	lua_createtable(state, 0, 1);
	lua_pushstring(state, text);
	lua_setfield(state, -2, "ok");
}

static int64_t expiry_of(lua_State *state, int index)
{
	return sched_now() + (int64_t)lua_tonumber(state, index) * 1000;
}

static int call(lua_State *state)
{
	size_t verb_len, key_len = 0, len = 0;
	const char *verb = text_at(state, 1, &verb_len), *key = text_at(state, 2, &key_len);
	struct entry *entry = node_find(current, key, key_len);

	if (strcmp(verb, "GETRANGE") == 0) {
		size_t end = (size_t)lua_tonumber(state, 4) + 1;

		lua_pushlstring(state, entry == NULL ? "" : entry->value,
				entry == NULL ? 0 : entry->value_len < end ? entry->value_len : end);
	} else if (strcmp(verb, "GET") == 0) {
		if (entry == NULL) {
			lua_pushboolean(state, 0);
		} else {
			lua_pushlstring(state, entry->value, entry->value_len);
		}
	} else if (strcmp(verb, "EXISTS") == 0) {
		lua_pushnumber(state, entry != NULL);
	} else if (strcmp(verb, "STRLEN") == 0) {
		lua_pushnumber(state, entry == NULL ? 0 : entry->value_len);
	} else if (strcmp(verb, "PTTL") == 0) {
		lua_pushnumber(state, (double)node_pttl(current, key, key_len));
	} else if (strcmp(verb, "PEXPIRE") == 0) {
		if (entry != NULL) {
			entry->expires_at = expiry_of(state, 3);
			transaction_touched(current, key, key_len);
		}
		lua_pushnumber(state, entry != NULL);
	} else if (strcmp(verb, "HGET") == 0 || strcmp(verb, "HDEL") == 0) {
		const char *field = text_at(state, 3, &len);
		char composed[NODE_FIELD_MAX];
		size_t composed_len = node_field_key(key, key_len, field, len, composed);

		entry = node_find(current, composed, composed_len);
		if (strcmp(verb, "HDEL") == 0) {
			lua_pushnumber(state, node_delete(current, composed, composed_len));
		} else if (entry == NULL) {
			lua_pushboolean(state, 0);
		} else {
			lua_pushlstring(state, entry->value, entry->value_len);
		}
	} else if (strcmp(verb, "DEL") == 0) {
		lua_pushnumber(state, node_delete(current, key, key_len));
	} else if (strcmp(verb, "RENAME") == 0) {
		const char *to = text_at(state, 3, &len);

		if (!node_rename(current, key, key_len, to, len)) {
			return luaL_error(state, "ERR no such key");
		}
		push_status(state, "OK");
	} else if (strcmp(verb, "SET") == 0) {
		const char *value = text_at(state, 3, &len);

		node_set(current, key, key_len, value, len, lua_gettop(state) >= 5 ? expiry_of(state, 5) : NODE_NO_EXPIRY);
		push_status(state, "OK");
	} else {
		world_fail("a script called %s, which the simulated node does not know", verb);
		return luaL_error(state, "ERR unknown command");
	}
	return 1;
}

/* redis.error_reply: the script ends with it, and nothing was done. */
static int error_reply(lua_State *state)
{
	lua_createtable(state, 0, 1);
	lua_pushvalue(state, 1);
	lua_setfield(state, -2, "err");
	return 1;
}

static void start(void)
{
	lua = lua_newstate(allocate, NULL);
	luaL_openlibs(lua);
	lua_createtable(lua, 0, 3);
	lua_pushcfunction(lua, call);
	lua_setfield(lua, -2, "call");
	lua_pushcfunction(lua, call);
	lua_setfield(lua, -2, "pcall"); /* no command of ours fails on a key of ours */
	lua_pushcfunction(lua, error_reply);
	lua_setfield(lua, -2, "error_reply");
	lua_setglobal(lua, "redis");
	lua_createtable(lua, 0, 1);
	lua_pushcfunction(lua, unpack);
	lua_setfield(lua, -2, "unpack");
	lua_setglobal(lua, "struct");
	for (int i = 0; i < MMS_SCRIPT_COUNT; i++) {
		const char *text = mms_command_script_text((enum mms_script)i);

		if (luaL_loadbuffer(lua, text, strlen(text), "script") != 0) {
			fprintf(stderr, "sim: script %d: %s\n", i, lua_tostring(lua, -1));
			exit(2);
		}
		functions[i] = luaL_ref(lua, LUA_REGISTRYINDEX);
	}
}

int script_by_text(const char *text, size_t len)
{
	for (int i = 0; i < MMS_SCRIPT_COUNT; i++) {
		const char *own = mms_command_script_text((enum mms_script)i);

		if (strlen(own) == len && memcmp(own, text, len) == 0) {
			return i;
		}
	}
	return -1;
}

int script_by_sha1(const char *sha1, size_t len)
{
	for (int i = 0; i < MMS_SCRIPT_COUNT && len == 40; i++) {
		if (memcmp(mms_command_script_sha1((enum mms_script)i), sha1, 40) == 0) {
			return i;
		}
	}
	return -1;
}

static void set_table(const char *name, const struct argument *values, unsigned count)
{
	lua_createtable(lua, (int)count, 0);
	for (unsigned i = 0; i < count; i++) {
		lua_pushlstring(lua, values[i].ptr, values[i].len);
		lua_rawseti(lua, -2, (int)i + 1);
	}
	lua_setglobal(lua, name);
}

/* As Redis: numbers lose their fraction, false is nil, a table is a status, an error, or an array up to its first nil. */
static void convert(struct reply *reply)
{
	size_t len;
	const char *text;

	switch (lua_type(lua, -1)) {
	case LUA_TNUMBER:
		reply_printf(reply, ":%lld\r\n", (long long)lua_tonumber(lua, -1));
		break;
	case LUA_TSTRING:
		text = lua_tolstring(lua, -1, &len);
		reply_bulk(reply, text, len);
		break;
	case LUA_TBOOLEAN:
		reply_printf(reply, lua_toboolean(lua, -1) ? ":1\r\n" : "$-1\r\n");
		break;
	case LUA_TTABLE:
		lua_getfield(lua, -1, "err");
		if (lua_isstring(lua, -1)) {
			reply_printf(reply, "-%s\r\n", lua_tostring(lua, -1));
			lua_pop(lua, 1);
			break;
		}
		lua_pop(lua, 1);
		reply_printf(reply, "*%d\r\n", (int)lua_objlen(lua, -1));
		for (int i = 1; i <= (int)lua_objlen(lua, -1); i++) {
			lua_rawgeti(lua, -1, i);
			convert(reply);
			lua_pop(lua, 1);
		}
		break;
	default:
		reply_printf(reply, "$-1\r\n");
		break;
	}
}

void script_run(struct node *node, int script, const struct argument *keys, unsigned key_count,
		const struct argument *arguments, unsigned argument_count, struct reply *reply)
{
	if (lua == NULL) {
		start();
	}
	current = node;
	set_table("KEYS", keys, key_count);
	set_table("ARGV", arguments, argument_count);
	lua_rawgeti(lua, LUA_REGISTRYINDEX, functions[script]);
	if (lua_pcall(lua, 0, 1, 0) != 0) {
		const char *text = lua_tostring(lua, -1);

		/* RENAME of a tmp key that has expired, or was flushed, before its script came: any server says so. */
		if (strstr(text, "ERR no such key") == NULL) {
			world_fail("script %d: %s", script, text);
		}
		reply_printf(reply, "-ERR no such key script: %s\r\n", mms_command_script_sha1((enum mms_script)script));
	} else {
		convert(reply);
	}
	lua_settop(lua, 0);
}
