/* What all answers to a read prove together: which copy is the newest, which nodes hold it, whether the answer is
 * authoritative (rule b) or has a majority behind it (read = quorum), and what to say when there is none. Request thread. */
#ifndef MMS_TALLY_H
#define MMS_TALLY_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_answer.h"
#include "mms_config.h"
#include "mms_judge.h"

struct mms_tally {
	uint64_t sound_mask;    /* answers that say something: a good copy, or none */
	uint64_t complete_mask; /* of these, the complete nodes' */
	uint64_t damaged_mask, foreign_mask;
	int unfetched;          /* a node with a newer copy that could not be had, -1 = none */
};

/* The node with the highest version; among equals the one whose payload is at hand, else the first. -1 = none. */
int mms_tally_pick_newest(const struct mms_copy *copies, unsigned node_count);

/* Nodes whose answer was lost after it had shown a newer version than this (NULL = than none). */
uint64_t mms_tally_lost_mask(const struct mms_copy *copies, unsigned node_count, const struct mms_version *have);
/* Has any node said what it has, or that it has nothing? */
bool mms_tally_has_answer(const struct mms_copy *copies, unsigned node_count);
/* Has another node the version that this one has? */
bool mms_tally_is_elsewhere(const struct mms_copy *copies, unsigned node_count, unsigned node);

/* Counts the copies of all nodes; newest: the version that the read goes by, NULL = none. Fills the masks of answer. */
void mms_tally_count(struct mms_tally *tally, const struct mms_fanout *fanout, const struct mms_copy *copies,
		const struct mms_version *newest, struct mms_answer *answer);

/* Where much hangs on it, asks the complete nodes whether they still are (one round trip), and takes out those that are not. misses: the
 * visitor has seen more than that. */
void mms_tally_confirm(struct mms_tally *tally, struct mms_fanout *fanout, const struct mms_version *newest,
		bool misses, struct mms_answer *answer);

/* read = quorum: true when there is no majority of good answers from complete nodes; answer then says so. Else, and with other
 * settings of read, false. */
bool mms_tally_misses_quorum(const struct mms_tally *tally, const struct mms_fanout *fanout, struct mms_answer *answer);

/* True when a newer copy was seen than any that could be had: nothing older is given for it, as what is written after that would
 * take its place; answer then says so. */
bool mms_tally_misses_newest(const struct mms_tally *tally, const struct mms_fanout *fanout, struct mms_answer *answer);

/* Rule b. */
bool mms_tally_is_authoritative(const struct mms_tally *tally, const struct mms_settings *settings);

/* No copy at hand: is there none, or is it only not to be had? Sets answer's found, and its error. */
void mms_tally_explain_nothing(const struct mms_tally *tally, const struct mms_fanout *fanout, struct mms_answer *answer);

#endif
