/* When the local node is left out of a request, and when not although it is slow.
 * TEST LINK: mms_read mms_write */
#include "fake.h"

#include "mms_read.h"
#include "mms_slow.h"
#include "mms_write.h"

#define OLD_MS 5000

static struct mms_answer answer;

static void set_latency(struct host *host, unsigned node, uint32_t us)
{
	atomic_store(&host->cluster->nodes[node].breaker.latency_us, us);
}

/* All nodes have been met on the connections that stand, and no host has died. */
static struct host *slow_host(void)
{
	struct host *host = host_new(3, "web1");

	mms_read_record(host->client, key_of("nobody"), host_deadline(host), &answer);
	mms_answer_clear(&answer);
	atomic_store(&host->cluster->dead_swept, 1);
	set_latency(host, 0, 20000);
	set_latency(host, 1, 300);
	return host;
}

static void push(struct host *host, const char *id, uint64_t have_mask, bool settled)
{
	struct sample sample;
	struct mms_parcel parcel = { .kind = MMS_PARCEL_PUT, .key = key_of(id), .header = sample.bytes,
		.ttl_ms = RIG_TTL_MS, .have_mask = have_mask, .settled = settled };

	sample_aged(&sample, id, 0, "");
	assert_true(mms_mailbox_push(&host->cluster->mailbox, &parcel, mms_clock_mono(), NULL));
}

static void it_is_slow_when_others_are_much_faster(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	assert_false(mms_slow_local(host->client)); /* nothing is known */
	set_latency(host, 0, 20000);
	assert_false(mms_slow_local(host->client));
	set_latency(host, 1, 6000);
	assert_false(mms_slow_local(host->client)); /* all are slow: the machine, or the network */
	set_latency(host, 2, 5000);
	assert_true(mms_slow_local(host->client));
	host_open_breaker(host, 2, MMS_FAULT_WRITE_ONLY);
	assert_false(mms_slow_local(host->client));
	set_latency(host, 1, 100);
	assert_true(mms_slow_local(host->client));
	set_latency(host, 0, 9999);
	assert_false(mms_slow_local(host->client));
	host_free(host);
}

static void what_the_local_node_may_hold_alone_is_not_left_out(void **state)
{
	struct mms_hint hint;
	struct host *host;
	struct sample sample;

	(void) state;
	rig_fresh();
	host = slow_host();
	assert_true(mms_slow_may_skip(host->client, key_of("s")));
	push(host, "other", 1, true);
	push(host, "s", 2, true); /* a peer has it, the slow local one does not yet */
	assert_true(mms_slow_may_skip(host->client, key_of("s")));
	assert_false(mms_slow_may_skip(host->client, key_of("other")));
	push(host, "s", 1, true);
	assert_false(mms_slow_may_skip(host->client, key_of("s")));
	push(host, "open", 2, false); /* its producer has not said yet */
	assert_false(mms_slow_may_skip(host->client, key_of("open")));
	for (int i = 0; i < 4000; i++) {
		push(host, "more", 2, true);
	}
	assert_true(mms_slow_may_skip(host->client, key_of("none")));
	assert_false(mms_slow_may_skip(host->client, key_of("s")));
	for (int i = 0; i < 96; i++) {
		push(host, "more", 2, true);
	}
	assert_false(mms_slow_may_skip(host->client, key_of("none"))); /* too many to look through */
	host_free(host);
	host = slow_host();
	sample_aged(&sample, "s", 0, "");
	assert_true(mms_hints_add(&host->cluster->hints, key_of("s"), sample.bytes, bit(2),
			(struct mms_mono){ now_us() + 1000000 }, mms_clock_mono()));
	assert_true(hint_of(host, 2, &hint));
	assert_false(mms_slow_may_skip(host->client, key_of("none")));
	host_free(host);
}

static void nor_while_it_may_be_the_only_one_that_has_what_counts(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = slow_host();
	atomic_store(&host->cluster->dead_swept, 0);
	assert_false(mms_slow_may_skip(host->client, key_of("s")));
	atomic_store(&host->cluster->dead_swept, 1);
	assert_true(mms_slow_may_skip(host->client, key_of("s")));
	for (unsigned node = 1; node < 3; node++) {
		atomic_store(&host->cluster->nodes[node].complete, 0);
		assert_false(mms_slow_may_skip(host->client, key_of("s")));
		atomic_store(&host->cluster->nodes[node].complete, 1);
		atomic_store(&host->cluster->nodes[node].avoided, 1);
		assert_false(mms_slow_may_skip(host->client, key_of("s")));
		atomic_store(&host->cluster->nodes[node].avoided, 0);
		assert_true(mms_slow_may_skip(host->client, key_of("s")));
	}
	host_open_breaker(host, 2, MMS_FAULT_HARD);
	assert_false(mms_slow_may_skip(host->client, key_of("s")));
	host_free(host);
}

