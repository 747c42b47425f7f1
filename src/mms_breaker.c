/* The circuit breaker. Its difficulty is that any process may be killed between two of its stores: every field is
 * atomic, the state alone decides, and what is left half-done heals by itself (a probe comes early, a text is
 * dropped). No fences: ThreadSanitizer can't follow them. */
#include "mms_breaker.h"

#include <stdlib.h>
#include <string.h>

#define LATENCY_WEIGHT 8
#define WAIT_LATENCIES 4
#define WAIT_MIN_US 100000u /* a busy machine stalls healthy nodes for tens of milliseconds: docs/decisions/0009 */
#define JITTER_PERCENT 20
#define BACKOFF_STEP_MAX 16u
#define REOPENING_STEPS 3u
#define BACKOFF_MAX_US (MMS_BREAKER_PROBE_MAX_MS * INT64_C(1000)) /* before jitter */
#define EVENT_INTERVAL_US INT64_C(60000000)
#define TEXT_READS_MAX 100
#define TEXT_WRITER_DEAD_MS 1000

static bool open_breaker(struct mms_breaker_sh *breaker, struct mms_mono now, uint32_t random);
static bool open_write_side(struct mms_breaker_sh *breaker, struct mms_mono now, uint32_t random);
static void schedule_first_probe(struct mms_breaker_sh *breaker, bool stable, struct mms_mono now, uint32_t random);
static bool was_stable(const struct mms_breaker_sh *breaker, struct mms_mono now);
static uint32_t next_step(uint32_t step, uint32_t steps);
static int64_t backoff_us(uint32_t step, uint32_t random);
static void remember_error(struct mms_breaker_sh *breaker, const char *text, struct mms_wall wall);
static bool claim_text(struct mms_breaker_sh *breaker, struct mms_wall wall, uint32_t *sequence);

/* Fields of the mapping are written by other processes: relaxed unless said otherwise. */
#define load(field) atomic_load_explicit(&(field), memory_order_relaxed)
#define store(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)

bool mms_breaker_allows_read(const struct mms_breaker_sh *breaker)
{
	return load(breaker->state) == MMS_BREAKER_CLOSED;
}

bool mms_breaker_allows_write(const struct mms_breaker_sh *breaker)
{
	return load(breaker->state) == MMS_BREAKER_CLOSED && load(breaker->write_open) == 0;
}

void mms_breaker_good(struct mms_breaker_sh *breaker, uint32_t latency_us)
{
	/* Every answer comes here: don't dirty the cache line for nothing. */
	if (load(breaker->soft_faults) != 0) {
		store(breaker->soft_faults, 0);
	}
	if (latency_us == 0) {
		return;
	}
	/* Two answers at a time may lose one of them in the average: it does not matter. */
	uint64_t average = load(breaker->latency_us);

	if (average == 0) {
		average = latency_us;
	} else {
		average = (average * (LATENCY_WEIGHT - 1) + latency_us + LATENCY_WEIGHT / 2) / LATENCY_WEIGHT;
	}
	store(breaker->latency_us, (uint32_t) average);
}

bool mms_breaker_fault(struct mms_breaker_sh *breaker, enum mms_fault fault, const char *text,
		struct mms_mono now, struct mms_wall wall, uint32_t random)
{
	remember_error(breaker, text, wall);
	if (fault == MMS_FAULT_WRITE_ONLY) {
		return open_write_side(breaker, now, random);
	}
	if (load(breaker->state) != MMS_BREAKER_CLOSED) {
		return false;
	}
	if (fault == MMS_FAULT_SOFT
			&& atomic_fetch_add_explicit(&breaker->soft_faults, 1, memory_order_relaxed) + 1 < MMS_BREAKER_SOFT_LIMIT) {
		return false;
	}
	return open_breaker(breaker, now, random);
}

void mms_breaker_note(struct mms_breaker_sh *breaker, const char *text, struct mms_wall wall)
{
	remember_error(breaker, text, wall);
}

bool mms_breaker_probe_due(const struct mms_breaker_sh *breaker, struct mms_mono now)
{
	if (load(breaker->state) == MMS_BREAKER_CLOSED && load(breaker->write_open) == 0) {
		return false;
	}
	const int64_t probe_at_us = load(breaker->probe_at_us);

	/* A time beyond every wait of ours is damage in the mapping; a node must not be lost to it. */
	return now.us >= probe_at_us || probe_at_us - now.us > 2 * BACKOFF_MAX_US;
}

