/* read = quorum: what counts, what is written back before the answer, what happens when there is no majority.
 * TEST LINK: mms_read */
#include "fake.h"

#include "mms_quorum.h"
#include "mms_read.h"

#define OLD_MS 5000
#define MARKER "unit::node"

static struct mms_answer answer;

/* As the store reads. */
static void read_id(struct host *host, const char *id)
{
	host_calm(host);
	mms_read_record(host->client, key_of(id), host_deadline(host), &answer);
	mms_quorum_write_back(host->client, key_of(id), host_deadline(host), &answer);
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

static void forgive(struct host *host)
{
	for (unsigned i = 0; i < RIG_NODES; i++) {
		memset(&host->cluster->nodes[i].breaker, 0, sizeof(host->cluster->nodes[i].breaker));
	}
}

static struct host *quorum_host(unsigned nodes)
{
	struct mms_settings settings;

	settings_default(&settings, nodes, "web1");
	settings.read_mode = MMS_READ_QUORUM;
	return host_with(&settings, RIG_MAILBOX);
}

static void assert_says(const char *text)
{
	if (strstr(answer.error.text, text) == NULL) {
		fail_msg("\"%s\" does not say \"%s\"", answer.error.text, text);
	}
}

static void assert_no_quorum(const char *how_many)
{
	assert_int_equal(answer.found, MMS_FOUND_UNREADABLE);
	assert_false(answer.authoritative);
	assert_null(answer.owner);
	assert_says("read = quorum");
	assert_says(how_many);
}

static void a_quorum_is_a_majority_of_nodes(void **state)
{
	struct sample older, newer;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&older, "s", 2 * OLD_MS, "older");
	sample_aged(&newer, "s", OLD_MS, "newer");
	node_put(0, "s", &older);
	node_put(1, "s", &newer);
	host = quorum_host(3);
	read_id(host, "s"); /* nobody has met the nodes yet: the request does, although it is no miss */
	assert_true(payload_is("newer"));
	assert_true(answer.authoritative);
	node_kill(2);
	read_id(host, "s");
	assert_true(payload_is("newer"));
	read_id(host, "none");
	assert_int_equal(answer.found, MMS_FOUND_NOTHING);
	assert_int_equal(host_metric(host, MMS_METRIC_failed_reads), 0);
	done(host);
}

static void without_a_majority_a_quorum_fails_and_says_why(void **state)
{
	struct sample sample;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&sample, "s", OLD_MS, "data");
	node_put(0, "s", &sample);
	host = quorum_host(3);
	read_id(host, "none"); /* all are met, and complete */
	node_kill(1);
	node_kill(2);
	for (int round = 0; round < 2; round++) { /* the second time they are known to be down */
		read_id(host, "s");
		assert_no_quorum("1 of 3");
		assert_says("n1: ");
		assert_says("n2: ");
		assert_says("connect");
	}
	read_id(host, "none");
	assert_no_quorum("1 of 3");
	assert_int_equal(mailbox_count(host), 0);
	assert_int_equal(host_metric(host, MMS_METRIC_failed_reads), 3);
	assert_int_equal(host_metric(host, MMS_METRIC_reads), 1); /* the one before */
	node_kill(0);
	read_id(host, "s");
	assert_no_quorum("0 of 3");
	done(host);
}

static void half_of_the_nodes_is_no_majority(void **state)
{
	struct sample sample;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&sample, "s", OLD_MS, "data");
	node_put(0, "s", &sample);
	host = quorum_host(2);
	read_id(host, "none"); /* all are met, and complete */
	node_kill(1);
	read_id(host, "s");
	assert_no_quorum("1 of 2");
	node_restart(1);
	memset(&host->cluster->nodes[1].breaker, 0, sizeof(host->cluster->nodes[1].breaker));
	read_id(host, "s"); /* it is back, and empty: its "no" counts for nothing */
	assert_no_quorum("1 of 2");
	node_put(1, "s", &sample); /* nor does its word when it agrees: so would that of an old dump */
	memset(host->client->run_hashes, 0, sizeof(host->client->run_hashes)); /* a new connection */
	read_id(host, "s");
	assert_no_quorum("1 of 2");
	done(host);
}

