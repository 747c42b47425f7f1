/* One job per hint: ASKING (headers of all ready nodes, the target's own included), FETCHING (whole record from the newest
 * holder), PUTTING. The newest copy may be a hint's own tombstone, may sit on any node, or nowhere: then the hint goes only
 * if every other node was asked and nothing is under way in the mailbox that could still bring it there. A lost
 * connection ends the job; the hint stays, and the next round takes it up. */
#include "mms_delivery.h"

#include <stdlib.h>
#include <string.h>

#include "mms_hints.h"
#include "mms_marker.h"
#include "mms_record.h"

#define ROUND_PAUSE_US 1000000  /* between two rounds through a node's hints */
#define SETTLED_RING_US 1000000 /* entries younger than this may still reach a node that just said no */

struct job {
	struct mms_delivery *delivery;
	bool used, lost;             /* lost: some connection it needed went away */
	unsigned target;
	uint32_t waiting;            /* answers outstanding */
	uint64_t asked_mask;
	struct mms_hint hint;
	struct mms_record_header wanted;
	bool wanted_good;
	bool ring_settled;           /* when it began, nothing older than a second waited in the mailbox */
	int best;                    /* node with the newest copy, -1 = none yet */
	struct mms_record_header best_header;
	bool target_has;
	struct mms_record_header target_header;
	struct mms_record_header put_header; /* what was put at last */
	unsigned char damaged[MMS_RECORD_HEADER_SIZE];
	size_t damaged_len;          /* the target's copy is damaged: replace it against these bytes */
};

struct mms_delivery {
	struct mms_office *office;
	uint32_t used;
	struct job jobs[MMS_DELIVERY_JOBS];
};

