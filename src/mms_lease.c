/* The session lock. The difficulty is not to hold up anybody: a node that fails is passed over within the same attempt,
 * one that was silent may have taken the lock all the same and is told so later, and who waits asks again after pauses
 * that grow. A release is sent and not waited for; the connection drops its answer (mms_conn_send_unheard()). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* ppoll */
#endif

#include "mms_lease.h"

#include <poll.h>
#include <string.h>

#include "mms_command.h"
#include "mms_fanout.h"
#include "mms_meeting.h"

#define PAUSE_MIN_US 2000
#define PAUSE_MAX_US 50000
#define RELEASE_WAIT_US 20000 /* where the connection has to be made again */

#define LOCK_KEY_MAX (MMS_KEY_MAX + 6)

enum attempt { TAKEN, BUSY, NO_NODE };

/* Lives in the client's scratch. */
struct taking {
	struct mms_client *client;
	struct mms_lease *lease;
	struct mms_slice key;                   /* of the lock */
	char key_bytes[LOCK_KEY_MAX];
	char holder[MMS_HOST_ID_MAX + 1];       /* host id of who has it, "" = unknown */
	struct mms_command command;
	struct mms_fanout fanout;
};

_Static_assert(sizeof(struct taking) <= MMS_CLIENT_SCRATCH, "a taking lives in the client's scratch");

static struct taking *begin(struct mms_client *client, struct mms_lease *lease, struct mms_slice session_key);
static enum mms_status make_value(struct mms_client *client, struct mms_lease *lease);
static enum attempt attempt(struct taking *taking, struct mms_mono deadline);
static int next_home(const struct taking *taking, uint64_t tried_mask);
static enum attempt take_on(struct taking *taking, unsigned node);
static bool prolong(struct taking *taking, unsigned node, struct mms_boot *asked_at);
static bool ask(struct taking *taking, unsigned node);
static bool is_ours(const struct taking *taking, unsigned node);
static void refused(struct taking *taking, unsigned node);
static enum attempt judge(struct taking *taking, unsigned node);
static void release_on(struct taking *taking, unsigned node);
static void sleep_us(int64_t us);

void mms_lease_init(struct mms_lease *lease)
{
	lease->had = false;
	lease->taken = false;
	lease->lost = false;
	lease->waited = false;
	lease->doubt_mask = 0;
	lease->value_len = 0;
}

enum mms_status mms_lease_take(struct mms_client *client, struct mms_lease *lease, struct mms_slice key, uint32_t wait_ms,
		struct mms_error *error)
{
	struct taking *taking = begin(client, lease, key);
	struct mms_mono now = mms_clock_mono(), until = { now.us + (int64_t)wait_ms * 1000 };
	int64_t pause_us = PAUSE_MIN_US;
	enum attempt result;

	if (lease->taken) {
		lease->doubt_mask |= UINT64_C(1) << lease->node; /* it may stand there still, also if another one is home now */
	}
	if (make_value(client, lease) != MMS_OK) {
		mms_error_set(error, "no random bytes for a session lock");
		return MMS_ERR_NO_NODE;
	}
	lease->taken = false;
	mms_client_await_names(client, mms_client_deadline(client));
	for (;;) {
		int64_t left_us, next_us;

		result = attempt(taking, mms_client_deadline(client));
		left_us = until.us - mms_clock_mono().us;
		if (result != BUSY || left_us <= 0) {
			break;
		}
		if (!lease->waited) {
			lease->waited = true;
			mms_client_count(client, MMS_METRIC_lock_waits);
		}
		/* Those who wait must not ask in step. */
		next_us = pause_us / 2 + (int64_t)(mms_client_random(client) % (uint32_t)pause_us);
		sleep_us(next_us < left_us ? next_us : left_us);
		pause_us = pause_us * 3 / 2 < PAUSE_MAX_US ? pause_us * 3 / 2 : PAUSE_MAX_US;
	}
	if (result == BUSY) {
		bool known = taking->holder[0] != '\0';

		mms_error_set(error, "session lock: another request of this session%s%s%s has held it for %u ms "
				"(mmsession.lock_wait_ms): let requests end their sessions early by session_write_close(), or wait longer", known ? " (on host " : "",
				taking->holder, known ? ")" : "", wait_ms);
		return MMS_ERR_TIMEOUT;
	}
	if (result == NO_NODE) {
		*error = taking->fanout.error;
	}
	return result == TAKEN ? MMS_OK : MMS_ERR_NO_NODE;
}

