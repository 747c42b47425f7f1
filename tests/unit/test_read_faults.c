/* Reads that meet damaged, foreign or absurd copies and nodes that answer badly; reads of the local node alone. */
#include "fake.h"

#include "mms_read.h"

#define OLD_MS 5000

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

static void a_damaged_local_copy_is_absent_and_replaced_at_once(void **state)
{
	struct sample sample, damaged;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	sample_aged(&sample, "s", OLD_MS, "the data");
	node_put(1, "s", &sample);
	for (size_t at = 0; at < sample.len; at++) {
		damaged = sample;
		damaged.bytes[at] ^= 0x10;
		node_put(0, "s", &damaged);
		read_id(host, "s");
		assert_true(payload_is("the data"));
		assert_true(answer.holders_mask == bit(1));
		assert_true(node_holds(0, "s", &sample));
	}
	assert_int_equal(host_metric(host, MMS_METRIC_corrupt_records), sample.len);
	assert_int_equal(host_metric(host, MMS_METRIC_foreign_keys), 0);
	assert_int_equal(mailbox_count(host), 0);
	done(host);
}

/* The only copy is damaged: asked for once more on a new connection. What that leaves behind must not make the next
 * visitor's answer look wrong. */
static void a_damaged_only_copy_is_no_fault_of_its_node(void **state)
{
	struct sample sample, other;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	sample_aged(&sample, "s", OLD_MS, "the data");
	sample.bytes[17] ^= 0x80;
	sample_aged(&other, "other", OLD_MS, "of another");
	node_put(0, "s", &sample);
	node_put(0, "other", &other);
	for (unsigned turn = 0; turn < 3; turn++) {
		read_id(host, "s");
		for (unsigned visit = 0; visit < 3; visit++) {
			read_id(host, "other");
			assert_true(payload_is("of another"));
		}
		assert_true(mms_breaker_allows_read(&host->cluster->nodes[0].breaker));
		assert_int_equal(atomic_load(&host->cluster->nodes[0].breaker.soft_faults), 0);
	}
	done(host);
}

/* Nothing is in it that could be lost. */
static void an_empty_value_is_no_value(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	node_do(0, "SET", RIG_PREFIX "s", "");
	node_do(1, "SET", RIG_PREFIX "s", "");
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_NOTHING);
	assert_int_equal(host_metric(host, MMS_METRIC_foreign_keys), 0);
	done(host);
}

static void a_copy_cut_short_is_absent_and_replaced(void **state)
{
	struct sample sample;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	sample_aged(&sample, "s", OLD_MS, "the data");
	node_put(1, "s", &sample);
	for (size_t len = 1; len < sample.len; len++) {
		node_put_bytes(0, "s", sample.bytes, len);
		read_id(host, "s");
		assert_true(payload_is("the data"));
		assert_true(node_holds(0, "s", &sample));
	}
	done(host);
}

static void a_damaged_header_on_a_peer_is_replaced_too(void **state)
{
	struct sample sample, damaged;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	sample_aged(&sample, "s", OLD_MS, "the data");
	node_put(0, "s", &sample);
	damaged = sample;
	damaged.bytes[17] ^= 0x80; /* of its stamp: it would win for ever */
	node_put(1, "s", &damaged);
	read_id(host, "s");
	assert_true(payload_is("the data"));
	assert_true(node_holds(1, "s", &sample));
	assert_int_equal(host_metric(host, MMS_METRIC_read_repairs), 1);
	done(host);
}

static void a_damaged_copy_is_left_when_it_can_not_be_written(void **state)
{
	struct sample sample, damaged;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	sample_aged(&sample, "s", OLD_MS, "the data");
	damaged = sample;
	damaged.bytes[17] ^= 0x80;
	node_put(0, "s", &damaged);
	node_put(1, "s", &sample);
	host_open_breaker(host, 0, MMS_FAULT_WRITE_ONLY);
	read_id(host, "s");
	assert_true(payload_is("the data"));
	assert_true(node_holds(0, "s", &damaged));
	done(host);
}

