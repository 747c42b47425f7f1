/* One question to several nodes: waits, deadlines, lost connections, and answers that come late or twice.
 * TEST WRAP: ppoll */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* ppoll */
#endif
#include "fake.h"

#include <errno.h>
#include <poll.h>

#include "mms_fanout.h"

#define LONG_US 5000000
#define SHORT_US 30000

static unsigned polls_refused; /* still to be */

int __real_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *wait, const sigset_t *mask);
int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *wait, const sigset_t *mask);

int __wrap_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *wait, const sigset_t *mask)
{
	if (polls_refused > 0) {
		polls_refused--;
		errno = ENOMEM;
		return -1;
	}
	return __real_ppoll(fds, count, wait, mask);
}

struct question {
	struct mms_fanout fanout;
	struct mms_command command;
};

static void begin(struct question *question, struct host *host, int64_t budget_us)
{
	mms_fanout_begin(&question->fanout, host->client, (struct mms_mono){ now_us() + budget_us });
}

static bool ask_for(struct question *question, unsigned node, const char *id, int64_t wait_us)
{
	mms_command_init(&question->command);
	mms_command_get(&question->command, key_of(id));
	return mms_fanout_ask(&question->fanout, node, &question->command, wait_us);
}

static enum mms_fanout_state state_of(const struct question *question, unsigned node)
{
	return question->fanout.slots[node].state;
}

static bool answer_is(const struct question *question, unsigned node, const char *text)
{
	const struct mms_slice got = mms_reply_text(question->fanout.slots[node].replies[0]);

	return state_of(question, node) == MMS_FANOUT_ANSWERED && got.len == strlen(text)
			&& memcmp(got.ptr, text, got.len) == 0;
}

/* The whole of it for one node. */
static enum mms_fanout_state fetch(struct question *question, struct host *host, unsigned node, const char *id,
		int64_t budget_us)
{
	begin(question, host, budget_us);
	ask_for(question, node, id, LONG_US);
	mms_fanout_wait(&question->fanout, bit(node));
	return state_of(question, node);
}

static void all_nodes_answer_their_own(void **state)
{
	struct question question;
	struct host *host;

	(void) state;
	rig_fresh();
	node_put_bytes(0, "k", "zero", 4);
	node_put_bytes(1, "k", "one", 3);
	host = host_new(3, "web1");
	begin(&question, host, LONG_US);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(ask_for(&question, i, "k", LONG_US));
	}
	assert_true(question.fanout.asked_mask == 7);
	mms_fanout_wait(&question.fanout, 7);
	assert_true(question.fanout.waiting_mask == 0);
	assert_true(answer_is(&question, 0, "zero"));
	assert_true(answer_is(&question, 1, "one"));
	assert_int_equal(mms_reply_type(question.fanout.slots[2].replies[0]), MMS_REPLY_NIL);
	mms_fanout_end(&question.fanout);
	host_free(host);
}

static void a_reply_that_was_taken_outlives_the_question(void **state)
{
	struct question question;
	struct mms_reply *reply;
	struct host *host;

	(void) state;
	rig_fresh();
	node_put_bytes(0, "k", "zero", 4);
	host = host_new(1, "web1");
	assert_int_equal(fetch(&question, host, 0, "k", LONG_US), MMS_FANOUT_ANSWERED);
	reply = mms_fanout_take_reply(&question.fanout, 0, 0);
	assert_null(mms_fanout_take_reply(&question.fanout, 0, 0));
	mms_fanout_end(&question.fanout);
	assert_memory_equal(mms_reply_text(reply).ptr, "zero", 4);
	mms_reply_free(reply);
	host_free(host);
}

static void a_slot_is_asked_again(void **state)
{
	struct question question;
	struct host *host;

	(void) state;
	rig_fresh();
	node_put_bytes(0, "a", "A", 1);
	node_put_bytes(0, "b", "B", 1);
	host = host_new(1, "web1");
	assert_int_equal(fetch(&question, host, 0, "a", LONG_US), MMS_FANOUT_ANSWERED);
	assert_true(ask_for(&question, 0, "b", LONG_US));
	mms_fanout_wait(&question.fanout, 1);
	assert_true(answer_is(&question, 0, "B"));
	mms_fanout_end(&question.fanout);
	host_free(host);
}

