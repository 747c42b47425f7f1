/* Why not on the connections that are there: a server that finds its replies refused (we are gone by then) drops the client
 * with all that it has not read yet. So the connection starts with CLIENT REPLY OFF, and nothing but its bytes and its end
 * ever reaches the server. What is sent twice does no harm.
 *
 * With TLS none of this reaches a server that is stopped: it must take part in the handshake. And a server that is only slow
 * answers that with session tickets, which would be refused replies; so there the end of the connection is waited for. */
#include "mms_last_words.h"

#include <poll.h>
#include <sys/socket.h>

#include "mms_address.h"
#include "mms_mirror.h"

#define QUEUED_MAX (64u * 1024u) /* collected before it is sent: the kernel charges a Unix socket's buffer for every send */

#define HINTED_BYTES 16384u           /* guess at a record that is said from a hint */
#define BUFFER_MAX (256 * 1024 * 1024) /* of a socket */

static void say_to(struct mms_office *office, struct mms_link *link, struct mms_mono deadline);
static bool say_ring(struct mms_office *office, struct mms_link *link, struct mms_conn *conn, struct mms_mono deadline);
static void say_hints(struct mms_office *office, unsigned node, struct mms_conn *conn, struct mms_mono deadline);
static struct mms_reply *fetch(struct mms_conn *source, const struct mms_hint *hint, struct mms_mono deadline);
static bool say_hint(struct mms_office *office, struct mms_conn *conn, const struct mms_hint *hint,
		const struct mms_reply *record, struct mms_mono deadline);
static bool flush(struct mms_conn *conn, size_t left_max, struct mms_mono deadline);
static void await_end(struct mms_conn *conn, struct mms_mono deadline);

void mms_last_words_say(struct mms_office *office, struct mms_mono deadline)
{
	uint64_t head = mms_mailbox_head(&office->cluster->mailbox);

	for (unsigned i = 0; i < office->node_count; i++) {
		struct mms_mono now = mms_clock_mono();
		struct mms_mono until = { now.us + mms_clock_left_us(now, deadline) / (office->node_count - i) };

		office->now = now;
		if ((office->links[i].ack_position != head || mms_hints_count(&office->cluster->hints, i) > 0)
				&& mms_mailbox_owned(&office->cluster->mailbox, office->epoch)) {
			say_to(office, &office->links[i], until);
		}
	}
}

/* A connection to this node, connected; NULL when that takes longer than connect_timeout_ms. */
static struct mms_conn *connect_to(struct mms_office *office, unsigned node, bool silent)
{
	const struct mms_settings *settings = office->settings;
	struct mms_conn_options options = {
		.node_name = settings->nodes[node].name, .node_address = settings->nodes[node].address,
		.user = mms_slice_of(settings->user), .password = mms_slice_of(office->password),
		.tls_name = mms_node_list_tls_name(&settings->nodes[node]), .tls = office->tls,
		.db = settings->nodes[node].db, .silent = silent,
		.max_reply_bytes = MMS_LINK_REPLY_MAX,
		.max_output_bytes = MMS_LINK_OUTPUT_MAX,
	};
	struct mms_mono until = { mms_clock_mono().us + (int64_t)settings->connect_timeout_ms * 1000 };
	struct mms_conn *conn = mms_conn_new(&options);
	struct sockaddr_storage address;
	socklen_t len = 0;

	if (conn != NULL && (!mms_address_current(&settings->nodes[node], &office->cluster->nodes[node], &address, &len)
			|| mms_conn_open(conn, (const struct sockaddr *)&address, len, NULL) != MMS_OK
			|| !flush(conn, 0, until))) {
		mms_conn_free(conn);
		return NULL;
	}
	return conn;
}

/* All that is to be said has to fit the kernel's buffer of this socket: nobody reads at the other end now. Beyond
 * net.core.wmem_max only root may go. */
