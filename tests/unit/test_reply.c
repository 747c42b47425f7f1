/* Replies: parsing in slices, limits found before memory is spent, access by type. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "mms_reply.h"

#define TEXT(literal) literal, sizeof(literal) - 1
#define MAX_BYTES 1000
#define MAX_ELEMENTS 50

static struct mms_reply_reader *reader_of(size_t max_bytes, size_t max_elements)
{
	struct mms_reply_reader *reader = mms_reply_reader_new(max_bytes, max_elements);

	assert_non_null(reader);
	return reader;
}

static struct mms_reply *parsed(const char *bytes, size_t len)
{
	struct mms_reply_reader *reader = reader_of(MAX_BYTES, MAX_ELEMENTS);
	struct mms_reply *reply = NULL;
	struct mms_error error;

	assert_int_equal(mms_reply_reader_feed(reader, bytes, len, &error), MMS_OK);
	assert_int_equal(mms_reply_reader_next(reader, &reply, &error), MMS_OK);
	assert_non_null(reply);
	assert_false(mms_reply_reader_partial(reader));
	mms_reply_reader_free(reader);
	return reply;
}

static void assert_text(const struct mms_reply *reply, const char *text, size_t len)
{
	struct mms_slice slice = mms_reply_text(reply);

	assert_int_equal(slice.len, len);
	assert_memory_equal(slice.ptr, text, len);
}

/* Feeds bytes one by one: fed must end in this error, whose text holds `words`, and stay there. */
static void assert_refused_as(enum mms_status expected, const char *bytes, size_t len, const char *words)
{
	struct mms_reply_reader *reader = reader_of(MAX_BYTES, MAX_ELEMENTS);
	struct mms_reply *reply = NULL;
	struct mms_error error = {{0}};
	enum mms_status status = MMS_OK;

	for (size_t index = 0; index < len && status == MMS_OK; index++) {
		status = mms_reply_reader_feed(reader, bytes + index, 1, &error);
	}
	if (status != expected || strstr(error.text, words) == NULL) {
		fail_msg("%.40s: status %d, %s", bytes, status, error.text);
	}
	assert_int_equal(mms_reply_reader_next(reader, &reply, &error), expected);
	assert_null(reply);
	assert_int_equal(mms_reply_reader_feed(reader, TEXT("+OK\r\n"), &error), expected);
	assert_non_null(strstr(error.text, words));
	assert_int_equal(mms_reply_reader_ready(reader), 0);
	mms_reply_reader_free(reader);

	/* The same at once. */
	reader = reader_of(MAX_BYTES, MAX_ELEMENTS);
	assert_int_equal(mms_reply_reader_feed(reader, bytes, len, &error), expected);
	mms_reply_reader_free(reader);
}

static void assert_refused(const char *bytes, size_t len, const char *words)
{
	assert_refused_as(MMS_ERR_PROTOCOL, bytes, len, words);
}

/* Too long, or no length at all: hiredis' releases draw the line at different places. */
static void assert_no_reply(const char *bytes, size_t len)
{
	struct mms_reply_reader *reader = reader_of(MAX_BYTES, MAX_ELEMENTS);
	const enum mms_status status = mms_reply_reader_feed(reader, bytes, len, NULL);

	assert_true(status == MMS_ERR_PROTOCOL || status == MMS_ERR_TOO_LARGE);
	mms_reply_reader_free(reader);
}

static void assert_too_large(const char *bytes, size_t len)
{
	assert_refused_as(MMS_ERR_TOO_LARGE, bytes, len, "longer than allowed");
}

