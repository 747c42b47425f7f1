/* Replicators in several processes: killed, stopped and fenced off, while writes go on. This process has no threads: it
 * forks. */
#include "crew.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static struct board *board;
static struct host *host;

static void life_begin(void)
{
	rig_fresh();
	host = crew_host(3);
	board = shared_pages(sizeof(*board));
}

static void life_end(void)
{
	munmap(board, sizeof(*board));
	host_free(host);
}

/* One in office and one that stands by. */
static void two_workers(pid_t *in_office, pid_t *stands_by)
{
	*in_office = worker_start(host, board, 0);
	await(owner(host) == *in_office);
	*stands_by = worker_start(host, board, 1);
	await(somebody_stands_by(host));
}

static void all_nodes_get(unsigned count)
{
	for (unsigned node = 0; node < 3; node++) {
		await(node_has_many(node, "s", 0, count));
	}
	await(mailbox_is_empty(host));
	await(hint_count(host, 1) + hint_count(host, 2) == 0); /* a node stores it before its answer is heard */
}

/* What the kernel tells of one thread: are all signals blocked that can be (but for the two of the C library's own)? */
static bool blocks_signals(pid_t process, const char *thread)
{
	unsigned long long blocked = 0;
	char path[320], line[256];
	FILE *status;

	(void) snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int) process, thread);
	status = fopen(path, "r");
	assert_non_null(status);
	while (fgets(line, sizeof(line), status) != NULL) {
		(void) sscanf(line, "SigBlk: %llx", &blocked);
	}
	(void) fclose(status);
	for (int signal = 1; signal <= SIGSYS; signal++) {
		if (signal != SIGKILL && signal != SIGSTOP && (blocked >> (signal - 1) & 1) == 0) {
			return false;
		}
	}
	return true;
}

static void signals_never_land_on_the_thread(void **state)
{
	char path[64];
	struct dirent *entry;
	pid_t worker;
	unsigned threads = 0;
	DIR *folder;

	(void) state;
	life_begin();
	worker = worker_start(host, board, 0);
	await(owner(host) == worker);
	(void) snprintf(path, sizeof(path), "/proc/%d/task", (int) worker);
	folder = opendir(path);
	assert_non_null(folder);
	while ((entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != (int) worker) {
			/* A sanitizer may have a thread of its own. */
			threads += blocks_signals(worker, entry->d_name);
		}
	}
	(void) closedir(folder);
	assert_true(threads >= 1);
	worker_leave(board, 0, worker);
	life_end();
}

static void a_killed_owner_is_succeeded_and_nothing_is_lost(void **state)
{
	pid_t first, second;

	(void) state;
	life_begin();
	two_workers(&first, &second);
	put_many(host, "s", 0, 100);
	kill_child(first);
	put_many(host, "s", 100, 200);
	await(owner(host) == second);
	all_nodes_get(200);
	worker_leave(board, 1, second);
	assert_int_equal(owner(host), 0);
	life_end();
}

static void an_owner_that_leaves_is_succeeded(void **state)
{
	pid_t first, second;

	(void) state;
	life_begin();
	two_workers(&first, &second);
	put_many(host, "s", 0, 50);
	worker_leave(board, 0, first);
	put_many(host, "s", 50, 100);
	await(owner(host) == second);
	all_nodes_get(100);
	worker_leave(board, 1, second);
	life_end();
}

static void when_all_were_killed_the_next_one_finds_everything_in_the_mailbox(void **state)
{
	pid_t first, second, third;

	(void) state;
	life_begin();
	two_workers(&first, &second);
	put_many(host, "s", 0, 20);
	kill_child(second);
	kill_child(first);
	put_many(host, "s", 20, 120);
	await(mms_election_vacant(host->cluster, mms_clock_mono(), false));
	third = worker_start(host, board, 2);
	all_nodes_get(120);
	assert_int_equal(owner(host), third);
	worker_leave(board, 2, third);
	life_end();
}

static void owners_are_killed_one_after_another_while_writes_go_on(void **state)
{
	enum { ROUNDS = 6, EACH = 30 };
	pid_t pids[2];
	unsigned in_office = 0, written = 0;

	(void) state;
	life_begin();
	two_workers(&pids[0], &pids[1]);
	for (int round = 0; round < ROUNDS; round++) {
		put_many(host, "s", written, written + EACH);
		kill_child(pids[in_office]);
		put_many(host, "s", written + EACH, written + 2 * EACH);
		written += 2 * EACH;
		await(owner(host) == pids[1 - in_office]);
		pids[in_office] = worker_start(host, board, in_office);
		await(somebody_stands_by(host));
		in_office = 1 - in_office;
	}
	all_nodes_get(written);
	assert_int_equal(host_metric(host, MMS_METRIC_takeovers), 1 + ROUNDS);
	kill_child(pids[0]);
	kill_child(pids[1]);
	life_end();
}

/* It may have been stopped between its last look at the mailbox' epoch and the sending of what it had copied by then: what
 * comes late is whole, older than what stands there, and refused. */
