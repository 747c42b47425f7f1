/* Commands in, replies out, one chunk at a time. Keys are few: a list is enough. */
#include "node.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "net.h"
#include "promises.h"
#include "script.h"
#include "tokens.h"
#include "trace.h"
#include "transaction.h"
#include "world.h"

#define PLACES_PER_SCAN 3

#define ARGUMENTS_MAX 16

static void new_server(struct node *node)
{
	static const char digits[] = "0123456789abcdef";

	node->life++;
	node->watchers = NULL;
	for (int i = 0; i < 40; i++) {
		node->run_id[i] = digits[random_below(&sched_random, 16)];
	}
	node->run_id[40] = '\0';
	memset(node->scripts_loaded, 0, sizeof node->scripts_loaded);
	node->refuses_writes = node->loading = false;
}

void node_start(struct node *node, unsigned index)
{
	memset(node, 0, offsetof(struct node, content));
	node->content.count = 0;
	node->has_dump = false;
	node->index = index;
	node->state = NODE_RUNNING;
	new_server(node);
}

void node_kill(struct node *node)
{
	node->state = NODE_DEAD;
	node->life++;
	net_server_gone(node->index);
}

void node_restart(struct node *node)
{
	if (node->state == NODE_DEAD) {
		node->state = NODE_RUNNING;
		new_server(node);
	}
}

void node_stop(struct node *node)
{
	if (node->state == NODE_RUNNING) {
		node->state = NODE_STOPPED;
	}
}

void node_continue(struct node *node)
{
	if (node->state == NODE_STOPPED) {
		node->state = NODE_RUNNING;
		node->backlog = 0;
		net_server_goes_on(node->index);
	}
}

void node_flush(struct node *node)
{
	node->content.count = 0;
	transaction_touched(node, NULL, 0);
	node->emptied_count++;
	tokens_emptied(node->index);
	promises_lost((int)node->index);
}

void node_empty(struct node *node)
{
	node_flush(node);
}

static void copy_content(struct content *to, const struct content *from)
{
	to->count = from->count;
	memcpy(to->entries, from->entries, from->count * sizeof from->entries[0]);
	for (unsigned i = 0; i < to->count; i++) {
		struct entry *entry = &to->entries[i];

		entry->key = memcpy(malloc(entry->key_len + 1u), entry->key, entry->key_len);
		entry->value = memcpy(malloc(entry->value_len + 1u), entry->value, entry->value_len);
	}
}

/* One bit at a time: a session of which every copy is damaged is beyond help. */
static bool is_damaged_elsewhere(const struct entry *entry)
{
	for (unsigned i = 0; i < world.node_count; i++) {
		struct entry *other = node_find(&world.nodes[i], entry->key, entry->key_len);

		if (other != NULL && other->damaged) {
			return true;
		}
	}
	return false;
}

void node_damage(struct node *node)
{
	struct reference_version version;
	struct entry *chosen = NULL;
	uint32_t seen = 0, at;
	unsigned session;

	for (unsigned i = 0; i < node->content.count; i++) {
		struct entry *entry = &node->content.entries[i];

		if (entry->key_len > 5 && memcmp(entry->key, PREFIX "s", 5) == 0 && entry->value_len >= REFERENCE_HEADER
				&& entry->expires_at > sched_now() && !is_damaged_elsewhere(entry) && random_one_in(&sched_random, ++seen)) {
			chosen = entry;
		}
	}
	if (chosen != NULL && check_session_of(chosen->key, chosen->key_len, &session)
			&& reference_decode(chosen->value, chosen->value_len, &version)) {
		tokens_damaged(node->index, session, &version);
		/* Of a node that is nobody's local one only headers are read, and its payloads' damage is found later. */
		at = random_below(&sched_random, node->index < world.host_count ? chosen->value_len : REFERENCE_HEADER);
		chosen->value[at] = (char)(chosen->value[at] ^ 1 << random_below(&sched_random, 8));
		chosen->damaged = true;
		node->emptied_count++; /* what was seen there before says nothing now */
		promises_damaged(node->index, session, &version);
	}
}

void node_take_dump(struct node *node)
{
	copy_content(&node->dump, &node->content);
	node->has_dump = true;
}

void node_restore_dump(struct node *node)
{
	if (node->has_dump) {
		copy_content(&node->content, &node->dump);
		node->emptied_count++;
		tokens_emptied(node->index);
		promises_lost((int)node->index);
	}
}

