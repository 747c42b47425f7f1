/* Writes: who must have taken it before PHP is answered, what becomes of the rest, and what stands in the way. */
#include "fake.h"

#include <poll.h>

#include "mms_write.h"

#define OLD_MS 5000

static struct mms_write_result result;
static struct mms_write_order order;
static struct sample written;

/* Puts `written` (made by the caller), or what `order` has been set up for. */
static enum mms_status write_order(struct host *host)
{
	host_calm(host);
	return mms_write_record(host->client, &order, host_deadline(host), &result);
}

static void prepare(const char *id, const struct mms_version *version, const char *payload)
{
	sample_make(&written, id, version, payload);
	order = (struct mms_write_order){
		.kind = MMS_PARCEL_PUT,
		.key = key_of(id),
		.header_bytes = written.bytes,
		.payload = { (const char *) written.bytes + MMS_RECORD_HEADER_SIZE, written.len - MMS_RECORD_HEADER_SIZE },
		.ttl_ms = RIG_TTL_MS,
		.acks_needed = 1,
	};
}

static void prepare_now(const char *id, const char *payload)
{
	const struct mms_version version = { .hlc = stamp_ago(0), .writer = 1, .sequence = 1 };

	prepare(id, &version, payload);
}

static void prepare_tombstone(const char *id)
{
	const struct mms_version version = { .hlc = stamp_ago(0), .writer = 1, .sequence = 1, .tombstone = true };

	prepare(id, &version, "");
	order.everywhere = true;
}

static enum mms_status write_now(struct host *host, const char *id, const char *payload)
{
	prepare_now(id, payload);
	return write_order(host);
}

static void fill_mailbox(struct host *host)
{
	struct sample filler;
	struct mms_parcel parcel = { .kind = MMS_PARCEL_PUT, .header = filler.bytes, .ttl_ms = RIG_TTL_MS };

	sample_aged(&filler, "filler", 0, "");
	parcel.key = key_of("filler");
	while (mms_mailbox_push(&host->cluster->mailbox, &parcel, mms_clock_mono(), NULL)) {
	}
}

static bool hinted(const struct host *host, unsigned node)
{
	struct mms_hint hint;

	return hint_of(host, node, &hint) && hint.key_len == order.key.len
			&& memcmp(hint.key, order.key.ptr, hint.key_len) == 0
			&& memcmp(hint.header, order.header_bytes, MMS_RECORD_HEADER_SIZE) == 0;
}

static void one_node_answers_and_the_mailbox_has_the_rest(void **state)
{
	struct mms_mailbox_item item;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	node_forget_calls(1);
	assert_int_equal(write_now(host, "s", "data"), MMS_OK);
	assert_true(result.acked_mask == 1);
	assert_false(result.met_newer);
	assert_true(node_holds(0, "s", &written));
	assert_in_range(node_number(0, "PTTL", RIG_PREFIX "s"), RIG_TTL_MS / 2, RIG_TTL_MS);
	assert_int_equal(node_number(0, "DBSIZE", NULL), 1);
	assert_int_equal(node_calls(1, "set"), 0);
	assert_int_equal(mailbox_count(host), 1);
	item = mailbox_last(host);
	assert_int_equal(item.kind, MMS_PARCEL_PUT);
	assert_true(item.settled);
	assert_true(item.have_mask == 1);
	assert_int_equal(item.ttl_ms, RIG_TTL_MS);
	assert_memory_equal(item.record.ptr, written.bytes, written.len);
	host_free(host);
}

static void a_sleeping_replicator_is_woken(void **state)
{
	struct pollfd wake;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	wake = (struct pollfd){ atomic_load(&host->cluster->wake_fd), POLLIN, 0 };
	assert_int_equal(write_now(host, "s", "data"), MMS_OK);
	assert_int_equal(poll(&wake, 1, 0), 0);
	assert_true(mms_mailbox_fall_asleep(&host->cluster->mailbox, mms_mailbox_head(&host->cluster->mailbox)));
	assert_int_equal(write_now(host, "s", "more"), MMS_OK);
	assert_int_equal(poll(&wake, 1, 0), 1);
	host_free(host);
}

