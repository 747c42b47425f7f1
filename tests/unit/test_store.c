/* One request's session: ids, round trips, sizes, lifetimes, the write guard, strict mode's question. */
#include "store.h"

static void ids_that_may_become_keys(void **state)
{
	char id[MMS_SESSION_ID_MAX + 2];

	(void) state;
	memset(id, 'a', sizeof(id));
	assert_true(mms_store_id_valid((struct mms_slice){ id, 1 }));
	assert_true(mms_store_id_valid((struct mms_slice){ id, MMS_SESSION_ID_MAX }));
	assert_false(mms_store_id_valid((struct mms_slice){ id, MMS_SESSION_ID_MAX + 1 }));
	assert_false(mms_store_id_valid((struct mms_slice){ id, 0 }));
	for (int byte = 0; byte < 256; byte++) {
		const bool allowed = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z')
				|| (byte >= '0' && byte <= '9') || byte == ',' || byte == '-';

		id[3] = (char) byte;
		assert_int_equal(mms_store_id_valid((struct mms_slice){ id, 8 }), allowed);
	}
}

static void what_was_written_is_read(void **state)
{
	struct request request;
	struct mms_record_header header;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	request_begin(&request, host);
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	assert_false(request.exists);
	assert_int_equal(request.payload.len, 0);
	assert_true(mms_store_is_new(request.store, slice("s")));
	assert_int_equal(request_write(&request, "s", "data"), MMS_OK);
	assert_false(mms_store_is_new(request.store, slice("s")));
	header = node_header(0, "s");
	assert_true(header.version.incarnation == 0 && !header.version.blind && !header.version.tombstone);
	assert_true(header.version.writer >> 32 == host->settings.host_hash);
	assert_true(header.base_hlc == 0 && header.base_writer == 0 && header.base_sequence == 0);
	assert_int_equal(header.lifetime_s, LIFETIME_S);
	assert_in_range(node_number(0, "PTTL", RIG_PREFIX "s"), LIFETIME_S * 1000 - 60000, LIFETIME_S * 1000);
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	assert_true(request_got(&request, "data"));
	request_end(&request);
	assert_int_equal(host_metric(host, MMS_METRIC_blind_writes), 0);
	host_free(host);
}

static void the_second_write_of_a_request_builds_on_the_first(void **state)
{
	struct mms_record_header first, second;
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	request_begin(&request, host);
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	assert_int_equal(request_write(&request, "s", "one"), MMS_OK);
	first = node_header(0, "s");
	assert_int_equal(request_write(&request, "s", "two"), MMS_OK);
	second = node_header(0, "s");
	assert_true(node_has(0, "s", "two", NULL));
	assert_true(mms_version_compare(&first.version, &second.version) < 0);
	assert_true(second.base_hlc == first.version.hlc);
	assert_true(second.base_sequence == first.version.sequence);
	assert_true(second.base_writer == first.version.writer);
	request_end(&request);
	host_free(host);
}

static void a_binary_payload_is_kept_as_it_is(void **state)
{
	char bytes[1000];
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] = (char) (i * 7);
	}
	request_begin(&request, host);
	assert_int_equal(mms_store_write(request.store, slice("s"), (struct mms_slice){ bytes, sizeof(bytes) }, 60,
			&request.error), MMS_OK);
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	assert_int_equal(request.payload.len, sizeof(bytes));
	assert_memory_equal(request.payload.ptr, bytes, sizeof(bytes));
	assert_int_equal(mms_store_write(request.store, slice("s"), slice(""), 60, &request.error), MMS_OK);
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	assert_true(request_got(&request, ""));
	request_end(&request);
	host_free(host);
}

