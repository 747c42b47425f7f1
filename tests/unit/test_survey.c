/* What the replicator notices about hosts and servers. */
#include "greeted.h"

#include "mms_survey.h"

#define HOSTS "unit::hosts"

struct pair {
	struct desk *desk;
	struct mms_survey *survey;
};

static void open_pair_on(struct pair *pair, struct host *host, unsigned nodes)
{
	pair->desk = desk_open(host);
	pair->survey = mms_survey_new(&pair->desk->office);
	assert_non_null(pair->survey);
	for (unsigned node = 0; node < nodes; node++) {
		mms_link_connect(desk_link(pair->desk, node));
		mms_greeting_ask(desk_link(pair->desk, node));
	}
	desk_await(pair->desk, mms_link_ready_mask(&pair->desk->office) == mms_client_all_mask(pair->desk->host->client));
}

static void open_pair(struct pair *pair, unsigned nodes)
{
	open_pair_on(pair, host_new(nodes, "web1"), nodes);
}

static void close_pair(struct pair *pair)
{
	struct mms_office *office = &pair->desk->office;

	for (unsigned node = 0; node < office->node_count; node++) {
		mms_link_drop(&office->links[node]); /* answers still under way go to the survey */
	}
	mms_survey_free(pair->survey);
	desk_close(pair->desk);
}

static bool quiet(const struct desk *desk)
{
	for (unsigned node = 0; node < desk->office.node_count; node++) {
		if (desk->office.links[node].request_count > 0) {
			return false;
		}
	}
	return true;
}

/* A new survey, as a new replicator makes it, and all its answers. */
static void look(struct pair *pair)
{
	mms_survey_free(pair->survey);
	pair->survey = mms_survey_new(&pair->desk->office);
	mms_survey_run(pair->survey);
	desk_await(pair->desk, quiet(pair->desk));
}

static struct mms_note_sh *notice(struct pair *pair, enum mms_notice which)
{
	return &pair->desk->host->cluster->notices[which];
}

static bool is_active(struct pair *pair, enum mms_notice which)
{
	return atomic_load(&notice(pair, which)->active) != 0;
}

static bool says(const struct mms_note_sh *note, const char *part)
{
	char text[MMS_NOTE_TEXT_SIZE];

	(void) mms_note_read(note, text, sizeof(text));
	return strstr(text, part) != NULL;
}

/* As another host would, so many milliseconds after (or, negative, before) now. */
static void enroll(unsigned node, const char *field, int64_t after_ms, int64_t offset_ms)
{
	char value[64];

	snprintf(value, sizeof(value), "%lld %lld", (long long) (mms_clock_wall().ms + after_ms), (long long) offset_ms);
	node_do(node, "HSET", HOSTS, field, value);
}

static void a_host_enrolls_on_every_node(void **state)
{
	struct pair pair;

	(void) state;
	rig_fresh();
	open_pair(&pair, 3);
	look(&pair);
	look(&pair);
	for (unsigned node = 0; node < 3; node++) {
		assert_int_equal(node_number(node, "HLEN", HOSTS), 1);
		assert_in_range(node_number(node, "PTTL", HOSTS), 1, 3600000);
	}
	assert_false(is_active(&pair, MMS_NOTICE_CLOCK));
	assert_false(is_active(&pair, MMS_NOTICE_HOST_ID));
	assert_false(mms_note_pending(notice(&pair, MMS_NOTICE_CLOCK)));
	close_pair(&pair);
}

