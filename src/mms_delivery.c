/* One order to the reconciler per hint: ask everybody, fill the node that missed it. The newest copy may be a hint's own
 * tombstone, may sit on any node, or nowhere: then the hint goes only if every other node was asked when nothing was under
 * way any more that could still bring it there. Where others' writes keep the mailbox from being empty, it is looked through for
 * this one, before everybody is asked a second time. Otherwise the hint stays, and the next round takes it up. */
#include "mms_delivery.h"

#include <stdlib.h>
#include <string.h>

#include "mms_hints.h"
#include "mms_reconcile.h"

#define ROUND_PAUSE_US 1000000  /* between two rounds through a node's hints */
#define STRAGGLER_US 2000000    /* from a node's return until what was sent to it before has come, or never will */
#define LOOK_MAX 4096           /* entries of the mailbox: where there are more, the hint waits */

struct parcel {
	struct mms_delivery *delivery;
	bool used;
	unsigned target;
	bool alone;        /* nothing else was under way to the target */
	uint32_t cursor;   /* at which the hint is found again */
	bool is_last_word; /* when it began, nothing was under way that could still reach a node that said no */
	struct mms_hint hint;
	struct mms_record_header wanted;
};

struct mms_delivery {
	struct mms_office *office;
	struct mms_reconciler *reconciler;
	uint32_t used;
	struct parcel parcels[MMS_DELIVERY_JOBS];
};

static bool start(struct mms_delivery *delivery, struct mms_link *target);
static bool ask(struct parcel *parcel);
static bool none_under_way(const struct mms_office *office);
static bool is_not_under_way(const struct mms_office *office, struct mms_slice key);
static void on_done(void *context, uint64_t token, const struct mms_reconcile_result *result);

struct mms_delivery *mms_delivery_new(struct mms_office *office, struct mms_reconciler *reconciler)
{
	struct mms_delivery *delivery = calloc(1, sizeof *delivery);

