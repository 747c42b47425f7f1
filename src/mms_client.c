/* Connections and faults of a request thread. The difficulty is to blame the right one: an error of this process
 * (out of descriptors) or an idle connection closed by the server says nothing about the node. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif

#include "mms_client.h"

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mms_address.h"

/* A mirror is on its way in far less; so long after a page was acknowledged its visitor may be elsewhere already. */
#define MIRRORS_LATE_US 50000

static bool prepare_connections(struct mms_client *client);
static void explain_missing_slot(struct mms_shm *shm, uint64_t fingerprint, struct mms_error *error);
static int usable_cores(void);

struct mms_client *mms_client_new(struct mms_shm *shm, const struct mms_settings *settings, uint64_t fingerprint,
		struct mms_error *error)
{
	struct mms_client *client = calloc(1, sizeof *client);

	if (client == NULL) {
		mms_error_set(error, "out of memory for a cluster's connections");
		return NULL;
	}
	client->shm = shm;
	client->scratch = calloc(1, MMS_CLIENT_SCRATCH);
	client->settings = *settings;
	client->fingerprint = fingerprint;
	mms_spin_init(&client->spin, settings->spin_us, usable_cores());
	if (mms_random_bytes(&client->random_state, sizeof client->random_state) != MMS_OK
			|| client->random_state == 0) {
		client->random_state = (uint32_t)mms_clock_mono().us | 1u;
	}
	if (client->scratch == NULL) {
		mms_error_set(error, "out of memory for a cluster's connections");
		goto failed;
	}
	if (mms_config_read_password(settings->password_file, client->password, error) != MMS_OK) {
		goto failed;
	}
	if (mms_config_tls_context(settings, &client->tls, error) != MMS_OK
			|| (client->tls != NULL && mms_tls_context_load(client->tls, error) != MMS_OK)) {
		goto failed;
	}
	client->cluster = mms_shm_cluster(shm, settings, fingerprint);
	if (client->cluster == NULL) {
		explain_missing_slot(shm, fingerprint, error);
		goto failed;
	}
	if (!prepare_connections(client)) {
		mms_error_set(error, "out of memory for a cluster's connections");
		goto failed;
	}
	return client;
failed:
	mms_client_free(client);
	return NULL;
}

void mms_client_configure(struct mms_client *client, const struct mms_settings *settings)
{
	if (settings->spin_us != client->settings.spin_us) {
		mms_spin_init(&client->spin, settings->spin_us, usable_cores());
	}
	client->settings = *settings;
}

static int usable_cores(void)
{
	cpu_set_t cores;

	/* More cores than a cpu_set_t knows: certainly enough. */
	return sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : CPU_SETSIZE;
}

void mms_client_free(struct mms_client *client)
{
	if (client == NULL) {
		return;
	}
	for (unsigned i = 0; i < MMS_NODES_MAX; i++) {
		mms_conn_free(client->conns[i]);
	}
	mms_tls_context_free(client->tls);
	mms_reservation_release(client->reservation);
	free(client->scratch);
	free(client->spare_store);
	explicit_bzero(client->password, sizeof client->password);
	free(client);
}

void mms_client_drop_connections(struct mms_client *client)
{
	client->reservation = NULL; /* the parent's */
	client->forks++;
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		mms_conn_close(client->conns[i]);
	}
}

bool mms_client_refresh_password(struct mms_client *client)
{
	char password[MMS_SECRET_MAX + 1];
	bool changed = client->settings.password_file[0] != '\0'
			&& mms_config_read_password(client->settings.password_file, password, NULL) == MMS_OK
			&& !mms_slice_equal_constant_time(mms_slice_of(password), mms_slice_of(client->password));

	if (changed) {
		memcpy(client->password, password, sizeof password);
		for (unsigned i = 0; i < client->settings.node_count; i++) {
			mms_conn_set_password(client->conns[i], mms_slice_of(client->password));
		}
	}
	explicit_bzero(password, sizeof password);
	return changed;
}

bool mms_client_can_read(struct mms_client *client, unsigned node)
{
	return mms_breaker_allows_read(&client->cluster->nodes[node].breaker);
}

bool mms_client_can_write(struct mms_client *client, unsigned node)
{
	return mms_breaker_allows_write(&client->cluster->nodes[node].breaker);
}

static bool any_address(const struct mms_client *client)
{
	struct sockaddr_storage address;
	socklen_t len;

	for (unsigned i = 0; i < client->settings.node_count; i++) {
		if (mms_address_current(&client->settings.nodes[i], &client->cluster->nodes[i], &address, &len)) {
			return true;
		}
	}
	return false;
}