static void the_next_usable_node_takes_it(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	node_kill(0);
	host = host_new(3, "web1");
	assert_int_equal(write_now(host, "s", "data"), MMS_OK);
	/* Two of them: another host may leave its own node out while that is slow. */
	assert_true(result.acked_mask == (bit(1) | bit(2)));
	assert_true(node_holds(1, "s", &written));
	assert_true(node_holds(2, "s", &written));
	assert_true(mailbox_last(host).have_mask == (bit(1) | bit(2)));
	assert_int_equal(host_metric(host, MMS_METRIC_failovers), 1);
	host_open_breaker(host, 1, MMS_FAULT_WRITE_ONLY);
	assert_int_equal(write_now(host, "s", "again"), MMS_OK);
	assert_true(result.acked_mask == bit(2));
	host_free(host);
}

static void a_silent_local_node_is_followed_by_a_peer_within_the_budget(void **state)
{
	struct host *host;
	int64_t before;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	host->client->settings.read_timeout_ms = 60;
	node_stop(0);
	before = now_us();
	assert_int_equal(write_now(host, "s", "data"), MMS_OK);
	assert_in_range(now_us() - before, 60000, 3000000);
	assert_true(result.acked_mask == bit(1));
	host_free(host);
}

static void a_full_server_stays_readable_and_a_peer_takes_it(void **state)
{
	struct host *host;
	char text[MMS_BREAKER_TEXT_SIZE];

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	node_do(0, "CONFIG", "SET", "maxmemory", "1");
	assert_int_equal(write_now(host, "s", "data"), MMS_OK);
	assert_true(result.acked_mask == bit(1));
	assert_true(mms_client_can_read(host->client, 0));
	assert_false(mms_client_can_write(host->client, 0));
	mms_breaker_last_error(&host->cluster->nodes[0].breaker, text, sizeof(text));
	assert_non_null(strstr(text, "node n0 ("));
	assert_non_null(strstr(text, "): server answered: OOM command not allowed when used memory > 'maxmemory': raise the server's "
			"maxmemory, or remove what else it holds"));
	host_free(host);
}

static void a_read_only_server_is_passed_over(void **state)
{
	static const struct {
		const char *answer, *end;
	} refusals[] = {
		{ "-READONLY You can't write against a read only replica.\r\n", "replica: it is a replica: REPLICAOF NO ONE, or list its "
			"master instead" },
		{ "-MISCONF Errors writing to the AOF file: No space left on device\r\n", "on device: see its log and the space on its "
			"disk, or set appendonly no" },
		{ "-NOREPLICAS Not enough good replicas to write.\r\n", "to write: set min-replicas-to-write 0, mmsession does the "
			"copying" },
	};
	char text[MMS_BREAKER_TEXT_SIZE];
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	host = host_with_fake(2, 0, fake);
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		memset(&host->cluster->nodes[0].breaker, 0, sizeof(host->cluster->nodes[0].breaker));
		fake_release(fake);
		fake_says(fake, "SET", refusals[i].answer, -1);
		assert_int_equal(write_now(host, "s", "data"), MMS_OK);
		assert_true(result.acked_mask == bit(1));
		assert_true(mms_client_can_read(host->client, 0));
		assert_false(mms_client_can_write(host->client, 0));
		mms_breaker_last_error(&host->cluster->nodes[0].breaker, text, sizeof(text));
		assert_non_null(strstr(text, "node n0 ("));
		assert_non_null(strstr(text, refusals[i].end));
		assert_string_equal(strstr(text, refusals[i].end), refusals[i].end);
	}
	host_free(host);
	fake_free(fake);
}

static void when_no_node_takes_it_the_error_names_one_and_the_mailbox_keeps_it(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	node_kill(0);
	node_kill(1);
	assert_int_equal(write_now(host, "s", "data"), MMS_ERR_NO_NODE);
	assert_true(result.acked_mask == 0);
	assert_non_null(strstr(result.error.text, "connect"));
	assert_true(mailbox_last(host).settled);
	assert_true(mailbox_last(host).have_mask == 0);
	/* Known to be down: nobody is asked, and the message says so. */
	assert_int_equal(write_now(host, "s", "data"), MMS_ERR_NO_NODE);
	assert_non_null(strstr(result.error.text, "0 of 2 nodes took it"));
	host_free(host);
}

