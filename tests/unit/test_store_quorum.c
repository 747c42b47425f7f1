/* write_acks and read = quorum together: what was acknowledged is read by everybody, whichever minority is gone. */
#include "fake.h"
#include "store.h"

#define OLD_MS 5000

static struct host *strict_host(const char *host_id)
{
	struct mms_settings settings;
	struct host *host;

	settings_default(&settings, 3, host_id);
	settings.read_mode = MMS_READ_QUORUM;
	settings.write_acks = MMS_ACKS_QUORUM;
	host = host_with(&settings, RIG_MAILBOX);
	host_meet(host);
	return host;
}

/* As a host sees a node that it can't reach. */
static void cut_off(struct host *host, unsigned node)
{
	host_open_breaker(host, node, MMS_FAULT_HARD);
}

static void reach_all(struct host *host)
{
	for (unsigned i = 0; i < 3; i++) {
		memset(&host->cluster->nodes[i].breaker, 0, sizeof(host->cluster->nodes[i].breaker));
	}
}

static void an_acknowledged_write_is_read_through_every_majority(void **state)
{
	struct host *writer, *reader;
	struct request request;

	(void) state;
	rig_fresh();
	writer = strict_host("web1");
	reader = strict_host("web2");
	for (unsigned missing = 0; missing < 3; missing++) {
		for (unsigned gone = 0; gone < 3; gone++) {
			char id[32];

			snprintf(id, sizeof(id), "s%u%u", missing, gone);
			reach_all(writer);
			visit(writer, id, "first");
			cut_off(writer, missing); /* no replicator runs here: what a node missed it goes on missing */
			visit(writer, id, "second");
			reach_all(reader);
			cut_off(reader, gone);
			request_begin(&request, reader);
			assert_int_equal(request_read(&request, id), MMS_OK);
			assert_true(request_got(&request, "second"));
			request_end(&request);
		}
	}
	host_free(writer);
	host_free(reader);
}

static void what_one_was_shown_the_next_is_shown_too(void **state)
{
	struct sample older, newer;
	struct host *first, *second;
	struct request request;

	(void) state;
	rig_fresh();
	first = strict_host("web1");
	second = strict_host("web2");
	sample_aged(&older, "s", OLD_MS, "older");
	sample_aged(&newer, "s", -100, "newer"); /* of a write that PHP was told had failed */
	node_put(0, "s", &newer);
	node_put(1, "s", &older);
	node_put(2, "s", &older);
	request_begin(&request, first);
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	assert_true(request_got(&request, "newer"));
	request_end(&request);
	cut_off(second, 0);
	request_begin(&request, second);
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	assert_true(request_got(&request, "newer"));
	request_end(&request);
	host_free(first);
	host_free(second);
}

/* The replicator has not looked yet. Two of three have lost the newer copy: a majority can't be had, and nothing older is one. */
static void a_node_emptied_a_moment_ago_makes_no_majority(void **state)
{
	struct sample older, newer;
	struct host *reader;
	struct request request;

	(void) state;
	rig_fresh();
	reader = strict_host("web2");
	sample_aged(&older, "s", OLD_MS, "older");
	sample_aged(&newer, "s", 3000, "newer");
	node_put(0, "s", &newer);
	node_put(1, "s", &newer);
	node_put(2, "s", &older);
	node_do(1, "FLUSHALL");
	cut_off(reader, 0);
	request_begin(&request, reader);
	assert_int_equal(request_read(&request, "s"), MMS_ERR_NO_NODE);
	assert_non_null(strstr(request.error.text, "1 of 3 nodes count"));
	assert_false(node_has(1, "s", "older", NULL));
	request_end(&request);
	host_free(reader);
}

