/* Fork and exit. A fork is noticed by a word in a page that the kernel wipes in the child (MADV_WIPEONFORK): a load
 * instead of getpid(), a system call since glibc 2.25. "Am I the last one?" is answered by the kernel too: all processes
 * inherit the write end of a pipe, and who closes his and then reads end-of-file was the last, whatever killed the others. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pipe2 */
#endif

#include "mms_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "mms_election.h"
#include "mms_replicator.h"

#define HAND_OVER_DRAIN_MS 100
#define CLUSTERS_MAX 64
#define RESTART_PAUSE_US 100000 /* before another attempt of this process to start the same thread, after one that failed */

enum fork_word { FORK_WIPED = 0, FORK_ADOPTING = 1, FORK_KNOWN = 2 };

struct mms_process {
	struct mms_shm *shm;
	struct mms_shm_shape shape;           /* of shm: nothing that stands in it is followed unchecked */
	_Atomic uint32_t *fork_word;          /* in a page of its own */
	_Atomic uint32_t generation;
	int life_pipe[2];
	struct mms_descriptors descriptors;
	struct mms_replicator_host host;
	pthread_mutex_t lock;                 /* of this process: starting and stopping threads */
	struct mms_replicator *replicators[CLUSTERS_MAX]; /* under lock, what they point to as well */
	struct mms_settings *settings[CLUSTERS_MAX]; /* of the clusters that this process serves, under lock; NULL = of none */
	int64_t failed_at_us[CLUSTERS_MAX];  /* the last attempt to start a thread, if it was in vain; under lock */
};

static bool open_life_pipe(int ends[2]);
static void close_life_pipe(const int ends[2]);
static void adopt(struct mms_process *process);
static void tend(struct mms_process *process, struct mms_cluster_sh *cluster, const struct mms_settings *settings);
static uint32_t index_of(const struct mms_process *process, const struct mms_cluster_sh *cluster);
static void start_thread(struct mms_process *process, struct mms_cluster_sh *cluster,
		const struct mms_settings *settings, uint32_t index, int64_t now_us);
static bool hints_left(const struct mms_cluster_sh *cluster);
static bool is_last(struct mms_process *process);

struct mms_process *mms_process_new(uint32_t max_clusters, uint64_t mailbox_size, struct mms_error *error)
{
	struct mms_process *process = calloc(1, sizeof *process);
	long page_size = sysconf(_SC_PAGESIZE);
	void *page;

	if (process == NULL) {
		mms_error_set(error, "out of memory");
		return NULL;
	}
	process->life_pipe[0] = process->life_pipe[1] = -1;
	(void)pthread_mutex_init(&process->lock, NULL);
	page = mmap(NULL, (size_t)page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page == MAP_FAILED || madvise(page, (size_t)page_size, MADV_WIPEONFORK) != 0
			|| !open_life_pipe(process->life_pipe)) {
		mms_error_set(error, "start-up: %s", strerror(errno));
		goto failed;
	}
	process->fork_word = page;
	atomic_store(process->fork_word, FORK_KNOWN);
	process->shm = mms_shm_map(max_clusters > CLUSTERS_MAX ? CLUSTERS_MAX : max_clusters, mailbox_size, error);
	if (process->shm == NULL) {
		goto failed;
	}
	mms_shm_remember(process->shm, &process->shape);
	process->host.shm = process->shm;
	process->host.shape = &process->shape;
	process->host.descriptors = &process->descriptors;
	return process;
failed:
	close_life_pipe(process->life_pipe);
	if (page != MAP_FAILED) {
		munmap(page, (size_t)page_size);
	}
	free(process);
	return NULL;
}

static bool open_life_pipe(int ends[2])
{
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
		return false;
	}
	ends[0] = mms_fd_move_up(ends[0]);
	ends[1] = ends[0] < 0 ? ends[1] : mms_fd_move_up(ends[1]);
	return ends[0] >= 0 && ends[1] >= 0;
}

static void close_life_pipe(const int ends[2])
{
	for (unsigned i = 0; i < 2; i++) {
		if (ends[i] >= 0) {
			close(ends[i]);
		}
	}
}

bool mms_process_end(struct mms_process *process, uint32_t drain_ms)
{
	bool last, ended = true;

	if (process == NULL) {
		return true;
	}
	(void)mms_process_generation(process);
	last = is_last(process);
	(void)mms_shm_mend(process->shm, &process->shape, NULL);
	for (uint32_t i = 0; i < CLUSTERS_MAX && i < process->shape.slot_count; i++) {
		struct mms_cluster_sh *cluster = mms_shm_cluster_at(process->shm, i);

		if (cluster == NULL) {
			continue;
		}
		/* Whoever is in office may be leaving too: what is in the mailbox is everybody's business. */
		if ((mms_mailbox_entries(&cluster->mailbox) > 0 || (last && (hints_left(cluster) || atomic_load(&cluster->published) != 0)))
				&& (process->replicators[i] == NULL || !mms_replicator_ask(process->replicators[i]))) {
			(void)mms_replicator_stop(process->replicators[i], 0, false); /* has ended: joins at once */
			process->replicators[i] = mms_replicator_start(&process->host, cluster, process->settings[i], NULL);
		}
		ended = mms_replicator_stop(process->replicators[i], last ? drain_ms : HAND_OVER_DRAIN_MS, last) && ended;
		process->replicators[i] = NULL;
	}
	close(process->life_pipe[0]);
	if (!ended) {
		return false; /* a thread still uses it; the process is about to end anyway */
	}
	munmap((void *)process->fork_word, (size_t)sysconf(_SC_PAGESIZE));
	for (uint32_t i = 0; i < CLUSTERS_MAX; i++) {
		free(process->settings[i]);
	}
	free(process);
	return true;
}

