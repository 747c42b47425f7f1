/* Peers that don't take markers or give them back; lines of this life's that no marker has; markers after a silence. */
/* TEST LINK: mms_refusal */
#include "markers.h"

#include "mms_life.h"
#include "mms_refusal.h"

/* The warning about this node; "" = none that goes on. */
static const char *warning(struct desk *desk, unsigned node)
{
	static char text[MMS_NOTE_TEXT_SIZE];
	const struct mms_note_sh *note = &desk->host->cluster->nodes[node].refusal;

	(void) mms_note_read(note, text, sizeof(text));
	return atomic_load(&note->active) != 0 ? text : "";
}

static void permit(unsigned node, const char *rule)
{
	node_do(node, "ACL", "SETUSER", "default", rule);
}

static void let_pass(struct desk *desk, int64_t us)
{
	for (unsigned node = 0; node < desk->office.node_count; node++) {
		desk_link(desk, node)->markers_refused_until.us -= us;
	}
}

/* A node that serves sessions is not given up over a marker: it has none, and that is said. */
static void a_peer_without_the_permission_holds_none_and_is_not_blamed(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(3, 3);
	permit(0, "-hset");
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	settle(desk);
	assert_true(mms_breaker_allows_write(desk_breaker(desk, 0)));
	assert_true(mms_link_ready(desk_link(desk, 0)));
	assert_int_equal(markers(0), 0);
	assert_int_equal(markers(2), 1);
	assert_true(mms_marker_stands(desk_link(desk, 1)));
	assert_non_null(strstr(warning(desk, 0), "node n0 ("));
	assert_non_null(strstr(warning(desk, 0), "server refused HSET to " BEHIND ": NOPERM"));
	assert_non_null(strstr(warning(desk, 0), "mmsession.user needs that permission"));
	assert_string_equal(warning(desk, 2), "");
	node_forget_calls(0);
	settle(desk);
	assert_int_equal(node_calls(0, "hset"), 0); /* not at once again */
	permit(0, "+hset");
	let_pass(desk, 5000000);
	settle(desk);
	assert_int_equal(markers(0), 1);
	assert_string_equal(warning(desk, 0), "");
	desk_close(desk);
}

/* Nobody holds one: entries may become hints, but what is lost with this life is not written down. */
static void where_no_peer_takes_one_nothing_is_covered(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(2, 2);
	assert_true(mms_marker_covers(&desk->office));
	permit(0, "-hset");
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	settle(desk);
	assert_true(mms_marker_stands(desk_link(desk, 1)));
	assert_false(mms_marker_covers(&desk->office));
	permit(0, "+hset");
	let_pass(desk, 5000000);
	settle(desk);
	assert_true(mms_marker_covers(&desk->office));
	desk_close(desk);
}

static void one_that_may_not_be_deleted_stays_and_is_told_of(void **state)
{
	static const char *const verbs[] = { "hget", "hdel" };
	struct desk *desk;

	(void) state;
	for (unsigned i = 0; i < 2; i++) {
		char rule[8];

		rig_fresh();
		desk = desk_of(2, 2);
		host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
		settle(desk);
		assert_int_equal(markers(0), 1);
		(void) snprintf(rule, sizeof(rule), "-%s", verbs[i]);
		permit(0, rule);
		heal(desk, 1);
		settle(desk);
		assert_true(mms_breaker_allows_write(desk_breaker(desk, 0)));
		assert_int_equal(markers(0), 1);
		assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].behind), 1);
		assert_non_null(strstr(warning(desk, 0), "server refused HGET or HDEL at " BEHIND));
		assert_non_null(strstr(warning(desk, 0), "needs that permission"));
		rule[0] = '+';
		permit(0, rule);
		let_pass(desk, 5000000);
		settle(desk);
		assert_int_equal(markers(0), 0);
		assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].behind), 0);
		assert_string_equal(warning(desk, 0), "");
		desk_close(desk);
	}
}

static void a_key_that_somebody_has_taken_is_told_of(void **state)
{
	struct mms_reply *read;
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(3, 3);
	node_do(0, "SET", BEHIND, "theirs");
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	settle(desk);
	assert_true(mms_marker_stands(desk_link(desk, 1)));
	assert_true(mms_breaker_allows_write(desk_breaker(desk, 0)));
	assert_non_null(strstr(warning(desk, 0), "something else than mmsession's stands at the key " BEHIND ": DEL it"));
	node_do(0, "DEL", BEHIND);
	let_pass(desk, 5000000);
	settle(desk);
	assert_int_equal(markers(0), 1);
	read = node_ask(0, "HGETALL", BEHIND); /* as once a second */
	assert_int_equal(mms_refusal_see(desk_link(desk, 0), MMS_REFUSAL_BEHIND_READ, read), MMS_CLASS_NONE);
	assert_string_equal(warning(desk, 0), "");
	mms_reply_free(read);
	desk_close(desk);
}

