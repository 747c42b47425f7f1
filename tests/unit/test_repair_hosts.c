/* Several hosts: what one learns on the nodes of the others, alive and dead, and what it does about it. */
#include "repairs.h"

#include "mms_aftermath.h"
#include "mms_marker.h"
#include "mms_scanned.h"

#define HOSTS RIG_PREFIX ":lives"
#define BEHIND RIG_PREFIX ":behind"
#define OTHER "web9 00000000000000ff"
#define DEAD_US (6 * SECOND)

static bool field_exists(unsigned node, const char *key, const char *field)
{
	struct mms_reply *reply = node_ask(node, "HEXISTS", key, field);
	const bool exists = mms_reply_integer(reply) == 1;

	mms_reply_free(reply);
	return exists;
}

static uint64_t id_of(unsigned node)
{
	return atomic_load(&desk->host->cluster->nodes[node].node_id);
}

static uint64_t run_of(unsigned node)
{
	return atomic_load(&desk->host->cluster->nodes[node].run_hash);
}

/* Another host's word, on every node: that it has or has not settled what it has with each. */
static void other_says(uint64_t beat, uint64_t watermark_ms, bool settled)
{
	struct mms_life life = { .beat = beat, .watermark_ms = watermark_ms, .node_count = desk->office.node_count };
	char text[MMS_LIFE_TEXT_MAX];

	for (unsigned node = 0; node < life.node_count; node++) {
		life.nodes[node] = (struct mms_life_node){ .id = id_of(node), .run_hash = run_of(node), .settled = settled,
			.connected = true };
	}
	mms_life_write(&life, text);
	for (unsigned node = 0; node < life.node_count; node++) {
		node_do(node, "HSET", HOSTS, OTHER, text);
	}
}

static void behind_by(unsigned source, unsigned node, const char *name, const char *token)
{
	char field[MMS_BEHIND_FIELD_MAX];

	snprintf(field, sizeof(field), "%016llx %s", (unsigned long long) id_of(node), name);
	node_do(source, "HSET", BEHIND, field, token);
}

static bool is_behind_by(unsigned source, unsigned node, const char *name)
{
	char field[MMS_BEHIND_FIELD_MAX];

	snprintf(field, sizeof(field), "%016llx %s", (unsigned long long) id_of(node), name);
	return field_exists(source, BEHIND, field);
}

static void a_host_publishes_that_it_lives(void **state)
{
	struct mms_reply *reply;
	struct mms_life life;
	char name[MMS_LIFE_NAME_MAX];

	(void) state;
	begin(2);
	mms_life_name("web1", mms_shm_life(desk->office.shm, desk->office.cluster), name);
	turn_until(field_exists(0, HOSTS, name) && field_exists(1, HOSTS, name));
	turn_for(3 * SECOND);
	reply = node_ask(1, "HGET", HOSTS, name);
	assert_true(mms_life_parse(mms_reply_text(reply), &life));
	mms_reply_free(reply);
	assert_true(life.beat >= 4);
	assert_int_equal(life.node_count, 2);
	assert_true(life.nodes[0].id == id_of(0) && life.nodes[1].run_hash == run_of(1));
	assert_true(life.nodes[0].settled && life.nodes[0].connected && life.nodes[1].settled && life.nodes[1].connected);
	assert_in_range(life.watermark_ms, (uint64_t) mms_clock_wall().ms - 120000, (uint64_t) mms_clock_wall().ms - 50000);
	assert_true(mms_repair_next_us(repair) == INT64_MAX);
	end();
}

static void a_node_is_not_complete_before_every_host_has_settled_it(void **state)
{
	(void) state;
	begin(2);
	put_numbered(0, 0, 10);
	other_says(1, 1, true);
	empty(1);
	for (uint64_t beat = 2; beat < 12; beat++) {
		other_says(beat, 1, false);
		turn_for(SECOND);
		assert_false(is_complete(1));
	}
	assert_true(has_numbered(1, 0, 10));
	other_says(20, 1, true);
	turn_until(is_complete(1));
	end();
}

/* It has not even noticed that the node is another one now. */
static void nor_before_every_host_has_met_it(void **state)
{
	struct mms_life life = { .beat = 1, .node_count = 1 };
	char text[MMS_LIFE_TEXT_MAX];

	(void) state;
	begin(2);
	life.nodes[0] = (struct mms_life_node){ .id = id_of(1), .run_hash = run_of(1), .settled = true, .connected = false };
	empty(1);
	for (; life.beat < 8; life.beat++) {
		mms_life_write(&life, text);
		node_do(0, "HSET", HOSTS, OTHER, text);
		turn_for(SECOND);
		assert_false(is_complete(1));
	}
	life.nodes[0].connected = true; /* so it is some other node that we don't know */
	mms_life_write(&life, text);
	node_do(0, "HSET", HOSTS, OTHER, text);
	turn_until(is_complete(1));
	end();
}

