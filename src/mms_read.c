/* Read. The difficulty is that every answer may be missing, stale, damaged or foreign independently of the others, and
 * that the newest header may sit on another node than the payload at hand. So: judge each node's answer alone
 * (mms_judge), then pick (mms_tally), then fetch, and when the fetch fails strike that node out and pick again. */
#include "mms_read.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mms_backlog.h"
#include "mms_command.h"
#include "mms_enough.h"
#include "mms_fanout.h"
#include "mms_judge.h"
#include "mms_meeting.h"
#include "mms_mend.h"
#include "mms_refresh.h"
#include "mms_slow.h"
#include "mms_tally.h"
#include "mms_watch.h"

#define NAP_MAX_MS 8   /* between two looks for a copy that was seen and could not be had */
#define NAP_AGAIN_MS 4 /* after this one, who lost it is asked too, once: 7 ms later */

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
	struct mms_tally tally;          /* of copies */
	struct mms_backlog backlog;      /* the mailbox' newest for this key */
	bool from_backlog;               /* which is newer than any node's, and taken */
	bool missed_ours;                /* read = local: the node asked first lacked something of this host before it was */
};

static const struct mms_command *header_only(struct reading *reading);
static bool ask_nodes(struct reading *reading);
static bool others_suffice(struct reading *reading);
static void ask_local(struct reading *reading);
static bool is_enough(struct reading *reading, unsigned node);
static void ask_others(struct reading *reading, unsigned asked);
static bool is_too_large(const struct reading *reading, const struct mms_record_header *header);
static void judge(struct reading *reading, unsigned node, bool whole);
static void ask_again(struct reading *reading);
static int newest_of(const struct reading *reading);
static int fetch_newest(struct reading *reading, int newest);
static int fetch_or_take(struct reading *reading, struct mms_answer *answer);
static int await_newest(struct reading *reading, int newest, struct mms_answer *answer);
static void meet_strangers(struct reading *reading);
static bool watched_holds_it(const struct reading *reading, const struct mms_answer *answer);
static bool is_backlog_newer(const struct reading *reading);
static bool take_backlog(struct reading *reading, struct mms_answer *answer);
static void take_newest(struct reading *reading, const struct mms_record_header *newest, struct mms_answer *answer);
static void keep_payload(struct reading *reading, unsigned node);
static void refuse_newest(const struct reading *reading, const struct mms_record_header *newest, int node,
		struct mms_answer *answer);

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
	const struct mms_version *version;
	int newest;

	mms_answer_clear(answer);
	reading->watching.node = -1;
	mms_enough_begin(&reading->enough, plan, client->settings.lock != 0); /* behind a lock all nodes are read */
	reading->client = client;
	reading->header_only.part_count = 0;
	reading->question.key = key;
	reading->question.now = mms_hlc_now(&client->shm->anchor);
	reading->payload_reply = NULL;
	reading->payload_node = -1;
	reading->whole_node = -1;
	memset(reading->copies, 0, client->settings.node_count * sizeof reading->copies[0]);
	mms_client_await_names(client, deadline);
	reading->from_backlog = false;
	mms_backlog_find(client->cluster, key, reading->question.now, MMS_BACKLOG_FEW, &reading->backlog);
	mms_fanout_begin(&reading->fanout, client, deadline);
	answer->enough = ask_nodes(reading);
	mms_refresh_answers(&reading->fanout, &reading->question, reading->fanout.asked_mask == reading->fanout.answered_mask ? NULL
			: header_only(reading), reading->copies);
	if (newest_of(reading) < 0) {
		ask_again(reading);
	}
	newest = await_newest(reading, fetch_or_take(reading, answer), answer);
	header = reading->from_backlog ? &reading->backlog.header : newest < 0 ? NULL : &reading->copies[newest].header;
	if (header == NULL || client->settings.read_mode == MMS_READ_QUORUM) {
		meet_strangers(reading);
	}
	version = header == NULL ? NULL : &header->version;
	mms_tally_count(&reading->tally, &reading->fanout, reading->copies, version, answer);
	mms_tally_confirm(&reading->tally, &reading->fanout, version, mms_enough_misses(&reading->enough, version), answer);
	if (!mms_tally_misses_quorum(&reading->tally, &reading->fanout, answer)
			&& !mms_tally_misses_newest(&reading->tally, &reading->fanout, answer)) {
		answer->authoritative = mms_tally_is_authoritative(&reading->tally, &client->settings);
		if (header != NULL && is_too_large(reading, header)) {
			refuse_newest(reading, header, newest, answer);
		} else if (header != NULL) {
			take_newest(reading, header, answer);
		} else {
			mms_tally_explain_nothing(&reading->tally, &reading->fanout, answer);
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

/* The question for a header, made when it is needed: one node's copy is mostly enough with read = local or session-token. */
static const struct mms_command *header_only(struct reading *reading)
{
	if (reading->header_only.part_count == 0) {
		mms_command_init(&reading->header_only);
		mms_command_read_header(&reading->header_only, reading->question.key);
	}
	return &reading->header_only;
}

static int newest_of(const struct reading *reading)
{
	return mms_tally_pick_newest(reading->copies, reading->client->settings.node_count);
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

	for (unsigned i = 0; i < client->settings.node_count; i++) {
		bool whole = reading->whole_node < 0;

		if (!mms_client_can_read(client, i) || (i == 0 && skip_local)) {
			continue;
		}
		if (whole) {
			/* Before the question: what it lacked when it answered, it may have when the answer is looked at. */
			reading->missed_ours = client->settings.read_mode == MMS_READ_LOCAL && mms_client_missed_ours(client, i);
			mms_watch_lead(client, &reading->watching, i, reading->question.key, &reading->whole);
			mms_enough_ask(&reading->enough, &client->settings, reading->question.key, &reading->whole);
		}
		if (!mms_fanout_ask(&reading->fanout, i, whole ? &reading->whole : header_only(reading),
				mms_client_wait_us(client))) {
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
	if (whole_node > 0 && !skip_local) {
		mms_client_count(client, MMS_METRIC_failovers);
	}
	if (whole_node >= 0) {
		mms_enough_take(&reading->enough, &reading->fanout, (unsigned)whole_node);
	}
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		judge(reading, i, (int)i == whole_node);
	}
	if (skip_local && others_suffice(reading)) {
		mms_client_count(client, MMS_METRIC_slow_skips);
	} else if (skip_local) {
		ask_local(reading);
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

/* A read that left the slow local node out stands on what all others say: each has answered, and is complete, as it has said itself
 * on this connection; where they have nothing, or a blind copy, as it says now. (mms_slow_may_skip() has looked at what this host
 * knew before.) */
static bool others_suffice(struct reading *reading)
{
	struct mms_client *client = reading->client;
	uint64_t others = mms_client_all_mask(client) & ~UINT64_C(1);
	int newest = newest_of(reading);

	for (unsigned i = 1; i < client->settings.node_count; i++) {
		if (reading->copies[i].verdict != MMS_VERDICT_HAS && reading->copies[i].verdict != MMS_VERDICT_ABSENT) {
			return false;
		}
	}
	if (newest < 0 ? client->reads_new_id : !reading->copies[newest].header.version.blind) {
		others &= mms_meeting_unknown_mask(client);
	}
	return others == 0 || mms_meeting_confirm(&reading->fanout, others) == others;
}

static void ask_local(struct reading *reading)
{
	if (mms_client_can_read(reading->client, 0)
			&& mms_fanout_ask(&reading->fanout, 0, header_only(reading), mms_client_wait_us(reading->client))) {
		mms_fanout_wait(&reading->fanout, 1);
		judge(reading, 0, false);
	}
}

/* With read = local any copy is, of a node that has what this host wrote. */
static bool is_enough(struct reading *reading, unsigned node)
{
	const struct mms_copy *copy = &reading->copies[node];

	return reading->client->settings.read_mode == MMS_READ_LOCAL
			? copy->verdict == MMS_VERDICT_HAS && !reading->missed_ours && !mms_client_missed_ours(reading->client, node)
			: mms_enough_judge(&reading->enough, &reading->fanout, node, copy);
}

/* The local node's answer is not enough; with read = local because it has nothing sound: before a visitor is taken for a
 * stranger, the others are asked. */
static void ask_others(struct reading *reading, unsigned asked)
{
	struct mms_client *client = reading->client;

	for (unsigned i = asked + 1; i < client->settings.node_count; i++) {
		if (mms_client_can_read(client, i)) {
			(void)mms_fanout_ask(&reading->fanout, i, header_only(reading), mms_client_wait_us(client));
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
					: header_only(reading), (int64_t)client->settings.read_timeout_ms * 1000);
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

/* Is a record of this header longer than this process takes? */
static bool is_too_large(const struct reading *reading, const struct mms_record_header *header)
{
	return MMS_RECORD_HEADER_SIZE + (uint64_t)header->payload_len > mms_client_reply_max(reading->client);
}

/* What the node has was longer than this process takes: its header says whose it is, and how long. Where that had been asked for
 * before, and still says less, the value is not what its header says. */
static void judge_by_header(struct reading *reading, unsigned node)
{
	struct mms_copy *copy = &reading->copies[node], before = *copy;

	if (mms_fanout_ask(&reading->fanout, node, header_only(reading),
			mms_client_wait_us(reading->client))) {
		mms_fanout_wait(&reading->fanout, UINT64_C(1) << node);
	}
	mms_judge_answer(&reading->fanout, node, &reading->question, false, copy);
	if (copy->verdict == MMS_VERDICT_HAS && before.verdict == MMS_VERDICT_HAS && !is_too_large(reading, &copy->header)
			&& mms_version_compare(&copy->header.version, &before.header.version) == 0) {
		copy->verdict = MMS_VERDICT_DAMAGED;
		mms_client_count(reading->client, MMS_METRIC_corrupt_records);
	}
}

static void judge(struct reading *reading, unsigned node, bool whole)
{
	const struct mms_fanout_slot *slot = &reading->fanout.slots[node];
	struct mms_copy *copy = &reading->copies[node];

	if (slot->state == MMS_FANOUT_FAILED && slot->status == MMS_ERR_TOO_LARGE) {
		judge_by_header(reading, node);
		return;
	}
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

/* Gets the whole record from a node that has the newest header. What it has by now counts. */
static void fetch(struct reading *reading, unsigned node)
{
	struct mms_client *client = reading->client;

	mms_command_init(&reading->whole);
	mms_command_read_whole(&reading->whole, reading->question.key);
	reading->fanout.patient = !mms_tally_is_elsewhere(reading->copies, client->settings.node_count, node);
	if (mms_fanout_ask(&reading->fanout, node, &reading->whole, mms_client_wait_us(client))) {
		mms_fanout_wait(&reading->fanout, UINT64_C(1) << node);
	}
	reading->fanout.patient = false;
	judge(reading, node, true);
}

/* The newest whose payload is at hand, or that has none. A node that was emptied since its header came may have less than
 * others now: they are compared again after each fetch. One that does not keep still is struck out in the end. */
static int fetch_newest(struct reading *reading, int newest)
{
	unsigned rounds_max = 2 * reading->client->settings.node_count;

	for (unsigned round = 0; newest >= 0 && !reading->copies[newest].header.version.tombstone
			&& !reading->copies[newest].whole && !is_too_large(reading, &reading->copies[newest].header); round++) {
		if (round < rounds_max) {
			fetch(reading, (unsigned)newest);
		} else {
			reading->copies[newest].verdict = MMS_VERDICT_FAILED;
		}
		newest = newest_of(reading);
	}
	return newest;
}

/* The newest of the nodes, or what the mailbox has if that is newer; also newer than what is left when the newest on a node
 * could not be had. */
static int fetch_or_take(struct reading *reading, struct mms_answer *answer)
{
	int newest;

	for (bool again = false;; again = true) {
		reading->from_backlog = take_backlog(reading, answer);
		newest = newest_of(reading);
		if (reading->from_backlog) {
			return newest;
		}
		newest = fetch_newest(reading, newest);
		if (again || !is_backlog_newer(reading)) {
			return newest;
		}
	}
}

/* Nodes on which a newer copy was seen than the one at hand, and lost with their answer. */
static uint64_t lost_mask(const struct reading *reading, int newest)
{
	return mms_tally_lost_mask(reading->copies, reading->client->settings.node_count, reading->from_backlog
			? &reading->backlog.header.version : newest >= 0 ? &reading->copies[newest].header.version : NULL);
}

/* Its node may only have stumbled. */
static void ask_lost_again(struct reading *reading, int newest)
{
	uint64_t mask = lost_mask(reading, newest);

	for (unsigned i = 0; i < reading->client->settings.node_count; i++) {
		if ((mask >> i & 1) != 0 && mms_client_can_read(reading->client, i)) {
			(void)mms_fanout_ask(&reading->fanout, i, header_only(reading), mms_client_wait_us(reading->client));
		}
	}
	mms_fanout_wait(&reading->fanout, mask);
	for (unsigned i = 0; i < reading->client->settings.node_count; i++) {
		if ((mask >> i & 1) != 0 && reading->fanout.slots[i].state == MMS_FANOUT_ANSWERED) {
			judge(reading, i, false);
		}
	}
}

/* Who wrote it is sending it to the others too, who are asked for it as long as the budget lasts: nothing older will do. */
static int await_newest(struct reading *reading, int newest, struct mms_answer *answer)
{
	int nap_ms = 1;

	while (lost_mask(reading, newest) != 0 && mms_tally_has_answer(reading->copies, reading->client->settings.node_count)
			&& mms_clock_left_us(mms_clock_mono(), reading->fanout.deadline) > (int64_t)nap_ms * 1000) {
		(void)poll(NULL, 0, nap_ms);
		if (nap_ms == NAP_AGAIN_MS) {
			ask_lost_again(reading, newest);
		}
		nap_ms = nap_ms < NAP_MAX_MS ? 2 * nap_ms : NAP_MAX_MS;
		mms_refresh_all(&reading->fanout, &reading->question, header_only(reading), reading->copies);
		free(answer->copied);
		answer->copied = NULL;
		answer->payload = (struct mms_slice){ NULL, 0 };
		answer->pttl_ms = 0;
		newest = fetch_or_take(reading, answer);
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
	int newest = newest_of(reading);

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
	size_t len;

	if (!mms_tally_has_answer(reading->copies, client->settings.node_count) || client->settings.read_mode == MMS_READ_QUORUM) {
		return false;
	}
	/* A long backlog is walked only by a read that has to, and so after the nodes have answered. */
	if (!backlog->whole && reading->copies[0].verdict != MMS_VERDICT_HAS && !client->reads_new_id
			&& mms_backlog_find_more(client->cluster, key, reading->question.now, backlog)) {
		mms_refresh_all(&reading->fanout, &reading->question, header_only(reading), reading->copies);
	}
	if (!is_backlog_newer(reading)) {
		return false;
	}
	if (is_too_large(reading, &backlog->header)) {
		return true;
	}
	answer->copied = mms_backlog_take(client->cluster, key, backlog, &len);
	if (answer->copied == NULL) { /* delivered since they answered */
		mms_refresh_all(&reading->fanout, &reading->question, header_only(reading), reading->copies);
		return false;
	}
	mms_client_count(client, MMS_METRIC_backlog_reads);
	answer->payload.ptr = answer->copied + MMS_RECORD_HEADER_SIZE;
	answer->payload.len = len - MMS_RECORD_HEADER_SIZE;
	answer->pttl_ms = backlog->ttl_ms;
	return true;
}

/* Nothing older in its place: what is written after that would take the place of the newest. */
static void refuse_newest(const struct reading *reading, const struct mms_record_header *newest, int node,
		struct mms_answer *answer)
{
	const struct mms_settings *settings = &reading->client->settings;
	char where[MMS_NOTE_TEXT_SIZE] = "the mailbox of this host";

	if (!reading->from_backlog) {
		(void)snprintf(where, sizeof where, "node %s (%s)", settings->nodes[node].name, settings->nodes[node].address);
	}
	answer->found = MMS_FOUND_UNREADABLE;
	mms_error_set(&answer->error, "%s: this session has %" PRIu32 " bytes, more than mmsession.max_session_size (%" PRIu32
			") allows here: not read, what is stored stays", where, newest->payload_len, settings->max_session_size);
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
	const bool has_payload = !reading->from_backlog && payload_is_newest(reading, answer);

	answer->header = *newest;
	if (has_payload) {
		memcpy(answer->header_bytes, mms_reply_text(reading->payload_reply).ptr, MMS_RECORD_HEADER_SIZE);
	} else {
		mms_record_encode(&answer->header, reading->question.key, answer->header_bytes);
	}
	answer->found = answer->header.version.tombstone ? MMS_FOUND_TOMBSTONE : MMS_FOUND_RECORD;
	if (mms_hlc_observe(&client->shm->hlc, reading->question.now, answer->header.version.hlc,
			client->settings.max_clock_drift_ms)) {
		mms_client_count(client, MMS_METRIC_future_stamps);
	}
	if (has_payload) {
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