static void the_budget_holds_with_silent_nodes(void **state)
{
	static const uint32_t acks[] = { 1, 3 };
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	host->settings.budget_ms = 60;
	for (unsigned i = 0; i < 3; i++) {
		node_stop(i);
	}
	for (int i = 0; i < 2; i++) {
		const int64_t before = now_us();

		prepare_now("s", "data");
		order.acks_needed = acks[i];
		assert_int_equal(write_order(host), MMS_ERR_NO_NODE);
		assert_in_range(now_us() - before, 60000, 3000000);
		assert_non_null(strstr(result.error.text, "no answer"));
	}
	host_free(host);
}

static void flushed_scripts_are_loaded_again(void **state)
{
	const struct mms_version earlier = { .hlc = stamp_ago(OLD_MS), .writer = 1, .sequence = 1 };
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	prepare("s", &earlier, "first");
	assert_int_equal(write_order(host), MMS_OK);
	assert_false(result.over_unread);
	node_do(0, "SCRIPT", "FLUSH");
	assert_int_equal(write_now(host, "s", "second"), MMS_OK);
	assert_true(result.acked_mask == 1);
	assert_true(result.over_unread); /* it is based on nothing */
	assert_true(node_holds(0, "s", &written));
	assert_int_equal(host_metric(host, MMS_METRIC_noscripts), 1);
	assert_true(mms_client_can_write(host->client, 0));
	order.kind = MMS_PARCEL_TOUCH;
	node_do(0, "SCRIPT", "FLUSH");
	assert_int_equal(write_order(host), MMS_OK);
	assert_int_equal(host_metric(host, MMS_METRIC_noscripts), 2);
	host_free(host);
}

static void scripts_flushed_on_all_nodes_are_loaded_again_on_each_once(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	prepare_now("other", "data");
	order.everywhere = true;
	assert_int_equal(write_order(host), MMS_OK); /* connections to all, with scripts */
	prepare_now("s", "data");
	order.everywhere = true;
	for (unsigned node = 0; node < 3; node++) {
		node_do(node, "SCRIPT", "FLUSH");
		node_forget_calls(node);
	}
	assert_int_equal(write_order(host), MMS_OK);
	assert_int_equal(result.acked_mask, 7);
	assert_int_equal(host_metric(host, MMS_METRIC_noscripts), 3);
	for (unsigned node = 0; node < 3; node++) {
		assert_int_equal(node_calls(node, "evalsha"), 2);
		assert_true(node_holds(node, "s", &written));
	}
	host_free(host);
}

static void scripts_that_are_never_there_do_not_loop(void **state)
{
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	host = host_with_fake(2, 0, fake);
	fake_says(fake, "EVALSHA", "-NOSCRIPT No matching script. Please use EVAL.\r\n", -1);
	assert_int_equal(write_now(host, "s", "data"), MMS_OK);
	assert_true(result.acked_mask == bit(1));
	assert_int_equal(fake_hits(fake, 0), 2);
	host_free(host);
	fake_free(fake);
}

static void a_damaged_record_in_the_way_is_replaced(void **state)
{
	struct sample damaged;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	for (size_t at = 0; at < MMS_RECORD_HEADER_SIZE; at++) {
		sample_aged(&damaged, "s", OLD_MS, "old data");
		damaged.bytes[at] ^= 0x80; /* the highest bit of a stamp: newer than everything */
		node_put(0, "s", &damaged);
		assert_int_equal(write_now(host, "s", "data"), MMS_OK);
		assert_true(result.acked_mask == 1);
		assert_false(result.foreign);
		assert_true(node_holds(0, "s", &written));
	}
	host_free(host);
}

/* The write of a request that ran at the same time, and that was newer, may have been there. */
static void where_a_damaged_record_was_replaced_all_nodes_are_to_be_compared(void **state)
{
	struct sample newer;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	sample_aged(&newer, "s", -10000, "newer");
	node_put(1, "s", &newer);
	newer.bytes[38] ^= 0x80; /* of its sequence */
	node_put(0, "s", &newer);
	assert_int_equal(write_now(host, "s", "data"), MMS_OK);
	assert_true(node_holds(0, "s", &written));
	assert_true(hinted(host, 0));
	assert_false(hinted(host, 1));
	assert_int_equal(host_metric(host, MMS_METRIC_hints_made), 1);
	host_free(host);
}

