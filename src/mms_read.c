/* Read. The difficulty is that every answer may be missing, stale, damaged or foreign independently of the others, and
 * that the newest header may sit on another node than the payload at hand. So: judge each node's answer alone
 * (mms_judge), then pick (pick_newest()), then fetch, and when the fetch fails strike that node out and pick again. */
#include "mms_read.h"

#include <stdlib.h>
#include <string.h>

#include "mms_backlog.h"
#include "mms_command.h"
#include "mms_enough.h"
#include "mms_explain.h"
#include "mms_fanout.h"
#include "mms_judge.h"
#include "mms_meeting.h"
#include "mms_mend.h"
#include "mms_refresh.h"
#include "mms_slow.h"
#include "mms_watch.h"

struct reading {
	struct mms_client *client;
	struct mms_question question;
	struct mms_fanout fanout;
	struct mms_command whole, header_only;
	struct mms_watching watching;
	struct mms_enough enough;
	struct mms_copy copies[MMS_NODES_MAX];
	struct mms_reply *payload_reply; /* GET reply of payload_node */
	int payload_node;
	int64_t payload_pttl_ms;
	int whole_node;                  /* was asked for the whole record, -1 = none */
	uint64_t sound_mask;             /* answers that say something: a good copy, or none */
	uint64_t complete_mask;          /* of these, the complete nodes' */
	uint64_t damaged_mask, foreign_mask;
	int unfetched;                   /* a node with a newer copy that could not be had, -1 = none */
	struct mms_backlog backlog;      /* the mailbox' newest for this key */
	bool from_backlog;               /* which is newer than any node's, and taken */
};

static bool ask_nodes(struct reading *reading);
static bool is_enough(const struct reading *reading, unsigned node);
static void ask_others(struct reading *reading, unsigned asked);
static void judge(struct reading *reading, unsigned node, bool whole);
static void ask_again(struct reading *reading);
static int pick_newest(const struct reading *reading);
static int fetch_newest(struct reading *reading, int newest);
static void meet_strangers(struct reading *reading);
static bool watched_holds_it(const struct reading *reading, const struct mms_answer *answer);
static bool take_backlog(struct reading *reading, struct mms_answer *answer);
static void tally(struct reading *reading, const struct mms_version *newest, struct mms_answer *answer);
static void confirm(struct reading *reading, const struct mms_version *newest, struct mms_answer *answer);
static bool misses_quorum(struct reading *reading, struct mms_answer *answer);
static bool is_authoritative(const struct reading *reading);
static void take_newest(struct reading *reading, const struct mms_record_header *newest, struct mms_answer *answer);
static void explain_nothing(struct reading *reading, struct mms_answer *answer);
static void keep_payload(struct reading *reading, unsigned node);

_Static_assert(sizeof(struct reading) <= MMS_CLIENT_SCRATCH, "a reading lives in the client's scratch");

void mms_read_record(struct mms_client *client, struct mms_slice key, struct mms_mono deadline,
		struct mms_answer *answer)
{
	mms_read_for_visitor(client, key, deadline, NULL, answer);
}

