/* Forks and ends: who notices a fork, what a child leaves alone, who is the last one on the mapping and empties it. */
#include "crew.h"

#include <dirent.h>
#include <fcntl.h>

#include "mms_process.h"

struct family {
	struct mms_process *process;
	struct host host;
	struct board *board;
};

static void family_new(struct family *family, unsigned nodes)
{
	struct mms_error error = { "" };
	struct host *host = &family->host;

	rig_fresh();
	family->process = mms_process_new(1, RIG_MAILBOX, &error);
	if (family->process == NULL) {
		fail_msg("%s", error.text);
	}
	memset(host, 0, sizeof(*host));
	settings_default(&host->settings, nodes, "web1");
	host->shm = mms_process_shm(family->process);
	host->client = client_on(host->shm, &host->settings);
	host->cluster = host->client->cluster;
	host->cluster->settings.read_timeout_ms = CREW_TIMEOUT_MS;
	host->cluster->settings.connect_timeout_ms = CREW_TIMEOUT_MS;
	host->cluster->settings.budget_ms = 2 * CREW_TIMEOUT_MS;
	family->board = shared_pages(sizeof(*family->board));
}

static void family_end(struct family *family, uint32_t drain_ms)
{
	mms_process_end(family->process, drain_ms);
	family->process = NULL;
}

/* The mapping outlives its process struct. */
static void family_free(struct family *family)
{
	mms_client_free(family->host.client);
	mms_shm_unmap(family->host.shm);
	munmap(family->board, sizeof(*family->board));
}

/* Until somebody is in office and somebody stands by. */
static bool tend_until_all_is_well(struct family *family)
{
	const int64_t until = now_us() + DEADLINE_US;

	while (mms_election_vacant(family->host.cluster, mms_clock_mono(), true)) {
		if (now_us() > until) {
			return false;
		}
		mms_process_tend(family->process, family->host.cluster, &family->host.cluster->settings, 0);
		nap_us(1000);
	}
	return true;
}

/* A worker: tends the cluster until it is told to leave, and ends as PHP's do. */
static int work(void *argument)
{
	const struct worker *worker = argument;
	struct family *family = (struct family *) worker->host;

	mms_client_drop_connections(family->host.client);
	while (!atomic_load(&family->board->leave[worker->number])) {
		(void) mms_process_generation(family->process);
		mms_process_tend(family->process, family->host.cluster, &family->host.cluster->settings, 0);
		atomic_store(&family->board->runs[worker->number], true);
		nap_us(1000);
	}
	family_end(family, 20000);
	return 0;
}

static pid_t start_worker(struct family *family, unsigned number)
{
	struct worker worker = { (struct host *) family, family->board, number };
	pid_t pid;

	atomic_store(&family->board->leave[number], false);
	atomic_store(&family->board->runs[number], false);
	pid = spawn(work, &worker);
	await(atomic_load(&family->board->runs[number]));
	return pid;
}

static void the_last_process_empties_the_mailbox(void **state)
{
	struct family family;

	(void) state;
	family_new(&family, 3);
	put_many(&family.host, "s", 0, 100);
	family_end(&family, 20000);
	assert_true(node_has_many(1, "s", 0, 100));
	assert_true(node_has_many(2, "s", 0, 100));
	family_free(&family);
}

static void the_last_one_with_a_replicator_of_its_own_empties_it_too(void **state)
{
	struct family family;

	(void) state;
	family_new(&family, 3);
	mms_process_tend(family.process, family.host.cluster, &family.host.cluster->settings, 0);
	await(owner(&family.host) == getpid());
	put_many(&family.host, "s", 0, 100);
	family_end(&family, 20000);
	assert_true(node_has_many(1, "s", 0, 100));
	assert_true(node_has_many(2, "s", 0, 100));
	family_free(&family);
}

static void an_end_with_nothing_to_do_is_quick(void **state)
{
	struct family family;
	int64_t before;

	(void) state;
	family_new(&family, 3);
	node_kill(1);
	before = now_us();
	family_end(&family, 60000);
	assert_true(now_us() - before < 5000000);
	family_free(&family);
	mms_process_end(NULL, 1000);
}

