/* Session locks as leases on real servers. */
#include "locks.h"

#include "mms_lease.h"

static struct host *one, *two;
static struct mms_error error;

static void meet_all(struct host *host)
{
	struct mms_lease lease;

	mms_lease_init(&lease);
	assert_int_equal(mms_lease_take(host->client, &lease, whole_key("nobody"), 0, &error), MMS_OK);
	mms_lease_release(host->client, &lease, whole_key("nobody"));
	await(locked_on("nobody") == 0); /* a release waits for nobody */
	for (unsigned node = 0; node < host->settings.node_count; node++) {
		assert_int_not_equal(atomic_load(&host->cluster->nodes[node].node_id), 0);
	}
}

static void setting(void)
{
	rig_fresh();
	one = host_new(3, "web1");
	meet_all(one);
	two = host_new(3, "web2");
	meet_all(two);
}

static void done(void)
{
	host_free(one);
	host_free(two);
}

static enum mms_status take(struct host *host, struct mms_lease *lease, const char *id, uint32_t wait_ms)
{
	host_calm(host);
	return mms_lease_take(host->client, lease, whole_key(id), wait_ms, &error);
}

static void release(struct host *host, struct mms_lease *lease, const char *id)
{
	host_calm(host);
	mms_lease_release(host->client, lease, whole_key(id));
}

static void one_has_it_and_the_others_do_not(void **state)
{
	struct mms_lease mine, others;

	(void) state;
	setting();
	mms_lease_init(&mine);
	mms_lease_init(&others);
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	assert_true(mms_lease_holds(one->client, &mine));
	assert_false(mine.waited);
	assert_int_equal(__builtin_popcountll(locked_on("s")), 1);
	assert_int_equal(take(two, &others, "s", 60), MMS_ERR_TIMEOUT);
	assert_true(others.waited);
	assert_false(mms_lease_holds(two->client, &others));
	assert_non_null(strstr(error.text, "session lock: another request of this session (on host web1) has held it for 60 ms"));
	assert_non_null(strstr(error.text, "session_write_close()"));
	assert_int_equal(take(two, &others, "another", 0), MMS_OK);
	release(two, &others, "another");
	release(one, &mine, "s");
	await(locked_on("s") == 0);
	assert_int_equal(take(two, &others, "s", 0), MMS_OK);
	release(two, &others, "s");
	await(locked_on("s") == 0);
	assert_int_equal(host_metric(two, MMS_METRIC_lock_waits), 1);
	assert_int_equal(host_metric(one, MMS_METRIC_lock_waits), 0);
	done();
}

static void hosts_with_other_lists_choose_the_same_node(void **state)
{
	struct mms_settings settings;
	struct mms_lease mine;
	char text[1024], id[32];
	unsigned on_node[RIG_NODES] = { 0 };

	(void) state;
	setting();
	host_free(two);
	snprintf(text, sizeof(text), "unix://%s unix://%s unix://%s", rig_servers[2].socket_path, rig_servers[0].socket_path,
			rig_servers[1].socket_path);
	settings_from(&settings, text, "web2");
	two = host_with(&settings, RIG_MAILBOX);
	for (unsigned number = 0; number < 60; number++) {
		struct mms_lease others;

		mms_lease_init(&mine);
		mms_lease_init(&others);
		snprintf(id, sizeof(id), "s%u", number);
		assert_int_equal(take(one, &mine, id, 0), MMS_OK);
		assert_int_equal(take(two, &others, id, 0), MMS_ERR_TIMEOUT);
		on_node[mine.node]++;
		release(one, &mine, id);
	}
	for (unsigned node = 0; node < RIG_NODES; node++) {
		assert_in_range(on_node[node], 5, 40);
	}
	done();
}

static void a_lease_that_nobody_gives_back_runs_out(void **state)
{
	struct mms_lease mine, others;
	int64_t began_us;

	(void) state;
	setting();
	one->client->settings.lock_ttl_ms = 200;
	mms_lease_init(&mine);
	mms_lease_init(&others);
	began_us = now_us();
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	assert_int_equal(take(two, &others, "s", 8000), MMS_OK);
	assert_true(now_us() - began_us >= 190000);
	assert_false(mms_lease_holds(one->client, &mine)); /* and its holder knows, by his own clock */
	assert_true(others.waited);
	release(one, &mine, "s");
	nap_us(20000);
	assert_int_not_equal(locked_on("s"), 0); /* it is the other's now */
	release(two, &others, "s");
	await(locked_on("s") == 0);
	done();
}

static void who_waits_does_not_ask_all_the_time(void **state)
{
	struct mms_lease mine, others;

	(void) state;
	setting();
	mms_lease_init(&mine);
	mms_lease_init(&others);
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	node_forget_calls(mine.node);
	assert_int_equal(take(two, &others, "s", 500), MMS_ERR_TIMEOUT);
	assert_in_range(node_calls(mine.node, "set"), 5, 40);
	release(one, &mine, "s");
	done();
}

