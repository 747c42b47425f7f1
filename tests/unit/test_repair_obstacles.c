/* What must not keep a repair from ending, and what must not end one too early. */
#include "repairs.h"
#include "large.h"

static void attempts_are(unsigned long most, unsigned node, unsigned long scans_before)
{
	assert_in_range(node_calls(node, "scan") - scans_before, 1, most);
}

static void a_payload_damaged_at_its_source_does_not_make_the_pass_fail(void **state)
{
	struct sample sample;
	unsigned long scans;

	(void) state;
	begin(3);
	put_numbered(0, 0, 20);
	sample_aged(&sample, "rotten", 5000, "data");
	sample.bytes[sample.len - 1] ^= 1;
	node_put(0, "rotten", &sample);
	empty(1);
	scans = node_calls(0, "scan");
	turn_until(is_complete(1));
	attempts_are(1, 0, scans);
	assert_true(has_numbered(1, 0, 20));
	assert_int_equal(node_number(1, "EXISTS", RIG_PREFIX "rotten"), 0);
	assert_true(host_metric(desk->host, MMS_METRIC_corrupt_records) > 0);
	end();
}

static void a_damaged_payload_is_replaced_by_another_nodes_copy(void **state)
{
	struct sample sample, rotten;

	(void) state;
	begin(3);
	sample_aged(&sample, "s", 5000, "data");
	rotten = sample;
	rotten.bytes[rotten.len - 1] ^= 1;
	node_put(0, "s", &rotten);
	node_put(2, "s", &sample);
	empty(1);
	turn_until(is_complete(1));
	assert_true(node_holds(1, "s", &sample));
	assert_true(node_holds(0, "s", &sample)); /* by the pass over the target's keys */
	end();
}

/* Only an older copy is sound: it goes where nothing is, and the newer one stays as evidence that there was more. */
static void an_older_copy_does_not_replace_a_damaged_newer_one(void **state)
{
	struct sample older, rotten;

	(void) state;
	begin(3);
	sample_aged(&older, "s", 9000, "older");
	sample_aged(&rotten, "s", 1000, "newer");
	rotten.bytes[rotten.len - 1] ^= 1;
	node_put(0, "s", &rotten);
	node_put(2, "s", &older);
	empty(1);
	turn_until(is_complete(1));
	assert_true(node_holds(1, "s", &older));
	assert_true(node_holds(0, "s", &rotten));
	end();
}

static void a_record_without_ttl_is_given_its_lifetime_on_the_target(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	sample_aged(&sample, "s", 5000, "data");
	node_put(0, "s", &sample);
	node_do(0, "PERSIST", RIG_PREFIX "s");
	empty(1);
	turn_until(is_complete(1));
	assert_true(node_holds(1, "s", &sample));
	assert_in_range(node_number(1, "PTTL", RIG_PREFIX "s"), 1440 * 1000 / 2, 1440 * 1000);
	end();
}

/* Between header and fetch; the server says so itself, through a proxy that answers the fetch. */
static void a_record_that_expires_meanwhile_is_no_reason_to_begin_again(void **state)
{
	struct fake *fake;
	unsigned long scans;
	unsigned fetched;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	begin_with(host_with_fake(2, 0, fake));
	put_numbered(0, 0, 1);
	empty(1);
	scans = node_calls(0, "scan");
	fetched = fake_rule(fake, (struct fake_rule){ .verb = "GETRANGE", .act = FAKE_ANSWER, .bytes = "$0\r\n\r\n", .skip = 1, .times = 1 });
	turn_until(is_complete(1));
	attempts_are(1, 0, scans);
	assert_int_equal(fake_hits(fake, fetched), 1);
	end();
	fake_free(fake);
}

/* What hosts say of themselves can't be read on one node: the scan begins all the same, but what it did is not called complete. */
static void who_says_nothing_of_hosts_does_not_hold_up_a_scan(void **state)
{
	struct fake *fake;
	int64_t began_us;
	unsigned asked;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	begin_with(host_with_fake(2, 0, fake));
	put_numbered(0, 0, 10);
	asked = fake_says(fake, "HGETALL", "-ERR not now\r\n", -1);
	empty(1);
	began_us = desk->office.now.us;
	turn_until(has_numbered(1, 0, 10));
	assert_true(desk->office.now.us - began_us >= 2 * SECOND);
	turn_for(10 * SECOND);
	assert_false(is_complete(1));
	assert_true(fake_hits(fake, asked) > 5);
	end();
	fake_free(fake);
}

