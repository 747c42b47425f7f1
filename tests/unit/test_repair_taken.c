/* Keys that a repair needs on its node, and somebody else has taken: it is said, nothing is written over them, and when they are gone
 * the node is repaired. */
#include "repairs.h"

static struct mms_node_sh *node_of(unsigned node)
{
	return &desk->host->cluster->nodes[node];
}

static bool warns_of(unsigned node, const char *words)
{
	char text[MMS_NOTE_TEXT_SIZE];

	(void) mms_note_read(&node_of(node)->refusal, text, sizeof(text));
	return atomic_load(&node_of(node)->refusal.active) != 0 && strstr(text, words) != NULL;
}

static void a_lease_of_another_type_is_told_of(void **state)
{
	(void) state;
	begin(2);
	put_numbered(0, 0, 20);
	empty(1);
	node_do(1, "HSET", LEASE, "their", "field");
	turn_until(warns_of(1, "at the key " LEASE ": DEL it"));
	turn_for(10 * SECOND);
	assert_false(is_complete(1));
	assert_true(warns_of(1, "node n1 ("));
	assert_int_equal(node_number(1, "HLEN", LEASE), 1);
	node_do(1, "DEL", LEASE);
	turn_until(is_complete(1) && atomic_load(&node_of(1)->refusal.active) == 0);
	assert_true(has_numbered(1, 0, 20));
	end();
}

static void a_marker_of_somebody_elses_is_not_written_over(void **state)
{
	char text[MMS_BREAKER_TEXT_SIZE];

	(void) state;
	for (unsigned other_type = 0; other_type < 2; other_type++) {
		begin(2);
		put_numbered(0, 0, 20);
		empty(1);
		node_do(1, "DEL", MARKER);
		if (other_type) {
			node_do(1, "HSET", MARKER, "their", "field");
		} else {
			node_do(1, "SET", MARKER, "theirs");
		}
		look_at_markers = true;
		turn_for(20 * SECOND);
		assert_false(is_complete(1));
		assert_int_equal(node_number(1, other_type ? "HLEN" : "STRLEN", MARKER), other_type ? 1 : 6);
		(void) mms_breaker_last_error(desk_breaker(desk, 1), text, sizeof(text));
		assert_non_null(strstr(text, "the key " MARKER " holds something that is not mmsession's"));
		node_do(1, "DEL", MARKER);
		turn_until(is_complete(1));
		assert_true(has_numbered(1, 0, 20));
		end();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lease_of_another_type_is_told_of),
		cmocka_unit_test(a_marker_of_somebody_elses_is_not_written_over),
	};

	return rig_run(tests);
}
