/* For tests that need several processes: shared memory, children that are waited for with a deadline, a little
 * randomness. Only the parent may use cmocka's assertions. */
#ifndef PROCESSES_H
#define PROCESSES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "mms_clock.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define DEADLINE_US 20000000 /* for what happens at once on any machine that is not broken */

static inline void *shared_pages(size_t size)
{
	void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(pages != MAP_FAILED);
	return pages;
}

static inline void nap_us(long us)
{
	const struct timespec nap = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&nap, NULL);
}

static inline int64_t now_us(void)
{
	return mms_clock_mono().us;
}

/* xorshift64*; the state must not be 0. */
static inline uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * UINT64_C(2685821657736338717);
}

static inline uint64_t random_below(uint64_t *state, uint64_t limit)
{
	return (random_next(state) >> 16) % limit;
}

static inline uint64_t random_seed(const char *what)
{
	const char *given = getenv("MMS_SEED");
	const uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t) now_us() << 8 | 1;

	print_message("%s: MMS_SEED=%llu\n", what, (unsigned long long) seed);
	return seed != 0 ? seed : 1;
}

/* A child that runs work(argument) and exits with its result. */
static inline pid_t spawn(int (*work)(void *), void *argument)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(work(argument));
	}
	assert_true(pid > 0);
	return pid;
}

/* Waits for the child to end (or, with WUNTRACED, to stop) and returns its wait status; fails after the deadline. */
static inline int await_child(pid_t pid, int options)
{
	const int64_t until = now_us() + DEADLINE_US;
	int status = 0;
	pid_t found;

	do {
		found = waitpid(pid, &status, options | WNOHANG);
		if (found == pid) {
			return status;
		}
		nap_us(200);
	} while (found == 0 && now_us() < until);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	fail_msg("child %d did not get there", (int) pid);
	return -1;
}

static inline void assert_is_killed(pid_t pid)
{
	const int status = await_child(pid, 0);

	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static inline void kill_child(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_is_killed(pid);
}

static inline void assert_exits_with_0(pid_t pid)
{
	const int status = await_child(pid, 0);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#endif