static void a_dead_node_fails_at_once_and_opens(void **state)
{
	struct question question;
	struct host *host;

	(void) state;
	rig_fresh();
	node_kill(1);
	host = host_new(2, "web1");
	begin(&question, host, LONG_US);
	assert_true(ask_for(&question, 0, "k", LONG_US));
	assert_false(ask_for(&question, 1, "k", LONG_US));
	assert_int_equal(question.fanout.slots[1].status, MMS_ERR_CONNECT);
	assert_non_null(strstr(question.fanout.error.text, "n1"));
	assert_false(mms_client_can_read(host->client, 1));
	mms_fanout_wait(&question.fanout, 3);
	assert_int_equal(state_of(&question, 0), MMS_FANOUT_ANSWERED);
	mms_fanout_end(&question.fanout);
	host_free(host);
}

static void a_silent_node_costs_its_own_wait_alone(void **state)
{
	struct question question;
	struct host *host;
	int64_t before;

	(void) state;
	rig_fresh();
	host = host_new(2, "web1");
	node_stop(1);
	atomic_store(&host->cluster->nodes[1].breaker.latency_us, 777);
	before = now_us();
	begin(&question, host, LONG_US);
	assert_true(ask_for(&question, 0, "k", LONG_US));
	assert_true(ask_for(&question, 1, "k", SHORT_US));
	mms_fanout_wait(&question.fanout, 3);
	assert_true(now_us() - before >= SHORT_US);
	assert_true(now_us() - before < LONG_US / 2);
	assert_int_equal(state_of(&question, 0), MMS_FANOUT_ANSWERED);
	assert_int_equal(state_of(&question, 1), MMS_FANOUT_FAILED);
	assert_int_equal(question.fanout.slots[1].status, MMS_ERR_TIMEOUT);
	/* One time-out alone opens nothing. */
	assert_in_range(atomic_load(&host->cluster->nodes[1].breaker.latency_us), 778, LONG_US); /* what it cost counts */
	assert_true(mms_client_can_read(host->client, 1));
	assert_int_equal(mms_conn_state(host->client->conns[1]), MMS_CONN_CLOSED);
	mms_fanout_end(&question.fanout);
	host_free(host);
}

static void a_trickle_is_no_progress(void **state)
{
	struct question question;
	struct mms_settings settings;
	struct fake *fake;
	struct host *host;
	char value[400];
	int64_t before;

	(void) state;
	rig_fresh();
	memset(value, 'x', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	node_do(0, "SET", RIG_PREFIX "k", value);
	fake = fake_start(0);
	settings_with_fake(&settings, 2, 0, fake);
	settings.read_timeout_ms = 100;
	host = host_with(&settings, 1u << 20);
	fake_rule(fake, (struct fake_rule) { .verb = "GET", .act = FAKE_TRICKLE, .times = -1 });
	before = now_us();
	begin(&question, host, 3 * LONG_US);
	assert_true(ask_for(&question, 0, "k", 100000));
	mms_fanout_wait(&question.fanout, 1);
	assert_int_equal(state_of(&question, 0), MMS_FANOUT_FAILED);
	assert_int_equal(question.fanout.slots[0].status, MMS_ERR_TIMEOUT);
	assert_true(now_us() - before < 1000000); /* the whole answer would take two seconds */
	mms_fanout_end(&question.fanout);
	host_free(host);
	fake_free(fake);
}

static void *release_later(void *fake)
{
	nap_us(5 * SHORT_US);
	fake_release(fake);
	return NULL;
}

static void a_short_wait_counts_only_once_somebody_has_answered(void **state)
{
	struct question question;
	struct fake *fake;
	struct host *host;
	pthread_t thread;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	host = host_with_fake(2, 0, fake);
	fake_holds(fake, "GET");
	begin(&question, host, LONG_US);
	assert_true(ask_for(&question, 0, "k", SHORT_US));
	assert_int_equal(pthread_create(&thread, NULL, release_later, fake), 0);
	mms_fanout_wait(&question.fanout, bit(0));
	pthread_join(thread, NULL);
	assert_int_equal(state_of(&question, 0), MMS_FANOUT_ANSWERED);
	mms_fanout_end(&question.fanout);
	host_free(host);
	fake_free(fake);
}

static void nobody_is_waited_for_beyond_the_deadline(void **state)
{
	struct question question;
	struct host *host;
	int64_t before;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	for (unsigned i = 0; i < 3; i++) {
		node_stop(i);
	}
	before = now_us();
	begin(&question, host, SHORT_US);
	for (unsigned i = 0; i < 3; i++) {
		ask_for(&question, i, "k", 100 * LONG_US);
	}
	mms_fanout_wait(&question.fanout, 7);
	assert_in_range(now_us() - before, SHORT_US, LONG_US);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(state_of(&question, i), MMS_FANOUT_FAILED);
	}
	mms_fanout_end(&question.fanout);
	host_free(host);
}

