/* What the replicator makes of a node when it connects. */
#include "office.h"

#include "mms_greeting.h"

#define MARKER "unit::node"

static struct mms_node_sh *node_of(struct desk *desk, unsigned node)
{
	return &desk->host->cluster->nodes[node];
}

static void greet(struct desk *desk, unsigned node)
{
	mms_link_connect(desk_link(desk, node));
	mms_greeting_ask(desk_link(desk, node));
}

static void greet_all(struct desk *desk)
{
	for (unsigned node = 0; node < desk->office.node_count; node++) {
		greet(desk, node);
	}
	desk_await(desk, mms_link_ready_mask(&desk->office) == mms_client_all_mask(desk->host->client));
}

static void a_stranger_gets_a_marker_and_is_complete(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_open(host_new(2, "web1"));
	greet_all(desk);
	for (unsigned node = 0; node < 2; node++) {
		assert_int_equal(atomic_load(&node_of(desk, node)->complete), 1);
		assert_int_equal(node_number(node, "EXISTS", MARKER), 1);
	}
	assert_true(atomic_load(&node_of(desk, 0)->node_id) != atomic_load(&node_of(desk, 1)->node_id));
	desk_close(desk);
}

static void hosts_agree_on_ids(void **state)
{
	struct desk *one, *two;

	(void) state;
	rig_fresh();
	one = desk_open(host_new(1, "web1"));
	two = desk_open(host_new(1, "web2"));
	greet_all(one);
	greet_all(two);
	assert_true(atomic_load(&node_of(one, 0)->node_id) == atomic_load(&node_of(two, 0)->node_id));
	desk_close(one);
	desk_close(two);
}

static void a_node_that_comes_back_empty_is_another_and_incomplete(void **state)
{
	struct desk *desk;
	uint64_t id;

	(void) state;
	rig_fresh();
	desk = desk_open(host_new(1, "web1"));
	greet_all(desk);
	id = atomic_load(&node_of(desk, 0)->node_id);
	node_kill(0);
	node_restart(0);
	desk_await(desk, desk_link(desk, 0)->state == MMS_LINK_DOWN);
	greet_all(desk);
	assert_int_equal(atomic_load(&node_of(desk, 0)->complete), 0);
	assert_true(atomic_load(&node_of(desk, 0)->node_id) != id);
	desk_close(desk);
}

/* Rule f: what the old incarnation acknowledged is worth nothing. */
static void a_node_that_comes_back_is_sent_the_whole_mailbox_again(void **state)
{
	struct mms_parcel parcel = { .kind = MMS_PARCEL_PUT, .ttl_ms = RIG_TTL_MS };
	struct sample sample;
	struct desk *desk;
	uint64_t head;

	(void) state;
	rig_fresh();
	desk = desk_open(host_new(2, "web1"));
	greet_all(desk);
	sample_aged(&sample, "s", 0, "data");
	parcel.key = key_of("s");
	parcel.header = sample.bytes;
	assert_true(mms_mailbox_push(&desk->host->cluster->mailbox, &parcel, mms_clock_mono(), NULL));
	head = mms_mailbox_head(&desk->host->cluster->mailbox);
	desk_link(desk, 0)->ack_position = desk_link(desk, 0)->send_position = head;
	desk_link(desk, 1)->ack_position = desk_link(desk, 1)->send_position = head;
	node_kill(1);
	node_restart(1);
	mms_link_drop(desk_link(desk, 0));
	desk_await(desk, desk_link(desk, 1)->state == MMS_LINK_DOWN);
	greet_all(desk);
	assert_true(desk_link(desk, 1)->ack_position == mms_mailbox_tail(&desk->host->cluster->mailbox));
	assert_true(desk_link(desk, 0)->ack_position == head); /* the same server as before */
	desk_close(desk);
}

static void a_node_emptied_under_its_connection_is_noticed(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_open(host_new(1, "web1"));
	greet_all(desk);
	assert_int_equal(atomic_load(&node_of(desk, 0)->complete), 1);
	node_do(0, "FLUSHALL");
	desk_await(desk, (mms_greeting_recheck(desk_link(desk, 0)), atomic_load(&node_of(desk, 0)->complete) == 0));
	desk_await(desk, mms_link_ready(desk_link(desk, 0)));
	assert_int_equal(node_number(0, "EXISTS", MARKER), 1);
	assert_int_equal(atomic_load(&node_of(desk, 0)->complete), 0);
	desk_close(desk);
}