static void creating_and_reading_is_one_round_trip(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	host_meet(host);
	for (unsigned i = 0; i < 3; i++) {
		node_forget_calls(i);
	}
	request_begin(&request, host);
	assert_true(mms_store_created(request.store, slice("new")));
	assert_int_equal(mms_store_exists(request.store, slice("new")), MMS_ID_UNKNOWN);
	assert_int_equal(request_read(&request, "new"), MMS_OK);
	assert_false(request.exists);
	assert_true(mms_store_is_new(request.store, slice("new")));
	assert_int_equal(request_write(&request, "new", "data"), MMS_OK);
	request_end(&request);
	assert_int_equal(node_calls(0, "get"), 1);
	assert_int_equal(node_calls(0, "pttl") + node_calls(0, "getrange"), 1);
	assert_int_equal(node_calls(0, "watch") + node_calls(0, "exec") + node_calls(0, "evalsha"), 1 + 1 + 0);
	assert_int_equal(node_calls(1, "get") + node_calls(1, "evalsha"), 0);
	assert_int_equal(node_calls(1, "getrange"), 1);
	assert_int_equal(node_calls(2, "getrange"), 1);
	host_free(host);
}

static void asking_and_reading_is_one_round_trip_and_is_used_up(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	visit(host, "s", "data");
	node_forget_calls(0);
	request_begin(&request, host);
	assert_int_equal(mms_store_exists(request.store, slice("s")), MMS_ID_KNOWN);
	assert_int_equal(mms_store_exists(request.store, slice("s")), MMS_ID_KNOWN);
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	assert_true(request_got(&request, "data"));
	assert_int_equal(node_calls(0, "get"), 1);
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	assert_int_equal(node_calls(0, "get"), 2);
	request_end(&request);
	host_free(host);
}

static void asking_about_another_id_leaves_the_open_session_alone(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	visit(host, "a", "first");
	node_forget_calls(0);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, "a"), MMS_OK);
	assert_true(mms_store_created(request.store, slice("b")));
	assert_int_equal(mms_store_exists(request.store, slice("c")), MMS_ID_UNKNOWN);
	assert_int_equal(request_write(&request, "a", "second"), MMS_OK);
	assert_int_equal(node_calls(0, "get"), 3);
	assert_true(node_has(0, "a", "second", NULL));
	assert_false(node_header(0, "a").base_hlc == 0);
	request_end(&request);
	host_free(host);
}

static void an_id_that_is_taken_is_no_new_one(void **state)
{
	struct sample tombstone;
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	visit(host, "taken", "data");
	sample_tombstone(&tombstone, "gone", 5000);
	node_put(0, "gone", &tombstone);
	node_put_bytes(0, "odd", "somebody's", 10);
	request_begin(&request, host);
	assert_false(mms_store_created(request.store, slice("taken")));
	assert_false(mms_store_created(request.store, slice("gone")));
	assert_false(mms_store_created(request.store, slice("odd")));
	assert_true(mms_store_created(request.store, slice("free")));
	node_kill(0);
	assert_true(mms_store_created(request.store, slice("unknown")));
	request_end(&request);
	host_free(host);
}

static void what_nobody_read_is_read_before_it_is_written(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	visit(host, "s", "first");
	node_forget_calls(0);
	request_begin(&request, host);
	assert_int_equal(request_write(&request, "s", "second"), MMS_OK);
	assert_int_equal(node_calls(0, "get"), 1);
	assert_false(node_header(0, "s").base_hlc == 0);
	mms_store_end(request.store);
	assert_int_equal(request_touch(&request, "s", "second"), MMS_OK);
	assert_int_equal(node_calls(0, "get"), 2 + 1); /* one was node_header()'s */
	mms_store_end(request.store);
	assert_int_equal(request_destroy(&request, "s"), MMS_OK);
	assert_int_equal(node_calls(0, "get"), 3 + 1);
	assert_true(node_has(0, "s", NULL, NULL));
	request_end(&request);
	host_free(host);
}

static void what_could_not_be_read_is_not_written(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	visit(host, "s", "cart");
	host_open_breaker(host, 0, MMS_FAULT_HARD);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, "s"), MMS_ERR_NO_NODE);
	assert_int_equal(request.payload.len, 0);
	assert_false(request.exists);
	assert_true(strlen(request.error.text) > 0);
	memset(&host->cluster->nodes[0].breaker, 0, sizeof(host->cluster->nodes[0].breaker)); /* it is back */
	assert_int_equal(request_write(&request, "s", "empty"), MMS_ERR_GUARD);
	assert_int_equal(request_touch(&request, "s", "empty"), MMS_ERR_GUARD);
	assert_int_equal(request_destroy(&request, "s"), MMS_ERR_GUARD);
	assert_non_null(strstr(request.error.text, "could not be read"));
	assert_true(node_has(0, "s", "cart", NULL));
	assert_int_equal(host_metric(host, MMS_METRIC_refused_writes), 3);
	/* Until it is read, and in the next request. */
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	assert_int_equal(request_write(&request, "s", "fuller"), MMS_OK);
	request_end(&request);
	host_free(host);
}

