/* The scan, step by step: lease on the target; a look whether whoever held it before has done it all, by the node's marker, by what
 * the dead left, and by what that scan has told (mms_scanned); for every configured node (the target included, and last) a pass
 * over its keys (a source's against the target, the target's against everybody); then the marker, by compare-and-set. A sweep
 * has no target: it compares every node's keys with everybody, and its lease stands on the node of the lowest id. A source
 * counts only if every comparison of its pass got its answers: one lost connection, and the pass is made again. Nothing in here
 * waits. */
#include "mms_repair.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mms_greeting.h"
#include "mms_hosts.h"
#include "mms_identity.h"
#include "mms_refusal.h"
#include "mms_settled.h"
#include "mms_aftermath.h"
#include "mms_passes.h"
#include "mms_scan.h"
#include "mms_scanned.h"

#define LEASE_MS 5000
#define RENEW_US 1500000
#define RETRY_US 2000000          /* after a pass that failed, or a lease that somebody else holds */
#define SETTLE_US 2000000         /* from a node's return until it may be called complete: hosts have published by then */
#define LOOK_US 20000             /* between two looks for something to do */
#define WATCHED_US (MMS_HOSTS_DEAD_US + 1000000) /* who has not beaten meanwhile has been found dead */
#define CONFIRM_US 2000000        /* for the look that follows the lease; without an answer by then, what was known counts */

enum step { STEP_IDLE, STEP_LEASING, STEP_CONFIRMING, STEP_SCANNING, STEP_CLOSING };

struct mms_repair {
	struct mms_office *office;
	struct mms_hosts *hosts;
	struct mms_scan *scan;
	enum step step;
	bool asked;                   /* the lease, what the last scan left or the closing is asked for */
	bool confirmed;               /* what the last scan left has been read */
	bool renewing;
	uint32_t generation;          /* counts attempts: answers to an earlier one are not for this one */
	unsigned target, source;      /* target: node_count = the sweep (mms_passes) */
	unsigned lease_node;
	char token[33];
	struct mms_mono leased_at, renew_at, look_at, say_at, sighted_at;
	uint32_t sighted_count;       /* lives of others that were known at sighted_at, and are now */
	char closing[MMS_MARKER_VALUE_MAX]; /* the marker's value that was asked for */
	struct mms_passes passes;
};

static void ask_lease(struct mms_repair *repair, bool renew);
static void confirm(struct mms_repair *repair);
static void ask_scanned(struct mms_repair *repair);
static void leave_scanned(const struct mms_repair *repair, struct mms_link *target);
static void choose_source(struct mms_repair *repair);
static void scan_on(struct mms_repair *repair);
static void close_scan(struct mms_repair *repair);
static void give_up(struct mms_repair *repair, bool whole);
static void on_released(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);

static bool is_sweep(const struct mms_repair *repair)
{
	return repair->target == repair->office->node_count;
}

static struct mms_repair_sh *report_of(const struct mms_repair *repair)
{
	struct mms_cluster_sh *cluster = repair->office->cluster;

	return is_sweep(repair) ? &cluster->sweep : &cluster->nodes[repair->target].repair;
}

struct mms_repair *mms_repair_new(struct mms_office *office, struct mms_reconciler *reconciler, struct mms_hosts *hosts)
{
	struct mms_repair *repair = calloc(1, sizeof *repair);

	if (repair != NULL) {
		repair->office = office;
		repair->hosts = hosts;
		mms_passes_init(&repair->passes, office, hosts);
		if (repair->passes.kept <= office->node_count) { /* what a predecessor was at comes first */
			repair->target = (repair->passes.kept + office->node_count) % (office->node_count + 1);
		}
		repair->scan = mms_scan_new(office, reconciler);
		if (repair->scan == NULL) {
			mms_passes_fini(&repair->passes);
			free(repair);
			return NULL;
		}
		for (unsigned i = 0; i < office->node_count; i++) { /* of a predecessor in office */
			atomic_store(&office->cluster->nodes[i].repair.running, 0);
		}
		atomic_store(&office->cluster->sweep.running, 0);
	}
	return repair;
}

void mms_repair_free(struct mms_repair *repair)
{
	if (repair != NULL) {
		atomic_store(&report_of(repair)->running, 0);
		mms_passes_fini(&repair->passes);
		mms_scan_free(repair->scan);
		free(repair);
	}
}

