/* The rules that need read and write together: blind records (b), destroy (c), incarnations, late writes, unchanged data. */
#include "store.h"

static const char *session = "s";

/* Two hosts, three nodes that have been met. */
static void setting(struct host **one, struct host **two)
{
	rig_fresh();
	*one = host_new(3, "web1");
	host_meet(*one);
	if (two != NULL) {
		*two = host_new(3, "web2");
		host_meet(*two);
	}
}

static void spread(unsigned from)
{
	for (unsigned node = 0; node < 3; node++) {
		if (node != from) {
			node_copy(from, node, session);
		}
	}
}

static void what_is_created_on_an_uncertain_miss_is_blind(void **state)
{
	struct host *host;

	(void) state;
	setting(&host, NULL);
	node_kill(2);
	visit(host, session, "perhaps new");
	assert_true(node_header(0, session).version.blind);
	assert_int_equal(host_metric(host, MMS_METRIC_blind_writes), 1);
	host_free(host);
	setting(&host, NULL);
	make_incomplete(host, 1);
	visit(host, session, "perhaps new");
	assert_true(node_header(0, session).version.blind);
	host_free(host);
}

static void a_blind_record_loses_to_an_older_real_one(void **state)
{
	struct request request;
	struct sample cart;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	make_incomplete(host, 0);
	visit(host, session, "empty cart");
	sample_aged(&cart, session, 60000, "full cart");
	node_put(1, session, &cart);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	assert_true(request_got(&request, "full cart"));
	assert_int_equal(request_write(&request, session, "fuller cart"), MMS_OK);
	assert_true(node_has(0, session, "fuller cart", NULL));
	assert_false(node_header(0, session).version.blind);
	request_end(&request);
	host_free(host);
}

static void later_writes_stay_blind_until_a_read_is_authoritative(void **state)
{
	struct host *host;

	(void) state;
	setting(&host, NULL);
	make_incomplete(host, 1);
	visit(host, session, "one");
	visit(host, session, "two");
	assert_true(node_header(0, session).version.blind);
	atomic_store(&host->cluster->nodes[1].complete, 1);
	visit(host, session, "three");
	assert_true(node_has(0, session, "three", NULL));
	assert_false(node_header(0, session).version.blind);
	host_free(host);
}

static void an_unchanged_request_makes_a_blind_record_real(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	make_incomplete(host, 1);
	visit(host, session, "data");
	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	assert_int_equal(request_touch(&request, session, "data"), MMS_OK);
	assert_true(node_header(0, session).version.blind); /* the read proved nothing */
	mms_store_end(request.store);
	atomic_store(&host->cluster->nodes[1].complete, 1);
	assert_int_equal(request_read(&request, session), MMS_OK);
	assert_int_equal(request_touch(&request, session, "data"), MMS_OK);
	assert_false(node_header(0, session).version.blind);
	assert_true(node_has(0, session, "data", NULL));
	request_end(&request);
	host_free(host);
}

static void a_new_incarnation_is_opened_on_a_tombstone(void **state)
{
	struct mms_record_header tombstone, header;
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	visit(host, session, "first life");
	request_begin(&request, host);
	assert_int_equal(request_destroy(&request, session), MMS_OK);
	request_end(&request);
	tombstone = node_header(0, session);
	assert_true(tombstone.version.tombstone && !tombstone.version.blind);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	assert_false(request.exists);
	assert_int_equal(request_write(&request, session, "second life"), MMS_OK);
	header = node_header(0, session);
	assert_true(header.version.incarnation == tombstone.version.hlc);
	assert_false(header.version.blind);
	assert_true(header.base_sequence == tombstone.version.sequence);
	assert_true(node_has(0, session, "second life", NULL));
	request_end(&request);
	host_free(host);
}

