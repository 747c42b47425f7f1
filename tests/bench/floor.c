/* The floor under every save handler: one process, one connection, GET and SET of one key, nothing else.
 *
 *     floor <unix:/path | tcp:port> <bytes> <views> <changed|unchanged> <busy us> <spin us>
 *
 * Asks for the value, is busy for a while as a page would be, sets the value again (changed) or not, over and over.
 * spin us: how long it looks for the answer before it sleeps in ppoll(), the way of docs/decisions/0010; 0: not at all.
 * Prints the same JSON as loop.php. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP 50
#define PREEMPTED_US 5.0 /* a longer step of the clock: somebody else had the core */

static double seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double now_us(void)
{
	return seconds(CLOCK_MONOTONIC) * 1e6;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int connect_to(const char *address)
{
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	struct sockaddr_in inet = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int is_unix = strncmp(address, "unix:", 5) == 0, one = 1;
	int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM, 0);

	if (is_unix) {
		snprintf(local.sun_path, sizeof local.sun_path, "%s", address + 5);
	} else {
		inet.sin_port = htons((unsigned short)atoi(address + 4));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	}
	if (connect(fd, is_unix ? (void *)&local : (void *)&inet, is_unix ? sizeof local : sizeof inet) != 0) {
		die(address);
	}
	return fd;
}

static void send_all(int fd, const char *bytes, size_t count)
{
	while (count > 0) {
		ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL);

		if (sent < 0) {
			die("send");
		}
		bytes += sent;
		count -= (size_t)sent;
	}
}

static void receive_all(int fd, char *bytes, size_t count, double spin_us)
{
	double until = spin_us > 0 ? now_us() + spin_us : 0;

	for (size_t got = 0; got < count;) {
		ssize_t more = recv(fd, bytes + got, count - got, MSG_DONTWAIT);

		if (more > 0) {
			got += (size_t)more;
		} else if (more == 0) {
			die("closed");
		} else if (spin_us > 0 && now_us() < until) {
			sched_yield();
		} else {
			struct pollfd wait = { fd, POLLIN, 0 };

			ppoll(&wait, 1, NULL, NULL);
		}
	}
}

/* Returns the CPU that it took, in microseconds. */
static double be_busy(double busy_us)
{
	double then = now_us(), end = then + busy_us, used = 0;

	while (then < end) {
		double now = now_us();

		used += now - then < PREEMPTED_US ? now - then : 0;
		then = now;
	}
	return used;
}

static int ascending(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

static double at(const double *times, long count, double share)
{
	long index = (long)(share * (double)count);

	return times[index < count ? index : count - 1];
}

int main(int argc, char **argv)
{
	static const double shares[] = { .01, .05, .1, .25, .5, .75, .9, .95, .99, .995, .999 };
	long bytes = argc == 7 ? atol(argv[2]) : 0, views = argc == 7 ? atol(argv[3]) : 0;
	int changed;
	double busy_us, spin_us, cpu = 0, sum = 0, busy_cpu = 0;
	size_t set_size, answer_size;
	char *payload, *set, *answer;
	static const char get[] = "*2\r\n$3\r\nGET\r\n$11\r\nbench:floor\r\n";
	double *times;
	struct rusage before, after;
	int fd;

	if (bytes <= 0 || views <= 0) {
		fprintf(stderr, "usage: floor unix:/path|tcp:port bytes views changed|unchanged busy_us spin_us\n");
		return 2;
	}
	changed = strcmp(argv[4], "changed") == 0;
	busy_us = atof(argv[5]);
	spin_us = atof(argv[6]);
	payload = malloc((size_t)bytes + 1);
	set = malloc((size_t)bytes + 200);
	answer = malloc((size_t)bytes + 200);
	times = malloc((size_t)views * sizeof *times);
	memset(payload, 'x', (size_t)bytes);
	payload[bytes] = '\0';
	set_size = (size_t)sprintf(set, "*5\r\n$3\r\nSET\r\n$11\r\nbench:floor\r\n$%ld\r\n%s\r\n$2\r\nPX\r\n$7\r\n1440000\r\n",
			bytes, payload);
	answer_size = (size_t)snprintf(NULL, 0, "$%ld\r\n%s\r\n", bytes, payload);
	fd = connect_to(argv[1]);
	send_all(fd, set, set_size);
	receive_all(fd, answer, 5, spin_us);
	for (long view = -WARM_UP; view < views; view++) {
		double began = now_us(), took;

		if (view == 0) {
			getrusage(RUSAGE_SELF, &before);
			cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
			busy_cpu = 0;
		}
		send_all(fd, get, sizeof get - 1);
		receive_all(fd, answer, answer_size, spin_us);
		took = now_us() - began;
		busy_cpu += be_busy(busy_us);
		began = now_us();
		if (changed) {
			send_all(fd, set, set_size);
			receive_all(fd, answer, 5, spin_us);
		}
		took += now_us() - began;
		if (view >= 0) {
			times[view] = took;
			sum += took;
		}
	}
	cpu = ((seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e6 - busy_cpu) / (double)views;
	getrusage(RUSAGE_SELF, &after);
	qsort(times, (size_t)views, sizeof *times, ascending);
	printf("{\"sleeps\": %.4f, \"preempted\": %.4f, \"faults\": %.4f, ", (double)(after.ru_nvcsw - before.ru_nvcsw) / (double)views,
			(double)(after.ru_nivcsw - before.ru_nivcsw) / (double)views, (double)(after.ru_minflt - before.ru_minflt) / (double)views);
	printf("\"p50\": %.2f, \"p99\": %.2f, \"mean\": %.2f, \"cpu\": %.2f, \"thread\": %.2f, \"kept\": true, \"curve\": [",
			at(times, views, .5), at(times, views, .99), sum / (double)views, cpu, cpu);
	for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
		printf("%s[%g, %.2f]", i ? ", " : "", shares[i], at(times, views, shares[i]));
	}
	printf("]}\n");
	return 0;
}
