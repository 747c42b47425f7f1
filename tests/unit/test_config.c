/* Settings: words, numbers, texts, fingerprint, password file; every message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mms_config.h"

static void read_modes_are_three_words(void **state)
{
	struct mms_error error = {""};
	uint32_t mode = 99;

	(void) state;
	assert_int_equal(mms_config_parse_read_mode(mms_slice_of("newest"), &mode, &error), MMS_OK);
	assert_int_equal(mode, MMS_READ_NEWEST);
	assert_int_equal(mms_config_parse_read_mode(mms_slice_of("Quorum"), &mode, &error), MMS_OK);
	assert_int_equal(mode, MMS_READ_QUORUM);
	assert_int_equal(mms_config_parse_read_mode(mms_slice_of("local"), &mode, &error), MMS_OK);
	assert_int_equal(mode, MMS_READ_LOCAL);
	mode = 99;
	assert_int_equal(mms_config_parse_read_mode(mms_slice_of("new\nest"), &mode, &error), MMS_ERR_CONFIG);
	assert_string_equal(error.text, "read mode \"new?est\" is unknown: write newest, quorum, local or session-token");
	assert_int_equal(mms_config_parse_read_mode(mms_slice_of(""), &mode, NULL), MMS_ERR_CONFIG);
	assert_int_equal(mode, 99);
}

static void write_acks_are_a_number_or_a_word(void **state)
{
	static const char *const wrong[] = {"0", "65", "-1", "", "1 ", "some", "1K", "99999999999999999999"};
	struct mms_error error = {""};
	uint32_t acks = 0;

	(void) state;
	assert_int_equal(mms_config_parse_write_acks(mms_slice_of("1"), &acks, &error), MMS_OK);
	assert_int_equal(acks, 1);
	assert_int_equal(mms_config_parse_write_acks(mms_slice_of("64"), &acks, &error), MMS_OK);
	assert_int_equal(acks, 64);
	assert_int_equal(mms_config_parse_write_acks(mms_slice_of("quorum"), &acks, &error), MMS_OK);
	assert_true(acks == MMS_ACKS_QUORUM);
	assert_int_equal(mms_config_parse_write_acks(mms_slice_of("all"), &acks, &error), MMS_OK);
	assert_true(acks == MMS_ACKS_ALL);
	for (size_t index = 0; index < sizeof(wrong) / sizeof(wrong[0]); index++) {
		char text[200];

		assert_int_equal(mms_config_parse_write_acks(mms_slice_of(wrong[index]), &acks, &error), MMS_ERR_CONFIG);
		snprintf(text, sizeof(text), "write acknowledgements \"%s\": write a number from 1 to 64, quorum or all",
				wrong[index]);
		assert_string_equal(error.text, text);
	}
	assert_true(acks == MMS_ACKS_ALL);
}

static void without_a_quorum_it_fails_or_degrades(void **state)
{
	static const char *const wrong[] = { "", "Fail ", "ok", "0" };
	struct mms_error error;
	uint32_t mode = 77;

	(void)state;
	assert_int_equal(mms_config_parse_no_quorum(mms_slice_of("fail"), &mode, &error), MMS_OK);
	assert_int_equal(mode, MMS_NO_QUORUM_FAIL);
	assert_int_equal(mms_config_parse_no_quorum(mms_slice_of("degrade"), &mode, &error), MMS_OK);
	assert_int_equal(mode, MMS_NO_QUORUM_DEGRADE);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(mms_config_parse_no_quorum(mms_slice_of(wrong[i]), &mode, &error), MMS_ERR_CONFIG);
		assert_non_null(strstr(error.text, "fail or degrade"));
	}
	assert_int_equal(mode, MMS_NO_QUORUM_DEGRADE);
}

static void a_switch_is_what_people_write_for_it(void **state)
{
	static const struct { const char *text; uint64_t value; } right[] = { { "1", 1 }, { "0", 0 }, { "", 0 }, { "on", 1 },
		{ "Off", 0 }, { "YES", 1 }, { "no", 0 }, { "True", 1 }, { "false", 0 } };
	static const char *const wrong[] = { "2", "-1", "01", " 1", "maybe", "o", "onn" };
	struct mms_error error;
	uint64_t value;

	(void)state;
	for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		value = 7;
		assert_int_equal(mms_config_parse_switch(mms_slice_of(right[i].text), &value, &error), MMS_OK);
		assert_int_equal(value, right[i].value);
	}
	value = 7;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(mms_config_parse_switch(mms_slice_of(wrong[i]), &value, &error), MMS_ERR_CONFIG);
		assert_non_null(strstr(error.text, "write 0 or 1"));
	}
	assert_int_equal(value, 7);
}

static void a_lock_keeps_read_local_from_asking_one_node(void **state)
{
	static struct mms_settings settings;

	(void)state;
	for (uint32_t mode = MMS_READ_NEWEST; mode <= MMS_READ_TOKEN; mode++) {
		settings.read_mode = mode;
		settings.lock = 0;
		assert_int_equal(mms_config_reads_one(&settings), mode == MMS_READ_LOCAL);
		settings.lock = 1;
		assert_false(mms_config_reads_one(&settings));
	}
}

static void more_acknowledgements_than_nodes_are_refused(void **state)
{
	static const struct { uint32_t nodes, acks; enum mms_status status; } cases[] = {
		{ 1, 1, MMS_OK }, { 3, 3, MMS_OK }, { 1, MMS_ACKS_ALL, MMS_OK }, { 1, MMS_ACKS_QUORUM, MMS_OK },
		{ 1, 2, MMS_ERR_CONFIG }, { 3, 4, MMS_ERR_CONFIG }, { 3, 64, MMS_ERR_CONFIG } };
	static struct mms_settings settings;
	struct mms_error error;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		settings.node_count = cases[i].nodes;
		settings.write_acks = cases[i].acks;
		error.text[0] = '\0';
		assert_int_equal(mms_config_check_together(&settings, &error), cases[i].status);
	}
	assert_string_equal(error.text, "mmsession.write_acks = 64, but the list has 3 nodes: write 3 at most, quorum or all");
}

static void the_prefix_to_import_from_is_another_one(void **state)
{
	static struct mms_settings settings = { .node_count = 3, .write_acks = 1 };
	struct mms_error error = {""};

	(void) state;
	assert_int_equal(mms_config_check_together(&settings, &error), MMS_OK); /* both empty */
	strcpy(settings.import_prefix, "shop:");
	assert_int_equal(mms_config_check_together(&settings, &error), MMS_OK);
	strcpy(settings.prefix, "shop:");
	assert_int_equal(mms_config_check_together(&settings, &error), MMS_ERR_CONFIG);
	assert_non_null(strstr(error.text, "mmsession.import_prefix is mmsession.prefix, \"shop:\""));
}

