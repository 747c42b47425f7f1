/* Why nodes were of no use to an operation, for people: "web2: connect: Connection refused; web3: no answer within
 * 100 ms (marked down)". Only on the way to an error message or a log line. */
#ifndef MMS_EXPLAIN_H
#define MMS_EXPLAIN_H

#include "mms_fanout.h"

#define MMS_EXPLAIN_CONSEQUENCE_MAX 110

/* Appends one node to the text: what it was blamed for in this operation, else what its breaker remembers. What does not fit
 * is cut. */
void mms_explain_node(const struct mms_fanout *fanout, unsigned node, struct mms_error *error);

/* The same with a cause that neither of them knows. */
void mms_explain_cause(const struct mms_fanout *fanout, unsigned node, const char *cause, struct mms_error *error);

/* Appends the names of the nodes in mask: "web1, web4". */
void mms_explain_names(const struct mms_fanout *fanout, uint64_t mask, struct mms_error *error);

/* Nobody was asked in this operation: the reason is what the breakers remember. Sets the text. */
void mms_explain_all_down(const struct mms_client *client, struct mms_error *error);

/* What it means for sessions that a breaker opened, by what the breakers say now: "sessions are served by the other nodes until
 * it is back". At most MMS_EXPLAIN_CONSEQUENCE_MAX bytes. */
const char *mms_explain_consequence(struct mms_client *client, unsigned node);

void mms_explain_append(const char *text, struct mms_error *error);

#endif
