/* The request thread's own acquaintance with nodes that nobody has identified yet. */
#include "fake.h"

#include "mms_meeting.h"

#define MARKER "unit::node"

static void meet(struct host *host, uint64_t mask)
{
	struct mms_fanout fanout;

	mms_fanout_begin(&fanout, host->client, host_deadline(host));
	mms_meeting_run(&fanout, mask);
	mms_fanout_end(&fanout);
}

static uint64_t id_of(const struct host *host, unsigned node)
{
	return atomic_load(&host->cluster->nodes[node].node_id);
}

static bool is_complete(const struct host *host, unsigned node)
{
	return atomic_load(&host->cluster->nodes[node].complete) != 0;
}

static bool is_known(const struct host *host, unsigned node)
{
	return atomic_load(&host->cluster->nodes[node].run_hash) != 0;
}

static void strangers_get_a_marker_and_are_complete(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	meet(host, 7);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(is_known(host, i));
		assert_true(is_complete(host, i));
		assert_int_equal(node_number(i, "EXISTS", MARKER), 1);
		assert_int_equal(node_number(i, "TTL", MARKER), -1);
	}
	assert_true(id_of(host, 0) != id_of(host, 1));
	host_free(host);
}

static void hosts_agree_on_ids(void **state)
{
	struct host *first, *second;

	(void) state;
	rig_fresh();
	first = host_new(2, "web1");
	second = host_new(2, "web2");
	meet(first, 3);
	meet(second, 3);
	for (unsigned i = 0; i < 2; i++) {
		assert_true(id_of(first, i) != 0);
		assert_true(id_of(first, i) == id_of(second, i));
		assert_true(is_complete(second, i));
	}
	host_free(first);
	host_free(second);
}

static void only_nodes_of_the_mask_are_asked(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	meet(host, 2);
	assert_false(is_known(host, 0));
	assert_true(is_known(host, 1));
	assert_false(is_known(host, 2));
	host_free(host);
}

static void known_nodes_are_not_asked_again(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	meet(host, 1);
	node_forget_calls(0);
	meet(host, 1);
	assert_int_equal(node_calls(0, "get"), 0);
	assert_int_equal(node_calls(0, "set"), 0);
	host_free(host);
}

static void a_node_that_was_restarted_with_its_marker_proves_nothing(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	node_do(0, "SET", MARKER, "00000000000000aa 0123456789012345678901234567890123456789 1");
	host = host_new(1, "web1");
	meet(host, 1);
	assert_true(is_known(host, 0));
	assert_true(id_of(host, 0) == 0xaa);
	assert_false(is_complete(host, 0));
	host_free(host);
}

static void a_marker_that_is_something_else_is_left_alone(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	node_do(0, "SET", MARKER, "somebody's own");
	host = host_new(1, "web1");
	meet(host, 1);
	assert_true(id_of(host, 0) == 0);
	assert_false(is_complete(host, 0));
	assert_int_equal(node_number(0, "STRLEN", MARKER), strlen("somebody's own"));
	host_free(host);
}

static void a_node_that_refuses_info_stays_unknown(void **state)
{
	static const char *const answers[] = { "-NOPERM this user has no permissions\r\n", "$5\r\nhello\r\n",
		"$21\r\nredis_mode:cluster\r\n\r\n\r\n" };
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	host = host_with_fake(1, 0, fake);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		fake_release(fake);
		fake_says(fake, "INFO", answers[i], 1);
		meet(host, 1);
		assert_false(is_known(host, 0));
		assert_int_equal(node_number(0, "EXISTS", MARKER), 0);
	}
	host_free(host);
	fake_free(fake);
}

static void a_node_that_takes_no_marker_proves_nothing(void **state)
{
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	host = host_with_fake(1, 0, fake);
	fake_says(fake, "SET", "-OOM command not allowed when used memory > 'maxmemory'.\r\n", 1);
	meet(host, 1);
	assert_true(is_known(host, 0));
	assert_false(is_complete(host, 0));
	host_free(host);
	fake_free(fake);
}

static void a_node_that_falls_silent_is_left_unknown(void **state)
{
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	host = host_with_fake(2, 0, fake);
	host->client->settings.read_timeout_ms = 30;
	fake_holds(fake, "INFO");
	meet(host, 1);
	assert_false(is_known(host, 0));
	fake_release(fake);
	host->client->settings.read_timeout_ms = 5000;
	fake_rule(fake, (struct fake_rule){ .verb = "SET", .act = FAKE_CLOSE, .times = 2 });
	meet(host, 1);
	assert_false(is_known(host, 0));
	meet(host, 1);
	assert_true(is_known(host, 0));
	assert_false(is_complete(host, 0)); /* nothing is known of the other yet: this may be no first installation */
	meet(host, 3);
	assert_true(is_complete(host, 0) && is_complete(host, 1));
	host_free(host);
	fake_free(fake);
}

/* Emptied while no PHP ran here, or new among others: who meets it never knew it. */
static void a_node_without_marker_among_others_is_incomplete(void **state)
{
	struct host *first, *second;

	(void) state;
	rig_fresh();
	first = host_new(3, "web1");
	meet(first, 7);
	node_do(1, "FLUSHALL");
	node_do(0, "SET", MARKER, "00000000000000aa 0123456789012345678901234567890123456789 1");
	second = host_new(3, "web2");
	meet(second, 7);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(is_known(second, i));
		assert_false(is_complete(second, i));
	}
	host_free(first);
	host_free(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strangers_get_a_marker_and_are_complete),
		cmocka_unit_test(hosts_agree_on_ids),
		cmocka_unit_test(only_nodes_of_the_mask_are_asked),
		cmocka_unit_test(known_nodes_are_not_asked_again),
		cmocka_unit_test(a_node_that_was_restarted_with_its_marker_proves_nothing),
		cmocka_unit_test(a_marker_that_is_something_else_is_left_alone),
		cmocka_unit_test(a_node_that_refuses_info_stays_unknown),
		cmocka_unit_test(a_node_that_takes_no_marker_proves_nothing),
		cmocka_unit_test(a_node_that_falls_silent_is_left_unknown),
		cmocka_unit_test(a_node_without_marker_among_others_is_incomplete),
	};

	return rig_run(tests);
}
