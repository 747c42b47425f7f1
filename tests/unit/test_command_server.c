/* The scripts on real servers: the same merge order as mms_version_compare(), the rules of TTLs, what they cost. Runs once
 * for every server found (see server.h). */
/* TEST LINK: mms_put */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem, nftw */
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>

#include "scripts.h"

/* Servers set their collation from the environment, and `<` on strings follows it in their scripts. All tests here run
 * under one in which "a" comes before "B" and "aa" behind "b", where the tools to make it are there. */
#define LOCALE "da_DK.UTF-8"
static char locale_directory[] = "/tmp/mms_unit_locale_XXXXXX";
static bool locale_made;

static uint64_t seed = 20240229;

static uint32_t random_number(uint32_t bound)
{
	seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t) (seed >> 33) % bound;
}

static void the_constants_are_the_sha1_of_the_scripts(void **state)
{
	(void) state;
	for (int index = 0; index < MMS_SCRIPT_COUNT; index++) {
		struct mms_reply *reply = client_ask(&client, 3, "SCRIPT", "LOAD", mms_command_script_text((enum mms_script) index));

		assert_int_equal(mms_reply_text(reply).len, 40);
		assert_memory_equal(mms_reply_text(reply).ptr, mms_command_script_sha1((enum mms_script) index), 40);
		mms_reply_free(reply);
	}
}

static void a_put_on_nothing_is_stored_with_its_ttl(void **state)
{
	const struct mms_version version = {.hlc = 5, .sequence = 1};
	static char payload[300000];
	unsigned char header[MMS_RECORD_HEADER_SIZE];

	(void) state;
	clear();
	assert_int_equal(put(&version, "hello", 60000).outcome, MMS_PUT_STORED);
	assert_ttl(60000);
	encode(&version, slice_of("hello"), header);
	char whole[85];

	memcpy(whole, header, 80);
	memcpy(whole + 80, "hello", 5);
	assert_value(whole, sizeof(whole));
	clear();
	memset(payload, 'x', sizeof(payload));
	struct mms_slice big = {payload, sizeof(payload)};

	encode(&version, big, header);
	assert_int_equal(put_bytes(header, big, 60000, EMPTY).outcome, MMS_PUT_STORED);
	assert_int_equal(client_integer(&client, "STRLEN", KEY), 80 + (int64_t) sizeof(payload));
}

static void a_ttl_that_is_the_records_longest_lifetime_is_not_sent(void **state)
{
	const struct mms_version old = {.hlc = 5}, new = {.hlc = 9};
	unsigned char header[MMS_RECORD_HEADER_SIZE];
	struct mms_command with, without;

	(void) state;
	encode(&new, slice_of("b"), header);
	mms_command_init(&with);
	mms_command_put(&with, slice_of(KEY), slice_of(TMP), header, slice_of("b"), 1439999, EMPTY);
	mms_command_init(&without);
	mms_command_put(&without, slice_of(KEY), slice_of(TMP), header, slice_of("b"), 1440000, EMPTY);
	assert_int_equal(with.scratch_used - without.scratch_used, strlen("$7\r\n1440000\r\n"));
	clear();
	assert_int_equal(put(&old, "a", 1440000).outcome, MMS_PUT_STORED);
	assert_ttl(1440000);
	place_record(&old, "a", 50000);
	assert_int_equal(put(&new, "b", 1440000).outcome, MMS_PUT_STORED);
	assert_ttl(1440000);
	place_record(&old, "a", 2000000);
	assert_int_equal(put(&new, "b", 1440000).outcome, MMS_PUT_STORED);
	assert_ttl(2000000);
	place_record(&new, "b", 50000);
	assert_int_equal(put(&new, "b", 1440000).outcome, MMS_PUT_EQUAL);
	assert_ttl(1440000);
}