static void an_incarnation_opened_without_all_nodes_is_blind(void **state)
{
	struct host *host;
	struct request request;

	(void) state;
	setting(&host, NULL);
	visit(host, session, "first life");
	request_begin(&request, host);
	assert_int_equal(request_destroy(&request, session), MMS_OK);
	request_end(&request);
	node_kill(2);
	visit(host, session, "second life");
	assert_true(node_header(0, session).version.blind);
	assert_true(node_header(0, session).version.incarnation != 0);
	host_free(host);
}

static void a_write_that_comes_after_the_logout_is_dropped(void **state)
{
	struct request slow, logout;
	struct host *one, *two;

	(void) state;
	setting(&one, &two);
	visit(one, session, "logged in");
	spread(0);
	request_begin(&slow, one);
	assert_int_equal(request_read(&slow, session), MMS_OK);
	request_begin(&logout, two);
	assert_int_equal(request_read(&logout, session), MMS_OK);
	assert_int_equal(request_destroy(&logout, session), MMS_OK);
	assert_int_equal(request_write(&slow, session, "still here"), MMS_OK); /* PHP is not bothered with it */
	assert_int_equal(request_write(&slow, session, "and again"), MMS_OK);
	for (unsigned node = 0; node < 3; node++) {
		assert_true(node_has(node, session, NULL, NULL));
	}
	assert_int_equal(host_metric(one, MMS_METRIC_late_writes), 2);
	request_end(&slow);
	request_end(&logout);
	host_free(one);
	host_free(two);
}

static void the_newer_of_two_parallel_writes_stays_and_the_other_is_counted(void **state)
{
	struct request request;
	struct sample newer;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	visit(host, session, "data");
	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	sample_aged(&newer, session, -10000, "newer");
	node_put(0, session, &newer);
	assert_int_equal(request_write(&request, session, "older"), MMS_OK);
	assert_true(node_holds(0, session, &newer));
	assert_int_equal(host_metric(host, MMS_METRIC_conflicts), 1);
	request_end(&request);
	host_free(host);
}

static void a_stamp_ahead_of_the_clock_is_followed_by_one_just_above(void **state)
{
	struct sample ahead;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	sample_aged(&ahead, session, -7200000, "of a fast clock");
	node_put(0, session, &ahead);
	visit(host, session, "later");
	assert_true(node_has(0, session, "later", NULL));
	assert_true(node_header(0, session).version.hlc == ahead.header.version.hlc + 1);
	visit(host, "other", "data");
	assert_true(node_header(0, "other").version.hlc < ahead.header.version.hlc - (UINT64_C(3600000) << 16));
	host_free(host);
}

static void destroy_puts_a_tombstone_on_all_nodes_that_outlives_every_copy(void **state)
{
	const int64_t remembered_ms = 90000000;
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	request_begin(&request, host);
	assert_int_equal(mms_store_write(request.store, slice(session), slice("remember me"), remembered_ms / 1000,
			&request.error), MMS_OK);
	mms_store_end(request.store);
	assert_int_equal(request_destroy(&request, session), MMS_OK);
	for (unsigned node = 0; node < 3; node++) {
		assert_true(node_has(node, session, NULL, NULL));
		assert_true(node_number(node, "PTTL", RIG_PREFIX "s") > remembered_ms + MMS_TOMBSTONE_GRACE_MS - 60000);
	}
	assert_int_equal(node_header(1, session).lifetime_s, remembered_ms / 1000);
	assert_int_equal(host_metric(host, MMS_METRIC_destroys), 1);
	request_end(&request);
	host_free(host);
}

static void what_is_destroyed_already_is_left_in_peace(void **state)
{
	struct request request;
	struct mms_record_header before, after;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	visit(host, session, "data");
	request_begin(&request, host);
	assert_int_equal(request_destroy(&request, session), MMS_OK);
	before = node_header(0, session);
	mms_store_end(request.store);
	assert_int_equal(request_destroy(&request, session), MMS_OK);
	after = node_header(0, session);
	assert_true(mms_version_compare(&before.version, &after.version) == 0);
	assert_int_equal(host_metric(host, MMS_METRIC_destroys), 1);
	request_end(&request);
	host_free(host);
}

