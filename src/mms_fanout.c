/* The poll loop of the request thread. One poll for all nodes; a reply is parsed when its socket has bytes. The
 * difficulty is time: each node's wait, the connect timeout and the common deadline are separate bounds, and running into
 * the first two is that node's fault, running into the last one is not. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* ppoll */
#endif

#include "mms_fanout.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <string.h>

#define PROGRESS_WAIT_US 20000 /* for the next bytes of an answer that has begun */
#define PROGRESS_BYTES 16384   /* that must have moved for it: a trickle is no progress */

static void fail(struct mms_fanout *fanout, unsigned node, enum mms_status status, struct mms_error *error);
static bool send_to(struct mms_fanout *fanout, unsigned node);
static void collect(struct mms_fanout *fanout, unsigned node);
static void give_up_late(struct mms_fanout *fanout, struct mms_mono now);
static bool spin(struct mms_fanout *fanout, uint64_t mask);
static int poll_once(struct mms_fanout *fanout, struct mms_mono now);
static void abandon(struct mms_fanout *fanout, uint64_t mask);

void mms_fanout_begin(struct mms_fanout *fanout, struct mms_client *client, struct mms_mono deadline)
{
	fanout->client = client;
	fanout->deadline = deadline;
	fanout->patient = fanout->wake = false;
	fanout->waiting_mask = 0;
	fanout->asked_mask = 0;
	fanout->answered_mask = 0;
	fanout->error.text[0] = '\0';
	fanout->blamed_mask = 0;
	memset(fanout->slots, 0, client->settings.node_count * sizeof fanout->slots[0]);
}

static struct mms_mono earlier(struct mms_mono a, struct mms_mono b)
{
	return a.us < b.us ? a : b;
}

bool mms_fanout_ask(struct mms_fanout *fanout, unsigned node, const struct mms_command *command, int64_t wait_us)
{
	struct mms_fanout_slot *slot = &fanout->slots[node];
	struct mms_mono now = mms_clock_mono();

	for (unsigned i = 0; i < MMS_FANOUT_REPLIES; i++) {
		mms_reply_free(slot->replies[i]);
	}
	*slot = (struct mms_fanout_slot){
		.state = MMS_FANOUT_WAITING,
		.replies_wanted = command->reply_count - command->leading_count,
		.leading_left = command->leading_count,
		.led = true,
		.asked_at = now,
		.give_up_at = earlier((struct mms_mono){ now.us + wait_us }, fanout->deadline),
		.limit_at = earlier((struct mms_mono){ now.us
				+ (int64_t)fanout->client->settings.read_timeout_ms * 1000 }, fanout->deadline),
		.command = command,
	};
	fanout->asked_mask |= UINT64_C(1) << node;
	fanout->waiting_mask |= UINT64_C(1) << node;
	return send_to(fanout, node);
}

void mms_fanout_wait(struct mms_fanout *fanout, uint64_t mask)
{
	if ((fanout->waiting_mask & mask) == 0 || spin(fanout, mask)) {
		return;
	}
	if (fanout->wake) {
		fanout->wake = false;
		mms_shm_wake(fanout->client->cluster);
	}
	while ((fanout->waiting_mask & mask) != 0) {
		struct mms_mono now = mms_clock_mono();

		/* In this order: an answer that came while this thread was not scheduled is there, however late it is now. */
		if (poll_once(fanout, now) < 0) {
			abandon(fanout, mask);
			return;
		}
		give_up_late(fanout, now);
	}
}

/* This process can't wait now (ENOMEM). Nobody is to blame, and nothing may go on in a later wait: commands live with their
 * askers. */
static void abandon(struct mms_fanout *fanout, uint64_t mask)
{
	const struct mms_settings *settings = &fanout->client->settings;

	for (unsigned i = 0; i < settings->node_count; i++) {
		struct mms_error error;

		if ((fanout->waiting_mask & mask) >> i & 1) {
			mms_error_set(&error, "node %s (%s): this process can't wait for an answer: %s", settings->nodes[i].name,
					settings->nodes[i].address, strerror(errno));
			fail(fanout, i, MMS_ERR_LOCAL, &error);
		}
	}
}