static void who_is_not_the_last_hands_over_and_does_not_wait(void **state)
{
	struct family family;
	int64_t before;
	pid_t child;

	(void) state;
	family_new(&family, 2);
	family.host.cluster->settings.read_timeout_ms = 10000;
	child = start_worker(&family, 0);
	await(owner(&family.host) == child);
	node_stop(1);
	put_many(&family.host, "s", 0, 10);
	before = now_us();
	family_end(&family, 60000);
	assert_true(now_us() - before < 10000000);
	node_continue(1);
	atomic_store(&family.board->leave[0], true);
	assert_exits_with_0(child);
	assert_true(node_has_many(1, "s", 0, 10));
	family_free(&family);
}

static void a_worker_that_ends_last_empties_the_mailbox(void **state)
{
	struct family family;
	pid_t child;

	(void) state;
	family_new(&family, 3);
	child = start_worker(&family, 0);
	family_end(&family, 0);
	put_many(&family.host, "s", 0, 100);
	atomic_store(&family.board->leave[0], true);
	assert_exits_with_0(child);
	assert_true(node_has_many(1, "s", 0, 100));
	assert_true(node_has_many(2, "s", 0, 100));
	family_free(&family);
}

/* php-fpm's master after its workers were killed: it has never had a replicator. */
static void killed_siblings_do_not_count(void **state)
{
	struct family family;
	pid_t children[3];

	(void) state;
	family_new(&family, 3);
	for (unsigned i = 0; i < 3; i++) {
		children[i] = start_worker(&family, i);
	}
	await(owner(&family.host) != 0);
	for (unsigned i = 0; i < 3; i++) {
		kill_child(children[i]);
	}
	put_many(&family.host, "s", 0, 100);
	family_end(&family, 20000);
	assert_true(node_has_many(1, "s", 0, 100));
	assert_true(node_has_many(2, "s", 0, 100));
	family_free(&family);
}

static void a_stand_by_that_is_the_last_empties_the_mailbox(void **state)
{
	struct family family;
	pid_t child;

	(void) state;
	family_new(&family, 3);
	child = start_worker(&family, 0);
	await(owner(&family.host) == child);
	mms_process_tend(family.process, family.host.cluster, &family.host.cluster->settings, 0);
	await(somebody_stands_by(&family.host));
	kill_child(child);
	put_many(&family.host, "s", 0, 100);
	family_end(&family, 20000);
	assert_true(node_has_many(1, "s", 0, 100));
	assert_true(node_has_many(2, "s", 0, 100));
	family_free(&family);
}

/* Two workers, in office and standing by, and a thread of this process that was started beside them. */
static void start_one_too_many(struct family *family, pid_t children[2])
{
	children[0] = start_worker(family, 0);
	await(owner(&family->host) == children[0]);
	children[1] = start_worker(family, 1);
	await(somebody_stands_by(&family->host));
	atomic_store(&family->host.cluster->election.standby_beat_us, 1); /* as if nobody did */
	mms_process_tend(family->process, family->host.cluster, &family->host.cluster->settings, 0);
}

/* Its thread was one too many once, and has ended. */
static void the_last_one_whose_thread_has_ended_empties_the_mailbox(void **state)
{
	struct family family;
	pid_t children[2];

	(void) state;
	family_new(&family, 3);
	start_one_too_many(&family, children);
	nap_us(500000);
	kill_child(children[0]);
	kill_child(children[1]);
	put_many(&family.host, "s", 0, 100);
	family_end(&family, 20000);
	assert_true(node_has_many(1, "s", 0, 100));
	assert_true(node_has_many(2, "s", 0, 100));
	family_free(&family);
}

struct generations {
	struct family *family;
	_Atomic uint32_t seen[4];
};

static int grandchild(void *argument)
{
	struct generations *generations = argument;

	atomic_store(&generations->seen[3], mms_process_generation(generations->family->process));
	return 0;
}

static int child(void *argument)
{
	struct generations *generations = argument;
	pid_t pid;

	atomic_store(&generations->seen[1], mms_process_generation(generations->family->process));
	atomic_store(&generations->seen[2], mms_process_generation(generations->family->process));
	pid = fork();
	if (pid == 0) {
		_exit(grandchild(generations));
	}
	return waitpid(pid, NULL, 0) == pid ? 0 : 1;
}