/* A listener whose queue is full drops what knocks. */
static void a_connect_without_answer_ends_with_the_connect_timeout(void **state)
{
	struct sockaddr_in address = address_of_port(0);
	socklen_t len = sizeof(address);
	struct mms_settings settings;
	struct question question;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), queued[4];
	char text[64];
	struct host *host;
	int64_t before;

	(void) state;
	assert_int_equal(bind(listener, (struct sockaddr *) &address, len), 0);
	assert_int_equal(listen(listener, 0), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *) &address, &len), 0);
	for (int i = 0; i < 4; i++) {
		queued[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void) connect(queued[i], (struct sockaddr *) &address, sizeof(address));
	}
	snprintf(text, sizeof(text), "tcp://127.0.0.1:%d?name=hole", ntohs(address.sin_port));
	settings_from(&settings, text, "web1");
	settings.connect_timeout_ms = SHORT_US / 1000;
	host = host_with(&settings, RIG_MAILBOX);
	before = now_us();
	assert_int_equal(fetch(&question, host, 0, "k", LONG_US), MMS_FANOUT_FAILED);
	assert_in_range(now_us() - before, SHORT_US, LONG_US / 2);
	assert_int_equal(question.fanout.slots[0].status, MMS_ERR_CONNECT);
	assert_non_null(strstr(question.fanout.error.text, "connect"));
	assert_false(mms_client_can_read(host->client, 0));
	mms_fanout_end(&question.fanout);
	host_free(host);
	for (int i = 0; i < 4; i++) {
		close(queued[i]);
	}
	close(listener);
}

/* As of a node that has many handshakes to make at once; the kernel takes the connection, nobody says a word. */
static void a_tls_handshake_without_end_has_more_time_and_two_more_tries(void **state)
{
	struct sockaddr_in address = address_of_port(0);
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct mms_settings settings;
	struct question question;
	char text[64];
	struct host *host;

	(void) state;
	assert_int_equal(bind(listener, (struct sockaddr *) &address, len), 0);
	assert_int_equal(listen(listener, 8), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *) &address, &len), 0);
	snprintf(text, sizeof(text), "tls://127.0.0.1:%d?name=busy", ntohs(address.sin_port));
	settings_from(&settings, text, "web1");
	settings.connect_timeout_ms = 50;
	settings.read_timeout_ms = 100;
	host = host_with(&settings, RIG_MAILBOX);
	for (unsigned number = 1; number <= 3; number++) {
		int64_t before = now_us();

		assert_true(mms_client_can_read(host->client, 0));
		assert_int_equal(fetch(&question, host, 0, "k", LONG_US), MMS_FANOUT_FAILED);
		assert_in_range(now_us() - before, 150000, LONG_US / 2);
		assert_int_equal(question.fanout.slots[0].status, MMS_ERR_TIMEOUT);
		assert_non_null(strstr(question.fanout.error.text, "TLS handshake (is this a port for TLS?): no answer within 1"));
		assert_int_equal(atomic_load(&host->cluster->nodes[0].breaker.soft_faults), number);
		mms_fanout_end(&question.fanout);
	}
	assert_false(mms_client_can_read(host->client, 0));
	/* The operation's deadline stays what it is. */
	int64_t before = now_us();

	assert_int_equal(fetch(&question, host, 0, "k", 110000), MMS_FANOUT_FAILED);
	assert_in_range(now_us() - before, 110000, 149000);
	mms_fanout_end(&question.fanout);
	host_free(host);
	close(listener);
}

