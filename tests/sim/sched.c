/* The loop: threads that can run first, in random order; then the next event. */
#include "sched.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "locks.h"
#include "files.h"
#include "world.h"

#define EVENTS_MAX 65536
#define READY_MAX 1024
#define STEPS_PER_INSTANT 200000 /* threads run without time passing: something spins */

struct event {
	int64_t at;
	uint64_t order;
	sched_event_fn fn;
	void *subject;
	uint64_t detail;
};

struct random sched_random;
uint32_t sched_yield_one_in, sched_late_one_in;
int64_t sched_late_max_us;
uint64_t sched_steps;

static struct event events[EVENTS_MAX];
static unsigned event_count;
static uint64_t event_order;
static struct thread *ready[READY_MAX];
static unsigned ready_count;
static int64_t now_us;
static struct thread *running;
static struct fiber main_fiber;
static struct thread *all[READY_MAX]; /* of the schedule that have a stack */
static unsigned all_count;

void sched_reset(uint64_t seed)
{
	random_seed(&sched_random, seed);
	event_count = ready_count = 0;
	event_order = 0;
	sched_steps = 0;
	now_us = INT64_C(1000000000);
	running = NULL;
}

int64_t sched_now(void)
{
	return now_us;
}

struct thread *sched_self(void)
{
	return running;
}

static bool earlier(const struct event *a, const struct event *b)
{
	return a->at < b->at || (a->at == b->at && a->order < b->order);
}