static void a_fork_is_noticed_once_in_each_child(void **state)
{
	struct generations *generations = shared_pages(sizeof(*generations));
	struct family family;

	(void) state;
	family_new(&family, 1);
	generations->family = &family;
	atomic_store(&generations->seen[0], mms_process_generation(family.process));
	assert_exits_with_0(spawn(child, generations));
	assert_int_equal(generations->seen[1], generations->seen[0] + 1);
	assert_int_equal(generations->seen[2], generations->seen[0] + 1);
	assert_int_equal(generations->seen[3], generations->seen[0] + 2);
	assert_int_equal(mms_process_generation(family.process), generations->seen[0]);
	family_end(&family, 0);
	family_free(&family);
	munmap(generations, sizeof(*generations));
}

/* Sockets that this process has open. */
static unsigned sockets(void)
{
	DIR *directory = opendir("/proc/self/fd");
	const struct dirent *entry;
	unsigned count = 0;

	while ((entry = readdir(directory)) != NULL) {
		struct stat about;

		count += fstatat(dirfd(directory), entry->d_name, &about, 0) == 0 && S_ISSOCK(about.st_mode);
	}
	closedir(directory);
	return count;
}

struct inheritance {
	struct family *family;
	unsigned outside, before; /* sockets that are none of ours; all, in the parent */
};

static int look_at_the_inheritance(void *argument)
{
	const struct inheritance *inheritance = argument;
	struct family *family = inheritance->family;
	char value[32];

	if (sockets() != inheritance->before) {
		return 1;
	}
	(void) mms_process_generation(family->process);
	mms_client_drop_connections(family->host.client);
	if (sockets() != inheritance->outside) {
		return 2;
	}
	for (unsigned number = 0; number < 20; number++) {
		snprintf(value, sizeof(value), "child%u", number);
		if (put_kind(&family->host, value, value, false) != MMS_OK) {
			return 3;
		}
	}
	if (sockets() != inheritance->outside + 1) {
		return 4;
	}
	return tend_until_all_is_well(family) ? 0 : 5;
}

/* Ids of the connections that a server has, without the one that asks. */
static void connections(unsigned node, char *out, size_t size)
{
	struct mms_reply *reply = node_ask(node, "CLIENT", "LIST");
	struct mms_slice text = mms_reply_text(reply);
	char *copy = strndup(text.ptr, text.len), *rest = copy, *line;
	size_t len = 0;

	out[0] = '\0';
	while ((line = strsep(&rest, "\n")) != NULL) {
		if (line[0] != '\0' && strstr(line, "cmd=client") == NULL) {
			len += (size_t) snprintf(out + len, size - len, "%.*s ", (int) strcspn(line, " "), line);
		}
	}
	free(copy);
	mms_reply_free(reply);
}

static void a_child_closes_what_it_inherited_and_leaves_the_parents_alone(void **state)
{
	struct inheritance inheritance;
	struct family family;
	char before[1024], after[1024];
	unsigned outside;

	(void) state;
	rig_fresh();
	outside = sockets();
	family_new(&family, 2);
	mms_process_tend(family.process, family.host.cluster, &family.host.cluster->settings, 0);
	put_session(&family.host, "s", "data");
	await(node_has(1, "s", "data", NULL) && mailbox_is_empty(&family.host));
	connections(1, before, sizeof(before));
	inheritance = (struct inheritance){ &family, outside, sockets() };
	assert_int_equal(inheritance.before - outside, 3); /* two of the replicator, one of the request thread */
	assert_exits_with_0(spawn(look_at_the_inheritance, &inheritance));
	put_many(&family.host, "s", 0, 50);
	await(node_has_many(1, "s", 0, 50) && node_has_many(1, "child", 0, 20));
	connections(1, after, sizeof(after));
	assert_string_equal(before, after);
	assert_int_equal(host_metric(&family.host, MMS_METRIC_takeovers), 1);
	family_end(&family, 20000);
	family_free(&family);
}

static void a_cluster_is_tended_by_one_thread_of_a_process(void **state)
{
	struct family family;

	(void) state;
	family_new(&family, 2);
	for (unsigned i = 0; i < 50; i++) {
		mms_process_tend(family.process, family.host.cluster, &family.host.cluster->settings, 0);
	}
	await(owner(&family.host) == getpid());
	for (unsigned i = 0; i < 50; i++) {
		mms_process_tend(family.process, family.host.cluster, &family.host.cluster->settings, 0);
	}
	assert_false(somebody_stands_by(&family.host));
	assert_int_equal(host_metric(&family.host, MMS_METRIC_takeovers), 1);
	family_end(&family, 1000);
	family_free(&family);
}

