/* The breaker: its states, its waits, and that threads agree about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "mms_breaker.h"

#define MS INT64_C(1000)
#define MIDDLE 0x80000000u /* a random number that means no jitter */
#define START 5000000
#define THREADS 4

static struct mms_mono at(int64_t us)
{
	return (struct mms_mono) {us};
}

static const struct mms_wall wall = {1760000000000};

static bool fault(struct mms_breaker_sh *breaker, enum mms_fault kind, int64_t now_us)
{
	return mms_breaker_fault(breaker, kind, "node web2: fault", at(now_us), wall, MIDDLE);
}

static bool probe(struct mms_breaker_sh *breaker, bool good, int64_t now_us)
{
	mms_breaker_probe_begin(breaker);
	return mms_breaker_probe_result(breaker, good, at(now_us), MIDDLE);
}

/* Closes an open breaker in two probes; returns when. */
static int64_t close_at(struct mms_breaker_sh *breaker, int64_t now_us)
{
	assert_false(probe(breaker, true, now_us));
	now_us += MMS_BREAKER_PROBE_MIN_MS * MS;
	assert_true(probe(breaker, true, now_us));
	return now_us;
}

/* Time from now until the next probe is due, to the microsecond; -1 when none ever is. */
static int64_t wait_from(const struct mms_breaker_sh *breaker, int64_t now_us)
{
	int64_t low = 0;
	int64_t high = 2 * MMS_BREAKER_PROBE_MAX_MS * MS;

	if (!mms_breaker_probe_due(breaker, at(now_us + high))) {
		return -1;
	}
	while (low < high) {
		const int64_t middle = (low + high) / 2;

		if (mms_breaker_probe_due(breaker, at(now_us + middle))) {
			high = middle;
		} else {
			low = middle + 1;
		}
	}
	return low;
}

static void assert_near(int64_t us, int64_t wanted_us)
{
	assert_in_range(us, wanted_us - 3, wanted_us + 3);
}

static void zeroed_memory_is_a_closed_breaker(void **state)
{
	struct mms_breaker_sh breaker = {0};
	char text[MMS_BREAKER_TEXT_SIZE] = "x";

	(void) state;
	assert_true(mms_breaker_allows_read(&breaker));
	assert_true(mms_breaker_allows_write(&breaker));
	assert_false(mms_breaker_probe_due(&breaker, at(INT64_MAX)));
	assert_false(mms_breaker_take_event(&breaker, at(START)));
	assert_int_equal(mms_breaker_last_error(&breaker, text, sizeof(text)).ms, 0);
	assert_string_equal(text, "");
}

/* What a step does; in the table below. */
enum step { SOFT, HARD, WRITE, GOOD, BEGIN, PROBE_GOOD, PROBE_BAD };

struct transition {
	const char *from;  /* steps that lead to the start */
	enum step step;
	bool result;       /* what the call returns */
	uint32_t state;
	bool reads, writes;
};

static bool take(struct mms_breaker_sh *breaker, enum step step)
{
	switch (step) {
	case SOFT:
		return fault(breaker, MMS_FAULT_SOFT, START);
	case HARD:
		return fault(breaker, MMS_FAULT_HARD, START);
	case WRITE:
		return fault(breaker, MMS_FAULT_WRITE_ONLY, START);
	case GOOD:
		mms_breaker_good(breaker, 100);
		return false;
	case BEGIN:
		mms_breaker_probe_begin(breaker);
		return false;
	case PROBE_GOOD:
		return mms_breaker_probe_result(breaker, true, at(START), MIDDLE);
	case PROBE_BAD:
		return mms_breaker_probe_result(breaker, false, at(START), MIDDLE);
	}
	return false;
}