static void acks_needed_lie_between_one_and_all_nodes(void **state)
{
	static const struct { uint32_t nodes, acks, needed; } cases[] = {
		{1, 1, 1}, {3, 1, 1}, {3, 2, 2}, {3, 7, 3}, {1, MMS_ACKS_QUORUM, 1}, {2, MMS_ACKS_QUORUM, 2},
		{3, MMS_ACKS_QUORUM, 2}, {4, MMS_ACKS_QUORUM, 3}, {7, MMS_ACKS_QUORUM, 4}, {64, MMS_ACKS_QUORUM, 33},
		{1, MMS_ACKS_ALL, 1}, {7, MMS_ACKS_ALL, 7}, {3, 0, 1}, {0, MMS_ACKS_ALL, 1}};

	(void) state;
	for (size_t index = 0; index < sizeof(cases) / sizeof(cases[0]); index++) {
		static struct mms_settings settings;

		settings.node_count = cases[index].nodes;
		settings.write_acks = cases[index].acks;
		assert_int_equal(mms_config_acks_needed(&settings), cases[index].needed);
	}
}

static void prefixes_have_no_blanks_and_no_globs(void **state)
{
	static const char *const right[] = {"", "PHPSESSION:", "shop{1}:", "caf\xc3\xa9:", "a/b.c-d_e#f"};
	static const char wrong[] = " \t\n\r\x01\x1f\x7f*?[]\\";
	struct mms_error error = {""};
	char text[MMS_PREFIX_MAX + 2];

	(void) state;
	for (size_t index = 0; index < sizeof(right) / sizeof(right[0]); index++) {
		assert_int_equal(mms_config_check_prefix(mms_slice_of(right[index]), &error), MMS_OK);
	}
	/* the NUL at the end as well */
	for (size_t index = 0; index < sizeof(wrong); index++) {
		const char prefix[] = {'a', 'b', wrong[index], 'c'};

		assert_int_equal(mms_config_check_prefix((struct mms_slice) {prefix, 4}, &error), MMS_ERR_CONFIG);
		assert_non_null(strstr(error.text, "(offset 2); example: shop:"));
	}
	assert_int_equal(mms_config_check_prefix(mms_slice_of("a b"), &error), MMS_ERR_CONFIG);
	assert_string_equal(error.text,
			"prefix \"a b\": no blanks, control characters or * ? [ ] \\ (offset 1); example: shop:");
	memset(text, 'p', sizeof(text));
	assert_int_equal(mms_config_check_prefix((struct mms_slice) {text, MMS_PREFIX_MAX}, &error), MMS_OK);
	assert_int_equal(mms_config_check_prefix((struct mms_slice) {text, MMS_PREFIX_MAX + 1}, &error), MMS_ERR_CONFIG);
	assert_non_null(strstr(error.text, "has 65 bytes: at most 64; example: shop:"));
}

