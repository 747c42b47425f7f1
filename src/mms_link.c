/* Pipelined connection of the replicator. Requests are answered in order, so a queue of callbacks is all the bookkeeping
 * there is; progress on the oldest request is what keeps the connection alive (a batch may take long on a slow line, a
 * silent node may not). The difficulty is re-entrance: a callback may fail its own link, so whoever walks a link looks
 * at its state again after every callback. */
#include "mms_link.h"

#include <assert.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mms_address.h"
#include "mms_tmp_key.h"

/* Mirrors wait longer than requests: nobody is held up by them, but a silent node must become hints soon. */
#define PROGRESS_FACTOR 4
#define WRITERS_APART UINT64_C(0x9e3779b97f4a7c15) /* odd, far from small numbers: an epoch is no other host */
#define RETRY_FIRST_US 20000
#define UNABLE_US 20000000 /* without an address or port: more than a burst of connections takes */
#define STEADY_US 1000000 /* a connection that stood for so long is made again at once */

static void on_readable(evutil_socket_t fd, short what, void *argument);
static void on_writable(evutil_socket_t fd, short what, void *argument);
static void watch(struct mms_link *link);
static void unwatch(struct mms_link *link);
static void answer_lost(struct mms_link *link);
static void push_deadline(struct mms_link *link);
static bool is_out_of_reach(struct mms_link *link);

enum mms_status mms_link_init(struct mms_link *link, struct mms_office *office, unsigned index,
		struct mms_error *error)
{
	const struct mms_settings *settings = office->settings;
	struct mms_conn_options options = {
		.node_name = settings->nodes[index].name,
		.node_address = settings->nodes[index].address,
		.user = mms_slice_of(settings->user),
		.password = mms_slice_of(office->password),
		.tls_name = mms_node_list_tls_name(&settings->nodes[index]),
		.tls = office->tls,
		.db = settings->nodes[index].db,
		.max_reply_bytes = MMS_LINK_REPLY_MAX,
		.max_output_bytes = MMS_LINK_OUTPUT_MAX,
	};

	memset(link, 0, sizeof *link);
	link->office = office;
	link->index = index;
	link->fd = -1;
	link->conn = mms_conn_new(&options);
	if (link->conn == NULL) {
		mms_error_set(error, "out of memory for the replicator");
		return MMS_ERR_MEMORY;
	}
	return MMS_OK;
}

void mms_link_fini(struct mms_link *link)
{
	if (link->conn != NULL) { /* prepared in full */
		mms_link_drop(link);
	}
	mms_conn_free(link->conn);
	link->conn = NULL;
}

/* The last attempt was refused: the password may have been changed in its file. */
static void refresh_password(struct mms_office *office)
{
	char password[MMS_SECRET_MAX + 1];

	if (mms_config_read_password(office->settings->password_file, password, NULL) == MMS_OK) {
		memcpy(office->password, password, sizeof password);
		for (unsigned i = 0; i < office->node_count; i++) {
			mms_conn_set_password(office->links[i].conn, mms_slice_of(office->password));
		}
	}
	explicit_bzero(password, sizeof password);
}

void mms_link_connect(struct mms_link *link)
{
	struct mms_office *office = link->office;
	const struct mms_settings *settings = office->settings;
	struct sockaddr_storage address;
	struct mms_error error;
	socklen_t len = 0;
	enum mms_status status;

	link->address_sequence = mms_shm_address_sequence(mms_link_node(link)); /* first: another one may come in between */
	if (!mms_address_current(&settings->nodes[link->index], mms_link_node(link), &address, &len)) {
		link->retry_at.us = office->now.us + RETRY_FIRST_US;
		if (link->probing) { /* no address, no probe */
			link->probing = false;
			(void)mms_breaker_probe_result(&mms_link_node(link)->breaker, false, office->now, mms_link_random(office));
		}
		return;
	}
	if (mms_conn_refusal(link->conn) == MMS_CLASS_AUTH) {
		refresh_password(office);
	}
	link->state = MMS_LINK_CONNECTING;
	link->overdue = false;
	link->deadline.us = office->now.us
			+ ((int64_t)settings->connect_timeout_ms + settings->read_timeout_ms) * 1000;
	status = mms_conn_open(link->conn, (const struct sockaddr *)&address, len, &error);
	if (status != MMS_OK) {
		mms_link_fail(link, status, &error);
		return;
	}
	link->fd = mms_conn_fd(link->conn);
	mms_descriptors_add(office->descriptors, link->fd);
	link->readable = event_new(office->base, mms_conn_fd(link->conn), EV_READ | EV_PERSIST, on_readable, link);
	link->writable = event_new(office->base, mms_conn_fd(link->conn), EV_WRITE, on_writable, link);
	if (link->readable == NULL || link->writable == NULL || event_add(link->readable, NULL) != 0) {
		mms_error_set(&error, "out of memory for the replicator");
		mms_link_fail(link, MMS_ERR_MEMORY, &error);
		return;
	}
	office->short_since.us = 0;
	atomic_store(&mms_link_node(link)->unable_us, 0);
	watch(link);
}

