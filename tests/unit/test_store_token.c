/* Stores of several hosts with read = session-token: what a visitor is told, when one node is enough, and how far a write
 * goes. No replicator runs: mirrors never arrive unless a test writes everywhere, and closed sequences are put by hand. */
#include "store.h"

#include "mms_closed.h"
#include "mms_visit.h"

#define ID "visitor"

static const struct mms_token_signer unsigned_ones = { NULL, NULL };

/* A host whose local node is node `first`. */
static struct host *token_host(const char *name)
{
	struct host *host = host_new(3, name);

	host->client->settings.read_mode = MMS_READ_TOKEN;
	return host;
}

static void begin(struct request *request, struct host *host, const struct mms_token *token)
{
	char text[MMS_TOKEN_TEXT_MAX];
	struct mms_token copy;

	request_begin(request, host);
	if (token != NULL) {
		copy = *token;
		mms_token_set_add(mms_visit_came(mms_store_visit(request->store)),
				(struct mms_slice){ text, mms_token_encode(&copy, &unsigned_ones, text) }, &unsigned_ones);
	}
	assert_int_equal(request_read(request, ID), MMS_OK);
}

static struct mms_token token_of(struct request *request, bool last)
{
	struct mms_token token;

	assert_true(mms_visit_token(mms_store_visit(request->store), last, &token));
	return token;
}

static void announce(struct request *request)
{
	mms_visit_announced(mms_store_visit(request->store), true);
}

/* A page that writes and tells of it: the token that it leaves. */
static struct mms_token page(struct host *host, const struct mms_token *token, const char *payload)
{
	struct request request;
	struct mms_token left;

	begin(&request, host, token);
	announce(&request);
	if (payload != NULL) {
		assert_int_equal(request_write(&request, ID, payload), MMS_OK);
	}
	left = token_of(&request, true);
	request_end(&request);
	return left;
}

static struct host *fresh_host(void)
{
	struct host *host;

	rig_fresh();
	host = token_host("web1");
	host_meet(host);
	return host;
}

static uint64_t local_reads(const struct host *host)
{
	return host_metric(host, MMS_METRIC_token_local_reads);
}

static void what_was_written_is_enough_for_its_writer(void **state)
{
	struct host *host = fresh_host();
	struct mms_token token = page(host, NULL, "one");
	struct request request;

	(void)state;
	assert_false(token.pending);
	assert_false(token.uncertain);
	assert_int_equal(local_reads(host), 0);
	begin(&request, host, &token);
	assert_true(request_got(&request, "one"));
	assert_int_equal(local_reads(host), 1);
	request_end(&request);
	host_free(host);
}

static void an_announced_write_stays_local_and_others_go_everywhere(void **state)
{
	struct host *host = fresh_host();
	struct request request;

	(void)state;
	begin(&request, host, NULL);
	assert_true(token_of(&request, false).pending);
	announce(&request);
	assert_int_equal(request_write(&request, ID, "one"), MMS_OK);
	assert_true(node_has(0, ID, "one", NULL));
	assert_false(node_has(1, ID, "one", NULL));
	/* The second write of the request, and nobody can be told. */
	assert_int_equal(request_write(&request, ID, "two"), MMS_OK);
	for (unsigned node = 0; node < 3; node++) {
		assert_true(node_has(node, ID, "two", NULL));
	}
	assert_int_equal(host_metric(host, MMS_METRIC_token_wide_writes), 1);
	/* The third, and the headers have not gone yet. */
	mms_visit_can_announce(mms_store_visit(request.store), true);
	assert_int_equal(request_write(&request, ID, "three"), MMS_OK);
	assert_false(node_has(1, ID, "three", NULL));
	request_end(&request);
	begin(&request, host, NULL);
	assert_int_equal(request_write(&request, ID, "four"), MMS_OK); /* not announced at all */
	assert_true(node_has(2, ID, "four", NULL));
	request_end(&request);
	begin(&request, host, NULL);
	announce(&request);
	mms_visit_announced(mms_store_visit(request.store), false); /* and taken out of the headers */
	assert_int_equal(request_write(&request, ID, "five"), MMS_OK);
	assert_true(node_has(2, ID, "five", NULL));
	assert_int_equal(host_metric(host, MMS_METRIC_token_wide_writes), 3);
	request_end(&request);
	host_free(host);
}

