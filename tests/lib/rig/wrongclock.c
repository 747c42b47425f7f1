/* Preloaded: CLOCK_REALTIME is off by the nanoseconds that stand in the first 8 bytes of WRONG_CLOCK_FILE. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("WRONG_CLOCK_FILE");
	int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);

	real_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	if (fd >= 0) {
		void *memory = mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);

		offset = memory == MAP_FAILED ? NULL : memory;
		close(fd);
	}
}

/* PHP opens modules so that they find libc's own functions before ours. */
void *dlopen(const char *path, int flags)
{
	void *(*real_dlopen)(const char *, int) = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");

	return real_dlopen(path, flags & ~RTLD_DEEPBIND);
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
	int result;

	if (real_clock_gettime == NULL) {
		begin();
	}
	result = real_clock_gettime(clock, out);
	if (result == 0 && offset != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
		int64_t wrong = *offset, ns = out->tv_nsec + wrong % 1000000000;

		out->tv_sec += wrong / 1000000000 + (ns >= 1000000000) - (ns < 0);
		out->tv_nsec = ns < 0 ? ns + 1000000000 : ns >= 1000000000 ? ns - 1000000000 : ns;
	}
	return result;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	out->tv_sec = now.tv_sec;
	out->tv_usec = now.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (out != NULL) {
		*out = now.tv_sec;
	}
	return now.tv_sec;
}
