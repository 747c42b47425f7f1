/* Descriptors of the simulated processes and the calls that wait for them. Numbers are reused, lowest first, as a kernel
 * does: a stale descriptor shows. */
#ifndef FILES_H
#define FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "sched.h"

struct connection;

enum file_kind { FILE_FREE, FILE_EVENT, FILE_PIPE, FILE_SOCKET };

struct file {
	enum file_kind kind;
	struct process *owner;         /* NULL: inherited by all processes of a host */
	uint64_t count;                /* FILE_EVENT */
	struct connection *connection; /* FILE_SOCKET, once connect() was called */
	struct thread *waiter;         /* who polled it last */
};

void files_reset(void);
/* NULL for a number that is open nowhere. */
struct file *files_at(int fd);
/* Whoever waits for it looks again. */
void files_changed(struct file *file);
/* The process is gone. */
void files_close_of(struct process *process);

#endif
