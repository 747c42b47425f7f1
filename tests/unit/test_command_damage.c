/* The put and touch scripts against what should not be there: foreign values, damaged records, forgotten scripts, full
 * memory, missing permissions. Runs once for every server found (see server.h). */
/* TEST LINK: mms_put */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scripts.h"

static void what_is_not_ours_is_left_alone(void **state)
{
	static const char other_format[100] = "MMS\2", other_magic[100] = "PHP\1";
	static const struct {
		const char *bytes;
		size_t len;
	} values[] = {{"x", 1}, {"MMS\1", 4}, {other_format, 100}, {other_magic, 100}, {"12345", 5}};
	struct mms_version version = {.hlc = 5};

	(void) state;
	for (size_t index = 0; index < sizeof(values) / sizeof(values[0]); index++) {
		place(values[index].bytes, values[index].len, 50000);
		struct mms_put_result result = put(&version, "a", 90000);

		assert_int_equal(result.outcome, MMS_PUT_FOREIGN);
		assert_int_equal(result.header_len, values[index].len < 80 ? values[index].len : 80);
		assert_memory_equal(result.header, values[index].bytes, result.header_len);
		assert_int_equal(touch(&version, "a", 90000).outcome, MMS_PUT_FOREIGN);
		assert_value(values[index].bytes, values[index].len);
		assert_ttl(50000);
	}
	static const char *const verbs[] = {"LPUSH", "SADD"};

	for (size_t index = 0; index < 2; index++) {
		clear();
		assert_true(client_do(&client, 3, verbs[index], KEY, "member"));
		assert_int_equal(put(&version, "a", 90000).outcome, MMS_PUT_FOREIGN);
		assert_false(put(&version, "a", 90000).has_header);
		assert_int_equal(touch(&version, "a", 90000).outcome, MMS_PUT_FOREIGN);
		assert_int_equal(client_integer(&client, index == 0 ? "LLEN" : "SCARD", KEY), 1);
		assert_int_equal(ttl(), -1);
	}
	clear();
}

/* Length lies, or another header under the same version: said, left alone, and replaced when expected. */
static void a_damaged_record_is_reported_and_replaced_on_demand(void **state)
{
	struct mms_version old = {.hlc = 5}, new = {.hlc = 9};
	unsigned char given[MMS_RECORD_HEADER_SIZE];
	char record[100] = {0};

	(void) state;
	encode(&old, slice_of("abc"), given);
	for (int kind = 0; kind < 4; kind++) {
		size_t len = kind == 0 ? 80 + 2 : kind == 1 ? 80 + 4 : 80 + 3;

		encode(kind == 2 ? &old : &new, slice_of("abc"), (unsigned char *) record);
		memcpy(record + 80, "abc", 3);
		if (kind == 2) {
			record[77] ^= 1; /* same version, checksum of the header hit */
		} else if (kind == 3) {
			encode(&(struct mms_version) {.hlc = 9, .tombstone = true}, EMPTY, (unsigned char *) record);
		}
		place(record, len, 50000);
		struct mms_put_result result = put_bytes(given, slice_of("abc"), 90000, EMPTY);

		assert_int_equal(result.outcome, MMS_PUT_NEWER);
		assert_true(result.damaged && result.has_header);
		assert_memory_equal(result.header, record, 80);
		assert_value(record, len);
		assert_ttl(50000);
		enum mms_put_outcome touched = touch(&old, "abc", 90000).outcome;

		assert_int_equal(touched, kind == 2 ? MMS_PUT_LACKING : MMS_PUT_NEWER);
		assert_ttl(50000);
		struct mms_slice expected = {(char *) result.header, sizeof(result.header)};

		assert_int_equal(put_bytes(given, slice_of("abc"), 40000, expected).outcome, MMS_PUT_STORED);
		assert_ttl(50000);
		assert_int_equal(put(&old, "abc", 40000).outcome, MMS_PUT_EQUAL);
		/* Once more: it is no longer what stands there, so the order decides. */
		assert_int_equal(put_bytes(given, slice_of("abc"), 40000, expected).outcome, MMS_PUT_EQUAL);
	}
	place(record, 80 + 1, 50000);
	encode(&new, slice_of("abc"), (unsigned char *) record);
	place(record, 81, 50000);
	assert_int_equal(touch(&new, "abc", 90000).outcome, MMS_PUT_LACKING); /* this version, but short */
}

