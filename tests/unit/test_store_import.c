/* Moving in: what another handler left under its own prefix is read where ours is absent, and ours outlives it. */
#include "fake.h"
#include "store.h"

#include "mms_import.h"

#define OLD "OLD:"
#define OLD_KEY OLD "s"

static const char *session = "s";

/* Three nodes that have been met. */
static struct host *setting(const char *host_id)
{
	struct host *host;

	host = host_new(3, host_id);
	host_meet(host);
	strcpy(host->client->settings.import_prefix, OLD);
	return host;
}

static void reads(struct host *host, const char *payload)
{
	struct request request;

	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	if (payload == NULL) {
		assert_false(request.exists);
		assert_int_equal(request.payload.len, 0);
	} else {
		assert_true(request_got(&request, payload));
	}
	request_end(&request);
}

static bool is_warned(struct host *host, const char *words)
{
	char text[MMS_NOTE_TEXT_SIZE] = "";

	(void) mms_note_read(&host->cluster->notices[MMS_NOTICE_IMPORT], text, sizeof(text));
	return mms_note_pending(&host->cluster->notices[MMS_NOTICE_IMPORT]) && strstr(text, words) != NULL;
}

static void what_another_handler_left_is_read_and_stored_as_ours(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	host = setting("web1");
	node_do(1, "SET", OLD_KEY, "cart|i:1;", "EX", "1000");
	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	assert_true(request_got(&request, "cart|i:1;"));
	assert_false(mms_store_is_new(request.store, slice(session)));
	assert_int_equal(request_touch(&request, session, "cart|i:1;"), MMS_OK); /* unchanged, and all the same stored */
	assert_true(node_has(0, session, "cart|i:1;", NULL));
	assert_false(node_header(0, session).version.blind);
	assert_in_range(node_number(0, "PTTL", RIG_PREFIX "s"), 1000001, LIFETIME_S * 1000);
	request_end(&request);
	assert_int_equal(host_metric(host, MMS_METRIC_imports), 1);
	assert_int_equal(node_number(1, "EXISTS", OLD_KEY), 1); /* left alone */
	visit(host, session, "cart|i:2;");
	reads(host, "cart|i:2;");
	assert_int_equal(host_metric(host, MMS_METRIC_imports), 1);
	host_free(host);
}

static void without_the_setting_nobody_asks(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = setting("web1");
	host->client->settings.import_prefix[0] = '\0';
	node_do(0, "SET", OLD_KEY, "old", "EX", "1000");
	node_forget_calls(0);
	reads(host, NULL);
	assert_int_equal(node_calls(0, "get"), 2); /* the session, and the marker */
	strcpy(host->client->settings.import_prefix, OLD);
	node_forget_calls(0);
	reads(host, "old");
	assert_int_equal(node_calls(0, "get"), 3);
	host_free(host);
}

static void of_several_copies_the_one_that_lives_longest_is_taken(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = setting("web1");
	node_do(0, "SET", OLD_KEY, "older", "EX", "1000");
	node_do(1, "SET", OLD_KEY, "newest", "EX", "1300");
	node_do(2, "SET", OLD_KEY, "old", "EX", "1200");
	reads(host, "newest");
	node_kill(1);
	reads(host, "old");
	host_free(host);
}

/* The old key lives for longer than a session does here; what stands in its place has to outlive it. */
static void a_logout_outlives_what_was_taken(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	host = setting("web1");
	node_do(0, "SET", OLD_KEY, "user|i:7;", "EX", "100000");
	visit(host, session, "user|i:7;seen|i:1;");
	assert_in_range(node_number(0, "PTTL", RIG_PREFIX "s"), 99000000, 100000000);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	assert_int_equal(request_destroy(&request, session), MMS_OK);
	request_end(&request);
	assert_true(node_header(0, session).version.tombstone);
	assert_in_range(node_header(0, session).lifetime_s, 99000, 100000); /* by which a copy of it is given its life */
	assert_in_range(node_number(0, "PTTL", RIG_PREFIX "s"), 99000000 + MMS_TOMBSTONE_GRACE_MS, 100000000 + MMS_TOMBSTONE_GRACE_MS);
	reads(host, NULL);
	host_free(host);
}