static void the_longest_host_id_is_named_whole(void **state)
{
	char field[128], text[96], host_id[MMS_HOST_ID_MAX + 1];
	struct pair pair;

	(void) state;
	rig_fresh();
	open_pair(&pair, 3);
	memset(host_id, 'h', MMS_HOST_ID_MAX);
	host_id[MMS_HOST_ID_MAX] = '\0';
	(void) snprintf(field, sizeof(field), "%s@0000000000000002", host_id);
	(void) snprintf(text, sizeof(text), "host %s is 86400.0 s ahead", host_id);
	for (unsigned node = 0; node < 3; node++) {
		enroll(node, field, 0, 86400000);
		enroll(node, "web3@0000000000000003", 0, 0);
	}
	look(&pair);
	assert_true(is_active(&pair, MMS_NOTICE_CLOCK));
	assert_true(says(notice(&pair, MMS_NOTICE_CLOCK), text));
	assert_int_equal(node_number(0, "HLEN", HOSTS), 3);
	close_pair(&pair);
}

static void a_host_whose_clock_is_off_is_named_by_all(void **state)
{
	struct pair pair;

	(void) state;
	rig_fresh();
	open_pair(&pair, 3);
	for (unsigned node = 0; node < 3; node++) {
		/* web2 a day ahead; its own node is as wrong as it is, and finds web3 wrong instead. */
		enroll(node, "web2@00000000000000bb", 0, node == 1 ? 0 : 86400000);
		enroll(node, "web3@00000000000000cc", 0, node == 1 ? -86400000 : 20);
	}
	look(&pair);
	assert_true(is_active(&pair, MMS_NOTICE_CLOCK));
	assert_true(says(notice(&pair, MMS_NOTICE_CLOCK), "host web2 is 86400.0 s ahead"));
	assert_false(says(notice(&pair, MMS_NOTICE_CLOCK), "web3"));
	assert_false(says(notice(&pair, MMS_NOTICE_CLOCK), "web1"));
	assert_true(mms_note_take_event(notice(&pair, MMS_NOTICE_CLOCK), now_us()));
	look(&pair);
	assert_false(mms_note_take_event(notice(&pair, MMS_NOTICE_CLOCK), now_us() + 120000000)); /* one line while it lasts */
	close_pair(&pair);
}

static void a_host_that_is_behind_is_named_too_and_small_differences_are_not(void **state)
{
	struct pair pair;

	(void) state;
	rig_fresh();
	open_pair(&pair, 3);
	for (unsigned node = 0; node < 3; node++) {
		enroll(node, "web2@00000000000000bb", 0, -600);
		enroll(node, "web3@00000000000000cc", 0, 450);
	}
	look(&pair);
	assert_true(says(notice(&pair, MMS_NOTICE_CLOCK), "host web2 is 0.6 s behind"));
	assert_false(says(notice(&pair, MMS_NOTICE_CLOCK), "web3"));
	close_pair(&pair);
}

static void a_server_whose_clock_is_off_is_outvoted(void **state)
{
	struct pair pair;

	(void) state;
	rig_fresh();
	open_pair(&pair, 3);
	enroll(1, "web2@00000000000000bb", 0, 7200000);
	enroll(0, "web2@00000000000000bb", 0, 0);
	enroll(2, "web2@00000000000000bb", 0, 0);
	look(&pair);
	assert_false(is_active(&pair, MMS_NOTICE_CLOCK));
	close_pair(&pair);
}

static int64_t spread_ms(struct pair *pair)
{
	return atomic_load(&pair->desk->host->cluster->clock_spread_ms);
}

static void the_survey_tells_how_far_hosts_clocks_are_apart_whatever_the_nodes_say(void **state)
{
	struct pair pair;
	struct mms_office *office;

	(void) state;
	rig_fresh();
	open_pair(&pair, 2);
	office = &pair.desk->office;
	look(&pair);
	assert_in_range(spread_ms(&pair), 0, 200);
	enroll(0, "web2@00000000000000bb", 0, 3600000);
	enroll(0, "web3@00000000000000cc", 0, -60000);
	look(&pair);
	assert_in_range(spread_ms(&pair), 3660000, 3660200);
	/* Put right: what was stamped before is judged for a while yet. */
	node_do(0, "HDEL", HOSTS, "web2@00000000000000bb");
	node_do(0, "HDEL", HOSTS, "web3@00000000000000cc");
	office->now.us += 6000000;
	mms_survey_run(pair.survey);
	desk_await(pair.desk, quiet(pair.desk));
	assert_in_range(spread_ms(&pair), 3660000, 3660200);
	look(&pair); /* a successor in office has not seen it */
	assert_in_range(spread_ms(&pair), 0, 200);
	close_pair(&pair);
}

