/* The session lock (mmsession.lock; docs/protocol.md, "Session lock"): a lease on one node, which all hosts choose alike
 * for a session as long as they agree about which nodes are usable. Where they don't, two may hold it at once; then the
 * versions decide, as without a lock.
 *
 *   status = mms_lease_take(client, &lease, key, wait_ms, &error);
 *   ... read, write ...
 *   mms_lease_release(client, &lease, key);
 */
#ifndef MMS_LEASE_H
#define MMS_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"
#include "mms_client.h"
#include "mms_clock.h"

#define MMS_LEASE_TTL_MS 30000 /* when settings name none */
#define MMS_LEASE_TOKEN_LEN 32 /* 128 random bits in hex */
#define MMS_LEASE_VALUE_MAX (MMS_LEASE_TOKEN_LEN + 1 + MMS_HOST_ID_MAX)

/* Plain data beside what it protects; starts with mms_lease_init(). */
struct mms_lease {
	bool had;                        /* it was taken at some time */
	bool taken;                      /* and not found in other hands since; it may have run out */
	bool lost;                       /* for mms_overlap: a write was refused, and so is every one that follows */
	bool waited;                     /* another request had it first */
	uint32_t node;                   /* where it stands */
	uint32_t forks;                  /* the client's, when it was taken: a child does not have its parent's locks */
	struct mms_boot until;           /* by this host's clock, which goes on while a machine sleeps; counted from before
	                                  * it was sent: never later than on the node */
	uint64_t doubt_mask;             /* nodes that may have taken it too: they were asked, and silent */
	uint32_t value_len;
	char value[MMS_LEASE_VALUE_MAX]; /* random token and, for people, host id: the same on all nodes that are tried */
};

void mms_lease_init(struct mms_lease *lease);

/* Takes the lock of the session with this key (prefix and id), trying again for wait_ms while another request has it (0
 * = once). MMS_ERR_TIMEOUT: it had it all the time; error says what to do. MMS_ERR_NO_NODE: no node could be asked, so
 * there is no lock, and nothing more is wrong than without one. A lease that has run out may be taken again. */
enum mms_status mms_lease_take(struct mms_client *client, struct mms_lease *lease, struct mms_slice key, uint32_t wait_ms,
		struct mms_error *error);

/* It was taken, and nobody else can have it yet, as far as this host's clock tells. */
bool mms_lease_holds(const struct mms_client *client, const struct mms_lease *lease);

/* Gives it back if it is this request's still, and makes it empty. Waits for no answer where the connection stands; what
 * fails here ends with the lease. */
void mms_lease_release(struct mms_client *client, struct mms_lease *lease, struct mms_slice key);

#endif
