/* sim [--schedules N] [--seed S] [--profile NAME] [--trace]: plays N schedules from seed S on; the first that fails is
 * named, and shown with --trace. See run. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "schedule.h"

struct options {
	uint64_t schedules, seed;
	const char *profile;
	bool tracing, going_on;
};

/* Of processor: others may be using the machine too. */
static double seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int parse(int count, char **arguments, struct options *options)
{
	for (int i = 1; i < count; i++) {
		const char *value = i + 1 < count ? arguments[i + 1] : "";

		if (strcmp(arguments[i], "--trace") == 0) {
			options->tracing = true;
		} else if (strcmp(arguments[i], "--keep-going") == 0) {
			options->going_on = true;
		} else if (strcmp(arguments[i], "--schedules") == 0) {
			options->schedules = strtoull(value, NULL, 0), i++;
		} else if (strcmp(arguments[i], "--seed") == 0) {
			options->seed = strtoull(value, NULL, 0), i++;
		} else if (strcmp(arguments[i], "--profile") == 0) {
			options->profile = value, i++;
		} else {
			return -1;
		}
	}
	return 0;
}

int main(int count, char **arguments)
{
	static struct schedule schedule;
	struct options options = { .schedules = 1, .seed = 1 };
	uint64_t failures = 0, steps = 0, played = 0;
	double started = seconds(), simulated = 0;
	struct outcome outcome;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (parse(count, arguments, &options) != 0) {
		fprintf(stderr, "usage: sim [--schedules N] [--seed S] [--profile NAME] [--trace] [--keep-going]\n");
		return 2;
	}
	for (uint64_t i = 0; i < options.schedules; i++) {
		schedule_make(&schedule, options.seed + i, options.profile);
		schedule_play(&schedule, options.tracing, &outcome);
		played++;
		steps += outcome.steps;
		simulated += (double)outcome.simulated_us / 1e6;
		if (outcome.failed) {
			failures++;
			printf("FAIL seed %" PRIu64 " profile %s: %s\n", options.seed + i, schedule.profile, outcome.failure);
			if (!options.going_on) {
				break;
			}
		}
	}
	printf("%" PRIu64 " schedules, %" PRIu64 " failed, %.1f s of CPU, %.0f per second, %.0f steps and %.1f s of simulated time each\n",
			played, failures, seconds() - started, (double)played / (seconds() - started), (double)steps / (double)played,
			simulated / (double)played);
	return failures > 0;
}