static void an_acknowledged_logout_is_seen_through_every_majority(void **state)
{
	struct host *writer, *reader;
	struct request request;

	(void) state;
	rig_fresh();
	writer = strict_host("web1");
	reader = strict_host("web2");
	for (unsigned gone = 0; gone < 3; gone++) {
		reach_all(writer);
		visit(writer, "s", "cart");
		cut_off(writer, 2);
		request_begin(&request, writer);
		assert_int_equal(request_read(&request, "s"), MMS_OK);
		assert_int_equal(request_destroy(&request, "s"), MMS_OK);
		request_end(&request);
		reach_all(reader);
		cut_off(reader, gone);
		request_begin(&request, reader);
		assert_int_equal(request_read(&request, "s"), MMS_OK);
		assert_false(request.exists);
		request_end(&request);
	}
	host_free(writer);
	host_free(reader);
}

static void without_a_majority_nothing_is_acknowledged(void **state)
{
	struct host *host;
	struct request request;

	(void) state;
	rig_fresh();
	host = strict_host("web1");
	visit(host, "s", "cart");
	request_begin(&request, host);
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	node_kill(1);
	node_kill(2);
	assert_int_equal(request_write(&request, "s", "more"), MMS_ERR_NO_NODE);
	assert_non_null(strstr(request.error.text, "1 of 3 nodes took it (n0), 2 must: n1: connect"));
	assert_non_null(strstr(request.error.text, "n2: connect"));
	assert_int_equal(request_destroy(&request, "s"), MMS_ERR_NO_NODE);
	assert_non_null(strstr(request.error.text, "1 of 3 nodes took it (n0), 2 must"));
	request_end(&request);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, "s"), MMS_ERR_NO_NODE);
	assert_non_null(strstr(request.error.text, "read = quorum"));
	assert_int_equal(request_write(&request, "s", "blind"), MMS_ERR_GUARD);
	request_end(&request);
	assert_int_equal(host_metric(host, MMS_METRIC_degraded_writes), 0);
	assert_int_equal(host_metric(host, MMS_METRIC_degraded_reads), 0);
	host_free(host);
}

static void a_touch_is_acknowledged_by_as_many_as_a_write(void **state)
{
	struct host *host;
	struct request request;

	(void) state;
	rig_fresh();
	host = strict_host("web1");
	visit(host, "s", "cart");
	for (unsigned i = 0; i < 2; i++) {
		node_do(i, "PEXPIRE", RIG_PREFIX "s", "100000");
	}
	request_begin(&request, host);
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	assert_int_equal(request_touch(&request, "s", "cart"), MMS_OK);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(node_number(i, "PTTL", RIG_PREFIX "s") > 1000000);
	}
	node_do(0, "PEXPIRE", RIG_PREFIX "s", "100000");
	request_end(&request);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	node_kill(1);
	node_kill(2);
	assert_int_equal(request_touch(&request, "s", "cart"), MMS_ERR_NO_NODE);
	request_end(&request);
	host_free(host);
}

static void degraded_writes_are_taken_and_counted(void **state)
{
	struct host *host;
	struct request request;

	(void) state;
	rig_fresh();
	host = strict_host("web1");
	host->client->settings.on_no_quorum = MMS_NO_QUORUM_DEGRADE;
	node_kill(1);
	node_kill(2);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	assert_int_equal(request_write(&request, "s", "cart"), MMS_OK);
	assert_int_equal(request_destroy(&request, "s"), MMS_OK);
	request_end(&request);
	assert_int_equal(host_metric(host, MMS_METRIC_degraded_writes), 2);
	assert_true(host_metric(host, MMS_METRIC_degraded_reads) > 0);
	assert_int_equal(host_metric(host, MMS_METRIC_failed_writes), 0);
	node_kill(0); /* nothing at all is no degradation */
	request_begin(&request, host);
	assert_int_equal(request_read(&request, "s"), MMS_ERR_NO_NODE);
	request_end(&request);
	host_free(host);
}

