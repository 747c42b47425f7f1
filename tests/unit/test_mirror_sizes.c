/* What one process of a host may write, its replicator carries, whatever its own settings say; and what it can't carry holds up
 * nothing else. */
#include "greeted.h"
#include "large.h"

#include "mms_marker.h"
#include "mms_mirror.h"

#define MAILBOX (64u << 20)
#define OVER (12u << 20) /* the settings of the rig say 1 MiB */

static struct desk *desk;

static void begin(void)
{
	struct mms_settings settings;

	rig_fresh();
	settings_default(&settings, 2, "web1");
	desk = desk_open(host_with(&settings, MAILBOX));
	desk_greet_all(desk);
	desk_quiet(desk);
}

static struct mms_mailbox_sh *mailbox(void)
{
	return &desk->host->cluster->mailbox;
}

static bool is_empty(void)
{
	return mms_mailbox_tail(mailbox()) == mms_mailbox_head(mailbox());
}

static bool run(void)
{
	mms_marker_run(&desk->office);
	return mms_mirror_run(&desk->office);
}

/* As a request thread leaves it that has stored it on the local node. */
static void push(const char *id, const unsigned char *bytes, size_t len)
{
	struct mms_parcel parcel = { .kind = MMS_PARCEL_PUT, .key = key_of(id), .header = bytes, .ttl_ms = RIG_TTL_MS,
		.payload = { (const char *) bytes + MMS_RECORD_HEADER_SIZE, len - MMS_RECORD_HEADER_SIZE }, .have_mask = bit(0),
		.settled = true };
	struct mms_ticket ticket;

	assert_true(mms_mailbox_push(mailbox(), &parcel, mms_clock_mono(), &ticket));
	node_put_bytes(0, id, bytes, len);
}

static void push_small(unsigned from, unsigned to)
{
	struct sample sample;
	char id[16];

	for (unsigned number = from; number < to; number++) {
		snprintf(id, sizeof(id), "s%u", number);
		sample_aged(&sample, id, 0, id);
		push(id, sample.bytes, sample.len);
	}
}

static bool has_small(unsigned node, unsigned from, unsigned to)
{
	char id[16];

	for (unsigned number = from; number < to; number++) {
		snprintf(id, sizeof(id), "s%u", number);
		if (!node_has(node, id, id, NULL)) {
			return false;
		}
	}
	return true;
}

static void a_session_over_the_replicators_own_limit_is_carried(void **state)
{
	struct large large;

	(void) state;
	begin();
	large = large_aged("large", 0, OVER);
	push_small(0, 50);
	push("large", large.bytes, large.len);
	push_small(50, 100);
	desk_await(desk, run() && is_empty());
	assert_true(node_holds_large(1, "large", &large));
	assert_true(has_small(1, 0, 100));
	assert_int_equal(mms_hints_count(&desk->host->cluster->hints, 1), 0);
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].acked_count), 101);
	assert_true(nodes_are_in_order(desk->host));
	large_free(&large);
	desk_close(desk);
}

/* Memory is what may be short; here it is the link's bound. */
static void what_this_process_can_not_send_becomes_a_hint_and_the_others_go_on(void **state)
{
	char text[MMS_BREAKER_TEXT_SIZE];
	struct large large;
	int fd;

	(void) state;
	begin();
	fd = desk_link(desk, 1)->fd;
	mms_conn_set_limits(desk_link(desk, 1)->conn, MMS_LINK_REPLY_MAX, OVER / 2);
	large = large_aged("large", 0, OVER);
	push_small(0, 50);
	push("large", large.bytes, large.len);
	push_small(50, 100);
	desk_await(desk, run() && is_empty());
	assert_true(has_small(1, 0, 100));
	assert_int_equal(mms_hints_count(&desk->host->cluster->hints, 1), 1);
	assert_int_equal(host_metric(desk->host, MMS_METRIC_mirror_failures), 1);
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].acked_count), 100);
	assert_true(mms_link_ready(desk_link(desk, 1)) && desk_link(desk, 1)->fd == fd);
	assert_true(nodes_are_in_order(desk->host));
	assert_true(mms_breaker_last_error(desk_breaker(desk, 1), text, sizeof(text)).ms > 0);
	assert_non_null(strstr(text, "node n1 ("));
	assert_non_null(strstr(text, "max_output_bytes"));
	large_free(&large);
	desk_close(desk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_over_the_replicators_own_limit_is_carried),
		cmocka_unit_test(what_this_process_can_not_send_becomes_a_hint_and_the_others_go_on),
	};

	return rig_run(tests);
}
