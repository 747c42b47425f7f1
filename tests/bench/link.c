/* A TCP proxy for distance and silence: what it forwards arrives later, or not at all.
 *
 * Steered by lines on stdin, each answered by one line:
 *
 *     add <port>          a link to 127.0.0.1:<port>; answers "<number> <port where it listens>"
 *     delay <link> <us>   from now on each byte takes so long, in each direction
 *     hold <link>         nothing is forwarded any more, and nobody gets an answer to a SYN: the backlog is full
 *     go <link>           as before
 *
 * Ends with stdin. Connections are made at once, whatever the delay. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINKS_MAX 64
#define PIPES_MAX 4096
#define CHUNK 65536
#define QUEUE_MAX (64L << 20) /* bytes on their way in one direction; then it is not read */
#define FILLERS 4

struct chunk {
	struct chunk *next;
	int64_t due_us;
	size_t sent, size;
	char bytes[];
};

/* One direction of one connection. */
struct pipe {
	int from, to;
	int link;
	bool used, ended;
	struct chunk *first, *last;
	long queued;
};

struct link {
	int listener, port, target;
	int fillers[FILLERS];
	int64_t delay_us;
	bool held;
};

static struct link links[LINKS_MAX];
static int link_count;
static struct pipe pipes[PIPES_MAX]; /* 2 i and 2 i + 1 are the two directions of one connection */
static int pipe_count;

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000) + now.tv_nsec / 1000;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct sockaddr_in loopback(int port)
{
	return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static void set_up(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	fcntl(fd, F_SETFL, O_NONBLOCK);
}

static void listen_on(struct link *link)
{
	struct sockaddr_in address = loopback(link->port);
	socklen_t size = sizeof address;
	int one = 1;

	link->listener = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(link->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(link->listener, (void *)&address, sizeof address) != 0 || listen(link->listener, link->held ? 0 : 512) != 0) {
		die("listen");
	}
	getsockname(link->listener, (void *)&address, &size);
	link->port = ntohs(address.sin_port);
	fcntl(link->listener, F_SETFL, O_NONBLOCK);
}

/* The listener again, with a backlog that fillers fill, or without. */
static void set_held(struct link *link, bool held)
{
	struct sockaddr_in address = loopback(link->port);

	if (link->held == held) {
		return;
	}
	close(link->listener);
	for (int i = 0; i < FILLERS && link->held; i++) {
		close(link->fillers[i]);
	}
	link->held = held;
	listen_on(link);
	for (int i = 0; i < FILLERS && held; i++) {
		link->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(link->fillers[i], (void *)&address, sizeof address);
	}
}

static void obey(char *line)
{
	char verb[16] = "";
	long first = -1, second = 0;

	if (sscanf(line, "%15s %ld %ld", verb, &first, &second) < 2) {
		printf("what?\n");
	} else if (strcmp(verb, "add") == 0 && link_count < LINKS_MAX) {
		struct link *link = &links[link_count];

		*link = (struct link){ .target = (int)first };
		listen_on(link);
		printf("%d %d\n", link_count++, link->port);
	} else if (first < 0 || first >= link_count) {
		printf("no such link\n");
	} else {
		if (strcmp(verb, "delay") == 0) {
			links[first].delay_us = second;
		} else {
			set_held(&links[first], strcmp(verb, "hold") == 0);
		}
		printf("ok\n");
	}
	fflush(stdout);
}

static void accept_one(int number)
{
	struct sockaddr_in address = loopback(links[number].target);
	int slot = 0, from = accept(links[number].listener, NULL, NULL), to;

	if (from < 0) {
		return;
	}
	to = socket(AF_INET, SOCK_STREAM, 0);
	while (slot < pipe_count && pipes[slot].used) {
		slot += 2;
	}
	if (connect(to, (void *)&address, sizeof address) != 0 || slot + 2 > PIPES_MAX) {
		struct linger reset = { 1, 0 };

		setsockopt(from, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
		close(from);
		close(to);
		return;
	}
	set_up(from);
	set_up(to);
	pipes[slot] = (struct pipe){ .from = from, .to = to, .link = number, .used = true };
	pipes[slot + 1] = (struct pipe){ .from = to, .to = from, .link = number, .used = true };
	pipe_count = slot + 2 > pipe_count ? slot + 2 : pipe_count;
}

static void end_connection(int slot)
{
	slot &= ~1;
	close(pipes[slot].from);
	close(pipes[slot].to);
	for (int i = slot; i < slot + 2; i++) {
		while (pipes[i].first != NULL) {
			struct chunk *chunk = pipes[i].first;

			pipes[i].first = chunk->next;
			free(chunk);
		}
		pipes[i] = (struct pipe){ .used = false };
	}
}

static void receive(struct pipe *pipe, int64_t now)
{
	static char bytes[CHUNK];
	ssize_t got = recv(pipe->from, bytes, sizeof bytes, MSG_DONTWAIT);
	struct chunk *chunk;

	if (got <= 0) {
		pipe->ended = got == 0 || (errno != EAGAIN && errno != EINTR);
		return;
	}
	chunk = malloc(sizeof *chunk + (size_t)got);
	*chunk = (struct chunk){ .due_us = now + links[pipe->link].delay_us, .size = (size_t)got };
	memcpy(chunk->bytes, bytes, (size_t)got);
	*(pipe->first != NULL ? &pipe->last->next : &pipe->first) = chunk;
	pipe->last = chunk;
	pipe->queued += got;
}

/* Returns false when the connection is over. */
static bool deliver(struct pipe *pipe, int64_t now)
{
	while (pipe->first != NULL && pipe->first->due_us <= now) {
		struct chunk *chunk = pipe->first;
		ssize_t sent = send(pipe->to, chunk->bytes + chunk->sent, chunk->size - chunk->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0) {
			return errno == EAGAIN || errno == EINTR;
		}
		chunk->sent += (size_t)sent;
		pipe->queued -= sent;
		if (chunk->sent < chunk->size) {
			return true;
		}
		pipe->first = chunk->next;
		free(chunk);
	}
	return pipe->first != NULL || !pipe->ended;
}

int main(void)
{
	static struct pollfd fds[1 + LINKS_MAX + 2 * PIPES_MAX];
	static int whose[1 + LINKS_MAX + 2 * PIPES_MAX];
	char input[4096];
	size_t filled = 0;

	for (;;) {
		nfds_t count = 0;
		int64_t now = now_us(), next = now + 1000000;
		struct timespec wait;

		fds[count++] = (struct pollfd){ STDIN_FILENO, POLLIN, 0 };
		for (int i = 0; i < link_count; i++) {
			fds[count++] = (struct pollfd){ links[i].held ? -1 : links[i].listener, POLLIN, 0 };
		}
		for (int i = 0; i < pipe_count; i++) {
			struct pipe *pipe = &pipes[i];

			if (!pipe->used || links[pipe->link].held) {
				continue;
			}
			if (!deliver(pipe, now)) {
				end_connection(i);
				i |= 1;
				continue;
			}
			if (pipe->first != NULL && pipe->first->due_us <= now) {
				whose[count] = -1;
				fds[count++] = (struct pollfd){ pipe->to, POLLOUT, 0 };
			} else if (pipe->first != NULL && pipe->first->due_us < next) {
				next = pipe->first->due_us;
			}
			if (!pipe->ended && pipe->queued < QUEUE_MAX) {
				whose[count] = i;
				fds[count++] = (struct pollfd){ pipe->from, POLLIN, 0 };
			}
		}
		wait = (struct timespec){ (next - now) / 1000000, (next - now) % 1000000 * 1000 };
		if (ppoll(fds, count, &wait, NULL) < 0 && errno != EINTR) {
			die("ppoll");
		}
		now = now_us();
		for (nfds_t i = (nfds_t)(1 + link_count); i < count; i++) {
			if (fds[i].revents != 0 && whose[i] >= 0 && pipes[whose[i]].used) {
				receive(&pipes[whose[i]], now);
			}
		}
		for (int i = 0; i < link_count; i++) {
			if (fds[1 + i].revents != 0) {
				accept_one(i);
			}
		}
		if (fds[0].revents != 0) {
			ssize_t got = read(STDIN_FILENO, input + filled, sizeof input - 1 - filled);
			char *end;

			if (got <= 0) {
				return 0;
			}
			filled += (size_t)got;
			input[filled] = '\0';
			while ((end = strchr(input, '\n')) != NULL) {
				*end = '\0';
				obey(input);
				filled -= (size_t)(end + 1 - input);
				memmove(input, end + 1, filled + 1);
			}
		}
	}
}
