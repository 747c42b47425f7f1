/* A chunk that arrives while its direction is cut stays where it is and goes on when the cut is over, as a segment that TCP
 * sends again. That holds for connections whose host has given up too: what was sent on them arrives late. */
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "node.h"
#include "trace.h"
#include "world.h"

#define BACKLOG_MAX 64
#define WINDOW_BYTES (128 * 1024)
#define APART_US 60000

static struct link links[HOSTS_MAX][NODES_MAX];
static struct connection *connections;
static uint32_t connection_count;

static void pump(void *subject, uint64_t direction);

void net_reset(void)
{
	memset(links, 0, sizeof links);
	connections = NULL;
	connection_count = 0;
}

struct link *net_link(unsigned host, unsigned node)
{
	return &links[host][node];
}

static bool is_cut(const struct connection *connection, enum direction direction)
{
	return !connection->local && links[connection->host][connection->node].cut[direction];
}

static int64_t latency_us(const struct connection *connection)
{
	struct link *link = &links[connection->host][connection->node];

	if (connection->local) {
		return random_between(&sched_random, 5, 40) + link->delay_us;
	}
	return random_between(&sched_random, 60, 400) + link->delay_us
			+ (random_one_in(&sched_random, 64) ? random_between(&sched_random, 0, 5000) : 0);
}

static void put_later(struct connection *connection, enum direction direction, enum chunk_kind kind, const void *bytes,
		size_t len, int64_t later_us)
{
	struct queue *queue = &connection->under_way[direction];
	struct chunk *chunk = malloc(sizeof *chunk + len);

	*chunk = (struct chunk){ .kind = kind, .len = (uint32_t)len, .at = sched_now() + latency_us(connection) + later_us };
	if (len > 0) {
		memcpy(chunk->bytes, bytes, len);
	}
	if (chunk->at < queue->last_at) {
		chunk->at = queue->last_at;
	}
	queue->last_at = chunk->at;
	queue->bytes += len;
	if (queue->last != NULL) {
		queue->last->next = chunk;
	} else {
		queue->first = chunk;
	}
	queue->last = chunk;
	sched_at(chunk->at, pump, connection, direction);
}

static void put(struct connection *connection, enum direction direction, enum chunk_kind kind, const void *bytes,
		size_t len)
{
	put_later(connection, direction, kind, bytes, len, 0);
}

/* Where a command begins, behind the first: one of them, chosen at random; len = there is none. (What looks like one within a record
 * does no harm.) */
static size_t find_command(const char *bytes, size_t len)
{
	size_t chosen = len;
	uint32_t seen = 0;

	for (size_t i = 2; i < len; i++) {
		if (bytes[i] == '*' && bytes[i - 1] == '\n' && random_one_in(&sched_random, ++seen)) {
			chosen = i;
		}
	}
	return chosen;
}

/* Segments of one write: the second may be lost at first, and what others send is read in between. */
static void put_apart(struct connection *connection, const char *bytes, size_t len)
{
	size_t first = random_one_in(&sched_random, 2) ? find_command(bytes, len) : len;

	put(connection, DIRECTION_UP, CHUNK_DATA, bytes, first);
	if (first < len) {
		put_later(connection, DIRECTION_UP, CHUNK_DATA, bytes + first, len - first, random_between(&sched_random, 0, APART_US));
	}
}

static struct chunk *take_first(struct queue *queue)
{
	struct chunk *chunk = queue->first;

	queue->first = chunk->next;
	if (queue->first == NULL) {
		queue->last = NULL;
	}
	queue->bytes -= chunk->len;
	chunk->next = NULL;
	return chunk;
}

static void drop_all(struct queue *queue)
{
	while (queue->first != NULL) {
		free(take_first(queue));
	}
}

static void changed(struct connection *connection)
{
	if (connection->file != NULL) {
		files_changed(connection->file);
	}
}

/* The server's side is no more: whatever comes is answered with a reset. */
static void server_forgets(struct connection *connection)
{
	connection->server_closed = true;
	connection->accepted = false;
}

static void reach_node(struct connection *connection, struct chunk *chunk)
{
	struct node *node = &world.nodes[connection->node];

	switch (chunk->kind) {
	case CHUNK_CONNECT:
		if (node->state == NODE_DEAD) {
			put(connection, DIRECTION_DOWN, CHUNK_REFUSED, NULL, 0);
			break;
		}
		if (node->state == NODE_STOPPED && ++node->backlog > BACKLOG_MAX) {
			break; /* its kernel drops it, and is asked in vain until the host gives up */
		}
		connection->accepted = true;
		connection->server_life = node->life;
		put(connection, DIRECTION_DOWN, CHUNK_ACCEPTED, NULL, 0);
		break;
	case CHUNK_DATA:
		if (!connection->accepted || connection->server_life != node->life || node->state == NODE_DEAD) {
			put(connection, DIRECTION_DOWN, CHUNK_RESET, NULL, 0);
			break;
		}
		node_input(node, connection, chunk->bytes, chunk->len);
		break;
	case CHUNK_END:
	case CHUNK_RESET:
		server_forgets(connection);
		break;
	default:
		break;
	}
	free(chunk);
}

