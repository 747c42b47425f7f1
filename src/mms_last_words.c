/* Why not on the connections that are there: a server that finds its replies refused (we are gone by then) drops the client
 * with all that it has not read yet. So the connection starts with CLIENT REPLY OFF, and nothing but its bytes and its end
 * ever reaches the server. What is sent twice does no harm. */
#include "mms_last_words.h"

#include <poll.h>

#include "mms_address.h"
#include "mms_mirror.h"

#define QUEUED_MAX (64u * 1024u) /* collected before it is sent: the kernel charges a Unix socket's buffer for every send */

static void say_to(struct mms_office *office, struct mms_link *link, struct mms_mono deadline);
static bool flush(struct mms_conn *conn, size_t left_max, struct mms_mono deadline);

void mms_last_words_say(struct mms_office *office, struct mms_mono deadline)
{
	uint64_t head = mms_mailbox_head(&office->cluster->mailbox);

	for (unsigned i = 0; i < office->node_count; i++) {
		struct mms_mono now = mms_clock_mono();
		struct mms_mono until = { now.us + mms_clock_left_us(now, deadline) / (office->node_count - i) };

		office->now = now;
		if (office->links[i].ack_position != head && mms_mailbox_owned(&office->cluster->mailbox, office->epoch)) {
			say_to(office, &office->links[i], until);
		}
	}
}

static void say_to(struct mms_office *office, struct mms_link *link, struct mms_mono deadline)
{
	const struct mms_settings *settings = office->settings;
	struct mms_conn_options options = {
		.node_name = settings->nodes[link->index].name, .node_address = settings->nodes[link->index].address,
		.user = mms_slice_of(settings->user), .password = mms_slice_of(office->password),
		.db = settings->nodes[link->index].db, .silent = true, .max_reply_bytes = 65536,
		.max_output_bytes = (size_t)settings->max_session_size + 4u * QUEUED_MAX,
	};
	struct mms_mono connected = { office->now.us + (int64_t)settings->connect_timeout_ms * 1000 };
	struct mms_conn *conn = mms_conn_new(&options);
	struct sockaddr_storage address;
	struct mms_mailbox_item item;
	struct mms_command command;
	socklen_t len = 0;

	if (conn == NULL || !mms_address_current(&settings->nodes[link->index], mms_link_node(link), &address, &len)
			|| mms_conn_open(conn, (const struct sockaddr *)&address, len, NULL) != MMS_OK
			|| !flush(conn, 0, connected)) {
		mms_conn_free(conn);
		return;
	}
	while (mms_mailbox_peek(&office->cluster->mailbox, link->ack_position, &item) > 0) {
		char tmp_key[MMS_MIRROR_TMP_KEY_MAX];

		if (mms_mirror_needs(link, &item)
				&& (!mms_mirror_encode(office, &item, tmp_key, &command) /* expired: nothing to say */
					? false : mms_conn_queue(conn, &command, NULL) != MMS_OK)) {
			break;
		}
		if (mms_conn_queued_bytes(conn) > QUEUED_MAX && !flush(conn, 0, deadline)) {
			break;
		}
		link->ack_position = item.next;
	}
	(void)flush(conn, 0, deadline);
	mms_conn_free(conn);
}

/* Sends until at most left_max bytes are queued; false on an error or at the deadline. */
static bool flush(struct mms_conn *conn, size_t left_max, struct mms_mono deadline)
{
	/* Bounded by the deadline: each turn sends something or waits. */
	for (;;) {
		struct pollfd writable = { .fd = mms_conn_fd(conn), .events = POLLOUT };
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
		(void)poll(&writable, 1, (int)(left_us / 1000) + 1);
	}
}
