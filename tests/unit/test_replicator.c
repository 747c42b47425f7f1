/* One replicator on a thread of this process: mirrors, hints and behind markers, drains and last words. */
#include "crew.h"

struct crew {
	struct host *host;
	struct mms_descriptors *descriptors;
	struct mms_replicator_host in;
	struct mms_replicator *replicator;
};

static void crew_new(struct crew *crew, unsigned nodes)
{
	rig_fresh();
	crew->host = crew_host(nodes);
	crew->descriptors = calloc(1, sizeof(*crew->descriptors));
	assert_non_null(crew->descriptors);
	crew->in = (struct mms_replicator_host){ .shm = crew->host->shm, .shape = &crew->host->shape,
		.descriptors = crew->descriptors };
	crew->replicator = NULL;
}

static void crew_start(struct crew *crew)
{
	struct mms_error error = { "" };

	crew->replicator = mms_replicator_start(&crew->in, crew->host->cluster, &crew->host->cluster->settings, &error);
	if (crew->replicator == NULL) {
		fail_msg("%s", error.text);
	}
}

static void crew_stop(struct crew *crew, uint32_t drain_ms, bool last)
{
	mms_replicator_stop(crew->replicator, drain_ms, last);
	crew->replicator = NULL;
}

static void crew_free(struct crew *crew)
{
	crew_stop(crew, 0, false);
	for (unsigned i = 0; i < MMS_DESCRIPTORS_MAX; i++) {
		assert_int_equal(atomic_load(&crew->descriptors->slots[i]), 0);
	}
	free(crew->descriptors);
	host_free(crew->host);
}

static void wait_until_all_are_met(const struct crew *crew)
{
	for (unsigned node = 0; node < crew->host->settings.node_count; node++) {
		await(atomic_load(&crew->host->cluster->nodes[node].run_hash) != 0);
	}
}

static void writes_arrive_on_all_nodes(void **state)
{
	struct crew crew;

	(void) state;
	crew_new(&crew, 3);
	crew_start(&crew);
	wait_until_all_are_met(&crew); /* what a node takes before that is sent to it again */
	put_many(crew.host, "s", 0, 200);
	for (unsigned node = 0; node < 3; node++) {
		await(node_has_many(node, "s", 0, 200));
	}
	await(mailbox_is_empty(crew.host));
	await(atomic_load(&crew.host->cluster->nodes[1].lag_us) == 0);
	assert_int_equal(atomic_load(&crew.host->cluster->nodes[1].acked_count), 200);
	assert_int_equal(atomic_load(&crew.host->cluster->nodes[0].acked_count), 0); /* that was the producer's own */
	assert_int_equal(host_metric(crew.host, MMS_METRIC_mirrored), 400);
	await(node_number(1, "DBSIZE", NULL) == 203); /* and the node's marker, and who uses it, and who lives */
	assert_in_range(node_number(1, "PTTL", RIG_PREFIX "s7"), RIG_TTL_MS / 2, RIG_TTL_MS);
	crew_free(&crew);
}

static void an_entry_whose_producer_died_goes_to_the_local_node_too(void **state)
{
	struct mms_parcel parcel;
	struct sample sample;
	struct crew crew;

	(void) state;
	crew_new(&crew, 2);
	crew_start(&crew);
	sample_aged(&sample, "s", 0, "pushed and killed");
	parcel = (struct mms_parcel){ .kind = MMS_PARCEL_PUT, .key = key_of("s"), .header = sample.bytes,
		.payload = { (const char *) sample.bytes + MMS_RECORD_HEADER_SIZE, sample.len - MMS_RECORD_HEADER_SIZE },
		.ttl_ms = RIG_TTL_MS };
	assert_true(mms_mailbox_push(&crew.host->cluster->mailbox, &parcel, mms_clock_mono(), NULL));
	mms_shm_wake(crew.host->cluster);
	await(node_holds(1, "s", &sample));
	await(node_holds(0, "s", &sample));
	await(mailbox_is_empty(crew.host));
	crew_free(&crew);
}

