/* One server, one key and the scripts on it: for tests of what the scripts do. Include after cmocka.h. */
#ifndef MMS_TEST_SCRIPTS_H
#define MMS_TEST_SCRIPTS_H

#include "mms_command.h"
#include "mms_put.h"
#include "server.h"

#define KEY "prefix:session"
#define TMP "prefix:tmp"
#define EMPTY ((struct mms_slice) {"", 0})
#define HOUR 3600000
#define SLACK 2000 /* ms that a TTL may have run down within a test */

static const char *program;
static struct server server;
static struct client client;

static inline struct mms_slice slice_of(const char *text)
{
	return mms_slice_of(text);
}

/* base: NULL for none. */
static inline void encode_on(const struct mms_version *version, const struct mms_version *base, struct mms_slice payload,
		unsigned char out[MMS_RECORD_HEADER_SIZE])
{
	struct mms_record_header header = {.version = *version, .lifetime_s = 1440};

	if (base != NULL) {
		header.base_hlc = base->hlc;
		header.base_writer = base->writer;
		header.base_sequence = base->sequence;
	}
	mms_record_describe(&header, payload);
	mms_record_encode(&header, slice_of(KEY), out);
}

static inline void encode(const struct mms_version *version, struct mms_slice payload, unsigned char out[MMS_RECORD_HEADER_SIZE])
{
	encode_on(version, NULL, payload, out);
}

/* Stores bytes as they are. */
static inline void place(const void *bytes, size_t len, int64_t ttl_ms)
{
	assert_true(client_set(&client, KEY, bytes, len, ttl_ms));
}

static inline void place_record(const struct mms_version *version, const char *payload, int64_t ttl_ms)
{
	char record[1024];
	size_t len = strlen(payload);

	encode(version, slice_of(payload), (unsigned char *) record);
	memcpy(record + MMS_RECORD_HEADER_SIZE, payload, len);
	place(record, MMS_RECORD_HEADER_SIZE + len, ttl_ms);
}

static inline void clear(void)
{
	assert_true(client_do(&client, 2, "DEL", KEY));
}

static inline int64_t ttl(void)
{
	return client_integer(&client, "PTTL", KEY);
}

static inline void assert_ttl(int64_t expected)
{
	int64_t found = ttl();

	if (found > expected || found < expected - SLACK) {
		fail_msg("TTL %lld instead of %lld", (long long) found, (long long) expected);
	}
}

static inline void assert_value(const void *bytes, size_t len)
{
	struct mms_reply *reply = client_ask(&client, 2, "GET", KEY);

	assert_int_equal(mms_reply_type(reply), MMS_REPLY_STRING);
	assert_int_equal(mms_reply_text(reply).len, len);
	assert_memory_equal(mms_reply_text(reply).ptr, bytes, len);
	mms_reply_free(reply);
}

static inline void send_parts(const struct mms_command *command)
{
	assert_false(command->overflow);
	for (uint32_t index = 0; index < command->part_count; index++) {
		assert_true(client_write(&client, command->parts[index].iov_base, command->parts[index].iov_len));
	}
}

static inline struct mms_put_result put_bytes(const unsigned char *header, struct mms_slice payload, uint64_t ttl_ms,
		struct mms_slice expected)
{
	struct mms_command command;
	struct mms_put_result result;

	mms_command_init(&command);
	mms_command_put(&command, slice_of(KEY), slice_of(TMP), header, payload, ttl_ms, expected);
	send_parts(&command);
	struct mms_reply *first = client_take(&client), *second = client_take(&client);

	assert_non_null(second);
	mms_put_parse(first, second, &result);
	mms_reply_free(first);
	mms_reply_free(second);
	if (result.outcome == MMS_PUT_ERROR) {
		fprintf(stderr, "put: %s\n", result.error_text);
	}
	return result;
}

static inline struct mms_put_result put_on(const struct mms_version *version, const struct mms_version *base,
		const char *payload, uint64_t ttl_ms)
{
	unsigned char header[MMS_RECORD_HEADER_SIZE];

	encode_on(version, base, slice_of(payload), header);
	struct mms_put_result result = put_bytes(header, slice_of(payload), ttl_ms, EMPTY);

	assert_int_equal(client_integer(&client, "EXISTS", TMP), 0); /* whatever came of it */
	return result;
}

static inline struct mms_put_result put(const struct mms_version *version, const char *payload, uint64_t ttl_ms)
{
	return put_on(version, NULL, payload, ttl_ms);
}

static inline struct mms_put_result touch(const struct mms_version *version, const char *payload, uint64_t ttl_ms)
{
	unsigned char header[MMS_RECORD_HEADER_SIZE];
	struct mms_command command;
	struct mms_put_result result;

	encode(version, slice_of(payload), header);
	mms_command_init(&command);
	mms_command_touch(&command, slice_of(KEY), header, ttl_ms);
	send_parts(&command);
	struct mms_reply *reply = client_take(&client);

	assert_non_null(reply);
	mms_put_parse(NULL, reply, &result);
	mms_reply_free(reply);
	return result;
}

static inline bool load_scripts(void)
{
	struct mms_command command;
	bool good = true;

	mms_command_init(&command);
	mms_command_load_scripts(&command);
	send_parts(&command);
	for (uint32_t index = 0; index < command.reply_count; index++) {
		struct mms_reply *reply = client_take(&client);

		good = reply_is_good(reply) && good;
	}
	return good;
}

static inline int start(void **state)
{
	(void) state;
	return server_start(&server, program, NULL) && client_open(&client, &server) && load_scripts() ? 0 : -1;
}

static inline int stop(void **state)
{
	(void) state;
	client_close(&client);
	server_stop(&server);
	return 0;
}

/* Runs the tests once for every server found. */
#define run_on_every_server(tests) run_tests_on_servers(tests, sizeof(tests) / sizeof((tests)[0]))
static inline int run_tests_on_servers(const struct CMUnitTest *tests, size_t test_count)
{
	static char paths[SERVERS_MAX][PATH_MAX];
	const size_t count = servers_find(paths);
	int failed = 0;

	if (count == 0) {
		return servers_missing("scripts");
	}
	for (size_t index = 0; index < count; index++) {
		program = paths[index];
		printf("# %s\n", program);
		failed += _cmocka_run_group_tests(program, tests, test_count, start, stop);
	}
	return failed;
}

#endif
