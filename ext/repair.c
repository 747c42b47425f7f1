/* mmsession_repair(), and the report of a node's latest repair scan for it and for mmsession_status(). */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "php_mmsession.h"

#include <inttypes.h>

#include "php_ini.h"

#define LEFT_MAX_MS 315360000000 /* ten years: a guess beyond says nothing */

/* Monotonic microseconds as Unix seconds. */
static double unix_time(int64_t mono_us)
{
	return (double)mms_clock_wall().ms / 1000.0 - (double)mms_clock_apart(mms_clock_mono().us, mono_us) / 1e6;
}

/* Milliseconds until it will be done at the pace so far, -1 = not known. */
static int64_t left_ms(const struct mms_repair_sh *report)
{
	uint64_t total = atomic_load(&report->total), walked = atomic_load(&report->walked);
	int64_t passed_us = mms_clock_apart(mms_clock_mono().us, atomic_load(&report->started_us));
	double left;

	if (total == 0 || walked == 0 || passed_us < 0) {
		return -1;
	}
	left = walked >= total ? 0 : (double)passed_us / 1000.0 * (double)(total - walked) / (double)walked;
	return left < (double)LEFT_MAX_MS ? (int64_t)left : -1;
}

void php_mmsession_add_repair(zval *list, const struct mms_repair_sh *report)
{
	bool running = atomic_load(&report->running) != 0;
	int64_t started_us = atomic_load(&report->started_us), ended_us = atomic_load(&report->ended_us);
	int64_t left = running ? left_ms(report) : -1;

	array_init(list);
	add_assoc_bool(list, "running", running);
	add_assoc_bool(list, "pending", atomic_load(&report->wanted) != atomic_load(&report->served));
	add_assoc_long(list, "finished", (zend_long)atomic_load(&report->finished));
	add_assoc_long(list, "scanned", (zend_long)atomic_load(&report->scanned));
	add_assoc_long(list, "moved", (zend_long)atomic_load(&report->moved));
	add_assoc_long(list, "bytes", (zend_long)atomic_load(&report->bytes));
	if (started_us != 0) {
		add_assoc_double(list, "started_at", unix_time(started_us));
	} else {
		add_assoc_null(list, "started_at");
	}
	if (!running && ended_us != 0) {
		add_assoc_double(list, "ended_at", unix_time(ended_us));
	} else {
		add_assoc_null(list, "ended_at");
	}
	if (left >= 0) {
		add_assoc_double(list, "estimated_end", unix_time(mms_clock_mono().us + left * 1000));
	} else {
		add_assoc_null(list, "estimated_end");
	}
}

static bool is_called(const struct mms_client *client, unsigned index, const char *name)
{
	char id[17];

	snprintf(id, sizeof id, "%016" PRIx64, atomic_load(&client->cluster->nodes[index].node_id));
	return strcmp(client->settings.nodes[index].name, name) == 0
			|| strcmp(client->settings.nodes[index].address, name) == 0 || strcmp(id, name) == 0;
}

static void ask(struct mms_repair_sh *report)
{
	uint32_t wanted = atomic_load(&report->wanted);

	/* One that is running for another reason began before this was asked, and may have passed what it is asked for. */
	if (wanted == atomic_load(&report->served)) {
		(void)atomic_compare_exchange_strong(&report->wanted, &wanted, wanted + 1);
	}
}

PHP_FUNCTION(mmsession_repair)
{
	struct mms_error error = { "" };
	struct mms_client *client;
	char *name = NULL;
	size_t name_len = 0;
	bool found = false;

	ZEND_PARSE_PARAMETERS_START(0, 1)
		Z_PARAM_OPTIONAL
#if PHP_VERSION_ID >= 80000
		Z_PARAM_STRING_OR_NULL(name, name_len)
#else
		Z_PARAM_STRING_EX(name, name_len, 1, 0)
#endif
	ZEND_PARSE_PARAMETERS_END();
	(void)name_len;
	array_init(return_value);
	client = php_mmsession_client(zend_ini_string("session.save_path", sizeof "session.save_path" - 1, 0), &error);
	if (client == NULL) {
		php_error_docref(NULL, E_WARNING, "mmsession: %s", error.text);
		return;
	}
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		struct mms_repair_sh *report = &client->cluster->nodes[i].repair;
		zval entry;

		if (name == NULL || is_called(client, i, name)) {
			found = true;
			ask(report);
			php_mmsession_add_repair(&entry, report);
			/* As a script would set it: a name of digits alone is a number among the keys of an array. */
			zend_symtable_str_update(Z_ARRVAL_P(return_value), client->settings.nodes[i].name,
					strlen(client->settings.nodes[i].name), &entry);
		}
	}
	if (!found) {
		php_error_docref(NULL, E_WARNING, "mmsession: no node is called \"%s\"; give a name, an address or a node_id of "
				"mmsession_status()", name);
		return;
	}
	mms_process_tend(php_mmsession_process(), client->cluster, &client->settings, php_mmsession_cpu_allowance_ms());
	mms_shm_kick(client->cluster);
}