/* Values where comparing as doubles, as strings or byte by byte in the wrong order would show. */
static uint64_t edge_number(void)
{
	static const uint64_t edges[] = {0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, 0xffffffff, 0x100000000,
		UINT64_C(0xffffffffffff), UINT64_C(0x1000000000000), UINT64_C(0x1fffffffffffff), UINT64_C(0x20000000000000),
		UINT64_C(0x20000000000001), UINT64_C(0x7fffffffffffffff), UINT64_C(0x8000000000000000),
		UINT64_C(0x8000000000000001), UINT64_MAX - 1, UINT64_MAX};

	if (random_number(4) == 0) {
		return (uint64_t) random_number(UINT32_MAX) << 33 ^ random_number(UINT32_MAX);
	}
	return edges[random_number(sizeof(edges) / sizeof(edges[0]))];
}

static struct mms_version random_version(void)
{
	struct mms_version version = {.incarnation = random_number(2) == 0 ? 0 : edge_number(), .hlc = edge_number(),
		.writer = edge_number(), .sequence = edge_number() & UINT64_C(0xffffffffffff),
		.tombstone = random_number(3) == 0, .blind = random_number(2) == 0};

	version.generation = version.blind && random_number(2) == 0 ? edge_number() & MMS_GENERATION_MAX : 0;
	return version;
}

/* The second version shares a random part of the first, so that every field gets to decide. */
static struct mms_version random_neighbour(const struct mms_version *version)
{
	struct mms_version other = random_version();
	uint32_t shared = random_number(64);

	other.incarnation = shared & 1 || random_number(2) ? version->incarnation : other.incarnation;
	other.hlc = shared & 2 ? version->hlc : other.hlc;
	other.writer = shared & 4 ? version->writer : other.writer;
	other.sequence = shared & 8 ? version->sequence : other.sequence;
	other.tombstone = shared & 16 ? version->tombstone : other.tombstone;
	other.blind = shared & 32 ? version->blind : other.blind;
	other.generation = !other.blind ? 0 : version->blind && random_number(2) == 0 ? version->generation : other.generation;
	return other;
}

static void put_and_touch_order_records_as_the_client_does(void **state)
{
	unsigned seen[3] = {0, 0, 0};

	(void) state;
	for (int round = 0; round < 6000; round++) {
		struct mms_version stored = random_version(), given = random_neighbour(&stored);
		int order = mms_version_compare(&given, &stored);
		const char *stored_payload = stored.tombstone ? "" : "payload", *payload = given.tombstone ? "" : "payload";
		unsigned char bytes[MMS_RECORD_HEADER_SIZE];

		seen[order < 0 ? 0 : order > 0 ? 2 : 1]++;
		place_record(&stored, stored_payload, 60000);
		enum mms_put_outcome touched = touch(&given, payload, 60000).outcome;
		struct mms_put_result result = put(&given, payload, 60000);
		enum mms_put_outcome expected = order > 0 ? MMS_PUT_STORED : order < 0 ? MMS_PUT_NEWER : MMS_PUT_EQUAL;

		if (result.outcome != expected || result.damaged) {
			char a[128], b[128];

			mms_version_format(&given, a, sizeof(a));
			mms_version_format(&stored, b, sizeof(b));
			fail_msg("put %s on %s: outcome %d, order %d", a, b, result.outcome, order);
		}
		assert_int_equal(touched, order > 0 ? MMS_PUT_LACKING : order < 0 || stored.tombstone ? MMS_PUT_NEWER : MMS_PUT_STORED);
		encode(order > 0 ? &given : &stored, slice_of(order > 0 ? payload : stored_payload), bytes);
		if (order < 0) {
			assert_true(result.has_header);
			assert_memory_equal(result.header, bytes, sizeof(bytes));
			assert_in_range(result.pttl_ms, 60000 - SLACK, 60000 + HOUR);
		}
		struct mms_reply *reply = client_ask(&client, 4, "GETRANGE", KEY, "0", "79");

		assert_memory_equal(mms_reply_text(reply).ptr, bytes, sizeof(bytes));
		mms_reply_free(reply);
	}
	assert_true(seen[0] > 500 && seen[1] > 50 && seen[2] > 500);
}

/* Position of a version among those of its incarnation: what a record says of its base. */
static int compare_positions(const struct mms_version *a, const struct mms_version *b)
{
	const struct mms_version one = {.hlc = a->hlc, .writer = a->writer, .sequence = a->sequence};
	const struct mms_version two = {.hlc = b->hlc, .writer = b->writer, .sequence = b->sequence};

	return mms_version_compare(&one, &two);
}

