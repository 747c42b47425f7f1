/* From the mailbox to the nodes, turn by turn: who is sent what, what becomes a hint, when the tail moves. */
#include "greeted.h"

#include "mms_marker.h"
#include "mms_mirror.h"
#include "mms_tending.h"

static struct desk *desk;

static void begin(unsigned nodes)
{
	rig_fresh();
	desk = desk_open(host_new(nodes, "web1"));
	desk_greet_all(desk);
	desk_quiet(desk);
}

static void end(void)
{
	desk_close(desk);
}

static struct mms_mailbox_sh *mailbox(void)
{
	return &desk->host->cluster->mailbox;
}

static bool is_empty(void)
{
	return mms_mailbox_tail(mailbox()) == mms_mailbox_head(mailbox());
}

static int64_t used(void)
{
	return mms_mailbox_distance(mms_mailbox_tail(mailbox()), mms_mailbox_head(mailbox()));
}

static bool run(void)
{
	mms_marker_run(&desk->office);
	return mms_mirror_run(&desk->office);
}

static uint32_t hints(unsigned node)
{
	return mms_hints_count(&desk->host->cluster->hints, node);
}

/* What a request thread leaves; settled says that it has told who has it. */
static struct mms_ticket push_kind(enum mms_parcel_kind kind, const struct sample *sample, const char *id,
		uint64_t have_mask, bool settled)
{
	struct mms_parcel parcel = { .kind = kind, .key = key_of(id), .header = sample->bytes, .ttl_ms = RIG_TTL_MS,
		.have_mask = have_mask, .settled = settled };
	struct mms_ticket ticket;

	if (kind == MMS_PARCEL_PUT) {
		parcel.payload = (struct mms_slice){ (const char *) sample->bytes + MMS_RECORD_HEADER_SIZE,
			sample->len - MMS_RECORD_HEADER_SIZE };
	}
	assert_true(mms_mailbox_push(mailbox(), &parcel, mms_clock_mono(), &ticket));
	return ticket;
}

static void push(const struct sample *sample, const char *id, uint64_t have_mask)
{
	push_kind(MMS_PARCEL_PUT, sample, id, have_mask, true);
}

static void every_node_is_sent_what_it_lacks_and_no_more(void **state)
{
	struct sample sample;

	(void) state;
	begin(3);
	for (unsigned node = 0; node < 3; node++) {
		node_forget_calls(node);
	}
	sample_aged(&sample, "s", 0, "data");
	push(&sample, "s", bit(0));
	sample_aged(&sample, "t", 0, "data");
	push(&sample, "t", bit(1) | bit(2));
	desk_await(desk, run() && is_empty());
	assert_int_equal(node_calls(0, "set"), 1);
	assert_int_equal(node_calls(1, "set"), 1);
	assert_int_equal(node_calls(2, "set"), 1);
	assert_true(node_has(0, "t", "data", NULL));
	assert_true(node_has(1, "s", "data", NULL) && node_has(2, "s", "data", NULL));
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[2].acked_count), 1);
	assert_int_equal(host_metric(desk->host, MMS_METRIC_mirrored), 3);
	end();
}

static void more_than_a_window_arrives_in_order(void **state)
{
	const unsigned count = 3 * MMS_LINK_WINDOW;
	struct mms_version version = { .writer = 1 };
	struct sample sample;

	(void) state;
	begin(2);
	for (unsigned number = 1; number <= count; number++) {
		char text[16];

		version.hlc = stamp_ago(0);
		version.sequence = number;
		snprintf(text, sizeof(text), "%u", number);
		sample_make(&sample, "s", &version, text);
		push(&sample, "s", bit(0));
	}
	desk_await(desk, run() && is_empty());
	assert_true(node_has(1, "s", "3072", NULL));
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].acked_count), count);
	assert_int_equal(mms_mailbox_entries(mailbox()), 0);
	end();
}

/* A query buffer that is too small, or a device on the way that does not like some bytes: whatever is sent with them, the connection
 * ends without a word. */