static void a_failed_read_guards_its_own_id_alone(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	host_open_breaker(host, 0, MMS_FAULT_HARD);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, "s"), MMS_ERR_NO_NODE);
	memset(&host->cluster->nodes[0].breaker, 0, sizeof(host->cluster->nodes[0].breaker));
	assert_int_equal(request_write(&request, "t", "data"), MMS_OK);
	request_end(&request);
	host_free(host);
}

static void a_foreign_key_is_neither_read_nor_written(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	node_put_bytes(0, "s", "somebody's", 10);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, "s"), MMS_ERR_FOREIGN);
	assert_int_equal(request.payload.len, 0);
	assert_non_null(strstr(request.error.text, "mmsession.prefix"));
	assert_int_equal(request_write(&request, "s", "data"), MMS_ERR_FOREIGN);
	assert_int_equal(request_destroy(&request, "s"), MMS_ERR_FOREIGN);
	assert_int_equal(node_number(0, "STRLEN", RIG_PREFIX "s"), 10);
	request_end(&request);
	host_free(host);
}

static void a_session_over_the_size_is_refused_and_the_older_stays(void **state)
{
	static char large[4097];
	struct mms_settings settings;
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	settings_default(&settings, 1, "web1");
	settings.max_session_size = 4096;
	host = host_with(&settings, RIG_MAILBOX);
	memset(large, 'x', sizeof(large));
	visit(host, "s", "small");
	request_begin(&request, host);
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	assert_int_equal(mms_store_write(request.store, slice("s"), (struct mms_slice){ large, 4097 }, 60, &request.error),
			MMS_ERR_GUARD);
	assert_non_null(strstr(request.error.text, "mmsession.max_session_size"));
	assert_true(node_has(0, "s", "small", NULL));
	assert_int_equal(host_metric(host, MMS_METRIC_refused_writes), 1);
	assert_int_equal(mms_store_write(request.store, slice("s"), (struct mms_slice){ large, 4096 }, 60, &request.error),
			MMS_OK);
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	assert_int_equal(request.payload.len, 4096);
	request_end(&request);
	host_free(host);
}

static void the_longest_id_and_prefix_make_a_key(void **state)
{
	struct mms_settings settings;
	struct request request;
	char id[MMS_SESSION_ID_MAX + 1] = "";
	struct host *host;

	(void) state;
	rig_fresh();
	settings_default(&settings, 1, "web1");
	memset(settings.prefix, 'p', MMS_PREFIX_MAX);
	host = host_with(&settings, RIG_MAILBOX);
	memset(id, 'i', MMS_SESSION_ID_MAX);
	visit(host, id, "data");
	request_begin(&request, host);
	assert_int_equal(request_read(&request, id), MMS_OK);
	assert_true(request_got(&request, "data"));
	request_end(&request);
	assert_int_equal(mailbox_last(host).key.len, MMS_KEY_MAX);
	host_free(host);
}

static int64_t ttl_after(struct host *host, const char *id, int64_t lifetime_s)
{
	struct request request;
	char key[64];

	request_begin(&request, host);
	assert_int_equal(request_read(&request, id), MMS_OK);
	assert_int_equal(mms_store_write(request.store, slice(id), slice("x"), lifetime_s, &request.error), MMS_OK);
	request_end(&request);
	snprintf(key, sizeof(key), RIG_PREFIX "%s", id);
	return node_number(0, "PTTL", key);
}

static void lifetimes_are_held_within_what_can_be(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	assert_in_range(ttl_after(host, "a", 100), 90000, 100000);
	assert_true(ttl_after(host, "b", 0) <= 1000);
	assert_true(ttl_after(host, "c", -5) <= 1000);
	assert_true(ttl_after(host, "d", INT64_MAX) > INT64_C(60) * 365 * 86400 * 1000);
	host->client->settings.lifetime_s = 500;
	assert_in_range(ttl_after(host, "e", 100), 490000, 500000);
	host_free(host);
}

