/* Is one node's answer enough for a visitor who came with tokens? Asks that node for its copy and, before that, for the
 * closed sequences of the hosts that the tokens are from and for its marker, in one round trip. */
#ifndef MMS_ENOUGH_H
#define MMS_ENOUGH_H

#include <stdbool.h>

#include "mms_fanout.h"
#include "mms_judge.h"
#include "mms_token.h"

struct mms_enough {
	const struct mms_token_plan *plan; /* NULL or empty: no node's answer alone is enough */
	bool all_wanted;                   /* nor with tokens: they only say what a read of all nodes may lack */
	struct mms_reply *closed;          /* values of the closed sequences, in the plan's order, then the marker; NULL = not known */
};

/* Borrows plan, which may be NULL. all_wanted: all nodes are to be read whatever one of them answers. */
void mms_enough_begin(struct mms_enough *enough, const struct mms_token_plan *plan, bool all_wanted);

/* May one node's answer be enough at all? */
bool mms_enough_possible(const struct mms_enough *enough);

/* Adds the read of the whole record, with the question for closed sequences before it if that may be of use. */
void mms_enough_ask(const struct mms_enough *enough, const struct mms_settings *settings, struct mms_slice key,
		struct mms_command *command);

/* After the node was asked: takes closed sequences out of its slot, which then looks as after a plain read. */
void mms_enough_take(struct mms_enough *enough, struct mms_fanout *fanout, unsigned node);

/* True when this copy, as judged, satisfies every token and its node can be trusted to be complete. On a new connection that
 * takes a round trip, which leaves another answer in the node's slot. */
bool mms_enough_judge(const struct mms_enough *enough, struct mms_fanout *fanout, unsigned node,
		const struct mms_copy *copy);

/* Does what all nodes have fall short of what the visitor has been shown, or may it? */
bool mms_enough_misses(const struct mms_enough *enough, const struct mms_version *newest);

void mms_enough_end(struct mms_enough *enough);

#endif
