/* Reads: which copy wins, what a miss proves, what is repaired, what dead and silent nodes cost. */
#include "rig.h"

#include "mms_read.h"

#define OLD_MS 5000
#define MARKER "unit::node"

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

static void done(struct host *host)
{
	mms_answer_clear(&answer);
	host_free(host);
}

static void the_local_copy_is_used_and_peers_send_headers_alone(void **state)
{
	struct sample sample;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&sample, "s", OLD_MS, "data");
	for (unsigned i = 0; i < 3; i++) {
		node_put(i, "s", &sample);
		node_forget_calls(i);
	}
	host = host_new(3, "web1");
	read_id(host, "s");
	assert_true(payload_is("data"));
	assert_true(answer.answered_mask == 7);
	assert_true(answer.holders_mask == 7);
	assert_true(answer.absent_mask == 0);
	assert_in_range(answer.pttl_ms, RIG_TTL_MS / 2, RIG_TTL_MS);
	assert_int_equal(node_calls(0, "get"), 1);
	assert_int_equal(node_calls(0, "getrange"), 0);
	for (unsigned i = 1; i < 3; i++) {
		assert_int_equal(node_calls(i, "get"), 0);
		assert_int_equal(node_calls(i, "getrange"), 1);
	}
	assert_int_equal(mailbox_count(host), 0);
	assert_int_equal(host_metric(host, MMS_METRIC_reads), 1);
	assert_int_equal(host_metric(host, MMS_METRIC_failovers), 0);
	done(host);
}

static void the_newest_copy_wins_wherever_it_is(void **state)
{
	struct sample older, newer;

	(void) state;
	for (unsigned holder = 0; holder < 3; holder++) {
		struct host *host;

		rig_fresh();
		sample_aged(&older, "s", 2 * OLD_MS, "older");
		sample_aged(&newer, "s", OLD_MS, "newer");
		for (unsigned i = 0; i < 3; i++) {
			node_put(i, "s", i == holder ? &newer : &older);
		}
		host = host_new(3, "web1");
		read_id(host, "s");
		assert_true(payload_is("newer"));
		assert_true(answer.holders_mask == bit(holder));
		assert_memory_equal(answer.header_bytes, newer.bytes, MMS_RECORD_HEADER_SIZE);
		assert_in_range(answer.pttl_ms, RIG_TTL_MS / 2, RIG_TTL_MS);
		done(host);
	}
}

static void whoever_lacks_it_gets_it_through_the_mailbox(void **state)
{
	struct mms_mailbox_item item;
	struct sample older, newer;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&older, "s", 2 * OLD_MS, "older");
	sample_aged(&newer, "s", OLD_MS, "newer");
	node_put(0, "s", &older);
	node_put(1, "s", &newer);
	host = host_new(3, "web1");
	read_id(host, "s");
	assert_true(payload_is("newer"));
	assert_int_equal(mailbox_count(host), 1);
	item = mailbox_last(host);
	assert_int_equal(item.kind, MMS_PARCEL_PUT);
	assert_true(item.settled);
	assert_true((item.have_mask & 7) == bit(1));
	assert_int_equal(item.record.len, newer.len);
	assert_memory_equal(item.record.ptr, newer.bytes, newer.len);
	assert_in_range(item.ttl_ms, RIG_TTL_MS / 2, RIG_TTL_MS);
	assert_int_equal(host_metric(host, MMS_METRIC_read_repairs), 1);
	done(host);
}

static void a_young_copy_is_on_its_way_already(void **state)
{
	struct sample sample;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&sample, "s", -100, "young"); /* a little ahead: it stays young on a slow machine */
	node_put(1, "s", &sample);
	host = host_new(3, "web1");
	read_id(host, "s");
	assert_true(payload_is("young"));
	assert_int_equal(mailbox_count(host), 0);
	assert_int_equal(host_metric(host, MMS_METRIC_read_repairs), 0);
	done(host);
}

static void a_copy_without_an_end_is_not_spread(void **state)
{
	struct sample sample;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&sample, "s", OLD_MS, "data");
	node_put(1, "s", &sample);
	node_do(1, "PERSIST", RIG_PREFIX "s");
	host = host_new(2, "web1");
	read_id(host, "s");
	assert_true(payload_is("data"));
	assert_int_equal(mailbox_count(host), 0);
	done(host);
}

