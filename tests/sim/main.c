/* sim [--schedules N] [--seed S] [--profile NAME] [--trace]: plays N schedules from seed S on; the first that fails is
 * named, and shown with --trace. See run. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "directed.h"
#include "reach.h"
#include "schedule.h"
#include "tokens.h"

struct options {
	uint64_t schedules, seed;
	double seconds_max; /* of CPU: no schedule is begun later; 0 = no end */
	const char *profile;
	const char *directed; /* "all", or a name */
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

		if (strcmp(arguments[i], "--tokens") == 0) {
			play_with_tokens = true;
		} else if (strcmp(arguments[i], "--unsigned") == 0) {
			play_with_tokens = play_unsigned = true;
		} else if (strcmp(arguments[i], "--header") == 0) {
			play_with_header = true;
		} else if (strcmp(arguments[i], "--locks") == 0) {
			play_with_locks = true;
		} else if (strcmp(arguments[i], "--quorum") == 0) {
			play_with_quorum = true;
		} else if (strcmp(arguments[i], "--spin") == 0) {
			play_with_spin = true;
		} else if (strcmp(arguments[i], "--trace") == 0) {
			options->tracing = true;
		} else if (strcmp(arguments[i], "--keep-going") == 0) {
			options->going_on = true;
		} else if (strcmp(arguments[i], "--directed") == 0) {
			options->directed = value, i++;
		} else if (strcmp(arguments[i], "--schedules") == 0) {
			options->schedules = strtoull(value, NULL, 0), i++;
		} else if (strcmp(arguments[i], "--seed") == 0) {
			options->seed = strtoull(value, NULL, 0), i++;
		} else if (strcmp(arguments[i], "--seconds") == 0) {
			options->seconds_max = strtod(value, NULL), i++;
		} else if (strcmp(arguments[i], "--profile") == 0) {
			options->profile = value, i++;
		} else {
			return -1;
		}
	}
	return 0;
}

static bool has_faults(const struct schedule *schedule)
{
	for (unsigned i = 0; i < schedule->action_count; i++) {
		if (schedule->actions[i].kind != ACTION_REQUEST) {
			return true;
		}
	}
	return false;
}

/* Each scenario with all its seeds, or with one when it is traced. */
static int play_directed(const struct options *options)
{
	static struct schedule schedule;
	const char *name, *about;
	struct outcome outcome;
	int failures = 0;

	for (unsigned i = 0; directed_name(i, &name, &about); i++) {
		uint64_t failed = 0, first = 0;

		if (strcmp(options->directed, "all") != 0 && strcmp(options->directed, name) != 0) {
			continue;
		}
		for (uint64_t seed = options->seed; seed < options->seed + (options->tracing ? 1 : directed_seeds(i)); seed++) {
			directed_make(i, seed, &schedule);
			schedule_play(&schedule, options->tracing, &outcome);
			if (outcome.failed) {
				first = failed++ == 0 ? seed : first;
				if (failed == 1) {
					printf("FAIL %s seed %" PRIu64 ": %s\n", name, seed, outcome.failure);
				}
			}
		}
		printf("%-4s %-4s %s: %" PRIu64 " failed\n", failed > 0 ? "FAIL" : "ok", name, about, failed);
		failures += failed > 0;
	}
	return failures;
}

int main(int count, char **arguments)
{
	static struct schedule schedule;
	struct options options = { .schedules = 1, .seed = 1 };
	uint64_t failures = 0, steps = 0, played = 0;
	double started = seconds(), simulated = 0;
	uint64_t hopping = 0, faulty = 0, both = 0, hops = 0;
	struct outcome outcome;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (parse(count, arguments, &options) != 0) {
		fprintf(stderr, "usage: sim [--schedules N] [--seed S] [--profile NAME] [--tokens] [--unsigned] [--header] [--locks] "
				"[--quorum] [--spin] [--seconds CPU] [--trace] [--keep-going]\n");
		return 2;
	}
	if (options.directed != NULL) {
		return play_directed(&options) > 0;
	}
	for (uint64_t i = 0; i < options.schedules && (options.seconds_max <= 0 || seconds() - started < options.seconds_max); i++) {
		schedule_make(&schedule, options.seed + i, options.profile);
		schedule_play(&schedule, options.tracing, &outcome);
		played++;
		steps += outcome.steps;
		simulated += (double)outcome.simulated_us / 1e6;
		hopping += tokens_counts.hops > hops;
		faulty += has_faults(&schedule);
		both += tokens_counts.hops > hops && has_faults(&schedule);
		hops = tokens_counts.hops;
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
	printf("%" PRIu64 " reads; of nodes that had what was read, %" PRIu64 " of %" PRIu64 " were in reach, %" PRIu64 " of these silent; %" PRIu64
			" reads missed something out of reach; %" PRIu64 " bases, %" PRIu64 " acknowledged writes outbid unread\n",
			reach_counts.reads, reach_counts.in_reach, reach_counts.held, reach_counts.silent, reach_counts.out_of_reach,
			reach_counts.bases, reach_counts.unread);
	if (played < options.schedules && failures == 0) {
		printf("ended early: %" PRIu64 " schedules had no time left, %.0f s of CPU were all there was\n", options.schedules - played,
				options.seconds_max);
	}
	if (tokens_counts.reads > 0) {
		printf("tokens: %" PRIu64 " schedules with a change of host, %" PRIu64 " with faults, %" PRIu64 " with both; %" PRIu64 " reads, %" PRIu64
				" of them on another host than the last; one node was enough for %" PRIu64 ", %" PRIu64 " of these compared; let pass: %" PRIu64
				" unanimous, %" PRIu64 " damaged, %" PRIu64 " displaced, %" PRIu64 " writes untold\n", hopping, faulty, both,
				tokens_counts.reads, tokens_counts.hops, tokens_counts.enough, tokens_counts.compared, tokens_counts.unanimous,
				tokens_counts.damaged, tokens_counts.displaced, tokens_counts.untold);
	}
	return failures > 0;
}