struct mms_shm *mms_process_shm(struct mms_process *process)
{
	(void)mms_shm_mend(process->shm, &process->shape, NULL);
	return process->shm;
}

uint32_t mms_process_generation(struct mms_process *process)
{
	if (atomic_load_explicit(process->fork_word, memory_order_acquire) != FORK_KNOWN) {
		adopt(process);
	}
	return atomic_load_explicit(&process->generation, memory_order_relaxed);
}

void mms_process_tend(struct mms_process *process, struct mms_cluster_sh *cluster, const struct mms_settings *settings,
		uint32_t cpu_allowance_ms)
{
	atomic_store_explicit(&process->host.cpu_allowance_ms, cpu_allowance_ms, memory_order_relaxed);
	tend(process, cluster, settings);
}

static void tend(struct mms_process *process, struct mms_cluster_sh *cluster, const struct mms_settings *settings)
{
	(void)mms_shm_mend(process->shm, &process->shape, cluster);
	atomic_fetch_add_explicit(&process->host.request_count, 1, memory_order_relaxed);
	mms_process_look_after(process, cluster, settings);
}

void mms_process_look_after(struct mms_process *process, struct mms_cluster_sh *cluster, const struct mms_settings *settings)
{
	const struct mms_mono now = mms_clock_mono();

	if (mms_election_vacant(cluster, now, true)) {
		start_thread(process, cluster, settings, index_of(process, cluster), now.us);
	}
}

bool mms_process_flush(struct mms_process *process, struct mms_cluster_sh *cluster, const struct mms_settings *settings,
		uint32_t timeout_ms)
{
	struct mms_mono until = mms_clock_mono();
	uint64_t head = mms_mailbox_head(&cluster->mailbox);

	until.us += (int64_t)timeout_ms * 1000;
	for (;;) {
		struct timespec pause = { 0, 500000 };

		if (mms_mailbox_distance(mms_mailbox_tail(&cluster->mailbox), head) <= 0) {
			return true;
		}
		if (mms_clock_left_us(mms_clock_mono(), until) == 0) {
			return false;
		}
		tend(process, cluster, settings); /* a request that waits for the thread lets it have its time, but allows no more beyond */
		mms_shm_wake(cluster);
		(void)nanosleep(&pause, NULL);
	}
}

/* In a child: the threads are gone, their descriptors are not. One thread of the child does it, others wait (a few
 * microseconds; bounded, because nobody can be killed alone). */
static void adopt(struct mms_process *process)
{
	uint32_t expected = FORK_WIPED;

	if (!atomic_compare_exchange_strong(process->fork_word, &expected, FORK_ADOPTING)) {
		while (atomic_load(process->fork_word) == FORK_ADOPTING) {
			(void)poll(NULL, 0, 1);
		}
		return;
	}
	mms_descriptors_close_all(&process->descriptors);
	/* The structs of the parent's threads stay allocated: they may have been in the middle of anything. */
	memset(process->replicators, 0, sizeof process->replicators);
	memset(process->failed_at_us, 0, sizeof process->failed_at_us);
	(void)pthread_mutex_init(&process->lock, NULL);
	atomic_fetch_add(&process->generation, 1);
	atomic_store(process->fork_word, FORK_KNOWN);
}

static uint32_t index_of(const struct mms_process *process, const struct mms_cluster_sh *cluster)
{
	uint64_t offset = (uint64_t)((const char *)cluster - (const char *)process->shm);

	/* Less than one slot lies before the first. */
	return (uint32_t)(offset / process->shape.slot_size) % CLUSTERS_MAX;
}

/* Only whoever holds the lock may look at this process's replicator: another thread (ZTS) may be freeing it to make a new
 * one, for this cluster or another. That is all that is done under it. */
static void start_thread(struct mms_process *process, struct mms_cluster_sh *cluster,
		const struct mms_settings *settings, uint32_t index, int64_t now_us)
{
	struct mms_replicator *mine;

	pthread_mutex_lock(&process->lock);
	mine = process->replicators[index];
	if ((mine == NULL || !mms_replicator_ask(mine)) && now_us - process->failed_at_us[index] > RESTART_PAUSE_US) {
		(void)mms_replicator_stop(mine, 0, false); /* has ended: joins at once */
		process->replicators[index] = mms_replicator_start(&process->host, cluster, settings, NULL);
		process->failed_at_us[index] = process->replicators[index] == NULL ? now_us : 0;
		if (process->settings[index] == NULL) {
			process->settings[index] = malloc(sizeof *settings);
		}
		if (process->settings[index] != NULL) {
			*process->settings[index] = *settings;
		}
	}
	pthread_mutex_unlock(&process->lock);
}

static bool hints_left(const struct mms_cluster_sh *cluster)
{
	for (uint32_t i = 0; i < MMS_NODES_MAX; i++) {
		if (mms_hints_count(&cluster->hints, i) > 0) {
			return true;
		}
	}
	return false;
}

static bool is_last(struct mms_process *process)
{
	struct pollfd reader = { .fd = process->life_pipe[0], .events = POLLIN };

	close(process->life_pipe[1]);
	return poll(&reader, 1, 0) > 0 && (reader.revents & POLLHUP) != 0;
}
