/* Node list and settings: parsing, ranges, fingerprint. Pure: no file, network or clock, but for the password file. */
#ifndef MMS_CONFIG_H
#define MMS_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"
#include "mms_node_list.h"
#include "mms_tls.h"

#define MMS_PREFIX_MAX 64       /* bytes of mmsession.prefix */
#define MMS_SESSION_ID_MAX 256  /* bytes of a session id */
#define MMS_KEY_MAX (MMS_PREFIX_MAX + MMS_SESSION_ID_MAX)
#define MMS_SECRET_MAX 512
#define MMS_PATH_MAX 256
#define MMS_HOST_ID_MAX 64 /* as long as a host name may be */

/* Largest values of the settings of that name. */
#define MMS_LIFETIME_MAX_S 0x7fffffff
#define MMS_TIMEOUT_MAX_MS 10000 /* connect and read */
#define MMS_BUDGET_MAX_MS 60000
#define MMS_TOUCH_INTERVAL_MAX_S 86400
#define MMS_SPIN_MAX_US 1000
#define MMS_CLOCK_DRIFT_MAX_MS 3600000
#define MMS_SESSION_SIZE_MAX (512u << 20)
#define MMS_DRAIN_MAX_MS 60000
#define MMS_LOCK_WAIT_MAX_MS 600000
#define MMS_LOCK_TTL_MAX_MS 3600000
#define MMS_REPAIR_RATE_MAX (UINT64_C(1) << 32)
#define MMS_REPAIR_INTERVAL_MAX_S 2592000

enum mms_read_mode { MMS_READ_NEWEST, MMS_READ_QUORUM, MMS_READ_LOCAL, MMS_READ_TOKEN };

/* What happens when read = quorum or write_acks can't be had. */
enum mms_no_quorum { MMS_NO_QUORUM_FAIL, MMS_NO_QUORUM_DEGRADE };

#define MMS_ACKS_QUORUM 0xfffffffeu
#define MMS_ACKS_ALL 0xffffffffu

/* Everything that one cluster needs to know; plain data, copied into shared memory for the replicator. */
struct mms_settings {
	uint32_t node_count;
	uint32_t read_mode;          /* enum mms_read_mode */
	uint32_t write_acks;         /* a number, MMS_ACKS_QUORUM or MMS_ACKS_ALL */
	uint32_t on_no_quorum;       /* enum mms_no_quorum */
	uint32_t lifetime_s;         /* 0 = what the caller passes (session.gc_maxlifetime) */
	uint32_t connect_timeout_ms, read_timeout_ms, budget_ms;
	uint32_t touch_interval_s;
	uint32_t spin_us;            /* a request thread looks for answers that long before it sleeps */
	uint32_t max_clock_drift_ms;
	uint32_t max_session_size;   /* bytes of payload */
	uint32_t shutdown_drain_ms;
	uint32_t lock;               /* 1 = one request of a session at a time */
	uint32_t lock_wait_ms;       /* at most, for another request's lock */
	uint32_t lock_ttl_ms;        /* of the lease; 0 = MMS_LEASE_TTL_MS */
	uint64_t repair_rate;        /* bytes per second that a repair scan may move and compare */
	uint32_t repair_interval_s;  /* between two sweeps; 0 = none */
	uint32_t host_hash;          /* CRC-32C of host_id */
	char host_id[MMS_HOST_ID_MAX + 1];
	char prefix[MMS_PREFIX_MAX + 1];
	char import_prefix[MMS_PREFIX_MAX + 1]; /* "" = nothing to take over */
	char user[64];
	char password_file[MMS_PATH_MAX];
	uint32_t tls_verify;         /* 1: only nodes whose certificate is right */
	char tls_ca_file[MMS_PATH_MAX], tls_cert_file[MMS_PATH_MAX], tls_key_file[MMS_PATH_MAX]; /* "" = the system's, none, none */
	struct mms_node_config nodes[MMS_NODES_MAX];
};

/* As mms_node_list_parse(), into settings->nodes and node_count. A build without TLS refuses nodes that want it. */
enum mms_status mms_config_parse_nodes(struct mms_slice text, struct mms_settings *settings,
		struct mms_error *error);

/* "newest", "quorum", "local", "session-token". */
enum mms_status mms_config_parse_read_mode(struct mms_slice text, uint32_t *mode, struct mms_error *error);

/* "1", a number up to MMS_NODES_MAX, "quorum", "all". */
enum mms_status mms_config_parse_write_acks(struct mms_slice text, uint32_t *acks, struct mms_error *error);

