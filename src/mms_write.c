/* Write. The order of steps is what makes it safe against a kill between any two of them: mailbox, send to the local
 * node, wait for the answer, tell the mailbox who has it, wake the replicator (before the wait, when this thread sleeps in
 * it). Nodes are then tried one after another (or several at once when several must acknowledge) until enough have taken it
 * or the budget is spent. */
#include "mms_write.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mms_command.h"
#include "mms_explain.h"
#include "mms_fanout.h"
#include "mms_put.h"
#include "mms_slow.h"
#include "mms_watch.h"

struct writing {
	struct mms_client *client;
	const struct mms_write_order *order;
	struct mms_write_result *result;
	uint64_t tried_mask;
	struct mms_mono pushed_at;   /* into the mailbox */
	bool may_arrive;             /* it was sent to a node that did not answer */
	uint64_t replaced_mask;      /* nodes where it took the place of something damaged */
	uint64_t reloaded_mask;      /* nodes that were asked again because their scripts were gone */
	uint64_t hinted_mask;        /* nodes that a hint says may lack it, from before it was sent */
	char tmp_key[MMS_TMP_KEY_MAX];
	struct mms_slice tmp;        /* empty until a put needs it */
	struct mms_fanout fanout;
	struct mms_command command;  /* the same for every node; built when it is first needed */
	struct mms_command special;  /* for one node: watched, repeat after NOSCRIPT, against a damaged record, record after a touch */
	bool local_slow;             /* others are asked first */
	int watched_node;            /* is asked with a watched put; -1 = none */
};

_Static_assert(sizeof(struct writing) <= MMS_CLIENT_SCRATCH, "a writing lives in the client's scratch");

static void build(struct writing *writing, struct mms_command *command, enum mms_parcel_kind kind,
		struct mms_slice expected);
static void explain(struct writing *writing);
static bool push(struct writing *writing, struct mms_ticket *ticket);
static uint64_t ask_round(struct writing *writing, uint32_t wanted, struct mms_mono now);
static void settle_round(struct writing *writing, uint64_t asked);
static void judge(struct writing *writing, unsigned node);
static void hint_first(struct writing *writing);
static void hint_missing(struct writing *writing);
static bool is_given_up(const struct writing *writing);
static void hint_replaced(struct writing *writing);
static bool is_settled(struct writing *writing, struct mms_mono now);
static bool all_read_from(const struct mms_client *client, unsigned node, struct mms_mono now);
static bool is_local_first(const struct writing *writing);
static uint32_t at_least_two(const struct writing *writing, uint32_t needed);

enum mms_status mms_write_record(struct mms_client *client, const struct mms_write_order *order,
		struct mms_mono deadline, struct mms_write_result *result)
{
	struct writing *writing = client->scratch;
	uint32_t needed = order->acks_needed;
	struct mms_ticket ticket = { 0, false };
	bool pushed, late, failed_over = false;

	memset(result, 0, offsetof(struct mms_write_result, error)); /* not all of a text that is not there */
	result->error.text[0] = '\0';
	writing->client = client;
	writing->order = order;
	writing->result = result;
	writing->tried_mask = result->acked_mask = order->have_mask;
	writing->may_arrive = false;
	writing->reloaded_mask = writing->hinted_mask = writing->replaced_mask = 0;
	writing->local_slow = mms_slow_local(client);
	writing->tmp.len = 0;
	late = mms_client_mirrors_late(client->cluster);
	pushed = push(writing, &ticket);
	if (!pushed || late || !is_settled(writing, writing->pushed_at) || !is_local_first(writing)) {
		/* Rule k: no write stays on one node. Nor on a node that has just come back, which other hosts may not read from
		 * yet: the visitor's next request may go there before the mirror does. Nor on another host's local node alone:
		 * that host may leave it out while it is slow (decision 0012). Nor while nobody mirrors (decision 0024). */
		needed = at_least_two(writing, needed);
	}
	if (!pushed) {
		hint_first(writing);
	}
	mms_fanout_begin(&writing->fanout, client, deadline);
	writing->command.part_count = 0;
	writing->watched_node = order->watched.valid && order->watched.serial == client->watch_serial
			? (int)order->watched.node : -1;
	/* A core that the replicator takes now, and the nodes that it mirrors to, would be missed by the node that is waited for. */
	writing->fanout.wake = pushed;
	for (bool first = true;; first = false) {
		uint32_t acked = mms_count_bits(result->acked_mask);
		uint32_t wanted = order->everywhere ? MMS_NODES_MAX : acked < needed ? needed - acked : 0;
		uint64_t asked = wanted == 0 ? 0 : ask_round(writing, wanted, first ? writing->pushed_at : mms_clock_mono());

		if (asked == 0) {
			break; /* enough, or nobody left to ask */
		}
		settle_round(writing, asked);
		if ((result->acked_mask & 1) == 0) {
			needed = at_least_two(writing, needed);
		}
		if (!failed_over && !writing->local_slow && ((asked | order->have_mask | result->acked_mask) & 1) == 0) {
			failed_over = true;
			mms_client_count(client, MMS_METRIC_failovers);
		}
	}
	mms_fanout_end(&writing->fanout);
	if (pushed) {
		mms_mailbox_settle(&client->cluster->mailbox, &ticket, result->acked_mask);
	}
	if (writing->fanout.wake) {
		mms_shm_wake(client->cluster);
	}
	if (!pushed || is_given_up(writing)) {
		hint_missing(writing);
	}
	hint_replaced(writing);
	/* With the second node of rule k out of reach, one and a hint (with its behind marker) must do. */
	if (mms_count_bits(result->acked_mask) >= (order->acks_needed < needed ? order->acks_needed : needed)) {
		return MMS_OK;
	}
	explain(writing);
	return result->foreign && result->acked_mask == 0 ? MMS_ERR_FOREIGN : MMS_ERR_NO_NODE;
}