/* What is refused in two ways is told of until both are allowed; a successor does not take the first for all. */
static void the_warning_ends_with_the_last_refusal(void **state)
{
	struct mms_reply *refused, *allowed;
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(2, 2);
	permit(0, "-hset");
	permit(0, "-hgetall");
	refused = node_ask(0, "HGETALL", BEHIND);
	allowed = node_ask(1, "HGETALL", BEHIND);
	assert_int_equal(mms_refusal_see(desk_link(desk, 0), MMS_REFUSAL_LIVES_READ, refused), MMS_CLASS_PERMISSION);
	assert_int_equal(mms_refusal_see(desk_link(desk, 0), MMS_REFUSAL_BEHIND_READ, refused), MMS_CLASS_PERMISSION);
	assert_int_equal(mms_refusal_see(desk_link(desk, 0), MMS_REFUSAL_LIVES_READ, allowed), MMS_CLASS_NONE);
	assert_non_null(strstr(warning(desk, 0), "HGETALL of " BEHIND));
	assert_int_equal(mms_refusal_see(desk_link(desk, 0), MMS_REFUSAL_LIVES_SET, allowed), MMS_CLASS_NONE);
	assert_string_not_equal(warning(desk, 0), "");
	assert_int_equal(mms_refusal_see(desk_link(desk, 0), MMS_REFUSAL_BEHIND_READ, allowed), MMS_CLASS_NONE);
	assert_string_equal(warning(desk, 0), "");
	assert_int_equal(mms_refusal_see(desk_link(desk, 0), MMS_REFUSAL_BEHIND_SET, refused), MMS_CLASS_PERMISSION);
	assert_int_equal(mms_refusal_see(desk_link(desk, 0), MMS_REFUSAL_LIVES_SET, allowed), MMS_CLASS_NONE);
	assert_string_not_equal(warning(desk, 0), "");
	desk->office.now.us += 16000000; /* no marker has been wanted since */
	assert_int_equal(mms_refusal_see(desk_link(desk, 0), MMS_REFUSAL_LIVES_SET, allowed), MMS_CLASS_NONE);
	assert_string_equal(warning(desk, 0), "");
	permit(0, "+@all");
	mms_reply_free(refused);
	mms_reply_free(allowed);
	desk_close(desk);
}

/* As the peer has it after a restart with its data, or when an older connection's bytes come late: under any name of the node's. */
static void a_line_of_this_life_that_no_marker_has_is_deleted(void **state)
{
	static const char *const nodes[] = { "0000000000000071", "unix:///elsewhere" };
	char field[200], other[200], life[MMS_LIFE_NAME_MAX];
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(3, 3);
	(void) mms_life_name("web1", mms_shm_life(desk->host->shm, desk->host->cluster), life);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	settle(desk);
	assert_int_equal(markers(0), 1);
	for (unsigned i = 0; i < 2; i++) {
		(void) snprintf(field, sizeof(field), "%s %s", nodes[i], life);
		node_do(0, "HSET", BEHIND, field, "00000000000000aa");
	}
	(void) snprintf(other, sizeof(other), "%s web2 00000000000000bb", nodes[0]);
	node_do(0, "HSET", BEHIND, other, "00000000000000cc");
	assert_int_equal(markers(0), 4);
	see(desk, 0);
	settle(desk);
	assert_int_equal(markers(0), 2); /* the one that is wanted, and another life's */
	assert_true(mms_marker_stands(desk_link(desk, 1)));
	heal(desk, 1);
	settle(desk);
	assert_int_equal(markers(0), 1);
	desk_close(desk);
}

static void token_at(unsigned node, char out[32])
{
	struct mms_reply *reply = node_ask(node, "HVALS", BEHIND);

	assert_int_equal(mms_reply_count(reply), 1);
	(void) snprintf(out, 32, "%s", mms_reply_text(mms_reply_element(reply, 0)).ptr);
	mms_reply_free(reply);
}

/* Another host that has scanned for the dead deletes what it has read, by compare. */
static void after_a_silence_markers_have_other_tokens(void **state)
{
	char before[32], after[32];
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_of(3, 3);
	mms_marker_renew(&desk->office); /* there is none */
	settle(desk);
	assert_int_equal(markers(0) + markers(2), 0);
	host_open_breaker(desk->host, 1, MMS_FAULT_HARD);
	settle(desk);
	token_at(0, before);
	mms_marker_renew(&desk->office);
	assert_false(mms_marker_covers(&desk->office));
	settle(desk);
	assert_true(mms_marker_covers(&desk->office));
	token_at(0, after);
	assert_string_not_equal(before, after);
	token_at(2, before);
	assert_string_equal(before, after);
	heal(desk, 1);
	mms_marker_renew(&desk->office); /* and it is not wanted any more */
	settle(desk);
	see(desk, 0);
	see(desk, 2);
	settle(desk);
	assert_int_equal(markers(0) + markers(2), 0);
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].behind), 0);
	desk_close(desk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peer_without_the_permission_holds_none_and_is_not_blamed),
		cmocka_unit_test(where_no_peer_takes_one_nothing_is_covered),
		cmocka_unit_test(one_that_may_not_be_deleted_stays_and_is_told_of),
		cmocka_unit_test(a_key_that_somebody_has_taken_is_told_of),
		cmocka_unit_test(the_warning_ends_with_the_last_refusal),
		cmocka_unit_test(a_line_of_this_life_that_no_marker_has_is_deleted),
		cmocka_unit_test(after_a_silence_markers_have_other_tokens),
	};

	return rig_run(tests);
}
