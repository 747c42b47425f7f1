/* Markers and run ids as texts and numbers. */
#include "processes.h"

#include "mms_identity.h"

#define RUN_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define RUN_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static struct mms_settings settings_of(const char *prefix)
{
	struct mms_settings settings = { .node_count = 1 };

	snprintf(settings.prefix, sizeof(settings.prefix), "%s", prefix);
	snprintf(settings.host_id, sizeof(settings.host_id), "web1");
	snprintf(settings.nodes[0].address, sizeof(settings.nodes[0].address), "tcp://10.0.0.2:6379");
	return settings;
}

static struct mms_identity judged(const char *marker, const char *run_id)
{
	struct mms_identity identity;

	mms_identity_judge(mms_slice_of(marker), run_id, &identity);
	return identity;
}

static void keys_lie_under_the_prefix(void **state)
{
	const struct mms_settings settings = settings_of("shop");
	char key[MMS_MARKER_KEY_MAX];

	(void) state;
	assert_int_equal(mms_identity_marker_key(&settings, key, sizeof(key)), 9);
	assert_string_equal(key, "shop:node");
	assert_int_equal(mms_identity_lives_key(&settings, key, sizeof(key)), 10);
	assert_string_equal(key, "shop:lives");
	assert_int_equal(mms_identity_behind_key(&settings, key, sizeof(key)), 11);
	assert_string_equal(key, "shop:behind");
}

static void a_node_that_was_never_met_is_named_by_its_address(void **state)
{
	const struct mms_settings settings = settings_of("shop");
	char field[MMS_BEHIND_FIELD_MAX];
	struct mms_slice life;

	(void) state;
	mms_identity_behind_field(&settings, 0, 0, 0x12ab, field, sizeof(field));
	assert_string_equal(field, "tcp://10.0.0.2:6379 web1 00000000000012ab");
	assert_true(mms_identity_is_behind(mms_slice_of(field), &settings, 0, 0xabc)); /* also once it has been met */
	mms_identity_behind_field(&settings, 0, 0xabc, 0x12ab, field, sizeof(field));
	assert_string_equal(field, "0000000000000abc web1 00000000000012ab");
	assert_true(mms_identity_is_behind(mms_slice_of(field), &settings, 0, 0xabc));
	assert_false(mms_identity_is_behind(mms_slice_of(field), &settings, 0, 0xabd));
	assert_false(mms_identity_is_behind(mms_slice_of(field), &settings, 0, 0));
	life = mms_identity_behind_life(mms_slice_of(field));
	assert_int_equal(life.len, 21);
	assert_memory_equal(life.ptr, "web1 00000000000012ab", 21);
	assert_int_equal(mms_identity_behind_life(mms_slice_of("nonsense")).len, 0);
	assert_int_equal(mms_identity_behind_life((struct mms_slice){ NULL, 0 }).len, 0);
}

static void the_longest_names_fit(void **state)
{
	struct mms_settings settings = settings_of("");
	char key[MMS_MARKER_KEY_MAX], field[MMS_BEHIND_FIELD_MAX];

	(void) state;
	memset(settings.prefix, 'p', MMS_PREFIX_MAX);
	memset(settings.host_id, 'h', sizeof(settings.host_id) - 1);
	memset(settings.nodes[0].address, 'a', sizeof(settings.nodes[0].address) - 1);
	assert_true(mms_identity_behind_key(&settings, key, sizeof(key)) < sizeof(key));
	assert_true(mms_identity_lives_key(&settings, key, sizeof(key)) < sizeof(key));
	assert_true(mms_identity_behind_field(&settings, 0, 0, UINT64_MAX, field, sizeof(field)) < sizeof(field));
	assert_true(mms_identity_marker_key(&settings, key, sizeof(key)) < sizeof(key));
}

static void the_run_id_is_found_in_info(void **state)
{
	const char *info = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nrun_id:" RUN_A "\r\ntcp_port:1\r\n";
	char run_id[MMS_RUN_ID_MAX + 1];
	struct mms_error error;

	(void) state;
	assert_int_equal(mms_identity_parse_info(mms_slice_of(info), run_id, &error), MMS_OK);
	assert_string_equal(run_id, RUN_A);
}

static void a_run_id_is_cut_and_not_written_past_its_end(void **state)
{
	const char *info = "run_id:" RUN_A "cccccccccccccccc";
	char run_id[MMS_RUN_ID_MAX + 1];

	(void) state;
	assert_int_equal(mms_identity_parse_info(mms_slice_of(info), run_id, NULL), MMS_OK);
	assert_string_equal(run_id, RUN_A);
}

static void info_without_a_run_id_is_refused_with_a_remedy(void **state)
{
	static const char *const infos[] = { "", "redis_mode:standalone\r\n", "run_id:\r\n", "run_id:" };
	char run_id[MMS_RUN_ID_MAX + 1];

	(void) state;
	for (size_t i = 0; i < sizeof(infos) / sizeof(infos[0]); i++) {
		struct mms_error error = { "" };

		assert_int_equal(mms_identity_parse_info(mms_slice_of(infos[i]), run_id, &error), MMS_ERR_REFUSED);
		assert_non_null(strstr(error.text, "run_id"));
	}
}

static void cluster_mode_is_refused(void **state)
{
	const char *info = "redis_mode:cluster\r\nrun_id:" RUN_A "\r\n";
	char run_id[MMS_RUN_ID_MAX + 1];
	struct mms_error error = { "" };

	(void) state;
	assert_int_equal(mms_identity_parse_info(mms_slice_of(info), run_id, &error), MMS_ERR_REFUSED);
	assert_non_null(strstr(error.text, "Cluster"));
}