static void a_dead_home_is_passed_over(void **state)
{
	struct mms_lease mine, others;
	unsigned home;

	(void) state;
	setting();
	mms_lease_init(&mine);
	mms_lease_init(&others);
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	home = mine.node;
	release(one, &mine, "s");
	node_kill(home);
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	assert_int_not_equal(mine.node, home);
	assert_int_equal(take(two, &others, "s", 0), MMS_ERR_TIMEOUT); /* who finds the same node dead */
	release(one, &mine, "s");
	await(locked_on("s") == 0);
	done();
}

static void without_a_node_there_is_no_lock(void **state)
{
	struct mms_lease mine;

	(void) state;
	setting();
	for (unsigned node = 0; node < 3; node++) {
		node_kill(node);
	}
	mms_lease_init(&mine);
	assert_int_equal(take(one, &mine, "s", 5000), MMS_ERR_NO_NODE);
	assert_false(mine.had);
	mms_lease_release(one->client, &mine, whole_key("s"));
	done();
}

static void another_type_of_value_is_nobodys_lock(void **state)
{
	struct mms_lease mine;
	unsigned home;
	char key[128];

	(void) state;
	setting();
	mms_lease_init(&mine);
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	home = mine.node;
	release(one, &mine, "s");
	lock_key("s", key, sizeof(key));
	await(locked_on("s") == 0);
	node_do(home, "LPUSH", key, "foreign");
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	assert_int_not_equal(mine.node, home);
	release(one, &mine, "s");
	assert_int_equal(node_number(home, "LLEN", key), 1);
	done();
}

/* It executes what stands in its socket when it goes on: that lock would keep everybody out until it ends. */
static void what_a_silent_node_took_is_given_back_too(void **state)
{
	struct mms_lease mine;
	unsigned home;

	(void) state;
	setting();
	one->client->settings.lock_ttl_ms = 600000;
	mms_lease_init(&mine);
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	home = mine.node;
	release(one, &mine, "s");
	await(locked_on("s") == 0);
	one->client->settings.read_timeout_ms = 100;
	node_stop(home);
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	assert_int_not_equal(mine.node, home);
	assert_int_equal(mine.doubt_mask, bit(home));
	node_continue(home);
	await(locked_on("s") == (bit(home) | bit(mine.node)));
	release(one, &mine, "s");
	await(locked_on("s") == 0);
	done();
}

/* Its answer was lost, or its time is nearly over: nobody knows how long it will stand. */
static void a_lock_that_is_ones_own_already_is_prolonged(void **state)
{
	struct mms_lease mine;
	char key[128];

	(void) state;
	setting();
	lock_key("s", key, sizeof(key));
	mms_lease_init(&mine);
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	node_do(mine.node, "PEXPIRE", key, "3000");
	mine.taken = false;
	mine.doubt_mask = bit(mine.node);
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	assert_true(mms_lease_holds(one->client, &mine));
	assert_in_range(node_number(mine.node, "PTTL", key), MMS_LEASE_TTL_MS - 3000, MMS_LEASE_TTL_MS);
	assert_int_equal(mine.doubt_mask, 0);
	release(one, &mine, "s");
	await(locked_on("s") == 0);
	done();
}

static void a_release_waits_for_nobody(void **state)
{
	struct mms_lease mine;
	int64_t began_us;

	(void) state;
	setting();
	mms_lease_init(&mine);
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	node_stop(mine.node);
	began_us = now_us();
	mms_lease_release(one->client, &mine, whole_key("s"));
	assert_true(now_us() - began_us < 100000);
	for (unsigned node = 0; node < 3; node++) {
		if (rig_stopped[node]) {
			node_continue(node);
		}
	}
	await(locked_on("s") == 0);
	/* What it answers is not taken for the answer to something else. */
	for (unsigned turn = 0; turn < 20; turn++) {
		assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
		release(one, &mine, "s");
	}
	await(locked_on("s") == 0);
	done();
}

static void a_connection_that_was_closed_meanwhile_is_made_again_for_the_release(void **state)
{
	struct mms_lease mine;

	(void) state;
	setting();
	mms_lease_init(&mine);
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	node_do(mine.node, "CLIENT", "KILL", "TYPE", "normal");
	nap_us(5000);
	release(one, &mine, "s");
	await(locked_on("s") == 0);
	done();
}

static void a_child_has_none_of_its_parents_locks(void **state)
{
	struct mms_lease mine, childs;

	(void) state;
	setting();
	mms_lease_init(&mine);
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	childs = mine;
	mms_client_drop_connections(one->client); /* as in the child */
	assert_false(mms_lease_holds(one->client, &childs));
	assert_int_equal(take(one, &childs, "s", 0), MMS_ERR_TIMEOUT);
	release(one, &childs, "s");
	nap_us(20000);
	assert_int_not_equal(locked_on("s"), 0);
	done();
}

static void flush_scripts(void)
{
	for (unsigned node = 0; node < 3; node++) {
		node_do(node, "SCRIPT", "FLUSH");
	}
}

