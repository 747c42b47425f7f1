/* mmsession_status(), mmsession_flush() and phpinfo(): what shared memory knows, copied out for people. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "php_mmsession.h"

#include <inttypes.h>

#include "ext/standard/info.h"
#include "php_ini.h"

#include "../src/mms_replicator.h"
#include "../src/mms_reply.h"

static const char *state_name(const struct mms_breaker_sh *breaker)
{
	switch (atomic_load(&breaker->state)) {
	case MMS_BREAKER_CLOSED:
		return "closed";
	case MMS_BREAKER_OPEN:
		return "open";
	default:
		return "half-open";
	}
}

/* How this worker's connection to a node is encrypted, for people; false: by nothing, as the list says. */
static bool describe_tls(const struct mms_client *client, unsigned index, char *text, size_t size)
{
	const struct mms_tls *tls = mms_conn_tls(client->conns[index]);

	if (client->settings.nodes[index].scheme != MMS_SCHEME_TLS) {
		return false;
	}
	if (tls != NULL) {
		mms_tls_describe(tls, text, size);
	} else {
		snprintf(text, size, "not connected%s", client->settings.tls_verify ? "" : ", certificate not verified");
	}
	return true;
}

static void add_node(zval *list, struct mms_client *client, unsigned index)
{
	const struct mms_node_config *config = &client->settings.nodes[index];
	struct mms_node_sh *shared = &client->cluster->nodes[index];
	char text[MMS_BREAKER_TEXT_SIZE], id[17], tls[128];
	struct mms_wall at = mms_breaker_last_error(&shared->breaker, text, sizeof text);
	zval node, repair;

	array_init(&node);
	snprintf(id, sizeof id, "%016" PRIx64, atomic_load(&shared->node_id));
	add_assoc_string(&node, "name", config->name);
	add_assoc_string(&node, "address", config->address);
	add_assoc_string(&node, "role", index == 0 ? "local" : "peer");
	if (describe_tls(client, index, tls, sizeof tls)) {
		add_assoc_string(&node, "tls", tls);
	} else {
		add_assoc_null(&node, "tls");
	}
	add_assoc_string(&node, "state", state_name(&shared->breaker));
	add_assoc_bool(&node, "writable", mms_breaker_allows_write(&shared->breaker));
	add_assoc_bool(&node, "complete", atomic_load(&shared->complete) != 0);
	if (atomic_load(&shared->node_id) != 0) {
		add_assoc_string(&node, "node_id", id);
	} else {
		add_assoc_null(&node, "node_id");
	}
	add_assoc_long(&node, "lag_ms", (zend_long)(atomic_load(&shared->lag_us) / 1000));
	add_assoc_long(&node, "hints", (zend_long)mms_hints_count(&client->cluster->hints, index));
	add_assoc_bool(&node, "behind", atomic_load(&shared->behind) != 0
			|| mms_hints_overflowed(&client->cluster->hints, index));
	add_assoc_bool(&node, "avoided", atomic_load(&shared->avoided) != 0);
	if (at.ms != 0) {
		add_assoc_string(&node, "last_error", text);
		add_assoc_double(&node, "last_error_at", (double)at.ms / 1000.0);
	} else {
		add_assoc_null(&node, "last_error");
		add_assoc_null(&node, "last_error_at");
	}
	add_assoc_long(&node, "latency_us", (zend_long)atomic_load(&shared->breaker.latency_us));
	php_mmsession_add_repair(&repair, &shared->repair);
	add_assoc_zval(&node, "repair", &repair);
	add_next_index_zval(list, &node);
}

static void add_mailbox(zval *status, struct mms_client *client)
{
	struct mms_mailbox_sh *mailbox = &client->cluster->mailbox;
	zval list;

	array_init(&list);
	add_assoc_long(&list, "used", (zend_long)mms_mailbox_used(mailbox));
	add_assoc_long(&list, "size", (zend_long)mailbox->size);
	add_assoc_long(&list, "entries", (zend_long)mms_mailbox_entries(mailbox));
	add_assoc_bool(&list, "stalled", atomic_load(&mailbox->stalled) != 0);
	add_assoc_zval(status, "mailbox", &list);
}