static void the_reserved_version_is_the_one_that_is_written(void **state)
{
	struct host *host = fresh_host();
	struct mms_version reserved;
	struct request request;
	struct mms_token left;

	(void)state;
	(void)page(host, NULL, "one");
	begin(&request, host, NULL);
	reserved = token_of(&request, false).reserved;
	announce(&request);
	assert_int_equal(request_write(&request, ID, "two"), MMS_OK);
	left = token_of(&request, true);
	assert_int_equal(mms_version_compare(&left.read, &reserved), 0);
	request_end(&request);
	host_free(host);
}

/* Else the sweep after this host's death, which goes by stamps, would pass over what a long page wrote. */
static void a_version_that_was_reserved_long_ago_is_not_written(void **state)
{
	static const struct { int64_t age_ms; bool taken; } cases[] = { { 20000, true }, { 40000, false } };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct host *host = fresh_host();
		struct mms_version reserved = { .hlc = stamp_ago(cases[i].age_ms), .writer = 1 };
		struct request request;
		uint64_t hlc;

		begin(&request, host, NULL);
		assert_true(mms_visit_reserve(mms_store_visit(request.store), &reserved)); /* as if it had begun then */
		announce(&request);
		assert_int_equal(request_write(&request, ID, "one"), MMS_OK);
		hlc = node_header(0, ID).version.hlc;
		assert_int_equal(hlc == reserved.hlc, cases[i].taken);
		assert_true(cases[i].taken || (int64_t)mms_hlc_ms(hlc) > mms_clock_wall().ms - 10000);
		/* No token tells of another. */
		assert_int_equal(node_has(1, ID, "one", NULL) && node_has(2, ID, "one", NULL), !cases[i].taken);
		request_end(&request);
		host_free(host);
	}
}

/* Puts our closed sequence on the local node. */
static void close_up_to(struct host *host, uint64_t above, uint64_t highest)
{
	const uint64_t mapping = mms_shm_writer(host->shm, host->cluster, host->settings.host_hash);
	struct mms_closed closed = { .above = above, .highest = highest };
	unsigned char value[MMS_CLOSED_VALUE_MAX];
	char key[MMS_PREFIX_MAX + MMS_CLOSED_KEY_EXTRA];

	(void)mms_closed_key("", mapping, key, sizeof key);
	node_put_bytes(0, key, value, mms_closed_encode(&closed, mapping, value));
}

static void a_page_that_only_looked_is_enough_once_it_is_closed(void **state)
{
	struct host *host = fresh_host();
	struct mms_token pending, left = page(host, NULL, "one");
	struct request request;
	uint64_t before;

	(void)state;
	begin(&request, host, &left);
	pending = token_of(&request, false);
	request_end(&request);
	before = local_reads(host);
	(void)page(host, &pending, NULL);
	assert_int_equal(local_reads(host), before);
	close_up_to(host, 0, pending.reserved.sequence - 1);
	(void)page(host, &pending, NULL);
	assert_int_equal(local_reads(host), before);
	close_up_to(host, pending.reserved.sequence, pending.reserved.sequence + 5);
	(void)page(host, &pending, NULL);
	assert_int_equal(local_reads(host), before);
	close_up_to(host, pending.reserved.sequence - 1, pending.reserved.sequence);
	(void)page(host, &pending, NULL);
	assert_int_equal(local_reads(host), before + 1);
	host_free(host);
}

static void an_incomplete_node_is_never_enough(void **state)
{
	struct host *host = fresh_host();
	struct mms_token token = page(host, NULL, "one");

	(void)state;
	atomic_store(&host->cluster->nodes[0].complete, 0);
	(void)page(host, &token, NULL);
	assert_int_equal(local_reads(host), 0);
	atomic_store(&host->cluster->nodes[0].complete, 1);
	(void)page(host, &token, NULL);
	assert_int_equal(local_reads(host), 1);
	host_free(host);
}

