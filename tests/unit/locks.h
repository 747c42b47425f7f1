/* Looking at session locks on the nodes. */
#ifndef LOCKS_H
#define LOCKS_H

#include "rig.h"

static inline void lock_key(const char *id, char *out, size_t size)
{
	snprintf(out, size, RIG_PREFIX ":lock:%s", id);
}

/* Nodes on which this session is locked. */
static inline uint64_t locked_on(const char *id)
{
	char key[128];
	uint64_t mask = 0;

	lock_key(id, key, sizeof(key));
	for (unsigned node = 0; node < RIG_NODES; node++) {
		if (rig_servers[node].pid != 0 && !rig_stopped[node] && node_number(node, "EXISTS", key) == 1) {
			mask |= bit(node);
		}
	}
	return mask;
}

static inline struct mms_slice whole_key(const char *id)
{
	static char text[128];

	snprintf(text, sizeof(text), RIG_PREFIX "%s", id);
	return slice(text);
}

#endif