static void a_node_that_another_host_repaired_is_complete(void **state)
{
	struct desk *desk;
	struct mms_reply *reply;
	char marker[MMS_MARKER_VALUE_MAX];

	(void) state;
	rig_fresh();
	desk = desk_open(host_new(1, "web1"));
	greet_all(desk);
	reply = node_ask(0, "GET", MARKER);
	mms_text_copy(marker, sizeof(marker), mms_reply_text(reply));
	mms_reply_free(reply);
	atomic_store(&node_of(desk, 0)->complete, 0);
	node_do(0, "SET", MARKER, marker);
	desk_await(desk, (mms_greeting_recheck(desk_link(desk, 0)), atomic_load(&node_of(desk, 0)->complete) == 1));
	desk_close(desk);
}

static void a_server_that_may_not_be_asked_is_refused_with_its_reason(void **state)
{
	static const char *const answers[] = { "-NOPERM this user has no permissions to run the 'info' command\r\n",
		"$5\r\nhello\r\n", "-LOADING Redis is loading the dataset in memory\r\n", "-ERR no.\r\n" };
	static const char *const texts[] = { "): NOPERM this user has no permissions to run the 'info' command: mmsession.user needs the "
		"permission +info, for the keys ~", "run_id", "): info: LOADING Redis is loading the dataset in memory: wait until it has "
		"read its data", "): info: ERR no" };
	struct fake *fake;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	for (unsigned i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct desk *desk = desk_open(host_with_fake(1, 0, fake));
		char text[MMS_BREAKER_TEXT_SIZE];

		fake_release(fake);
		fake_says(fake, "INFO", answers[i], 1);
		greet(desk, 0);
		desk_await(desk, !mms_breaker_allows_read(desk_breaker(desk, 0)));
		assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_DOWN);
		mms_breaker_last_error(desk_breaker(desk, 0), text, sizeof(text));
		assert_non_null(strstr(text, texts[i]));
		desk_close(desk);
	}
	fake_free(fake);
}

static void a_full_server_is_usable_and_proves_nothing(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_open(host_new(1, "web1"));
	node_do(0, "CONFIG", "SET", "maxmemory", "1");
	greet_all(desk);
	assert_int_equal(atomic_load(&node_of(desk, 0)->complete), 0);
	assert_true(atomic_load(&node_of(desk, 0)->run_hash) != 0);
	assert_true(mms_breaker_allows_read(desk_breaker(desk, 0)));
	desk_close(desk);
}

/* In whatever order they are met, the first of the list stays. */
static void one_server_under_two_addresses_is_one_node(void **state)
{
	struct mms_settings settings;
	char text[1024], error[MMS_BREAKER_TEXT_SIZE];

	(void) state;
	for (unsigned first = 0; first < 2; first++) {
		struct desk *desk;

		rig_fresh();
		(void) snprintf(text, sizeof(text), "unix://%s?name=one unix:///.%s?name=same", rig_servers[0].socket_path,
				rig_servers[0].socket_path);
		settings_from(&settings, text, "web1");
		desk = desk_open(host_with(&settings, 1u << 20));
		greet(desk, first);
		desk_await(desk, mms_link_ready(desk_link(desk, first)));
		greet(desk, 1 - first);
		desk_await(desk, !mms_breaker_allows_read(desk_breaker(desk, 1)));
		desk_await(desk, mms_link_ready(desk_link(desk, 0)));
		assert_true(mms_breaker_allows_read(desk_breaker(desk, 0)));
		(void) mms_breaker_last_error(desk_breaker(desk, 1), error, sizeof(error));
		assert_non_null(strstr(error, "same"));
		assert_non_null(strstr(error, "same server as node one"));
		desk_close(desk);
	}
}

static void marker_of(unsigned node, char *out)
{
	struct mms_reply *reply = node_ask(node, "GET", MARKER);

	mms_text_copy(out, MMS_MARKER_VALUE_MAX, mms_reply_text(reply));
	mms_reply_free(reply);
}

/* Servers with markers of their own, and a desk that has met none of them. */
static struct desk *desk_of_strangers(void)
{
	struct desk *desk;

	rig_fresh();
	desk = desk_open(host_new(2, "web1"));
	greet_all(desk);
	desk_quiet(desk);
	desk_close(desk);
	return desk_open(host_new(2, "web1"));
}