static void a_dead_host_makes_one_compare_all_that_is_younger_than_its_watermark(void **state)
{
	struct sample old;

	(void) state;
	begin(3);
	sample_aged(&old, "old", 600000, "long mirrored");
	node_put(0, "old", &old);
	put_numbered(0, 0, 20); /* 5 s old, on one node only */
	put_numbered(2, 20, 40);
	other_says(9, (uint64_t) mms_clock_wall().ms - 60000, true);
	turn_for(3 * SECOND);
	assert_int_equal(host_metric(desk->host, MMS_METRIC_repair_scanned), 0);
	turn_for(4 * SECOND);
	turn_until(!field_exists(0, HOSTS, OTHER) && !field_exists(1, HOSTS, OTHER) && !field_exists(2, HOSTS, OTHER));
	for (unsigned node = 0; node < 3; node++) {
		assert_true(has_numbered(node, 0, 40));
	}
	assert_int_equal(node_number(1, "EXISTS", RIG_PREFIX "old"), 0);
	assert_int_equal(atomic_load(&desk->host->cluster->sweep.finished), 1);
	assert_true(is_complete(0) && is_complete(1) && is_complete(2));
	turn_for(5 * SECOND);
	assert_int_equal(atomic_load(&desk->host->cluster->sweep.finished), 1);
	end();
}

/* No office lasts for as long as it takes to see that somebody is silent: each goes on with what the one before has seen. */
static void short_offices_notice_the_dead_too(void **state)
{
	unsigned offices = 0;

	(void) state;
	begin(3);
	other_says(9, (uint64_t) mms_clock_wall().ms - 60000, true);
	put_numbered(0, 0, 20);
	while (field_exists(0, HOSTS, OTHER) && offices < 12) {
		turn_for(SECOND);
		leave_office();
		take_office();
		offices++;
	}
	assert_in_range(offices, 5, 9);
	turn_until(!field_exists(1, HOSTS, OTHER) && !field_exists(2, HOSTS, OTHER));
	assert_true(has_numbered(1, 0, 20));
	end();
}

/* A pause without a replicator says nothing of who was silent in it; and one that beats is alive, however short the offices. */
static void who_beats_is_alive_to_short_offices(void **state)
{
	(void) state;
	begin(2);
	for (unsigned office = 0; office < 12; office++) {
		other_says(9 + office, (uint64_t) mms_clock_wall().ms - 60000, true);
		turn_for(SECOND);
		assert_false(mms_hosts_is_dead(hosts, slice(OTHER)));
		leave_office();
		ahead_us += office == 6 ? 60 * SECOND : 0;
		if (office == 6) {
			other_says(70, (uint64_t) mms_clock_wall().ms - 60000, true);
		}
		take_office();
		assert_false(mms_hosts_is_dead(hosts, slice(OTHER)));
	}
	leave_office();
	ahead_us += 60 * SECOND; /* its answers take a while after such a pause */
	take_office();
	turn_for(SECOND);
	assert_false(mms_hosts_is_dead(hosts, slice(OTHER)));
	assert_true(field_exists(0, HOSTS, OTHER));
	end();
}

/* With nobody to compare it with, a node alone waits for no life that has died: nothing is left of that but a line. */
static void a_node_alone_is_complete_again_after_an_unclean_end(void **state)
{
	struct mms_life life = { .beat = 9, .node_count = 1 };
	char text[MMS_LIFE_TEXT_MAX];

	(void) state;
	begin(1);
	life.nodes[0] = (struct mms_life_node){ .id = id_of(0), .run_hash = run_of(0) + 1, .settled = true, .connected = true };
	mms_life_write(&life, text);
	empty(0);
	node_do(0, "HSET", HOSTS, OTHER, text);
	turn_for(3 * SECOND);
	turn_until(is_complete(0));
	assert_true(marker_says_complete(0));
	turn_until(!field_exists(0, HOSTS, OTHER));
	end();
}

static void begin_with_a_death_and_a_node_missing(void)
{
	begin(3);
	put_numbered(0, 0, 20);
	other_says(9, 1, true);
	mms_link_drop(desk_link(desk, 2));
	turn_for(DEAD_US);
	turn_until(has_numbered(1, 0, 20));
}

static void with_a_node_missing_the_dead_stay_written_down(void **state)
{
	(void) state;
	begin_with_a_death_and_a_node_missing();
	turn_for(6 * SECOND);
	assert_true(field_exists(0, HOSTS, OTHER));
	assert_int_equal(atomic_load(&desk->host->cluster->sweep.finished), 0);
	greet(2);
	turn_for(DEAD_US);
	turn_until(!field_exists(0, HOSTS, OTHER) && !field_exists(2, HOSTS, OTHER));
	assert_true(has_numbered(2, 0, 20));
	end();
}