/* The header says of a newer version than the peer's: until that is found sound somewhere, nothing could be written here. */
static void a_newer_copy_with_a_damaged_payload_gives_way_to_an_older_one(void **state)
{
	struct sample newer, older;
	struct host *host;

	(void) state;
	for (unsigned damaged = 0; damaged < 2; damaged++) {
		rig_fresh();
		host = host_new(2, "web1");
		sample_aged(&newer, "s", OLD_MS, "newer");
		newer.bytes[newer.len - 1] ^= 1;
		sample_aged(&older, "s", 2 * OLD_MS, "older");
		node_put(damaged, "s", &newer);
		node_put(1 - damaged, "s", &older);
		node_forget_calls(damaged);
		read_id(host, "s");
		assert_true(payload_is("older"));
		assert_false(answer.authoritative);
		assert_true(node_holds(damaged, "s", &older));
		assert_int_equal(node_calls(damaged, "exec"), 2);
		assert_in_range(node_number(damaged, "PTTL", RIG_PREFIX "s"), RIG_TTL_MS / 2, RIG_TTL_MS);
		done(host);
	}
}

static void what_follows_a_tombstone_brings_no_older_copy_back(void **state)
{
	struct sample tombstone, older;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	sample_tombstone(&tombstone, "s", OLD_MS);
	tombstone.bytes[tombstone.len++] = 'x';
	sample_aged(&older, "s", 2 * OLD_MS, "older");
	node_put(0, "s", &tombstone);
	node_put(1, "s", &older);
	read_id(host, "s");
	assert_true(node_holds(0, "s", &tombstone));
	done(host);
}

/* The peer was emptied between its header and its payload, and holds less than the local node by now. */
static void a_copy_that_went_back_meanwhile_is_compared_again(void **state)
{
	struct sample newest, local, left;
	char header[MMS_RECORD_HEADER_SIZE + 16];
	struct fake *fake;
	struct host *host;
	int len;

	(void) state;
	rig_fresh();
	fake = fake_start(1);
	host = host_with_fake(2, 1, fake);
	sample_aged(&newest, "s", 0, "newest");
	sample_aged(&local, "s", OLD_MS, "local");
	sample_aged(&left, "s", 2 * OLD_MS, "left");
	node_put(0, "s", &local);
	node_put(1, "s", &left);
	len = sprintf(header, "$%u\r\n", MMS_RECORD_HEADER_SIZE);
	memcpy(header + len, newest.bytes, MMS_RECORD_HEADER_SIZE);
	memcpy(header + len + MMS_RECORD_HEADER_SIZE, "\r\n", 2);
	fake_rule(fake, (struct fake_rule){ .verb = "GETRANGE", .act = FAKE_ANSWER, .bytes = header,
			.bytes_len = (size_t) len + MMS_RECORD_HEADER_SIZE + 2, .times = 1 });
	read_id(host, "s");
	assert_true(payload_is("local"));
	assert_true(answer.holders_mask == bit(0));
	done(host);
	fake_free(fake);
}

static void damaged_everywhere_is_an_uncertain_miss(void **state)
{
	struct sample damaged;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	sample_aged(&damaged, "s", OLD_MS, "the data");
	damaged.bytes[damaged.len - 1] ^= 1;
	node_put(0, "s", &damaged);
	node_put(1, "s", &damaged);
	read_id(host, "s");
	assert_int_not_equal(answer.found, MMS_FOUND_RECORD);
	assert_false(answer.authoritative);
	assert_true(answer.absent_mask == 0);
	done(host);
}