static void a_silent_peer_gets_hints_and_a_marker_and_all_of_it_when_it_speaks_again(void **state)
{
	struct crew crew;

	(void) state;
	crew_new(&crew, 3);
	crew_start(&crew);
	put_session(crew.host, "first", "first");
	await(mailbox_is_empty(crew.host));
	node_stop(1);
	put_many(crew.host, "s", 0, 50);
	await(hint_count(crew.host, 1) == 50);
	assert_false(is_ready_for_requests(crew.host, 1));
	assert_int_equal(atomic_load(&crew.host->cluster->nodes[1].behind), 1);
	assert_int_equal(behind_markers(0), 1);
	assert_int_equal(behind_markers(2), 1);
	await(node_has_many(2, "s", 0, 50));
	await(mailbox_is_empty(crew.host));
	node_continue(1);
	await(hint_count(crew.host, 1) == 0);
	assert_true(node_has_many(1, "s", 0, 50));
	await(behind_markers(0) == 0 && behind_markers(2) == 0);
	await(atomic_load(&crew.host->cluster->nodes[1].behind) == 0);
	assert_true(is_ready_for_requests(crew.host, 1));
	assert_int_equal(host_metric(crew.host, MMS_METRIC_hint_overflows), 0);
	crew_free(&crew);
}

static void the_local_node_is_served_from_its_peers(void **state)
{
	struct crew crew;

	(void) state;
	crew_new(&crew, 3);
	crew_start(&crew);
	wait_until_all_are_met(&crew);
	node_stop(0);
	host_open_breaker(crew.host, 0, MMS_FAULT_HARD);
	put_many(crew.host, "s", 0, 20);
	await(hint_count(crew.host, 0) == 20);
	await(mailbox_is_empty(crew.host));
	node_continue(0);
	await(hint_count(crew.host, 0) == 0);
	assert_true(node_has_many(0, "s", 0, 20));
	await(behind_markers(1) == 0 && behind_markers(2) == 0);
	crew_free(&crew);
}

static void a_killed_node_gets_what_it_missed_when_it_is_back_empty(void **state)
{
	struct crew crew;
	uint64_t run;

	(void) state;
	crew_new(&crew, 3);
	crew_start(&crew);
	put_session(crew.host, "before", "before");
	await(mailbox_is_empty(crew.host));
	run = atomic_load(&crew.host->cluster->nodes[1].run_hash);
	node_kill(1);
	put_many(crew.host, "s", 0, 20);
	await(hint_count(crew.host, 1) == 20);
	node_restart(1);
	await(hint_count(crew.host, 1) == 0);
	assert_true(node_has_many(1, "s", 0, 20));
	assert_true(atomic_load(&crew.host->cluster->nodes[1].run_hash) != run);
	await(behind_markers(0) == 0 && behind_markers(2) == 0);
	crew_free(&crew);
}

static void a_node_that_nobody_met_leaves_no_marker_behind(void **state)
{
	struct crew crew;

	(void) state;
	crew_new(&crew, 2);
	node_kill(1);
	crew_start(&crew);
	put_many(crew.host, "s", 0, 5);
	await(hint_count(crew.host, 1) == 5);
	await(behind_markers(0) == 1);
	node_restart(1);
	await(hint_count(crew.host, 1) == 0);
	await(behind_markers(0) == 0);
	crew_free(&crew);
}

/* The tombstone stands nowhere any more but in the hint. */
static void a_logout_is_delivered_from_the_hint_alone(void **state)
{
	struct crew crew;

	(void) state;
	crew_new(&crew, 2);
	crew_start(&crew);
	put_session(crew.host, "s", "logged in");
	await(node_has(1, "s", "logged in", NULL));
	node_stop(1);
	assert_int_equal(put_kind(crew.host, "s", "", true), MMS_OK);
	await(hint_count(crew.host, 1) == 1);
	node_do(0, "DEL", RIG_PREFIX "s");
	node_continue(1);
	await(hint_count(crew.host, 1) == 0);
	assert_true(node_has(1, "s", NULL, NULL));
	crew_free(&crew);
}