static void widen_buffer(const struct mms_conn *conn, uint64_t bytes)
{
	uint64_t wanted = 2 * bytes + QUEUED_MAX; /* the kernel counts its own book-keeping too, and halves what it is told */
	int size = wanted > BUFFER_MAX ? BUFFER_MAX : (int)wanted;

	if (setsockopt(mms_conn_fd(conn), SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0) {
		(void)setsockopt(mms_conn_fd(conn), SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	}
}

static void say_to(struct mms_office *office, struct mms_link *link, struct mms_mono deadline)
{
	struct mms_conn *conn = connect_to(office, link->index, true);

	if (conn == NULL) {
		return;
	}
	widen_buffer(conn, mms_mailbox_used(&office->cluster->mailbox)
			+ (uint64_t)mms_hints_count(&office->cluster->hints, link->index) * HINTED_BYTES);
	if (say_ring(office, link, conn, deadline)) {
		say_hints(office, link->index, conn, deadline);
	}
	if (flush(conn, 0, deadline) && mms_conn_tls(conn) != NULL) {
		await_end(conn, deadline);
	}
	mms_conn_free(conn);
}

static bool say(struct mms_conn *conn, const struct mms_command *command, struct mms_mono deadline)
{
	/* What can't be queued is passed over; an error of the connection shows in the flush. */
	(void)mms_conn_queue(conn, command, NULL);
	return mms_conn_state(conn) != MMS_CONN_CLOSED && (mms_conn_queued_bytes(conn) <= QUEUED_MAX || flush(conn, 0, deadline));
}

static bool say_ring(struct mms_office *office, struct mms_link *link, struct mms_conn *conn, struct mms_mono deadline)
{
	struct mms_mailbox_item item;
	struct mms_command command;

	while (mms_mailbox_peek(&office->cluster->mailbox, link->ack_position, &item) > 0) {
		char tmp_key[MMS_MIRROR_TMP_KEY_MAX];

		if (mms_mirror_needs(link, &item) && mms_mirror_encode(office, &item, false, tmp_key, &command)
				&& !say(conn, &command, deadline)) {
			return false;
		}
		link->ack_position = item.next;
	}
	return true;
}

/* Hints die with the mapping too. A tombstone is its own record; anything else is fetched from the first node that has it, and
 * is a tombstone before it in the hint where none has. */
static void say_hints(struct mms_office *office, unsigned node, struct mms_conn *conn, struct mms_mono deadline)
{
	struct mms_conn *sources[MMS_NODES_MAX] = { NULL };
	bool tried[MMS_NODES_MAX] = { false };
	struct mms_hint hint;
	uint32_t cursor = 0;

	/* Bounded by the table: every turn moves the cursor on. */
	for (bool more = true; more && mms_clock_left_us(mms_clock_mono(), deadline) > 0; more = cursor != 0) {
		struct mms_reply *reply = NULL;
		bool said;

		if (!mms_hints_next(&office->cluster->hints, node, &cursor, office->now, &hint)) {
			continue;
		}
		for (unsigned i = 0; i < office->node_count && reply == NULL
				&& !mms_record_is_tombstone(hint.header); i++) {
			if (i == node || !mms_breaker_allows_read(&office->cluster->nodes[i].breaker)) {
				continue;
			}
			if (!tried[i]) {
				tried[i] = true;
				sources[i] = connect_to(office, i, false);
			}
			reply = sources[i] == NULL ? NULL : fetch(sources[i], &hint, deadline);
		}
		said = say_hint(office, conn, &hint, reply, deadline);
		mms_reply_free(reply);
		if (!said) {
			break;
		}
	}
	for (unsigned i = 0; i < office->node_count; i++) {
		mms_conn_free(sources[i]);
	}
}

/* The record of a hint, NULL when this node does not have it (in time). */
static struct mms_reply *fetch(struct mms_conn *source, const struct mms_hint *hint, struct mms_mono deadline)
{
	struct mms_command command;
	struct mms_reply *reply = NULL;

	mms_command_init(&command);
	mms_command_get(&command, (struct mms_slice){ hint->key, hint->key_len });
	if (mms_conn_state(source) != MMS_CONN_OPEN || mms_conn_send(source, &command, NULL) != MMS_OK) {
		return NULL;
	}
	while (mms_conn_state(source) == MMS_CONN_OPEN && mms_conn_take_reply(source, &reply, NULL) == MMS_OK
			&& reply == NULL) {
		struct pollfd readable = { .fd = mms_conn_fd(source), .events = POLLIN };
		int64_t left_us = mms_clock_left_us(mms_clock_mono(), deadline);

		if (left_us == 0 || poll(&readable, 1, (int)(left_us / 1000) + 1) <= 0
				|| mms_conn_receive(source, NULL) != MMS_OK) {
			mms_conn_close(source); /* what comes later would answer another question */
		}
	}
	if (reply != NULL && mms_reply_type(reply) != MMS_REPLY_STRING) {
		mms_reply_free(reply);
		return NULL;
	}
	return reply;
}

static bool say_hint(struct mms_office *office, struct mms_conn *conn, const struct mms_hint *hint,
		const struct mms_reply *record, struct mms_mono deadline)
{
	struct mms_slice key = { hint->key, hint->key_len }, payload = { NULL, 0 };
	const unsigned char *header = mms_hint_tombstone(hint);
	uint64_t ttl_ms = (uint64_t)mms_clock_left_us(office->now, hint->deadline) / 1000;
	char tmp_key[MMS_MIRROR_TMP_KEY_MAX];
	struct mms_slice tmp = { tmp_key, 0 };
	struct mms_record_header decoded, buried;
	struct mms_command command;

	if (record != NULL) {
		if (mms_record_decode_whole(mms_reply_text(record), key, &decoded, &payload) != MMS_RECORD_GOOD) {
			return true;
		}
		if (header == NULL || mms_record_decode((struct mms_slice){ (const char *)header, MMS_RECORD_HEADER_SIZE }, key,
				&buried) != MMS_RECORD_GOOD || mms_version_compare(&decoded.version, &buried.version) > 0) {
			header = (const unsigned char *)mms_reply_text(record).ptr;
		} else {
			payload = (struct mms_slice){ NULL, 0 };
		}
	}
	if (ttl_ms == 0 || !mms_config_key_valid(office->settings, key) || header == NULL) {
		return true; /* nothing to say about this one */
	}
	tmp.len = mms_link_tmp_key(office, tmp_key, sizeof tmp_key);
	mms_command_init(&command);
	mms_command_put(&command, key, tmp, header, payload, ttl_ms, (struct mms_slice){ NULL, 0 });
	return say(conn, &command, deadline);
}

/* Sends until at most left_max bytes are queued; false on an error or at the deadline. */
static bool flush(struct mms_conn *conn, size_t left_max, struct mms_mono deadline)
{
	/* Bounded by the deadline: each turn sends something or waits. */
	for (;;) {
		struct pollfd ready = { .fd = mms_conn_fd(conn) };
		int64_t left_us = mms_clock_left_us(mms_clock_mono(), deadline);

		if (mms_conn_flush(conn, NULL) != MMS_OK) {
			return false;
		}
		if (mms_conn_state(conn) == MMS_CONN_OPEN && mms_conn_queued_bytes(conn) <= left_max) {
			return true;
		}
		if (left_us == 0) {
			return false;
		}
		ready.events = mms_conn_wants_write(conn) ? POLLOUT : POLLIN; /* a TLS handshake waits for the other side too */
		(void)poll(&ready, 1, (int)(left_us / 1000) + 1);
	}
}

/* No more from here; the server reads what there was and closes. */
static void await_end(struct mms_conn *conn, struct mms_mono deadline)
{
	(void)shutdown(mms_conn_fd(conn), SHUT_WR);
	while (mms_conn_receive(conn, NULL) == MMS_OK) {
		struct pollfd readable = { .fd = mms_conn_fd(conn), .events = POLLIN };
		int64_t left_us = mms_clock_left_us(mms_clock_mono(), deadline);

		if (left_us == 0) {
			return;
		}
		(void)poll(&readable, 1, (int)(left_us / 1000) + 1);
	}
}