static void a_record_in_the_way_that_was_cut_is_replaced(void **state)
{
	struct sample damaged;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	sample_aged(&damaged, "s", -400, "a little newer"); /* by another host's clock */
	for (size_t len = 1; len < damaged.len; len++) {
		node_put_bytes(0, "s", damaged.bytes, len);
		assert_int_equal(write_now(host, "s", "data"), MMS_OK);
		assert_true(result.acked_mask == 1);
		assert_true(node_holds(0, "s", &written));
	}
	assert_int_equal(node_number(0, "DBSIZE", NULL), 1);
	host_free(host);
}

static void a_newer_record_stays_and_is_told(void **state)
{
	struct sample newer;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	sample_aged(&newer, "s", -10000, "newer");
	node_put(0, "s", &newer);
	assert_int_equal(write_now(host, "s", "data"), MMS_OK);
	assert_true(result.acked_mask == 1);
	assert_true(result.met_newer);
	assert_true(mms_version_compare(&result.newer.version, &newer.header.version) == 0);
	assert_true(node_holds(0, "s", &newer));
	host_free(host);
}

static void the_newest_of_what_was_met_is_told(void **state)
{
	struct sample newer, newest;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	sample_aged(&newest, "s", -20000, "newest");
	sample_aged(&newer, "s", -10000, "newer");
	node_put(0, "s", &newest);
	node_put(1, "s", &newer);
	prepare_now("s", "data");
	order.acks_needed = 2;
	assert_int_equal(write_order(host), MMS_OK);
	assert_true(mms_version_compare(&result.newer.version, &newest.header.version) == 0);
	host_free(host);
}

static void its_equal_is_a_success(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	assert_int_equal(write_now(host, "s", "data"), MMS_OK);
	assert_int_equal(write_order(host), MMS_OK);
	assert_true(result.acked_mask == 1);
	assert_false(result.met_newer);
	assert_false(result.over_unread);
	host_free(host);
}

static void a_foreign_key_is_never_overwritten(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	node_put_bytes(0, "s", "somebody's", 10);
	assert_int_equal(write_now(host, "s", "data"), MMS_OK);
	assert_true(result.foreign);
	assert_true(result.acked_mask == bit(1));
	node_do(1, "DEL", RIG_PREFIX "s");
	node_do(1, "RPUSH", RIG_PREFIX "s", "a list");
	assert_int_equal(write_now(host, "s", "data"), MMS_ERR_FOREIGN);
	assert_true(result.acked_mask == 0);
	assert_non_null(strstr(result.error.text, "mmsession.prefix"));
	assert_int_equal(node_number(0, "STRLEN", RIG_PREFIX "s"), 10);
	assert_int_equal(node_number(1, "LLEN", RIG_PREFIX "s"), 1);
	assert_true(mms_client_can_write(host->client, 0));
	assert_int_equal(node_number(0, "DBSIZE", NULL), 1); /* no tmp key is left */
	host_free(host);
}

static void as_many_nodes_as_asked_for_have_it(void **state)
{
	static const uint32_t acks[] = { 2, MMS_ACKS_QUORUM, 3, MMS_ACKS_ALL };
	static const uint64_t masks[] = { 3, 3, 7, 7 };
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	for (int i = 0; i < 4; i++) {
		host->client->settings.write_acks = acks[i];
		prepare_now("s", "data");
		order.acks_needed = mms_config_acks_needed(&host->client->settings);
		assert_int_equal(write_order(host), MMS_OK);
		assert_true(result.acked_mask == masks[i]);
		assert_true(mailbox_last(host).have_mask == masks[i]);
		for (unsigned node = 0; node < 3; node++) {
			assert_int_equal(node_number(node, "DEL", RIG_PREFIX "s"), masks[i] >> node & 1);
		}
	}
	host_free(host);
}

static void nodes_that_have_it_already_are_not_asked_and_count(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	node_forget_calls(0);
	prepare_now("s", "data");
	order.have_mask = bit(0);
	order.acks_needed = 2;
	assert_int_equal(write_order(host), MMS_OK);
	assert_true(result.acked_mask == 3);
	assert_int_equal(node_calls(0, "set"), 0);
	assert_false(node_holds(2, "s", &written));
	assert_true(mailbox_last(host).have_mask == 3);
	assert_int_equal(host_metric(host, MMS_METRIC_failovers), 0);
	host_free(host);
}

