/* TEST LINK: mms_read mms_write
 * Reads of what this host's mailbox alone still has. */
#include "fake.h"

#include "mms_backlog.h"
#include "mms_read.h"

#define OLD_MS 5000

static struct mms_answer answer;

static void read_id(struct host *host, const char *id)
{
	host_calm(host);
	mms_answer_clear(&answer);
	mms_read_record(host->client, key_of(id), host_deadline(host), &answer);
}

static bool payload_is(const char *text)
{
	return answer.found == MMS_FOUND_RECORD && answer.payload.len == strlen(text)
			&& memcmp(answer.payload.ptr, text, answer.payload.len) == 0;
}

static void push_for(struct host *host, const char *id, const struct sample *sample, uint64_t ttl_ms)
{
	const struct mms_parcel parcel = { .kind = MMS_PARCEL_PUT, .key = key_of(id), .header = sample->bytes,
		.payload = { (const char *) sample->bytes + MMS_RECORD_HEADER_SIZE, sample->len - MMS_RECORD_HEADER_SIZE },
		.ttl_ms = ttl_ms, .have_mask = 1, .settled = true };

	assert_true(mms_mailbox_push(&host->cluster->mailbox, &parcel, mms_clock_mono(), NULL));
}

static void done(struct host *host)
{
	mms_answer_clear(&answer);
	host_free(host);
}

static void push(struct host *host, const char *id, const struct sample *sample)
{
	push_for(host, id, sample, RIG_TTL_MS);
}

/* A host whose local node has lost what its mailbox still has, with an older copy on the peers. */
static struct host *host_with_backlog(struct sample *newer)
{
	struct sample older;
	struct host *host;

	rig_fresh();
	sample_aged(&older, "s", 2 * OLD_MS, "older");
	sample_aged(newer, "s", OLD_MS, "newer");
	node_put(1, "s", &older);
	node_put(2, "s", &older);
	host = host_new(3, "web1");
	push(host, "s", newer);
	return host;
}

static void what_an_emptied_node_had_taken_is_read_from_the_mailbox(void **state)
{
	struct sample newer;
	struct host *host;

	(void) state;
	host = host_with_backlog(&newer);
	read_id(host, "s");
	assert_true(payload_is("newer"));
	assert_int_equal(answer.holders_mask, 0);
	assert_int_equal(answer.answered_mask, 7);
	assert_in_range(answer.pttl_ms, RIG_TTL_MS - 60000, RIG_TTL_MS);
	assert_memory_equal(answer.header_bytes, newer.bytes, MMS_RECORD_HEADER_SIZE);
	assert_int_equal(mailbox_count(host), 1); /* no repair beside it */
	assert_int_equal(host_metric(host, MMS_METRIC_backlog_reads), 1);
	done(host);
}

static void what_a_killed_node_had_taken_is_read_from_the_mailbox(void **state)
{
	struct sample newer;
	struct host *host;

	(void) state;
	host = host_with_backlog(&newer);
	node_kill(0);
	read_id(host, "s");
	assert_true(payload_is("newer"));
	done(host);
}

/* Its header is as new as the mailbox, so it is chosen first. */
static void what_a_node_has_and_does_not_give_is_read_from_the_mailbox(void **state)
{
	struct sample newer, damaged;
	struct host *host;

	(void) state;
	host = host_with_backlog(&newer);
	damaged = newer;
	damaged.bytes[damaged.len - 1] ^= 1;
	node_put(2, "s", &damaged);
	read_id(host, "s");
	assert_true(payload_is("newer"));
	assert_int_equal(host_metric(host, MMS_METRIC_backlog_reads), 1);
	done(host);
}

static void a_logout_in_the_mailbox_is_one(void **state)
{
	struct sample newer, logout;
	struct host *host;

	(void) state;
	host = host_with_backlog(&newer);
	sample_tombstone(&logout, "s", 0);
	push(host, "s", &logout);
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_TOMBSTONE);
	assert_int_equal(answer.payload.len, 0);
	done(host);
}