static void short_values_and_damaged_magic_are_replaced_when_expected(void **state)
{
	struct mms_version version = {.hlc = 5};
	unsigned char header[MMS_RECORD_HEADER_SIZE];
	char record[100] = {0};

	(void) state;
	encode(&version, slice_of("abc"), header);
	memcpy(record, header, 80);
	for (size_t len = 1; len < 80; len += 6) {
		place(record, len, 50000);
		assert_int_equal(put_bytes(header, slice_of("abc"), 90000, (struct mms_slice) {record, len + 1}).outcome,
				MMS_PUT_FOREIGN);
		assert_int_equal(put_bytes(header, slice_of("abc"), 90000, (struct mms_slice) {record, len}).outcome,
				MMS_PUT_STORED);
		assert_ttl(90000);
	}
	record[1] ^= 4;
	place(record, 83, 50000);
	assert_int_equal(put(&version, "abc", 90000).outcome, MMS_PUT_FOREIGN);
	assert_int_equal(put_bytes(header, slice_of("abc"), 40000, (struct mms_slice) {record, 80}).outcome, MMS_PUT_STORED);
	assert_ttl(50000);
	place("", 0, 50000);
	assert_int_equal(put_bytes(header, slice_of("abc"), 90000, EMPTY).outcome, MMS_PUT_STORED);
	assert_ttl(90000); /* nothing was in it that could be lost */
}

static void forgotten_scripts_are_said_and_nothing_is_stored(void **state)
{
	struct mms_version version = {.hlc = 5};
	unsigned char header[MMS_RECORD_HEADER_SIZE];

	(void) state;
	clear();
	encode(&version, slice_of("a"), header);
	assert_true(client_do(&client, 2, "SCRIPT", "FLUSH"));
	assert_int_equal(put_bytes(header, slice_of("a"), 90000, EMPTY).outcome, MMS_PUT_NOSCRIPT);
	assert_int_equal(touch(&version, "a", 90000).outcome, MMS_PUT_NOSCRIPT);
	assert_int_equal(client_integer(&client, "EXISTS", KEY), 0);
	assert_in_range(client_integer(&client, "PTTL", TMP), 1, MMS_COMMAND_TMP_TTL_S * 1000); /* expires by itself */
	assert_true(load_scripts());
	assert_int_equal(put(&version, "a", 90000).outcome, MMS_PUT_STORED);
}

static void full_memory_is_a_fault_of_the_write_side_and_keeps_what_stands_there(void **state)
{
	struct mms_version old = {.hlc = 5}, new = {.hlc = 9};
	unsigned char header[MMS_RECORD_HEADER_SIZE];

	(void) state;
	place_record(&old, "a", 50000);
	encode(&new, slice_of("b"), header);
	assert_true(client_do(&client, 4, "CONFIG", "SET", "maxmemory", "1"));
	struct mms_put_result result = put_bytes(header, slice_of("b"), 90000, EMPTY);

	assert_int_equal(result.outcome, MMS_PUT_ERROR);
	assert_int_equal(result.error_class, MMS_CLASS_WRITE);
	assert_true(client_do(&client, 4, "CONFIG", "SET", "maxmemory", "0"));
	assert_ttl(50000);
	assert_int_equal(touch(&old, "a", 50000).outcome, MMS_PUT_STORED);
}

