/* One pass over a node's keys: which of them count, whose come first, how fast it goes.
 * TEST LINK: mms_repair */
#include "repairs.h"

#include "mms_scan.h"

#define RATE 65536              /* bytes per second; the lowest there is */
#define COMPARISON_BYTES 100    /* per node (docs/protocol.md, "Repair scan") */

/* A record that is sound under any key, of whatever application. */
static void put_under(unsigned node, const char *key, const char *payload)
{
	struct mms_record_header header = { .version = { .hlc = stamp_ago(5000), .writer = 7, .sequence = 1 }, .lifetime_s = 1440 };
	unsigned char bytes[MMS_RECORD_HEADER_SIZE + 64];
	struct client client = { -1, NULL };

	mms_record_describe(&header, slice(payload));
	mms_record_encode(&header, slice(key), bytes);
	memcpy(bytes + MMS_RECORD_HEADER_SIZE, payload, strlen(payload));
	assert_true(client_open(&client, &rig_servers[node]));
	assert_true(client_set(&client, key, bytes, MMS_RECORD_HEADER_SIZE + strlen(payload), RIG_TTL_MS));
	client_close(&client);
}

/* As begin() does: no sweep comes between, however many rounds a slow machine takes. */
static void begin_without_sweeps(struct host *host)
{
	begin_with(host);
	for (unsigned node = 0; node < host->settings.node_count; node++) {
		note_sweep(node);
	}
}

/* An answer to SCAN with these keys and no more to come. */
static void scan_answer(const char *const *keys, size_t count, char *out, size_t size)
{
	size_t len = (size_t) snprintf(out, size, "*2\r\n$1\r\n0\r\n*%zu\r\n", count);

	for (size_t index = 0; index < count; index++) {
		len += (size_t) snprintf(out + len, size - len, "$%zu\r\n%s\r\n", strlen(keys[index]), keys[index]);
	}
	assert_true(len < size);
}

/* An honest server filters by MATCH. One that does not must not make the scan touch what belongs to others: the records are
 * sound under their keys, so each would be copied. */