static void reach_host(struct connection *connection, struct chunk *chunk)
{
	if (connection->file == NULL) {
		/* Nobody is there any more: the node's kernel hears so, and its server drops what it has not read yet. */
		if (chunk->kind == CHUNK_DATA && !connection->server_closed) {
			server_forgets(connection);
		}
		free(chunk);
		return;
	}
	switch (chunk->kind) {
	case CHUNK_ACCEPTED:
		connection->state = CONNECTION_OPEN;
		break;
	case CHUNK_REFUSED:
		connection->state = CONNECTION_REFUSED;
		break;
	case CHUNK_RESET:
		connection->state = CONNECTION_RESET;
		break;
	case CHUNK_END:
		connection->state = CONNECTION_ENDED;
		break;
	default:
		if (connection->arrived.last != NULL) {
			connection->arrived.last->next = chunk;
		} else {
			connection->arrived.first = chunk;
		}
		connection->arrived.last = chunk;
		connection->arrived.bytes += chunk->len;
		changed(connection);
		return;
	}
	free(chunk);
	changed(connection);
}

static void pump(void *subject, uint64_t direction)
{
	struct connection *connection = subject;
	struct queue *queue = &connection->under_way[direction];

	while (queue->first != NULL && queue->first->at <= sched_now() && !is_cut(connection, (enum direction)direction)) {
		struct node *node = &world.nodes[connection->node];

		if (direction == DIRECTION_UP && queue->first->kind == CHUNK_DATA && node->state == NODE_STOPPED
				&& connection->server_life == node->life) {
			return; /* in the server's socket buffer */
		}
		struct chunk *chunk = take_first(queue);

		if (direction == DIRECTION_UP) {
			reach_node(connection, chunk);
			changed(connection); /* room in the window */
		} else {
			reach_host(connection, chunk);
		}
	}
}

/* Those that are over on both sides are forgotten. */
static void prune(void)
{
	for (struct connection **link = &connections; *link != NULL;) {
		struct connection *one = *link;

		if (one->file == NULL && one->under_way[0].first == NULL && one->under_way[1].first == NULL) {
			*link = one->next;
		} else {
			link = &one->next;
		}
	}
}

static void pump_all(unsigned host, unsigned node, bool any_host)
{
	prune();
	for (struct connection *one = connections; one != NULL; one = one->next) {
		if (one->node == node && (any_host || one->host == host)) {
			int64_t at = sched_now() + random_between(&sched_random, 0, 20000);

			sched_at(at, pump, one, DIRECTION_UP);
			sched_at(at, pump, one, DIRECTION_DOWN);
		}
	}
}

void net_set_cut(unsigned host, unsigned node, enum direction direction, bool cut)
{
	links[host][node].cut[direction] = cut;
	if (!cut) {
		pump_all(host, node, false);
	}
}

void net_server_goes_on(unsigned node)
{
	pump_all(0, node, true);
}

void net_server_gone(unsigned node)
{
	for (struct connection *one = connections; one != NULL; one = one->next) {
		if (one->node == node && one->accepted && !one->server_closed) {
			put(one, DIRECTION_DOWN, one->under_way[DIRECTION_UP].first != NULL ? CHUNK_RESET : CHUNK_END, NULL, 0);
			server_forgets(one);
		}
	}
}

void net_reset_one(unsigned host, unsigned node)
{
	struct connection *chosen = NULL;
	uint32_t seen = 0;

	for (struct connection *one = connections; one != NULL; one = one->next) {
		if (one->node == node && one->host == host && one->file != NULL && one->state == CONNECTION_OPEN
				&& random_one_in(&sched_random, ++seen)) {
			chosen = one;
		}
	}
	if (chosen != NULL) {
		trace("connection %u of host %u to node %u is reset", chosen->number, host, node);
		chosen->state = CONNECTION_RESET;
		drop_all(&chosen->arrived);
		drop_all(&chosen->under_way[DIRECTION_DOWN]);
		/* What the node has not read yet may still reach it, or not. */
		if (random_one_in(&sched_random, 2)) {
			drop_all(&chosen->under_way[DIRECTION_UP]);
			server_forgets(chosen);
		} else {
			put(chosen, DIRECTION_UP, CHUNK_RESET, NULL, 0);
		}
		changed(chosen);
	}
}

/* tcp://10.0.0.<node + 1>:6379, unix:///run/node<node> */
static unsigned node_of(const struct sockaddr *address)
{
	if (address->sa_family == AF_UNIX) {
		return (unsigned)atoi(((const struct sockaddr_un *)address)->sun_path + strlen("/run/node"));
	}
	return (ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr) & 0xff) - 1;
}

