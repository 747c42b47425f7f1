/* INFO and the marker in one round trip; a second one where the marker has to be made, or read again. */
#include "mms_meeting.h"

#include <string.h>

#include "mms_identity.h"

struct meeting {
	struct mms_fanout *fanout;
	struct mms_command command;                 /* the same question for all; then one proposal at a time */
	char key[MMS_MARKER_KEY_MAX];
	size_t key_len;
};

static void learn(struct meeting *meeting, unsigned node);

void mms_meeting_run(struct mms_fanout *fanout, uint64_t mask)
{
	struct mms_client *client = fanout->client;
	struct meeting meeting = { .fanout = fanout };
	uint64_t asked = 0;

	for (unsigned i = 0; i < client->settings.node_count; i++) {
		if (atomic_load_explicit(&client->cluster->nodes[i].run_hash, memory_order_relaxed) != 0) {
			mask &= ~(UINT64_C(1) << i);
		}
	}
	if (mask == 0) {
		return;
	}
	meeting.key_len = mms_identity_marker_key(&client->settings, meeting.key, sizeof meeting.key);
	mms_command_init(&meeting.command);
	mms_command_info_server(&meeting.command);
	mms_command_get(&meeting.command, (struct mms_slice){ meeting.key, meeting.key_len });
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		if ((mask >> i & 1) != 0 && mms_fanout_ask(fanout, i, &meeting.command, mms_client_wait_us(client))) {
			asked |= UINT64_C(1) << i;
		}
	}
	mms_fanout_wait(fanout, asked);
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		if ((asked >> i & 1) != 0 && fanout->slots[i].state == MMS_FANOUT_ANSWERED) {
			learn(&meeting, i);
		}
	}
}

static void learn(struct meeting *meeting, unsigned node)
{
	struct mms_fanout *fanout = meeting->fanout;
	struct mms_fanout_slot *slot = &fanout->slots[node];
	struct mms_cluster_sh *cluster = fanout->client->cluster;
	struct mms_slice key = { meeting->key, meeting->key_len };
	char run_id[MMS_RUN_ID_MAX + 1], value[MMS_MARKER_VALUE_MAX];
	struct mms_identity identity;

	if (mms_reply_type(slot->replies[0]) == MMS_REPLY_ERROR
			|| mms_identity_parse_info(mms_reply_text(slot->replies[0]), run_id, NULL) != MMS_OK) {
		return;
	}
	mms_identity_judge(mms_reply_text(slot->replies[1]), run_id, &identity);
	if (mms_reply_type(slot->replies[1]) == MMS_REPLY_NIL && mms_identity_propose(run_id, MMS_MARKER_FOUNDED, value) == MMS_OK) {
		mms_command_init(&meeting->command);
		mms_command_set_once(&meeting->command, key, mms_slice_of(value));
		if (!mms_fanout_ask(fanout, node, &meeting->command, mms_client_wait_us(fanout->client))) {
			return;
		}
		mms_fanout_wait(fanout, UINT64_C(1) << node);
		if (slot->state != MMS_FANOUT_ANSWERED) {
			return;
		}
		mms_identity_judge(mms_reply_text(slot->replies[1]), run_id, &identity);
	}
	/* The replicator may have been faster; it is the one that notices changes. */
	if (atomic_load(&cluster->nodes[node].run_hash) != 0) {
		return;
	}
	fanout->client->run_hashes[node] = identity.run_hash;
	identity.complete = identity.complete
			|| mms_identity_all_founded(cluster, fanout->client->settings.node_count, node, &identity);
	(void)mms_identity_publish(&cluster->nodes[node], &identity);
	/* The last one makes all of them complete, if nobody ever saw any before; the replicator tells other hosts. */
	if (identity.founded && identity.complete) {
		mms_identity_make_sure(cluster, fanout->client->settings.node_count);
	}
}

/* Founded: complete as all of them are, which the marker will say in a moment; of a node that this host knew by another id, it says
 * that somebody who did not know it found it empty. */
static bool is_complete(const struct mms_client *client, unsigned node, const struct mms_identity *identity)
{
	return identity->complete || (identity->founded
			&& atomic_load(&client->cluster->nodes[node].node_id) == identity->node_id);
}

/* Mostly the text is that of the last time: taking it apart again would be a tenth of a read's work. */
bool mms_meeting_judge(struct mms_client *client, unsigned node, const struct mms_reply *marker)
{
	struct mms_known_marker *known = &client->markers[node];
	struct mms_identity identity;
	struct mms_slice text;

	if (marker == NULL || mms_reply_type(marker) != MMS_REPLY_STRING) {
		return false;
	}
	text = mms_reply_text(marker);
	if (known->len > 0 && text.len == known->len && memcmp(text.ptr, known->text, text.len) == 0) {
		return true;
	}
	mms_identity_judge_hash(text, client->run_hashes[node], &identity);
	known->len = identity.complete && text.len <= sizeof known->text ? text.len : 0;
	memcpy(known->text, text.ptr, known->len);
	return is_complete(client, node, &identity);
}

static bool still_complete(struct mms_fanout *fanout, unsigned node)
{
	struct mms_client *client = fanout->client;
	const struct mms_fanout_slot *slot = &fanout->slots[node];
	const struct mms_reply *marker = slot->replies[slot->replies_wanted - 1];
	char run_id[MMS_RUN_ID_MAX + 1];
	struct mms_identity identity;

	if (slot->state != MMS_FANOUT_ANSWERED || mms_reply_type(marker) != MMS_REPLY_STRING) {
		return false;
	}
	if (slot->replies_wanted == 1) {
		return mms_meeting_judge(client, node, marker);
	}
	if (mms_reply_type(slot->replies[0]) != MMS_REPLY_STRING
			|| mms_identity_parse_info(mms_reply_text(slot->replies[0]), run_id, NULL) != MMS_OK) {
		return false;
	}
	mms_identity_judge(mms_reply_text(marker), run_id, &identity);
	client->run_hashes[node] = identity.run_hash;
	return is_complete(client, node, &identity);
}

uint64_t mms_meeting_unknown_mask(const struct mms_client *client)
{
	uint64_t mask = 0;

	for (unsigned i = 0; i < client->settings.node_count; i++) {
		uint64_t believed = atomic_load_explicit(&client->cluster->nodes[i].run_hash, memory_order_relaxed);

		mask |= client->run_hashes[i] == 0 || client->run_hashes[i] != believed ? UINT64_C(1) << i : 0;
	}
	return mask;
}

uint64_t mms_meeting_confirm(struct mms_fanout *fanout, uint64_t mask)
{
	struct mms_client *client = fanout->client;
	struct mms_command full, short_one;
	char key_text[MMS_MARKER_KEY_MAX];
	struct mms_slice key = { key_text, mms_identity_marker_key(&client->settings, key_text, sizeof key_text) };
	uint64_t asked = 0, confirmed = 0;

	mms_command_init(&full);
	mms_command_info_server(&full);
	mms_command_get(&full, key);
	mms_command_init(&short_one);
	mms_command_get(&short_one, key);
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		if ((mask >> i & 1) != 0
				&& mms_fanout_ask(fanout, i, client->run_hashes[i] == 0 ? &full : &short_one, mms_client_wait_us(client))) {
			asked |= UINT64_C(1) << i;
		}
	}
	mms_fanout_wait(fanout, asked);
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		if ((asked >> i & 1) != 0 && still_complete(fanout, i)) {
			confirmed |= UINT64_C(1) << i;
		}
	}
	return confirmed;
}
