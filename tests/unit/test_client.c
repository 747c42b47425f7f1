/* A request thread's connections, and what faults on them mean to the breaker. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sched_getaffinity */
#endif

#include "rig.h"

#include <poll.h>
#include <sched.h>
#include <sys/stat.h>

static bool is_open(const struct host *host, unsigned node)
{
	return !mms_breaker_allows_read(&host->cluster->nodes[node].breaker);
}

static bool is_write_open(const struct host *host, unsigned node)
{
	return !mms_breaker_allows_write(&host->cluster->nodes[node].breaker) && !is_open(host, node);
}

static void heal(struct host *host)
{
	memset(&host->cluster->nodes[0].breaker, 0, sizeof(host->cluster->nodes[0].breaker));
}

static bool was_kicked(const struct host *host)
{
	struct pollfd wake = { atomic_load(&host->cluster->wake_fd), POLLIN, 0 };
	uint64_t count;

	return poll(&wake, 1, 0) == 1 && read(wake.fd, &count, sizeof(count)) == sizeof(count);
}

static void fault(struct host *host, enum mms_status status, enum mms_reply_class refusal)
{
	const struct mms_error error = { "by the test" };

	mms_client_fault(host->client, 0, status, refusal, &error);
}

/* Sends PING and takes the answer, on whatever connection the client gives. */
static void ping(struct host *host, unsigned node)
{
	struct mms_error error = { "" };
	struct mms_command command;
	struct mms_reply *reply = NULL;
	enum mms_status status;
	struct mms_conn *conn = mms_client_connect(host->client, node, &status, &error);

	assert_non_null(conn);
	mms_command_init(&command);
	mms_command_ping(&command);
	assert_int_equal(mms_conn_send(conn, &command, &error), MMS_OK);
	await(mms_conn_flush(conn, &error) == MMS_OK && mms_conn_receive(conn, &error) == MMS_OK
			&& mms_conn_take_reply(conn, &reply, &error) == MMS_OK && reply != NULL);
	mms_reply_free(reply);
}

/* Its server may go on answering at the old one. */
static void a_name_with_another_address_is_connected_anew(void **state)
{
	const struct sockaddr_un elsewhere = address_of_path("/nowhere");
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	ping(host, 0);
	node_forget_calls(0);
	ping(host, 0);
	assert_int_equal(node_calls(0, "client"), 0);
	mms_shm_publish_address(&host->cluster->nodes[0], (const struct sockaddr *) &elsewhere, sizeof(elsewhere));
	ping(host, 0); /* this node has its address in its list, so that there is something to connect to */
	assert_true(host->client->fresh[0]);
	ping(host, 0);
	assert_false(host->client->fresh[0]);
	host_free(host);
}

static void a_password_file_that_is_missing_is_named(void **state)
{
	struct mms_shm *shm = mms_shm_map(1, RIG_MAILBOX, NULL);
	struct mms_settings settings;
	struct mms_error error = { "" };

	(void) state;
	settings_default(&settings, 1, "web1");
	snprintf(settings.password_file, sizeof(settings.password_file), "%s/none", rig_servers[0].directory);
	assert_null(mms_client_new(shm, &settings, mms_config_fingerprint(&settings), &error));
	assert_non_null(strstr(error.text, settings.password_file));
	mms_shm_unmap(shm);
}

static void nothing_is_sent_before_it_is_asked_for(void **state)
{
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(mms_conn_state(host->client->conns[i]), MMS_CONN_CLOSED);
		assert_true(mms_client_can_read(host->client, i));
		assert_true(mms_client_can_write(host->client, i));
	}
	host_free(host);
}

static void a_connection_is_kept_until_it_is_dropped(void **state)
{
	struct host *host;
	struct mms_error error;
	enum mms_status status;
	int fd;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	ping(host, 0);
	assert_true(host->client->fresh[0]);
	fd = mms_conn_fd(host->client->conns[0]);
	ping(host, 0);
	assert_false(host->client->fresh[0]);
	assert_int_equal(mms_conn_fd(host->client->conns[0]), fd);
	mms_client_drop_connections(host->client);
	assert_int_equal(mms_conn_state(host->client->conns[0]), MMS_CONN_CLOSED);
	assert_non_null(mms_client_connect(host->client, 0, &status, &error));
	assert_true(host->client->fresh[0]);
	host_free(host);
}

