/* Who may connect when, and that a node is probed by one thing at a time. */
#include "office.h"

#include "mms_tending.h"

#define FAR_US (MMS_BREAKER_PROBE_MAX_MS * INT64_C(1000)) /* a wait as breakers grow them */

static struct desk *desk;

static void begin(unsigned nodes)
{
	rig_fresh();
	desk = desk_open(host_new(nodes, "web1"));
}

static struct mms_link *link_of(unsigned node)
{
	return desk_link(desk, node);
}

/* The next probe is that far away, or (0) due. */
static void probe_in(unsigned node, int64_t us)
{
	atomic_store(&desk_breaker(desk, node)->probe_at_us, desk->office.now.us + us);
}

static void open_breaker(unsigned node, enum mms_fault fault)
{
	host_open_breaker(desk->host, node, fault);
	probe_in(node, FAR_US);
}

/* As the loop does it, the clock running on by a little. */
static void tend(unsigned node)
{
	desk->office.now.us++;
	mms_tending_run(link_of(node));
}

static void become_ready(unsigned node)
{
	tend(node);
	desk_await(desk, mms_link_ready(link_of(node)));
	desk_quiet(desk);
}

static void ignore(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	(void) link;
	(void) context;
	(void) token;
	(void) replies;
}

static void a_closed_node_is_connected_and_greeted(void **state)
{
	(void) state;
	begin(1);
	link_of(0)->retry_at.us = desk->office.now.us + FAR_US;
	tend(0);
	assert_int_equal(link_of(0)->state, MMS_LINK_DOWN); /* not yet */
	link_of(0)->retry_at.us = 0;
	tend(0);
	assert_int_equal(link_of(0)->state, MMS_LINK_CONNECTING);
	assert_int_equal(link_of(0)->request_count, 1);
	assert_false(link_of(0)->probing);
	tend(0);
	assert_int_equal(link_of(0)->request_count, 1); /* one greeting */
	desk_await(desk, mms_link_ready(link_of(0)));
	desk_quiet(desk);
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[0].complete), 1);
	tend(0);
	assert_int_equal(link_of(0)->request_count, 0);
	desk_close(desk);
}

static void an_open_node_is_connected_when_its_probe_is_due(void **state)
{
	(void) state;
	begin(1);
	open_breaker(0, MMS_FAULT_HARD);
	tend(0);
	assert_int_equal(link_of(0)->state, MMS_LINK_DOWN);
	probe_in(0, 0);
	tend(0);
	assert_int_equal(link_of(0)->state, MMS_LINK_CONNECTING);
	assert_true(link_of(0)->probing);
	assert_int_equal(atomic_load(&desk_breaker(desk, 0)->state), MMS_BREAKER_HALF_OPEN);
	desk_await(desk, mms_link_ready(link_of(0)));
	assert_false(link_of(0)->probing);
	assert_int_equal(atomic_load(&desk_breaker(desk, 0)->good_probes), 1);
	desk_close(desk);
}

static void a_connect_under_way_is_the_only_probe(void **state)
{
	int64_t began_us;
	int fd;

	(void) state;
	begin(1);
	node_stop(0);
	open_breaker(0, MMS_FAULT_HARD);
	probe_in(0, 0);
	tend(0);
	assert_true(link_of(0)->probing);
	began_us = link_of(0)->probed_at.us;
	fd = link_of(0)->fd;
	for (unsigned round = 0; round < 20; round++) {
		probe_in(0, 0);
		tend(0);
		desk->office.none_usable = true;
		desk->office.now.us += 2 * MMS_TENDING_ALL_DOWN_US / 20;
		tend(0);
	}
	assert_true(link_of(0)->probed_at.us == began_us);
	assert_int_equal(link_of(0)->fd, fd);
	assert_int_equal(link_of(0)->request_count, 1);
	desk_close(desk);
}

static void a_ping_under_way_is_the_only_probe(void **state)
{
	int64_t began_us;

	(void) state;
	begin(1);
	become_ready(0);
	node_stop(0);
	open_breaker(0, MMS_FAULT_WRITE_ONLY);
	probe_in(0, 0);
	tend(0);
	assert_int_equal(link_of(0)->request_count, 1);
	began_us = link_of(0)->probed_at.us;
	for (unsigned round = 0; round < 20; round++) {
		probe_in(0, 0);
		tend(0);
	}
	assert_int_equal(link_of(0)->request_count, 1);
	assert_true(link_of(0)->probed_at.us == began_us);
	node_continue(0);
	desk_await(desk, !link_of(0)->probing);
	assert_int_equal(atomic_load(&desk_breaker(desk, 0)->good_probes), 1);
	desk_close(desk);
}