static void an_idle_connection_closed_by_the_server_is_no_fault(void **state)
{
	struct question question;
	struct host *host;

	(void) state;
	rig_fresh();
	node_put_bytes(0, "k", "here", 4);
	host = host_new(1, "web1");
	for (int i = 0; i < 3; i++) {
		assert_int_equal(fetch(&question, host, 0, "k", LONG_US), MMS_FANOUT_ANSWERED);
		assert_true(answer_is(&question, 0, "here"));
		mms_fanout_end(&question.fanout);
		node_do(0, "CLIENT", "KILL", "TYPE", "normal");
	}
	assert_int_equal(atomic_load(&host->cluster->nodes[0].breaker.soft_faults), 0);
	assert_true(mms_client_can_read(host->client, 0));
	host_free(host);
}

static void a_connection_that_is_closed_twice_is_one(void **state)
{
	struct question question;
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	host = host_with_fake(1, 0, fake);
	assert_int_equal(fetch(&question, host, 0, "k", LONG_US), MMS_FANOUT_ANSWERED);
	mms_fanout_end(&question.fanout);
	fake_rule(fake, (struct fake_rule){ .verb = "GET", .act = FAKE_CLOSE, .times = 2 });
	assert_int_equal(fetch(&question, host, 0, "k", LONG_US), MMS_FANOUT_FAILED);
	mms_fanout_end(&question.fanout);
	assert_int_equal(fetch(&question, host, 0, "k", LONG_US), MMS_FANOUT_ANSWERED);
	mms_fanout_end(&question.fanout);
	host_free(host);
	fake_free(fake);
}

static void an_answer_cut_anywhere_is_no_answer(void **state)
{
	const size_t whole = strlen("$5\r\nvalue\r\n");
	struct question question;
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	node_put_bytes(0, "k", "value", 5);
	fake = fake_start(0);
	host = host_with_fake(1, 0, fake);
	for (size_t cut = 1; cut < whole; cut++) {
		fake_release(fake);
		fake_rule(fake, (struct fake_rule){ .verb = "GET", .act = FAKE_CUT, .cut_len = cut, .times = 1 });
		assert_int_equal(fetch(&question, host, 0, "k", LONG_US), MMS_FANOUT_FAILED);
		assert_int_equal(question.fanout.slots[0].status, MMS_ERR_RESET);
		mms_fanout_end(&question.fanout);
		assert_int_equal(fetch(&question, host, 0, "k", LONG_US), MMS_FANOUT_ANSWERED);
		assert_true(answer_is(&question, 0, "value"));
		mms_fanout_end(&question.fanout);
	}
	host_free(host);
	fake_free(fake);
}

static void a_late_answer_answers_nothing_else(void **state)
{
	struct question question;
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	node_put_bytes(0, "a", "A", 1);
	node_put_bytes(0, "b", "B", 1);
	fake = fake_start(0);
	host = host_with_fake(1, 0, fake);
	for (int i = 0; i < 5; i++) {
		fake_holds(fake, "GET");
		assert_int_equal(fetch(&question, host, 0, "a", SHORT_US), MMS_FANOUT_FAILED);
		mms_fanout_end(&question.fanout);
		fake_release(fake);
		assert_int_equal(fetch(&question, host, 0, "b", LONG_US), MMS_FANOUT_ANSWERED);
		assert_true(answer_is(&question, 0, "B"));
		mms_fanout_end(&question.fanout);
	}
	host_free(host);
	fake_free(fake);
}

static void a_question_that_was_given_up_takes_its_connection_along(void **state)
{
	struct question question;
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	node_put_bytes(0, "b", "B", 1);
	fake = fake_start(0);
	host = host_with_fake(1, 0, fake);
	fake_holds(fake, "GET");
	begin(&question, host, LONG_US);
	assert_true(ask_for(&question, 0, "a", LONG_US));
	mms_fanout_end(&question.fanout);
	assert_int_equal(mms_conn_state(host->client->conns[0]), MMS_CONN_CLOSED);
	fake_release(fake);
	assert_int_equal(fetch(&question, host, 0, "b", LONG_US), MMS_FANOUT_ANSWERED);
	assert_true(answer_is(&question, 0, "B"));
	mms_fanout_end(&question.fanout);
	host_free(host);
	fake_free(fake);
}

