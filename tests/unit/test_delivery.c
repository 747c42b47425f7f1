/* Hints on their way: from whichever node has the newest copy, or from the hint itself, to the node that missed it. */
#include "greeted.h"
#include "large.h"

#include "mms_delivery.h"
#include "mms_reconcile.h"

static struct desk *desk;
static struct mms_reconciler *reconciler;
static struct mms_delivery *delivery;

static void greet(unsigned node)
{
	desk_greet(desk, node);
	desk_quiet(desk);
}

static void begin_with(struct host *host)
{
	desk = desk_open(host);
	reconciler = mms_reconciler_new(&desk->office);
	delivery = mms_delivery_new(&desk->office, reconciler);
	assert_non_null(delivery);
	for (unsigned node = 0; node < desk->office.node_count; node++) {
		greet(node);
	}
}

static void begin(unsigned nodes)
{
	rig_fresh();
	begin_with(host_new(nodes, "web1"));
}

static void end(void)
{
	for (unsigned node = 0; node < desk->office.node_count; node++) {
		mms_link_drop(desk_link(desk, node));
	}
	mms_delivery_free(delivery);
	mms_reconciler_free(reconciler);
	desk_close(desk);
}

static void hint_until(unsigned node, const char *id, const struct sample *sample, int64_t deadline_us)
{
	assert_true(mms_hints_add(&desk->host->cluster->hints, key_of(id), sample->bytes, bit(node),
			(struct mms_mono){ now_us() + deadline_us }, mms_clock_mono()));
}

static void hint(unsigned node, const char *id, const struct sample *sample)
{
	hint_until(node, id, sample, 600000000);
}

static uint32_t hints(unsigned node)
{
	return mms_hints_count(&desk->host->cluster->hints, node);
}

/* Nothing is left on the way from before its nodes were met. */
static void stand_long(void)
{
	for (unsigned node = 0; node < desk->office.node_count; node++) {
		desk_link(desk, node)->ready_since.us -= 2000000;
	}
}

/* One round through the hints, until all that it asked for is answered. */
static void deliver(void)
{
	for (unsigned node = 0; node < desk->office.node_count; node++) {
		desk_link(desk, node)->hint_round_at.us = 0;
		desk_link(desk, node)->hint_cursor = 0;
	}
	desk_turn(desk);
	for (int round = 0; round < 64; round++) { /* the table is walked in pieces */
		mms_delivery_run(delivery);
	}
	desk_await(desk, mms_reconcile_room(reconciler) == MMS_RECONCILE_JOBS);
}

static void it_comes_from_the_node_that_has_it(void **state)
{
	struct sample sample;

	(void) state;
	begin(3);
	sample_aged(&sample, "s", 0, "data");
	node_put(2, "s", &sample);
	hint(1, "s", &sample);
	hint(0, "s", &sample);
	deliver();
	assert_int_equal(hints(0) + hints(1), 0);
	assert_true(node_holds(0, "s", &sample) && node_holds(1, "s", &sample));
	assert_in_range(node_number(1, "PTTL", RIG_PREFIX "s"), RIG_TTL_MS / 2, RIG_TTL_MS);
	assert_int_equal(host_metric(desk->host, MMS_METRIC_hints_delivered), 2);
	end();
}

/* By a process whose own max_session_size is smaller. */
static void a_large_one_is_delivered_as_any_other(void **state)
{
	struct sample sample;
	struct large large;

	(void) state;
	begin(3);
	large = large_aged("large", 0, 6u << 20);
	sample_aged(&sample, "s", 0, "data");
	node_put_large(2, "large", &large);
	node_put(2, "s", &sample);
	assert_true(mms_hints_add(&desk->host->cluster->hints, key_of("large"), large.bytes, bit(0) | bit(1),
			(struct mms_mono){ now_us() + 600000000 }, mms_clock_mono()));
	hint(1, "s", &sample);
	deliver();
	assert_int_equal(hints(0) + hints(1), 0);
	assert_true(node_holds_large(0, "large", &large) && node_holds_large(1, "large", &large));
	assert_true(node_holds(1, "s", &sample));
	assert_true(nodes_are_in_order(desk->host));
	large_free(&large);
	end();
}

