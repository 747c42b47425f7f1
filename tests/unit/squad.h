/* Processes that work on shared memory while random ones are killed at random instructions and started anew. */
#ifndef SQUAD_H
#define SQUAD_H

#include "processes.h"

#include <stdatomic.h>

#define SQUAD_MAX 32

struct squad;

struct squad_member {
	struct squad *squad;
	unsigned slot;
	uint64_t seed; /* another one for each process */
};

/* In shared memory. */
struct squad {
	unsigned size;
	int (*work)(struct squad_member *member); /* until squad->stop; returns 0 when all was well */
	void *arena;
	uint64_t seed;
	pid_t pids[SQUAD_MAX];
	_Atomic uint32_t stop;
	_Atomic uint32_t inside[SQUAD_MAX]; /* 1: the member is in a call that may hold the lock */
	unsigned killed, killed_inside;
	char failure[200];
};

static inline void squad_fail(struct squad *squad, const char *what, uint64_t which)
{
	snprintf(squad->failure, sizeof(squad->failure), "%s (%llu)", what, (unsigned long long) which);
}

static inline int squad_run_member(void *argument)
{
	struct squad_member *member = argument;

	return member->squad->work(member);
}

static inline void squad_start(struct squad *squad, unsigned slot)
{
	struct squad_member member = { squad, slot, random_next(&squad->seed) | 1 };

	atomic_store(&squad->inside[slot], 0);
	squad->pids[slot] = spawn(squad_run_member, &member);
}

static inline void squad_start_all(struct squad *squad)
{
	for (unsigned slot = 0; slot < squad->size; slot++) {
		squad_start(squad, slot);
	}
}

static inline void squad_check(struct squad *squad)
{
	if (squad->failure[0] != '\0') {
		fail_msg("%s", squad->failure);
	}
}

/* Kills a random member somewhere in its work and starts another in its place. */
static inline void squad_replace_one(struct squad *squad)
{
	const unsigned slot = (unsigned) random_below(&squad->seed, squad->size);
	int status;

	kill(squad->pids[slot], SIGKILL);
	status = await_child(squad->pids[slot], 0);
	squad_check(squad);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	squad->killed++;
	squad->killed_inside += atomic_load(&squad->inside[slot]) != 0;
	squad_start(squad, slot);
}

/* Lets all of them come to their ends. */
static inline void squad_stop(struct squad *squad)
{
	atomic_store(&squad->stop, 1);
	for (unsigned slot = 0; slot < squad->size; slot++) {
		assert_exits_with_0(squad->pids[slot]);
	}
	atomic_store(&squad->stop, 0);
	squad_check(squad);
}

static inline unsigned kills_wanted(unsigned by_default)
{
	const char *given = getenv("MMS_KILLS");

	return given != NULL ? (unsigned) strtoul(given, NULL, 10) / 2 : by_default;
}

#endif