static void a_node_with_something_newer_wins(void **state)
{
	struct sample newer, newest;
	struct host *host;

	(void) state;
	host = host_with_backlog(&newer);
	sample_aged(&newest, "s", 0, "newest");
	node_put(2, "s", &newest);
	read_id(host, "s");
	assert_true(payload_is("newest"));
	node_put(0, "s", &newest);
	read_id(host, "s");
	assert_true(payload_is("newest"));
	assert_int_equal(host_metric(host, MMS_METRIC_backlog_reads), 0);
	done(host);
}

static void without_any_answer_it_proves_nothing(void **state)
{
	struct sample newer;
	struct host *host;

	(void) state;
	host = host_with_backlog(&newer);
	for (unsigned node = 0; node < RIG_NODES; node++) {
		node_kill(node);
	}
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_UNREADABLE);
	done(host);
}

static void a_quorum_is_not_made_of_it(void **state)
{
	struct sample newer;
	struct host *host;

	(void) state;
	host = host_with_backlog(&newer);
	host->client->settings.read_mode = MMS_READ_QUORUM;
	host->client->settings.on_no_quorum = MMS_NO_QUORUM_DEGRADE;
	read_id(host, "s");
	assert_true(payload_is("older"));
	done(host);
}

static void behind_many_others_it_is_looked_for_when_the_local_node_has_none(void **state)
{
	struct sample newer, other, older;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	for (unsigned i = 0; i < 2 * MMS_BACKLOG_FEW; i++) {
		char id[32];

		snprintf(id, sizeof(id), "other%u", i);
		sample_aged(&other, id, OLD_MS, "other");
		push(host, id, &other);
	}
	sample_aged(&newer, "s", OLD_MS, "newer");
	push(host, "s", &newer);
	read_id(host, "s");
	assert_true(payload_is("newer"));
	/* With a copy there it is taken to have this host's last word: a long backlog is not walked by every read. */
	sample_aged(&older, "s", 2 * OLD_MS, "older");
	node_put(0, "s", &older);
	read_id(host, "s");
	assert_true(payload_is("older"));
	done(host);
}

static void what_has_lived_its_life_is_not_there(void **state)
{
	struct sample sample;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	sample_aged(&sample, "s", 0, "data");
	push_for(host, "s", &sample, 30);
	read_id(host, "s");
	assert_true(payload_is("data"));
	assert_in_range(answer.pttl_ms, 1, 30);
	nap_us(40000);
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_NOTHING);
	done(host);
}

static void a_long_backlog_is_not_walked_for_an_id_made_here(void **state)
{
	struct sample sample, other;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	for (unsigned i = 0; i < 2 * MMS_BACKLOG_FEW; i++) {
		sample_aged(&other, "other", OLD_MS, "other");
		push(host, "other", &other);
	}
	sample_aged(&sample, "s", 0, "data");
	push(host, "s", &sample);
	host->client->reads_new_id = true;
	read_id(host, "s");
	assert_int_equal(answer.found, MMS_FOUND_NOTHING);
	host->client->reads_new_id = false;
	read_id(host, "s");
	assert_true(payload_is("data"));
	done(host);
}

static void the_newest_of_both_looks_counts(void **state)
{
	struct sample first, other, last;
	struct mms_backlog backlog;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	sample_aged(&first, "s", OLD_MS, "first");
	push(host, "s", &first);
	mms_backlog_find(host->cluster, key_of("s"), mms_clock_wall(), MMS_BACKLOG_FEW, &backlog);
	assert_true(backlog.found && backlog.whole);
	for (unsigned i = 0; i < 2 * MMS_BACKLOG_FEW; i++) {
		sample_aged(&other, "other", OLD_MS, "other");
		push(host, "other", &other);
	}
	assert_false(mms_backlog_find_more(host->cluster, key_of("s"), mms_clock_wall(), &backlog));
	assert_true(backlog.found && backlog.header.version.hlc == first.header.version.hlc);
	sample_aged(&last, "s", 0, "last");
	push(host, "s", &last);
	mms_backlog_find(host->cluster, key_of("s"), mms_clock_wall(), MMS_BACKLOG_FEW, &backlog);
	assert_true(backlog.found && !backlog.whole && backlog.header.version.hlc == first.header.version.hlc);
	assert_false(mms_backlog_find_more(host->cluster, key_of("s"), mms_clock_wall(), &backlog));
	assert_true(backlog.header.version.hlc == last.header.version.hlc);
	done(host);
}

