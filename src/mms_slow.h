/* A local node that answers, but slowly: when a request leaves it out (docs/decisions/0012). Peers are never left out: what
 * their own hosts have stored may be there alone. */
#ifndef MMS_SLOW_H
#define MMS_SLOW_H

#include <stdbool.h>

#include "mms_client.h"

#define MMS_SLOW_TIMES 4u /* some other usable node is so many times faster */

/* Is the mean of the local node's recent answers above MMS_BREAKER_SLOW_US, and others are much faster? A few loads. */
bool mms_slow_local(const struct mms_client *client);

/* May a read of this key go without the local node's answer? Not while this host has stored something there that no other
 * node is known to have: an entry of this key in the mailbox that it alone acknowledged, hints, or more entries than one likes
 * to look through; nor while a life that died (this host's last one, mostly) may have: until its sweep; nor while another node is
 * out of use, incomplete, or avoided by another host: then the local one may be the only one that has what counts. */
bool mms_slow_may_skip(const struct mms_client *client, struct mms_slice key);

#endif