static void every_type_is_read_through_its_accessors(void **state)
{
	struct mms_reply *reply;

	(void) state;
	reply = parsed(TEXT("+PONG\r\n"));
	assert_int_equal(mms_reply_type(reply), MMS_REPLY_STATUS);
	assert_text(reply, TEXT("PONG"));
	assert_int_equal(mms_reply_integer(reply), 0);
	assert_int_equal(mms_reply_count(reply), 0);
	assert_null(mms_reply_element(reply, 0));
	mms_reply_free(reply);
	reply = parsed(TEXT("-ERR no\r\n"));
	assert_int_equal(mms_reply_type(reply), MMS_REPLY_ERROR);
	assert_text(reply, TEXT("ERR no"));
	mms_reply_free(reply);
	reply = parsed(TEXT(":-9223372036854775808\r\n"));
	assert_int_equal(mms_reply_type(reply), MMS_REPLY_INTEGER);
	assert_true(mms_reply_integer(reply) == INT64_MIN);
	assert_text(reply, TEXT(""));
	mms_reply_free(reply);
	reply = parsed(TEXT("$5\r\na\0\r\nb\r\n"));
	assert_int_equal(mms_reply_type(reply), MMS_REPLY_STRING);
	assert_text(reply, TEXT("a\0\r\nb"));
	mms_reply_free(reply);
	reply = parsed(TEXT("$0\r\n\r\n"));
	assert_int_equal(mms_reply_type(reply), MMS_REPLY_STRING);
	assert_text(reply, TEXT(""));
	mms_reply_free(reply);
	reply = parsed(TEXT("$-1\r\n"));
	assert_int_equal(mms_reply_type(reply), MMS_REPLY_NIL);
	assert_text(reply, TEXT(""));
	mms_reply_free(reply);
	reply = parsed(TEXT("*-1\r\n"));
	assert_int_equal(mms_reply_type(reply), MMS_REPLY_NIL);
	mms_reply_free(reply);
	reply = parsed(TEXT("*0\r\n"));
	assert_int_equal(mms_reply_type(reply), MMS_REPLY_ARRAY);
	assert_int_equal(mms_reply_count(reply), 0);
	mms_reply_free(reply);
	reply = parsed(TEXT("*3\r\n:4\r\n*1\r\n$2\r\nab\r\n$-1\r\n"));
	assert_int_equal(mms_reply_count(reply), 3);
	assert_int_equal(mms_reply_integer(mms_reply_element(reply, 0)), 4);
	assert_text(mms_reply_element(mms_reply_element(reply, 1), 0), TEXT("ab"));
	assert_int_equal(mms_reply_type(mms_reply_element(reply, 2)), MMS_REPLY_NIL);
	assert_null(mms_reply_element(reply, 3));
	mms_reply_free(reply);
	mms_reply_free(NULL);
	mms_reply_reader_free(NULL);
}

static void replies_come_whole_and_in_order_however_they_are_sliced(void **state)
{
	static const char stream[] = "+OK\r\n$6\r\nfoobar\r\n*2\r\n:1\r\n*2\r\n$-1\r\n-ERR x\r\n:42\r\n";
	const size_t len = sizeof(stream) - 1;

	(void) state;
	for (size_t slice = 1; slice <= len; slice++) {
		struct mms_reply_reader *reader = reader_of(MAX_BYTES, MAX_ELEMENTS);
		struct mms_reply *reply;
		unsigned count = 0;

		for (size_t at = 0; at < len; at += slice) {
			size_t take = slice < len - at ? slice : len - at;

			assert_int_equal(mms_reply_reader_feed(reader, stream + at, take, NULL), MMS_OK);
			while (mms_reply_reader_next(reader, &reply, NULL) == MMS_OK && reply != NULL) {
				static const enum mms_reply_type types[] = {MMS_REPLY_STATUS, MMS_REPLY_STRING, MMS_REPLY_ARRAY,
					MMS_REPLY_INTEGER};

				assert_int_equal(mms_reply_type(reply), types[count++]);
				mms_reply_free(reply);
			}
		}
		assert_int_equal(count, 4);
		assert_false(mms_reply_reader_partial(reader));
		mms_reply_reader_free(reader);
	}
}

static void partial_is_true_from_the_first_byte_of_a_reply_to_its_last(void **state)
{
	static const char stream[] = "*2\r\n:1\r\n*1\r\n$3\r\nabc\r\n";
	struct mms_reply_reader *reader = reader_of(MAX_BYTES, MAX_ELEMENTS);
	struct mms_reply *reply;

	(void) state;
	assert_false(mms_reply_reader_partial(reader));
	for (size_t index = 0; index < sizeof(stream) - 1; index++) {
		assert_int_equal(mms_reply_reader_feed(reader, stream + index, 1, NULL), MMS_OK);
		assert_int_equal(mms_reply_reader_partial(reader), index + 1 < sizeof(stream) - 1);
	}
	assert_int_equal(mms_reply_reader_ready(reader), 1);
	assert_int_equal(mms_reply_reader_next(reader, &reply, NULL), MMS_OK);
	mms_reply_free(reply);
	assert_int_equal(mms_reply_reader_ready(reader), 0);
	assert_false(mms_reply_reader_partial(reader));
	mms_reply_reader_free(reader);
}