/* The replicator has not looked yet: the marker in the dump names the server that was. */
static void a_server_restarted_from_an_old_dump_is_not_enough(void **state)
{
	struct host *host = fresh_host();
	struct mms_token token = page(host, NULL, "one");
	char marker[128], record[256];
	long marker_len = node_get(0, ":node", marker, sizeof(marker)), record_len = node_get(0, ID, record, sizeof(record));
	struct request request;

	(void)state;
	assert_true(marker_len > 0 && record_len > 0);
	node_kill(0);
	node_restart(0);
	node_put_bytes(0, ":node", marker, (size_t)marker_len);
	node_put_bytes(0, ID, record, (size_t)record_len);
	for (unsigned round = 0; round < 2; round++) { /* the second on the same connection */
		host_calm(host);
		begin(&request, host, &token);
		assert_true(request_got(&request, "one"));
		request_end(&request);
		assert_int_equal(atomic_load(&host->cluster->nodes[0].complete), 1);
		assert_int_equal(local_reads(host), 0);
	}
	host_free(host);
}

/* FLUSHALL leaves connections and run_id. The replicator has not looked, and a request that had read before has written since. */
static void a_server_flushed_under_its_connection_is_not_enough(void **state)
{
	struct host *host = fresh_host();
	struct mms_token token = page(host, NULL, "one");
	char record[256];
	long len = node_get(0, ID, record, sizeof(record));
	struct request request;

	(void)state;
	assert_true(len > 0);
	node_do(0, "FLUSHALL");
	node_put_bytes(0, ID, record, (size_t)len);
	begin(&request, host, &token);
	assert_true(request_got(&request, "one"));
	request_end(&request);
	assert_int_equal(atomic_load(&host->cluster->nodes[0].complete), 1);
	assert_int_equal(local_reads(host), 0);
	host_free(host);
}

static void a_new_connection_asks_once_who_the_server_is(void **state)
{
	struct host *host = fresh_host();
	struct mms_token token = page(host, NULL, "one");
	struct request request;

	(void)state;
	mms_conn_close(host->client->conns[0]);
	node_forget_calls(0);
	for (unsigned round = 1; round <= 3; round++) {
		begin(&request, host, &token);
		assert_true(request_got(&request, "one"));
		request_end(&request);
		assert_int_equal(local_reads(host), round);
		assert_int_equal(node_calls(0, "info"), round); /* each look counts for the next */
	}
	host_free(host);
}

static void what_could_not_be_seen_stays_the_least(void **state)
{
	struct host *host = fresh_host();
	struct mms_token pending, unseen, later;
	struct request request;

	(void)state;
	(void)page(host, NULL, "one");
	begin(&request, host, NULL);
	pending = token_of(&request, false); /* may have been written on another host, whose node is away */
	request_end(&request);
	host_open_breaker(host, 2, MMS_FAULT_HARD);
	unseen = page(host, &pending, NULL);
	assert_int_equal(mms_version_compare(&unseen.read, &pending.reserved), 0);
	assert_false(unseen.uncertain);
	later = page(host, &unseen, NULL);
	assert_int_equal(local_reads(host), 0);
	assert_int_equal(mms_version_compare(&later.read, &pending.reserved), 0);
	/* Without a token nobody knows what is the least. */
	later = page(host, NULL, NULL);
	assert_true(later.uncertain);
	assert_false(later.pending);
	(void)page(host, &later, NULL);
	assert_int_equal(local_reads(host), 0);
	memset(&host->cluster->nodes[2].breaker, 0, sizeof host->cluster->nodes[2].breaker);
	later = page(host, &later, NULL);
	assert_false(later.uncertain); /* all have answered */
	(void)page(host, &later, NULL);
	assert_int_equal(local_reads(host), 1);
	host_free(host);
}

/* The replicator has not looked yet: all nodes seem to be complete, and none has what he was shown. */
static void what_a_server_flushed_a_moment_ago_had_stays_the_least(void **state)
{
	struct host *host = fresh_host();
	struct mms_token token = page(host, NULL, "one"), shown = token, later;

	(void)state;
	shown.read.hlc += 1 << 16;
	node_do(2, "FLUSHALL");
	later = page(host, &shown, NULL);
	assert_int_equal(mms_version_compare(&later.read, &shown.read), 0);
	shown.uncertain = true;
	later = page(host, &shown, NULL);
	assert_true(later.uncertain);
	host_free(host);
}

