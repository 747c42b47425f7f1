/* Threads of an embedded, thread-safe PHP serve requests with sessions, and processes forked in between do so too.
 *
 *   embed PHP.INI [threads] [requests per thread]
 *
 * Every thread has a session of its own, in which it counts its requests, and all share one that they only read. Prints
 * what went wrong and ends with the number of right answers; exits 1 when any was wrong. The debug build of PHP reports
 * leaks of its own on stderr. The difficulty is the order of TSRM's life: a thread must have its resources (and interned
 * INI entries) before its first request, and free them before it ends. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sapi/embed/php_embed.h>

#define THREADS_MAX 64

static const char request_code[] =
	"ob_start();"
	"if (session_module_name() !== 'mmsession') { return 'save handler ' . session_module_name(); }"
	"session_id($mine); session_start();"
	"if (($_SESSION['n'] ?? 0) !== $n || ($_SESSION['who'] ?? $mine) !== $mine) {"
	"    $wrong = 'own session: ' . var_export($_SESSION, true) . \", expected n $n of $mine\";"
	"}"
	"$_SESSION['n'] = $n + 1; $_SESSION['who'] = $mine;"
	"session_write_close();"
	"session_id($shared); session_start(['read_and_close' => true]);"
	"if (($_SESSION['who'] ?? '') !== 'all') { $wrong = 'shared session: ' . var_export($_SESSION, true); }"
	"if ($n % 50 === 7) {"
	"    session_id($mine . '-x' . $n); session_start(); $_SESSION['x'] = $n; session_destroy();"
	"}"
	"while (ob_get_level()) { ob_end_clean(); }"
	"return $wrong ?? 'right';";

static const char setup_code[] =
	"ob_start(); session_id($shared); session_start(); $_SESSION['who'] = 'all'; session_write_close();"
	"ob_end_clean(); return 'right';";

static const char finish_code[] =
	"return mmsession_flush(10000) ? 'right' : 'flush: ' . var_export(mmsession_status(), true);";

static char shared_id[64];
static int requests_per_thread;
static _Atomic long right_answers, wrong_answers;

struct worker {
	pthread_t thread;
	char id[64];
};

/* One request: runs code with $mine, $shared and $n; counts its answer. */
static void serve(const char *code, const char *mine, int n)
{
	if (php_request_startup() == FAILURE) {
		fprintf(stderr, "request start-up failed\n");
		wrong_answers++;
		return;
	}
	SG(headers_sent) = 0;
	zend_first_try {
		char program[sizeof request_code + 512];
		zval answer;

		ZVAL_UNDEF(&answer);
		snprintf(program, sizeof program, "(function ($mine, $shared, $n) { %s })('%s', '%s', %d)", code, mine, shared_id, n);
		if (zend_eval_string_ex(program, &answer, (char *)"request", 1) == SUCCESS && Z_TYPE(answer) == IS_STRING
				&& strcmp(Z_STRVAL(answer), "right") == 0) {
			right_answers++;
		} else {
			wrong_answers++;
			fprintf(stderr, "%s, request %d: %s\n", mine, n, Z_TYPE(answer) == IS_STRING ? Z_STRVAL(answer) : "no answer");
		}
		zval_ptr_dtor(&answer);
	} zend_catch {
		wrong_answers++;
		fprintf(stderr, "%s, request %d: PHP bailed out\n", mine, n);
	} zend_end_try();
	php_request_shutdown(NULL);
}

static void *work(void *argument)
{
	struct worker *worker = argument;

	(void)ts_resource(0);
	for (int n = 0; n < requests_per_thread; n++) {
		serve(request_code, worker->id, n);
	}
	serve(finish_code, worker->id, 0);
	ts_free_thread();
	return NULL;
}

static void run_threads(struct worker *workers, int count, const char *who)
{
	for (int i = 0; i < count; i++) {
		snprintf(workers[i].id, sizeof workers[i].id, "%s-%ld-%d", who, (long)getpid(), i);
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
			fprintf(stderr, "no thread to be had\n");
			exit(2);
		}
	}
	for (int i = 0; i < count; i++) {
		pthread_join(workers[i].thread, NULL);
	}
}

