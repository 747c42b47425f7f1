/* Keys are kept as SCAN gave them and handed to the reconciler as it has room and the rate allows. With `since`, the source
 * alone is asked first, and the others only for what is young enough. Comparisons still under way when a pass is forgotten
 * are told from those of the next by a generation. A cursor is safe once the last comparison of a key before it has ended;
 * comparisons are counted apart before and behind one such mark at a time. */
#include "mms_scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mms_hlc.h"
#include "mms_reconcile.h"

#define KEYS_PER_STEP 200      /* COUNT of SCAN: also what a step counts for as progress */
#define JOBS_MAX 64            /* comparisons at a time; hints need the other half of the reconciler */
#define BYTES_PER_NODE 100     /* on the wire, for a comparison that finds everything equal */
#define RATE_MIN 65536         /* whatever a damaged mapping says */
#define ALLOWANCE_US 100000    /* the rate may be saved up for so long */

/* What a comparison is for, and on which side of the mark: parts of its token. */
#define STAGE_MASK 3u
#define SIDE_BIT 4u
#define GENERATION_SHIFT 3
enum stage {
	STAGE_ALL,                 /* the nodes of the pass */
	STAGE_YOUNG,               /* the source alone: is it young enough? */
	STAGE_MEND                 /* every node that can be asked: the source's payload was found damaged */
};

struct mms_scan {
	struct mms_office *office;
	struct mms_reconciler *reconciler;
	struct mms_scan_order order;
	enum mms_scan_state state;
	uint32_t generation;       /* of this pass; 31 bits are compared */
	bool asked;                /* a SCAN is out */
	bool failed;
	bool walked;               /* the last SCAN said that there is no more */
	uint64_t asked_count, steps_max; /* SCANs of this scan */
	char cursor[24];           /* of the last SCAN */
	uint64_t safe;             /* cursor before which all keys have been compared */
	uint64_t mark;             /* the next that will be safe */
	bool marked;
	unsigned side;             /* 0 or SIDE_BIT: of keys that are handed out now; those before the mark have the other */
	char *keys;                /* of the last SCAN: length (2 bytes), bytes, ... */
	size_t keys_len, keys_pos;
	uint32_t jobs[2];          /* of this pass, by side */
	int64_t allowance;         /* bytes that may be moved now; negative after a large record */
	struct mms_mono refilled_at;
	struct mms_mono source_since; /* of the source's connection: its cursors are this server's */
};