void mms_read_for_visitor(struct mms_client *client, struct mms_slice key, struct mms_mono deadline,
		const struct mms_token_plan *plan, struct mms_answer *answer)
{
	struct reading *reading = client->scratch;
	const struct mms_record_header *header;
	int newest;

	mms_answer_clear(answer);
	reading->watching.node = -1;
	mms_enough_begin(&reading->enough, plan);
	reading->client = client;
	reading->question.key = key;
	reading->question.now = mms_clock_wall();
	reading->payload_reply = NULL;
	reading->payload_node = -1;
	reading->whole_node = -1;
	memset(reading->copies, 0, client->settings.node_count * sizeof reading->copies[0]);
	mms_client_await_names(client, deadline);
	reading->from_backlog = false;
	mms_backlog_find(client->cluster, key, MMS_BACKLOG_FEW, &reading->backlog);
	mms_fanout_begin(&reading->fanout, client, deadline);
	answer->enough = ask_nodes(reading);
	mms_refresh_answers(&reading->fanout, &reading->question, &reading->header_only, reading->copies);
	newest = pick_newest(reading);
	if (newest < 0) {
		ask_again(reading);
		newest = pick_newest(reading);
	}
	reading->from_backlog = take_backlog(reading, answer);
	if (!reading->from_backlog) {
		newest = fetch_newest(reading, pick_newest(reading));
	}
	header = reading->from_backlog ? &reading->backlog.header : newest < 0 ? NULL : &reading->copies[newest].header;
	if (header == NULL || client->settings.read_mode == MMS_READ_QUORUM) {
		meet_strangers(reading);
	}
	tally(reading, header == NULL ? NULL : &header->version, answer);
	confirm(reading, header == NULL ? NULL : &header->version, answer);
	if (!misses_quorum(reading, answer)) {
		answer->authoritative = is_authoritative(reading);
		if (header != NULL) {
			take_newest(reading, header, answer);
		} else {
			explain_nothing(reading, answer);
		}
		answer->watched = mms_watch_offer(client, &reading->watching, watched_holds_it(reading, answer));
		if (!answer->authoritative && !answer->enough) {
			mms_client_count(client, MMS_METRIC_uncertain_reads);
		}
	}
	if (answer->found != MMS_FOUND_UNREADABLE && !reading->from_backlog) { /* else it is on its way */
		mms_mend_nodes(&reading->fanout, &reading->question, reading->copies, answer);
	}
	mms_reply_free(reading->payload_reply);
	mms_enough_end(&reading->enough);
	mms_fanout_end(&reading->fanout);
	mms_client_count(client, answer->found == MMS_FOUND_UNREADABLE ? MMS_METRIC_failed_reads : MMS_METRIC_reads);
}

static int64_t wait_us(const struct mms_client *client, unsigned node)
{
	return mms_breaker_wait_us(&client->cluster->nodes[node].breaker, client->settings.read_timeout_ms);
}

/* The local node may hold what this host has acknowledged and not delivered yet (mailbox, hints): then its answer is worth
 * the full wait, or a stall of a few milliseconds would bring an older copy back from a peer. */
static int64_t local_wait_us(const struct mms_client *client)
{
	const struct mms_cluster_sh *cluster = client->cluster;
	bool pending = mms_mailbox_tail(&cluster->mailbox) != mms_mailbox_head(&cluster->mailbox);

	for (unsigned i = 1; i < client->settings.node_count && !pending; i++) {
		pending = mms_hints_count(&cluster->hints, i) > 0 || mms_hints_overflowed(&cluster->hints, i);
	}
	return pending ? (int64_t)client->settings.read_timeout_ms * 1000 : wait_us(client, 0);
}

/* The first usable node (the local one, normally) is asked for the record, the others for the header, where one answer is
 * not enough. True when the tokens of the visitor say so of it. */
static bool ask_nodes(struct reading *reading)
{
	struct mms_client *client = reading->client;
	bool alone = mms_config_reads_one(&client->settings) || mms_enough_possible(&reading->enough);
	int whole_node;
	bool skip_local = client->settings.read_mode == MMS_READ_NEWEST && mms_slow_local(client)
			&& mms_slow_may_skip(client, reading->question.key);

	mms_command_init(&reading->header_only);
	mms_command_read_header(&reading->header_only, reading->question.key);
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		bool whole = reading->whole_node < 0;

		if (!mms_client_can_read(client, i) || (i == 0 && skip_local)) {
			continue;
		}
		if (whole) {
			mms_watch_lead(client, &reading->watching, i, reading->question.key, &reading->whole);
			mms_enough_ask(&reading->enough, &client->settings, reading->question.key, &reading->whole);
		}
		if (!mms_fanout_ask(&reading->fanout, i, whole ? &reading->whole : &reading->header_only,
				i == 0 ? local_wait_us(client) : wait_us(client, i))) {
			continue;
		}
		if (whole) {
			reading->whole_node = (int)i;
			if (alone) {
				break;
			}
		}
	}
	mms_fanout_wait(&reading->fanout, reading->fanout.asked_mask);
	mms_watch_note(&reading->fanout, &reading->watching, &reading->whole, reading->question.key);
	whole_node = reading->whole_node;
	if (skip_local) {
		mms_client_count(client, MMS_METRIC_slow_skips);
	} else if (whole_node > 0) {
		mms_client_count(client, MMS_METRIC_failovers);
	}
	if (whole_node >= 0) {
		mms_enough_take(&reading->enough, &reading->fanout, (unsigned)whole_node);
		if (mms_enough_possible(&reading->enough)) { /* should it be asked once more, then plainly */
			mms_command_init(&reading->whole);
			mms_command_read_whole(&reading->whole, reading->question.key);
		}
	}
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		judge(reading, i, (int)i == whole_node);
	}
	if (!alone || whole_node < 0) {
		return false;
	}
	if (!is_enough(reading, (unsigned)whole_node)) {
		ask_others(reading, (unsigned)whole_node);
		return false;
	}
	return client->settings.read_mode != MMS_READ_LOCAL;
}