int net_connect(struct file *file, const struct sockaddr *address)
{
	struct connection *connection = calloc(1, sizeof *connection);
	struct thread *self = sched_self();

	connection->next = connections;
	connections = connection;
	connection->number = ++connection_count;
	connection->file = file;
	connection->process = self->process;
	connection->host = self->process->host;
	connection->node = node_of(address);
	connection->local = address->sa_family == AF_UNIX;
	file->connection = connection;
	if (connection->local) {
		struct node *node = &world.nodes[connection->node];

		if (node->state == NODE_STOPPED && ++node->backlog > BACKLOG_MAX) {
			connection->state = CONNECTION_REFUSED;
			errno = EAGAIN;
			return -1;
		}
		connection->state = node->state == NODE_DEAD ? CONNECTION_REFUSED : CONNECTION_OPEN;
		connection->accepted = node->state != NODE_DEAD;
		connection->server_life = node->life;
		errno = ECONNREFUSED;
		return node->state == NODE_DEAD ? -1 : 0;
	}
	put(connection, DIRECTION_UP, CHUNK_CONNECT, NULL, 0);
	errno = EINPROGRESS;
	return -1;
}

static int broken(const struct connection *connection, bool sending)
{
	switch (connection->state) {
	case CONNECTION_REFUSED:
		return ECONNREFUSED;
	case CONNECTION_RESET:
		return ECONNRESET;
	case CONNECTION_ENDED:
		return sending ? EPIPE : 0;
	default:
		return 0;
	}
}

ssize_t net_send(struct connection *connection, const struct iovec *parts, size_t count)
{
	size_t total = 0, room, taken = 0;
	char *bytes;

	errno = broken(connection, true);
	if (errno != 0) {
		return -1;
	}
	room = connection->under_way[DIRECTION_UP].bytes >= WINDOW_BYTES ? 0
			: WINDOW_BYTES - connection->under_way[DIRECTION_UP].bytes;
	for (size_t i = 0; i < count; i++) {
		total += parts[i].iov_len;
	}
	if (connection->state == CONNECTION_CONNECTING || room == 0) {
		errno = EAGAIN;
		return -1;
	}
	total = total < room ? total : room;
	if (total > 1 && random_one_in(&sched_random, 128)) {
		total = 1 + random_below(&sched_random, (uint32_t)total - 1);
	}
	bytes = malloc(total + 1);
	for (size_t i = 0; i < count && taken < total; i++) {
		size_t len = parts[i].iov_len < total - taken ? parts[i].iov_len : total - taken;

		memcpy(bytes + taken, parts[i].iov_base, len);
		taken += len;
	}
	if ((world.apart_mask >> connection->host & 1) != 0) {
		put_apart(connection, bytes, total);
	} else {
		put(connection, DIRECTION_UP, CHUNK_DATA, bytes, total);
	}
	free(bytes);
	return (ssize_t)total;
}

ssize_t net_receive(struct connection *connection, void *buffer, size_t size)
{
	struct chunk *chunk = connection->arrived.first;
	size_t len;

	if (chunk == NULL) {
		if (connection->state == CONNECTION_ENDED) {
			return 0;
		}
		errno = broken(connection, false);
		errno = errno == 0 ? EAGAIN : errno;
		return -1;
	}
	len = chunk->len - chunk->taken < size ? chunk->len - chunk->taken : size;
	memcpy(buffer, chunk->bytes + chunk->taken, len);
	chunk->taken += (uint32_t)len;
	if (chunk->taken == chunk->len) {
		free(take_first(&connection->arrived));
	}
	return (ssize_t)len;
}

short net_ready(const struct connection *connection)
{
	if (connection->state == CONNECTION_CONNECTING) {
		return 0;
	}
	if (connection->state == CONNECTION_REFUSED || connection->state == CONNECTION_RESET) {
		return POLLIN | POLLOUT | POLLERR | POLLHUP;
	}
	return (short)((connection->arrived.first != NULL || connection->state == CONNECTION_ENDED ? POLLIN : 0)
			| (connection->under_way[DIRECTION_UP].bytes < WINDOW_BYTES ? POLLOUT : 0));
}

void net_close(struct connection *connection)
{
	bool unread = connection->arrived.first != NULL;

	connection->file = NULL;
	drop_all(&connection->arrived);
	if (connection->state == CONNECTION_CONNECTING) {
		drop_all(&connection->under_way[DIRECTION_UP]);
	}
	if (connection->state == CONNECTION_OPEN || connection->state == CONNECTION_CONNECTING) {
		if (unread && random_one_in(&sched_random, 2)) {
			drop_all(&connection->under_way[DIRECTION_UP]);
		}
		put(connection, DIRECTION_UP, unread ? CHUNK_RESET : CHUNK_END, NULL, 0);
	}
}

void net_answer(struct connection *connection, const char *bytes, size_t len)
{
	size_t first = len > 1 && random_one_in(&sched_random, 64) ? 1 + random_below(&sched_random, (uint32_t)len - 1)
			: len;

	put(connection, DIRECTION_DOWN, CHUNK_DATA, bytes, first);
	if (first < len) {
		put(connection, DIRECTION_DOWN, CHUNK_DATA, bytes + first, len - first);
	}
}