/* And the next one that dies meanwhile is served too: nodes that are there need not wait for the one that is not. */
static void with_a_node_missing_each_of_the_dead_is_served(void **state)
{
	(void) state;
	begin_with_a_death_and_a_node_missing();
	put_numbered(0, 20, 30);
	for (unsigned node = 0; node < 2; node++) {
		node_do(node, "HSET", HOSTS, "web8 00000000000000ee", "4 1");
	}
	turn_for(DEAD_US + 2 * SECOND);
	turn_until(has_numbered(1, 20, 30));
	node_do(1, "DEL", RIG_PREFIX "s20");
	turn_for(DEAD_US + 2 * SECOND);
	assert_false(has_numbered(1, 20, 21)); /* once is enough */
	other_says(12, 1, true); /* the first one was only cut off; it writes, and dies */
	turn_for(2 * SECOND);
	put_numbered(0, 30, 40);
	turn_for(DEAD_US + 2 * SECOND);
	turn_until(has_numbered(1, 30, 40));
	end();
}

static void a_host_that_beats_again_was_not_dead(void **state)
{
	(void) state;
	begin(2);
	put_numbered(0, 0, 400);
	other_says(9, 1, true);
	turn_for(4 * SECOND);
	turn_until(atomic_load(&desk->host->cluster->sweep.running) == 1);
	other_says(10, 1, true);
	turn_until(atomic_load(&desk->host->cluster->sweep.finished) == 1);
	turn_for(SECOND);
	assert_true(field_exists(0, HOSTS, OTHER));
	end();
}

static void a_dead_hosts_marker_has_its_node_scanned_and_goes(void **state)
{
	(void) state;
	begin(3);
	put_numbered(0, 0, 20);
	behind_by(0, 1, OTHER, "token");
	behind_by(2, 1, OTHER, "token");
	turn_for(3 * SECOND);
	assert_int_equal(host_metric(desk->host, MMS_METRIC_repair_scanned), 0);
	turn_for(4 * SECOND);
	turn_until(!is_behind_by(0, 1, OTHER) && !is_behind_by(2, 1, OTHER));
	assert_true(has_numbered(1, 0, 20));
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].repair.finished), 1);
	turn_for(4 * SECOND);
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].repair.finished), 1);
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[0].repair.finished), 0);
	end();
}

/* Reads what the nodes say, and scans nothing, until the other host has been silent for long enough. */
static void until_dead(void)
{
	for (unsigned k = 0; k < 4000 && !mms_hosts_is_dead(hosts, slice(OTHER)); k++) {
		ahead_us += SECOND / 100;
		desk->office.now.us = now_us() + ahead_us;
		mms_hosts_run(hosts);
		mms_link_flush(desk_link(desk, 0));
		mms_link_flush(desk_link(desk, 1));
		event_base_loop(desk->office.base, EVLOOP_NONBLOCK);
		nap_us(1000);
	}
	assert_true(mms_hosts_is_dead(hosts, slice(OTHER)));
}

/* The other host is dead, and what is known of it by now is noted for a scan. Returns when. */
static struct mms_mono note_the_dead(struct mms_notes *notes)
{
	begin(2);
	note_sweep(0);
	note_sweep(1);
	other_says(9, 1, true);
	behind_by(0, 1, OTHER, "token");
	turn_for(3 * SECOND);
	until_dead();
	mms_aftermath_note(hosts, 1, notes);
	assert_non_null(notes->first);
	return desk->office.now;
}

/* It went on after all: by the same marker it tells of what it has missed since. */
static void a_marker_of_a_host_that_was_only_silent_stays(void **state)
{
	struct mms_notes notes = { 0 };
	struct mms_mono begun_at;

	(void) state;
	begun_at = note_the_dead(&notes);
	other_says(10, 1, true);
	turn_for(SECOND);
	mms_aftermath_clear(hosts, &notes, begun_at);
	turn_for(SECOND);
	assert_true(is_behind_by(0, 1, OTHER));
	end();
}

/* What it wrote in between may lie behind the scan; so another one is made. */
static void a_marker_of_a_host_that_lived_during_the_scan_and_died_stays_until_the_next(void **state)
{
	struct mms_notes notes = { 0 };
	struct mms_mono begun_at;

	(void) state;
	begun_at = note_the_dead(&notes);
	other_says(10, 1, true);
	turn_for(SECOND);
	assert_false(mms_hosts_is_dead(hosts, slice(OTHER)));
	until_dead();
	put_numbered(0, 0, 20);
	mms_aftermath_clear(hosts, &notes, begun_at);
	assert_true(mms_aftermath_left_behind(hosts) >> 1 & 1);
	turn_until(!is_behind_by(0, 1, OTHER));
	assert_true(has_numbered(1, 0, 20));
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].repair.finished), 1);
	end();
}

