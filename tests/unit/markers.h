/* Behind markers of one office on its nodes: set, looked for, given up. */
#ifndef MARKERS_H
#define MARKERS_H

#include "greeted.h"

#include "mms_marker.h"

#define BEHIND RIG_PREFIX ":behind"

/* The first `greeted` of the nodes are connected. */
static inline struct desk *desk_of(unsigned nodes, unsigned greeted)
{
	struct desk *desk = desk_open(host_new(nodes, "web1"));

	for (unsigned node = 0; node < greeted; node++) {
		desk_greet(desk, node);
	}
	return desk;
}

static inline int64_t markers(unsigned node)
{
	return node_number(node, "HLEN", BEHIND);
}

/* Runs the markers until nothing is under way: one may be deleted in one round, and set under another name in the next. */
static inline void settle(struct desk *desk)
{
	for (unsigned turn = 0; turn < 2; turn++) {
		for (unsigned node = 0; node < desk->office.node_count; node++) {
			desk_await(desk, (mms_marker_run(&desk->office), desk_link(desk, node)->request_count == 0));
		}
	}
	mms_marker_run(&desk->office);
}

/* What stands on a node is seen, as the replicator does once a second. */
static inline void see(struct desk *desk, unsigned node)
{
	struct mms_reply *reply = node_ask(node, "HGETALL", BEHIND);
	struct mms_pairs there = { NULL, 0, false, { 0 } };

	mms_pairs_keep(&there, reply, desk->office.now);
	mms_marker_see(desk_link(desk, node), &there);
	mms_pairs_free(&there);
	mms_reply_free(reply);
}

/* The node is used again. */
static inline void heal(struct desk *desk, unsigned node)
{
	memset(desk_breaker(desk, node), 0, sizeof(*desk_breaker(desk, node)));
}

#endif