/* What follows it begins with a session id, which a visitor may choose. */
static void our_prefix_ends_where_no_session_id_goes_on(void **state)
{
	static const char *const wrong[] = {"shop", "SHOP", "shop2", "shop-", "shop,", "a", ":z"};
	static const char *const right[] = {"", "shop:", "shop/", "shop_", "caf\xc3\xa9"};
	struct mms_error error = {""};

	(void) state;
	for (size_t index = 0; index < sizeof(wrong) / sizeof(wrong[0]); index++) {
		assert_int_equal(mms_config_check_own_prefix(mms_slice_of(wrong[index]), &error), MMS_ERR_CONFIG);
		assert_non_null(strstr(error.text, "ends in a character of session ids"));
	}
	for (size_t index = 0; index < sizeof(right) / sizeof(right[0]); index++) {
		assert_int_equal(mms_config_check_own_prefix(mms_slice_of(right[index]), &error), MMS_OK);
	}
	assert_int_equal(mms_config_check_own_prefix(mms_slice_of("a b:"), &error), MMS_ERR_CONFIG);
	assert_non_null(strstr(error.text, "no blanks"));
}

static void host_ids_are_names(void **state)
{
	static const char *const right[] = {"web1", "web1.example.com", "A-b_c.9", "0"};
	static const char *const wrong[] = {"", "web 1", "web/1", "web\n1", "w\xc3\xa9" "b", "a:b", "web1;"};
	struct mms_error error = {""};
	char text[65];

	(void) state;
	for (size_t index = 0; index < sizeof(right) / sizeof(right[0]); index++) {
		assert_int_equal(mms_config_check_host_id(mms_slice_of(right[index]), &error), MMS_OK);
	}
	for (size_t index = 0; index < sizeof(wrong) / sizeof(wrong[0]); index++) {
		assert_int_equal(mms_config_check_host_id(mms_slice_of(wrong[index]), &error), MMS_ERR_CONFIG);
		assert_non_null(strstr(error.text, ": write 1 to 64 letters, digits, dots, hyphens or underscores; example: web1."));
	}
	memset(text, 'h', sizeof(text));
	assert_int_equal(mms_config_check_host_id((struct mms_slice) {text, 64}, &error), MMS_OK);
	assert_int_equal(mms_config_check_host_id((struct mms_slice) {text, 65}, &error), MMS_ERR_CONFIG);
}