static void a_connection_that_owes_an_answer_is_not_used_again(void **state)
{
	struct host *host;
	struct mms_command command;
	struct mms_error error;
	enum mms_status status;
	struct mms_conn *conn;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	ping(host, 0);
	mms_command_init(&command);
	mms_command_get(&command, key_of("left"));
	conn = mms_client_connect(host->client, 0, &status, &error);
	assert_int_equal(mms_conn_send(conn, &command, &error), MMS_OK);
	assert_int_equal(mms_conn_outstanding(conn), 1);
	conn = mms_client_connect(host->client, 0, &status, &error);
	assert_non_null(conn);
	assert_int_equal(mms_conn_outstanding(conn), 0);
	assert_true(host->client->fresh[0]);
	host_free(host);
}

static void a_name_that_is_not_resolved_is_nobodys_fault(void **state)
{
	struct mms_settings settings;
	struct mms_error error = { "" };
	enum mms_status status;
	struct host *host;

	(void) state;
	settings_from(&settings, "tcp://sessions.invalid:7000?name=far", "web1");
	host = host_with(&settings, RIG_MAILBOX);
	assert_null(mms_client_connect(host->client, 0, &status, &error));
	assert_int_equal(status, MMS_ERR_LOCAL);
	assert_non_null(strstr(error.text, "far"));
	fault(host, status, MMS_CLASS_NONE);
	assert_false(is_open(host, 0));
	assert_int_equal(atomic_load(&host->cluster->nodes[0].breaker.soft_faults), 0);
	host_free(host);
}

static void hard_faults_open_at_once_and_wake_the_replicator(void **state)
{
	static const struct { enum mms_status status; enum mms_reply_class refusal; } faults[] = {
		{ MMS_ERR_CONNECT, MMS_CLASS_NONE }, { MMS_ERR_PROTOCOL, MMS_CLASS_NONE }, { MMS_ERR_REFUSED, MMS_CLASS_AUTH },
		{ MMS_ERR_REFUSED, MMS_CLASS_HARD }, { MMS_ERR_REFUSED, MMS_CLASS_CLUSTER } };
	struct host *host = host_new(1, "web1");

	(void) state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		heal(host);
		fault(host, faults[i].status, faults[i].refusal);
		assert_true(is_open(host, 0));
		assert_false(mms_client_can_read(host->client, 0));
		assert_false(mms_client_can_write(host->client, 0));
		assert_true(was_kicked(host));
		fault(host, faults[i].status, faults[i].refusal);
		assert_false(was_kicked(host));
	}
	host_free(host);
}

static void soft_faults_open_when_three_come_in_a_row(void **state)
{
	static const enum mms_status faults[] = { MMS_ERR_TIMEOUT, MMS_ERR_RESET };
	struct host *host = host_new(1, "web1");

	(void) state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		heal(host);
		fault(host, faults[i], MMS_CLASS_NONE);
		fault(host, faults[i], MMS_CLASS_NONE);
		mms_client_good(host->client, 0, 100);
		fault(host, faults[i], MMS_CLASS_NONE);
		fault(host, faults[i], MMS_CLASS_NONE);
		assert_false(is_open(host, 0));
		fault(host, faults[i], MMS_CLASS_NONE);
		assert_true(is_open(host, 0));
	}
	host_free(host);
}