/* Behind a lock all nodes are read in any case; what he was shown counts there too. */
static void it_stays_so_behind_a_lock(void **state)
{
	struct host *host = fresh_host();
	struct mms_token shown = page(host, NULL, "one"), later;

	(void)state;
	host->client->settings.lock = 1;
	shown.read.hlc += 1 << 16;
	node_do(2, "FLUSHALL");
	later = page(host, &shown, NULL);
	assert_int_equal(mms_version_compare(&later.read, &shown.read), 0);
	assert_int_equal(local_reads(host), 0);
	host_free(host);
}

static void what_all_nodes_have_is_the_least_also_when_more_was_shown(void **state)
{
	struct host *host = fresh_host();
	struct mms_token token = page(host, NULL, "one"), shown = token, later;

	(void)state;
	shown.read.hlc += 1 << 16;
	later = page(host, &shown, NULL);
	assert_int_equal(mms_version_compare(&later.read, &token.read), 0);
	(void)page(host, &later, NULL);
	assert_int_equal(local_reads(host), 1);
	host_free(host);
}

static void a_write_beside_another_request_goes_everywhere(void **state)
{
	struct host *host = fresh_host();
	struct mms_client *other_thread;
	struct request one, two;
	struct host second;

	(void)state;
	(void)page(host, NULL, "one");
	other_thread = mms_client_new(host->shm, &host->settings, host->client->fingerprint, NULL);
	assert_non_null(other_thread);
	other_thread->settings.read_mode = MMS_READ_TOKEN;
	second = *host;
	second.client = other_thread;
	begin(&one, host, NULL);
	announce(&one);
	begin(&two, &second, NULL);
	request_end(&two); /* over before the write, and its answer may come after it */
	assert_int_equal(request_write(&one, ID, "two"), MMS_OK);
	assert_true(node_has(1, ID, "two", NULL));
	assert_true(node_has(2, ID, "two", NULL));
	request_end(&one);
	mms_client_free(other_thread);
	host_free(host);
}

/* Closed long ago, but its headers have not gone: its token will take the place of whatever is given until then. */
static void a_page_that_is_closed_and_not_answered_counts_as_open(void **state)
{
	struct host *host = fresh_host(), second = *host;
	struct request one, two;

	(void)state;
	(void)page(host, NULL, "one");
	second.client = mms_client_new(host->shm, &host->settings, host->client->fingerprint, NULL);
	assert_non_null(second.client);
	second.client->settings.read_mode = MMS_READ_TOKEN;
	for (unsigned round = 0; round < 2; round++) {
		begin(&two, &second, NULL);
		request_end(&two);
		if (round == 1) {
			mms_visit_answered(second.client);
		}
		begin(&one, host, NULL);
		announce(&one);
		assert_int_equal(request_write(&one, ID, round == 0 ? "two" : "three"), MMS_OK);
		assert_int_equal(node_has(1, ID, round == 0 ? "two" : "three", NULL), round == 0);
		request_end(&one);
	}
	mms_client_free(second.client);
	host_free(host);
}

/* All of its sessions are unanswered, whichever it opened last. */
static void a_page_with_another_session_has_its_first_one_open_too(void **state)
{
	struct host *host = fresh_host(), second = *host;
	struct mms_error error;
	struct mms_slice payload;
	struct request one, two;
	bool exists;

	(void)state;
	(void)page(host, NULL, "one");
	second.client = mms_client_new(host->shm, &host->settings, host->client->fingerprint, NULL);
	assert_non_null(second.client);
	second.client->settings.read_mode = MMS_READ_TOKEN;
	begin(&two, &second, NULL);
	request_end(&two);
	for (unsigned round = 0; round < 2; round++) { /* one more, and two more */
		request_begin(&two, &second);
		assert_int_equal(mms_store_read(two.store, slice(round == 0 ? "admin" : "shop"), &payload, &exists, &error), MMS_OK);
		request_end(&two);
		begin(&one, host, NULL);
		announce(&one);
		assert_int_equal(request_write(&one, ID, round == 0 ? "two" : "three"), MMS_OK);
		assert_true(node_has(1, ID, round == 0 ? "two" : "three", NULL));
		request_end(&one);
		mms_visit_answered(host->client);
	}
	mms_visit_answered(second.client);
	begin(&one, host, NULL);
	announce(&one);
	assert_int_equal(request_write(&one, ID, "four"), MMS_OK);
	assert_false(node_has(1, ID, "four", NULL));
	request_end(&one);
	mms_client_free(second.client);
	host_free(host);
}