/* Other hosts may not have noticed yet that it was emptied: what they have in their mailboxes, and believe to be there, comes to the
 * other nodes alone. What is compared before they know would be compared too early; they are waited for, but not for long. */
static bool is_early(const struct mms_repair *repair, unsigned node)
{
	struct mms_office *office = repair->office;

	return node < office->node_count && atomic_load(&office->cluster->nodes[node].complete) == 0
			&& office->now.us - mms_link_met_us(&office->links[node]) < SETTLE_US && !mms_settled_by_all(repair->hosts, node);
}

/* For requests that would leave the local node out: what died with a host may be there alone. Known when every node that answers has
 * been read, and when all lives that are written there have been watched for as long as it takes to find one dead. */
static void say_whether_swept(struct mms_repair *repair)
{
	struct mms_office *office = repair->office;
	uint32_t count = mms_hosts_sighted_count(repair->hosts);

	if (office->now.us < repair->say_at.us) {
		return;
	}
	repair->say_at.us = office->now.us + LOOK_US;
	if (repair->sighted_at.us == 0 || count != repair->sighted_count) {
		repair->sighted_count = count;
		repair->sighted_at = office->now;
	}
	atomic_store(&office->cluster->dead_swept, office->now.us - repair->sighted_at.us > WATCHED_US
			&& office->now.us - mms_hosts_since(repair->hosts).us > WATCHED_US
			&& mms_hosts_read_since(repair->hosts, (struct mms_mono){ 0 }) && !repair->passes.dirty);
}

void mms_repair_run(struct mms_repair *repair)
{
	struct mms_office *office = repair->office;

	mms_passes_look(&repair->passes, false);
	say_whether_swept(repair);
	if (repair->step == STEP_IDLE) {
		if (office->now.us < repair->look_at.us) {
			return;
		}
		repair->look_at.us = office->now.us + LOOK_US;
		/* From the one behind the last: what can't be finished keeps no other waiting. */
		for (unsigned k = 1; k <= office->node_count + 1 && repair->step == STEP_IDLE; k++) {
			unsigned i = (repair->target + k) % (office->node_count + 1);

			if (mms_passes_ready(&repair->passes, i) && !is_early(repair, i)) {
				repair->target = i;
				repair->step = STEP_LEASING;
				ask_lease(repair, false);
			}
		}
		return;
	}
	if (!mms_link_ready(&office->links[repair->lease_node])) {
		give_up(repair, false);
		return;
	}
	if (repair->step != STEP_LEASING && office->now.us >= repair->renew_at.us) {
		ask_lease(repair, true);
	}
	if (repair->step == STEP_CONFIRMING) {
		confirm(repair);
	} else if (repair->step == STEP_SCANNING) {
		scan_on(repair);
	} else if (repair->step == STEP_CLOSING) {
		close_scan(repair);
	}
}

int64_t mms_repair_next_us(const struct mms_repair *repair)
{
	int64_t next;

	if (repair->step != STEP_IDLE) {
		return repair->office->now.us + 10000;
	}
	next = mms_passes_next_us(&repair->passes);
	return next < repair->look_at.us ? repair->look_at.us : next;
}

static struct mms_slice lease_key(const struct mms_repair *repair, char *out, size_t size)
{
	int len = snprintf(out, size, "%s:lease%s", repair->office->settings->prefix,
			is_sweep(repair) ? ":sweep" : "");

	return (struct mms_slice){ out, (size_t)len };
}

static void on_size(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct mms_repair *repair = context;

	(void)link;
	if (token == repair->generation && replies != NULL && mms_reply_type(replies[0]) == MMS_REPLY_INTEGER
			&& mms_reply_integer(replies[0]) > 0) {
		atomic_fetch_add(&report_of(repair)->total, (uint64_t)mms_reply_integer(replies[0]));
	}
}

/* The report starts anew, unless this only goes on with what was interrupted; how much there is to walk is asked of the
 * nodes. */