static void a_shorter_lifetime_does_not_shorten_a_life(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	assert_in_range(ttl_after(host, "s", 90000), 89000000, 90000000); /* "remember me" */
	assert_in_range(ttl_after(host, "s", 100), 89000000, 90000000);
	assert_int_equal(node_header(0, "s").lifetime_s, 90000);
	host_free(host);
}

static void a_write_that_no_node_takes_is_told(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	request_begin(&request, host);
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	node_kill(0);
	node_kill(1);
	assert_int_equal(request_write(&request, "s", "data"), MMS_ERR_NO_NODE);
	assert_non_null(strstr(request.error.text, "connect"));
	assert_int_equal(host_metric(host, MMS_METRIC_failed_writes), 1);
	assert_int_equal(mailbox_count(host), 1);
	request_end(&request);
	host_free(host);
}

static enum mms_verdict_id ask(struct host *host, const char *id)
{
	struct request request;
	enum mms_verdict_id verdict;

	request_begin(&request, host);
	verdict = mms_store_exists(request.store, slice(id));
	request_end(&request);
	return verdict;
}

static void strict_mode_knows_what_stands_there(void **state)
{
	struct sample tombstone;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	host_meet(host);
	visit(host, "s", "data");
	sample_tombstone(&tombstone, "gone", 5000);
	node_put(2, "gone", &tombstone);
	node_put_bytes(1, "odd", "somebody's", 10);
	assert_int_equal(ask(host, "s"), MMS_ID_KNOWN);
	assert_int_equal(ask(host, "gone"), MMS_ID_UNKNOWN);
	assert_int_equal(ask(host, "odd"), MMS_ID_UNKNOWN);
	assert_int_equal(ask(host, "none"), MMS_ID_UNKNOWN);
	host_free(host);
}

static void strict_mode_refuses_on_a_majority_of_complete_nodes_alone(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	host_meet(host);
	node_kill(2);
	assert_int_equal(ask(host, "none"), MMS_ID_UNKNOWN); /* two of three say no */
	make_incomplete(host, 1);
	assert_int_equal(ask(host, "none"), MMS_ID_UNCERTAIN);
	atomic_store(&host->cluster->nodes[1].complete, 1);
	node_kill(1);
	assert_int_equal(ask(host, "none"), MMS_ID_UNCERTAIN);
	node_kill(0);
	assert_int_equal(ask(host, "none"), MMS_ID_UNCERTAIN);
	assert_int_equal(ask(host, "none"), MMS_ID_UNCERTAIN);
	host_free(host);
}

static void half_of_the_nodes_are_no_majority(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	host_meet(host);
	node_kill(1);
	assert_int_equal(ask(host, "none"), MMS_ID_UNCERTAIN);
	host_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_that_may_become_keys),
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(the_second_write_of_a_request_builds_on_the_first),
		cmocka_unit_test(a_binary_payload_is_kept_as_it_is),
		cmocka_unit_test(creating_and_reading_is_one_round_trip),
		cmocka_unit_test(asking_and_reading_is_one_round_trip_and_is_used_up),
		cmocka_unit_test(asking_about_another_id_leaves_the_open_session_alone),
		cmocka_unit_test(an_id_that_is_taken_is_no_new_one),
		cmocka_unit_test(what_nobody_read_is_read_before_it_is_written),
		cmocka_unit_test(what_could_not_be_read_is_not_written),
		cmocka_unit_test(a_failed_read_guards_its_own_id_alone),
		cmocka_unit_test(a_foreign_key_is_neither_read_nor_written),
		cmocka_unit_test(a_session_over_the_size_is_refused_and_the_older_stays),
		cmocka_unit_test(the_longest_id_and_prefix_make_a_key),
		cmocka_unit_test(lifetimes_are_held_within_what_can_be),
		cmocka_unit_test(a_shorter_lifetime_does_not_shorten_a_life),
		cmocka_unit_test(a_write_that_no_node_takes_is_told),
		cmocka_unit_test(strict_mode_knows_what_stands_there),
		cmocka_unit_test(strict_mode_refuses_on_a_majority_of_complete_nodes_alone),
		cmocka_unit_test(half_of_the_nodes_are_no_majority),
	};

	return rig_run(tests);
}