static void the_rest_of_a_string_may_be_received_where_it_belongs(void **state)
{
	struct mms_reply_reader *reader = reader_of(100000, MAX_ELEMENTS);
	static char half[20000];
	struct mms_reply *reply;
	size_t room = 0;

	(void) state;
	memset(half, 'h', sizeof(half));
	assert_null(mms_reply_reader_room(reader, &room));
	assert_int_equal(mms_reply_reader_feed(reader, TEXT("$40000\r"), NULL), MMS_OK);
	assert_null(mms_reply_reader_room(reader, &room));
	assert_int_equal(mms_reply_reader_feed(reader, TEXT("\n"), NULL), MMS_OK);
	assert_non_null(mms_reply_reader_room(reader, &room));
	assert_int_equal(room, 40002);
	assert_true(mms_reply_reader_partial(reader));
	assert_int_equal(mms_reply_reader_feed(reader, half, sizeof(half), NULL), MMS_OK);
	char *rest = mms_reply_reader_room(reader, &room);

	assert_int_equal(room, 20002);
	memset(rest, 'r', 20000);
	assert_int_equal(mms_reply_reader_filled(reader, 20000, NULL), MMS_OK);
	assert_int_equal(mms_reply_reader_ready(reader), 0);
	assert_int_equal(mms_reply_reader_feed(reader, TEXT("\r\n:7\r\n$3\r\na"), NULL), MMS_OK);
	assert_int_equal(mms_reply_reader_ready(reader), 2);
	assert_int_equal(mms_reply_reader_next(reader, &reply, NULL), MMS_OK);
	assert_int_equal(mms_reply_type(reply), MMS_REPLY_STRING);
	assert_int_equal(mms_reply_text(reply).len, 40000);
	assert_memory_equal(mms_reply_text(reply).ptr, half, sizeof(half));
	assert_int_equal(mms_reply_text(reply).ptr[20000], 'r');
	assert_int_equal(mms_reply_text(reply).ptr[39999], 'r');
	mms_reply_free(reply);
	assert_non_null(mms_reply_reader_room(reader, &room));
	assert_int_equal(room, 4);
	mms_reply_reader_free(reader); /* with a reply ready and one under way: nothing leaks */
}

static void a_string_received_where_it_belongs_must_end_where_it_should(void **state)
{
	struct mms_reply_reader *reader = reader_of(MAX_BYTES, MAX_ELEMENTS);
	struct mms_error error;
	size_t room = 0;

	(void) state;
	assert_int_equal(mms_reply_reader_feed(reader, TEXT("$3\r\na"), NULL), MMS_OK);
	char *rest = mms_reply_reader_room(reader, &room);

	assert_int_equal(room, 4);
	memcpy(rest, "bcd\r", 4);
	assert_int_equal(mms_reply_reader_filled(reader, 4, &error), MMS_ERR_PROTOCOL);
	assert_non_null(strstr(error.text, "does not end"));
	assert_null(mms_reply_reader_room(reader, &room));
	assert_int_equal(mms_reply_reader_feed(reader, TEXT("+OK\r\n"), NULL), MMS_ERR_PROTOCOL);
	mms_reply_reader_free(reader);
}

/* Large feeds are looked at in parts; whatever stands before a long string and behind it, and wherever a feed ends. */
static void long_strings_come_whole_among_others_however_they_are_sliced(void **state)
{
	static char stream[40000];
	size_t len = 0;

	(void) state;
	for (unsigned index = 0; index < 5; index++) {
		static const unsigned lengths[] = {3000, 1, 9000, 512, 6000};

		len += (size_t) sprintf(stream + len, "+OK\r\n*2\r\n$600\r\n%0600u\r\n:5\r\n$%u\r\n%0*u\r\n:%u\r\n", index,
				lengths[index], (int) lengths[index], index, index);
	}
	for (size_t slice = 1; slice <= len + 97; slice += slice < 40 ? 1 : 97) {
		struct mms_reply_reader *reader = reader_of(9000, MAX_ELEMENTS);
		struct mms_reply *reply;
		unsigned count = 0;

		for (size_t at = 0; at < len; at += slice) {
			assert_int_equal(mms_reply_reader_feed(reader, stream + at, slice < len - at ? slice : len - at, NULL), MMS_OK);
		}
		for (; mms_reply_reader_next(reader, &reply, NULL) == MMS_OK && reply != NULL; count++) {
			static const enum mms_reply_type types[] = {MMS_REPLY_STATUS, MMS_REPLY_ARRAY, MMS_REPLY_STRING, MMS_REPLY_INTEGER};

			assert_int_equal(mms_reply_type(reply), types[count % 4]);
			if (count % 4 == 2) {
				struct mms_slice text = mms_reply_text(reply);

				assert_int_equal(text.ptr[text.len - 1], '0' + (int) (count / 4));
				assert_int_equal(text.ptr[text.len], '\0');
			} else if (count % 4 == 3) {
				assert_int_equal(mms_reply_integer(reply), count / 4);
			}
			mms_reply_free(reply);
		}
		assert_int_equal(count, 20);
		assert_false(mms_reply_reader_partial(reader));
		mms_reply_reader_free(reader);
	}
}