void mms_link_fail(struct mms_link *link, enum mms_status status, const struct mms_error *error)
{
	struct mms_office *office = link->office;
	struct mms_breaker_sh *breaker = &mms_link_node(link)->breaker;
	bool shortage = status == MMS_ERR_LOCAL || status == MMS_ERR_MEMORY;
	bool blame = !shortage && (status != MMS_ERR_NO_ADDRESS || is_out_of_reach(link));
	bool was_ready = link->state == MMS_LINK_READY;
	enum mms_fault fault = status == MMS_ERR_CLOSED || status == MMS_ERR_RESET || (status == MMS_ERR_TIMEOUT && !was_ready)
			? MMS_FAULT_SOFT : MMS_FAULT_HARD;

	if (status == MMS_ERR_REFUSED && mms_conn_refusal(link->conn) != MMS_CLASS_NONE) {
		blame = mms_reply_class_fault(mms_conn_refusal(link->conn), &fault) || blame;
		fault = fault == MMS_FAULT_WRITE_ONLY ? MMS_FAULT_HARD : fault;
	}
	bool steady = was_ready && office->now.us - link->ready_since.us >= STEADY_US;

	/* A server that closed an idle connection (restart, `timeout`) gets one free attempt. */
	link->retry_at.us = office->now.us + (steady && blame ? 0 : RETRY_FIRST_US);
	mms_link_drop(link);
	if (!shortage && status != MMS_ERR_NO_ADDRESS) {
		atomic_store(&mms_link_node(link)->unable_us, 0); /* it leads there, whatever came of it */
	}
	if (!blame) {
		office->short_since = shortage && office->short_since.us == 0 ? office->now : office->short_since;
		mms_breaker_note(breaker, error->text, mms_clock_wall());
		if (link->probing) {
			(void)mms_breaker_probe_result(breaker, false, office->now, mms_link_random(office));
		}
	}
	if (blame && !(status == MMS_ERR_CLOSED && was_ready)) {
		(void)mms_breaker_fault(breaker, fault, error->text, office->now, mms_clock_wall(),
				mms_link_random(office));
		if (link->probing) {
			(void)mms_breaker_probe_result(breaker, false, office->now, mms_link_random(office));
		}
	}
	link->probing = false;
	link->probe_sent = false;
}

/* It has been so for long, to all who have been in office: an address for which this host has none of its own (IPv6), no port. Its
 * writes must become hints, or the mailbox waits for it and fills. */
static bool is_out_of_reach(struct mms_link *link)
{
	_Atomic int64_t *since_us = &mms_link_node(link)->unable_us;
	const int64_t now_us = link->office->now.us;

	if (atomic_load(since_us) == 0) {
		atomic_store(since_us, now_us);
	}
	return mms_clock_apart(now_us, atomic_load(since_us)) >= UNABLE_US;
}

void mms_link_drop(struct mms_link *link)
{
	unwatch(link);
	mms_descriptors_remove(link->office->descriptors, link->fd);
	link->fd = -1;
	mms_conn_close(link->conn);
	link->state = MMS_LINK_DOWN;
	link->send_position = link->ack_position;
	link->going_back = false;
	answer_lost(link);
}

bool mms_link_request(struct mms_link *link, const struct mms_command *command, mms_link_reply_fn reply_fn,
		void *context, uint64_t token)
{
	struct mms_error error;
	enum mms_status status;

	if (link->state == MMS_LINK_DOWN || link->request_count >= MMS_LINK_WINDOW) {
		return false;
	}
	status = mms_conn_queue(link->conn, command, &error);
	if (status == MMS_ERR_LOCAL || status == MMS_ERR_MEMORY) { /* nothing the node can help, nor what else is under way */
		mms_breaker_note(&mms_link_node(link)->breaker, error.text, mms_clock_wall());
		return false;
	}
	if (status != MMS_OK) {
		mms_link_fail(link, status, &error);
		return false;
	}
	if (link->request_count == 0 && link->state == MMS_LINK_READY) {
		push_deadline(link);
	}
	link->requests[(link->request_head + link->request_count) % MMS_LINK_WINDOW] = (struct mms_link_request){
		.reply_fn = reply_fn, .context = context, .token = token, .reply_count = command->reply_count,
	};
	link->request_count++;
	return true;
}

