/* The scan, step by step: lease on the target; for every configured node (the target included) SCAN its keys and hand each
 * to the reconciler (a source's keys against the target, the target's keys against everybody); then the marker, by
 * compare-and-set. A source counts only if every comparison of its pass got its answers: one lost connection, and the pass
 * is made again. Nothing in here waits. */
#include "mms_repair.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mms_identity.h"
#include "mms_reconcile.h"

#define LEASE_MS 5000
#define RENEW_US 1500000
#define RETRY_US 2000000          /* after a pass that failed, or a lease that somebody else holds */
#define SETTLE_US 2000000         /* from a node's return until it may be called complete: mirrors under way arrive */
#define SCAN_COUNT 200
#define JOBS_MAX 64               /* comparisons at a time; hints need the other half of the reconciler */
#define BYTES_PER_SECOND (32u << 20)

enum step { STEP_IDLE, STEP_LEASING, STEP_SCANNING, STEP_CLOSING };

/* What is known of the passes over a target's sources, while it stays the same incarnation. */
struct progress {
	uint64_t run_hash;
	uint64_t node_id;
	uint64_t done_mask;           /* nodes whose keys have been compared */
	uint64_t overflows_at_start;  /* hint overflows counted when the first of them began */
};

struct mms_repair {
	struct mms_office *office;
	struct mms_reconciler *reconciler;
	enum step step;
	bool asked;                   /* a question of this step is out */
	bool failed;                  /* this pass lost an answer */
	uint32_t generation;          /* counts attempts: answers to an earlier one are not for this one */
	unsigned target, source;
	char token[33];
	struct mms_mono renew_at, retry_at;
	char cursor[24];              /* "0" at the start of a pass */
	bool scan_done;               /* the source's keys have all been handed out */
	char *keys;                   /* of the last SCAN: length (2 bytes), bytes, ... */
	size_t keys_len, keys_pos;
	uint32_t jobs;
	int64_t allowance;            /* bytes that may be moved now */
	struct mms_mono refilled_at;
	struct progress progress[MMS_NODES_MAX];
};

static bool wants_repair(const struct mms_repair *repair, unsigned node);
static void ask_lease(struct mms_repair *repair, bool renew);
static void choose_source(struct mms_repair *repair);
static void scan_on(struct mms_repair *repair);
static void hand_out(struct mms_repair *repair);
static void close_scan(struct mms_repair *repair);
static void give_up(struct mms_repair *repair);
static void on_released(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);

struct mms_repair *mms_repair_new(struct mms_office *office, struct mms_reconciler *reconciler)
{
	struct mms_repair *repair = calloc(1, sizeof *repair);

	if (repair != NULL) {
		repair->office = office;
		repair->reconciler = reconciler;
		repair->refilled_at = office->now;
	}
	return repair;
}

void mms_repair_free(struct mms_repair *repair)
{
	if (repair != NULL) {
		free(repair->keys);
		free(repair);
	}
}

static uint64_t all_mask(const struct mms_office *office)
{
	return office->node_count >= 64 ? UINT64_MAX : (UINT64_C(1) << office->node_count) - 1;
}

void mms_repair_run(struct mms_repair *repair)
{
	struct mms_office *office = repair->office;

	if (repair->step == STEP_IDLE) {
		if (office->now.us < repair->retry_at.us || office->node_count < 2) {
			return;
		}
		/* From the one behind the last: a node that can't be finished keeps no other waiting. */
		for (unsigned k = 1; k <= office->node_count && repair->step == STEP_IDLE; k++) {
			unsigned i = (repair->target + k) % office->node_count;

			if (wants_repair(repair, i)) {
				repair->target = i;
				repair->step = STEP_LEASING;
				repair->asked = false;
				ask_lease(repair, false);
			}
		}
		return;
	}
	if (!mms_link_ready(&office->links[repair->target])) {
		give_up(repair);
		return;
	}
	if (repair->step == STEP_SCANNING) {
		if (office->now.us >= repair->renew_at.us) {
			ask_lease(repair, true);
		}
		hand_out(repair);
		scan_on(repair);
	} else if (repair->step == STEP_CLOSING) {
		close_scan(repair);
	}
}

int64_t mms_repair_next_us(const struct mms_repair *repair)
{
	const struct mms_office *office = repair->office;

	if (repair->step != STEP_IDLE) {
		return office->now.us + 10000;
	}
	for (unsigned i = 0; i < office->node_count; i++) {
		if (wants_repair(repair, i)) {
			return repair->retry_at.us;
		}
	}
	return INT64_MAX;
}

