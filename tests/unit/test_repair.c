/* Repair scans: a node that came back empty or behind is brought up to date and then called complete, never before. */
#include "repairs.h"

static void an_emptied_node_is_filled_and_called_complete(void **state)
{
	(void) state;
	begin(3);
	assert_true(mms_repair_next_us(repair) == INT64_MAX);
	put_numbered(0, 0, 250);
	put_numbered(2, 200, 400);
	empty(1);
	assert_true(mms_repair_next_us(repair) <= now_us());
	turn_until(is_complete(1));
	assert_true(has_numbered(1, 0, 400));
	assert_in_range(node_number(1, "PTTL", RIG_PREFIX "s7"), RIG_TTL_MS / 2, RIG_TTL_MS);
	assert_true(marker_says_complete(1));
	assert_int_equal(host_metric(desk->host, MMS_METRIC_repairs), 1);
	assert_true(mms_repair_next_us(repair) == INT64_MAX);
	await_no_lease(1);
	end();
}

static void another_host_sees_that_it_is_complete_again(void **state)
{
	struct desk *other;

	(void) state;
	begin(2);
	other = desk_open(host_new(2, "web2"));
	put_numbered(0, 0, 10);
	empty(1);
	desk_greet(other, 1);
	assert_int_equal(atomic_load(&other->host->cluster->nodes[1].complete), 0);
	turn_until(is_complete(1));
	desk_link(other, 1)->marker_checked.us = 0;
	mms_greeting_recheck(desk_link(other, 1));
	desk_await(other, atomic_load(&other->host->cluster->nodes[1].complete) == 1);
	mms_link_drop(desk_link(other, 1));
	desk_close(other);
	end();
}

/* What other hosts wrote while they took the node for dead is still in their mailboxes. */
static void mirrors_under_way_have_two_seconds_to_arrive(void **state)
{
	(void) state;
	begin(2);
	put_numbered(0, 0, 10);
	empty(1);
	desk_link(desk, 1)->ready_since.us = now_us() + 5 * SECOND; /* far from settled, however slow the machine */
	desk_await(desk, (turn(), has_numbered(1, 0, 10)));
	for (unsigned round = 0; round < 200; round++) {
		turn();
	}
	assert_false(is_complete(1));
	assert_false(marker_says_complete(1));
	desk_link(desk, 1)->ready_since.us = now_us() - 2 * SECOND;
	turn_until(is_complete(1));
	end();
}

static void records_move_both_ways_and_only_where_versions_differ(void **state)
{
	struct sample old, a, b, c, d;

	(void) state;
	begin(3);
	empty(1);
	sample_aged(&a, "a", 1000, "newer on the target");
	sample_aged(&b, "b", 1000, "newer on the source");
	sample_aged(&c, "c", 1000, "the same everywhere");
	sample_aged(&d, "d", 1000, "on the target alone");
	sample_aged(&old, "a", 9000, "old");
	node_put(0, "a", &old);
	node_put(1, "a", &a);
	node_put(0, "b", &b);
	sample_aged(&old, "b", 9000, "old");
	node_put(1, "b", &old);
	for (unsigned node = 0; node < 3; node++) {
		node_put(node, "c", &c);
	}
	node_put(1, "d", &d);
	for (unsigned node = 0; node < 3; node++) {
		node_forget_calls(node);
	}
	turn_until(is_complete(1));
	for (unsigned node = 0; node < 3; node++) {
		assert_true(node_holds(node, "a", &a) && node_holds(node, "b", &b));
		assert_true(node_holds(node, "c", &c) && node_holds(node, "d", &d));
	}
	assert_int_equal(node_calls(0, "rename"), 1); /* a; d has nothing to be renamed over */
	assert_int_equal(node_calls(1, "rename"), 1); /* b */
	assert_int_equal(node_calls(2, "rename"), 0); /* a, b, d */
	assert_int_equal(node_calls(0, "evalsha"), 1); /* nothing is sent in vain */
	assert_int_equal(node_calls(2, "evalsha"), 0);
	assert_int_equal(host_metric(desk->host, MMS_METRIC_repair_moved), 6);
	end();
}

static void a_tombstone_travels(void **state)
{
	struct sample record, tombstone, later;

	(void) state;
	begin(2);
	empty(1);
	sample_aged(&record, "gone", 9000, "logged in");
	sample_tombstone(&tombstone, "gone", 1000);
	node_put(0, "gone", &tombstone);
	node_put(1, "gone", &record);
	sample_aged(&later, "back", 9000, "logged in");
	node_put(0, "back", &later);
	sample_tombstone(&later, "back", 1000);
	node_put(1, "back", &later);
	sample_tombstone(&record, "alone", 1000);
	node_put(0, "alone", &record);
	turn_until(is_complete(1));
	assert_true(node_holds(1, "gone", &tombstone));
	assert_true(node_holds(0, "back", &later));
	assert_true(node_holds(1, "alone", &record));
	end();
}

