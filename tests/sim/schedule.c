/* Schedules from seeds. A profile says which faults there are; what it has none of, it keeps as it is. */
#include "schedule.h"

#include <stddef.h>
#include <string.h>

#include "random.h"
#include "requests.h"
#include "world.h"

enum fault {
	FAULT_CUT = 1, FAULT_RESET = 2, FAULT_SLOW = 4, FAULT_STOP = 8, FAULT_KILL = 16, FAULT_EMPTY = 32, FAULT_FLUSH = 64,
	FAULT_RESTORE = 128, FAULT_FULL = 256, FAULT_FORGET = 512, FAULT_WORKER = 1024, FAULT_FREEZE = 2048,
	FAULT_PHP = 4096, FAULT_CLOCK = 8192, FAULT_DAMAGE = 16384, FAULT_LIFE = 32768, FAULT_FAR = 65536, FAULT_LOCAL = 131072,
	FAULT_POOLS = 262144, FAULT_APART = 524288 /* how hosts and the network are, all the time */
};

struct profile {
	const char *name;
	unsigned faults;
	unsigned weight; /* in the normal run; 0 = only when asked for */
};

static const struct profile profiles[] = {
	{ "calm", 0, 2 },
	{ "far", FAULT_FAR, 1 },
	{ "cut", FAULT_CUT | FAULT_RESET, 3 },
	{ "network", FAULT_CUT | FAULT_RESET | FAULT_SLOW, 2 },
	{ "hiccup", FAULT_STOP | FAULT_RESET, 2 },
	{ "crash", FAULT_KILL | FAULT_STOP, 2 },
	{ "workers", FAULT_WORKER | FAULT_FREEZE | FAULT_RESET, 2 },
	{ "clocks", FAULT_CLOCK | FAULT_CUT, 1 },
	{ "errors", FAULT_FULL | FAULT_FORGET | FAULT_RESET, 1 },
	{ "damage", FAULT_DAMAGE | FAULT_RESET, 1 },
	{ "rot", FAULT_DAMAGE | FAULT_RESTORE | FAULT_RESET, 1 },
	{ "life", FAULT_LIFE | FAULT_STOP, 0 },
	{ "empty", FAULT_EMPTY, 1 },
	{ "flush", FAULT_FLUSH, 1 },
	{ "empty-cut", FAULT_EMPTY | FAULT_CUT, 1 },
	{ "restore", FAULT_RESTORE | FAULT_CUT, 1 },
	{ "php", FAULT_PHP | FAULT_CUT, 1 },
	{ "chaos", FAULT_CUT | FAULT_RESET | FAULT_SLOW | FAULT_STOP | FAULT_KILL | FAULT_FULL | FAULT_FORGET | FAULT_WORKER
			| FAULT_FREEZE | FAULT_CLOCK, 2 },
	{ "slow-local", FAULT_LOCAL | FAULT_CUT | FAULT_KILL | FAULT_EMPTY | FAULT_RESTORE, 0 }, /* named by the normal run: see run */
	{ "all", 0x3fff, 1 },
	/* Named by the normal run, as slow-local is: weights are what kept seeds of the mix go by. */
	{ "pools", FAULT_POOLS | FAULT_CUT | FAULT_RESET | FAULT_STOP | FAULT_WORKER | FAULT_PHP | FAULT_CLOCK, 0 },
	{ "apart", FAULT_APART | FAULT_FAR | FAULT_RESET, 0 },
	{ "ruin", 0x3fff | FAULT_DAMAGE, 0 },
};
#define PROFILES (sizeof profiles / sizeof profiles[0])

const char *schedule_profile(unsigned index)
{
	return index < PROFILES ? profiles[index].name : NULL;
}

static const struct profile *choose_profile(struct random *random, const char *name)
{
	unsigned total = 0, chosen;

	for (unsigned i = 0; i < PROFILES; i++) {
		if (name != NULL && strcmp(profiles[i].name, name) == 0) {
			return &profiles[i];
		}
		total += profiles[i].weight;
	}
	chosen = random_below(random, total);
	for (unsigned i = 0; i < PROFILES; i++) {
		if (chosen < profiles[i].weight) {
			return &profiles[i];
		}
		chosen -= profiles[i].weight;
	}
	return &profiles[0];
}

