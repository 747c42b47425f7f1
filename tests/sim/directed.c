/* Host n calls node n (modulo nodes) its local one. Pauses are in milliseconds and vary by half with the seed, so that what
 * must be under way at some moment is, for some seeds; long ones by ten seconds. */
#include "directed.h"

#include <stddef.h>
#include <string.h>

#include "random.h"
#include "requests.h"
#include "world.h"

#define STEPS_MAX 24
#define SECONDS 1000
#define HALF_MAX_MS 10000

struct step {
	enum action_kind kind;
	int64_t a, b, c;
	int64_t pause_ms; /* before it */
	unsigned session, times; /* of a request; times: 0 is once */
};

struct directed {
	const char *name, *about;
	unsigned nodes, hosts;
	struct step steps[STEPS_MAX];
	const char *headers; /* played with session tokens; a letter for each request, see tokens.c */
	bool sound;          /* links that are slow, and no more */
	unsigned apart_mask; /* hosts; what they send in one go may be read in two */
};

/* ACTION_REQUEST here: host, kind of request, special: lifetime in seconds, or length of the payload when negative; a pause between
 * requests of one step too */
#define READ(host, ms) { ACTION_REQUEST, host, REQUEST_READ, 0, ms }
#define WRITE(host, ms) { ACTION_REQUEST, host, REQUEST_WRITE, 0, ms }
#define DESTROY(host, ms) { ACTION_REQUEST, host, REQUEST_DESTROY, 0, ms }
#define CUT(host, node, ms) { ACTION_CUT, host, node, 2, ms }
#define MEND(host, node, ms) { ACTION_MEND, host, node, 2, ms }
#define NODE(what, node, ms) { ACTION_##what, node, 0, 0, ms }
#define KILL_PHP(host, ms) { ACTION_KILL_PHP, host, 0, 0, ms }
#define STOP_PHP(host, us, ms) { ACTION_STOP_WORKER, host, 0, us, ms }, { ACTION_STOP_WORKER, host, 1, us, 0 }, { ACTION_STOP_WORKER, host, 2, us, 0 }

