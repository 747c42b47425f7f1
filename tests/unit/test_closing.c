/* What the replicator says on nodes about this host's reservations, and when it must not.
 * TEST LINK: mms_greeting */
#include "greeted.h"

#include "mms_closed.h"
#include "mms_closing.h"

struct bench {
	struct desk *desk;
	struct mms_closing *closing;
	struct mms_reservation_sh *places[3];
};

static struct bench bench_open(unsigned nodes)
{
	struct bench bench;

	rig_fresh();
	bench.desk = desk_open(host_new(nodes, "web1"));
	for (unsigned node = 0; node < nodes; node++) {
		desk_greet(bench.desk, node);
	}
	bench.closing = mms_closing_new(&bench.desk->office);
	assert_non_null(bench.closing);
	for (unsigned i = 0; i < 3; i++) {
		bench.places[i] = mms_reservation_claim(mms_shm_reservations(bench.desk->host->shm));
	}
	return bench;
}

static void bench_close(struct bench *bench)
{
	mms_closing_free(bench->closing);
	desk_close(bench->desk);
}

static uint64_t reserve(struct bench *bench, unsigned place)
{
	uint64_t sequence = mms_reservation_take(bench->places[place], &bench->desk->host->shm->write_sequence);

	atomic_store(&bench->desk->host->cluster->reserved, sequence);
	return sequence;
}

static void push(struct bench *bench)
{
	static const char id[] = "pushed";
	struct mms_version version = { .hlc = 5, .writer = 1, .sequence = 1 };
	struct mms_parcel parcel = { .kind = MMS_PARCEL_PUT, .ttl_ms = RIG_TTL_MS };
	struct sample sample;

	sample_make(&sample, id, &version, "payload");
	parcel.key = key_of(id);
	parcel.header = sample.bytes;
	parcel.payload = (struct mms_slice){ "payload", 7 };
	assert_true(mms_mailbox_push(&bench->desk->host->cluster->mailbox, &parcel, mms_clock_mono(), NULL));
}

static void deliver(struct bench *bench, unsigned node)
{
	desk_link(bench->desk, node)->ack_position = mms_mailbox_head(&bench->desk->host->cluster->mailbox);
}

/* Runs for as long as a few words take. */
static void run(struct bench *bench)
{
	int64_t until = now_us() + 70000;

	while (now_us() < until) {
		desk_turn(bench->desk);
		mms_closing_run(bench->closing);
	}
}

static uint64_t mapping_of(const struct bench *bench)
{
	return mms_shm_writer(bench->desk->host->shm, bench->desk->host->cluster, bench->desk->host->settings.host_hash);
}

/* What stands on the node; false = nothing. */
static bool said(struct bench *bench, unsigned node, struct mms_closed *closed)
{
	char key[MMS_PREFIX_MAX + MMS_CLOSED_KEY_EXTRA];
	struct mms_reply *reply;
	bool found;

	(void)mms_closed_key(RIG_PREFIX, mapping_of(bench), key, sizeof key);
	reply = node_ask(node, "GET", key);
	found = mms_reply_type(reply) == MMS_REPLY_STRING;
	if (found) {
		assert_true(mms_closed_decode(mms_reply_text(reply), mapping_of(bench), closed));
	}
	mms_reply_free(reply);
	return found;
}

static bool is_closed(struct bench *bench, unsigned node, uint64_t sequence)
{
	struct mms_closed closed;

	return said(bench, node, &closed) && mms_closed_has(&closed, sequence);
}

/* So that the next reservation is above what was begun with. */
static void begin(struct bench *bench)
{
	(void)reserve(bench, 0);
	mms_reservation_end(bench->places[0]);
	run(bench);
}

static void says_nothing_while_nobody_reserves(void **state)
{
	struct bench bench = bench_open(2);
	struct mms_closed closed;

	(void)state;
	run(&bench);
	assert_false(said(&bench, 0, &closed));
	assert_true(mms_closing_next_us(bench.closing) == INT64_MAX);
	bench_close(&bench);
}