/* Nor does it say that nothing is there. */
static void more_than_was_asked_for_is_no_answer(void **state)
{
	char answer[128];
	struct fake *fake;
	unsigned asked;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	begin_with(host_with_fake(2, 0, fake));
	put_numbered(0, 0, 1);
	empty(1);
	(void) snprintf(answer, sizeof(answer), "$%d\r\n%0*d\r\n", MMS_RECORD_HEADER_SIZE + 1, MMS_RECORD_HEADER_SIZE + 1, 0);
	asked = fake_rule(fake, (struct fake_rule){ .verb = "GETRANGE", .act = FAKE_ANSWER, .bytes = answer, .times = 1 });
	turn_until(is_complete(1));
	assert_int_equal(fake_hits(fake, asked), 1);
	assert_true(has_numbered(1, 0, 1));
	end();
	fake_free(fake);
}

/* By a process whose own max_session_size is smaller; and what nobody can make sense of is as long as it likes. */
static void records_of_any_size_are_compared_and_moved(void **state)
{
	char *text = calloc(1, 9u << 20);
	struct sample sample;
	struct large large;
	unsigned long scans;

	(void) state;
	assert_non_null(text);
	begin(3);
	large = large_aged("large", 5000, 6u << 20);
	put_numbered(0, 0, 20);
	node_put_large(0, "large", &large);
	node_put_bytes(0, "foreign", text, 9u << 20);
	sample_aged(&sample, "longer", 5000, "than its header says");
	memcpy(text, sample.bytes, sample.len);
	node_put_bytes(0, "longer", text, 9u << 20);
	empty(1);
	scans = node_calls(0, "scan");
	turn_until(is_complete(1));
	attempts_are(1, 0, scans);
	assert_true(has_numbered(1, 0, 20));
	assert_true(node_holds_large(1, "large", &large));
	assert_int_equal(node_number(1, "EXISTS", RIG_PREFIX "longer"), 0);
	assert_true(nodes_are_in_order(desk->host));
	large_free(&large);
	free(text);
	end();
}

/* Between header and fetch somebody stored much more: what was fetched is a part of that. */
static void a_record_that_grows_meanwhile_is_fetched_as_it_is_then(void **state)
{
	struct sample sample;
	struct large large;
	struct fake *fake;
	char head[MMS_RECORD_HEADER_SIZE + 32];
	size_t len;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	begin_with(host_with_fake(2, 0, fake));
	sample_aged(&sample, "s", 9000, "small");
	large = large_aged("s", 5000, 2u << 20);
	empty(1);
	node_put_large(0, "s", &large);
	/* The first answer is the header that stood there before. */
	len = (size_t) snprintf(head, sizeof(head), "$%d\r\n", MMS_RECORD_HEADER_SIZE);
	memcpy(head + len, sample.bytes, MMS_RECORD_HEADER_SIZE);
	len += MMS_RECORD_HEADER_SIZE;
	memcpy(head + len, "\r\n", 2);
	fake_rule(fake, (struct fake_rule){ .verb = "GETRANGE", .act = FAKE_ANSWER, .bytes = head, .bytes_len = len + 2, .times = 1 });
	turn_until(is_complete(1));
	assert_true(node_holds_large(1, "s", &large));
	assert_int_equal(host_metric(desk->host, MMS_METRIC_corrupt_records), 0);
	large_free(&large);
	end();
	fake_free(fake);
}

static void a_life_that_is_much_shorter_is_prolonged(void **state)
{
	struct sample a, b, gone;

	(void) state;
	begin(2);
	empty(1);
	sample_aged(&a, "a", 5000, "data");
	sample_aged(&b, "b", 5000, "data");
	sample_tombstone(&gone, "gone", 5000);
	for (unsigned node = 0; node < 2; node++) {
		node_put(node, "a", &a);
		node_put(node, "b", &b);
		node_put(node, "gone", &gone);
	}
	node_do(1, "PEXPIRE", RIG_PREFIX "a", "500000");
	node_do(0, "PEXPIRE", RIG_PREFIX "gone", "500000");
	node_do(1, "PEXPIRE", RIG_PREFIX "b", "980000"); /* touches may differ by so much */
	turn_until(is_complete(1));
	assert_in_range(node_number(1, "PTTL", RIG_PREFIX "a"), RIG_TTL_MS - 50000, RIG_TTL_MS);
	assert_in_range(node_number(0, "PTTL", RIG_PREFIX "gone"), RIG_TTL_MS - 50000, RIG_TTL_MS);
	assert_in_range(node_number(1, "PTTL", RIG_PREFIX "b"), 1, 980000);
	assert_int_equal(host_metric(desk->host, MMS_METRIC_repair_moved), 0);
	end();
}