static void push_one(struct desk *desk)
{
	struct mms_parcel parcel = { .kind = MMS_PARCEL_PUT, .ttl_ms = RIG_TTL_MS };
	struct sample sample;

	sample_aged(&sample, "s", 0, "data");
	parcel.key = key_of("s");
	parcel.header = sample.bytes;
	assert_true(mms_mailbox_push(&desk->host->cluster->mailbox, &parcel, mms_clock_mono(), NULL));
	for (unsigned node = 0; node < desk->office.node_count; node++) {
		desk_link(desk, node)->ack_position = mms_mailbox_head(&desk->host->cluster->mailbox);
		desk_link(desk, node)->send_position = desk_link(desk, node)->ack_position;
	}
}

/* One id under two run_ids, whichever of the two is the copy, in whatever order they are met (rules e and f). */
static void a_node_started_from_a_copied_dump_takes_a_new_id(void **state)
{
	char original[MMS_MARKER_VALUE_MAX], marker[MMS_MARKER_VALUE_MAX];

	(void) state;
	for (unsigned turn = 0; turn < 4; turn++) {
		const unsigned copy = turn & 1, first = turn >> 1;
		struct desk *desk = desk_of_strangers();
		struct mms_identity identity;
		uint64_t head, id;

		marker_of(1 - copy, original);
		node_do(copy, "SET", MARKER, original);
		greet(desk, first);
		desk_await(desk, mms_link_ready(desk_link(desk, first)));
		push_one(desk);
		head = mms_mailbox_head(&desk->host->cluster->mailbox);
		greet(desk, 1 - first);
		desk_await(desk, mms_link_ready_mask(&desk->office) == 3 && atomic_load(&node_of(desk, 0)->node_id)
				!= atomic_load(&node_of(desk, 1)->node_id));
		marker_of(1 - copy, marker);
		assert_string_equal(marker, original);
		assert_int_equal(strtoull(original, NULL, 16), (id = atomic_load(&node_of(desk, 1 - copy)->node_id)));
		assert_int_equal(atomic_load(&node_of(desk, 1 - copy)->complete), 1);
		marker_of(copy, marker);
		mms_identity_judge(mms_slice_of(marker), desk_link(desk, copy)->run_id, &identity);
		assert_true(identity.node_id == atomic_load(&node_of(desk, copy)->node_id) && identity.node_id != id);
		assert_true(identity.current && !identity.complete && !identity.founded);
		assert_int_equal(atomic_load(&node_of(desk, copy)->complete), 0);
		if (first == copy) { /* it was known by the other's id, and is now another node */
			assert_true(desk_link(desk, copy)->ack_position == mms_mailbox_tail(&desk->host->cluster->mailbox));
			assert_true(desk_link(desk, copy)->distrust_until == head);
		} else {
			assert_true(desk_link(desk, 1 - copy)->ack_position == head);
		}
		desk_close(desk);
	}
}

/* Nothing says which one is the copy. */
static void of_two_that_look_alike_the_later_one_takes_a_new_id(void **state)
{
	static const char *const old_run = "0123456789012345678901234567890123456789";
	char marker[2][MMS_MARKER_VALUE_MAX], now[MMS_MARKER_VALUE_MAX];

	(void) state;
	for (unsigned turn = 0; turn < 4; turn++) {
		const unsigned current = turn & 1, first = turn >> 1;
		struct desk *desk = desk_of_strangers();

		for (unsigned node = 0; node < 2; node++) {
			marker_of(node, now);
			(void) snprintf(marker[node], sizeof(marker[node]), "%016x %.40s 1", 77, current ? now + 17 : old_run);
			node_do(node, "SET", MARKER, marker[node]);
		}
		greet(desk, first);
		desk_await(desk, mms_link_ready(desk_link(desk, first)));
		greet(desk, 1 - first);
		desk_await(desk, mms_link_ready_mask(&desk->office) == 3 && atomic_load(&node_of(desk, 0)->node_id)
				!= atomic_load(&node_of(desk, 1)->node_id));
		assert_int_equal(atomic_load(&node_of(desk, 0)->node_id), 77);
		assert_int_equal(atomic_load(&node_of(desk, 0)->complete), current);
		assert_int_equal(atomic_load(&node_of(desk, 1)->complete), 0);
		marker_of(0, now);
		assert_string_equal(now, marker[0]);
		desk_close(desk);
	}
}