static void a_write_that_the_mailbox_did_not_take_is_delivered(void **state)
{
	struct mms_parcel parcel = { .kind = MMS_PARCEL_PUT, .ttl_ms = RIG_TTL_MS, .have_mask = 7, .settled = true };
	struct sample filler;
	struct crew crew;

	(void) state;
	crew_new(&crew, 3);
	sample_aged(&filler, "filler", 0, "");
	parcel.key = key_of("filler");
	parcel.header = filler.bytes;
	while (mms_mailbox_push(&crew.host->cluster->mailbox, &parcel, mms_clock_mono(), NULL)) {
	}
	put_session(crew.host, "s", "data");
	assert_int_equal(hint_count(crew.host, 2), 1);
	crew_start(&crew);
	await(node_has(2, "s", "data", NULL));
	await(hint_count(crew.host, 2) == 0);
	await(mailbox_is_empty(crew.host));
	crew_free(&crew);
}

static void a_full_peer_gets_it_when_it_has_room_again(void **state)
{
	struct crew crew;

	(void) state;
	crew_new(&crew, 2);
	crew_start(&crew);
	wait_until_all_are_met(&crew);
	node_do(1, "CONFIG", "SET", "maxmemory", "1");
	put_session(crew.host, "s", "data");
	await(hint_count(crew.host, 1) == 1);
	await(mms_client_can_read(crew.host->client, 1)); /* only its write side is out */
	node_do(1, "CONFIG", "SET", "maxmemory", "0");
	await(node_has(1, "s", "data", NULL));
	await(hint_count(crew.host, 1) == 0);
	crew_free(&crew);
}

static void flushed_scripts_lose_nothing(void **state)
{
	struct crew crew;

	(void) state;
	crew_new(&crew, 2);
	crew_start(&crew);
	put_session(crew.host, "first", "first");
	await(mailbox_is_empty(crew.host));
	node_do(1, "SCRIPT", "FLUSH");
	put_many(crew.host, "s", 0, 20);
	await(node_has_many(1, "s", 0, 20));
	await(hint_count(crew.host, 1) == 0);
	assert_true(host_metric(crew.host, MMS_METRIC_noscripts) >= 1);
	crew_free(&crew);
}

static void a_connection_that_the_server_closes_is_opened_again(void **state)
{
	struct crew crew;

	(void) state;
	crew_new(&crew, 2);
	crew_start(&crew);
	for (unsigned round = 0; round < 5; round++) {
		put_many(crew.host, "s", 10 * round, 10 * round + 10);
		await(node_has_many(1, "s", 0, 10 * round + 10));
		node_do(1, "CLIENT", "KILL", "TYPE", "normal");
	}
	assert_true(is_ready_for_requests(crew.host, 1));
	crew_free(&crew);
}

static void what_waits_at_the_stop_is_delivered_first(void **state)
{
	struct crew crew;

	(void) state;
	crew_new(&crew, 3);
	put_many(crew.host, "s", 0, 300);
	crew_start(&crew);
	crew_stop(&crew, 20000, false);
	assert_true(node_has_many(1, "s", 0, 300));
	assert_true(node_has_many(2, "s", 0, 300));
	assert_true(mailbox_is_empty(crew.host));
	crew_free(&crew);
}

static void a_silent_node_does_not_hold_up_the_end(void **state)
{
	struct crew crew;
	int64_t before;

	(void) state;
	crew_new(&crew, 3);
	crew.host->cluster->settings.read_timeout_ms = 10000;
	node_stop(1);
	put_many(crew.host, "s", 0, 10);
	crew_start(&crew);
	before = now_us();
	crew_stop(&crew, 200, false);
	assert_in_range(now_us() - before, 0, 5000000);
	assert_true(node_has_many(2, "s", 0, 10));
	crew_free(&crew);
}