static void one_that_ends_connections_does_not_hold_up_the_others(void **state)
{
	const unsigned count = 400;
	struct sample sample;
	struct fake *fake;
	unsigned closed, losses;
	char id[16];

	(void) state;
	rig_fresh();
	fake = fake_start(1);
	desk = desk_open(host_with_fake(2, 1, fake));
	desk_greet_all(desk);
	closed = fake_rule(fake, (struct fake_rule){ .verb = "*", .holds = "poison", .act = FAKE_CLOSE, .times = -1 });
	for (unsigned number = 0; number < count; number++) {
		(void) snprintf(id, sizeof(id), "s%u", number);
		sample_aged(&sample, id, 0, number % 150 == 100 ? "poison" : "data");
		push(&sample, id, bit(0));
	}
	desk_await(desk, run() && (mms_link_ready(desk_link(desk, 1)) || (mms_tending_run(desk_link(desk, 1)), true))
			&& desk_link(desk, 1)->ack_position == mms_mailbox_head(mailbox()));
	losses = fake_hits(fake, closed);
	assert_in_range(losses, 2 * 3, 2 * 12);
	assert_int_equal(hints(1), 2);
	for (unsigned number = 0; number < count; number++) {
		(void) snprintf(id, sizeof(id), "s%u", number);
		assert_true(number % 150 == 100 || node_has(1, id, "data", NULL));
	}
	assert_true(mms_breaker_allows_write(desk_breaker(desk, 1)));
	end();
	fake_free(fake);
}

static void the_local_node_is_left_to_a_producer_that_is_alive(void **state)
{
	struct mms_ticket ticket;
	struct sample sample;

	(void) state;
	begin(2);
	desk->host->cluster->settings.budget_ms = 60000;
	sample_aged(&sample, "s", 0, "data");
	ticket = push_kind(MMS_PARCEL_PUT, &sample, "s", 0, false);
	desk_await(desk, run() && node_has(1, "s", "data", NULL));
	assert_int_equal(node_number(0, "EXISTS", RIG_PREFIX "s"), 0);
	assert_false(is_empty());
	mms_mailbox_settle(mailbox(), &ticket, bit(0)); /* he says that the local node has it */
	desk_await(desk, run() && is_empty());
	assert_int_equal(node_number(0, "EXISTS", RIG_PREFIX "s"), 0);
	ticket = push_kind(MMS_PARCEL_PUT, &sample, "s", 0, false);
	mms_mailbox_settle(mailbox(), &ticket, bit(1)); /* it went to the peer instead */
	desk_await(desk, run() && node_has(0, "s", "data", NULL));
	end();
}

static void a_producer_that_is_late_is_not_waited_for(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	desk->host->cluster->settings.budget_ms = 20;
	sample_aged(&sample, "s", 0, "data");
	push_kind(MMS_PARCEL_PUT, &sample, "s", 0, false);
	desk_await(desk, run() && is_empty());
	assert_true(node_has(0, "s", "data", NULL) && node_has(1, "s", "data", NULL));
	end();
}

/* In a damaged mapping, an entry may be of a time to come. */
static void a_producer_of_a_time_to_come_is_not_waited_for(void **state)
{
	struct mms_mono tomorrow = mms_clock_mono();
	struct mms_parcel parcel;
	struct sample sample;

	(void) state;
	begin(2);
	tomorrow.us += INT64_C(86400000000);
	sample_aged(&sample, "s", 0, "data");
	parcel = (struct mms_parcel){ .kind = MMS_PARCEL_PUT, .key = key_of("s"), .header = sample.bytes, .ttl_ms = RIG_TTL_MS,
		.payload = { (const char *) sample.bytes + MMS_RECORD_HEADER_SIZE, sample.len - MMS_RECORD_HEADER_SIZE } };
	assert_true(mms_mailbox_push(mailbox(), &parcel, tomorrow, NULL));
	desk_await(desk, run() && is_empty());
	assert_true(node_has(0, "s", "data", NULL) && node_has(1, "s", "data", NULL));
	end();
}

static void a_tombstone_is_the_producers_affair_on_all_nodes(void **state)
{
	struct mms_ticket ticket;
	struct sample sample;
	unsigned tries = 0;
	int64_t began;
	bool late;

	(void) state;
	begin(2);
	desk->host->cluster->settings.budget_ms = 60000;
	sample_tombstone(&sample, "s", 0);
	do { /* again, where the machine stood still for longer than it is left to him */
		node_do(1, "DEL", RIG_PREFIX "s");
		began = now_us();
		ticket = push_kind(MMS_PARCEL_PUT, &sample, "s", 0, false);
		assert_true(run());
		late = now_us() - began >= 20000;
		desk_turn(desk);
		mms_mailbox_settle(mailbox(), &ticket, bit(0) | bit(1)); /* he says that it has it */
		desk_await(desk, run() && is_empty());
	} while (late && tries++ < 20);
	assert_int_equal(node_number(1, "EXISTS", RIG_PREFIX "s"), 0);
	end();
}