static struct action *add(struct schedule *schedule, enum action_kind kind, int64_t after_us)
{
	struct action *action = &schedule->actions[schedule->action_count++];

	*action = (struct action){ .kind = kind, .after_us = after_us };
	return action;
}

static int64_t pause_us(struct random *random)
{
	switch (random_below(random, 8)) {
	case 0: return 0;
	case 1: return random_between(random, 0, 300);
	case 2: case 3: return random_between(random, 300, 5000);
	case 4: case 5: return random_between(random, 5000, 60000);
	case 6: return random_between(random, 60000, 500000);
	default: return random_one_in(random, 6) ? random_between(random, 1000000, 6000000)
			: random_between(random, 0, 200000);
	}
}

static void add_request(struct schedule *schedule, struct random *random, unsigned faults)
{
	static const enum request_kind kinds[] = {
		REQUEST_READ, REQUEST_WRITE, REQUEST_WRITE, REQUEST_WRITE, REQUEST_WRITE, REQUEST_TOUCH, REQUEST_TOUCH,
		REQUEST_DESTROY, REQUEST_STRICT, REQUEST_WRITE_TWICE,
	};
	struct action *action = add(schedule, ACTION_REQUEST, pause_us(random));

	action->a = random_below(random, schedule->host_count);
	action->b = random_below(random, 2);
	action->c = random_below(random, schedule->visitor_count);
	action->d = random_below(random, schedule->session_count);
	action->e = random_one_in(random, 24) ? REQUEST_BLUNT : kinds[random_below(random, sizeof kinds / sizeof kinds[0])];
	action->f = random_one_in(random, 2) ? 0 : random_between(random, 0, random_one_in(random, 4) ? 400000 : 5000);
	action->g = random_one_in(random, 40) ? random_between(random, 4000, 30000) : random_between(random, 0, 300);
	action->h = (faults & FAULT_LIFE) != 0 && random_one_in(random, 2) ? 40000 : 1440;
}