/* There is no room on the connection now: it is said when there is. */
static void what_could_not_be_asked_is_said_later(void **state)
{
	struct bench bench = bench_open(2);
	struct mms_link *link = desk_link(bench.desk, 0);
	int64_t until;
	uint64_t sequence;
	uint32_t count;

	(void)state;
	begin(&bench);
	desk_await(bench.desk, link->request_count == 0);
	sequence = reserve(&bench, 0);
	mms_reservation_end(bench.places[0]);
	count = link->request_count;
	link->request_count = MMS_LINK_WINDOW;
	until = now_us() + 70000;
	while (now_us() < until) {
		bench.desk->office.now = mms_clock_mono();
		mms_closing_run(bench.closing);
	}
	link->request_count = count;
	assert_false(is_closed(&bench, 0, sequence));
	run(&bench);
	assert_true(is_closed(&bench, 0, sequence));
	bench_close(&bench);
}

/* Sessions go on as before, but for reads that ask all nodes: a warning, and no stream of attempts. */
static void a_node_that_does_not_let_us_is_told_of(void **state)
{
	struct bench bench = bench_open(2);
	struct mms_note_sh *note = &bench.desk->host->cluster->nodes[0].refusal;
	char text[MMS_NOTE_TEXT_SIZE];
	uint64_t sequence;

	(void)state;
	begin(&bench);
	node_do(0, "ACL", "SETUSER", "default", "-set");
	sequence = reserve(&bench, 0);
	mms_reservation_end(bench.places[0]);
	run(&bench);
	run(&bench);
	node_do(0, "ACL", "SETUSER", "default", "+set");
	run(&bench);
	assert_false(is_closed(&bench, 0, sequence)); /* it is asked again in a few seconds */
	assert_true(is_closed(&bench, 1, sequence));
	assert_int_equal(atomic_load(&note->active), 1);
	(void)mms_note_read(note, text, sizeof text);
	assert_non_null(strstr(text, "server refused SET of " RIG_PREFIX ":ct:*: NOPERM"));
	bench_close(&bench);
}

static void closes_what_is_over_around_what_is_open(void **state)
{
	struct bench bench = bench_open(2);
	uint64_t first, second, third;

	(void)state;
	begin(&bench);
	first = reserve(&bench, 0);
	second = reserve(&bench, 1);
	third = reserve(&bench, 2);
	mms_reservation_end(bench.places[0]);
	mms_reservation_end(bench.places[2]);
	run(&bench);
	for (unsigned node = 0; node < 2; node++) {
		assert_true(is_closed(&bench, node, first));
		assert_false(is_closed(&bench, node, second));
		assert_true(is_closed(&bench, node, third));
	}
	mms_reservation_end(bench.places[1]);
	run(&bench);
	assert_true(is_closed(&bench, 0, second));
	assert_true(is_closed(&bench, 1, second));
	bench_close(&bench);
}

static void waits_for_the_node_to_acknowledge(void **state)
{
	struct bench bench = bench_open(2);
	uint64_t sequence;

	(void)state;
	begin(&bench);
	sequence = reserve(&bench, 0);
	push(&bench);
	mms_reservation_end(bench.places[0]);
	deliver(&bench, 0);
	run(&bench);
	assert_true(is_closed(&bench, 0, sequence));
	assert_false(is_closed(&bench, 1, sequence));
	deliver(&bench, 1);
	run(&bench);
	assert_true(is_closed(&bench, 1, sequence));
	bench_close(&bench);
}

static void waits_for_the_last_hint(void **state)
{
	struct bench bench = bench_open(2);
	struct mms_version version = { .hlc = 5, .writer = 1, .sequence = 1 };
	struct mms_mono later = { mms_clock_mono().us + 60000000 };
	struct sample sample;
	uint64_t sequence;

	(void)state;
	begin(&bench);
	sequence = reserve(&bench, 0);
	sample_make(&sample, "hinted", &version, "payload");
	assert_true(mms_hints_add(&bench.desk->host->cluster->hints, key_of("hinted"), sample.bytes, 2, later,
			mms_clock_mono()));
	mms_reservation_end(bench.places[0]);
	run(&bench);
	assert_true(is_closed(&bench, 0, sequence));
	assert_false(is_closed(&bench, 1, sequence));
	mms_hints_settle(&bench.desk->host->cluster->hints, key_of("hinted"), 1, &version);
	run(&bench);
	assert_true(is_closed(&bench, 1, sequence));
	bench_close(&bench);
}

