/* Behind markers on peers of a node that misses writes. */
#include "markers.h"

static const char hint_key[] = RIG_PREFIX "missed";

static bool is_behind(const struct desk *desk, unsigned node)
{
	return atomic_load(&desk->host->cluster->nodes[node].behind) != 0;
}

static void all_peers_of_a_missing_node_hold_one_and_give_it_back(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(3, 3);
	settle(desk);
	assert_int_equal(markers(0) + markers(1) + markers(2), 0);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	mms_marker_run(&desk->office);
	assert_false(mms_marker_stands(desk_link(desk, 1))); /* asked for is not stored */
	settle(desk);
	assert_true(mms_marker_stands(desk_link(desk, 1)));
	assert_true(is_behind(desk, 1));
	assert_int_equal(markers(0), 1);
	assert_int_equal(markers(1), 0);
	assert_int_equal(markers(2), 1);
	heal(desk, 1);
	settle(desk);
	assert_int_equal(markers(0) + markers(2), 0);
	assert_false(is_behind(desk, 1));
	assert_false(mms_marker_stands(desk_link(desk, 1)));
	desk_close(desk);
}

static void a_node_with_hints_or_more_than_fit_is_behind(void **state)
{
	struct mms_hints_sh *hints;
	struct mms_record_header header;
	struct sample sample;
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(2, 2);
	hints = &desk->host->cluster->hints;
	sample_aged(&sample, "missed", 0, "");
	header = sample.header;
	assert_true(mms_hints_add(hints, slice(hint_key), sample.bytes, 2, (struct mms_mono){ now_us() + 60000000 },
			mms_clock_mono()));
	settle(desk);
	assert_int_equal(markers(0), 1);
	mms_hints_settle(hints, slice(hint_key), 1, &header.version);
	atomic_fetch_or(&hints->overflow_mask, 2);
	settle(desk);
	assert_int_equal(markers(0), 1);
	atomic_store(&hints->overflow_mask, 0);
	settle(desk);
	assert_int_equal(markers(0), 0);
	desk_close(desk);
}

static void a_peer_that_comes_later_is_given_it_then(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(3, 1);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	settle(desk);
	assert_true(mms_marker_stands(desk_link(desk, 1)));
	assert_int_equal(markers(2), 0);
	desk_greet(desk, 2);
	assert_false(mms_marker_stands(desk_link(desk, 1)));
	settle(desk);
	assert_true(mms_marker_stands(desk_link(desk, 1)));
	assert_int_equal(markers(2), 1);
	desk_close(desk);
}

static void a_node_whose_own_write_side_is_out_holds_up_nobody(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(2, 2);
	host_open_breaker(desk->host, 0, MMS_FAULT_WRITE_ONLY);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	settle(desk);
	assert_true(mms_marker_stands(desk_link(desk, 1)));
	assert_int_equal(markers(0), 0);
	desk_close(desk);
}

/* This life was silent for so long that another host took it for dead, and cleared what it had left there. */
static void one_that_another_host_has_cleared_is_set_again(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(3, 3);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	settle(desk);
	see(desk, 0);
	see(desk, 2);
	assert_true(mms_marker_stands(desk_link(desk, 1)));
	node_do(2, "DEL", BEHIND);
	assert_true(mms_marker_stands(desk_link(desk, 1))); /* nobody has looked */
	see(desk, 2);
	assert_false(mms_marker_stands(desk_link(desk, 1)));
	settle(desk);
	assert_int_equal(markers(2), 1);
	see(desk, 2);
	assert_true(mms_marker_stands(desk_link(desk, 1)));
	/* One that was cleared everywhere and is not wanted any more is forgotten. */
	node_do(0, "DEL", BEHIND);
	node_do(2, "DEL", BEHIND);
	heal(desk, 1);
	see(desk, 0);
	see(desk, 2);
	settle(desk);
	assert_false(is_behind(desk, 1));
	assert_int_equal(markers(0) + markers(2), 0);
	desk_close(desk);
}