static void a_stopped_owner_is_succeeded_and_does_no_harm_when_it_goes_on(void **state)
{
	pid_t first, second;
	char id[16];

	(void) state;
	life_begin();
	two_workers(&first, &second);
	put_many(host, "s", 0, 100);
	kill(first, SIGSTOP);
	assert_true(WIFSTOPPED(await_child(first, WUNTRACED)));
	for (unsigned number = 0; number < 100; number++) {
		snprintf(id, sizeof(id), "s%u", number);
		put_session(host, id, "newer");
	}
	await(owner(host) == second); /* after a heartbeat older than two seconds */
	await(mailbox_is_empty(host));
	kill(first, SIGCONT);
	await(somebody_stands_by(host)); /* it finds itself succeeded */
	assert_int_equal(owner(host), second);
	worker_leave(board, 0, first);
	for (unsigned number = 0; number < 100; number++) {
		snprintf(id, sizeof(id), "s%u", number);
		for (unsigned node = 0; node < 3; node++) {
			assert_true(node_has(node, id, "newer", NULL));
		}
	}
	assert_int_equal(owner(host), second);
	put_many(host, "s", 300, 320);
	await(node_has_many(1, "s", 300, 320) && node_has_many(2, "s", 300, 320));
	worker_leave(board, 1, second);
	life_end();
}

static void a_stopped_stand_by_is_replaced(void **state)
{
	pid_t first, second, third;

	(void) state;
	life_begin();
	two_workers(&first, &second);
	kill(second, SIGSTOP);
	assert_true(WIFSTOPPED(await_child(second, WUNTRACED)));
	await(mms_election_vacant(host->cluster, mms_clock_mono(), true));
	assert_false(mms_election_vacant(host->cluster, mms_clock_mono(), false));
	kill_child(second);
	third = worker_start(host, board, 2);
	await(!mms_election_vacant(host->cluster, mms_clock_mono(), true));
	kill_child(first);
	await(owner(host) == third);
	put_many(host, "s", 0, 20);
	all_nodes_get(20);
	worker_leave(board, 2, third);
	life_end();
}

static rlim_t lowest_socket(pid_t process)
{
	rlim_t lowest = 4096;
	char path[320], target[64];
	struct dirent *entry;
	DIR *folder;

	(void) snprintf(path, sizeof(path), "/proc/%d/fd", (int) process);
	folder = opendir(path);
	assert_non_null(folder);
	while ((entry = readdir(folder)) != NULL) {
		ssize_t len;

		(void) snprintf(path, sizeof(path), "/proc/%d/fd/%s", (int) process, entry->d_name);
		len = readlink(path, target, sizeof(target) - 1);
		target[len > 0 ? len : 0] = '\0';
		if (strncmp(target, "socket:", 7) == 0 && (rlim_t) atoi(entry->d_name) < lowest) {
			lowest = (rlim_t) atoi(entry->d_name);
		}
	}
	closedir(folder);
	return lowest;
}

/* A page of its process has leaked them all; the other process has some. */
static void an_owner_without_descriptors_hands_over(void **state)
{
	struct rlimit none = { 0, 4096 };
	pid_t first, second;

	(void) state;
	life_begin();
	two_workers(&first, &second);
	put_many(host, "s", 0, 1);
	await(node_has_many(1, "s", 0, 1));
	none.rlim_cur = lowest_socket(first); /* what it has stays; none is made anew in the place of one */
	assert_in_range(none.rlim_cur, 6, 100);
	assert_int_equal(syscall(SYS_prlimit64, first, RLIMIT_NOFILE, &none, NULL), 0);
	atomic_store(&host->cluster->election.since_us, now_us() - 20000000);
	node_do(1, "CLIENT", "KILL", "TYPE", "normal");
	put_many(host, "s", 1, 20);
	await(owner(host) == second);
	all_nodes_get(20);
	worker_leave(board, 0, first);
	worker_leave(board, 1, second);
	life_end();
}

static void hints_outlive_their_replicator(void **state)
{
	pid_t first, second;

	(void) state;
	life_begin();
	two_workers(&first, &second);
	put_many(host, "s", 0, 1);
	await(mailbox_is_empty(host));
	node_stop(1);
	put_many(host, "s", 1, 30);
	await(hint_count(host, 1) == 29);
	kill_child(first);
	await(owner(host) == second);
	put_many(host, "s", 30, 40);
	node_continue(1);
	all_nodes_get(40);
	worker_leave(board, 1, second);
	life_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signals_never_land_on_the_thread),
		cmocka_unit_test(a_killed_owner_is_succeeded_and_nothing_is_lost),
		cmocka_unit_test(an_owner_that_leaves_is_succeeded),
		cmocka_unit_test(when_all_were_killed_the_next_one_finds_everything_in_the_mailbox),
		cmocka_unit_test(owners_are_killed_one_after_another_while_writes_go_on),
		cmocka_unit_test(a_stopped_owner_is_succeeded_and_does_no_harm_when_it_goes_on),
		cmocka_unit_test(a_stopped_stand_by_is_replaced),
		cmocka_unit_test(an_owner_without_descriptors_hands_over),
		cmocka_unit_test(hints_outlive_their_replicator),
	};

	return rig_run(tests);
}