/* "1 of 3 nodes took it (web1), mmsession.write_acks needs 2: web2: connect: Connection refused; web3: ..." */
static void explain(struct writing *writing)
{
	struct mms_write_result *result = writing->result;
	uint32_t node_count = writing->client->settings.node_count, acked = mms_count_bits(result->acked_mask);

	mms_error_set(&result->error, "%u of %u nodes took it%s", acked, node_count, acked > 0 ? " (" : ": ");
	if (acked > 0) {
		char needs[64];

		mms_explain_names(&writing->fanout, result->acked_mask, &result->error);
		(void)snprintf(needs, sizeof needs, "), %u must: ", writing->order->acks_needed);
		mms_explain_append(needs, &result->error);
	}
	for (unsigned i = 0; i < node_count; i++) {
		if ((result->acked_mask >> i & 1) == 0) {
			mms_explain_node(&writing->fanout, i, &result->error);
		}
	}
	if (result->foreign) {
		mms_explain_append("; give mmsession.prefix a value of its own", &result->error);
	}
}

static bool push(struct writing *writing, struct mms_ticket *ticket)
{
	struct mms_client *client = writing->client;
	const struct mms_write_order *order = writing->order;
	struct mms_parcel parcel = {
		.kind = order->kind,
		.key = order->key,
		.header = order->header_bytes,
		.payload = order->kind == MMS_PARCEL_PUT ? order->payload : (struct mms_slice){ NULL, 0 },
		.ttl_ms = order->ttl_ms,
		.have_mask = order->have_mask,
	};

	writing->pushed_at = mms_clock_mono();
	if (mms_mailbox_push(&client->cluster->mailbox, &parcel, writing->pushed_at, ticket)) {
		return true;
	}
	mms_client_count(client, MMS_METRIC_mailbox_full);
	return false;
}

static void build(struct writing *writing, struct mms_command *command, enum mms_parcel_kind kind,
		struct mms_slice expected)
{
	const struct mms_write_order *order = writing->order;

	mms_command_init(command);
	if (kind == MMS_PARCEL_TOUCH) {
		mms_command_touch(command, order->key, order->header_bytes, order->ttl_ms);
		return;
	}
	if (writing->tmp.len == 0) {
		writing->tmp.ptr = writing->tmp_key;
		writing->tmp.len = mms_client_tmp_key(writing->client, writing->tmp_key);
	}
	mms_command_put(command, order->key, writing->tmp, order->header_bytes, order->payload, order->ttl_ms, expected);
}

/* Do all hosts read from this node, as far as can be known? It has been up long enough for them to have found it so, and none
 * has set a marker that says otherwise. */
static bool all_read_from(const struct mms_client *client, unsigned node, struct mms_mono now)
{
	const struct mms_node_sh *sh = &client->cluster->nodes[node];

	return mms_breaker_settled(&sh->breaker, now) && atomic_load_explicit(&sh->avoided, memory_order_relaxed) == 0;
}

/* Is that so of the node that will be asked first? */
static bool is_settled(struct writing *writing, struct mms_mono now)
{
	struct mms_client *client = writing->client;

	for (unsigned i = writing->local_slow ? 1 : 0; i < client->settings.node_count; i++) {
		if (mms_client_can_write(client, i)) {
			return all_read_from(client, i, now);
		}
	}
	return true;
}

