/* What the glue's files share: the module's globals and the way from INI settings to a client. */
#ifndef PHP_MMSESSION_H
#define PHP_MMSESSION_H

#include "php.h"
#include "ext/hash/php_hash.h"
#include "ext/hash/php_hash_sha.h"

#include "../src/mms_client.h"
#include "../src/mms_config.h"
#include "../src/mms_process.h"
#include "../src/mms_store.h"
#include "../src/mms_token.h"

#define PHP_MMSESSION_VERSION "0.1.0"
#define PHP_MMSESSION_CLIENTS_MAX 16 /* clusters that one thread keeps connections to */
#define PHP_MMSESSION_NAMES_MAX 4 /* session names in one request that are told apart */
#define PHP_MMSESSION_TOKENS_MAX (MMS_TOKEN_SLOTS * (MMS_TOKEN_TEXT_MAX + 1)) /* with dots: what is longer tells nothing */

#if PHP_VERSION_ID < 80000
typedef ZEND_RESULT_CODE zend_result;
#define ZEND_ARG_TYPE_INFO_WITH_DEFAULT_VALUE(pass_by_ref, name, type_hint, allow_null, default_value) \
	ZEND_ARG_TYPE_INFO(pass_by_ref, name, type_hint, allow_null)
#endif

extern zend_module_entry mmsession_module_entry;
#define phpext_mmsession_ptr &mmsession_module_entry

/* Of mmsession.token_key_file: where HMAC's two hashes stand once they have taken in the key, which is half of their work. */
struct php_mmsession_token_key {
	bool set;
	PHP_SHA256_CTX inner, outer;
};

/* The token that this thread made last, and behind dots those that came and must stay with the visitor. */
struct php_mmsession_token_own {
	char text[PHP_MMSESSION_TOKENS_MAX];
	size_t len;                       /* of the token alone; 0 = none */
	size_t joined;                    /* with those whose place it takes */
	size_t all;                       /* with those that have cookies of their own, too */
	struct mms_token token;           /* what its text says */
	uint64_t name;                    /* of its session: hash of session.name */
	uint64_t names[PHP_MMSESSION_NAMES_MAX]; /* that sessions of this request have had so far */
	unsigned name_count;
	bool written;                     /* it is among the headers since a write, and the last word since */
	bool asked;                       /* mmsession_token() has returned it */
	size_t place;                     /* of the text in its header's line; 0 = none was made */
	double request;                   /* begin of the request that made it */
};

/* The one among the headers that has to reach the visitor: it tells of a write that is on the local node alone. */
struct php_mmsession_token_relied {
	char text[MMS_TOKEN_TEXT_MAX];
	size_t len, place;                /* len: 0 = none */
};

/* The argument of mmsession_token(). */
struct php_mmsession_token_given {
	char text[PHP_MMSESSION_TOKENS_MAX];
	size_t len;                       /* 0 = none */
	bool cut;
	bool lost;                        /* with what was cut off: a token that has to count on */
	double request;                   /* begin of the request that gave it */
};

ZEND_BEGIN_MODULE_GLOBALS(mmsession)
	/* INI, as given */
	char *tls_ca_file, *tls_cert_file, *tls_key_file;
	zend_long tls_verify;
	char *nodes, *user, *password_file, *prefix, *import_prefix, *host_id, *read, *write_acks, *on_no_quorum;
	zend_long lifetime, connect_timeout_ms, read_timeout_ms, budget_ms, touch_interval, spin_us, max_clock_drift_ms;
	zend_long lock, lock_wait_ms, lock_ttl_ms;
	zend_long max_session_size, mailbox_size, max_clusters, shutdown_drain_ms, repair_rate, repair_interval;
	/* settings made of them: good while neither INI nor save_path have changed */
	uint32_t ini_changes;             /* counts changes of any entry above */
	uint32_t settings_of_change;
	uint32_t settings_serial;         /* counts the times that they were made */
	char *settings_of_path;           /* malloc; NULL = none made yet */
	struct mms_settings *settings;    /* malloc */
	uint64_t fingerprint;
	/* connections of this thread, most recently used first */
	struct mms_client *clients[PHP_MMSESSION_CLIENTS_MAX];
	uint32_t generation;              /* of the process, when the connections were made */
	void *open_handler;               /* of the open session (mod_mmsession.c), NULL = none */
	/* read = session-token */
	char *token_key_file, *token_header; /* INI */
	struct php_mmsession_token_key token_key;
	struct php_mmsession_token_own token_own;
	struct php_mmsession_token_relied token_relied;
	char token_name[192];             /* session.name of the open session, "" = no cookies */
	uint64_t token_name_hash;         /* also without cookies */
	struct php_mmsession_token_given token_given;
	struct mms_visit *token_visit;    /* of the open session, NULL = none; borrowed */
	struct mms_client *token_client;  /* of the session opened last; may be gone */