/* What the others say is not enough: it is asked after all. */
static void when_the_others_do_not_suffice_it_is_asked(void **state)
{
	enum { OLD_DUMP, EMPTY, SILENT, BLIND, CASES };
	struct sample newest, older, blind;
	struct mms_version version;
	struct host *host;

	(void) state;
	for (int what = 0; what < CASES; what++) {
		rig_fresh();
		host = slow_host();
		sample_aged(&newest, "s", OLD_MS, "newest");
		sample_aged(&older, "s", 2 * OLD_MS, "older");
		sample_aged(&blind, "s", 0, "blind");
		version = blind.header.version;
		version.blind = true;
		sample_make(&blind, "s", &version, "blind");
		node_put(0, "s", &newest);
		if (what == OLD_DUMP) { /* the replicator has not noticed yet that one was started anew */
			node_put(1, "s", &older);
			node_kill(2);
			node_restart(2);
			node_put(2, "s", &older);
		} else if (what == SILENT) {
			node_put(1, "s", &older);
			node_kill(2);
		} else { /* emptied under our connection; BLIND: where a session has begun since */
			node_do(1, "FLUSHALL");
		}
		if (what == BLIND) {
			node_put(1, "s", &blind);
			node_put(2, "s", &blind);
		}
		mms_read_record(host->client, key_of("s"), host_deadline(host), &answer);
		assert_int_equal(answer.found, MMS_FOUND_RECORD);
		assert_true(answer.payload.len == 6 && memcmp(answer.payload.ptr, "newest", 6) == 0);
		assert_int_equal(host_metric(host, MMS_METRIC_slow_skips), 0);
		mms_answer_clear(&answer);
		host_free(host);
	}
}

static void a_slow_local_node_is_not_waited_for(void **state)
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
	host = slow_host();
	node_stop(0);
	before = now_us();
	mms_read_record(host->client, key_of("s"), host_deadline(host), &answer);
	assert_true(now_us() - before < 3000000); /* read_timeout_ms is 5 s here */
	assert_int_equal(answer.found, MMS_FOUND_RECORD);
	assert_true(answer.answered_mask == 6);
	assert_false(answer.authoritative);
	assert_int_equal(host_metric(host, MMS_METRIC_slow_skips), 1);
	assert_int_equal(host_metric(host, MMS_METRIC_failovers), 0);
	mms_answer_clear(&answer);
	host_free(host);
}

static void read_quorum_asks_it_all_the_same(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = slow_host();
	host->client->settings.read_mode = MMS_READ_QUORUM;
	mms_read_record(host->client, key_of("s"), host_deadline(host), &answer);
	assert_true(answer.answered_mask == 7);
	assert_true(answer.authoritative);
	mms_answer_clear(&answer);
	host_free(host);
}

static void a_write_goes_to_a_faster_node_first(void **state)
{
	struct mms_write_result result;
	struct mms_write_order order;
	struct sample sample;
	struct host *host;

	(void) state;
	rig_fresh();
	host = slow_host();
	sample_aged(&sample, "s", 0, "data");
	order = (struct mms_write_order){ .kind = MMS_PARCEL_PUT, .key = key_of("s"), .header_bytes = sample.bytes,
		.payload = slice("data"), .ttl_ms = RIG_TTL_MS, .acks_needed = 1 };
	assert_int_equal(mms_write_record(host->client, &order, host_deadline(host), &result), MMS_OK);
	assert_true(result.acked_mask == (bit(1) | bit(2)));
	assert_true(mailbox_last(host).have_mask == (bit(1) | bit(2)));
	assert_true(mms_slow_may_skip(host->client, key_of("s")));
	node_kill(1); /* and with nobody else, it is still there */
	node_kill(2);
	set_latency(host, 0, 20000);
	set_latency(host, 1, 300);
	assert_int_equal(mms_write_record(host->client, &order, host_deadline(host), &result), MMS_OK);
	assert_true(result.acked_mask == bit(0));
	host_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_slow_when_others_are_much_faster),
		cmocka_unit_test(what_the_local_node_may_hold_alone_is_not_left_out),
		cmocka_unit_test(nor_while_it_may_be_the_only_one_that_has_what_counts),
		cmocka_unit_test(when_the_others_do_not_suffice_it_is_asked),
		cmocka_unit_test(a_slow_local_node_is_not_waited_for),
		cmocka_unit_test(read_quorum_asks_it_all_the_same),
		cmocka_unit_test(a_write_goes_to_a_faster_node_first),
	};

	return rig_run(tests);
}
