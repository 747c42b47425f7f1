/* A replicator's office with a repairer in it, turned by hand. The clock of the office runs ahead where a test would have
 * to wait. */
#ifndef REPAIRS_H
#define REPAIRS_H

#include "greeted.h"

#include "mms_hosts.h"
#include "mms_reconcile.h"
#include "mms_repair.h"
#include "mms_strangers.h"

#define MARKER RIG_PREFIX ":node"
#define LEASE RIG_PREFIX ":lease"
#define SECOND INT64_C(1000000)

static struct desk *desk;
static struct mms_reconciler *reconciler;
static struct mms_hosts *hosts;
static struct mms_strangers strangers;
static struct mms_repair *repair;
static int64_t ahead_us;
static bool look_at_markers; /* once a second, as the replicator does; false: only when the repairer wants it */

/* One round of the replicator's loop, as far as it matters here. */
static inline void turn(void)
{
	desk->office.now.us = now_us() + ahead_us;
	mms_hosts_run(hosts);
	mms_strangers_run(&strangers);
	mms_repair_run(repair);
	for (unsigned node = 0; node < desk->office.node_count; node++) {
		if (desk_link(desk, node)->marker_checked.us == 0 || look_at_markers) {
			mms_greeting_recheck(desk_link(desk, node));
		}
	}
	for (unsigned node = 0; node < desk->office.node_count; node++) {
		mms_link_flush(desk_link(desk, node));
	}
	event_base_loop(desk->office.base, EVLOOP_NONBLOCK);
	nap_us(200);
}

/* Turns, with the clock two seconds further now and then, until something has come about. */
#define turn_until(condition) \
	do { \
		const int64_t turn_until_us = now_us() + DEADLINE_US; \
		for (unsigned round = 1; !(condition); round++) { \
			if (now_us() > turn_until_us) { \
				fail_msg("waited in vain for %s", #condition); \
			} \
			ahead_us += round % 100 == 0 ? 2 * SECOND : 0; \
			turn(); \
		} \
	} while (0)

/* What would happen within this time happens. */
static inline void turn_for(int64_t us)
{
	for (int64_t done_us = 0; done_us < us; done_us += SECOND) {
		ahead_us += SECOND;
		for (unsigned round = 0; round < 100; round++) {
			turn();
		}
	}
}

static inline void greet(unsigned node)
{
	mms_link_drop(desk_link(desk, node));
	desk_greet(desk, node);
}

static inline void take_office(void)
{
	desk->office.now.us = now_us() + ahead_us;
	reconciler = mms_reconciler_new(&desk->office);
	hosts = mms_hosts_new(&desk->office);
	mms_strangers_init(&strangers, hosts);
	repair = mms_repair_new(&desk->office, reconciler, hosts);
	assert_non_null(repair);
	for (unsigned node = 0; node < desk->office.node_count; node++) {
		greet(node);
	}
}

static inline void leave_office(void)
{
	for (unsigned node = 0; node < desk->office.node_count; node++) {
		mms_link_drop(desk_link(desk, node));
	}
	mms_repair_free(repair);
	mms_hosts_free(hosts);
	mms_reconciler_free(reconciler);
}

static inline void begin_with(struct host *host)
{
	desk = desk_open(host);
	ahead_us = 0;
	look_at_markers = false;
	take_office();
}

static inline bool is_complete(unsigned node)
{
	return atomic_load(&desk->host->cluster->nodes[node].complete) == 1;
}

static inline bool marker_says_complete(unsigned node)
{
	struct mms_reply *reply = node_ask(node, "GET", MARKER);
	const struct mms_slice text = mms_reply_text(reply);
	const bool complete = text.len > 2 && memcmp(text.ptr + text.len - 2, " 1", 2) == 0;

	mms_reply_free(reply);
	return complete;
}

/* Everything was compared a moment ago. */
static inline void note_sweep(unsigned node)
{
	char text[32];

	(void) snprintf(text, sizeof(text), "%lld", (long long) mms_clock_wall().ms);
	node_do(node, "HSET", RIG_PREFIX ":lives", "swept", text);
}

static inline void begin(unsigned nodes)
{
	rig_fresh();
	begin_with(host_new(nodes, "web1"));
	for (unsigned node = 0; node < nodes; node++) {
		note_sweep(node);
		assert_true(is_complete(node));
		desk_await(desk, marker_says_complete(node));
	}
}

static inline void end(void)
{
	leave_office();
	desk_close(desk);
}

/* As after a restart without persistence. */
static inline void empty(unsigned node)
{
	node_do(node, "FLUSHALL");
	greet(node);
	assert_false(is_complete(node));
}

static inline void await_no_lease(unsigned node)
{
	desk_await(desk, (turn(), node_number(node, "EXISTS", LEASE) == 0));
}

static inline void put_numbered(unsigned node, unsigned from, unsigned to)
{
	struct sample sample;
	char id[16];

	for (unsigned number = from; number < to; number++) {
		snprintf(id, sizeof(id), "s%u", number);
		sample_aged(&sample, id, 5000, id);
		node_put(node, id, &sample);
	}
}

static inline bool has_numbered(unsigned node, unsigned from, unsigned to)
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

#endif