static void open_report(struct mms_repair *repair, bool anew)
{
	struct mms_office *office = repair->office;
	struct mms_repair_sh *report = report_of(repair);
	uint64_t open = mms_link_ready_mask(office) & repair->passes.each[repair->target].mask;
	struct mms_command command;

	atomic_store(&report->running, 1);
	if (!anew && atomic_load(&report->total) != 0) {
		return;
	}
	atomic_store(&report->total, 0);
	if (anew) {
		atomic_store(&report->walked, 0);
		atomic_store(&report->scanned, 0);
		atomic_store(&report->moved, 0);
		atomic_store(&report->bytes, 0);
		atomic_store(&report->started_us, office->now.us);
	}
	mms_command_init(&command);
	mms_command_count_keys(&command);
	for (unsigned i = 0; i < office->node_count; i++) {
		if ((open >> i & 1) != 0) {
			(void)mms_link_request(&office->links[i], &command, on_size, repair, repair->generation);
		}
	}
}

static void begin(struct mms_repair *repair)
{
	open_report(repair, mms_passes_begin(&repair->passes, repair->target));
	mms_passes_leased(&repair->passes, repair->target, repair->token);
	choose_source(repair);
}

/* Of a predecessor in office, whose lease may still stand. */
static char *old_token(struct mms_repair *repair)
{
	return repair->passes.each[repair->target].token;
}

static void on_lease(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct mms_repair *repair = context;
	bool renewed = (token & 1) != 0;

	if (token >> 1 != repair->generation) {
		return;
	}
	if (renewed) {
		repair->renewing = false;
	} else {
		repair->asked = false;
	}
	if (replies != NULL) {
		(void)mms_refusal_see(link, is_sweep(repair) ? MMS_REFUSAL_SWEEP_LEASE : MMS_REFUSAL_LEASE, replies[0]);
	}
	if (replies == NULL || mms_reply_integer(replies[0]) != 1) {
		if (replies != NULL && !renewed && *old_token(repair) != '\0') { /* the predecessor's has ended: like anybody else */
			*old_token(repair) = '\0';
			ask_lease(repair, false);
			return;
		}
		give_up(repair, false);
		return;
	}
	repair->renew_at.us = repair->office->now.us + RENEW_US;
	if (!renewed) {
		repair->step = STEP_CONFIRMING;
		repair->confirmed = is_sweep(repair);
		repair->leased_at = repair->office->now;
		link->marker_checked.us = 0;
		mms_hosts_hurry(repair->hosts);
	}
}

/* What this host has missed may be on the node by another's scan. */
static void on_scanned(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct mms_repair *repair = context;
	struct mms_office *office = repair->office;
	uint64_t beat;
	uint32_t overflows;

	if (token != repair->generation || repair->step != STEP_CONFIRMING) {
		return;
	}
	repair->asked = false;
	repair->confirmed = true;
	if (replies != NULL && mms_reply_type(replies[0]) == MMS_REPLY_STRING
			&& mms_hosts_missed_by(repair->hosts, repair->target, &beat, &overflows)
			&& mms_scanned_covers(mms_reply_text(replies[0]), mms_slice_of(link->marker), mms_hosts_own(repair->hosts), beat)) {
		(void)mms_hints_end_overflow(&office->cluster->hints, repair->target, overflows);
	}
}

static void ask_scanned(struct mms_repair *repair)
{
	struct mms_command command;
	char key[MMS_MARKER_KEY_MAX];

	if (repair->asked) {
		return;
	}
	mms_command_init(&command);
	mms_command_get(&command, (struct mms_slice){ key, mms_identity_scanned_key(repair->office->settings, key, sizeof key) });
	repair->asked = mms_link_request(&repair->office->links[repair->lease_node], &command, on_scanned, repair,
			repair->generation);
	repair->confirmed = !repair->asked;
}

/* For other hosts. Before the lease goes, on the same connection: who has it next finds this. */
static void leave_scanned(const struct mms_repair *repair, struct mms_link *target)
{
	const char *roll = repair->passes.each[repair->target].roll;
	bool anybody = roll != NULL && roll[0] != '\0';
	char key[MMS_MARKER_KEY_MAX], *text = anybody ? mms_scanned_text(repair->closing, roll) : NULL;
	struct mms_command command;

	if (text == NULL) {
		return;
	}
	mms_command_init(&command);
	mms_command_set(&command, (struct mms_slice){ key, mms_identity_scanned_key(repair->office->settings, key, sizeof key) },
			mms_slice_of(text), MMS_SCANNED_TTL_MS);
	(void)mms_link_request(target, &command, on_released, NULL, 0);
	free(text);
}

