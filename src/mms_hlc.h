/* Hybrid logical clock (Kulkarni, Demirbas et al., "Logical Physical Clocks", 2014) in one lock-free word.
 * A stamp is 48 bits of Unix milliseconds and 16 bits of counter; an overflowing counter carries into the
 * milliseconds. The word is shared by all processes of a host: any of them writes it, by CAS, never backwards. */
#ifndef MMS_HLC_H
#define MMS_HLC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mms_clock.h"
#include "mms_record.h"

typedef _Atomic uint64_t mms_hlc_word;

/* A new stamp, above the word's last one, above `above` (0 = nothing to be above) and not below the wall clock.
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