static void destroy_succeeds_while_one_node_takes_it(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	visit(host, session, "data");
	spread(0);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	node_kill(0);
	node_kill(1);
	assert_int_equal(request_destroy(&request, session), MMS_OK);
	assert_true(node_has(2, session, NULL, NULL));
	request_end(&request);
	request_begin(&request, host);
	node_kill(2);
	assert_int_equal(request_destroy(&request, session), MMS_ERR_NO_NODE);
	request_end(&request);
	host_free(host);
}

static void a_destroy_that_read_nothing_uncertainly_is_blind_and_kills_nothing_real(void **state)
{
	struct request request;
	struct sample cart;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	make_incomplete(host, 0);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	sample_aged(&cart, session, 60000, "full cart"); /* on a node that was late with its header */
	node_put(1, session, &cart);
	assert_int_equal(request_destroy(&request, session), MMS_OK);
	assert_true(node_header(0, session).version.blind);
	assert_true(node_header(0, session).version.tombstone);
	assert_true(node_holds(1, session, &cart));
	request_end(&request);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	assert_true(request_got(&request, "full cart"));
	request_end(&request);
	host_free(host);
}

/* "Log out whoever is not logged in", then a message for the next page: neither wipes what the node could not show. */
static void what_is_stored_after_a_blind_destroy_kills_nothing_real(void **state)
{
	struct request request;
	struct sample cart;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	make_incomplete(host, 0);
	request_begin(&request, host);
	assert_int_equal(request_destroy(&request, session), MMS_OK);
	request_end(&request);
	assert_true(node_header(0, session).version.tombstone && node_header(0, session).version.blind);
	visit(host, session, "a message");
	assert_true(node_has(0, session, "a message", NULL)); /* later than the destroy, which was as blind */
	assert_true(node_header(0, session).version.blind);
	assert_int_equal(node_header(0, session).version.incarnation, 0);
	sample_aged(&cart, session, 60000, "full cart");
	node_put(1, session, &cart);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	assert_true(request_got(&request, "full cart"));
	request_end(&request);
	host_free(host);
}

/* A page that was running when a blind logout came, and writes after it, is of an older generation than what follows the logout. */
static void what_ran_during_a_blind_logout_stays_logged_out(void **state)
{
	struct request running, logout;
	struct host *one, *two;

	(void) state;
	setting(&one, &two);
	make_incomplete(one, 0);
	make_incomplete(two, 0);
	request_begin(&logout, one);
	assert_int_equal(request_read(&logout, session), MMS_OK);
	visit(two, session, "logged in"); /* "one" has read before it */
	spread(0);
	request_begin(&running, two);
	assert_int_equal(request_read(&running, session), MMS_OK);
	assert_true(request_got(&running, "logged in"));
	nap_us(3000);
	assert_int_equal(request_destroy(&logout, session), MMS_OK);
	request_end(&logout);
	assert_true(node_header(2, session).version.tombstone && node_header(2, session).version.blind);
	assert_int_equal(request_write(&running, session, "logged in, once more"), MMS_OK);
	request_end(&running);
	assert_int_equal(host_metric(two, MMS_METRIC_late_writes), 1);
	request_begin(&running, two);
	assert_int_equal(request_read(&running, session), MMS_OK);
	assert_false(running.exists);
	assert_int_equal(request_write(&running, session, "a new beginning"), MMS_OK);
	request_end(&running);
	assert_true(node_has(0, session, "a new beginning", NULL));
	assert_int_equal(node_header(0, session).version.generation, 1);
	request_begin(&running, two);
	assert_int_equal(request_destroy(&running, session), MMS_OK);
	request_end(&running);
	host_free(one);
	host_free(two);
}