/* The office that ends the scan goes on with what the one before has seen, though the life is on no node any more. */
static void a_successor_knows_that_it_lived_during_the_scan(void **state)
{
	struct mms_notes notes = { 0 };
	struct mms_mono begun_at;

	(void) state;
	begun_at = note_the_dead(&notes);
	other_says(10, 1, true);
	turn_for(SECOND);
	leave_office();
	node_do(0, "HDEL", HOSTS, OTHER);
	node_do(1, "HDEL", HOSTS, OTHER);
	take_office();
	until_dead();
	mms_aftermath_clear(hosts, &notes, begun_at);
	assert_true(mms_aftermath_left_behind(hosts) >> 1 & 1);
	end();
}

/* With nobody in office for a while, it may have lived and left: the next scan clears it. */
static void a_marker_stays_when_nobody_listened_during_the_scan(void **state)
{
	struct mms_notes notes = { 0 };
	struct mms_mono begun_at;

	(void) state;
	begun_at = note_the_dead(&notes);
	leave_office();
	node_do(0, "HDEL", HOSTS, OTHER);
	node_do(1, "HDEL", HOSTS, OTHER);
	ahead_us += 60 * SECOND;
	take_office();
	until_dead();
	mms_aftermath_clear(hosts, &notes, begun_at);
	assert_true(mms_aftermath_left_behind(hosts) >> 1 & 1);
	turn_until(!is_behind_by(0, 1, OTHER));
	end();
}

/* Nor does a successor keep one for want of a sighting: it looked all the time, and the life was silent. */
static void a_successor_clears_the_marker_of_one_that_was_silent_all_the_time(void **state)
{
	struct mms_notes notes = { 0 };
	struct mms_mono begun_at;

	(void) state;
	begun_at = note_the_dead(&notes);
	leave_office();
	take_office();
	until_dead();
	mms_aftermath_clear(hosts, &notes, begun_at);
	assert_false(mms_aftermath_left_behind(hosts) >> 1 & 1);
	desk_await(desk, !is_behind_by(0, 1, OTHER));
	end();
}

static void after_a_pause_markers_are_trusted_when_they_have_been_looked_at(void **state)
{
	uint64_t watermark_ms;

	(void) state;
	begin(2);
	turn_for(3 * SECOND);
	assert_false(desk->office.markers_doubted);
	host_open_breaker(desk->host, 1, MMS_FAULT_WRITE_ONLY);
	watermark_ms = atomic_load(&desk->host->cluster->watermark_ms);
	ahead_us += 4 * SECOND;
	desk->office.now.us = now_us() + ahead_us;
	mms_hosts_run(hosts);
	assert_true(desk->office.markers_doubted);
	assert_int_equal(mms_hosts_since(hosts).us, desk->office.now.us); /* and nobody is dead for having been silent meanwhile */
	assert_false(mms_marker_covers(&desk->office));
	assert_int_equal(atomic_load(&desk->host->cluster->watermark_ms), watermark_ms);
	turn_until(!desk->office.markers_doubted);
	end();
}

/* The loop runs, and nobody hears of it: that is a silence too. */
static void cut_off_from_all_nodes_is_a_pause(void **state)
{
	(void) state;
	begin(2);
	turn_for(3 * SECOND);
	mms_link_drop(desk_link(desk, 0));
	mms_link_drop(desk_link(desk, 1));
	turn_for(4 * SECOND);
	assert_false(desk->office.markers_doubted);
	greet(0);
	desk->office.now.us = now_us() + ahead_us;
	mms_hosts_run(hosts);
	assert_true(desk->office.markers_doubted);
	greet(1);
	turn_until(!desk->office.markers_doubted);
	end();
}

/* Somebody's line that is too long to be a host's, and one that is none: neither keeps nodes from being complete. */
static void lines_that_no_host_wrote_are_in_nobodys_way(void **state)
{
	static const size_t lens[] = { 1, 2900, MMS_PAIRS_TEXT_MAX - 3, MMS_PAIRS_TEXT_MAX - 2, 3990, 4078, 5000 };
	static char value[5001];

	(void) state;
	begin(2);
	put_numbered(0, 0, 10);
	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		memset(value, 'v', lens[i]);
		value[lens[i]] = '\0';
		node_do(0, "HSET", HOSTS, "x y", value);
		empty(1);
		turn_until(is_complete(1));
		turn_until(lens[i] + 3 > MMS_PAIRS_TEXT_MAX || !field_exists(0, HOSTS, "x y"));
		assert_true(has_numbered(1, 0, 10));
		node_do(0, "HDEL", HOSTS, "x y");
	}
	end();
}

