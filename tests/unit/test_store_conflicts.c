/* What `conflicts` counts: of two writes of one session, neither of which has read the other, the one that is superseded, once;
 * and nothing else. */
#include "store.h"

static const char *session = "s";
static struct host *one, *two;

static void setting(void)
{
	rig_fresh();
	one = host_new(3, "web1");
	host_meet(one);
	two = host_new(3, "web2");
	host_meet(two);
	visit(one, session, "first");
}

static void done(void)
{
	host_free(one);
	host_free(two);
}

static void begin(struct request *request, struct host *host)
{
	request_begin(request, host);
	assert_int_equal(request_read(request, session), MMS_OK);
}

static void end(struct request *request, const char *payload)
{
	assert_int_equal(request_write(request, session, payload), MMS_OK);
	request_end(request);
}

/* Two hosts within one millisecond may stamp in either order: this write has the higher stamp for certain. */
static void end_later(struct request *request, const char *payload)
{
	const uint64_t stands = node_header(0, session).version.hlc;

	while (stamp_ago(0) <= stands) {
	}
	end(request, payload);
}

static void assert_conflicts(uint64_t of_one, uint64_t of_two)
{
	assert_int_equal(host_metric(one, MMS_METRIC_conflicts), of_one);
	assert_int_equal(host_metric(two, MMS_METRIC_conflicts), of_two);
}

/* The other host's local node is the same: hosts of this rig share the order of nodes. */
static void a_write_over_one_that_it_has_not_read_is_counted(void **state)
{
	struct request early, late;

	(void) state;
	setting();
	begin(&early, one);
	begin(&late, two);
	end(&late, "of the other host");
	assert_conflicts(0, 0);
	end_later(&early, "of this host");
	assert_true(node_has(0, session, "of this host", NULL));
	assert_conflicts(1, 0);
	done();
}

static void of_many_each_but_the_last_is_counted_once(void **state)
{
	struct request requests[8];

	(void) state;
	setting();
	for (unsigned i = 0; i < 8; i++) {
		begin(&requests[i], i % 2 == 0 ? one : two);
	}
	for (unsigned i = 0; i < 8; i++) {
		end(&requests[7 - i], "mine");
	}
	assert_int_equal(host_metric(one, MMS_METRIC_conflicts) + host_metric(two, MMS_METRIC_conflicts), 7);
	done();
}

static void writes_one_after_the_other_are_none(void **state)
{
	struct request request;

	(void) state;
	setting();
	for (unsigned turn = 0; turn < 6; turn++) {
		begin(&request, turn % 2 == 0 ? one : two);
		if (turn >= 3) { /* without a WATCH, by the script */
			node_do(0, "CLIENT", "KILL", "TYPE", "normal");
		}
		end(&request, turn % 2 == 0 ? "even" : "odd");
	}
	assert_conflicts(0, 0);
	done();
}

/* The newest copy is read from a peer; what stands on the first node is older than that, and an ancestor. */
static void an_old_copy_on_the_node_that_takes_it_is_none(void **state)
{
	struct request request;
	struct sample newer;

	(void) state;
	setting();
	sample_aged(&newer, session, -1, "newer");
	node_put(1, session, &newer);
	begin(&request, one);
	assert_true(request_got(&request, "newer"));
	end(&request, "newest");
	assert_true(node_has(0, session, "newest", NULL));
	assert_conflicts(0, 0);
	done();
}

static void the_second_write_of_a_request_builds_on_its_first(void **state)
{
	struct request request, other;

	(void) state;
	setting();
	begin(&request, one);
	assert_int_equal(request_write(&request, session, "second"), MMS_OK);
	assert_int_equal(request_write(&request, session, "third"), MMS_OK);
	assert_conflicts(0, 0);
	begin(&other, two);
	end(&other, "in between");
	end_later(&request, "fourth");
	assert_conflicts(1, 0);
	done();
}

static void however_many_nodes_take_it(void **state)
{
	struct request early, late;

	(void) state;
	setting();
	one->client->settings.write_acks = two->client->settings.write_acks = MMS_ACKS_ALL;
	begin(&early, one);
	begin(&late, two);
	end(&late, "of the other host");
	end_later(&early, "of this host");
	assert_true(node_has(2, session, "of this host", NULL));
	assert_conflicts(1, 0);
	done();
}

/* A touch writes nothing new: where the node lacks what was read, the record itself follows, as a mirror would. */
static void a_touch_is_none(void **state)
{
	struct sample newer, unread;
	struct request request;

	(void) state;
	setting();
	sample_aged(&newer, session, -1, "newer");
	sample_aged(&unread, session, 1, "unread");
	node_put(1, session, &newer);
	node_do(1, "PEXPIRE", RIG_PREFIX "s", "600000");
	begin(&request, one);
	node_put(0, session, &unread);
	node_do(0, "PEXPIRE", RIG_PREFIX "s", "600000");
	assert_int_equal(request_touch(&request, session, "newer"), MMS_OK);
	request_end(&request);
	assert_int_equal(host_metric(one, MMS_METRIC_touches), 1);
	assert_true(node_has(0, session, "newer", NULL));
	assert_conflicts(0, 0);
	done();
}

/* It ends the session whatever it holds; writes that come later are late_writes. */
static void a_logout_is_none(void **state)
{
	struct request logout, slow, other;

	(void) state;
	setting();
	begin(&logout, one);
	begin(&slow, one);
	begin(&other, two);
	end(&other, "not read by the logout");
	assert_int_equal(request_destroy(&logout, session), MMS_OK);
	request_end(&logout);
	end(&slow, "too late");
	assert_true(node_header(0, session).version.tombstone);
	assert_int_equal(host_metric(one, MMS_METRIC_late_writes), 1);
	assert_conflicts(0, 0);
	done();
}