static const struct directed all[] = {
	{ "D1", "a hint is under way, its session is missed again", 3, 2,
		{ WRITE(0, 1), CUT(0, 2, 100), WRITE(0, 5), { ACTION_SLOW, 0, 2, 60000, 600 }, MEND(0, 2, 0), CUT(0, 2, 500),
		WRITE(0, 5), MEND(0, 2, 300) } },
	{ "D2", "the newest copy's node is away while its hint is delivered", 3, 3,
		{ WRITE(0, 1), CUT(0, 1, 100), CUT(0, 2, 0), WRITE(0, 5), NODE(STOP, 0, 600), MEND(0, 1, 5), MEND(0, 2, 0),
		NODE(CONTINUE, 0, 2000) } },
	{ "D3", "two hosts share a local node; one clears its marker, the other's PHP is killed", 2, 3,
		{ WRITE(0, 1), WRITE(2, 5), CUT(0, 1, 1500), CUT(2, 1, 0), WRITE(0, 5), WRITE(2, 300), MEND(0, 1, 600),
		KILL_PHP(2, 1500), MEND(2, 1, 200) } },
	{ "D4", "the local node is down, hints for it are in shared memory only, PHP is killed", 3, 3,
		{ WRITE(0, 1), NODE(STOP, 0, 1500), WRITE(0, 5), WRITE(0, 400), KILL_PHP(0, 900), NODE(CONTINUE, 0, 300) } },
	{ "D4b", "the same with one peer out of reach", 3, 3,
		{ WRITE(0, 1), NODE(STOP, 0, 1500), CUT(0, 2, 0), WRITE(0, 5), WRITE(0, 400), KILL_PHP(0, 900),
		NODE(CONTINUE, 0, 300), MEND(0, 2, 100) } },
	{ "D5", "a session that lives long, a logout where they live short, a node away beyond the tombstone's life", 3, 3,
		{ { ACTION_REQUEST, 0, REQUEST_WRITE, 40000, 1 }, NODE(STOP, 2, 500), { ACTION_REQUEST, 1, REQUEST_DESTROY, 100, 800 },
		NODE(CONTINUE, 2, 4200 * SECONDS) } },
	{ "D6", "PHP is killed with its mirrors still in the mailbox", 3, 3,
		{ WRITE(0, 1), CUT(0, 1, 1500), CUT(0, 2, 0), WRITE(0, 5), KILL_PHP(0, 300), MEND(0, 1, 100), MEND(0, 2, 0) } },
	{ "D7", "a clock ten seconds slow, two requests at once", 3, 3,
		{ WRITE(2, 1), { ACTION_CLOCK, 0, -10000, 0, 100 }, WRITE(0, 5), WRITE(0, 0), WRITE(2, 100), WRITE(0, 5), WRITE(0, 0) } },
	{ "D8", "more than the mailbox takes, and the local node is emptied", 3, 3,
		{ WRITE(2, 1), { ACTION_REQUEST, 2, REQUEST_WRITE, -30000, 500 }, NODE(EMPTY, 2, 8) } },
	{ "D9", "a node acknowledges and is emptied, the scan runs before the mirrors", 3, 3,
		{ { ACTION_SLOW, 2, 0, 60000, 1 }, { ACTION_SLOW, 2, 1, 60000, 0 }, WRITE(2, 800), NODE(EMPTY, 2, 250) } },
	{ "D10", "a node is restored from an old dump", 3, 3,
		{ WRITE(0, 1), NODE(DUMP, 0, 500), WRITE(0, 100), NODE(RESTORE, 0, 300) } },
	{ "D11", "one node has the logout, and is emptied", 2, 2,
		{ WRITE(1, 1), CUT(1, 0, 1500), CUT(0, 1, 0), DESTROY(1, 5), NODE(EMPTY, 1, 600), MEND(1, 0, 300), MEND(0, 1, 0) } },
	{ "D12", "the emptied node misses what one node alone has", 3, 3,
		{ WRITE(1, 1), CUT(0, 1, 1500), CUT(0, 2, 0), WRITE(0, 5), KILL_PHP(0, 500), NODE(EMPTY, 2, 100),
		MEND(0, 1, 1000), MEND(0, 2, 0) } },
	{ "D13", "a host is taken for dead, lives for a minute during the scan that its marker asks for, and dies", 2, 2,
		{ { ACTION_CROWD, 0, 1500, 0, 0 }, WRITE(0, 1), WRITE(1, 1), CUT(0, 1, 1500), WRITE(0, 20), { ACTION_SLOW, 1, 0, 150000, 1000 },
		STOP_PHP(0, 215000000, 2000), { ACTION_REQUEST, 0, REQUEST_WRITE, 0, 0, 1 }, { ACTION_REQUEST, 0, REQUEST_WRITE, 0, 0, 2 },
		WRITE(0, 286 * SECONDS), KILL_PHP(0, 4 * SECONDS), { ACTION_WAIT, 0, 0, 0, 45 * SECONDS } } },
	{ "D14", "a write fails everywhere; others go on, beside a far node", 2, 1,
		{ WRITE(0, 1), NODE(FULL, 0, 1500), NODE(FULL, 1, 0), { ACTION_REQUEST, 0, REQUEST_WRITE, -30000, 5, 1 },
		NODE(NOT_FULL, 0, 1500), NODE(NOT_FULL, 1, 0), { ACTION_SLOW, 0, 1, 30000, 0 },
		{ ACTION_REQUEST, 0, REQUEST_WRITE, 0, 12, 0, 1000 }, { ACTION_DELIVERED, 0, 0, 0, 0 } } },
	{ "D15", "a page's mirror fails, what is said behind it on the same connection does not", 2, 2,
		{ WRITE(0, 1), READ(1, 1500), WRITE(0, 1500), NODE(FORGET, 1, 10), { ACTION_SLOW, 0, 1, 40000, 0 }, WRITE(0, 3),
		READ(1, 160) }, "CCCEC", false, 0 },
	{ "D16", "a page is closed, not answered, and looks into another session; one beside it writes and is answered first", 2, 2,
		{ WRITE(0, 1), { ACTION_REQUEST, 0, REQUEST_WRITE, 0, 30, 1 }, READ(1, 1500), { ACTION_SLOW, 0, 1, 45000, 300 },
		READ(0, 3), WRITE(0, 157), READ(1, 35) }, "CNCLCC", true, 0 },
	{ "D17", "all nodes have a session that began on a host cut off; what follows is on one of them, and no token tells of it", 2, 2,
		{ { ACTION_REQUEST, 0, REQUEST_WRITE, 0, 1, 1 }, READ(1, 1), CUT(1, 0, 1500), WRITE(1, 20), MEND(1, 0, 300),
		READ(1, 3000), WRITE(0, 300), CUT(0, 1, 2), READ(1, 300) }, "NNNCNC", false, 0 },
	{ "D18", "a host stands still while the nodes that alone have its page are emptied, and brings it to its own one only", 3, 2,
		{ WRITE(0, 1), READ(1, 1500), { ACTION_SLOW, 0, 0, 30000, 300 }, READ(1, 300), WRITE(0, 100), READ(1, 500),
		WRITE(0, 300), { ACTION_STOP_WORKER, 0, 0, 3000000, 75 }, { ACTION_RESET, 0, 0, 0, 0 }, { ACTION_RESET, 0, 0, 0, 0 },
		NODE(EMPTY, 1, 1), NODE(EMPTY, 2, 0), { ACTION_SLOW, 0, 0, 0, 100 }, { ACTION_SLOW, 0, 1, 20000, 0 },
		{ ACTION_SLOW, 0, 2, 20000, 0 }, READ(1, 14 * SECONDS) }, "CCCCCEC", false, 0 },
	{ "D19", "a page's record and the word about it come between the two halves of a read", 2, 2,
		{ WRITE(0, 1), READ(1, 1500), { ACTION_SLOW, 0, 1, 10000, 300 }, { ACTION_WAIT, 0, 0, 0, 100 }, WRITE(0, 300), READ(1, 6) },
		"CCEC", true, 1 << 1 },
};