static void keys_of_others_and_internal_ones_are_left_alone(void **state)
{
	struct sample record;

	(void) state;
	begin(2);
	empty(1);
	sample_aged(&record, "s", 1000, "data");
	node_put(0, "s", &record);
	node_put(0, "taken", &record); /* made for another key: foreign or damaged, not to be spread */
	node_do(0, "HSET", RIG_PREFIX "hash", "field", "value");
	node_do(0, "SET", "other:s", "of another application");
	node_do(0, "SET", RIG_PREFIX "text", "not a record");
	sample_aged(&record, "no.session_id", 1000, "data");
	node_put(0, "no.session_id", &record);
	sample_aged(&record, ":tmp:2", 1000, "data");
	node_put(0, ":tmp:2", &record);
	node_do(0, "SET", RIG_PREFIX ":behind:1:web9", "token");
	node_do(0, "SET", RIG_PREFIX ":tmp:1", "half");
	sample_aged(&record, "mine", 1000, "data");
	node_put(0, "mine", &record);
	node_do(1, "SET", RIG_PREFIX "mine", "somebody's");
	turn_until(is_complete(1));
	assert_true(node_has(1, "s", "data", NULL));
	await_no_lease(1);
	assert_int_equal(node_number(1, "DBSIZE", NULL), 4); /* s, mine, marker, who lives */
	assert_int_equal(node_number(1, "STRLEN", RIG_PREFIX "mine"), 10);
	assert_int_equal(node_number(0, "STRLEN", RIG_PREFIX "text"), 12);
	assert_int_equal(node_number(0, "HLEN", RIG_PREFIX "hash"), 1);
	end();
}

static void an_emptied_server_is_noticed_on_a_connection_that_stands(void **state)
{
	uint64_t id;

	(void) state;
	begin(2);
	put_numbered(0, 0, 50);
	put_numbered(1, 0, 50);
	id = atomic_load(&desk->host->cluster->nodes[1].node_id);
	node_do(1, "FLUSHALL");
	turn_until((mms_greeting_recheck(desk_link(desk, 1)), !is_complete(1)));
	turn_until((mms_greeting_recheck(desk_link(desk, 1)), is_complete(1)));
	assert_true(has_numbered(1, 0, 50));
	assert_true(marker_says_complete(1));
	assert_true(atomic_load(&desk->host->cluster->nodes[1].node_id) != id);
	end();
}

/* Emptied a second time while it is being filled: what was compared by then is worth nothing. */
static void a_node_that_is_emptied_in_between_is_filled_anew(void **state)
{
	(void) state;
	begin(3);
	put_numbered(0, 0, 50);
	put_numbered(2, 50, 100);
	empty(1);
	mms_link_drop(desk_link(desk, 2));
	turn_until(has_numbered(1, 0, 50));
	turn_for(4 * SECOND);
	empty(1);
	turn_until(has_numbered(1, 0, 50)); /* the third is not back yet: there is nothing new to be compared with */
	greet(2);
	turn_until(is_complete(1));
	assert_true(has_numbered(1, 0, 100));
	end();
}

static void a_marker_that_changed_meanwhile_is_not_overwritten(void **state)
{
	(void) state;
	begin(2);
	put_numbered(0, 0, 10);
	empty(1);
	turn_until(atomic_load(&desk->host->cluster->nodes[1].repair.running) == 1);
	node_do(1, "SET", MARKER, "00000000000000aa 0123456789012345678901234567890123456789 0");
	turn_until(atomic_load(&desk->host->cluster->nodes[1].repair.running) == 0);
	assert_true(has_numbered(1, 0, 10));
	assert_false(is_complete(1));
	assert_false(marker_says_complete(1));
	end();
}

static void a_foreign_lease_is_respected(void **state)
{
	struct mms_reply *reply;

	(void) state;
	begin(2);
	put_numbered(0, 0, 10);
	empty(1);
	node_do(1, "SET", LEASE, "another's");
	turn_for(6 * SECOND);
	assert_int_equal(host_metric(desk->host, MMS_METRIC_repair_scanned), 0);
	assert_false(is_complete(1));
	reply = node_ask(1, "GET", LEASE);
	assert_int_equal(mms_reply_text(reply).len, 9);
	assert_memory_equal(mms_reply_text(reply).ptr, "another's", 9);
	mms_reply_free(reply);
	node_do(1, "DEL", LEASE);
	turn_until(is_complete(1));
	assert_true(has_numbered(1, 0, 10));
	end();
}

