/* The order matters: closed sequences first, the record after. What a closed sequence covers was on the node before it was
 * said, so the record read later has it. The other way round, a write and the word about it may come in between. The node's
 * marker comes with the closed sequences: a node that was emptied less than a second ago may have been given an older write since. */
#include "mms_enough.h"

#include <stddef.h>

#include "mms_closed.h"
#include "mms_identity.h"
#include "mms_meeting.h"

static bool is_closed(const struct mms_enough *enough, unsigned index);
static bool is_known(const struct mms_enough *enough, struct mms_fanout *fanout, unsigned node);

void mms_enough_begin(struct mms_enough *enough, const struct mms_token_plan *plan, bool all_wanted)
{
	enough->plan = plan;
	enough->all_wanted = all_wanted;
	enough->closed = NULL;
}

bool mms_enough_possible(const struct mms_enough *enough)
{
	return enough->plan != NULL && enough->plan->count > 0 && !enough->all_wanted;
}

void mms_enough_ask(const struct mms_enough *enough, const struct mms_settings *settings, struct mms_slice key,
		struct mms_command *command)
{
	char names[MMS_TOKEN_SLOTS][MMS_PREFIX_MAX + MMS_CLOSED_KEY_EXTRA], marker[MMS_MARKER_KEY_MAX];
	struct mms_slice keys[MMS_TOKEN_SLOTS + 1];

	if (!mms_enough_possible(enough)) {
		mms_command_read_whole(command, key);
		return;
	}
	for (unsigned i = 0; i < enough->plan->count; i++) {
		keys[i] = (struct mms_slice){ names[i], mms_closed_key(settings->prefix,
				enough->plan->tokens[i]->reserved.writer, names[i], sizeof names[i]) };
	}
	keys[enough->plan->count] = (struct mms_slice){ marker, mms_identity_marker_key(settings, marker, sizeof marker) };
	mms_command_read_after(command, keys, enough->plan->count + 1, key);
}

void mms_enough_take(struct mms_enough *enough, struct mms_fanout *fanout, unsigned node)
{
	struct mms_fanout_slot *slot = &fanout->slots[node];

	if (slot->state != MMS_FANOUT_ANSWERED || slot->replies_wanted != MMS_FANOUT_REPLIES) {
		return;
	}
	enough->closed = mms_fanout_take_reply(fanout, node, 0);
	for (unsigned i = 0; i + 1 < MMS_FANOUT_REPLIES; i++) {
		slot->replies[i] = slot->replies[i + 1];
	}
	slot->replies[MMS_FANOUT_REPLIES - 1] = NULL;
}

bool mms_enough_judge(const struct mms_enough *enough, struct mms_fanout *fanout, unsigned node,
		const struct mms_copy *copy)
{
	const struct mms_node_sh *shared = &fanout->client->cluster->nodes[node];

	/* Versions that no token could announce are on all nodes; an incomplete one may have lost them. */
	if (copy->verdict != MMS_VERDICT_HAS || !copy->whole
			|| atomic_load_explicit(&shared->complete, memory_order_relaxed) == 0) {
		return false;
	}
	for (unsigned i = 0; i < enough->plan->count; i++) {
		if (!mms_token_satisfied(enough->plan->tokens[i], &copy->header.version, is_closed(enough, i))) {
			return false;
		}
	}
	return is_known(enough, fanout, node);
}

/* Until the replicator looks, an emptied node is taken for complete, and so is one restarted from an old dump, which has what was
 * enough once: a new connection asks first which server it is. */
static bool is_known(const struct mms_enough *enough, struct mms_fanout *fanout, unsigned node)
{
	struct mms_client *client = fanout->client;

	return client->run_hashes[node] == 0 ? mms_meeting_confirm(fanout, UINT64_C(1) << node) != 0
			: mms_meeting_judge(client, node, mms_reply_element(enough->closed, enough->plan->count));
}

bool mms_enough_misses(const struct mms_enough *enough, const struct mms_version *newest)
{
	return enough->plan != NULL && newest != NULL && mms_token_plan_misses(enough->plan, newest);
}

void mms_enough_end(struct mms_enough *enough)
{
	mms_reply_free(enough->closed);
	enough->closed = NULL;
}

/* A refused MGET, a key that is not there or was written over: nothing is known. */
static bool is_closed(const struct mms_enough *enough, unsigned index)
{
	const struct mms_token *token = enough->plan->tokens[index];
	const struct mms_reply *value = mms_reply_element(enough->closed, index);
	struct mms_closed closed;

	return value != NULL && mms_reply_type(value) == MMS_REPLY_STRING
			&& mms_closed_decode(mms_reply_text(value), token->reserved.writer, &closed)
			&& mms_closed_has(&closed, token->reserved.sequence);
}