/* A far node keeps him, or he was stopped: what others wrote behind it goes out. */
static void what_stands_behind_a_tombstone_does_not_wait_for_its_producer(void **state)
{
	struct sample gone, sample;
	int64_t began;

	(void) state;
	begin(2);
	desk->host->cluster->settings.budget_ms = 60000;
	sample_tombstone(&gone, "gone", 0);
	sample_aged(&sample, "s", 0, "data");
	(void) push_kind(MMS_PARCEL_PUT, &gone, "gone", 0, false);
	(void) push_kind(MMS_PARCEL_PUT, &sample, "s", bit(0), true);
	began = now_us();
	desk_await(desk, run() && node_has(1, "s", "data", NULL));
	assert_true(now_us() - began < 5000000); /* 20 ms, and a slow machine */
	assert_true(node_has(1, "gone", NULL, NULL));
	assert_false(is_empty()); /* the local node is his affair for as long as he may take */
	end();
}

static void a_touch_is_mirrored_and_where_the_record_is_lacking_a_hint(void **state)
{
	struct sample sample;

	(void) state;
	begin(3);
	sample_aged(&sample, "s", 5000, "data");
	node_put(1, "s", &sample);
	node_do(1, "PEXPIRE", RIG_PREFIX "s", "10000");
	push_kind(MMS_PARCEL_TOUCH, &sample, "s", bit(0), true);
	desk_await(desk, run() && is_empty());
	assert_in_range(node_number(1, "PTTL", RIG_PREFIX "s"), RIG_TTL_MS / 2, RIG_TTL_MS);
	assert_int_equal(hints(1), 0);
	assert_int_equal(hints(2), 1);
	end();
}

static void what_an_open_node_misses_is_a_hint_once_its_marker_stands(void **state)
{
	struct sample sample;
	struct mms_hint hint;

	(void) state;
	begin(2);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	mms_link_drop(desk_link(desk, 1)); /* while it stands, mirrors go out all the same */
	sample_aged(&sample, "s", 0, "data");
	push(&sample, "s", bit(0));
	assert_true(mms_mirror_run(&desk->office)); /* nobody has asked for the marker yet */
	assert_int_equal(hints(1), 0);
	assert_false(is_empty());
	desk_await(desk, run() && is_empty());
	assert_int_equal(hints(1), 1);
	assert_true(hint_of(desk->host, 1, &hint));
	assert_memory_equal(hint.header, sample.bytes, MMS_RECORD_HEADER_SIZE);
	assert_int_equal(host_metric(desk->host, MMS_METRIC_hints_made), 1);
	end();
}

static void note_nothing(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	(void)link, (void)context, (void)token, (void)replies;
}

/* Far away and full: something that is asked of it is always under way. */
static void a_node_that_refuses_writes_misses_by_hints_also_while_it_is_asked_for_other_things(void **state)
{
	struct mms_command command;
	struct sample sample;

	(void) state;
	begin(2);
	host_open_breaker(desk->host, 1, MMS_FAULT_WRITE_ONLY);
	desk_await(desk, run() && mms_marker_stands(desk_link(desk, 1)));
	sample_aged(&sample, "s", 0, "data");
	push(&sample, "s", bit(0));
	node_stop(1);
	mms_command_init(&command);
	mms_command_ping(&command);
	assert_true(mms_link_request(desk_link(desk, 1), &command, note_nothing, NULL, 0));
	desk_await(desk, run() && hints(1) == 1);
	assert_int_equal(desk_link(desk, 1)->state, MMS_LINK_READY);
	assert_true(desk_link(desk, 1)->request_count > 0);
	node_continue(1);
	end();
}

/* Node 1 is down, and what node 0 had acknowledged was flushed: with the hint made, the ring has the only copy. */
static void what_became_a_hint_stays_until_its_holder_is_seen_to_be_the_same(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	mms_link_drop(desk_link(desk, 1));
	sample_aged(&sample, "s", 0, "data");
	node_put(0, "s", &sample);
	push(&sample, "s", bit(0));
	node_do(0, "FLUSHALL");
	desk_await(desk, run() && is_empty());
	assert_true(node_has(0, "s", "data", NULL));
	assert_int_equal(hints(1), 1);
	end();
}

/* Node 0 has shown that it is the same, and is flushed while the word of node 2 is waited for, which never comes. */
static void what_became_a_hint_stays_until_holders_are_seen_again_after_a_wait_in_vain(void **state)
{
	struct sample sample;

	(void) state;
	begin(3);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	mms_link_drop(desk_link(desk, 1));
	sample_aged(&sample, "s", 0, "data");
	node_put(0, "s", &sample);
	push(&sample, "s", bit(0) | bit(2));
	assert_true(mms_mirror_run(&desk->office)); /* wants the behind marker */
	desk_await(desk, (mms_marker_run(&desk->office), mms_marker_stands(desk_link(desk, 1))));
	node_stop(2);
	desk_await(desk, run() && desk->office.hinted_asked.any
			&& desk_link(desk, 0)->marker_seen.us >= desk->office.markers_wanted.us);
	assert_false(is_empty());
	node_do(0, "FLUSHALL");
	host_open_breaker(desk->host, 2, MMS_FAULT_HARD);
	mms_link_drop(desk_link(desk, 2));
	desk_await(desk, run() && node_number(0, "EXISTS", RIG_PREFIX "s") == 1);
	assert_true(node_has(0, "s", "data", NULL));
	node_continue(2);
	end();
}