static void the_survey_keeps_what_each_nodes_clock_says(void **state)
{
	struct pair pair;

	(void) state;
	rig_fresh();
	open_pair(&pair, 2);
	assert_false(desk_link(pair.desk, 1)->clock_known);
	look(&pair);
	for (unsigned node = 0; node < 2; node++) {
		const struct mms_link *link = desk_link(pair.desk, node);

		assert_true(link->clock_known);
		assert_in_range(link->clock_ms + mms_clock_mono().us / 1000, mms_clock_wall().ms - 200, mms_clock_wall().ms + 200);
	}
	close_pair(&pair);
}

/* What it says of clocks is worth nothing; it is waited for some times, and then the others are believed without it. */
static void a_node_that_is_always_late_silences_nobody(void **state)
{
	struct pair pair;
	struct fake *fake;

	(void) state;
	rig_fresh();
	fake = fake_start(2);
	open_pair_on(&pair, host_with_fake(3, 2, fake), 3);
	for (unsigned node = 0; node < 3; node++) {
		enroll(node, "web2@00000000000000bb", 0, 86400000);
	}
	fake_rule(fake, (struct fake_rule){ .verb = "HGETALL", .act = FAKE_TRICKLE, .times = -1 });
	for (unsigned round = 1; round <= 4; round++) {
		pair.desk->office.now.us += round * 6000000;
		mms_survey_run(pair.survey);
		desk_await(pair.desk, quiet(pair.desk));
		assert_int_equal(is_active(&pair, MMS_NOTICE_CLOCK), round > 3);
	}
	close_pair(&pair);
	fake_free(fake);
}

static void hosts_that_are_gone_are_not_judged_and_then_forgotten(void **state)
{
	struct pair pair;

	(void) state;
	rig_fresh();
	open_pair(&pair, 1);
	enroll(0, "web2@00000000000000bb", -30000, 86400000);
	enroll(0, "web3@00000000000000cc", -7200000, 0);
	node_do(0, "HSET", HOSTS, "nonsense", "1 2");
	node_do(0, "HSET", HOSTS, "web4@00000000000000dd", "-9223372036854775808 -9223372036854775808");
	enroll(0, "web5@00000000000000ee", 0, INT64_MAX);
	enroll(0, "web6@00000000000000ff", 0, INT64_MIN);
	look(&pair);
	assert_false(is_active(&pair, MMS_NOTICE_CLOCK));
	assert_int_equal(node_number(0, "HLEN", HOSTS), 2); /* web1, web2 */
	close_pair(&pair);
}

static void a_host_of_the_same_id_elsewhere_is_noticed_while_it_lives(void **state)
{
	struct pair pair;

	(void) state;
	rig_fresh();
	open_pair(&pair, 2);
	enroll(1, "web1@00000000000000aa", -3000, 0); /* of the time before this host was moved, perhaps */
	look(&pair);
	assert_false(is_active(&pair, MMS_NOTICE_HOST_ID));
	enroll(1, "web1@00000000000000aa", 60000, 0);
	look(&pair);
	assert_true(is_active(&pair, MMS_NOTICE_HOST_ID));
	assert_true(says(notice(&pair, MMS_NOTICE_HOST_ID), "host id web1 too (both are on node n1)"));
	assert_true(says(notice(&pair, MMS_NOTICE_HOST_ID), "mmsession.host_id"));
	node_do(1, "HDEL", HOSTS, "web1@00000000000000aa");
	look(&pair);
	assert_false(is_active(&pair, MMS_NOTICE_HOST_ID));
	close_pair(&pair);
}

