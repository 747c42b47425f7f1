/* Module entry, INI and life cycle. The shared mapping is made in MINIT, before any fork; threads and sockets never are.
 * Nothing per session is freed in RSHUTDOWN: it runs before the session's last write, post_deactivate after it. Nor is
 * anything set in RINIT: with session.auto_start the session is open by then. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "php_mmsession.h"

#include "ext/session/php_session.h"
#include "ext/standard/info.h"
#include "php_ini.h"

#include "mmsession_arginfo.h"

ZEND_DECLARE_MODULE_GLOBALS(mmsession)

extern const ps_module ps_mod_mmsession;

/* One per process, ZTS or not: written in MINIT and MSHUTDOWN only. */
static struct mms_process *mmsession_process;
static struct mms_error mmsession_start_error; /* why there is none */

struct mms_process *php_mmsession_process(void)
{
	return mmsession_process;
}

const char *php_mmsession_start_error(void)
{
	return mmsession_start_error.text;
}

#define MMS_TEXT(name, default_value, where) \
	STD_PHP_INI_ENTRY("mmsession." #name, default_value, where, php_mmsession_on_text, name, \
			zend_mmsession_globals, mmsession_globals)
#define MMS_NUMBER(name, default_value, where) \
	STD_PHP_INI_ENTRY("mmsession." #name, default_value, where, php_mmsession_on_number, name, \
			zend_mmsession_globals, mmsession_globals)

PHP_INI_BEGIN()
	MMS_TEXT(nodes, "", PHP_INI_PERDIR)
	MMS_TEXT(user, "", PHP_INI_SYSTEM)
	MMS_TEXT(password_file, "", PHP_INI_SYSTEM)
	MMS_TEXT(tls_ca_file, "", PHP_INI_SYSTEM)
	MMS_TEXT(tls_cert_file, "", PHP_INI_SYSTEM)
	MMS_TEXT(tls_key_file, "", PHP_INI_SYSTEM)
	MMS_NUMBER(tls_verify, "1", PHP_INI_SYSTEM)
	MMS_TEXT(prefix, "mms:", PHP_INI_ALL)
	MMS_TEXT(import_prefix, "", PHP_INI_ALL)
	MMS_TEXT(host_id, "", PHP_INI_SYSTEM)
	MMS_TEXT(read, "newest", PHP_INI_ALL)
	MMS_TEXT(token_key_file, "", PHP_INI_SYSTEM)
	MMS_TEXT(token_header, "", PHP_INI_ALL)
	MMS_TEXT(write_acks, "1", PHP_INI_ALL)
	MMS_TEXT(on_no_quorum, "fail", PHP_INI_ALL)
	MMS_NUMBER(lock, "0", PHP_INI_ALL)
	MMS_NUMBER(lock_wait_ms, "10000", PHP_INI_ALL)
	MMS_NUMBER(lock_ttl_ms, "0", PHP_INI_ALL)
	MMS_NUMBER(lifetime, "0", PHP_INI_ALL)
	MMS_NUMBER(connect_timeout_ms, "50", PHP_INI_ALL)
	MMS_NUMBER(read_timeout_ms, "100", PHP_INI_ALL)
	MMS_NUMBER(budget_ms, "250", PHP_INI_ALL)
	MMS_NUMBER(touch_interval, "60", PHP_INI_ALL)
	MMS_NUMBER(spin_us, "50", PHP_INI_ALL)
	MMS_NUMBER(max_clock_drift_ms, "500", PHP_INI_ALL)
	MMS_NUMBER(max_session_size, "16M", PHP_INI_ALL)
	MMS_NUMBER(mailbox_size, "32M", PHP_INI_SYSTEM)
	MMS_NUMBER(max_clusters, "8", PHP_INI_SYSTEM)
	MMS_NUMBER(shutdown_drain_ms, "1000", PHP_INI_SYSTEM)
	MMS_NUMBER(repair_rate, "16M", PHP_INI_SYSTEM)
	MMS_NUMBER(repair_interval, "86400", PHP_INI_SYSTEM)
