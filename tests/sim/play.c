/* Playing a schedule: its actions at their times, then the healing, then the last look. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "hosts.h"
#include "locks.h"
#include "memory.h"
#include "mms_command.h"
#include "net.h"
#include "promises.h"
#include "reach.h"
#include "requests.h"
#include "schedule.h"
#include "tokens.h"
#include "trace.h"

#define QUIET_MAX_US 5000000      /* for requests under way when the last action is done */
#define CONVERGE_MAX_US 60000000  /* bound of invariant 7 */
#define CONVERGE_STEP_US 250000
#define SPIN_US 100               /* with play_with_spin; a round trip to the local node takes 10 to 80 */
#define WALL_START_US INT64_C(1750000000000000)

struct world world;

void world_fail(const char *format, ...)
{
	va_list arguments;

	if (world.failed) {
		return;
	}
	world.failed = true;
	va_start(arguments, format);
	vsnprintf(world.failure, sizeof world.failure, format, arguments);
	va_end(arguments);
	trace("FAILED: %s", world.failure);
}

int64_t world_wall_us(unsigned host)
{
	return world_true_us() + world.hosts[host].wall_offset_us;
}

int64_t world_true_us(void)
{
	return WALL_START_US + sched_now();
}

const char *world_sha1(int script)
{
	return mms_command_script_sha1((enum mms_script)script);
}

bool play_with_tokens, play_unsigned, play_with_header, play_with_locks, play_with_quorum, play_with_spin;

static void run_until(int64_t until)
{
	if (!world.failed && !sched_run(until)) {
		world_fail("8: something spins: threads run and time stands still");
	}
}

static void cut(const struct action *action, bool is_cut)
{
	for (int direction = DIRECTION_UP; direction <= DIRECTION_DOWN; direction++) {
		if (!is_cut || action->c >= 2 || action->c == direction) {
			net_set_cut((unsigned)action->a, (unsigned)action->b, (enum direction)direction, is_cut);
		}
	}
}

static void on_node(const struct action *action)
{
	struct node *node = &world.nodes[action->a];

	switch (action->kind) {
	case ACTION_STOP: node_stop(node); break;
	case ACTION_CONTINUE: node_continue(node); break;
	case ACTION_KILL: node_kill(node); break;
	case ACTION_RESTART: node_restart(node); break;
	case ACTION_EMPTY: node_kill(node); node_empty(node); node_restart(node); break;
	case ACTION_FLUSH: node_flush(node); break;
	case ACTION_DUMP: node_take_dump(node); break;
	case ACTION_RESTORE:
		if (node->has_dump) {
			node_kill(node);
			node_restore_dump(node);
			node_restart(node);
		}
		break;
	case ACTION_DAMAGE: node_damage(node); break;
	case ACTION_FULL: node->refuses_writes = true; break;
	case ACTION_NOT_FULL: node->refuses_writes = false; break;
	case ACTION_CROWD: node->crowd = (uint32_t)action->b; break;
	case ACTION_FORGET: memset(node->scripts_loaded, 0, sizeof node->scripts_loaded); break;
	default: break;
	}
}

static void on_worker(const struct action *action)
{
	struct host *host = &world.hosts[action->a];
	struct worker *worker = &host->workers[action->b];

	if (worker->process == NULL || !worker->process->alive) {
		return;
	}
	if (action->kind == ACTION_STOP_WORKER) {
		worker->process->stopped_until = sched_now() + action->c;
	} else if (action->c == 0) {
		host_kill_worker(host, (unsigned)action->b);
	} else {
		worker->process->kill_countdown = (uint32_t)action->c;
	}
}

static const char *const names[ACTION_KINDS] = {
	"request", "wait", "cut", "mend", "reset", "slow", "stop", "continue", "kill", "restart", "empty", "flush", "dump",
	"restore", "full", "not full", "forget", "kill worker", "stop worker", "kill php", "clock", "damage", "crowd", "delivered",
};

/* Who reads now may not reach what this is about. */
static void disturb(const struct action *action)
{
	switch (action->kind) {
	case ACTION_CUT: case ACTION_MEND: case ACTION_RESET: case ACTION_SLOW:
		reach_link_disturbed((unsigned)action->a, (unsigned)action->b);
		break;
	case ACTION_STOP: case ACTION_CONTINUE: case ACTION_KILL: case ACTION_RESTART: case ACTION_EMPTY: case ACTION_RESTORE:
		reach_node_disturbed((unsigned)action->a);
		break;
	default:
		break;
	}
}

static void set_clock(struct host *host, int64_t ahead_us)
{
	struct host *other = host_other_pool(host);

	host->wall_offset_us += ahead_us;
	if (other != NULL) {
		other->wall_offset_us += ahead_us;
	}
}

static void act(const struct action *action)
{
	if (action->kind == ACTION_REQUEST) {
		(void)request_start((unsigned)action->a, (unsigned)action->b, (unsigned)action->c, (unsigned)action->d,
				(enum request_kind)action->e, action->f, (uint32_t)action->g,
				action->h != 0 ? (uint32_t)action->h : 1440);
		return;
	}
	trace("-- %s %lld %lld %lld", names[action->kind], (long long)action->a, (long long)action->b, (long long)action->c);
	disturb(action);
	switch (action->kind) {
	case ACTION_WAIT: break;
	case ACTION_CUT: cut(action, true); break;
	case ACTION_MEND: cut(action, false); break;
	case ACTION_RESET: net_reset_one((unsigned)action->a, (unsigned)action->b); break;
	case ACTION_SLOW: net_link((unsigned)action->a, (unsigned)action->b)->delay_us = action->c; break;
	case ACTION_KILL_WORKER:
	case ACTION_STOP_WORKER: on_worker(action); break;
	case ACTION_KILL_PHP: host_kill_php(&world.hosts[action->a]); break;
	case ACTION_DELIVERED: check_delivered((unsigned)action->a); break;
	case ACTION_CLOCK: set_clock(&world.hosts[action->a], action->b * 1000); break;
	default: on_node(action); break;
	}
}