static void add_warning(zval *list, const char *kind, const struct mms_note_sh *note)
{
	char text[MMS_NOTE_TEXT_SIZE];
	int64_t at_ms = mms_note_read(note, text, sizeof text);
	zval warning;

	if (at_ms == 0) {
		return;
	}
	array_init(&warning);
	add_assoc_string(&warning, "kind", kind);
	add_assoc_string(&warning, "text", text);
	add_assoc_double(&warning, "at", (double)at_ms / 1000.0);
	add_assoc_long(&warning, "count", (zend_long)atomic_load(&note->raised_count));
	add_assoc_bool(&warning, "active", atomic_load(&note->active) != 0);
	add_next_index_zval(list, &warning);
}

/* All that was ever noticed; what has ended says so. */
static void add_warnings(zval *status, const struct mms_client *client)
{
	static const char *const kinds[] = MMS_NOTICE_NAMES;
	zval list;

	array_init(&list);
	for (unsigned i = 0; i < MMS_NOTICE_COUNT; i++) {
		add_warning(&list, kinds[i], &client->cluster->notices[i]);
	}
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		add_warning(&list, "node", &client->cluster->nodes[i].warning);
		add_warning(&list, "node", &client->cluster->nodes[i].refusal);
	}
	add_assoc_zval(status, "warnings", &list);
}

static zend_long age_ms(int64_t since_us)
{
	return since_us == 0 ? -1 : (zend_long)(mms_clock_apart(mms_clock_mono().us, since_us) / 1000);
}

static void add_replicator(zval *status, struct mms_client *client)
{
	struct mms_election_sh *election = &client->cluster->election;
	zval list;

	array_init(&list);
	add_assoc_long(&list, "pid", atomic_load(&election->owner_pid));
	add_assoc_long(&list, "age_ms", age_ms(atomic_load(&election->since_us)));
	add_assoc_long(&list, "beat_ms", age_ms(atomic_load(&election->beat_us)));
	add_assoc_long(&list, "epoch", (zend_long)(atomic_load(&client->cluster->mailbox.tail) >> 56));
	add_assoc_zval(status, "replicator", &list);
}

static struct mms_client *current_client(struct mms_error *error)
{
	return php_mmsession_client(zend_ini_string("session.save_path", sizeof "session.save_path" - 1, 0), error);
}

PHP_FUNCTION(mmsession_status)
{
	struct mms_error error = { "" };
	struct mms_client *client;
	char fingerprint[17];
	zval nodes, counters, sweep;

	ZEND_PARSE_PARAMETERS_NONE();
	client = current_client(&error);
	array_init(return_value);
	add_assoc_string(return_value, "version", PHP_MMSESSION_VERSION);
	if (client == NULL) {
		add_assoc_string(return_value, "error", error.text);
		return;
	}
	snprintf(fingerprint, sizeof fingerprint, "%016" PRIx64, client->fingerprint);
	add_assoc_string(return_value, "host_id", client->settings.host_id);
	add_assoc_string(return_value, "cluster", fingerprint);
	array_init(&nodes);
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		add_node(&nodes, client, i);
	}
	add_assoc_zval(return_value, "nodes", &nodes);
	add_mailbox(return_value, client);
	add_replicator(return_value, client);
	php_mmsession_add_repair(&sweep, &client->cluster->sweep);
	add_assoc_zval(return_value, "sweep", &sweep);
	add_warnings(return_value, client);
	array_init(&counters);
	for (unsigned i = 0; i < MMS_METRIC_COUNT; i++) {
		add_assoc_long(&counters, mms_metrics_name((enum mms_metric)i),
				(zend_long)mms_metrics_get(&client->cluster->metrics, (enum mms_metric)i));
	}
	add_assoc_zval(return_value, "counters", &counters);
}