PHP_INI_END()

static PHP_GINIT_FUNCTION(mmsession)
{
#if defined(COMPILE_DL_MMSESSION) && defined(ZTS)
	ZEND_TSRMLS_CACHE_UPDATE();
#endif
	memset(mmsession_globals, 0, sizeof *mmsession_globals);
}

static PHP_GSHUTDOWN_FUNCTION(mmsession)
{
	php_mmsession_forget(mmsession_globals);
}

/* What MSHUTDOWN leaves: threads' globals, which end after it, give back their places in the mapping. A web server that restarts PHP
 * within one process (mod_php) would have one mapping more each time, and all its descriptors. Written there, and here. */
static struct {
	struct mms_shm *shm;
	struct mms_shm_shape shape;
} left;

/* When PHP starts again, or the process ends: the module is never unloaded (config.m4). */
static void __attribute__((destructor)) unmap_left(void)
{
	if (left.shm != NULL) {
		(void)mms_shm_mend(left.shm, &left.shape, NULL); /* others may have written to it since */
		mms_shm_unmap(left.shm);
		left.shm = NULL;
	}
}

static PHP_MINIT_FUNCTION(mmsession)
{
	(void)type;
	unmap_left();
	REGISTER_INI_ENTRIES();
	mmsession_process = mms_process_new((uint32_t)MMSG(max_clusters), (uint64_t)MMSG(mailbox_size), &mmsession_start_error);
	if (mmsession_process == NULL) {
		/* A module that fails here ends PHP, for scripts without sessions too. Sessions fail when they are opened. */
		zend_error(E_CORE_WARNING, "mmsession: no session can be opened: %s", mmsession_start_error.text);
	}
	return php_session_register_module(&ps_mod_mmsession) == 0 ? SUCCESS : FAILURE;
}

static PHP_MSHUTDOWN_FUNCTION(mmsession)
{
	struct mms_process *process = mmsession_process;
	struct mms_shm *shm = process == NULL ? NULL : mms_process_shm(process);

	(void)type;
	mmsession_process = NULL;
	if (shm != NULL) {
		mms_shm_remember(shm, &left.shape);
	}
	if (mms_process_end(process, (uint32_t)MMSG(shutdown_drain_ms))) {
		left.shm = shm;
	}
	UNREGISTER_INI_ENTRIES();
	return SUCCESS;
}

static PHP_RINIT_FUNCTION(mmsession)
{
	(void)type;
	(void)module_number;
#if defined(COMPILE_DL_MMSESSION) && defined(ZTS)
	ZEND_TSRMLS_CACHE_UPDATE();
#endif
	return SUCCESS;
}

static ZEND_MODULE_POST_ZEND_DEACTIVATE_D(mmsession)
{
	php_mmsession_end_abandoned();
	php_mmsession_token_end_request();
	return SUCCESS;
}

static PHP_MINFO_FUNCTION(mmsession)
{
	(void)zend_module;
	php_mmsession_print_info();
	DISPLAY_INI_ENTRIES();
}

static const zend_module_dep mmsession_deps[] = {
	ZEND_MOD_REQUIRED("session")
	ZEND_MOD_END
};

zend_module_entry mmsession_module_entry = {
	STANDARD_MODULE_HEADER_EX, NULL, mmsession_deps,
	"mmsession",
	ext_functions,
	PHP_MINIT(mmsession),
	PHP_MSHUTDOWN(mmsession),
	PHP_RINIT(mmsession),
	NULL,
	PHP_MINFO(mmsession),
	PHP_MMSESSION_VERSION,
	PHP_MODULE_GLOBALS(mmsession),
	PHP_GINIT(mmsession),
	PHP_GSHUTDOWN(mmsession),
	ZEND_MODULE_POST_ZEND_DEACTIVATE_N(mmsession),
	STANDARD_MODULE_PROPERTIES_EX
};

#ifdef COMPILE_DL_MMSESSION
#ifdef ZTS
ZEND_TSRMLS_CACHE_DEFINE()
#endif
ZEND_GET_MODULE(mmsession)
#endif