static void session_ids_are_of_phps_alphabet(void **state)
{
	static const char alphabet[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789,-";
	char longest[MMS_SESSION_ID_MAX + 1];

	(void) state;
	for (int byte = 0; byte < 256; byte++) {
		const char id[] = {'a', (char) byte, 'b'};
		const bool right = byte != 0 && strchr(alphabet, byte) != NULL;

		assert_int_equal(mms_config_session_id_valid((struct mms_slice) {id, 3}), right);
	}
	memset(longest, 'x', sizeof(longest));
	assert_true(mms_config_session_id_valid((struct mms_slice) {longest, MMS_SESSION_ID_MAX}));
	assert_false(mms_config_session_id_valid((struct mms_slice) {longest, MMS_SESSION_ID_MAX + 1}));
	assert_false(mms_config_session_id_valid(mms_slice_of("")));
}

static void numbers_take_a_unit_and_keep_their_range(void **state)
{
	static const struct { const char *text; uint64_t min, max; bool fits; uint64_t value; } cases[] = {
		{"0", 0, 10, true, 0}, {"10", 0, 10, true, 10}, {"11", 0, 10, false, 0}, {"4", 5, 10, false, 0},
		{"1K", 0, 4096, true, 1024}, {"4k", 0, 4096, true, 4096}, {"5K", 0, 4096, false, 0},
		{"3M", 0, UINT64_MAX, true, 3145728}, {"2g", 0, UINT64_MAX, true, UINT64_C(2147483648)},
		{"4K", 0, 5000, true, 4096}, {"1K", 1025, 5000, false, 0}, {"17179869183G", 0, UINT64_MAX, true, 17179869183u * (UINT64_C(1) << 30)},
		{"17179869184G", 0, UINT64_MAX, false, 0}, {"18446744073709551615", 0, UINT64_MAX, true, UINT64_MAX},
		{"18446744073709551616", 0, UINT64_MAX, false, 0}, {"", 0, 10, false, 0}, {"K", 0, 10, false, 0},
		{"-1", 0, 10, false, 0}, {"+1", 0, 10, false, 0}, {" 1", 0, 10, false, 0}, {"1KB", 0, 10000, false, 0},
		{"1.5", 0, 10, false, 0}, {"0x10", 0, 100, false, 0}, {"1T", 0, UINT64_MAX, false, 0}};
	struct mms_error error = {""};
	uint64_t value;

	(void) state;
	for (size_t index = 0; index < sizeof(cases) / sizeof(cases[0]); index++) {
		value = 0;
		assert_int_equal(mms_config_parse_number(mms_slice_of(cases[index].text), "x", cases[index].min, cases[index].max,
				&value, &error), cases[index].fits ? MMS_OK : MMS_ERR_CONFIG);
		assert_true(value == cases[index].value);
	}
	mms_config_parse_number(mms_slice_of("12Q"), "mmsession.budget_ms", 1, 60000, &value, &error);
	assert_string_equal(error.text,
			"mmsession.budget_ms: \"12Q\" is not a number from 1 to 60000 (K, M or G may follow it)");
}

/* Two nodes and every text filled in. */
static struct mms_settings *some_settings(void)
{
	struct mms_settings *settings = calloc(1, sizeof(*settings));
	struct mms_error error = {""};

	assert_non_null(settings);
	assert_int_equal(mms_config_parse_nodes(mms_slice_of("unix:///run/a.sock, tcp://10.0.0.2:6379?name=b&db=3"), settings,
			&error), MMS_OK);
	strcpy(settings->prefix, "shop:");
	strcpy(settings->user, "php");
	strcpy(settings->password_file, "/etc/secret");
	strcpy(settings->host_id, "web1");
	return settings;
}

static uint64_t fingerprint_with(void (*change)(struct mms_settings *))
{
	struct mms_settings *settings = some_settings();

	change(settings);

	const uint64_t fingerprint = mms_config_fingerprint(settings);

	free(settings);
	return fingerprint;
}

static void parse_into(struct mms_settings *settings, const char *nodes)
{
	assert_int_equal(mms_config_parse_nodes(mms_slice_of(nodes), settings, NULL), MMS_OK);
}

static void nothing(struct mms_settings *s) { (void) s; }
static void prefix(struct mms_settings *s) { strcpy(s->prefix, "shoq:"); }
static void import_prefix(struct mms_settings *s) { strcpy(s->import_prefix, "OLD:"); }
static void no_prefix(struct mms_settings *s) { s->prefix[0] = '\0'; }
static void user(struct mms_settings *s) { strcpy(s->user, "pho"); }
static void password_file(struct mms_settings *s) { strcpy(s->password_file, "/etc/secreu"); }
static void host_id(struct mms_settings *s) { strcpy(s->host_id, "web2"); }
static void shifted(struct mms_settings *s) { strcpy(s->prefix, "shop:php"); s->user[0] = '\0'; }
static void order(struct mms_settings *s) { parse_into(s, "tcp://10.0.0.2:6379?name=b&db=3, unix:///run/a.sock"); }
static void fewer(struct mms_settings *s) { parse_into(s, "unix:///run/a.sock"); }
static void more(struct mms_settings *s) { parse_into(s, "unix:///run/a.sock tcp://10.0.0.2?name=b&db=3 tcp://c"); }
static void port(struct mms_settings *s) { parse_into(s, "unix:///run/a.sock, tcp://10.0.0.2:6380?name=b&db=3"); }
static void db(struct mms_settings *s) { parse_into(s, "unix:///run/a.sock, tcp://10.0.0.2:6379?name=b&db=4"); }
static void host(struct mms_settings *s) { parse_into(s, "unix:///run/a.sock, tcp://10.0.0.3:6379?name=b&db=3"); }
static void path(struct mms_settings *s) { parse_into(s, "unix:///run/b.sock, tcp://10.0.0.2:6379?name=b&db=3"); }

static void tls(struct mms_settings *s) { parse_into(s, "unix:///run/a.sock, tls://10.0.0.2:6379?name=b&db=3"); }
static void tls_name(struct mms_settings *s) { parse_into(s, "unix:///run/a.sock, tls://10.0.0.2:6379?name=b&db=3&tls_name=c"); }
static void tls_verify(struct mms_settings *s) { s->tls_verify = 1; }
static void tls_ca_file(struct mms_settings *s) { strcpy(s->tls_ca_file, "/etc/x.pem"); }
static void tls_cert_file(struct mms_settings *s) { strcpy(s->tls_cert_file, "/etc/x.pem"); }
static void tls_key_file(struct mms_settings *s) { strcpy(s->tls_key_file, "/etc/x.pem"); }

static void other_name(struct mms_settings *s)
{
	parse_into(s, "unix:///run/a.sock?name=local tcp://10.0.0.2?db=3");
	s->read_mode = MMS_READ_LOCAL;
	s->write_acks = 2;
	s->budget_ms = 77;
}

static void dirty_tail(struct mms_settings *s)
{
	memset(s->prefix + strlen(s->prefix) + 1, 'x', 10);
	memset(&s->nodes[2], 0x5a, sizeof(s->nodes[2]));
}

static void the_fingerprint_tells_clusters_apart_and_nothing_else(void **state)
{
	static void (*const changes[])(struct mms_settings *) = {
		nothing, prefix, no_prefix, user, password_file, host_id, shifted, order, fewer, more, port, db, host, path,
		tls, tls_name, tls_verify, tls_ca_file, tls_cert_file, tls_key_file};
	const size_t count = sizeof(changes) / sizeof(changes[0]);

	(void) state;
	for (size_t a = 0; a < count; a++) {
		assert_true(fingerprint_with(changes[a]) != 0);
		for (size_t b = a + 1; b < count; b++) {
			assert_true(fingerprint_with(changes[a]) != fingerprint_with(changes[b]));
		}
	}
	assert_true(fingerprint_with(nothing) == fingerprint_with(other_name));
	assert_true(fingerprint_with(nothing) == fingerprint_with(dirty_tail));
	assert_true(fingerprint_with(nothing) == fingerprint_with(import_prefix));
}

static char folder[] = "/tmp/mms-config-XXXXXX";

static int make_folder(void **state)
{
	(void) state;
	return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state)
{
	char name[128];

	(void) state;
	snprintf(name, sizeof(name), "%s/secret", folder);
	unlink(name);
	return rmdir(folder);
}

/* Writes the file anew; returns its name. */
static const char *secret_file(const char *content, size_t len)
{
	static char name[128];
	int fd;

	snprintf(name, sizeof(name), "%s/secret", folder);
	unlink(name);
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, len), len);
	close(fd);
	return name;
}