/* Without having been stored as ours in between. */
static void it_can_be_logged_out_at_once(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	host = setting("web1");
	node_do(2, "SET", OLD_KEY, "user|i:7;", "EX", "100000");
	request_begin(&request, host);
	assert_int_equal(request_destroy(&request, session), MMS_OK);
	request_end(&request);
	assert_in_range(node_number(0, "PTTL", RIG_PREFIX "s"), 99000000 + MMS_TOMBSTONE_GRACE_MS, 100000000 + MMS_TOMBSTONE_GRACE_MS);
	reads(host, NULL);
	host_free(host);
}

static void strict_mode_knows_it(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	host = setting("web1");
	node_do(0, "SET", OLD_KEY, "old", "EX", "1000");
	request_begin(&request, host);
	assert_int_equal(mms_store_exists(request.store, slice(session)), MMS_ID_KNOWN);
	assert_int_equal(request_read(&request, session), MMS_OK); /* by that answer */
	assert_true(request_got(&request, "old"));
	assert_int_equal(host_metric(host, MMS_METRIC_imports), 1);
	request_end(&request);
	request_begin(&request, host);
	assert_int_equal(mms_store_exists(request.store, slice("other")), MMS_ID_UNKNOWN);
	assert_true(mms_store_created(request.store, slice(session))); /* an id made here is nobody's */
	assert_int_equal(request_read(&request, session), MMS_OK);
	assert_false(request.exists);
	request_end(&request);
	host_free(host);
}

/* A node may hold the newer session: what is made of the old one must not win over it. */
static void with_a_node_away_what_is_stored_is_blind(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	host = setting("web1");
	node_do(1, "SET", OLD_KEY, "old", "EX", "1000");
	node_kill(2);
	visit(host, session, "old and more");
	assert_true(node_header(0, session).version.blind);
	/* One whose old key may be there alone keeps his id. */
	request_begin(&request, host);
	assert_int_equal(mms_store_exists(request.store, slice("other")), MMS_ID_UNCERTAIN);
	request_end(&request);
	host_free(host);
}

static void what_cannot_be_taken_is_left_alone_with_a_notice(void **state)
{
	struct sample record;
	struct host *host;

	(void) state;
	rig_fresh();
	host = setting("web1");
	node_do(0, "SET", OLD_KEY, "", "EX", "1000");
	reads(host, NULL);
	assert_false(mms_note_pending(&host->cluster->notices[MMS_NOTICE_IMPORT]));
	node_do(0, "DEL", OLD_KEY);
	node_do(0, "HSET", OLD_KEY, "data", "user");
	reads(host, NULL);
	assert_true(is_warned(host, "node n0 (unix://"));
	assert_true(is_warned(host, "WRONGTYPE"));
	node_do(0, "DEL", OLD_KEY);
	node_do(0, "SET", OLD_KEY, "for ever");
	reads(host, NULL);
	assert_true(is_warned(host, "no end of life"));
	node_do(0, "DEL", OLD_KEY);
	sample_aged(&record, session, 60000, "ours");
	node_put(0, session, &record);
	node_do(0, "RENAME", RIG_PREFIX "s", OLD_KEY);
	reads(host, NULL);
	assert_true(is_warned(host, "a record of mmsession's own"));
	node_do(1, "SET", OLD_KEY, "good", "EX", "1000"); /* beside all that */
	reads(host, "good");
	host_free(host);
}

/* With less than a message can have above it, and with more. */
static void one_that_is_too_large_is_not_replaced(void **state)
{
	static const size_t sizes[] = { 2000, 2000 + MMS_CLIENT_REPLY_ROOM };
	struct request request;
	struct host *host;

	(void) state;
	for (size_t i = 0; i < 2; i++) {
		char size[32];


		rig_fresh();
		host = setting("web1");
		host->client->settings.max_session_size = 1024;
		snprintf(size, sizeof(size), "%zu", sizes[i] - 1);
		node_do(0, "SETRANGE", OLD_KEY, size, "x");
		node_do(0, "EXPIRE", OLD_KEY, "1000");
		node_do(1, "SET", OLD_KEY, "smaller, and perhaps older", "EX", "900");
		request_begin(&request, host);
		assert_int_equal(request_read(&request, session), MMS_ERR_NO_NODE);
		assert_non_null(strstr(request.error.text, "mmsession.max_session_size (1024)"));
		assert_int_equal(request_write(&request, session, "new"), MMS_ERR_GUARD);
		request_end(&request);
		assert_int_equal(node_number(0, "EXISTS", RIG_PREFIX "s"), 0);
		host_free(host);
	}
}

