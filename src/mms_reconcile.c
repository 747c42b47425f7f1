/* One job per key: ASKING for headers, FETCHING the newest whole, PUTTING it on those that lack it. A copy that turns out
 * damaged or gone is struck out, and the next newest is fetched. A lost connection takes that node out of the job; the job
 * ends all the same, and its result says who was reached. What is fetched is bounded: a job that finds too much under way
 * is parked. */
#include "mms_reconcile.h"

#include <stdlib.h>
#include <string.h>

#include "mms_hlc.h"
#include "mms_marker.h"
#include "mms_put.h"

#define TURN_SHIFT 40          /* in the token of a put: above the payload's length */
#define FETCHES_MAX 8          /* per job: copies may be struck out, or replaced meanwhile */
#define LOOKS_MAX 8            /* per job and node: at what stands there by now */
#define LIFE_SLACK_MS 5000     /* on top of touch_interval: lives are read at different moments */
#define LIFE_WITHOUT_TTL_MS 60000 /* at least; else the longest lifetime that the record knows of */

struct copy {
	bool answered, has, foreign;
	bool replace;        /* what stands there is damaged: to be replaced against `bytes` */
	struct mms_record_header header;
	int64_t pttl_ms;
	size_t bytes_len;
	unsigned char bytes[MMS_RECORD_HEADER_SIZE];
};

struct job {
	struct mms_reconciler *reconciler;
	bool used, parked;
	bool repeated;       /* damage that only a put could see is answered once */
	uint32_t waiting;    /* answers outstanding, plus one while questions are still going out or it is parked */
	uint32_t fetches, looks;
	int newest;          /* node whose copy is fetched */
	uint32_t turn;       /* counts the versions that have been the newest: what is answered may be the put of an older one */
	uint64_t moving;     /* bytes that it counts for in the reconciler's `moving` */
	struct mms_reconcile_order order;
	char key[MMS_KEY_MAX];
	unsigned char offered[MMS_RECORD_HEADER_SIZE];
	struct mms_reconcile_result result;
	struct copy *copies; /* node_count of them */
};

struct mms_reconciler {
	struct mms_office *office;
	uint32_t used, parked;
	bool unparking;
	uint64_t moving;
	struct copy *copies; /* of all jobs */
	struct job jobs[MMS_RECONCILE_JOBS];
};

static const struct mms_record_header older_than_anything = { .version = { .blind = true } };