/* The answer to an earlier question stands out still: a second one on top of it would be taken for its answer. */
static void no_ping_goes_out_behind_another(void **state)
{
	(void) state;
	begin(1);
	become_ready(0);
	node_stop(0);
	open_breaker(0, MMS_FAULT_WRITE_ONLY);
	probe_in(0, 0);
	tend(0);
	link_of(0)->probing = false; /* something else has settled it */
	tend(0);
	assert_int_equal(link_of(0)->request_count, 1);
	node_continue(0);
	desk_await(desk, link_of(0)->request_count == 0);
	desk_close(desk);
}

/* The window is full of mirrors that the node does not answer now. */
static void a_probe_for_which_there_is_no_room_stays_due(void **state)
{
	struct mms_command command;

	(void) state;
	begin(1);
	become_ready(0);
	node_stop(0);
	mms_command_init(&command);
	mms_command_ping(&command);
	for (unsigned number = 0; number < MMS_LINK_WINDOW; number++) {
		assert_true(mms_link_request(link_of(0), &command, ignore, NULL, 0));
	}
	open_breaker(0, MMS_FAULT_HARD);
	probe_in(0, 0);
	tend(0);
	assert_int_equal(link_of(0)->request_count, MMS_LINK_WINDOW);
	node_continue(0);
	desk_await(desk, link_of(0)->request_count == 0);
	for (unsigned round = 0; round < 2; round++) {
		probe_in(0, 0);
		tend(0);
		assert_int_equal(link_of(0)->request_count, 1);
		desk_await(desk, !link_of(0)->probing);
	}
	assert_true(mms_breaker_allows_read(desk_breaker(desk, 0)));
	desk_close(desk);
}

static void two_good_writes_close_the_write_side(void **state)
{
	(void) state;
	begin(1);
	become_ready(0);
	open_breaker(0, MMS_FAULT_WRITE_ONLY);
	node_forget_calls(0);
	for (int round = 0; round < 2; round++) {
		assert_false(mms_breaker_allows_write(desk_breaker(desk, 0)));
		probe_in(0, 0);
		tend(0);
		desk_await(desk, !link_of(0)->probing);
	}
	assert_true(mms_breaker_allows_write(desk_breaker(desk, 0)));
	assert_int_equal(node_calls(0, "ping"), 0);
	assert_int_equal(node_calls(0, "set"), 2);
	tend(0);
	assert_int_equal(link_of(0)->request_count, 0);
	desk_close(desk);
}

static void a_server_that_still_refuses_writes_is_not_written(void **state)
{
	(void) state;
	begin(1);
	become_ready(0);
	node_do(0, "CONFIG", "SET", "maxmemory", "1");
	open_breaker(0, MMS_FAULT_WRITE_ONLY);
	for (int round = 0; round < 4; round++) {
		probe_in(0, 0);
		tend(0);
		desk_await(desk, !link_of(0)->probing);
		assert_true(mms_breaker_allows_read(desk_breaker(desk, 0)));
		assert_false(mms_breaker_allows_write(desk_breaker(desk, 0)));
	}
	assert_true(mms_link_ready(link_of(0)));
	node_do(0, "CONFIG", "SET", "maxmemory", "0");
	for (int round = 0; round < 2; round++) {
		probe_in(0, 0);
		tend(0);
		desk_await(desk, !link_of(0)->probing);
	}
	assert_true(mms_breaker_allows_write(desk_breaker(desk, 0)));
	desk_close(desk);
}

static void two_good_pings_close_the_whole_breaker(void **state)
{
	(void) state;
	begin(1);
	become_ready(0);
	open_breaker(0, MMS_FAULT_HARD);
	node_forget_calls(0);
	for (int round = 0; round < 2; round++) {
		assert_false(mms_breaker_allows_read(desk_breaker(desk, 0)));
		probe_in(0, 0);
		tend(0);
		desk_await(desk, !link_of(0)->probing);
	}
	assert_true(mms_breaker_allows_write(desk_breaker(desk, 0)));
	assert_int_equal(node_calls(0, "ping"), 2);
	desk_close(desk);
}

static void a_probe_that_fails_is_over(void **state)
{
	(void) state;
	begin(1);
	node_kill(0);
	open_breaker(0, MMS_FAULT_HARD);
	probe_in(0, 0);
	tend(0);
	desk_await(desk, link_of(0)->state == MMS_LINK_DOWN);
	assert_false(link_of(0)->probing);
	assert_int_equal(atomic_load(&desk_breaker(desk, 0)->state), MMS_BREAKER_OPEN);
	assert_true(atomic_load(&desk_breaker(desk, 0)->backoff_step) > 0);
	assert_false(mms_breaker_probe_due(desk_breaker(desk, 0), desk->office.now));
	desk_close(desk);
}