static void every_transition_is_as_in_the_table(void **state)
{
	/* s soft, h hard, w write side, g good, b begin, + good probe, - bad probe */
	static const char letters[] = "shwgb+-";
	enum { C = MMS_BREAKER_CLOSED, O = MMS_BREAKER_OPEN, H = MMS_BREAKER_HALF_OPEN };
	static const struct transition table[] = {
		{"", GOOD, false, C, true, true},
		{"", SOFT, false, C, true, true},
		{"s", SOFT, false, C, true, true},
		{"ss", SOFT, true, O, false, false},
		{"ssg", SOFT, false, C, true, true},
		{"ssgs", SOFT, false, C, true, true},
		{"ssgss", SOFT, true, O, false, false},
		{"", HARD, true, O, false, false},
		{"s", HARD, true, O, false, false},
		{"", WRITE, true, C, true, false},
		{"", BEGIN, false, C, true, true},
		{"", PROBE_GOOD, false, C, true, true},
		{"", PROBE_BAD, false, C, true, true},
		/* write side open */
		{"w", WRITE, false, C, true, false},
		{"w", HARD, true, O, false, false},
		{"wss", SOFT, true, O, false, false},
		{"w", GOOD, false, C, true, false},
		{"w", BEGIN, false, C, true, false},
		{"wb", PROBE_GOOD, false, C, true, false},
		{"wb+b", PROBE_GOOD, true, C, true, true},
		{"wb+b", PROBE_BAD, false, C, true, false},
		{"wb+b-b", PROBE_GOOD, false, C, true, false},
		/* open */
		{"h", SOFT, false, O, false, false},
		{"h", HARD, false, O, false, false},
		{"h", WRITE, false, O, false, false},
		{"h", GOOD, false, O, false, false},
		{"h", BEGIN, false, H, false, false},
		{"h", PROBE_GOOD, false, O, false, false},
		/* half-open */
		{"hb", BEGIN, false, H, false, false},
		{"hb", HARD, false, H, false, false},
		{"hb", GOOD, false, H, false, false},
		{"hb", PROBE_BAD, false, O, false, false},
		{"hb", PROBE_GOOD, false, H, false, false},
		{"hb+b", PROBE_GOOD, true, C, true, true},
		{"hb+b", PROBE_BAD, false, O, false, false},
		{"hb+b-b", PROBE_GOOD, false, H, false, false},
		{"hb+b-b+b", PROBE_GOOD, true, C, true, true},
		{"hwb+b", PROBE_GOOD, true, C, true, true},
		{"hb+b+", SOFT, false, C, true, true},
		{"sshb+b+", SOFT, false, C, true, true},
		{"hb+b+", HARD, true, O, false, false},
		{"hb+b+hb", PROBE_GOOD, false, H, false, false},
	};

	(void) state;
	for (size_t index = 0; index < sizeof(table) / sizeof(table[0]); index++) {
		const struct transition *row = &table[index];
		struct mms_breaker_sh breaker = {0};

		print_message("after \"%s\" %c\n", row->from, letters[row->step]);
		for (const char *next = row->from; *next != '\0'; next++) {
			take(&breaker, (enum step) (strchr(letters, *next) - letters));
		}
		assert_int_equal(take(&breaker, row->step), row->result);
		assert_int_equal(atomic_load(&breaker.state), row->state);
		assert_int_equal(mms_breaker_allows_read(&breaker), row->reads);
		assert_int_equal(mms_breaker_allows_write(&breaker), row->writes);
	}
}

static void a_state_that_does_not_exist_counts_as_open(void **state)
{
	struct mms_breaker_sh breaker = {.state = 77};

	(void) state;
	assert_false(mms_breaker_allows_read(&breaker));
	assert_false(mms_breaker_allows_write(&breaker));
	assert_true(mms_breaker_probe_due(&breaker, at(START)));
	close_at(&breaker, START);
	assert_true(mms_breaker_allows_read(&breaker));
}