/* Nobody hears what a release is answered. */
static void a_release_does_not_need_the_scripts_that_were_loaded(void **state)
{
	struct mms_lease mine;

	(void) state;
	setting();
	mms_lease_init(&mine);
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	flush_scripts();
	release(one, &mine, "s");
	await(locked_on("s") == 0);
	/* Both its answers were dropped: the next ones fit their questions. */
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	release(one, &mine, "s");
	await(locked_on("s") == 0);
	done();
}

static void a_lock_of_ones_own_is_prolonged_without_the_scripts_too(void **state)
{
	struct mms_lease mine;
	char key[128];

	(void) state;
	setting();
	lock_key("s", key, sizeof(key));
	mms_lease_init(&mine);
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	node_do(mine.node, "PEXPIRE", key, "3000");
	flush_scripts();
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	assert_true(mms_lease_holds(one->client, &mine));
	assert_in_range(node_number(mine.node, "PTTL", key), MMS_LEASE_TTL_MS - 3000, MMS_LEASE_TTL_MS);
	assert_int_equal(__builtin_popcountll(locked_on("s")), 1);
	assert_int_equal(host_metric(one, MMS_METRIC_noscripts), 1);
	release(one, &mine, "s");
	await(locked_on("s") == 0);
	done();
}

/* A node that can't prolong it is no reason to think that somebody else has it; what stands there is given back in the end. */
static void a_lock_that_a_node_refuses_to_prolong_is_taken_on_another(void **state)
{
	struct mms_lease mine;
	struct mms_reply *reply;
	unsigned home;

	(void) state;
	setting();
	mms_lease_init(&mine);
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	home = mine.node;
	reply = node_ask(home, "ACL", "SETUSER", "default", "-evalsha");
	if (mms_reply_type(reply) == MMS_REPLY_ERROR) {
		mms_reply_free(reply);
		done();
		skip();
	}
	mms_reply_free(reply);
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	assert_int_not_equal(mine.node, home);
	assert_int_equal(mine.doubt_mask, bit(home));
	node_do(home, "ACL", "SETUSER", "default", "+evalsha");
	atomic_store(&one->cluster->nodes[home].breaker.state, MMS_BREAKER_CLOSED);
	release(one, &mine, "s");
	await(locked_on("s") == 0);
	done();
}

/* By their addresses each host would take another node for the home. */
static void a_node_without_id_is_home_when_no_other_is_left(void **state)
{
	struct mms_settings settings;
	struct mms_lease mine;
	char text[1024], id[32];

	(void) state;
	setting();
	host_free(two);
	snprintf(text, sizeof(text), "unix://%s unix://%s unix:///%s", rig_servers[0].socket_path, rig_servers[1].socket_path,
			rig_servers[2].socket_path);
	settings_from(&settings, text, "web2");
	two = host_with(&settings, RIG_MAILBOX);
	meet_all(two);
	assert_string_not_equal(one->settings.nodes[2].address, two->settings.nodes[2].address);
	atomic_store(&one->cluster->nodes[2].node_id, 0);
	atomic_store(&two->cluster->nodes[2].node_id, 0);
	for (unsigned number = 0; number < 60; number++) {
		struct mms_lease others;

		mms_lease_init(&mine);
		mms_lease_init(&others);
		snprintf(id, sizeof(id), "s%u", number);
		assert_int_equal(take(one, &mine, id, 0), MMS_OK);
		assert_int_equal(take(two, &others, id, 0), MMS_ERR_TIMEOUT);
		assert_int_not_equal(mine.node, 2);
		release(one, &mine, id);
	}
	node_kill(0);
	node_kill(1);
	mms_lease_init(&mine);
	assert_int_equal(take(one, &mine, "s", 0), MMS_OK);
	assert_int_equal(mine.node, 2);
	release(one, &mine, "s");
	await(locked_on("s") == 0);
	done();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_has_it_and_the_others_do_not),
		cmocka_unit_test(hosts_with_other_lists_choose_the_same_node),
		cmocka_unit_test(a_lease_that_nobody_gives_back_runs_out),
		cmocka_unit_test(who_waits_does_not_ask_all_the_time),
		cmocka_unit_test(a_dead_home_is_passed_over),
		cmocka_unit_test(without_a_node_there_is_no_lock),
		cmocka_unit_test(another_type_of_value_is_nobodys_lock),
		cmocka_unit_test(what_a_silent_node_took_is_given_back_too),
		cmocka_unit_test(a_lock_that_is_ones_own_already_is_prolonged),
		cmocka_unit_test(a_release_waits_for_nobody),
		cmocka_unit_test(a_connection_that_was_closed_meanwhile_is_made_again_for_the_release),
		cmocka_unit_test(a_child_has_none_of_its_parents_locks),
		cmocka_unit_test(a_release_does_not_need_the_scripts_that_were_loaded),
		cmocka_unit_test(a_lock_of_ones_own_is_prolonged_without_the_scripts_too),
		cmocka_unit_test(a_lock_that_a_node_refuses_to_prolong_is_taken_on_another),
		cmocka_unit_test(a_node_without_id_is_home_when_no_other_is_left),
	};

	return rig_run(tests);
}