static void an_answer_that_comes_twice_answers_nothing_else(void **state)
{
	struct question question;
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	node_put_bytes(0, "a", "A", 1);
	node_put_bytes(0, "b", "B", 1);
	fake = fake_start(0);
	host = host_with_fake(1, 0, fake);
	assert_int_equal(fetch(&question, host, 0, "b", LONG_US), MMS_FANOUT_ANSWERED);
	mms_fanout_end(&question.fanout);
	fake_rule(fake, (struct fake_rule){ .verb = "GET", .act = FAKE_TWICE, .times = 1 });
	assert_int_equal(fetch(&question, host, 0, "a", LONG_US), MMS_FANOUT_FAILED);
	assert_int_equal(question.fanout.slots[0].status, MMS_ERR_PROTOCOL);
	mms_fanout_end(&question.fanout);
	assert_int_equal(fetch(&question, host, 0, "b", LONG_US), MMS_FANOUT_ANSWERED);
	assert_true(answer_is(&question, 0, "B"));
	mms_fanout_end(&question.fanout);
	host_free(host);
	fake_free(fake);
}

static void garbage_is_a_hard_fault(void **state)
{
	static const char *const garbage[] = { "HTTP/1.1 400 Bad Request\r\n\r\n", "$-7\r\n", "*1\r\n$x\r\n" };
	struct question question;
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	host = host_with_fake(1, 0, fake);
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		memset(&host->cluster->nodes[0].breaker, 0, sizeof(host->cluster->nodes[0].breaker));
		fake_release(fake);
		fake_says(fake, "GET", garbage[i], 1);
		assert_int_equal(fetch(&question, host, 0, "k", LONG_US), MMS_FANOUT_FAILED);
		assert_int_equal(question.fanout.slots[0].status, MMS_ERR_PROTOCOL);
		assert_false(mms_client_can_read(host->client, 0));
		mms_fanout_end(&question.fanout);
	}
	host_free(host);
	fake_free(fake);
}

/* Who asks for a value must be ready for any length of it; the length of other answers is known. */
static void a_value_that_is_too_long_is_no_fault_and_any_other_answer_is(void **state)
{
	struct question question;
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	host = host_with_fake(1, 0, fake);
	fake_says(fake, "GET", "$99999999\r\n", -1);
	fake_says(fake, "GETRANGE", "$65537\r\n", -1); /* more than anything but a session may be */
	for (unsigned round = 0; round < 5; round++) {
		assert_int_equal(fetch(&question, host, 0, "k", LONG_US), MMS_FANOUT_FAILED);
		assert_int_equal(question.fanout.slots[0].status, MMS_ERR_TOO_LARGE);
		assert_int_equal(mms_conn_state(host->client->conns[0]), MMS_CONN_CLOSED);
		assert_true(mms_client_can_read(host->client, 0));
		assert_int_equal(atomic_load(&host->cluster->nodes[0].breaker.soft_faults), 0);
		mms_fanout_end(&question.fanout);
	}
	begin(&question, host, LONG_US);
	mms_command_init(&question.command);
	mms_command_read_header(&question.command, key_of("k"));
	assert_true(mms_fanout_ask(&question.fanout, 0, &question.command, LONG_US));
	mms_fanout_wait(&question.fanout, bit(0));
	assert_int_equal(question.fanout.slots[0].status, MMS_ERR_PROTOCOL);
	assert_false(mms_client_can_read(host->client, 0));
	mms_fanout_end(&question.fanout);
	host_free(host);
	fake_free(fake);
}

static void an_error_of_the_server_is_an_answer(void **state)
{
	struct question question;
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	host = host_with_fake(1, 0, fake);
	fake_says(fake, "GET", "-LOADING not yet\r\n", 1);
	assert_int_equal(fetch(&question, host, 0, "k", LONG_US), MMS_FANOUT_ANSWERED);
	assert_int_equal(mms_reply_classify(question.fanout.slots[0].replies[0]), MMS_CLASS_HARD);
	mms_fanout_end(&question.fanout);
	host_free(host);
	fake_free(fake);
}

static void a_refused_handshake_is_the_nodes_fault(void **state)
{
	struct question question;
	struct fake *fake;
	struct host *host;
	char text[MMS_BREAKER_TEXT_SIZE];

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	host = host_with_fake(1, 0, fake);
	fake_says(fake, "SCRIPT", "-NOAUTH Authentication required.\r\n", -1);
	assert_int_equal(fetch(&question, host, 0, "k", LONG_US), MMS_FANOUT_FAILED);
	assert_int_equal(question.fanout.slots[0].status, MMS_ERR_REFUSED);
	assert_false(mms_client_can_read(host->client, 0));
	mms_breaker_last_error(&host->cluster->nodes[0].breaker, text, sizeof(text));
	assert_non_null(strstr(text, "NOAUTH"));
	mms_fanout_end(&question.fanout);
	host_free(host);
	fake_free(fake);
}

