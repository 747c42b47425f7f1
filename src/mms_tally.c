/* A "no" and a majority are worth what the nodes are worth that make them: only sound answers of complete nodes count. */
#include "mms_tally.h"

#include "mms_explain.h"
#include "mms_meeting.h"

int mms_tally_pick_newest(const struct mms_copy *copies, unsigned node_count)
{
	int newest = -1;

	for (unsigned i = 0; i < node_count; i++) {
		int order;

		if (copies[i].verdict != MMS_VERDICT_HAS) {
			continue;
		}
		order = newest < 0 ? 1 : mms_version_compare(&copies[i].header.version, &copies[newest].header.version);
		if (order > 0 || (order == 0 && copies[i].whole && !copies[newest].whole)) {
			newest = (int)i;
		}
	}
	return newest;
}

uint64_t mms_tally_lost_mask(const struct mms_copy *copies, unsigned node_count, const struct mms_version *have)
{
	uint64_t mask = 0;

	for (unsigned i = 0; i < node_count; i++) {
		if (copies[i].verdict == MMS_VERDICT_FAILED && copies[i].header.version.hlc != 0
				&& (have == NULL || mms_version_compare(&copies[i].header.version, have) > 0)) {
			mask |= UINT64_C(1) << i;
		}
	}
	return mask;
}

bool mms_tally_has_answer(const struct mms_copy *copies, unsigned node_count)
{
	bool answered = false;

	for (unsigned i = 0; i < node_count; i++) {
		answered = answered || copies[i].verdict == MMS_VERDICT_HAS || copies[i].verdict == MMS_VERDICT_ABSENT;
	}
	return answered;
}

bool mms_tally_is_elsewhere(const struct mms_copy *copies, unsigned node_count, unsigned node)
{
	bool elsewhere = false;

	for (unsigned i = 0; i < node_count; i++) {
		elsewhere = elsewhere || (i != node && copies[i].verdict == MMS_VERDICT_HAS
				&& mms_version_compare(&copies[i].header.version, &copies[node].header.version) == 0);
	}
	return elsewhere;
}

void mms_tally_count(struct mms_tally *tally, const struct mms_fanout *fanout, const struct mms_copy *copies,
		const struct mms_version *newest, struct mms_answer *answer)
{
	struct mms_client *client = fanout->client;

	tally->sound_mask = tally->complete_mask = tally->damaged_mask = tally->foreign_mask = 0;
	tally->unfetched = -1;
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		const struct mms_copy *copy = &copies[i];
		uint64_t bit = UINT64_C(1) << i;
		int order = newest == NULL ? 1 : mms_version_compare(&copy->header.version, newest);

		if (copy->verdict == MMS_VERDICT_UNASKED || copy->verdict == MMS_VERDICT_FAILED) {
			tally->unfetched = copy->header.version.hlc != 0 && order > 0 ? (int)i : tally->unfetched;
			continue;
		}
		answer->answered_mask |= bit;
		tally->damaged_mask |= copy->verdict == MMS_VERDICT_DAMAGED ? bit : 0;
		tally->foreign_mask |= copy->verdict == MMS_VERDICT_FOREIGN ? bit : 0;
		answer->holders_mask |= copy->verdict == MMS_VERDICT_HAS && order == 0 ? bit : 0;
		if (atomic_load_explicit(&client->cluster->nodes[i].complete, memory_order_relaxed) != 0
				&& (copy->verdict == MMS_VERDICT_ABSENT || copy->verdict == MMS_VERDICT_HAS)) {
			tally->complete_mask |= bit;
			answer->absent_mask |= copy->verdict == MMS_VERDICT_ABSENT ? bit : 0;
		}
	}
	tally->sound_mask = answer->answered_mask & ~tally->damaged_mask & ~tally->foreign_mask;
	if (answer->answered_mask != 0 && answer->answered_mask != mms_client_all_mask(client) && !answer->enough) {
		mms_client_count(client, MMS_METRIC_skipped_peers);
	}
}

/* Does a majority need the word of a node that has not got what the read goes by, or of one beside damaged copies, which may have
 * been newer? It may have been emptied, or restarted from an old dump, a moment ago. */
static bool needs_doubtful(const struct mms_tally *tally, const struct mms_settings *settings, const struct mms_answer *answer)
{
	return settings->read_mode == MMS_READ_QUORUM
			&& ((tally->complete_mask & ~answer->holders_mask) != 0 || tally->damaged_mask != 0);
}

/* Rule e: what this host knows of a node may be a second old. Where much hangs on it (nothing, a logout or a blind record was
 * found: what is written then may win over everything, or be refused; less than the visitor has seen: his next token would ask
 * for no more than that; or a majority is asked for), the nodes are asked once more. A majority that agrees is asked on each new
 * connection: those of an old dump agree too. Not for an id that was made here; and a node alone is complete again at once. */
