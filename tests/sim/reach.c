/* Reads against the nodes themselves, not against those that were asked: a node that is never asked is missed here.
 *
 * A node is in reach when it runs, its link to the host is neither cut nor slower than an answer may take, the host's breaker
 * for it is closed, and nothing of that changes during the read. Left out, because a sound host shows less there:
 *   - breaker open: the host does not ask a node that has failed, until a probe has found it good again (it is no exception
 *     that a node is not complete: such a node is asked). What was cut or stopped until a moment before is none: it is asked too,
 *     on a new connection;
 *   - what is under way on the host's own node: while that is slow, it is left out if nothing that was acknowledged can be there alone
 *     (decision 0012);
 *   - a read whose thread was held up, or that came to the end of its budget: it may not have had the time to ask all. */
#include "reach.h"

#include <string.h>

#include "mms_read.h"
#include "net.h"
#include "promises.h"
#include "requests.h"
#include "trace.h"

#define DELAY_MAX_US 30000 /* each way; the wait for an answer is 100000, on connections that stand */
#define HELD_MAX_US 50000

struct reach_counts reach_counts;
static int64_t disturbed_at[HOSTS_MAX][NODES_MAX];

void reach_reset(void)
{
	for (unsigned i = 0; i < HOSTS_MAX; i++) {
		for (unsigned k = 0; k < NODES_MAX; k++) {
			disturbed_at[i][k] = INT64_MIN / 2;
		}
	}
}

void reach_link_disturbed(unsigned host, unsigned node)
{
	disturbed_at[host][node] = sched_now();
}

void reach_node_disturbed(unsigned node)
{
	for (unsigned i = 0; i < HOSTS_MAX; i++) {
		disturbed_at[i][node] = sched_now();
	}
}

static bool is_open(unsigned host, unsigned node)
{
	const struct mms_cluster_sh *cluster = world.hosts[host].cluster;
	const struct link *link = net_link(host, node);
	unsigned place = (node + world.node_count - host % world.node_count) % world.node_count; /* in the host's list */

	return world.nodes[node].state == NODE_RUNNING && !link->cut[DIRECTION_UP] && !link->cut[DIRECTION_DOWN]
			&& link->delay_us <= DELAY_MAX_US && cluster != NULL && mms_breaker_allows_read(&cluster->nodes[place].breaker);
}

void reach_begin(unsigned host, unsigned session, struct reach *reach)
{
	reach->began_at = sched_now();
	reach->held_us = sched_self()->held_us;
	check_sight(session, &reach->sight);
	for (unsigned i = 0; i < world.node_count; i++) {
		reach->open[i] = is_open(host, i);
	}
}

bool reach_was_open(unsigned host, unsigned node, const struct reach *reach)
{
	return reach->open[node] && is_open(host, node) && disturbed_at[host][node] < reach->began_at;
}

/* Does the node still have what it had then, or something newer? */
static bool is_still_there(const struct request *request, unsigned node)
{
	const struct sight *sight = &request->reach.sight;
	struct reference_version version;

	return sight->present[node] && sight->life[node] == world.nodes[node].life
			&& sight->emptied[node] == world.nodes[node].emptied_count
			&& check_record_on(&world.nodes[node], request->session, &version) != NULL;
}

static void fail(const struct request *request, unsigned node, bool answered)
{
	char shown[2][100] = { "nothing", "" };

	reference_format(&request->reach.sight.version[node], shown[1]);
	if (request->found) {
		reference_format(&request->read, shown[0]);
	}
	world_fail("4: request %u: s%u was read as {%s}, and node %u, which %s, has {%s}", request->number, request->session,
			shown[0], node, answered ? "answered" : "was in reach", shown[1]);
}

/* The slow node is left out on the ground that what was acknowledged is elsewhere too. Two hosts that share one, of which one finds it
 * slow and the other does not, are a known limit. */
static bool is_shared(unsigned host)
{
	for (unsigned i = 0; i < world.host_count; i++) {
		if (i != host && i % world.node_count == host % world.node_count) {
			return true;
		}
	}
	return false;
}

/* Was what the node had, beyond what was read, acknowledged to nobody when the read began? */
static bool is_concurrent(const struct request *request, unsigned node)
{
	struct reference_version acknowledged;

	return !promises_newer(request->session, request->reach.began_at, request->found ? &request->read : NULL, &acknowledged)
			|| reference_compare(&acknowledged, &request->reach.sight.version[node]) > 0;
}

/* A node that has answered has said what it had when it was asked, or something newer. One that was in reach had to be asked, unless
 * another one's copy was enough for the visitor: not one that is blind, which says nothing of the others. */
void reach_check(const struct request *request, const struct mms_answer *answer, int64_t deadline_us)
{
	unsigned host = request->worker->process->host;
	bool timely = sched_now() < deadline_us && sched_self()->held_us - request->reach.held_us <= HELD_MAX_US;
	bool missed = false, enough = answer->enough && !request->read.blind;

	reach_counts.reads += !answer->enough;
	for (unsigned k = 0; k < world.node_count; k++) {
		unsigned i = (host + k) % world.node_count;
		bool answered = (answer->answered_mask >> k & 1) != 0;
		bool in_reach = !enough && timely && reach_was_open(host, i, &request->reach);
		bool older;

		if (!is_still_there(request, i)) {
			continue;
		}
		older = !request->found || reference_compare(&request->read, &request->reach.sight.version[i]) < 0;
		if (older && (answered || (in_reach && (k != 0 || !(is_shared(host) || is_concurrent(request, i)))))) {
			fail(request, i, answered);
		}
		missed = missed || (older && !answer->enough);
		reach_counts.held += !answer->enough;
		reach_counts.in_reach += in_reach;
		reach_counts.silent += in_reach && !answered;
	}
	reach_counts.out_of_reach += missed;
}

/* What a write takes the place of is what its request has read, or has written itself. With reach_check(), and as no node ever goes
 * back, nothing that was acknowledged is then overwritten unread by a request that began later and could reach it: the writes
 * that lie between the last version and any acknowledged one are steps of this kind. */
void reach_check_base(struct request *request, const char *header)
{
	struct reference_version base, unread;
	char shown[2][100] = { "nothing", "nothing" };

	if (request->has_base && reference_compare(&request->base, &request->stamped) == 0) {
		return; /* once more, to further nodes */
	}
	reach_counts.bases++;
	if (!request->by_one_node && promises_newer(request->session, request->read_began_at, request->has_base ? &request->base : NULL,
			&unread) && reference_compare(&request->stamped, &unread) > 0) {
		reach_counts.unread++;
		if (world.sound) { /* everything was in reach all the time */
			reference_format(&unread, shown[0]);
			reference_format(&request->stamped, shown[1]);
			world_fail("4: request %u: s%u is written as {%s}, over {%s}, which was acknowledged before it began and not read",
					request->number, request->session, shown[1], shown[0]);
		}
	}
	if (reference_base(header, &base) != request->has_base || (request->has_base && (base.hlc != request->base.hlc
			|| base.writer != request->base.writer || base.sequence != request->base.sequence))) {
		if (request->has_base) {
			reference_format(&request->base, shown[0]);
		}
		reference_format(&base, shown[1]);
		world_fail("5: request %u: s%u was read as {%s}, and is written as based on {%s}", request->number, request->session,
				shown[0], shown[1]);
	}
}
