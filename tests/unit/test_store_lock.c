/* The session lock as requests see it: taken before the read, given back at the end, and what becomes of a write whose
 * lock ran out. */
#include "store.h"

#include "locks.h"

static const char *session = "s";
static struct host *one, *two;

static struct host *locking_host(const char *name)
{
	struct mms_settings settings;
	struct host *host;

	settings_default(&settings, 3, name);
	settings.lock = 1;
	settings.lock_wait_ms = 100;
	settings.lock_ttl_ms = 60000;
	host = host_with(&settings, RIG_MAILBOX);
	host_meet(host);
	return host;
}

static void setting(void)
{
	rig_fresh();
	one = locking_host("web1");
	two = locking_host("web2");
	visit(one, session, "first");
}

static void done(void)
{
	host_free(one);
	host_free(two);
}

static void begin(struct request *request, struct host *host)
{
	request_begin(request, host);
	assert_int_equal(request_read(request, session), MMS_OK);
}

static void forget_calls(void)
{
	for (unsigned node = 0; node < 3; node++) {
		node_forget_calls(node);
	}
}

static unsigned long calls(const char *verb)
{
	return node_calls(0, verb) + node_calls(1, verb) + node_calls(2, verb);
}

/* The lock of this request is as old as its lease. */
static void run_out(struct host *host, struct request *request)
{
	char key[128];

	lock_key(session, key, sizeof(key));
	await(locked_on(session) != 0);
	host->client->settings.lock_ttl_ms = 20;
	assert_int_equal(request_read(request, session), MMS_OK);
	host->client->settings.lock_ttl_ms = 60000;
	await(locked_on(session) == 0);
}

static void the_second_request_waits_for_the_first_and_reads_what_it_wrote(void **state)
{
	struct request early, late;

	(void) state;
	setting();
	begin(&early, one);
	request_begin(&late, two);
	assert_int_equal(request_read(&late, session), MMS_ERR_NO_NODE);
	assert_non_null(strstr(late.error.text, "mmsession.lock_wait_ms"));
	assert_int_equal(host_metric(two, MMS_METRIC_lock_timeouts), 1);
	assert_int_equal(host_metric(two, MMS_METRIC_lock_waits), 1);
	/* What was not read is not written. */
	assert_int_equal(request_write(&late, session, "lost"), MMS_ERR_GUARD);
	request_end(&late);
	assert_int_equal(request_write(&early, session, "second"), MMS_OK);
	request_end(&early);
	begin(&late, two);
	assert_true(request_got(&late, "second"));
	assert_int_equal(request_write(&late, session, "third"), MMS_OK);
	request_end(&late);
	await(locked_on(session) == 0);
	assert_int_equal(host_metric(one, MMS_METRIC_lock_overlaps) + host_metric(two, MMS_METRIC_lock_overlaps), 0);
	done();
}

static void every_end_of_a_request_gives_it_back(void **state)
{
	struct request request;

	(void) state;
	setting();
	for (unsigned turn = 0; turn < 4; turn++) {
		begin(&request, one);
		assert_int_not_equal(locked_on(session), 0);
		switch (turn) {
		case 0: /* aborted, or read_and_close */
			break;
		case 1:
			assert_int_equal(request_touch(&request, session, "first"), MMS_OK);
			break;
		case 2:
			assert_int_equal(request_write(&request, session, "second"), MMS_OK);
			assert_int_not_equal(locked_on(session), 0);
			break;
		default:
			assert_int_equal(request_destroy(&request, session), MMS_OK);
			break;
		}
		request_end(&request);
		await(locked_on(session) == 0);
	}
	done();
}

static void the_next_session_in_the_same_request_has_the_lock_of_its_own(void **state)
{
	struct request request;

	(void) state;
	setting();
	begin(&request, one);
	mms_store_end(request.store); /* session_write_close() */
	assert_int_equal(request_read(&request, "other"), MMS_OK);
	await(locked_on(session) == 0);
	assert_int_not_equal(locked_on("other"), 0);
	/* And a new id in place of the one that was read: no close between them when a handler looks at ids by reading. */
	assert_true(mms_store_created(request.store, slice("made")));
	assert_int_equal(request_read(&request, "made"), MMS_OK);
	await(locked_on("other") == 0);
	assert_int_not_equal(locked_on("made"), 0);
	request_end(&request);
	await(locked_on("made") == 0);
	done();
}