/* Node 0 was saved while node 1 was away, and is started from that dump when all is well. */
static void one_that_a_dump_brings_back_is_deleted(void **state)
{
	struct mms_reply *saved;
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(3, 3);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	settle(desk);
	saved = node_ask(0, "HGETALL", BEHIND);
	assert_int_equal(mms_reply_count(saved), 2);
	heal(desk, 1);
	settle(desk);
	assert_int_equal(markers(0) + markers(2), 0);
	see(desk, 0);
	settle(desk);
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].behind), 0);
	node_do(0, "HSET", BEHIND, mms_reply_text(mms_reply_element(saved, 0)).ptr, mms_reply_text(mms_reply_element(saved, 1)).ptr);
	node_do(0, "HSET", BEHIND, "another host's", "token");
	see(desk, 0);
	settle(desk);
	assert_int_equal(markers(0), 1);
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].behind), 0);
	mms_reply_free(saved);
	desk_close(desk);
}

static void somebody_elses_marker_is_left(void **state)
{
	struct mms_reply *reply;
	struct desk *desk;
	char key[256];

	(void) state;
	rig_fresh();
	desk = desk_of(2, 2);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	settle(desk);
	reply = node_ask(0, "HKEYS", BEHIND);
	mms_text_copy(key, sizeof(key), mms_reply_text(mms_reply_element(reply, 0)));
	mms_reply_free(reply);
	assert_non_null(strstr(key, "web1"));
	node_do(0, "HSET", BEHIND, key, "the token of a successor");
	heal(desk, 1);
	settle(desk);
	assert_int_equal(markers(0), 1);
	assert_false(is_behind(desk, 1));
	desk_close(desk);
}

static void it_is_deleted_under_the_name_that_it_was_set_with(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(2, 1);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD); /* never met: its address stands for its id */
	settle(desk);
	assert_int_equal(markers(0), 1);
	heal(desk, 1);
	desk_greet(desk, 1);
	settle(desk);
	assert_int_equal(markers(0), 0);
	desk_close(desk);
}

static bool names(unsigned peer, const char *node)
{
	struct mms_reply *reply = node_ask(peer, "HKEYS", BEHIND);
	bool found = false;

	for (size_t i = 0; i < mms_reply_count(reply); i++) {
		found = found || strncmp(mms_reply_text(mms_reply_element(reply, i)).ptr, node, strlen(node)) == 0;
	}
	mms_reply_free(reply);
	return found;
}

/* Whoever looks for markers of the node that it has become looks for its new name. */
static void a_node_that_comes_back_with_another_id_is_named_by_that(void **state)
{
	_Atomic uint64_t *id;
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(3, 1);
	desk_greet(desk, 2);
	id = &desk->host->cluster->nodes[1].node_id;
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	settle(desk);
	assert_true(names(0, desk->host->cluster->settings.nodes[1].address) && names(2, desk->host->cluster->settings.nodes[1].address));
	for (uint64_t number = 0x71; number < 0x74; number++) {
		char name[32];

		atomic_store(id, number);
		mms_marker_run(&desk->office);
		assert_false(mms_marker_stands(desk_link(desk, 1)));
		assert_false(mms_marker_covers(&desk->office));
		settle(desk);
		assert_true(mms_marker_stands(desk_link(desk, 1)));
		(void) snprintf(name, sizeof(name), "%016llx ", (unsigned long long) number);
		assert_true(names(0, name) && names(2, name));
		assert_int_equal(markers(0), 1); /* the former one is gone */
		assert_int_equal(markers(2), 1);
	}
	heal(desk, 1);
	settle(desk);
	assert_int_equal(markers(0) + markers(2), 0);
	assert_false(is_behind(desk, 1));
	desk_close(desk);
}

static void a_peer_that_was_away_meanwhile_is_relieved_of_the_former_name(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(3, 1);
	desk_greet(desk, 2);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	settle(desk);
	mms_link_drop(desk_link(desk, 2));
	atomic_store(&desk->host->cluster->nodes[1].node_id, 0x71);
	settle(desk);
	heal(desk, 1);
	settle(desk);
	assert_int_equal(markers(0), 0);
	assert_int_equal(markers(2), 1);
	assert_true(is_behind(desk, 1));
	desk_greet(desk, 2);
	settle(desk);
	assert_int_equal(markers(2), 0);
	assert_false(is_behind(desk, 1));
	desk_close(desk);
}

/* Twice it got another id while a peer was away that holds it under its address, which is every name of the node's. */
static void the_address_is_not_forgotten_over_an_id(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(3, 1);
	desk_greet(desk, 2);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	settle(desk);
	mms_link_drop(desk_link(desk, 2));
	for (uint64_t number = 0x71; number < 0x73; number++) {
		atomic_store(&desk->host->cluster->nodes[1].node_id, number);
		settle(desk);
	}
	desk_greet(desk, 2);
	settle(desk);
	assert_int_equal(markers(2), 1);
	assert_true(names(2, "0000000000000072 "));
	desk_close(desk);
}