static void what_became_a_hint_stays_while_no_holder_can_be_reached(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	mms_link_drop(desk_link(desk, 1));
	sample_aged(&sample, "s", 0, "data");
	push(&sample, "s", bit(0));
	host_open_breaker(desk->host, 0, MMS_FAULT_HARD);
	mms_link_drop(desk_link(desk, 0));
	desk_await(desk, run() && hints(1) == 1);
	for (int round = 0; round < 20; round++) {
		assert_true(run());
		desk_turn(desk);
		assert_false(is_empty());
	}
	sample_aged(&sample, "more", 0, "more of it");
	while (used() <= RIG_MAILBOX / 2) {
		push(&sample, "more", bit(0));
	}
	desk_await(desk, run() && used() <= RIG_MAILBOX / 2); /* no room for it any more */
	end();
}

/* One entry is on the node that is away, another nowhere: no node has both, and still the first has a holder. */
static void what_became_a_hint_stays_beside_one_that_nobody_has(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	mms_link_drop(desk_link(desk, 1));
	host_open_breaker(desk->host, 0, MMS_FAULT_HARD);
	mms_link_drop(desk_link(desk, 0));
	sample_aged(&sample, "s", 0, "data");
	push(&sample, "s", bit(0));
	sample_aged(&sample, "failed", 0, "data");
	push(&sample, "failed", 0);
	desk_await(desk, run() && hints(0) == 1 && hints(1) == 2);
	for (int round = 0; round < 50; round++) {
		assert_true(run());
		desk_turn(desk);
		assert_false(is_empty());
	}
	end();
}

/* Node 0 had taken it, was emptied and takes no writes; node 1 is down. A hint would find no copy. */
static void what_somebody_took_and_nobody_has_any_more_becomes_no_hint(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	mms_link_drop(desk_link(desk, 1));
	host_open_breaker(desk->host, 0, MMS_FAULT_WRITE_ONLY);
	sample_aged(&sample, "s", 0, "data");
	push(&sample, "s", bit(0));
	desk_link(desk, 0)->distrust_until = mms_mailbox_head(mailbox());
	for (int round = 0; round < 50; round++) {
		assert_true(run());
		desk_turn(desk);
		assert_int_equal(hints(0) + hints(1), 0);
		assert_false(is_empty());
	}
	sample_aged(&sample, "more", 0, "more of it");
	while (used() <= RIG_MAILBOX / 2) {
		push(&sample, "more", bit(0));
	}
	desk_await(desk, run() && hints(1) == 2); /* no room for it any more */
	end();
}

/* As above, but that node 0 takes no writes is found out by this very entry. */
static void what_nobody_has_any_more_and_is_refused_stays(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	mms_link_drop(desk_link(desk, 1));
	node_do(0, "CONFIG", "SET", "maxmemory", "1");
	sample_aged(&sample, "s", 0, "data");
	push(&sample, "s", bit(0));
	desk_link(desk, 0)->distrust_until = mms_mailbox_head(mailbox());
	desk_await(desk, mms_mirror_run(&desk->office) && !mms_breaker_allows_write(desk_breaker(desk, 0)));
	for (int round = 0; round < 20; round++) {
		assert_true(run());
		desk_turn(desk);
		assert_int_equal(hints(0), 0);
		assert_false(is_empty());
	}
	end();
}

/* Node 1 is back, and has not been given yet what the hint says that it misses: it is no holder. */
static void who_is_back_and_misses_it_by_a_hint_does_not_have_it(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	mms_link_drop(desk_link(desk, 1));
	sample_aged(&sample, "s", 0, "data");
	push(&sample, "s", bit(0));
	desk_await(desk, run() && hints(1) == 1);
	assert_false(is_empty());
	desk_link(desk, 0)->ack_position = desk_link(desk, 0)->send_position = mms_mailbox_tail(mailbox());
	desk_link(desk, 0)->distrust_until = mms_mailbox_head(mailbox());
	host_open_breaker(desk->host, 0, MMS_FAULT_WRITE_ONLY);
	for (int probe = 0; probe < 2; probe++) {
		mms_breaker_probe_begin(desk_breaker(desk, 1));
		(void) mms_breaker_probe_result(desk_breaker(desk, 1), true, mms_clock_mono(), 1);
	}
	assert_true(mms_breaker_allows_write(desk_breaker(desk, 1)));
	for (int round = 0; round < 20; round++) {
		assert_true(run());
		desk_turn(desk);
		assert_int_equal(hints(0), 0);
		assert_false(is_empty());
	}
	end();
}