static void a_tombstone_is_no_session_and_is_spread(void **state)
{
	struct sample record, tombstone;
	struct mms_mailbox_item item;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&record, "s", 2 * OLD_MS, "alive");
	sample_tombstone(&tombstone, "s", OLD_MS);
	node_put(0, "s", &record);
	node_put(1, "s", &tombstone);
	node_forget_calls(1);
	host = host_new(2, "web1");
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_TOMBSTONE);
	assert_int_equal(answer.payload.len, 0);
	assert_true(answer.holders_mask == bit(1));
	assert_int_equal(node_calls(1, "get"), 0);
	item = mailbox_last(host);
	assert_true((item.have_mask & 3) == bit(1));
	assert_int_equal(item.record.len, MMS_RECORD_HEADER_SIZE);
	assert_int_equal(item.ttl_ms, 1440 * 1000 + MMS_TOMBSTONE_GRACE_MS);
	done(host);
}

static void a_tombstone_wins_over_later_writes_of_its_incarnation(void **state)
{
	struct sample late, tombstone;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_tombstone(&tombstone, "s", 2 * OLD_MS);
	sample_aged(&late, "s", OLD_MS, "late");
	node_put(0, "s", &late);
	node_put(1, "s", &tombstone);
	host = host_new(2, "web1");
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_TOMBSTONE);
	done(host);
}

static void a_new_incarnation_wins_over_its_tombstone(void **state)
{
	struct sample again, tombstone;
	struct mms_version version;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_tombstone(&tombstone, "s", 2 * OLD_MS);
	version = (struct mms_version){ .hlc = stamp_ago(OLD_MS), .writer = 9, .sequence = 1,
		.incarnation = tombstone.header.version.hlc };
	sample_make(&again, "s", &version, "again");
	node_put(0, "s", &tombstone);
	node_put(1, "s", &again);
	host = host_new(2, "web1");
	read_id(host, "s");
	assert_true(payload_is("again"));
	done(host);
}

static void nothing_on_complete_nodes_is_authoritative(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	read_id(host, "s"); /* the first visitor of the first host: the request itself meets the nodes */
	assert_int_equal(answer.found, MMS_FOUND_NOTHING);
	assert_true(answer.authoritative);
	assert_true(answer.absent_mask == 7);
	assert_true(answer.holders_mask == 0);
	node_forget_calls(0);
	read_id(host, "other");
	assert_true(answer.authoritative);
	assert_int_equal(node_calls(0, "info"), 0);
	assert_int_equal(host_metric(host, MMS_METRIC_uncertain_reads), 0);
	done(host);
}

static void nothing_on_an_incomplete_node_proves_nothing(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	node_do(1, "SET", MARKER, "00000000000000aa 0123456789012345678901234567890123456789 1");
	host = host_new(3, "web1");
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_NOTHING);
	assert_false(answer.authoritative);
	assert_true(answer.answered_mask == 7);
	assert_true(answer.absent_mask == 0); /* the others may have been emptied too: nobody here knew them */
	assert_int_equal(host_metric(host, MMS_METRIC_uncertain_reads), 1);
	done(host);
	rig_fresh();
	host = host_new(3, "web1");
	read_id(host, "s");
	assert_true(answer.authoritative);
	atomic_store(&host->cluster->nodes[1].complete, 0);
	read_id(host, "s");
	assert_false(answer.authoritative);
	assert_true(answer.absent_mask == 5);
	done(host);
}

/* The replicator has not noticed: FLUSHALL leaves the connections up. */
static void a_node_emptied_a_moment_ago_proves_nothing(void **state)
{
	struct sample tombstone, sample;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	read_id(host, "s");
	assert_true(answer.authoritative);
	sample_aged(&sample, "s", OLD_MS, "data");
	sample_tombstone(&tombstone, "gone", OLD_MS);
	node_do(1, "FLUSHALL");
	node_put(0, "s", &sample);
	node_put(2, "gone", &tombstone);
	read_id(host, "other");
	assert_int_equal(answer.found, MMS_FOUND_NOTHING);
	assert_false(answer.authoritative);
	assert_true(answer.answered_mask == 7);
	assert_true(answer.absent_mask == 5);
	read_id(host, "gone");
	assert_int_equal(answer.found, MMS_FOUND_TOMBSTONE);
	assert_false(answer.authoritative);
	node_forget_calls(0);
	node_forget_calls(2);
	read_id(host, "s"); /* a session that is there is not asked about twice */
	assert_true(payload_is("data"));
	assert_int_equal(node_calls(0, "get"), 1);
	assert_int_equal(node_calls(2, "get"), 0);
	done(host);
}

/* Restarted from its dump: the marker is there, and speaks of the server before. */
static void a_node_restarted_a_moment_ago_proves_nothing(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	read_id(host, "s");
	assert_true(answer.authoritative);
	node_do(1, "SET", MARKER, "00000000000000aa 0123456789012345678901234567890123456789 1");
	read_id(host, "s");
	assert_false(answer.authoritative);
	assert_true(answer.absent_mask == 1);
	done(host);
}

