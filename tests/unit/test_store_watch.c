/* The watched put: the write of a session whose copy on the first node was read behind a WATCH. One transaction as long as
 * nobody came in between, the conditional put in every other case. */
#include "store.h"

static const char *session = "s";

static void setting(struct host **one, struct host **two)
{
	rig_fresh();
	*one = host_new(3, "web1");
	host_meet(*one);
	visit(*one, session, "first");
	if (two != NULL) {
		*two = host_new(3, "web2");
		host_meet(*two);
	}
	for (unsigned node = 0; node < 3; node++) {
		node_forget_calls(node);
	}
}

static void read_session(struct request *request, struct host *host, const char *expected)
{
	request_begin(request, host);
	assert_int_equal(request_read(request, session), MMS_OK);
	assert_true(request_got(request, expected));
}

static void write_session(struct request *request, const char *payload)
{
	assert_int_equal(request_write(request, session, payload), MMS_OK);
	request_end(request);
}

static void a_changed_session_is_put_in_a_transaction(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	for (unsigned turn = 0; turn < 3; turn++) {
		char text[16];

		request_begin(&request, host);
		assert_int_equal(request_read(&request, session), MMS_OK);
		(void) snprintf(text, sizeof(text), "turn %u", turn);
		write_session(&request, text);
		assert_true(node_has(0, session, text, NULL));
	}
	assert_int_equal(node_calls(0, "exec"), 3);
	assert_int_equal(node_calls(0, "watch"), 3);
	assert_int_equal(node_calls(0, "evalsha"), 0);
	assert_int_equal(node_calls(0, "unwatch"), 0);
	assert_in_range(node_number(0, "PTTL", RIG_PREFIX "s"), LIFETIME_S * 1000 - 5000, LIFETIME_S * 1000);
	host_free(host);
}

static void a_new_session_is_put_in_a_transaction_too(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	request_begin(&request, host);
	assert_int_equal(request_read(&request, "new"), MMS_OK);
	assert_int_equal(request_write(&request, "new", "data"), MMS_OK);
	request_end(&request);
	assert_true(node_has(0, "new", "data", NULL));
	assert_int_equal(node_calls(0, "exec"), 1);
	assert_int_equal(node_calls(0, "evalsha"), 0);
	host_free(host);
}

static void a_longer_life_is_kept(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	node_do(0, "PEXPIRE", RIG_PREFIX "s", "9000000");
	read_session(&request, host, "first");
	write_session(&request, "second");
	assert_int_equal(node_calls(0, "exec"), 1);
	assert_in_range(node_number(0, "PTTL", RIG_PREFIX "s"), 8990000, 9000000);
	host_free(host);
}

static void who_wrote_in_between_is_judged_by_the_merge_order(void **state)
{
	struct request early, late;
	struct host *one, *two;

	(void) state;
	setting(&one, &two);
	read_session(&early, one, "first");
	node_forget_calls(0);
	/* The other host's local node is the same: hosts of this rig share the order of nodes. */
	read_session(&late, two, "first");
	write_session(&late, "of the other host");
	write_session(&early, "of this host");
	assert_int_equal(node_calls(0, "evalsha"), 1);
	assert_true(node_has(0, session, "of this host", NULL)); /* stamped later */
	host_free(one);
	host_free(two);
}

static void a_logout_in_between_stays(void **state)
{
	struct request early, late;
	struct host *one, *two;
	struct mms_record_header header;

	(void) state;
	setting(&one, &two);
	read_session(&early, one, "first");
	read_session(&late, two, "first");
	assert_int_equal(request_destroy(&late, session), MMS_OK);
	request_end(&late);
	write_session(&early, "too late");
	header = node_header(0, session);
	assert_true(header.version.tombstone);
	assert_int_equal(host_metric(one, MMS_METRIC_late_writes), 1);
	host_free(one);
	host_free(two);
}

static void a_flush_in_between_is_noticed(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	read_session(&request, host, "first");
	node_do(0, "FLUSHALL");
	write_session(&request, "second");
	assert_true(node_has(0, session, "second", NULL));
	assert_int_equal(node_calls(0, "evalsha"), 1);
	host_free(host);
}