static void what_somebody_took_and_nobody_has_any_more_goes_to_who_takes_it(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	mms_link_drop(desk_link(desk, 1));
	sample_aged(&sample, "s", 0, "data");
	push(&sample, "s", bit(0));
	desk_link(desk, 0)->distrust_until = mms_mailbox_head(mailbox());
	desk_await(desk, run() && is_empty());
	assert_true(node_has(0, "s", "data", NULL));
	assert_int_equal(hints(0), 0);
	assert_int_equal(hints(1), 1);
	end();
}

static void a_newer_record_on_the_node_counts_as_acknowledged(void **state)
{
	struct sample older, newer;

	(void) state;
	begin(2);
	sample_aged(&older, "s", 5000, "older");
	sample_aged(&newer, "s", 0, "newer");
	node_put(1, "s", &newer);
	push(&older, "s", bit(0));
	desk_await(desk, run() && is_empty());
	assert_true(node_holds(1, "s", &newer));
	assert_int_equal(hints(1), 0);
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].acked_count), 1);
	end();
}

/* One copy on each of the two, and what has read the one of them. */
static void a_copy_that_is_replaced_unread_is_counted_once_for_each_node(void **state)
{
	struct sample first, unread, newer;

	(void) state;
	begin(3);
	sample_aged(&first, "s", 9000, "first");
	sample_aged(&unread, "s", 5000, "unread");
	sample_aged(&newer, "s", 0, "newer");
	newer.header.base_hlc = first.header.version.hlc;
	newer.header.base_writer = first.header.version.writer;
	newer.header.base_sequence = first.header.version.sequence;
	mms_record_encode(&newer.header, key_of("s"), newer.bytes);
	node_put(0, "s", &first);
	node_put(1, "s", &unread);
	node_put(2, "s", &unread);
	push(&newer, "s", 0);
	desk_await(desk, run() && is_empty());
	assert_true(node_holds(0, "s", &newer) && node_holds(1, "s", &newer) && node_holds(2, "s", &newer));
	assert_int_equal(host_metric(desk->host, MMS_METRIC_discards), 2);
	push(&newer, "s", 0);
	push(&unread, "s", 0);
	desk_await(desk, run() && is_empty());
	assert_int_equal(host_metric(desk->host, MMS_METRIC_discards), 2);
	end();
}

/* As if the connection stood for a while. */
static void trust_first_versions(unsigned node)
{
	desk_link(desk, node)->compare_until.us = 0;
}

static void a_first_version_goes_out_in_one_command(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	node_forget_calls(1);
	sample_aged(&sample, "s", 0, "data");
	push(&sample, "s", bit(0));
	desk_await(desk, run() && is_empty());
	assert_int_equal(node_calls(1, "evalsha"), 1); /* connected a moment ago */
	trust_first_versions(1);
	sample_aged(&sample, "t", 0, "data");
	push(&sample, "t", bit(0));
	desk_await(desk, run() && is_empty());
	assert_int_equal(node_calls(1, "evalsha"), 1);
	assert_int_equal(node_calls(1, "set"), 2);
	assert_true(node_has(1, "t", "data", NULL));
	assert_in_range(node_number(1, "PTTL", RIG_PREFIX "t"), RIG_TTL_MS - 5000, RIG_TTL_MS);
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].acked_count), 2);
	end();
}

static void a_first_version_that_meets_something_is_compared_as_are_all_behind_it(void **state)
{
	struct sample older, newer, other;

	(void) state;
	begin(2);
	sample_aged(&older, "s", 5000, "older");
	sample_aged(&newer, "t", 0, "newer");
	node_put(1, "s", &older);
	node_put(1, "t", &newer);
	trust_first_versions(1);
	sample_aged(&other, "r", 0, "other");
	push(&other, "r", bit(0));
	sample_aged(&newer, "s", 0, "newer");
	push(&newer, "s", bit(0));
	sample_aged(&older, "t", 5000, "older");
	push(&older, "t", bit(0));
	sample_aged(&other, "u", 0, "other");
	push(&other, "u", bit(0));
	assert_true(run());
	assert_int_equal(desk_link(desk, 1)->mirrors_in_flight, 4);
	desk_await(desk, run() && is_empty());
	assert_true(node_has(1, "r", "other", NULL) && node_has(1, "s", "newer", NULL));
	assert_true(node_has(1, "t", "newer", NULL) && node_has(1, "u", "other", NULL));
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].acked_count), 4);
	assert_int_equal(hints(1), 0);
	assert_false(desk_link(desk, 1)->going_back);
	assert_true(desk_link(desk, 1)->compare_until.us > desk->office.now.us); /* the next ones too */
	end();
}

