/* A node that is silent may be the one that took the visitor's last write. By the time it is given up (100 ms and more) the
 * mirror of that write has long been on the others, but their answers are from before: an older cart would be shown, and the
 * write that follows would outbid the newer one for good. */
#include "mms_refresh.h"

static bool is_good(const struct mms_copy *copy)
{
	return copy->verdict == MMS_VERDICT_HAS || copy->verdict == MMS_VERDICT_ABSENT;
}

/* Answers that are too old to be relied on beside one that did not come; 0 when all came. In a damaged copy's place, too, may stand what
 * somebody has written meanwhile; where nothing else came, the read looks at damage itself. */
static uint64_t grown_old(const struct mms_fanout *fanout, const struct mms_copy *copies)
{
	const struct mms_mono now = mms_clock_mono();
	uint64_t old = 0;
	bool failed = false, any_good = false;

	for (unsigned i = 0; i < fanout->client->settings.node_count; i++) {
		failed = failed || copies[i].verdict == MMS_VERDICT_FAILED;
		any_good = any_good || is_good(&copies[i]);
		if ((is_good(&copies[i]) || copies[i].verdict == MMS_VERDICT_DAMAGED) && now.us - fanout->slots[i].asked_at.us > MMS_REFRESH_AGE_US) {
			old |= UINT64_C(1) << i;
		}
	}
	return failed && any_good ? old : 0;
}

/* Only the header was asked for: that of a record with a damaged payload is good. */
static bool is_replaced(const struct mms_copy *damaged, const struct mms_copy *now)
{
	return now->verdict == MMS_VERDICT_HAS && mms_version_compare(&now->header.version, &damaged->header.version) != 0;
}

static void ask_again(struct mms_fanout *fanout, const struct mms_question *question, const struct mms_command *header_only,
		struct mms_copy *copies, uint64_t mask)
{
	const struct mms_settings *settings = &fanout->client->settings;

	for (unsigned i = 0; i < settings->node_count; i++) {
		if ((mask >> i & 1) != 0) {
			(void)mms_fanout_ask(fanout, i, header_only, (int64_t)settings->read_timeout_ms * 1000);
		}
	}
	mms_fanout_wait(fanout, mask);
	for (unsigned i = 0; i < settings->node_count; i++) {
		struct mms_copy before = copies[i];

		if ((mask >> i & 1) == 0) {
			continue;
		}
		mms_judge_answer(fanout, i, question, false, &copies[i]);
		if (before.verdict == MMS_VERDICT_DAMAGED ? !is_replaced(&before, &copies[i]) : !is_good(&copies[i])) {
			copies[i] = before;
		} else if (copies[i].verdict == MMS_VERDICT_HAS && before.whole
				&& mms_version_compare(&copies[i].header.version, &before.header.version) == 0) {
			copies[i].whole = true;
		}
	}
}

void mms_refresh_answers(struct mms_fanout *fanout, const struct mms_question *question,
		const struct mms_command *header_only, struct mms_copy *copies)
{
	if ((fanout->asked_mask & ~fanout->answered_mask) != 0) {
		ask_again(fanout, question, header_only, copies, grown_old(fanout, copies));
	}
}

void mms_refresh_all(struct mms_fanout *fanout, const struct mms_question *question, const struct mms_command *header_only,
		struct mms_copy *copies)
{
	uint64_t good = 0;

	for (unsigned i = 0; i < fanout->client->settings.node_count; i++) {
		good |= is_good(&copies[i]) ? UINT64_C(1) << i : 0;
	}
	ask_again(fanout, question, header_only, copies, good);
}