/* "Log out my other devices": SessionHandler's methods with another id than the open session's. */
static void what_is_done_to_other_ids_leaves_the_session_its_lock_and_its_base(void **state)
{
	struct request request, other;

	(void) state;
	for (unsigned turn = 0; turn < 4; turn++) {
		setting();
		visit(two, "device", "of the device");
		begin(&request, one);
		switch (turn) {
		case 0:
			assert_int_equal(request_destroy(&request, "device"), MMS_OK);
			assert_true(node_header(0, "device").version.tombstone);
			break;
		case 1:
			assert_int_equal(request_read(&request, "device"), MMS_OK);
			assert_true(request_got(&request, "of the device"));
			break;
		case 2:
			assert_int_equal(request_write(&request, "device", "by another"), MMS_OK);
			assert_true(node_has(0, "device", "by another", NULL));
			break;
		default:
			assert_int_equal(request_touch(&request, "device", "not what stands there"), MMS_OK);
			assert_true(node_has(0, "device", "of the device", NULL));
			break;
		}
		assert_int_equal(locked_on("device"), 0);
		nap_us(20000);
		assert_int_not_equal(locked_on(session), 0);
		request_begin(&other, two);
		assert_int_equal(request_read(&other, session), MMS_ERR_NO_NODE); /* waits in vain */
		request_end(&other);
		assert_int_equal(request_write(&request, session, "second"), MMS_OK);
		request_end(&request);
		await(locked_on(session) == 0);
		assert_true(node_has(0, session, "second", NULL));
		assert_int_equal(host_metric(one, MMS_METRIC_conflicts) + host_metric(one, MMS_METRIC_lock_overlaps), 0);
		done();
	}
}

static void a_session_that_is_read_again_keeps_its_lock(void **state)
{
	struct request request;
	char key[128];
	int64_t left = 0;

	(void) state;
	setting();
	begin(&request, one);
	lock_key(session, key, sizeof(key));
	for (unsigned node = 0; node < 3; node++) {
		struct mms_reply *reply = node_ask(node, "PEXPIRE", key, "30000");

		mms_reply_free(reply);
	}
	forget_calls();
	assert_int_equal(request_read(&request, session), MMS_OK);
	assert_true(request_got(&request, "first"));
	assert_int_equal(calls("del"), 0);
	for (unsigned node = 0; node < 3; node++) {
		left += (locked_on(session) & bit(node)) != 0 ? node_number(node, "PTTL", key) : 0;
	}
	assert_in_range(left, 50000, 60000); /* and it is prolonged */
	assert_int_equal(request_write(&request, session, "second"), MMS_OK);
	request_end(&request);
	await(locked_on(session) == 0);
	done();
}

static void strict_mode_takes_one_lock_and_reads_once(void **state)
{
	struct request request;

	(void) state;
	setting();
	request_begin(&request, one);
	forget_calls();
	assert_int_equal(mms_store_exists(request.store, slice(session)), MMS_ID_KNOWN);
	assert_int_not_equal(locked_on(session), 0);
	assert_int_equal(request_read(&request, session), MMS_OK);
	assert_true(request_got(&request, "first"));
	assert_int_equal(calls("set"), 1);
	assert_int_equal(calls("getrange"), 2);
	request_end(&request);
	await(locked_on(session) == 0);
	done();
}

static void strict_mode_waits_in_vain_but_once(void **state)
{
	struct request early, late;
	int64_t began_us;

	(void) state;
	setting();
	begin(&early, one);
	request_begin(&late, two);
	began_us = now_us();
	assert_int_equal(mms_store_exists(late.store, slice(session)), MMS_ID_UNCERTAIN); /* and keeps his id */
	assert_int_equal(request_read(&late, session), MMS_ERR_NO_NODE);
	assert_true(now_us() - began_us < 190000);
	assert_int_equal(host_metric(two, MMS_METRIC_lock_timeouts), 1);
	request_end(&late);
	request_end(&early);
	done();
}