/* Is this node in need, and is there a source that it has not been compared with? */
static bool wants_repair(const struct mms_repair *repair, unsigned node)
{
	struct mms_office *office = repair->office;
	const struct mms_node_sh *shared = &office->cluster->nodes[node];
	const struct progress *progress = &repair->progress[node];
	bool same = progress->run_hash == atomic_load(&shared->run_hash)
			&& progress->node_id == atomic_load(&shared->node_id);
	uint64_t done = same ? progress->done_mask : 0;

	if (!mms_link_ready(&office->links[node]) || !mms_breaker_allows_write(&shared->breaker)
			|| (atomic_load(&shared->complete) != 0 && !mms_hints_overflowed(&office->cluster->hints, node))) {
		return false;
	}
	return done == all_mask(office) || (mms_link_ready_mask(office) & ~done & ~(UINT64_C(1) << node)) != 0;
}

static struct mms_slice lease_key(const struct mms_repair *repair, char *out, size_t size)
{
	int len = snprintf(out, size, "%s:lease", repair->office->settings->prefix);

	return (struct mms_slice){ out, (size_t)len };
}

static void begin(struct mms_repair *repair)
{
	struct mms_office *office = repair->office;
	struct mms_node_sh *shared = &office->cluster->nodes[repair->target];
	struct progress *progress = &repair->progress[repair->target];
	uint64_t run_hash = atomic_load(&shared->run_hash), node_id = atomic_load(&shared->node_id);

	if (progress->run_hash != run_hash || progress->node_id != node_id || progress->done_mask == 0
			|| mms_hints_overflowed(&office->cluster->hints, repair->target)) {
		*progress = (struct progress){ .run_hash = run_hash, .node_id = node_id,
			.overflows_at_start = mms_metrics_get(&office->cluster->metrics, MMS_METRIC_hint_overflows) };
	}
	repair->step = STEP_SCANNING;
	choose_source(repair);
}

static void on_lease(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct mms_repair *repair = context;

	if (token >> 1 != repair->generation) {
		return;
	}
	repair->asked = false;
	if (replies == NULL || mms_reply_integer(replies[0]) != 1) {
		bool flushed = replies != NULL && mms_reply_classify(replies[0]) == MMS_CLASS_NOSCRIPT;
		struct mms_error error;

		give_up(repair);
		if (flushed) { /* a new connection loads the scripts */
			mms_error_set(&error, "scripts were flushed");
			mms_link_fail(link, MMS_ERR_CLOSED, &error);
		}
		return;
	}
	repair->renew_at.us = repair->office->now.us + RENEW_US;
	if ((token & 1) == 0 && repair->step == STEP_LEASING) {
		begin(repair);
	}
}

static void ask_lease(struct mms_repair *repair, bool renew)
{
	struct mms_command command;
	unsigned char bytes[16];
	char key[MMS_MARKER_KEY_MAX];

	if (repair->asked) {
		return;
	}
	if (!renew) {
		if (mms_random_bytes(bytes, sizeof bytes) != MMS_OK) {
			give_up(repair);
			return;
		}
		for (unsigned i = 0; i < sizeof bytes; i++) {
			(void)snprintf(repair->token + 2 * i, 3, "%02x", bytes[i]);
		}
	}
	mms_command_init(&command);
	mms_command_replace_if(&command, lease_key(repair, key, sizeof key),
			mms_slice_of(renew ? repair->token : ""), mms_slice_of(repair->token), LEASE_MS);
	repair->asked = mms_link_request(&repair->office->links[repair->target], &command, on_lease, repair,
			(uint64_t)repair->generation << 1 | (renew ? 1 : 0));
	if (!repair->asked) {
		give_up(repair);
	}
}

/* The next ready node whose keys have not been compared; the target itself comes last, when it has been filled. */
static void choose_source(struct mms_repair *repair)
{
	struct mms_office *office = repair->office;
	struct progress *progress = &repair->progress[repair->target];
	uint64_t target = UINT64_C(1) << repair->target;
	uint64_t open = mms_link_ready_mask(office) & ~progress->done_mask;

	repair->failed = false;
	repair->scan_done = false;
	(void)snprintf(repair->cursor, sizeof repair->cursor, "0");
	if (open == 0) {
		repair->step = STEP_CLOSING;
		return;
	}
	repair->source = (unsigned)__builtin_ctzll((open & ~target) != 0 ? open & ~target : open);
}