/* Every cluster that this worker has a connection to, under one deadline. */
static bool flush_all(uint32_t timeout_ms)
{
	struct mms_mono until = { mms_clock_mono().us + (int64_t)timeout_ms * 1000 };
	bool flushed = true;

	for (unsigned i = 0; i < PHP_MMSESSION_CLIENTS_MAX && MMSG(clients)[i] != NULL; i++) {
		struct mms_client *client = MMSG(clients)[i];
		int64_t left_us = mms_clock_left_us(mms_clock_mono(), until);

		flushed = mms_process_flush(php_mmsession_process(), client->cluster, &client->settings,
				(uint32_t)((left_us + 999) / 1000)) && flushed;
	}
	return flushed;
}

PHP_FUNCTION(mmsession_flush)
{
	struct mms_error error = { "" };
	struct mms_client *client;
	zend_long timeout_ms = 1000;

	ZEND_PARSE_PARAMETERS_START(0, 1)
		Z_PARAM_OPTIONAL
		Z_PARAM_LONG(timeout_ms)
	ZEND_PARSE_PARAMETERS_END();
	if (timeout_ms < 0 || timeout_ms > 3600000) {
#if PHP_VERSION_ID >= 80000
		zend_argument_value_error(1, "must be between 0 and 3600000");
		RETURN_THROWS();
#else
		php_error_docref(NULL, E_WARNING, "timeout_ms must be between 0 and 3600000");
		RETURN_FALSE;
#endif
	}
	client = current_client(&error);
	if (client == NULL) {
		php_error_docref(NULL, E_WARNING, "mmsession: %s", error.text);
		RETURN_FALSE;
	}
	RETURN_BOOL(flush_all((uint32_t)timeout_ms));
}

void php_mmsession_print_info(void)
{
	struct mms_error error = { "" };
	struct mms_client *client;

	php_info_print_table_start();
	php_info_print_table_row(2, "mmsession", PHP_MMSESSION_VERSION);
	php_info_print_table_row(2, "hiredis", mms_reply_library_version());
	php_info_print_table_row(2, "libevent", mms_replicator_library_version());
	php_info_print_table_row(2, "TLS", mms_tls_library_version());
	/* With another save handler it has nothing to show, and must not take one of the cluster slots for it. PHP takes the name in
	 * either case. */
	if (!mms_slice_is(mms_slice_of(zend_ini_string("session.save_handler", sizeof "session.save_handler" - 1, 0)), "mmsession")) {
		php_info_print_table_row(2, "configuration", "session.save_handler is not mmsession");
		php_info_print_table_end();
		return;
	}
	client = current_client(&error);
	if (client == NULL) {
		php_info_print_table_row(2, "configuration", error.text);
		php_info_print_table_end();
		return;
	}
	php_info_print_table_row(2, "host id", client->settings.host_id);
	php_info_print_table_end();
	php_info_print_table_start();
	php_info_print_table_header(6, "node", "address", "TLS", "role", "state", "lag ms");
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		struct mms_node_sh *shared = &client->cluster->nodes[i];
		char lag[32], tls[128];

		snprintf(lag, sizeof lag, "%" PRId64, atomic_load(&shared->lag_us) / 1000);
		php_info_print_table_row(6, client->settings.nodes[i].name, client->settings.nodes[i].address,
				describe_tls(client, i, tls, sizeof tls) ? tls : "none", i == 0 ? "local" : "peer", state_name(&shared->breaker), lag);
	}
	php_info_print_table_end();
	php_info_print_table_start();
	php_info_print_table_header(2, "counter", "value");
	for (unsigned i = 0; i < MMS_METRIC_COUNT; i++) {
		char value[32];

		snprintf(value, sizeof value, "%" PRIu64, mms_metrics_get(&client->cluster->metrics, (enum mms_metric)i));
		php_info_print_table_row(2, mms_metrics_name((enum mms_metric)i), value);
	}
	php_info_print_table_end();
}