/* Whoever held the lease until now may have done what this host wants done, and what says so on the nodes is up to a second
 * old: a scan is dear enough to look first. */
static void confirm(struct mms_repair *repair)
{
	struct mms_office *office = repair->office;
	int64_t leased_us = repair->leased_at.us;

	if (office->now.us - leased_us < CONFIRM_US) {
		if (office->links[repair->lease_node].marker_seen.us < leased_us
				|| !mms_hosts_read_since(repair->hosts, repair->leased_at)) {
			return;
		}
		if (!repair->confirmed) {
			ask_scanned(repair);
			return;
		}
	}
	repair->asked = false;
	mms_passes_look(&repair->passes, true);
	if (mms_passes_ready(&repair->passes, repair->target)) {
		begin(repair);
	} else {
		give_up(repair, false);
	}
}

/* The target itself; for a sweep the node of the lowest id, on which hosts agree that reach the same nodes. */
static unsigned choose_lease_node(const struct mms_repair *repair)
{
	const struct mms_office *office = repair->office;
	uint64_t lowest = UINT64_MAX, able = mms_passes_able_mask(office);
	unsigned chosen = 0;

	if (!is_sweep(repair)) {
		return repair->target;
	}
	for (unsigned i = 0; i < office->node_count; i++) {
		uint64_t id = atomic_load(&office->cluster->nodes[i].node_id);

		if ((able >> i & 1) != 0 && id < lowest) {
			lowest = id;
			chosen = i;
		}
	}
	return chosen;
}

static void ask_lease(struct mms_repair *repair, bool renew)
{
	struct mms_command command;
	unsigned char bytes[16];
	char key[MMS_MARKER_KEY_MAX];
	bool sent;

	if (renew ? repair->renewing : repair->asked) {
		return;
	}
	if (!renew) {
		repair->lease_node = choose_lease_node(repair);
		if (mms_random_bytes(bytes, sizeof bytes) != MMS_OK) {
			give_up(repair, false);
			return;
		}
		for (unsigned i = 0; i < sizeof bytes; i++) {
			(void)snprintf(repair->token + 2 * i, 3, "%02x", bytes[i]);
		}
	}
	mms_command_init(&command);
	mms_command_replace_if(&command, lease_key(repair, key, sizeof key),
			mms_slice_of(renew ? repair->token : old_token(repair)), mms_slice_of(repair->token), LEASE_MS);
	sent = mms_link_request(&repair->office->links[repair->lease_node], &command, on_lease, repair,
			(uint64_t)repair->generation << 1 | (renew ? 1 : 0));
	if (renew) {
		repair->renewing = sent;
	} else {
		repair->asked = sent;
	}
	if (!sent) {
		give_up(repair, false);
	}
}

/* The next ready node, in the order of the list, whose keys have not been compared; the target itself comes last, when it has
 * been filled. */
static void choose_source(struct mms_repair *repair)
{
	struct mms_office *office = repair->office;
	struct mms_pass *pass = &repair->passes.each[repair->target];
	uint64_t target = is_sweep(repair) ? 0 : UINT64_C(1) << repair->target;
	uint64_t open = mms_link_ready_mask(office) & pass->mask & ~pass->done_mask;
	bool all_able = (pass->mask & ~mms_passes_able_mask(office)) == 0;
	struct mms_scan_order order = { .since_ms = pass->since_ms, .report = report_of(repair),
			.compared = mms_passes_compared(&repair->passes, repair->target) };

	if (office->node_count == 1) { /* nobody to be compared with */
		pass->done_mask = pass->mask;
		open = 0;
	}
	if (open == 0) {
		repair->step = STEP_CLOSING;
		return;
	}
	repair->step = STEP_SCANNING;
	repair->source = (unsigned)__builtin_ctzll((open & ~target) != 0 ? open & ~target : open);
	order.source = repair->source;
	order.cursor = mms_passes_walk(&repair->passes, repair->target, repair->source);
	/* With all nodes there, one pass settles a key for all of them, and the others leave it out. */
	order.whole = target == 0 || repair->source == repair->target || all_able;
	order.mask = order.whole ? pass->mask : target | UINT64_C(1) << repair->source;
	mms_scan_begin(repair->scan, &order);
}

