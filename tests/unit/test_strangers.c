/* Hosts with another list of nodes: what they do not know is scanned, and people are told, once.
 * TEST LINK: mms_repair */
#include "repairs.h"

#define HOSTS RIG_PREFIX ":lives"
#define OTHER "web9 00000000000000ff"

static uint64_t id_of(unsigned node)
{
	return atomic_load(&desk->host->cluster->nodes[node].node_id);
}

/* The other host beats once more: it knows nodes of this mask, and is heard of on node `where`. */
static void other_lists(struct mms_life *life, uint64_t mask, unsigned where)
{
	char text[MMS_LIFE_TEXT_MAX];

	life->beat++;
	life->node_count = 0;
	for (unsigned node = 0; node < desk->office.node_count; node++) {
		if ((mask & bit(node)) != 0) {
			life->nodes[life->node_count++] = (struct mms_life_node){ .id = id_of(node),
				.run_hash = atomic_load(&desk->host->cluster->nodes[node].run_hash), .settled = true, .connected = true };
		}
	}
	mms_life_write(life, text);
	node_do(where, "HSET", HOSTS, OTHER, text);
}

static const struct mms_note_sh *notice(void)
{
	return &desk->host->cluster->notices[MMS_NOTICE_NODES];
}

static bool is_warned(void)
{
	return atomic_load(&notice()->active) != 0;
}

/* For so many seconds the other host, which lists nodes of this mask, beats. */
static void beat_for(struct mms_life *life, uint64_t mask, unsigned where, unsigned seconds)
{
	for (unsigned second = 0; second < seconds; second++) {
		other_lists(life, mask, where);
		turn_for(SECOND);
	}
}

/* The other lives, and knows node 0 alone: what it writes comes to node 1 by scan. */
static void a_node_that_others_do_not_know_is_scanned_now_and_then(void **state)
{
	struct mms_life life = { .beat = 0 };

	(void)state;
	begin(2);
	put_numbered(0, 0, 20);
	beat_for(&life, 1, 0, 19);
	assert_true(has_numbered(1, 0, 20));
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].repair.finished), 1);
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[0].repair.finished), 0);
	put_numbered(0, 20, 30);
	beat_for(&life, 1, 0, 70);
	assert_true(has_numbered(1, 20, 30));
	assert_in_range(atomic_load(&desk->host->cluster->nodes[1].repair.finished), 2, 3);
	end();
}

static void a_host_that_has_not_met_a_node_in_good_time_is_named(void **state)
{
	struct mms_life life = { .beat = 0 };
	char text[MMS_NOTE_TEXT_SIZE];

	(void)state;
	begin(2);
	beat_for(&life, 1, 0, 15);
	assert_false(is_warned()); /* it may be on its way there */
	beat_for(&life, 1, 0, 10);
	assert_true(is_warned());
	(void)mms_note_read(notice(), text, sizeof(text));
	assert_string_equal(text, "lists of nodes differ: host web9 has not met node n1: give all hosts the same mmsession.nodes, or see why "
			"one is not reached there");
	beat_for(&life, 3, 0, 5);
	assert_true(is_warned()); /* as one look may miss it */
	beat_for(&life, 3, 0, 10);
	assert_false(is_warned());
	end();
}

static void nobody_is_named_for_a_node_that_this_host_does_not_reach(void **state)
{
	struct mms_life life = { .beat = 0 };

	(void)state;
	begin(2);
	for (unsigned second = 0; second < 30; second++) {
		mms_link_drop(desk_link(desk, 1));
		beat_for(&life, 1, 0, 1);
		assert_false(is_warned());
	}
	end();
}

/* Offices of a second each. What the first answer of a new one does not tell of, the next may: the state is neither over in between,
 * nor said again. */
static void successors_do_not_say_it_again(void **state)
{
	struct mms_life life = { .beat = 0 };

	(void)state;
	begin(2);
	beat_for(&life, 2, 1, 12);
	for (unsigned office = 0; office < 20; office++) {
		leave_office();
		take_office();
		mms_link_drop(desk_link(desk, 1));
		desk_await(desk, (turn(), strangers.heard != 0)); /* by node 0, which has not heard of the other host */
		assert_int_equal(mms_hosts_sighted_count(hosts), 0);
		greet(1);
		beat_for(&life, 2, 1, 1);
		assert_int_equal(mms_hosts_sighted_count(hosts), 1);
	}
	assert_true(is_warned());
	assert_int_equal(atomic_load(&notice()->raised_count), 1);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_that_others_do_not_know_is_scanned_now_and_then),
		cmocka_unit_test(a_host_that_has_not_met_a_node_in_good_time_is_named),
		cmocka_unit_test(nobody_is_named_for_a_node_that_this_host_does_not_reach),
		cmocka_unit_test(successors_do_not_say_it_again),
	};

	return rig_run(tests);
}