/* Two pages at once: the one that changes nothing ends last. */
static void an_unchanged_page_replaces_no_change(void **state)
{
	struct request poll, cart;
	struct host *host;

	(void) state;
	rig_fresh();
	host = setting("web1");
	node_do(0, "SET", OLD_KEY, "old", "EX", "1000");
	request_begin(&poll, host);
	assert_int_equal(request_read(&poll, session), MMS_OK);
	request_begin(&cart, host);
	assert_int_equal(request_read(&cart, session), MMS_OK);
	assert_int_equal(request_write(&cart, session, "old and new"), MMS_OK);
	assert_int_equal(request_touch(&poll, session, "old"), MMS_OK);
	assert_true(node_has(0, session, "old and new", NULL));
	request_end(&poll);
	request_end(&cart);
	host_free(host);
}

/* Then "nothing" proves nothing: strict mode keeps the id, and what begins is blind. */
static void a_node_that_does_not_say_may_have_it(void **state)
{
	static const char *const answers[] = { "-LOADING not yet\r\n", NULL, "-WRONGTYPE of another kind\r\n" };
	struct request request;
	struct fake *fake;
	struct host *host;

	(void) state;
	for (size_t i = 0; i < 3; i++) {
		rig_fresh();
		fake = fake_start(1);
		host = host_with_fake(3, 1, fake);
		host_meet(host);
		strcpy(host->client->settings.import_prefix, OLD);
		fake_rule(fake, (struct fake_rule){ .verb = "GET", .holds = OLD, .act = answers[i] != NULL ? FAKE_ANSWER : FAKE_CLOSE,
			.bytes = answers[i], .times = -1 });
		request_begin(&request, host);
		assert_int_equal(mms_store_exists(request.store, slice(session)), i < 2 ? MMS_ID_UNCERTAIN : MMS_ID_UNKNOWN);
		assert_int_equal(request_read(&request, session), MMS_OK);
		assert_false(request.exists);
		assert_int_equal(request_write(&request, session, "new"), MMS_OK);
		assert_int_equal(node_header(0, session).version.blind, i < 2);
		request_end(&request);
		host_free(host);
		fake_free(fake);
	}
}

static void a_silent_node_costs_its_wait_and_no_more(void **state)
{
	struct host *host;
	int64_t begun;

	(void) state;
	rig_fresh();
	host = setting("web1");
	host->client->settings.read_timeout_ms = 50;
	host->client->settings.budget_ms = 200;
	node_do(1, "SET", OLD_KEY, "old", "EX", "1000");
	node_stop(2);
	begun = now_us();
	reads(host, "old");
	assert_true(now_us() - begun < 2000000);
	node_continue(2);
	host_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_another_handler_left_is_read_and_stored_as_ours),
		cmocka_unit_test(without_the_setting_nobody_asks),
		cmocka_unit_test(of_several_copies_the_one_that_lives_longest_is_taken),
		cmocka_unit_test(a_logout_outlives_what_was_taken),
		cmocka_unit_test(it_can_be_logged_out_at_once),
		cmocka_unit_test(strict_mode_knows_it),
		cmocka_unit_test(with_a_node_away_what_is_stored_is_blind),
		cmocka_unit_test(what_cannot_be_taken_is_left_alone_with_a_notice),
		cmocka_unit_test(one_that_is_too_large_is_not_replaced),
		cmocka_unit_test(an_unchanged_page_replaces_no_change),
		cmocka_unit_test(a_node_that_does_not_say_may_have_it),
		cmocka_unit_test(a_silent_node_costs_its_wait_and_no_more),
	};

	return rig_run(tests);
}