/* Keys of ours within the SCAN's answer, copied into one block. */
static bool keep_keys(struct mms_repair *repair, const struct mms_reply *list)
{
	size_t prefix_len = strlen(repair->office->settings->prefix), size = 1;

	for (size_t i = 0; i < mms_reply_count(list); i++) {
		size += mms_reply_text(mms_reply_element(list, i)).len + 2;
	}
	free(repair->keys);
	repair->keys = malloc(size);
	repair->keys_len = repair->keys_pos = 0;
	if (repair->keys == NULL) {
		return false;
	}
	for (size_t i = 0; i < mms_reply_count(list); i++) {
		struct mms_slice key = mms_reply_text(mms_reply_element(list, i));
		uint16_t len = (uint16_t)key.len;

		if (key.len <= prefix_len || key.len > MMS_KEY_MAX
				|| memcmp(key.ptr, repair->office->settings->prefix, prefix_len) != 0
				|| !mms_config_session_id_valid((struct mms_slice){ key.ptr + prefix_len, key.len - prefix_len })) {
			continue;
		}
		memcpy(repair->keys + repair->keys_len, &len, sizeof len);
		memcpy(repair->keys + repair->keys_len + sizeof len, key.ptr, key.len);
		repair->keys_len += sizeof len + key.len;
	}
	return true;
}

static void on_scanned(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct mms_repair *repair = context;
	const struct mms_reply *cursor = replies == NULL ? NULL : mms_reply_element(replies[0], 0);
	const struct mms_reply *list = replies == NULL ? NULL : mms_reply_element(replies[0], 1);

	(void)link;
	if (token != repair->generation) {
		return;
	}
	repair->asked = false;
	if (cursor == NULL || list == NULL || !keep_keys(repair, list)) {
		repair->failed = true;
		repair->scan_done = true;
		return;
	}
	mms_text_copy(repair->cursor, sizeof repair->cursor, mms_reply_text(cursor));
	repair->scan_done = strcmp(repair->cursor, "0") == 0;
	repair->office->busy = true;
}

static void end_pass(struct mms_repair *repair)
{
	struct mms_office *office = repair->office;

	if (repair->failed) {
		give_up(repair);
		return;
	}
	repair->progress[repair->target].done_mask |= UINT64_C(1) << repair->source;
	choose_source(repair);
	office->busy = true;
}

static void scan_on(struct mms_repair *repair)
{
	struct mms_link *source = &repair->office->links[repair->source];
	struct mms_command command;
	char pattern[MMS_PREFIX_MAX + 2];

	if (repair->step != STEP_SCANNING || repair->asked || repair->keys_pos < repair->keys_len) {
		return;
	}
	if (repair->scan_done) {
		if (repair->jobs == 0) {
			end_pass(repair);
		}
		return;
	}
	(void)snprintf(pattern, sizeof pattern, "%s*", repair->office->settings->prefix);
	mms_command_init(&command);
	mms_command_scan(&command, mms_slice_of(repair->cursor), mms_slice_of(pattern), SCAN_COUNT);
	repair->asked = mms_link_ready(source) && mms_link_request(source, &command, on_scanned, repair,
			repair->generation);
	if (!repair->asked) {
		repair->failed = true;
		repair->scan_done = true;
	}
}

static void on_compared(void *context, uint64_t needed_mask, const struct mms_reconcile_result *result)
{
	struct mms_repair *repair = context;
	uint64_t lacking = result->found ? needed_mask & ~result->equal_mask & ~result->foreign_mask : 0;

	repair->jobs--;
	repair->allowance -= (int64_t)result->moved_bytes + 200;
	mms_link_count(repair->office, MMS_METRIC_repair_scanned);
	if (result->filled_mask != 0) {
		mms_metrics_add(&repair->office->cluster->metrics, MMS_METRIC_repair_moved,
				(uint64_t)__builtin_popcountll(result->filled_mask));
		mms_metrics_add(&repair->office->cluster->metrics, MMS_METRIC_repair_bytes, result->moved_bytes);
	}
	if ((needed_mask & ~result->answered_mask) != 0 || (lacking >> repair->target & 1) != 0) {
		repair->failed = true;
	}
}

