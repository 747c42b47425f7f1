/* The replicator's connection to one node: answers in order, what is lost with it, whose fault it is.
 * TEST LINK: mms_client */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "office.h"

#define LOG_MAX 2048

/* What the callbacks were told, in order. */
static struct {
	unsigned count;
	uint64_t tokens[LOG_MAX];
	bool answered[LOG_MAX];
	char text[32];
} heard;

static void note(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	(void) link;
	(void) context;
	if (heard.count < LOG_MAX) {
		heard.tokens[heard.count] = token;
		heard.answered[heard.count] = replies != NULL;
	}
	if (replies != NULL) {
		mms_text_copy(heard.text, sizeof(heard.text), mms_reply_text(replies[0]));
	}
	heard.count++;
}

static void note_and_fail(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	const struct mms_error error = { "by the callback" };

	note(link, context, token, replies);
	if (replies != NULL) {
		mms_link_fail(link, MMS_ERR_PROTOCOL, &error);
	}
}

static bool ask_for(struct mms_link *link, const char *id, mms_link_reply_fn reply_fn, uint64_t token)
{
	struct mms_command command;

	mms_command_init(&command);
	mms_command_get(&command, key_of(id));
	return mms_link_request(link, &command, reply_fn, NULL, token);
}

static struct desk *open_ready(struct host *host)
{
	struct desk *desk = desk_open(host);

	memset(&heard, 0, sizeof(heard));
	mms_link_connect(desk_link(desk, 0));
	assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_CONNECTING);
	desk_link(desk, 0)->state = MMS_LINK_READY;
	return desk;
}

static void answers_come_in_order(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	node_put_bytes(0, "k", "value", 5);
	desk = open_ready(host_new(1, "web1"));
	assert_int_equal(desk_descriptors(desk), 1);
	for (uint64_t token = 0; token < 100; token++) {
		assert_true(ask_for(desk_link(desk, 0), token == 99 ? "k" : "none", note, token));
	}
	desk_await(desk, heard.count == 100);
	for (uint64_t token = 0; token < 100; token++) {
		assert_true(heard.tokens[token] == token && heard.answered[token]);
	}
	assert_string_equal(heard.text, "value");
	assert_int_equal(desk_link(desk, 0)->request_count, 0);
	desk_close(desk);
}

static void commands_of_two_answers_are_one_request(void **state)
{
	struct mms_command command;
	struct desk *desk;

	(void) state;
	rig_fresh();
	node_put_bytes(0, "k", "value", 5);
	desk = open_ready(host_new(1, "web1"));
	for (uint64_t token = 0; token < 3; token++) {
		mms_command_init(&command);
		mms_command_read_whole(&command, key_of("k"));
		assert_true(mms_link_request(desk_link(desk, 0), &command, note, NULL, token));
	}
	desk_await(desk, heard.count == 3);
	assert_string_equal(heard.text, "value");
	desk_close(desk);
}

/* Nobody waits for what becomes of a note that is deleted: the connection would stand for days without scripts. */
static void flushed_scripts_end_the_connection_whoever_asked(void **state)
{
	const mms_link_reply_fn fns[] = { note, note_and_fail };
	struct mms_command command;
	struct desk *desk;

	(void) state;
	for (unsigned i = 0; i < 2; i++) {
		rig_fresh();
		desk = open_ready(host_new(1, "web1"));
		node_do(0, "HSET", RIG_PREFIX ":notes", "field", "value");
		for (unsigned round = 0; round < 2; round++) {
			if (round == 1) {
				node_do(0, "SCRIPT", "FLUSH");
			}
			mms_command_init(&command);
			mms_command_field_delete_if(&command, slice(RIG_PREFIX ":notes"), slice("other"), slice("value"));
			assert_true(mms_link_request(desk_link(desk, 0), &command, round == 0 ? note : fns[i], NULL, round));
			assert_true(ask_for(desk_link(desk, 0), "k", note, 2));
			desk_await(desk, heard.count == 2 * (round + 1));
			assert_true(round == 1 || mms_link_ready(desk_link(desk, 0)));
		}
		assert_true(heard.answered[2] && !heard.answered[3]);
		assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_DOWN);
		desk_close(desk);
	}
}