static void a_proposal_is_judged_as_it_was_meant(void **state)
{
	char marker[MMS_MARKER_VALUE_MAX], other[MMS_MARKER_VALUE_MAX];

	(void) state;
	assert_int_equal(mms_identity_propose(RUN_A, MMS_MARKER_COMPLETE, marker), MMS_OK);
	assert_int_equal(mms_identity_propose(RUN_A, MMS_MARKER_INCOMPLETE, other), MMS_OK);
	assert_true(judged(marker, RUN_A).complete);
	assert_false(judged(other, RUN_A).complete);
	assert_true(judged(marker, RUN_A).node_id != 0);
	assert_true(judged(marker, RUN_A).node_id != judged(other, RUN_A).node_id);
	assert_true(judged(marker, RUN_A).run_hash == judged(other, RUN_A).run_hash);
}

static void a_marker_of_another_run_keeps_the_id_and_proves_nothing(void **state)
{
	const struct mms_identity before = judged("00000000000000ff " RUN_A " 1", RUN_A);
	const struct mms_identity after = judged("00000000000000ff " RUN_A " 1", RUN_B);

	(void) state;
	assert_true(before.complete);
	assert_false(after.complete);
	assert_int_equal(after.node_id, 0xff);
	assert_true(before.run_hash != after.run_hash);
}

static void what_is_no_marker_names_nobody(void **state)
{
	static const char *const markers[] = { "", "garbage", "zz " RUN_A " 1", "00ff", "00ff " RUN_A,
		"0000000000000000 " RUN_A " 1", "\n\n\n" };

	(void) state;
	for (size_t i = 0; i < sizeof(markers) / sizeof(markers[0]); i++) {
		const struct mms_identity identity = judged(markers[i], RUN_A);

		assert_int_equal(identity.node_id, 0);
		assert_false(identity.complete);
		assert_true(identity.run_hash != 0);
	}
}

static void a_marker_far_too_long_is_no_harm(void **state)
{
	char marker[5000];

	(void) state;
	memset(marker, 'f', sizeof(marker) - 1);
	marker[sizeof(marker) - 1] = '\0';
	assert_false(judged(marker, RUN_A).complete);
}

static void the_first_meeting_is_no_change(void **state)
{
	struct mms_node_sh node = { 0 };
	const struct mms_identity first = { .node_id = 5, .run_hash = 6, .complete = true };

	(void) state;
	assert_false(mms_identity_publish(&node, &first));
	assert_int_equal(atomic_load(&node.complete), 1);
	assert_int_equal(atomic_load(&node.node_id), 5);
	assert_int_equal(atomic_load(&node.run_hash), 6);
	assert_false(mms_identity_publish(&node, &first));
	assert_int_equal(atomic_load(&node.complete), 1);
}

static void another_run_or_another_id_is_a_change_and_incomplete(void **state)
{
	struct mms_node_sh node = { 0 };
	const struct mms_identity first = { .node_id = 5, .run_hash = 6, .complete = true };
	const struct mms_identity run = { .node_id = 5, .run_hash = 7, .complete = true };
	const struct mms_identity id = { .node_id = 9, .run_hash = 7, .complete = true };

	(void) state;
	mms_identity_publish(&node, &first);
	assert_true(mms_identity_publish(&node, &run));
	assert_int_equal(atomic_load(&node.complete), 0);
	assert_true(mms_identity_publish(&node, &id));
	assert_int_equal(atomic_load(&node.complete), 0);
	assert_int_equal(atomic_load(&node.node_id), 9);
	/* A marker that says so again is believed: somebody made it complete since. */
	assert_false(mms_identity_publish(&node, &id));
	assert_int_equal(atomic_load(&node.complete), 1);
}

static void an_unreadable_marker_keeps_the_known_id(void **state)
{
	struct mms_node_sh node = { 0 };
	const struct mms_identity first = { .node_id = 5, .run_hash = 6, .complete = true };
	const struct mms_identity nobody = { .run_hash = 6 };

	(void) state;
	mms_identity_publish(&node, &first);
	assert_false(mms_identity_publish(&node, &nobody));
	assert_int_equal(atomic_load(&node.node_id), 5);
	assert_int_equal(atomic_load(&node.complete), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_lie_under_the_prefix),
		cmocka_unit_test(a_node_that_was_never_met_is_named_by_its_address),
		cmocka_unit_test(the_longest_names_fit),
		cmocka_unit_test(the_run_id_is_found_in_info),
		cmocka_unit_test(a_run_id_is_cut_and_not_written_past_its_end),
		cmocka_unit_test(info_without_a_run_id_is_refused_with_a_remedy),
		cmocka_unit_test(cluster_mode_is_refused),
		cmocka_unit_test(a_proposal_is_judged_as_it_was_meant),
		cmocka_unit_test(a_marker_of_another_run_keeps_the_id_and_proves_nothing),
		cmocka_unit_test(what_is_no_marker_names_nobody),
		cmocka_unit_test(a_marker_far_too_long_is_no_harm),
		cmocka_unit_test(the_first_meeting_is_no_change),
		cmocka_unit_test(another_run_or_another_id_is_a_change_and_incomplete),
		cmocka_unit_test(an_unreadable_marker_keeps_the_known_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