static void a_stamp_years_ahead_is_damage(void **state)
{
	const int64_t years_ms = INT64_C(20) * 366 * 86400 * 1000;
	struct sample absurd, sample;
	struct host *host;

	(void) state;
	for (unsigned liar = 0; liar < 2; liar++) {
		rig_fresh();
		host = host_new(2, "web1");
		sample_aged(&absurd, "s", -years_ms, "future");
		sample_aged(&sample, "s", OLD_MS, "the data");
		node_put(liar, "s", &absurd);
		node_put(1 - liar, "s", &sample);
		read_id(host, "s");
		assert_true(payload_is("the data"));
		assert_int_equal(host_metric(host, MMS_METRIC_corrupt_records), 1);
		assert_true(atomic_load(&host->shm->hlc) < stamp_ago(-years_ms / 2));
		done(host);
	}
}

static void a_stamp_hours_ahead_is_read_and_does_not_drag_the_clock(void **state)
{
	struct sample sample;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	sample_aged(&sample, "s", -3600000, "fast clock");
	node_put(1, "s", &sample);
	read_id(host, "s");
	assert_true(payload_is("fast clock"));
	assert_int_equal(host_metric(host, MMS_METRIC_future_stamps), 1);
	assert_true(atomic_load(&host->shm->hlc) < stamp_ago(-1800000));
	done(host);
}

static void a_foreign_key_is_left_alone_and_does_not_hide_the_session(void **state)
{
	struct sample sample;
	char value[16];
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	sample_aged(&sample, "s", OLD_MS, "the data");
	node_put_bytes(0, "s", "somebody's", 10);
	node_do(1, "RPUSH", RIG_PREFIX "s", "a list");
	node_put(2, "s", &sample);
	read_id(host, "s");
	assert_true(payload_is("the data"));
	assert_int_equal(mailbox_count(host), 0);
	assert_int_equal(host_metric(host, MMS_METRIC_foreign_keys), 2);
	assert_int_equal(node_get(0, "s", value, sizeof(value)), 10);
	assert_int_equal(node_number(1, "LLEN", RIG_PREFIX "s"), 1);
	assert_true(mms_client_can_read(host->client, 1));
	done(host);
}

/* The session goes on on the other nodes; what may have stood under the foreign key is not known. */
static void a_foreign_key_on_one_node_is_an_uncertain_miss(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	read_id(host, "none");
	for (unsigned i = 0; i < 2; i++) {
		node_do(i, "RPUSH", RIG_PREFIX "s", "a list");
		read_id(host, "s");
		assert_int_equal(answer.found, MMS_FOUND_NOTHING);
		assert_false(answer.authoritative);
		assert_true(answer.absent_mask == bit(1 - i));
		node_do(i, "DEL", RIG_PREFIX "s");
	}
	assert_int_equal(host_metric(host, MMS_METRIC_foreign_keys), 2);
	done(host);
}

static void a_key_that_is_foreign_everywhere_is_no_session_of_ours(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	node_do(0, "RPUSH", RIG_PREFIX "s", "a list");
	node_put_bytes(1, "s", "MMS\2 of a later release, as long as a record of ours, and then some, and some more......", 88);
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_FOREIGN);
	assert_false(answer.authoritative);
	node_kill(1);
	read_id(host, "s"); /* everywhere that can be seen */
	assert_int_equal(answer.found, MMS_FOUND_FOREIGN);
	done(host);
}

static void an_answer_to_another_question_is_asked_for_again(void **state)
{
	static char stray[100];
	struct sample sample;
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&sample, "s", OLD_MS, "data");
	node_put(0, "s", &sample);
	fake = fake_start(0);
	host = host_with_fake(1, 0, fake);
	snprintf(stray, sizeof(stray), "$84\r\nMMS\1%080d\r\n", 0); /* a record of ours, under another key */
	fake_says(fake, "GET", stray, 1);
	read_id(host, "s");
	assert_true(payload_is("data"));
	assert_true(mms_client_can_read(host->client, 0));
	done(host);
	fake_free(fake);
}