	if (delivery != NULL) {
		delivery->office = office;
		delivery->reconciler = reconciler;
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

static bool one_at_a_time(const struct mms_link *target)
{
	return target->hint_cursor < target->hint_alone_to;
}

static int64_t due_us(const struct mms_link *target)
{
	return target->hint_round_at.us > target->hint_pause_until.us ? target->hint_round_at.us : target->hint_pause_until.us;
}

void mms_delivery_run(struct mms_delivery *delivery)
{
	struct mms_office *office = delivery->office;

	for (unsigned i = 0; i < office->node_count; i++) {
		struct mms_link *target = &office->links[i];

		while (deliverable(target) && delivery->used < MMS_DELIVERY_JOBS
				&& (target->hint_jobs == 0 || !one_at_a_time(target)) && office->now.us >= due_us(target)
				&& start(delivery, target)) {
			office->busy = true;
		}
	}
}

int64_t mms_delivery_next_us(const struct mms_delivery *delivery)
{
	int64_t next = INT64_MAX;

	for (unsigned i = 0; i < delivery->office->node_count; i++) {
		const struct mms_link *target = &delivery->office->links[i];

		if (deliverable(target) && due_us(target) < next) {
			next = due_us(target);
		}
	}
	return next;
}

/* Takes the next hint and asks everybody. False when there is none to take now. */
static bool start(struct mms_delivery *delivery, struct mms_link *target)
{
	struct mms_office *office = delivery->office;
	struct mms_slice key, header;
	struct parcel *parcel = NULL;

	for (unsigned i = 0; i < MMS_DELIVERY_JOBS && parcel == NULL; i++) {
		parcel = delivery->parcels[i].used ? NULL : &delivery->parcels[i];
	}
	if (parcel == NULL || mms_reconcile_room(delivery->reconciler) == 0) {
		return false;
	}
	if (!mms_hints_next(&office->cluster->hints, target->index, &target->hint_cursor, office->now,
			&parcel->hint)) {
		if (target->hint_cursor == 0) {
			target->hint_rounds++;
			target->hint_alone_to = 0;
			target->hint_round_at.us = office->now.us + ROUND_PAUSE_US;
		}
		return false;
	}
	parcel->delivery = delivery;
	parcel->target = target->index;
	parcel->cursor = target->hint_cursor - 1;
	parcel->alone = parcel->cursor < target->hint_alone_to;
	parcel->is_last_word = none_under_way(office);
	key = (struct mms_slice){ parcel->hint.key, parcel->hint.key_len };
	header = (struct mms_slice){ (const char *)parcel->hint.header, MMS_RECORD_HEADER_SIZE };
	if (!mms_config_key_valid(office->settings, key)
			|| mms_record_decode(header, key, &parcel->wanted) != MMS_RECORD_GOOD) {
		mms_hints_drop(&office->cluster->hints, &parcel->hint, target->index); /* a damaged mapping */
		return true;
	}
	return ask(parcel);
}

static bool ask(struct parcel *parcel)
{
	struct mms_delivery *delivery = parcel->delivery;
	struct mms_office *office = delivery->office;
	struct mms_reconcile_order order = { .key = { parcel->hint.key, parcel->hint.key_len }, .ask_mask = UINT64_MAX,
			.fill_mask = UINT64_C(1) << parcel->target, .offered = mms_hint_tombstone(&parcel->hint), .done_fn = on_done,
			.context = parcel };

	if (order.offered != NULL) {
		order.offered_ttl_ms = (uint64_t)mms_clock_left_us(office->now, parcel->hint.deadline) / 1000 + 1;
	}
	parcel->used = true;
	delivery->used++;
	office->links[parcel->target].hint_jobs++;
	if (!mms_reconcile(delivery->reconciler, &order)) {
		parcel->used = false;
		delivery->used--;
		office->links[parcel->target].hint_jobs--;
		return false;
	}
	return true;
}

/* On a connection that was lost before its answers came: when a server goes on, or the network is whole again, new connections
 * may be faster than what is left on the old ones. */
static bool is_straggling(const struct mms_office *office)
{
	for (unsigned i = 0; i < office->node_count; i++) {
		if (office->now.us - office->links[i].ready_since.us < STRAGGLER_US) {
			return true;
		}
	}
	return false;
}

/* Nothing at all: neither in the mailbox nor straggling. */
static bool none_under_way(const struct mms_office *office)
{
	const struct mms_mailbox_sh *mailbox = &office->cluster->mailbox;

	return !is_straggling(office) && mms_mailbox_tail(mailbox) == mms_mailbox_head(mailbox);
}

/* Nothing of this session. Too dear to be asked of each hint: only of those that nobody has. What a fuller mailbox may refuse is
 * noted before it is sent. */
static bool is_not_under_way(const struct mms_office *office, struct mms_slice key)
{
	const struct mms_mailbox_sh *mailbox = &office->cluster->mailbox;
	uint64_t position = mms_mailbox_tail(mailbox);
	unsigned left = LOOK_MAX;

	return !is_straggling(office) && mms_mailbox_entries(mailbox) < LOOK_MAX && mms_mailbox_used(mailbox) <= mailbox->size / 2
			&& mms_mailbox_seek(mailbox, mms_crc32c(0, key.ptr, key.len), &position, &left) == 0 && left > 0;
}

/* A tombstone's hint may be all that is left of it: the node that acknowledged it may have been emptied since, and a scan may have
 * filled that one before this node gets it. Whoever is not seen to have it is taken into the hint before it goes. */
static void pend_others(const struct parcel *parcel, const struct mms_reconcile_result *result, uint64_t all)
{
	struct mms_office *office = parcel->delivery->office;
	uint64_t lacking = all & ~result->equal_mask & ~result->foreign_mask;
	const unsigned char *tombstone = mms_hint_tombstone(&parcel->hint);
	struct mms_record_header header;

	if (tombstone != NULL && lacking != 0 && result->found
			&& mms_record_decode((struct mms_slice){ (const char *)tombstone, MMS_RECORD_HEADER_SIZE }, result->key, &header)
				== MMS_RECORD_GOOD
			&& mms_version_compare(&result->newest.version, &header.version) == 0
			&& mms_hints_add(&office->cluster->hints, result->key, tombstone, lacking, parcel->hint.deadline, office->now)) {
		mms_link_count(office, MMS_METRIC_hints_made);
	}
}

/* The connection was lost over it, or the node refused it; perhaps for this very session, and then so it would be with the next
 * connection: not at once, and those that were under way together (lost with it, each time) one by one. */
static void hold_back(struct mms_link *target, const struct parcel *parcel)
{
	target->hint_pause_until.us = target->office->now.us + ROUND_PAUSE_US;
	if (parcel->alone) {
		return;
	}
	if (!one_at_a_time(target)) {
		target->hint_alone_to = target->hint_cursor == 0 ? UINT32_MAX : target->hint_cursor;
		target->hint_cursor = parcel->cursor;
	} else if (parcel->cursor < target->hint_cursor) {
		target->hint_cursor = parcel->cursor;
	}
}

static void on_done(void *context, uint64_t token, const struct mms_reconcile_result *result)
{
	struct parcel *parcel = context;
	struct mms_delivery *delivery = parcel->delivery;
	struct mms_office *office = delivery->office;
	struct mms_hints_sh *hints = &office->cluster->hints;
	struct mms_link *link = &office->links[parcel->target];
	uint64_t all = office->node_count >= 64 ? UINT64_MAX : (UINT64_C(1) << office->node_count) - 1;
	uint64_t target = UINT64_C(1) << parcel->target;
	bool enough = result->found && mms_version_compare(&result->newest.version, &parcel->wanted.version) >= 0;
	bool has_newest = !result->found || (result->equal_mask & target) != 0;
	/* And the node has what the others (or a tombstone that it was noted over) have instead. */
	bool nobody = !enough && has_newest && result->answered_mask == all;

	(void)token;
	parcel->used = false;
	delivery->used--;
	link->hint_jobs--;
	if (!mms_link_ready(link) || (enough && ((result->equal_mask | result->foreign_mask) & target) == 0)) {
		hold_back(link, parcel);
	}
	if (enough && (result->equal_mask & target) != 0) {
		pend_others(parcel, result, all);
		mms_hints_settle(hints, result->key, parcel->target, &result->newest.version);
		mms_metrics_add(&office->cluster->metrics, MMS_METRIC_hints_delivered,
				(result->filled_mask & target) != 0 ? 1 : 0);
	} else if ((result->foreign_mask & target) != 0) {
		mms_link_count(office, MMS_METRIC_foreign_keys);
		mms_hints_drop(hints, &parcel->hint, parcel->target);
	} else if (nobody && parcel->is_last_word) {
		pend_others(parcel, result, all);
		mms_hints_drop(hints, &parcel->hint, parcel->target);
	} else if (nobody && is_not_under_way(office, result->key)) {
		parcel->is_last_word = true;
		(void)ask(parcel);
	}
}