/* With read = local any copy is. */
static bool is_enough(const struct reading *reading, unsigned node)
{
	const struct mms_copy *copy = &reading->copies[node];

	return reading->client->settings.read_mode == MMS_READ_LOCAL ? copy->verdict == MMS_VERDICT_HAS
			: mms_enough_judge(&reading->enough, &reading->fanout, node, copy);
}

/* The local node's answer is not enough; with read = local because it has nothing sound: before a visitor is taken for a
 * stranger, the others are asked. */
static void ask_others(struct reading *reading, unsigned asked)
{
	struct mms_client *client = reading->client;

	for (unsigned i = asked + 1; i < client->settings.node_count; i++) {
		if (mms_client_can_read(client, i)) {
			(void)mms_fanout_ask(&reading->fanout, i, &reading->header_only, wait_us(client, i));
		}
	}
	mms_fanout_wait(&reading->fanout, reading->fanout.asked_mask);
	for (unsigned i = asked + 1; i < client->settings.node_count; i++) {
		judge(reading, i, false);
	}
	if (reading->copies[asked].verdict == MMS_VERDICT_FAILED) {
		mms_client_count(client, MMS_METRIC_failovers);
	}
}

static bool is_same(struct mms_slice a, struct mms_slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Nobody has a good copy, nobody says "no", and something damaged came: perhaps the answer to another question, from a
 * connection out of step. On a new connection, what is damaged on the node comes back byte for byte. Anything else was no
 * answer: then the read has failed, and what was not read is not written. */
static void ask_again(struct reading *reading)
{
	struct mms_client *client = reading->client;
	struct mms_reply *before[MMS_NODES_MAX];
	uint64_t damaged = 0;

	for (unsigned i = 0; i < client->settings.node_count; i++) {
		if (reading->copies[i].verdict == MMS_VERDICT_ABSENT) {
			return;
		}
		damaged |= reading->copies[i].verdict == MMS_VERDICT_DAMAGED ? UINT64_C(1) << i : 0;
	}
	/* Plainly: the WATCH is gone with its connection. */
	reading->watching.node = -1;
	mms_command_init(&reading->whole);
	mms_command_read_whole(&reading->whole, reading->question.key);
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		if ((damaged >> i & 1) != 0) {
			before[i] = mms_fanout_take_reply(&reading->fanout, i, 0);
			mms_conn_close(client->conns[i]);
			(void)mms_fanout_ask(&reading->fanout, i, (int)i == reading->whole_node ? &reading->whole
					: &reading->header_only, (int64_t)client->settings.read_timeout_ms * 1000);
		}
	}
	mms_fanout_wait(&reading->fanout, damaged);
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		if ((damaged >> i & 1) == 0) {
			continue;
		}
		judge(reading, i, (int)i == reading->whole_node);
		if (reading->copies[i].verdict == MMS_VERDICT_DAMAGED && !is_same(mms_reply_text(before[i]),
				mms_reply_text(reading->fanout.slots[i].replies[0]))) {
			struct mms_error error;

			mms_error_set(&error, "node %s (%s): answers to other questions", client->settings.nodes[i].name,
					client->settings.nodes[i].address);
			reading->copies[i].verdict = MMS_VERDICT_FAILED;
			mms_fanout_blame(&reading->fanout, i, &error);
			mms_client_fault(client, i, MMS_ERR_PROTOCOL, MMS_CLASS_NONE, &error);
		}
		mms_reply_free(before[i]);
	}
}

static void judge(struct reading *reading, unsigned node, bool whole)
{
	struct mms_copy *copy = &reading->copies[node];

	mms_judge_answer(&reading->fanout, node, &reading->question, whole, copy);
	if (copy->whole) {
		keep_payload(reading, node);
	}
}

static void keep_payload(struct reading *reading, unsigned node)
{
	const struct mms_reply *pttl = reading->fanout.slots[node].replies[1];

	mms_reply_free(reading->payload_reply);
	if (reading->payload_node >= 0 && reading->payload_node != (int)node) {
		reading->copies[reading->payload_node].whole = false; /* not at hand any more */
	}
	reading->payload_pttl_ms = pttl != NULL ? mms_reply_integer(pttl) : 0;
	reading->payload_reply = mms_fanout_take_reply(&reading->fanout, node, 0);
	reading->payload_node = (int)node;
}

