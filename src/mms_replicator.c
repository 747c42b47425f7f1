/* Election, the loop, and the end of it. The difficulty is that the owner may die, be stopped for minutes, or be told to
 * leave at any instruction: the seat's robust mutex tells of death, the heartbeat of a stop, the mailbox' epoch keeps
 * whoever comes back too late from doing harm. libevent runs on poll(2): there is no epoll descriptor that a forked child
 * would share with us. */

#include "mms_replicator.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "mms_election.h"
#include "mms_greeting.h"
#include "mms_last_words.h"
#include "mms_link.h"
#include "mms_lock.h"
#include "mms_mirror.h"
#include "mms_resolver.h"
#include "mms_retire.h"
#include "mms_tending.h"
#include "mms_upkeep.h"

#define STACK_SIZE (256 * 1024)
#define HOT_TICK_US 1000       /* while there is work: acknowledgements are read per tick, producers skip the wake */
#define HOT_QUIET_ROUNDS 3     /* ticks without work before it sleeps */
#define GATHER_US 5000         /* idle, answers are heard together after so long; less than makes a node slow (MMS_BREAKER_SLOW_US) */
#define NEAR_US 500            /* before that they are looked for so long, without sleep */
#define FAR_US 60000000        /* but not for so long, where some took longer */
#define STANDBY_POLL_MS 500    /* where it cannot sleep on the seat */
#define QUICK_LOOKS 3
#define LINGER_MS 100          /* a thread that is not needed, or could not begin, waits before it ends */
#define ROUSE_US 10000         /* who stands by is told to stop so often, should he not hear it */
#define JOIN_PATIENCE_MS 5000 /* beyond the drain */

enum state { RUNNING, ASKED, ENDED }; /* ASKED: somebody relies on it to look once more */

struct mms_replicator {
	struct mms_replicator_host *host;
	struct mms_cluster_sh *cluster;
	struct mms_settings settings;  /* a copy: what stands in the mapping may change */
	bool on_word;                  /* it is the slot's, on the word of whoever claimed it */
	struct mms_shm_shape shape;
	pthread_t thread;
	int stop_fd;                   /* eventfd: the process tells the thread to end */
	_Atomic bool stopping;
	_Atomic uint32_t state;        /* enum state */
	_Atomic bool last;
	_Atomic uint32_t drain_ms;
	/* of the thread alone */
	struct mms_candidate candidate;
	unsigned looks_in_vain;        /* standing by: in a row, without sleep */
	struct mms_retire retire;
	struct mms_mono far_until;     /* answers are not looked for without sleep */
	bool gathered;                 /* answers to what is asked now and then were waited for once */
	bool draining;
	struct mms_mono drain_until;   /* 0 = not told to stop yet */
	struct mms_mono end;           /* of the last words too */
	struct mms_office office;
	struct event *wake, *stop, *timer;
	struct mms_upkeep *upkeep;
	struct mms_resolver *resolver; /* NULL when no node is given by name */
};

static void *run(void *argument);
static bool read_secrets(struct mms_replicator *replicator);
static bool stand_by(struct mms_replicator *replicator);
static bool linger(struct mms_replicator *replicator);
static bool must_succeed(struct mms_replicator *replicator);
static bool open_office(struct mms_replicator *replicator);
static void close_office(struct mms_replicator *replicator);
static bool serve(struct mms_replicator *replicator);
static bool round_once(struct mms_replicator *replicator);
static void sleep_until_work(struct mms_replicator *replicator, unsigned quiet_rounds);
static bool must_hand_over(struct mms_replicator *replicator);
static bool drained(struct mms_replicator *replicator);
static void say_last_words(struct mms_replicator *replicator);