static bool is_local_first(const struct writing *writing)
{
	return !writing->local_slow && (((writing->order->have_mask & 1) != 0) || mms_client_can_write(writing->client, 0));
}

static uint32_t at_least_two(const struct writing *writing, uint32_t needed)
{
	return needed < 2 && writing->client->settings.node_count > 1 ? 2 : needed;
}

static bool ask_plainly(struct writing *writing, unsigned node)
{
	if (writing->command.part_count == 0) {
		build(writing, &writing->command, writing->order->kind, (struct mms_slice){ NULL, 0 });
	}
	return mms_fanout_ask(&writing->fanout, node, &writing->command, mms_client_wait_us(writing->client));
}

/* On the connection that watches the key; if that is gone, as any other node. */
static bool ask_watched(struct writing *writing, unsigned node)
{
	const struct mms_write_order *order = writing->order;
	struct mms_client *client = writing->client;

	mms_watch_use(client, node);
	mms_command_init(&writing->special);
	mms_command_put_watched(&writing->special, order->key, order->header_bytes, order->payload, order->ttl_ms);
	if (mms_fanout_ask(&writing->fanout, node, &writing->special, mms_client_wait_us(client))) {
		return true;
	}
	writing->watched_node = -1;
	return writing->fanout.slots[node].status == MMS_ERR_CLOSED && ask_plainly(writing, node);
}

/* Asks up to `wanted` nodes not tried yet: the local one, then peers that all hosts read from, then the others; each in the
 * configured order. */
static uint64_t ask_round(struct writing *writing, uint32_t wanted, struct mms_mono now)
{
	struct mms_client *client = writing->client;
	uint32_t node_count = client->settings.node_count;
	uint64_t asked = 0;

	for (unsigned k = 0; k < 2 * node_count && mms_count_bits(asked) < wanted; k++) {
		unsigned i = k % node_count;
		uint64_t bit = UINT64_C(1) << i;
		bool early = i == 0 ? !writing->local_slow : all_read_from(client, i, now);

		if ((writing->tried_mask & bit) != 0 || early != (k < node_count) || !mms_client_can_write(client, i)) {
			continue;
		}
		writing->tried_mask |= bit;
		if ((int)i == writing->watched_node ? ask_watched(writing, i) : ask_plainly(writing, i)) {
			asked |= bit;
		}
	}
	return asked;
}

/* A SCRIPT FLUSH on all nodes: new connections load the scripts, all at the same time, so that it costs one round trip and not one
 * for each node. After a watched put it is seen later (clear_the_way()). */
static void repeat_without_scripts(struct writing *writing, uint64_t asked)
{
	uint64_t repeated = 0;

	for (unsigned i = 0; i < writing->client->settings.node_count; i++) {
		const struct mms_fanout_slot *slot = &writing->fanout.slots[i];

		if ((asked >> i & 1) == 0 || (int)i == writing->watched_node || slot->state != MMS_FANOUT_ANSWERED
				|| mms_reply_classify(slot->replies[slot->replies_wanted - 1]) != MMS_CLASS_NOSCRIPT
				|| (slot->replies_wanted > 1 && mms_reply_type(slot->replies[0]) != MMS_REPLY_STATUS)) {
			continue;
		}
		mms_client_count(writing->client, MMS_METRIC_noscripts);
		mms_conn_close(writing->client->conns[i]);
		writing->reloaded_mask |= UINT64_C(1) << i;
		repeated |= ask_plainly(writing, i) ? UINT64_C(1) << i : 0;
	}
	if (repeated != 0) {
		mms_fanout_wait(&writing->fanout, repeated);
	}
}

static void settle_round(struct writing *writing, uint64_t asked)
{
	mms_fanout_wait(&writing->fanout, asked);
	repeat_without_scripts(writing, asked);
	for (unsigned i = 0; i < writing->client->settings.node_count; i++) {
		if ((asked >> i & 1) != 0) {
			judge(writing, i);
		}
	}
}