static void a_failure_names_who_took_it_and_why_the_others_did_not(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	node_do(1, "CONFIG", "SET", "maxmemory", "1");
	node_kill(2);
	prepare_now("s", "data");
	order.acks_needed = 3;
	assert_int_equal(write_order(host), MMS_ERR_NO_NODE);
	assert_non_null(strstr(result.error.text, "1 of 3 nodes took it (n0), 3 must: n1: server answered: OOM"));
	assert_non_null(strstr(result.error.text, "remove what else it holds; n2: connect: "));
	assert_int_equal(write_order(host), MMS_ERR_NO_NODE); /* known by now, not asked: what is remembered */
	assert_non_null(strstr(result.error.text, "1 of 3 nodes took it (n0), 3 must: n1: server answered: OOM"));
	assert_non_null(strstr(result.error.text, "remove what else it holds (takes no writes); n2: connect: "));
	assert_non_null(strstr(result.error.text, "(marked down)"));
	host_free(host);
}

static void a_missing_node_is_made_up_for_while_there_are_others(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	node_kill(0);
	prepare_now("s", "data");
	order.acks_needed = 2;
	assert_int_equal(write_order(host), MMS_OK);
	assert_true(result.acked_mask == 6);
	order.acks_needed = 3;
	assert_int_equal(write_order(host), MMS_ERR_NO_NODE);
	assert_true(result.acked_mask == 6);
	assert_true(mailbox_last(host).have_mask == 6);
	host_free(host);
}

static void a_tombstone_goes_to_all_and_one_is_enough(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	prepare_tombstone("s");
	assert_int_equal(write_order(host), MMS_OK);
	assert_true(result.acked_mask == 7);
	for (unsigned node = 0; node < 3; node++) {
		assert_true(node_has(node, "s", NULL, NULL));
	}
	node_kill(0);
	node_kill(1);
	prepare_tombstone("t");
	assert_int_equal(write_order(host), MMS_OK);
	assert_true(result.acked_mask == 4);
	assert_true(mailbox_last(host).have_mask == 4);
	host_free(host);
}

static void a_write_that_the_mailbox_does_not_take_goes_to_two_nodes_and_is_hinted(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	fill_mailbox(host);
	assert_int_equal(write_now(host, "s", "data"), MMS_OK);
	assert_true(result.acked_mask == 3);
	assert_true(node_holds(1, "s", &written));
	assert_false(hinted(host, 0));
	assert_false(hinted(host, 1));
	assert_true(hinted(host, 2));
	assert_int_equal(host_metric(host, MMS_METRIC_mailbox_full), 1);
	assert_int_equal(host_metric(host, MMS_METRIC_hints_made), 1);
	host_free(host);
}

/* The mailbox is full, no node answers, and the writer dies: whatever arrived somewhere is on no other node's account. */
static void a_writer_that_is_killed_leaves_hints_where_the_mailbox_is_full(void **state)
{
	struct host *host;
	pid_t child;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	fill_mailbox(host);
	for (unsigned node = 0; node < RIG_NODES; node++) {
		node_stop(node);
	}
	prepare_now("s", "data");
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		(void) write_order(host);
		_exit(0);
	}
	await(hinted(host, 0) && hinted(host, 1) && hinted(host, 2));
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_true(hinted(host, 0) && hinted(host, 1) && hinted(host, 2));
	host_free(host);
}

static void without_a_second_node_one_and_a_hint_must_do(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	fill_mailbox(host);
	node_kill(1);
	node_kill(2);
	assert_int_equal(write_now(host, "s", "data"), MMS_OK);
	assert_true(result.acked_mask == 1);
	assert_true(hinted(host, 1));
	assert_true(hinted(host, 2));
	host_free(host);
}

static void a_write_that_was_sent_to_nobody_leaves_no_hint_but_a_tombstone_does(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	fill_mailbox(host);
	node_kill(0);
	node_kill(1);
	host_open_breaker(host, 0, MMS_FAULT_HARD);
	host_open_breaker(host, 1, MMS_FAULT_HARD);
	assert_int_equal(write_now(host, "s", "data"), MMS_ERR_NO_NODE);
	assert_false(hinted(host, 0));
	prepare_tombstone("t");
	assert_int_equal(write_order(host), MMS_ERR_NO_NODE);
	assert_true(hinted(host, 0));
	assert_true(hinted(host, 1));
	host_free(host);
}