struct mms_replicator *mms_replicator_start(struct mms_replicator_host *host, struct mms_cluster_sh *cluster,
		const struct mms_settings *settings, struct mms_error *error)
{
	struct mms_replicator *replicator = calloc(1, sizeof *replicator);
	pthread_attr_t attributes;
	sigset_t all, old;
	int failed;

	if (replicator == NULL) {
		mms_error_set(error, "out of memory for the replicator");
		return NULL;
	}
	replicator->host = host;
	replicator->cluster = cluster;
	replicator->settings = settings != NULL ? *settings : cluster->settings;
	replicator->on_word = settings == NULL;
	replicator->shape = *host->shape;
	if (!mms_config_sound(&replicator->settings)) {
		mms_error_set(error, "replicator: the settings in shared memory are damaged");
		free(replicator);
		return NULL;
	}
	replicator->candidate = (struct mms_candidate){ .cluster = cluster, .seat = MMS_ELECTION_NO_SEAT };
	replicator->stop_fd = mms_fd_move_up(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (replicator->stop_fd < 0) {
		mms_error_set(error, "replicator: eventfd: %s", strerror(errno));
		free(replicator);
		return NULL;
	}
	mms_descriptors_add(host->descriptors, replicator->stop_fd);
	/* The thread inherits the mask: PHP's signals must never land on it. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	failed = pthread_create(&replicator->thread, &attributes, run, replicator);
	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (failed != 0) {
		mms_error_set(error, "replicator: pthread_create: %s", strerror(failed));
		mms_descriptors_remove(host->descriptors, replicator->stop_fd);
		close(replicator->stop_fd);
		free(replicator);
		return NULL;
	}
	return replicator;
}

bool mms_replicator_running(const struct mms_replicator *replicator)
{
	return atomic_load(&replicator->state) != ENDED;
}

bool mms_replicator_ask(struct mms_replicator *replicator)
{
	uint32_t expected = RUNNING;

	return atomic_compare_exchange_strong(&replicator->state, &expected, ASKED) || expected == ASKED;
}

/* In office it hears the descriptor, standing by it has to be roused. */
static bool join(const struct mms_replicator *replicator, struct mms_mono until)
{
	struct mms_mono next = mms_clock_mono();

	do {
		mms_election_rouse(replicator->cluster);
		next.us = next.us + ROUSE_US < until.us ? next.us + ROUSE_US : until.us;
		if (mms_lock_join(replicator->thread, next)) {
			return true;
		}
	} while (next.us < until.us);
	return false;
}

bool mms_replicator_stop(struct mms_replicator *replicator, uint32_t drain_ms, bool last)
{
	struct mms_mono until = mms_clock_mono();
	uint64_t one = 1;

	if (replicator == NULL) {
		return true;
	}
	atomic_store(&replicator->drain_ms, drain_ms);
	atomic_store(&replicator->last, last);
	atomic_store(&replicator->stopping, true);
	(void)!write(replicator->stop_fd, &one, sizeof one);
	until.us += ((int64_t)drain_ms + JOIN_PATIENCE_MS) * 1000;
	if (!join(replicator, until)) {
		pthread_detach(replicator->thread); /* stuck in the kernel (a dead file system): not worth hanging at exit */
		return false;
	}
	mms_descriptors_remove(replicator->host->descriptors, replicator->stop_fd);
	close(replicator->stop_fd);
	free(replicator);
	return true;
}

const char *mms_replicator_library_version(void)
{
	return event_get_version();
}

static void *run(void *argument)
{
	struct mms_replicator *replicator = argument;

	/* Bounded by stop: each turn is in office, standing by, lingering, or the last. */
	for (bool goes_on = true; goes_on;) {
		(void)mms_shm_mend(replicator->host->shm, &replicator->shape, replicator->cluster);
		if (mms_election_win(&replicator->candidate, &replicator->office.epoch)) {
			bool replaced = open_office(replicator) && !serve(replicator);

			close_office(replicator);
			mms_election_resign(&replicator->candidate);
			/* Of two that took the office for empty each may have replaced the other: whoever is replaced looks again. */
			goes_on = atomic_load(&replicator->stopping) ? (replaced || !replicator->last) && must_succeed(replicator)
					: replaced || linger(replicator);
		} else {
			goes_on = stand_by(replicator) || linger(replicator);
		}
	}
	mms_election_withdraw(&replicator->candidate);
	atomic_store(&replicator->state, ENDED);
	return NULL;
}

/* Not needed now. Its process starts no other meanwhile, and there may be no request later: what was asked for in this time is looked
 * for at the end of it. False when nothing was. */
static bool linger(struct mms_replicator *replicator)
{
	struct pollfd stop = { .fd = replicator->stop_fd, .events = POLLIN };
	uint32_t expected = RUNNING;

	(void)poll(&stop, 1, LINGER_MS);
	if (atomic_load(&replicator->stopping)) {
		return atomic_exchange(&replicator->state, RUNNING) == ASKED || must_succeed(replicator);
	}
	if (atomic_compare_exchange_strong(&replicator->state, &expected, ENDED)) {
		return false;
	}
	atomic_store(&replicator->state, RUNNING);
	return true;
}

/* Waits for a while to succeed; false when this thread is not needed or told to stop. */
static bool stand_by(struct mms_replicator *replicator)
{
	struct pollfd stop = { .fd = replicator->stop_fd, .events = POLLIN };

	if (atomic_load(&replicator->stopping)) {
		return must_succeed(replicator);
	}
	if (!mms_election_stand_by(&replicator->candidate)) {
		return false;
	}
	if (mms_election_watch(&replicator->candidate)) {
		replicator->looks_in_vain = 0;
	} else {
		/* Free by now, mostly; a damaged mutex, or an unknown kind of it, is no reason to turn round and round. */
		(void)poll(&stop, 1, replicator->looks_in_vain < QUICK_LOOKS ? 1 : STANDBY_POLL_MS);
		replicator->looks_in_vain += replicator->looks_in_vain < QUICK_LOOKS;
	}
	return !atomic_load(&replicator->stopping) || must_succeed(replicator);
}

static void begin_stopping(struct mms_replicator *replicator)
{
	int64_t drain_us = (int64_t)atomic_load(&replicator->drain_ms) * 1000;

	if (replicator->drain_until.us == 0) {
		replicator->end.us = mms_clock_mono().us + drain_us;
		/* The last process keeps some of it for last words. */
		replicator->drain_until.us = replicator->end.us - (atomic_load(&replicator->last) ? drain_us * 2 / 5 : 0);
	}
}

/* Told to stop without being in office: whoever is may have died just now, or be leaving too, with no request to come that
 * would start another. So nobody goes before the mailbox is empty or his time is over. */
static bool must_succeed(struct mms_replicator *replicator)
{
	if (mms_mailbox_entries(&replicator->cluster->mailbox) == 0) {
		return false;
	}
	begin_stopping(replicator);
	(void)poll(NULL, 0, HOT_TICK_US / 1000);
	return mms_clock_mono().us < replicator->drain_until.us;
}

static void on_wake(evutil_socket_t fd, short what, void *argument)
{
	uint64_t count;

	(void)what;
	(void)argument;
	(void)!read(fd, &count, sizeof count);
}

/* The timer, and the order to stop, which replicator->stopping tells. */
static void only_end_the_sleep(evutil_socket_t fd, short what, void *argument)
{
	(void)fd;
	(void)what;
	(void)argument;
}

/* The first process of php-fpm, which is root, knows a cluster by its slot alone, which every worker can write to. */
static bool read_secrets(struct mms_replicator *replicator)
{
	const struct mms_cluster_sh *cluster = replicator->cluster;
	struct mms_office *office = &replicator->office;
	char *path = replicator->settings.password_file, *out = office->password;

	if (mms_config_tls_context(&replicator->settings, &office->tls, NULL) != MMS_OK) {
		return false;
	}
	if (!replicator->on_word) {
		(void)mms_config_read_password(path, out, NULL);
		return true;
	}
	(void)mms_config_read_secrets_for(cluster->claimer_uid, cluster->claimer_gid, path, out, office->tls, NULL);
	path[0] = '\0'; /* nobody reads them again */
	mms_tls_context_freeze(office->tls);
	return true;
}

static bool open_office(struct mms_replicator *replicator)
{
	struct mms_office *office = &replicator->office;
	struct mms_cluster_sh *cluster = replicator->cluster;
	struct event_config *config = event_config_new();
	struct mms_error error;

	office->shm = replicator->host->shm;
	office->cluster = cluster;
	office->settings = &replicator->settings;
	office->descriptors = replicator->host->descriptors;
	office->node_count = replicator->settings.node_count;
	office->now = mms_clock_mono();
	office->random_state = (uint32_t)office->now.us | 1u;
	mms_retire_begin(&replicator->retire, atomic_load(&replicator->host->request_count));
	if (config != NULL) {
		(void)event_config_avoid_method(config, "epoll");
		(void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
		office->base = event_base_new_with_config(config);
		event_config_free(config);
	}
	office->links = calloc(office->node_count, sizeof *office->links);
	replicator->upkeep = office->links == NULL ? NULL : mms_upkeep_new(office);
	if (!read_secrets(replicator) || office->base == NULL || office->links == NULL || replicator->upkeep == NULL) {
		return false;
	}
	for (unsigned i = 0; i < office->node_count; i++) {
		if (mms_link_init(&office->links[i], office, i, &error) != MMS_OK) {
			return false;
		}
		office->links[i].ack_position = mms_mailbox_tail(&cluster->mailbox);
		office->links[i].send_position = office->links[i].ack_position;
		office->links[i].distrust_until = office->links[i].ack_position;
		if (mms_mailbox_distance(office->links[i].ack_position, atomic_load(&cluster->nodes[i].distrust_until)) > 0) {
			office->links[i].distrust_until = atomic_load(&cluster->nodes[i].distrust_until);
		}
	}
	replicator->resolver = mms_resolver_new(office);
	replicator->wake = event_new(office->base, atomic_load(&cluster->wake_fd), EV_READ | EV_PERSIST, on_wake, NULL);
	replicator->stop = event_new(office->base, replicator->stop_fd, EV_READ, only_end_the_sleep, NULL);
	replicator->timer = event_new(office->base, -1, 0, only_end_the_sleep, NULL);
	return replicator->wake != NULL && replicator->stop != NULL && replicator->timer != NULL && event_add(replicator->wake, NULL) == 0
			&& event_add(replicator->stop, NULL) == 0;
}

static void close_office(struct mms_replicator *replicator)
{
	struct mms_office *office = &replicator->office;

	for (unsigned i = 0; office->links != NULL && i < office->node_count; i++) {
		mms_link_fini(&office->links[i]);
	}
	mms_resolver_free(replicator->resolver);
	replicator->resolver = NULL;
	if (replicator->wake != NULL) {
		event_free(replicator->wake);
	}
	if (replicator->stop != NULL) {
		event_free(replicator->stop);
	}
	if (replicator->timer != NULL) {
		event_free(replicator->timer);
	}
	if (office->base != NULL) {
		event_base_free(office->base);
	}
	mms_upkeep_free(replicator->upkeep);
	replicator->upkeep = NULL;
	free(office->links);
	mms_tls_context_free(office->tls);
	explicit_bzero(office->password, sizeof office->password);
	memset(office, 0, sizeof *office);
	replicator->wake = replicator->stop = replicator->timer = NULL;
	replicator->draining = false;
}

/* False when another has succeeded this one. */
static bool serve(struct mms_replicator *replicator)
{
	struct mms_office *office = &replicator->office;
	unsigned quiet_rounds = 0;

	mms_mailbox_stay_awake(&replicator->cluster->mailbox);
	while (!drained(replicator) && !must_hand_over(replicator)) {
		if (!round_once(replicator)) {
			return false;
		}
		quiet_rounds = office->busy ? 0 : quiet_rounds + 1;
		sleep_until_work(replicator, quiet_rounds);
	}
	if (office->last_words) {
		say_last_words(replicator);
	}
	return true;
}

static void say_last_words(struct mms_replicator *replicator)
{
	struct mms_office *office = &replicator->office;

	for (unsigned i = 0; i < office->node_count; i++) {
		mms_link_drop(&office->links[i]);
	}
	mms_last_words_say(office, replicator->end);
}

/* One turn of the loop without waiting; false when another replicator is in office. */
static bool round_once(struct mms_replicator *replicator)
{
	struct mms_office *office = &replicator->office;
	struct mms_election_sh *election = &replicator->cluster->election;

	office->now = mms_clock_mono();
	office->busy = false;
	if (atomic_load(&election->seat) != replicator->candidate.seat) {
		return false;
	}
	(void)mms_shm_mend(office->shm, &replicator->shape, office->cluster);
	atomic_store(&election->beat_us, office->now.us);
	office->none_usable = true;
	for (unsigned i = 0; i < office->node_count; i++) {
		office->none_usable = office->none_usable
				&& !mms_breaker_allows_read(&mms_link_node(&office->links[i])->breaker);
	}
	for (unsigned i = 0; i < office->node_count; i++) {
		mms_tending_run(&office->links[i]);
		mms_greeting_recheck(&office->links[i]);
	}
	mms_resolver_run(replicator->resolver);
	mms_upkeep_run(replicator->upkeep);
	return mms_mirror_run(office);
}

static int64_t sooner(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* When the loop must look again without being told. */
static int64_t next_look_us(const struct mms_replicator *replicator)
{
	const struct mms_office *office = &replicator->office;
	int64_t next = office->now.us + MMS_REPLICATOR_BEAT_US;

	for (unsigned i = 0; i < office->node_count; i++) {
		int64_t at = mms_tending_next_us(&office->links[i]);

		next = at < next ? at : next;
	}
	next = sooner(next, mms_upkeep_next_us(replicator->upkeep));
	next = sooner(next, mms_resolver_next_us(replicator->resolver));
	return next;
}

/* Answers to the questions of every second are on their way, and nothing else: those of all nodes mostly come within some
 * milliseconds, one by one each would be a wake-up. */
static bool gathers_answers(struct mms_replicator *replicator)
{
	const struct mms_office *office = &replicator->office;
	bool awaited = mms_link_any_asked(office), busy = !mms_upkeep_idle(replicator->upkeep);

	for (unsigned i = 0; i < office->node_count; i++) {
		const struct mms_link *link = &office->links[i];

		busy = busy || link->state == MMS_LINK_CONNECTING || link->mirrors_in_flight > 0;
	}
	awaited = awaited && !busy;
	replicator->gathered = awaited && !replicator->gathered;
	return replicator->gathered;
}

/* Near nodes answer within less than a wake-up costs. True when there is no reason to sleep: all have, or something was pushed, whose
 * wake-up is used up here. Where some node was too far, that is not tried for a while. */
static bool heard_at_once(struct mms_replicator *replicator, uint64_t head)
{
	const struct mms_office *office = &replicator->office;
	const struct mms_mailbox_sh *mailbox = &replicator->cluster->mailbox;
	struct mms_mono now = mms_clock_mono(), until = { now.us + NEAR_US };

	while (now.us >= replicator->far_until.us && mms_link_any_asked(office) && mms_mailbox_head(mailbox) == head) {
		(void)sched_yield(); /* to the node itself, when it shares this core */
		(void)event_base_loop(office->base, EVLOOP_NONBLOCK);
		now = mms_clock_mono();
		replicator->far_until.us = now.us >= until.us ? now.us + FAR_US : replicator->far_until.us;
	}
	return !mms_link_any_asked(office) || mms_mailbox_head(mailbox) != head;
}

/* Waits for answers, then sleeps with no ear for the nodes. Producers may wake it. */
static void gather(struct mms_replicator *replicator, uint64_t head)
{
	struct mms_mailbox_sh *mailbox = &replicator->cluster->mailbox;
	struct pollfd fds[] = { { .fd = replicator->stop_fd, .events = POLLIN },
		{ .fd = atomic_load(&replicator->cluster->wake_fd), .events = POLLIN } };

	if (!heard_at_once(replicator, head)) {
		(void)poll(fds, 2, GATHER_US / 1000);
	}
	if (mms_mailbox_owned(mailbox, replicator->office.epoch)) {
		mms_mailbox_stay_awake(mailbox);
	}
	(void)event_base_loop(replicator->office.base, EVLOOP_NONBLOCK);
}

static void sleep_until_work(struct mms_replicator *replicator, unsigned quiet_rounds)
{
	struct mms_office *office = &replicator->office;
	struct mms_mailbox_sh *mailbox = &replicator->cluster->mailbox;
	bool hot = quiet_rounds < HOT_QUIET_ROUNDS || atomic_load(&replicator->stopping);
	struct pollfd stop = { .fd = replicator->stop_fd, .events = POLLIN };
	uint64_t head = mms_mailbox_head(mailbox);
	bool waiting = false;
	struct timeval wait;
	int64_t wait_us;

	if (hot) {
		/* Nobody is listened to for a tick: what comes in meanwhile is handled in one go. Half the CPU of reacting to
		 * every acknowledgement. */
		(void)poll(&stop, atomic_load(&replicator->stopping) ? 0 : 1, HOT_TICK_US / 1000);
		(void)event_base_loop(office->base, EVLOOP_NONBLOCK);
		return;
	}
	/* Entries that no link could take yet (window full, marker not set): what frees them wakes the loop. */
	for (unsigned i = 0; i < office->node_count; i++) {
		waiting = waiting || office->links[i].send_position != head;
	}
	if (!waiting && !mms_mailbox_fall_asleep(mailbox, head)) {
		return;
	}
	wait_us = mms_clock_apart(next_look_us(replicator), mms_clock_mono().us);
	wait_us = wait_us < HOT_TICK_US ? HOT_TICK_US : wait_us;
	wait_us = waiting && wait_us > 10 * HOT_TICK_US ? 10 * HOT_TICK_US : wait_us;
	if (!waiting && wait_us > GATHER_US && gathers_answers(replicator)) { /* a repair looks sooner again */
		gather(replicator, head);
		return;
	}
	wait.tv_sec = wait_us / 1000000;
	wait.tv_usec = wait_us % 1000000;
	(void)event_add(replicator->timer, &wait);
	(void)event_base_loop(office->base, EVLOOP_ONCE);
	if (mms_mailbox_owned(mailbox, office->epoch)) {
		mms_mailbox_stay_awake(mailbox);
	}
}

/* Whoever asked until now asked for what this thread does: when it has left, it must not come back within the same request. */
static bool must_hand_over(struct mms_replicator *replicator)
{
	const struct mms_replicator_host *host = replicator->host;

	if (!mms_retire_wanted(&replicator->retire, &replicator->office, atomic_load_explicit(&host->request_count, memory_order_relaxed),
			atomic_load_explicit(&host->cpu_allowance_ms, memory_order_relaxed))) {
		return false;
	}
	atomic_store(&replicator->state, RUNNING);
	return mms_election_has_standby(replicator->cluster, replicator->office.now);
}

/* Told to stop: true when what was in the mailbox then is done with, or the time is over. */
static bool drained(struct mms_replicator *replicator)
{
	struct mms_mailbox_sh *mailbox = &replicator->cluster->mailbox;
	struct mms_mono now;

	if (!atomic_load(&replicator->stopping)) {
		return false;
	}
	now = mms_clock_mono();
	if (!replicator->draining) {
		replicator->draining = true;
		replicator->office.last_words = atomic_load(&replicator->last);
		begin_stopping(replicator);
	}
	if (now.us >= replicator->drain_until.us) {
		return true;
	}
	if (!(mms_mailbox_tail(mailbox) == mms_mailbox_head(mailbox)
				&& (!replicator->office.last_words || mms_upkeep_idle(replicator->upkeep)))
			&& !(replicator->office.last_words && mms_mirror_all_heard(&replicator->office))) {
		return false;
	}
	/* Acknowledged everywhere, but not passed yet: the next round does, or it would seem that something was left. */
	if (mms_mailbox_tail(mailbox) != mms_mailbox_head(mailbox) && mms_mirror_all_acknowledged(&replicator->office)) {
		return false;
	}
	return !replicator->office.last_words || mms_upkeep_leave(replicator->upkeep);
}
