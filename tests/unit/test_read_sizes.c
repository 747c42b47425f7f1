/* Reads that meet more than this process takes (mmsession.max_session_size differs between pools and scripts): that is the affair
 * of the one session, never its nodes' fault. */
#include "large.h"

#include "mms_read.h"

#define OLD_MS 5000
#define OVER (3u << 20) /* the settings of the rig say 1 MiB */

static struct mms_answer answer;

static void read_id(struct host *host, const char *id)
{
	host_calm(host);
	mms_read_record(host->client, key_of(id), host_deadline(host), &answer);
}

static bool payload_is(const char *text)
{
	return answer.found == MMS_FOUND_RECORD && answer.payload.len == strlen(text)
			&& memcmp(answer.payload.ptr, text, answer.payload.len) == 0;
}

static bool is_refused_for(const char *where, const char *size)
{
	return answer.found == MMS_FOUND_UNREADABLE && strstr(answer.error.text, where) != NULL
			&& strstr(answer.error.text, size) != NULL && strstr(answer.error.text, "mmsession.max_session_size (1048576)") != NULL;
}

static void done(struct host *host)
{
	mms_answer_clear(&answer);
	host_free(host);
}

static void a_record_that_is_too_large_fails_its_own_session_and_no_node(void **state)
{
	struct large large;
	struct sample small;
	struct host *host;

	(void) state;
	rig_fresh();
	large = large_aged("large", OLD_MS, OVER);
	sample_aged(&small, "s", OLD_MS, "small");
	for (unsigned node = 0; node < 3; node++) {
		node_put_large(node, "large", &large);
		node_put(node, "s", &small);
	}
	host = host_new(3, "web1");
	for (unsigned round = 0; round < 5; round++) {
		read_id(host, "large");
		assert_true(is_refused_for("node n0 (unix:", "3145728 bytes"));
		assert_true(nodes_are_in_order(host));
		read_id(host, "s");
		assert_true(payload_is("small"));
		assert_true(answer.holders_mask == 7);
	}
	assert_int_equal(mailbox_count(host), 0);
	assert_int_equal(host_metric(host, MMS_METRIC_corrupt_records), 0);
	assert_int_equal(host_metric(host, MMS_METRIC_failed_reads), 5);
	large_free(&large);
	done(host);
}

/* What is written upon the older one would take its place. It is not asked for: its header says how long it is. */
static void an_older_copy_does_not_stand_in_for_a_newest_that_is_too_large(void **state)
{
	struct large large;
	struct sample older;
	struct host *host;

	(void) state;
	rig_fresh();
	large = large_aged("s", OLD_MS, OVER);
	sample_aged(&older, "s", 2 * OLD_MS, "older");
	node_put(0, "s", &older);
	node_put_large(1, "s", &large);
	node_forget_calls(1);
	host = host_new(2, "web1");
	read_id(host, "s");
	assert_true(is_refused_for("node n1 (unix:", "3145728 bytes"));
	assert_int_equal(node_calls(1, "get"), 0);
	assert_int_equal(mailbox_count(host), 0);
	assert_true(node_holds(0, "s", &older) && node_holds_large(1, "s", &large));
	large_free(&large);
	done(host);
}

static void a_newer_copy_that_fits_is_taken(void **state)
{
	struct large large;
	struct sample newer;
	struct host *host;

	(void) state;
	rig_fresh();
	large = large_aged("s", 2 * OLD_MS, OVER);
	sample_aged(&newer, "s", OLD_MS, "newer");
	node_put_large(0, "s", &large);
	node_put(1, "s", &newer);
	host = host_new(2, "web1");
	read_id(host, "s");
	assert_true(payload_is("newer"));
	assert_true(answer.holders_mask == bit(1));
	assert_true(nodes_are_in_order(host));
	large_free(&large);
	done(host);
}

static void a_long_foreign_string_is_foreign(void **state)
{
	char *text = calloc(1, OVER);
	struct sample sample;
	struct host *host;

	(void) state;
	assert_non_null(text);
	rig_fresh();
	host = host_new(2, "web1");
	node_put_bytes(0, "s", text, OVER);
	node_put_bytes(1, "s", text, OVER);
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_FOREIGN);
	assert_int_equal(host_metric(host, MMS_METRIC_foreign_keys), 2);
	sample_aged(&sample, "s", OLD_MS, "data");
	node_put(1, "s", &sample);
	read_id(host, "s");
	assert_true(payload_is("data"));
	assert_true(nodes_are_in_order(host));
	free(text);
	done(host);
}