static void a_password_is_the_files_first_line(void **state)
{
	static const struct { const char *content, *password; } cases[] = {
		{"s3cret", "s3cret"}, {"s3cret\n", "s3cret"}, {"s3cret\r\n", "s3cret"}, {"s3cret\n# comment\n", "s3cret"},
		{" with blanks \n", " with blanks "}, {"p\xc3\xa4ss", "p\xc3\xa4ss"}};
	char out[MMS_SECRET_MAX + 1];
	char longest[MMS_SECRET_MAX];
	struct mms_error error = {""};

	(void) state;
	for (size_t index = 0; index < sizeof(cases) / sizeof(cases[0]); index++) {
		const char *name = secret_file(cases[index].content, strlen(cases[index].content));

		assert_int_equal(mms_config_read_password(name, out, &error), MMS_OK);
		assert_string_equal(out, cases[index].password);
	}
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(mms_config_read_password(secret_file(longest, sizeof(longest)), out, &error), MMS_OK);
	assert_int_equal(strlen(out), MMS_SECRET_MAX);
	assert_int_equal(mms_config_read_password("", out, &error), MMS_OK);
	assert_string_equal(out, "");
}

static void assert_password_refused(const char *name, const char *reason)
{
	char out[MMS_SECRET_MAX + 1] = "left over";
	struct mms_error error = {""};
	char text[400];

	assert_int_equal(mms_config_read_password(name, out, &error), MMS_ERR_CONFIG);
	snprintf(text, sizeof(text), "mmsession.password_file %s: %s", name, reason);
	assert_string_equal(error.text, text);
	assert_string_equal(out, "");
	assert_null(strstr(error.text, "hunter2"));
}