static void nor_is_one_that_follows_into_a_new_incarnation(void **state)
{
	struct request logout, other;

	(void) state;
	setting();
	begin(&logout, one);
	begin(&other, two);
	assert_int_equal(request_destroy(&other, session), MMS_OK);
	request_end(&other);
	visit(two, session, "second life");
	nap_us(2000); /* logouts of one stamp are one logout */
	assert_int_equal(request_destroy(&logout, session), MMS_OK);
	request_end(&logout);
	assert_true(node_header(0, session).version.tombstone);
	assert_true(node_header(0, session).version.incarnation != 0);
	assert_conflicts(0, 0);
	done();
}

static void two_that_open_an_incarnation_are_one(void **state)
{
	struct request first, second;

	(void) state;
	setting();
	begin(&first, one);
	assert_int_equal(request_destroy(&first, session), MMS_OK);
	request_end(&first);
	begin(&first, one);
	begin(&second, two);
	end(&first, "opened");
	assert_conflicts(0, 0);
	end_later(&second, "opened as well");
	assert_true(node_has(0, session, "opened as well", NULL));
	assert_conflicts(0, 1);
	done();
}

static void a_blind_record_that_was_read_is_an_ancestor(void **state)
{
	struct request request;

	(void) state;
	rig_fresh();
	one = host_new(3, "web1");
	host_meet(one);
	two = host_new(3, "web2");
	host_meet(two);
	make_incomplete(one, 1);
	visit(one, session, "blind");
	assert_true(node_header(0, session).version.blind);
	begin(&request, two);
	node_do(0, "CLIENT", "KILL", "TYPE", "normal");
	end(&request, "real");
	assert_false(node_header(0, session).version.blind);
	assert_conflicts(0, 0);
	done();
}

static void two_blind_beginnings_are_one(void **state)
{
	struct request first, second;

	(void) state;
	rig_fresh();
	one = host_new(3, "web1");
	host_meet(one);
	two = host_new(3, "web2");
	host_meet(two);
	make_incomplete(one, 1);
	make_incomplete(two, 1);
	begin(&first, one);
	begin(&second, two);
	end(&first, "blind");
	end_later(&second, "blind too");
	assert_true(node_has(0, session, "blind too", NULL));
	assert_conflicts(0, 1);
	done();
}

/* What is done to other ids in between changes nothing about what the session's write builds on. */
static void a_session_keeps_its_base_beside_other_ids(void **state)
{
	struct request early, late;

	(void) state;
	setting();
	begin(&early, one);
	begin(&late, two);
	end(&late, "of the other host");
	assert_int_equal(request_destroy(&early, "device"), MMS_OK);
	assert_int_equal(request_read(&early, "another"), MMS_OK);
	end_later(&early, "of this host");
	assert_conflicts(1, 0);
	done();
}

/* Of the other ids one at a time is remembered; of the one before, which version PHP has. */
static void a_write_of_what_was_read_some_ids_ago_is_counted_if_it_changed(void **state)
{
	struct request request;

	(void) state;
	for (unsigned changed = 0; changed < 2; changed++) {
		setting();
		visit(one, "b", "of b");
		visit(one, "c", "of c");
		begin(&request, one);
		assert_int_equal(request_read(&request, "b"), MMS_OK);
		assert_int_equal(request_read(&request, "c"), MMS_OK);
		if (changed) {
			visit(two, "b", "newer");
		}
		assert_int_equal(request_write(&request, "b", "of the first read"), MMS_OK);
		assert_conflicts(changed, 0);
		assert_true(node_has(0, "b", "of the first read", NULL));
		assert_int_equal(request_write(&request, "b", "again"), MMS_OK);
		assert_conflicts(changed, 0);
		request_end(&request);
		done();
	}
}

/* The record follows a touch to where it is lacking: its payload is the header's, not what somebody takes it for. */
static void a_touch_of_what_was_not_read_carries_what_stands(void **state)
{
	struct request request;
	struct sample sample;

	(void) state;
	setting();
	sample_aged(&sample, "b", 100, "of b");
	node_put(1, "b", &sample);
	begin(&request, one);
	assert_int_equal(request_touch(&request, "b", "not it"), MMS_OK);
	assert_true(node_has(0, "b", "of b", NULL));
	request_end(&request);
	done();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_write_over_one_that_it_has_not_read_is_counted),
		cmocka_unit_test(of_many_each_but_the_last_is_counted_once),
		cmocka_unit_test(writes_one_after_the_other_are_none),
		cmocka_unit_test(an_old_copy_on_the_node_that_takes_it_is_none),
		cmocka_unit_test(the_second_write_of_a_request_builds_on_its_first),
		cmocka_unit_test(however_many_nodes_take_it),
		cmocka_unit_test(a_touch_is_none),
		cmocka_unit_test(a_logout_is_none),
		cmocka_unit_test(nor_is_one_that_follows_into_a_new_incarnation),
		cmocka_unit_test(two_that_open_an_incarnation_are_one),
		cmocka_unit_test(a_blind_record_that_was_read_is_an_ancestor),
		cmocka_unit_test(two_blind_beginnings_are_one),
		cmocka_unit_test(a_session_keeps_its_base_beside_other_ids),
		cmocka_unit_test(a_touch_of_what_was_not_read_carries_what_stands),
		cmocka_unit_test(a_write_of_what_was_read_some_ids_ago_is_counted_if_it_changed),
	};

	return rig_run(tests);
}