void mms_fanout_end(struct mms_fanout *fanout)
{
	for (uint64_t left = fanout->asked_mask; left != 0; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);
		struct mms_fanout_slot *slot = &fanout->slots[i];

		if (slot->state == MMS_FANOUT_WAITING) {
			mms_conn_close(fanout->client->conns[i]);
		}
		for (unsigned k = 0; k < MMS_FANOUT_REPLIES; k++) {
			if (slot->replies[k] != NULL) {
				mms_reply_free(slot->replies[k]);
				slot->replies[k] = NULL;
			}
		}
		slot->state = MMS_FANOUT_IDLE;
	}
	fanout->waiting_mask = 0;
}

void mms_fanout_blame(struct mms_fanout *fanout, unsigned node, const struct mms_error *error)
{
	fanout->error = *error;
	fanout->errors[node] = *error;
	fanout->blamed_mask |= UINT64_C(1) << node;
}

void mms_fanout_refused(struct mms_fanout *fanout, unsigned node, enum mms_reply_class refusal, const char *words)
{
	struct mms_error error;

	mms_reply_class_tell(&fanout->client->settings.nodes[node], words, &error);
	mms_fanout_blame(fanout, node, &error);
	mms_client_refused(fanout->client, node, refusal, &error);
}

struct mms_reply *mms_fanout_take_reply(struct mms_fanout *fanout, unsigned node, unsigned index)
{
	struct mms_reply *reply = fanout->slots[node].replies[index];

	fanout->slots[node].replies[index] = NULL;
	return reply;
}

/* Once: for an idle connection that the server had closed, and for a password that was changed in its file meanwhile. */
static bool try_again(struct mms_fanout *fanout, unsigned node, enum mms_status status)
{
	struct mms_client *client = fanout->client;
	bool idle = status == MMS_ERR_CLOSED;
	bool refused = status == MMS_ERR_REFUSED && mms_conn_refusal(client->conns[node]) == MMS_CLASS_AUTH;

	if (fanout->slots[node].retried || fanout->slots[node].command->bound || (!idle && !refused)) {
		return false;
	}
	fanout->slots[node].retried = true;
	return idle || mms_client_refresh_password(client);
}

static bool send_to(struct mms_fanout *fanout, unsigned node)
{
	struct mms_client *client = fanout->client;
	enum mms_status status;
	struct mms_error error;
	struct mms_conn *conn = client->conns[node];

	mms_client_limit(client, node, fanout->slots[node].command->any_length);
	if (fanout->slots[node].command->bound) {
		status = mms_conn_state(conn) == MMS_CONN_OPEN && mms_client_connected(client, node) ? MMS_OK : MMS_ERR_CLOSED;
		error.text[0] = '\0';
	} else {
		conn = mms_client_connect(client, node, &status, &error);
		fanout->slots[node].handshake = client->fresh[node] && client->settings.nodes[node].scheme == MMS_SCHEME_TLS;
	}
	if (status == MMS_OK) {
		status = mms_conn_send(conn, fanout->slots[node].command, &error);
		fanout->slots[node].moved_bytes = mms_conn_moved_bytes(conn);
	}
	if (try_again(fanout, node, status)) {
		return send_to(fanout, node);
	}
	if (status != MMS_OK) {
		fail(fanout, node, status, &error);
		return false;
	}
	return true;
}

static void fail(struct mms_fanout *fanout, unsigned node, enum mms_status status, struct mms_error *error)
{
	struct mms_fanout_slot *slot = &fanout->slots[node];

	if (status == MMS_ERR_TOO_LARGE && !slot->command->any_length) {
		status = MMS_ERR_PROTOCOL;
	}
	slot->state = MMS_FANOUT_FAILED;
	slot->status = status;
	fanout->waiting_mask &= ~(UINT64_C(1) << node);
	if (slot->command->bound && status == MMS_ERR_CLOSED) {
		mms_conn_close(fanout->client->conns[node]);
		return;
	}
	mms_fanout_blame(fanout, node, error);
	mms_client_fault(fanout->client, node, status, mms_conn_refusal(fanout->client->conns[node]), error);
}