static void an_id_that_is_refused_is_not_kept_locked(void **state)
{
	struct request request;

	(void) state;
	setting();
	request_begin(&request, one);
	assert_int_equal(mms_store_exists(request.store, slice("stranger")), MMS_ID_UNKNOWN);
	assert_true(mms_store_created(request.store, slice("made")));
	await(locked_on("stranger") == 0);
	assert_int_equal(locked_on("made"), 0);
	forget_calls();
	assert_int_equal(request_read(&request, "made"), MMS_OK);
	assert_int_not_equal(locked_on("made"), 0);
	assert_int_equal(calls("getrange"), 0); /* what was fetched when it was made is used */
	request_end(&request);
	await(locked_on("made") == 0);
	done();
}

static void ids_are_looked_at_beside_an_open_session_without_a_second_lock(void **state)
{
	struct request request, other;

	(void) state;
	setting();
	visit(one, "b", "of b");
	begin(&request, one);
	assert_int_equal(mms_store_exists(request.store, slice("b")), MMS_ID_KNOWN);
	assert_int_equal(locked_on("b"), 0);
	request_begin(&other, two);
	assert_int_equal(request_read(&other, "b"), MMS_OK);
	assert_int_equal(request_write(&other, "b", "newer"), MMS_OK);
	request_end(&other);
	/* What was seen then was not seen behind the lock. */
	assert_int_equal(request_read(&request, "b"), MMS_OK);
	assert_true(request_got(&request, "newer"));
	request_end(&request);
	done();
}

static void a_write_after_the_lock_ran_out_goes_on_if_nobody_came(void **state)
{
	struct request request;

	(void) state;
	setting();
	begin(&request, one);
	run_out(one, &request);
	assert_int_equal(request_write(&request, session, "late"), MMS_OK);
	assert_int_not_equal(locked_on(session), 0); /* taken again */
	assert_true(node_has(0, session, "late", NULL));
	assert_int_equal(request_write(&request, session, "later"), MMS_OK);
	request_end(&request);
	await(locked_on(session) == 0);
	assert_int_equal(host_metric(one, MMS_METRIC_lock_overlaps), 0);
	assert_int_equal(host_metric(one, MMS_METRIC_conflicts), 0);
	done();
}

static void a_write_after_the_lock_ran_out_gives_way_to_a_newer_one(void **state)
{
	struct request slow, quick;

	(void) state;
	setting();
	begin(&slow, one);
	run_out(one, &slow);
	begin(&quick, two);
	assert_int_equal(request_write(&quick, session, "newer"), MMS_OK);
	request_end(&quick);
	await(locked_on(session) == 0);
	assert_int_equal(request_write(&slow, session, "stale"), MMS_ERR_GUARD);
	assert_non_null(strstr(slow.error.text, "session lock"));
	assert_non_null(strstr(slow.error.text, "has written since"));
	assert_true(node_has(0, session, "newer", NULL));
	/* And so does the next one of the same request. */
	assert_int_equal(request_write(&slow, session, "stale too"), MMS_ERR_GUARD);
	assert_true(node_has(0, session, "newer", NULL));
	request_end(&slow);
	await(locked_on(session) == 0);
	assert_int_equal(host_metric(one, MMS_METRIC_lock_overlaps), 1);
	assert_int_equal(host_metric(one, MMS_METRIC_conflicts), 0);
	done();
}

static void a_write_after_the_lock_ran_out_gives_way_to_who_has_it_now(void **state)
{
	struct request slow, quick;

	(void) state;
	setting();
	begin(&slow, one);
	run_out(one, &slow);
	begin(&quick, two);
	assert_int_equal(request_write(&slow, session, "stale"), MMS_ERR_GUARD);
	assert_non_null(strstr(slow.error.text, "has taken the lock since"));
	assert_int_equal(request_write(&slow, session, "stale"), MMS_ERR_GUARD);
	request_end(&slow);
	assert_int_not_equal(locked_on(session), 0);
	assert_int_equal(request_write(&quick, session, "newer"), MMS_OK);
	request_end(&quick);
	assert_true(node_has(0, session, "newer", NULL));
	assert_int_equal(host_metric(two, MMS_METRIC_conflicts) + host_metric(two, MMS_METRIC_lock_overlaps), 0);
	done();
}