static void an_incomplete_node_does_not_count_for_a_quorum(void **state)
{
	struct sample sample;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&sample, "s", OLD_MS, "data");
	node_put(1, "s", &sample);
	host = quorum_host(3);
	read_id(host, "none");
	atomic_store(&host->cluster->nodes[1].complete, 0);
	read_id(host, "s"); /* two are left; what the third has counts all the same */
	assert_true(payload_is("data"));
	assert_false(answer.authoritative);
	atomic_store(&host->cluster->nodes[2].complete, 0);
	read_id(host, "s");
	assert_no_quorum("1 of 3");
	assert_says("n2: incomplete");
	read_id(host, "none");
	assert_no_quorum("1 of 3");
	atomic_store(&host->cluster->nodes[1].complete, 1);
	read_id(host, "s");
	assert_true(payload_is("data"));
	done(host);
}

static void damaged_and_foreign_copies_do_not_count(void **state)
{
	struct sample sample, damaged;
	struct host *host;

	(void) state;
	rig_fresh();
	host = quorum_host(3);
	read_id(host, "none");
	sample_aged(&sample, "s", OLD_MS, "data");
	damaged = sample;
	damaged.bytes[30] ^= 1;
	node_put(0, "s", &sample);
	node_put(1, "s", &damaged);
	node_do(2, "RPUSH", RIG_PREFIX "s", "a list");
	read_id(host, "s");
	assert_no_quorum("1 of 3");
	assert_says("n1: its copy is damaged");
	assert_says("n2: the key holds something");
	node_do(2, "DEL", RIG_PREFIX "s");
	read_id(host, "s");
	assert_true(payload_is("data"));
	assert_true(node_holds(1, "s", &sample));
	done(host);
}

static void the_newest_copy_is_written_back_before_the_answer(void **state)
{
	struct sample older, newer;
	struct mms_mailbox_item item;
	struct host *host;

	(void) state;
	rig_fresh();
	host = quorum_host(3);
	read_id(host, "none");
	for (unsigned holder = 0; holder < 3; holder++) {
		sample_aged(&older, "s", OLD_MS, "older");
		sample_aged(&newer, "s", -100, "newer"); /* young: with newest it would be taken to be on its way */
		for (unsigned i = 0; i < 3; i++) {
			node_put(i, "s", i == holder ? &newer : &older);
		}
		read_id(host, "s");
		assert_true(payload_is("newer"));
		assert_int_equal(__builtin_popcountll(answer.holders_mask), 2);
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(node_holds(i, "s", &newer), (answer.holders_mask >> i & 1));
		}
		item = mailbox_last(host); /* and the third gets it a moment later */
		assert_true(item.have_mask == answer.holders_mask);
		assert_int_equal(host_metric(host, MMS_METRIC_write_backs), holder + 1);
	}
	done(host);
}

static void what_a_majority_holds_is_not_written_again(void **state)
{
	struct sample sample;
	struct host *host;

	(void) state;
	rig_fresh();
	host = quorum_host(3);
	read_id(host, "none");
	sample_aged(&sample, "s", OLD_MS, "data");
	node_put(0, "s", &sample);
	node_put(2, "s", &sample);
	for (unsigned i = 0; i < 3; i++) {
		node_forget_calls(i);
	}
	read_id(host, "s");
	assert_true(payload_is("data"));
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(node_calls(i, "set"), 0);
	}
	assert_int_equal(host_metric(host, MMS_METRIC_write_backs), 0);
	assert_int_equal(mailbox_count(host), 1); /* the ordinary repair */
	done(host);
}

static void a_logout_is_written_back_too(void **state)
{
	struct sample record, tombstone;
	struct host *host;

	(void) state;
	rig_fresh();
	host = quorum_host(3);
	read_id(host, "none");
	sample_aged(&record, "s", 2 * OLD_MS, "alive");
	sample_tombstone(&tombstone, "s", OLD_MS);
	node_put(0, "s", &record);
	node_put(1, "s", &record);
	node_put(2, "s", &tombstone);
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_TOMBSTONE);
	assert_true(node_holds(0, "s", &tombstone));
	assert_true(node_number(0, "PTTL", RIG_PREFIX "s") > 1440 * 1000);
	node_kill(2);
	read_id(host, "s"); /* whoever answers now knows of it */
	assert_int_equal(answer.found, MMS_FOUND_TOMBSTONE);
	done(host);
}

