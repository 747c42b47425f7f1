/* Servers for the unit tests: starts a real one on a free port and a socket in a temporary directory, stops it by its
 * pid, and talks to it over a blocking socket. Needs mms_reply alone, so that every test above it can use it.
 *
 * MMS_SERVER: programs to test with, separated by blanks; by default redis-server, valkey-server and keydb-server, as far
 * as they are in PATH. */
#ifndef MMS_TEST_SERVER_H
#define MMS_TEST_SERVER_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mms_reply.h"

#define SERVERS_MAX 8
#define SERVER_ARGUMENTS_MAX 40
#define SERVER_DEADLINE_MS 20000

struct server {
	pid_t pid;
	int port;
	char directory[64];
	char socket_path[96];
};

struct client {
	int fd;
	struct mms_reply_reader *reader;
};

static inline int64_t test_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void test_pause(void)
{
	struct timespec pause = {0, 2000000};

	nanosleep(&pause, NULL);
}

/* A program found in PATH, or a path that can be run. */
static inline bool program_find(const char *name, char path[PATH_MAX])
{
	if (strchr(name, '/') != NULL) {
		snprintf(path, PATH_MAX, "%s", name);
		return access(path, X_OK) == 0;
	}
	char *directories = strdup(getenv("PATH") != NULL ? getenv("PATH") : "/usr/bin:/bin"), *rest = directories;
	bool found = false;

	for (char *directory = strsep(&rest, ":"); directory != NULL && !found; directory = strsep(&rest, ":")) {
		snprintf(path, PATH_MAX, "%s/%s", directory, name);
		found = access(path, X_OK) == 0;
	}
	free(directories);
	return found;
}

/* Fills the table with the servers to test with. */
static inline size_t servers_find(char paths[SERVERS_MAX][PATH_MAX])
{
	const char *wanted = getenv("MMS_SERVER");
	char *names = strdup(wanted != NULL && wanted[0] != '\0' ? wanted : "redis-server valkey-server keydb-server");
	char *rest = names;
	size_t count = 0;

	for (char *name = strsep(&rest, " "); name != NULL && count < SERVERS_MAX; name = strsep(&rest, " ")) {
		if (name[0] != '\0' && program_find(name, paths[count])) {
			count++;
		}
	}
	free(names);
	return count;
}

/* When no server was found: a skip with its reason, but a failure where all must be there. */
static inline int servers_missing(const char *test)
{
	fprintf(stderr, "%s: SKIP: no redis-server, valkey-server or keydb-server in PATH (or MMS_SERVER)\n", test);
	return getenv("MMS_CI") != NULL ? 1 : 0;
}

static inline int port_pick(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *) &address, len) != 0
			|| getsockname(fd, (struct sockaddr *) &address, &len) != 0) {
		abort();
	}
	close(fd);
	return ntohs(address.sin_port);
}

static inline struct sockaddr_in address_of_port(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	return address;
}

static inline struct sockaddr_un address_of_path(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return address;
}

static inline bool client_open(struct client *client, const struct server *server)
{
	struct sockaddr_un address = address_of_path(server->socket_path);

	client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0 || connect(client->fd, (struct sockaddr *) &address, sizeof(address)) != 0) {
		close(client->fd);
		return false;
	}
	client->reader = mms_reply_reader_new(64 << 20, 1 << 20);
	return client->reader != NULL;
}

static inline void client_close(struct client *client)
{
	mms_reply_reader_free(client->reader);
	close(client->fd);
}

static inline bool client_write(struct client *client, const void *bytes, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t result = send(client->fd, (const char *) bytes + done, len - done, MSG_NOSIGNAL);

		if (result < 0 && errno != EINTR) {
			return false;
		}
		done += result > 0 ? (size_t) result : 0;
	}
	return true;
}

/* The next reply; NULL when the connection ended or the deadline passed. */
static inline struct mms_reply *client_take(struct client *client)
{
	struct mms_reply *reply = NULL;
	static char buffer[65536];
	int64_t deadline = test_now_ms() + SERVER_DEADLINE_MS;

	while (mms_reply_reader_next(client->reader, &reply, NULL) == MMS_OK && reply == NULL) {
		struct pollfd waiting = {client->fd, POLLIN, 0};

		if (test_now_ms() > deadline || poll(&waiting, 1, 1000) < 0) {
			return NULL;
		}
		if (waiting.revents != 0) {
			ssize_t result = recv(client->fd, buffer, sizeof(buffer), 0);

			if (result <= 0 || mms_reply_reader_feed(client->reader, buffer, (size_t) result, NULL) != MMS_OK) {
				return NULL;
			}
		}
	}
	return reply;
}

/* One command of `count` C strings. */
static inline struct mms_reply *client_ask(struct client *client, unsigned count, ...)
{
	char line[4096];
	size_t len = (size_t) snprintf(line, sizeof(line), "*%u\r\n", count);
	va_list arguments;

	va_start(arguments, count);
	for (unsigned index = 0; index < count; index++) {
		const char *argument = va_arg(arguments, const char *);

		len += (size_t) snprintf(line + len, sizeof(line) - len, "$%zu\r\n%s\r\n", strlen(argument), argument);
	}
	va_end(arguments);
	return len < sizeof(line) && client_write(client, line, len) ? client_take(client) : NULL;
}