static void a_destroy_that_read_nothing_for_sure_is_real(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	request_begin(&request, host);
	assert_int_equal(request_destroy(&request, session), MMS_OK);
	request_end(&request);
	assert_true(node_header(2, session).version.tombstone);
	assert_false(node_header(2, session).version.blind);
	host_free(host);
}

static void the_logout_of_a_blind_session_is_real(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	make_incomplete(host, 1);
	visit(host, session, "blind");
	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	assert_int_equal(request_destroy(&request, session), MMS_OK);
	request_end(&request);
	for (unsigned node = 0; node < 3; node++) {
		assert_true(node_header(node, session).version.tombstone);
		assert_false(node_header(node, session).version.blind);
	}
	host_free(host);
}

static void a_logout_follows_the_session_into_its_new_incarnation(void **state)
{
	struct request logout;
	struct host *one, *two;
	uint64_t incarnation;

	(void) state;
	setting(&one, &two);
	visit(one, session, "first life");
	spread(0);
	request_begin(&logout, one);
	assert_int_equal(request_read(&logout, session), MMS_OK);
	{
		struct request other;

		request_begin(&other, two);
		assert_int_equal(request_destroy(&other, session), MMS_OK);
		request_end(&other);
		visit(two, session, "second life");
	}
	incarnation = node_header(0, session).version.incarnation;
	assert_true(incarnation != 0);
	nap_us(2000); /* logouts of one stamp are one logout */
	assert_int_equal(request_destroy(&logout, session), MMS_OK);
	request_end(&logout);
	for (unsigned node = 0; node < 3; node++) {
		assert_true(node_has(node, session, NULL, NULL));
		assert_true(node_header(node, session).version.incarnation == incarnation);
		assert_false(node_header(node, session).version.blind);
	}
	host_free(one);
	host_free(two);
}

static void a_blind_destroy_stays_blind_in_a_newer_incarnation(void **state)
{
	struct mms_version version = { .incarnation = stamp_ago(90000), .hlc = stamp_ago(60000), .writer = 9, .sequence = 3 };
	struct request request;
	struct sample cart;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	make_incomplete(host, 0);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	sample_make(&cart, session, &version, "full cart");
	node_put(1, session, &cart);
	assert_int_equal(request_destroy(&request, session), MMS_OK);
	request_end(&request);
	assert_true(node_holds(1, session, &cart));
	assert_true(node_header(0, session).version.blind);
	host_free(host);
}

static void unchanged_data_is_not_written_while_its_life_is_long(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	visit(host, session, "data");
	node_forget_calls(0);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	assert_int_equal(request_touch(&request, session, "data"), MMS_OK);
	request_end(&request);
	assert_int_equal(node_calls(0, "evalsha"), 0);
	assert_int_equal(host_metric(host, MMS_METRIC_unchanged), 1);
	assert_int_equal(host_metric(host, MMS_METRIC_touches), 0);
	host_free(host);
}

static void unchanged_data_is_prolonged_when_it_is_due(void **state)
{
	struct mms_record_header before, after;
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	visit(host, session, "data");
	before = node_header(0, session);
	node_do(0, "PEXPIRE", RIG_PREFIX "s", "1000000"); /* 1440 s less the touch interval of 300 s is more */
	node_forget_calls(0);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	assert_int_equal(request_touch(&request, session, "data"), MMS_OK);
	assert_int_equal(request_touch(&request, session, "data"), MMS_OK); /* not due any more */
	request_end(&request);
	after = node_header(0, session);
	assert_true(mms_version_compare(&before.version, &after.version) == 0);
	assert_true(node_number(0, "PTTL", RIG_PREFIX "s") > 1400000);
	assert_int_equal(node_calls(0, "evalsha"), 1);
	assert_int_equal(node_calls(0, "set"), 0);
	assert_int_equal(mailbox_last(host).kind, MMS_PARCEL_TOUCH);
	assert_int_equal(host_metric(host, MMS_METRIC_touches), 1);
	host_free(host);
}