static void a_bad_password_file_is_named_and_not_quoted(void **state)
{
	char big[MMS_SECRET_MAX + 1];

	(void) state;
	memset(big, 'x', sizeof(big));
	memcpy(big, "hunter2\n", 8);
	assert_password_refused("/nonexistent/secret", "open: No such file or directory");
	assert_password_refused(folder, "read: Is a directory");
	assert_password_refused(secret_file(big, sizeof(big)), "more than 512 bytes; it should hold one line");
	assert_password_refused(secret_file("", 0), "its first line is empty; it should be the secret");
	assert_password_refused(secret_file("\nhunter2", 8), "its first line is empty; it should be the secret");
	assert_password_refused(secret_file("hunter2\0x", 9),
			"its first line is no text (a zero byte); it should be the secret");
}

static void a_fifo_as_password_file_does_not_block(void **state)
{
	char name[128];

	(void) state;
	snprintf(name, sizeof(name), "%s/secret", folder);
	unlink(name);
	assert_int_equal(mkfifo(name, 0600), 0);
	assert_password_refused(name, "its first line is empty; it should be the secret");
}

static void a_key_is_prefix_and_session_id(void **state)
{
	struct mms_settings *settings = calloc(1, sizeof(*settings));

	(void) state;
	assert_non_null(settings);
	assert_true(mms_config_key_valid(settings, mms_slice_of("a1")));
	assert_false(mms_config_key_valid(settings, mms_slice_of("shop:a1")));
	strcpy(settings->prefix, "shop:");
	assert_true(mms_config_key_valid(settings, mms_slice_of("shop:a1,-")));
	assert_false(mms_config_key_valid(settings, mms_slice_of("shop:")));
	assert_false(mms_config_key_valid(settings, mms_slice_of("shop::node")));
	assert_false(mms_config_key_valid(settings, mms_slice_of("shop")));
	assert_false(mms_config_key_valid(settings, mms_slice_of("other:a1")));
	assert_false(mms_config_key_valid(settings, (struct mms_slice) {"shop:a\0b", 8}));
	assert_false(mms_config_key_valid(settings, (struct mms_slice) {NULL, 0}));
	free(settings);
}