void mms_client_await_names(struct mms_client *client, struct mms_mono deadline)
{
	if (client->names_awaited) {
		return;
	}
	client->names_awaited = true;
	while (!any_address(client) && mms_clock_left_us(mms_clock_mono(), deadline) > 0) {
		(void)poll(NULL, 0, 1);
	}
}

struct mms_mono mms_client_deadline(const struct mms_client *client)
{
	return (struct mms_mono){ mms_clock_mono().us + (int64_t)client->settings.budget_ms * 1000 };
}

bool mms_client_connected(const struct mms_client *client, unsigned node)
{
	const struct mms_conn *conn = client->conns[node];

	return mms_conn_state(conn) != MMS_CONN_CLOSED && mms_conn_outstanding(conn) == 0
			&& client->address_sequences[node] == mms_shm_address_sequence(&client->cluster->nodes[node]);
}

struct mms_conn *mms_client_connect(struct mms_client *client, unsigned node, enum mms_status *status,
		struct mms_error *error)
{
	const uint32_t address_sequence = mms_shm_address_sequence(&client->cluster->nodes[node]);
	struct mms_conn *conn = client->conns[node];
	struct sockaddr_storage address;
	socklen_t len = 0;

	*status = MMS_OK;
	client->fresh[node] = false;
	if (mms_client_connected(client, node)) {
		return conn;
	}
	mms_conn_close(conn);
	if (!mms_address_current(&client->settings.nodes[node], &client->cluster->nodes[node], &address, &len)) {
		*status = MMS_ERR_LOCAL;
		mms_error_set(error, "node %s (%s): host name is not resolved yet: see /etc/resolv.conf and /etc/hosts, or list the address",
				client->settings.nodes[node].name, client->settings.nodes[node].address);
		return NULL;
	}
	client->fresh[node] = true;
	client->address_sequences[node] = address_sequence;
	client->run_hashes[node] = 0;
	client->markers[node].len = 0;
	client->watches[node].rehearsed = false;
	client->watches[node].standing = false;
	client->watch_serial++;
	*status = mms_conn_open(conn, (const struct sockaddr *)&address, len, error);
	return *status == MMS_OK ? conn : NULL;
}

size_t mms_client_reply_max(const struct mms_client *client)
{
	return (size_t)client->settings.max_session_size + MMS_CLIENT_REPLY_ROOM;
}

/* What was read may be written again: there is as much room for a command around it. */
void mms_client_limit(struct mms_client *client, unsigned node, bool any_length)
{
	mms_conn_set_limits(client->conns[node], any_length ? mms_client_reply_max(client) : MMS_CLIENT_REPLY_ROOM,
			mms_client_reply_max(client) + MMS_CLIENT_REPLY_ROOM);
}

void mms_client_fault(struct mms_client *client, unsigned node, enum mms_status status,
		enum mms_reply_class refusal, const struct mms_error *error)
{
	struct mms_breaker_sh *breaker = &client->cluster->nodes[node].breaker;
	enum mms_fault fault = MMS_FAULT_SOFT;

	mms_conn_close(client->conns[node]);
	switch (status) {
	case MMS_ERR_CONNECT:
	case MMS_ERR_PROTOCOL:
		fault = MMS_FAULT_HARD;
		break;
	case MMS_ERR_REFUSED:
		if (!mms_reply_class_fault(refusal, &fault)) {
			return;
		}
		break;
	case MMS_ERR_LOCAL:
	case MMS_ERR_NO_ADDRESS:
	case MMS_ERR_MEMORY:
	case MMS_ERR_TOO_LARGE:
		return;
	default:
		break;
	}
	if (mms_breaker_fault(breaker, fault, error->text, mms_clock_mono(), mms_clock_wall(), mms_client_random(client))) {
		mms_shm_kick(client->cluster);
	}
}

void mms_client_refused(struct mms_client *client, unsigned node, enum mms_reply_class refusal,
		const struct mms_error *error)
{
	enum mms_fault fault;

	if (!mms_reply_class_fault(refusal, &fault)) {
		return;
	}
	if (mms_breaker_fault(&client->cluster->nodes[node].breaker, fault, error->text, mms_clock_mono(),
			mms_clock_wall(), mms_client_random(client))) {
		mms_shm_kick(client->cluster);
	}
}

void mms_client_good(struct mms_client *client, unsigned node, int64_t latency_us)
{
	uint32_t counted = 0;

	if (!client->fresh[node] && latency_us > 0 && latency_us < INT32_MAX) {
		counted = (uint32_t)latency_us;
	}
	mms_breaker_good(&client->cluster->nodes[node].breaker, counted);
}