static bool start(struct mms_delivery *delivery, struct mms_link *target);
static void on_header(struct mms_link *link, void *context, uint64_t node, struct mms_reply *const *replies);
static void decide(struct job *job);
static void on_record(struct mms_link *link, void *context, uint64_t node, struct mms_reply *const *replies);
static void put(struct job *job, const unsigned char *header, struct mms_slice payload, uint64_t ttl_ms);
static void on_put(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void finish(struct job *job);

struct mms_delivery *mms_delivery_new(struct mms_office *office)
{
	struct mms_delivery *delivery = calloc(1, sizeof *delivery);

	if (delivery != NULL) {
		delivery->office = office;
	}
	return delivery;
}

void mms_delivery_free(struct mms_delivery *delivery)
{
	free(delivery);
}

static bool deliverable(const struct mms_link *link)
{
	return mms_link_ready(link) && mms_breaker_allows_write(&mms_link_node(link)->breaker)
			&& mms_hints_count(&link->office->cluster->hints, link->index) > 0;
}

void mms_delivery_run(struct mms_delivery *delivery)
{
	struct mms_office *office = delivery->office;

	for (unsigned i = 0; i < office->node_count; i++) {
		struct mms_link *target = &office->links[i];

		while (deliverable(target) && delivery->used < MMS_DELIVERY_JOBS
				&& office->now.us >= target->hint_round_at.us && start(delivery, target)) {
			office->busy = true;
		}
	}
}

int64_t mms_delivery_next_us(const struct mms_delivery *delivery)
{
	int64_t next = INT64_MAX;

	for (unsigned i = 0; i < delivery->office->node_count; i++) {
		const struct mms_link *target = &delivery->office->links[i];

		if (deliverable(target) && target->hint_round_at.us < next) {
			next = target->hint_round_at.us;
		}
	}
	return next;
}

static bool ring_settled(const struct mms_office *office)
{
	struct mms_mailbox_item item;
	const struct mms_mailbox_sh *mailbox = &office->cluster->mailbox;

	return mms_mailbox_peek(mailbox, mms_mailbox_tail(mailbox), &item) <= 0
			|| office->now.us - item.pushed_at.us < SETTLED_RING_US;
}

/* Takes the next hint and asks everybody. False when there is none to take now. */
static bool start(struct mms_delivery *delivery, struct mms_link *target)
{
	struct mms_office *office = delivery->office;
	struct mms_command command;
	struct mms_slice key, header;
	struct job *job = NULL;

	for (unsigned i = 0; i < MMS_DELIVERY_JOBS && job == NULL; i++) {
		job = delivery->jobs[i].used ? NULL : &delivery->jobs[i];
	}
	if (job == NULL) {
		return false;
	}
	memset(job, 0, sizeof *job);
	if (!mms_hints_next(&office->cluster->hints, target->index, &target->hint_cursor, office->now, &job->hint)) {
		if (target->hint_cursor == 0) {
			target->hint_round_at.us = office->now.us + ROUND_PAUSE_US;
		}
		return false;
	}
	job->delivery = delivery;
	job->used = true;
	job->target = target->index;
	job->best = -1;
	job->ring_settled = ring_settled(office);
	key = (struct mms_slice){ job->hint.key, job->hint.key_len };
	header = (struct mms_slice){ (const char *)job->hint.header, MMS_RECORD_HEADER_SIZE };
	job->wanted_good = mms_record_decode(header, key, &job->wanted) == MMS_RECORD_GOOD;
	delivery->used++;
	mms_command_init(&command);
	mms_command_read_header(&command, key);
	job->waiting = 1; /* held until all questions are out: a link may fail in between */
	for (unsigned i = 0; i < office->node_count; i++) {
		struct mms_link *link = &office->links[i];

		if (!mms_link_ready(link)) {
			continue;
		}
		if (mms_link_request(link, &command, on_header, job, i)) {
			job->waiting++;
			job->asked_mask |= UINT64_C(1) << i;
		}
	}
	job->waiting--;
	if (job->waiting == 0 || (job->asked_mask >> job->target & 1) == 0) {
		job->lost = true;
		if (job->waiting == 0) {
			finish(job);
		}
		return false;
	}
	return true;
}

static void on_header(struct mms_link *link, void *context, uint64_t node, struct mms_reply *const *replies)
{
	struct job *job = context;
	struct mms_slice key = { job->hint.key, job->hint.key_len };
	struct mms_record_header header;
	enum mms_record_verdict verdict;
	struct mms_slice bytes;

	(void)link;
	job->waiting--;
	if (replies == NULL || mms_reply_type(replies[0]) == MMS_REPLY_ERROR) {
		job->lost = job->lost || replies == NULL || node == job->target;
		job->asked_mask &= ~(UINT64_C(1) << node);
	} else {
		bytes = mms_reply_text(replies[0]);
		verdict = bytes.len == 0 ? MMS_RECORD_DAMAGED : mms_record_decode(bytes, key, &header);
		if (node == job->target) {
			job->target_has = verdict == MMS_RECORD_GOOD;
			job->target_header = header;
			if (verdict == MMS_RECORD_DAMAGED && bytes.len <= sizeof job->damaged) {
				memcpy(job->damaged, bytes.ptr, bytes.len);
				job->damaged_len = bytes.len;
			}
		} else if (verdict == MMS_RECORD_GOOD && (job->best < 0
				|| mms_version_compare(&header.version, &job->best_header.version) > 0)) {
			job->best = (int)node;
			job->best_header = header;
		}
	}
	if (job->waiting == 0) {
		decide(job);
	}
}

/* All headers are in. */
static void decide(struct job *job)
{
	struct mms_office *office = job->delivery->office;
	struct mms_slice key = { job->hint.key, job->hint.key_len };
	uint64_t all = office->node_count >= 64 ? UINT64_MAX : (UINT64_C(1) << office->node_count) - 1;
	const struct mms_version *has = job->target_has ? &job->target_header.version : NULL;
	bool best_is_enough = job->best >= 0 && job->wanted_good
			&& mms_version_compare(&job->best_header.version, &job->wanted.version) >= 0;
	struct mms_command command;

	if (job->lost || !job->wanted_good) {
		if (!job->wanted_good) { /* a damaged mapping: nothing to go by */
			mms_hints_drop(&office->cluster->hints, &job->hint, job->target);
		}
		finish(job);
		return;
	}
	if (has != NULL && mms_version_compare(has, &job->wanted.version) >= 0) {
		mms_hints_settle(&office->cluster->hints, key, job->target, has);
		finish(job);
		return;
	}
	if (!best_is_enough && job->wanted.version.tombstone) {
		uint64_t left_us = (uint64_t)mms_clock_left_us(office->now, job->hint.deadline);

		job->put_header = job->wanted;
		put(job, job->hint.header, (struct mms_slice){ NULL, 0 }, left_us / 1000 + 1);
		return;
	}
	if (!best_is_enough && job->asked_mask == all && job->ring_settled) {
		/* Everybody was asked and nobody has it. What there is may still be newer than what the target holds. */
		mms_hints_drop(&office->cluster->hints, &job->hint, job->target);
	}
	if (job->best < 0 || (has != NULL && mms_version_compare(&job->best_header.version, has) <= 0)
			|| !mms_link_ready(&office->links[job->best])) {
		finish(job);
		return;
	}
	mms_command_init(&command);
	mms_command_read_whole(&command, key);
	if (!mms_link_request(&office->links[job->best], &command, on_record, job, (uint64_t)job->best)) {
		finish(job);
	}
}

static void on_record(struct mms_link *link, void *context, uint64_t node, struct mms_reply *const *replies)
{
	struct job *job = context;
	struct mms_slice key = { job->hint.key, job->hint.key_len };
	struct mms_slice bytes, payload;
	struct mms_record_header header;
	int64_t pttl_ms;

	(void)link;
	(void)node;
	if (replies == NULL) {
		finish(job);
		return;
	}
	bytes = mms_reply_text(replies[0]);
	pttl_ms = mms_reply_integer(replies[1]);
	if (mms_record_decode_whole(bytes, key, &header, &payload) != MMS_RECORD_GOOD || pttl_ms <= 0) {
		finish(job);
		return;
	}
	job->put_header = header;
	put(job, (const unsigned char *)bytes.ptr, payload, (uint64_t)pttl_ms);
}

static void put(struct job *job, const unsigned char *header, struct mms_slice payload, uint64_t ttl_ms)
{
	struct mms_office *office = job->delivery->office;
	struct mms_link *target = &office->links[job->target];
	struct mms_slice key = { job->hint.key, job->hint.key_len };
	char tmp_key[MMS_PREFIX_MAX + 64];
	struct mms_slice tmp = { tmp_key, mms_link_tmp_key(office, tmp_key, sizeof tmp_key) };
	struct mms_slice expected = { (const char *)job->damaged, job->damaged_len };
	struct mms_command command;

	mms_command_init(&command);
	mms_command_put(&command, key, tmp, header, payload, ttl_ms, MMS_TOMBSTONE_GRACE_MS, expected);
	if (!mms_link_ready(target) || !mms_link_request(target, &command, on_put, job, 0)) {
		finish(job);
		return;
	}
	office->busy = true;
}

static void on_put(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct job *job = context;
	struct mms_office *office = link->office;
	struct mms_slice key = { job->hint.key, job->hint.key_len };
	struct mms_record_header newer;
	struct mms_put_result result;

	(void)token;
	if (replies == NULL) {
		finish(job);
		return;
	}
	mms_command_parse_put(replies[0], replies[1], &result);
	switch (result.outcome) {
	case MMS_PUT_STORED:
	case MMS_PUT_EQUAL:
		mms_link_count(office, MMS_METRIC_hints_delivered);
		mms_hints_settle(&office->cluster->hints, key, job->target, &job->put_header.version);
		break;
	case MMS_PUT_NEWER:
		if (!result.damaged && mms_record_decode((struct mms_slice){ (const char *)result.header,
				MMS_RECORD_HEADER_SIZE }, key, &newer) == MMS_RECORD_GOOD) {
			mms_hints_settle(&office->cluster->hints, key, job->target, &newer.version);
		}
		break;
	case MMS_PUT_FOREIGN:
		mms_link_count(office, MMS_METRIC_foreign_keys);
		mms_hints_drop(&office->cluster->hints, &job->hint, job->target);
		break;
	case MMS_PUT_NOSCRIPT: {
		struct mms_error error;

		mms_error_set(&error, "scripts were flushed");
		finish(job);
		mms_link_fail(link, MMS_ERR_CLOSED, &error);
		return;
	}
	default:
		finish(job);
		mms_marker_blame(link, result.error_class, result.error_text);
		return;
	}
	finish(job);
}

static void finish(struct job *job)
{
	if (job->used && job->waiting == 0) {
		job->used = false;
		job->delivery->used--;
	}
}