void mms_tally_confirm(struct mms_tally *tally, struct mms_fanout *fanout, const struct mms_version *newest,
		bool misses, struct mms_answer *answer)
{
	const struct mms_client *client = fanout->client;
	uint64_t mask = tally->complete_mask;

	if (mask == 0 || client->reads_new_id || client->settings.node_count == 1) {
		return;
	}
	if (newest != NULL && !needs_doubtful(tally, &client->settings, answer)
			&& !(mms_tally_is_authoritative(tally, &client->settings) && (newest->tombstone || newest->blind || misses))) {
		mask &= client->settings.read_mode == MMS_READ_QUORUM ? mms_meeting_unknown_mask(client) : 0;
	}
	if (mask != 0) {
		tally->complete_mask = (tally->complete_mask & ~mask) | mms_meeting_confirm(fanout, mask);
		answer->absent_mask &= tally->complete_mask;
	}
}

/* Why the answer of this node does not count for a quorum. */
static void explain_uncounted(const struct mms_tally *tally, const struct mms_fanout *fanout, unsigned node,
		struct mms_error *error)
{
	uint64_t bit = UINT64_C(1) << node;

	if ((tally->damaged_mask & bit) != 0) {
		mms_explain_cause(fanout, node, "its copy is damaged", error);
	} else if ((tally->foreign_mask & bit) != 0) {
		mms_explain_cause(fanout, node, "the key holds something that is not mmsession's", error);
	} else if ((tally->sound_mask & bit) != 0) {
		mms_explain_cause(fanout, node, "incomplete since it was restarted or emptied", error);
	} else {
		mms_explain_node(fanout, node, error);
	}
}

/* Does the count fall short by damaged copies alone? Every other node has answered, all are complete, and a majority is not
 * damaged: whatever one took, some of these have. What is read is put in the damaged ones' places before PHP sees it
 * (mms_quorum.h); else such a session could never be read again. */
static bool only_damage_is_short(const struct mms_tally *tally, const struct mms_client *client, uint32_t needed)
{
	for (uint64_t rest = tally->damaged_mask; rest != 0; rest &= rest - 1) {
		if (atomic_load_explicit(&client->cluster->nodes[__builtin_ctzll(rest)].complete, memory_order_relaxed) == 0) {
			return false;
		}
	}
	return (tally->complete_mask | tally->damaged_mask) == mms_client_all_mask(client)
			&& mms_count_bits(tally->damaged_mask) < needed;
}

bool mms_tally_misses_quorum(const struct mms_tally *tally, const struct mms_fanout *fanout, struct mms_answer *answer)
{
	struct mms_client *client = fanout->client;
	uint32_t count = mms_count_bits(tally->complete_mask), needed = mms_config_quorum(&client->settings);

	if (client->settings.read_mode != MMS_READ_QUORUM || count >= needed || only_damage_is_short(tally, client, needed)) {
		return false;
	}
	if (client->settings.on_no_quorum == MMS_NO_QUORUM_DEGRADE && answer->answered_mask != 0) {
		answer->degraded = true;
		mms_client_count(client, MMS_METRIC_degraded_reads);
		return false;
	}
	answer->found = MMS_FOUND_UNREADABLE;
	mms_error_set(&answer->error, "read = quorum: %u of %u nodes count, %u are needed: ", count,
			client->settings.node_count, needed);
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		if ((tally->complete_mask >> i & 1) == 0) {
			explain_uncounted(tally, fanout, i, &answer->error);
		}
	}
	return true;
}

bool mms_tally_misses_newest(const struct mms_tally *tally, const struct mms_fanout *fanout, struct mms_answer *answer)
{
	if (tally->unfetched < 0) {
		return false;
	}
	answer->found = MMS_FOUND_UNREADABLE;
	mms_error_set(&answer->error, "the newest copy can't be had: ");
	mms_explain_node(fanout, (unsigned)tally->unfetched, &answer->error);
	return true;
}

/* With read = quorum and writes that reach w of n nodes or fail, n - w + 1 good answers hold one from every set of nodes that
 * may have taken a write; otherwise all must have answered. */
bool mms_tally_is_authoritative(const struct mms_tally *tally, const struct mms_settings *settings)
{
	uint32_t needed = settings->node_count;

	if (settings->read_mode == MMS_READ_QUORUM && settings->on_no_quorum == MMS_NO_QUORUM_FAIL
			&& mms_config_acks_needed(settings) >= mms_config_quorum(settings)) {
		needed = mms_config_quorum(settings);
	}
	return mms_count_bits(tally->complete_mask) >= needed;
}

void mms_tally_explain_nothing(const struct mms_tally *tally, const struct mms_fanout *fanout, struct mms_answer *answer)
{
	const struct mms_client *client = fanout->client;
	bool all = answer->answered_mask == mms_client_all_mask(client);

	if (answer->answered_mask == 0) {
		answer->found = MMS_FOUND_UNREADABLE;
		answer->error = fanout->error;
		if (answer->error.text[0] == '\0') {
			mms_explain_all_down(client, &answer->error);
		}
	} else if (tally->sound_mask == 0 && tally->damaged_mask == 0) {
		answer->found = MMS_FOUND_FOREIGN;
	} else if (tally->sound_mask == 0 && !all) {
		answer->found = MMS_FOUND_UNREADABLE;
		mms_error_set(&answer->error, "no good copy, and not every node answered: ");
		for (unsigned i = 0; i < client->settings.node_count; i++) {
			explain_uncounted(tally, fanout, i, &answer->error);
		}
	} else {
		answer->found = MMS_FOUND_NOTHING;
	}
}