static void a_copy_that_takes_no_writes_gets_its_id_later(void **state)
{
	struct desk *desk = desk_of_strangers();
	char original[MMS_MARKER_VALUE_MAX];

	(void) state;
	marker_of(0, original);
	node_do(1, "SET", MARKER, original);
	node_do(1, "CONFIG", "SET", "maxmemory", "1");
	greet_all(desk);
	assert_true(atomic_load(&node_of(desk, 0)->node_id) == atomic_load(&node_of(desk, 1)->node_id));
	assert_int_equal(atomic_load(&node_of(desk, 1)->complete), 0);
	node_do(1, "CONFIG", "SET", "maxmemory", "0");
	desk_await(desk, (mms_greeting_recheck(desk_link(desk, 1)), atomic_load(&node_of(desk, 0)->node_id)
			!= atomic_load(&node_of(desk, 1)->node_id)));
	assert_int_equal(strtoull(original, NULL, 16), atomic_load(&node_of(desk, 0)->node_id));
	desk_close(desk);
}

/* Rule f also where another host was the first to notice. */
static void a_node_that_another_host_found_emptied_is_sent_the_whole_mailbox_again(void **state)
{
	struct desk *one, *two;
	uint64_t id;

	(void) state;
	rig_fresh();
	one = desk_open(host_new(1, "web1"));
	two = desk_open(host_new(1, "web2"));
	greet_all(one);
	greet_all(two);
	desk_quiet(one);
	push_one(one);
	id = atomic_load(&node_of(one, 0)->node_id);
	node_do(0, "FLUSHALL");
	desk_await(two, (mms_greeting_recheck(desk_link(two, 0)), atomic_load(&node_of(two, 0)->node_id) != id));
	desk_await(one, (mms_greeting_recheck(desk_link(one, 0)), atomic_load(&node_of(one, 0)->node_id) != id));
	assert_true(atomic_load(&node_of(one, 0)->node_id) == atomic_load(&node_of(two, 0)->node_id));
	assert_true(desk_link(one, 0)->ack_position == mms_mailbox_tail(&one->host->cluster->mailbox));
	desk_close(one);
	desk_close(two);
}

/* Nothing can name its new incarnation: no marker is there, and none is taken. */
static void a_full_node_that_was_emptied_is_sent_the_whole_mailbox_again_and_once(void **state)
{
	const struct mms_mailbox_sh *mailbox;
	struct desk *desk;
	uint64_t head;

	(void) state;
	rig_fresh();
	desk = desk_open(host_new(1, "web1"));
	mailbox = &desk->host->cluster->mailbox;
	greet_all(desk);
	desk_quiet(desk);
	push_one(desk);
	head = mms_mailbox_head(mailbox);
	node_do(0, "CONFIG", "SET", "maxmemory", "1");
	mms_link_drop(desk_link(desk, 0));
	greet_all(desk);
	assert_true(desk_link(desk, 0)->ack_position == head); /* as before, marker and all */
	node_do(0, "FLUSHALL");
	mms_link_drop(desk_link(desk, 0));
	greet_all(desk);
	assert_true(desk_link(desk, 0)->ack_position == mms_mailbox_tail(mailbox));
	assert_true(desk_link(desk, 0)->distrust_until == head);
	assert_true(atomic_load(&node_of(desk, 0)->distrust_until) == head);
	assert_int_equal(atomic_load(&node_of(desk, 0)->complete), 0);
	desk_link(desk, 0)->ack_position = desk_link(desk, 0)->send_position = head;
	mms_link_drop(desk_link(desk, 0));
	greet_all(desk);
	assert_true(desk_link(desk, 0)->ack_position == head); /* what it has acknowledged since counts */
	desk_close(desk);
}

static void what_is_no_marker_is_named(void **state)
{
	char error[MMS_BREAKER_TEXT_SIZE];
	struct desk *desk;

	(void) state;
	rig_fresh();
	node_do(0, "SET", MARKER, "hello world");
	desk = desk_open(host_new(1, "web1"));
	greet_all(desk);
	assert_int_equal(atomic_load(&node_of(desk, 0)->complete), 0);
	assert_true(mms_breaker_allows_read(desk_breaker(desk, 0)));
	(void) mms_breaker_last_error(desk_breaker(desk, 0), error, sizeof(error));
	assert_non_null(strstr(error, MARKER));
	assert_non_null(strstr(error, "delete it"));
	desk_close(desk);
}