static void a_put_says_when_it_replaces_a_write_newer_than_its_base(void **state)
{
	unsigned seen[4] = {0};

	(void) state;
	for (int round = 0; round < 6000; round++) {
		struct mms_version stored = random_version(), given = random_neighbour(&stored), base = random_neighbour(&stored);
		bool newer = mms_version_compare(&given, &stored) > 0, unread = compare_positions(&stored, &base) > 0;
		bool told = newer && unread && !stored.tombstone && !given.tombstone && stored.incarnation == given.incarnation;

		place_record(&stored, stored.tombstone ? "" : "payload", 60000);
		struct mms_put_result result = put_on(&given, &base, given.tombstone ? "" : "payload", 60000);

		seen[told ? 0 : !newer ? 1 : unread ? 2 : 3]++;
		assert_int_equal(result.outcome == MMS_PUT_STORED, newer);
		if (result.over_unread != told) {
			char a[128], b[128], c[128];

			mms_version_format(&given, a, sizeof(a));
			mms_version_format(&base, b, sizeof(b));
			mms_version_format(&stored, c, sizeof(c));
			fail_msg("put %s based on %s, on %s: %d", a, b, c, result.over_unread);
		}
		if (newer) { /* a retry that finds what it has stored itself */
			result = put_on(&given, &base, given.tombstone ? "" : "payload", 60000);
			assert_int_equal(result.outcome, MMS_PUT_EQUAL);
			assert_false(result.over_unread);
		}
	}
	assert_true(seen[0] > 300 && seen[1] > 500 && seen[2] > 300 && seen[3] > 300);
}

static void a_put_on_its_base_on_nothing_or_on_damage_says_nothing_of_the_kind(void **state)
{
	struct mms_version base = {.hlc = 5, .writer = 2, .sequence = 9}, next = {.hlc = 6, .writer = 1, .sequence = 1};
	unsigned char header[MMS_RECORD_HEADER_SIZE];

	(void) state;
	place_record(&base, "read", 60000);
	assert_false(put_on(&next, &base, "written", 60000).over_unread);
	clear();
	assert_false(put_on(&next, NULL, "written", 60000).over_unread);
	place("MMS\1 short", 10, 60000);
	encode(&next, slice_of("written"), header);
	struct mms_put_result result = put_bytes(header, slice_of("written"), 60000, slice_of("MMS\1 short"));

	assert_int_equal(result.outcome, MMS_PUT_STORED);
	assert_false(result.over_unread);
}

struct ttl_case {
	bool stored_dead, given_dead;
	int64_t stored_ttl, given_ttl, expected;
};

static void the_ttl_is_what_keeps_a_record_longest(void **state)
{
	static const struct ttl_case newer[] = { /* the given one is stored */
		{false, false, 50000, 90000, 90000}, {false, false, 90000, 50000, 90000},
		{false, true, 50000, 90000, 50000 + HOUR}, {false, true, 50000, 3 * HOUR, 3 * HOUR},
		{true, false, 90000, 50000, 90000}, {true, false, 50000, 90000, 90000},
		{true, true, 50000, 90000, 90000}, {true, true, 90000, 50000, 90000},
		{false, false, 0, 50000, 50000}, {false, true, 0, 50000, 50000}, /* a key without TTL gets one */
	};
	static const struct ttl_case older[] = { /* the given one is refused */
		{false, false, 50000, 90000, 90000}, {false, false, 90000, 50000, 90000},
		{true, false, 50000, 90000, 50000}, {true, true, 50000, 90000, 50000}, {false, false, 0, 90000, -1},
	};

	(void) state;
	for (size_t index = 0; index < sizeof(newer) / sizeof(newer[0]); index++) {
		const struct ttl_case *it = &newer[index];
		/* A live record comes after a tombstone only in a new incarnation. */
		struct mms_version stored = {.hlc = 5, .tombstone = it->stored_dead};
		struct mms_version given = {.incarnation = it->stored_dead ? 5 : 0, .hlc = 9, .tombstone = it->given_dead};

		place_record(&stored, it->stored_dead ? "" : "a", it->stored_ttl);
		assert_int_equal(put(&given, it->given_dead ? "" : "b", (uint64_t) it->given_ttl).outcome, MMS_PUT_STORED);
		assert_ttl(it->expected);
	}
	for (size_t index = 0; index < sizeof(older) / sizeof(older[0]); index++) {
		const struct ttl_case *it = &older[index];
		struct mms_version stored = {.hlc = 9, .tombstone = it->stored_dead};
		struct mms_version given = {.hlc = 5, .tombstone = it->given_dead};

		place_record(&stored, it->stored_dead ? "" : "a", it->stored_ttl);
		struct mms_put_result result = put(&given, it->given_dead ? "" : "b", (uint64_t) it->given_ttl);

		assert_int_equal(result.outcome, MMS_PUT_NEWER);
		assert_ttl(it->expected);
		assert_in_range(result.pttl_ms + 1, it->expected < 0 ? 0 : it->expected - SLACK, it->expected + 1);
	}
}