/* What an emptied or restarted node had acknowledged is worth nothing. */
static void starts_above_everything_when_its_key_is_gone(void **state)
{
	struct bench bench = bench_open(2);
	uint64_t before, after;

	(void)state;
	begin(&bench);
	before = reserve(&bench, 0);
	mms_reservation_end(bench.places[0]);
	run(&bench);
	assert_true(is_closed(&bench, 1, before));
	mms_reply_free(node_ask(1, "FLUSHALL", "ASYNC"));
	(void)reserve(&bench, 0);
	mms_reservation_end(bench.places[0]);
	run(&bench);
	run(&bench);
	assert_false(is_closed(&bench, 1, before));
	after = reserve(&bench, 0);
	mms_reservation_end(bench.places[0]);
	run(&bench);
	assert_true(is_closed(&bench, 1, after));
	assert_false(is_closed(&bench, 1, before));
	assert_true(is_closed(&bench, 0, before));
	bench_close(&bench);
}

static void starts_above_everything_on_another_server(void **state)
{
	struct bench bench = bench_open(1);
	uint64_t before, after;

	(void)state;
	begin(&bench);
	before = reserve(&bench, 0);
	atomic_fetch_add(&bench.desk->host->cluster->nodes[0].run_hash, 1); /* as the greeting of a restarted one does */
	mms_reservation_end(bench.places[0]);
	run(&bench);
	assert_false(is_closed(&bench, 0, before));
	after = reserve(&bench, 0);
	mms_reservation_end(bench.places[0]);
	run(&bench);
	assert_true(is_closed(&bench, 0, after));
	assert_false(is_closed(&bench, 0, before));
	bench_close(&bench);
}

static void adds_nothing_while_hints_are_lost_and_starts_above_that(void **state)
{
	struct bench bench = bench_open(1);
	_Atomic uint64_t *overflow_mask;
	uint64_t lost, after;

	(void)state;
	begin(&bench);
	overflow_mask = &bench.desk->host->cluster->hints.overflow_mask;
	atomic_store(overflow_mask, 1);
	lost = reserve(&bench, 0);
	mms_reservation_end(bench.places[0]);
	run(&bench);
	assert_false(is_closed(&bench, 0, lost));
	atomic_store(overflow_mask, 0);
	run(&bench);
	after = reserve(&bench, 0);
	mms_reservation_end(bench.places[0]);
	run(&bench);
	assert_false(is_closed(&bench, 0, lost));
	assert_true(is_closed(&bench, 0, after));
	bench_close(&bench);
}

static void a_successor_goes_on_with_the_same_server(void **state)
{
	struct bench bench = bench_open(1);
	uint64_t before;

	(void)state;
	begin(&bench);
	before = reserve(&bench, 0);
	mms_reservation_end(bench.places[0]);
	mms_closing_free(bench.closing);
	bench.closing = mms_closing_new(&bench.desk->office);
	run(&bench);
	assert_true(is_closed(&bench, 0, before));
	bench_close(&bench);
}

static void is_quiet_again_after_the_last_one(void **state)
{
	struct bench bench = bench_open(1);
	int64_t until;

	(void)state;
	begin(&bench);
	(void)reserve(&bench, 1); /* stays open: nothing more is known of it */
	run(&bench);
	assert_true(mms_closing_next_us(bench.closing) < INT64_MAX);
	until = now_us() + 1300000;
	while (now_us() < until) {
		desk_turn(bench.desk);
		mms_closing_run(bench.closing);
	}
	assert_true(mms_closing_next_us(bench.closing) == INT64_MAX);
	assert_int_equal(desk_link(bench.desk, 0)->request_count, 0);
	bench_close(&bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_nothing_while_nobody_reserves),
		cmocka_unit_test(what_could_not_be_asked_is_said_later),
		cmocka_unit_test(a_node_that_does_not_let_us_is_told_of),
		cmocka_unit_test(closes_what_is_over_around_what_is_open),
		cmocka_unit_test(waits_for_the_node_to_acknowledge),
		cmocka_unit_test(waits_for_the_last_hint),
		cmocka_unit_test(starts_above_everything_when_its_key_is_gone),
		cmocka_unit_test(starts_above_everything_on_another_server),
		cmocka_unit_test(adds_nothing_while_hints_are_lost_and_starts_above_that),
		cmocka_unit_test(a_successor_goes_on_with_the_same_server),
		cmocka_unit_test(is_quiet_again_after_the_last_one),
	};

	return rig_run(tests);
}