static void a_full_window_takes_no_more(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = open_ready(host_new(1, "web1"));
	assert_true(mms_link_has_room(desk_link(desk, 0), MMS_LINK_WINDOW));
	for (uint64_t token = 0; token < MMS_LINK_WINDOW; token++) {
		assert_true(ask_for(desk_link(desk, 0), "k", note, token));
	}
	assert_false(mms_link_has_room(desk_link(desk, 0), 1));
	assert_false(ask_for(desk_link(desk, 0), "k", note, 9999));
	desk_await(desk, heard.count == MMS_LINK_WINDOW);
	assert_true(mms_link_has_room(desk_link(desk, 0), 1));
	desk_turn(desk);
	assert_int_equal(heard.count, MMS_LINK_WINDOW);
	desk_close(desk);
}

static void a_lost_connection_answers_all_that_waited_with_nothing(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = open_ready(host_new(1, "web1"));
	assert_true(ask_for(desk_link(desk, 0), "k", note, 0));
	desk_await(desk, heard.count == 1);
	node_stop(0);
	for (uint64_t token = 1; token < 10; token++) {
		assert_true(ask_for(desk_link(desk, 0), "k", note, token));
	}
	desk_turn(desk);
	node_kill(0);
	desk_await(desk, heard.count == 10);
	for (unsigned i = 1; i < 10; i++) {
		assert_true(heard.tokens[i] == i && !heard.answered[i]);
	}
	assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_DOWN);
	assert_int_equal(desk_descriptors(desk), 0);
	assert_false(ask_for(desk_link(desk, 0), "k", note, 11));
	desk_close(desk);
}

static void a_refused_connect_opens_the_breaker(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_open(host_new(1, "web1"));
	node_kill(0);
	mms_link_connect(desk_link(desk, 0));
	desk_await(desk, !mms_breaker_allows_read(desk_breaker(desk, 0)));
	assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_DOWN);
	assert_true(desk_link(desk, 0)->retry_at.us > desk->office.now.us);
	desk_close(desk);
}

static void a_failed_probe_prolongs_the_wait(void **state)
{
	struct desk *desk;
	int64_t before;

	(void) state;
	rig_fresh();
	desk = desk_open(host_new(1, "web1"));
	node_kill(0);
	host_open_breaker(desk->host, 0, MMS_FAULT_HARD);
	before = atomic_load(&desk_breaker(desk, 0)->probe_at_us);
	mms_breaker_probe_begin(desk_breaker(desk, 0));
	desk_link(desk, 0)->probing = true;
	desk->office.now = mms_clock_mono();
	mms_link_connect(desk_link(desk, 0));
	assert_false(desk_link(desk, 0)->probing);
	assert_true(atomic_load(&desk_breaker(desk, 0)->probe_at_us) > before);
	assert_int_equal(atomic_load(&desk_breaker(desk, 0)->state), MMS_BREAKER_OPEN);
	desk_close(desk);
}

static void an_idle_connection_closed_by_the_server_is_no_fault(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = open_ready(host_new(1, "web1"));
	for (unsigned seconds = 2, asked = 1; seconds-- > 0; asked++) {
		assert_true(ask_for(desk_link(desk, 0), "k", note, 0));
		desk_await(desk, heard.count == asked);
		desk_link(desk, 0)->ready_since.us = desk->office.now.us + (seconds > 0 ? -1000000 : 3600000000);
		node_do(0, "CLIENT", "KILL", "TYPE", "normal");
		desk_await(desk, desk_link(desk, 0)->state == MMS_LINK_DOWN);
		assert_int_equal(atomic_load(&desk_breaker(desk, 0)->soft_faults), 0);
		/* one attempt at once, if it had stood for a while */
		assert_int_equal(desk_link(desk, 0)->retry_at.us <= desk->office.now.us, seconds > 0);
		mms_link_connect(desk_link(desk, 0));
		desk_link(desk, 0)->state = MMS_LINK_READY;
	}
	desk_close(desk);
}

/* Twice: what is late may be this thread. */
static void look_twice(struct mms_link *link)
{
	mms_link_check_deadline(link);
	mms_link_check_deadline(link);
}

static void a_silent_node_is_given_up_and_progress_is_not(void **state)
{
	struct host *host;
	struct desk *desk;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	host->cluster->settings.read_timeout_ms = 10;
	desk = open_ready(host);
	assert_true(ask_for(desk_link(desk, 0), "k", note, 0));
	desk_await(desk, heard.count == 1);
	desk->office.now.us += 10000000;
	mms_link_check_deadline(desk_link(desk, 0)); /* nothing is owed */
	assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_READY);
	node_stop(0);
	desk_turn(desk);
	assert_true(ask_for(desk_link(desk, 0), "k", note, 1));
	mms_link_check_deadline(desk_link(desk, 0));
	assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_READY);
	desk->office.now.us += 10000000;
	mms_link_check_deadline(desk_link(desk, 0));
	assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_READY);
	assert_true(desk->office.busy); /* at once */
	mms_link_check_deadline(desk_link(desk, 0));
	assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_DOWN);
	assert_int_equal(heard.count, 2);
	assert_false(heard.answered[1]);
	assert_false(mms_breaker_allows_read(desk_breaker(desk, 0)));
	desk_close(desk);
}