static void an_evicting_policy_is_warned_of_when_there_is_a_limit(void **state)
{
	struct pair pair;

	(void) state;
	rig_fresh();
	open_pair(&pair, 2);
	node_do(1, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru");
	look(&pair);
	assert_int_equal(atomic_load(&pair.desk->host->cluster->nodes[1].warning.active), 0);
	node_do(1, "CONFIG", "SET", "maxmemory", "100000000");
	look(&pair);
	assert_int_equal(atomic_load(&pair.desk->host->cluster->nodes[0].warning.active), 0);
	assert_int_equal(atomic_load(&pair.desk->host->cluster->nodes[1].warning.active), 1);
	assert_true(says(&pair.desk->host->cluster->nodes[1].warning, "node n1 ("));
	assert_true(says(&pair.desk->host->cluster->nodes[1].warning, "allkeys-lru throws out sessions and logouts: set noeviction"));
	node_do(1, "CONFIG", "SET", "maxmemory-policy", "noeviction");
	node_do(1, "CONFIG", "SET", "maxmemory", "0");
	look(&pair);
	assert_int_equal(atomic_load(&pair.desk->host->cluster->nodes[1].warning.active), 0);
	close_pair(&pair);
}

static void replication_underneath_is_warned_of(void **state)
{
	struct pair pair;

	(void) state;
	rig_fresh();
	node_do(2, "REPLICAOF", "127.0.0.1", "1");
	open_pair(&pair, 3);
	look(&pair);
	assert_true(says(&pair.desk->host->cluster->nodes[2].warning, "it is a replica of 127.0.0.1"));
	assert_true(says(&pair.desk->host->cluster->nodes[2].warning, "REPLICAOF NO ONE"));
	assert_int_equal(atomic_load(&pair.desk->host->cluster->nodes[1].warning.active), 0);
	close_pair(&pair);
	node_do(2, "REPLICAOF", "NO", "ONE");
}

static void a_server_that_forbids_it_is_left_in_peace(void **state)
{
	struct fake *fake;
	struct desk *desk;
	struct mms_survey *survey;
	unsigned rule;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	desk = desk_open(host_with_fake(1, 0, fake));
	survey = mms_survey_new(&desk->office);
	desk_greet(desk, 0);
	rule = fake_says(fake, "TIME", "-NOPERM this user has no permissions to run the 'time' command\r\n", -1);
	for (int round = 0; round < 3; round++) {
		mms_survey_run(survey);
		desk_await(desk, quiet(desk));
		desk->office.now.us += 60000000;
	}
	assert_int_equal(fake_hits(fake, rule), 1);
	assert_true(mms_link_ready(desk_link(desk, 0)));
	assert_true(mms_client_can_write(desk->host->client, 0));
	mms_link_drop(desk_link(desk, 0));
	mms_survey_free(survey);
	desk_close(desk);
	fake_free(fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_host_enrolls_on_every_node),
		cmocka_unit_test(a_host_whose_clock_is_off_is_named_by_all),
		cmocka_unit_test(the_longest_host_id_is_named_whole),
		cmocka_unit_test(a_host_that_is_behind_is_named_too_and_small_differences_are_not),
		cmocka_unit_test(a_server_whose_clock_is_off_is_outvoted),
		cmocka_unit_test(the_survey_tells_how_far_hosts_clocks_are_apart_whatever_the_nodes_say),
		cmocka_unit_test(the_survey_keeps_what_each_nodes_clock_says),
		cmocka_unit_test(a_node_that_is_always_late_silences_nobody),
		cmocka_unit_test(hosts_that_are_gone_are_not_judged_and_then_forgotten),
		cmocka_unit_test(a_host_of_the_same_id_elsewhere_is_noticed_while_it_lives),
		cmocka_unit_test(an_evicting_policy_is_warned_of_when_there_is_a_limit),
		cmocka_unit_test(replication_underneath_is_warned_of),
		cmocka_unit_test(a_server_that_forbids_it_is_left_in_peace),
	};

	return rig_run(tests);
}