/* Forks from the main thread, as a prefork server does; the child serves requests of its own and ends like a worker. */
static int serve_in_child(const char *who, int requests)
{
	int status;
	pid_t child = fork();

	if (child < 0) {
		perror("fork");
		return 1;
	}
	if (child == 0) {
		char id[64];

		right_answers = wrong_answers = 0;
		snprintf(id, sizeof id, "%s-%ld", who, (long)getpid());
		for (int n = 0; n < requests; n++) {
			serve(request_code, id, n);
		}
		serve(finish_code, id, 0);
		if (right_answers != requests + 1) {
			fprintf(stderr, "%s: %ld right of %d\n", who, (long)right_answers, requests + 1);
			_exit(1);
		}
		_exit(0);
	}
	if (waitpid(child, &status, 0) != child || status != 0) {
		fprintf(stderr, "%s: the child ended with status %d\n", who, status);
		return 1;
	}
	return 0;
}

static int start(char **argv)
{
	static char *no_arguments[2]; /* PHP keeps it */

	no_arguments[0] = argv[0];
	php_embed_module.php_ini_path_override = argv[1]; /* php_embed_init() overwrites ini_entries with its own */
	if (php_embed_init(1, no_arguments) == FAILURE) {
		return -1;
	}
	php_request_shutdown(NULL); /* php_embed_init() has begun one */
	return 0;
}

static void stop(void)
{
	if (php_request_startup() == SUCCESS) { /* php_embed_shutdown() ends one */
		php_embed_shutdown();
	}
}

/* Descriptors and shared mappings of this process. */
static void count_held(unsigned *descriptors, unsigned *mappings)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];

	*descriptors = *mappings = 0;
	for (int fd = 0; fd < 1024; fd++) {
		*descriptors += fcntl(fd, F_GETFD) >= 0;
	}
	while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
		*mappings += strstr(line, "/dev/zero") != NULL;
	}
	if (maps != NULL) {
		fclose(maps);
	}
}

/* As Apache does at each graceful restart. */
static int keeps_nothing_after_restarts(char **argv)
{
	unsigned descriptors, mappings, descriptors_later, mappings_later;

	count_held(&descriptors, &mappings);
	for (int turn = 0; turn < 3; turn++) {
		if (start(argv) != 0) {
			fprintf(stderr, "no start after %d restarts\n", turn);
			return 1;
		}
		serve(setup_code, shared_id, 0);
		stop();
	}
	count_held(&descriptors_later, &mappings_later);
	if (mappings_later > mappings || descriptors_later > descriptors) {
		fprintf(stderr, "restarts: %u descriptors and %u mappings became %u and %u\n", descriptors, mappings, descriptors_later,
				mappings_later);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct worker workers[THREADS_MAX];
	int threads = argc > 2 ? atoi(argv[2]) : 8;
	int failed = 0;

	if (argc < 2 || threads < 1 || threads > THREADS_MAX) {
		fprintf(stderr, "embed PHP.INI [threads] [requests per thread]\n");
		return 2;
	}
	requests_per_thread = argc > 3 ? atoi(argv[3]) : 1000;
	if (start(argv) != 0) {
		return 2;
	}

	snprintf(shared_id, sizeof shared_id, "shared-%ld", (long)getpid());
	serve(setup_code, shared_id, 0);
	failed |= serve_in_child("before", 50);
	run_threads(workers, threads, "thread");
	failed |= serve_in_child("between", 50);
	run_threads(workers, threads, "again");
	failed |= serve_in_child("after", 50);

	stop();
	failed |= keeps_nothing_after_restarts(argv);
	printf("%ld right, %ld wrong\n", (long)right_answers, (long)wrong_answers);
	return failed || wrong_answers != 0 || right_answers != 1 + 3 + 2l * threads * (requests_per_thread + 1);
}