static void a_second_process_stands_by_and_succeeds(void **state)
{
	struct family family;
	pid_t first, second;

	(void) state;
	family_new(&family, 2);
	first = start_worker(&family, 0);
	await(owner(&family.host) == first);
	second = start_worker(&family, 1);
	await(somebody_stands_by(&family.host));
	kill_child(first);
	await(owner(&family.host) == second);
	put_many(&family.host, "s", 0, 20);
	await(node_has_many(1, "s", 0, 20));
	kill_child(second);
	family_end(&family, 1000);
	family_free(&family);
}

/* Owner and stand-by die together, right after this process has started a thread that nobody needed, and one request is the last
 * that comes for long. */
static void the_one_request_after_a_death_is_enough(void **state)
{
	struct family family;
	pid_t children[2];

	(void) state;
	family_new(&family, 3);
	start_one_too_many(&family, children);
	nap_us(20000); /* it has lost by now */
	kill_child(children[0]);
	kill_child(children[1]);
	put_many(&family.host, "s", 0, 20);
	mms_process_tend(family.process, family.host.cluster, &family.host.cluster->settings, 0);
	await(node_has_many(1, "s", 0, 20) && node_has_many(2, "s", 0, 20));
	assert_int_equal(owner(&family.host), getpid());
	family_end(&family, 1000);
	family_free(&family);
}

/* Nothing is left to mirror, but this life stands written on the nodes; its only thread has just found that it is not needed. */
static void a_thread_too_many_takes_leave_for_all(void **state)
{
	struct family family;
	pid_t children[2];

	(void) state;
	family_new(&family, 2);
	start_one_too_many(&family, children);
	await(node_number(0, "HLEN", RIG_PREFIX ":lives") == 1 && node_number(1, "HLEN", RIG_PREFIX ":lives") == 1);
	nap_us(500000);
	atomic_store(&family.host.cluster->election.standby_beat_us, 1);
	mms_process_tend(family.process, family.host.cluster, &family.host.cluster->settings, 0);
	nap_us(20000);
	kill_child(children[0]);
	kill_child(children[1]);
	family_end(&family, 20000);
	assert_int_equal(node_number(0, "HLEN", RIG_PREFIX ":lives"), 0);
	assert_int_equal(node_number(1, "HLEN", RIG_PREFIX ":lives"), 0);
	family_free(&family);
}

static void a_killed_stand_by_is_not_believed(void **state)
{
	struct family family;
	pid_t children[2];

	(void) state;
	family_new(&family, 2);
	children[0] = start_worker(&family, 0);
	await(owner(&family.host) == children[0]);
	children[1] = start_worker(&family, 1);
	await(!mms_election_vacant(family.host.cluster, mms_clock_mono(), true));
	kill(children[0], SIGSTOP); /* it must not see it first */
	kill_child(children[1]);
	assert_false(mms_election_has_standby(family.host.cluster, mms_clock_mono()));
	assert_true(mms_election_vacant(family.host.cluster, mms_clock_mono(), true));
	/* This is the last request: it may come before the owner's death, which its thread then hears of. */
	mms_process_look_after(family.process, family.host.cluster, &family.host.cluster->settings);
	await(mms_election_has_standby(family.host.cluster, mms_clock_mono()));
	put_many(&family.host, "s", 0, 20);
	kill_child(children[0]);
	await(node_has_many(1, "s", 0, 20));
	assert_int_equal(owner(&family.host), getpid());
	family_end(&family, 1000);
	family_free(&family);
}

static void flush_waits_until_all_is_acknowledged(void **state)
{
	struct family family;

	(void) state;
	family_new(&family, 2);
	assert_true(mms_process_flush(family.process, family.host.cluster, &family.host.cluster->settings, 0));
	put_many(&family.host, "s", 0, 50);
	assert_false(mms_process_flush(family.process, family.host.cluster, &family.host.cluster->settings, 0));
	assert_true(mms_process_flush(family.process, family.host.cluster, &family.host.cluster->settings, 20000)); /* it finds somebody to do it */
	assert_true(node_has_many(1, "s", 0, 50));
	family_end(&family, 1000);
	family_free(&family);
}