/* The peer may have it, or not: it counts as neither. */
static void one_whose_answer_was_lost_is_deleted_all_the_same(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(2, 2);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	mms_marker_run(&desk->office);
	mms_link_flush(desk_link(desk, 0));
	await(markers(0) == 1);
	mms_link_drop(desk_link(desk, 0));
	heal(desk, 1);
	mms_marker_run(&desk->office);
	assert_true(is_behind(desk, 1));
	desk_greet(desk, 0);
	assert_false(mms_marker_stands(desk_link(desk, 1)));
	settle(desk);
	assert_int_equal(markers(0), 0);
	assert_false(is_behind(desk, 1));
	desk_close(desk);
}

static void after_a_pause_no_marker_is_trusted(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(2, 2);
	desk->office.markers_doubted = true;
	assert_true(mms_marker_covers(&desk->office)); /* none is wanted */
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	settle(desk);
	assert_true(mms_marker_stands(desk_link(desk, 1)));
	assert_false(mms_marker_covers(&desk->office));
	desk->office.markers_doubted = false;
	assert_true(mms_marker_covers(&desk->office));
	desk_close(desk);
}

static void a_peer_that_is_lost_is_asked_again(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(2, 2);
	node_stop(0);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	mms_marker_run(&desk->office);
	desk_turn(desk);
	mms_link_drop(desk_link(desk, 0));
	assert_true(desk_link(desk, 1)->marker_asked_mask == 0);
	node_continue(0);
	desk_greet(desk, 0);
	assert_false(mms_marker_stands(desk_link(desk, 1)));
	settle(desk);
	assert_true(mms_marker_stands(desk_link(desk, 1)));
	assert_int_equal(markers(0), 1);
	desk_close(desk);
}

static void a_peer_that_refuses_it_is_blamed(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(2, 2);
	node_do(0, "CONFIG", "SET", "maxmemory", "1");
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	desk_await(desk, (mms_marker_run(&desk->office), !mms_breaker_allows_write(desk_breaker(desk, 0))));
	assert_true(mms_breaker_allows_read(desk_breaker(desk, 0)));
	assert_true(mms_marker_stands(desk_link(desk, 1))); /* nobody is left to hold it */
	desk_close(desk);
}

static void blame_goes_by_what_was_said(void **state)
{
	char text[MMS_BREAKER_TEXT_SIZE];
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(1, 1);
	mms_marker_blame(desk_link(desk, 0), MMS_CLASS_WRONGTYPE, "WRONGTYPE");
	mms_marker_blame(desk_link(desk, 0), MMS_CLASS_NOSCRIPT, "NOSCRIPT");
	assert_true(mms_link_ready(desk_link(desk, 0)) && mms_breaker_allows_write(desk_breaker(desk, 0)));
	mms_marker_blame(desk_link(desk, 0), MMS_CLASS_WRITE, "READONLY no.");
	mms_breaker_last_error(desk_breaker(desk, 0), text, sizeof(text));
	assert_non_null(strstr(text, "node n0 ("));
	assert_non_null(strstr(text, "): server answered: READONLY no: it is a replica: REPLICAOF NO ONE"));
	assert_true(mms_link_ready(desk_link(desk, 0)));
	assert_false(mms_breaker_allows_write(desk_breaker(desk, 0)));
	mms_marker_blame(desk_link(desk, 0), MMS_CLASS_HARD, "LOADING");
	assert_false(mms_breaker_allows_read(desk_breaker(desk, 0)));
	assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_DOWN);
	desk_close(desk);
}

/* What fails may be one key, tried again now and then: a row of such errors, close together, is the node's. */
static void errors_of_single_keys_are_the_nodes_in_a_row_only(void **state)
{
	struct desk *desk;
	struct mms_link *link;

	(void) state;
	rig_fresh();
	desk = desk_of(1, 1);
	link = desk_link(desk, 0);
	for (unsigned number = 0; number < 10; number++) {
		desk->office.now.us += 1000000;
		mms_marker_blame(link, MMS_CLASS_OTHER, "ERR this key");
	}
	assert_true(mms_link_ready(link) && mms_breaker_allows_read(desk_breaker(desk, 0)));
	desk->office.now.us += 1000000;
	for (unsigned number = 1; number <= MMS_BREAKER_SOFT_LIMIT; number++) {
		assert_true(mms_link_ready(link));
		desk->office.now.us += 100000;
		mms_marker_blame(link, MMS_CLASS_OTHER, "ERR any key");
	}
	assert_int_equal(link->state, MMS_LINK_DOWN);
	assert_false(mms_breaker_allows_read(desk_breaker(desk, 0)));
	desk_close(desk);
}

