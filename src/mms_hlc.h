/* Hybrid logical clock (Kulkarni, Demirbas et al., "Logical Physical Clocks", 2014) in one lock-free word.
 * A stamp is 48 bits of Unix milliseconds and 16 bits of counter; an overflowing counter carries into the
 * milliseconds. The word is shared by all processes of a host: any of them writes it, by CAS, never backwards, unless it
 * says what no host would believe by now. */
#ifndef MMS_HLC_H
#define MMS_HLC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mms_clock.h"
#include "mms_record.h"

typedef _Atomic uint64_t mms_hlc_word;

/* What the wall clock said when the boot clock was at 0, as far as it was believed last: Unix milliseconds, 0 = not known.
 * Shared like the word. */
typedef _Atomic int64_t mms_hlc_anchor;

/* The wall clock, for stamps and for judging them. One that is more than nine years ahead of where the anchor and the boot
 * clock expect it (a GPS receiver's week number that rolled over) is not followed: what is expected is the time then. The
 * boot clock is not even asked within nine years from boot. */
struct mms_wall mms_hlc_now(const mms_hlc_anchor *anchor);

/* The same for given clocks. */
struct mms_wall mms_hlc_believed(const mms_hlc_anchor *anchor, struct mms_wall wall, struct mms_boot boot);

/* Anchors at `wall`, if nothing plausible is known yet, or the anchor is itself more than nine years ahead of this clock: it
 * was set by a wrong one. An implausible wall clock (before 2024) anchors nothing. */
void mms_hlc_settle(mms_hlc_anchor *anchor, struct mms_wall wall, struct mms_boot boot);

/* True when somebody's clock, ahead_ms ahead of ours or of a node's, is too far ahead to be followed. */
bool mms_hlc_leapt(int64_t ahead_ms);

/* A new stamp, above the word's last one, above `above` (0 = nothing to be above) and not below the wall clock. What is absurd
 * by the wall clock counts for nothing: a word from a time when this host's clock was wrong is brought back to the wall clock,
 * and no stamp goes above an absurd `above`, for nobody would believe it (nor what it came from).
 * When `above` lies more than max_drift_ms ahead of the wall clock, the stamp goes just above it but the word
 * does not follow: a foreign clock that is wrong does not drag this host's along. Two calls may then return the
 * same stamp; the write sequence of the record keeps such versions apart (protocol.md, rule d). */
uint64_t mms_hlc_stamp(mms_hlc_word *word, struct mms_wall now, uint64_t above, uint32_t max_drift_ms);

/* Takes note of a stamp that was read. Returns true when it lies more than max_drift_ms ahead of the wall clock
 * (the word is then left alone; count it). */
bool mms_hlc_observe(mms_hlc_word *word, struct mms_wall now, uint64_t seen, uint32_t max_drift_ms);

/* The millisecond part of a stamp. */
uint64_t mms_hlc_ms(uint64_t stamp);

/* True for stamps more than ten years ahead of a wall clock that is itself plausible (after 2024): damage. */
bool mms_hlc_absurd(uint64_t stamp, struct mms_wall now);

/* False for a version whose stamp or incarnation is absurd. */
bool mms_hlc_believable(const struct mms_version *version, struct mms_wall now);

/* mms_record_decode(), and DAMAGED for a sound header whose stamp or incarnation is absurd: nobody can have written it,
 * and it would win against everything. `out` is filled for it too. */
enum mms_record_verdict mms_hlc_decode(struct mms_slice bytes, struct mms_slice key, struct mms_wall now,
		struct mms_record_header *out);

#endif
