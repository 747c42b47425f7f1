/* One key brought to its newest version while others write it: what is on its way when a newer one is found. All else of it is in
 * test_delivery and test_scan. */
#include "greeted.h"

#include "mms_reconcile.h"

#define HEADER_READ "$2\r\n79\r\n" /* end of the range */
#define WHOLE_READ "$2\r\n84\r\n"  /* of a record with four bytes, and one more */

static struct desk *desk;
static struct mms_reconciler *reconciler;
static struct fake *fakes[2]; /* before nodes 1 and 2 */
static struct mms_reconcile_result result;
static unsigned done_count;

static void on_done(void *context, uint64_t token, const struct mms_reconcile_result *told)
{
	(void)context;
	(void)token;
	result = *told;
	done_count++;
}

static void begin(void)
{
	struct mms_settings settings;
	char text[512];

	fakes[0] = fake_start(1);
	fakes[1] = fake_start(2);
	snprintf(text, sizeof(text), "unix://%s?name=n0 tcp://127.0.0.1:%d?name=n1 tcp://127.0.0.1:%d?name=n2", rig_servers[0].socket_path,
			fakes[0]->port, fakes[1]->port);
	settings_from(&settings, text, "web1");
	desk = desk_open(host_with(&settings, RIG_MAILBOX));
	reconciler = mms_reconciler_new(&desk->office);
	assert_non_null(reconciler);
	desk_greet_all(desk);
	desk_quiet(desk);
}

static void end(void)
{
	for (unsigned node = 0; node < 3; node++) {
		mms_link_drop(desk_link(desk, node));
	}
	mms_reconciler_free(reconciler);
	desk_close(desk);
	fake_free(fakes[0]);
	fake_free(fakes[1]);
}

/* Node 1 has it already, but says first that nothing stands there, and keeps back the record itself: the number of that rule. */
static unsigned hide_on_node_1(const struct sample *sample)
{
	node_put(1, "s", sample);
	fake_rule(fakes[0], (struct fake_rule){ .verb = "GETRANGE", .holds = HEADER_READ, .act = FAKE_ANSWER, .bytes = "$0\r\n\r\n",
			.times = 1 });
	fake_says(fakes[0], "PTTL", ":-2\r\n", 1);
	return fake_rule(fakes[0], (struct fake_rule){ .verb = "GETRANGE", .holds = WHOLE_READ, .act = FAKE_HOLD, .times = 1 });
}

/* Node 2 answers the put of what was the newest at first when node 1's record, which is newer, is being fetched; then that comes. */
static void reconcile_all(unsigned put, unsigned fetch)
{
	const struct mms_reconcile_order order = { .key = key_of("s"), .ask_mask = 7, .fill_mask = 7, .done_fn = on_done };

	done_count = 0;
	assert_true(mms_reconcile(reconciler, &order));
	desk_await(desk, fake_hits(fakes[1], put) == 1 && fake_hits(fakes[0], fetch) == 1);
	fake_release(fakes[1]);
	desk_await(desk, desk_link(desk, 2)->request_count == 0);
	assert_int_equal(done_count, 0);
	fake_release(fakes[0]);
	desk_await(desk, done_count == 1);
	assert_true(result.found);
	assert_int_equal(result.equal_mask, 7);
}

static void assert_all_hold(const struct sample *sample)
{
	for (unsigned node = 0; node < 3; node++) {
		assert_true(node_holds(node, "s", sample));
	}
	assert_int_equal(mms_version_compare(&result.newest.version, &sample->header.version), 0);
}

/* It is an older one that it has stored: the newer one is still to be put there. */
static void a_put_of_what_was_the_newest_before_does_not_count(void **state)
{
	struct sample old, newer;
	unsigned put, fetch;

	(void)state;
	rig_fresh();
	begin();
	sample_aged(&old, "s", 4000, "old.");
	sample_aged(&newer, "s", 0, "new.");
	node_put(0, "s", &old);
	fetch = hide_on_node_1(&newer);
	put = fake_holds(fakes[1], "SET");
	reconcile_all(put, fetch);
	assert_all_hold(&newer);
	end();
}

/* Node 2 answers that something newer than both stands there by now: the record that comes after that goes nowhere. */
static void a_record_that_comes_when_a_newer_one_is_known_is_not_put(void **state)
{
	struct sample older, old, newer, newest;
	char answer[MMS_RECORD_HEADER_SIZE + 8];
	size_t len;
	unsigned put, fetch;

	(void)state;
	rig_fresh();
	begin();
	sample_aged(&older, "s", 9000, "old:");
	sample_aged(&old, "s", 4000, "old.");
	sample_aged(&newer, "s", 2000, "new.");
	sample_aged(&newest, "s", 0, "new!");
	node_put(0, "s", &old);
	fetch = hide_on_node_1(&newer);
	node_put(2, "s", &newest);
	len = (size_t)snprintf(answer, sizeof(answer), "$%d\r\n", MMS_RECORD_HEADER_SIZE);
	memcpy(answer + len, older.bytes, MMS_RECORD_HEADER_SIZE);
	memcpy(answer + len + MMS_RECORD_HEADER_SIZE, "\r\n", 2);
	fake_rule(fakes[1], (struct fake_rule){ .verb = "GETRANGE", .holds = HEADER_READ, .act = FAKE_ANSWER, .bytes = answer,
			.bytes_len = len + MMS_RECORD_HEADER_SIZE + 2, .times = 1 });
	put = fake_holds(fakes[1], "EVALSHA");
	reconcile_all(put, fetch);
	assert_all_hold(&newest);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_put_of_what_was_the_newest_before_does_not_count),
		cmocka_unit_test(a_record_that_comes_when_a_newer_one_is_known_is_not_put),
	};

	return rig_run(tests);
}