static void strings_up_to_the_limit_are_taken_and_no_byte_more(void **state)
{
	char bytes[MAX_BYTES + 16];
	int head = snprintf(bytes, sizeof(bytes), "$%d\r\n", MAX_BYTES);

	(void) state;
	memset(bytes + head, 'x', MAX_BYTES);
	memcpy(bytes + head + MAX_BYTES, "\r\n", 2);
	struct mms_reply *reply = parsed(bytes, (size_t) head + MAX_BYTES + 2);

	assert_int_equal(mms_reply_text(reply).len, MAX_BYTES);
	mms_reply_free(reply);
	head = snprintf(bytes, sizeof(bytes), "$%d\r\n", MAX_BYTES + 1);
	assert_too_large(bytes, (size_t) head);
	/* Whole, and with a wrong end: the same as when its length alone had come. */
	memset(bytes + head, 'x', MAX_BYTES + 3);
	assert_too_large(bytes, (size_t) head + MAX_BYTES + 3);
}

static void another_limit_holds_from_the_next_reply_on(void **state)
{
	struct mms_reply_reader *reader = reader_of(MAX_BYTES, MAX_ELEMENTS);
	char bytes[2 * MAX_BYTES];
	const int head = snprintf(bytes, sizeof(bytes), "$%d\r\n", MAX_BYTES + 1);

	(void) state;
	memset(bytes + head, 'x', MAX_BYTES + 1);
	memcpy(bytes + head + MAX_BYTES + 1, "\r\n", 2);
	mms_reply_reader_limit(reader, MAX_BYTES + 1);
	assert_int_equal(mms_reply_reader_feed(reader, bytes, (size_t) head + MAX_BYTES + 3, NULL), MMS_OK);
	assert_int_equal(mms_reply_reader_ready(reader), 1);
	mms_reply_reader_limit(reader, MAX_BYTES);
	assert_int_equal(mms_reply_reader_feed(reader, bytes, (size_t) head, NULL), MMS_ERR_TOO_LARGE);
	mms_reply_reader_free(reader);
	mms_reply_reader_limit(NULL, 1);
}

/* hiredis holds them twice, and no session comes in one. */
static void an_array_has_a_limit_of_its_own(void **state)
{
	static const struct { const char *bytes; enum mms_status status; } cases[] = {
		{ "$16777217\r\nx", MMS_OK },
		{ "*1\r\n$16777216\r\nx", MMS_OK },
		{ "*1\r\n$16777217\r\nx", MMS_ERR_TOO_LARGE },
		{ "*2\r\n*1\r\n$16777217\r\nx", MMS_ERR_TOO_LARGE },
		{ "*2\r\n$3\r\nabc\r\n$16777214\r\nx", MMS_ERR_TOO_LARGE },
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct mms_reply_reader *reader = reader_of(64u << 20, MAX_ELEMENTS);

		assert_int_equal(mms_reply_reader_feed(reader, cases[i].bytes, strlen(cases[i].bytes), NULL), cases[i].status);
		mms_reply_reader_free(reader);
	}
}

static void the_limit_holds_for_the_strings_of_an_array_together(void **state)
{
	char bytes[2 * MAX_BYTES];
	int len = snprintf(bytes, sizeof(bytes), "*2\r\n$600\r\n%0600d\r\n$500\r\n", 1);

	(void) state;
	assert_too_large(bytes, (size_t) len);
	len = snprintf(bytes, sizeof(bytes), "*2\r\n$600\r\n%0600d\r\n+%0500d\r\n", 1, 2);
	assert_refused(bytes, (size_t) len, "a line is longer than allowed");
}