static void on_header(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void choose(struct job *job);
static void compare(struct job *job);
static void prolong(struct job *job);
static void fetch(struct job *job);
static void on_record(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void fill(struct job *job, const unsigned char *header, struct mms_slice payload, uint64_t ttl_ms);
static void on_put(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void on_put_new(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void end_step(struct job *job);
static void finish(struct job *job);
static void unpark(struct mms_reconciler *reconciler);

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
		job->parked = job->repeated = false;
		job->waiting = 1;
		job->fetches = job->looks = 0;
		job->moving = 0;
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
		prolong(job);
	}
	return true;
}

static void take_header(struct job *job, struct mms_link *link, struct mms_reply *const *replies)
{
	struct copy *copy = &job->copies[link->index];
	enum mms_record_verdict verdict;
	struct mms_slice bytes;

	if (replies != NULL && mms_reply_type(replies[0]) == MMS_REPLY_ERROR) {
		copy->foreign = mms_reply_classify(replies[0]) == MMS_CLASS_WRONGTYPE;
		copy->answered = copy->foreign;
	} else if (replies != NULL && mms_reply_type(replies[0]) == MMS_REPLY_STRING
			&& mms_reply_type(replies[1]) == MMS_REPLY_INTEGER
			&& mms_reply_text(replies[0]).len <= sizeof copy->bytes) { /* more than was asked for is no answer */
		bytes = mms_reply_text(replies[0]);
		copy->answered = true;
		copy->pttl_ms = mms_reply_integer(replies[1]);
		if (bytes.len > 0) {
			verdict = mms_hlc_decode(bytes, job->order.key, mms_hlc_now(&job->reconciler->office->shm->anchor), &copy->header);
			if (verdict == MMS_RECORD_GOOD && copy->header.payload_len > MMS_SESSION_SIZE_MAX) {
				verdict = MMS_RECORD_DAMAGED; /* nobody's */
			}
			copy->has = verdict == MMS_RECORD_GOOD;
			copy->foreign = verdict == MMS_RECORD_FOREIGN;
			copy->replace = verdict == MMS_RECORD_DAMAGED;
			memcpy(copy->bytes, bytes.ptr, bytes.len);
			copy->bytes_len = bytes.len;
			if (verdict == MMS_RECORD_DAMAGED) {
				copy->header = older_than_anything;
				mms_link_count(link->office, MMS_METRIC_corrupt_records);
			}
		}
	}
}

static void on_header(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct job *job = context;

	(void)token;
	take_header(job, link, replies);
	if (--job->waiting == 0) {
		prolong(job);
	}
}

/* Of a node where something stands by now. */
static void on_header_again(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct job *job = context;

	(void)token;
	job->copies[link->index] = (struct copy){ 0 };
	job->result.answered_mask &= ~(UINT64_C(1) << link->index);
	take_header(job, link, replies);
	compare(job);
	choose(job);
	end_step(job);
}

/* Who has the newest, who lacks it? Among the copies that have not been struck out. */
static void compare(struct job *job)
{
	struct mms_office *office = job->reconciler->office;
	struct mms_reconcile_result *result = &job->result;
	struct mms_slice offered = { (const char *)job->offered, MMS_RECORD_HEADER_SIZE };
	struct mms_version before = result->newest.version;

	job->newest = -1;
	result->equal_mask = 0;
	result->found = job->order.offered != NULL
			&& mms_record_decode(offered, job->order.key, &result->newest) == MMS_RECORD_GOOD;
	for (unsigned i = 0; i < office->node_count; i++) {
		const struct copy *copy = &job->copies[i];

		result->answered_mask |= copy->answered ? UINT64_C(1) << i : 0;
		result->foreign_mask |= copy->foreign ? UINT64_C(1) << i : 0;
		if (copy->has && (!result->found
				|| mms_version_compare(&copy->header.version, &result->newest.version) > 0)) {
			result->newest = copy->header;
			result->found = true;
			job->newest = (int)i;
		}
	}
	job->turn += mms_version_compare(&before, &result->newest.version) != 0;
	for (unsigned i = 0; i < office->node_count; i++) {
		const struct copy *copy = &job->copies[i];

		if (result->found && copy->has
				&& mms_version_compare(&copy->header.version, &result->newest.version) == 0) {
			result->equal_mask |= UINT64_C(1) << i;
			job->newest = job->newest < 0 ? (int)i : job->newest;
		}
		if (result->found && copy->replace
				&& mms_version_compare(&copy->header.version, &result->newest.version) > 0) {
			result->damaged_mask |= UINT64_C(1) << i;
		}
	}
}

static void on_prolonged(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	(void)link;
	(void)token;
	(void)replies; /* whoever lost his record meanwhile is found by the next look */
	end_step(context);
}

/* Who lacks the newest and takes writes now. */
static uint64_t to_fill(const struct job *job)
{
	const struct mms_office *office = job->reconciler->office;
	const struct mms_reconcile_result *result = &job->result;
	uint64_t mask = result->found ? job->order.fill_mask & result->answered_mask & ~result->equal_mask & ~result->foreign_mask
			& ~result->damaged_mask : 0;

	for (unsigned i = 0; i < office->node_count; i++) {
		if (!mms_link_ready(&office->links[i]) || !mms_breaker_allows_write(&mms_link_node(&office->links[i])->breaker)) {
			mask &= ~(UINT64_C(1) << i);
		}
	}
	return mask;
}

/* All headers are in. Copies of the newest version that live shorter than another by more than touches may differ are
 * given its life; then the newest goes where it is lacking. */
static void prolong(struct job *job)
{
	struct mms_office *office = job->reconciler->office;
	int64_t tolerance_ms = (int64_t)office->settings->touch_interval_s * 1000 + LIFE_SLACK_MS, longest_ms = 0;
	char tmp_key[MMS_PREFIX_MAX + 64];
	struct mms_command command;

	compare(job);
	job->waiting = 1;
	for (unsigned i = 0; i < office->node_count; i++) {
		if ((job->result.equal_mask >> i & 1) != 0 && job->copies[i].pttl_ms > longest_ms) {
			longest_ms = job->copies[i].pttl_ms;
		}
	}
	for (unsigned i = 0; i < office->node_count; i++) {
		struct copy *copy = &job->copies[i];
		struct mms_slice tmp = { tmp_key, 0 };

		if ((job->result.equal_mask & job->order.fill_mask) >> i & 1 && copy->pttl_ms > 0
				&& copy->pttl_ms < longest_ms - tolerance_ms && mms_link_ready(&office->links[i])) {
			mms_command_init(&command);
			if (job->result.newest.version.tombstone) { /* a touch leaves these alone, the same put again does not */
				tmp.len = mms_link_tmp_key(office, tmp_key, sizeof tmp_key);
				mms_command_put(&command, job->order.key, tmp, copy->bytes, (struct mms_slice){ NULL, 0 },
						(uint64_t)longest_ms, (struct mms_slice){ NULL, 0 });
			} else {
				mms_command_touch(&command, job->order.key, copy->bytes, (uint64_t)longest_ms);
			}
			job->waiting += mms_link_request(&office->links[i], &command, on_prolonged, job, 0) ? 1 : 0;
		}
	}
	choose(job);
	end_step(job);
}

/* Takes the next step toward filling, if one is due. Called with `waiting` held. */
static void choose(struct job *job)
{
	if (to_fill(job) == 0) {
		return;
	}
	if (job->newest < 0) { /* only the offered tombstone is as new as that */
		fill(job, job->offered, (struct mms_slice){ NULL, 0 }, job->order.offered_ttl_ms);
	} else {
		fetch(job);
	}
}

/* The newest copy could not be asked for: what its node holds is not known. */
static void lose_newest(struct job *job)
{
	job->copies[job->newest].answered = false;
	job->result.answered_mask &= ~(UINT64_C(1) << job->newest);
}

static void fetch(struct job *job)
{
	struct mms_reconciler *reconciler = job->reconciler;
	struct mms_link *link = &reconciler->office->links[job->newest];
	uint64_t size = MMS_RECORD_HEADER_SIZE + (uint64_t)job->result.newest.payload_len;
	struct mms_command command;

	if (++job->fetches > FETCHES_MAX) {
		lose_newest(job); /* it does not keep still: look again later */
		return;
	}
	reconciler->moving -= job->moving;
	job->moving = 0;
	if (reconciler->moving > 0 && reconciler->moving + size > MMS_RECONCILE_MOVING_MAX) {
		job->parked = true;
		job->fetches--;
		job->waiting++;
		reconciler->parked++;
		return;
	}
	mms_command_init(&command);
	mms_command_read_up_to(&command, job->order.key, size + 1); /* what is longer than its header says shows itself, and no more */
	if (!mms_link_ready(link) || !mms_link_request(link, &command, on_record, job, 0)) {
		lose_newest(job);
		return;
	}
	job->waiting++;
	job->moving = size;
	reconciler->moving += size;
}

/* Strikes out a copy that can't be had. */
static void strike(struct job *job, struct copy *copy, bool damaged)
{
	copy->has = false;
	copy->replace = damaged;
	if (damaged) {
		mms_link_count(job->reconciler->office, MMS_METRIC_corrupt_records);
	}
}

/* Has somebody written a newer record since its header was asked for, of which this is a part only? */
static bool is_longer_by_now(const struct job *job, struct mms_slice bytes, struct mms_record_header *header)
{
	return mms_hlc_decode(bytes, job->order.key, mms_hlc_now(&job->reconciler->office->shm->anchor), header) == MMS_RECORD_GOOD
			&& bytes.len < MMS_RECORD_HEADER_SIZE + (uint64_t)header->payload_len
			&& mms_version_compare(&header->version, &job->result.newest.version) > 0;
}

static void on_record(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct job *job = context;
	struct copy *copy = &job->copies[link->index];
	struct mms_record_header header;
	struct mms_slice bytes, payload;
	int64_t pttl_ms;

	(void)token;
	if (replies == NULL || mms_reply_type(replies[0]) == MMS_REPLY_ERROR
			|| mms_reply_type(replies[1]) != MMS_REPLY_INTEGER) {
		lose_newest(job);
		end_step(job);
		return;
	}
	bytes = mms_reply_text(replies[0]);
	pttl_ms = mms_reply_integer(replies[1]);
	if (bytes.len == 0 || pttl_ms == -2 || pttl_ms == 0) {
		strike(job, copy, false); /* expired meanwhile */
	} else if (is_longer_by_now(job, bytes, &header)) {
		copy->header = header;
	} else if (mms_record_decode_whole(bytes, job->order.key, &header, &payload) != MMS_RECORD_GOOD
			|| mms_hlc_decode(bytes, job->order.key, mms_hlc_now(&job->reconciler->office->shm->anchor), &header) != MMS_RECORD_GOOD) {
		strike(job, copy, true);
		job->result.rotten_mask |= UINT64_C(1) << link->index;
	} else if (mms_version_compare(&header.version, &job->result.newest.version) < 0) {
		copy->header = header; /* went back meanwhile (evicted, and written again by somebody late) */
	} else {
		copy->header = header; /* a newer one by now, perhaps: who had the one before lacks this */
		compare(job);
		if (mms_version_compare(&header.version, &job->result.newest.version) == 0) {
			if (pttl_ms < 0) { /* somebody took its end away; nothing may live for ever on others because of it */
				pttl_ms = (int64_t)header.lifetime_s * 1000;
				pttl_ms = pttl_ms < LIFE_WITHOUT_TTL_MS ? LIFE_WITHOUT_TTL_MS : pttl_ms;
			}
			fill(job, (const unsigned char *)bytes.ptr, payload, (uint64_t)pttl_ms);
			end_step(job);
			return;
		} /* else another node has told of a newer one meanwhile */
	}
	compare(job);
	choose(job);
	end_step(job);
}

/* Where nothing stood, one command puts it there, unless something does by now. A damaged copy is replaced by compare-and-set
 * on its first bytes, and only by its own version or a newer one: with a good header, somebody may meanwhile have put the
 * payload right. */
static void fill(struct job *job, const unsigned char *header, struct mms_slice payload, uint64_t ttl_ms)
{
	struct mms_office *office = job->reconciler->office;
	uint64_t mask = to_fill(job), token = (uint64_t)job->turn << TURN_SHIFT | payload.len;
	char tmp_key[MMS_PREFIX_MAX + 64];
	struct mms_command command;

	for (unsigned i = 0; i < office->node_count; i++) {
		struct mms_link *link = &office->links[i];
		const struct copy *copy = &job->copies[i];
		struct mms_slice expected = { (const char *)copy->bytes, copy->replace ? copy->bytes_len : 0 };
		struct mms_slice tmp = { tmp_key, 0 };

		if ((mask >> i & 1) == 0) {
			continue;
		}
		mms_command_init(&command);
		if (copy->bytes_len == 0) {
			mms_command_put_new(&command, job->order.key, header, payload, ttl_ms);
			job->waiting += mms_link_request(link, &command, on_put_new, job, token) ? 1 : 0;
			continue;
		}
		tmp.len = mms_link_tmp_key(office, tmp_key, sizeof tmp_key);
		mms_command_put(&command, job->order.key, tmp, header, payload, ttl_ms, expected);
		job->waiting += mms_link_request(link, &command, on_put, job, token) ? 1 : 0;
	}
	office->busy = true;
}

/* The node says that something newer stands there. Is it sound? */
static void judge_newer(struct job *job, struct copy *copy, const struct mms_put_result *put, uint64_t bit)
{
	struct mms_slice bytes = { (const char *)put->header, put->header_len };
	enum mms_record_verdict verdict = mms_hlc_decode(bytes, job->order.key, mms_hlc_now(&job->reconciler->office->shm->anchor), &copy->header);

	copy->has = verdict == MMS_RECORD_GOOD && !put->damaged;
	if (copy->has || verdict == MMS_RECORD_FOREIGN) {
		job->result.equal_mask |= bit;
		return;
	}
	if (verdict != MMS_RECORD_GOOD) {
		copy->header = older_than_anything;
	}
	copy->replace = true;
	memcpy(copy->bytes, put->header, put->header_len);
	copy->bytes_len = put->header_len;
	mms_link_count(job->reconciler->office, MMS_METRIC_corrupt_records);
	if (mms_version_compare(&copy->header.version, &job->result.newest.version) > 0) {
		job->result.damaged_mask |= bit;
	} else if (!job->repeated) {
		job->repeated = true;
		choose(job);
	}
}

static void note_held(struct job *job, unsigned node, bool stored, uint64_t token)
{
	struct copy *copy = &job->copies[node];
	uint64_t bit = UINT64_C(1) << node;

	copy->replace = false;
	copy->bytes_len = MMS_RECORD_HEADER_SIZE; /* something stands there */
	job->result.filled_mask |= stored ? bit : 0;
	job->result.moved_bytes += (token & ((UINT64_C(1) << TURN_SHIFT) - 1)) + MMS_RECORD_HEADER_SIZE;
	if (token >> TURN_SHIFT == (job->turn & (UINT32_MAX >> (TURN_SHIFT - 32)))) {
		copy->has = true;
		copy->header = job->result.newest;
		job->result.equal_mask |= bit;
	} /* else a newer one was found meanwhile, and is on its way there, or will be */
}

static void on_put_new(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct job *job = context;
	enum mms_reply_type type = replies == NULL ? MMS_REPLY_ERROR : mms_reply_type(replies[0]);
	struct mms_command command;
	char text[128];

	if (type == MMS_REPLY_STATUS) {
		note_held(job, link->index, true, token);
	} else if (type == MMS_REPLY_NIL && job->looks++ < LOOKS_MAX * job->reconciler->office->node_count) {
		mms_command_init(&command);
		mms_command_read_header(&command, job->order.key);
		job->waiting += mms_link_request(link, &command, on_header_again, job, 0) ? 1 : 0;
	}
	end_step(job);
	if (type == MMS_REPLY_ERROR && replies != NULL) {
		mms_reply_class_words(replies[0], text, sizeof text);
		mms_marker_blame(link, mms_reply_classify(replies[0]), text);
	}
}

static void on_put(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct job *job = context;
	uint64_t bit = UINT64_C(1) << link->index;
	struct mms_put_result put = { .outcome = MMS_PUT_ERROR, .error_class = MMS_CLASS_NONE };

	if (replies != NULL) {
		mms_put_parse(replies[0], replies[1], &put);
	}
	if (put.outcome == MMS_PUT_STORED || put.outcome == MMS_PUT_EQUAL) {
		note_held(job, link->index, put.outcome == MMS_PUT_STORED, token);
		if (put.over_unread) {
			mms_link_count(link->office, MMS_METRIC_discards);
		}
	} else if (put.outcome == MMS_PUT_NEWER) {
		judge_newer(job, &job->copies[link->index], &put, bit);
	} else if (put.outcome == MMS_PUT_FOREIGN) {
		job->result.foreign_mask |= bit;
	}
	end_step(job);
	/* What is wrong with the connection comes last: it may end other jobs too. */
	if (put.outcome == MMS_PUT_ERROR && replies != NULL) {
		mms_marker_blame(link, put.error_class, put.error_text);
	}
}

static void end_step(struct job *job)
{
	if (--job->waiting == 0) {
		finish(job);
	}
}

static void finish(struct job *job)
{
	struct mms_reconciler *reconciler = job->reconciler;
	struct mms_reconcile_result result = job->result;
	char key[MMS_KEY_MAX];

	/* Free before it is told: the answer may be a new order. */
	memcpy(key, job->key, result.key.len);
	result.key.ptr = key;
	job->used = false;
	reconciler->used--;
	reconciler->moving -= job->moving;
	job->moving = 0;
	job->order.done_fn(job->order.context, job->order.token, &result);
	unpark(reconciler);
}

/* Jobs that end in here free room for those before them: hence the rounds; and no deeper than one. */
static void unpark(struct mms_reconciler *reconciler)
{
	if (reconciler->unparking) {
		return;
	}
	reconciler->unparking = true;
	do {
		for (uint32_t i = 0; i < MMS_RECONCILE_JOBS && reconciler->parked > 0; i++) {
			struct job *job = &reconciler->jobs[i];

			if (job->used && job->parked) {
				job->parked = false;
				reconciler->parked--;
				fetch(job);
				end_step(job);
			}
		}
	} while (reconciler->parked > 0 && reconciler->moving == 0);
	reconciler->unparking = false;
}