/* The node with the highest version; among equals the one whose payload is at hand, else the first. -1 = none. */
static int pick_newest(const struct reading *reading)
{
	int newest = -1;

	for (unsigned i = 0; i < reading->client->settings.node_count; i++) {
		const struct mms_copy *copy = &reading->copies[i];
		int order;

		if (copy->verdict != MMS_VERDICT_HAS) {
			continue;
		}
		order = newest < 0 ? 1
				: mms_version_compare(&copy->header.version, &reading->copies[newest].header.version);
		if (order > 0 || (order == 0 && copy->whole && !reading->copies[newest].whole)) {
			newest = (int)i;
		}
	}
	return newest;
}

/* Gets the whole record from a node that has the newest header. What it has by now counts. */
static void fetch(struct reading *reading, unsigned node)
{
	struct mms_client *client = reading->client;

	mms_command_init(&reading->whole);
	mms_command_read_whole(&reading->whole, reading->question.key);
	if (mms_fanout_ask(&reading->fanout, node, &reading->whole,
			(int64_t)client->settings.read_timeout_ms * 1000)) {
		mms_fanout_wait(&reading->fanout, UINT64_C(1) << node);
	}
	judge(reading, node, true);
}

/* The newest whose payload is at hand, or that has none. A node that was emptied since its header came may have less than
 * others now: they are compared again after each fetch. One that does not keep still is struck out in the end. */
static int fetch_newest(struct reading *reading, int newest)
{
	unsigned rounds_max = 2 * reading->client->settings.node_count;

	for (unsigned round = 0; newest >= 0 && !reading->copies[newest].header.version.tombstone
			&& !reading->copies[newest].whole; round++) {
		if (round < rounds_max) {
			fetch(reading, (unsigned)newest);
		} else {
			reading->copies[newest].verdict = MMS_VERDICT_FAILED;
		}
		newest = pick_newest(reading);
	}
	return newest;
}

/* A miss, and a quorum, are worth what the nodes are worth that make it. */
static void meet_strangers(struct reading *reading)
{
	uint64_t answered = 0;

	for (unsigned i = 0; i < reading->client->settings.node_count; i++) {
		enum mms_verdict verdict = reading->copies[i].verdict;

		answered |= verdict == MMS_VERDICT_ABSENT || verdict == MMS_VERDICT_HAS ? UINT64_C(1) << i : 0;
	}
	mms_meeting_run(&reading->fanout, answered);
}

/* Than what the nodes have, as they have answered by now. */
static bool is_backlog_newer(const struct reading *reading)
{
	int newest = pick_newest(reading);

	return reading->backlog.found && (newest < 0 || mms_version_compare(&reading->backlog.header.version,
			&reading->copies[newest].header.version) > 0);
}

/* Whatever became of the node that took this host's last write, the mailbox has it until the others do. Only beside some node's
 * answer: without any, nobody knows what other hosts have written. True when it is newer than theirs; a majority, which
 * read = quorum is about, is not made of it. */
static bool take_backlog(struct reading *reading, struct mms_answer *answer)
{
	struct mms_client *client = reading->client;
	struct mms_backlog *backlog = &reading->backlog;
	struct mms_slice key = reading->question.key;
	bool answered = false;
	size_t len;

	for (unsigned i = 0; i < client->settings.node_count; i++) {
		answered = answered || reading->copies[i].verdict == MMS_VERDICT_HAS
				|| reading->copies[i].verdict == MMS_VERDICT_ABSENT;
	}
	if (!answered || client->settings.read_mode == MMS_READ_QUORUM) {
		return false;
	}
	/* A long backlog is walked only by a read that has to, and so after the nodes have answered. */
	if (!backlog->whole && reading->copies[0].verdict != MMS_VERDICT_HAS && !client->reads_new_id
			&& mms_backlog_find_more(client->cluster, key, backlog)) {
		mms_refresh_all(&reading->fanout, &reading->question, &reading->header_only, reading->copies);
	}
	if (!is_backlog_newer(reading)) {
		return false;
	}
	answer->copied = mms_backlog_take(client->cluster, key, backlog, &len);
	if (answer->copied == NULL) { /* delivered since they answered */
		mms_refresh_all(&reading->fanout, &reading->question, &reading->header_only, reading->copies);
		return false;
	}
	mms_client_count(client, MMS_METRIC_backlog_reads);
	answer->payload.ptr = answer->copied + MMS_RECORD_HEADER_SIZE;
	answer->payload.len = len - MMS_RECORD_HEADER_SIZE;
	answer->pttl_ms = backlog->ttl_ms;
	return true;
}