bool mms_lease_holds(const struct mms_client *client, const struct mms_lease *lease)
{
	return lease->taken && lease->forks == client->forks && mms_clock_boot().ms < lease->until.ms;
}

void mms_lease_release(struct mms_client *client, struct mms_lease *lease, struct mms_slice key)
{
	if (lease->value_len > 0 && lease->forks == client->forks && (lease->taken || lease->doubt_mask != 0)) {
		struct taking *taking = begin(client, lease, key);
		uint64_t mask = lease->doubt_mask;

		if (mms_lease_holds(client, lease)) {
			mask |= UINT64_C(1) << lease->node;
		}
		for (unsigned i = 0; mask != 0 && i < client->settings.node_count; i++) {
			if ((mask >> i & 1) != 0 && mms_client_can_write(client, i)) {
				release_on(taking, i);
			}
		}
	}
	mms_lease_init(lease);
}

/* `<prefix>:lock:<id>`: no session id has a colon. */
static struct taking *begin(struct mms_client *client, struct mms_lease *lease, struct mms_slice session_key)
{
	struct taking *taking = client->scratch;
	size_t prefix_len = strlen(client->settings.prefix);
	struct mms_slice id = mms_slice_part(session_key, prefix_len, session_key.len);

	memcpy(taking->key_bytes, client->settings.prefix, prefix_len);
	memcpy(taking->key_bytes + prefix_len, ":lock:", 6);
	memcpy(taking->key_bytes + prefix_len + 6, id.ptr, id.len);
	taking->key = (struct mms_slice){ taking->key_bytes, prefix_len + 6 + id.len };
	taking->client = client;
	taking->lease = lease;
	taking->holder[0] = '\0';
	return taking;
}

/* Once for a lease and all its attempts: what a silent node may have taken is then recognised. Anew in a forked child. */
static enum mms_status make_value(struct mms_client *client, struct mms_lease *lease)
{
	size_t host_len = strlen(client->settings.host_id);
	uint64_t random[2];
	char *end;

	if (lease->value_len > 0 && lease->forks == client->forks) {
		return MMS_OK;
	}
	if (mms_random_bytes(random, sizeof random) != MMS_OK) {
		return MMS_ERR_LOCAL;
	}
	end = mms_hex_write(lease->value, random[0], 16);
	end = mms_hex_write(end, random[1], 16);
	*end++ = ' ';
	memcpy(end, client->settings.host_id, host_len);
	lease->value_len = (uint32_t)(end - lease->value) + (uint32_t)host_len;
	lease->forks = client->forks;
	lease->doubt_mask = 0;
	return MMS_OK;
}

/* Asks the session's home, and the next one in its order for as long as one fails. */
static enum attempt attempt(struct taking *taking, struct mms_mono deadline)
{
	struct mms_client *client = taking->client;
	enum attempt result = NO_NODE;
	uint64_t tried_mask = 0, usable_mask = 0;
	int node;

	mms_fanout_begin(&taking->fanout, client, deadline);
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		usable_mask |= mms_client_can_write(client, i) ? UINT64_C(1) << i : 0;
	}
	mms_meeting_run(&taking->fanout, usable_mask); /* their ids decide who is home; asks only strangers */
	while (result == NO_NODE && (node = next_home(taking, tried_mask)) >= 0) {
		tried_mask |= UINT64_C(1) << node;
		result = take_on(taking, (unsigned)node);
	}
	mms_fanout_end(&taking->fanout);
	return result;
}

