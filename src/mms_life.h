/* A life: one cluster in one shared mapping, from PHP's start to its end. Each publishes on every node that it lives, how far
 * its mailbox has been emptied, and what it has settled with the nodes (protocol.md, rules i and j). Here: the text of it.
 *
 * Field in `<prefix>:lives`: "<host_id> <life, 16 hex>". Value: "<beat> <watermark> <node>...", with, for each node that it
 * has met, "<id, 16 hex>:<hash of run_id, 16 hex>:<state>". Pure. */
#ifndef MMS_LIFE_H
#define MMS_LIFE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mms_base.h"
#include "mms_node_list.h"

#define MMS_LIFE_NAME_MAX 96                        /* bytes of a field, with its end */
#define MMS_LIFE_TEXT_MAX (64 + MMS_NODES_MAX * 40) /* bytes of a value, with its end */

struct mms_life_node {
	uint64_t id, run_hash;
	bool settled;        /* nothing that it had in mailbox or hints when it met this incarnation is open any more */
	bool connected;      /* it is connected to it now */
};

struct mms_life {
	uint64_t beat;         /* grows while it lives */
	uint64_t watermark_ms; /* HLC: of its writes, those stamped before need nobody's care */
	uint32_t node_count;
	struct mms_life_node nodes[MMS_NODES_MAX];
};

/* Returns the length; out is NUL-terminated. */
size_t mms_life_name(const char *host_id, uint64_t life, char out[MMS_LIFE_NAME_MAX]);
/* Or is it something else that stands among the lives? */
bool mms_life_is_name(struct mms_slice name);
size_t mms_life_write(const struct mms_life *life, char out[MMS_LIFE_TEXT_MAX]);
/* False when it is none: it may be of another version, and is then taken for one that says nothing. */
bool mms_life_parse(struct mms_slice text, struct mms_life *out);
/* Beat and watermark alone; false, and both 0, when it does not begin with them. */
bool mms_life_head(struct mms_slice text, uint64_t *beat, uint64_t *watermark_ms);

/* Has it settled this incarnation of a node? known: ids of nodes that are surely others. A life that does not list the node
 * has nothing to settle, unless one that it lists and can't reach may be that node under an earlier id, or it has not been heard of
 * since it must have met it (heard: it has). */
bool mms_life_settled(const struct mms_life *life, uint64_t id, uint64_t run_hash, bool heard, const uint64_t *known,
		uint32_t known_count);
/* Does it list this node? */
bool mms_life_lists(const struct mms_life *life, uint64_t id);

#endif