static void others_go_on_while_one_is_waited_for(void **state)
{
	struct question question;
	struct fake *fake;
	struct host *host;

	(void) state;
	rig_fresh();
	fake = fake_start(0);
	host = host_with_fake(2, 0, fake);
	fake_holds(fake, "GET");
	begin(&question, host, LONG_US);
	assert_true(ask_for(&question, 0, "k", LONG_US));
	assert_true(ask_for(&question, 1, "k", LONG_US));
	mms_fanout_wait(&question.fanout, bit(1));
	assert_int_equal(state_of(&question, 0), MMS_FANOUT_WAITING);
	assert_int_equal(state_of(&question, 1), MMS_FANOUT_ANSWERED);
	fake_release(fake);
	mms_fanout_wait(&question.fanout, bit(0));
	assert_int_equal(state_of(&question, 0), MMS_FANOUT_ANSWERED);
	mms_fanout_end(&question.fanout);
	host_free(host);
	fake_free(fake);
}

/* The command lives with its asker: of one that is given up nothing may be sent or read in a later wait. */
static void a_poll_that_is_refused_ends_the_question_and_blames_no_node(void **state)
{
	struct question question, later;
	struct host *host;

	(void) state;
	rig_fresh();
	node_put_bytes(0, "a", "first", 5);
	node_put_bytes(0, "b", "second", 6);
	host = host_new(2, "web1");
	host->client->spin.limit_us = 0;
	for (unsigned round = 0; round < 2; round++) { /* while it connects, and on a connection that stands */
		polls_refused = 1;
		assert_int_equal(fetch(&question, host, 0, "a", LONG_US), MMS_FANOUT_FAILED);
		assert_int_equal(polls_refused, 0);
		assert_true(question.fanout.waiting_mask == 0);
		assert_non_null(strstr(question.fanout.error.text, "can't wait"));
		memset(&question.command, 0x5a, sizeof(question.command));
		assert_int_equal(fetch(&later, host, 0, "b", LONG_US), MMS_FANOUT_ANSWERED);
		assert_true(answer_is(&later, 0, "second"));
		mms_fanout_end(&later.fanout);
		mms_fanout_end(&question.fanout);
		assert_true(mms_breaker_allows_read(&host->cluster->nodes[0].breaker));
	}
	host_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_nodes_answer_their_own),
		cmocka_unit_test(a_reply_that_was_taken_outlives_the_question),
		cmocka_unit_test(a_slot_is_asked_again),
		cmocka_unit_test(a_dead_node_fails_at_once_and_opens),
		cmocka_unit_test(a_silent_node_costs_its_own_wait_alone),
		cmocka_unit_test(a_trickle_is_no_progress),
		cmocka_unit_test(a_short_wait_counts_only_once_somebody_has_answered),
		cmocka_unit_test(nobody_is_waited_for_beyond_the_deadline),
		cmocka_unit_test(a_connect_without_answer_ends_with_the_connect_timeout),
		cmocka_unit_test(a_tls_handshake_without_end_has_more_time_and_two_more_tries),
		cmocka_unit_test(an_idle_connection_closed_by_the_server_is_no_fault),
		cmocka_unit_test(a_connection_that_is_closed_twice_is_one),
		cmocka_unit_test(an_answer_cut_anywhere_is_no_answer),
		cmocka_unit_test(a_late_answer_answers_nothing_else),
		cmocka_unit_test(a_question_that_was_given_up_takes_its_connection_along),
		cmocka_unit_test(an_answer_that_comes_twice_answers_nothing_else),
		cmocka_unit_test(garbage_is_a_hard_fault),
		cmocka_unit_test(a_value_that_is_too_long_is_no_fault_and_any_other_answer_is),
		cmocka_unit_test(an_error_of_the_server_is_an_answer),
		cmocka_unit_test(a_refused_handshake_is_the_nodes_fault),
		cmocka_unit_test(others_go_on_while_one_is_waited_for),
		cmocka_unit_test(a_poll_that_is_refused_ends_the_question_and_blames_no_node),
	};

	return rig_run(tests);
}
