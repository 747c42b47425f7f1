/* From INI entries to mms_settings to a client. Settings are made anew only when an entry or save_path has changed. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "php_mmsession.h"

#include <unistd.h>

#include "php_ini.h"
#include "php_main.h"

#include "../src/mms_explain.h"
#include "../src/mms_lease.h"

#define CPU_ALLOWANCE_MAX_MS 200 /* of the replicator's thread, per request beside it */

struct number_range {
	const char *name;
	uint64_t min, max;
};

static const struct number_range ranges[] = {
	{ "mmsession.lock_wait_ms", 0, MMS_LOCK_WAIT_MAX_MS },
	{ "mmsession.lock_ttl_ms", 0, MMS_LOCK_TTL_MAX_MS },
	{ "mmsession.lifetime", 0, MMS_LIFETIME_MAX_S },
	{ "mmsession.connect_timeout_ms", 1, MMS_TIMEOUT_MAX_MS },
	{ "mmsession.read_timeout_ms", 1, MMS_TIMEOUT_MAX_MS },
	{ "mmsession.budget_ms", 1, MMS_BUDGET_MAX_MS },
	{ "mmsession.touch_interval", 0, MMS_TOUCH_INTERVAL_MAX_S },
	{ "mmsession.spin_us", 0, MMS_SPIN_MAX_US },
	{ "mmsession.max_clock_drift_ms", 1, MMS_CLOCK_DRIFT_MAX_MS },
	{ "mmsession.max_session_size", 1024, MMS_SESSION_SIZE_MAX },
	{ "mmsession.mailbox_size", 65536, 4ull << 30 },
	{ "mmsession.max_clusters", 1, 64 },
	{ "mmsession.shutdown_drain_ms", 0, MMS_DRAIN_MAX_MS },
	{ "mmsession.repair_rate", 65536, MMS_REPAIR_RATE_MAX },
	{ "mmsession.repair_interval", 0, MMS_REPAIR_INTERVAL_MAX_S },
};

static const char *const switches[] = { "mmsession.lock", "mmsession.tls_verify" };

static char *ini_base(zend_ini_entry *entry, void *mh_arg1, void *mh_arg2)
{
	(void)entry;
	(void)mh_arg1;
#ifdef ZTS
	return (char *)ts_resource(*((int *)mh_arg2));
#else
	return (char *)mh_arg2;
#endif
}

static void refuse(int stage, const char *name, const char *why)
{
	int level = stage == ZEND_INI_STAGE_STARTUP ? E_CORE_WARNING : E_WARNING;

	/* Some reasons begin with the setting's name themselves. */
	zend_error(level, "mmsession: %s%s%s; %s", strncmp(why, name, strlen(name)) == 0 ? "" : name,
			strncmp(why, name, strlen(name)) == 0 ? "" : ": ", why,
			stage == ZEND_INI_STAGE_STARTUP ? "the default is used" : "the old value stays");
}

/* "mmsession.password_file" and the like. */
static bool names_file(const char *name)
{
	size_t len = strlen(name);

	return len > 5 && strcmp(name + len - 5, "_file") == 0;
}

/* Text entries are checked as far as they can be checked alone; the node list is when a session opens. */
ZEND_INI_MH(php_mmsession_on_text)
{
	char **field = (char **)(ini_base(entry, mh_arg1, mh_arg2) + (size_t)mh_arg1);
	struct mms_slice text = { new_value ? ZSTR_VAL(new_value) : "", new_value ? ZSTR_LEN(new_value) : 0 };
	const char *name = ZSTR_VAL(entry->name);
	struct mms_error error = { "" };
	enum mms_status status = MMS_OK;
	uint32_t value;

	(void)mh_arg3;
	if (strcmp(name, "mmsession.read") == 0) {
		status = mms_config_parse_read_mode(text, &value, &error);
	} else if (strcmp(name, "mmsession.write_acks") == 0) {
		status = mms_config_parse_write_acks(text, &value, &error);
	} else if (strcmp(name, "mmsession.on_no_quorum") == 0) {
		status = mms_config_parse_no_quorum(text, &value, &error);
	} else if (strcmp(name, "mmsession.prefix") == 0 || strcmp(name, "mmsession.import_prefix") == 0) {
		status = mms_config_check_prefix(text, &error);
	} else if (strcmp(name, "mmsession.host_id") == 0 && text.len > 0) {
		status = mms_config_check_host_id(text, &error);
	} else if (strcmp(name, "mmsession.user") == 0 && text.len >= sizeof(((struct mms_settings *)0)->user)) {
		mms_error_set(&error, "longer than 63 bytes");
		status = MMS_ERR_CONFIG;
	} else if (strcmp(name, "mmsession.token_header") == 0 && text.len > 0) {
		status = mms_config_check_header_name(text, &error);
	} else if (names_file(name) && text.len >= MMS_PATH_MAX) {
		mms_error_set(&error, "path longer than %d bytes", MMS_PATH_MAX - 1);
		status = MMS_ERR_CONFIG;
	}
	if (status != MMS_OK) {
		refuse(stage, name, error.text);
		return FAILURE;
	}
	*field = new_value ? ZSTR_VAL(new_value) : NULL;
	((zend_mmsession_globals *)ini_base(entry, mh_arg1, mh_arg2))->ini_changes++;
	return SUCCESS;
}