/* So does one that it wrote before it had met the node, under the address. */
static void a_marker_by_address_is_found_too(void **state)
{
	char field[MMS_BEHIND_FIELD_MAX];

	(void) state;
	begin(2);
	put_numbered(0, 0, 20);
	snprintf(field, sizeof(field), "%s " OTHER, desk->office.settings->nodes[1].address);
	node_do(0, "HSET", BEHIND, field, "token");
	turn_for(DEAD_US);
	turn_until(!field_exists(0, BEHIND, field));
	assert_true(has_numbered(1, 0, 20));
	end();
}

static void a_living_hosts_marker_is_its_own_business(void **state)
{
	(void) state;
	begin(2);
	put_numbered(0, 0, 20);
	behind_by(0, 1, OTHER, "token");
	for (uint64_t beat = 1; beat < 10; beat++) {
		other_says(beat, 1, true);
		turn_for(SECOND);
	}
	assert_true(is_behind_by(0, 1, OTHER));
	assert_int_equal(host_metric(desk->host, MMS_METRIC_repair_scanned), 0);
	end();
}

/* Only what was read before the scan began is cleared by it. */
static void a_marker_that_changed_during_the_scan_stays_until_the_next(void **state)
{
	(void) state;
	begin(2);
	put_numbered(0, 0, 400);
	behind_by(0, 1, OTHER, "token");
	turn_for(4 * SECOND);
	turn_until(atomic_load(&desk->host->cluster->nodes[1].repair.running) == 1);
	behind_by(0, 1, OTHER, "another");
	turn_until(atomic_load(&desk->host->cluster->nodes[1].repair.finished) == 1);
	assert_true(is_behind_by(0, 1, OTHER));
	turn_until(!is_behind_by(0, 1, OTHER));
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].repair.finished), 2);
	end();
}

static void a_life_that_ends_in_order_takes_its_entries_back(void **state)
{
	char name[MMS_LIFE_NAME_MAX];

	(void) state;
	begin(2);
	mms_life_name("web1", mms_shm_life(desk->office.shm, desk->office.cluster), name);
	turn_until(field_exists(0, HOSTS, name) && field_exists(1, HOSTS, name));
	turn_until(mms_hosts_leave(hosts));
	turn_for(3 * SECOND);
	assert_false(field_exists(0, HOSTS, name) || field_exists(1, HOSTS, name));
	assert_int_equal(atomic_load(&desk->host->cluster->published), 0);
	end();
}

/* It was stopped for seconds, and told to end before it has looked around: others may have taken it for dead, and cleared its markers. Its
 * entries stay, so that whoever looks finds a life that has ended in no order. */
static void a_life_that_was_stopped_takes_nothing_back_before_it_has_looked(void **state)
{
	char name[MMS_LIFE_NAME_MAX];

	(void) state;
	begin(2);
	mms_life_name("web1", mms_shm_life(desk->office.shm, desk->office.cluster), name);
	turn_until(field_exists(0, HOSTS, name) && field_exists(1, HOSTS, name));
	desk->office.now.us += 4 * SECOND;
	assert_true(mms_hosts_leave(hosts));
	desk_quiet(desk);
	assert_true(field_exists(0, HOSTS, name) && field_exists(1, HOSTS, name));
	assert_int_equal(atomic_load(&desk->host->cluster->published), 1);
	ahead_us += 4 * SECOND;
	turn_for(SECOND);
	turn_until(mms_hosts_leave(hosts));
	assert_false(field_exists(0, HOSTS, name) || field_exists(1, HOSTS, name));
	assert_int_equal(atomic_load(&desk->host->cluster->published), 0);
	end();
}

static void the_watermark_waits_for_the_mailbox_and_for_markers(void **state)
{
	struct mms_cluster_sh *cluster;
	struct sample sample;
	uint64_t before;
	struct mms_parcel parcel = { .kind = MMS_PARCEL_PUT, .key = key_of("s"), .ttl_ms = 100000 };

	(void) state;
	begin(2);
	cluster = desk->host->cluster;
	atomic_store(&desk->office.shm->hlc, stamp_ago(3600000));
	turn_for(2 * SECOND);
	before = atomic_load(&cluster->watermark_ms);
	assert_true(before > 0);
	sample_aged(&sample, "s", 0, "data");
	parcel.header = sample.bytes;
	parcel.payload = slice("data");
	assert_true(mms_mailbox_push(&cluster->mailbox, &parcel, mms_clock_mono(), NULL));
	turn(); /* the mark of the round before, at an empty mailbox */
	atomic_store(&desk->office.shm->hlc, stamp_ago(0));
	turn_for(3 * SECOND);
	before = atomic_load(&cluster->watermark_ms);
	turn_for(3 * SECOND);
	assert_true(atomic_load(&cluster->watermark_ms) == before);
	assert_true(mms_mailbox_advance(&cluster->mailbox, desk->office.epoch, mms_mailbox_tail(&cluster->mailbox),
			mms_mailbox_head(&cluster->mailbox), 1));
	mms_hints_overflow(&cluster->hints, bit(1));
	turn();
	turn();
	assert_true(atomic_load(&cluster->watermark_ms) == before); /* node 1 misses something, and no marker says so */
	turn_until((mms_marker_run(&desk->office), atomic_load(&cluster->watermark_ms) > before));
	end();
}