/* SET of bytes; ttl_ms 0 = for ever. True when the server says OK. */
static inline bool client_set(struct client *client, const char *key, const void *bytes, size_t len, int64_t ttl_ms)
{
	char head[512], tail[64];
	size_t head_len = (size_t) snprintf(head, sizeof(head), "*%d\r\n$3\r\nSET\r\n$%zu\r\n%s\r\n$%zu\r\n",
			ttl_ms > 0 ? 5 : 3, strlen(key), key, len);
	size_t tail_len = 2;

	memcpy(tail, "\r\n", 3);
	if (ttl_ms > 0) {
		char digits[24];
		int digit_count = snprintf(digits, sizeof(digits), "%lld", (long long) ttl_ms);

		tail_len = (size_t) snprintf(tail, sizeof(tail), "\r\n$2\r\nPX\r\n$%d\r\n%s\r\n", digit_count, digits);
	}
	if (!client_write(client, head, head_len) || !client_write(client, bytes, len)
			|| !client_write(client, tail, tail_len)) {
		return false;
	}
	struct mms_reply *reply = client_take(client);
	bool good = reply != NULL && mms_reply_type(reply) == MMS_REPLY_STATUS;

	mms_reply_free(reply);
	return good;
}

/* client_ask() for its effect: true unless the server reports an error. */
#define client_do(client, ...) reply_is_good(client_ask(client, __VA_ARGS__))
static inline bool reply_is_good(struct mms_reply *reply)
{
	bool good = reply != NULL && mms_reply_type(reply) != MMS_REPLY_ERROR;

	if (!good && reply != NULL) {
		struct mms_slice text = mms_reply_text(reply);

		fprintf(stderr, "server: %.*s\n", (int) text.len, text.ptr);
	}
	mms_reply_free(reply);
	return good;
}

static inline int64_t client_integer(struct client *client, const char *verb, const char *key)
{
	struct mms_reply *reply = client_ask(client, 2, verb, key);
	int64_t value = reply != NULL ? mms_reply_integer(reply) : INT64_MIN;

	mms_reply_free(reply);
	return value;
}

static inline void server_stop(struct server *server)
{
	char file[128];

	if (server->pid > 0) {
		kill(server->pid, SIGKILL);
		while (waitpid(server->pid, NULL, 0) < 0 && errno == EINTR) {
		}
	}
	server->pid = 0;
	unlink(server->socket_path);
	snprintf(file, sizeof(file), "%s/log", server->directory);
	unlink(file);
	rmdir(server->directory);
}

static inline bool server_answers(const struct server *server)
{
	struct client client;

	if (!client_open(&client, server)) {
		return false;
	}
	struct mms_reply *reply = client_ask(&client, 1, "PING");
	/* One that demands a password or is loading is up, too. */
	bool up = reply != NULL;

	mms_reply_free(reply);
	client_close(&client);
	return up;
}

static inline void server_execute(const struct server *server, const char *program, const char *const *extra)
{
	const char *arguments[SERVER_ARGUMENTS_MAX];
	char port[16], log[128];
	size_t count = 0;
	const char *const fixed[] = {program, "--bind", "127.0.0.1", "--unixsocket", server->socket_path,
		"--unixsocketperm", "700", "--save", "", "--appendonly", "no", "--daemonize", "no", "--dir", server->directory};

	snprintf(port, sizeof(port), "%d", server->port);
	snprintf(log, sizeof(log), "%s/log", server->directory);
	for (size_t index = 0; index < sizeof(fixed) / sizeof(fixed[0]); index++) {
		arguments[count++] = fixed[index];
	}
	arguments[count++] = "--port";
	arguments[count++] = port;
	for (size_t index = 0; extra != NULL && extra[index] != NULL && count < SERVER_ARGUMENTS_MAX - 1; index++) {
		arguments[count++] = extra[index];
	}
	arguments[count] = NULL;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	dup2(fd, 1);
	dup2(fd, 2);
	execv(program, (char *const *) (uintptr_t) arguments);
	_exit(127);
}

/* extra: further arguments, NULL-terminated, or NULL. */
static inline bool server_start(struct server *server, const char *program, const char *const *extra)
{
	memset(server, 0, sizeof(*server));
	snprintf(server->directory, sizeof(server->directory), "/tmp/mms_unit_XXXXXX");
	if (mkdtemp(server->directory) == NULL) {
		return false;
	}
	snprintf(server->socket_path, sizeof(server->socket_path), "%s/socket", server->directory);
	for (int attempt = 0; attempt < 5; attempt++) { /* somebody else may take the port in between */
		server->port = port_pick();
		server->pid = fork();
		if (server->pid == 0) {
			server_execute(server, program, extra);
		}
		int64_t deadline = test_now_ms() + SERVER_DEADLINE_MS;

		while (waitpid(server->pid, NULL, WNOHANG) == 0 && test_now_ms() < deadline) {
			if (server_answers(server)) {
				return true;
			}
			test_pause();
		}
		kill(server->pid, SIGKILL);
		waitpid(server->pid, NULL, 0);
		server->pid = 0;
	}
	server_stop(server);
	return false;
}

#endif