/* That all nodes agree not to have it says nothing while the other page may still write it. */
static void a_full_read_covers_no_version_that_may_be_written_yet(void **state)
{
	struct host *host = fresh_host();
	struct mms_token pending, uncertain, left;
	struct request request;
	struct sample old;

	(void)state;
	sample_aged(&old, ID, 180000, "one");
	for (unsigned node = 0; node < 3; node++) {
		node_put(node, ID, &old);
	}
	begin(&request, host, NULL);
	pending = token_of(&request, false);
	request_end(&request);
	left = page(host, &pending, NULL);
	assert_false(left.uncertain);
	assert_int_equal(left.digest_count, 0);
	uncertain = pending;
	uncertain.uncertain = true;
	left = page(host, &uncertain, NULL);
	assert_int_equal(left.digest_count, 0);
	/* What could be written in a minute has been. */
	pending.reserved.hlc = stamp_ago(61000);
	left = page(host, &pending, NULL);
	assert_int_equal(left.digest_count, 1);
	pending.reserved.hlc = stamp_ago(50000);
	left = page(host, &pending, NULL);
	assert_int_equal(left.digest_count, 0);
	/* Its stamp is of another host's clock, and hosts are a minute apart. */
	atomic_store(&host->cluster->clock_spread_ms, 60000);
	pending.reserved.hlc = stamp_ago(110000);
	left = page(host, &pending, NULL);
	assert_int_equal(left.digest_count, 0);
	pending.reserved.hlc = stamp_ago(121000);
	left = page(host, &pending, NULL);
	assert_int_equal(left.digest_count, 1);
	/* What nobody would believe is not waited for, and a damaged mapping is not listened to. */
	pending.reserved.hlc = stamp_ago(-INT64_C(400000000000));
	left = page(host, &pending, NULL);
	assert_int_equal(left.digest_count, 1);
	atomic_store(&host->cluster->clock_spread_ms, INT64_MAX);
	pending.reserved.hlc = stamp_ago(61000);
	left = page(host, &pending, NULL);
	assert_int_equal(left.digest_count, 1);
	atomic_store(&host->cluster->clock_spread_ms, -60000);
	pending.reserved.hlc = stamp_ago(50000);
	left = page(host, &pending, NULL);
	assert_int_equal(left.digest_count, 0);
	/* A look that was closed has nothing to write. */
	pending = page(host, NULL, NULL);
	assert_false(pending.pending);
	left = page(host, &pending, NULL);
	assert_int_equal(left.digest_count, 1);
	assert_int_equal(local_reads(host), 1);
	host_free(host);
}

static void a_forked_child_has_nothing_reserved(void **state)
{
	struct host *host = fresh_host();
	struct mms_version reserved;
	struct request request;
	struct mms_token left;

	(void)state;
	(void)page(host, NULL, "one");
	begin(&request, host, NULL);
	reserved = token_of(&request, false).reserved;
	announce(&request);
	mms_client_drop_connections(host->client); /* as a child does that notices what it is */
	assert_int_equal(request_write(&request, ID, "two"), MMS_OK);
	left = token_of(&request, true);
	assert_true(mms_version_compare(&left.read, &reserved) > 0);
	assert_true(node_has(2, ID, "two", NULL));
	request_end(&request);
	host_free(host);
}

static void stamps_are_above_authentic_tokens_alone(void **state)
{
	static const uint64_t ahead = UINT64_C(60000) << 16; /* a minute */
	struct host *host = fresh_host();
	struct mms_token token = page(host, NULL, "one"), left;
	uint64_t seen = token.read.hlc;

	(void)state;
	token.pending = true;
	token.reserved.hlc = seen + ahead;
	left = page(host, &token, "two");
	assert_true(left.read.hlc < seen + ahead);
	host_free(host);
}

