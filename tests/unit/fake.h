/* A node that does what a real server can't be made to: a proxy before a real server, on a thread per connection, with
 * rules by command. Without a rule every command is passed on and every answer passed back. */
#ifndef FAKE_H
#define FAKE_H

#include "rig.h"

#include <pthread.h>

#define FAKE_RULES 8
#define FAKE_CONNECTIONS 32

enum fake_act {
	FAKE_ANSWER, /* these bytes instead of the server's answer, which is not asked */
	FAKE_HOLD,   /* passed on and answered only after fake_release() */
	FAKE_TWICE,  /* the answer comes twice */
	FAKE_CUT,    /* the answer is cut after so many bytes, and the connection closed */
	FAKE_TRICKLE, /* the answer comes a byte each 5 ms */
	FAKE_CLOSE   /* closed without passing the command on */
};

struct fake_rule {
	const char *verb;  /* upper case; "*" is any but those of the handshake */
	const char *holds; /* and only commands in which this stands; NULL = any */
	enum fake_act act;
	const char *bytes;
	size_t bytes_len;  /* 0: text */
	size_t cut_len;
	int skip;          /* so many go by first */
	int times;         /* so often, then it is gone; -1 = for ever */
	unsigned hits;
};

struct fake_connection {
	struct fake *fake;
	pthread_t thread;
	int fd;
	bool used;
};

struct fake {
	unsigned node;     /* of the server behind */
	int listener, port;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct fake_rule rules[FAKE_RULES];
	unsigned rule_count;
	atomic_bool released, ending; /* ended by fake_free(), read by the connections' threads */
	struct fake_connection connections[FAKE_CONNECTIONS];
};

/* Length of the first whole RESP value, 0 when it is not complete. */
static inline size_t resp_len(const char *bytes, size_t len)
{
	const char *end = len == 0 ? NULL : memchr(bytes, '\n', len);
	size_t total;
	long number;

	if (end == NULL) {
		return 0;
	}
	total = (size_t) (end - bytes) + 1;
	number = strtol(bytes + 1, NULL, 10);
	if (bytes[0] == '$' && number >= 0) {
		total += (size_t) number + 2;
	} else if (bytes[0] == '*') {
		for (long index = 0; index < number; index++) {
			const size_t part = total < len ? resp_len(bytes + total, len - total) : 0;

			if (part == 0) {
				return 0;
			}
			total += part;
		}
	}
	return total <= len ? total : 0;
}

static inline bool fake_send(int fd, const char *bytes, size_t len)
{
	for (size_t done = 0; done < len;) {
		const ssize_t sent = send(fd, bytes + done, len - done, MSG_NOSIGNAL);

		if (sent <= 0) {
			return false;
		}
		done += (size_t) sent;
	}
	return true;
}

/* Reads until a whole value stands at the start of the buffer; its length, 0 at the end. */
static inline size_t fake_receive(int fd, char **buffer, size_t *used)
{
	size_t len;

	while ((len = resp_len(*buffer, *used)) == 0) {
		ssize_t got;

		*buffer = realloc(*buffer, *used + 65537);
		got = recv(fd, *buffer + *used, 65536, 0);
		if (got <= 0) {
			return 0;
		}
		*used += (size_t) got;
		(*buffer)[*used] = '\0';
	}
	return len;
}

static inline void fake_drop_front(char *buffer, size_t *used, size_t len)
{
	memmove(buffer, buffer + len, *used - len);
	*used -= len;
}

static inline bool bytes_hold(const char *bytes, size_t len, const char *text)
{
	const size_t text_len = strlen(text);

	for (size_t at = 0; at + text_len <= len; at++) {
		if (memcmp(bytes + at, text, text_len) == 0) {
			return true;
		}
	}
	return false;
}

