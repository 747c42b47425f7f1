/* Hosts: their PHP, its workers, what a worker does before a request, and how it all ends. */
#ifndef HOSTS_H
#define HOSTS_H

#include "world.h"

/* The other cluster in its mapping; NULL = there is none. */
struct host *host_other_pool(const struct host *host);
/* A mapping as MINIT makes it, or the one that its other pool has; no worker yet. */
void host_start(struct host *host);
/* kill -9 of everything, of its other pool too: the mapping is gone. */
void host_kill_php(struct host *host);
/* A worker that lives, started if need be. */
struct worker *host_worker(struct host *host, unsigned index);
void host_kill_worker(struct host *host, unsigned index);
/* Before a request, in a thread of the worker: as mms_process_tend(), which needs real processes. */
void host_tend(struct worker *worker);
/* A thread of this worker that only tends: a request that touches no session. */
void host_idle_request(struct host *host);

/* Settings of all hosts for the world's numbers. */
void hosts_configure(void);

#endif