static void the_newest_copy_is_delivered_even_if_it_is_newer_than_the_hint(void **state)
{
	struct sample wanted, newer;

	(void) state;
	begin(3);
	sample_aged(&wanted, "s", 5000, "wanted");
	sample_aged(&newer, "s", 0, "newer");
	node_put(0, "s", &wanted);
	node_put(2, "s", &newer);
	hint(1, "s", &wanted);
	deliver();
	assert_int_equal(hints(1), 0);
	assert_true(node_holds(1, "s", &newer));
	assert_true(node_holds(0, "s", &wanted)); /* that one was not asked for */
	end();
}

/* After a cut: what the other side did to the session is gone, on every node that had it. */
static void what_it_replaces_unread_is_counted(void **state)
{
	struct sample other, newer;

	(void) state;
	begin(2);
	sample_aged(&other, "s", 5000, "of the other side");
	sample_aged(&newer, "s", 0, "newer");
	node_put(0, "s", &newer);
	node_put(1, "s", &other);
	hint(1, "s", &newer);
	deliver();
	assert_true(node_holds(1, "s", &newer));
	assert_int_equal(host_metric(desk->host, MMS_METRIC_discards), 1);
	end();
}

static void what_the_node_has_by_now_is_settled(void **state)
{
	struct sample wanted, newer;

	(void) state;
	begin(2);
	sample_aged(&wanted, "s", 5000, "wanted");
	sample_aged(&newer, "s", 0, "newer");
	node_put(1, "s", &newer);
	node_forget_calls(1);
	hint(1, "s", &wanted);
	deliver();
	assert_int_equal(hints(1), 0);
	assert_int_equal(node_calls(1, "set"), 0);
	assert_int_equal(host_metric(desk->host, MMS_METRIC_hints_delivered), 0);
	end();
}

static void a_tombstone_comes_from_the_hint_itself(void **state)
{
	struct sample record, tombstone;

	(void) state;
	begin(2);
	sample_aged(&record, "s", 5000, "logged in");
	sample_tombstone(&tombstone, "s", 0);
	node_put(1, "s", &record);
	hint(1, "s", &tombstone);
	deliver();
	assert_int_equal(hints(1), 0);
	assert_true(node_holds(1, "s", &tombstone));
	assert_in_range(node_number(1, "PTTL", RIG_PREFIX "s"), 500000, INT64_C(5000000));
	end();
}

/* The node that acknowledged it was emptied since, and has been filled from one that did not have it yet. */
static void a_tombstone_is_delivered_to_whoever_lacks_it(void **state)
{
	struct sample record, tombstone;

	(void) state;
	begin(3);
	sample_aged(&record, "s", 5000, "logged in");
	sample_tombstone(&tombstone, "s", 0);
	node_put(0, "s", &record);
	node_put(1, "s", &record);
	node_put(2, "s", &tombstone);
	hint(1, "s", &tombstone);
	deliver();
	assert_true(node_holds(1, "s", &tombstone));
	assert_int_equal(hints(0), 1);
	assert_int_equal(hints(1) + hints(2), 0);
	deliver();
	assert_true(node_holds(0, "s", &tombstone));
	assert_int_equal(hints(0) + hints(1) + hints(2), 0);
	end();
}

static void what_nobody_has_is_forgotten(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	sample_aged(&sample, "s", 5000, "gone");
	hint(1, "s", &sample);
	stand_long();
	deliver();
	assert_int_equal(hints(1), 0);
	assert_int_equal(node_number(1, "EXISTS", RIG_PREFIX "s"), 0);
	end();
}

/* Live and newer than any tombstone of the first incarnation: what a request stores that found one. */
static void sample_of_next_life(struct sample *sample, const char *id, const struct sample *tombstone)
{
	const struct mms_version version = { .incarnation = tombstone->header.version.hlc, .hlc = stamp_ago(0), .writer = 7,
			.sequence = 2 };

	sample_make(sample, id, &version, "logged in again");
}