bool mms_link_has_room(const struct mms_link *link, uint32_t requests)
{
	return link->state == MMS_LINK_READY && link->request_count + requests <= MMS_LINK_WINDOW
			&& mms_conn_queued_bytes(link->conn) < MMS_LINK_WINDOW_BYTES;
}

void mms_link_flush(struct mms_link *link)
{
	struct mms_error error;
	enum mms_status status;

	if (link->state == MMS_LINK_DOWN || !mms_conn_wants_write(link->conn)
			|| mms_conn_state(link->conn) == MMS_CONN_CONNECTING) {
		return;
	}
	status = mms_conn_flush(link->conn, &error);
	if (status != MMS_OK) {
		mms_link_fail(link, status, &error);
		return;
	}
	watch(link);
}

/* A large record is under way, to the node or from it. What a socket with room takes is no progress: a stopped node's does, too. */
static bool makes_progress(const struct mms_link *link)
{
	return mms_conn_received_bytes(link->conn) - link->received_bytes >= MMS_LINK_PROGRESS_BYTES
			|| (mms_conn_wants_write(link->conn)
				&& mms_conn_moved_bytes(link->conn) - link->moved_bytes >= MMS_LINK_PROGRESS_BYTES);
}

void mms_link_check_deadline(struct mms_link *link)
{
	const struct mms_settings *settings = link->office->settings;
	const struct mms_node_config *config = &settings->nodes[link->index];
	bool greeting = link->state == MMS_LINK_CONNECTING;
	/* A server that took the connection and is slow to answer, or with its TLS handshake, is not one that can't be reached: where
	 * everything here is slow, all nodes are late at once, and none must be given up for one late answer. */
	bool connecting = greeting && mms_conn_state(link->conn) == MMS_CONN_CONNECTING;
	bool taken = mms_conn_was_taken(link->conn);
	struct mms_error error;

	if (link->state == MMS_LINK_DOWN || (!greeting && link->request_count == 0)
			|| link->office->now.us < link->deadline.us) {
		return;
	}
	if (!greeting && makes_progress(link)) {
		push_deadline(link);
		return;
	}
	/* This thread may be what was late: the answer lies in the socket then, and is heard before the next look. */
	if (!link->overdue) {
		link->overdue = link->office->busy = true;
		return;
	}
	mms_error_set(&error, "node %s (%s): %s: no answer in time", config->name, config->address,
			connecting ? mms_conn_stage(link->conn) : greeting ? "connected" : "mirrored writes");
	mms_link_fail(link, connecting && !taken ? MMS_ERR_CONNECT : MMS_ERR_TIMEOUT, &error);
}

bool mms_link_ready(const struct mms_link *link)
{
	return link->state == MMS_LINK_READY;
}

uint64_t mms_link_ready_mask(const struct mms_office *office)
{
	uint64_t mask = 0;

	for (unsigned i = 0; i < office->node_count; i++) {
		mask |= mms_link_ready(&office->links[i]) ? UINT64_C(1) << i : 0;
	}
	return mask;
}

bool mms_link_any_asked(const struct mms_office *office)
{
	bool asked = false;

	for (unsigned i = 0; i < office->node_count; i++) {
		asked = asked || office->links[i].request_count > 0;
	}
	return asked;
}

struct mms_node_sh *mms_link_node(const struct mms_link *link)
{
	return &link->office->cluster->nodes[link->index];
}

int64_t mms_link_met_us(const struct mms_link *link)
{
	const struct mms_node_sh *node = mms_link_node(link);

	return atomic_load(&node->met_run) == mms_shm_incarnation(node) ? atomic_load(&node->met_us) : link->ready_since.us;
}

uint32_t mms_link_random(struct mms_office *office)
{
	/* xorshift32 (Marsaglia 2003): jitter only. */
	office->random_state ^= office->random_state << 13;
	office->random_state ^= office->random_state >> 17;
	office->random_state ^= office->random_state << 5;
	return office->random_state;
}

void mms_link_count(struct mms_office *office, enum mms_metric metric)
{
	mms_metrics_add(&office->cluster->metrics, metric, 1);
}

size_t mms_link_tmp_key(struct mms_office *office, char *out, size_t size)
{
	/* Request threads of the mapping count for themselves, and so may a predecessor who has not noticed yet. */
	uint64_t writer = mms_shm_writer(office->shm, office->cluster, office->settings->host_hash)
			+ (office->epoch + UINT64_C(1)) * WRITERS_APART;

	assert(strlen(office->settings->prefix) + MMS_TMP_KEY_EXTRA <= size);
	return mms_tmp_key(office->settings->prefix, writer, ++office->tmp_sequence, out);
}