static void waits_grow_by_half_up_to_the_limit(void **state)
{
	struct mms_breaker_sh breaker = {0};
	int64_t now_us = START;
	double wanted_us = MMS_BREAKER_PROBE_MIN_MS * 1000.0;

	(void) state;
	fault(&breaker, MMS_FAULT_HARD, now_us);
	for (int count = 0; count < 30; count++) {
		const int64_t wait_us = wait_from(&breaker, now_us);
		const double limit_us = MMS_BREAKER_PROBE_MAX_MS * 1000.0;

		assert_in_range(wait_us, (int64_t) (wanted_us * 0.999), (int64_t) (wanted_us * 1.001));
		now_us += wait_us;
		probe(&breaker, false, now_us);
		wanted_us = wanted_us * 1.5 < limit_us ? wanted_us * 1.5 : limit_us;
	}
}

static void jitter_stays_within_a_fifth_and_uses_it(void **state)
{
	static const uint32_t randoms[] = {0, 1, MIDDLE, UINT32_MAX - 1, UINT32_MAX};
	int64_t low = INT64_MAX, high = 0;

	(void) state;
	for (size_t index = 0; index < sizeof(randoms) / sizeof(randoms[0]); index++) {
		struct mms_breaker_sh breaker = {0};

		mms_breaker_fault(&breaker, MMS_FAULT_HARD, "", at(START), wall, randoms[index]);
		const int64_t wait_us = wait_from(&breaker, START);

		low = wait_us < low ? wait_us : low;
		high = wait_us > high ? wait_us : high;
		for (int count = 0; count < 30; count++) {
			mms_breaker_probe_result(&breaker, false, at(START), randoms[index]);
			assert_true(wait_from(&breaker, START) <= MMS_BREAKER_PROBE_MAX_MS * MS * 6 / 5);
		}
		assert_true(wait_from(&breaker, START) >= MMS_BREAKER_PROBE_MAX_MS * MS * 4 / 5);
	}
	assert_near(low, 80 * MS);
	assert_near(high, 120 * MS);
}

static void the_second_good_probe_comes_soon(void **state)
{
	struct mms_breaker_sh breaker = {0};

	(void) state;
	fault(&breaker, MMS_FAULT_HARD, START);
	for (int count = 0; count < 20; count++) {
		probe(&breaker, false, START);
	}
	probe(&breaker, true, START);
	assert_int_equal(wait_from(&breaker, START), MMS_BREAKER_PROBE_MIN_MS * MS);
}

static void a_flapping_node_is_held_out_longer_each_time(void **state)
{
	struct mms_breaker_sh breaker = {0};
	int64_t now_us = START;
	int64_t last_us = 0;

	(void) state;
	for (int count = 0; count < 8; count++) {
		assert_true(fault(&breaker, MMS_FAULT_HARD, now_us));
		assert_true(count < 4 ? wait_from(&breaker, now_us) > last_us : wait_from(&breaker, now_us) >= last_us);
		last_us = wait_from(&breaker, now_us);
		now_us = close_at(&breaker, now_us + last_us) + 200 * MS;
	}
	/* a stable time makes it forget */
	now_us += MMS_BREAKER_STABLE_MS * MS;
	assert_true(fault(&breaker, MMS_FAULT_HARD, now_us));
	assert_near(wait_from(&breaker, now_us), MMS_BREAKER_PROBE_MIN_MS * MS);
}

/* 200 ms up, 200 ms down for a minute, begun at any point of it, with any jitter. */
static void a_flapping_node_costs_no_more_than_thirty_probes_a_minute(void **state)
{
	uint32_t random = 1;
	int max = 0;

	(void) state;
	for (int64_t phase_us = 0; phase_us < 400 * MS; phase_us += 5 * MS) {
		struct mms_breaker_sh breaker = {0};
		const int64_t end_us = START + phase_us + 60000 * MS;
		int probes = 0;

		mms_breaker_fault(&breaker, MMS_FAULT_HARD, "", at(START + phase_us), wall, random);
		for (int64_t now_us = START + phase_us; now_us < end_us; now_us += MS) {
			const bool up = now_us / (200 * MS) % 2 == 0;

			random = random * 1664525 + 1013904223;
			if (mms_breaker_allows_read(&breaker) && !up) {
				mms_breaker_fault(&breaker, MMS_FAULT_HARD, "", at(now_us), wall, random);
			} else if (mms_breaker_probe_due(&breaker, at(now_us))) {
				mms_breaker_probe_begin(&breaker);
				mms_breaker_probe_result(&breaker, up, at(now_us), random);
				probes++;
			}
		}
		max = probes > max ? probes : max;
		assert_true(probes >= 5);
	}
	assert_in_range(max, 5, 30);
}