/* Everything was compared a moment ago: the sweep that is made where none is noted would mend what must mend itself. A schedule
 * that flushes all nodes has it. */
static void note_sweep(struct node *node)
{
	static const char field[] = PREFIX ":lives\nswept";
	char text[24];

	node_set(node, field, sizeof field - 1, text, (size_t)sprintf(text, "%lld", (long long)world_true_us() / 1000),
			NODE_NO_EXPIRY);
}

static void begin(const struct schedule *schedule, bool tracing)
{
	world.running = true;
	world.failed = false;
	world.tracing = tracing;
	world.node_count = schedule->node_count;
	world.host_count = schedule->host_count;
	world.session_count = schedule->session_count;
	world.visitor_count = schedule->visitor_count;
	world.lifetime_s = schedule->lifetime_s;
	world.touch_interval_s = schedule->touch_interval_s;
	world.write_acks = schedule->write_acks < schedule->node_count ? schedule->write_acks : schedule->node_count;
	world.one_place = play_with_header;
	world.headers = schedule->headers;
	world.read_mode = play_with_tokens || play_with_header || world.headers != NULL ? MMS_READ_TOKEN
			: play_with_quorum ? MMS_READ_QUORUM : MMS_READ_NEWEST;
	if (play_with_quorum) {
		world.write_acks = schedule->node_count / 2 + 1;
	}
	world.lock = play_with_locks;
	world.spin_us = play_with_spin ? SPIN_US : 0;
	world.signing = world.read_mode == MMS_READ_TOKEN && !play_unsigned && schedule->seed % 2 == 1;
	world.pools = schedule->pools;
	world.apart_mask = schedule->apart_mask;
	world.calm = strcmp(schedule->profile, "calm") == 0;
	world.sound = schedule->sound || world.calm || strcmp(schedule->profile, "far") == 0;
	memory_begin();
	sched_reset(schedule->seed ^ UINT64_C(0x5851f42d4c957f2d));
	sched_yield_one_in = schedule->yield_one_in;
	sched_late_one_in = schedule->late_one_in;
	sched_late_max_us = schedule->late_max_us;
	locks_reset();
	files_reset();
	net_reset();
	requests_reset();
	reach_reset();
	check_reset();
	hosts_configure();
	for (unsigned i = 0; i < world.node_count; i++) {
		node_start(&world.nodes[i], i);
		note_sweep(&world.nodes[i]);
	}
	for (unsigned i = 0; i < world.host_count; i++) {
		host_start(&world.hosts[i]);
	}
}

static void mend_everything(void)
{
	trace("-- everything is mended");
	for (unsigned i = 0; i < world.host_count; i++) {
		for (unsigned k = 0; k < world.node_count; k++) {
			net_link(i, k)->delay_us = 0;
			net_set_cut(i, k, DIRECTION_UP, false);
			net_set_cut(i, k, DIRECTION_DOWN, false);
		}
	}
	for (unsigned i = 0; i < world.node_count; i++) {
		world.nodes[i].refuses_writes = false;
		node_continue(&world.nodes[i]);
		node_restart(&world.nodes[i]);
	}
}

/* What was damaged is found by those who read it; nobody looks for it. */
static void read_everything(void)
{
	run_until(sched_now() + 12000000); /* breakers close */
	for (unsigned s = 0; s < world.session_count; s++) {
		for (unsigned i = 0; i < world.host_count * 2; i++) {
			(void)request_start(i % world.host_count, 1, 0, s, REQUEST_READ, 0, 0, 1440);
			run_until(sched_now() + 1200000);
		}
	}
}

static void converge(void)
{
	int64_t until = sched_now() + CONVERGE_MAX_US;
	const char *open = NULL;
	unsigned turn = 0;

	do {
		for (unsigned i = 0; i < world.host_count && turn % 4 == 0; i++) {
			host_idle_request(&world.hosts[i]);
		}
		turn++;
		run_until(sched_now() + CONVERGE_STEP_US);
		open = world.failed ? NULL : check_unsettled();
	} while (open != NULL && sched_now() < until);
	if (open != NULL) {
		world_fail("7: %d s after everything was mended: %s", CONVERGE_MAX_US / 1000000, open);
	}
}

void schedule_play(const struct schedule *schedule, bool tracing, struct outcome *outcome)
{
	int64_t at, until;

	begin(schedule, tracing);
	at = sched_now();
	for (unsigned i = 0; i < schedule->action_count && !world.failed; i++) {
		at += schedule->actions[i].after_us;
		run_until(at);
		act(&schedule->actions[i]);
	}
	until = sched_now() + QUIET_MAX_US;
	while (!world.failed && requests_under_way() && sched_now() < until) {
		run_until(sched_now() + 10000);
	}
	if (!world.failed && requests_under_way()) {
		world_fail("8: a request is still under way");
	}
	if (!world.failed) {
		mend_everything();
		if (schedule->last_reads) {
			tokens_reset_jars(); /* one node's answer would be enough, and damage elsewhere is not met */
			read_everything();
		}
		converge();
	}
	if (!world.failed) {
		promises_final();
	}
	outcome->failed = world.failed;
	memcpy(outcome->failure, world.failure, sizeof outcome->failure);
	outcome->steps = sched_steps;
	outcome->simulated_us = sched_now() - 1000000000;
	world.running = false;
	sched_abandon();
	memory_end();
}