static void answers_to_other_questions_are_a_failed_read(void **state)
{
	static char stray[2][100];
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	host = host_with_fake(1, 0, fake);
	for (int i = 0; i < 2; i++) {
		snprintf(stray[i], sizeof(stray[i]), "$84\r\nMMS\1%080d\r\n", i);
		fake_says(fake, "GET", stray[i], 1);
	}
	read_id(host, "s"); /* "no such session" would empty a cart */
	assert_int_equal(answer.found, MMS_FOUND_UNREADABLE);
	assert_non_null(strstr(answer.error.text, "other questions"));
	assert_false(mms_client_can_read(host->client, 0));
	done(host);
	fake_free(fake);
}

static void damage_on_the_only_node_that_answers_is_a_failed_read(void **state)
{
	struct sample damaged;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	sample_aged(&damaged, "s", OLD_MS, "the data");
	damaged.bytes[30] ^= 1;
	node_put(0, "s", &damaged);
	node_kill(1);
	node_kill(2);
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_UNREADABLE);
	assert_non_null(strstr(answer.error.text, "n0: its copy is damaged"));
	assert_non_null(strstr(answer.error.text, "n2: "));
	assert_true(mms_client_can_read(host->client, 0)); /* one bad key says nothing about the node */
	done(host);
}

static void a_record_under_anothers_key_is_not_handed_out(void **state)
{
	struct sample sample;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	sample_aged(&sample, "victim", OLD_MS, "secret");
	node_put(0, "thief", &sample);
	node_put(1, "thief", &sample);
	read_id(host, "thief");
	assert_int_not_equal(answer.found, MMS_FOUND_RECORD);
	assert_false(answer.authoritative);
	done(host);
}

static void a_newest_copy_that_can_not_be_had_is_struck_out(void **state)
{
	struct sample older, newer;
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&older, "s", 2 * OLD_MS, "older");
	sample_aged(&newer, "s", OLD_MS, "newer");
	node_put(0, "s", &older);
	node_put(1, "s", &newer);
	fake = fake_start(1);
	host = host_with_fake(3, 1, fake);
	fake_rule(fake, (struct fake_rule){ .verb = "GET", .act = FAKE_CLOSE, .times = -1 });
	host->client->settings.budget_ms = 300;
	read_id(host, "s"); /* its holder does not answer: nothing older for it */
	assert_int_equal(answer.found, MMS_FOUND_UNREADABLE);
	assert_non_null(strstr(answer.error.text, "the newest copy can't be had: n1: "));
	assert_false(answer.authoritative);
	host->client->settings.budget_ms = 10000;
	node_put(2, "s", &newer);
	read_id(host, "s");
	assert_true(payload_is("newer"));
	assert_true((answer.holders_mask & bit(2)) != 0);
	done(host);
	fake_free(fake);
}

static void a_session_whose_only_copy_can_not_be_had_is_unreadable(void **state)
{
	struct sample sample;
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&sample, "s", OLD_MS, "data");
	node_put(1, "s", &sample);
	fake = fake_start(1);
	host = host_with_fake(2, 1, fake);
	fake_says(fake, "GET", "-LOADING not yet\r\n", -1);
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_UNREADABLE); /* not "no session": that would empty a cart */
	assert_non_null(strstr(answer.error.text, "LOADING"));
	assert_false(mms_client_can_read(host->client, 1));
	done(host);
	fake_free(fake);
}

static void a_copy_that_expired_before_the_fetch_is_gone(void **state)
{
	struct sample sample;
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&sample, "s", OLD_MS, "data");
	node_put(1, "s", &sample);
	fake = fake_start(1);
	host = host_with_fake(2, 1, fake);
	fake_says(fake, "GET", "$-1\r\n", 1);
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_NOTHING);
	done(host);
	fake_free(fake);
}

