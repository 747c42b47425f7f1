/* For tests above mms_client: nodes (real servers that live as long as the test program), hosts on top of them (a mapping,
 * its settings and one request thread's connections), records that are put on nodes and looked at by hand.
 *
 * Every test begins with rig_fresh(), which has all servers running and empty. Only the parent uses it. */
#ifndef RIG_H
#define RIG_H

#include "processes.h"
#include "server.h"

#include "mms_client.h"
#include "mms_identity.h"
#include "mms_record.h"

#define RIG_NODES 3
#define RIG_PREFIX "unit:"
#define RIG_TTL_MS 1000000
#define RIG_MAILBOX (1u << 20)

/* Waits for what other processes and threads bring about. */
#define await(condition) \
	do { \
		const int64_t until_us = now_us() + DEADLINE_US; \
		while (!(condition)) { \
			if (now_us() > until_us) { \
				fail_msg("waited in vain for %s", #condition); \
			} \
			nap_us(500); \
		} \
	} while (0)

struct host {
	struct mms_settings settings;
	struct mms_shm *shm;
	struct mms_shm_shape shape;
	struct mms_client *client;
	struct mms_cluster_sh *cluster;
};

/* A record as it stands on a node. */
struct sample {
	struct mms_record_header header;
	unsigned char bytes[MMS_RECORD_HEADER_SIZE + 512];
	size_t len;
};

static struct server rig_servers[RIG_NODES];
static bool rig_stopped[RIG_NODES];
static char rig_program[PATH_MAX];

static inline struct mms_slice slice(const char *text)
{
	return mms_slice_of(text);
}

static inline uint64_t bit(unsigned node)
{
	return UINT64_C(1) << node;
}

static inline void node_kill(unsigned node)
{
	kill(rig_servers[node].pid, SIGKILL);
	assert_int_equal(waitpid(rig_servers[node].pid, NULL, 0), rig_servers[node].pid);
	rig_servers[node].pid = 0;
	rig_stopped[node] = false;
}

/* The same address, another run_id, no data. */
static inline void node_restart(unsigned node)
{
	struct server *server = &rig_servers[node];
	const int64_t until = now_us() + DEADLINE_US;

	while (now_us() < until) {
		server->pid = fork();
		assert_true(server->pid >= 0);
		if (server->pid == 0) {
			server_execute(server, rig_program, NULL);
		}
		while (waitpid(server->pid, NULL, WNOHANG) == 0) {
			if (server_answers(server)) {
				return;
			}
			test_pause();
		}
	}
	fail_msg("node %u does not come up again", node);
}

static inline void node_stop(unsigned node)
{
	kill(rig_servers[node].pid, SIGSTOP);
	assert_true(WIFSTOPPED(await_child(rig_servers[node].pid, WUNTRACED)));
	rig_stopped[node] = true;
}

static inline void node_continue(unsigned node)
{
	kill(rig_servers[node].pid, SIGCONT);
	rig_stopped[node] = false;
}

/* One command on a connection of its own; the caller frees. */
#define node_ask(node, ...) node_answer(node, (const char *[]){ __VA_ARGS__, NULL })
static inline struct mms_reply *node_answer(unsigned node, const char *const *words)
{
	struct client client = { -1, NULL };
	struct mms_reply *reply;
	char line[8192];
	size_t len, count = 0;

	while (words[count] != NULL) {
		count++;
	}
	len = (size_t) snprintf(line, sizeof(line), "*%zu\r\n", count);
	for (size_t index = 0; index < count; index++) {
		len += (size_t) snprintf(line + len, sizeof(line) - len, "$%zu\r\n%s\r\n", strlen(words[index]), words[index]);
	}
	assert_true(len < sizeof(line));
	assert_true(client_open(&client, &rig_servers[node]));
	assert_true(client_write(&client, line, len));
	reply = client_take(&client);
	assert_non_null(reply);
	client_close(&client);
	return reply;
}

#define node_do(node, ...) assert_true(reply_is_good(node_ask(node, __VA_ARGS__)))

static inline int64_t node_number(unsigned node, const char *verb, const char *key)
{
	struct mms_reply *reply = node_ask(node, verb, key);
	int64_t value = mms_reply_integer(reply);

	mms_reply_free(reply);
	return value;
}

/* How often the server has executed a command (lower case) since node_forget_calls(). */
static inline unsigned long node_calls(unsigned node, const char *verb)
{
	struct mms_reply *reply = node_ask(node, "INFO", "commandstats");
	struct mms_slice text = mms_reply_text(reply);
	char *copy = strndup(text.ptr, text.len), name[64];
	const char *found;
	unsigned long calls;

	snprintf(name, sizeof(name), "cmdstat_%s:calls=", verb);
	found = strstr(copy, name);
	calls = found == NULL ? 0 : strtoul(found + strlen(name), NULL, 10);
	free(copy);
	mms_reply_free(reply);
	return calls;
}

static inline void node_forget_calls(unsigned node)
{
	node_do(node, "CONFIG", "RESETSTAT");
}

static inline bool rig_find(void)
{
	static char paths[SERVERS_MAX][PATH_MAX];

	if (servers_find(paths) == 0) {
		return false;
	}
	memcpy(rig_program, paths[0], PATH_MAX);
	return true;
}

static inline int rig_start(void **state)
{
	(void) state;
	for (unsigned node = 0; node < RIG_NODES; node++) {
		if (!server_start(&rig_servers[node], rig_program, NULL)) {
			return -1;
		}
	}
	return 0;
}

static inline int rig_end(void **state)
{
	(void) state;
	for (unsigned node = 0; node < RIG_NODES; node++) {
		server_stop(&rig_servers[node]);
	}
	return 0;
}

/* All servers run and are empty. */
static inline void rig_fresh(void)
{
	for (unsigned node = 0; node < RIG_NODES; node++) {
		if (rig_stopped[node]) {
			node_continue(node);
		}
		if (rig_servers[node].pid == 0) {
			node_restart(node);
		}
		node_do(node, "CONFIG", "SET", "maxmemory", "0");
		node_do(node, "FLUSHALL");
	}
}

static inline void there_is_no_server_to_test_with(void **state)
{
	(void) state;
	skip();
}

/* Runs an array of tests with the servers up. */
#define rig_run(tests) rig_run_group(#tests, tests, sizeof(tests) / sizeof((tests)[0]))
static inline int rig_run_group(const char *name, const struct CMUnitTest *tests, size_t count)
{
	const struct CMUnitTest missing[] = { cmocka_unit_test(there_is_no_server_to_test_with) };

	if (!rig_find()) {
		return cmocka_run_group_tests(missing, NULL, NULL);
	}
	return _cmocka_run_group_tests(name, tests, count, rig_start, rig_end);
}

/* "n0", "n1", ...: as the servers' sockets. */
static inline void rig_nodes_text(unsigned count, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (unsigned node = 0; node < count; node++) {
		len += (size_t) snprintf(out + len, size - len, "unix://%s?name=n%u ", rig_servers[node].socket_path, node);
	}
	assert_true(len < size);
}

/* Waits that a busy machine does not run into; tests of time set their own. */
static inline void settings_from(struct mms_settings *settings, const char *nodes_text, const char *host_id)
{
	struct mms_error error = { "" };

	memset(settings, 0, sizeof(*settings));
	if (mms_config_parse_nodes(slice(nodes_text), settings, &error) != MMS_OK) {
		fail_msg("%s", error.text);
	}
	settings->write_acks = 1;
	settings->connect_timeout_ms = 3000;
	settings->read_timeout_ms = 5000;
	settings->budget_ms = 10000;
	settings->touch_interval_s = 300;
	settings->spin_us = 50;
	settings->max_clock_drift_ms = 500;
	settings->max_session_size = 1u << 20;
	settings->shutdown_drain_ms = 2000;
	settings->repair_rate = 32u << 20;
	settings->repair_interval_s = 86400;
	snprintf(settings->host_id, sizeof(settings->host_id), "%s", host_id);
	settings->host_hash = mms_crc32c(0, host_id, strlen(host_id));
	snprintf(settings->prefix, sizeof(settings->prefix), RIG_PREFIX);
}

static inline void settings_default(struct mms_settings *settings, unsigned nodes, const char *host_id)
{
	char text[1024];

	rig_nodes_text(nodes, text, sizeof(text));
	settings_from(settings, text, host_id);
}

/* A request thread's client on a mapping that exists already. */
static inline struct mms_client *client_on(struct mms_shm *shm, const struct mms_settings *settings)
{
	struct mms_error error = { "" };
	struct mms_client *client = mms_client_new(shm, settings, mms_config_fingerprint(settings), &error);

	if (client == NULL) {
		fail_msg("%s", error.text);
	}
	return client;
}

static inline struct host *host_with(const struct mms_settings *settings, uint64_t mailbox_size)
{
	struct host *host = calloc(1, sizeof(*host));
	struct mms_error error = { "" };

	assert_non_null(host);
	host->settings = *settings;
	host->shm = mms_shm_map(1, mailbox_size, &error);
	if (host->shm == NULL) {
		fail_msg("%s", error.text);
	}
	mms_shm_remember(host->shm, &host->shape);
	host->client = client_on(host->shm, settings);
	host->cluster = host->client->cluster;
	return host;
}

static inline struct host *host_new(unsigned nodes, const char *host_id)
{
	struct mms_settings settings;

	settings_default(&settings, nodes, host_id);
	return host_with(&settings, RIG_MAILBOX);
}

static inline void host_free(struct host *host)
{
	mms_client_free(host->client);
	mms_shm_unmap(host->shm);
	free(host);
}

/* Known latencies make the waits short; forgotten, every wait is a full one. */
static inline void host_calm(struct host *host)
{
	for (unsigned node = 0; node < host->settings.node_count; node++) {
		atomic_store(&host->cluster->nodes[node].breaker.latency_us, 0);
	}
}

static inline struct mms_mono host_deadline(const struct host *host)
{
	return (struct mms_mono){ now_us() + (int64_t) host->settings.budget_ms * 1000 };
}

static inline uint64_t host_metric(const struct host *host, enum mms_metric metric)
{
	return mms_metrics_get(&host->cluster->metrics, metric);
}

static inline void host_open_breaker(struct host *host, unsigned node, enum mms_fault fault)
{
	(void) mms_breaker_fault(&host->cluster->nodes[node].breaker, fault, "by the test", mms_clock_mono(),
			mms_clock_wall(), 1);
}

static inline struct mms_slice key_of(const char *id)
{
	static char keys[8][MMS_KEY_MAX + 1];
	static unsigned next;
	char *key = keys[next++ % 8];

	snprintf(key, MMS_KEY_MAX + 1, RIG_PREFIX "%s", id);
	return slice(key);
}

/* A stamp so many milliseconds before (or, negative, ahead of) now. */
static inline uint64_t stamp_ago(int64_t ms)
{
	return (uint64_t) (mms_clock_wall().ms - ms) << 16;
}

static inline void sample_make(struct sample *sample, const char *id, const struct mms_version *version,
		const char *payload)
{
	memset(sample, 0, sizeof(*sample));
	assert_true(strlen(payload) <= sizeof(sample->bytes) - MMS_RECORD_HEADER_SIZE);
	sample->header.version = *version;
	sample->header.lifetime_s = 1440;
	mms_record_describe(&sample->header, slice(payload));
	mms_record_encode(&sample->header, key_of(id), sample->bytes);
	memcpy(sample->bytes + MMS_RECORD_HEADER_SIZE, payload, strlen(payload));
	sample->len = MMS_RECORD_HEADER_SIZE + strlen(payload);
}

/* The usual: a record of another host, written so long ago. */
static inline void sample_aged(struct sample *sample, const char *id, int64_t age_ms, const char *payload)
{
	const struct mms_version version = { .hlc = stamp_ago(age_ms), .writer = 7, .sequence = 1 };

	sample_make(sample, id, &version, payload);
}

static inline void sample_tombstone(struct sample *sample, const char *id, int64_t age_ms)
{
	const struct mms_version version = { .hlc = stamp_ago(age_ms), .writer = 7, .sequence = 1, .tombstone = true };

	sample_make(sample, id, &version, "");
}

static inline void node_put_bytes(unsigned node, const char *id, const void *bytes, size_t len)
{
	struct client client = { -1, NULL };
	char key[MMS_KEY_MAX + 1];

	snprintf(key, sizeof(key), RIG_PREFIX "%s", id);
	assert_true(client_open(&client, &rig_servers[node]));
	assert_true(client_set(&client, key, bytes, len, RIG_TTL_MS));
	client_close(&client);
}

static inline void node_put(unsigned node, const char *id, const struct sample *sample)
{
	node_put_bytes(node, id, sample->bytes, sample->len);
}

/* Copies the value (at most size bytes) and returns its length, -1 when there is none. */
static inline long node_get(unsigned node, const char *id, void *out, size_t size)
{
	char key[MMS_KEY_MAX + 1];
	struct mms_reply *reply;
	long len = -1;

	snprintf(key, sizeof(key), RIG_PREFIX "%s", id);
	reply = node_ask(node, "GET", key);
	if (mms_reply_type(reply) == MMS_REPLY_STRING) {
		struct mms_slice text = mms_reply_text(reply);

		len = (long) text.len;
		memcpy(out, text.ptr, text.len < size ? text.len : size);
	}
	mms_reply_free(reply);
	return len;
}

static inline bool node_holds(unsigned node, const char *id, const struct sample *sample)
{
	char value[sizeof(sample->bytes)];

	return node_get(node, id, value, sizeof(value)) == (long) sample->len
			&& memcmp(value, sample->bytes, sample->len) == 0;
}

/* Does this node hold a sound record with this payload (NULL: a tombstone)? */
static inline bool node_has(unsigned node, const char *id, const char *payload, struct mms_record_header *header)
{
	static char value[1 << 20];
	struct mms_record_header found;
	struct mms_slice text;
	long len = node_get(node, id, value, sizeof(value));

	if (len < 0 || mms_record_decode_whole((struct mms_slice){ value, (size_t) len }, key_of(id), &found, &text)
			!= MMS_RECORD_GOOD) {
		return false;
	}
	if (header != NULL) {
		*header = found;
	}
	if (payload == NULL) {
		return found.version.tombstone;
	}
	return !found.version.tombstone && text.len == strlen(payload) && memcmp(text.ptr, payload, text.len) == 0;
}

/* The first hint of a node; false when it has none. */
static inline bool hint_of(const struct host *host, unsigned node, struct mms_hint *out)
{
	uint32_t cursor = 0;

	do {
		if (mms_hints_next(&host->cluster->hints, node, &cursor, mms_clock_mono(), out)) {
			return true;
		}
	} while (cursor != 0);
	return false;
}

/* Entries of a mailbox, from its tail to its head. */
static inline unsigned mailbox_count(const struct host *host)
{
	const struct mms_mailbox_sh *mailbox = &host->cluster->mailbox;
	struct mms_mailbox_item item;
	unsigned count = 0;

	for (uint64_t position = mms_mailbox_tail(mailbox); mms_mailbox_peek(mailbox, position, &item) == 1;
			position = item.next) {
		count++;
	}
	return count;
}

/* The only entry, or the last one. */
static inline struct mms_mailbox_item mailbox_last(const struct host *host)
{
	const struct mms_mailbox_sh *mailbox = &host->cluster->mailbox;
	struct mms_mailbox_item item, last = { 0 };

	for (uint64_t position = mms_mailbox_tail(mailbox); mms_mailbox_peek(mailbox, position, &item) == 1;
			position = item.next) {
		last = item;
	}
	assert_non_null(last.key.ptr);
	return last;
}

#endif