static void a_node_that_is_known_to_be_down_is_not_waited_for(void **state)
{
	struct crew crew;
	int64_t before;

	(void) state;
	crew_new(&crew, 3);
	node_stop(1);
	host_open_breaker(crew.host, 1, MMS_FAULT_HARD);
	crew_start(&crew);
	await(atomic_load(&crew.host->cluster->nodes[0].run_hash) != 0);
	put_many(crew.host, "s", 0, 10);
	before = now_us();
	crew_stop(&crew, 60000, false);
	assert_in_range(now_us() - before, 0, 20000000);
	assert_true(node_has_many(2, "s", 0, 10));
	assert_int_equal(hint_count(crew.host, 1), 10);
	crew_free(&crew);
}

/* A server handles what one read of its gives it (16 KiB) before it finds that nobody takes its answers. */
static void a_stopped_server_hears_the_last_words_when_it_goes_on(void **state)
{
	struct crew crew;

	(void) state;
	crew_new(&crew, 3);
	node_stop(1);
	/* More than a server reads at once (one that finds its replies refused would drop the rest), less than a Unix socket holds. */
	put_many(crew.host, "s", 0, 250);
	crew_start(&crew);
	crew_stop(&crew, 500, true);
	assert_true(node_has_many(2, "s", 0, 250));
	node_continue(1);
	await(node_has_many(1, "s", 0, 250));
	crew_free(&crew);
}

/* What the hint speaks of is nowhere; the other node is back with what was before the logout, or with nothing. */
static void a_stopped_server_hears_of_a_logout_that_stands_beside_a_newer_hint(void **state)
{
	struct mms_version version = { .writer = 7, .sequence = 2 };
	struct sample before, tombstone, again;
	struct crew crew;

	(void) state;
	for (unsigned round = 0; round < 2; round++) {
		crew_new(&crew, 2);
		crew_start(&crew);
		wait_until_all_are_met(&crew);
		sample_aged(&before, "s", 60000, "logged in");
		node_put(1, "s", &before);
		node_stop(1);
		sample_tombstone(&tombstone, "s", 1000);
		version.incarnation = tombstone.header.version.hlc;
		version.hlc = stamp_ago(0);
		sample_make(&again, "s", &version, "lost");
		for (unsigned i = 0; i < 2; i++) {
			assert_true(mms_hints_add(&crew.host->cluster->hints, key_of("s"), i == 0 ? tombstone.bytes : again.bytes, bit(1),
					(struct mms_mono){ now_us() + 600000000 }, mms_clock_mono()));
		}
		if (round == 0) {
			node_put(0, "s", &before);
		}
		crew_stop(&crew, 1000, true);
		node_continue(1);
		await(node_holds(1, "s", &tombstone));
		crew_free(&crew);
	}
}

static void a_node_that_is_held_open_hears_the_last_words_or_has_hints_already(void **state)
{
	struct crew crew;

	(void) state;
	crew_new(&crew, 2);
	node_stop(1);
	host_open_breaker(crew.host, 1, MMS_FAULT_HARD);
	put_many(crew.host, "s", 0, 10);
	crew_start(&crew);
	crew_stop(&crew, 500, true);
	node_continue(1);
	await(hint_count(crew.host, 1) == 10 || node_has_many(1, "s", 0, 10));
	crew_free(&crew);
}

static void last_words_end_at_once_when_all_have_answered(void **state)
{
	struct crew crew;
	int64_t before;

	(void) state;
	crew_new(&crew, 3);
	node_kill(2); /* can't be connected: nothing to wait for */
	put_many(crew.host, "s", 0, 10);
	crew_start(&crew);
	before = now_us();
	crew_stop(&crew, 60000, true);
	assert_in_range(now_us() - before, 0, 20000000);
	assert_true(node_has_many(1, "s", 0, 10));
	crew_free(&crew);
}

