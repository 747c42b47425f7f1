/* Circuit breaker of one node, shared by all workers of a host. Every field is atomic; any process writes it.
 * closed: requests use the node. open: no request touches it. half-open: the replicator is probing it.
 * Only the replicator probes and closes. Vocabulary after Nygard, "Release It!". Time and randomness come in as
 * arguments. */
#ifndef MMS_BREAKER_H
#define MMS_BREAKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mms_clock.h"
#include "mms_note.h"

#define MMS_BREAKER_SOFT_LIMIT 3          /* soft faults in a row that open it */
#define MMS_BREAKER_PROBE_MIN_MS 100
#define MMS_BREAKER_PROBE_MAX_MS 5000     /* before jitter */
#define MMS_BREAKER_STABLE_MS 10000       /* closed for so long: the next opening starts at the shortest wait */
#define MMS_BREAKER_PROBES_TO_CLOSE 2     /* good probes in a row */
#ifndef MMS_BREAKER_SLOW_US               /* higher where all is slow: under valgrind */
#define MMS_BREAKER_SLOW_US 10000u        /* mean answer time from which a local node may be left out, see mms_slow.h */
#endif
#define MMS_BREAKER_TEXT_SIZE MMS_NOTE_TEXT_SIZE

enum mms_breaker_state { MMS_BREAKER_CLOSED, MMS_BREAKER_OPEN, MMS_BREAKER_HALF_OPEN };

enum mms_fault {
	MMS_FAULT_SOFT,       /* no answer in time, reset in the middle of a reply: 3 in a row open it */
	MMS_FAULT_HARD,       /* refused, unreachable, LOADING, max clients, protocol error, ...: opens at once */
	MMS_FAULT_WRITE_ONLY  /* OOM, READONLY, MISCONF: only the write side opens, reads go on */
};

struct mms_breaker_sh {
	_Atomic uint32_t state;          /* enum mms_breaker_state */
	_Atomic uint32_t write_open;     /* 1: no writes to it (readable) */
	_Atomic uint32_t soft_faults;    /* in a row, reset by every good answer */
	_Atomic uint32_t backoff_step;   /* grows with bad probes and with openings without a stable time between them */
	_Atomic uint32_t good_probes;    /* in a row while open; the replicator writes it */
	_Atomic uint32_t latency_us;     /* moving average of answer times (1/8 weight); 0 = unknown */
	_Atomic int64_t probe_at_us;     /* monotonic; next probe not before */
	_Atomic int64_t closed_at_us;    /* monotonic; when it closed last; 0 = never opened */
	struct mms_note_sh note;         /* last fault, and what is to be logged: raised by every opening */
};

/* May a request read from / write to this node now? One or two relaxed loads. */
bool mms_breaker_allows_read(const struct mms_breaker_sh *breaker);
bool mms_breaker_allows_write(const struct mms_breaker_sh *breaker);

/* No answer within waited_us: it goes into the average as if it had come then. The fault itself is told apart. */
void mms_breaker_late(struct mms_breaker_sh *breaker, uint32_t waited_us);
/* A good answer of a request, or a greeting, that took latency_us (0 = don't count the time). Resets soft_faults. Does
 * not close an open breaker. */
void mms_breaker_good(struct mms_breaker_sh *breaker, uint32_t latency_us);

/* The node was not asked by requests, and somebody else has measured an answer time: the mean goes half the way there. */
void mms_breaker_remeasured(struct mms_breaker_sh *breaker, uint32_t latency_us);

/* A fault; random is any 32 random bits (jitter of +-20 %). text is copied. Returns true when this very call
 * opened the breaker (or its write side): the caller wakes the replicator. */
bool mms_breaker_fault(struct mms_breaker_sh *breaker, enum mms_fault fault, const char *text,
		struct mms_mono now, struct mms_wall wall, uint32_t random);

/* Notes a text as the last error without counting a fault (a name that does not resolve). */
void mms_breaker_note(struct mms_breaker_sh *breaker, const char *text, struct mms_wall wall);

/* Replicator: is it open (or half-open, or its write side open) and its probe due? */
bool mms_breaker_probe_due(const struct mms_breaker_sh *breaker, struct mms_mono now);

/* Replicator: a probe starts (open -> half-open). */
void mms_breaker_probe_begin(struct mms_breaker_sh *breaker);

/* Replicator: outcome of a probe. Good ones (MMS_BREAKER_PROBES_TO_CLOSE in a row, the second due after
 * MMS_BREAKER_PROBE_MIN_MS) close it and the write side; a bad one makes the wait to the next 1.5 times longer, up
 * to MMS_BREAKER_PROBE_MAX_MS. Returns true when it closed. */
bool mms_breaker_probe_result(struct mms_breaker_sh *breaker, bool good, struct mms_mono now, uint32_t random);

/* True when it is closed and has been for MMS_BREAKER_STABLE_MS (or always): other hosts, which close theirs at moments of
 * their own, may be taken to use the node too. */
bool mms_breaker_settled(const struct mms_breaker_sh *breaker, struct mms_mono now);

/* Copies the last fault's text (consistent, NUL-terminated); returns its wall time, 0 when there was none. */
struct mms_wall mms_breaker_last_error(const struct mms_breaker_sh *breaker, char *out, size_t size);

/* True for one caller per opening, at most once a minute per node: who gets true writes the log line. */
bool mms_breaker_take_event(struct mms_breaker_sh *breaker, struct mms_mono now);

#endif