static void hand_out(struct mms_repair *repair)
{
	struct mms_office *office = repair->office;
	uint64_t target = UINT64_C(1) << repair->target;
	uint64_t mask = repair->source == repair->target ? all_mask(office)
			: target | UINT64_C(1) << repair->source;
	uint16_t len;

	repair->allowance += (office->now.us - repair->refilled_at.us) * (int64_t)BYTES_PER_SECOND / 1000000;
	repair->refilled_at = office->now;
	if (repair->allowance > (int64_t)BYTES_PER_SECOND / 10) {
		repair->allowance = (int64_t)BYTES_PER_SECOND / 10;
	}
	while (repair->step == STEP_SCANNING && repair->keys_pos < repair->keys_len && repair->jobs < JOBS_MAX
			&& repair->allowance > 0) {
		struct mms_reconcile_order order = { .ask_mask = mask, .fill_mask = mask, .done_fn = on_compared,
				.context = repair, .token = mask };

		memcpy(&len, repair->keys + repair->keys_pos, sizeof len);
		order.key = (struct mms_slice){ repair->keys + repair->keys_pos + sizeof len, len };
		repair->jobs++;
		if (!mms_reconcile(repair->reconciler, &order)) {
			repair->jobs--;
			return;
		}
		repair->keys_pos += sizeof len + len;
	}
}

static void on_closed(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct mms_repair *repair = context;
	struct mms_office *office = repair->office;
	struct mms_node_sh *shared = mms_link_node(link);
	struct progress *progress = &repair->progress[repair->target];

	if (token != repair->generation) {
		return;
	}
	repair->asked = false;
	if (replies != NULL && mms_reply_integer(replies[0]) == 1) {
		atomic_store(&shared->complete, 1);
		mms_link_count(office, MMS_METRIC_repairs);
		if (mms_metrics_get(&office->cluster->metrics, MMS_METRIC_hint_overflows) == progress->overflows_at_start) {
			atomic_fetch_and(&office->cluster->hints.overflow_mask, ~(UINT64_C(1) << repair->target));
		}
		progress->done_mask = 0;
	}
	give_up(repair);
}

/* All sources done: the marker says complete, if it is still the one that stood there when this began. With a source
 * missing the node stays incomplete, and the next run goes on with that source when it is back. */
static void close_scan(struct mms_repair *repair)
{
	struct mms_office *office = repair->office;
	struct mms_link *target = &office->links[repair->target];
	char key[MMS_MARKER_KEY_MAX], value[MMS_MARKER_VALUE_MAX];
	struct mms_command command;

	if (repair->asked || office->now.us - target->ready_since.us < SETTLE_US) {
		return;
	}
	if (repair->progress[repair->target].done_mask != all_mask(office)
			|| atomic_load(&mms_link_node(target)->node_id) == 0) {
		give_up(repair);
		return;
	}
	(void)snprintf(value, sizeof value, "%016" PRIx64 " %s 1", atomic_load(&mms_link_node(target)->node_id),
			target->run_id);
	mms_command_init(&command);
	mms_command_replace_if(&command, (struct mms_slice){ key, mms_identity_marker_key(office->settings, key,
			sizeof key) }, mms_slice_of(target->marker), mms_slice_of(value), 0);
	(void)snprintf(target->marker, sizeof target->marker, "%s", value);
	repair->asked = mms_link_request(target, &command, on_closed, repair, repair->generation);
	if (!repair->asked) {
		give_up(repair);
	}
}

/* Back to idle; what was compared stays known. Jobs under way end by themselves: the next pass waits for them. */
static void give_up(struct mms_repair *repair)
{
	struct mms_link *target = &repair->office->links[repair->target];
	struct mms_command command;
	char key[MMS_MARKER_KEY_MAX];

	repair->keys_pos = repair->keys_len = 0;
	free(repair->keys);
	repair->keys = NULL;
	repair->step = STEP_IDLE;
	repair->generation++;
	repair->asked = false;
	repair->retry_at.us = repair->office->now.us + RETRY_US;
	if (repair->token[0] != '\0' && mms_link_ready(target)) {
		mms_command_init(&command);
		mms_command_delete_if(&command, lease_key(repair, key, sizeof key), mms_slice_of(repair->token));
		(void)mms_link_request(target, &command, on_released, NULL, 0);
	}
	repair->token[0] = '\0';
}

static void on_released(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	(void)link;
	(void)context;
	(void)token;
	(void)replies;
}