static void the_write_side_has_its_own_probes(void **state)
{
	struct mms_breaker_sh breaker = {0};

	(void) state;
	assert_true(fault(&breaker, MMS_FAULT_WRITE_ONLY, START));
	assert_near(wait_from(&breaker, START), MMS_BREAKER_PROBE_MIN_MS * MS);
	assert_false(probe(&breaker, false, START));
	assert_near(wait_from(&breaker, START), MMS_BREAKER_PROBE_MIN_MS * MS * 3 / 2);
	assert_true(mms_breaker_allows_read(&breaker));
	close_at(&breaker, START);
	assert_int_equal(wait_from(&breaker, START), -1);
}

static void a_probe_time_that_can_not_be_is_due(void **state)
{
	struct mms_breaker_sh breaker = {.state = MMS_BREAKER_OPEN, .probe_at_us = INT64_MAX};

	(void) state;
	assert_true(mms_breaker_probe_due(&breaker, at(START)));
}

static void latency_is_a_moving_average(void **state)
{
	struct mms_breaker_sh breaker = {0};

	(void) state;
	mms_breaker_good(&breaker, 0);
	assert_int_equal(atomic_load(&breaker.latency_us), 0);
	mms_breaker_good(&breaker, 800);
	assert_int_equal(atomic_load(&breaker.latency_us), 800);
	mms_breaker_good(&breaker, 1600);
	assert_int_equal(atomic_load(&breaker.latency_us), 900);
	mms_breaker_good(&breaker, 0);
	assert_int_equal(atomic_load(&breaker.latency_us), 900);
	for (int count = 0; count < 100; count++) {
		mms_breaker_good(&breaker, 100);
	}
	assert_in_range(atomic_load(&breaker.latency_us), 100, 104);
	for (int count = 0; count < 100; count++) {
		mms_breaker_good(&breaker, 1);
	}
	/* 0 would mean unknown */
	assert_in_range(atomic_load(&breaker.latency_us), 1, 5);
	for (int count = 0; count < 200; count++) {
		mms_breaker_good(&breaker, UINT32_MAX);
	}
	assert_in_range(atomic_load(&breaker.latency_us), UINT32_MAX - 8, UINT32_MAX);
}