/* A key that is not ours on the local node, for one visitor's id: his session lives on the others. */
static void a_foreign_key_on_one_node_does_not_keep_a_visitor_out(void **state)
{
	struct host *host;
	struct request request;

	(void) state;
	for (unsigned node = 0; node < 3; node++) {
		rig_fresh();
		host = host_new(3, "web1");
		host_meet(host);
		node_put_bytes(node, "s", "somebody's", 10);
		visit(host, "s", "cart");
		request_begin(&request, host);
		assert_int_equal(request_read(&request, "s"), MMS_OK);
		assert_true(request_got(&request, "cart"));
		assert_int_equal(request_write(&request, "s", "more"), MMS_OK);
		assert_int_equal(request_touch(&request, "s", "more"), MMS_OK);
		request_end(&request);
		request_begin(&request, host);
		assert_int_equal(request_read(&request, "s"), MMS_OK);
		assert_true(request_got(&request, "more"));
		assert_int_equal(request_destroy(&request, "s"), MMS_OK);
		request_end(&request);
		assert_int_equal(node_number(node, "STRLEN", RIG_PREFIX "s"), 10);
		assert_true(host_metric(host, MMS_METRIC_foreign_keys) >= 3);
		assert_true(mms_client_can_write(host->client, node));
		host_free(host);
	}
}

static struct host *strict_pair(void)
{
	struct mms_settings settings;
	struct host *host;

	rig_fresh();
	settings_default(&settings, 2, "web1");
	settings.read_mode = MMS_READ_QUORUM;
	settings.write_acks = MMS_ACKS_QUORUM;
	host = host_with(&settings, RIG_MAILBOX);
	host_meet(host);
	return host;
}

/* Both took it, so the sound one has it; it goes into the damaged one's place before PHP sees it. */
static void a_damaged_copy_on_one_of_two_nodes_is_replaced(void **state)
{
	struct host *host = strict_pair();
	struct request request;

	(void) state;
	visit(host, "s", "data");
	node_do(0, "SETRANGE", RIG_PREFIX "s", "90", "?");
	request_begin(&request, host);
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	assert_true(request_got(&request, "data"));
	request_end(&request);
	assert_true(node_has(0, "s", "data", NULL));
	host_free(host);
}

/* But not what a node has that was restarted from an old dump a moment ago: the damaged copy may have been newer. */
static void damage_beside_an_old_dump_is_no_quorum(void **state)
{
	char old[4096], marker[256];
	struct host *host = strict_pair();
	struct request request;
	long old_len, marker_len;

	(void) state;
	visit(host, "s", "older");
	old_len = node_get(1, "s", old, sizeof(old));
	marker_len = node_get(1, ":node", marker, sizeof(marker));
	visit(host, "s", "newer, acknowledged");
	node_kill(1);
	node_restart(1);
	node_put_bytes(1, "s", old, (size_t) old_len);
	node_put_bytes(1, ":node", marker, (size_t) marker_len);
	node_do(0, "SETRANGE", RIG_PREFIX "s", "90", "?");
	for (int page = 0; page < 3; page++) {
		nap_us(10000);
		request_begin(&request, host);
		(void) request_read(&request, "s");
		assert_false(request_got(&request, "older"));
		request_end(&request);
	}
	host_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_damaged_copy_on_one_of_two_nodes_is_replaced),
		cmocka_unit_test(damage_beside_an_old_dump_is_no_quorum),
		cmocka_unit_test(an_acknowledged_write_is_read_through_every_majority),
		cmocka_unit_test(what_one_was_shown_the_next_is_shown_too),
		cmocka_unit_test(a_node_emptied_a_moment_ago_makes_no_majority),
		cmocka_unit_test(an_acknowledged_logout_is_seen_through_every_majority),
		cmocka_unit_test(without_a_majority_nothing_is_acknowledged),
		cmocka_unit_test(a_touch_is_acknowledged_by_as_many_as_a_write),
		cmocka_unit_test(degraded_writes_are_taken_and_counted),
		cmocka_unit_test(a_foreign_key_on_one_node_does_not_keep_a_visitor_out),
	};

	return rig_run(tests);
}