struct entry *node_find(struct node *node, const char *key, size_t len)
{
	struct content *content = &node->content;

	for (unsigned i = 0; i < content->count; i++) {
		struct entry *entry = &content->entries[i];

		if (entry->key_len == len && memcmp(entry->key, key, len) == 0) {
			if (entry->expires_at <= sched_now()) {
				node_delete(node, key, len);
				return NULL;
			}
			return entry;
		}
	}
	return NULL;
}

void node_set(struct node *node, const char *key, size_t key_len, const char *value, size_t len, int64_t expires_at)
{
	struct content *content = &node->content;
	struct entry *entry = node_find(node, key, key_len);

	check_stored(node, key, key_len, entry, value, len, expires_at);
	transaction_touched(node, key, key_len);
	if (entry == NULL) {
		if (content->count == NODE_KEYS_MAX) {
			world_fail("node %u holds %u keys: more than a schedule has", node->index, content->count);
			return;
		}
		entry = &content->entries[content->count++];
		entry->key = memcpy(malloc(key_len + 1), key, key_len);
		entry->key_len = (uint32_t)key_len;
	} else {
		free(entry->value);
	}
	entry->value = memcpy(malloc(len + 1), value, len);
	entry->value_len = (uint32_t)len;
	entry->expires_at = expires_at;
	entry->damaged = false;
}

bool node_delete(struct node *node, const char *key, size_t len)
{
	struct content *content = &node->content;

	for (unsigned i = 0; i < content->count; i++) {
		struct entry *entry = &content->entries[i];

		if (entry->key_len == len && memcmp(entry->key, key, len) == 0) {
			bool lived = entry->expires_at > sched_now();

			transaction_touched(node, key, len);
			if (lived) {
				check_deleted(node, entry);
			}
			free(entry->key);
			free(entry->value);
			*entry = content->entries[--content->count];
			return lived;
		}
	}
	return false;
}

bool node_rename(struct node *node, const char *from, size_t from_len, const char *to, size_t to_len)
{
	struct entry *entry = node_find(node, from, from_len), moved;

	if (entry == NULL) {
		return false;
	}
	moved = *entry;
	*entry = node->content.entries[--node->content.count];
	node_set(node, to, to_len, moved.value, moved.value_len, moved.expires_at);
	free(moved.key);
	free(moved.value);
	return true;
}

int64_t node_pttl(struct node *node, const char *key, size_t len)
{
	const struct entry *entry = node_find(node, key, len);

	return entry == NULL ? -2 : entry->expires_at == NODE_NO_EXPIRY ? -1 : (entry->expires_at - sched_now()) / 1000;
}

void reply_raw(struct reply *reply, const char *bytes, size_t len)
{
	if (reply->len + len > reply->size) {
		reply->size = (reply->len + len) * 2 + 256;
		reply->bytes = realloc(reply->bytes, reply->size);
	}
	memcpy(reply->bytes + reply->len, bytes, len);
	reply->len += len;
}

void reply_printf(struct reply *reply, const char *format, ...)
{
	char text[256];
	va_list arguments;
	int len;

	va_start(arguments, format);
	len = vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	reply_raw(reply, text, (size_t)len);
}

