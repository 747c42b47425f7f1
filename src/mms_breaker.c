/* The circuit breaker. Its difficulty is that any process may be killed between two of its stores: every field is
 * atomic, the state alone decides, and what is left half-done heals by itself (a probe comes early). */
#include "mms_breaker.h"

#define LATENCY_WEIGHT 8
#define JITTER_PERCENT 20
#define BACKOFF_STEP_MAX 16u
#define REOPENING_STEPS 3u
#define BACKOFF_MAX_US (MMS_BREAKER_PROBE_MAX_MS * INT64_C(1000)) /* before jitter */

static bool open_breaker(struct mms_breaker_sh *breaker, struct mms_mono now, uint32_t random);
static bool open_write_side(struct mms_breaker_sh *breaker, struct mms_mono now, uint32_t random);
static void schedule_first_probe(struct mms_breaker_sh *breaker, bool stable, struct mms_mono now, uint32_t random);
static bool was_stable(const struct mms_breaker_sh *breaker, struct mms_mono now);
static uint32_t next_step(uint32_t step, uint32_t steps);
static int64_t backoff_us(uint32_t step, uint32_t random);

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
	if (latency_us != 0) {
		mms_breaker_late(breaker, latency_us);
	}
}

void mms_breaker_late(struct mms_breaker_sh *breaker, uint32_t waited_us)
{
	/* Two answers at a time may lose one of them in the average: it does not matter. */
	uint64_t average = load(breaker->latency_us);

	if (average == 0) {
		average = waited_us;
	} else {
		average = (average * (LATENCY_WEIGHT - 1) + waited_us + LATENCY_WEIGHT / 2) / LATENCY_WEIGHT;
	}
	store(breaker->latency_us, (uint32_t) average);
}

void mms_breaker_remeasured(struct mms_breaker_sh *breaker, uint32_t latency_us)
{
	const uint64_t average = load(breaker->latency_us);

	if (average != 0) {
		store(breaker->latency_us, (uint32_t) ((average + latency_us) / 2));
	}
}

bool mms_breaker_fault(struct mms_breaker_sh *breaker, enum mms_fault fault, const char *text,
		struct mms_mono now, struct mms_wall wall, uint32_t random)
{
	mms_note_write(&breaker->note, text, wall.ms);
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
	mms_note_write(&breaker->note, text, wall.ms);
}

bool mms_breaker_probe_due(const struct mms_breaker_sh *breaker, struct mms_mono now)
{
	if (load(breaker->state) == MMS_BREAKER_CLOSED && load(breaker->write_open) == 0) {
		return false;
	}
	const int64_t probe_at_us = load(breaker->probe_at_us);

	/* A time beyond every wait of ours is damage in the mapping; a node must not be lost to it. */
	return now.us >= probe_at_us || mms_clock_apart(probe_at_us, now.us) > 2 * BACKOFF_MAX_US;
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

struct mms_wall mms_breaker_last_error(const struct mms_breaker_sh *breaker, char *out, size_t size)
{
	return (struct mms_wall){ mms_note_read(&breaker->note, out, size) };
}

bool mms_breaker_take_event(struct mms_breaker_sh *breaker, struct mms_mono now)
{
	return mms_note_take_event(&breaker->note, now.us);
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
	mms_note_raise(&breaker->note);
}

static bool was_stable(const struct mms_breaker_sh *breaker, struct mms_mono now)
{
	const int64_t closed_at_us = load(breaker->closed_at_us);

	return closed_at_us == 0 || mms_clock_apart(now.us, closed_at_us) >= MMS_BREAKER_STABLE_MS * INT64_C(1000);
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
