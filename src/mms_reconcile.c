/* One job per key: ASKING for headers, FETCHING the newest whole, PUTTING it on those that lack it. A lost connection takes
 * that node out of the job; the job ends all the same, and its result says who was reached. */
#include "mms_reconcile.h"

#include <stdlib.h>
#include <string.h>

#include "mms_marker.h"

struct copy {
	bool answered, has, foreign;
	struct mms_record_header header;
	size_t damaged_len; /* its copy is damaged: to be replaced against these bytes */
	unsigned char damaged[MMS_RECORD_HEADER_SIZE];
};

struct job {
	struct mms_reconciler *reconciler;
	bool used;
	uint32_t waiting;    /* answers outstanding, plus one while questions are still going out */
	struct mms_reconcile_order order;
	char key[MMS_KEY_MAX];
	unsigned char offered[MMS_RECORD_HEADER_SIZE];
	struct mms_reconcile_result result;
	struct copy *copies; /* node_count of them */
};

struct mms_reconciler {
	struct mms_office *office;
	uint32_t used;
	struct copy *copies; /* of all jobs */
	struct job jobs[MMS_RECONCILE_JOBS];
};

static void on_header(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void compare(struct job *job);
static void on_record(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void fill(struct job *job, const unsigned char *header, struct mms_slice payload, uint64_t ttl_ms);
static void on_put(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void finish(struct job *job);

struct mms_reconciler *mms_reconciler_new(struct mms_office *office)
{
	struct mms_reconciler *reconciler = calloc(1, sizeof *reconciler);

	if (reconciler == NULL) {
		return NULL;
	}
	reconciler->office = office;
	reconciler->copies = calloc((size_t)MMS_RECONCILE_JOBS * office->node_count, sizeof *reconciler->copies);
	if (reconciler->copies == NULL) {
		free(reconciler);
		return NULL;
	}
	for (uint32_t i = 0; i < MMS_RECONCILE_JOBS; i++) {
		reconciler->jobs[i].reconciler = reconciler;
		reconciler->jobs[i].copies = reconciler->copies + (size_t)i * office->node_count;
	}
	return reconciler;
}

void mms_reconciler_free(struct mms_reconciler *reconciler)
{
	if (reconciler != NULL) {
		free(reconciler->copies);
		free(reconciler);
	}
}

uint32_t mms_reconcile_room(const struct mms_reconciler *reconciler)
{
	return MMS_RECONCILE_JOBS - reconciler->used;
}

static struct job *take_job(struct mms_reconciler *reconciler, const struct mms_reconcile_order *order)
{
	for (uint32_t i = 0; i < MMS_RECONCILE_JOBS; i++) {
		struct job *job = &reconciler->jobs[i];

		if (job->used) {
			continue;
		}
		job->used = true;
		job->waiting = 1;
		job->order = *order;
		memcpy(job->key, order->key.ptr, order->key.len);
		job->order.key.ptr = job->key;
		if (order->offered != NULL) {
			memcpy(job->offered, order->offered, sizeof job->offered);
			job->order.offered = job->offered;
		}
		memset(&job->result, 0, sizeof job->result);
		memset(job->copies, 0, reconciler->office->node_count * sizeof *job->copies);
		job->result.key = job->order.key;
		reconciler->used++;
		return job;
	}
	return NULL;
}

bool mms_reconcile(struct mms_reconciler *reconciler, const struct mms_reconcile_order *order)
{
	struct mms_office *office = reconciler->office;
	struct mms_command command;
	struct job *job = NULL;
	uint64_t ask = order->ask_mask & mms_link_ready_mask(office);

	if (ask != 0 && order->key.len <= MMS_KEY_MAX) {
		job = take_job(reconciler, order);
	}
	if (job == NULL) {
		return false;
	}
	mms_command_init(&command);
	mms_command_read_header(&command, job->order.key);
	for (unsigned i = 0; i < office->node_count; i++) {
		if ((ask >> i & 1) != 0 && mms_link_request(&office->links[i], &command, on_header, job, 0)) {
			job->waiting++;
		}
	}
	office->busy = true;
	if (--job->waiting == 0) {
		compare(job);
	}
	return true;
}

static void on_header(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct job *job = context;
	struct copy *copy = &job->copies[link->index];
	enum mms_record_verdict verdict;
	struct mms_slice bytes;

	(void)token;
	if (replies != NULL && mms_reply_type(replies[0]) == MMS_REPLY_ERROR) {
		copy->foreign = mms_reply_classify(replies[0]) == MMS_CLASS_WRONGTYPE;
		copy->answered = copy->foreign;
	} else if (replies != NULL && mms_reply_type(replies[0]) == MMS_REPLY_STRING
			&& mms_reply_type(replies[1]) == MMS_REPLY_INTEGER) {
		bytes = mms_reply_text(replies[0]);
		copy->answered = true;
		if (bytes.len > 0) {
			verdict = mms_record_decode(bytes, job->order.key, &copy->header);
			copy->has = verdict == MMS_RECORD_GOOD;
			copy->foreign = verdict == MMS_RECORD_FOREIGN;
			if (verdict == MMS_RECORD_DAMAGED && bytes.len <= sizeof copy->damaged) {
				memcpy(copy->damaged, bytes.ptr, bytes.len);
				copy->damaged_len = bytes.len;
				mms_link_count(link->office, MMS_METRIC_corrupt_records);
			}
		}
	}
	if (--job->waiting == 0) {
		compare(job);
	}
}

/* All headers are in: who has the newest, who lacks it? */
static void compare(struct job *job)
{
	struct mms_office *office = job->reconciler->office;
	struct mms_reconcile_result *result = &job->result;
	struct mms_slice offered = { (const char *)job->offered, MMS_RECORD_HEADER_SIZE };
	struct mms_command command;
	int newest = -1;

	if (job->order.offered != NULL
			&& mms_record_decode(offered, job->order.key, &result->newest) == MMS_RECORD_GOOD) {
		result->found = true;
	}
	for (unsigned i = 0; i < office->node_count; i++) {
		const struct copy *copy = &job->copies[i];

		result->answered_mask |= copy->answered ? UINT64_C(1) << i : 0;
		result->foreign_mask |= copy->foreign ? UINT64_C(1) << i : 0;
		if (copy->has && (!result->found
				|| mms_version_compare(&copy->header.version, &result->newest.version) > 0)) {
			result->newest = copy->header;
			result->found = true;
			newest = (int)i;
		}
	}
	for (unsigned i = 0; i < office->node_count; i++) {
		const struct copy *copy = &job->copies[i];

		if (result->found && copy->has
				&& mms_version_compare(&copy->header.version, &result->newest.version) == 0) {
			result->equal_mask |= UINT64_C(1) << i;
			newest = newest < 0 ? (int)i : newest;
		}
	}
	if (!result->found || (job->order.fill_mask & result->answered_mask & ~result->equal_mask
			& ~result->foreign_mask) == 0) {
		finish(job);
		return;
	}
	if (newest < 0) { /* only the offered tombstone is as new as that */
		fill(job, job->offered, (struct mms_slice){ NULL, 0 }, job->order.offered_ttl_ms);
		return;
	}
	mms_command_init(&command);
	mms_command_read_whole(&command, job->order.key);
	job->waiting = 1;
	if (!mms_link_ready(&office->links[newest])
			|| !mms_link_request(&office->links[newest], &command, on_record, job, 0)) {
		finish(job);
	}
}

static void on_record(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct job *job = context;
	struct mms_record_header header;
	struct mms_slice bytes, payload;
	int64_t pttl_ms;

	(void)link;
	(void)token;
	if (replies == NULL) {
		finish(job);
		return;
	}
	bytes = mms_reply_text(replies[0]);
	pttl_ms = mms_reply_integer(replies[1]);
	if (mms_record_decode_whole(bytes, job->order.key, &header, &payload) != MMS_RECORD_GOOD || pttl_ms <= 0
			|| mms_version_compare(&header.version, &job->result.newest.version) < 0) {
		finish(job); /* expired or damaged meanwhile: the next look decides anew */
		return;
	}
	job->result.newest = header;
	fill(job, (const unsigned char *)bytes.ptr, payload, (uint64_t)pttl_ms);
}

static void fill(struct job *job, const unsigned char *header, struct mms_slice payload, uint64_t ttl_ms)
{
	struct mms_office *office = job->reconciler->office;
	uint64_t lacking = job->order.fill_mask & job->result.answered_mask & ~job->result.equal_mask
			& ~job->result.foreign_mask;
	char tmp_key[MMS_PREFIX_MAX + 64];
	struct mms_command command;

	job->waiting = 1;
	for (unsigned i = 0; i < office->node_count; i++) {
		struct mms_link *link = &office->links[i];
		struct mms_slice expected = { (const char *)job->copies[i].damaged, job->copies[i].damaged_len };
		struct mms_slice tmp = { tmp_key, 0 };

		if ((lacking >> i & 1) == 0 || !mms_link_ready(link)
				|| !mms_breaker_allows_write(&mms_link_node(link)->breaker)) {
			continue;
		}
		tmp.len = mms_link_tmp_key(office, tmp_key, sizeof tmp_key);
		mms_command_init(&command);
		mms_command_put(&command, job->order.key, tmp, header, payload, ttl_ms, MMS_TOMBSTONE_GRACE_MS, expected);
		if (mms_link_request(link, &command, on_put, job, payload.len)) {
			job->waiting++;
		}
	}
	office->busy = true;
	if (--job->waiting == 0) {
		finish(job);
	}
}

static void on_put(struct mms_link *link, void *context, uint64_t payload_len, struct mms_reply *const *replies)
{
	struct job *job = context;
	uint64_t bit = UINT64_C(1) << link->index;
	struct mms_put_result put = { .outcome = MMS_PUT_ERROR, .error_class = MMS_CLASS_NONE };
	struct mms_error error;

	if (replies != NULL) {
		mms_command_parse_put(replies[0], replies[1], &put);
	}
	if (put.outcome == MMS_PUT_STORED || put.outcome == MMS_PUT_EQUAL) {
		job->result.equal_mask |= bit;
		job->result.filled_mask |= put.outcome == MMS_PUT_STORED ? bit : 0;
		job->result.moved_bytes += payload_len + MMS_RECORD_HEADER_SIZE;
	} else if (put.outcome == MMS_PUT_NEWER && !put.damaged) {
		job->result.equal_mask |= bit;
	} else if (put.outcome == MMS_PUT_FOREIGN) {
		job->result.foreign_mask |= bit;
	}
	if (--job->waiting == 0) {
		finish(job);
	}
	/* What is wrong with the connection comes last: it may end other jobs too. */
	if (put.outcome == MMS_PUT_NOSCRIPT) {
		mms_error_set(&error, "scripts were flushed");
		mms_link_fail(link, MMS_ERR_CLOSED, &error);
	} else if (put.outcome == MMS_PUT_ERROR && replies != NULL) {
		mms_marker_blame(link, put.error_class, put.error_text);
	}
}

static void finish(struct job *job)
{
	job->order.done_fn(job->order.context, job->order.token, &job->result);
	job->used = false;
	job->reconciler->used--;
}