/* A fault that this profile has, or nothing. */
static void add_fault(struct schedule *schedule, struct random *random, unsigned faults)
{
	static const struct {
		enum fault fault;
		enum action_kind kind;
	} choices[] = {
		{ FAULT_CUT, ACTION_CUT }, { FAULT_CUT, ACTION_CUT }, { FAULT_CUT, ACTION_MEND }, { FAULT_CUT, ACTION_MEND },
		{ FAULT_RESET, ACTION_RESET }, { FAULT_SLOW, ACTION_SLOW }, { FAULT_FAR, ACTION_SLOW }, { FAULT_STOP, ACTION_STOP },
		{ FAULT_STOP, ACTION_CONTINUE }, { FAULT_KILL, ACTION_KILL }, { FAULT_KILL, ACTION_RESTART },
		{ FAULT_EMPTY, ACTION_EMPTY }, { FAULT_FLUSH, ACTION_FLUSH }, { FAULT_RESTORE, ACTION_DUMP },
		{ FAULT_RESTORE, ACTION_RESTORE }, { FAULT_FULL, ACTION_FULL }, { FAULT_FULL, ACTION_NOT_FULL },
		{ FAULT_FORGET, ACTION_FORGET }, { FAULT_WORKER, ACTION_KILL_WORKER }, { FAULT_WORKER, ACTION_KILL_WORKER },
		{ FAULT_FREEZE, ACTION_STOP_WORKER }, { FAULT_PHP, ACTION_KILL_PHP }, { FAULT_CLOCK, ACTION_CLOCK },
		{ FAULT_DAMAGE, ACTION_DAMAGE }, { FAULT_LIFE, ACTION_WAIT }, { FAULT_LOCAL, ACTION_SLOW }, { FAULT_LOCAL, ACTION_SLOW },
	};
	static const int64_t jumps_ms[] = { -86400000, -10000, -400, -30, 30, 400, 10000, 86400000 };
	unsigned usable[sizeof choices / sizeof choices[0]], count = 0;
	struct action *action;

	for (unsigned i = 0; i < sizeof choices / sizeof choices[0]; i++) {
		if ((faults & choices[i].fault) != 0) {
			usable[count++] = i;
		}
	}
	if (count == 0) {
		return;
	}
	action = add(schedule, choices[usable[random_below(random, count)]].kind, pause_us(random));
	switch (action->kind) {
	case ACTION_CUT: case ACTION_MEND: case ACTION_RESET: case ACTION_SLOW:
		action->a = random_below(random, schedule->host_count);
		action->b = random_below(random, schedule->node_count);
		/* far: a wide area, and no node too slow for anybody */
		action->c = action->kind != ACTION_SLOW ? random_below(random, 4)
				: random_between(random, 0, 1) * random_between(random, 1000, (faults & FAULT_FAR) != 0 ? 12000 : 150000);
		if ((faults & FAULT_LOCAL) != 0 && action->kind == ACTION_SLOW) { /* the host's own, and one that answers in time */
			action->b = action->a % schedule->node_count;
			action->c = random_one_in(random, 3) ? 0 : random_between(random, 15000, 25000);
		}
		break;
	case ACTION_KILL_WORKER:
		action->a = random_below(random, schedule->host_count);
		action->b = random_below(random, 2);
		action->c = random_one_in(random, 4) ? 0 : random_between(random, 1, 120);
		break;
	case ACTION_STOP_WORKER:
		action->a = random_below(random, schedule->host_count);
		action->b = random_below(random, 2);
		action->c = random_between(random, 1000, random_one_in(random, 4) ? 4000000 : 60000);
		break;
	case ACTION_CLOCK:
		action->a = random_below(random, schedule->host_count);
		action->b = jumps_ms[random_below(random, sizeof jumps_ms / sizeof jumps_ms[0])];
		break;
	case ACTION_KILL_PHP:
		action->a = random_below(random, schedule->host_count);
		break;
	case ACTION_WAIT:
		action->after_us = random_between(random, 600, 4000) * 1000000;
		break;
	default:
		action->a = random_below(random, schedule->node_count);
		break;
	}
}

void schedule_make(struct schedule *schedule, uint64_t seed, const char *profile_name)
{
	struct random random;
	const struct profile *profile;
	unsigned length;

	random_seed(&random, seed);
	profile = choose_profile(&random, profile_name);
	memset(schedule, 0, offsetof(struct schedule, actions));
	schedule->action_count = 0;
	schedule->seed = seed;
	schedule->profile = profile->name;
	schedule->node_count = random_one_in(&random, 4) ? 2 : 3;
	schedule->host_count = random_one_in(&random, 4) ? 3 : 2;
	schedule->session_count = random_one_in(&random, 2) ? 1 : 2;
	schedule->visitor_count = 1 + random_below(&random, 2);
	schedule->lifetime_s = random_one_in(&random, 2) ? 1440 : 200;
	schedule->touch_interval_s = random_one_in(&random, 2) ? 0 : 60;
	schedule->write_acks = random_one_in(&random, 6) ? 2 : 1;
	schedule->yield_one_in = random_one_in(&random, 3) ? 0 : random_one_in(&random, 2) ? 16 : 200;
	schedule->late_one_in = random_one_in(&random, 3) ? 0 : 16;
	schedule->late_max_us = random_one_in(&random, 6) ? 20000 : 500;
	schedule->pools = (profile->faults & FAULT_POOLS) != 0;
	schedule->apart_mask = (profile->faults & FAULT_APART) != 0 ? UINT32_MAX : 0;
	schedule->last_reads = (profile->faults & FAULT_DAMAGE) != 0;
	schedule->lifetime_s = (profile->faults & FAULT_LIFE) != 0 ? 0 : schedule->lifetime_s;
	length = 15 + random_below(&random, 25);
	for (unsigned i = 0; i < length; i++) {
		if (profile->faults != 0 && random_one_in(&random, 3)) {
			add_fault(schedule, &random, profile->faults);
		} else {
			add_request(schedule, &random, profile->faults);
		}
	}
}