static void a_dead_peer_makes_a_read_uncertain_and_no_more(void **state)
{
	struct sample sample;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&sample, "s", OLD_MS, "data");
	node_put(0, "s", &sample);
	host = host_new(3, "web1");
	read_id(host, "none");
	node_kill(2);
	read_id(host, "s");
	assert_true(payload_is("data"));
	assert_false(answer.authoritative);
	assert_true(answer.answered_mask == 3);
	read_id(host, "none");
	assert_int_equal(answer.found, MMS_FOUND_NOTHING);
	assert_false(answer.authoritative);
	assert_true(answer.absent_mask == 3);
	done(host);
}

static void a_dead_local_node_is_replaced_by_a_peer(void **state)
{
	struct sample sample;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&sample, "s", OLD_MS, "data");
	node_put(1, "s", &sample);
	node_put(2, "s", &sample);
	node_kill(0);
	host = host_new(3, "web1");
	read_id(host, "s");
	assert_true(payload_is("data"));
	assert_int_equal(host_metric(host, MMS_METRIC_failovers), 1);
	assert_false(mms_client_can_read(host->client, 0));
	node_forget_calls(1);
	node_forget_calls(2);
	read_id(host, "s");
	assert_true(payload_is("data"));
	assert_int_equal(node_calls(1, "get"), 1);
	assert_int_equal(node_calls(2, "getrange"), 1);
	done(host);
}

static void a_silent_local_node_costs_one_wait(void **state)
{
	struct sample sample;
	struct host *host;
	int64_t before;

	(void) state;
	rig_fresh();
	sample_aged(&sample, "s", OLD_MS, "data");
	for (unsigned i = 0; i < 3; i++) {
		node_put(i, "s", &sample);
	}
	host = host_new(3, "web1");
	node_stop(0);
	atomic_store(&host->cluster->nodes[0].breaker.latency_us, 100);
	host->client->settings.read_timeout_ms = 250;
	before = now_us();
	mms_read_record(host->client, key_of("s"), host_deadline(host), &answer);
	assert_in_range(now_us() - before, 250000, 3000000); /* however fast it has been */
	assert_true(payload_is("data"));
	assert_false(answer.authoritative);
	assert_true(answer.answered_mask == 6);
	done(host);
}

static void when_all_are_dead_the_error_names_one_and_then_says_so(void **state)
{
	struct host *host;
	int64_t before;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	for (unsigned i = 0; i < 3; i++) {
		node_kill(i);
	}
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_UNREADABLE);
	assert_non_null(strstr(answer.error.text, "connect"));
	before = now_us();
	read_id(host, "s");
	assert_true(now_us() - before < 1000000);
	assert_int_equal(answer.found, MMS_FOUND_UNREADABLE);
	assert_non_null(strstr(answer.error.text, "marked down"));
	assert_int_equal(host_metric(host, MMS_METRIC_failed_reads), 2);
	assert_int_equal(host_metric(host, MMS_METRIC_reads), 0);
	done(host);
}

static void when_all_are_silent_the_budget_holds(void **state)
{
	struct host *host;
	int64_t before;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	host->client->settings.budget_ms = 50;
	host->settings.budget_ms = 50;
	for (unsigned i = 0; i < 3; i++) {
		node_stop(i);
	}
	before = now_us();
	read_id(host, "s");
	assert_in_range(now_us() - before, 50000, 2000000);
	assert_int_equal(answer.found, MMS_FOUND_UNREADABLE);
	done(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_local_copy_is_used_and_peers_send_headers_alone),
		cmocka_unit_test(the_newest_copy_wins_wherever_it_is),
		cmocka_unit_test(whoever_lacks_it_gets_it_through_the_mailbox),
		cmocka_unit_test(a_young_copy_is_on_its_way_already),
		cmocka_unit_test(a_copy_without_an_end_is_not_spread),
		cmocka_unit_test(a_tombstone_is_no_session_and_is_spread),
		cmocka_unit_test(a_tombstone_wins_over_later_writes_of_its_incarnation),
		cmocka_unit_test(a_new_incarnation_wins_over_its_tombstone),
		cmocka_unit_test(nothing_on_complete_nodes_is_authoritative),
		cmocka_unit_test(nothing_on_an_incomplete_node_proves_nothing),
		cmocka_unit_test(a_node_emptied_a_moment_ago_proves_nothing),
		cmocka_unit_test(a_node_restarted_a_moment_ago_proves_nothing),
		cmocka_unit_test(a_dead_peer_makes_a_read_uncertain_and_no_more),
		cmocka_unit_test(a_dead_local_node_is_replaced_by_a_peer),
		cmocka_unit_test(a_silent_local_node_costs_one_wait),
		cmocka_unit_test(when_all_are_dead_the_error_names_one_and_then_says_so),
		cmocka_unit_test(when_all_are_silent_the_budget_holds),
	};

	return rig_run(tests);
}