static void what_can_not_be_written_back_is_not_shown(void **state)
{
	struct sample older, newer;
	struct host *host;

	(void) state;
	rig_fresh();
	host = quorum_host(3);
	read_id(host, "none");
	sample_aged(&older, "s", 2 * OLD_MS, "older");
	sample_aged(&newer, "s", OLD_MS, "newer");
	node_put(0, "s", &newer);
	node_put(1, "s", &older);
	node_do(1, "CONFIG", "SET", "maxmemory", "1");
	node_kill(2);
	read_id(host, "s");
	assert_no_quorum("1 of 3 nodes took it (n0), 2 must");
	assert_says("n1: server answered: OOM");
	assert_says("n2: connect");
	host->client->settings.on_no_quorum = MMS_NO_QUORUM_DEGRADE;
	read_id(host, "s");
	assert_true(payload_is("newer"));
	assert_int_equal(host_metric(host, MMS_METRIC_degraded_reads), 1);
	done(host);
}

static void a_node_takes_part_in_holding_before_it_is_complete(void **state)
{
	struct sample sample;
	struct host *host;

	(void) state;
	rig_fresh();
	host = quorum_host(3);
	read_id(host, "none");
	atomic_store(&host->cluster->nodes[1].complete, 0);
	sample_aged(&sample, "s", OLD_MS, "data");
	node_put(0, "s", &sample);
	node_put(1, "s", &sample);
	node_forget_calls(2);
	read_id(host, "s");
	assert_true(payload_is("data"));
	assert_int_equal(node_calls(2, "set"), 0);
	done(host);
}

static void a_record_without_an_end_is_written_back_with_its_lifetime(void **state)
{
	struct sample sample;
	struct host *host;

	(void) state;
	rig_fresh();
	host = quorum_host(2);
	read_id(host, "none");
	sample_aged(&sample, "s", OLD_MS, "data");
	node_put(1, "s", &sample);
	node_do(1, "PERSIST", RIG_PREFIX "s");
	read_id(host, "s");
	assert_true(payload_is("data"));
	assert_in_range(node_number(0, "PTTL", RIG_PREFIX "s"), 1440 * 500, 1440 * 1000);
	done(host);
}

/* Whoever reads a session last does not keep it alive: reading is no touching. */
static void a_write_back_prolongs_no_session(void **state)
{
	struct sample older, newer;
	struct host *host;

	(void) state;
	rig_fresh();
	host = quorum_host(3);
	read_id(host, "none");
	for (unsigned holder = 0; holder < 3; holder++) {
		sample_aged(&older, "s", OLD_MS, "older");
		sample_aged(&newer, "s", -100, "newer");
		for (unsigned i = 0; i < 3; i++) {
			node_put(i, "s", i == holder ? &newer : &older);
			node_do(i, "PEXPIRE", RIG_PREFIX "s", "300000"); /* no put shortens the life of what it replaces */
		}
		read_id(host, "s");
		assert_true(payload_is("newer"));
		assert_int_equal(host_metric(host, MMS_METRIC_write_backs), holder + 1);
		for (unsigned i = 0; i < 3; i++) {
			if ((answer.holders_mask >> i & 1) != 0) {
				assert_in_range(node_number(i, "PTTL", RIG_PREFIX "s"), 200000, 300000);
			}
		}
		assert_in_range(mailbox_last(host).ttl_ms, 200000, 300000); /* of the third node's copy */
	}
	done(host);
}