/* The thread had no processor for so long: no node is to blame for what lies in its socket. */
static void an_answer_that_was_not_heard_yet_is_not_late(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = open_ready(host_new(1, "web1"));
	for (unsigned round = 0; round < 3; round++) {
		struct pollfd answer = { .fd = desk_link(desk, 0)->fd, .events = POLLIN };

		assert_true(ask_for(desk_link(desk, 0), "k", note, 0));
		mms_link_flush(desk_link(desk, 0));
		assert_int_equal(poll(&answer, 1, 10000), 1);
		desk->office.now.us += 100000000;
		mms_link_check_deadline(desk_link(desk, 0));
		assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_READY);
		assert_int_equal(heard.count, round);
		desk_turn(desk);
		assert_int_equal(heard.count, round + 1);
		mms_link_check_deadline(desk_link(desk, 0));
		assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_READY);
	}
	desk_close(desk);
}

static void ask_stopped(struct desk *desk, size_t payload_len)
{
	static char payload[32 << 20];
	unsigned char header[MMS_RECORD_HEADER_SIZE] = { 0 };
	struct mms_command command;
	const unsigned count = heard.count;

	assert_true(payload_len <= sizeof(payload));
	assert_true(ask_for(desk_link(desk, 0), "k", note, 0));
	desk_await(desk, heard.count == count + 1);
	node_stop(0);
	mms_command_init(&command);
	mms_command_put_new(&command, key_of("k"), header, (struct mms_slice){ payload, payload_len }, 1000);
	assert_true(mms_link_request(desk_link(desk, 0), &command, note, NULL, 1));
	mms_link_flush(desk_link(desk, 0));
	desk->office.now.us += 100000000;
	look_twice(desk_link(desk, 0));
}

/* A large record takes its time on a slow line; so long as its bytes move, the node is no silent one. */
static void bytes_that_move_are_progress(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = open_ready(host_new(1, "web1"));
	ask_stopped(desk, 32 << 20);
	assert_true(mms_conn_wants_write(desk_link(desk, 0)->conn));
	assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_READY);
	desk->office.now.us += 100000000;
	look_twice(desk_link(desk, 0)); /* nothing since */
	assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_DOWN);
	node_continue(0);
	desk_close(desk);
}

static void what_a_stopped_nodes_socket_takes_is_no_progress(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = open_ready(host_new(1, "web1"));
	ask_stopped(desk, 100000);
	assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_DOWN);
	node_continue(0);
	desk_close(desk);
}

/* A port where nobody says a word. Returns the listener; the clients that fill its queue go into filling: then it answers no
 * SYN. */
static int silent_port(uint32_t *port, int filling[], size_t count)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(listener, (struct sockaddr *) &address, len), 0);
	assert_int_equal(listen(listener, count > 0 ? 0 : 8), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *) &address, &len), 0);
	*port = ntohs(address.sin_port);
	for (size_t i = 0; i < count; i++) {
		filling[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void) connect(filling[i], (struct sockaddr *) &address, len);
	}
	return listener;
}

static void a_connect_without_an_answer_ends(void **state)
{
	struct host *host;
	struct desk *desk;
	char text[MMS_BREAKER_TEXT_SIZE];
	int filling[4], listener;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	host->cluster->settings.read_timeout_ms = 10;
	host->cluster->settings.connect_timeout_ms = 10;
	host->cluster->settings.nodes[0].scheme = MMS_SCHEME_TCP;
	host->cluster->settings.nodes[0].numeric = 1;
	strcpy(host->cluster->settings.nodes[0].host, "127.0.0.1");
	listener = silent_port(&host->cluster->settings.nodes[0].port, filling, 4);
	desk = desk_open(host);
	mms_link_connect(desk_link(desk, 0));
	mms_link_flush(desk_link(desk, 0));
	assert_int_equal(mms_conn_state(desk_link(desk, 0)->conn), MMS_CONN_CONNECTING);
	desk->office.now.us += 10000000;
	look_twice(desk_link(desk, 0));
	assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_DOWN);
	assert_false(mms_breaker_allows_read(desk_breaker(desk, 0)));
	mms_breaker_last_error(desk_breaker(desk, 0), text, sizeof(text));
	assert_non_null(strstr(text, "connect"));
	for (unsigned i = 0; i < 4; i++) {
		close(filling[i]);
	}
	close(listener);
	desk_close(desk);
}