/* A logout's node was emptied; what was written after it came nowhere, and the hint names that. */
static void where_nobody_has_it_the_tombstone_before_it_is_delivered(void **state)
{
	struct sample record, tombstone, again;

	(void) state;
	begin(3);
	sample_aged(&record, "s", 5000, "logged in");
	sample_tombstone(&tombstone, "s", 1000);
	sample_of_next_life(&again, "s", &tombstone);
	node_put(0, "s", &record);
	node_put(1, "s", &record);
	hint(1, "s", &tombstone);
	hint(1, "s", &again);
	stand_long();
	deliver();
	assert_true(node_holds(1, "s", &tombstone));
	assert_int_equal(hints(1), 0);
	assert_int_equal(hints(0), 1);
	assert_int_equal(hints(2), 1);
	deliver();
	assert_true(node_holds(0, "s", &tombstone) && node_holds(2, "s", &tombstone));
	deliver(); /* both were asked before either had it */
	assert_int_equal(hints(0) + hints(1) + hints(2), 0);
	end();
}

static void where_somebody_has_it_the_tombstone_before_it_does_not_count(void **state)
{
	struct sample tombstone, again;

	(void) state;
	begin(2);
	sample_tombstone(&tombstone, "s", 1000);
	sample_of_next_life(&again, "s", &tombstone);
	node_put(0, "s", &again);
	hint(1, "s", &again);
	hint(1, "s", &tombstone);
	deliver();
	assert_true(node_holds(1, "s", &again));
	assert_int_equal(hints(0) + hints(1), 0);
	end();
}

/* A mirror that was sent on a connection before: the server has it in its buffers, and goes on. */
static void what_may_still_be_on_its_way_to_a_node_that_is_back_is_kept(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	sample_aged(&sample, "s", 5000, "late");
	hint(1, "s", &sample);
	stand_long();
	mms_link_drop(desk_link(desk, 0));
	greet(0);
	deliver();
	assert_int_equal(hints(1), 1);
	node_put(0, "s", &sample);
	deliver();
	assert_int_equal(hints(1), 0);
	assert_true(node_holds(1, "s", &sample));
	end();
}

static void push(const char *id, const struct sample *sample)
{
	struct mms_parcel parcel = { .kind = MMS_PARCEL_PUT, .key = key_of(id), .header = sample->bytes, .ttl_ms = RIG_TTL_MS };

	assert_true(mms_mailbox_push(&desk->host->cluster->mailbox, &parcel, mms_clock_mono(), NULL));
}

/* The tail passes an entry. */
static void pass_one(void)
{
	struct mms_mailbox_sh *mailbox = &desk->host->cluster->mailbox;
	struct mms_mailbox_item item;

	assert_int_equal(mms_mailbox_peek(mailbox, mms_mailbox_tail(mailbox), &item), 1);
	assert_true(mms_mailbox_advance(mailbox, desk->office.epoch, mms_mailbox_tail(mailbox), item.next, 1));
}

/* Its producer was killed before he sent it to the local node: the replicator will, later. */
static void what_the_mailbox_may_still_bring_is_kept(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	sample_aged(&sample, "s", 0, "");
	push("s", &sample);
	hint(1, "s", &sample);
	stand_long();
	deliver();
	assert_int_equal(hints(1), 1);
	node_put(0, "s", &sample);
	deliver();
	assert_int_equal(hints(1), 0);
	assert_true(node_holds(1, "s", &sample));
	end();
}

/* There is always something in the mailbox where a node is far and others write. */
static void what_nobody_has_is_forgotten_beside_writes_of_others(void **state)
{
	struct sample sample, other;

	(void) state;
	begin(2);
	sample_aged(&sample, "s", 5000, "gone");
	sample_aged(&other, "others", 0, "");
	push("others", &other);
	hint(1, "s", &sample);
	deliver(); /* something may be on its way from before the nodes were met */
	assert_int_equal(hints(1), 1);
	stand_long();
	node_forget_calls(1);
	deliver();
	assert_int_equal(hints(1), 0);
	assert_int_equal(node_calls(1, "getrange"), 2); /* the look into the mailbox counts for what is asked after it */
	end();
}