/* One more exchange with the same node. */
static bool repeat(struct writing *writing, unsigned node, struct mms_put_result *outcome)
{
	struct mms_fanout_slot *slot = &writing->fanout.slots[node];

	if (mms_fanout_ask(&writing->fanout, node, &writing->special, mms_client_wait_us(writing->client))) {
		mms_fanout_wait(&writing->fanout, UINT64_C(1) << node);
	}
	if (slot->state != MMS_FANOUT_ANSWERED) {
		writing->may_arrive = writing->may_arrive || slot->status != MMS_ERR_CONNECT;
		return false;
	}
	if (slot->replies_wanted == 1) {
		mms_put_parse(NULL, slot->replies[0], outcome);
	} else {
		mms_put_parse(slot->replies[0], slot->replies[1], outcome);
	}
	return true;
}

/* The script is not there any more (SCRIPT FLUSH, restart behind a proxy): a new connection loads it. */
static bool repeat_without_script(struct writing *writing, unsigned node, struct mms_put_result *outcome)
{
	mms_client_count(writing->client, MMS_METRIC_noscripts);
	mms_conn_close(writing->client->conns[node]);
	build(writing, &writing->special, writing->order->kind, (struct mms_slice){ NULL, 0 });
	return repeat(writing, node, outcome);
}

/* Handles what stands in the way: true when outcome is final. */
static bool clear_the_way(struct writing *writing, unsigned node, struct mms_put_result *outcome)
{
	struct mms_slice expected = { (const char *)outcome->header, 0 };
	unsigned char damaged[MMS_RECORD_HEADER_SIZE];
	struct mms_record_header newer;

	if (outcome->outcome == MMS_PUT_NOSCRIPT && (writing->reloaded_mask >> node & 1) == 0
			&& !repeat_without_script(writing, node, outcome)) {
		return false;
	}
	if (outcome->outcome == MMS_PUT_LACKING) {
		build(writing, &writing->special, MMS_PARCEL_PUT, (struct mms_slice){ NULL, 0 });
		if (!repeat(writing, node, outcome)) {
			return false;
		}
	}
	expected.len = outcome->header_len;
	if ((outcome->outcome == MMS_PUT_NEWER || outcome->outcome == MMS_PUT_FOREIGN) && expected.len > 0
			&& (outcome->damaged
				|| mms_hlc_decode(expected, writing->order->key, mms_hlc_now(&writing->client->shm->anchor), &newer) == MMS_RECORD_DAMAGED)) {
		mms_client_count(writing->client, MMS_METRIC_corrupt_records);
		memcpy(damaged, outcome->header, sizeof damaged);
		expected.ptr = (const char *)damaged;
		build(writing, &writing->special, MMS_PARCEL_PUT, expected);
		writing->replaced_mask |= UINT64_C(1) << node;
		return repeat(writing, node, outcome);
	}
	return true;
}

/* What the watched put came to; false when nobody knows. What it did not settle, a conditional put does. */
static bool judge_watched(struct writing *writing, unsigned node, struct mms_put_result *outcome)
{
	const struct mms_fanout_slot *slot = &writing->fanout.slots[node];

	if (slot->state == MMS_FANOUT_ANSWERED) {
		mms_put_parse_watched(slot->replies[0], slot->replies[1], outcome);
		/* The SET was queued and the EXEC refused, or there was no transaction at all: a matter of permissions. */
		writing->client->watches[node].refused = !slot->led || (outcome->outcome == MMS_PUT_ERROR
				&& (outcome->error_class == MMS_CLASS_PERMISSION || mms_reply_type(slot->replies[0]) == MMS_REPLY_STATUS));
	} else if (slot->status != MMS_ERR_CLOSED) {
		return false;
	}
	if (slot->state == MMS_FANOUT_ANSWERED && outcome->outcome != MMS_PUT_CHANGED
			&& !writing->client->watches[node].refused) {
		return true;
	}
	if (writing->client->watches[node].refused) {
		mms_conn_close(writing->client->conns[node]); /* may be left within a transaction */
	}
	build(writing, &writing->special, writing->order->kind, (struct mms_slice){ NULL, 0 });
	return repeat(writing, node, outcome);
}