void reply_bulk(struct reply *reply, const char *bytes, size_t len)
{
	char line[32];
	size_t digits = 0;
	char reversed[24];
	size_t value = len, at = 0;

	do {
		reversed[digits++] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	line[at++] = '$';
	while (digits > 0) {
		line[at++] = reversed[--digits];
	}
	line[at++] = '\r';
	line[at++] = '\n';
	reply_raw(reply, line, at);
	reply_raw(reply, bytes, len);
	reply_raw(reply, "\r\n", 2);
}

static bool is(const struct argument *argument, const char *word)
{
	return argument->len == strlen(word) && memcmp(argument->ptr, word, argument->len) == 0;
}

static int64_t number(const struct argument *argument)
{
	int64_t value = 0;

	for (size_t i = 0; i < argument->len; i++) {
		value = value * 10 + (argument->ptr[i] - '0');
	}
	return value;
}

/* A key's place in the walk of SCAN: another one in every run of the server, as with a real one. Never 0. */
static uint32_t place_of(const struct node *node, const struct entry *entry)
{
	uint32_t hash = 2166136261u;

	for (size_t i = 0; i < 8; i++) {
		hash = (hash ^ (unsigned char)node->run_id[i]) * 16777619u;
	}
	for (size_t i = 0; i < entry->key_len; i++) {
		hash = (hash ^ (unsigned char)entry->key[i]) * 16777619u;
	}
	return hash | 1;
}

static bool is_walked(const struct node *node, const struct entry *entry, uint32_t begin, uint32_t end)
{
	return place_of(node, entry) >= begin && place_of(node, entry) < end;
}

static bool has_prefix(const struct entry *entry, const struct argument *pattern, size_t prefix_len)
{
	return entry->key_len >= prefix_len && memcmp(entry->key, pattern->ptr, prefix_len) == 0;
}

/* The first place of somebody else's key from this one on, but no later than `last`. */
static uint32_t crowd_from(const struct node *node, uint32_t from, uint32_t last)
{
	uint64_t apart = node->crowd == 0 ? UINT32_MAX : UINT32_MAX / node->crowd, place = (from + apart - 1) / apart * apart;

	return node->crowd != 0 && place < last ? (uint32_t)place : last;
}

/* Some keys with the prefix of "prefix*": the next places of the walk. */
static void scan(struct node *node, const struct argument *arguments, struct reply *reply)
{
	size_t prefix_len = arguments[3].len - 1;
	struct content *content = &node->content;
	uint32_t begin = (uint32_t)number(&arguments[1]), end = begin, last = node->crowd == 0 ? 0 : UINT32_MAX / node->crowd * node->crowd;
	unsigned found = 0;
	char text[16];

	for (unsigned i = content->count; i-- > 0;) {
		struct entry *entry = &content->entries[i];

		if (entry->expires_at <= sched_now()) {
			node_delete(node, entry->key, entry->key_len);
		} else {
			last = place_of(node, entry) > last ? place_of(node, entry) : last;
		}
	}
	for (unsigned step = 0; step < PLACES_PER_SCAN && end <= last && last != 0; step++) {
		uint32_t next = crowd_from(node, end, last);

		for (unsigned i = 0; i < content->count; i++) {
			uint32_t place = place_of(node, &content->entries[i]);

			next = place >= end && place < next ? place : next;
		}
		end = next + 1;
	}
	for (unsigned i = 0; i < content->count; i++) {
		found += is_walked(node, &content->entries[i], begin, end) && has_prefix(&content->entries[i], &arguments[3], prefix_len);
	}
	reply_printf(reply, "*2\r\n");
	reply_bulk(reply, text, (size_t)snprintf(text, sizeof text, "%u", end > last ? 0 : end));
	reply_printf(reply, "*%u\r\n", found);
	for (unsigned i = 0; i < content->count; i++) {
		struct entry *entry = &content->entries[i];

		if (is_walked(node, entry, begin, end) && has_prefix(entry, &arguments[3], prefix_len)) {
			reply_bulk(reply, entry->key, entry->key_len);
		}
	}
}

size_t node_field_key(const char *key, size_t key_len, const char *field, size_t field_len, char out[NODE_FIELD_MAX])
{
	return (size_t)snprintf(out, NODE_FIELD_MAX, "%.*s\n%.*s", (int)key_len, key, (int)field_len, field);
}

/* Who uses the node, says ":hosts", is nothing that a session depends on. */
static bool is_survey(const struct argument *key)
{
	return key->len >= 6 && memcmp(key->ptr + key->len - 6, ":hosts", 6) == 0;
}

static void set_field(struct node *node, const struct argument *arguments)
{
	char key[NODE_FIELD_MAX];

	if (!is_survey(&arguments[1])) {
		node_set(node, key, node_field_key(arguments[1].ptr, arguments[1].len, arguments[2].ptr, arguments[2].len, key),
				arguments[3].ptr, arguments[3].len, NODE_NO_EXPIRY);
	}
}

static bool is_field_of(const struct entry *entry, const struct argument *key)
{
	return entry->key_len > key->len && memcmp(entry->key, key->ptr, key->len) == 0 && entry->key[key->len] == '\n';
}

static void read_hash(struct node *node, const struct argument *key, struct reply *reply)
{
	const struct content *content = &node->content;
	unsigned found = 0;

	for (unsigned i = 0; i < content->count; i++) {
		found += is_field_of(&content->entries[i], key);
	}
	reply_printf(reply, "*%u\r\n", 2 * found);
	for (unsigned i = 0; i < content->count; i++) {
		const struct entry *entry = &content->entries[i];

		if (is_field_of(entry, key)) {
			reply_bulk(reply, entry->key + key->len + 1, entry->key_len - key->len - 1);
			reply_bulk(reply, entry->value, entry->value_len);
		}
	}
}

static void set(struct node *node, const struct argument *arguments, unsigned count, struct reply *reply)
{
	int64_t expires_at = NODE_NO_EXPIRY;
	bool stands = node_find(node, arguments[1].ptr, arguments[1].len) != NULL;

	if (count != 5 && count > 3 && is(&arguments[count - 1], stands ? "NX" : "XX")) {
		reply_raw(reply, "$-1\r\n", 5);
		return;
	}
	if (count >= 5 && is(&arguments[3], "PX")) {
		expires_at = sched_now() + number(&arguments[4]) * 1000;
	}
	node_set(node, arguments[1].ptr, arguments[1].len, arguments[2].ptr, arguments[2].len, expires_at);
	reply_raw(reply, "+OK\r\n", 5);
}

static void evalsha(struct node *node, const struct argument *arguments, unsigned count, struct reply *reply)
{
	int script = script_by_sha1(arguments[1].ptr, arguments[1].len);
	unsigned keys = (unsigned)number(&arguments[2]);

	if (script < 0 || !node->scripts_loaded[script]) {
		reply_printf(reply, "-NOSCRIPT No matching script. Please use EVAL.\r\n");
		return;
	}
	script_run(node, script, arguments + 3, keys, arguments + 3 + keys, count - 3 - keys, reply);
}

static void answer_time(struct reply *reply)
{
	char seconds[24], microseconds[24];
	int seconds_len = snprintf(seconds, sizeof seconds, "%lld", (long long)(world_true_us() / 1000000));
	int microseconds_len = snprintf(microseconds, sizeof microseconds, "%lld", (long long)(world_true_us() % 1000000));

	reply_printf(reply, "*2\r\n");
	reply_bulk(reply, seconds, (size_t)seconds_len);
	reply_bulk(reply, microseconds, (size_t)microseconds_len);
}

static bool writes(const struct argument *verb)
{
	return is(verb, "SET") || is(verb, "EVALSHA");
}

static void execute(struct node *node, struct connection *connection, const struct argument *arguments, unsigned count,
		struct reply *reply)
{
	const struct argument *verb = &arguments[0];
	const struct entry *entry;

	if (node->loading && !is(verb, "SCRIPT") && !is(verb, "INFO")) {
		reply_printf(reply, "-LOADING Redis is loading the dataset in memory\r\n");
	} else if (node->refuses_writes && writes(verb) && !connection->transaction.open) {
		reply_printf(reply, "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
	} else if (transaction_takes(node, connection, arguments, count, reply)) {
		return;
	} else if (is(verb, "GET") || is(verb, "MGET")) {
		if (connection->replicates && is(&arguments[1], PREFIX ":node")) {
			promises_marker_asked(node, connection->host);
		}
		if (is(verb, "MGET")) {
			reply_printf(reply, "*%u\r\n", count - 1);
		}
		for (unsigned i = 1; i < count; i++) {
			entry = node_find(node, arguments[i].ptr, arguments[i].len);
			if (entry == NULL) {
				reply_raw(reply, "$-1\r\n", 5);
			} else {
				reply_bulk(reply, entry->value, entry->value_len);
			}
		}
	} else if (is(verb, "GETRANGE")) {
		size_t end = (size_t)number(&arguments[3]) + 1;

		entry = node_find(node, arguments[1].ptr, arguments[1].len);
		reply_bulk(reply, entry == NULL ? "" : entry->value,
				entry == NULL ? 0 : entry->value_len < end ? entry->value_len : end);
	} else if (is(verb, "PTTL")) {
		reply_printf(reply, ":%lld\r\n", (long long)node_pttl(node, arguments[1].ptr, arguments[1].len));
	} else if (is(verb, "SET")) {
		set(node, arguments, count, reply);
	} else if (is(verb, "EVALSHA")) {
		evalsha(node, arguments, count, reply);
	} else if (is(verb, "SCRIPT")) {
		int script = script_by_text(arguments[2].ptr, arguments[2].len);

		if (script >= 0) {
			node->scripts_loaded[script] = true;
			reply_bulk(reply, arguments[2].ptr == NULL ? "" : world_sha1(script), 40);
		} else {
			reply_printf(reply, "-ERR unknown script\r\n");
		}
	} else if (is(verb, "INFO")) {
		char text[128];
		int len = snprintf(text, sizeof text, "# Server\r\nredis_mode:standalone\r\nrun_id:%s\r\n", node->run_id);

		reply_bulk(reply, text, (size_t)len);
	} else if (is(verb, "TIME")) {
		answer_time(reply);
	} else if (is(verb, "HGETALL")) {
		read_hash(node, &arguments[1], reply);
	} else if (is(verb, "HSET")) {
		connection->replicates = connection->replicates || is(&arguments[1], PREFIX ":lives");
		set_field(node, arguments);
		reply_printf(reply, ":1\r\n");
	} else if (is(verb, "HDEL")) {
		char field[NODE_FIELD_MAX];
		size_t len = node_field_key(arguments[1].ptr, arguments[1].len, arguments[2].ptr, arguments[2].len, field);

		reply_printf(reply, ":%d\r\n", node_delete(node, field, len));
	} else if (is(verb, "PEXPIRE")) {
		reply_printf(reply, ":1\r\n");
	} else if (is(verb, "PING")) {
		reply_raw(reply, "+PONG\r\n", 7);
	} else if (is(verb, "SCAN")) {
		scan(node, arguments, reply);
	} else if (is(verb, "DBSIZE")) {
		reply_printf(reply, ":%u\r\n", node->content.count + node->crowd);
	} else if (is(verb, "DEL")) {
		reply_printf(reply, ":%d\r\n", node_delete(node, arguments[1].ptr, arguments[1].len));
	} else if (is(verb, "EXISTS")) {
		reply_printf(reply, ":%d\r\n", node_find(node, arguments[1].ptr, arguments[1].len) != NULL);
	} else if (is(verb, "CLIENT") && count == 3) {
		connection->silent = true;
	} else {
		world_fail("the simulated node does not know %.*s", (int)verb->len, verb->ptr);
		reply_printf(reply, "-ERR unknown command\r\n");
	}
}

/* One whole command from the start of bytes: its length, 0 when it is not there in full. */
static size_t parse(const char *bytes, size_t len, struct argument arguments[ARGUMENTS_MAX], unsigned *count)
{
	size_t at = 1;
	int64_t left = 0;

	for (*count = 0; at < len && bytes[at] != '\r'; at++) {
		left = left * 10 + (bytes[at] - '0');
	}
	at += 2;
	if (len > 0 && (bytes[0] != '*' || left > ARGUMENTS_MAX)) {
		world_fail("a node was sent what is no command");
		return len;
	}
	while (left-- > 0) {
		size_t size = 0;

		for (at++; at < len && bytes[at] != '\r'; at++) {
			size = size * 10 + (size_t)(bytes[at] - '0');
		}
		at += 2;
		if (at + size + 2 > len) {
			return 0;
		}
		arguments[(*count)++] = (struct argument){ bytes + at, size };
		at += size + 2;
	}
	return at <= len ? at : 0;
}

void node_input(struct node *node, struct connection *connection, const char *bytes, size_t len)
{
	struct reply reply = { connection->output, 0, connection->output_size };
	struct argument arguments[ARGUMENTS_MAX];
	unsigned count;
	size_t taken, at = 0;

	if (connection->input_len > 0) {
		if (connection->input_len + len > connection->input_size) {
			connection->input_size = (connection->input_len + len) * 2;
			connection->input = realloc(connection->input, connection->input_size);
		}
		memcpy(connection->input + connection->input_len, bytes, len);
		connection->input_len += len;
		bytes = connection->input;
		len = connection->input_len;
	}
	while (at < len && (taken = parse(bytes + at, len - at, arguments, &count)) > 0) {
		at += taken;
		trace_command(node->index, connection->host, connection->number, (const struct argument *)arguments, count);
		execute(node, connection, arguments, count, &reply);
	}
	if (at < len || connection->input_len > 0) {
		if (len - at > connection->input_size) {
			connection->input_size = (len - at) * 2;
			connection->input = realloc(connection->input, connection->input_size);
		}
		memmove(connection->input, bytes + at, len - at);
		connection->input_len = len - at;
	}
	if (reply.len > 0 && !connection->silent) {
		net_answer(connection, reply.bytes, reply.len);
	}
	connection->output = reply.bytes;
	connection->output_size = reply.size;
}