static void the_last_fault_is_remembered_with_its_time(void **state)
{
	struct mms_breaker_sh breaker = {0};
	char long_text[2 * MMS_BREAKER_TEXT_SIZE];
	char text[MMS_BREAKER_TEXT_SIZE + 10];

	(void) state;
	mms_breaker_fault(&breaker, MMS_FAULT_SOFT, "a long first message", at(START), wall, MIDDLE);
	mms_breaker_fault(&breaker, MMS_FAULT_HARD, "short", at(START), (struct mms_wall) {wall.ms + 5}, MIDDLE);
	assert_true(mms_breaker_last_error(&breaker, text, sizeof(text)).ms == wall.ms + 5);
	assert_string_equal(text, "short");
	assert_true(mms_breaker_last_error(&breaker, text, 4).ms == wall.ms + 5);
	assert_string_equal(text, "sho");
	text[0] = 'x';
	mms_breaker_last_error(&breaker, text, 0);
	assert_int_equal(text[0], 'x');
	/* also of faults that open nothing any more */
	memset(long_text, 'y', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	mms_breaker_fault(&breaker, MMS_FAULT_HARD, long_text, at(START), wall, MIDDLE);
	mms_breaker_last_error(&breaker, text, sizeof(text));
	assert_int_equal(strlen(text), MMS_BREAKER_TEXT_SIZE - 1);
	/* and of what is no fault of the node */
	mms_breaker_note(&breaker, "noted", wall);
	mms_breaker_last_error(&breaker, text, sizeof(text));
	assert_string_equal(text, "noted");
	mms_breaker_note(&breaker, "y", wall);
	/* the closed breaker still tells */
	close_at(&breaker, START);
	mms_breaker_last_error(&breaker, text, sizeof(text));
	assert_int_equal(text[0], 'y');
}

static void a_writer_killed_in_the_text_does_not_silence_it_for_ever(void **state)
{
	struct mms_breaker_sh breaker = {0};
	char text[MMS_BREAKER_TEXT_SIZE];

	(void) state;
	fault(&breaker, MMS_FAULT_HARD, START);
	/* as kill -9 leaves it */
	atomic_fetch_add(&breaker.note.sequence, 1);
	memset(breaker.note.text, 'z', sizeof(breaker.note.text));
	mms_breaker_last_error(&breaker, text, sizeof(text));
	assert_int_equal(strlen(text), MMS_BREAKER_TEXT_SIZE - 1);
	/* just now it may be alive: its text is left to it */
	mms_breaker_fault(&breaker, MMS_FAULT_HARD, "soon", at(START), (struct mms_wall) {wall.ms + 10}, MIDDLE);
	assert_int_equal(atomic_load(&breaker.note.sequence) % 2, 1);
	mms_breaker_fault(&breaker, MMS_FAULT_HARD, "later", at(START), (struct mms_wall) {wall.ms + 5000}, MIDDLE);
	assert_true(mms_breaker_last_error(&breaker, text, sizeof(text)).ms == wall.ms + 5000);
	assert_string_equal(text, "later");
	assert_int_equal(atomic_load(&breaker.note.sequence) % 2, 0);
}

static void one_line_is_logged_per_opening_and_minute(void **state)
{
	struct mms_breaker_sh breaker = {0};
	int64_t now_us = 0;

	(void) state;
	fault(&breaker, MMS_FAULT_HARD, now_us);
	assert_true(mms_breaker_take_event(&breaker, at(now_us)));
	assert_false(mms_breaker_take_event(&breaker, at(now_us)));
	assert_false(mms_breaker_take_event(&breaker, at(now_us + 3600000 * MS)));
	now_us += 3600000 * MS;
	for (int count = 0; count < 5; count++) {
		close_at(&breaker, now_us);
		fault(&breaker, MMS_FAULT_HARD, now_us);
		assert_int_equal(mms_breaker_take_event(&breaker, at(now_us + count * 1000 * MS)), count == 0);
	}
	assert_false(mms_breaker_take_event(&breaker, at(now_us + 59999 * MS)));
	assert_true(mms_breaker_take_event(&breaker, at(now_us + 60000 * MS)));
	assert_false(mms_breaker_take_event(&breaker, at(now_us + 600000 * MS)));
	close_at(&breaker, now_us);
	fault(&breaker, MMS_FAULT_WRITE_ONLY, now_us);
	assert_true(mms_breaker_take_event(&breaker, at(now_us + 700000 * MS)));
}

struct worker {
	struct mms_breaker_sh *breaker;
	pthread_barrier_t *barrier;
	enum mms_fault kind;
	int rounds;
	int opened;
	int events;
	int torn;
	char letter;
};

/* One opening per round, however many workers find the fault at once. */
static void *fault_in_rounds(void *argument)
{
	struct worker *worker = argument;

	for (int round = 0; round < worker->rounds; round++) {
		const struct mms_mono now = at(START + round * 120000 * MS);

		pthread_barrier_wait(worker->barrier);
		worker->opened += mms_breaker_fault(worker->breaker, worker->kind, "fault", now, wall, MIDDLE);
		pthread_barrier_wait(worker->barrier);
		worker->events += mms_breaker_take_event(worker->breaker, now);
		/* the first of them is the replicator as well */
		if (pthread_barrier_wait(worker->barrier) == PTHREAD_BARRIER_SERIAL_THREAD) {
			close_at(worker->breaker, now.us);
		}
	}
	return NULL;
}

static void one_of_many_threads_opens_and_one_logs(void **state)
{
	static const enum mms_fault kinds[] = {MMS_FAULT_HARD, MMS_FAULT_WRITE_ONLY, MMS_FAULT_SOFT};

	(void) state;
	for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
		struct mms_breaker_sh breaker = {0};
		struct worker workers[THREADS];
		pthread_t threads[THREADS];
		pthread_barrier_t barrier;
		int opened = 0, events = 0;

		assert_int_equal(pthread_barrier_init(&barrier, NULL, THREADS), 0);
		for (int index = 0; index < THREADS; index++) {
			workers[index] = (struct worker) {.breaker = &breaker, .barrier = &barrier, .kind = kinds[kind], .rounds = 1000};
			assert_int_equal(pthread_create(&threads[index], NULL, fault_in_rounds, &workers[index]), 0);
		}
		for (int index = 0; index < THREADS; index++) {
			assert_int_equal(pthread_join(threads[index], NULL), 0);
			opened += workers[index].opened;
			events += workers[index].events;
		}
		pthread_barrier_destroy(&barrier);
		assert_int_equal(opened, 1000);
		assert_int_equal(events, 1000);
	}
}