static void a_write_whose_own_lock_still_stands_goes_on_without_the_scripts(void **state)
{
	struct request request;
	char key[128];

	(void) state;
	setting();
	lock_key(session, key, sizeof(key));
	one->client->settings.lock_ttl_ms = 300;
	begin(&request, one);
	one->client->settings.lock_ttl_ms = 60000;
	for (unsigned node = 0; node < 3; node++) {
		mms_reply_free(node_ask(node, "PEXPIRE", key, "60000"));
		node_do(node, "SCRIPT", "FLUSH");
	}
	assert_int_not_equal(locked_on(session), 0);
	nap_us(310000); /* by the holder's own clock it has run out */
	assert_int_equal(request_write(&request, session, "late"), MMS_OK);
	assert_true(node_has(0, session, "late", NULL));
	request_end(&request);
	await(locked_on(session) == 0);
	assert_int_equal(host_metric(one, MMS_METRIC_lock_overlaps), 0);
	done();
}

static void a_logout_after_the_lock_ran_out_stays(void **state)
{
	struct request slow, quick;

	(void) state;
	setting();
	begin(&slow, one);
	run_out(one, &slow);
	begin(&quick, two);
	assert_int_equal(request_destroy(&quick, session), MMS_OK);
	request_end(&quick);
	await(locked_on(session) == 0);
	assert_int_equal(request_write(&slow, session, "stale"), MMS_OK); /* dropped, as without a lock */
	request_end(&slow);
	assert_true(node_header(0, session).version.tombstone);
	assert_int_equal(host_metric(one, MMS_METRIC_late_writes), 1);
	done();
}

/* What PHP takes for stored by then stands nowhere, and belongs to no header. */
static void the_same_after_a_dropped_write_is_no_unchanged_session(void **state)
{
	struct request slow, quick;

	(void) state;
	setting();
	begin(&slow, one);
	run_out(one, &slow);
	begin(&quick, two);
	assert_int_equal(request_destroy(&quick, session), MMS_OK);
	request_end(&quick);
	await(locked_on(session) == 0);
	one->client->settings.touch_interval_s = 0;
	assert_int_equal(request_write(&slow, session, "stale"), MMS_OK);
	for (unsigned node = 0; node < 3; node++) {
		node_do(node, "DEL", RIG_PREFIX "s");
	}
	assert_int_equal(request_touch(&slow, session, "stale"), MMS_OK);
	for (unsigned node = 0; node < 3; node++) {
		assert_true(node_number(node, "EXISTS", RIG_PREFIX "s") == 0 || node_has(node, session, "stale", NULL));
	}
	request_end(&slow);
	done();
}

static void a_logout_does_not_ask_for_its_lock(void **state)
{
	struct request slow, quick;

	(void) state;
	setting();
	begin(&slow, one);
	run_out(one, &slow);
	begin(&quick, two);
	assert_int_equal(request_destroy(&slow, session), MMS_OK);
	request_end(&slow);
	request_end(&quick);
	assert_true(node_header(0, session).version.tombstone);
	done();
}

/* The home is silent: that takes a whole budget, and the read after it has one of its own. */
static void a_write_after_the_lock_ran_out_has_time_for_lock_and_read(void **state)
{
	struct request request;
	char id[32];
	unsigned home = 0;

	(void) state;
	setting();
	for (unsigned number = 0; home == 0; number++) {
		uint64_t mask;

		snprintf(id, sizeof(id), "s%u", number);
		visit(one, id, "first");
		request_begin(&request, one);
		assert_int_equal(request_read(&request, id), MMS_OK);
		mask = locked_on(id);
		home = mask == bit(1) ? 1 : mask == bit(2) ? 2 : 0;
		if (home == 0) {
			request_end(&request);
		}
	}
	one->client->settings.lock_ttl_ms = 20;
	assert_int_equal(request_read(&request, id), MMS_OK);
	one->client->settings.lock_ttl_ms = 60000;
	await(locked_on(id) == 0);
	one->client->settings.budget_ms = 400;
	one->client->settings.read_timeout_ms = 400;
	mms_spin_init(&one->client->spin, 0, 1); /* an answer takes its time: none is there the moment it is asked for */
	node_stop(home);
	assert_int_equal(request_write(&request, id, "late"), MMS_OK);
	node_continue(home);
	request_end(&request);
	assert_true(node_has(0, id, "late", NULL));
	done();
}