/* Until when this node is waited for, as things stand. */
static struct mms_mono limit_of(const struct mms_fanout *fanout, unsigned node)
{
	const struct mms_fanout_slot *slot = &fanout->slots[node];
	const struct mms_conn *conn = fanout->client->conns[node];
	struct mms_mono limit = fanout->answered_mask != 0 ? slot->give_up_at : slot->limit_at;
	int64_t connect_us = (int64_t)fanout->client->settings.connect_timeout_ms * 1000;

	if (mms_conn_state(conn) == MMS_CONN_CONNECTING && !mms_conn_was_taken(conn)) {
		return earlier(limit, (struct mms_mono){ slot->asked_at.us + connect_us });
	}
	return slot->handshake ? earlier((struct mms_mono){ limit.us + connect_us }, fanout->deadline) : limit;
}

static void give_up_late(struct mms_fanout *fanout, struct mms_mono now)
{
	const struct mms_settings *settings = &fanout->client->settings;

	for (uint64_t left = fanout->waiting_mask; left != 0; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);
		struct mms_fanout_slot *slot = &fanout->slots[i];
		const struct mms_conn *conn = fanout->client->conns[i];
		bool connecting = mms_conn_state(conn) == MMS_CONN_CONNECTING;
		struct mms_error error;

		if (now.us < limit_of(fanout, i).us) {
			continue;
		}
		mms_error_set(&error, "node %s (%s): %s%sno answer within %lld ms", settings->nodes[i].name, settings->nodes[i].address,
				connecting ? mms_conn_stage(conn) : "", connecting ? ": " : "",
				(long long)((now.us - slot->asked_at.us) / 1000));
		/* What it cost counts: the next wait is a longer one, and a local node that is slow is left out (decision 0012). */
		mms_breaker_late(&fanout->client->cluster->nodes[i].breaker, (uint32_t)(now.us - slot->asked_at.us));
		if (now.us >= fanout->deadline.us && now.us - slot->asked_at.us
				< (int64_t)settings->connect_timeout_ms * 1000) {
			/* Asked so late that the operation's deadline came first: it says nothing about the node. */
			fail(fanout, i, MMS_ERR_LOCAL, &error);
			continue;
		}
		/* Who has taken the connection is late, not out of reach: many handshakes at once take their time. */
		fail(fanout, i, connecting && !mms_conn_was_taken(conn) ? MMS_ERR_CONNECT : MMS_ERR_TIMEOUT, &error);
	}
}

/* What the slowest of these nodes usually takes; UINT32_MAX while a connection is being made. */
static uint32_t usual_latency_us(const struct mms_fanout *fanout, uint64_t mask)
{
	uint32_t longest = 0;

	for (unsigned i = 0; i < fanout->client->settings.node_count; i++) {
		uint32_t latency_us;

		if ((mask >> i & 1) == 0) {
			continue;
		}
		latency_us = mms_conn_state(fanout->client->conns[i]) == MMS_CONN_CONNECTING ? UINT32_MAX
				: atomic_load_explicit(&fanout->client->cluster->nodes[i].breaker.latency_us, memory_order_relaxed);
		longest = latency_us > longest ? latency_us : longest;
	}
	return longest;
}

/* True when all nodes of mask are done with. Nobody is given up here: it is over long before any node's wait is. */
static bool spin(struct mms_fanout *fanout, uint64_t mask)
{
	struct mms_client *client = fanout->client;
	struct mms_mono now;
	int64_t until_us;
	bool answered = false;

	if (!mms_spin_begin(&client->spin, usual_latency_us(fanout, fanout->waiting_mask & mask))) {
		return false;
	}
	now = mms_clock_mono();
	until_us = now.us + client->spin.limit_us;
	for (unsigned round = 0; round < MMS_SPIN_ROUNDS_MAX && now.us < until_us; round++) {
		/* Straight to the sockets: one that has nothing says so for less than a poll, and one that has needs none. */
		for (uint64_t left = fanout->waiting_mask; left != 0; left &= left - 1) {
			if (mms_conn_state(client->conns[__builtin_ctzll(left)]) == MMS_CONN_OPEN) {
				collect(fanout, (unsigned)__builtin_ctzll(left));
			}
		}
		answered = (fanout->waiting_mask & mask) == 0;
		if (answered) {
			break;
		}
		(void)sched_yield(); /* to the node itself, when it shares this core */
		now = mms_clock_mono();
	}
	mms_spin_end(&client->spin, answered);
	return answered;
}