void mms_breaker_probe_begin(struct mms_breaker_sh *breaker)
{
	uint32_t expected = MMS_BREAKER_OPEN;

	atomic_compare_exchange_strong(&breaker->state, &expected, MMS_BREAKER_HALF_OPEN);
}

bool mms_breaker_probe_result(struct mms_breaker_sh *breaker, bool good, struct mms_mono now, uint32_t random)
{
	if (load(breaker->state) == MMS_BREAKER_CLOSED && load(breaker->write_open) == 0) {
		return false;
	}
	if (!good) {
		const uint32_t step = next_step(load(breaker->backoff_step), 1);
		uint32_t expected = MMS_BREAKER_HALF_OPEN;

		store(breaker->backoff_step, step);
		store(breaker->good_probes, 0);
		store(breaker->probe_at_us, now.us + backoff_us(step, random));
		atomic_compare_exchange_strong(&breaker->state, &expected, MMS_BREAKER_OPEN);
		return false;
	}
	const uint32_t good_probes = load(breaker->good_probes) + 1;

	store(breaker->good_probes, good_probes);
	if (good_probes < MMS_BREAKER_PROBES_TO_CLOSE) {
		store(breaker->probe_at_us, now.us + MMS_BREAKER_PROBE_MIN_MS * INT64_C(1000));
		return false;
	}
	store(breaker->good_probes, 0);
	store(breaker->soft_faults, 0);
	store(breaker->closed_at_us, now.us == 0 ? 1 : now.us);
	/* Exchanged, so that one replicator alone reports it when another has just succeeded it. */
	const bool writes_back = atomic_exchange(&breaker->write_open, 0) != 0;
	const bool reads_back = atomic_exchange(&breaker->state, MMS_BREAKER_CLOSED) != MMS_BREAKER_CLOSED;

	return writes_back || reads_back;
}

bool mms_breaker_settled(const struct mms_breaker_sh *breaker, struct mms_mono now)
{
	return mms_breaker_allows_write(breaker) && was_stable(breaker, now);
}

uint32_t mms_breaker_wait_us(const struct mms_breaker_sh *breaker, uint32_t read_timeout_ms)
{
	const uint64_t latency_us = load(breaker->latency_us);
	const uint64_t timeout_us = (uint64_t) read_timeout_ms * 1000;
	uint64_t wait_us = latency_us * WAIT_LATENCIES;

	if (wait_us < WAIT_MIN_US) {
		wait_us = WAIT_MIN_US;
	}
	if (latency_us == 0 || wait_us > timeout_us) {
		wait_us = timeout_us;
	}
	return wait_us > UINT32_MAX ? UINT32_MAX : (uint32_t) wait_us;
}

struct mms_wall mms_breaker_last_error(const struct mms_breaker_sh *breaker, char *out, size_t size)
{
	char text[MMS_BREAKER_TEXT_SIZE];
	struct mms_wall wall = {0};

	/* A seqlock. The acquire loads keep the second look at the sequence behind the copy. A writer that was killed
	 * leaves the sequence odd: after some tries a mixed text is better than none. */
	for (int tries = 0; tries < TEXT_READS_MAX; tries++) {
		const uint32_t before = atomic_load_explicit(&breaker->error_sequence, memory_order_acquire);

		wall.ms = atomic_load_explicit(&breaker->error_at_ms, memory_order_acquire);
		for (size_t index = 0; index < sizeof(text); index++) {
			text[index] = __atomic_load_n(&breaker->error_text[index], __ATOMIC_ACQUIRE);
		}
		if (before % 2 == 0 && before == atomic_load_explicit(&breaker->error_sequence, memory_order_relaxed)) {
			break;
		}
	}
	text[sizeof(text) - 1] = '\0';
	if (size > 0) {
		const size_t len = strnlen(text, size - 1);

		memcpy(out, text, len);
		out[len] = '\0';
	}
	return wall;
}

bool mms_breaker_take_event(struct mms_breaker_sh *breaker, struct mms_mono now)
{
	const uint64_t opened_count = load(breaker->opened_count);
	int64_t logged_at_us = load(breaker->logged_at_us);

	if (opened_count == load(breaker->logged_count)) {
		return false;
	}
	if (logged_at_us != 0 && now.us - logged_at_us < EVENT_INTERVAL_US) {
		return false;
	}
	if (!atomic_compare_exchange_strong(&breaker->logged_at_us, &logged_at_us, now.us == 0 ? 1 : now.us)) {
		return false;
	}
	store(breaker->logged_count, opened_count);
	return true;
}