static void faults_of_this_process_and_of_keys_open_nothing(void **state)
{
	struct host *host = host_new(1, "web1");

	(void) state;
	for (int i = 0; i < 10; i++) {
		fault(host, MMS_ERR_LOCAL, MMS_CLASS_NONE);
		fault(host, MMS_ERR_TOO_LARGE, MMS_CLASS_NONE);
		fault(host, MMS_ERR_MEMORY, MMS_CLASS_NONE);
		fault(host, MMS_ERR_REFUSED, MMS_CLASS_NOSCRIPT);
		mms_client_refused(host->client, 0, MMS_CLASS_WRONGTYPE, &(struct mms_error){"WRONGTYPE"});
	}
	assert_false(is_open(host, 0));
	assert_int_equal(atomic_load(&host->cluster->nodes[0].breaker.soft_faults), 0);
	assert_false(was_kicked(host));
	host_free(host);
}

static void a_server_that_takes_no_writes_is_still_read(void **state)
{
	struct host *host = host_new(1, "web1");
	char text[MMS_BREAKER_TEXT_SIZE];

	(void) state;
	mms_client_refused(host->client, 0, MMS_CLASS_WRITE, &(struct mms_error){"node n0: OOM command not allowed"});
	assert_true(is_write_open(host, 0));
	assert_true(mms_client_can_read(host->client, 0));
	assert_false(mms_client_can_write(host->client, 0));
	assert_true(was_kicked(host));
	mms_breaker_last_error(&host->cluster->nodes[0].breaker, text, sizeof(text));
	assert_string_equal(text, "node n0: OOM command not allowed");
	mms_client_refused(host->client, 0, MMS_CLASS_HARD, &(struct mms_error){"LOADING"});
	assert_true(is_open(host, 0));
	host_free(host);
}

static void the_first_answer_of_a_connection_is_no_measure(void **state)
{
	struct host *host;
	_Atomic uint32_t *latency_us;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	latency_us = &host->cluster->nodes[0].breaker.latency_us;
	ping(host, 0);
	mms_client_good(host->client, 0, 5000);
	assert_int_equal(atomic_load(latency_us), 0);
	ping(host, 0);
	mms_client_good(host->client, 0, 5000);
	assert_int_equal(atomic_load(latency_us), 5000);
	mms_client_good(host->client, 0, -1);
	mms_client_good(host->client, 0, INT64_MAX);
	assert_int_equal(atomic_load(latency_us), 5000);
	host_free(host);
}

static void tmp_keys_are_unique_and_within_the_prefix(void **state)
{
	struct mms_settings settings;
	struct host *host, *other;
	char keys[100][MMS_TMP_KEY_MAX];
	size_t len[100];

	(void) state;
	settings_default(&settings, 1, "web1");
	memset(settings.prefix, 'p', MMS_PREFIX_MAX);
	settings.prefix[MMS_PREFIX_MAX] = '\0';
	host = host_with(&settings, RIG_MAILBOX);
	other = host_with(&settings, RIG_MAILBOX);
	for (int i = 0; i < 100; i++) {
		len[i] = mms_client_tmp_key(i % 2 == 0 ? host->client : other->client, keys[i]);
		assert_true(len[i] < MMS_TMP_KEY_MAX);
		assert_memory_equal(keys[i], settings.prefix, MMS_PREFIX_MAX);
		for (int k = 0; k < i; k++) {
			assert_true(len[k] != len[i] || memcmp(keys[k], keys[i], len[i]) != 0);
		}
	}
	host_free(host);
	host_free(other);
}

static void the_mask_has_a_bit_for_each_node(void **state)
{
	static struct mms_client client;

	(void) state;
	client.settings.node_count = 1;
	assert_true(mms_client_all_mask(&client) == 1);
	client.settings.node_count = 3;
	assert_true(mms_client_all_mask(&client) == 7);
	client.settings.node_count = MMS_NODES_MAX;
	assert_true(mms_client_all_mask(&client) == UINT64_MAX);
}

static void one_cluster_too_many_is_refused_with_the_remedy(void **state)
{
	struct host *host = host_new(1, "web1");
	struct mms_settings settings;
	struct mms_error text = { "" };

	(void) state;
	settings_default(&settings, 2, "web1");
	assert_null(mms_client_new(host->shm, &settings, mms_config_fingerprint(&settings), &text));
	assert_non_null(strstr(text.text, "mmsession.max_clusters = 1, and as many are in use: raise it"));
	mms_client_free(client_on(host->shm, &host->settings)); /* the one that has a slot is served as before */
	host_free(host);
}