size_t mms_client_tmp_key(struct mms_client *client, char out[MMS_TMP_KEY_MAX])
{
	return mms_tmp_key(client->settings.prefix,
			mms_shm_writer(client->shm, client->cluster, client->settings.host_hash), mms_shm_next_sequence(client->shm), out);
}

void mms_client_count(struct mms_client *client, enum mms_metric metric)
{
	mms_metrics_add(&client->cluster->metrics, metric, 1);
}

void mms_client_count_foreign(struct mms_client *client, unsigned node)
{
	const struct mms_node_config *config = &client->settings.nodes[node];
	struct mms_note_sh *notice = &client->cluster->notices[MMS_NOTICE_FOREIGN_KEY];
	struct mms_error text;

	/* No session id: it is as good as a password. */
	mms_error_set(&text, "node %s (%s): the key of a session holds something that is not mmsession's: left alone; give "
			"mmsession.prefix a value of its own", config->name, config->address);
	mms_note_write(notice, text.text, mms_clock_wall().ms);
	mms_note_raise(notice);
	mms_client_count(client, MMS_METRIC_foreign_keys);
}

uint32_t mms_client_random(struct mms_client *client)
{
	/* xorshift32 (Marsaglia 2003): jitter only. */
	uint32_t x = client->random_state;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	client->random_state = x;
	return x;
}

uint64_t mms_client_all_mask(const struct mms_client *client)
{
	return client->settings.node_count >= 64 ? UINT64_MAX : (UINT64_C(1) << client->settings.node_count) - 1;
}

static void explain_missing_slot(struct mms_shm *shm, uint64_t fingerprint, struct mms_error *error)
{
	bool any_free = false;

	for (uint32_t i = 0; i < shm->slot_count; i++) {
		const struct mms_cluster_sh *cluster = mms_shm_cluster_at(shm, i);

		if (cluster != NULL && atomic_load(&cluster->fingerprint) == fingerprint) {
			mms_error_set(error, "another cluster has the same fingerprint: choose another mmsession.prefix");
			return;
		}
		any_free = any_free || cluster == NULL;
	}
	if (any_free) {
		mms_error_set(error, "shared memory: a stopped process holds the lock of the list of clusters: let it go on, or restart PHP");
		return;
	}
	mms_error_set(error, "mmsession.max_clusters = %u, and as many are in use: raise it in php.ini and restart PHP; each "
			"combination of nodes, mmsession.prefix, user, password_file, host_id and tls_* settings is a cluster", shm->slot_count);
}

static bool prepare_connections(struct mms_client *client)
{
	const struct mms_settings *settings = &client->settings;

	for (unsigned i = 0; i < settings->node_count; i++) {
		struct mms_conn_options options = {
			.node_name = settings->nodes[i].name,
			.node_address = settings->nodes[i].address,
			.user = mms_slice_of(settings->user),
			.password = mms_slice_of(client->password),
			.tls_name = mms_node_list_tls_name(&client->settings.nodes[i]),
			.tls = client->tls,
			.db = settings->nodes[i].db,
		};

		client->conns[i] = mms_conn_new(&options);
		if (client->conns[i] == NULL) {
			return false;
		}
		mms_client_limit(client, i, true);
	}
	return true;
}

/* An entry that is written over meanwhile has been delivered: whatever is read of it then, it is a node asked more or less. */
bool mms_client_mirrors_late(const struct mms_cluster_sh *cluster)
{
	uint64_t tail = mms_mailbox_tail(&cluster->mailbox);
	struct mms_mailbox_item item;
	int64_t now_us;

	/* Asleep it waits for answers, as of nodes that are far away: all has been sent, and who pushes next wakes it. */
	if (tail == mms_mailbox_head(&cluster->mailbox)
			|| atomic_load_explicit(&cluster->mailbox.sleeping, memory_order_relaxed) != 0) {
		return false;
	}
	now_us = mms_clock_mono().us;
	return now_us - atomic_load_explicit(&cluster->election.beat_us, memory_order_relaxed) > MIRRORS_LATE_US
			&& mms_mailbox_peek(&cluster->mailbox, tail, &item) > 0 && now_us - item.pushed_at.us > MIRRORS_LATE_US;
}

bool mms_client_missed_ours(const struct mms_client *client, unsigned node)
{
	struct mms_cluster_sh *cluster = client->cluster;
	const struct mms_node_sh *sh = &cluster->nodes[node];

	return !mms_breaker_allows_write(&sh->breaker) || mms_hints_count(&cluster->hints, node) > 0
			|| mms_hints_overflowed(&cluster->hints, node)
			|| atomic_load_explicit(&sh->lag_us, memory_order_relaxed) > MIRRORS_LATE_US || mms_client_mirrors_late(cluster);
}