/* Where a window takes longer than the while for which all are compared. */
static bool run_slowly(void)
{
	trust_first_versions(1);
	return run();
}

static void on_a_slow_line_it_goes_back_once(void **state)
{
	struct sample sample;
	char id[] = "t0";

	(void) state;
	begin(2);
	node_forget_calls(1);
	sample_aged(&sample, "s", 0, "same");
	node_put(1, "s", &sample);
	desk_link(desk, 1)->compare_to = 0;
	push(&sample, "s", bit(0));
	for (; id[1] < '4'; id[1]++) {
		sample_aged(&sample, id, 0, "other");
		push(&sample, id, bit(0));
	}
	desk_await(desk, run_slowly() && is_empty());
	assert_int_equal(node_calls(1, "evalsha"), 5);
	assert_true(node_has(1, "t0", "other", NULL) && node_has(1, "t3", "other", NULL));
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].acked_count), 5);
	sample_aged(&sample, "u", 0, "other");
	push(&sample, "u", bit(0));
	desk_await(desk, run_slowly() && is_empty());
	assert_int_equal(node_calls(1, "evalsha"), 5); /* what came later is taken for new again */
	end();
}

static void a_connection_lost_while_going_back_loses_nothing(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	sample_aged(&sample, "s", 5000, "older");
	node_put(1, "s", &sample);
	trust_first_versions(1);
	sample_aged(&sample, "s", 0, "newer");
	push(&sample, "s", bit(0));
	sample_aged(&sample, "t", 0, "other");
	push(&sample, "t", bit(0));
	assert_true(run());
	desk_link(desk, 1)->going_back = true; /* the first of them was answered with nil, the others not yet */
	mms_link_drop(desk_link(desk, 1));
	mms_link_connect(desk_link(desk, 1));
	mms_greeting_ask(desk_link(desk, 1));
	desk_await(desk, run() && is_empty());
	assert_true(node_has(1, "s", "newer", NULL) && node_has(1, "t", "other", NULL));
	end();
}

static void a_foreign_key_is_settled_and_counted(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	node_put_bytes(1, "s", "somebody's", 10);
	sample_aged(&sample, "s", 0, "data");
	push(&sample, "s", bit(0));
	desk_await(desk, run() && is_empty());
	assert_int_equal(node_number(1, "STRLEN", RIG_PREFIX "s"), 10);
	assert_int_equal(host_metric(desk->host, MMS_METRIC_foreign_keys), 1);
	assert_int_equal(hints(1), 0);
	assert_true(mms_link_ready(desk_link(desk, 1)));
	end();
}

static void a_full_server_gets_a_hint_and_its_write_side_opens(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	node_do(1, "CONFIG", "SET", "maxmemory", "1");
	sample_aged(&sample, "s", 0, "data");
	push(&sample, "s", bit(0));
	desk_await(desk, run() && is_empty());
	assert_int_equal(hints(1), 1);
	assert_false(mms_breaker_allows_write(desk_breaker(desk, 1)));
	assert_true(mms_breaker_allows_read(desk_breaker(desk, 1)));
	end();
}

static void flushed_scripts_cost_a_connection_and_no_write(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	node_do(1, "SCRIPT", "FLUSH");
	sample_aged(&sample, "s", 0, "data");
	push(&sample, "s", bit(0));
	desk_await(desk, run() && desk_link(desk, 1)->state == MMS_LINK_DOWN);
	assert_true(mms_breaker_allows_write(desk_breaker(desk, 1)));
	assert_int_equal(host_metric(desk->host, MMS_METRIC_noscripts), 1);
	mms_link_connect(desk_link(desk, 1));
	mms_greeting_ask(desk_link(desk, 1));
	desk_await(desk, run() && is_empty());
	assert_true(hints(1) == 1 || node_has(1, "s", "data", NULL));
	end();
}

