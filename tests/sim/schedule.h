/* Schedules: lists of actions with times, made from a seed or written by hand, and how they are played. */
#ifndef SCHEDULE_H
#define SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#define ACTIONS_MAX 1100 /* those made from a seed are much shorter */

enum action_kind {
	ACTION_REQUEST,      /* host, worker, visitor, session, request kind, think, payload, lifetime */
	ACTION_WAIT,
	ACTION_CUT,          /* host, node, direction (2 = both) */
	ACTION_MEND,         /* host, node: both directions */
	ACTION_RESET,        /* host, node: one connection */
	ACTION_SLOW,         /* host, node, microseconds per chunk */
	ACTION_STOP,         /* node */
	ACTION_CONTINUE,
	ACTION_KILL,         /* node; its content stays for the restart */
	ACTION_RESTART,
	ACTION_EMPTY,        /* node: killed, and restarted with nothing */
	ACTION_FLUSH,        /* node: emptied under its connections */
	ACTION_DUMP,         /* node */
	ACTION_RESTORE,      /* node: killed, and restarted with the last dump */
	ACTION_FULL,         /* node: refuses writes */
	ACTION_NOT_FULL,
	ACTION_FORGET,       /* node: forgets its scripts */
	ACTION_KILL_WORKER,  /* host, worker, at its so many-th next step; 0 = now */
	ACTION_STOP_WORKER,  /* host, worker, microseconds */
	ACTION_KILL_PHP,     /* host */
	ACTION_CLOCK,        /* host, milliseconds: the wall clock jumps */
	ACTION_DAMAGE,       /* node: a bit of a record flips */
	ACTION_CROWD,        /* node, so many keys of somebody else's: its scans take longer */
	ACTION_DELIVERED,    /* host: it must have no hints left by now */
	ACTION_KINDS
};

struct action {
	enum action_kind kind;
	int64_t after_us; /* since the action before */
	int64_t a, b, c, d, e, f, g, h;
};

struct schedule {
	uint64_t seed;
	const char *profile;
	unsigned node_count, host_count, session_count, visitor_count;
	uint32_t lifetime_s, touch_interval_s, write_acks;
	uint32_t yield_one_in, late_one_in;
	int64_t late_max_us;
	bool last_reads; /* everything is read once more when all is mended */
	const char *headers; /* a letter for each request, by its number: when its headers go out (tokens.c), with tokens; NULL = in turn */
	bool pools;      /* the first two hosts are one PHP with two clusters */
	unsigned apart_mask; /* hosts; what they send in one go may arrive in two, cut between two commands */
	bool sound;      /* no faults but delays: tokens keep all their promises */
	struct action actions[ACTIONS_MAX];
	unsigned action_count;
};

/* Names of the profiles; NULL beyond the last. */
const char *schedule_profile(unsigned index);

/* profile: NULL for the one that the seed chooses among those of the normal run. */
void schedule_make(struct schedule *schedule, uint64_t seed, const char *profile);

struct outcome {
	bool failed;
	char failure[512];
	uint64_t steps;
	int64_t simulated_us;
};
/* Visitors read by session tokens, not the newest of all nodes. */
extern bool play_with_tokens;
/* None of them signed; else every second schedule's are. */
extern bool play_unsigned;
/* The same, and they have one place for tokens. */
extern bool play_with_header;
/* One request of a session at a time. */
extern bool play_with_locks;
/* With read = quorum and write_acks = quorum. */
extern bool play_with_quorum;
/* Requests look for answers for a while before they sleep: the local node's comes meanwhile. */
extern bool play_with_spin;
/* Plays it, heals everything, and looks at what is left. */
void schedule_play(const struct schedule *schedule, bool tracing, struct outcome *outcome);

#endif