ZEND_INI_MH(php_mmsession_on_number)
{
	zend_long *field = (zend_long *)(ini_base(entry, mh_arg1, mh_arg2) + (size_t)mh_arg1);
	struct mms_slice text = { new_value ? ZSTR_VAL(new_value) : "", new_value ? ZSTR_LEN(new_value) : 0 };
	struct mms_error error = { "" };
	uint64_t value = 0;

	(void)mh_arg3;
	for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
		if (strcmp(switches[i], ZSTR_VAL(entry->name)) == 0 && mms_config_parse_switch(text, &value, &error) != MMS_OK) {
			refuse(stage, switches[i], error.text);
			return FAILURE;
		}
	}
	for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
		if (strcmp(ranges[i].name, ZSTR_VAL(entry->name)) != 0) {
			continue;
		}
		if (mms_config_parse_number(text, ranges[i].name, ranges[i].min, ranges[i].max, &value, &error) != MMS_OK) {
			refuse(stage, ranges[i].name, error.text);
			return FAILURE;
		}
	}
	*field = (zend_long)value;
	((zend_mmsession_globals *)ini_base(entry, mh_arg1, mh_arg2))->ini_changes++;
	return SUCCESS;
}

static enum mms_status fill_texts(struct mms_settings *settings, struct mms_error *error)
{
	struct mms_slice read_mode = mms_slice_of(MMSG(read)), acks = mms_slice_of(MMSG(write_acks));
	enum mms_status status = mms_config_parse_read_mode(read_mode, &settings->read_mode, error);

	if (status == MMS_OK) {
		status = mms_config_parse_write_acks(acks, &settings->write_acks, error);
	}
	if (status == MMS_OK) {
		status = mms_config_parse_no_quorum(mms_slice_of(MMSG(on_no_quorum)), &settings->on_no_quorum, error);
	}
	snprintf(settings->prefix, sizeof settings->prefix, "%s", MMSG(prefix) ? MMSG(prefix) : "");
	snprintf(settings->import_prefix, sizeof settings->import_prefix, "%s", MMSG(import_prefix) ? MMSG(import_prefix) : "");
	if (status == MMS_OK) { /* not when it is set: refused there, the default would be used, by several applications perhaps */
		status = mms_config_check_own_prefix(mms_slice_of(settings->prefix), error);
	}
	if (status == MMS_OK) {
		status = mms_config_check_together(settings, error);
	}
	if (status == MMS_OK && settings->read_mode == MMS_READ_TOKEN) {
		status = php_mmsession_token_read_key(error);
	}
	snprintf(settings->user, sizeof settings->user, "%s", MMSG(user) ? MMSG(user) : "");
	snprintf(settings->password_file, sizeof settings->password_file, "%s",
			MMSG(password_file) ? MMSG(password_file) : "");
	snprintf(settings->tls_ca_file, sizeof settings->tls_ca_file, "%s", MMSG(tls_ca_file) ? MMSG(tls_ca_file) : "");
	snprintf(settings->tls_cert_file, sizeof settings->tls_cert_file, "%s", MMSG(tls_cert_file) ? MMSG(tls_cert_file) : "");
	snprintf(settings->tls_key_file, sizeof settings->tls_key_file, "%s", MMSG(tls_key_file) ? MMSG(tls_key_file) : "");
	settings->tls_verify = MMSG(tls_verify) != 0;
	if (MMSG(host_id) != NULL && MMSG(host_id)[0] != '\0') {
		snprintf(settings->host_id, sizeof settings->host_id, "%s", MMSG(host_id));
	} else if (gethostname(settings->host_id, sizeof settings->host_id) != 0 || settings->host_id[0] == '\0') {
		snprintf(settings->host_id, sizeof settings->host_id, "localhost");
	}
	settings->host_hash = mms_crc32c(0, settings->host_id, strlen(settings->host_id));
	return status;
}