static void tally(struct reading *reading, const struct mms_version *newest, struct mms_answer *answer)
{
	struct mms_client *client = reading->client;

	reading->sound_mask = reading->complete_mask = reading->damaged_mask = reading->foreign_mask = 0;
	reading->unfetched = -1;
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		const struct mms_copy *copy = &reading->copies[i];
		uint64_t bit = UINT64_C(1) << i;
		int order = newest == NULL ? 1 : mms_version_compare(&copy->header.version, newest);

		if (copy->verdict == MMS_VERDICT_UNASKED || copy->verdict == MMS_VERDICT_FAILED) {
			reading->unfetched = copy->header.version.hlc != 0 && order > 0 ? (int)i : reading->unfetched;
			continue;
		}
		answer->answered_mask |= bit;
		reading->damaged_mask |= copy->verdict == MMS_VERDICT_DAMAGED ? bit : 0;
		reading->foreign_mask |= copy->verdict == MMS_VERDICT_FOREIGN ? bit : 0;
		answer->holders_mask |= copy->verdict == MMS_VERDICT_HAS && order == 0 ? bit : 0;
		if (atomic_load_explicit(&client->cluster->nodes[i].complete, memory_order_relaxed) != 0
				&& (copy->verdict == MMS_VERDICT_ABSENT || copy->verdict == MMS_VERDICT_HAS)) {
			reading->complete_mask |= bit;
			answer->absent_mask |= copy->verdict == MMS_VERDICT_ABSENT ? bit : 0;
		}
	}
	reading->sound_mask = answer->answered_mask & ~reading->damaged_mask & ~reading->foreign_mask;
	if (answer->answered_mask != 0 && answer->answered_mask != mms_client_all_mask(client) && !answer->enough) {
		mms_client_count(client, MMS_METRIC_skipped_peers);
	}
}

/* Rule e: what this host knows of a node may be a second old. Where much hangs on it (nothing, a logout or a blind record was
 * found: what is written then may win over everything, or be refused), the nodes are asked once more. Not for an id that was
 * made here; and a node alone is complete again at once. */
static void confirm(struct reading *reading, const struct mms_version *version, struct mms_answer *answer)
{
	if (reading->complete_mask == 0 || reading->client->reads_new_id || reading->client->settings.node_count == 1
			|| (version != NULL && !(is_authoritative(reading) && (version->tombstone || version->blind)))) {
		return;
	}
	reading->complete_mask = mms_meeting_confirm(&reading->fanout, reading->complete_mask);
	answer->absent_mask &= reading->complete_mask;
}

static uint32_t count_bits(uint64_t mask)
{
	return (uint32_t)__builtin_popcountll(mask);
}

/* Why the answer of this node does not count for a quorum. */
static void explain_uncounted(struct reading *reading, unsigned node, struct mms_error *error)
{
	uint64_t bit = UINT64_C(1) << node;

	if ((reading->damaged_mask & bit) != 0) {
		mms_explain_cause(&reading->fanout, node, "its copy is damaged", error);
	} else if ((reading->foreign_mask & bit) != 0) {
		mms_explain_cause(&reading->fanout, node, "the key holds something that is not mmsession's", error);
	} else if ((reading->sound_mask & bit) != 0) {
		mms_explain_cause(&reading->fanout, node, "incomplete since it was restarted or emptied", error);
	} else {
		mms_explain_node(&reading->fanout, node, error);
	}
}

/* read = quorum: true when there is no majority of good answers from complete nodes, or when it is not known what the newest
 * copy holds. */