static void an_equal_put_raises_the_ttl_and_never_lowers_it(void **state)
{
	for (int dead = 0; dead < 2; dead++) {
		struct mms_version version = {.hlc = 5, .tombstone = dead == 1};
		const char *payload = dead == 1 ? "" : "a";

		(void) state;
		place_record(&version, payload, 50000);
		assert_int_equal(put(&version, payload, 90000).outcome, MMS_PUT_EQUAL);
		assert_ttl(90000);
		assert_int_equal(put(&version, payload, 50000).outcome, MMS_PUT_EQUAL);
		assert_ttl(90000);
	}
}

static void a_touch_raises_the_ttl_of_live_records_alone(void **state)
{
	struct mms_version old = {.hlc = 5}, new = {.hlc = 9}, dead = {.hlc = 9, .tombstone = true};

	(void) state;
	clear();
	assert_int_equal(touch(&old, "a", 90000).outcome, MMS_PUT_LACKING);
	assert_int_equal(client_integer(&client, "EXISTS", KEY), 0);
	place_record(&old, "a", 50000);
	assert_int_equal(touch(&old, "a", 90000).outcome, MMS_PUT_STORED);
	assert_ttl(90000);
	assert_int_equal(touch(&old, "a", 50000).outcome, MMS_PUT_STORED);
	assert_ttl(90000);
	assert_int_equal(touch(&new, "a", 120000).outcome, MMS_PUT_LACKING);
	assert_ttl(90000);
	place_record(&new, "b", 50000);
	struct mms_put_result result = touch(&old, "a", 90000);

	assert_int_equal(result.outcome, MMS_PUT_NEWER);
	assert_true(result.has_header && !result.damaged);
	assert_in_range(result.pttl_ms, 90000 - SLACK, 90000);
	assert_ttl(90000);
	place_record(&dead, "", 50000);
	result = touch(&old, "a", 90000);
	assert_int_equal(result.outcome, MMS_PUT_NEWER);
	assert_true(result.has_header);
	assert_ttl(50000);
	place_record(&new, "b", 0); /* without TTL: nothing to raise */
	assert_int_equal(touch(&new, "b", 90000).outcome, MMS_PUT_STORED);
	assert_int_equal(ttl(), -1);
}