/* Hints' lock holder died, or the ring was abandoned: nothing but the overflow itself says so. */
static void an_overflow_that_comes_during_a_scan_is_not_ended_by_it(void **state)
{
	struct mms_hints_sh *hints;

	(void) state;
	begin(2);
	put_numbered(0, 0, 400);
	hints = &desk->host->cluster->hints;
	mms_hints_overflow(hints, bit(1));
	while (host_metric(desk->host, MMS_METRIC_repair_scanned) == 0) {
		turn();
	}
	mms_hints_overflow(hints, UINT64_MAX);
	turn_until(host_metric(desk->host, MMS_METRIC_repairs) == 0 && atomic_load(
			&desk->host->cluster->nodes[1].repair.ended_us) != 0);
	assert_true(mms_hints_overflowed(hints, 1));
	turn_until(!mms_hints_overflowed(hints, 1) && !mms_hints_overflowed(hints, 0));
	end();
}

static void an_overflow_forgets_nothing_that_was_compared_since(void **state)
{
	unsigned long scans;

	(void) state;
	begin(3);
	put_numbered(0, 0, 30);
	put_numbered(2, 30, 60);
	mms_link_drop(desk_link(desk, 2));
	scans = node_calls(0, "scan");
	mms_hints_overflow(&desk->host->cluster->hints, bit(1));
	turn_for(8 * SECOND);
	attempts_are(1, 0, scans);
	assert_true(mms_hints_overflowed(&desk->host->cluster->hints, 1));
	greet(2);
	turn_until(!mms_hints_overflowed(&desk->host->cluster->hints, 1));
	attempts_are(1, 0, scans);
	assert_true(has_numbered(1, 30, 60));
	end();
}

static void scripts_flushed_at_the_very_end_cost_one_more_attempt(void **state)
{
	unsigned long scans;

	(void) state;
	begin(2);
	put_numbered(0, 0, 20);
	empty(1);
	desk_link(desk, 1)->ready_since.us = now_us() + 5 * SECOND;
	desk_await(desk, (turn(), has_numbered(1, 0, 20)));
	for (unsigned round = 0; round < 100; round++) {
		turn();
	}
	scans = node_calls(0, "scan");
	node_do(1, "SCRIPT", "FLUSH");
	desk_link(desk, 1)->ready_since.us = 1;
	turn_until(desk_link(desk, 1)->state == MMS_LINK_DOWN);
	greet(1);
	turn_until(is_complete(1));
	assert_true(marker_says_complete(1));
	assert_int_equal(node_calls(0, "scan"), scans); /* what was compared stays known */
	end();
}

/* How long the target's lease still lasts (-1: for ever, -2: there is none) and whose it is, at one moment. */
static int64_t lease_left(char token[64])
{
	static const char both[] = "return {redis.call('PTTL', KEYS[1]), redis.call('GET', KEYS[1]) or ''}";
	struct mms_reply *reply = node_ask(1, "EVAL", both, "1", LEASE);
	const int64_t left = mms_reply_integer(mms_reply_element(reply, 0));

	mms_text_copy(token, 64, mms_reply_text(mms_reply_element(reply, 1)));
	mms_reply_free(reply);
	return left;
}

/* Until it is renewed, the lease has no end at all here: so a machine that stalls does not lose it, and its end tells of the
 * renewal, whenever that comes. It may take more rounds than one thinks: the answer to a renewal that was under way when this
 * began to look puts the next one off, by the clock of the office. */
static void the_lease_is_renewed_while_a_scan_answers_slowly(void **state)
{
	char before[64], after[64];
	struct fake *fake;
	unsigned scans;
	int64_t left;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	begin_with(host_with_fake(2, 0, fake));
	put_numbered(0, 0, 20);
	empty(1);
	scans = fake_rule(fake, (struct fake_rule){ .verb = "SCAN", .act = FAKE_HOLD, .times = -1 });
	turn_until(fake_hits(fake, scans) == 1);
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].repair.running), 1);
	node_do(1, "PERSIST", LEASE);
	assert_int_equal(lease_left(before), -1);
	turn_until((left = lease_left(after)) >= 1100);
	assert_in_range(left, 1100, 5000);
	assert_string_equal(after, before); /* the same lease, not another one */
	assert_int_equal(fake_hits(fake, scans), 1); /* and the same scan, which has not been answered yet */
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].repair.walked), 0);
	fake_release(fake);
	turn_until(is_complete(1));
	end();
	fake_free(fake);
}