/* MurmurHash3's finalizer. */
static uint64_t mix(uint64_t value)
{
	value = (value ^ value >> 33) * UINT64_C(0xff51afd7ed558ccd);
	value = (value ^ value >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return value ^ value >> 33;
}

static uint64_t hash_bytes(struct mms_slice bytes)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	for (size_t i = 0; i < bytes.len; i++) {
		hash = (hash ^ (unsigned char)bytes.ptr[i]) * UINT64_C(0x100000001b3);
	}
	return hash;
}

/* Rendezvous hashing (Thaler and Ravishankar, 1998): the node whose id goes highest with this key. -1 = nobody is left.
 * A node that did not say its id yet is taken when no other is left: hosts may call it by different addresses. What other
 * hosts' behind markers say is left aside: they also stand for what a healthy node has not been given yet, and come and
 * go. */
static int next_home(const struct taking *taking, uint64_t tried_mask)
{
	struct mms_client *client = taking->client;
	uint64_t key_hash = hash_bytes(taking->key), best = 0;
	bool best_has_id = false;
	int home = -1;

	for (unsigned i = 0; i < client->settings.node_count; i++) {
		uint64_t id = atomic_load(&client->cluster->nodes[i].node_id), score;
		bool has_id = id != 0;

		if ((tried_mask >> i & 1) != 0 || !mms_client_can_write(client, i)) {
			continue;
		}
		if (!has_id) {
			id = hash_bytes(mms_slice_of(client->settings.nodes[i].address));
		}
		score = mix(key_hash ^ mix(id));
		if (home < 0 || (has_id == best_has_id ? score > best : has_id)) {
			home = (int)i;
			best = score;
			best_has_id = has_id;
		}
	}
	return home;
}

static uint32_t ttl_ms(const struct taking *taking)
{
	uint32_t wanted = taking->client->settings.lock_ttl_ms;

	return wanted > 0 ? wanted : MMS_LEASE_TTL_MS;
}

/* From a node that says so: it is ours from when it was asked. */
static enum attempt took(struct taking *taking, unsigned node, struct mms_boot asked_at)
{
	struct mms_lease *lease = taking->lease;

	lease->had = true;
	lease->taken = true;
	lease->node = node;
	lease->until.ms = asked_at.ms + ttl_ms(taking);
	lease->doubt_mask &= ~(UINT64_C(1) << node);
	return TAKEN;
}

/* What is ours there already is about to end (our lease has run out by our clock), or nobody knows since when it stands
 * (the node was silent): it is prolonged, if it still is ours by then. */
static enum attempt take_on(struct taking *taking, unsigned node)
{
	struct mms_slice value = { taking->lease->value, taking->lease->value_len };

	for (unsigned turn = 0; turn < 2; turn++) {
		struct mms_boot asked_at = mms_clock_boot();

		mms_command_init(&taking->command);
		mms_command_lease(&taking->command, taking->key, value, ttl_ms(taking));
		if (!ask(taking, node)) {
			return NO_NODE;
		}
		if (!is_ours(taking, node)) {
			enum attempt result = judge(taking, node);

			return result == TAKEN ? took(taking, node, asked_at) : result;
		}
		if (!prolong(taking, node, &asked_at)) {
			return NO_NODE;
		}
		if (mms_reply_integer(taking->fanout.slots[node].replies[0]) == 1) {
			return took(taking, node, asked_at);
		}
	}
	return BUSY;
}

/* True when the node said whether it still was ours. Its scripts may have been flushed: a new connection loads them. */
static bool prolong(struct taking *taking, unsigned node, struct mms_boot *asked_at)
{
	struct mms_slice value = { taking->lease->value, taking->lease->value_len };

	for (unsigned turn = 0; turn < 2; turn++) {
		const struct mms_reply *reply;

		*asked_at = mms_clock_boot();
		mms_command_init(&taking->command);
		mms_command_replace_if(&taking->command, taking->key, value, value, ttl_ms(taking));
		if (!ask(taking, node)) {
			return false;
		}
		reply = taking->fanout.slots[node].replies[0];
		if (mms_reply_type(reply) != MMS_REPLY_ERROR) {
			return true;
		}
		if (mms_reply_classify(reply) != MMS_CLASS_NOSCRIPT || turn > 0) {
			break;
		}
		mms_client_count(taking->client, MMS_METRIC_noscripts);
		mms_conn_close(taking->client->conns[node]);
	}
	refused(taking, node);
	return false;
}