/* The other's word that the node is complete comes a moment before its lease goes, and this host looks at markers once a second. */
static void what_the_last_holder_of_the_lease_has_done_is_not_done_again(void **state)
{
	char text[MMS_MARKER_VALUE_MAX];
	struct mms_reply *reply;

	(void) state;
	begin(2);
	look_at_markers = true;
	put_numbered(0, 0, 20);
	node_do(1, "FLUSHALL");
	node_do(1, "SET", LEASE, "another's");
	greet(1);
	for (unsigned i = 0; i < 5; i++) {
		turn_for(SECOND);
	}
	assert_false(is_complete(1));
	reply = node_ask(1, "GET", MARKER);
	mms_text_copy(text, sizeof(text), mms_reply_text(reply));
	mms_reply_free(reply);
	text[strlen(text) - 1] = '1';
	node_do(1, "SET", MARKER, text);
	node_do(1, "DEL", LEASE);
	ahead_us += 3 * SECOND; /* both are due: the next attempt, and the look at the marker */
	turn_for(5 * SECOND);
	assert_true(is_complete(1));
	assert_int_equal(host_metric(desk->host, MMS_METRIC_repair_scanned), 0);
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].repair.started_us), 0);
	end();
}

static void a_missing_source_leaves_it_incomplete_and_is_made_up_for(void **state)
{
	unsigned long scans;

	(void) state;
	begin(3);
	put_numbered(0, 0, 30);
	put_numbered(2, 30, 60);
	empty(1);
	mms_link_drop(desk_link(desk, 2));
	turn_until(has_numbered(1, 0, 30));
	turn_for(8 * SECOND);
	assert_false(is_complete(1));
	assert_false(marker_says_complete(1));
	assert_true(mms_repair_next_us(repair) == INT64_MAX);
	scans = node_calls(0, "scan");
	assert_true(scans > 0);
	greet(2);
	assert_true(mms_repair_next_us(repair) != INT64_MAX);
	turn_until(is_complete(1));
	assert_true(has_numbered(1, 0, 60));
	assert_int_equal(node_calls(0, "scan"), scans); /* it goes on where it was */
	end();
}

/* Nothing is lacking of what can be seen. */
static void an_empty_source_does_not_speak_for_a_missing_one(void **state)
{
	(void) state;
	begin(3);
	put_numbered(2, 0, 30);
	empty(1);
	mms_link_drop(desk_link(desk, 2));
	turn_for(8 * SECOND);
	await_no_lease(1);
	assert_false(is_complete(1));
	assert_false(marker_says_complete(1));
	greet(2);
	turn_until(is_complete(1));
	assert_true(has_numbered(1, 0, 30));
	end();
}

static void a_lost_answer_makes_the_pass_again(void **state)
{
	struct fake *fake;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	begin_with(host_with_fake(2, 0, fake));
	put_numbered(0, 0, 30);
	empty(1);
	fake_rule(fake, (struct fake_rule){ .verb = "GETRANGE", .act = FAKE_CLOSE, .times = 1 });
	turn_until(desk_link(desk, 0)->state == MMS_LINK_DOWN);
	fake_release(fake);
	turn_for(4 * SECOND);
	assert_false(is_complete(1));
	greet(0);
	turn_until(is_complete(1));
	assert_true(has_numbered(1, 0, 30));
	end();
	fake_free(fake);
}

static void a_scan_that_the_server_refuses_proves_nothing(void **state)
{
	struct fake *fake;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	begin_with(host_with_fake(2, 0, fake));
	put_numbered(0, 0, 30);
	empty(1);
	fake_says(fake, "SCAN", "-NOPERM no permissions to run the 'scan' command\r\n", -1);
	turn_for(6 * SECOND);
	assert_false(is_complete(1));
	fake_release(fake);
	turn_until(is_complete(1));
	assert_true(has_numbered(1, 0, 30));
	end();
	fake_free(fake);
}

static void a_node_that_missed_more_than_hints_hold_is_scanned(void **state)
{
	struct mms_hints_sh *hints;

	(void) state;
	begin(2);
	put_numbered(0, 0, 30);
	hints = &desk->host->cluster->hints;
	atomic_store(&hints->overflow_mask, bit(1));
	turn_until(!mms_hints_overflowed(hints, 1));
	assert_true(has_numbered(1, 0, 30));
	assert_true(is_complete(1));
	end();
}