/* Its answers come when the next attempt runs already. */
static void comparisons_of_a_forgotten_attempt_do_not_count(void **state)
{
	struct fake *fake;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	begin_with(host_with_fake(2, 0, fake));
	put_numbered(0, 0, 20);
	empty(1);
	fake_rule(fake, (struct fake_rule){ .verb = "GETRANGE", .act = FAKE_HOLD, .times = 1 });
	turn_until(atomic_load(&desk->host->cluster->nodes[1].repair.walked) > 0);
	turn();
	mms_link_drop(desk_link(desk, 1));
	turn();
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].repair.running), 0);
	greet(1);
	ahead_us += 3 * SECOND;
	turn();
	fake_release(fake);
	turn_until(is_complete(1));
	assert_int_equal(host_metric(desk->host, MMS_METRIC_repairs), 1);
	assert_true(has_numbered(1, 0, 20));
	end();
	fake_free(fake);
}

static void a_scan_can_be_asked_for(void **state)
{
	struct mms_repair_sh *report;

	(void) state;
	begin(2);
	put_numbered(0, 0, 30);
	report = &desk->host->cluster->nodes[1].repair;
	turn_for(2 * SECOND);
	assert_int_equal(atomic_load(&report->started_us), 0);
	atomic_fetch_add(&report->wanted, 1);
	assert_true(mms_repair_next_us(repair) != INT64_MAX);
	turn_until(atomic_load(&report->finished) == 1);
	assert_true(has_numbered(1, 0, 30));
	assert_int_equal(atomic_load(&report->scanned), 30); /* once, with all nodes there */
	assert_int_equal(atomic_load(&report->moved), 30);
	assert_true(atomic_load(&report->bytes) > 30 * MMS_RECORD_HEADER_SIZE);
	assert_true(atomic_load(&report->total) >= 30 && atomic_load(&report->walked) > 0);
	assert_int_equal(atomic_load(&report->running), 0);
	assert_true(mms_repair_next_us(repair) == INT64_MAX);
	end();
}

/* Asked for in the middle of one that nobody asked for: that one counts, and another follows. */
static void a_scan_that_is_asked_for_throws_none_away(void **state)
{
	struct mms_repair_sh *report;

	(void) state;
	begin(2);
	report = &desk->host->cluster->nodes[1].repair;
	put_numbered(0, 0, 2000);
	empty(1);
	turn_until(atomic_load(&report->scanned) > 500);
	atomic_fetch_add(&report->wanted, 1);
	turn_until(is_complete(1));
	assert_in_range(atomic_load(&report->scanned), 2000, 2001);
	assert_int_equal(atomic_load(&report->finished), 1);
	assert_int_equal(atomic_load(&report->served), 0);
	turn_until(atomic_load(&report->finished) == 2);
	assert_int_equal(atomic_load(&report->served), 1);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_payload_damaged_at_its_source_does_not_make_the_pass_fail),
		cmocka_unit_test(a_damaged_payload_is_replaced_by_another_nodes_copy),
		cmocka_unit_test(an_older_copy_does_not_replace_a_damaged_newer_one),
		cmocka_unit_test(a_record_without_ttl_is_given_its_lifetime_on_the_target),
		cmocka_unit_test(a_record_that_expires_meanwhile_is_no_reason_to_begin_again),
		cmocka_unit_test(who_says_nothing_of_hosts_does_not_hold_up_a_scan),
		cmocka_unit_test(more_than_was_asked_for_is_no_answer),
		cmocka_unit_test(records_of_any_size_are_compared_and_moved),
		cmocka_unit_test(a_record_that_grows_meanwhile_is_fetched_as_it_is_then),
		cmocka_unit_test(a_life_that_is_much_shorter_is_prolonged),
		cmocka_unit_test(an_overflow_that_comes_during_a_scan_is_not_ended_by_it),
		cmocka_unit_test(an_overflow_forgets_nothing_that_was_compared_since),
		cmocka_unit_test(scripts_flushed_at_the_very_end_cost_one_more_attempt),
		cmocka_unit_test(the_lease_is_renewed_while_a_scan_answers_slowly),
		cmocka_unit_test(comparisons_of_a_forgotten_attempt_do_not_count),
		cmocka_unit_test(a_scan_can_be_asked_for),
		cmocka_unit_test(a_scan_that_is_asked_for_throws_none_away),
	};

	return rig_run(tests);
}