static void ask_for_keys(struct mms_scan *scan);
static void hand_out(struct mms_scan *scan);
static void on_scanned(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void on_compared(void *context, uint64_t token, const struct mms_reconcile_result *result);

struct mms_scan *mms_scan_new(struct mms_office *office, struct mms_reconciler *reconciler)
{
	struct mms_scan *scan = calloc(1, sizeof *scan);

	if (scan != NULL) {
		scan->office = office;
		scan->reconciler = reconciler;
		scan->refilled_at = office->now;
	}
	return scan;
}

void mms_scan_free(struct mms_scan *scan)
{
	if (scan != NULL) {
		mms_scan_stop(scan);
		free(scan);
	}
}

void mms_scan_begin(struct mms_scan *scan, const struct mms_scan_order *order)
{
	mms_scan_stop(scan);
	scan->order = *order;
	scan->state = MMS_SCAN_RUNNING;
	scan->failed = scan->walked = scan->marked = false;
	scan->asked_count = 0;
	scan->steps_max = order->steps_max == 0 ? MMS_SCAN_STEPS_MAX : order->steps_max;
	scan->safe = order->cursor;
	scan->source_since = scan->office->links[order->source].ready_since;
	(void)snprintf(scan->cursor, sizeof scan->cursor, "%" PRIu64, order->cursor);
}

uint64_t mms_scan_cursor(const struct mms_scan *scan)
{
	return scan->safe;
}

static uint32_t jobs_of(const struct mms_scan *scan)
{
	return scan->jobs[0] + scan->jobs[1];
}

static uint32_t *jobs_on(struct mms_scan *scan, uint64_t side)
{
	return &scan->jobs[(side & SIDE_BIT) != 0];
}

/* All keys before this cursor have been handed out. */
static void set_mark(struct mms_scan *scan)
{
	if (!scan->marked && mms_slice_decimal(mms_slice_of(scan->cursor), UINT64_MAX, &scan->mark)) {
		scan->marked = true;
		scan->side ^= SIDE_BIT;
	}
}

static void look_at_mark(struct mms_scan *scan)
{
	if (scan->marked && *jobs_on(scan, scan->side ^ SIDE_BIT) == 0) {
		scan->safe = scan->failed ? scan->safe : scan->mark;
		scan->marked = false;
	}
}

void mms_scan_stop(struct mms_scan *scan)
{
	free(scan->keys);
	scan->keys = NULL;
	scan->keys_pos = scan->keys_len = 0;
	scan->generation = (scan->generation + 1) & INT32_MAX;
	scan->jobs[0] = scan->jobs[1] = 0;
	scan->asked = false;
	scan->state = MMS_SCAN_IDLE;
}

enum mms_scan_state mms_scan_run(struct mms_scan *scan)
{
	if (scan->state != MMS_SCAN_RUNNING) {
		return scan->state;
	}
	hand_out(scan);
	if (scan->keys_pos >= scan->keys_len && !scan->asked && !scan->walked) {
		ask_for_keys(scan);
	}
	look_at_mark(scan);
	if (scan->walked && scan->keys_pos >= scan->keys_len && jobs_of(scan) == 0) {
		scan->state = scan->failed ? MMS_SCAN_FAILED : MMS_SCAN_DONE;
		scan->office->busy = true;
	}
	return scan->state;
}

static void ask_for_keys(struct mms_scan *scan)
{
	struct mms_link *source = &scan->office->links[scan->order.source];
	struct mms_command command;
	char pattern[MMS_PREFIX_MAX + 2];

	set_mark(scan);
	(void)snprintf(pattern, sizeof pattern, "%s*", scan->office->settings->prefix);
	mms_command_init(&command);
	mms_command_scan(&command, mms_slice_of(scan->cursor), mms_slice_of(pattern), KEYS_PER_STEP);
	scan->asked = scan->asked_count++ < scan->steps_max && mms_link_ready(source) && source->ready_since.us == scan->source_since.us
			&& mms_link_request(source, &command, on_scanned, scan, scan->generation);
	if (!scan->asked) {
		scan->failed = scan->walked = true;
	}
}

/* Keys of ours within the SCAN's answer, copied into one block. */
static bool keep_keys(struct mms_scan *scan, const struct mms_reply *list)
{
	const char *prefix = scan->office->settings->prefix;
	size_t prefix_len = strlen(prefix), size = 1;

	for (size_t i = 0; i < mms_reply_count(list); i++) {
		size += mms_reply_text(mms_reply_element(list, i)).len + 2;
	}
	free(scan->keys);
	scan->keys = malloc(size);
	scan->keys_len = scan->keys_pos = 0;
	if (scan->keys == NULL) {
		return false;
	}
	for (size_t i = 0; i < mms_reply_count(list); i++) {
		struct mms_slice key = mms_reply_text(mms_reply_element(list, i));
		uint16_t len = (uint16_t)key.len;

		if (key.len <= prefix_len || key.len > MMS_KEY_MAX || memcmp(key.ptr, prefix, prefix_len) != 0
				|| !mms_config_session_id_valid((struct mms_slice){ key.ptr + prefix_len, key.len - prefix_len })) {
			continue;
		}
		memcpy(scan->keys + scan->keys_len, &len, sizeof len);
		memcpy(scan->keys + scan->keys_len + sizeof len, key.ptr, key.len);
		scan->keys_len += sizeof len + key.len;
	}
	return true;
}

static void on_scanned(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct mms_scan *scan = context;
	const struct mms_reply *cursor = replies == NULL ? NULL : mms_reply_element(replies[0], 0);
	const struct mms_reply *list = replies == NULL ? NULL : mms_reply_element(replies[0], 1);

	(void)link;
	if (token != scan->generation) {
		return;
	}
	scan->asked = false;
	if (cursor == NULL || list == NULL || !keep_keys(scan, list)) {
		scan->failed = scan->walked = true;
		return;
	}
	mms_text_copy(scan->cursor, sizeof scan->cursor, mms_reply_text(cursor));
	scan->walked = strcmp(scan->cursor, "0") == 0;
	if (scan->order.report != NULL) {
		atomic_fetch_add_explicit(&scan->order.report->walked, KEYS_PER_STEP, memory_order_relaxed);
	}
	scan->office->busy = true;
}

static struct mms_slice next_key(const struct mms_scan *scan)
{
	uint16_t len;

	memcpy(&len, scan->keys + scan->keys_pos, sizeof len);
	return (struct mms_slice){ scan->keys + scan->keys_pos + sizeof len, len };
}

/* Compares the next key; false when there is no room now. */
static bool compare_one(struct mms_scan *scan)
{
	bool source_alone = scan->order.since_ms > 0;
	struct mms_reconcile_order order = { .ask_mask = scan->order.mask, .fill_mask = scan->order.mask,
			.done_fn = on_compared, .context = scan,
			.token = (uint64_t)scan->generation << GENERATION_SHIFT | scan->side | STAGE_ALL };

	order.key = next_key(scan);
	if (source_alone) {
		order.ask_mask = UINT64_C(1) << scan->order.source;
		order.fill_mask = 0;
		order.token |= STAGE_YOUNG;
	}
	++*jobs_on(scan, scan->side);
	if (!mms_reconcile(scan->reconciler, &order)) {
		--*jobs_on(scan, scan->side);
		return false;
	}
	scan->allowance -= BYTES_PER_NODE * mms_count_bits(order.ask_mask);
	scan->keys_pos += sizeof(uint16_t) + order.key.len;
	return true;
}

static void hand_out(struct mms_scan *scan)
{
	struct mms_office *office = scan->office;
	int64_t rate = office->settings->repair_rate < RATE_MIN ? RATE_MIN : (int64_t)office->settings->repair_rate;

	int64_t since_us = mms_clock_apart(office->now.us, scan->refilled_at.us);

	/* More than this is not kept anyway, and the last scan may have been months ago. */
	since_us = since_us < 0 ? 0 : since_us > ALLOWANCE_US ? ALLOWANCE_US : since_us;
	scan->allowance += since_us * (rate / 1000) / 1000;
	scan->refilled_at = office->now;
	if (scan->allowance > rate * ALLOWANCE_US / 1000000) {
		scan->allowance = rate * ALLOWANCE_US / 1000000;
	}
	while (scan->keys_pos < scan->keys_len && jobs_of(scan) < JOBS_MAX && scan->allowance > 0) {
		if (scan->order.compared.shared != NULL && mms_keyset_has(&scan->order.compared, next_key(scan))) {
			scan->keys_pos += sizeof(uint16_t) + next_key(scan).len;
			continue;
		}
		if (!compare_one(scan)) {
			if (mms_reconcile_room(scan->reconciler) > 0) { /* no node can be asked */
				scan->failed = scan->walked = true;
				scan->keys_pos = scan->keys_len;
			}
			return;
		}
	}
}

static void count(struct mms_scan *scan, const struct mms_reconcile_result *result)
{
	struct mms_metrics_sh *metrics = &scan->office->cluster->metrics;
	struct mms_repair_sh *report = scan->order.report;
	uint64_t moved = (uint64_t)mms_count_bits(result->filled_mask);

	scan->allowance -= (int64_t)result->moved_bytes;
	mms_metrics_add(metrics, MMS_METRIC_repair_scanned, 1);
	mms_metrics_add(metrics, MMS_METRIC_repair_moved, moved);
	mms_metrics_add(metrics, MMS_METRIC_repair_bytes, moved > 0 ? result->moved_bytes : 0);
	if (report != NULL) {
		atomic_fetch_add_explicit(&report->scanned, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&report->moved, moved, memory_order_relaxed);
		atomic_fetch_add_explicit(&report->bytes, moved > 0 ? result->moved_bytes : 0, memory_order_relaxed);
	}
}

/* Compares the key of a comparison that has just ended once more, with these nodes. stage: with its side. */
static void compare_again(struct mms_scan *scan, const struct mms_reconcile_result *result, uint64_t mask, uint64_t stage)
{
	struct mms_reconcile_order order = { .key = result->key, .ask_mask = mask, .fill_mask = mask,
			.done_fn = on_compared, .context = scan, .token = (uint64_t)scan->generation << GENERATION_SHIFT | stage };

	++*jobs_on(scan, stage);
	if (!mms_reconcile(scan->reconciler, &order)) {
		--*jobs_on(scan, stage);
		scan->failed = true; /* no node can be asked: a job has just become free */
	}
}

/* A pass needs every node's answer about every key, and every one of them to have the newest then; damage that nobody can
 * mend, foreign keys and records that have just expired are no reason to do it all again. */
static void on_compared(void *context, uint64_t token, const struct mms_reconcile_result *result)
{
	struct mms_scan *scan = context;
	uint64_t stage = token & STAGE_MASK, side = token & SIDE_BIT, all = mms_link_ready_mask(scan->office) | scan->order.mask;
	uint64_t needed = stage == STAGE_YOUNG ? UINT64_C(1) << scan->order.source : scan->order.mask, lacking;

	if (token >> GENERATION_SHIFT != scan->generation) {
		return;
	}
	--*jobs_on(scan, side);
	if (stage == STAGE_YOUNG && result->found
			&& mms_hlc_ms(result->newest.version.hlc) >= scan->order.since_ms) {
		compare_again(scan, result, scan->order.mask, side | STAGE_ALL);
		return;
	}
	if (stage == STAGE_ALL && result->rotten_mask != 0 && all != scan->order.mask) {
		compare_again(scan, result, all, side | STAGE_MEND); /* a node that this pass has nothing to do with may have it sound */
	}
	lacking = result->found && stage != STAGE_YOUNG
			? needed & ~result->equal_mask & ~result->foreign_mask & ~result->damaged_mask : 0;
	/* Where one node is filled from this one, it may have what this one takes no more (it is full, say): that is its own repair's. */
	if (!scan->order.whole && !mms_breaker_allows_write(&scan->office->cluster->nodes[scan->order.source].breaker)) {
		lacking &= ~(UINT64_C(1) << scan->order.source);
	}
	if ((needed & ~result->answered_mask) != 0 || lacking != 0) {
		scan->failed = true;
	} else if (stage == STAGE_ALL && scan->order.whole && scan->order.compared.shared != NULL && result->found
			&& (result->rotten_mask | result->damaged_mask | result->foreign_mask) == 0) {
		(void)mms_keyset_add(&scan->order.compared, result->key);
	}
	count(scan, result);
}