static void a_node_that_can_not_be_written_is_left_alone(void **state)
{
	(void) state;
	begin(2);
	put_numbered(0, 0, 10);
	empty(1);
	host_open_breaker(desk->host, 1, MMS_FAULT_WRITE_ONLY);
	assert_true(mms_repair_next_us(repair) == INT64_MAX);
	turn_for(4 * SECOND);
	assert_int_equal(host_metric(desk->host, MMS_METRIC_repair_scanned), 0);
	memset(desk_breaker(desk, 1), 0, sizeof(*desk_breaker(desk, 1)));
	turn_until(is_complete(1));
	end();
}

/* It is full, and lacks what the third one is given: that is no reason to compare, and fetch, the same again and again. */
static void beside_a_peer_that_takes_no_writes_a_scan_ends(void **state)
{
	struct mms_hints_sh *hints;
	uint64_t scanned;

	(void) state;
	begin(3);
	put_numbered(0, 0, 30);
	hints = &desk->host->cluster->hints;
	host_open_breaker(desk->host, 1, MMS_FAULT_WRITE_ONLY);
	atomic_store(&hints->overflow_mask, bit(2));
	turn_until(has_numbered(2, 0, 30));
	turn_for(5 * SECOND);
	scanned = host_metric(desk->host, MMS_METRIC_repair_scanned);
	turn_for(20 * SECOND);
	assert_int_equal(host_metric(desk->host, MMS_METRIC_repair_scanned), scanned);
	assert_true(mms_hints_overflowed(hints, 2)); /* what it has itself has not been taken to the full one yet */
	memset(desk_breaker(desk, 1), 0, sizeof(*desk_breaker(desk, 1)));
	turn_until(!mms_hints_overflowed(hints, 2));
	assert_true(has_numbered(1, 0, 30));
	end();
}

/* The child begins a repair, and never ends it. */
static int repair_a_little(void *argument)
{
	begin_with(argument);
	while (host_metric(argument, MMS_METRIC_repair_moved) == 0) {
		turn();
	}
	pause();
	return 1;
}

static void a_repair_whose_process_was_killed_is_made_by_another(void **state)
{
	struct host *host;
	pid_t child;

	(void) state;
	begin(3);
	put_numbered(0, 0, 500);
	put_numbered(2, 400, 600);
	empty(1);
	host = desk->host;
	child = spawn(repair_a_little, host);
	await(host_metric(host, MMS_METRIC_repair_moved) > 0);
	kill_child(child);
	assert_int_equal(node_number(1, "DBSIZE", NULL) < 600, 1);
	assert_in_range(node_number(1, "PTTL", LEASE), 1, 5000); /* nobody has to take it away */
	turn_for(4 * SECOND);
	assert_false(is_complete(1));
	node_do(1, "PEXPIRE", LEASE, "1");
	turn_until(is_complete(1));
	assert_true(has_numbered(1, 0, 600));
	assert_true(marker_says_complete(1));
	end();
}

static void a_node_alone_has_nobody_to_be_compared_with(void **state)
{
	(void) state;
	begin(1);
	empty(0);
	turn_until(is_complete(0));
	assert_true(marker_says_complete(0));
	assert_int_equal(host_metric(desk->host, MMS_METRIC_repair_scanned), 0);
	end();
	mms_repair_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_emptied_node_is_filled_and_called_complete),
		cmocka_unit_test(another_host_sees_that_it_is_complete_again),
		cmocka_unit_test(mirrors_under_way_have_two_seconds_to_arrive),
		cmocka_unit_test(records_move_both_ways_and_only_where_versions_differ),
		cmocka_unit_test(a_tombstone_travels),
		cmocka_unit_test(keys_of_others_and_internal_ones_are_left_alone),
		cmocka_unit_test(an_emptied_server_is_noticed_on_a_connection_that_stands),
		cmocka_unit_test(a_node_that_is_emptied_in_between_is_filled_anew),
		cmocka_unit_test(a_marker_that_changed_meanwhile_is_not_overwritten),
		cmocka_unit_test(a_foreign_lease_is_respected),
		cmocka_unit_test(what_the_last_holder_of_the_lease_has_done_is_not_done_again),
		cmocka_unit_test(a_missing_source_leaves_it_incomplete_and_is_made_up_for),
		cmocka_unit_test(an_empty_source_does_not_speak_for_a_missing_one),
		cmocka_unit_test(a_lost_answer_makes_the_pass_again),
		cmocka_unit_test(a_scan_that_the_server_refuses_proves_nothing),
		cmocka_unit_test(a_node_that_missed_more_than_hints_hold_is_scanned),
		cmocka_unit_test(a_node_that_can_not_be_written_is_left_alone),
		cmocka_unit_test(beside_a_peer_that_takes_no_writes_a_scan_ends),
		cmocka_unit_test(a_repair_whose_process_was_killed_is_made_by_another),
		cmocka_unit_test(a_node_alone_has_nobody_to_be_compared_with),
	};

	return rig_run(tests);
}
