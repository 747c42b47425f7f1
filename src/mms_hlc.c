/* The hybrid logical clock. Its difficulty is which clock may pull which: the word follows the wall clock and every
 * stamp that is near it, never one far ahead, and nothing that stands in shared memory or came from the network may
 * make it wrap around. And the wall clock itself may leap by decades: stamps that no other host believes are lost sessions,
 * so it is followed only as far as others would, and a word that went too far before comes back. */
#include "mms_hlc.h"

#define COUNTER_BITS 16
#define MS_MAX ((UINT64_C(1) << 48) - 1)
#define YEAR_MS INT64_C(31557600000)
#define ABSURD_YEARS 10
#define LEAP_YEARS 9 /* a year less: whoever reads what is stamped may have a slow clock */
#define PLAUSIBLE_WALL_MS INT64_C(1704067200000) /* 2024-01-01 */

static bool expects(const mms_hlc_anchor *anchor, struct mms_boot boot, int64_t *expected_ms);
static uint64_t wall_ms(struct mms_wall now);
static uint64_t after(uint64_t stamp);
static bool is_ahead(uint64_t stamp, struct mms_wall now, uint64_t allowed_ms);

struct mms_wall mms_hlc_now(const mms_hlc_anchor *anchor)
{
	const struct mms_wall wall = mms_clock_wall();

	return mms_hlc_leapt(mms_clock_apart(wall.ms, atomic_load_explicit(anchor, memory_order_relaxed)))
			? mms_hlc_believed(anchor, wall, mms_clock_boot()) : wall;
}

struct mms_wall mms_hlc_believed(const mms_hlc_anchor *anchor, struct mms_wall wall, struct mms_boot boot)
{
	int64_t expected_ms;

	return expects(anchor, boot, &expected_ms) && mms_hlc_leapt(mms_clock_apart(wall.ms, expected_ms))
			? (struct mms_wall) {expected_ms} : wall;
}

void mms_hlc_settle(mms_hlc_anchor *anchor, struct mms_wall wall, struct mms_boot boot)
{
	int64_t expected_ms;

	if (wall.ms >= PLAUSIBLE_WALL_MS
			&& (!expects(anchor, boot, &expected_ms) || mms_hlc_leapt(mms_clock_apart(expected_ms, wall.ms)))) {
		atomic_store_explicit(anchor, mms_clock_apart(wall.ms, boot.ms), memory_order_relaxed);
	}
}

bool mms_hlc_leapt(int64_t ahead_ms)
{
	return ahead_ms > LEAP_YEARS * YEAR_MS;
}

uint64_t mms_hlc_stamp(mms_hlc_word *word, struct mms_wall now, uint64_t above, uint32_t max_drift_ms)
{
	const bool far_ahead = is_ahead(above, now, max_drift_ms);
	const uint64_t least = mms_hlc_absurd(above, now) ? 0 : above;
	const uint64_t floor = wall_ms(now) << COUNTER_BITS;
	uint64_t last = atomic_load_explicit(word, memory_order_relaxed);
	uint64_t stamp;

	/* Lock-free: each failed exchange means that another caller got its stamp. */
	do {
		stamp = after(last) > floor && !mms_hlc_absurd(last, now) ? after(last) : floor;
		if (least >= stamp) {
			stamp = after(least);
			if (far_ahead) {
				return stamp;
			}
		}
	} while (!atomic_compare_exchange_weak_explicit(word, &last, stamp, memory_order_relaxed, memory_order_relaxed));
	return stamp;
}

bool mms_hlc_observe(mms_hlc_word *word, struct mms_wall now, uint64_t seen, uint32_t max_drift_ms)
{
	uint64_t last = atomic_load_explicit(word, memory_order_relaxed);

	if (is_ahead(seen, now, max_drift_ms)) {
		return true;
	}
	while (last < seen) {
		if (atomic_compare_exchange_weak_explicit(word, &last, seen, memory_order_relaxed, memory_order_relaxed)) {
			break;
		}
	}
	return false;
}

uint64_t mms_hlc_ms(uint64_t stamp)
{
	return stamp >> COUNTER_BITS;
}

bool mms_hlc_absurd(uint64_t stamp, struct mms_wall now)
{
	return now.ms >= PLAUSIBLE_WALL_MS && is_ahead(stamp, now, (uint64_t) (ABSURD_YEARS * YEAR_MS));
}

enum mms_record_verdict mms_hlc_decode(struct mms_slice bytes, struct mms_slice key, struct mms_wall now,
		struct mms_record_header *out)
{
	enum mms_record_verdict verdict = mms_record_decode(bytes, key, out);

	return verdict == MMS_RECORD_GOOD && !mms_hlc_believable(&out->version, now) ? MMS_RECORD_DAMAGED : verdict;
}

bool mms_hlc_believable(const struct mms_version *version, struct mms_wall now)
{
	return !mms_hlc_absurd(version->hlc, now) && !mms_hlc_absurd(version->incarnation, now);
}

/* What the wall clock should say by now. False when that is not known, or cannot be: shared memory may be damaged. */
static bool expects(const mms_hlc_anchor *anchor, struct mms_boot boot, int64_t *expected_ms)
{
	return !__builtin_add_overflow(atomic_load_explicit(anchor, memory_order_relaxed), boot.ms, expected_ms)
			&& *expected_ms >= PLAUSIBLE_WALL_MS;
}

/* A wall clock before 1970 or past the 48 bits counts as the nearest end. */
static uint64_t wall_ms(struct mms_wall now)
{
	if (now.ms <= 0) {
		return 0;
	}
	return (uint64_t) now.ms > MS_MAX ? MS_MAX : (uint64_t) now.ms;
}

/* The next stamp; the counter's overflow carries into the milliseconds. The very last stamp stays where it is:
 * wrapping to zero would turn a damaged word into versions that lose against everything. */
static uint64_t after(uint64_t stamp)
{
	return stamp == UINT64_MAX ? stamp : stamp + 1;
}

static bool is_ahead(uint64_t stamp, struct mms_wall now, uint64_t allowed_ms)
{
	return mms_hlc_ms(stamp) > wall_ms(now) + allowed_ms;
}
