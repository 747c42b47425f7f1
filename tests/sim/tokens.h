/* read = session-token: what visitors carry, how their answers reach them, and that a read which one node was enough for never
 * shows a visitor less than he has seen or written. */
#ifndef TOKENS_H
#define TOKENS_H

#include "requests.h"

struct mms_answer;
struct mms_write_result;

/* How often tokens were at work, and how often a check let something pass, over all schedules. */
struct tokens_counts {
	uint64_t reads, hops;      /* with tokens; of visitors whose last answer came from another host */
	uint64_t enough, compared; /* reads that one node was enough for; of these, such that were compared with what he was told */
	uint64_t unanimous, damaged, displaced, untold; /* let pass: see docs/simulator.md */
};
extern struct tokens_counts tokens_counts;

void tokens_reset(void);
/* All visitors lose their cookies. */
void tokens_reset_jars(void);
/* Copies were lost: a version of which there is none any more binds nobody. */
void tokens_lost(void);
/* A node (0 to NODES_MAX - 1) was emptied, or has what it once had: what was damaged there is no excuse any more. */
void tokens_emptied(unsigned node);
/* A copy is damaged on its node, and so absent there; another is stored. */
void tokens_damaged(unsigned node, unsigned session, const struct reference_version *version);
void tokens_stored(unsigned node, unsigned session, const struct reference_version *version);
/* The request's visitor brings what he has. */
void tokens_bring(struct request *request);
/* It was read. */
void tokens_read(struct request *request, const struct mms_answer *answer);
/* Headers that go out at once do so. */
void tokens_early(struct request *request);
/* A write of it is about to begin; it was acknowledged. */
void tokens_before_write(struct request *request);
void tokens_stamped(const struct request *request);
void tokens_acknowledged(struct request *request, const struct mms_write_result *result);
/* Its session is about to be closed. Returns for how long the page goes on before its headers go out, in microseconds. */
int64_t tokens_close(struct request *request);
/* It is over and the answer is with the visitor. */
void tokens_answer(struct request *request);

#endif