static void keys_that_nobody_asked_for_are_let_alone(void **state)
{
	static const char *const others[] = { "evil:abc", "evil:", "UNIT:abc", "unit;abc", "abcdefgh", "5unit:abc", ":unit:abc" };
	const char *keys[16] = { RIG_PREFIX "s0", "", "u", "unit", RIG_PREFIX };
	const size_t own = 5, count = own + sizeof(others) / sizeof(others[0]);
	char answer[4096], longest[MMS_KEY_MAX + 2];
	struct fake *fake;
	unsigned scans;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	begin_without_sweeps(host_with_fake(2, 0, fake));
	put_numbered(0, 0, 1);
	memset(longest, 'a', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	memcpy(longest, RIG_PREFIX, strlen(RIG_PREFIX));
	for (size_t index = own; index < count; index++) {
		keys[index] = others[index - own];
		put_under(0, keys[index], "of another application");
	}
	keys[count] = longest;
	put_under(0, longest, "under a key that is too long");
	scan_answer(keys, count + 1, answer, sizeof(answer));
	empty(1);
	node_forget_calls(0);
	node_forget_calls(1);
	scans = fake_says(fake, "SCAN", answer, -1);
	turn_until(is_complete(1));
	assert_int_equal(fake_hits(fake, scans), 1);
	assert_true(has_numbered(1, 0, 1)); /* the rest of the answer counts */
	assert_int_equal(node_calls(1, "getrange"), 1); /* its header; of the others nothing is asked, here or there */
	assert_int_equal(node_calls(0, "getrange"), 2); /* its header, and all of it */
	assert_int_equal(host_metric(desk->host, MMS_METRIC_repair_scanned), 1);
	for (size_t index = own; index <= count; index++) {
		assert_int_equal(node_number(0, "EXISTS", keys[index]), 1);
		assert_int_equal(node_number(1, "EXISTS", keys[index]), 0);
	}
	end();
	fake_free(fake);
}

/* The target too may be odd, and its keys are compared with everybody. */
static void keys_that_nobody_asked_the_target_for_are_let_alone(void **state)
{
	static const char *const keys[] = { "evil:abc" };
	char answer[256];
	struct fake *fake;

	(void) state;
	rig_fresh();
	fake = fake_start(1);
	begin_without_sweeps(host_with_fake(2, 1, fake));
	empty(1);
	put_under(1, keys[0], "of another application");
	scan_answer(keys, 1, answer, sizeof(answer));
	fake_says(fake, "SCAN", answer, -1);
	turn_until(is_complete(1));
	assert_int_equal(node_number(0, "EXISTS", keys[0]), 0);
	assert_int_equal(host_metric(desk->host, MMS_METRIC_repair_scanned), 0);
	end();
	fake_free(fake);
}

/* The last scan of this office was months ago; the product of time and rate is beyond 64 bits. */
static void a_rate_outlives_a_long_office(void **state)
{
	struct mms_scan_order order = { .source = 0, .mask = 3 };
	struct mms_scan *scan;

	(void) state;
	begin(2);
	note_sweep(0);
	note_sweep(1);
	put_numbered(0, 0, 5);
	desk->host->cluster->settings.repair_rate = UINT32_MAX;
	scan = mms_scan_new(&desk->office, reconciler);
	ahead_us += 400 * 86400 * SECOND;
	turn_until(mms_link_ready(desk_link(desk, 0)) && mms_link_ready(desk_link(desk, 1)));
	mms_scan_begin(scan, &order);
	turn_until(mms_scan_run(scan) != MMS_SCAN_RUNNING);
	assert_int_equal(mms_scan_run(scan), MMS_SCAN_DONE);
	assert_true(has_numbered(1, 0, 5));
	mms_scan_free(scan);
	end();
}

static void a_walk_without_an_end_fails(void **state)
{
	struct mms_scan_order order = { .source = 0, .mask = 3, .steps_max = 20 };
	struct mms_scan *scan;
	struct fake *fake;
	unsigned scans;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	begin_without_sweeps(host_with_fake(2, 0, fake));
	scans = fake_says(fake, "SCAN", "*2\r\n$1\r\n7\r\n*0\r\n", -1);
	scan = mms_scan_new(&desk->office, reconciler);
	mms_scan_begin(scan, &order);
	turn_until(mms_scan_run(scan) == MMS_SCAN_FAILED);
	assert_int_equal(fake_hits(fake, scans), 20);
	mms_scan_free(scan);
	end();
	fake_free(fake);
}

/* Nodes whose keys have been asked for are added to the text, a digit each. */
static void note_scans(char order[RIG_NODES + 1])
{
	for (unsigned node = 0; node < RIG_NODES; node++) {
		const char digit[] = { (char) ('0' + node), '\0' };

		if (strstr(order, digit) == NULL && node_calls(node, "scan") > 0) {
			strcat(order, digit);
		}
	}
}

/* One source is begun when the one before it has been walked, so looking once a round sees them in their order. */
static void peers_are_walked_in_the_order_of_the_list_and_the_target_last(void **state)
{
	static const char *const expected[RIG_NODES] = { "120", "021", "012" };

	(void) state;
	for (unsigned target = 0; target < RIG_NODES; target++) {
		char order[RIG_NODES + 1] = "";

		begin(RIG_NODES);
		for (unsigned node = 0; node < RIG_NODES; node++) {
			put_numbered(node, 10 * node, 10 * node + 10);
		}
		empty(target);
		for (unsigned node = 0; node < RIG_NODES; node++) {
			node_forget_calls(node);
		}
		turn_until((note_scans(order), is_complete(target)));
		assert_string_equal(order, expected[target]);
		end();
	}
}

/* By the clock of the office, from the scan's begin to its last comparison: what follows (the node must have been there for
 * two seconds) takes its time whatever the rate is. */
static void the_rate_is_kept(void **state)
{
	const unsigned count = 800;
	struct mms_repair_sh *report;
	struct host *host;
	int64_t took_us, bytes;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	host->cluster->settings.repair_rate = RATE;
	begin_without_sweeps(host);
	report = &host->cluster->nodes[1].repair;
	put_numbered(0, 0, count);
	empty(1);
	while (atomic_load(&report->scanned) < count) {
		ahead_us += 5000;
		turn();
	}
	took_us = desk->office.now.us - atomic_load(&report->started_us);
	assert_int_equal(atomic_load(&report->moved), count);
	bytes = (int64_t) atomic_load(&report->bytes) + 2 * COMPARISON_BYTES * (int64_t) count;
	assert_true(bytes > 3 * RATE);
	/* Less what was saved up before, and what the comparisons under way at the end are found to have cost behind it. */
	assert_in_range(took_us, bytes * SECOND / RATE * 4 / 5, bytes * SECOND / RATE * 6);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_that_nobody_asked_for_are_let_alone),
		cmocka_unit_test(a_rate_outlives_a_long_office),
		cmocka_unit_test(a_walk_without_an_end_fails),
		cmocka_unit_test(keys_that_nobody_asked_the_target_for_are_let_alone),
		cmocka_unit_test(peers_are_walked_in_the_order_of_the_list_and_the_target_last),
		cmocka_unit_test(the_rate_is_kept),
	};

	return rig_run(tests);
}