static void an_older_copy_is_not_served_for_one_that_can_not_be_had(void **state)
{
	struct sample older, newer;
	struct fake *fake;
	struct host *host;
	pid_t child;

	(void) state;
	rig_fresh();
	sample_aged(&older, "s", 2 * OLD_MS, "older");
	sample_aged(&newer, "s", OLD_MS, "newer");
	node_put(0, "s", &older);
	node_put(1, "s", &newer);
	node_put(2, "s", &older);
	fake = fake_start(1);
	host = host_with_fake(3, 1, fake);
	host->client->settings.read_mode = MMS_READ_QUORUM;
	host->client->settings.budget_ms = 500; /* for so long it is looked for elsewhere */
	read_id(host, "none");
	fake_rule(fake, (struct fake_rule){ .verb = "GET", .act = FAKE_CLOSE, .times = -1 });
	for (unsigned mode = 0; mode < 3; mode++) {
		forgive(host);
		read_id(host, "s");
		assert_int_equal(answer.found, MMS_FOUND_UNREADABLE);
		assert_false(answer.authoritative);
		assert_null(answer.owner);
		assert_says("the newest copy can't be had: n1: ");
		host->client->settings.on_no_quorum = MMS_NO_QUORUM_DEGRADE; /* it is no question of how many */
		host->client->settings.read_mode = mode == 0 ? MMS_READ_QUORUM : MMS_READ_NEWEST;
	}
	assert_int_equal(host_metric(host, MMS_METRIC_degraded_reads), 0);
	/* Its mirror comes while the read waits. */
	host->client->settings.budget_ms = 10000;
	forgive(host);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		nap_us(100000);
		node_put(2, "s", &newer);
		_exit(0);
	}
	read_id(host, "s");
	assert_true(payload_is("newer"));
	assert_int_equal(waitpid(child, NULL, 0), child);
	done(host);
	fake_free(fake);
}

static void degraded_reads_serve_what_there_is_and_are_counted(void **state)
{
	struct sample sample;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&sample, "s", OLD_MS, "data");
	node_put(0, "s", &sample);
	host = quorum_host(3);
	host->client->settings.on_no_quorum = MMS_NO_QUORUM_DEGRADE;
	host->client->settings.write_acks = MMS_ACKS_QUORUM;
	node_kill(1);
	node_kill(2);
	read_id(host, "s");
	assert_true(payload_is("data"));
	assert_true(host_metric(host, MMS_METRIC_degraded_reads) > 0);
	read_id(host, "none");
	assert_int_equal(answer.found, MMS_FOUND_NOTHING);
	assert_false(answer.authoritative);
	node_kill(0);
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_UNREADABLE);
	done(host);
}

/* A majority that says "no" has met every write that was acknowledged, if those needed a majority too. */
static void a_miss_by_a_majority_is_proof_where_writes_need_one(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = quorum_host(3);
	read_id(host, "none");
	node_kill(2);
	read_id(host, "none");
	assert_int_equal(answer.found, MMS_FOUND_NOTHING);
	assert_false(answer.authoritative); /* one acknowledgement: the dead node may have it */
	host->client->settings.write_acks = MMS_ACKS_QUORUM;
	read_id(host, "none");
	assert_true(answer.authoritative);
	host->client->settings.on_no_quorum = MMS_NO_QUORUM_DEGRADE;
	read_id(host, "none");
	assert_false(answer.authoritative);
	host->client->settings.on_no_quorum = MMS_NO_QUORUM_FAIL;
	host->client->settings.read_mode = MMS_READ_NEWEST;
	read_id(host, "none");
	assert_false(answer.authoritative);
	done(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_quorum_is_a_majority_of_nodes),
		cmocka_unit_test(without_a_majority_a_quorum_fails_and_says_why),
		cmocka_unit_test(half_of_the_nodes_is_no_majority),
		cmocka_unit_test(an_incomplete_node_does_not_count_for_a_quorum),
		cmocka_unit_test(damaged_and_foreign_copies_do_not_count),
		cmocka_unit_test(the_newest_copy_is_written_back_before_the_answer),
		cmocka_unit_test(what_a_majority_holds_is_not_written_again),
		cmocka_unit_test(a_logout_is_written_back_too),
		cmocka_unit_test(what_can_not_be_written_back_is_not_shown),
		cmocka_unit_test(a_node_takes_part_in_holding_before_it_is_complete),
		cmocka_unit_test(a_record_without_an_end_is_written_back_with_its_lifetime),
		cmocka_unit_test(a_write_back_prolongs_no_session),
		cmocka_unit_test(an_older_copy_is_not_served_for_one_that_can_not_be_had),
		cmocka_unit_test(degraded_reads_serve_what_there_is_and_are_counted),
		cmocka_unit_test(a_miss_by_a_majority_is_proof_where_writes_need_one),
	};

	return rig_run(tests);
}