/* The desk's office ends as by a death: on the nodes and in shared memory, everything stays. Another takes it. */
static void succeed(struct desk *desk, unsigned greeted)
{
	struct mms_error error;

	for (unsigned node = 0; node < desk->office.node_count; node++) {
		mms_link_fini(desk_link(desk, node));
		assert_int_equal(mms_link_init(desk_link(desk, node), &desk->office, node, &error), MMS_OK);
	}
	for (unsigned node = 0; node < greeted; node++) {
		desk_greet(desk, node);
	}
}

/* Nobody else would: the field is this life's, and other hosts scan the node for it once the life is over. */
static void a_successor_deletes_what_its_predecessor_left(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(3, 3);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	settle(desk);
	assert_int_equal(markers(0) + markers(2), 2);
	heal(desk, 1);
	succeed(desk, 2);
	settle(desk);
	assert_int_equal(markers(0), 0);
	assert_int_equal(markers(2), 1);
	assert_true(is_behind(desk, 1)); /* as long as one stands somewhere */
	desk_greet(desk, 2);
	settle(desk);
	assert_int_equal(markers(2), 0);
	assert_false(is_behind(desk, 1));
	desk_close(desk);
}

/* It can't know where the predecessor had set it by then. */
static void a_successor_sets_everywhere_what_is_still_wanted(void **state)
{
	struct mms_reply *reply;
	struct desk *desk;
	char token[64];

	(void) state;
	rig_fresh();
	desk = desk_of(3, 1);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	settle(desk);
	assert_int_equal(markers(0), 1);
	assert_int_equal(markers(2), 0);
	reply = node_ask(0, "HVALS", BEHIND);
	mms_text_copy(token, sizeof(token), mms_reply_text(mms_reply_element(reply, 0)));
	mms_reply_free(reply);
	succeed(desk, 1);
	desk_greet(desk, 2);
	mms_marker_run(&desk->office);
	assert_false(mms_marker_stands(desk_link(desk, 1)));
	settle(desk);
	assert_true(mms_marker_stands(desk_link(desk, 1)));
	assert_int_equal(markers(0), 1); /* the same one */
	assert_int_equal(markers(2), 1);
	reply = node_ask(2, "HVALS", BEHIND);
	assert_memory_equal(mms_reply_text(mms_reply_element(reply, 0)).ptr, token, strlen(token));
	mms_reply_free(reply);
	desk_close(desk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_peers_of_a_missing_node_hold_one_and_give_it_back),
		cmocka_unit_test(a_node_with_hints_or_more_than_fit_is_behind),
		cmocka_unit_test(a_peer_that_comes_later_is_given_it_then),
		cmocka_unit_test(a_node_whose_own_write_side_is_out_holds_up_nobody),
		cmocka_unit_test(one_that_another_host_has_cleared_is_set_again),
		cmocka_unit_test(one_that_a_dump_brings_back_is_deleted),
		cmocka_unit_test(somebody_elses_marker_is_left),
		cmocka_unit_test(it_is_deleted_under_the_name_that_it_was_set_with),
		cmocka_unit_test(a_node_that_comes_back_with_another_id_is_named_by_that),
		cmocka_unit_test(a_peer_that_was_away_meanwhile_is_relieved_of_the_former_name),
		cmocka_unit_test(the_address_is_not_forgotten_over_an_id),
		cmocka_unit_test(one_whose_answer_was_lost_is_deleted_all_the_same),
		cmocka_unit_test(after_a_pause_no_marker_is_trusted),
		cmocka_unit_test(a_peer_that_is_lost_is_asked_again),
		cmocka_unit_test(a_peer_that_refuses_it_is_blamed),
		cmocka_unit_test(blame_goes_by_what_was_said),
		cmocka_unit_test(errors_of_single_keys_are_the_nodes_in_a_row_only),
		cmocka_unit_test(a_successor_deletes_what_its_predecessor_left),
		cmocka_unit_test(a_successor_sets_everywhere_what_is_still_wanted),
	};

	return rig_run(tests);
}