static void settings_beyond_what_ini_allows_are_not_sound(void **state)
{
	struct mms_settings *sound = calloc(1, sizeof(*sound)), *settings = calloc(1, sizeof(*settings));
	static const struct { size_t offset; uint32_t max; } numbers[] = {
		{ offsetof(struct mms_settings, node_count), MMS_NODES_MAX },
		{ offsetof(struct mms_settings, read_mode), MMS_READ_TOKEN },
		{ offsetof(struct mms_settings, on_no_quorum), MMS_NO_QUORUM_DEGRADE },
		{ offsetof(struct mms_settings, lifetime_s), MMS_LIFETIME_MAX_S },
		{ offsetof(struct mms_settings, connect_timeout_ms), MMS_TIMEOUT_MAX_MS },
		{ offsetof(struct mms_settings, read_timeout_ms), MMS_TIMEOUT_MAX_MS },
		{ offsetof(struct mms_settings, budget_ms), MMS_BUDGET_MAX_MS },
		{ offsetof(struct mms_settings, touch_interval_s), MMS_TOUCH_INTERVAL_MAX_S },
		{ offsetof(struct mms_settings, spin_us), MMS_SPIN_MAX_US },
		{ offsetof(struct mms_settings, max_clock_drift_ms), MMS_CLOCK_DRIFT_MAX_MS },
		{ offsetof(struct mms_settings, max_session_size), MMS_SESSION_SIZE_MAX },
		{ offsetof(struct mms_settings, shutdown_drain_ms), MMS_DRAIN_MAX_MS },
		{ offsetof(struct mms_settings, lock), 1 },
		{ offsetof(struct mms_settings, lock_wait_ms), MMS_LOCK_WAIT_MAX_MS },
		{ offsetof(struct mms_settings, lock_ttl_ms), MMS_LOCK_TTL_MAX_MS },
		{ offsetof(struct mms_settings, nodes[0].scheme), MMS_SCHEME_TLS },
		{ offsetof(struct mms_settings, nodes[1].port), 65535 },
	};
	static const struct { size_t offset, size; } texts[] = {
#define TEXT(field) { offsetof(struct mms_settings, field), sizeof(((struct mms_settings *) 0)->field) }
		TEXT(host_id), TEXT(prefix), TEXT(import_prefix), TEXT(user), TEXT(password_file), TEXT(nodes[0].host), TEXT(nodes[0].path),
		TEXT(nodes[1].name), TEXT(nodes[1].address), TEXT(nodes[0].tls_name), TEXT(tls_ca_file), TEXT(tls_cert_file),
		TEXT(tls_key_file),
#undef TEXT
	};

	(void) state;
	assert_non_null(sound);
	assert_non_null(settings);
	assert_int_equal(mms_config_parse_nodes(mms_slice_of("tcp://10.0.0.1, tcp://10.0.0.2"), sound, NULL), MMS_OK);
	assert_true(mms_config_sound(sound));
	for (size_t index = 0; index < sizeof(numbers) / sizeof(numbers[0]); index++) {
		uint32_t *number = (void *) ((char *) settings + numbers[index].offset);

		*settings = *sound;
		*number = numbers[index].max;
		assert_true(mms_config_sound(settings));
		*number = numbers[index].max + 1;
		assert_false(mms_config_sound(settings));
	}
	for (size_t index = 0; index < sizeof(texts) / sizeof(texts[0]); index++) {
		*settings = *sound;
		memset((char *) settings + texts[index].offset, 'x', texts[index].size);
		assert_false(mms_config_sound(settings));
	}
	*settings = *sound;
	settings->node_count = 0;
	assert_false(mms_config_sound(settings));
	free(settings);
	free(sound);
}