/* As the user `name` on a connection of its own: a put on top of an older record, and one on nothing. */
static void assert_denied(const char *name, const char *denied)
{
	struct mms_version old = {.hlc = 5}, new = {.hlc = 9};
	unsigned char header[MMS_RECORD_HEADER_SIZE];
	struct client admin = client;

	place_record(&old, "a", 50000);
	encode(&new, slice_of("b"), header);
	assert_true(client_do(&admin, 8, "ACL", "SETUSER", name, "on", ">pass", "~*", "+@all", denied));
	assert_true(client_open(&client, &server));
	assert_true(client_do(&client, 3, "AUTH", name, "pass"));
	struct mms_put_result result = put_bytes(header, slice_of("b"), 90000, EMPTY), on_nothing;

	clear();
	on_nothing = put_bytes(header, slice_of("b"), 90000, EMPTY);
	assert_int_equal(client_integer(&client, "EXISTS", KEY), 0); /* rather no record than one that soon expires */
	place_record(&old, "a", 50000);
	(void) put_bytes(header, slice_of("b"), 90000, EMPTY);
	client_close(&client);
	client = admin;
	assert_int_equal(result.outcome, MMS_PUT_ERROR);
	assert_int_equal(on_nothing.outcome, MMS_PUT_ERROR);
	assert_int_equal(result.error_class, MMS_CLASS_PERMISSION);
	/* The old record stands, with its own life and not that of a tmp key. */
	assert_ttl(50000);
	assert_int_equal(touch(&old, "a", 50000).outcome, MMS_PUT_STORED);
	assert_true(client_do(&client, 3, "ACL", "DELUSER", name));
}

static void a_permission_missing_within_the_script_harms_no_record(void **state)
{
	struct mms_reply *reply = client_ask(&client, 2, "ACL", "WHOAMI");
	bool has_users = mms_reply_type(reply) != MMS_REPLY_ERROR;

	(void) state;
	mms_reply_free(reply);
	if (!has_users) {
		fprintf(stderr, "this server has no users\n");
		skip();
	}
	assert_denied("without_rename", "-rename");
	assert_denied("without_pexpire", "-pexpire");
	assert_denied("without_getrange", "-getrange");
	assert_denied("without_evalsha", "-evalsha");
}

static void a_tmp_key_that_is_gone_loses_the_put_but_not_the_record(void **state)
{
	struct mms_version old = {.hlc = 5}, new = {.hlc = 9};
	unsigned char header[MMS_RECORD_HEADER_SIZE];
	struct mms_command whole, script;
	struct mms_put_result result;

	(void) state;
	assert_true(client_do(&client, 2, "DEL", TMP));
	place_record(&old, "a", 50000);
	encode(&new, slice_of("b"), header);
	mms_command_init(&whole);
	mms_command_put(&whole, slice_of(KEY), slice_of(TMP), header, slice_of("b"), 90000, EMPTY);
	script = whole;
	/* Only what follows the payload and its end of line, EX and 10: the script. */
	char *evalsha = memmem(whole.scratch, whole.scratch_used, "*6\r\n", 4);

	assert_non_null(evalsha);
	script.part_count = 1;
	script.parts[0].iov_base = evalsha;
	script.parts[0].iov_len = whole.scratch_used - (size_t) (evalsha - whole.scratch);
	send_parts(&script);
	struct mms_reply *reply = client_take(&client);

	mms_put_parse(NULL, reply, &result);
	mms_reply_free(reply);
	assert_int_equal(result.outcome, MMS_PUT_ERROR);
	assert_int_equal(result.error_class, MMS_CLASS_OTHER);
	assert_ttl(50000);
	assert_int_equal(touch(&old, "a", 50000).outcome, MMS_PUT_STORED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_ours_is_left_alone),
		cmocka_unit_test(a_damaged_record_is_reported_and_replaced_on_demand),
		cmocka_unit_test(short_values_and_damaged_magic_are_replaced_when_expected),
		cmocka_unit_test(forgotten_scripts_are_said_and_nothing_is_stored),
		cmocka_unit_test(full_memory_is_a_fault_of_the_write_side_and_keeps_what_stands_there),
		cmocka_unit_test(a_permission_missing_within_the_script_harms_no_record),
		cmocka_unit_test(a_tmp_key_that_is_gone_loses_the_put_but_not_the_record),
	};

	return run_on_every_server(tests);
}