static enum mms_status make_settings(const char *save_path, struct mms_settings *settings, struct mms_error *error)
{
	const char *list = MMSG(nodes) != NULL && MMSG(nodes)[0] != '\0' ? MMSG(nodes) : save_path;
	enum mms_status status;

	memset(settings, 0, sizeof *settings);
	status = mms_config_parse_nodes(mms_slice_of(list), settings, error);
	if (status == MMS_OK) {
		status = fill_texts(settings, error);
	}
	settings->lock = (uint32_t)MMSG(lock);
	settings->lock_wait_ms = (uint32_t)MMSG(lock_wait_ms);
	settings->lock_ttl_ms = (uint32_t)MMSG(lock_ttl_ms);
	settings->lifetime_s = (uint32_t)MMSG(lifetime);
	settings->connect_timeout_ms = (uint32_t)MMSG(connect_timeout_ms);
	settings->read_timeout_ms = (uint32_t)MMSG(read_timeout_ms);
	settings->budget_ms = (uint32_t)MMSG(budget_ms);
	settings->touch_interval_s = (uint32_t)MMSG(touch_interval);
	settings->spin_us = (uint32_t)MMSG(spin_us);
	settings->max_clock_drift_ms = (uint32_t)MMSG(max_clock_drift_ms);
	settings->max_session_size = (uint32_t)MMSG(max_session_size);
	settings->shutdown_drain_ms = (uint32_t)MMSG(shutdown_drain_ms);
	settings->repair_rate = (uint64_t)MMSG(repair_rate);
	settings->repair_interval_s = (uint32_t)MMSG(repair_interval);
	return status;
}

static enum mms_status refresh_settings(const char *save_path, struct mms_error *error)
{
	enum mms_status status;

	if (MMSG(settings_of_path) != NULL && MMSG(settings_of_change) == MMSG(ini_changes)
			&& strcmp(MMSG(settings_of_path), save_path) == 0) {
		return MMS_OK;
	}
	free(MMSG(settings_of_path));
	MMSG(settings_of_path) = NULL;
	if (MMSG(settings) == NULL) {
		MMSG(settings) = malloc(sizeof *MMSG(settings));
	}
	if (MMSG(settings) == NULL) {
		mms_error_set(error, "out of memory");
		return MMS_ERR_MEMORY;
	}
	status = make_settings(save_path, MMSG(settings), error);
	if (status == MMS_OK) {
		MMSG(fingerprint) = mms_config_fingerprint(MMSG(settings));
		MMSG(settings_of_change) = MMSG(ini_changes);
		MMSG(settings_of_path) = strdup(save_path);
		MMSG(settings_serial)++;
	}
	return status;
}

void php_mmsession_notice_fork(void)
{
	uint32_t generation = mms_process_generation(php_mmsession_process());

	if (generation == MMSG(generation)) {
		return;
	}
	MMSG(generation) = generation;
	for (unsigned i = 0; i < PHP_MMSESSION_CLIENTS_MAX && MMSG(clients)[i] != NULL; i++) {
		mms_client_drop_connections(MMSG(clients)[i]);
	}
}

static struct mms_client *find_client(uint64_t fingerprint)
{
	for (unsigned i = 0; i < PHP_MMSESSION_CLIENTS_MAX && MMSG(clients)[i] != NULL; i++) {
		struct mms_client *client = MMSG(clients)[i];

		if (client->fingerprint == fingerprint) {
			memmove(&MMSG(clients)[1], &MMSG(clients)[0], i * sizeof MMSG(clients)[0]);
			MMSG(clients)[0] = client;
			return client;
		}
	}
	return NULL;
}

/* Puts a new client first. With no place left, the one not used for longest goes; never one that a handler holds. */
static void keep_client(struct mms_client *client)
{
	unsigned last = PHP_MMSESSION_CLIENTS_MAX - 1;

	while (last > 0 && MMSG(clients)[last] != NULL && MMSG(clients)[last]->users > 0) {
		last--;
	}
	mms_client_free(MMSG(clients)[last]);
	memmove(&MMSG(clients)[1], &MMSG(clients)[0], last * sizeof MMSG(clients)[0]);
	MMSG(clients)[0] = client;
}