static void the_other_commands_do_what_they_say(void **state)
{
	struct mms_command command;
	struct mms_version version = {.hlc = 5};

	(void) state;
	place_record(&version, "abc", 50000);
	assert_true(client_do(&client, 2, "DEL", "marker"));
	mms_command_init(&command);
	mms_command_read_whole(&command, slice_of(KEY));
	mms_command_read_header(&command, slice_of(KEY));
	mms_command_read_header(&command, slice_of("prefix:absent"));
	mms_command_set_once(&command, slice_of("marker"), slice_of("one"));
	mms_command_set_once(&command, slice_of("marker"), slice_of("two"));
	mms_command_delete_if(&command, slice_of("marker"), slice_of("two"));
	mms_command_delete_if(&command, slice_of("marker"), slice_of("one"));
	mms_command_delete_if(&command, slice_of("marker"), slice_of("one"));
	mms_command_set(&command, slice_of("marker"), slice_of("three"), 5000);
	mms_command_get(&command, slice_of("marker"));
	mms_command_ping(&command);
	mms_command_info_server(&command);
	send_parts(&command);
	static const char *const texts[] = {NULL, NULL, NULL, NULL, "", NULL, "OK", "one", "", "one", NULL, NULL, NULL, "OK", "three", "PONG"};
	static const int64_t integers[] = {0, 50000, 0, 50000, 0, -2, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0};

	for (size_t index = 0; index < 16; index++) {
		struct mms_reply *reply = client_take(&client);

		assert_non_null(reply);
		if (texts[index] != NULL) {
			assert_int_equal(mms_reply_text(reply).len, strlen(texts[index]));
			assert_memory_equal(mms_reply_text(reply).ptr, texts[index], strlen(texts[index]));
		} else if (index == 0 || index == 2) {
			assert_int_equal(mms_reply_text(reply).len, index == 0 ? 83 : 80);
		} else {
			assert_in_range(mms_reply_integer(reply), integers[index] > SLACK ? integers[index] - SLACK : integers[index],
					integers[index]);
		}
		mms_reply_free(reply);
	}
	struct mms_reply *info = client_take(&client);

	assert_non_null(memmem(mms_reply_text(info).ptr, mms_reply_text(info).len, "run_id:", 7));
	mms_reply_free(info);
	assert_true(client_do(&client, 2, "DEL", "marker"));
	assert_true(client_do(&client, 3, "LPUSH", "marker", "x"));
	mms_command_init(&command);
	mms_command_delete_if(&command, slice_of("marker"), slice_of("x"));
	send_parts(&command);
	struct mms_reply *reply = client_take(&client);

	assert_int_equal(mms_reply_type(reply), MMS_REPLY_INTEGER);
	assert_int_equal(mms_reply_integer(reply), 0);
	mms_reply_free(reply);
	assert_true(client_do(&client, 2, "DEL", "marker"));
}

#define IS_TAKEN -1
#define IS_REFUSED -2

/* Sends it and returns what the server counts it as having done, or why it has not. */
static int64_t replace_if(const char *old, const char *value, uint64_t ttl_ms)
{
	struct mms_command command;

	mms_command_init(&command);
	mms_command_replace_if(&command, slice_of("marker"), slice_of(old), slice_of(value), ttl_ms);
	assert_int_equal(command.reply_count, 1);
	send_parts(&command);
	struct mms_reply *reply = client_take(&client);

	assert_non_null(reply);
	int64_t replaced = mms_reply_type(reply) == MMS_REPLY_INTEGER ? mms_reply_integer(reply)
			: mms_reply_classify(reply) == MMS_CLASS_WRONGTYPE ? IS_TAKEN : IS_REFUSED;

	mms_reply_free(reply);
	return replaced;
}

static void assert_marker(const char *value, int64_t ttl_ms)
{
	struct mms_reply *reply = client_ask(&client, 2, "GET", "marker");
	int64_t left_ms = client_integer(&client, "PTTL", "marker");

	assert_int_equal(mms_reply_text(reply).len, strlen(value));
	assert_memory_equal(mms_reply_text(reply).ptr, value, strlen(value));
	mms_reply_free(reply);
	assert_in_range(left_ms + 1, ttl_ms < 0 ? 0 : ttl_ms - SLACK, ttl_ms + 1);
}

