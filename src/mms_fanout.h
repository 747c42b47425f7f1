/* One question to several nodes at once, on the request thread: every node has its own wait, all share one deadline.
 * No node is asked twice, but for a connection that the server had closed while it was idle. A node's own (short) wait
 * counts only once some other node has answered: before that there is nothing better to do than to go on waiting, up to
 * read_timeout_ms. A connect has connect_timeout_ms of that; where a TLS connection has to be made, its handshake and the
 * answer have connect_timeout_ms on top of either wait. An answer longer than this process takes ends its connection with
 * MMS_ERR_TOO_LARGE; where the command asked for a whole value, no breaker hears of it.
 *
 *   mms_fanout_begin(&fanout, client, deadline);
 *   mms_fanout_ask(&fanout, node, &command, wait_us);     for each node
 *   mms_fanout_wait(&fanout, mask);                        until none of mask is waiting
 *   ... fanout.slots[node].state, .replies ...
 *   mms_fanout_end(&fanout);                               frees replies, drops connections that still owe one
 */
#ifndef MMS_FANOUT_H
#define MMS_FANOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_client.h"
#include "mms_command.h"

#define MMS_FANOUT_REPLIES 3 /* most replies that one command of ours has */

enum mms_fanout_state {
	MMS_FANOUT_IDLE,     /* not asked */
	MMS_FANOUT_WAITING,
	MMS_FANOUT_ANSWERED, /* replies are there; they may be errors of the server */
	MMS_FANOUT_FAILED    /* status and error say why; the breaker has been told */
};

struct mms_fanout_slot {
	enum mms_fanout_state state;
	enum mms_status status;
	uint32_t replies_wanted, replies_got;            /* leading ones not counted */
	uint32_t leading_left;
	bool led;                                        /* none of the leading replies so far was an error */
	bool retried;
	bool handshake;                                  /* a TLS connection had to be made for it: both limits are later */
	uint64_t moved_bytes;                            /* of the connection, when its limits were set last */
	struct mms_mono asked_at;
	struct mms_mono give_up_at;                      /* if another node has answered */
	struct mms_mono limit_at;                        /* in any case */
	const struct mms_command *command;               /* borrowed until the answer is there */
	struct mms_reply *replies[MMS_FANOUT_REPLIES];
};

struct mms_fanout {
	struct mms_client *client;
	struct mms_mono deadline;
	bool patient;                                    /* nothing else is worth waiting for: an answer that has begun has read_timeout_ms
	                                                  * for each 16 KiB of it, not 20 ms */
	bool wake;                                       /* the asker owes the replicator a wake-up: given before this thread sleeps */
	uint64_t waiting_mask;
	uint64_t asked_mask;
	uint64_t answered_mask;
	struct mms_error error;                          /* of the last node that failed */
	uint64_t blamed_mask;                            /* nodes with an entry in errors */
	struct mms_error errors[MMS_NODES_MAX];          /* the last one of each node */
	struct mms_fanout_slot slots[MMS_NODES_MAX];
};

/* Only the first node_count slots are touched. */
void mms_fanout_begin(struct mms_fanout *fanout, struct mms_client *client, struct mms_mono deadline);

/* Sends the command; the answer is waited for at most wait_us (bounded by the deadline). command must stay alive until
 * the node is no longer waiting. False when it failed at once. A bound command goes out only on the connection that stands:
 * when that is gone, status is MMS_ERR_CLOSED, and the breaker hears nothing of it. A slot that answered before is reused. */
bool mms_fanout_ask(struct mms_fanout *fanout, unsigned node, const struct mms_command *command, int64_t wait_us);

/* Waits until no node of mask is waiting any more; other nodes make progress meanwhile. With fanout->wake the replicator is
 * woken (and wake is false) before this thread sleeps; when the answers came while it span, that is left to the asker. */
void mms_fanout_wait(struct mms_fanout *fanout, uint64_t mask);

/* Frees the replies; connections with outstanding replies are closed. */
void mms_fanout_end(struct mms_fanout *fanout);

/* Remembers why a node is of no use to this operation; nobody else is told. */
void mms_fanout_blame(struct mms_fanout *fanout, unsigned node, const struct mms_error *error);

/* A server error that leaves the connection in order, with the server's words: blames the node, and tells its breaker. */
void mms_fanout_refused(struct mms_fanout *fanout, unsigned node, enum mms_reply_class refusal, const char *words);

/* Takes a reply out of a slot (the caller frees it). */
struct mms_reply *mms_fanout_take_reply(struct mms_fanout *fanout, unsigned node, unsigned index);

#endif