static void short_lives_are_prolonged_when_a_quarter_has_passed(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	request_begin(&request, host);
	assert_int_equal(mms_store_write(request.store, slice(session), slice("data"), 200, &request.error), MMS_OK);
	node_do(0, "PEXPIRE", RIG_PREFIX "s", "180000");
	assert_int_equal(request_read(&request, session), MMS_OK);
	assert_int_equal(mms_store_touch(request.store, slice(session), slice("data"), 200, &request.error), MMS_OK);
	assert_int_equal(host_metric(host, MMS_METRIC_touches), 0);
	node_do(0, "PEXPIRE", RIG_PREFIX "s", "140000");
	assert_int_equal(request_read(&request, session), MMS_OK);
	assert_int_equal(mms_store_touch(request.store, slice(session), slice("data"), 200, &request.error), MMS_OK);
	assert_int_equal(host_metric(host, MMS_METRIC_touches), 1);
	assert_true(node_number(0, "PTTL", RIG_PREFIX "s") > 180000);
	request_end(&request);
	host_free(host);
}

static void a_touch_brings_back_what_vanished_meanwhile(void **state)
{
	struct sample before;
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	sample_aged(&before, session, 60000, "data");
	node_put(0, session, &before);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	node_do(0, "FLUSHALL");
	assert_int_equal(request_touch(&request, session, "data"), MMS_OK);
	assert_true(node_holds(0, session, &before)); /* the same version */
	request_end(&request);
	host_free(host);
}

static void a_touch_of_nothing_creates_the_session(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	assert_int_equal(request_touch(&request, session, "kept"), MMS_OK);
	request_end(&request);
	assert_true(node_has(0, session, "kept", NULL));
	assert_false(node_header(0, session).version.blind);
	host_free(host);
}

static void a_touch_does_not_undo_a_logout(void **state)
{
	struct request slow, logout;
	struct host *one, *two;

	(void) state;
	setting(&one, &two);
	visit(one, session, "data");
	node_do(0, "PEXPIRE", RIG_PREFIX "s", "1000000");
	spread(0);
	request_begin(&slow, one);
	assert_int_equal(request_read(&slow, session), MMS_OK);
	request_begin(&logout, two);
	assert_int_equal(request_destroy(&logout, session), MMS_OK);
	assert_int_equal(request_touch(&slow, session, "data"), MMS_OK);
	assert_true(node_has(0, session, NULL, NULL));
	request_end(&slow);
	request_end(&logout);
	host_free(one);
	host_free(two);
}

static void a_touch_that_no_node_takes_is_told(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	visit(host, session, "data");
	node_do(0, "PEXPIRE", RIG_PREFIX "s", "1000000");
	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	for (unsigned node = 0; node < 3; node++) {
		node_kill(node);
	}
	assert_int_equal(request_touch(&request, session, "data"), MMS_ERR_NO_NODE);
	assert_true(strlen(request.error.text) > 0);
	request_end(&request);
	host_free(host);
}

static void write_acks_are_asked_for_by_the_settings(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	host->client->settings.write_acks = MMS_ACKS_QUORUM;
	visit(host, session, "data");
	assert_true(node_has(1, session, "data", NULL));
	assert_int_equal(node_number(2, "EXISTS", RIG_PREFIX "s"), 0);
	host->client->settings.write_acks = MMS_ACKS_ALL;
	visit(host, session, "more");
	assert_true(node_has(2, session, "more", NULL));
	node_kill(2);
	request_begin(&request, host);
	assert_int_equal(request_write(&request, session, "too much"), MMS_ERR_NO_NODE);
	request_end(&request);
	host_free(host);
}

static struct mms_record_header header_of(struct mms_mailbox_item item)
{
	struct mms_record_header header;

	assert_int_equal(item.kind, MMS_PARCEL_PUT);
	assert_int_equal(mms_record_decode(item.record, item.key, &header), MMS_RECORD_GOOD);
	return header;
}