void sched_at(int64_t at, sched_event_fn fn, void *subject, uint64_t detail)
{
	unsigned i = event_count++;
	struct event event = { at < now_us ? now_us : at, event_order++, fn, subject, detail };

	if (event_count >= EVENTS_MAX) {
		fprintf(stderr, "sim: too many events\n");
		abort();
	}
	while (i > 0 && earlier(&event, &events[(i - 1) / 2])) {
		events[i] = events[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	events[i] = event;
}

static struct event take_event(void)
{
	struct event first = events[0], last = events[--event_count];
	unsigned i = 0;

	for (;;) {
		unsigned child = 2 * i + 1;

		if (child >= event_count) {
			break;
		}
		if (child + 1 < event_count && earlier(&events[child + 1], &events[child])) {
			child++;
		}
		if (!earlier(&events[child], &last)) {
			break;
		}
		events[i] = events[child];
		i = child;
	}
	events[i] = last;
	return first;
}

static void make_ready(struct thread *thread)
{
	if (ready_count == READY_MAX) {
		fprintf(stderr, "sim: too many threads\n");
		abort();
	}
	thread->state = THREAD_READY;
	ready[ready_count++] = thread;
}

static void enter(void *argument)
{
	struct thread *thread = argument;

	thread->entry(thread->argument);
	sched_exit();
}

/* Those that have ended give up their places. */
static void note(struct thread *thread)
{
	if (all_count == READY_MAX) {
		all_count = 0;
		for (unsigned i = 0; i < READY_MAX; i++) {
			if (all[i]->fiber.stack != NULL) {
				all[all_count++] = all[i];
			}
		}
	}
	all[all_count++] = thread;
}

void sched_abandon(void)
{
	for (unsigned i = 0; i < all_count; i++) {
		fiber_release(&all[i]->fiber);
	}
	all_count = 0;
}

struct thread *sched_spawn(struct process *process, void *(*entry)(void *), void *argument)
{
	struct thread *thread = calloc(1, sizeof *thread);

	thread->process = process;
	thread->entry = entry;
	thread->argument = argument;
	thread->next_of_process = process->threads;
	process->threads = thread;
	fiber_prepare(&thread->fiber, enter, thread);
	note(thread);
	make_ready(thread);
	return thread;
}

static void leave(struct thread *thread)
{
	running = NULL;
	fiber_switch(&thread->fiber, &main_fiber);
}

static void on_timer(void *subject, uint64_t serial)
{
	struct thread *thread = subject;

	if (thread->state == THREAD_BLOCKED && thread->wait_serial == serial) {
		thread->timed_out = true;
		make_ready(thread);
	}
}

static void on_late_start(void *subject, uint64_t serial)
{
	struct thread *thread = subject;

	if (thread->state == THREAD_BLOCKED && thread->wait_serial == serial) {
		make_ready(thread);
	}
}

/* It could run, but the machine is busy with something else. */
static void hold_up(struct thread *thread)
{
	int64_t late_us = random_between(&sched_random, 1, sched_late_max_us);

	thread->state = THREAD_BLOCKED;
	thread->wait_serial++;
	thread->held_us += late_us;
	sched_at(now_us + late_us, on_late_start, thread, thread->wait_serial);
}

bool sched_block(int64_t until)
{
	struct thread *thread = running;

	thread->state = THREAD_BLOCKED;
	thread->wait_serial++;
	thread->timed_out = false;
	if (until != SCHED_NEVER) {
		sched_at(until, on_timer, thread, thread->wait_serial);
	}
	leave(thread);
	return !thread->timed_out;
}

void sched_wake(struct thread *thread)
{
	if (thread->state != THREAD_BLOCKED) {
		return;
	}
	if (sched_late_one_in != 0 && random_one_in(&sched_random, sched_late_one_in)) {
		hold_up(thread);
		return;
	}
	make_ready(thread);
}

static void end(struct thread *thread)
{
	locks_abandon(thread);
	thread->state = THREAD_ENDED;
	if (thread->joiner != NULL) {
		sched_wake(thread->joiner);
	}
}

void sched_exit(void)
{
	struct thread *thread = running;

	end(thread);
	leave(thread);
	abort();
}

void sched_point(void)
{
	struct thread *thread = running;

	if (thread == NULL) {
		return;
	}
	sched_steps++;
	if (thread->process->kill_countdown != 0 && --thread->process->kill_countdown == 0) {
		sched_kill(thread->process);
	}
	if (sched_yield_one_in != 0 && random_one_in(&sched_random, sched_yield_one_in)) {
		if (random_one_in(&sched_random, 4)) {
			hold_up(thread);
		} else {
			make_ready(thread);
		}
		leave(thread);
	}
}

void sched_kill(struct process *process)
{
	struct thread *self = running;
	bool suicide = false;

	if (!process->alive) {
		return;
	}
	process->alive = false;
	for (struct thread *thread = process->threads; thread != NULL; thread = thread->next_of_process) {
		if (thread->state != THREAD_ENDED) {
			suicide = suicide || thread == self;
			end(thread);
			if (thread != self) {
				fiber_release(&thread->fiber);
			}
		}
	}
	files_close_of(process);
	if (suicide) {
		leave(self);
		abort();
	}
}

static void run_thread(struct thread *thread)
{
	if (thread->process->stopped_until > now_us) {
		thread->state = THREAD_BLOCKED;
		thread->wait_serial++;
		thread->held_us += thread->process->stopped_until - now_us;
		sched_at(thread->process->stopped_until, on_late_start, thread, thread->wait_serial);
		return;
	}
	thread->state = THREAD_RUNNING;
	running = thread;
	fiber_switch(&main_fiber, &thread->fiber);
	running = NULL;
	if (thread->state == THREAD_ENDED) {
		fiber_release(&thread->fiber);
	}
}

bool sched_run(int64_t until)
{
	unsigned steps = 0;

	for (;;) {
		if (ready_count > 0) {
			unsigned chosen = ready_count == 1 ? 0 : random_below(&sched_random, ready_count);
			struct thread *thread = ready[chosen];

			ready[chosen] = ready[--ready_count];
			if (thread->state == THREAD_READY) {
				run_thread(thread);
			}
			if (world.failed) {
				return true;
			}
			if (++steps > STEPS_PER_INSTANT) {
				return false;
			}
			continue;
		}
		if (event_count == 0 || events[0].at > until) {
			now_us = until > now_us ? until : now_us;
			return true;
		}
		struct event event = take_event();

		if (event.at > now_us) {
			now_us = event.at;
			steps = 0;
		}
		event.fn(event.subject, event.detail);
		if (world.failed) {
			return true;
		}
	}
}
