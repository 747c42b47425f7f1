/* Replicators of one host: threads of this process or of children that can be killed and stopped, and writes for them to
 * carry. The request thread's waits stay long, the replicator's are short. */
#ifndef CREW_H
#define CREW_H

#include "store.h"

#include "mms_election.h"
#include "mms_replicator.h"
#include "mms_write.h"

#define CREW_MAX 4
#define CREW_TIMEOUT_MS 150 /* an answer to a mirror may take four times as long */

/* What the parent tells its children, and they it; in shared memory. */
struct board {
	_Atomic bool leave[CREW_MAX];
	_Atomic bool runs[CREW_MAX];
};

struct worker {
	struct host *host;
	struct board *board;
	unsigned number;
};

static inline struct host *crew_host(unsigned nodes)
{
	struct host *host = host_new(nodes, "web1");

	host->cluster->settings.read_timeout_ms = CREW_TIMEOUT_MS;
	host->cluster->settings.connect_timeout_ms = CREW_TIMEOUT_MS;
	host->cluster->settings.budget_ms = 2 * CREW_TIMEOUT_MS;
	return host;
}

/* A version above all that this host has stamped, onto the local node and into the mailbox; nothing is read. */
static inline enum mms_status put_kind(struct host *host, const char *id, const char *payload, bool tombstone)
{
	struct mms_version version = { .writer = (uint64_t) host->settings.host_hash << 32 | host->shm->mapping_random,
		.hlc = mms_hlc_stamp(&host->shm->hlc, mms_clock_wall(), 0, 500), .sequence = mms_shm_next_sequence(host->shm),
		.tombstone = tombstone };
	struct mms_write_result result;
	struct mms_write_order order;
	struct sample sample;

	sample_make(&sample, id, &version, payload);
	order = (struct mms_write_order){ .kind = MMS_PARCEL_PUT, .key = key_of(id), .header_bytes = sample.bytes,
		.payload = { (const char *) sample.bytes + MMS_RECORD_HEADER_SIZE, sample.len - MMS_RECORD_HEADER_SIZE },
		.ttl_ms = RIG_TTL_MS, .acks_needed = 1 };
	host_calm(host);
	return mms_write_record(host->client, &order, host_deadline(host), &result);
}

static inline void put_session(struct host *host, const char *id, const char *payload)
{
	assert_int_equal(put_kind(host, id, payload, false), MMS_OK);
}

static inline void put_many(struct host *host, const char *stem, unsigned from, unsigned to)
{
	char id[64];

	for (unsigned number = from; number < to; number++) {
		snprintf(id, sizeof(id), "%s%u", stem, number);
		put_session(host, id, id);
	}
}

static inline bool node_has_many(unsigned node, const char *stem, unsigned from, unsigned to)
{
	char id[64];

	for (unsigned number = from; number < to; number++) {
		snprintf(id, sizeof(id), "%s%u", stem, number);
		if (!node_has(node, id, id, NULL)) {
			return false;
		}
	}
	return true;
}

static inline bool mailbox_is_empty(const struct host *host)
{
	return mms_mailbox_tail(&host->cluster->mailbox) == mms_mailbox_head(&host->cluster->mailbox);
}

static inline uint32_t hint_count(const struct host *host, unsigned node)
{
	return mms_hints_count(&host->cluster->hints, node);
}

static inline bool is_ready_for_requests(const struct host *host, unsigned node)
{
	return mms_breaker_allows_write(&host->cluster->nodes[node].breaker);
}

/* Behind markers of any node of this host on that one. */
static inline size_t behind_markers(unsigned node)
{
	struct mms_reply *reply = node_ask(node, "HKEYS", RIG_PREFIX ":behind");
	const size_t count = mms_reply_count(reply);

	mms_reply_free(reply);
	return count;
}

static inline int serve(void *argument)
{
	const struct worker *worker = argument;
	struct mms_descriptors *descriptors = calloc(1, sizeof(*descriptors));
	struct mms_replicator_host in = { .shm = worker->host->shm, .shape = &worker->host->shape, .descriptors = descriptors };
	struct mms_replicator *replicator = mms_replicator_start(&in, worker->host->cluster, &worker->host->cluster->settings, NULL);

	if (replicator == NULL) {
		return 1;
	}
	do {
		atomic_store(&worker->board->runs[worker->number], mms_replicator_running(replicator));
		nap_us(500);
	} while (!atomic_load(&worker->board->leave[worker->number]) && mms_replicator_running(replicator));
	mms_replicator_stop(replicator, 0, false);
	free(descriptors);
	atomic_store(&worker->board->runs[worker->number], false);
	return 0;
}

static inline pid_t worker_start(struct host *host, struct board *board, unsigned number)
{
	struct worker worker = { host, board, number };
	pid_t pid;

	atomic_store(&board->leave[number], false);
	atomic_store(&board->runs[number], false);
	pid = spawn(serve, &worker);
	await(atomic_load(&board->runs[number]));
	return pid;
}

static inline pid_t owner(const struct host *host)
{
	return atomic_load(&host->cluster->election.owner_pid);
}

static inline bool somebody_stands_by(const struct host *host)
{
	return atomic_load(&host->cluster->election.standby_beat_us) != 0;
}

static inline void worker_leave(struct board *board, unsigned number, pid_t pid)
{
	atomic_store(&board->leave[number], true);
	assert_exits_with_0(pid);
}

#endif