static void on_writable(evutil_socket_t fd, short what, void *argument)
{
	struct mms_link *link = argument;
	struct mms_error error;
	enum mms_status status;

	(void)fd;
	(void)what;
	link->office->busy = true;
	status = mms_conn_flush(link->conn, &error);
	if (status != MMS_OK) {
		mms_link_fail(link, status, &error);
		return;
	}
	watch(link);
}

/* Whoever asked, and whatever he makes of it: only a new connection loads them. Without that, what needs a script and nobody
 * waits for (a note deleted, a life prolonged) would fail for as long as this connection stands. */
static void end_without_scripts(struct mms_link *link)
{
	const struct mms_node_config *node = &link->office->settings->nodes[link->index];
	struct mms_error error;

	mms_error_set(&error, "node %s (%s): scripts were flushed", node->name, node->address);
	mms_link_fail(link, MMS_ERR_CLOSED, &error);
}

/* Hands one whole answer to its request; false when the link is gone or nothing more is complete. */
static bool answer_one(struct mms_link *link)
{
	struct mms_link_request *request = &link->requests[link->request_head];
	struct mms_reply *reply = NULL;
	struct mms_error error;
	enum mms_status status = mms_conn_take_reply(link->conn, &reply, &error);

	if (status != MMS_OK) {
		mms_link_fail(link, status, &error);
		return false;
	}
	if (reply == NULL) {
		return false;
	}
	link->replies[link->replies_got++] = reply;
	if (link->replies_got == request->reply_count) {
		struct mms_link_request done = *request;
		struct mms_reply *replies[MMS_LINK_REPLIES];
		bool flushed = false;

		memcpy(replies, link->replies, sizeof replies);
		memset(link->replies, 0, sizeof link->replies);
		link->replies_got = 0;
		link->request_head = (link->request_head + 1) % MMS_LINK_WINDOW;
		link->request_count--;
		push_deadline(link);
		done.reply_fn(link, done.context, done.token, replies);
		for (unsigned i = 0; i < MMS_LINK_REPLIES; i++) {
			flushed = flushed || (replies[i] != NULL && mms_reply_classify(replies[i]) == MMS_CLASS_NOSCRIPT);
			mms_reply_free(replies[i]);
		}
		if (flushed && link->state != MMS_LINK_DOWN) {
			end_without_scripts(link);
		}
	}
	return link->state != MMS_LINK_DOWN;
}

static void on_readable(evutil_socket_t fd, short what, void *argument)
{
	struct mms_link *link = argument;
	struct mms_error error;
	enum mms_status status;

	(void)fd;
	(void)what;
	link->office->busy = true;
	status = mms_conn_receive(link->conn, &error);
	if (status != MMS_OK) {
		mms_link_fail(link, status, &error);
		return;
	}
	while (answer_one(link)) {
		/* Bounded by what one receive brought. */
	}
	watch(link); /* TLS may have more to say now */
}

/* Asks libevent for writability only while something waits to be written. */
static void watch(struct mms_link *link)
{
	if (link->writable != NULL && mms_conn_wants_write(link->conn)) {
		(void)event_add(link->writable, NULL);
	}
}

static void unwatch(struct mms_link *link)
{
	if (link->readable != NULL) {
		event_free(link->readable);
		link->readable = NULL;
	}
	if (link->writable != NULL) {
		event_free(link->writable);
		link->writable = NULL;
	}
}

static void push_deadline(struct mms_link *link)
{
	const struct mms_settings *settings = link->office->settings;

	if (link->state == MMS_LINK_READY) {
		link->overdue = false;
		link->deadline.us = link->office->now.us + (int64_t)settings->read_timeout_ms * PROGRESS_FACTOR * 1000;
		link->moved_bytes = mms_conn_moved_bytes(link->conn);
		link->received_bytes = mms_conn_received_bytes(link->conn);
	}
}

static void answer_lost(struct mms_link *link)
{
	/* Bounded by the window: a callback may queue nothing on a link that is down. */
	while (link->request_count > 0) {
		struct mms_link_request lost = link->requests[link->request_head];

		link->request_head = (link->request_head + 1) % MMS_LINK_WINDOW;
		link->request_count--;
		lost.reply_fn(link, lost.context, lost.token, NULL);
	}
	for (unsigned i = 0; i < MMS_LINK_REPLIES; i++) {
		mms_reply_free(link->replies[i]);
		link->replies[i] = NULL;
	}
	link->replies_got = 0;
}

bool mms_link_settled(const struct mms_link *link)
{
	const struct mms_cluster_sh *cluster = link->office->cluster;

	return mms_mailbox_distance(mms_mailbox_tail(&cluster->mailbox), link->distrust_until) <= 0
			&& (mms_hints_count(&cluster->hints, link->index) == 0 || link->hint_rounds > 1);
}