/* It comes to a node, and leaves the mailbox, between the first question and the look. */
static void what_leaves_the_mailbox_while_everybody_is_asked_is_found_by_the_second_question(void **state)
{
	struct mms_mailbox_sh *mailbox;
	struct sample sample, other;

	(void) state;
	begin(2);
	mailbox = &desk->host->cluster->mailbox;
	sample_aged(&sample, "s", 0, "");
	sample_aged(&other, "others", 0, "");
	push("s", &sample);
	push("others", &other);
	hint(1, "s", &sample);
	stand_long();
	desk_turn(desk);
	for (int round = 0; round < 64; round++) { /* the table is walked in pieces */
		mms_delivery_run(delivery);
	}
	assert_int_equal(mms_reconcile_room(reconciler), MMS_RECONCILE_JOBS - 1);
	mms_link_flush(desk_link(desk, 0));
	mms_link_flush(desk_link(desk, 1));
	nap_us(50000); /* both have said no */
	node_put(0, "s", &sample);
	pass_one();
	desk_await(desk, mms_reconcile_room(reconciler) == MMS_RECONCILE_JOBS);
	assert_true(mms_mailbox_tail(mailbox) != mms_mailbox_head(mailbox));
	assert_int_equal(hints(1), 0);
	assert_true(node_holds(1, "s", &sample));
	end();
}

/* Looking through it for each hint would take too long. */
static void what_nobody_has_waits_beside_a_mailbox_with_thousands_of_entries(void **state)
{
	struct sample sample, other;
	struct mms_settings settings;

	(void) state;
	rig_fresh();
	settings_default(&settings, 2, "web1");
	begin_with(host_with(&settings, 8 * RIG_MAILBOX));
	sample_aged(&sample, "s", 5000, "gone");
	sample_aged(&other, "others", 0, "");
	for (unsigned number = 0; number < 4096; number++) {
		push("others", &other);
	}
	hint(1, "s", &sample);
	stand_long();
	node_forget_calls(1);
	deliver();
	assert_int_equal(hints(1), 1);
	assert_int_equal(node_calls(1, "getrange"), 1);
	pass_one();
	deliver();
	assert_int_equal(hints(1), 0);
	end();
}

/* A write that found it full noted its hints first, and may be on its way. */
static void what_nobody_has_waits_beside_a_mailbox_that_is_half_full(void **state)
{
	static char payload[60000];
	struct mms_mailbox_sh *mailbox;
	struct sample sample, other;
	struct mms_parcel parcel = { .kind = MMS_PARCEL_PUT, .ttl_ms = RIG_TTL_MS };

	(void) state;
	begin(2);
	mailbox = &desk->host->cluster->mailbox;
	sample_aged(&sample, "s", 5000, "gone");
	sample_aged(&other, "others", 0, "");
	parcel.key = key_of("others");
	parcel.header = other.bytes;
	parcel.payload = (struct mms_slice){ payload, sizeof(payload) };
	while (mms_mailbox_used(mailbox) <= mailbox->size / 2) {
		assert_true(mms_mailbox_push(mailbox, &parcel, mms_clock_mono(), NULL));
	}
	hint(1, "s", &sample);
	stand_long();
	deliver();
	assert_int_equal(hints(1), 1);
	pass_one();
	deliver();
	assert_int_equal(hints(1), 0);
	end();
}

static void what_a_silent_node_may_have_is_kept(void **state)
{
	struct sample sample;

	(void) state;
	begin(3);
	sample_aged(&sample, "s", 5000, "perhaps on the third");
	mms_link_drop(desk_link(desk, 2));
	hint(1, "s", &sample);
	deliver();
	assert_int_equal(hints(1), 1);
	node_put(2, "s", &sample);
	greet(2);
	deliver();
	assert_int_equal(hints(1), 0);
	assert_true(node_holds(1, "s", &sample));
	end();
}