static void one_is_in_office_one_stands_by_and_the_third_goes(void **state)
{
	struct mms_replicator *standby, *third;
	struct crew crew;

	(void) state;
	crew_new(&crew, 2);
	assert_true(mms_election_vacant(crew.host->cluster, mms_clock_mono(), false));
	crew_start(&crew);
	await(!mms_election_vacant(crew.host->cluster, mms_clock_mono(), false));
	await(owner(crew.host) == getpid()); /* beats first */
	assert_true(mms_election_vacant(crew.host->cluster, mms_clock_mono(), true));
	standby = mms_replicator_start(&crew.in, crew.host->cluster, &crew.host->cluster->settings, NULL);
	assert_non_null(standby);
	await(somebody_stands_by(crew.host));
	assert_false(mms_election_vacant(crew.host->cluster, mms_clock_mono(), true));
	third = mms_replicator_start(&crew.in, crew.host->cluster, &crew.host->cluster->settings, NULL);
	assert_non_null(third);
	await(!mms_replicator_running(third));
	mms_replicator_stop(third, 0, false);
	assert_true(mms_replicator_running(standby));
	crew_stop(&crew, 0, false);
	await(host_metric(crew.host, MMS_METRIC_takeovers) == 2);
	put_session(crew.host, "s", "data");
	await(node_has(1, "s", "data", NULL));
	mms_replicator_stop(standby, 0, false);
	assert_true(mms_election_vacant(crew.host->cluster, mms_clock_mono(), false));
	crew_free(&crew);
}

/* Of two threads that took the office for empty, each may find that the other has it, and both would leave. */
static void who_is_replaced_by_nobody_takes_office_again(void **state)
{
	struct crew crew;

	(void) state;
	crew_new(&crew, 2);
	crew_start(&crew);
	await(owner(crew.host) == getpid());
	atomic_store(&crew.host->cluster->election.seat, (atomic_load(&crew.host->cluster->election.seat) + 1) % MMS_ELECTION_SEATS);
	await(host_metric(crew.host, MMS_METRIC_takeovers) == 2);
	put_session(crew.host, "s", "data");
	await(node_has(1, "s", "data", NULL));
	assert_true(mms_replicator_running(crew.replicator));
	atomic_store(&crew.host->cluster->election.seat, 2 * MMS_ELECTION_SEATS - 1); /* a damaged mapping */
	await(host_metric(crew.host, MMS_METRIC_takeovers) == 3);
	put_session(crew.host, "s", "more");
	await(node_has(1, "s", "more", NULL));
	crew_free(&crew);
}

static void a_thread_that_is_asked_looks_once_more_before_it_ends(void **state)
{
	struct mms_replicator *standby, *third;
	struct crew crew;

	(void) state;
	crew_new(&crew, 2);
	crew_start(&crew);
	await(owner(crew.host) == getpid());
	standby = mms_replicator_start(&crew.in, crew.host->cluster, &crew.host->cluster->settings, NULL);
	assert_non_null(standby);
	await(somebody_stands_by(crew.host));
	third = mms_replicator_start(&crew.in, crew.host->cluster, &crew.host->cluster->settings, NULL);
	assert_non_null(third);
	for (int64_t asked_us = now_us(), until = asked_us + 600000; now_us() < until; nap_us(10000)) {
		const bool answered = mms_replicator_ask(third);

		if (!answered && now_us() - asked_us < 100000) {
			fail_msg("it ended %lld us after it was asked", (long long) (now_us() - asked_us));
		}
		if (!answered) {
			break; /* this process was held up */
		}
		asked_us = now_us();
	}
	await(!mms_replicator_running(third));
	assert_false(mms_replicator_ask(third));
	mms_replicator_stop(third, 0, false);
	mms_replicator_stop(standby, 0, false);
	crew_free(&crew);
}

static void a_thread_that_used_up_its_time_hands_over(void **state)
{
	struct mms_replicator *standby;
	struct crew crew;

	(void) state;
	crew_new(&crew, 2);
	crew_start(&crew);
	await(owner(crew.host) != 0);
	standby = mms_replicator_start(&crew.in, crew.host->cluster, &crew.host->cluster->settings, NULL);
	assert_non_null(standby);
	await(somebody_stands_by(crew.host));
	assert_true(mms_replicator_ask(crew.replicator)); /* when nobody stood by */
	atomic_store(&crew.in.cpu_allowance_ms, 1);
	for (unsigned number = 0; mms_replicator_running(crew.replicator); number++) {
		assert_true(number < 100000);
		put_session(crew.host, "s", "data");
	}
	atomic_store(&crew.in.cpu_allowance_ms, 0);
	put_session(crew.host, "s", "the last");
	await(node_has(1, "s", "the last", NULL));
	mms_replicator_stop(standby, 0, false);
	crew_free(&crew);
}

