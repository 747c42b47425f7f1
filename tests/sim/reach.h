/* What a read must at least show: the newest of what stood, when it began, on the nodes that its host could reach all through
 * it, whether it asked them or not. */
#ifndef REACH_H
#define REACH_H

#include <stdbool.h>
#include <stdint.h>

#include "check.h"
#include "world.h"

struct request;
struct mms_answer;

/* As a read begins. */
struct reach {
	int64_t began_at, held_us;
	struct sight sight;
	bool open[NODES_MAX];       /* the host's breaker for it was closed, and nothing was in between */
};

/* How often the checks applied, over all schedules. */
struct reach_counts {
	uint64_t reads;             /* that were to show the newest, and did not fail */
	uint64_t held, in_reach;    /* nodes that had the session, of these reads; and could be reached all through */
	uint64_t silent;            /* of these, such that did not answer, or were not asked */
	uint64_t out_of_reach;      /* reads that showed less than a node had which could not be reached */
	uint64_t bases;             /* writes whose base was compared with what their request had read */
	uint64_t unread;            /* acknowledged writes outbid by one whose read began later and did not see them */
};
extern struct reach_counts reach_counts;

void reach_reset(void);
/* Something happens to a link, or to a node (and so to its links). */
void reach_link_disturbed(unsigned host, unsigned node);
void reach_node_disturbed(unsigned node);

void reach_begin(unsigned host, unsigned session, struct reach *reach);
/* Could the host reach the node from reach_begin() until now? Its content is still there. */
bool reach_was_open(unsigned host, unsigned node, const struct reach *reach);
/* The read is over; request has what it shows. */
void reach_check(const struct request *request, const struct mms_answer *answer, int64_t deadline_us);
/* It writes a record with this header, which is request->stamped. */
void reach_check_base(struct request *request, const char *header);

#endif