static void scan_on(struct mms_repair *repair)
{
	enum mms_scan_state state = mms_scan_run(repair->scan);

	mms_passes_advance(&repair->passes, repair->target, mms_scan_cursor(repair->scan));
	switch (state) {
	case MMS_SCAN_DONE:
		mms_passes_walked(&repair->passes, repair->target);
		choose_source(repair);
		break;
	case MMS_SCAN_FAILED:
		give_up(repair, false);
		break;
	default:
		break;
	}
}

static void on_closed(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct mms_repair *repair = context;
	struct mms_office *office = repair->office;
	struct mms_node_sh *shared = mms_link_node(link);
	bool set = replies != NULL && mms_reply_integer(replies[0]) == 1;

	if (token != repair->generation) {
		return;
	}
	repair->asked = false;
	if (set) {
		(void)snprintf(link->marker, sizeof link->marker, "%s", repair->closing);
		atomic_store(&shared->complete, 1);
		mms_link_count(office, MMS_METRIC_repairs);
		mms_passes_end(&repair->passes, repair->target);
		leave_scanned(repair, link);
	}
	give_up(repair, set); /* unless it is set, what was compared stays known: the next attempt only closes */
}

/* Waiting for other hosts keeps no other scan from being made: it may be what they wait for, such as a dead host's sweep. */
static bool others_wait(const struct mms_repair *repair)
{
	for (unsigned i = 0; i <= repair->office->node_count; i++) {
		if (i != repair->target && mms_passes_ready(&repair->passes, i)) {
			return true;
		}
	}
	return false;
}

/* All sources done: the marker says complete, if it is still the one that stood there when this began. With a source
 * missing the node stays incomplete, and the next run goes on with that source when it is back. */
static void close_scan(struct mms_repair *repair)
{
	struct mms_office *office = repair->office;
	struct mms_link *target = &office->links[repair->lease_node];
	char key[MMS_MARKER_KEY_MAX];
	struct mms_command command;

	if (repair->asked) {
		return;
	}
	if (mms_passes_done(&repair->passes, repair->target) != mms_passes_all_mask(office)) {
		give_up(repair, false);
		return;
	}
	if (is_sweep(repair)) {
		mms_passes_end(&repair->passes, repair->target);
		give_up(repair, true);
		return;
	}
	if (atomic_load(&mms_link_node(target)->node_id) == 0 || mms_greeting_is_taken(target)) {
		give_up(repair, false); /* nothing is written over what somebody else has put there */
		return;
	}
	if (atomic_load(&mms_link_node(target)->complete) == 0 && (office->now.us - mms_link_met_us(target) < SETTLE_US
			|| !mms_settled_by_all(repair->hosts, repair->target))) {
		if (others_wait(repair)) {
			give_up(repair, false);
		}
		return;
	}
	(void)snprintf(repair->closing, sizeof repair->closing, "%016" PRIx64 " %s 1",
			atomic_load(&mms_link_node(target)->node_id), target->run_id);
	mms_command_init(&command);
	mms_command_replace_if(&command, (struct mms_slice){ key, mms_identity_marker_key(office->settings, key,
			sizeof key) }, mms_slice_of(target->marker), mms_slice_of(repair->closing), 0);
	repair->asked = mms_link_request(target, &command, on_closed, repair, repair->generation);
	if (!repair->asked) {
		give_up(repair, false);
	}
}

/* Back to idle; what was compared stays known. */
static void give_up(struct mms_repair *repair, bool whole)
{
	struct mms_office *office = repair->office;
	struct mms_link *target = &office->links[repair->lease_node];
	struct mms_repair_sh *report = report_of(repair);
	struct mms_command command;
	char key[MMS_MARKER_KEY_MAX];

	mms_scan_stop(repair->scan);
	repair->step = STEP_IDLE;
	repair->generation = (repair->generation + 1) & INT32_MAX;
	repair->asked = repair->renewing = false;
	repair->passes.each[repair->target].retry_at.us = office->now.us + RETRY_US;
	if (atomic_exchange(&report->running, 0) != 0) {
		atomic_store(&report->ended_us, office->now.us);
		atomic_fetch_add(&report->finished, whole ? 1 : 0);
	}
	*old_token(repair) = '\0';
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
