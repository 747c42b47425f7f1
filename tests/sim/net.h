/* The network between hosts and nodes: connections as two queues of chunks, each with its time of arrival. Nothing is lost
 * within a connection (that is TCP's promise); connections are: refused, reset, closed, or silent for as long as a direction
 * of their link is cut. */
#ifndef NET_H
#define NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "files.h"

enum direction { DIRECTION_UP, DIRECTION_DOWN }; /* to the node; to the host */

enum chunk_kind { CHUNK_DATA, CHUNK_CONNECT, CHUNK_ACCEPTED, CHUNK_REFUSED, CHUNK_END, CHUNK_RESET };

struct chunk {
	struct chunk *next;
	int64_t at;
	enum chunk_kind kind;
	uint32_t len, taken;
	char bytes[];
};

struct queue {
	struct chunk *first, *last;
	int64_t last_at;
	uint64_t bytes;
};

/* A node's transaction on a connection. */
struct transaction {
	bool watching, changed;       /* the key was written since WATCH */
	char key[64];
	size_t key_len;
	int64_t watched_expiry;
	struct connection *next_watcher;
	bool open, failed, queued;    /* MULTI; a command was refused; a SET waits */
	char *set_key, *value;
	size_t set_key_len, value_len;
	int64_t ttl_ms;
};

struct connection {
	struct connection *next;      /* all of the schedule */
	struct file *file;            /* NULL once the host's side is closed */
	struct process *process;
	unsigned host, node;
	uint32_t number;
	bool local;                   /* a Unix socket */
	enum { CONNECTION_CONNECTING, CONNECTION_OPEN, CONNECTION_REFUSED, CONNECTION_ENDED, CONNECTION_RESET } state;
	struct queue under_way[2];
	struct queue arrived;         /* at the host, not yet received */
	/* the node's side */
	bool accepted, server_closed, silent;
	bool replicates;              /* a replicator's: it has said what its life is */
	uint32_t server_life;         /* of the server that accepted it */
	char *input;                  /* a command that has not arrived in full */
	size_t input_len, input_size;
	struct transaction transaction;
	char *output;                 /* replies of the chunk being processed */
	size_t output_len, output_size;
};

struct link {
	bool cut[2];
	int64_t delay_us;             /* added to every chunk */
};

void net_reset(void);
struct link *net_link(unsigned host, unsigned node);
void net_set_cut(unsigned host, unsigned node, enum direction direction, bool cut);

/* Calls of a host's process; as their namesakes. */
int net_connect(struct file *file, const struct sockaddr *address);
ssize_t net_send(struct connection *connection, const struct iovec *parts, size_t count);
ssize_t net_receive(struct connection *connection, void *buffer, size_t size);
short net_ready(const struct connection *connection);
void net_close(struct connection *connection);

/* Of the node: bytes to the host. */
void net_answer(struct connection *connection, const char *bytes, size_t len);
/* All connections of a node end (its server died), or go on (it was stopped). */
void net_server_gone(unsigned node);
void net_server_goes_on(unsigned node);
/* A box between them resets one connection, chosen at random, of this link. */
void net_reset_one(unsigned host, unsigned node);

#endif