static void the_limits_start_anew_with_every_reply(void **state)
{
	struct mms_reply_reader *reader = reader_of(MAX_BYTES, MAX_ELEMENTS);
	char bytes[2 * MAX_BYTES];
	int len = snprintf(bytes, sizeof(bytes), "*40\r\n$900\r\n%0900d\r\n", 1);

	(void) state;
	for (int index = 1; index < 40; index++) {
		len += snprintf(bytes + len, sizeof(bytes) - (size_t) len, ":%d\r\n", index);
	}
	for (int index = 0; index < 100; index++) {
		assert_int_equal(mms_reply_reader_feed(reader, bytes, (size_t) len, NULL), MMS_OK);
	}
	assert_int_equal(mms_reply_reader_ready(reader), 100);
	mms_reply_reader_free(reader); /* with replies not taken: nothing leaks */
}

static void huge_lengths_are_refused_before_memory_is_spent(void **state)
{
	struct rusage before, after;

	(void) state;
	getrusage(RUSAGE_SELF, &before);
	assert_too_large(TEXT("$2147483647\r\n"));
	assert_too_large(TEXT("$4294967296\r\n"));
	assert_no_reply(TEXT("$9223372036854775807\r\n"));
	assert_no_reply(TEXT("$18446744073709551617\r\n"));
	assert_no_reply(TEXT("$99999999999999999999999999999999999999999\r\n"));
	assert_refused(TEXT("$-2\r\n"), "");
	assert_refused(TEXT("$-9223372036854775808\r\n"), "");
	assert_refused(TEXT("*51\r\n"), "more elements");
	assert_refused(TEXT("*2147483647\r\n"), "more elements");
	assert_refused(TEXT("*4294967296\r\n"), "");
	assert_refused(TEXT("*9223372036854775807\r\n"), "");
	assert_refused(TEXT("*-2\r\n"), "");
	getrusage(RUSAGE_SELF, &after);
	assert_true(after.ru_maxrss - before.ru_maxrss < 16 * 1024);
}

static void arrays_within_arrays_count_together_and_nest_only_so_deep(void **state)
{
	(void) state;
	mms_reply_free(parsed(TEXT("*2\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n:2\r\n")));
	assert_refused(TEXT("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"), "");
	assert_refused(TEXT("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"), "");
	assert_refused(TEXT("*30\r\n*30\r\n"), "more elements");
}

static void garbage_is_a_protocol_error(void **state)
{
	(void) state;
	assert_refused(TEXT("HTTP/1.1 400 Bad Request\r\n"), "");
	assert_refused(TEXT("\r\n"), "");
	assert_refused(TEXT("\0"), "");
	assert_refused(TEXT("*x\r\n"), "");
	assert_refused(TEXT("$ 3\r\nabc\r\n"), "");
	assert_refused(TEXT("$\r\n\r\n"), "");
	assert_refused(TEXT(":12a\r\n"), "");
	assert_refused(TEXT("*2\r\n:1\r\n!\r\n"), "");
}

static void a_string_that_does_not_end_with_its_line_is_a_protocol_error(void **state)
{
	(void) state;
	assert_refused(TEXT("$3\r\nabcXX"), "does not end");
	assert_refused(TEXT("$3\r\nabcd\r\n"), "does not end");
	assert_refused(TEXT("*1\r\n$3\r\nabc\n\r"), "does not end");
}

static void types_that_nobody_asked_for_are_protocol_errors(void **state)
{
	(void) state;
	assert_refused(TEXT("%1\r\n+a\r\n+b\r\n"), "");
	assert_refused(TEXT("~1\r\n+a\r\n"), "");
	assert_refused(TEXT(">1\r\n+a\r\n"), "");
	assert_refused(TEXT("#t\r\n"), "");
	assert_refused(TEXT("_\r\n"), "");
	assert_refused(TEXT("*2\r\n$-1\r\n_\r\n"), "");
	assert_refused(TEXT(",1.5\r\n"), "");
	assert_refused(TEXT("(1234567890123456789012345678901234567890\r\n"), "");
	assert_refused(TEXT("=5\r\ntxt:a\r\n"), "");
}

static void a_line_that_never_ends_is_given_up(void **state)
{
	static char line[70000];

	(void) state;
	memset(line, 'x', sizeof(line));
	line[0] = '+';
	assert_refused(line, sizeof(line), "line without an end");
	line[0] = '$';
	memset(line + 1, '1', 100);
	assert_refused(line, 101, "");
	line[0] = '*';
	assert_refused(line, 101, "");
}