static bool misses_quorum(struct reading *reading, struct mms_answer *answer)
{
	struct mms_client *client = reading->client;
	uint32_t count = count_bits(reading->complete_mask), needed = mms_config_quorum(&client->settings);

	if (client->settings.read_mode != MMS_READ_QUORUM || (count >= needed && reading->unfetched < 0)) {
		return false;
	}
	if (client->settings.on_no_quorum == MMS_NO_QUORUM_DEGRADE && answer->answered_mask != 0) {
		answer->degraded = true;
		mms_client_count(client, MMS_METRIC_degraded_reads);
		return false;
	}
	answer->found = MMS_FOUND_UNREADABLE;
	if (count >= needed) {
		mms_error_set(&answer->error, "read = quorum: the newest copy can't be had: ");
		mms_explain_node(&reading->fanout, (unsigned)reading->unfetched, &answer->error);
		return true;
	}
	mms_error_set(&answer->error, "read = quorum: %u of %u nodes count, %u are needed: ", count,
			client->settings.node_count, needed);
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		if ((reading->complete_mask >> i & 1) == 0) {
			explain_uncounted(reading, i, &answer->error);
		}
	}
	return true;
}

/* Rule b. With read = quorum and writes that reach w of n nodes or fail, n - w + 1 good answers hold one from every set of
 * nodes that may have taken a write; otherwise all must have answered. */
static bool is_authoritative(const struct reading *reading)
{
	const struct mms_settings *settings = &reading->client->settings;
	uint32_t needed = settings->node_count;

	if (reading->unfetched >= 0) {
		/* A newer copy was seen and could not be had: what is left is older than what this visitor may have seen. It is
		 * served (its holder does not answer in time), but proves nothing. */
		return false;
	}
	if (settings->read_mode == MMS_READ_QUORUM && settings->on_no_quorum == MMS_NO_QUORUM_FAIL
			&& mms_config_acks_needed(settings) >= mms_config_quorum(settings)) {
		needed = mms_config_quorum(settings);
	}
	return count_bits(reading->complete_mask) >= needed;
}

/* Is the payload at hand that of the newest version? Its node may have been seen with another header since. */
static bool payload_is_newest(const struct reading *reading, const struct mms_answer *answer)
{
	int node = reading->payload_node;

	return node >= 0 && reading->copies[node].whole && (answer->holders_mask >> node & 1) != 0;
}

static void take_newest(struct reading *reading, const struct mms_record_header *newest, struct mms_answer *answer)
{
	struct mms_client *client = reading->client;

	answer->header = *newest;
	mms_record_encode(&answer->header, reading->question.key, answer->header_bytes);
	answer->found = answer->header.version.tombstone ? MMS_FOUND_TOMBSTONE : MMS_FOUND_RECORD;
	if (mms_hlc_observe(&client->shm->hlc, reading->question.now, answer->header.version.hlc,
			client->settings.max_clock_drift_ms)) {
		mms_client_count(client, MMS_METRIC_future_stamps);
	}
	if (!reading->from_backlog && payload_is_newest(reading, answer)) {
		answer->pttl_ms = reading->payload_pttl_ms;
		answer->owner = reading->payload_reply;
		reading->payload_reply = NULL;
		answer->payload = mms_reply_text(answer->owner);
		answer->payload.ptr += MMS_RECORD_HEADER_SIZE;
		answer->payload.len -= MMS_RECORD_HEADER_SIZE;
	}
}

/* Does the watched node hold what the answer is made of, payload and remaining life, or nothing? */
static bool watched_holds_it(const struct reading *reading, const struct mms_answer *answer)
{
	int node = reading->watching.node;

	return node >= 0 && (reading->copies[node].verdict == MMS_VERDICT_ABSENT
			|| (answer->found == MMS_FOUND_RECORD && node == reading->payload_node && payload_is_newest(reading, answer)));
}

/* No copy at hand: is there none, or is it only not to be had? */
static void explain_nothing(struct reading *reading, struct mms_answer *answer)
{
	struct mms_client *client = reading->client;
	bool all = answer->answered_mask == mms_client_all_mask(client);

	if (answer->answered_mask == 0 || reading->unfetched >= 0) {
		answer->found = MMS_FOUND_UNREADABLE;
		answer->error = reading->fanout.error;
		if (answer->error.text[0] == '\0') {
			mms_explain_all_down(client, &answer->error);
		}
	} else if (reading->sound_mask == 0 && reading->damaged_mask == 0) {
		answer->found = MMS_FOUND_FOREIGN;
	} else if (reading->sound_mask == 0 && !all) {
		answer->found = MMS_FOUND_UNREADABLE;
		mms_error_set(&answer->error, "no good copy, and not every node answered: ");
		for (unsigned i = 0; i < client->settings.node_count; i++) {
			explain_uncounted(reading, i, &answer->error);
		}
	} else {
		answer->found = MMS_FOUND_NOTHING;
	}
}
