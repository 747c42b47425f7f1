/* Judging answers. The difficulty is to tell a node that fails from a copy that is bad: the first is the breaker's, the
 * second only concerns this session. */
#include "mms_judge.h"

static void judge_error(struct mms_fanout *fanout, unsigned node, struct mms_copy *copy);
static void judge_record(struct mms_slice bytes, const struct mms_question *question, bool whole, struct mms_copy *copy);

/* A node that answers something twice shifts all answers behind it by one: then a number stands where text should. */
static bool fits_question(const struct mms_fanout_slot *slot, bool whole)
{
	enum mms_reply_type type = mms_reply_type(slot->replies[0]);

	return (type == MMS_REPLY_STRING || (whole && type == MMS_REPLY_NIL)) && slot->replies[1] != NULL
			&& mms_reply_type(slot->replies[1]) == MMS_REPLY_INTEGER;
}

void mms_judge_answer(struct mms_fanout *fanout, unsigned node, const struct mms_question *question, bool whole,
		struct mms_copy *copy)
{
	const struct mms_node_config *config = &fanout->client->settings.nodes[node];
	struct mms_fanout_slot *slot = &fanout->slots[node];
	const struct mms_reply *reply = slot->replies[0];
	struct mms_error error;

	copy->whole = false;
	if (slot->state != MMS_FANOUT_ANSWERED) {
		copy->verdict = slot->state == MMS_FANOUT_IDLE ? MMS_VERDICT_UNASKED : MMS_VERDICT_FAILED;
	} else if (mms_reply_type(reply) == MMS_REPLY_ERROR) {
		judge_error(fanout, node, copy);
	} else if (!fits_question(slot, whole)) {
		copy->verdict = MMS_VERDICT_FAILED;
		mms_error_set(&error, "node %s (%s): an answer that does not fit its question", config->name, config->address);
		mms_fanout_blame(fanout, node, &error);
		mms_client_fault(fanout->client, node, MMS_ERR_PROTOCOL, MMS_CLASS_NONE, &error);
	} else if (mms_reply_type(reply) == MMS_REPLY_NIL || mms_reply_text(reply).len == 0) {
		copy->verdict = MMS_VERDICT_ABSENT;
	} else {
		judge_record(mms_reply_text(reply), question, whole, copy);
	}
	if (copy->verdict == MMS_VERDICT_DAMAGED) {
		mms_client_count(fanout->client, MMS_METRIC_corrupt_records);
	} else if (copy->verdict == MMS_VERDICT_FOREIGN) {
		mms_client_count_foreign(fanout->client, node);
	}
}

static void judge_error(struct mms_fanout *fanout, unsigned node, struct mms_copy *copy)
{
	const struct mms_reply *reply = fanout->slots[node].replies[0];
	enum mms_reply_class refusal = mms_reply_classify(reply);
	char words[128];

	if (refusal == MMS_CLASS_WRONGTYPE) {
		copy->verdict = MMS_VERDICT_FOREIGN;
		return;
	}
	copy->verdict = MMS_VERDICT_FAILED;
	mms_reply_class_words(reply, words, sizeof words);
	mms_fanout_refused(fanout, node, refusal, words);
}

static void judge_record(struct mms_slice bytes, const struct mms_question *question, bool whole, struct mms_copy *copy)
{
	struct mms_slice payload;
	enum mms_record_verdict verdict = whole ? mms_record_decode_whole(bytes, question->key, &copy->header, &payload)
			: mms_record_decode(bytes, question->key, &copy->header);

	switch (verdict) {
	case MMS_RECORD_GOOD:
		copy->verdict = mms_hlc_believable(&copy->header.version, question->now) ? MMS_VERDICT_HAS : MMS_VERDICT_DAMAGED;
		copy->whole = whole && copy->verdict == MMS_VERDICT_HAS;
		break;
	case MMS_RECORD_FOREIGN:
		copy->verdict = MMS_VERDICT_FOREIGN;
		break;
	default:
		copy->verdict = MMS_VERDICT_DAMAGED;
		break;
	}
}