static void everything_is_compared_now_and_then(void **state)
{
	char text[32];

	(void) state;
	begin(2);
	turn_for(13 * SECOND);
	assert_int_equal(atomic_load(&desk->host->cluster->sweep.started_us), 0);
	put_numbered(0, 0, 20);
	put_numbered(1, 20, 30);
	snprintf(text, sizeof(text), "%lld", (long long) mms_clock_wall().ms - 86400000LL * 12 / 10);
	node_do(0, "HSET", HOSTS, "swept", text);
	node_do(1, "HSET", HOSTS, "swept", text);
	turn_until(atomic_load(&desk->host->cluster->sweep.finished) == 1);
	assert_true(has_numbered(0, 0, 30) && has_numbered(1, 0, 30));
	turn_for(3 * SECOND);
	assert_int_equal(atomic_load(&desk->host->cluster->sweep.finished), 1);
	end();
}

#define DAYS_MS (INT64_C(400) * 86400000)

static void note_sweeps_at(int64_t ms)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long) ms);
	node_do(0, "HSET", HOSTS, "swept", text);
	node_do(1, "HSET", HOSTS, "swept", text);
}

static int64_t noted_sweep(unsigned node)
{
	struct mms_reply *reply = node_ask(node, "HGET", HOSTS, "swept");
	char text[32];

	mms_text_copy(text, sizeof(text), mms_reply_text(reply));
	mms_reply_free(reply);
	return strtoll(text, NULL, 10);
}

/* This host's clock is 400 days ahead of everybody's. */
static void a_sweep_is_noted_and_judged_by_the_nodes_clocks(void **state)
{
	(void) state;
	begin(2);
	for (unsigned node = 0; node < 2; node++) {
		desk_link(desk, node)->clock_ms = mms_clock_wall().ms - DAYS_MS - now_us() / 1000;
		desk_link(desk, node)->clock_known = true;
	}
	note_sweeps_at(mms_clock_wall().ms - DAYS_MS);
	turn_for(13 * SECOND);
	assert_int_equal(atomic_load(&desk->host->cluster->sweep.started_us), 0);
	note_sweeps_at(mms_clock_wall().ms - DAYS_MS - 86400000LL * 12 / 10);
	turn_until(atomic_load(&desk->host->cluster->sweep.finished) == 1);
	turn_for(SECOND);
	for (unsigned node = 0; node < 2; node++) {
		assert_in_range(noted_sweep(node), mms_clock_wall().ms - DAYS_MS - 1000, mms_clock_wall().ms - DAYS_MS + 3600000);
	}
	end();
}

/* No node says what time it is, and somebody else's note is always far off. */
static void whatever_the_notes_say_a_life_compares_everything_once_in_an_interval(void **state)
{
	(void) state;
	begin(2);
	for (int64_t off_ms = -DAYS_MS; off_ms <= DAYS_MS; off_ms += 2 * DAYS_MS) {
		const uint32_t before = atomic_load(&desk->host->cluster->sweep.finished);

		atomic_store(&desk->host->cluster->swept_us, desk->office.now.us - 86400 * SECOND * 12 / 10);
		note_sweeps_at(mms_clock_wall().ms + off_ms);
		turn_until(atomic_load(&desk->host->cluster->sweep.finished) == before + 1);
		turn_for(SECOND);
		note_sweeps_at(mms_clock_wall().ms + off_ms);
		turn_for(13 * SECOND);
		assert_int_equal(atomic_load(&desk->host->cluster->sweep.finished), before + 1);
	}
	end();
}

static void a_watermark_of_a_time_that_nobody_believes_comes_back(void **state)
{
	struct mms_cluster_sh *cluster;

	(void) state;
	begin(2);
	cluster = desk->host->cluster;
	atomic_store(&desk->office.shm->hlc, stamp_ago(-20 * DAYS_MS));
	atomic_store(&cluster->watermark_ms, stamp_ago(-20 * DAYS_MS) >> 16);
	turn_for(2 * SECOND);
	assert_in_range(atomic_load(&cluster->watermark_ms), mms_clock_wall().ms - 120000, mms_clock_wall().ms);
	end();
}