static void a_loading_local_node_opens_and_a_peer_serves(void **state)
{
	struct sample sample;
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&sample, "s", OLD_MS, "data");
	node_put(1, "s", &sample);
	fake = fake_start(0);
	host = host_with_fake(2, 0, fake);
	fake_says(fake, "GET", "-LOADING Redis is loading the dataset in memory\r\n", -1);
	read_id(host, "s");
	assert_true(payload_is("data"));
	assert_false(mms_client_can_read(host->client, 0));
	done(host);
	fake_free(fake);
}

static void an_answer_that_comes_twice_shows_nobody_anothers_session(void **state)
{
	struct sample mine, yours;
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&mine, "mine", OLD_MS, "mine");
	sample_aged(&yours, "yours", OLD_MS, "yours");
	node_put(0, "mine", &mine);
	node_put(0, "yours", &yours);
	fake = fake_start(0);
	host = host_with_fake(1, 0, fake);
	for (int i = 0; i < 20; i++) {
		memset(&host->cluster->nodes[0].breaker, 0, sizeof(host->cluster->nodes[0].breaker));
		fake_release(fake);
		fake_rule(fake, (struct fake_rule){ .verb = i % 2 == 0 ? "GET" : "PTTL", .act = FAKE_TWICE, .times = 1 });
		read_id(host, "mine");
		assert_true(answer.found != MMS_FOUND_RECORD || payload_is("mine"));
		read_id(host, "yours");
		assert_true(answer.found != MMS_FOUND_RECORD || payload_is("yours"));
	}
	done(host);
	fake_free(fake);
}

static void an_answer_cut_anywhere_is_read_from_the_peer(void **state)
{
	struct sample sample;
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&sample, "s", OLD_MS, "data");
	node_put(0, "s", &sample);
	node_put(1, "s", &sample);
	fake = fake_start(0);
	host = host_with_fake(2, 0, fake);
	for (size_t cut = 1; cut < sample.len; cut += 9) {
		memset(&host->cluster->nodes[0].breaker, 0, sizeof(host->cluster->nodes[0].breaker));
		fake_release(fake);
		fake_rule(fake, (struct fake_rule){ .verb = "GET", .act = FAKE_CUT, .cut_len = cut, .times = 1 });
		read_id(host, "s");
		assert_true(payload_is("data"));
		assert_true(answer.answered_mask == 2);
	}
	done(host);
	fake_free(fake);
}

static struct host *local_host(unsigned nodes)
{
	struct mms_settings settings;

	settings_default(&settings, nodes, "web1");
	settings.read_mode = MMS_READ_LOCAL;
	return host_with(&settings, RIG_MAILBOX);
}

static void read_local_asks_the_local_node_alone(void **state)
{
	struct sample older, newer;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&older, "s", 2 * OLD_MS, "older");
	sample_aged(&newer, "s", OLD_MS, "newer");
	node_put(0, "s", &older);
	node_put(1, "s", &newer);
	node_forget_calls(1);
	host = local_host(3);
	read_id(host, "s");
	assert_true(payload_is("older"));
	assert_false(answer.authoritative);
	assert_true(answer.answered_mask == 1);
	assert_int_equal(node_calls(1, "getrange") + node_calls(1, "get"), 0);
	assert_int_equal(mailbox_count(host), 0);
	done(host);
}