/* As where all processes of a host have to wait for a processor: one late answer must not take away every node. */
static void a_server_that_took_the_connection_and_is_late_has_two_more_tries(void **state)
{
	struct host *host;
	struct desk *desk;
	char text[MMS_BREAKER_TEXT_SIZE];

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	node_stop(0);
	desk = desk_open(host);
	for (unsigned number = 1; number <= 3; number++) {
		struct mms_link *link = desk_link(desk, 0);

		assert_true(mms_breaker_allows_read(desk_breaker(desk, 0)));
		desk->office.now = mms_clock_mono();
		mms_link_connect(link);
		mms_conn_flush(link->conn, &(struct mms_error){ 0 });
		assert_int_equal(mms_conn_state(link->conn), MMS_CONN_OPEN);
		desk->office.now.us += 10000000;
		look_twice(link);
		assert_int_equal(link->state, MMS_LINK_DOWN);
		assert_int_equal(atomic_load(&desk_breaker(desk, 0)->soft_faults), number);
	}
	assert_false(mms_breaker_allows_read(desk_breaker(desk, 0)));
	mms_breaker_last_error(desk_breaker(desk, 0), text, sizeof(text));
	assert_non_null(strstr(text, "connected: no answer in time"));
	desk_close(desk);
}

static void a_tls_handshake_that_is_late_has_two_more_tries(void **state)
{
	struct desk *desk;
	struct mms_link *link;
	struct mms_settings settings;
	struct mms_error error;
	char text[MMS_BREAKER_TEXT_SIZE];
	uint32_t port;
	int listener = silent_port(&port, NULL, 0);

	(void) state;
	snprintf(text, sizeof(text), "tls://127.0.0.1:%u", port);
	settings_from(&settings, text, "web1");
	desk = desk_open(host_with(&settings, RIG_MAILBOX));
	link = desk_link(desk, 0);
	mms_link_fini(link);
	assert_int_equal(mms_config_tls_context(desk->office.settings, &desk->office.tls, &error), MMS_OK);
	assert_int_equal(mms_link_init(link, &desk->office, 0, &error), MMS_OK);
	for (unsigned number = 1; number <= 3; number++) {
		assert_true(mms_breaker_allows_read(desk_breaker(desk, 0)));
		desk->office.now = mms_clock_mono();
		mms_link_connect(link);
		assert_int_equal(mms_conn_flush(link->conn, &error), MMS_OK);
		assert_int_equal(mms_conn_state(link->conn), MMS_CONN_CONNECTING);
		desk->office.now.us += 100000000;
		look_twice(link);
		assert_int_equal(link->state, MMS_LINK_DOWN);
		assert_int_equal(atomic_load(&desk_breaker(desk, 0)->soft_faults), number);
	}
	assert_false(mms_breaker_allows_read(desk_breaker(desk, 0)));
	mms_breaker_last_error(desk_breaker(desk, 0), text, sizeof(text));
	assert_non_null(strstr(text, "TLS handshake (is this a port for TLS?): no answer in time"));
	mms_link_drop(link);
	mms_conn_free(link->conn);
	link->conn = NULL;
	mms_tls_context_free(desk->office.tls);
	desk_close(desk);
	close(listener);
}

static void dropping_blames_nobody(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = open_ready(host_new(1, "web1"));
	assert_true(ask_for(desk_link(desk, 0), "k", note, 7));
	mms_link_drop(desk_link(desk, 0));
	assert_int_equal(heard.count, 1);
	assert_false(heard.answered[0]);
	assert_int_equal(desk_descriptors(desk), 0);
	assert_true(mms_breaker_allows_write(desk_breaker(desk, 0)));
	assert_int_equal(atomic_load(&desk_breaker(desk, 0)->soft_faults), 0);
	mms_link_drop(desk_link(desk, 0));
	assert_int_equal(heard.count, 1);
	desk_close(desk);
}