/* The rig's clients are the default user. */
static void a_user_who_may_not_ask_for_the_marker_is_told_what_he_lacks(void **state)
{
	static const char *const lacks[] = { "-get", "-set", "-info" };

	(void) state;
	for (unsigned i = 0; i < 3; i++) {
		char text[MMS_BREAKER_TEXT_SIZE];
		struct desk *desk;

		rig_fresh();
		node_do(0, "ACL", "SETUSER", "default", lacks[i]);
		desk = desk_open(host_new(1, "web1"));
		greet(desk, 0);
		desk_await(desk, !mms_breaker_allows_read(desk_breaker(desk, 0)));
		node_do(0, "ACL", "SETUSER", "default", "+@all");
		assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_DOWN);
		mms_breaker_last_error(desk_breaker(desk, 0), text, sizeof(text));
		assert_non_null(strstr(text, "node n0 ("));
		assert_non_null(strstr(text, "NOPERM"));
		assert_non_null(strstr(text, "mmsession.user needs the permission +"));
		assert_non_null(strstr(text, lacks[i] + 1));
		assert_null(strstr(text, "delete it"));
		desk_close(desk);
	}
}

static void a_user_who_loses_the_permission_later_is_told_too(void **state)
{
	char text[MMS_BREAKER_TEXT_SIZE];
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_open(host_new(1, "web1"));
	greet_all(desk);
	node_do(0, "ACL", "SETUSER", "default", "-get");
	desk_await(desk, (mms_greeting_recheck(desk_link(desk, 0)), !mms_breaker_allows_read(desk_breaker(desk, 0))));
	node_do(0, "ACL", "SETUSER", "default", "+@all");
	mms_breaker_last_error(desk_breaker(desk, 0), text, sizeof(text));
	assert_non_null(strstr(text, "mmsession.user needs the permission +get"));
	desk_close(desk);
}

static void a_marker_of_another_type_is_no_marker(void **state)
{
	char text[MMS_BREAKER_TEXT_SIZE];
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_open(host_new(1, "web1"));
	greet_all(desk);
	assert_int_equal(atomic_load(&node_of(desk, 0)->complete), 1);
	node_do(0, "DEL", MARKER);
	node_do(0, "LPUSH", MARKER, "x");
	desk_await(desk, (mms_greeting_recheck(desk_link(desk, 0)), atomic_load(&node_of(desk, 0)->complete) == 0));
	assert_true(mms_breaker_allows_read(desk_breaker(desk, 0)));
	(void) mms_breaker_last_error(desk_breaker(desk, 0), text, sizeof(text));
	assert_non_null(strstr(text, "delete it"));
	mms_breaker_note(desk_breaker(desk, 0), "nothing", mms_clock_wall());
	mms_link_drop(desk_link(desk, 0));
	greet_all(desk);
	(void) mms_breaker_last_error(desk_breaker(desk, 0), text, sizeof(text));
	assert_non_null(strstr(text, "delete it"));
	desk_close(desk);
}

#define LONG_NAME "web1.a-node-whose-name-is-as-long-as-names-can-be.in-a-rack-of-"
#define LONG_PATH 107

/* The first server behind the longest path and name that there can be, twice if wanted. */
static struct desk *desk_of_long_names(bool twice)
{
	const size_t len = strlen(rig_servers[0].socket_path);
	char text[1024], path[LONG_PATH + 1] = "";
	struct mms_settings settings;
	size_t at = 0;

	assert_int_equal(strlen(LONG_NAME), sizeof(settings.nodes[0].name) - 1);
	assert_true(len <= LONG_PATH);
	while (at < LONG_PATH - len) {
		path[at++] = '/';
	}
	strcpy(path + at, rig_servers[0].socket_path);
	(void) snprintf(text, sizeof(text), "unix://%s?name=%s", path, LONG_NAME);
	if (twice) {
		path[0] = '/';
		path[1] = '.';
		(void) snprintf(text + strlen(text), sizeof(text) - strlen(text), " unix://%s?name=%.62sy", path, LONG_NAME);
	}
	settings_from(&settings, text, "web1");
	memset(settings.prefix, 'p', MMS_PREFIX_MAX - 1);
	strcpy(settings.prefix + MMS_PREFIX_MAX - 1, ":");
	assert_int_equal(strlen(settings.nodes[0].path), LONG_PATH);
	return desk_open(host_with(&settings, RIG_MAILBOX));
}