/* Sends the command; true when it was answered. */
static bool ask(struct taking *taking, unsigned node)
{
	const struct mms_fanout_slot *slot = &taking->fanout.slots[node];

	if (mms_fanout_ask(&taking->fanout, node, &taking->command, (int64_t)taking->client->settings.read_timeout_ms * 1000)) {
		mms_fanout_wait(&taking->fanout, UINT64_C(1) << node);
	}
	if (slot->state != MMS_FANOUT_ANSWERED && slot->status != MMS_ERR_CONNECT) {
		taking->lease->doubt_mask |= UINT64_C(1) << node;
	}
	return slot->state == MMS_FANOUT_ANSWERED;
}

static bool is_ours(const struct taking *taking, unsigned node)
{
	const struct mms_fanout_slot *slot = &taking->fanout.slots[node];
	struct mms_slice ours = { taking->lease->value, taking->lease->value_len };

	return mms_reply_type(slot->replies[0]) == MMS_REPLY_NIL && mms_reply_type(slot->replies[1]) == MMS_REPLY_STRING
			&& mms_slice_equal_constant_time(mms_reply_text(slot->replies[1]), ours);
}

/* "<token> <host id>" */
static void note_holder(struct taking *taking, struct mms_slice value)
{
	size_t blank = mms_slice_find(value, ' ');

	if (blank == MMS_LEASE_TOKEN_LEN) {
		mms_text_copy(taking->holder, sizeof taking->holder, mms_slice_part(value, blank + 1, value.len));
	}
}

/* The first reply is an error of the server's. */
static void refused(struct taking *taking, unsigned node)
{
	const struct mms_reply *reply = taking->fanout.slots[node].replies[0];
	char words[128];

	mms_reply_class_words(reply, words, sizeof words);
	mms_fanout_refused(&taking->fanout, node, mms_reply_classify(reply), words);
}

static enum attempt judge(struct taking *taking, unsigned node)
{
	const struct mms_fanout_slot *slot = &taking->fanout.slots[node];
	enum mms_reply_type set = mms_reply_type(slot->replies[0]), got = mms_reply_type(slot->replies[1]);

	if (set == MMS_REPLY_ERROR) {
		refused(taking, node);
		return NO_NODE;
	}
	if (set == MMS_REPLY_STATUS) {
		return TAKEN;
	}
	if (got == MMS_REPLY_STRING) {
		note_holder(taking, mms_reply_text(slot->replies[1]));
	}
	return got == MMS_REPLY_ERROR ? NO_NODE : BUSY; /* an error: no string stands there, so it is not ours to wait for */
}

static void release_on(struct taking *taking, unsigned node)
{
	struct mms_conn *conn = taking->client->conns[node];
	struct mms_slice value = { taking->lease->value, taking->lease->value_len };
	struct mms_error error;

	mms_command_init(&taking->command);
	mms_command_release(&taking->command, taking->key, value);
	/* Looked at first: what is sent to a server that has closed the connection meanwhile is lost without a word. */
	if (mms_conn_state(conn) == MMS_CONN_OPEN && mms_conn_outstanding(conn) == 0
			&& mms_conn_receive(conn, &error) == MMS_OK) {
		(void)mms_conn_send_unheard(conn, &taking->command, &error);
		return;
	}
	mms_fanout_begin(&taking->fanout, taking->client, (struct mms_mono){ mms_clock_mono().us + RELEASE_WAIT_US });
	if (mms_fanout_ask(&taking->fanout, node, &taking->command, RELEASE_WAIT_US)) {
		mms_fanout_wait(&taking->fanout, UINT64_C(1) << node);
	}
	mms_fanout_end(&taking->fanout);
}

/* A signal ends it early: then it is asked a little earlier. */
static void sleep_us(int64_t us)
{
	struct timespec pause = { us / 1000000, us % 1000000 * 1000 };

	(void)ppoll(NULL, 0, &pause, NULL);
}