/* Without its WATCH the transaction would replace whatever stands there. */
static void a_connection_lost_in_between_asks_conditionally(void **state)
{
	struct request early, late;
	struct host *one, *two;

	(void) state;
	setting(&one, &two);
	read_session(&early, one, "first");
	read_session(&late, two, "first");
	assert_int_equal(request_destroy(&late, session), MMS_OK);
	request_end(&late);
	node_do(0, "CLIENT", "KILL", "TYPE", "normal");
	write_session(&early, "too late");
	assert_true(node_header(0, session).version.tombstone);
	assert_int_equal(node_calls(0, "exec"), 0);
	assert_true(mms_breaker_allows_write(&one->client->cluster->nodes[0].breaker));
	host_free(one);
	host_free(two);
}

static void another_session_in_between_takes_the_watch(void **state)
{
	struct request request;
	struct mms_store *other;
	struct mms_slice payload;
	struct mms_error error;
	struct host *host;
	bool exists;

	(void) state;
	setting(&host, NULL);
	read_session(&request, host, "first");
	other = mms_store_new(host->client);
	assert_int_equal(mms_store_read(other, slice("other"), &payload, &exists, &error), MMS_OK);
	write_session(&request, "second");
	assert_int_equal(node_calls(0, "exec"), 0);
	assert_int_equal(node_calls(0, "evalsha"), 1);
	assert_int_equal(mms_store_write(other, slice("other"), slice("data"), LIFETIME_S, &error), MMS_OK);
	assert_int_equal(node_calls(0, "exec"), 1);
	assert_int_equal(node_calls(0, "unwatch"), 1);
	mms_store_free(other);
	host_free(host);
}

static void two_writes_in_a_request(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	read_session(&request, host, "first");
	assert_int_equal(request_write(&request, session, "second"), MMS_OK);
	write_session(&request, "third");
	assert_true(node_has(0, session, "third", NULL));
	assert_int_equal(node_calls(0, "exec"), 1);
	assert_int_equal(node_calls(0, "evalsha"), 1);
	host_free(host);
}

/* A newer copy on a peer: what stands on the first node is not what was read. */
static void an_older_copy_on_the_first_node_is_not_watched_for(void **state)
{
	struct request request;
	struct sample newer;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	sample_aged(&newer, session, -1, "newer");
	node_put(1, session, &newer);
	read_session(&request, host, "newer");
	write_session(&request, "newest");
	assert_int_equal(node_calls(0, "exec"), 0);
	assert_true(node_has(0, session, "newest", NULL));
	host_free(host);
}

static void denied(const char *command)
{
	char rule[32];
	struct request request;
	struct host *host;

	(void) snprintf(rule, sizeof(rule), "-%s", command);
	rig_fresh();
	node_do(0, "ACL", "SETUSER", "default", rule);
	host = host_new(3, "web1");
	host_meet(host);
	visit(host, session, "first");
	node_forget_calls(0);
	assert_int_equal(atomic_load(&host->client->cluster->nodes[0].breaker.soft_faults), 0);
	assert_int_equal(host_metric(host, MMS_METRIC_failovers), 0);
	for (unsigned turn = 0; turn < 3; turn++) {
		read_session(&request, host, turn == 0 ? "first" : "second");
		write_session(&request, "second");
	}
	assert_int_equal(node_calls(0, "evalsha"), 3);
	assert_int_equal(node_calls(0, "get"), 3);
	assert_int_equal(node_calls(0, "watch") + node_calls(0, "multi") + node_calls(0, "exec"), 0);
	assert_int_equal(host_metric(host, MMS_METRIC_failovers), 0);
	rule[0] = '+';
	node_do(0, "ACL", "SETUSER", "default", rule);
	host_free(host);
}

static void without_permission_the_conditional_put_does_it(void **state)
{
	struct mms_reply *reply = node_ask(0, "ACL", "WHOAMI");
	bool has_acl = mms_reply_type(reply) != MMS_REPLY_ERROR;

	(void) state;
	mms_reply_free(reply);
	if (!has_acl) {
		skip();
	}
	denied("watch");
	denied("multi");
	denied("exec");
}