/* A node that was brought back is wanted at once when there is no other, whatever its breaker's wait has grown to. */
static void with_all_nodes_down_probes_hurry(void **state)
{
	(void) state;
	begin(2);
	for (unsigned node = 0; node < 2; node++) {
		node_kill(node);
		open_breaker(node, MMS_FAULT_HARD);
		tend(node);
		assert_int_equal(link_of(node)->probed_at.us, 0);
	}
	desk->office.none_usable = true;
	for (unsigned node = 0; node < 2; node++) {
		int64_t began_us;

		tend(node);
		began_us = link_of(node)->probed_at.us;
		assert_true(began_us == desk->office.now.us);
		desk_await(desk, !link_of(node)->probing);
		probe_in(node, FAR_US);
		desk->office.now.us = began_us + MMS_TENDING_ALL_DOWN_US - 1;
		tend(node);
		assert_true(link_of(node)->probed_at.us == began_us); /* hurry, not haste */
		tend(node);
		assert_true(link_of(node)->probed_at.us == began_us + MMS_TENDING_ALL_DOWN_US + 1);
		desk_await(desk, !link_of(node)->probing);
		probe_in(node, FAR_US);
	}
	node_restart(1);
	desk->office.now.us = link_of(1)->probed_at.us + MMS_TENDING_ALL_DOWN_US;
	tend(1);
	desk_await(desk, mms_link_ready(link_of(1)));
	desk_close(desk);
}

static void with_one_usable_node_nobody_hurries(void **state)
{
	(void) state;
	begin(2);
	become_ready(0);
	open_breaker(1, MMS_FAULT_HARD);
	for (unsigned round = 0; round < 4; round++) {
		desk->office.now.us += MMS_TENDING_ALL_DOWN_US;
		tend(1);
	}
	assert_int_equal(link_of(1)->state, MMS_LINK_DOWN);
	assert_int_equal(link_of(1)->probed_at.us, 0);
	desk_close(desk);
}

static void last_words_have_one_attempt_whatever_the_breaker_says(void **state)
{
	(void) state;
	begin(1);
	node_kill(0);
	open_breaker(0, MMS_FAULT_HARD);
	desk->office.last_words = true;
	tend(0);
	assert_true(link_of(0)->spoken);
	desk_await(desk, link_of(0)->state == MMS_LINK_DOWN);
	node_restart(0);
	probe_in(0, 0);
	tend(0);
	assert_int_equal(link_of(0)->state, MMS_LINK_DOWN);
	desk_close(desk);
}

static void a_silent_node_is_given_up_at_its_deadline(void **state)
{
	(void) state;
	begin(1);
	node_stop(0);
	tend(0);
	for (unsigned number = 1; number <= MMS_BREAKER_SOFT_LIMIT; number++) {
		assert_true(mms_breaker_allows_read(desk_breaker(desk, 0))); /* it takes connections: one late answer is no outage */
		assert_int_equal(link_of(0)->state, MMS_LINK_CONNECTING);
		desk->office.now.us = link_of(0)->deadline.us - 10;
		tend(0);
		assert_int_equal(link_of(0)->state, MMS_LINK_CONNECTING);
		desk->office.now.us = link_of(0)->deadline.us;
		tend(0);
		assert_int_equal(link_of(0)->state, MMS_LINK_CONNECTING); /* what it has said is heard first */
		tend(0);
		assert_int_equal(link_of(0)->state, MMS_LINK_DOWN);
		desk->office.now.us = link_of(0)->retry_at.us;
		tend(0);
	}
	assert_false(mms_breaker_allows_read(desk_breaker(desk, 0)));
	desk_close(desk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_closed_node_is_connected_and_greeted),
		cmocka_unit_test(an_open_node_is_connected_when_its_probe_is_due),
		cmocka_unit_test(a_connect_under_way_is_the_only_probe),
		cmocka_unit_test(a_ping_under_way_is_the_only_probe),
		cmocka_unit_test(no_ping_goes_out_behind_another),
		cmocka_unit_test(a_probe_for_which_there_is_no_room_stays_due),
		cmocka_unit_test(two_good_writes_close_the_write_side),
		cmocka_unit_test(a_server_that_still_refuses_writes_is_not_written),
		cmocka_unit_test(two_good_pings_close_the_whole_breaker),
		cmocka_unit_test(a_probe_that_fails_is_over),
		cmocka_unit_test(with_all_nodes_down_probes_hurry),
		cmocka_unit_test(with_one_usable_node_nobody_hurries),
		cmocka_unit_test(last_words_have_one_attempt_whatever_the_breaker_says),
		cmocka_unit_test(a_silent_node_is_given_up_at_its_deadline),
	};

	return rig_run(tests);
}