struct reader {
	struct host *host;
};

static void *read_in_a_thread(void *context)
{
	read_id(((struct reader *) context)->host, "s");
	return NULL;
}

static void what_is_delivered_while_the_nodes_answer_is_read_from_them(void **state)
{
	struct sample newer, older;
	struct reader reader;
	struct fake *fake;
	pthread_t thread;
	uint8_t epoch;

	(void) state;
	rig_fresh();
	fake = fake_start(1);
	reader.host = host_with_fake(3, 1, fake);
	sample_aged(&older, "s", 2 * OLD_MS, "older");
	sample_aged(&newer, "s", OLD_MS, "newer");
	node_put(1, "s", &older);
	node_put(2, "s", &older);
	push(reader.host, "s", &newer);
	fake_rule(fake, (struct fake_rule){ .verb = "GETRANGE", .act = FAKE_HOLD, .times = 1 });
	node_forget_calls(2);
	assert_int_equal(pthread_create(&thread, NULL, read_in_a_thread, &reader), 0);
	await(node_calls(2, "getrange") > 0); /* it has answered "older" */
	node_put(2, "s", &newer);
	epoch = mms_mailbox_take_over(&reader.host->cluster->mailbox);
	assert_true(mms_mailbox_advance(&reader.host->cluster->mailbox, epoch, mms_mailbox_tail(&reader.host->cluster->mailbox),
			mms_mailbox_head(&reader.host->cluster->mailbox), 1));
	fake_release(fake);
	pthread_join(thread, NULL);
	assert_true(payload_is("newer"));
	assert_int_equal(host_metric(reader.host, MMS_METRIC_backlog_reads), 0);
	done(reader.host);
	fake_free(fake);
}

static void damage_in_the_ring_is_nothing(void **state)
{
	struct sample newer;
	struct host *host;

	(void) state;
	host = host_with_backlog(&newer);
	((char *) mailbox_last(host).record.ptr)[MMS_RECORD_HEADER_SIZE] ^= 1; /* payload */
	read_id(host, "s");
	assert_true(payload_is("older"));
	((char *) mailbox_last(host).record.ptr)[20] ^= 1; /* header */
	read_id(host, "s");
	assert_true(payload_is("older"));
	done(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_an_emptied_node_had_taken_is_read_from_the_mailbox),
		cmocka_unit_test(what_a_killed_node_had_taken_is_read_from_the_mailbox),
		cmocka_unit_test(what_a_node_has_and_does_not_give_is_read_from_the_mailbox),
		cmocka_unit_test(a_logout_in_the_mailbox_is_one),
		cmocka_unit_test(a_node_with_something_newer_wins),
		cmocka_unit_test(without_any_answer_it_proves_nothing),
		cmocka_unit_test(a_quorum_is_not_made_of_it),
		cmocka_unit_test(behind_many_others_it_is_looked_for_when_the_local_node_has_none),
		cmocka_unit_test(what_is_delivered_while_the_nodes_answer_is_read_from_them),
		cmocka_unit_test(what_has_lived_its_life_is_not_there),
		cmocka_unit_test(a_long_backlog_is_not_walked_for_an_id_made_here),
		cmocka_unit_test(the_newest_of_both_looks_counts),
		cmocka_unit_test(damage_in_the_ring_is_nothing),
	};

	return rig_run(tests);
}