struct mms_client *php_mmsession_client(const char *save_path, struct mms_error *error)
{
	struct mms_client *client;

	if (php_mmsession_process() == NULL) {
		mms_error_set(error, "its start failed: %s", php_mmsession_start_error());
		return NULL;
	}
	php_mmsession_notice_fork();
	if (refresh_settings(save_path != NULL ? save_path : "", error) != MMS_OK) {
		return NULL;
	}
	client = find_client(MMSG(fingerprint));
	if (client != NULL) {
		/* The same cluster, but time-outs or modes may be others. An open session goes on with those that it was opened with,
		 * whoever asks in the midst of it (mmsession_status()). */
		if (client->settings_serial != MMSG(settings_serial) && client->users == 0) {
			mms_client_configure(client, MMSG(settings));
			client->settings_serial = MMSG(settings_serial);
		}
		return client;
	}
	client = mms_client_new(mms_process_shm(php_mmsession_process()), MMSG(settings), MMSG(fingerprint), error);
	if (client != NULL) {
		client->settings_serial = MMSG(settings_serial);
		keep_client(client);
	}
	return client;
}

void php_mmsession_forget(zend_mmsession_globals *globals)
{
	for (unsigned i = 0; i < PHP_MMSESSION_CLIENTS_MAX; i++) {
		mms_client_free(globals->clients[i]);
		globals->clients[i] = NULL;
	}
	php_mmsession_token_forget(globals);
	free(globals->settings_of_path);
	free(globals->settings);
	globals->settings_of_path = NULL;
	globals->settings = NULL;
}

static void log_note(struct mms_note_sh *note)
{
	char text[MMS_NOTE_TEXT_SIZE], line[MMS_NOTE_TEXT_SIZE + 32];

	if (!mms_note_pending(note) || !mms_note_take_event(note, mms_clock_mono().us)) {
		return;
	}
	(void)mms_note_read(note, text, sizeof text);
	snprintf(line, sizeof line, "mmsession: %s", text);
	php_log_err(line);
}

void php_mmsession_log_events(struct mms_client *client)
{
	if (!PG(log_errors)) {
		return; /* what this worker took would be missing in the log of the one that writes it */
	}
	for (unsigned i = 0; i < MMS_NOTICE_COUNT; i++) {
		log_note(&client->cluster->notices[i]);
	}
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		struct mms_breaker_sh *breaker = &client->cluster->nodes[i].breaker;
		char text[MMS_BREAKER_TEXT_SIZE], line[MMS_BREAKER_TEXT_SIZE + MMS_EXPLAIN_CONSEQUENCE_MAX + 32];

		log_note(&client->cluster->nodes[i].warning);
		log_note(&client->cluster->nodes[i].refusal);
		if (!mms_note_pending(&breaker->note) || !mms_breaker_take_event(breaker, mms_clock_mono())) {
			continue;
		}
		(void)mms_breaker_last_error(breaker, text, sizeof text);
		snprintf(line, sizeof line, "mmsession: %s; %s", text, mms_explain_consequence(client, i));
		php_log_err(line);
	}
}

uint32_t php_mmsession_lock_ttl_ms(void)
{
	zend_long limit_s;

	if (MMSG(lock_ttl_ms) > 0) {
		return (uint32_t)MMSG(lock_ttl_ms);
	}
	limit_s = zend_ini_long("max_execution_time", sizeof "max_execution_time" - 1, 0); /* set_time_limit() changes it too */
	if (limit_s <= 0) {
		return MMS_LEASE_TTL_MS;
	}
	return limit_s < MMS_LOCK_TTL_MAX_MS / 1000 ? (uint32_t)limit_s * 1000 : MMS_LOCK_TTL_MAX_MS;
}

uint32_t php_mmsession_cpu_allowance_ms(void)
{
#ifdef ZTS
	return 0; /* max_execution_time counts each thread's own CPU time there, or wall time */
#else
	zend_long limit_s = EG(timeout_seconds);

	/* A tenth of max_execution_time, of which the request beside the thread would be robbed at most; little enough for a
	 * set_time_limit() that comes later. */
	if (limit_s <= 0 || limit_s >= 1000000) {
		return 0;
	}
	return limit_s * 100 < CPU_ALLOWANCE_MAX_MS ? (uint32_t)limit_s * 100 : CPU_ALLOWANCE_MAX_MS;
#endif
}