static void a_foreign_key_is_left_alone_and_the_hint_goes(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	sample_aged(&sample, "s", 0, "data");
	node_put(0, "s", &sample);
	node_put_bytes(1, "s", "somebody's", 10);
	hint(1, "s", &sample);
	deliver();
	assert_int_equal(hints(1), 0);
	assert_int_equal(node_number(1, "STRLEN", RIG_PREFIX "s"), 10);
	assert_int_equal(host_metric(desk->host, MMS_METRIC_foreign_keys), 1);
	end();
}

static void a_damaged_copy_is_replaced(void **state)
{
	struct sample sample, damaged;

	(void) state;
	begin(2);
	sample_aged(&sample, "s", 5000, "data");
	damaged = sample;
	damaged.bytes[17] ^= 0x80; /* of its stamp: it says that it is newer */
	node_put(0, "s", &sample);
	node_put(1, "s", &damaged);
	hint(1, "s", &sample);
	deliver();
	assert_int_equal(hints(1), 0);
	assert_true(node_holds(1, "s", &sample));
	end();
}

static void a_hint_whose_only_copy_is_damaged_is_given_up(void **state)
{
	struct sample sample, damaged;

	(void) state;
	begin(2);
	sample_aged(&sample, "s", 5000, "data");
	damaged = sample;
	damaged.bytes[damaged.len - 1] ^= 1;
	node_put(0, "s", &damaged);
	hint(1, "s", &sample);
	stand_long();
	deliver();
	assert_int_equal(node_number(1, "EXISTS", RIG_PREFIX "s"), 0);
	assert_int_equal(hints(1), 0);
	end();
}

static void a_node_that_can_not_be_written_keeps_its_hints(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	sample_aged(&sample, "s", 0, "data");
	node_put(0, "s", &sample);
	hint(1, "s", &sample);
	host_open_breaker(desk->host, 1, MMS_FAULT_WRITE_ONLY);
	assert_true(mms_delivery_next_us(delivery) == INT64_MAX);
	deliver();
	assert_int_equal(hints(1), 1);
	memset(desk_breaker(desk, 1), 0, sizeof(*desk_breaker(desk, 1)));
	node_do(1, "CONFIG", "SET", "maxmemory", "1");
	deliver();
	assert_int_equal(hints(1), 1);
	assert_false(mms_breaker_allows_write(desk_breaker(desk, 1)));
	end();
}

static void a_lost_connection_keeps_the_hint(void **state)
{
	struct sample sample;
	struct fake *fake;

	(void) state;
	rig_fresh();
	fake = fake_start(1);
	begin_with(host_with_fake(2, 1, fake));
	sample_aged(&sample, "s", 0, "data");
	node_put(0, "s", &sample);
	hint(1, "s", &sample);
	fake_rule(fake, (struct fake_rule){ .verb = "SET", .act = FAKE_CLOSE, .times = 1 });
	deliver();
	assert_int_equal(hints(1), 1);
	fake_release(fake);
	desk_await(desk, desk_link(desk, 1)->state == MMS_LINK_DOWN);
	greet(1);
	deliver();
	assert_int_equal(hints(1), 1); /* not at once: it may have been lost over this one */
	assert_true(mms_delivery_next_us(delivery) > desk->office.now.us);
	desk_link(desk, 1)->hint_pause_until.us = 0;
	deliver();
	assert_int_equal(hints(1), 0);
	assert_true(node_holds(1, "s", &sample));
	end();
	fake_free(fake);
}