static bool open_breaker(struct mms_breaker_sh *breaker, struct mms_mono now, uint32_t random)
{
	const bool stable = was_stable(breaker, now);
	uint32_t expected = MMS_BREAKER_CLOSED;

	if (!atomic_compare_exchange_strong(&breaker->state, &expected, MMS_BREAKER_OPEN)) {
		return false;
	}
	schedule_first_probe(breaker, stable, now, random);
	return true;
}

/* A node that is open as a whole is probed as a whole: its write side then says nothing new. */
static bool open_write_side(struct mms_breaker_sh *breaker, struct mms_mono now, uint32_t random)
{
	const bool stable = was_stable(breaker, now);

	if (atomic_exchange(&breaker->write_open, 1) != 0 || load(breaker->state) != MMS_BREAKER_CLOSED) {
		return false;
	}
	schedule_first_probe(breaker, stable, now, random);
	return true;
}

/* Openings that follow each other without a stable time between them start with ever longer waits: a flapping node
 * is held out. With fewer steps at a time its good probes, two per opening, would make more than 30 in a minute. */
static void schedule_first_probe(struct mms_breaker_sh *breaker, bool stable, struct mms_mono now, uint32_t random)
{
	const uint32_t step = stable ? 0 : next_step(load(breaker->backoff_step), REOPENING_STEPS);

	store(breaker->backoff_step, step);
	store(breaker->good_probes, 0);
	store(breaker->probe_at_us, now.us + backoff_us(step, random));
	atomic_fetch_add_explicit(&breaker->opened_count, 1, memory_order_relaxed);
}

static bool was_stable(const struct mms_breaker_sh *breaker, struct mms_mono now)
{
	const int64_t closed_at_us = load(breaker->closed_at_us);

	return closed_at_us == 0 || now.us - closed_at_us >= MMS_BREAKER_STABLE_MS * INT64_C(1000);
}

static uint32_t next_step(uint32_t step, uint32_t steps)
{
	return step < BACKOFF_STEP_MAX - steps ? step + steps : BACKOFF_STEP_MAX;
}

/* MMS_BREAKER_PROBE_MIN_MS x 1.5 per step, +-20 %. */
static int64_t backoff_us(uint32_t step, uint32_t random)
{
	int64_t wait_us = MMS_BREAKER_PROBE_MIN_MS * INT64_C(1000);

	for (uint32_t index = 0; index < step && wait_us < BACKOFF_MAX_US; index++) {
		wait_us += wait_us / 2;
	}
	if (wait_us > BACKOFF_MAX_US) {
		wait_us = BACKOFF_MAX_US;
	}
	const int64_t span_us = wait_us * 2 * JITTER_PERCENT / 100;

	return wait_us - span_us / 2 + (int64_t) (((uint64_t) span_us * random) >> 32);
}

/* The writer's half of the seqlock. When another fault is being written just now, this one's text is dropped. */
static void remember_error(struct mms_breaker_sh *breaker, const char *text, struct mms_wall wall)
{
	uint32_t sequence;

	if (!claim_text(breaker, wall, &sequence)) {
		return;
	}
	const size_t len = strnlen(text, MMS_BREAKER_TEXT_SIZE - 1);

	/* Release: no byte may be seen before the odd sequence. */
	atomic_store_explicit(&breaker->error_at_ms, wall.ms, memory_order_release);
	for (size_t index = 0; index < MMS_BREAKER_TEXT_SIZE; index++) {
		__atomic_store_n(&breaker->error_text[index], index < len ? text[index] : '\0', __ATOMIC_RELEASE);
	}
	/* Fails when this writer was stopped for so long that another took the text over. */
	atomic_compare_exchange_strong(&breaker->error_sequence, &sequence, sequence + 1);
}

/* Makes the sequence odd. An odd one whose time is long past belongs to a writer that was killed: taken over. */
static bool claim_text(struct mms_breaker_sh *breaker, struct mms_wall wall, uint32_t *sequence)
{
	uint32_t found = atomic_load(&breaker->error_sequence);
	uint32_t claimed = found + 1;

	if (found % 2 != 0) {
		if (llabs(wall.ms - load(breaker->error_at_ms)) < TEXT_WRITER_DEAD_MS) {
			return false;
		}
		claimed = found + 2;
	}
	*sequence = claimed;
	return atomic_compare_exchange_strong(&breaker->error_sequence, &found, claimed);
}