bool directed_name(unsigned index, const char **name, const char **about)
{
	if (index >= sizeof all / sizeof all[0]) {
		return false;
	}
	*name = all[index].name;
	*about = all[index].about;
	return true;
}

uint64_t directed_seeds(unsigned index)
{
	for (unsigned i = 0; i < STEPS_MAX; i++) {
		if (all[index].steps[i].pause_ms > 1000 * SECONDS) {
			return 2; /* an hour of idle loops takes its time */
		}
	}
	return DIRECTED_SEEDS;
}

/* A read at once is none that a schedule here has. */
static bool is_end(const struct step *step)
{
	return step->kind == ACTION_REQUEST && step->b == REQUEST_READ && step->pause_ms == 0;
}

static void add_step(struct schedule *schedule, const struct step *step, unsigned worker, struct random *random)
{
	struct action *action = &schedule->actions[schedule->action_count++];
	int64_t half = step->pause_ms > 1000 * SECONDS ? 0 : step->pause_ms > 2 * HALF_MAX_MS ? HALF_MAX_MS * 1000 : step->pause_ms * 500;

	*action = (struct action){ .kind = step->kind, .a = step->a, .b = step->b, .c = step->c };
	action->after_us = step->pause_ms * 1000 + random_between(random, -half, half);
	if (step->kind == ACTION_REQUEST) {
		action->b = worker;
		action->c = 0;
		action->d = step->session;
		action->e = step->b;
		action->f = random_between(random, 0, 3000);
		action->g = step->c < 0 ? -step->c : 100;
		action->h = step->c > 0 ? step->c : 0;
		schedule->session_count = step->session >= schedule->session_count ? step->session + 1 : schedule->session_count;
	}
}

void directed_make(unsigned index, uint64_t seed, struct schedule *schedule)
{
	const struct directed *directed = &all[index];
	struct random random;

	random_seed(&random, seed);
	memset(schedule, 0, offsetof(struct schedule, actions));
	schedule->action_count = 0;
	schedule->seed = seed;
	schedule->profile = directed->name;
	schedule->headers = directed->headers;
	schedule->sound = directed->sound;
	schedule->apart_mask = directed->apart_mask;
	schedule->node_count = directed->nodes;
	schedule->host_count = directed->hosts;
	schedule->session_count = schedule->visitor_count = schedule->write_acks = 1;
	schedule->late_one_in = schedule->yield_one_in = random_one_in(&random, 2) ? 0 : 16;
	schedule->late_max_us = 500;
	for (unsigned i = 0; i < STEPS_MAX && !is_end(&directed->steps[i]); i++) {
		for (unsigned k = 0; k == 0 || k < directed->steps[i].times; k++) {
			add_step(schedule, &directed->steps[i], directed->steps[i].times == 0 ? i % 2 : k % WORKERS_MAX, &random);
		}
	}
}
