/* Read. The difficulty is that every answer may be missing, stale, damaged or foreign independently of the others, and
 * that the newest header may sit on another node than the payload at hand. So: judge each node's answer alone
 * (judge()), then pick (pick_newest()), then fetch, and when the fetch fails strike that node out and pick again. */
#include "mms_read.h"

#include <stdlib.h>
#include <string.h>

#include "mms_command.h"
#include "mms_fanout.h"
#include "mms_meeting.h"

/* A copy younger than this is probably on its way to the others in its writer's mailbox: no repair. */
#define REPAIR_MIN_AGE_MS 1000

enum verdict { VERDICT_UNASKED, VERDICT_FAILED, VERDICT_ABSENT, VERDICT_DAMAGED, VERDICT_FOREIGN, VERDICT_HAS };

struct copy {
	enum verdict verdict;
	bool whole; /* payload is at hand and checked */
	struct mms_record_header header;
};

struct reading {
	struct mms_client *client;
	struct mms_slice key;
	struct mms_wall now;
	struct mms_fanout fanout;
	struct mms_command whole, header_only;
	struct copy copies[MMS_NODES_MAX];
	struct mms_reply *payload_reply; /* GET reply of payload_node */
	int payload_node;
	int64_t payload_pttl_ms;
};

static void ask_nodes(struct reading *reading);
static void ask_others(struct reading *reading, unsigned asked);
static void judge(struct reading *reading, unsigned node, bool whole);
static int pick_newest(const struct reading *reading);
static bool fetch(struct reading *reading, unsigned node);
static void summarize(struct reading *reading, int newest, struct mms_answer *answer);
static void meet_strangers(struct reading *reading);
static void repair(struct reading *reading, const struct mms_answer *answer);
static void keep_payload(struct reading *reading, unsigned node);
static void replace_damaged(struct reading *reading, unsigned node, const struct mms_answer *answer, uint64_t ttl_ms);

_Static_assert(sizeof(struct reading) <= MMS_CLIENT_SCRATCH, "a reading lives in the client's scratch");

void mms_read_record(struct mms_client *client, struct mms_slice key, struct mms_mono deadline,
		struct mms_answer *answer)
{
	struct reading *reading = client->scratch;
	int newest;

	mms_answer_clear(answer);
	reading->client = client;
	reading->key = key;
	reading->now = mms_clock_wall();
	reading->payload_reply = NULL;
	reading->payload_node = -1;
	memset(reading->copies, 0, client->settings.node_count * sizeof reading->copies[0]);
	mms_client_await_names(client, deadline);
	mms_fanout_begin(&reading->fanout, client, deadline);
	ask_nodes(reading);
	newest = pick_newest(reading);
	/* Bounded: every round either has the payload or strikes one node out. */
	while (newest >= 0 && !reading->copies[newest].header.version.tombstone && !reading->copies[newest].whole) {
		if (!fetch(reading, (unsigned)newest)) {
			newest = pick_newest(reading);
		}
	}
	if (newest < 0 || client->settings.read_mode == MMS_READ_QUORUM) {
		meet_strangers(reading);
	}
	summarize(reading, newest, answer);
	if (answer->found != MMS_FOUND_UNREADABLE) {
		repair(reading, answer);
	}
	mms_reply_free(reading->payload_reply);
	mms_fanout_end(&reading->fanout);
	mms_client_count(client, answer->found == MMS_FOUND_UNREADABLE ? MMS_METRIC_failed_reads : MMS_METRIC_reads);
}

void mms_answer_clear(struct mms_answer *answer)
{
	mms_reply_free(answer->owner);
	memset(answer, 0, sizeof *answer);
	answer->found = MMS_FOUND_UNREADABLE;
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
	return pending || client->without_mailbox ? (int64_t)client->settings.read_timeout_ms * 1000 : wait_us(client, 0);
}