static void what_this_process_lacks_is_named_and_not_tried_again_at_once(void **state)
{
	const struct mms_error error = { "node n0: send: No buffer space available" };
	char text[MMS_BREAKER_TEXT_SIZE];
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = open_ready(host_new(1, "web1"));
	mms_link_fail(desk_link(desk, 0), MMS_ERR_LOCAL, &error);
	assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_DOWN);
	assert_true(desk_link(desk, 0)->retry_at.us > desk->office.now.us);
	assert_true(mms_breaker_allows_write(desk_breaker(desk, 0)));
	assert_int_equal(atomic_load(&desk_breaker(desk, 0)->soft_faults), 0);
	assert_true(mms_breaker_last_error(desk_breaker(desk, 0), text, sizeof(text)).ms > 0);
	assert_string_equal(text, error.text);
	desk_close(desk);
}

/* No port, or no address of its own that leads there: whoever is in office tries in vain, and nothing leaves the mailbox. */
static void a_node_that_this_host_can_not_reach_for_long_is_down(void **state)
{
	const struct mms_error error = { "node n0: connect: Cannot assign requested address" };
	struct desk *desk;
	int64_t probe_us;

	(void) state;
	rig_fresh();
	desk = desk_open(host_new(1, "web1"));
	for (unsigned second = 0; second < 20; second++) {
		desk->office.now.us += 1000000;
		mms_link_fail(desk_link(desk, 0), MMS_ERR_NO_ADDRESS, &error);
		assert_true(mms_breaker_allows_read(desk_breaker(desk, 0)));
	}
	desk->office.now.us += 1000000;
	mms_link_fail(desk_link(desk, 0), MMS_ERR_NO_ADDRESS, &error);
	assert_false(mms_breaker_allows_read(desk_breaker(desk, 0)));
	desk->office.now.us += 10000000;
	mms_breaker_probe_begin(desk_breaker(desk, 0));
	desk_link(desk, 0)->probing = true;
	probe_us = atomic_load(&desk_breaker(desk, 0)->probe_at_us);
	mms_link_fail(desk_link(desk, 0), MMS_ERR_NO_ADDRESS, &error);
	assert_true(atomic_load(&desk_breaker(desk, 0)->probe_at_us) > probe_us);
	assert_int_equal(desk->office.short_since.us, 0); /* another process could do no better */
	desk->office.now = mms_clock_mono();
	mms_link_connect(desk_link(desk, 0)); /* it can */
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[0].unable_us), 0);
	mms_link_fail(desk_link(desk, 0), MMS_ERR_NO_ADDRESS, &error);
	assert_int_not_equal(atomic_load(&desk->host->cluster->nodes[0].unable_us), 0);
	mms_link_fail(desk_link(desk, 0), MMS_ERR_CONNECT, &error); /* refused: there is a way */
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[0].unable_us), 0);
	desk_close(desk);
}

/* It says nothing about the node, however long it lasts; another process may have some. */
static void a_process_without_means_blames_no_node(void **state)
{
	const struct mms_error error = { "node n0: socket: Too many open files" };
	struct desk *desk;
	int64_t first_us;

	(void) state;
	rig_fresh();
	desk = desk_open(host_new(1, "web1"));
	first_us = desk->office.now.us += 1000000;
	for (unsigned second = 0; second < 60; second++) {
		mms_link_fail(desk_link(desk, 0), MMS_ERR_LOCAL, &error);
		assert_int_equal(desk->office.short_since.us, first_us);
		desk->office.now.us += 1000000;
	}
	assert_true(mms_breaker_allows_write(desk_breaker(desk, 0)));
	desk_close(desk);
}

/* A probe that this process had no means for is not made again in every round. */
static void a_probe_for_want_of_means_has_failed(void **state)
{
	const struct mms_error error = { "node n0: socket: Too many open files" };
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_open(host_new(1, "web1"));
	host_open_breaker(desk->host, 0, MMS_FAULT_HARD);
	desk->office.now.us += 10000000;
	mms_breaker_probe_begin(desk_breaker(desk, 0));
	desk_link(desk, 0)->probing = true;
	mms_link_fail(desk_link(desk, 0), MMS_ERR_LOCAL, &error);
	assert_true(atomic_load(&desk_breaker(desk, 0)->probe_at_us) > desk->office.now.us);
	desk_close(desk);
}

static void a_callback_may_fail_its_own_link(void **state)
{
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = open_ready(host_new(1, "web1"));
	assert_true(ask_for(desk_link(desk, 0), "k", note_and_fail, 0));
	for (uint64_t token = 1; token < 5; token++) {
		assert_true(ask_for(desk_link(desk, 0), "k", note_and_fail, token));
	}
	desk_await(desk, heard.count == 5);
	assert_true(heard.answered[0]);
	for (unsigned i = 1; i < 5; i++) {
		assert_false(heard.answered[i]);
	}
	assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_DOWN);
	desk_close(desk);
}