static unsigned nodes_that_took(struct host *host, const char *id)
{
	assert_int_equal(write_now(host, id, "data"), MMS_OK);
	return (unsigned) __builtin_popcountll(result.acked_mask);
}

/* There is no replicator here: as if it had been stopped when it beat last. */
static void while_nobody_mirrors_one_node_is_not_enough(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	atomic_store(&host->cluster->election.beat_us, now_us());
	assert_int_equal(nodes_that_took(host, "first"), 1); /* nothing waits */
	assert_int_equal(nodes_that_took(host, "soon"), 1);
	nap_us(60000);
	assert_int_equal(nodes_that_took(host, "late"), 2);
	assert_true(node_has(1, "late", "data", NULL));
	atomic_store(&host->cluster->election.beat_us, now_us());
	assert_int_equal(nodes_that_took(host, "beaten"), 1); /* it is at work */
	atomic_store(&host->cluster->election.beat_us, now_us() - 1000000);
	atomic_store(&host->cluster->mailbox.sleeping, 1); /* it has sent all, and waits for nodes that are far away */
	assert_int_equal(nodes_that_took(host, "far"), 1);
	assert_int_equal(atomic_load(&host->cluster->mailbox.sleeping), 0); /* woken, and it does not come */
	assert_int_equal(nodes_that_took(host, "stopped"), 2);
	node_kill(1);
	node_kill(2);
	assert_int_equal(nodes_that_took(host, "alone"), 1); /* there is no second one */
	host_free(host);
}

/* A request that was stopped between mailbox and node: the replicator may have gone on without it meanwhile. */
static void a_writer_that_comes_very_late_leaves_hints(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	host->client->settings.budget_ms = 60;
	host->client->settings.read_timeout_ms = 50;
	node_stop(0);
	(void) write_now(host, "in time", "data"); /* it waits for the silent node, and goes to the next */
	node_continue(0);
	assert_false(hinted(host, 1) || hinted(host, 2));
	host->client->settings.budget_ms = 1; /* so that a write is late whatever happens */
	host->client->settings.read_timeout_ms = 100;
	node_stop(0);
	node_stop(1);
	node_stop(2);
	prepare_now("late", "data");
	(void) mms_write_record(host->client, &order, (struct mms_mono){ now_us() + 20000 }, &result);
	for (unsigned node = 0; node < 3; node++) {
		node_continue(node);
		assert_true(hinted(host, node));
	}
	host_free(host);
}

/* The only node that can be reached has lost its scripts: so the record is sent to it once more, and no answer to that comes. It may be
 * stored there, and nowhere else; the replicator may have given up the entry by then. */
static void a_late_writer_whose_second_try_is_not_answered_leaves_hints(void **state)
{
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	host = host_with_fake(2, 0, fake);
	node_kill(1);
	host->client->settings.budget_ms = 1; /* so that a write is late whatever happens */
	fake_says(fake, "EVALSHA", "-NOSCRIPT No matching script. Please use EVAL.\r\n", 1);
	fake_holds(fake, "EVALSHA");
	prepare_now("s", "data");
	assert_int_equal(mms_write_record(host->client, &order, (struct mms_mono){ now_us() + 200000 }, &result), MMS_ERR_NO_NODE);
	assert_true(hinted(host, 0) && hinted(host, 1));
	host_free(host);
	fake_free(fake);
}

static void a_node_that_another_host_avoids_is_not_enough(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	assert_int_equal(write_now(host, "s", "one"), MMS_OK);
	assert_true(result.acked_mask == 1);
	atomic_store(&host->cluster->nodes[0].avoided, 1);
	assert_int_equal(write_now(host, "s", "two"), MMS_OK);
	assert_true(result.acked_mask == 3);
	atomic_store(&host->cluster->nodes[1].avoided, 1); /* not this one either, as long as there is another */
	assert_int_equal(write_now(host, "s", "three"), MMS_OK);
	assert_true(result.acked_mask == 5);
	host_free(host);
}