/* The first usable node (the local one, normally) is asked for the record, the others for the header. */
static void ask_nodes(struct reading *reading)
{
	struct mms_client *client = reading->client;
	int whole_node = -1;

	mms_command_init(&reading->whole);
	mms_command_read_whole(&reading->whole, reading->key);
	mms_command_init(&reading->header_only);
	mms_command_read_header(&reading->header_only, reading->key);
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		bool whole = whole_node < 0;

		if (!mms_client_can_read(client, i)) {
			continue;
		}
		if (!mms_fanout_ask(&reading->fanout, i, whole ? &reading->whole : &reading->header_only,
				i == 0 ? local_wait_us(client) : wait_us(client, i))) {
			continue;
		}
		if (whole) {
			whole_node = (int)i;
			if (client->settings.read_mode == MMS_READ_LOCAL) {
				break;
			}
		}
	}
	mms_fanout_wait(&reading->fanout, reading->fanout.asked_mask);
	if (whole_node > 0) {
		mms_client_count(client, MMS_METRIC_failovers);
	}
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		judge(reading, i, (int)i == whole_node);
	}
	if (client->settings.read_mode == MMS_READ_LOCAL && whole_node >= 0
			&& reading->copies[whole_node].verdict != VERDICT_HAS) {
		ask_others(reading, (unsigned)whole_node);
	}
}

/* read = local, and the local node has nothing sound: before a visitor is taken for a stranger, the others are asked. */
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
	if (reading->copies[asked].verdict == VERDICT_FAILED) {
		mms_client_count(client, MMS_METRIC_failovers);
	}
}

/* A node that answers something twice shifts all answers behind it by one: then a number stands where text should. */
static bool fits_question(const struct mms_fanout_slot *slot, bool whole)
{
	enum mms_reply_type type = mms_reply_type(slot->replies[0]);

	return (type == MMS_REPLY_STRING || (whole && type == MMS_REPLY_NIL)) && slot->replies[1] != NULL
			&& mms_reply_type(slot->replies[1]) == MMS_REPLY_INTEGER;
}

/* What this node's answer is worth. */
static void judge(struct reading *reading, unsigned node, bool whole)
{
	struct mms_fanout_slot *slot = &reading->fanout.slots[node];
	struct copy *copy = &reading->copies[node];
	const struct mms_reply *reply = slot->replies[0];
	enum mms_record_verdict verdict;
	struct mms_slice payload, bytes;

	copy->whole = false;
	if (slot->state != MMS_FANOUT_ANSWERED) {
		copy->verdict = slot->state == MMS_FANOUT_IDLE ? VERDICT_UNASKED : VERDICT_FAILED;
		return;
	}
	bytes = mms_reply_text(reply);
	if (mms_reply_type(reply) == MMS_REPLY_ERROR) {
		enum mms_reply_class refusal = mms_reply_classify(reply);

		copy->verdict = refusal == MMS_CLASS_WRONGTYPE ? VERDICT_FOREIGN : VERDICT_FAILED;
		if (copy->verdict == VERDICT_FAILED) {
			char text[128];

			mms_text_copy(text, sizeof text, bytes);
			mms_error_set(&reading->fanout.error, "node %s (%s): server answered: %s",
					reading->client->settings.nodes[node].name, reading->client->settings.nodes[node].address,
					text);
			mms_client_refused(reading->client, node, refusal, text);
		}
	} else if (!fits_question(slot, whole)) {
		copy->verdict = VERDICT_FAILED;
		mms_error_set(&reading->fanout.error, "node %s (%s): an answer that does not fit its question",
				reading->client->settings.nodes[node].name, reading->client->settings.nodes[node].address);
		mms_client_fault(reading->client, node, MMS_ERR_PROTOCOL, MMS_CLASS_NONE, &reading->fanout.error);
	} else if (mms_reply_type(reply) == MMS_REPLY_NIL || (!whole && bytes.len == 0)) {
		copy->verdict = VERDICT_ABSENT;
	} else {
		verdict = whole ? mms_record_decode_whole(bytes, reading->key, &copy->header, &payload)
				: mms_record_decode(bytes, reading->key, &copy->header);
		copy->verdict = verdict == MMS_RECORD_GOOD ? VERDICT_HAS
				: verdict == MMS_RECORD_FOREIGN ? VERDICT_FOREIGN : VERDICT_DAMAGED;
		if (copy->verdict == VERDICT_HAS && mms_hlc_absurd(copy->header.version.hlc, reading->now)) {
			copy->verdict = VERDICT_DAMAGED;
		}
		if (copy->verdict == VERDICT_HAS && whole) {
			copy->whole = true;
			keep_payload(reading, node);
		}
	}
	if (copy->verdict == VERDICT_DAMAGED) {
		mms_client_count(reading->client, MMS_METRIC_corrupt_records);
	} else if (copy->verdict == VERDICT_FOREIGN) {
		mms_client_count(reading->client, MMS_METRIC_foreign_keys);
	}
}