static void what_was_not_acknowledged_is_sent_again_on_a_new_connection(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	sample_aged(&sample, "s", 0, "data");
	node_stop(1);
	push(&sample, "s", bit(0));
	assert_true(run());
	desk_turn(desk);
	assert_true(desk_link(desk, 1)->send_position != desk_link(desk, 1)->ack_position);
	mms_link_drop(desk_link(desk, 1));
	assert_true(desk_link(desk, 1)->send_position == desk_link(desk, 1)->ack_position);
	assert_int_equal(desk_link(desk, 1)->mirrors_in_flight, 0);
	assert_true(run());
	assert_false(is_empty());
	node_continue(1);
	mms_link_connect(desk_link(desk, 1));
	mms_greeting_ask(desk_link(desk, 1));
	desk_await(desk, run() && is_empty());
	assert_true(node_has(1, "s", "data", NULL));
	end();
}

static void a_slow_node_holds_up_the_tail_and_nobody_else(void **state)
{
	struct sample sample;

	(void) state;
	begin(3);
	node_stop(1);
	sample_aged(&sample, "s", 0, "data");
	push(&sample, "s", bit(0));
	desk_await(desk, run() && node_has(2, "s", "data", NULL));
	assert_false(is_empty());
	nap_us(1000);
	desk_turn(desk);
	assert_true(run());
	assert_true(atomic_load(&desk->host->cluster->nodes[1].lag_us) > 0);
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[2].lag_us), 0);
	node_continue(1);
	desk_await(desk, run() && is_empty());
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].lag_us), 0);
	end();
}

static void who_was_succeeded_sends_nothing_and_moves_nothing(void **state)
{
	struct sample sample;
	uint64_t tail;

	(void) state;
	begin(2);
	node_forget_calls(1);
	sample_aged(&sample, "s", 0, "data");
	push(&sample, "s", bit(0));
	tail = mms_mailbox_tail(mailbox());
	mms_mailbox_take_over(mailbox());
	assert_false(run());
	mms_link_drop(desk_link(desk, 0)); /* as it leaves: unsent */
	mms_link_drop(desk_link(desk, 1));
	assert_int_equal(node_calls(1, "set"), 0);
	assert_true(mms_mailbox_tail(mailbox()) == tail);
	end();
}

static void what_is_dead_everywhere_is_not_sent(void **state)
{
	struct mms_parcel parcel = { .kind = MMS_PARCEL_PUT, .ttl_ms = 1, .have_mask = 1, .settled = true };
	struct sample sample;

	(void) state;
	begin(2);
	node_forget_calls(1);
	sample_aged(&sample, "s", 0, "");
	parcel.key = key_of("s");
	parcel.header = sample.bytes;
	assert_true(mms_mailbox_push(mailbox(), &parcel, (struct mms_mono){ now_us() - 1000000 }, NULL));
	desk_await(desk, run() && is_empty());
	assert_int_equal(node_calls(1, "set"), 0);
	end();
}

static void a_damaged_ring_is_skipped_and_all_nodes_are_behind(void **state)
{
	struct mms_mailbox_item item;
	struct sample sample;

	(void) state;
	begin(2);
	sample_aged(&sample, "s", 0, "data");
	push(&sample, "s", bit(0));
	assert_int_equal(mms_mailbox_peek(mailbox(), mms_mailbox_tail(mailbox()), &item), 1);
	memset((char *) (uintptr_t) item.key.ptr - 64, 0xff, 64);
	desk_await(desk, run() && is_empty());
	assert_true(mms_hints_overflowed(&desk->host->cluster->hints, 0));
	assert_true(mms_hints_overflowed(&desk->host->cluster->hints, 1));
	sample_aged(&sample, "t", 0, "data");
	push(&sample, "t", bit(0));
	desk_await(desk, run() && is_empty());
	assert_true(node_has(1, "t", "data", NULL));
	end();
}

static void last_words_are_said_when_all_have_answered_or_can_not_be_reached(void **state)
{
	struct sample sample;

	(void) state;
	begin(3);
	sample_aged(&sample, "s", 0, "data");
	push(&sample, "s", bit(0));
	desk->office.last_words = true;
	assert_false(mms_mirror_all_heard(&desk->office));
	node_kill(2);
	desk_await(desk, run() && desk_link(desk, 2)->state == MMS_LINK_DOWN && node_has(1, "s", "data", NULL));
	desk_await(desk, run() && desk_link(desk, 1)->ack_position == mms_mailbox_head(mailbox()));
	assert_false(mms_mirror_all_heard(&desk->office));
	desk_link(desk, 2)->spoken = true;
	assert_true(mms_mirror_all_heard(&desk->office));
	assert_int_equal(hints(2), 0);
	end();
}