static void *write_texts(void *argument)
{
	struct worker *worker = argument;
	char text[MMS_BREAKER_TEXT_SIZE];

	memset(text, worker->letter, sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int round = 0; round < worker->rounds; round++) {
		mms_breaker_fault(worker->breaker, MMS_FAULT_HARD, text, at(START), wall, MIDDLE);
	}
	return NULL;
}

static void *read_texts(void *argument)
{
	struct worker *worker = argument;
	char text[MMS_BREAKER_TEXT_SIZE];

	for (int round = 0; round < worker->rounds; round++) {
		mms_breaker_last_error(worker->breaker, text, sizeof(text));
		worker->torn += strspn(text, text[0] == 'a' ? "a" : "b") != strlen(text);
	}
	return NULL;
}

static void texts_are_not_torn_between_threads(void **state)
{
	struct mms_breaker_sh breaker = {0};
	struct worker workers[THREADS];
	pthread_t threads[THREADS];
	int torn = 0;

	(void) state;
	for (int index = 0; index < THREADS; index++) {
		workers[index] = (struct worker) {.breaker = &breaker, .letter = index == 0 ? 'a' : 'b', .rounds = 10000};
		assert_int_equal(pthread_create(&threads[index], NULL, index < 2 ? write_texts : read_texts, &workers[index]), 0);
	}
	for (int index = 0; index < THREADS; index++) {
		assert_int_equal(pthread_join(threads[index], NULL), 0);
		torn += workers[index].torn;
	}
	/* A reader gives up after a hundred tries against writers that never pause: rare, and harmless. */
	assert_in_range(torn, 0, 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeroed_memory_is_a_closed_breaker),
		cmocka_unit_test(every_transition_is_as_in_the_table),
		cmocka_unit_test(a_state_that_does_not_exist_counts_as_open),
		cmocka_unit_test(waits_grow_by_half_up_to_the_limit),
		cmocka_unit_test(jitter_stays_within_a_fifth_and_uses_it),
		cmocka_unit_test(the_second_good_probe_comes_soon),
		cmocka_unit_test(a_flapping_node_is_held_out_longer_each_time),
		cmocka_unit_test(a_flapping_node_costs_no_more_than_thirty_probes_a_minute),
		cmocka_unit_test(the_write_side_has_its_own_probes),
		cmocka_unit_test(a_probe_time_that_can_not_be_is_due),
		cmocka_unit_test(latency_is_a_moving_average),
		cmocka_unit_test(the_last_fault_is_remembered_with_its_time),
		cmocka_unit_test(a_writer_killed_in_the_text_does_not_silence_it_for_ever),
		cmocka_unit_test(one_line_is_logged_per_opening_and_minute),
		cmocka_unit_test(one_of_many_threads_opens_and_one_logs),
		cmocka_unit_test(texts_are_not_torn_between_threads),
	};

	return cmocka_run_group_tests_name("breaker", tests, NULL, NULL);
}