/* "fail", "degrade". */
enum mms_status mms_config_parse_no_quorum(struct mms_slice text, uint32_t *mode, struct mms_error *error);

/* "0" or "1", and what people write for them: on, off, yes, no, true, false, nothing. */
enum mms_status mms_config_parse_switch(struct mms_slice text, uint64_t *value, struct mms_error *error);

/* Settings that are right alone but not together: more acknowledgements than nodes, two prefixes that are one. */
enum mms_status mms_config_check_together(const struct mms_settings *settings, struct mms_error *error);

/* Prefix: 0..64 bytes without blanks, control characters or glob characters (* ? [ ] \); host_id: 1..64 of
 * [A-Za-z0-9._-]. */
enum mms_status mms_config_check_prefix(struct mms_slice text, struct mms_error *error);
/* And of our own one: with "shop" and "shop2" on the same nodes, a visitor of the first whose id is 2x would have the second's
 * session x. */
enum mms_status mms_config_check_own_prefix(struct mms_slice text, struct mms_error *error);
/* Name of an HTTP header: 1..64 letters, digits and hyphens. */
enum mms_status mms_config_check_header_name(struct mms_slice text, struct mms_error *error);
enum mms_status mms_config_check_host_id(struct mms_slice text, struct mms_error *error);

/* True for session ids that may become a key: 1..MMS_SESSION_ID_MAX of [A-Za-z0-9,-]. */
bool mms_config_session_id_valid(struct mms_slice id);

/* True for a whole key that is a session of this cluster: its prefix and a valid id. What stands in shared memory, or a
 * node names, need not be. */
bool mms_config_key_valid(const struct mms_settings *settings, struct mms_slice key);

/* A number with optional K, M or G, within [min, max]; the error names `what`, the text and the range. */
enum mms_status mms_config_parse_number(struct mms_slice text, const char *what, uint64_t min, uint64_t max,
		uint64_t *value, struct mms_error *error);

/* Settings as anybody may have left them (shared memory): counts, words, ends of strings, and times and sizes within what
 * INI allows, so that arithmetic on them is safe. */
bool mms_config_sound(const struct mms_settings *settings);

/* Do both mean the same cluster? Compares what the fingerprint is made of, which is no proof: who may choose prefix and
 * nodes can make two settings of one fingerprint. */
bool mms_config_same_cluster(const struct mms_settings *a, const struct mms_settings *b);

/* 64 bits over all that makes a cluster another cluster: nodes in order, prefix, user, password file, host id, how TLS is
 * done. Never 0. */
uint64_t mms_config_fingerprint(const struct mms_settings *settings);

/* Does a read ask one node alone, and the others only if that has nothing? With read = local, but never behind a lock:
 * who held it last may have written on any host, and its mirror may not be here yet. */
bool mms_config_reads_one(const struct mms_settings *settings);

/* What connections to tls:// nodes need: a context of the caller's own, NULL when no node is one. Reads no file yet. */
enum mms_status mms_config_tls_context(const struct mms_settings *settings, struct mms_tls_context **context,
		struct mms_error *error);

/* How long the replicator leaves an entry's first node to the request that pushed it: twice its budget. In microseconds. */
static inline int64_t mms_config_patience_us(const struct mms_settings *settings)
{
	return (int64_t)settings->budget_ms * 2000;
}

/* More than half of the nodes. */
uint32_t mms_config_quorum(const struct mms_settings *settings);

/* How many acknowledgements write_acks asks for with this many nodes (1..node_count). */
uint32_t mms_config_acks_needed(const struct mms_settings *settings);

/* As mms_config_read_password() and mms_tls_context_load() (tls may be NULL), but on the word of another: a process of root
 * reads only what that user may read, and nothing for user 0. For the calling thread alone, and for the time of the call. */
enum mms_status mms_config_read_secrets_for(uint32_t uid, uint32_t gid, const char *path, char out[MMS_SECRET_MAX + 1],
		struct mms_tls_context *tls, struct mms_error *error);

/* First line of the file without its end of line; refuses files over MMS_SECRET_MAX. out is NUL-terminated. An
 * empty path gives an empty secret. The message names the setting and the file, never its content. */
enum mms_status mms_config_read_secret(const char *setting, const char *path, char out[MMS_SECRET_MAX + 1], struct mms_error *error);
/* That of mmsession.password_file. */
enum mms_status mms_config_read_password(const char *path, char out[MMS_SECRET_MAX + 1], struct mms_error *error);

#endif