static void a_slot_that_can_not_be_claimed_now_is_no_lack_of_slots(void **state)
{
	struct mms_error text = { "" };
	struct mms_settings settings;
	struct mms_shm *shm = mms_shm_map(2, RIG_MAILBOX, &text);

	(void) state;
	assert_non_null(shm);
	settings_default(&settings, 1, "web1");
	assert_int_equal(pthread_mutex_lock(&shm->slots_lock), 0);
	assert_null(mms_client_new(shm, &settings, mms_config_fingerprint(&settings), &text));
	assert_non_null(strstr(text.text, "a stopped process holds the lock"));
	assert_int_equal(pthread_mutex_unlock(&shm->slots_lock), 0);
	mms_client_free(client_on(shm, &settings));
	mms_shm_unmap(shm);
}

static void an_open_node_is_left_to_the_replicator(void **state)
{
	struct host *host = host_new(1, "web1");

	(void) state;
	host_open_breaker(host, 0, MMS_FAULT_HARD);
	atomic_store(&host->cluster->nodes[0].breaker.probe_at_us, now_us() - 1);
	assert_false(mms_client_can_read(host->client, 0));
	host_free(host);
}

/* Spins in vain are not forgotten for a setting that has nothing to do with them. */
static void another_spin_us_counts_at_once(void **state)
{
	struct host *host = host_new(1, "web1");
	struct mms_client *client = host->client;
	struct mms_settings settings = client->settings;
	cpu_set_t cores;
	bool alone = sched_getaffinity(0, sizeof(cores), &cores) == 0 && CPU_COUNT(&cores) == 1;

	(void) state;
	settings.spin_us = 70;
	mms_client_configure(client, &settings);
	assert_int_equal(client->spin.limit_us, alone ? 0 : 70);
	client->spin.failures = 3;
	settings.budget_ms++;
	mms_client_configure(client, &settings);
	assert_int_equal(client->settings.budget_ms, settings.budget_ms);
	assert_int_equal(client->spin.limit_us, alone ? 0 : 70);
	assert_int_equal(client->spin.failures, 3);
	settings.spin_us = 0;
	mms_client_configure(client, &settings);
	assert_int_equal(client->spin.limit_us, 0);
	host_free(host);
}

static void nothing_is_freed_without_harm(void **state)
{
	(void) state;
	mms_client_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_with_another_address_is_connected_anew),
		cmocka_unit_test(a_password_file_that_is_missing_is_named),
		cmocka_unit_test(nothing_is_sent_before_it_is_asked_for),
		cmocka_unit_test(a_connection_is_kept_until_it_is_dropped),
		cmocka_unit_test(a_connection_that_owes_an_answer_is_not_used_again),
		cmocka_unit_test(a_name_that_is_not_resolved_is_nobodys_fault),
		cmocka_unit_test(hard_faults_open_at_once_and_wake_the_replicator),
		cmocka_unit_test(soft_faults_open_when_three_come_in_a_row),
		cmocka_unit_test(faults_of_this_process_and_of_keys_open_nothing),
		cmocka_unit_test(a_server_that_takes_no_writes_is_still_read),
		cmocka_unit_test(the_first_answer_of_a_connection_is_no_measure),
		cmocka_unit_test(tmp_keys_are_unique_and_within_the_prefix),
		cmocka_unit_test(the_mask_has_a_bit_for_each_node),
		cmocka_unit_test(one_cluster_too_many_is_refused_with_the_remedy),
		cmocka_unit_test(a_slot_that_can_not_be_claimed_now_is_no_lack_of_slots),
		cmocka_unit_test(an_open_node_is_left_to_the_replicator),
		cmocka_unit_test(another_spin_us_counts_at_once),
		cmocka_unit_test(nothing_is_freed_without_harm),
	};

	return rig_run(tests);
}