static void a_write_that_was_about_to_be_sent_leaves_a_hint_for_whoever_looks(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	fill_mailbox(host);
	node_kill(0);
	node_kill(1);
	assert_int_equal(write_now(host, "s", "data"), MMS_ERR_NO_NODE);
	assert_true(hinted(host, 0));
	assert_true(hinted(host, 1));
	host_free(host);
}

static void a_single_node_needs_no_second(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	fill_mailbox(host);
	assert_int_equal(write_now(host, "s", "data"), MMS_OK);
	assert_true(result.acked_mask == 1);
	assert_int_equal(mms_hints_count(&host->cluster->hints, 0), 0);
	host_free(host);
}

static void a_payload_too_large_for_the_mailbox_takes_the_other_way(void **state)
{
	static char large[RIG_MAILBOX / 2];
	struct mms_record_header header = { .version = { .hlc = stamp_ago(0), .writer = 1, .sequence = 1 } };
	unsigned char bytes[MMS_RECORD_HEADER_SIZE];
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	memset(large, 'x', sizeof(large));
	prepare_now("s", "");
	order.payload = (struct mms_slice){ large, sizeof(large) };
	mms_record_describe(&header, order.payload);
	mms_record_encode(&header, order.key, bytes);
	order.header_bytes = bytes;
	assert_int_equal(write_order(host), MMS_OK);
	assert_true(result.acked_mask == 3);
	assert_int_equal(node_number(1, "STRLEN", RIG_PREFIX "s"), sizeof(large) + MMS_RECORD_HEADER_SIZE);
	assert_true(hinted(host, 2));
	assert_int_equal(mailbox_count(host), 0);
	host_free(host);
}

static void a_touch_raises_the_ttl(void **state)
{
	struct mms_mailbox_item item;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	prepare_now("s", "data");
	node_put(0, "s", &written);
	node_do(0, "PEXPIRE", RIG_PREFIX "s", "100000");
	order.kind = MMS_PARCEL_TOUCH;
	assert_int_equal(write_order(host), MMS_OK);
	assert_in_range(node_number(0, "PTTL", RIG_PREFIX "s"), RIG_TTL_MS / 2, RIG_TTL_MS);
	assert_true(node_holds(0, "s", &written));
	item = mailbox_last(host);
	assert_int_equal(item.kind, MMS_PARCEL_TOUCH);
	assert_int_equal(item.record.len, MMS_RECORD_HEADER_SIZE);
	assert_true(item.have_mask == 1);
	host_free(host);
}

static void a_touch_brings_the_record_where_it_is_lacking(void **state)
{
	struct sample older;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	prepare_now("s", "data");
	order.kind = MMS_PARCEL_TOUCH;
	assert_int_equal(write_order(host), MMS_OK);
	assert_true(node_holds(0, "s", &written));
	sample_aged(&older, "s", OLD_MS, "older");
	node_put(0, "s", &older);
	assert_int_equal(write_order(host), MMS_OK);
	assert_true(result.acked_mask == 1);
	assert_true(node_holds(0, "s", &written));
	host_free(host);
}

static void a_touch_does_not_undo_what_is_newer(void **state)
{
	struct sample newer, tombstone;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	prepare_now("s", "data");
	order.kind = MMS_PARCEL_TOUCH;
	sample_aged(&newer, "s", -10000, "newer");
	node_put(0, "s", &newer);
	assert_int_equal(write_order(host), MMS_OK);
	assert_true(result.met_newer);
	assert_true(node_holds(0, "s", &newer));
	sample_tombstone(&tombstone, "s", OLD_MS);
	node_put(0, "s", &tombstone);
	assert_int_equal(write_order(host), MMS_OK);
	assert_true(result.met_newer);
	assert_true(node_holds(0, "s", &tombstone));
	host_free(host);
}

static void a_touch_of_a_foreign_key_changes_nothing(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	prepare_now("s", "data");
	order.kind = MMS_PARCEL_TOUCH;
	node_put_bytes(0, "s", "somebody's", 10);
	node_do(0, "PEXPIRE", RIG_PREFIX "s", "100000");
	assert_int_equal(write_order(host), MMS_ERR_FOREIGN);
	assert_in_range(node_number(0, "PTTL", RIG_PREFIX "s"), 1, 100000);
	host_free(host);
}