/* Its header is sound and says less than there is. */
static void what_is_longer_than_its_header_says_is_damaged(void **state)
{
	struct sample sample;
	struct host *host;
	char *text = calloc(1, OVER);

	(void) state;
	assert_non_null(text);
	rig_fresh();
	sample_aged(&sample, "s", OLD_MS, "data");
	memcpy(text, sample.bytes, sample.len);
	host = host_new(2, "web1");
	node_put_bytes(0, "s", text, OVER);
	node_put(1, "s", &sample);
	read_id(host, "s");
	assert_true(payload_is("data"));
	assert_true(host_metric(host, MMS_METRIC_corrupt_records) > 0);
	assert_true(node_holds(0, "s", &sample)); /* replaced */
	node_put_bytes(0, "s", text, OVER);
	node_do(1, "FLUSHALL");
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_NOTHING); /* as for any damaged copy that is the only one */
	assert_true(nodes_are_in_order(host));
	free(text);
	done(host);
}

static void reading_the_local_node_alone_is_no_different(void **state)
{
	struct large large;
	struct host *host;

	(void) state;
	rig_fresh();
	large = large_aged("s", OLD_MS, OVER);
	node_put_large(0, "s", &large);
	host = host_new(2, "web1");
	host->client->settings.read_mode = MMS_READ_LOCAL;
	read_id(host, "s");
	assert_true(is_refused_for("node n0 (unix:", "3145728 bytes"));
	assert_true(nodes_are_in_order(host));
	large_free(&large);
	done(host);
}

/* A script may raise its limit on connections that stand, and the next request has the old one again. */
static void the_limit_is_that_of_the_settings_at_the_moment(void **state)
{
	struct large large;
	struct host *host;

	(void) state;
	rig_fresh();
	large = large_aged("s", OLD_MS, OVER);
	node_put_large(0, "s", &large);
	host = host_new(1, "web1");
	read_id(host, "other");
	host->client->settings.max_session_size = OVER;
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_RECORD);
	assert_int_equal(answer.payload.len, OVER);
	assert_memory_equal(answer.payload.ptr, large.bytes + MMS_RECORD_HEADER_SIZE, OVER);
	host->client->settings.max_session_size = 1u << 20;
	read_id(host, "s");
	assert_true(is_refused_for("node n0 (unix:", "3145728 bytes"));
	large_free(&large);
	done(host);
}

static void what_waits_in_the_mailbox_is_no_exception(void **state)
{
	struct mms_settings settings;
	struct mms_ticket ticket;
	struct mms_parcel parcel;
	struct large large;
	struct sample older;
	struct host *host;

	(void) state;
	rig_fresh();
	settings_default(&settings, 2, "web1");
	host = host_with(&settings, 32u << 20);
	large = large_aged("s", OLD_MS, OVER);
	sample_aged(&older, "s", 2 * OLD_MS, "older");
	node_put(0, "s", &older);
	parcel = (struct mms_parcel){ .kind = MMS_PARCEL_PUT, .key = key_of("s"), .header = large.bytes, .ttl_ms = RIG_TTL_MS,
		.payload = { (const char *) large.bytes + MMS_RECORD_HEADER_SIZE, OVER } };
	assert_true(mms_mailbox_push(&host->cluster->mailbox, &parcel, mms_clock_mono(), &ticket));
	read_id(host, "s");
	assert_true(is_refused_for("mailbox of this host", "3145728 bytes"));
	assert_int_equal(host_metric(host, MMS_METRIC_backlog_reads), 0);
	large_free(&large);
	done(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_that_is_too_large_fails_its_own_session_and_no_node),
		cmocka_unit_test(an_older_copy_does_not_stand_in_for_a_newest_that_is_too_large),
		cmocka_unit_test(a_newer_copy_that_fits_is_taken),
		cmocka_unit_test(a_long_foreign_string_is_foreign),
		cmocka_unit_test(what_is_longer_than_its_header_says_is_damaged),
		cmocka_unit_test(reading_the_local_node_alone_is_no_different),
		cmocka_unit_test(the_limit_is_that_of_the_settings_at_the_moment),
		cmocka_unit_test(what_waits_in_the_mailbox_is_no_exception),
	};

	return rig_run(tests);
}
