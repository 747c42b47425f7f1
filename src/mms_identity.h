/* Who a node is: id and completeness from its marker key `<prefix>:node`, and the server's run_id. Hosts agree on nodes by
 * this id, never by index or address.
 *
 * Marker value: "<id, 16 hex digits> <run_id> <2 founded | 1 complete | 0>". The first host to meet a node makes it (SET NX):
 * as founded, if it never knew that node, for then it may be a first installation. Nodes that are all founded are all
 * complete; one founded among others that are not was emptied, or is new, and is incomplete. It is founded or
 * complete only while the marker's run_id is the server's current one: a restart, empty or from an old dump, makes a node
 * incomplete, and "no such session" from it proves nothing (docs/protocol.md, rules b and e). Making it complete again is
 * the repair scan's business. Texts and numbers only: who asks the node is mms_greeting (replicator) or mms_meeting
 * (request thread). */
#ifndef MMS_IDENTITY_H
#define MMS_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"
#include "mms_config.h"
#include "mms_life.h"
#include "mms_shm.h"

#define MMS_RUN_ID_MAX 40
#define MMS_MARKER_VALUE_MAX 96
#define MMS_MARKER_KEY_MAX (MMS_PREFIX_MAX + 16)
#define MMS_BEHIND_FIELD_MAX 512

struct mms_identity {
	uint64_t node_id;  /* 0 = unknown: no marker could be read or made */
	uint64_t run_hash; /* of run_id, never 0 */
	bool current;      /* the marker was made or renewed for the server as it runs now */
	bool complete;
	bool founded;      /* by a host that never knew it: complete as soon as all nodes are known to be */
};

/* What a host knows of a node whose marker says founded: SURE once it has seen all nodes so, whatever their markers say by
 * now, which hosts complete one after another. */
enum mms_founding { MMS_FOUNDED_NOT = 0, MMS_FOUNDED = 1, MMS_FOUNDED_SURE = 2 };

enum mms_marker_flag { MMS_MARKER_INCOMPLETE = 0, MMS_MARKER_COMPLETE = 1, MMS_MARKER_FOUNDED = 2 };

/* Keys of ours that are no sessions: `<prefix>:node`, `<prefix>:lives`, `<prefix>:behind`, `<prefix>:scanned`. Return the length. */
size_t mms_identity_marker_key(const struct mms_settings *settings, char *out, size_t size);
size_t mms_identity_lives_key(const struct mms_settings *settings, char *out, size_t size);
size_t mms_identity_behind_key(const struct mms_settings *settings, char *out, size_t size);
size_t mms_identity_scanned_key(const struct mms_settings *settings, char *out, size_t size);

/* Field of a behind marker: "<node> <life's name>" for the node at index; its address stands for an id that is not known
 * yet. Returns the length. */
size_t mms_identity_behind_field(const struct mms_settings *settings, unsigned index, uint64_t node_id, uint64_t life,
		char *out, size_t size);
/* Does this field speak of the node at index, which has this id? */
bool mms_identity_is_behind(struct mms_slice field, const struct mms_settings *settings, unsigned index, uint64_t node_id);
/* The configured nodes that it says so of. */
uint64_t mms_identity_behind_mask(struct mms_slice field, const struct mms_settings *settings, const struct mms_cluster_sh *cluster);
/* The life's name in such a field; empty when there is none. */
struct mms_slice mms_identity_behind_life(struct mms_slice field);

/* `<prefix>:hosts`: who uses this node. */
size_t mms_identity_hosts_key(const struct mms_settings *settings, char *out, size_t size);

/* Copies the value of a line "name:value" out of INFO's text, cut at size; false when there is none. name with its colon. */
bool mms_identity_info_field(struct mms_slice info, const char *name, char *out, size_t size);

/* Finds run_id in the answer to INFO server. MMS_ERR_REFUSED with a text for a server in Redis Cluster mode or an answer
 * without run_id. */
enum mms_status mms_identity_parse_info(struct mms_slice info, char run_id[MMS_RUN_ID_MAX + 1],
		struct mms_error *error);

/* A marker for a node that has none, with a new random id. */
enum mms_status mms_identity_propose(const char *run_id, enum mms_marker_flag flag, char out[MMS_MARKER_VALUE_MAX]);

/* Of any text; never 0. */
uint64_t mms_identity_hash(struct mms_slice text);

/* What a marker (empty = none) and the server's run_id say. */
void mms_identity_judge(struct mms_slice marker, const char *run_id, struct mms_identity *out);

/* The same with the hash of a run_id that was parsed before. */
void mms_identity_judge_hash(struct mms_slice marker, uint64_t run_hash, struct mms_identity *out);

/* All nodes are founded: each is complete, and stays so while the markers are rewritten. */
void mms_identity_make_sure(struct mms_cluster_sh *cluster, unsigned node_count);

/* Are all nodes of the cluster founded, the one at index by this word of it? Then each is complete. */
bool mms_identity_all_founded(const struct mms_cluster_sh *cluster, unsigned node_count, unsigned index,
		const struct mms_identity *identity);

/* Is this another node, or another incarnation, than was known? */
bool mms_identity_changed(const struct mms_node_sh *node, const struct mms_identity *identity);

/* Publishes to shared memory. Returns true when the node is another one, or another incarnation, than was known: what the
 * old one acknowledged is worth nothing (rule f), and the new one counts as incomplete whatever its marker says. */
bool mms_identity_publish(struct mms_node_sh *node, const struct mms_identity *identity);

#endif