static void what_stands_there_by_now_is_compared_again(void **state)
{
	struct sample sample, other;
	struct fake *fake;

	(void) state;
	for (unsigned round = 0; round < 3; round++) {
		rig_fresh();
		fake = fake_start(1);
		begin_with(host_with_fake(2, 1, fake));
		sample_aged(&sample, "s", 2000, "data");
		node_put(0, "s", &sample);
		hint(1, "s", &sample);
		fake_rule(fake, (struct fake_rule){ .verb = "SET", .act = FAKE_HOLD, .times = 1 });
		for (unsigned turn = 0; turn < 100; turn++) {
			mms_delivery_run(delivery);
			desk_turn(desk);
		}
		if (round == 0) {
			sample_aged(&other, "s", 4000, "older");
			node_put(1, "s", &other);
			other = sample;
		} else if (round == 1) {
			sample_aged(&other, "s", 0, "newer");
			node_put(1, "s", &other);
		} else {
			node_put(1, "s", &sample);
			other = sample;
		}
		fake_release(fake);
		desk_quiet(desk);
		deliver();
		assert_int_equal(hints(1), 0);
		assert_true(node_holds(1, "s", &other));
		end();
		fake_free(fake);
	}
}

static void a_node_that_never_takes_it_keeps_its_hint(void **state)
{
	struct sample sample;
	struct fake *fake;

	(void) state;
	rig_fresh();
	fake = fake_start(1);
	begin_with(host_with_fake(2, 1, fake));
	sample_aged(&sample, "s", 0, "data");
	node_put(0, "s", &sample);
	hint(1, "s", &sample);
	fake_says(fake, "SET", "$-1\r\n", -1); /* and yet nothing stands there: bounded */
	deliver();
	assert_int_equal(hints(1), 1);
	fake_says(fake, "SET", "-OOM command not allowed\r\n", -1);
	end();
	fake_free(fake);
}

/* The same with what no node has, so that nothing is fetched: it is asked a bounded number of times all the same. */
static void a_node_that_never_takes_a_tombstone_keeps_its_hint(void **state)
{
	struct sample tombstone;
	struct fake *fake;
	unsigned asked;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	begin_with(host_with_fake(1, 0, fake));
	sample_tombstone(&tombstone, "s", 0);
	hint(0, "s", &tombstone);
	asked = fake_rule(fake, (struct fake_rule){ .verb = "SET", .act = FAKE_ANSWER, .bytes = "$-1\r\n", .times = -1 });
	deliver();
	assert_int_equal(hints(0), 1);
	assert_in_range(fake_hits(fake, asked), 2, 16);
	end();
	fake_free(fake);
}

/* As one that is larger than the server's query buffer, among many. */
static void one_that_ends_connections_does_not_hold_up_the_other_hints(void **state)
{
	const unsigned count = 200;
	struct sample sample;
	struct fake *fake;
	char id[16];
	unsigned number;

	(void) state;
	rig_fresh();
	fake = fake_start(1);
	begin_with(host_with_fake(2, 1, fake));
	fake_rule(fake, (struct fake_rule){ .verb = "SET", .holds = "poison", .act = FAKE_CLOSE, .times = -1 });
	for (number = 0; number < count; number++) {
		(void) snprintf(id, sizeof(id), "s%u", number);
		sample_aged(&sample, id, 0, number == 17 ? "poison" : "data");
		node_put(0, id, &sample);
		hint(1, id, &sample);
	}
	for (const int64_t until = now_us() + DEADLINE_US; hints(1) > 1 && now_us() < until;) {
		if (desk_link(desk, 1)->state == MMS_LINK_DOWN) {
			greet(1);
		}
		desk_link(desk, 1)->hint_pause_until.us = 0;
		desk_link(desk, 1)->hint_round_at.us = 0;
		mms_delivery_run(delivery);
		desk_turn(desk);
	}
	assert_int_equal(hints(1), 1);
	for (number = 0; number < count; number++) {
		(void) snprintf(id, sizeof(id), "s%u", number);
		assert_true(number == 17 || node_has(1, id, "data", NULL));
	}
	end();
	fake_free(fake);
}