/* Emptied, restarted, or seen up by one host and down by another: the versions decide, and it is counted. */
static void a_lock_that_is_lost_with_its_node_is_noticed_by_the_versions(void **state)
{
	struct request early, late;
	char key[128];

	(void) state;
	setting();
	begin(&early, one);
	lock_key(session, key, sizeof(key));
	for (unsigned node = 0; node < 3; node++) {
		node_do(node, "DEL", key);
	}
	begin(&late, two);
	assert_int_equal(request_write(&late, session, "of the other host"), MMS_OK);
	request_end(&late);
	while (stamp_ago(0) <= node_header(0, session).version.hlc) {
	}
	assert_int_equal(request_write(&early, session, "of this host"), MMS_OK); /* the newer one, as without a lock */
	request_end(&early);
	assert_true(node_has(0, session, "of this host", NULL));
	assert_int_equal(host_metric(one, MMS_METRIC_conflicts), 1);
	assert_int_equal(host_metric(one, MMS_METRIC_lock_overlaps), 1);
	done();
}

static void without_nodes_a_session_fails_as_ever(void **state)
{
	struct request request;
	int64_t began_us;

	(void) state;
	setting();
	for (unsigned node = 0; node < 3; node++) {
		node_kill(node);
	}
	one->client->settings.lock_wait_ms = 20000;
	request_begin(&request, one);
	began_us = now_us();
	assert_int_equal(request_read(&request, session), MMS_ERR_NO_NODE);
	assert_null(strstr(request.error.text, "lock"));
	assert_true(now_us() - began_us < 5000000);
	request_end(&request);
	assert_int_equal(host_metric(one, MMS_METRIC_lock_timeouts), 0);
	done();
}

static void behind_a_lock_all_nodes_are_read(void **state)
{
	struct request request;
	struct sample newer;

	(void) state;
	setting();
	one->client->settings.read_mode = MMS_READ_LOCAL;
	sample_aged(&newer, session, -1, "of another host");
	node_put(2, session, &newer);
	begin(&request, one);
	assert_true(request_got(&request, "of another host"));
	request_end(&request);
	one->client->settings.lock = 0;
	begin(&request, one);
	assert_true(request_got(&request, "first"));
	request_end(&request);
	done();
}

static void switched_off_nothing_is_asked(void **state)
{
	struct request request;

	(void) state;
	setting();
	one->client->settings.lock = 0;
	forget_calls();
	begin(&request, one);
	assert_int_equal(request_write(&request, session, "second"), MMS_OK);
	request_end(&request);
	assert_int_equal(calls("set"), 1);
	assert_int_equal(calls("evalsha"), 0);
	assert_int_equal(calls("get"), 1);
	done();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_second_request_waits_for_the_first_and_reads_what_it_wrote),
		cmocka_unit_test(every_end_of_a_request_gives_it_back),
		cmocka_unit_test(the_next_session_in_the_same_request_has_the_lock_of_its_own),
		cmocka_unit_test(what_is_done_to_other_ids_leaves_the_session_its_lock_and_its_base),
		cmocka_unit_test(a_session_that_is_read_again_keeps_its_lock),
		cmocka_unit_test(strict_mode_takes_one_lock_and_reads_once),
		cmocka_unit_test(strict_mode_waits_in_vain_but_once),
		cmocka_unit_test(an_id_that_is_refused_is_not_kept_locked),
		cmocka_unit_test(ids_are_looked_at_beside_an_open_session_without_a_second_lock),
		cmocka_unit_test(a_write_after_the_lock_ran_out_goes_on_if_nobody_came),
		cmocka_unit_test(a_write_after_the_lock_ran_out_gives_way_to_a_newer_one),
		cmocka_unit_test(a_write_after_the_lock_ran_out_gives_way_to_who_has_it_now),
		cmocka_unit_test(a_write_after_the_lock_ran_out_has_time_for_lock_and_read),
		cmocka_unit_test(a_write_whose_own_lock_still_stands_goes_on_without_the_scripts),
		cmocka_unit_test(a_logout_after_the_lock_ran_out_stays),
		cmocka_unit_test(the_same_after_a_dropped_write_is_no_unchanged_session),
		cmocka_unit_test(a_logout_does_not_ask_for_its_lock),
		cmocka_unit_test(a_lock_that_is_lost_with_its_node_is_noticed_by_the_versions),
		cmocka_unit_test(without_nodes_a_session_fails_as_ever),
		cmocka_unit_test(behind_a_lock_all_nodes_are_read),
		cmocka_unit_test(switched_off_nothing_is_asked),
	};

	return rig_run(tests);
}