ZEND_END_MODULE_GLOBALS(mmsession)

ZEND_EXTERN_MODULE_GLOBALS(mmsession)
#define MMSG(v) ZEND_MODULE_GLOBALS_ACCESSOR(mmsession, v)

#if defined(ZTS) && defined(COMPILE_DL_MMSESSION)
ZEND_TSRMLS_CACHE_EXTERN()
#endif

/* The process-wide part, made in MINIT; NULL when that failed, for the reason that the second one gives. */
struct mms_process *php_mmsession_process(void);
const char *php_mmsession_start_error(void);

/* The client for the settings in force and this session.save_path; NULL with an error. No I/O but for the password file,
 * and that only on a thread's first use of a cluster. */
struct mms_client *php_mmsession_client(const char *save_path, struct mms_error *error);

/* At the start of every handler function: in a forked child, closes what the parent opened, without a byte on the wire. One
 * load otherwise. */
void php_mmsession_notice_fork(void);

/* At the end of a request: ends a handler that was never closed. */
void php_mmsession_end_abandoned(void);

/* Frees a thread's connections and settings. */
void php_mmsession_forget(zend_mmsession_globals *globals);

/* Writes one log line for each node that went down, and each notice that was raised, since the last look of any worker (at
 * most one a minute and node or notice). */
void php_mmsession_log_events(struct mms_client *client);

/* Milliseconds of CPU that the replicator's thread may use beside a request of this process; 0 = any. */
uint32_t php_mmsession_cpu_allowance_ms(void);

/* Milliseconds that a session lock lasts if nobody gives it back: mmsession.lock_ttl_ms, or max_execution_time as it is
 * now. */
uint32_t php_mmsession_lock_ttl_ms(void);

/* Session tokens (token.c, token_key.c). None of them does anything unless the store is read by tokens. */
/* Reads mmsession.token_key_file, if there is one (token_key.c), and what signs with it. The key stays where that fails. */
enum mms_status php_mmsession_token_read_key(struct mms_error *error);
struct mms_token_signer php_mmsession_token_signer(void);
/* A handler has been opened: collects what came with the request. */
void php_mmsession_token_open(struct mms_store *store, struct mms_client *client, const char *session_name);
/* At which moments a token is sent. */
enum php_mmsession_token_moment { PHP_MMSESSION_TOKEN_READ, PHP_MMSESSION_TOKEN_WRITTEN, PHP_MMSESSION_TOKEN_CLOSED };
/* Puts the token of the session as it is now among the headers, in place of an earlier one. */
void php_mmsession_token_announce(struct mms_store *store, enum php_mmsession_token_moment moment);
void php_mmsession_token_before_write(struct mms_store *store);
/* The handler is about to be closed. */
void php_mmsession_token_close(struct mms_store *store);
/* The headers are gone, all sessions closed, and nothing of PHP's is left: a write that the headers were to tell of, and do
 * not, is waited for, at most mmsession.budget_ms. Forgets what was the request's. */
void php_mmsession_token_end_request(void);
/* Wipes what a thread has of it. */
void php_mmsession_token_forget(zend_mmsession_globals *globals);

/* INI handlers (settings.c) and what phpinfo() shows (status.c). */
ZEND_INI_MH(php_mmsession_on_text);
ZEND_INI_MH(php_mmsession_on_number);
void php_mmsession_print_info(void);
/* A report of repair.c as an array. */
void php_mmsession_add_repair(zval *list, const struct mms_repair_sh *report);

#endif