/* All was lost but what one node was given after that, and nobody was there who knew: it looks like a first installation. */
static void where_no_sweep_was_noted_everything_is_compared(void **state)
{
	(void) state;
	begin(2);
	node_do(0, "HDEL", HOSTS, "swept");
	node_do(1, "HDEL", HOSTS, "swept");
	put_numbered(0, 0, 20);
	turn_for(5 * SECOND);
	assert_int_equal(atomic_load(&desk->host->cluster->sweep.started_us), 0);
	turn_for(6 * SECOND);
	turn_until(atomic_load(&desk->host->cluster->sweep.finished) == 1);
	assert_true(has_numbered(1, 0, 20));
	turn_until(field_exists(0, HOSTS, "swept") && field_exists(1, HOSTS, "swept"));
	turn_for(13 * SECOND);
	assert_int_equal(atomic_load(&desk->host->cluster->sweep.finished), 1);
	end();
}

static void allow(unsigned nodes, const char *rule)
{
	for (unsigned node = 0; node < nodes; node++) {
		node_do(node, "ACL", "SETUSER", "default", rule);
	}
}

static void where_no_sweep_can_be_noted_there_is_one_all_the_same(void **state)
{
	(void) state;
	begin(2);
	node_do(0, "HDEL", HOSTS, "swept");
	node_do(1, "HDEL", HOSTS, "swept");
	allow(2, "-hset");
	turn_until(atomic_load(&desk->host->cluster->sweep.finished) == 1);
	turn_for(15 * SECOND);
	allow(2, "+hset");
	assert_int_equal(atomic_load(&desk->host->cluster->sweep.finished), 1);
	end();
}

/* It was served, and will not go; when its host lives and dies once more, it is served again. */
static void a_dead_hosts_line_that_can_not_be_deleted_is_served_once(void **state)
{
	(void) state;
	begin(2);
	allow(1, "-hdel");
	other_says(9, (uint64_t) mms_clock_wall().ms - 60000, true);
	turn_until(atomic_load(&desk->host->cluster->sweep.finished) == 1);
	turn_for(15 * SECOND);
	assert_true(field_exists(0, HOSTS, OTHER));
	assert_int_equal(atomic_load(&desk->host->cluster->sweep.finished), 1);
	other_says(10, (uint64_t) mms_clock_wall().ms - 60000, true);
	turn_until(atomic_load(&desk->host->cluster->sweep.finished) == 2);
	turn_for(5 * SECOND);
	assert_int_equal(atomic_load(&desk->host->cluster->sweep.finished), 2);
	allow(1, "+hdel");
	end();
}

static void a_dead_hosts_marker_that_can_not_be_deleted_is_served_once(void **state)
{
	(void) state;
	begin(3);
	allow(1, "-hdel");
	other_says(9, (uint64_t) mms_clock_wall().ms - 60000, true);
	behind_by(0, 1, OTHER, "token");
	turn_until(atomic_load(&desk->host->cluster->nodes[1].repair.finished) == 1);
	turn_for(15 * SECOND);
	assert_true(is_behind_by(0, 1, OTHER));
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].repair.finished), 1);
	other_says(10, (uint64_t) mms_clock_wall().ms - 60000, true); /* it lives, and misses more under the same marker */
	turn_for(2 * SECOND);
	turn_until(atomic_load(&desk->host->cluster->nodes[1].repair.finished) == 2);
	allow(1, "+hdel");
	end();
}

static uint64_t own_beat(void)
{
	struct mms_life life;
	char name[MMS_LIFE_NAME_MAX];
	struct mms_reply *reply;

	mms_life_name("web1", mms_shm_life(desk->office.shm, desk->office.cluster), name);
	reply = node_ask(1, "HGET", HOSTS, name);
	assert_true(mms_life_parse(mms_reply_text(reply), &life));
	mms_reply_free(reply);
	return life.beat;
}

/* Another host has scanned the node, and had heard of us by this beat when it began. */
static void other_has_scanned(uint64_t beat)
{
	char text[MMS_LIFE_NAME_MAX + MMS_MARKER_VALUE_MAX + 64], name[MMS_LIFE_NAME_MAX];

	mms_life_name("web1", mms_shm_life(desk->office.shm, desk->office.cluster), name);
	snprintf(text, sizeof(text), "%s\n%s\n%s %llu\n", desk_link(desk, 1)->marker, OTHER " 5", name, (unsigned long long) beat);
	node_do(1, "SET", RIG_PREFIX ":scanned", text);
}