static void an_answer_cut_anywhere_is_no_acknowledgement(void **state)
{
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	host = host_with_fake(2, 0, fake);
	for (size_t cut = 1; cut < strlen(":1\r\n"); cut++) {
		memset(&host->cluster->nodes[0].breaker, 0, sizeof(host->cluster->nodes[0].breaker));
		fake_release(fake);
		fake_rule(fake, (struct fake_rule){ .verb = "EVALSHA", .act = FAKE_CUT, .cut_len = cut, .times = 1 });
		assert_int_equal(write_now(host, "s", "data"), MMS_OK);
		assert_true(result.acked_mask == bit(1));
		assert_true(mailbox_last(host).have_mask == bit(1));
	}
	host_free(host);
	fake_free(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_node_answers_and_the_mailbox_has_the_rest),
		cmocka_unit_test(a_sleeping_replicator_is_woken),
		cmocka_unit_test(the_next_usable_node_takes_it),
		cmocka_unit_test(a_silent_local_node_is_followed_by_a_peer_within_the_budget),
		cmocka_unit_test(a_full_server_stays_readable_and_a_peer_takes_it),
		cmocka_unit_test(a_read_only_server_is_passed_over),
		cmocka_unit_test(when_no_node_takes_it_the_error_names_one_and_the_mailbox_keeps_it),
		cmocka_unit_test(the_budget_holds_with_silent_nodes),
		cmocka_unit_test(flushed_scripts_are_loaded_again),
		cmocka_unit_test(scripts_flushed_on_all_nodes_are_loaded_again_on_each_once),
		cmocka_unit_test(scripts_that_are_never_there_do_not_loop),
		cmocka_unit_test(a_damaged_record_in_the_way_is_replaced),
		cmocka_unit_test(where_a_damaged_record_was_replaced_all_nodes_are_to_be_compared),
		cmocka_unit_test(a_record_in_the_way_that_was_cut_is_replaced),
		cmocka_unit_test(a_newer_record_stays_and_is_told),
		cmocka_unit_test(the_newest_of_what_was_met_is_told),
		cmocka_unit_test(its_equal_is_a_success),
		cmocka_unit_test(a_foreign_key_is_never_overwritten),
		cmocka_unit_test(as_many_nodes_as_asked_for_have_it),
		cmocka_unit_test(nodes_that_have_it_already_are_not_asked_and_count),
		cmocka_unit_test(a_failure_names_who_took_it_and_why_the_others_did_not),
		cmocka_unit_test(a_missing_node_is_made_up_for_while_there_are_others),
		cmocka_unit_test(a_tombstone_goes_to_all_and_one_is_enough),
		cmocka_unit_test(a_write_that_the_mailbox_does_not_take_goes_to_two_nodes_and_is_hinted),
		cmocka_unit_test(a_writer_that_is_killed_leaves_hints_where_the_mailbox_is_full),
		cmocka_unit_test(without_a_second_node_one_and_a_hint_must_do),
		cmocka_unit_test(a_write_that_was_sent_to_nobody_leaves_no_hint_but_a_tombstone_does),
		cmocka_unit_test(while_nobody_mirrors_one_node_is_not_enough),
		cmocka_unit_test(a_writer_that_comes_very_late_leaves_hints),
		cmocka_unit_test(a_late_writer_whose_second_try_is_not_answered_leaves_hints),
		cmocka_unit_test(a_node_that_another_host_avoids_is_not_enough),
		cmocka_unit_test(a_write_that_was_about_to_be_sent_leaves_a_hint_for_whoever_looks),
		cmocka_unit_test(a_single_node_needs_no_second),
		cmocka_unit_test(a_payload_too_large_for_the_mailbox_takes_the_other_way),
		cmocka_unit_test(a_touch_raises_the_ttl),
		cmocka_unit_test(a_touch_brings_the_record_where_it_is_lacking),
		cmocka_unit_test(a_touch_does_not_undo_what_is_newer),
		cmocka_unit_test(a_touch_of_a_foreign_key_changes_nothing),
		cmocka_unit_test(an_answer_cut_anywhere_is_no_acknowledgement),
	};

	return rig_run(tests);
}