/* Full, or only behind: this host's own logout is on the others. */
static void read_local_asks_others_while_the_local_node_lacks_what_this_host_wrote(void **state)
{
	struct sample older, another, gone;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&older, "s", 2 * OLD_MS, "older");
	sample_aged(&another, "another", OLD_MS, "missed");
	sample_tombstone(&gone, "s", OLD_MS);
	node_put(0, "s", &older);
	node_put(1, "s", &gone);
	node_put(2, "s", &gone);
	host = local_host(3);
	read_id(host, "s");
	assert_true(payload_is("older"));
	assert_true(mms_hints_add(&host->cluster->hints, key_of("another"), another.bytes, 1,
			(struct mms_mono){ now_us() + 60000000 }, (struct mms_mono){ now_us() }));
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_TOMBSTONE);
	done(host);
	node_put(0, "s", &older); /* the read has mended it */
	host = local_host(3);
	(void) mms_breaker_fault(&host->cluster->nodes[0].breaker, MMS_FAULT_WRITE_ONLY, "OOM", (struct mms_mono){ now_us() },
			mms_clock_wall(), 1);
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_TOMBSTONE);
	done(host);
	node_put(0, "s", &older);
	host = local_host(3);
	atomic_store(&host->cluster->nodes[0].lag_us, 60000); /* no hint yet, and deep in the mailbox */
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_TOMBSTONE);
	done(host);
}

static void read_local_goes_to_the_next_node_when_the_local_one_fails(void **state)
{
	struct sample sample;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&sample, "s", OLD_MS, "data");
	node_put(1, "s", &sample);
	node_put(2, "s", &sample);
	node_kill(0);
	node_forget_calls(2);
	host = local_host(3);
	read_id(host, "s"); /* refused: struck out before a question was sent */
	assert_true(payload_is("data"));
	read_id(host, "s"); /* known to be down */
	assert_true(payload_is("data"));
	assert_true(answer.answered_mask == 2);
	assert_int_equal(node_calls(2, "getrange") + node_calls(2, "get"), 0);
	assert_int_equal(host_metric(host, MMS_METRIC_failovers), 2);
	done(host);
}

static void read_local_does_not_stop_at_a_silent_local_node(void **state)
{
	struct sample sample;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&sample, "s", OLD_MS, "data");
	node_put(2, "s", &sample);
	host = local_host(3);
	host->client->settings.read_timeout_ms = 60;
	node_stop(0);
	node_stop(1);
	read_id(host, "s");
	assert_true(payload_is("data"));
	assert_true(answer.answered_mask == 4);
	done(host);
}

static void read_local_finds_a_session_whose_local_copy_is_damaged(void **state)
{
	struct sample sample, damaged;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&sample, "s", OLD_MS, "data");
	damaged = sample;
	damaged.bytes[40] ^= 1;
	node_put(0, "s", &damaged);
	node_put(1, "s", &damaged);
	node_put(2, "s", &sample);
	host = local_host(3);
	read_id(host, "s");
	assert_true(payload_is("data"));
	assert_true(node_holds(0, "s", &sample));
	done(host);
}

/* What the silent node's host mirrors while it is waited for. */
struct late_mirror {
	const struct sample *sample;
	unsigned node;
};

static void *mirror_after_a_while(void *context)
{
	const struct late_mirror *late = context;

	nap_us(30000);
	node_put(late->node, "s", late->sample);
	return NULL;
}

static void a_mirror_that_comes_while_a_silent_node_is_waited_for_is_seen(void **state)
{
	struct sample older, newer;
	struct late_mirror late = { &newer, 0 };

	(void) state;
	for (late.node = 0; late.node < 2; late.node++) {
		struct host *host;
		pthread_t thread;

		rig_fresh();
		sample_aged(&older, "s", 2 * OLD_MS, "older");
		sample_aged(&newer, "s", OLD_MS, "newer");
		node_put(0, "s", &older);
		node_put(1, "s", &older);
		host = host_new(3, "web1");
		host->client->settings.read_timeout_ms = 200;
		read_id(host, "s"); /* connections stand */
		node_stop(2);
		assert_int_equal(pthread_create(&thread, NULL, mirror_after_a_while, &late), 0);
		read_id(host, "s");
		assert_true(payload_is("newer"));
		assert_int_equal(answer.answered_mask, 3);
		assert_true((answer.holders_mask & bit(late.node)) != 0);
		pthread_join(thread, NULL);
		/* A logout instead: the payload at hand is not its. */
		mms_answer_clear(&answer);
		sample_tombstone(&newer, "s", 0);
		host_calm(host);
		atomic_store(&host->cluster->nodes[2].breaker.state, MMS_BREAKER_CLOSED);
		assert_int_equal(pthread_create(&thread, NULL, mirror_after_a_while, &late), 0);
		read_id(host, "s");
		pthread_join(thread, NULL);
		assert_int_equal(answer.found, MMS_FOUND_TOMBSTONE);
		assert_int_equal(answer.payload.len, 0);
		/* Its payload was at hand already and is still the newest: not fetched again. */
		mms_answer_clear(&answer);
		sample_aged(&newer, "s", OLD_MS, "newer");
		node_put(0, "s", &newer);
		node_put(1, "s", &newer);
		node_forget_calls(0);
		host->client->settings.read_timeout_ms = 50;
		read_id(host, "s");
		assert_true(payload_is("newer"));
		assert_int_equal(node_calls(0, "get"), 1);
		done(host);
	}
}

