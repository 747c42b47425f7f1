/* A node: what a Redis server does with the commands that mmsession sends. Other commands are a finding. */
#ifndef NODE_H
#define NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connection;

#define NODE_KEYS_MAX 256
#define NODE_NO_EXPIRY INT64_MAX

enum node_state { NODE_RUNNING, NODE_STOPPED, NODE_DEAD };

struct entry {
	char *key, *value;
	uint32_t key_len, value_len;
	int64_t expires_at; /* of simulated time; NODE_NO_EXPIRY */
	bool damaged;       /* a bit was flipped on purpose */
};

struct content {
	struct entry entries[NODE_KEYS_MAX];
	unsigned count;
};

struct node {
	unsigned index;
	enum node_state state;
	uint32_t life;          /* counts servers: connections belong to one */
	uint32_t emptied_count; /* how often it lost what it had */
	char run_id[41];
	bool scripts_loaded[8];
	bool refuses_writes;    /* OOM */
	bool loading;
	uint32_t crowd;         /* keys of somebody else's: evenly over the walk of SCAN, and never looked at */
	unsigned backlog;       /* connections that a stopped server has not accepted */
	struct connection *watchers;
	struct content content, dump;
	bool has_dump;
};

void node_start(struct node *node, unsigned index);
/* kill -9; and a new server in its place, with the content as it is. */
void node_kill(struct node *node);
void node_restart(struct node *node);
void node_stop(struct node *node);
void node_continue(struct node *node);
/* FLUSHALL: connections and run_id stay. */
void node_flush(struct node *node);
/* Content gone or as of the last dump; for a dead node. */
void node_empty(struct node *node);
/* Flips a bit of one session's record. */
void node_damage(struct node *node);
void node_take_dump(struct node *node);
void node_restore_dump(struct node *node);

void node_input(struct node *node, struct connection *connection, const char *bytes, size_t len);

/* The keyspace; also for scripts and the checker. */
struct entry *node_find(struct node *node, const char *key, size_t len);
void node_set(struct node *node, const char *key, size_t key_len, const char *value, size_t len, int64_t expires_at);
bool node_delete(struct node *node, const char *key, size_t len);
bool node_rename(struct node *node, const char *from, size_t from_len, const char *to, size_t to_len);
/* Hashes: each field is an entry of its own, under a key that no session has. Returns the key's length. */
#define NODE_FIELD_MAX 1024
size_t node_field_key(const char *key, size_t key_len, const char *field, size_t field_len, char out[NODE_FIELD_MAX]);
/* As PTTL: -2 no such key, -1 for ever. */
int64_t node_pttl(struct node *node, const char *key, size_t len);

#endif
