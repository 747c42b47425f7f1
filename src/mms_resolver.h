/* Host names of nodes, resolved off every request's way: the replicator asks (libevent's evdns: /etc/hosts, then the
 * servers of resolv.conf), publishes the address in shared memory, and asks again now and then. */
#ifndef MMS_RESOLVER_H
#define MMS_RESOLVER_H

#include "mms_link.h"

struct mms_resolver; /* opaque; belongs to the replicator's thread */

/* NULL when no node is given by name, or memory is short. */
struct mms_resolver *mms_resolver_new(struct mms_office *office);
/* Cancels what is under way; NULL is fine. */
void mms_resolver_free(struct mms_resolver *resolver);

/* Asks for the names that are due; NULL is fine. */
void mms_resolver_run(struct mms_resolver *resolver);

/* Monotonic microseconds of the next name that is due, INT64_MAX for none. */
int64_t mms_resolver_next_us(const struct mms_resolver *resolver);

#endif