/* A node that was away for long is compared once, not once by every host that has missed more than hints hold. */
static void what_another_hosts_scan_has_brought_is_not_scanned_for_again(void **state)
{
	struct mms_hints_sh *hints;
	uint64_t before;

	(void) state;
	begin(2);
	look_at_markers = true;
	put_numbered(0, 0, 20);
	hints = &desk->host->cluster->hints;
	node_do(1, "SET", LEASE, "another's");
	turn_for(2 * SECOND);
	before = own_beat();
	mms_hints_overflow(hints, bit(1));
	turn_for(3 * SECOND);
	assert_true(own_beat() > before + 1);
	other_has_scanned(own_beat());
	node_do(1, "DEL", LEASE);
	turn_until(!mms_hints_overflowed(hints, 1));
	turn_for(3 * SECOND);
	assert_int_equal(host_metric(desk->host, MMS_METRIC_repair_scanned), 0);
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].repair.finished), 0);
	/* One that began before this was missed says nothing, and nor does one of another incarnation. */
	node_do(1, "SET", LEASE, "another's");
	before = own_beat();
	mms_hints_overflow(hints, bit(1));
	turn_for(3 * SECOND);
	other_has_scanned(before);
	node_do(1, "DEL", LEASE);
	turn_until(!mms_hints_overflowed(hints, 1));
	assert_true(has_numbered(1, 0, 20));
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].repair.finished), 1);
	end();
}

static void a_scan_tells_other_hosts_how_far_it_had_heard_of_them(void **state)
{
	struct mms_reply *reply;

	(void) state;
	begin(2);
	put_numbered(0, 0, 20);
	other_says(17, 1, true);
	empty(1);
	turn_until(is_complete(1));
	turn_for(SECOND);
	reply = node_ask(1, "GET", RIG_PREFIX ":scanned");
	assert_true(mms_scanned_covers(mms_reply_text(reply), mms_slice_of(desk_link(desk, 1)->marker), slice(OTHER), 17));
	assert_false(mms_scanned_covers(mms_reply_text(reply), mms_slice_of(desk_link(desk, 1)->marker), slice(OTHER), 18));
	mms_reply_free(reply);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_publishes_that_it_lives),
		cmocka_unit_test(a_node_is_not_complete_before_every_host_has_settled_it),
		cmocka_unit_test(nor_before_every_host_has_met_it),
		cmocka_unit_test(a_dead_host_makes_one_compare_all_that_is_younger_than_its_watermark),
		cmocka_unit_test(short_offices_notice_the_dead_too),
		cmocka_unit_test(who_beats_is_alive_to_short_offices),
		cmocka_unit_test(a_node_alone_is_complete_again_after_an_unclean_end),
		cmocka_unit_test(with_a_node_missing_the_dead_stay_written_down),
		cmocka_unit_test(with_a_node_missing_each_of_the_dead_is_served),
		cmocka_unit_test(a_host_that_beats_again_was_not_dead),
		cmocka_unit_test(a_dead_hosts_marker_has_its_node_scanned_and_goes),
		cmocka_unit_test(a_marker_of_a_host_that_was_only_silent_stays),
		cmocka_unit_test(a_marker_of_a_host_that_lived_during_the_scan_and_died_stays_until_the_next),
		cmocka_unit_test(a_successor_knows_that_it_lived_during_the_scan),
		cmocka_unit_test(a_marker_stays_when_nobody_listened_during_the_scan),
		cmocka_unit_test(a_successor_clears_the_marker_of_one_that_was_silent_all_the_time),
		cmocka_unit_test(after_a_pause_markers_are_trusted_when_they_have_been_looked_at),
		cmocka_unit_test(cut_off_from_all_nodes_is_a_pause),
		cmocka_unit_test(lines_that_no_host_wrote_are_in_nobodys_way),
		cmocka_unit_test(a_marker_by_address_is_found_too),
		cmocka_unit_test(a_living_hosts_marker_is_its_own_business),
		cmocka_unit_test(a_marker_that_changed_during_the_scan_stays_until_the_next),
		cmocka_unit_test(a_life_that_ends_in_order_takes_its_entries_back),
		cmocka_unit_test(a_life_that_was_stopped_takes_nothing_back_before_it_has_looked),
		cmocka_unit_test(the_watermark_waits_for_the_mailbox_and_for_markers),
		cmocka_unit_test(everything_is_compared_now_and_then),
		cmocka_unit_test(a_sweep_is_noted_and_judged_by_the_nodes_clocks),
		cmocka_unit_test(whatever_the_notes_say_a_life_compares_everything_once_in_an_interval),
		cmocka_unit_test(a_watermark_of_a_time_that_nobody_believes_comes_back),
		cmocka_unit_test(where_no_sweep_was_noted_everything_is_compared),
		cmocka_unit_test(where_no_sweep_can_be_noted_there_is_one_all_the_same),
		cmocka_unit_test(a_dead_hosts_line_that_can_not_be_deleted_is_served_once),
		cmocka_unit_test(a_dead_hosts_marker_that_can_not_be_deleted_is_served_once),
		cmocka_unit_test(what_another_hosts_scan_has_brought_is_not_scanned_for_again),
		cmocka_unit_test(a_scan_tells_other_hosts_how_far_it_had_heard_of_them),
	};

	return rig_run(tests);
}