static void a_value_is_replaced_only_while_it_is_the_one_expected(void **state)
{
	(void) state;
	assert_true(client_do(&client, 2, "DEL", "marker"));
	assert_int_equal(replace_if("one", "two", 5000), 0);
	assert_int_equal(client_integer(&client, "EXISTS", "marker"), 0);
	assert_int_equal(replace_if("", "one", 5000), 1); /* nothing is expected, nothing is there */
	assert_marker("one", 5000);
	assert_int_equal(replace_if("", "two", 90000), 0);
	assert_int_equal(replace_if("on", "two", 90000), 0);
	assert_marker("one", 5000);
	assert_int_equal(replace_if("one", "one", 90000), 1);
	assert_marker("one", 90000);
	assert_int_equal(replace_if("one", "two", 0), 1); /* to stay */
	assert_marker("two", -1);
	assert_int_equal(replace_if("two", "three", UINT64_MAX), 1);
	assert_true(client_integer(&client, "PTTL", "marker") > INT64_C(1) << 47);
	assert_true(client_do(&client, 2, "DEL", "marker"));
	assert_true(client_do(&client, 3, "LPUSH", "marker", "x"));
	assert_int_equal(replace_if("", "one", 5000), IS_TAKEN);
	assert_int_equal(replace_if("x", "one", 5000), IS_TAKEN);
	assert_int_equal(client_integer(&client, "LLEN", "marker"), 1);
	assert_true(client_do(&client, 2, "DEL", "marker"));
}

static void a_scan_comes_by_every_key_of_its_pattern_and_no_other(void **state)
{
	char cursor[32] = "0", key[32];
	bool seen[500] = {false};
	unsigned rounds = 0;

	(void) state;
	for (int number = 0; number < 500; number++) {
		snprintf(key, sizeof(key), "scan:%d", number);
		assert_true(client_do(&client, 3, "SET", key, "x"));
		snprintf(key, sizeof(key), "scanother:%d", number);
		assert_true(client_do(&client, 3, "SET", key, "x"));
	}
	do {
		struct mms_command command;

		mms_command_init(&command);
		mms_command_scan(&command, slice_of(cursor), slice_of("scan:*"), 100);
		assert_int_equal(command.reply_count, 1);
		send_parts(&command);
		struct mms_reply *reply = client_take(&client);
		const struct mms_reply *list = mms_reply_element(reply, 1);

		assert_int_equal(mms_reply_count(reply), 2);
		for (size_t index = 0; index < mms_reply_count(list); index++) {
			int number = -1;

			mms_text_copy(key, sizeof(key), mms_reply_text(mms_reply_element(list, index)));
			assert_int_equal(sscanf(key, "scan:%d", &number), 1);
			assert_in_range(number, 0, 499);
			seen[number] = true;
		}
		mms_text_copy(cursor, sizeof(cursor), mms_reply_text(mms_reply_element(reply, 0)));
		mms_reply_free(reply);
		rounds++;
	} while (strcmp(cursor, "0") != 0);
	assert_in_range(rounds, 4, 40); /* the count is what the server goes by */
	for (int number = 0; number < 500; number++) {
		assert_true(seen[number]);
		snprintf(key, sizeof(key), "scan:%d", number);
		assert_true(client_do(&client, 2, "DEL", key));
		snprintf(key, sizeof(key), "scanother:%d", number);
		assert_true(client_do(&client, 2, "DEL", key));
	}
}

/* Server time of a script, from the server's own statistics; printed, for it depends on the machine. */
static double script_cost_us(void)
{
	struct mms_reply *reply = client_ask(&client, 2, "INFO", "commandstats");
	char text[65536];
	double usec = 0;

	snprintf(text, sizeof(text), "%.*s", (int) mms_reply_text(reply).len, mms_reply_text(reply).ptr);
	mms_reply_free(reply);
	const char *line = strstr(text, "cmdstat_evalsha:");
	const char *field = line != NULL ? strstr(line, "usec_per_call=") : NULL;

	assert_non_null(field);
	assert_int_equal(sscanf(field, "usec_per_call=%lf", &usec), 1);
	return usec;
}

