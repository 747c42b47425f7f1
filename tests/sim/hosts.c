/* Each host calls its own node by a Unix socket and the others by address, so no two hosts agree on a node's name. Two pools of one
 * PHP with two values of session.save_path (the same nodes in another order, and the same prefix) are two hosts that have their mapping,
 * id and clock in common: each worker has one of the clusters. */
#include "hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "mms_election.h"
#include "promises.h"
#include "trace.h"

#define MAILBOX_BYTES 65536

struct known_settings {
	bool made;
	uint64_t fingerprint;
	struct mms_settings settings;
};
static struct known_settings known[2][NODES_MAX + 1][HOSTS_MAX]; /* [1]: of pools */

static void make_settings(struct known_settings *made, unsigned node_count, unsigned host)
{
	char nodes[512], *at = nodes;
	struct mms_error error;

	for (unsigned i = 0; i < node_count; i++) {
		unsigned node = (host + i) % node_count;

		if (i == 0) {
			at += sprintf(at, "unix:///run/node%u?name=n%u", node, node);
		} else {
			at += sprintf(at, ",tcp://10.0.0.%u:6379?name=n%u", node + 1, node);
		}
	}
	memset(&made->settings, 0, sizeof made->settings);
	if (mms_config_parse_nodes(mms_slice_of(nodes), &made->settings, &error) != MMS_OK) {
		fprintf(stderr, "sim: %s\n", error.text);
		exit(2);
	}
	made->settings.connect_timeout_ms = 50;
	made->settings.read_timeout_ms = 100;
	made->settings.budget_ms = 250;
	made->settings.max_clock_drift_ms = 500;
	made->settings.max_session_size = 1 << 20;
	made->settings.shutdown_drain_ms = 1000;
	made->settings.repair_interval_s = 86400;
	sprintf(made->settings.host_id, "host%u", world.pools && host == 1 ? 0 : host);
	made->settings.host_hash = mms_crc32c(0, made->settings.host_id, strlen(made->settings.host_id));
	strcpy(made->settings.prefix, PREFIX);
	made->fingerprint = mms_config_fingerprint(&made->settings);
	made->made = true;
}

void hosts_configure(void)
{
	for (unsigned i = 0; i < world.host_count; i++) {
		struct known_settings *mine = &known[world.pools][world.node_count][i];
		struct host *host = &world.hosts[i];

		if (!mine->made) {
			make_settings(mine, world.node_count, i);
		}
		mine->settings.lifetime_s = world.lifetime_s;
		mine->settings.touch_interval_s = world.touch_interval_s;
		mine->settings.write_acks = world.write_acks;
		mine->settings.read_mode = world.read_mode;
		mine->settings.lock = world.lock;
		mine->settings.spin_us = world.spin_us;
		mine->settings.lock_wait_ms = 700;
		mine->settings.lock_ttl_ms = 300; /* some requests think for longer */
		memset(host, 0, sizeof *host);
		host->index = i;
		host->settings = &mine->settings;
		host->fingerprint = mine->fingerprint;
	}
}

struct host *host_other_pool(const struct host *host)
{
	return world.pools && host->index < 2 ? &world.hosts[1 - host->index] : NULL;
}

void host_start(struct host *host)
{
	const struct host *other = host_other_pool(host);
	struct mms_error error;

	host->shm = other != NULL && other->shm != NULL ? other->shm : mms_shm_map(world.pools ? 2 : 1, MAILBOX_BYTES, &error);
	if (host->shm == NULL) {
		fprintf(stderr, "sim: %s\n", error.text);
		abort();
	}
	mms_shm_remember(host->shm, &host->shape);
}

void host_kill_worker(struct host *host, unsigned index)
{
	struct worker *worker = &host->workers[index];

	if (worker->process != NULL) {
		struct process *process = worker->process;

		worker->process = NULL; /* before: the killer may be one of its threads */
		worker->request = NULL;
		sched_kill(process);
	}
}

static void kill_pool(struct host *host)
{
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		host_kill_worker(host, i);
	}
	host->shm = NULL;
	host->cluster = NULL;
}

void host_kill_php(struct host *host)
{
	struct host *other = host_other_pool(host);

	kill_pool(host);
	if (other != NULL) {
		kill_pool(other);
	}
	promises_lost(-1);
}

struct worker *host_worker(struct host *host, unsigned index)
{
	struct worker *worker = &host->workers[index];

	if (worker->process != NULL && !worker->process->alive) {
		worker->process = NULL;
	}
	if (host->shm == NULL) {
		host_start(host);
	}
	if (worker->process == NULL) {
		memset(worker, 0, sizeof *worker);
		worker->process = calloc(1, sizeof *worker->process);
		worker->process->host = host->index;
		worker->process->number = ++host->process_count;
		worker->process->alive = true;
		worker->process->owner = worker;
		worker->replicator_host.shm = host->shm;
		worker->replicator_host.shape = &host->shape;
		worker->replicator_host.descriptors = &worker->descriptors;
	}
	return worker;
}

static void make_client(struct worker *worker)
{
	struct host *host = &world.hosts[worker->process->host];
	struct mms_error error;

	worker->client = mms_client_new(host->shm, host->settings, host->fingerprint, &error);
	if (worker->client == NULL) {
		world_fail("no client: %s", error.text);
		sched_exit();
	}
	host->cluster = worker->client->cluster;
	worker->store = mms_store_new(worker->client);
}

void host_tend(struct worker *worker)
{
	struct mms_cluster_sh *cluster;

	if (worker->client == NULL && !worker->tending) {
		worker->tending = true;
		make_client(worker);
		worker->tending = false;
	}
	if (worker->client == NULL) {
		return; /* an idle request, and another one is at it */
	}
	cluster = worker->client->cluster;
	if (!mms_election_vacant(cluster, mms_clock_mono(), true) || worker->tending
			|| (worker->replicator != NULL && mms_replicator_ask(worker->replicator))) {
		return;
	}
	worker->tending = true; /* process.lock there */
	(void)mms_replicator_stop(worker->replicator, 0, false);
	worker->replicator = mms_replicator_start(&worker->replicator_host, cluster, &worker->client->settings, NULL);
	worker->tending = false;
}

/* Only where no request is under way: a worker of PHP-FPM has one at a time. */
static void *run_idle(void *argument)
{
	host_tend(argument);
	return NULL;
}

void host_idle_request(struct host *host)
{
	struct worker *worker = host_worker(host, 0);

	if (worker->request == NULL) {
		(void)sched_spawn(worker->process, run_idle, worker);
	}
}