static void a_mirror_that_comes_in_the_place_of_damage_meanwhile_is_seen(void **state)
{
	const size_t flipped[] = { 17, MMS_RECORD_HEADER_SIZE + 1 }; /* of its stamp; of its payload */
	struct sample older, damaged, newer;
	struct late_mirror late = { &newer, 1 };

	(void) state;
	for (unsigned i = 0; i < 2; i++) {
		struct host *host;
		pthread_t thread;

		rig_fresh();
		sample_aged(&older, "s", 2 * OLD_MS, "older");
		sample_aged(&newer, "s", OLD_MS, "newer");
		node_put(0, "s", &older);
		host = host_new(3, "web1");
		host->client->settings.read_timeout_ms = 200;
		read_id(host, "s"); /* connections stand */
		damaged = older;
		damaged.bytes[flipped[i]] ^= 1;
		node_put(i == 0 ? 1 : 0, "s", &damaged);
		node_put(i == 0 ? 0 : 1, "s", &older);
		late.node = i == 0 ? 1 : 0;
		node_stop(2);
		assert_int_equal(pthread_create(&thread, NULL, mirror_after_a_while, &late), 0);
		read_id(host, "s");
		pthread_join(thread, NULL);
		assert_true(payload_is("newer"));
		assert_int_equal(answer.answered_mask, 3);
		assert_true(node_holds(late.node, "s", &newer));
		done(host);
	}
}

/* Its header alone is asked for the second time, and is good. */
static void a_damaged_payload_is_damaged_also_when_a_silent_node_was_waited_for(void **state)
{
	struct sample older, damaged;
	struct host *host;

	(void) state;
	rig_fresh();
	sample_aged(&older, "s", OLD_MS, "older");
	damaged = older;
	damaged.bytes[MMS_RECORD_HEADER_SIZE + 1] ^= 1;
	host = host_new(3, "web1");
	read_id(host, "t"); /* connections stand */
	node_put(0, "s", &damaged);
	node_put(1, "s", &older);
	node_stop(2);
	read_id(host, "s");
	assert_true(payload_is("older"));
	assert_true(node_holds(0, "s", &older));
	done(host);
}

static void *stop_node_1_after_a_while(void *context)
{
	nap_us(30000);
	node_stop(1);
	return context;
}

/* The second time it says nothing: what it said first can't be compared with, and nothing is written over it. */
static void a_damaged_copy_whose_node_falls_silent_is_left_alone(void **state)
{
	struct sample older, damaged;
	struct host *host;
	pthread_t thread;

	(void) state;
	rig_fresh();
	sample_aged(&older, "s", OLD_MS, "older");
	damaged = older;
	damaged.bytes[17] ^= 1;
	host = host_new(3, "web1");
	read_id(host, "t"); /* connections stand */
	node_put(0, "s", &older);
	node_put(1, "s", &damaged);
	node_stop(2);
	assert_int_equal(pthread_create(&thread, NULL, stop_node_1_after_a_while, NULL), 0);
	read_id(host, "s");
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(payload_is("older"));
	node_continue(1);
	assert_true(node_holds(1, "s", &damaged));
	assert_int_equal(host_metric(host, MMS_METRIC_read_repairs), 0);
	done(host);
}

