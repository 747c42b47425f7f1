/* Socket addresses of nodes: numeric ones at once, names from what the replicator has resolved and published. */
#ifndef MMS_ADDRESS_H
#define MMS_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>

#include "mms_config.h"
#include "mms_shm.h"

/* The address of a node given as an IP literal or socket path; false when it is a name. */
bool mms_address_numeric(const struct mms_node_config *node, struct sockaddr_storage *out, socklen_t *len);

/* The address to connect to now: numeric, or as published in shared memory; false while a name is unresolved. */
bool mms_address_current(const struct mms_node_config *node, const struct mms_node_sh *shared,
		struct sockaddr_storage *out, socklen_t *len);

#endif