/* The rule for this command, as a copy; false when there is none. */
static inline bool fake_match(struct fake *fake, const char *command, size_t len, struct fake_rule *out)
{
	char verb[32] = "";
	bool found = false;

	sscanf(command, "*%*d\r\n$%*d\r\n%31[^\r]", verb);
	pthread_mutex_lock(&fake->lock);
	for (unsigned index = 0; index < fake->rule_count && !found; index++) {
		struct fake_rule *rule = &fake->rules[index];
		const bool any = strcmp(rule->verb, "*") == 0 && strcmp(verb, "SCRIPT") != 0;

		if (rule->times != 0 && (any || strcmp(rule->verb, verb) == 0)
				&& (rule->holds == NULL || bytes_hold(command, len, rule->holds)) && rule->skip-- <= 0) {
			rule->times -= rule->times > 0;
			rule->hits++;
			*out = *rule;
			found = true;
		}
	}
	pthread_cond_broadcast(&fake->changed);
	while (found && out->act == FAKE_HOLD && !fake->released && !fake->ending) {
		pthread_cond_wait(&fake->changed, &fake->lock);
	}
	pthread_mutex_unlock(&fake->lock);
	return found;
}

/* One command that stands in `in`; false ends the connection. */
static inline bool fake_handle(struct fake_connection *connection, int backend, const char *in, size_t len)
{
	struct fake_rule rule = { 0 };
	const bool ruled = fake_match(connection->fake, in, len, &rule);
	char *answer = NULL;
	size_t used = 0, answer_len;
	bool go_on;

	if (ruled && rule.act == FAKE_CLOSE) {
		return false;
	}
	if (ruled && rule.act == FAKE_ANSWER) {
		return fake_send(connection->fd, rule.bytes, rule.bytes_len > 0 ? rule.bytes_len : strlen(rule.bytes));
	}
	if (!fake_send(backend, in, len)) {
		return false;
	}
	answer_len = fake_receive(backend, &answer, &used);
	go_on = answer_len != 0;
	if (ruled && rule.act == FAKE_CUT) {
		fake_send(connection->fd, answer, rule.cut_len < answer_len ? rule.cut_len : answer_len);
		go_on = false;
	} else if (go_on && ruled && rule.act == FAKE_TWICE) { /* in one piece: both are there at the same moment */
		answer = realloc(answer, 2 * answer_len);
		memcpy(answer + answer_len, answer, answer_len);
		go_on = fake_send(connection->fd, answer, 2 * answer_len);
	} else if (go_on && ruled && rule.act == FAKE_TRICKLE) {
		for (size_t at = 0; at < answer_len && go_on && !connection->fake->ending; at++) {
			const struct timespec pause = { 0, 5000000 };

			go_on = fake_send(connection->fd, answer + at, 1);
			nanosleep(&pause, NULL);
		}
	} else if (go_on) {
		go_on = fake_send(connection->fd, answer, answer_len);
	}
	free(answer);
	return go_on;
}

static inline void *fake_converse(void *argument)
{
	struct fake_connection *connection = argument;
	struct sockaddr_un address = address_of_path(rig_servers[connection->fake->node].socket_path);
	const int backend = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char *in = NULL;
	size_t used = 0, len;

	if (connect(backend, (struct sockaddr *) &address, sizeof(address)) == 0) {
		while ((len = fake_receive(connection->fd, &in, &used)) != 0
				&& fake_handle(connection, backend, in, len)) {
			fake_drop_front(in, &used, len);
		}
	}
	free(in);
	close(backend);
	shutdown(connection->fd, SHUT_RDWR);
	return NULL;
}

static inline void *fake_accept(void *argument)
{
	struct fake *fake = argument;
	unsigned count = 0;
	int fd;

	while (count < FAKE_CONNECTIONS && (fd = accept(fake->listener, NULL, NULL)) >= 0) {
		struct fake_connection *connection = &fake->connections[count++];

		fcntl(fd, F_SETFD, FD_CLOEXEC);
		connection->fake = fake;
		connection->fd = fd;
		connection->used = pthread_create(&connection->thread, NULL, fake_converse, connection) == 0;
	}
	return NULL;
}

