/* A request thread's side of one cluster: its own connection to every node, what a fault on one of them means to the
 * breaker that all workers share. One per thread and cluster; lives as long as the thread. */
#ifndef MMS_CLIENT_H
#define MMS_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"
#include "mms_clock.h"
#include "mms_config.h"
#include "mms_conn.h"
#include "mms_identity.h"
#include "mms_shm.h"
#include "mms_spin.h"
#include "mms_tmp_key.h"

#define MMS_CLIENT_REPLY_ROOM 65536u /* a reply may be longer than mmsession.max_session_size by so much */
#define MMS_CLIENT_SCRATCH 65536 /* half of it is texts about failed nodes: touched only when there are any */

/* What a connection's server has been told to watch, and may be. */
struct mms_watch {
	bool rehearsed;                      /* this connection's user may make transactions */
	bool refused;                        /* he may not: not tried again by this client */
	bool standing;                       /* a WATCH was sent and no EXEC since */
};

struct mms_client {
	struct mms_shm *shm;                 /* borrowed */
	struct mms_cluster_sh *cluster;      /* borrowed; its slot of the mapping */
	struct mms_settings settings;        /* own copy */
	uint64_t fingerprint;
	uint32_t settings_serial;            /* the caller's number of the settings that were copied last */
	uint32_t users;                      /* open handlers that hold on to it */
	uint32_t random_state;               /* jitter; not for secrets */
	char password[MMS_SECRET_MAX + 1];
	struct mms_tls_context *tls;         /* NULL = no node wants it */
	struct mms_conn *conns[MMS_NODES_MAX];
	struct mms_reservation_sh *reservation; /* this thread's place in the table of open requests; NULL = none yet */
	void *scratch;                       /* MMS_CLIENT_SCRATCH bytes for the operation under way: no allocation per request */
	void *spare_store;                   /* memory of the last mms_store, for the next; NULL = none yet, or in use */
	struct mms_spin spin;
	struct mms_watch watches[MMS_NODES_MAX];
	uint32_t watch_serial;               /* changes when a WATCH was sent, used up, or lost with its connection */
	uint32_t forks;                      /* times that a child went on with it: what was held before is the parent's */
	bool names_awaited;                  /* a request has waited for host names once; no other does */
	uint32_t address_sequences[MMS_NODES_MAX]; /* mms_shm_address_sequence() when it was connected */
	uint64_t run_hashes[MMS_NODES_MAX];  /* of the server's run_id, as asked on this connection; 0 = not yet */
	struct mms_known_marker {
		size_t len;                   /* 0 = none */
		char text[MMS_MARKER_VALUE_MAX];
	} markers[MMS_NODES_MAX];             /* what last said complete on this connection */
	bool reads_new_id;                   /* the id was made here a moment ago: nobody else can have stored anything under it */
	bool fresh[MMS_NODES_MAX];           /* opened in this operation: its first answer is no measure of latency */
};

/* Claims the cluster's slot, reads the password file and prepares closed connections; nothing is sent. NULL with an error, such
 * as one cluster more than mmsession.max_clusters: without a slot there is no mailbox, no hint and no repair, so it is refused
 * rather than served with less than is promised. */
struct mms_client *mms_client_new(struct mms_shm *shm, const struct mms_settings *settings, uint64_t fingerprint,
		struct mms_error *error);
/* Other settings of the same cluster: time-outs, modes and the like. Not while a store of this client is open. */
void mms_client_configure(struct mms_client *client, const struct mms_settings *settings);
/* Closes all sockets without a byte on the wire; NULL is fine. */
void mms_client_free(struct mms_client *client);
/* After a fork: closes the inherited sockets. */
void mms_client_drop_connections(struct mms_client *client);

/* After a refused password: reads the file again. True when it holds another one now, which all connections opened from now
 * on use. */
bool mms_client_refresh_password(struct mms_client *client);

/* How long an answer of a node is waited for, in microseconds (docs/decisions/0009). */
static inline int64_t mms_client_wait_us(const struct mms_client *client)
{
	return (int64_t)client->settings.read_timeout_ms * 1000;
}

/* May this node be read or written now, by its breaker? */
bool mms_client_can_read(struct mms_client *client, unsigned node);
bool mms_client_can_write(struct mms_client *client, unsigned node);

/* The first operation of a thread, if no node at all has a known address yet: waits until the replicator has resolved one,
 * at most until deadline. */
void mms_client_await_names(struct mms_client *client, struct mms_mono deadline);

/* The end of an operation that begins now: mmsession.budget_ms from here. */
struct mms_mono mms_client_deadline(const struct mms_client *client);

/* Can the node's connection be used on? Not one to an address that its host name had before, whose server may go on answering;
 * nor one with an answer outstanding, which belongs to an operation that gave up. */
bool mms_client_connected(const struct mms_client *client, unsigned node);

/* Connection to the node, opening it if need be; NULL with status and error set. */
struct mms_conn *mms_client_connect(struct mms_client *client, unsigned node, enum mms_status *status,
		struct mms_error *error);

/* Most bytes of one reply, and of one record with its header, that this client takes. */
size_t mms_client_reply_max(const struct mms_client *client);
/* The limits of the node's connection are those of the client's settings, which may have been others when it was made; and who does
 * not ask for a value is not sent one. */
void mms_client_limit(struct mms_client *client, unsigned node, bool any_length);

/* Tells the breaker; closes the connection. refusal: class of a server error, MMS_CLASS_NONE otherwise. */
void mms_client_fault(struct mms_client *client, unsigned node, enum mms_status status,
		enum mms_reply_class refusal, const struct mms_error *error);
/* A server error that leaves the connection in order (OOM, READONLY, LOADING, ...): tells the breaker. */
void mms_client_refused(struct mms_client *client, unsigned node, enum mms_reply_class refusal,
		const struct mms_error *error);
void mms_client_good(struct mms_client *client, unsigned node, int64_t latency_us);

/* A key that no other write uses, within the prefix; at most MMS_TMP_KEY_MAX bytes, not NUL-terminated. */
#define MMS_TMP_KEY_MAX (MMS_PREFIX_MAX + MMS_TMP_KEY_EXTRA)
size_t mms_client_tmp_key(struct mms_client *client, char out[MMS_TMP_KEY_MAX]);

void mms_client_count(struct mms_client *client, enum mms_metric metric);
/* Counts a key that is not ours, and raises the notice. */
void mms_client_count_foreign(struct mms_client *client, unsigned node);
uint32_t mms_client_random(struct mms_client *client);

/* Bits of all configured nodes. */
uint64_t mms_client_all_mask(const struct mms_client *client);

/* Does something wait in the mailbox that the replicator has not looked at for a while? It has been stopped, or gets no processor,
 * and until another takes over what one node acknowledges stays there alone. */
bool mms_client_mirrors_late(const struct mms_cluster_sh *cluster);
/* May the node lack something that this host has written, and that the first entries of its mailbox do not show? */
bool mms_client_missed_ours(const struct mms_client *client, unsigned node);

#endif