static void flush_ends_with_its_time_and_takes_hints_for_an_answer(void **state)
{
	struct family family;
	int64_t before;

	(void) state;
	family_new(&family, 2);
	put_session(&family.host, "first", "first");
	assert_true(mms_process_flush(family.process, family.host.cluster, &family.host.cluster->settings, 20000));
	node_stop(1);
	put_session(&family.host, "s", "data");
	before = now_us();
	assert_false(mms_process_flush(family.process, family.host.cluster, &family.host.cluster->settings, 50));
	assert_in_range(now_us() - before, 50000, 5000000);
	assert_true(mms_process_flush(family.process, family.host.cluster, &family.host.cluster->settings, 20000));
	assert_int_equal(hint_count(&family.host, 1), 1);
	node_continue(1);
	await(node_has(1, "s", "data", NULL));
	family_end(&family, 1000);
	family_free(&family);
}

/* What was allowed beside the request is allowed after the flush, and no more. */
static void flush_leaves_the_threads_time_as_it_was(void **state)
{
	struct family family;
	pid_t standby;

	(void) state;
	family_new(&family, 2);
	mms_process_tend(family.process, family.host.cluster, &family.host.cluster->settings, 1);
	await(owner(&family.host) == getpid());
	node_stop(1);
	put_session(&family.host, "first", "first");
	assert_false(mms_process_flush(family.process, family.host.cluster, &family.host.cluster->settings, 20));
	node_continue(1);
	standby = start_worker(&family, 0);
	await(somebody_stands_by(&family.host));
	for (unsigned number = 0; owner(&family.host) == getpid(); number++) {
		assert_true(number < 30000);
		put_session(&family.host, "s", "data");
	}
	kill_child(standby);
	family_end(&family, 1000);
	family_free(&family);
}

/* php-fpm puts its own in their places after MINIT: the last one would not be known any more. */
static int start_without_standard_descriptors(void *argument)
{
	struct mms_process *process;
	int result;

	(void) argument;
	close(0);
	close(1);
	close(2);
	process = mms_process_new(1, RIG_MAILBOX, NULL);
	result = process != NULL && fcntl(0, F_GETFD) < 0 && fcntl(1, F_GETFD) < 0 && fcntl(2, F_GETFD) < 0 ? 0 : 1;
	mms_process_end(process, 0);
	return result;
}

static void a_process_takes_no_standard_descriptor(void **state)
{
	(void) state;
	assert_exits_with_0(spawn(start_without_standard_descriptors, NULL));
}

static void a_mapping_that_can_not_be_made_is_told(void **state)
{
	struct mms_error error = { "" };

	(void) state;
	assert_null(mms_process_new(0, RIG_MAILBOX, &error));
	assert_true(strlen(error.text) > 0);
	error.text[0] = '\0';
	assert_null(mms_process_new(1, 17, &error));
	assert_true(strlen(error.text) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_process_empties_the_mailbox),
		cmocka_unit_test(the_last_one_with_a_replicator_of_its_own_empties_it_too),
		cmocka_unit_test(an_end_with_nothing_to_do_is_quick),
		cmocka_unit_test(who_is_not_the_last_hands_over_and_does_not_wait),
		cmocka_unit_test(a_worker_that_ends_last_empties_the_mailbox),
		cmocka_unit_test(killed_siblings_do_not_count),
		cmocka_unit_test(a_stand_by_that_is_the_last_empties_the_mailbox),
		cmocka_unit_test(the_last_one_whose_thread_has_ended_empties_the_mailbox),
		cmocka_unit_test(a_fork_is_noticed_once_in_each_child),
		cmocka_unit_test(a_child_closes_what_it_inherited_and_leaves_the_parents_alone),
		cmocka_unit_test(a_cluster_is_tended_by_one_thread_of_a_process),
		cmocka_unit_test(a_second_process_stands_by_and_succeeds),
		cmocka_unit_test(the_one_request_after_a_death_is_enough),
		cmocka_unit_test(a_thread_too_many_takes_leave_for_all),
		cmocka_unit_test(a_killed_stand_by_is_not_believed),
		cmocka_unit_test(flush_waits_until_all_is_acknowledged),
		cmocka_unit_test(flush_ends_with_its_time_and_takes_hints_for_an_answer),
		cmocka_unit_test(flush_leaves_the_threads_time_as_it_was),
		cmocka_unit_test(a_process_takes_no_standard_descriptor),
		cmocka_unit_test(a_mapping_that_can_not_be_made_is_told),
	};

	return rig_run(tests);
}