static inline struct fake *fake_start(unsigned node)
{
	struct fake *fake = calloc(1, sizeof(*fake));
	struct sockaddr_in address = address_of_port(0);
	socklen_t len = sizeof(address);

	assert_non_null(fake);
	fake->node = node;
	fake->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fake->listener, (struct sockaddr *) &address, len), 0);
	assert_int_equal(listen(fake->listener, 16), 0);
	assert_int_equal(getsockname(fake->listener, (struct sockaddr *) &address, &len), 0);
	fake->port = ntohs(address.sin_port);
	pthread_mutex_init(&fake->lock, NULL);
	pthread_cond_init(&fake->changed, NULL);
	assert_int_equal(pthread_create(&fake->thread, NULL, fake_accept, fake), 0);
	return fake;
}

static inline void fake_free(struct fake *fake)
{
	pthread_mutex_lock(&fake->lock);
	fake->ending = true;
	pthread_cond_broadcast(&fake->changed);
	pthread_mutex_unlock(&fake->lock);
	shutdown(fake->listener, SHUT_RDWR);
	pthread_join(fake->thread, NULL);
	for (unsigned index = 0; index < FAKE_CONNECTIONS; index++) {
		if (fake->connections[index].used) {
			shutdown(fake->connections[index].fd, SHUT_RDWR);
			pthread_join(fake->connections[index].thread, NULL);
			close(fake->connections[index].fd);
		}
	}
	close(fake->listener);
	pthread_cond_destroy(&fake->changed);
	pthread_mutex_destroy(&fake->lock);
	free(fake);
}

/* Rules are tried in the order in which they were made; the number of this one is returned. */
static inline unsigned fake_rule(struct fake *fake, struct fake_rule rule)
{
	unsigned number;

	pthread_mutex_lock(&fake->lock);
	number = fake->rule_count++;
	assert_true(number < FAKE_RULES);
	fake->rules[number] = rule;
	fake->released = false;
	pthread_mutex_unlock(&fake->lock);
	return number;
}

static inline unsigned fake_says(struct fake *fake, const char *verb, const char *bytes, int times)
{
	return fake_rule(fake, (struct fake_rule){ .verb = verb, .act = FAKE_ANSWER, .bytes = bytes, .times = times });
}

static inline unsigned fake_holds(struct fake *fake, const char *verb)
{
	return fake_rule(fake, (struct fake_rule){ .verb = verb, .act = FAKE_HOLD, .times = -1 });
}

/* Ends all rules; what was held goes on. */
static inline void fake_release(struct fake *fake)
{
	pthread_mutex_lock(&fake->lock);
	fake->rule_count = 0;
	fake->released = true;
	pthread_cond_broadcast(&fake->changed);
	pthread_mutex_unlock(&fake->lock);
}

static inline unsigned fake_hits(struct fake *fake, unsigned number)
{
	unsigned hits;

	pthread_mutex_lock(&fake->lock);
	hits = fake->rules[number].hits;
	pthread_mutex_unlock(&fake->lock);
	return hits;
}

/* Settings whose node at `index` is the fake, the others are the servers. */
static inline void settings_with_fake(struct mms_settings *settings, unsigned nodes, unsigned index,
		const struct fake *fake)
{
	char text[1024];
	size_t len = 0;

	for (unsigned node = 0; node < nodes; node++) {
		if (node == index) {
			len += (size_t) snprintf(text + len, sizeof(text) - len, "tcp://127.0.0.1:%d?name=n%u ", fake->port, node);
		} else {
			len += (size_t) snprintf(text + len, sizeof(text) - len, "unix://%s?name=n%u ",
					rig_servers[node].socket_path, node);
		}
	}
	assert_true(len < sizeof(text));
	settings_from(settings, text, "web1");
}

static inline struct host *host_with_fake(unsigned nodes, unsigned index, const struct fake *fake)
{
	struct mms_settings settings;

	settings_with_fake(&settings, nodes, index, fake);
	return host_with(&settings, RIG_MAILBOX);
}

#endif
