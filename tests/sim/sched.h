/* Simulated time, threads and processes. One real thread: a simulated one runs until it waits, yields or is killed; when
 * none can run, time goes on to the next event. Everything that is random comes from the run's stream. */
#ifndef SCHED_H
#define SCHED_H

#include <stdbool.h>
#include <stdint.h>

#include "fiber.h"
#include "random.h"

#define SCHED_NEVER INT64_MAX

struct thread;
struct lock;

/* A PHP process: what dies together. */
struct process {
	unsigned host, number;
	bool alive;
	int64_t stopped_until;   /* SIGSTOP: none of its threads runs before */
	uint32_t kill_countdown; /* dies at its so many-th next point; 0 = not at all */
	struct thread *threads;  /* linked by next_of_process */
	void *owner;             /* the worker that runs in it */
};

enum thread_state { THREAD_READY, THREAD_RUNNING, THREAD_BLOCKED, THREAD_ENDED };

struct thread {
	struct fiber fiber;
	struct process *process;
	enum thread_state state;
	uint32_t wait_serial;    /* so that an old timer wakes nobody */
	bool timed_out;
	int64_t held_us;         /* how long it was kept waiting for nothing */
	void *(*entry)(void *);
	void *argument;
	struct lock *held;       /* robust mutexes, linked */
	struct lock *waits_for;
	struct thread *joiner;
	struct thread *next_of_process;
};

/* The schedule's stream; yields: how often a point gives way (one in so many; 0 = never). */
extern struct random sched_random;
extern uint32_t sched_yield_one_in, sched_late_one_in;
extern int64_t sched_late_max_us;
extern uint64_t sched_steps;

void sched_reset(uint64_t seed);
int64_t sched_now(void);

typedef void (*sched_event_fn)(void *subject, uint64_t detail);
/* Calls fn(subject, detail) outside of any thread when time has come to `at`. */
void sched_at(int64_t at, sched_event_fn fn, void *subject, uint64_t detail);

struct thread *sched_spawn(struct process *process, void *(*entry)(void *), void *argument);
/* NULL outside of all threads. */
struct thread *sched_self(void);
/* The running thread waits until somebody wakes it or time has come to `until`: false then. */
bool sched_block(int64_t until);
void sched_wake(struct thread *thread);
/* Ends the running thread. */
void sched_exit(void) __attribute__((noreturn));

/* A place where the running thread may be held up, or its process killed. */
void sched_point(void);

/* kill -9: no thread of it runs again. Does not return when the running thread is one of them. */
void sched_kill(struct process *process);

/* The schedule is over: every thread's stack goes back. */
void sched_abandon(void);

/* Runs until time has come to `until`. False when nothing goes forward: a loop that never waits. */
bool sched_run(int64_t until);

#endif