static void root_reads_a_password_only_as_the_user_who_named_its_file(void **state)
{
	const uint32_t nobody = 65534;
	char out[MMS_SECRET_MAX + 1];
	const char *name = secret_file("hunter2\n", 8);

	(void) state;
	if (geteuid() != 0) {
		assert_int_equal(mms_config_read_secrets_for(0, 0, name, out, NULL, NULL), MMS_OK); /* has no more rights anyway */
		return;
	}
	assert_int_equal(chmod(folder, 0711), 0);
	assert_int_equal(mms_config_read_secrets_for(nobody, nobody, name, out, NULL, NULL), MMS_ERR_CONFIG);
	assert_string_equal(out, "");
	assert_int_equal(mms_config_read_secrets_for(0, 0, name, out, NULL, NULL), MMS_ERR_CONFIG);
	assert_string_equal(out, "");
	assert_int_equal(mms_config_read_password(name, out, NULL), MMS_OK); /* its own rights are back */
	assert_int_equal(chown(name, nobody, nobody), 0);
	assert_int_equal(mms_config_read_secrets_for(nobody, nobody, name, out, NULL, NULL), MMS_OK);
	assert_string_equal(out, "hunter2");
	assert_int_equal(mms_config_read_secrets_for(0, 0, "", out, NULL, NULL), MMS_OK);
	assert_string_equal(out, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_key_is_prefix_and_session_id),
		cmocka_unit_test(settings_beyond_what_ini_allows_are_not_sound),
		cmocka_unit_test(root_reads_a_password_only_as_the_user_who_named_its_file),
		cmocka_unit_test(read_modes_are_three_words),
		cmocka_unit_test(write_acks_are_a_number_or_a_word),
		cmocka_unit_test(without_a_quorum_it_fails_or_degrades),
		cmocka_unit_test(a_switch_is_what_people_write_for_it),
		cmocka_unit_test(a_lock_keeps_read_local_from_asking_one_node),
		cmocka_unit_test(more_acknowledgements_than_nodes_are_refused),
		cmocka_unit_test(the_prefix_to_import_from_is_another_one),
		cmocka_unit_test(acks_needed_lie_between_one_and_all_nodes),
		cmocka_unit_test(prefixes_have_no_blanks_and_no_globs),
		cmocka_unit_test(our_prefix_ends_where_no_session_id_goes_on),
		cmocka_unit_test(host_ids_are_names),
		cmocka_unit_test(session_ids_are_of_phps_alphabet),
		cmocka_unit_test(numbers_take_a_unit_and_keep_their_range),
		cmocka_unit_test(the_fingerprint_tells_clusters_apart_and_nothing_else),
		cmocka_unit_test(a_password_is_the_files_first_line),
		cmocka_unit_test(a_bad_password_file_is_named_and_not_quoted),
		cmocka_unit_test(a_fifo_as_password_file_does_not_block),
	};

	return cmocka_run_group_tests_name("config", tests, make_folder, remove_folder);
}
