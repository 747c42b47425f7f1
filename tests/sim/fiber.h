/* Stacks of the simulated threads, and the switch between them: no system call, no signal mask. */
#ifndef FIBER_H
#define FIBER_H

struct fiber {
	void *stack_pointer; /* while it is not running */
	void *stack;         /* from the pool; NULL for the main one */
};

/* A fiber that will call entry(argument), which must not return. */
void fiber_prepare(struct fiber *fiber, void (*entry)(void *argument), void *argument);
/* Leaves `from`, goes on in `to`; returns when somebody switches back. */
void fiber_switch(struct fiber *from, const struct fiber *to);
/* Gives the stack back; whatever was on it is gone. Not for the running fiber. */
void fiber_release(struct fiber *fiber);

#endif