/* Revoked while the connection stands: the SET behind a refused MULTI is not taken for the transaction's, and behind a
 * refused EXEC the transaction would go on for ever. */
static void permission_revoked_in_between(void **state)
{
	static const char *const commands[] = { "multi", "exec" };
	struct request request;
	struct host *host;
	char rule[32];

	(void) state;
	for (unsigned i = 0; i < 2; i++) {
		setting(&host, NULL);
		read_session(&request, host, "first");
		(void) snprintf(rule, sizeof(rule), "-%s", commands[i]);
		node_do(0, "ACL", "SETUSER", "default", rule);
		write_session(&request, "second");
		read_session(&request, host, "second");
		write_session(&request, "third");
		rule[0] = '+';
		node_do(0, "ACL", "SETUSER", "default", rule);
		assert_true(node_has(0, session, "third", NULL));
		assert_int_equal(node_calls(0, "evalsha"), 2);
		assert_int_equal(host_metric(host, MMS_METRIC_failovers), 0);
		host_free(host);
	}
}

/* What one connection's user may do says nothing about the next connection's. */
static void each_connection_rehearses(void **state)
{
	struct request early, late;
	struct host *one, *two;

	(void) state;
	setting(&one, &two);
	node_do(0, "CLIENT", "KILL", "TYPE", "normal");
	read_session(&early, one, "first");
	node_do(0, "CLIENT", "KILL", "TYPE", "normal");
	request_end(&early);
	node_do(0, "ACL", "SETUSER", "default", "-multi");
	read_session(&early, one, "first");
	read_session(&late, two, "first");
	assert_int_equal(request_destroy(&late, session), MMS_OK);
	request_end(&late);
	write_session(&early, "too late");
	node_do(0, "ACL", "SETUSER", "default", "+multi");
	assert_true(node_header(0, session).version.tombstone);
	host_free(one);
	host_free(two);
}

static void an_empty_value_is_replaced(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	for (unsigned watched = 0; watched < 2; watched++) {
		host = host_new(3, "web1"); /* the mailbox of the last one has what it stored */
		host_meet(host);
		for (unsigned node = 0; node < 3; node++) {
			node_do(node, "SET", RIG_PREFIX "s", "");
		}
		request_begin(&request, host);
		assert_int_equal(request_read(&request, session), MMS_OK);
		assert_false(request.exists);
		if (!watched) {
			node_do(0, "SET", RIG_PREFIX "s", "");
		}
		write_session(&request, "data");
		assert_true(node_has(0, session, "data", NULL));
		host_free(host);
	}
}

static void a_full_server_refuses_the_transaction(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	setting(&host, NULL);
	read_session(&request, host, "first");
	node_do(0, "CONFIG", "SET", "maxmemory", "1");
	write_session(&request, "second");
	node_do(0, "CONFIG", "SET", "maxmemory", "0");
	assert_true(node_has(1, session, "second", NULL));
	assert_true(mms_breaker_allows_read(&host->client->cluster->nodes[0].breaker));
	assert_false(mms_breaker_allows_write(&host->client->cluster->nodes[0].breaker));
	host_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_changed_session_is_put_in_a_transaction),
		cmocka_unit_test(a_new_session_is_put_in_a_transaction_too),
		cmocka_unit_test(a_longer_life_is_kept),
		cmocka_unit_test(who_wrote_in_between_is_judged_by_the_merge_order),
		cmocka_unit_test(a_logout_in_between_stays),
		cmocka_unit_test(a_flush_in_between_is_noticed),
		cmocka_unit_test(a_connection_lost_in_between_asks_conditionally),
		cmocka_unit_test(another_session_in_between_takes_the_watch),
		cmocka_unit_test(two_writes_in_a_request),
		cmocka_unit_test(an_older_copy_on_the_first_node_is_not_watched_for),
		cmocka_unit_test(without_permission_the_conditional_put_does_it),
		cmocka_unit_test(permission_revoked_in_between),
		cmocka_unit_test(each_connection_rehearses),
		cmocka_unit_test(an_empty_value_is_replaced),
		cmocka_unit_test(a_full_server_refuses_the_transaction),
	};

	return rig_run(tests);
}