/* Whoever can write to the mapping must not get keys of others written by this host. */
static void an_entry_outside_the_prefix_goes_nowhere(void **state)
{
	static const char *const keys[] = { "other:s", RIG_PREFIX ":node2", RIG_PREFIX, RIG_PREFIX "a b" };
	struct mms_record_header header = { .version = { .hlc = stamp_ago(0), .writer = 7, .sequence = 1 }, .lifetime_s = 9 };
	struct sample sample;

	(void) state;
	begin(2);
	for (size_t index = 0; index < sizeof(keys) / sizeof(keys[0]); index++) {
		struct mms_parcel parcel = { .kind = MMS_PARCEL_PUT, .key = slice(keys[index]), .header = sample.bytes,
			.ttl_ms = RIG_TTL_MS, .settled = true };

		mms_record_describe(&header, parcel.payload);
		mms_record_encode(&header, parcel.key, sample.bytes);
		assert_true(mms_mailbox_push(mailbox(), &parcel, mms_clock_mono(), NULL));
	}
	sample_aged(&sample, "s", 0, "mine");
	push_kind(MMS_PARCEL_PUT, &sample, "s", 0, true);
	desk_await(desk, run() && is_empty() && node_has(0, "s", "mine", NULL) && node_has(1, "s", "mine", NULL));
	for (size_t index = 0; index < sizeof(keys) / sizeof(keys[0]); index++) {
		assert_int_equal(node_number(0, "EXISTS", keys[index]), 0);
		assert_int_equal(node_number(1, "EXISTS", keys[index]), 0);
	}
	assert_int_equal(hints(0) + hints(1), 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_outside_the_prefix_goes_nowhere),
		cmocka_unit_test(every_node_is_sent_what_it_lacks_and_no_more),
		cmocka_unit_test(more_than_a_window_arrives_in_order),
		cmocka_unit_test(one_that_ends_connections_does_not_hold_up_the_others),
		cmocka_unit_test(the_local_node_is_left_to_a_producer_that_is_alive),
		cmocka_unit_test(a_producer_that_is_late_is_not_waited_for),
		cmocka_unit_test(a_producer_of_a_time_to_come_is_not_waited_for),
		cmocka_unit_test(a_tombstone_is_the_producers_affair_on_all_nodes),
		cmocka_unit_test(what_stands_behind_a_tombstone_does_not_wait_for_its_producer),
		cmocka_unit_test(a_touch_is_mirrored_and_where_the_record_is_lacking_a_hint),
		cmocka_unit_test(what_an_open_node_misses_is_a_hint_once_its_marker_stands),
		cmocka_unit_test(a_node_that_refuses_writes_misses_by_hints_also_while_it_is_asked_for_other_things),
		cmocka_unit_test(what_became_a_hint_stays_until_its_holder_is_seen_to_be_the_same),
		cmocka_unit_test(what_became_a_hint_stays_until_holders_are_seen_again_after_a_wait_in_vain),
		cmocka_unit_test(what_became_a_hint_stays_while_no_holder_can_be_reached),
		cmocka_unit_test(what_became_a_hint_stays_beside_one_that_nobody_has),
		cmocka_unit_test(what_somebody_took_and_nobody_has_any_more_becomes_no_hint),
		cmocka_unit_test(what_nobody_has_any_more_and_is_refused_stays),
		cmocka_unit_test(who_is_back_and_misses_it_by_a_hint_does_not_have_it),
		cmocka_unit_test(what_somebody_took_and_nobody_has_any_more_goes_to_who_takes_it),
		cmocka_unit_test(a_newer_record_on_the_node_counts_as_acknowledged),
		cmocka_unit_test(a_copy_that_is_replaced_unread_is_counted_once_for_each_node),
		cmocka_unit_test(a_first_version_goes_out_in_one_command),
		cmocka_unit_test(a_first_version_that_meets_something_is_compared_as_are_all_behind_it),
		cmocka_unit_test(on_a_slow_line_it_goes_back_once),
		cmocka_unit_test(a_connection_lost_while_going_back_loses_nothing),
		cmocka_unit_test(a_foreign_key_is_settled_and_counted),
		cmocka_unit_test(a_full_server_gets_a_hint_and_its_write_side_opens),
		cmocka_unit_test(flushed_scripts_cost_a_connection_and_no_write),
		cmocka_unit_test(what_was_not_acknowledged_is_sent_again_on_a_new_connection),
		cmocka_unit_test(a_slow_node_holds_up_the_tail_and_nobody_else),
		cmocka_unit_test(who_was_succeeded_sends_nothing_and_moves_nothing),
		cmocka_unit_test(what_is_dead_everywhere_is_not_sent),
		cmocka_unit_test(a_damaged_ring_is_skipped_and_all_nodes_are_behind),
		cmocka_unit_test(last_words_are_said_when_all_have_answered_or_can_not_be_reached),
	};

	return rig_run(tests);
}