static void an_answer_may_be_cleared_any_number_of_times(void **state)
{
	struct mms_answer empty = { 0 };

	(void) state;
	mms_answer_clear(&empty);
	mms_answer_clear(&empty);
	assert_int_equal(empty.found, MMS_FOUND_UNREADABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_damaged_local_copy_is_absent_and_replaced_at_once),
		cmocka_unit_test(a_damaged_only_copy_is_no_fault_of_its_node),
		cmocka_unit_test(an_empty_value_is_no_value),
		cmocka_unit_test(a_copy_cut_short_is_absent_and_replaced),
		cmocka_unit_test(a_damaged_header_on_a_peer_is_replaced_too),
		cmocka_unit_test(a_damaged_copy_is_left_when_it_can_not_be_written),
		cmocka_unit_test(a_newer_copy_with_a_damaged_payload_gives_way_to_an_older_one),
		cmocka_unit_test(what_follows_a_tombstone_brings_no_older_copy_back),
		cmocka_unit_test(a_copy_that_went_back_meanwhile_is_compared_again),
		cmocka_unit_test(damaged_everywhere_is_an_uncertain_miss),
		cmocka_unit_test(a_stamp_years_ahead_is_damage),
		cmocka_unit_test(a_stamp_hours_ahead_is_read_and_does_not_drag_the_clock),
		cmocka_unit_test(a_foreign_key_is_left_alone_and_does_not_hide_the_session),
		cmocka_unit_test(a_foreign_key_on_one_node_is_an_uncertain_miss),
		cmocka_unit_test(a_key_that_is_foreign_everywhere_is_no_session_of_ours),
		cmocka_unit_test(an_answer_to_another_question_is_asked_for_again),
		cmocka_unit_test(answers_to_other_questions_are_a_failed_read),
		cmocka_unit_test(damage_on_the_only_node_that_answers_is_a_failed_read),
		cmocka_unit_test(a_record_under_anothers_key_is_not_handed_out),
		cmocka_unit_test(a_newest_copy_that_can_not_be_had_is_struck_out),
		cmocka_unit_test(a_session_whose_only_copy_can_not_be_had_is_unreadable),
		cmocka_unit_test(a_copy_that_expired_before_the_fetch_is_gone),
		cmocka_unit_test(a_loading_local_node_opens_and_a_peer_serves),
		cmocka_unit_test(an_answer_that_comes_twice_shows_nobody_anothers_session),
		cmocka_unit_test(an_answer_cut_anywhere_is_read_from_the_peer),
		cmocka_unit_test(read_local_asks_the_local_node_alone),
		cmocka_unit_test(read_local_asks_others_while_the_local_node_lacks_what_this_host_wrote),
		cmocka_unit_test(read_local_goes_to_the_next_node_when_the_local_one_fails),
		cmocka_unit_test(read_local_does_not_stop_at_a_silent_local_node),
		cmocka_unit_test(read_local_finds_a_session_whose_local_copy_is_damaged),
		cmocka_unit_test(a_mirror_that_comes_while_a_silent_node_is_waited_for_is_seen),
		cmocka_unit_test(a_mirror_that_comes_in_the_place_of_damage_meanwhile_is_seen),
		cmocka_unit_test(a_damaged_payload_is_damaged_also_when_a_silent_node_was_waited_for),
		cmocka_unit_test(a_damaged_copy_whose_node_falls_silent_is_left_alone),
		cmocka_unit_test(an_answer_may_be_cleared_any_number_of_times),
	};

	return rig_run(tests);
}