static void assert_ends(struct desk *desk, unsigned node, const char *end)
{
	char text[MMS_BREAKER_TEXT_SIZE];

	mms_breaker_last_error(desk_breaker(desk, node), text, sizeof(text));
	if (strlen(text) < strlen(end) || strcmp(text + strlen(text) - strlen(end), end) != 0) {
		fail_msg("\"%s\" does not end with \"%s\"", text, end);
	}
}

static void remedies_are_whole_with_the_longest_names(void **state)
{
	static const struct {
		const char *lacks, *end;
	} refusals[] = {
		{ "-script", "needs the permissions +script|load and +evalsha, see docs/operations.md" },
		{ "-get", "pppp:*" },
	};
	struct desk *desk;

	(void) state;
	for (unsigned i = 0; i < 2; i++) {
		rig_fresh();
		node_do(0, "ACL", "SETUSER", "default", refusals[i].lacks);
		desk = desk_of_long_names(false);
		greet(desk, 0);
		desk_await(desk, !mms_breaker_allows_read(desk_breaker(desk, 0)));
		node_do(0, "ACL", "SETUSER", "default", "+@all");
		assert_ends(desk, 0, refusals[i].end);
		desk_close(desk);
	}
	rig_fresh();
	desk = desk_of_long_names(false);
	{
		char key[MMS_MARKER_KEY_MAX];

		mms_identity_marker_key(&desk->host->settings, key, sizeof(key));
		node_do(0, "SET", key, "hello world");
	}
	greet_all(desk);
	assert_ends(desk, 0, "give mmsession.prefix a value of its own");
	desk_close(desk);
	rig_fresh();
	desk = desk_of_long_names(true);
	greet(desk, 0);
	desk_await(desk, mms_link_ready(desk_link(desk, 0)));
	greet(desk, 1);
	desk_await(desk, !mms_breaker_allows_read(desk_breaker(desk, 1)));
	assert_ends(desk, 1, "take one of the two out of the list");
	desk_close(desk);
}

static void two_good_greetings_close_a_breaker(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_open(host_new(1, "web1"));
	host_open_breaker(desk->host, 0, MMS_FAULT_HARD);
	for (unsigned i = 0; i < 2; i++) {
		assert_false(mms_breaker_allows_read(desk_breaker(desk, 0)));
		mms_link_drop(desk_link(desk, 0));
		mms_breaker_probe_begin(desk_breaker(desk, 0));
		desk_link(desk, 0)->probing = true;
		greet_all(desk);
		assert_false(desk_link(desk, 0)->probing);
	}
	assert_true(mms_breaker_allows_write(desk_breaker(desk, 0)));
	desk_close(desk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_stranger_gets_a_marker_and_is_complete),
		cmocka_unit_test(hosts_agree_on_ids),
		cmocka_unit_test(a_node_that_comes_back_empty_is_another_and_incomplete),
		cmocka_unit_test(a_node_that_comes_back_is_sent_the_whole_mailbox_again),
		cmocka_unit_test(a_node_emptied_under_its_connection_is_noticed),
		cmocka_unit_test(a_node_that_another_host_repaired_is_complete),
		cmocka_unit_test(a_server_that_may_not_be_asked_is_refused_with_its_reason),
		cmocka_unit_test(a_full_server_is_usable_and_proves_nothing),
		cmocka_unit_test(one_server_under_two_addresses_is_one_node),
		cmocka_unit_test(a_node_started_from_a_copied_dump_takes_a_new_id),
		cmocka_unit_test(of_two_that_look_alike_the_later_one_takes_a_new_id),
		cmocka_unit_test(a_copy_that_takes_no_writes_gets_its_id_later),
		cmocka_unit_test(a_node_that_another_host_found_emptied_is_sent_the_whole_mailbox_again),
		cmocka_unit_test(a_full_node_that_was_emptied_is_sent_the_whole_mailbox_again_and_once),
		cmocka_unit_test(what_is_no_marker_is_named),
		cmocka_unit_test(a_user_who_may_not_ask_for_the_marker_is_told_what_he_lacks),
		cmocka_unit_test(a_user_who_loses_the_permission_later_is_told_too),
		cmocka_unit_test(a_marker_of_another_type_is_no_marker),
		cmocka_unit_test(remedies_are_whole_with_the_longest_names),
		cmocka_unit_test(two_good_greetings_close_a_breaker),
	};

	return rig_run(tests);
}