static void answers_that_nobody_asked_for_end_the_connection(void **state)
{
	struct fake *fake;
	struct desk *desk;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	desk = open_ready(host_with_fake(1, 0, fake));
	fake_rule(fake, (struct fake_rule){ .verb = "GET", .act = FAKE_TWICE, .times = 1 });
	assert_true(ask_for(desk_link(desk, 0), "k", note, 0));
	desk_await(desk, desk_link(desk, 0)->state == MMS_LINK_DOWN);
	assert_false(mms_breaker_allows_read(desk_breaker(desk, 0)));
	desk_close(desk);
	fake_free(fake);
}

static void a_name_without_an_address_waits(void **state)
{
	struct mms_settings settings;
	struct desk *desk;

	(void) state;
	settings_from(&settings, "tcp://sessions.invalid:7000", "web1");
	desk = desk_open(host_with(&settings, RIG_MAILBOX));
	mms_link_connect(desk_link(desk, 0));
	assert_int_equal(desk_link(desk, 0)->state, MMS_LINK_DOWN);
	assert_true(desk_link(desk, 0)->retry_at.us > desk->office.now.us);
	assert_true(mms_breaker_allows_read(desk_breaker(desk, 0)));
	desk_close(desk);
}

static void links_count_and_name_what_they_make(void **state)
{
	char one[MMS_PREFIX_MAX + 64], two[MMS_PREFIX_MAX + 64];
	struct desk *desk;

	(void) state;
	rig_fresh();
	desk = desk_open(host_new(3, "web1"));
	assert_true(mms_link_tmp_key(&desk->office, one, sizeof(one)) < sizeof(one));
	assert_true(mms_link_tmp_key(&desk->office, two, sizeof(two)) < sizeof(two));
	assert_string_not_equal(one, two);
	assert_memory_equal(one, RIG_PREFIX, strlen(RIG_PREFIX));
	assert_true(mms_link_ready_mask(&desk->office) == 0);
	desk_link(desk, 2)->state = MMS_LINK_READY;
	assert_true(mms_link_ready_mask(&desk->office) == 4);
	desk_link(desk, 2)->state = MMS_LINK_DOWN;
	mms_link_count(&desk->office, MMS_METRIC_mirrored);
	assert_int_equal(host_metric(desk->host, MMS_METRIC_mirrored), 1);
	assert_true(mms_link_random(&desk->office) != mms_link_random(&desk->office));
	desk_close(desk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_come_in_order),
		cmocka_unit_test(commands_of_two_answers_are_one_request),
		cmocka_unit_test(flushed_scripts_end_the_connection_whoever_asked),
		cmocka_unit_test(a_full_window_takes_no_more),
		cmocka_unit_test(a_lost_connection_answers_all_that_waited_with_nothing),
		cmocka_unit_test(a_refused_connect_opens_the_breaker),
		cmocka_unit_test(a_failed_probe_prolongs_the_wait),
		cmocka_unit_test(an_idle_connection_closed_by_the_server_is_no_fault),
		cmocka_unit_test(a_silent_node_is_given_up_and_progress_is_not),
		cmocka_unit_test(an_answer_that_was_not_heard_yet_is_not_late),
		cmocka_unit_test(bytes_that_move_are_progress),
		cmocka_unit_test(what_a_stopped_nodes_socket_takes_is_no_progress),
		cmocka_unit_test(a_connect_without_an_answer_ends),
		cmocka_unit_test(a_server_that_took_the_connection_and_is_late_has_two_more_tries),
		cmocka_unit_test(a_tls_handshake_that_is_late_has_two_more_tries),
		cmocka_unit_test(dropping_blames_nobody),
		cmocka_unit_test(what_this_process_lacks_is_named_and_not_tried_again_at_once),
		cmocka_unit_test(a_node_that_this_host_can_not_reach_for_long_is_down),
		cmocka_unit_test(a_process_without_means_blames_no_node),
		cmocka_unit_test(a_probe_for_want_of_means_has_failed),
		cmocka_unit_test(a_callback_may_fail_its_own_link),
		cmocka_unit_test(answers_that_nobody_asked_for_end_the_connection),
		cmocka_unit_test(a_name_without_an_address_waits),
		cmocka_unit_test(links_count_and_name_what_they_make),
	};

	return rig_run(tests);
}