static void judge(struct writing *writing, unsigned node)
{
	struct mms_client *client = writing->client;
	struct mms_fanout_slot *slot = &writing->fanout.slots[node];
	struct mms_write_result *result = writing->result;
	struct mms_put_result outcome;
	struct mms_record_header newer;
	struct mms_slice stands;
	struct mms_error error;

	if (slot->state != MMS_FANOUT_ANSWERED) {
		writing->may_arrive = writing->may_arrive || slot->status != MMS_ERR_CONNECT;
	}
	if ((int)node == writing->watched_node) {
		writing->watched_node = -1;
		if (!judge_watched(writing, node, &outcome)) {
			return;
		}
	} else if (slot->state != MMS_FANOUT_ANSWERED) {
		return;
	} else if (writing->order->kind == MMS_PARCEL_TOUCH) {
		mms_put_parse(NULL, slot->replies[0], &outcome);
	} else {
		mms_put_parse(slot->replies[0], slot->replies[1], &outcome);
	}
	if (!clear_the_way(writing, node, &outcome)) {
		return;
	}
	switch (outcome.outcome) {
	case MMS_PUT_STORED:
	case MMS_PUT_EQUAL:
		result->acked_mask |= UINT64_C(1) << node;
		result->over_unread = result->over_unread || outcome.over_unread;
		break;
	case MMS_PUT_NEWER:
		result->acked_mask |= UINT64_C(1) << node;
		stands = (struct mms_slice){ (const char *)outcome.header, outcome.header_len };
		if (mms_record_decode(stands, writing->order->key, &newer) == MMS_RECORD_GOOD
				&& (!result->met_newer
					|| mms_version_compare(&newer.version, &result->newer.version) > 0)) {
			result->met_newer = true;
			result->newer = newer;
		}
		break;
	case MMS_PUT_FOREIGN:
		result->foreign = true;
		mms_client_count_foreign(client, node);
		mms_error_set(&error, "node %s (%s): the session's key holds something that is not mmsession's",
				client->settings.nodes[node].name, client->settings.nodes[node].address);
		mms_fanout_blame(&writing->fanout, node, &error);
		break;
	default:
		mms_fanout_refused(&writing->fanout, node, outcome.error_class, outcome.error_text);
		break;
	}
}

static void add_hint(struct writing *writing, uint64_t missing)
{
	struct mms_client *client = writing->client;
	struct mms_mono now = mms_clock_mono();
	struct mms_mono until = { now.us + (int64_t)writing->order->ttl_ms * 1000 };

	if (!mms_hints_add(&client->cluster->hints, writing->order->key, writing->order->header_bytes, missing, until, now)) {
		mms_client_count(client, MMS_METRIC_hint_overflows);
	}
}

/* The mailbox did not take it: were this worker killed between two nodes, nobody would know. So all that may be sent it are
 * noted first; those that acknowledge are taken out again. */
static void hint_first(struct writing *writing)
{
	struct mms_client *client = writing->client;

	for (unsigned i = 0; i < client->settings.node_count; i++) {
		if (mms_client_can_write(client, i)) {
			writing->hinted_mask = mms_client_all_mask(client) & ~writing->order->have_mask;
		}
	}
	if (writing->hinted_mask != 0) {
		add_hint(writing, writing->hinted_mask);
	}
}

/* What acknowledged needs no hint any more; what did not is noted, and the replicator delivers. */
static void hint_missing(struct writing *writing)
{
	struct mms_client *client = writing->client;
	uint64_t acked = writing->result->acked_mask, missing = mms_client_all_mask(client) & ~acked;
	struct mms_record_header header;

	for (unsigned i = 0; i < client->settings.node_count; i++) {
		if ((writing->hinted_mask & acked) >> i & 1 && mms_record_decode((struct mms_slice){
				(const char *)writing->order->header_bytes, MMS_RECORD_HEADER_SIZE }, writing->order->key, &header)
				== MMS_RECORD_GOOD) {
			mms_hints_settle(&client->cluster->hints, writing->order->key, i, &header.version);
		}
	}
	/* Nobody took it as far as is known; what was sent to a silent node may arrive later, there alone. */
	if (missing == 0 || (acked == 0 && !writing->may_arrive && !writing->order->everywhere && writing->hinted_mask == 0)) {
		return;
	}
	add_hint(writing, missing); /* once more: the replicator may have found it nowhere, and dropped it, before it arrived */
	mms_client_count(client, MMS_METRIC_hints_made);
	mms_shm_kick(client->cluster);
}

/* Was this process stopped, or without a processor, for so long that the replicator may have gone on without waiting for it? It may
 * have made hints of the entry, found the record nowhere, and dropped them, before it was sent. */
static bool is_given_up(const struct writing *writing)
{
	return mms_clock_mono().us - writing->pushed_at.us >= mms_config_patience_us(&writing->client->settings);
}

/* What was damaged may have been newer, and sound on another node: all are compared. */
static void hint_replaced(struct writing *writing)
{
	struct mms_client *client = writing->client;

	if (writing->replaced_mask != 0 && client->settings.node_count > 1) {
		add_hint(writing, writing->replaced_mask);
		mms_client_count(client, MMS_METRIC_hints_made);
		mms_shm_kick(client->cluster);
	}
}