/* What failed may be in the mailbox: the version that was read is no version to touch any more. */
static void a_touch_after_a_failed_write_is_a_write_above_it(void **state)
{
	struct mms_record_header before, failed, after;
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	visit(host, session, "data");
	before = node_header(0, session);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	for (unsigned node = 0; node < 3; node++) {
		node_stop(node);
	}
	assert_int_equal(request_write(&request, session, "other data"), MMS_ERR_NO_NODE);
	failed = header_of(mailbox_last(host));
	assert_true(mms_version_compare(&failed.version, &before.version) > 0);
	for (unsigned node = 0; node < 3; node++) {
		node_continue(node);
	}
	assert_int_equal(request_touch(&request, session, "data"), MMS_OK);
	after = header_of(mailbox_last(host));
	assert_true(mms_version_compare(&after.version, &failed.version) > 0);
	request_end(&request);
	host_free(host);
}

static void a_new_session_whose_first_write_failed_is_not_new_any_more(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, session), MMS_OK);
	assert_true(mms_store_is_new(request.store, slice(session)));
	for (unsigned node = 0; node < 3; node++) {
		node_stop(node);
	}
	assert_int_equal(request_write(&request, session, "data"), MMS_ERR_NO_NODE);
	assert_false(mms_store_is_new(request.store, slice(session)));
	request_end(&request);
	host_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_created_on_an_uncertain_miss_is_blind),
		cmocka_unit_test(a_blind_record_loses_to_an_older_real_one),
		cmocka_unit_test(later_writes_stay_blind_until_a_read_is_authoritative),
		cmocka_unit_test(an_unchanged_request_makes_a_blind_record_real),
		cmocka_unit_test(a_new_incarnation_is_opened_on_a_tombstone),
		cmocka_unit_test(an_incarnation_opened_without_all_nodes_is_blind),
		cmocka_unit_test(a_write_that_comes_after_the_logout_is_dropped),
		cmocka_unit_test(the_newer_of_two_parallel_writes_stays_and_the_other_is_counted),
		cmocka_unit_test(a_stamp_ahead_of_the_clock_is_followed_by_one_just_above),
		cmocka_unit_test(destroy_puts_a_tombstone_on_all_nodes_that_outlives_every_copy),
		cmocka_unit_test(what_is_destroyed_already_is_left_in_peace),
		cmocka_unit_test(destroy_succeeds_while_one_node_takes_it),
		cmocka_unit_test(a_destroy_that_read_nothing_uncertainly_is_blind_and_kills_nothing_real),
		cmocka_unit_test(what_is_stored_after_a_blind_destroy_kills_nothing_real),
		cmocka_unit_test(what_ran_during_a_blind_logout_stays_logged_out),
		cmocka_unit_test(a_destroy_that_read_nothing_for_sure_is_real),
		cmocka_unit_test(the_logout_of_a_blind_session_is_real),
		cmocka_unit_test(a_logout_follows_the_session_into_its_new_incarnation),
		cmocka_unit_test(a_blind_destroy_stays_blind_in_a_newer_incarnation),
		cmocka_unit_test(unchanged_data_is_not_written_while_its_life_is_long),
		cmocka_unit_test(unchanged_data_is_prolonged_when_it_is_due),
		cmocka_unit_test(short_lives_are_prolonged_when_a_quarter_has_passed),
		cmocka_unit_test(a_touch_brings_back_what_vanished_meanwhile),
		cmocka_unit_test(a_touch_of_nothing_creates_the_session),
		cmocka_unit_test(a_touch_does_not_undo_a_logout),
		cmocka_unit_test(a_touch_that_no_node_takes_is_told),
		cmocka_unit_test(write_acks_are_asked_for_by_the_settings),
		cmocka_unit_test(a_touch_after_a_failed_write_is_a_write_above_it),
		cmocka_unit_test(a_new_session_whose_first_write_failed_is_not_new_any_more),
	};

	return rig_run(tests);
}