static void keep_payload(struct reading *reading, unsigned node)
{
	const struct mms_reply *pttl = reading->fanout.slots[node].replies[1];

	mms_reply_free(reading->payload_reply);
	reading->payload_pttl_ms = pttl != NULL ? mms_reply_integer(pttl) : 0;
	reading->payload_reply = mms_fanout_take_reply(&reading->fanout, node, 0);
	reading->payload_node = (int)node;
}

/* The node with the highest version; among equals the one whose payload is at hand, else the first. -1 = none. */
static int pick_newest(const struct reading *reading)
{
	int newest = -1;

	for (unsigned i = 0; i < reading->client->settings.node_count; i++) {
		const struct copy *copy = &reading->copies[i];
		int order;

		if (copy->verdict != VERDICT_HAS) {
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

/* Gets the whole record from a node that has the newest header. What it has by now counts; false = struck out. */
static bool fetch(struct reading *reading, unsigned node)
{
	struct mms_client *client = reading->client;

	if (mms_fanout_ask(&reading->fanout, node, &reading->whole,
			(int64_t)client->settings.read_timeout_ms * 1000)) {
		mms_fanout_wait(&reading->fanout, UINT64_C(1) << node);
	}
	judge(reading, node, true);
	return reading->copies[node].whole;
}

/* A miss, and a quorum, are worth what the nodes are worth that make it. */
static void meet_strangers(struct reading *reading)
{
	uint64_t answered = 0;

	for (unsigned i = 0; i < reading->client->settings.node_count; i++) {
		enum verdict verdict = reading->copies[i].verdict;

		answered |= verdict == VERDICT_ABSENT || verdict == VERDICT_HAS ? UINT64_C(1) << i : 0;
	}
	mms_meeting_run(&reading->fanout, answered);
}

/* Nobody was asked in this request: the reason is what the breakers remember. */
static void explain_all_down(const struct mms_client *client, struct mms_error *error)
{
	char text[MMS_BREAKER_TEXT_SIZE] = "";
	struct mms_wall latest = { 0 };

	for (unsigned i = 0; i < client->settings.node_count; i++) {
		char one[MMS_BREAKER_TEXT_SIZE];
		struct mms_wall at = mms_breaker_last_error(&client->cluster->nodes[i].breaker, one, sizeof one);

		if (at.ms > latest.ms) {
			latest = at;
			memcpy(text, one, sizeof text);
		}
	}
	mms_error_set(error, "all %u nodes are marked down (see mmsession_status()), the last one: %s",
			client->settings.node_count, text[0] != '\0' ? text : "cause unknown");
}

static void summarize(struct reading *reading, int newest, struct mms_answer *answer)
{
	struct mms_client *client = reading->client;
	bool foreign = false, all_complete = true, unfetched = false;
	uint64_t quorum_mask = 0;

	for (unsigned i = 0; i < client->settings.node_count; i++) {
		const struct copy *copy = &reading->copies[i];
		uint64_t bit = UINT64_C(1) << i;
		bool complete = atomic_load_explicit(&client->cluster->nodes[i].complete, memory_order_relaxed) != 0;

		if (copy->verdict == VERDICT_UNASKED || copy->verdict == VERDICT_FAILED) {
			unfetched = unfetched || (copy->header.version.hlc != 0
					&& (newest < 0 || mms_version_compare(&copy->header.version,
						&reading->copies[newest].header.version) > 0));
			continue;
		}
		answer->answered_mask |= bit;
		quorum_mask |= complete ? bit : 0;
		all_complete = all_complete && complete && copy->verdict != VERDICT_DAMAGED;
		foreign = foreign || copy->verdict == VERDICT_FOREIGN;
		if (copy->verdict == VERDICT_ABSENT && complete) {
			answer->absent_mask |= bit;
		}
		if (newest >= 0 && copy->verdict == VERDICT_HAS && mms_version_compare(&copy->header.version,
				&reading->copies[newest].header.version) == 0) {
			answer->holders_mask |= bit;
		}
	}
	if (answer->answered_mask != 0 && answer->answered_mask != mms_client_all_mask(client)) {
		mms_client_count(client, MMS_METRIC_skipped_peers);
	}
	if (client->settings.read_mode == MMS_READ_QUORUM && (uint32_t)__builtin_popcountll(quorum_mask) * 2
			<= client->settings.node_count) {
		answer->found = MMS_FOUND_UNREADABLE;
		mms_error_set(&answer->error, "read = quorum: only %d of %u nodes answered and are complete (see "
				"mmsession_status())", __builtin_popcountll(quorum_mask), client->settings.node_count);
		return;
	}
	answer->authoritative = all_complete && answer->answered_mask == mms_client_all_mask(client);
	if (!answer->authoritative) {
		mms_client_count(client, MMS_METRIC_uncertain_reads);
	}
	if (newest >= 0) {
		answer->header = reading->copies[newest].header;
		mms_record_encode(&answer->header, reading->key, answer->header_bytes);
		answer->found = answer->header.version.tombstone ? MMS_FOUND_TOMBSTONE : MMS_FOUND_RECORD;
		if (mms_hlc_observe(&client->shm->hlc, reading->now, answer->header.version.hlc,
				client->settings.max_clock_drift_ms)) {
			mms_client_count(client, MMS_METRIC_future_stamps);
		}
		if (reading->payload_node >= 0 && (answer->holders_mask >> reading->payload_node & 1) != 0) {
			answer->pttl_ms = reading->payload_pttl_ms;
			answer->owner = reading->payload_reply;
			reading->payload_reply = NULL;
			answer->payload = mms_reply_text(answer->owner);
			answer->payload.ptr += MMS_RECORD_HEADER_SIZE;
			answer->payload.len -= MMS_RECORD_HEADER_SIZE;
		}
	} else if (answer->answered_mask == 0 || unfetched) {
		answer->found = MMS_FOUND_UNREADABLE;
		answer->error = reading->fanout.error;
		if (answer->error.text[0] == '\0') {
			explain_all_down(client, &answer->error);
		}
	} else {
		answer->found = foreign ? MMS_FOUND_FOREIGN : MMS_FOUND_NOTHING;
	}
	if (unfetched && answer->found == MMS_FOUND_RECORD) {
		/* A newer copy was seen and could not be had: what is left is older than what this visitor may have seen. It is
		 * served (its holder does not answer in time), but proves nothing. */
		answer->authoritative = false;
	}
}

/* Nodes that answered with something older, damaged or nothing get the record through the mailbox. */
static void repair(struct reading *reading, const struct mms_answer *answer)
{
	struct mms_client *client = reading->client;
	uint64_t lacking = answer->answered_mask & ~answer->holders_mask;
	struct mms_parcel parcel;
	struct mms_ticket ticket;
	int64_t age_ms = reading->now.ms - (int64_t)mms_hlc_ms(answer->header.version.hlc);
	int64_t ttl_ms = answer->pttl_ms;

	if ((answer->found != MMS_FOUND_RECORD && answer->found != MMS_FOUND_TOMBSTONE) || lacking == 0) {
		return;
	}
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		if (reading->copies[i].verdict == VERDICT_FOREIGN) {
			lacking &= ~(UINT64_C(1) << i);
		}
	}
	if (answer->found == MMS_FOUND_TOMBSTONE) {
		ttl_ms = (int64_t)answer->header.lifetime_s * 1000 + MMS_TOMBSTONE_GRACE_MS;
	} else if (ttl_ms <= 0) {
		return;
	}
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		if (reading->copies[i].verdict == VERDICT_DAMAGED) {
			replace_damaged(reading, i, answer, (uint64_t)ttl_ms);
			lacking &= ~(UINT64_C(1) << i);
		}
	}
	if (lacking == 0 || age_ms < REPAIR_MIN_AGE_MS || client->without_mailbox) {
		return;
	}
	parcel = (struct mms_parcel){
		.kind = MMS_PARCEL_PUT,
		.key = reading->key,
		.header = answer->header_bytes,
		.payload = answer->payload,
		.ttl_ms = (uint64_t)ttl_ms,
		.have_mask = mms_client_all_mask(client) & ~lacking,
		.settled = true,
	};
	if (mms_mailbox_push(&client->cluster->mailbox, &parcel, mms_clock_mono(), &ticket)) {
		mms_client_count(client, MMS_METRIC_read_repairs);
		mms_shm_wake(client->cluster);
	} else {
		struct mms_mono now = mms_clock_mono();
		struct mms_mono until = { now.us + ttl_ms * 1000 };

		/* Too large for the ring, or no room: the replicator fetches it itself. */
		mms_client_count(client, mms_hints_add(&client->cluster->hints, reading->key, answer->header_bytes, lacking,
				until, now) ? MMS_METRIC_hints_made : MMS_METRIC_hint_overflows);
		mms_shm_kick(client->cluster);
	}
}

/* A damaged copy may carry any version, so the merge order can't judge it: it is replaced only if it still is, byte by
 * byte, what was found damaged (rule a). Rare enough to be done here and now. */
static void replace_damaged(struct reading *reading, unsigned node, const struct mms_answer *answer, uint64_t ttl_ms)
{
	struct mms_command *command = &reading->header_only;
	char tmp_key[MMS_TMP_KEY_MAX], found[MMS_RECORD_HEADER_SIZE];
	struct mms_slice tmp = { tmp_key, mms_client_tmp_key(reading->client, tmp_key) };
	struct mms_slice expected = mms_reply_text(reading->fanout.slots[node].replies[0]);

	struct mms_record_header header;

	if (expected.len == 0 || !mms_client_can_write(reading->client, node)) {
		return;
	}
	/* Only its payload is damaged: a sound copy of the same version may stand there by now, and must not be replaced by
	 * an older one. */
	if (mms_record_decode(expected, reading->key, &header) == MMS_RECORD_GOOD
			&& mms_version_compare(&header.version, &answer->header.version) > 0) {
		return;
	}
	if (expected.len > MMS_RECORD_HEADER_SIZE) {
		expected.len = MMS_RECORD_HEADER_SIZE;
	}
	memcpy(found, expected.ptr, expected.len);
	expected.ptr = found;
	mms_command_init(command);
	mms_command_put(command, reading->key, tmp, answer->header_bytes, answer->payload, ttl_ms,
			MMS_TOMBSTONE_GRACE_MS, expected);
	if (mms_fanout_ask(&reading->fanout, node, command, wait_us(reading->client, node))) {
		mms_fanout_wait(&reading->fanout, UINT64_C(1) << node);
		mms_client_count(reading->client, MMS_METRIC_read_repairs);
	}
}