/* "Log out my other devices", and a look into another session: neither is what this visitor is told of. */
static void other_ids_leave_the_visitor_what_he_was_told(void **state)
{
	struct host *host = fresh_host();
	struct mms_version reserved;
	struct request request;
	struct mms_token left;

	(void)state;
	(void)page(host, NULL, "one");
	begin(&request, host, NULL);
	reserved = token_of(&request, false).reserved;
	announce(&request);
	assert_int_equal(request_destroy(&request, "device"), MMS_OK);
	assert_int_equal(request_read(&request, "another"), MMS_OK);
	assert_int_equal(request_write(&request, "another", "other"), MMS_OK);
	for (unsigned node = 0; node < 3; node++) {
		assert_true(node_has(node, "another", "other", NULL)); /* its own visitor is told nothing */
	}
	left = token_of(&request, false);
	assert_true(left.pending);
	assert_int_equal(mms_version_compare(&left.reserved, &reserved), 0);
	assert_int_equal(request_write(&request, ID, "two"), MMS_OK);
	assert_false(node_has(1, ID, "two", NULL));
	left = token_of(&request, true);
	assert_int_equal(mms_version_compare(&left.read, &reserved), 0);
	request_end(&request);
	host_free(host);
}

/* What was announced before is below the tombstone. */
static void a_write_after_a_logout_of_the_same_page_is_stored(void **state)
{
	struct host *host = fresh_host();
	struct request request;

	(void)state;
	(void)page(host, NULL, "one");
	begin(&request, host, NULL);
	(void)token_of(&request, false);
	announce(&request);
	assert_int_equal(request_destroy(&request, ID), MMS_OK);
	assert_int_equal(request_write(&request, ID, "two"), MMS_OK);
	for (unsigned node = 0; node < 3; node++) {
		assert_true(node_has(node, ID, "two", NULL));
	}
	assert_int_equal(host_metric(host, MMS_METRIC_late_writes), 0);
	request_end(&request);
	begin(&request, host, NULL);
	assert_true(request_got(&request, "two"));
	request_end(&request);
	host_free(host);
}

/* In the place of the whole question, another without tokens was asked: what is closed is not known. */
static void a_node_that_refuses_transactions_is_read_all_the_same(void **state)
{
	struct host *host = fresh_host();
	struct mms_token token = page(host, NULL, "one");
	struct request request;

	(void)state;
	node_do(0, "ACL", "SETUSER", "default", "-multi");
	mms_conn_close(host->client->conns[0]);
	for (unsigned i = 0; i < 2; i++) {
		begin(&request, host, &token);
		assert_true(request_got(&request, "one"));
		request_end(&request);
	}
	assert_int_equal(local_reads(host), 2); /* his own version is enough without */
	node_do(0, "ACL", "SETUSER", "default", "+multi");
	host_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_enough_for_its_writer),
		cmocka_unit_test(an_announced_write_stays_local_and_others_go_everywhere),
		cmocka_unit_test(the_reserved_version_is_the_one_that_is_written),
		cmocka_unit_test(a_version_that_was_reserved_long_ago_is_not_written),
		cmocka_unit_test(a_page_that_only_looked_is_enough_once_it_is_closed),
		cmocka_unit_test(an_incomplete_node_is_never_enough),
		cmocka_unit_test(a_server_restarted_from_an_old_dump_is_not_enough),
		cmocka_unit_test(a_server_flushed_under_its_connection_is_not_enough),
		cmocka_unit_test(a_new_connection_asks_once_who_the_server_is),
		cmocka_unit_test(what_could_not_be_seen_stays_the_least),
		cmocka_unit_test(what_a_server_flushed_a_moment_ago_had_stays_the_least),
		cmocka_unit_test(it_stays_so_behind_a_lock),
		cmocka_unit_test(what_all_nodes_have_is_the_least_also_when_more_was_shown),
		cmocka_unit_test(a_write_beside_another_request_goes_everywhere),
		cmocka_unit_test(a_page_that_is_closed_and_not_answered_counts_as_open),
		cmocka_unit_test(a_full_read_covers_no_version_that_may_be_written_yet),
		cmocka_unit_test(a_page_with_another_session_has_its_first_one_open_too),
		cmocka_unit_test(a_forked_child_has_nothing_reserved),
		cmocka_unit_test(stamps_are_above_authentic_tokens_alone),
		cmocka_unit_test(other_ids_leave_the_visitor_what_he_was_told),
		cmocka_unit_test(a_write_after_a_logout_of_the_same_page_is_stored),
		cmocka_unit_test(a_node_that_refuses_transactions_is_read_all_the_same),
	};

	return rig_run(tests);
}