static void a_big_reply_leaves_no_big_buffer_behind(void **state)
{
	const size_t len = 8 << 20;
	struct mms_reply_reader *reader = reader_of(len, MAX_ELEMENTS);
	char head[32];
	char *body = calloc(1, len + 2);
	struct mms_reply *reply;

	(void) state;
	assert_non_null(body);
	memcpy(body + len, "\r\n", 2);
	for (int round = 0; round < 3; round++) {
		int head_len = snprintf(head, sizeof(head), "$%zu\r\n", len);

		assert_int_equal(mms_reply_reader_feed(reader, head, (size_t) head_len, NULL), MMS_OK);
		for (size_t at = 0; at < len + 2; at += 65536) {
			size_t take = len + 2 - at < 65536 ? len + 2 - at : 65536;

			assert_int_equal(mms_reply_reader_feed(reader, body + at, take, NULL), MMS_OK);
		}
		assert_int_equal(mms_reply_reader_next(reader, &reply, NULL), MMS_OK);
		assert_int_equal(mms_reply_text(reply).len, len);
		mms_reply_free(reply);
		assert_int_equal(mms_reply_reader_feed(reader, TEXT("+OK\r\n"), NULL), MMS_OK);
		assert_int_equal(mms_reply_reader_next(reader, &reply, NULL), MMS_OK);
		assert_text(reply, TEXT("OK"));
		mms_reply_free(reply);
	}
	free(body);
	mms_reply_reader_free(reader);
}

static void random_bytes_never_break_the_parser(void **state)
{
	static const char alphabet[] = "+-:$*0123456789\r\n\r\n\r\nabc,#%~>=_(";
	uint64_t seed = 42;

	(void) state;
	for (unsigned round = 0; round < 20000; round++) {
		struct mms_reply_reader *reader = reader_of(64, 8);
		struct mms_reply *reply;

		for (unsigned index = 0; index < 64; index++) {
			seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
			char byte = alphabet[(seed >> 33) % (sizeof(alphabet) - 1)];

			if (mms_reply_reader_feed(reader, &byte, 1, NULL) != MMS_OK) {
				break;
			}
		}
		while (mms_reply_reader_next(reader, &reply, NULL) == MMS_OK && reply != NULL) {
			mms_reply_free(reply);
		}
		mms_reply_reader_free(reader);
	}
}

static void the_library_says_its_version(void **state)
{
	unsigned major, minor, patch;

	(void) state;
	assert_int_equal(sscanf(mms_reply_library_version(), "%u.%u.%u", &major, &minor, &patch), 3);
	assert_true(major < 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_type_is_read_through_its_accessors),
		cmocka_unit_test(replies_come_whole_and_in_order_however_they_are_sliced),
		cmocka_unit_test(partial_is_true_from_the_first_byte_of_a_reply_to_its_last),
		cmocka_unit_test(the_rest_of_a_string_may_be_received_where_it_belongs),
		cmocka_unit_test(a_string_received_where_it_belongs_must_end_where_it_should),
		cmocka_unit_test(long_strings_come_whole_among_others_however_they_are_sliced),
		cmocka_unit_test(strings_up_to_the_limit_are_taken_and_no_byte_more),
		cmocka_unit_test(another_limit_holds_from_the_next_reply_on),
		cmocka_unit_test(an_array_has_a_limit_of_its_own),
		cmocka_unit_test(the_limit_holds_for_the_strings_of_an_array_together),
		cmocka_unit_test(the_limits_start_anew_with_every_reply),
		cmocka_unit_test(huge_lengths_are_refused_before_memory_is_spent),
		cmocka_unit_test(arrays_within_arrays_count_together_and_nest_only_so_deep),
		cmocka_unit_test(garbage_is_a_protocol_error),
		cmocka_unit_test(a_string_that_does_not_end_with_its_line_is_a_protocol_error),
		cmocka_unit_test(types_that_nobody_asked_for_are_protocol_errors),
		cmocka_unit_test(a_line_that_never_ends_is_given_up),
		cmocka_unit_test(a_big_reply_leaves_no_big_buffer_behind),
		cmocka_unit_test(random_bytes_never_break_the_parser),
		cmocka_unit_test(the_library_says_its_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