static void the_cost_of_the_scripts_does_not_grow_with_the_payload(void **state)
{
	static char payload[100000];
	static const size_t sizes[] = {100, 8000, sizeof(payload)};
	unsigned char header[MMS_RECORD_HEADER_SIZE];
	struct mms_version version = {.hlc = 5};
	double put_us[3], older_us, touch_us;

	(void) state;
	clear();
	memset(payload, 'p', sizeof(payload));
	for (size_t size = 0; size < 3; size++) {
		struct mms_slice bytes = {payload, sizes[size]};

		assert_true(client_do(&client, 2, "CONFIG", "RESETSTAT"));
		for (int round = 0; round < 2000; round++) {
			const struct mms_version base = version;

			version.hlc++;
			encode_on(&version, &base, bytes, header);
			assert_int_equal(put_bytes(header, bytes, 60000, EMPTY).outcome, MMS_PUT_STORED);
		}
		put_us[size] = script_cost_us();
	}
	struct mms_slice bytes = {payload, 100};

	encode(&(struct mms_version) {.hlc = 1}, bytes, header);
	assert_true(client_do(&client, 2, "CONFIG", "RESETSTAT"));
	for (int round = 0; round < 2000; round++) {
		assert_int_equal(put_bytes(header, bytes, 50000, EMPTY).outcome, MMS_PUT_NEWER);
	}
	older_us = script_cost_us();
	place_record(&version, "abc", 60000);
	assert_true(client_do(&client, 2, "CONFIG", "RESETSTAT"));
	for (int round = 0; round < 2000; round++) {
		assert_int_equal(touch(&version, "abc", 50000).outcome, MMS_PUT_STORED);
	}
	touch_us = script_cost_us();
	printf("server time: put of 100, 8000, 100000 bytes %.1f, %.1f, %.1f us; refused put %.1f us; touch %.1f us\n",
			put_us[0], put_us[1], put_us[2], older_us, touch_us);
	assert_true(put_us[2] < 20 * put_us[0] + 50); /* through the script it would be hundreds of microseconds */
}

static void the_server_orders_strings_by_another_locale(void **state)
{
	(void) state;
	if (!locale_made) {
		print_message("# no localedef, or no source of " LOCALE ": the servers run in the C locale\n");
		skip();
	}
	struct mms_reply *reply = client_ask(&client, 3, "EVAL", "return ('a'<'B' and 'b'<'aa') and 1 or 0", "0");

	if (mms_reply_integer(reply) != 1) { /* a server may have its own mind; the other tests count */
		print_message("# this server ignores the environment's locale\n");
	}
	mms_reply_free(reply);
}

static void locale_make(void)
{
	char localedef[PATH_MAX], target[128];

	if (mkdtemp(locale_directory) == NULL || !program_find("localedef", localedef)) {
		return;
	}
	snprintf(target, sizeof(target), "%s/%s", locale_directory, LOCALE);
	pid_t pid = fork();
	int result = -1;

	if (pid == 0) {
		execl(localedef, localedef, "-i", "da_DK", "-f", "UTF-8", target, (char *) NULL);
		_exit(127);
	}
	locale_made = pid > 0 && waitpid(pid, &result, 0) == pid && result == 0;
	if (locale_made) { /* for the servers: this program never calls setlocale() */
		setenv("LOCPATH", locale_directory, 1);
		setenv("LC_ALL", LOCALE, 1);
	}
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
	(void) status, (void) type, (void) walk;
	return remove(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_server_orders_strings_by_another_locale),
		cmocka_unit_test(the_constants_are_the_sha1_of_the_scripts),
		cmocka_unit_test(a_ttl_that_is_the_records_longest_lifetime_is_not_sent),
		cmocka_unit_test(a_put_on_nothing_is_stored_with_its_ttl),
		cmocka_unit_test(put_and_touch_order_records_as_the_client_does),
		cmocka_unit_test(a_put_says_when_it_replaces_a_write_newer_than_its_base),
		cmocka_unit_test(a_put_on_its_base_on_nothing_or_on_damage_says_nothing_of_the_kind),
		cmocka_unit_test(the_ttl_is_what_keeps_a_record_longest),
		cmocka_unit_test(an_equal_put_raises_the_ttl_and_never_lowers_it),
		cmocka_unit_test(a_touch_raises_the_ttl_of_live_records_alone),
		cmocka_unit_test(the_other_commands_do_what_they_say),
		cmocka_unit_test(a_value_is_replaced_only_while_it_is_the_one_expected),
		cmocka_unit_test(a_scan_comes_by_every_key_of_its_pattern_and_no_other),
		cmocka_unit_test(the_cost_of_the_scripts_does_not_grow_with_the_payload),
	};

	locale_make();
	int failed = run_on_every_server(tests);

	(void) nftw(locale_directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	return failed;
}