static void flushed_scripts_keep_the_hint(void **state)
{
	struct sample sample, older;

	(void) state;
	begin(2);
	sample_aged(&sample, "s", 0, "data");
	sample_aged(&older, "s", 5000, "older");
	node_put(0, "s", &sample);
	node_put(1, "s", &older);
	hint(1, "s", &sample);
	node_do(1, "SCRIPT", "FLUSH");
	deliver();
	assert_int_equal(hints(1), 1);
	assert_int_equal(desk_link(desk, 1)->state, MMS_LINK_DOWN);
	assert_true(mms_breaker_allows_write(desk_breaker(desk, 1)));
	greet(1);
	desk_link(desk, 1)->hint_pause_until.us = 0;
	deliver();
	assert_int_equal(hints(1), 0);
	end();
}

static void more_than_fit_at_a_time_are_delivered_in_turn(void **state)
{
	struct sample sample;
	char id[16];

	(void) state;
	begin(2);
	for (unsigned number = 0; number < 300; number++) {
		snprintf(id, sizeof(id), "s%u", number);
		sample_aged(&sample, id, 0, "data");
		node_put(0, id, &sample);
		hint(1, id, &sample);
	}
	for (int round = 0; round < 100 && hints(1) > 0; round++) {
		deliver();
	}
	assert_int_equal(hints(1), 0);
	assert_true(node_has(1, "s0", "data", NULL) && node_has(1, "s299", "data", NULL));
	end();
}

static void when_to_look_again_is_said_while_there_are_hints(void **state)
{
	struct sample sample;

	(void) state;
	begin(2);
	assert_true(mms_delivery_next_us(delivery) == INT64_MAX);
	sample_aged(&sample, "s", 0, "data");
	hint(1, "s", &sample);
	assert_true(mms_delivery_next_us(delivery) <= now_us());
	end();
	mms_delivery_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_comes_from_the_node_that_has_it),
		cmocka_unit_test(a_large_one_is_delivered_as_any_other),
		cmocka_unit_test(the_newest_copy_is_delivered_even_if_it_is_newer_than_the_hint),
		cmocka_unit_test(what_it_replaces_unread_is_counted),
		cmocka_unit_test(what_the_node_has_by_now_is_settled),
		cmocka_unit_test(a_tombstone_comes_from_the_hint_itself),
		cmocka_unit_test(a_tombstone_is_delivered_to_whoever_lacks_it),
		cmocka_unit_test(what_nobody_has_is_forgotten),
		cmocka_unit_test(where_nobody_has_it_the_tombstone_before_it_is_delivered),
		cmocka_unit_test(where_somebody_has_it_the_tombstone_before_it_does_not_count),
		cmocka_unit_test(what_may_still_be_on_its_way_to_a_node_that_is_back_is_kept),
		cmocka_unit_test(what_the_mailbox_may_still_bring_is_kept),
		cmocka_unit_test(what_nobody_has_is_forgotten_beside_writes_of_others),
		cmocka_unit_test(what_leaves_the_mailbox_while_everybody_is_asked_is_found_by_the_second_question),
		cmocka_unit_test(what_nobody_has_waits_beside_a_mailbox_with_thousands_of_entries),
		cmocka_unit_test(what_nobody_has_waits_beside_a_mailbox_that_is_half_full),
		cmocka_unit_test(what_a_silent_node_may_have_is_kept),
		cmocka_unit_test(a_foreign_key_is_left_alone_and_the_hint_goes),
		cmocka_unit_test(a_damaged_copy_is_replaced),
		cmocka_unit_test(a_hint_whose_only_copy_is_damaged_is_given_up),
		cmocka_unit_test(a_node_that_can_not_be_written_keeps_its_hints),
		cmocka_unit_test(a_lost_connection_keeps_the_hint),
		cmocka_unit_test(what_stands_there_by_now_is_compared_again),
		cmocka_unit_test(a_node_that_never_takes_it_keeps_its_hint),
		cmocka_unit_test(a_node_that_never_takes_a_tombstone_keeps_its_hint),
		cmocka_unit_test(one_that_ends_connections_does_not_hold_up_the_other_hints),
		cmocka_unit_test(flushed_scripts_keep_the_hint),
		cmocka_unit_test(more_than_fit_at_a_time_are_delivered_in_turn),
		cmocka_unit_test(when_to_look_again_is_said_while_there_are_hints),
	};

	return rig_run(tests);
}