/* In a daemon that has closed its standard descriptors: what is printed there must not reach a node, nor end the thread. */
static int serve_without_standard_descriptors(void *argument)
{
	const struct host *host = argument;
	static struct mms_descriptors own;
	struct mms_replicator_host in = { .shm = host->shm, .shape = &host->shape, .descriptors = &own };
	struct mms_replicator *replicator;
	const int64_t until = now_us() + DEADLINE_US;
	int result = 0;

	close(0);
	close(1);
	close(2);
	replicator = mms_replicator_start(&in, host->cluster, &host->cluster->settings, NULL);
	while (!node_has(1, "s", "data", NULL) && now_us() < until) {
		nap_us(1000);
	}
	result = atomic_load(&own.slots[0]) == 0 ? 1 : 0;
	for (unsigned i = 0; i < MMS_DESCRIPTORS_MAX; i++) {
		const int stored = atomic_load(&own.slots[i]);

		if (stored != 0 && stored - 1 < MMS_FD_FIRST) {
			result = 2;
		}
	}
	mms_replicator_stop(replicator, 0, false);
	return result;
}

static void a_thread_takes_no_standard_descriptor(void **state)
{
	struct host *host = crew_host(2);

	(void) state;
	rig_fresh();
	put_session(host, "s", "data");
	assert_exits_with_0(spawn(serve_without_standard_descriptors, host));
	host_free(host);
}

static void stopping_nothing_is_no_harm(void **state)
{
	(void) state;
	mms_replicator_stop(NULL, 1000, true);
	assert_true(strlen(mms_replicator_library_version()) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_arrive_on_all_nodes),
		cmocka_unit_test(an_entry_whose_producer_died_goes_to_the_local_node_too),
		cmocka_unit_test(a_silent_peer_gets_hints_and_a_marker_and_all_of_it_when_it_speaks_again),
		cmocka_unit_test(the_local_node_is_served_from_its_peers),
		cmocka_unit_test(a_killed_node_gets_what_it_missed_when_it_is_back_empty),
		cmocka_unit_test(a_node_that_nobody_met_leaves_no_marker_behind),
		cmocka_unit_test(a_logout_is_delivered_from_the_hint_alone),
		cmocka_unit_test(a_write_that_the_mailbox_did_not_take_is_delivered),
		cmocka_unit_test(a_full_peer_gets_it_when_it_has_room_again),
		cmocka_unit_test(flushed_scripts_lose_nothing),
		cmocka_unit_test(a_connection_that_the_server_closes_is_opened_again),
		cmocka_unit_test(what_waits_at_the_stop_is_delivered_first),
		cmocka_unit_test(a_silent_node_does_not_hold_up_the_end),
		cmocka_unit_test(a_node_that_is_known_to_be_down_is_not_waited_for),
		cmocka_unit_test(a_stopped_server_hears_the_last_words_when_it_goes_on),
		cmocka_unit_test(a_stopped_server_hears_of_a_logout_that_stands_beside_a_newer_hint),
		cmocka_unit_test(a_node_that_is_held_open_hears_the_last_words_or_has_hints_already),
		cmocka_unit_test(last_words_end_at_once_when_all_have_answered),
		cmocka_unit_test(one_is_in_office_one_stands_by_and_the_third_goes),
		cmocka_unit_test(who_is_replaced_by_nobody_takes_office_again),
		cmocka_unit_test(a_thread_that_is_asked_looks_once_more_before_it_ends),
		cmocka_unit_test(a_thread_that_used_up_its_time_hands_over),
		cmocka_unit_test(a_thread_takes_no_standard_descriptor),
		cmocka_unit_test(stopping_nothing_is_no_harm),
	};

	return rig_run(tests);
}