/* 0 after progress or a time-out of poll, -1 when poll itself is refused. */
static int poll_once(struct mms_fanout *fanout, struct mms_mono now)
{
	struct pollfd fds[MMS_NODES_MAX];
	unsigned nodes[MMS_NODES_MAX];
	nfds_t count = 0;
	struct mms_mono until = fanout->deadline;
	struct timespec wait;
	int64_t left_us;
	int ready;

	for (uint64_t left = fanout->waiting_mask; left != 0; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);
		const struct mms_conn *conn = fanout->client->conns[i];

		fds[count].fd = mms_conn_fd(conn);
		fds[count].events = (short)(POLLIN | (mms_conn_wants_write(conn) ? POLLOUT : 0));
		fds[count].revents = 0;
		nodes[count++] = i;
		until = earlier(until, limit_of(fanout, i));
	}
	left_us = mms_clock_left_us(now, until);
	wait.tv_sec = left_us / 1000000;
	wait.tv_nsec = (left_us % 1000000) * 1000;
	ready = ppoll(fds, count, &wait, NULL);
	if (ready < 0 && errno != EINTR) {
		return -1;
	}
	for (nfds_t k = 0; k < count && ready > 0; k++) {
		if (fds[k].revents != 0) {
			collect(fanout, nodes[k]);
		}
	}
	return 0;
}

static void collect(struct mms_fanout *fanout, unsigned node)
{
	struct mms_fanout_slot *slot = &fanout->slots[node];
	const struct mms_client *client = fanout->client;
	struct mms_conn *conn = client->conns[node];
	enum mms_status status = MMS_OK;
	struct mms_error error;

	if (mms_conn_wants_write(conn)) {
		status = mms_conn_flush(conn, &error);
	}
	if (status == MMS_OK) {
		status = mms_conn_receive(conn, &error);
	}
	while (status == MMS_OK && slot->replies_got < slot->replies_wanted) {
		struct mms_reply *reply = NULL;

		status = mms_conn_take_reply(conn, &reply, &error);
		if (reply == NULL) {
			break;
		}
		if (slot->leading_left > 0) {
			enum mms_reply_type type = mms_reply_type(reply);

			mms_reply_free(reply);
			slot->leading_left--;
			slot->led = slot->led && type != MMS_REPLY_ERROR;
			if (type == MMS_REPLY_INTEGER || type == MMS_REPLY_STRING) {
				mms_error_set(&error, "node %s (%s): an answer that does not fit its question",
						client->settings.nodes[node].name, client->settings.nodes[node].address);
				status = MMS_ERR_PROTOCOL;
			}
			continue;
		}
		slot->replies[slot->replies_got++] = reply;
	}
	if (try_again(fanout, node, status)) {
		(void)send_to(fanout, node);
		return;
	}
	if (status != MMS_OK) {
		fail(fanout, node, status, &error);
		return;
	}
	if (slot->replies_got < slot->replies_wanted) {
		/* Megabytes take their time: a node that is still sending (or taking) is no silent one, unless it is one that
		 * trickles. The operation's deadline stays what it is. */
		if (mms_conn_moved_bytes(conn) - slot->moved_bytes < PROGRESS_BYTES) {
			return;
		}
		slot->moved_bytes = mms_conn_moved_bytes(conn);

		struct mms_mono now = mms_clock_mono();
		int64_t timeout_us = (int64_t)fanout->client->settings.read_timeout_ms * 1000;
		int64_t more_us = fanout->patient ? timeout_us : PROGRESS_WAIT_US;

		slot->limit_at = earlier((struct mms_mono){ now.us + timeout_us }, fanout->deadline);
		if (slot->give_up_at.us < now.us + more_us) {
			slot->give_up_at = earlier((struct mms_mono){ now.us + more_us }, fanout->deadline);
		}
		return;
	}
	slot->state = MMS_FANOUT_ANSWERED;
	fanout->answered_mask |= UINT64_C(1) << node;
	fanout->waiting_mask &= ~(UINT64_C(1) << node);
	mms_client_good(fanout->client, node, mms_clock_mono().us - slot->asked_at.us);
}
