/* The nine save handler functions. What PHP demands of each is noted beside it; the rules of sessions are in src/. One
 * handler struct lives from open to close and remembers the bytes that read returned, so that unchanged data is
 * recognised also when it comes back through a plain write (every SessionHandler wrapper does that). */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "php_mmsession.h"

#include "ext/session/php_session.h"
#include "php_ini.h"

#include "../src/mms_store.h"

#define CREATE_TRIES 3

struct handler {
	struct mms_store *store;
	struct mms_client *client;
	zend_string *read_id;   /* what read_data belongs to: the open session */
	zend_string *read_data; /* as stored on the nodes now, NULL = unknown */
	zend_string *reading_id; /* whose read has begun and not come back; where memory ran out in it, it never will */
};

PS_FUNCS_UPDATE_TIMESTAMP(mmsession);

const ps_module ps_mod_mmsession = { PS_MOD_UPDATE_TIMESTAMP(mmsession) };

static struct mms_slice slice_of(const zend_string *text)
{
	return (struct mms_slice){ ZSTR_VAL(text), ZSTR_LEN(text) };
}

static void remember(struct handler *handler, zend_string *id, zend_string *data)
{
	if (id != NULL) {
		zend_string_addref(id);
	}
	if (data != NULL) {
		zend_string_addref(data);
	}
	if (handler->read_id != NULL) {
		zend_string_release(handler->read_id);
	}
	if (handler->read_data != NULL) {
		zend_string_release(handler->read_data);
	}
	handler->read_id = id;
	handler->read_data = data;
}

static void read_ended(struct handler *handler)
{
	if (handler->reading_id != NULL) {
		zend_string_release(handler->reading_id);
		handler->reading_id = NULL;
	}
}

/* What PHP keeps here may be another save handler's, or gone: a SessionHandler calls the one that was set before, whoever opened the
 * session, and what a wrapper broke off stays behind for the next. A thread has one handler of ours open at most. */
static bool is_ours(void *const *mod_data)
{
	return *mod_data == MMSG(open_handler);
}

/* A session is open of a save handler that is not ours and has its own data there; a user's has none. */
static bool belongs_to_another(void *const *mod_data)
{
	return *mod_data != NULL && !is_ours(mod_data) && PS(mod) != NULL && PS(mod) != &ps_mod_mmsession
			&& strcmp(PS(mod)->s_name, "user") != 0;
}

/* The handler of an open session; a child that was forked with it gets connections of its own. */
static struct handler *current(void **mod_data)
{
	if (*mod_data == NULL || !is_ours(mod_data)) {
		return NULL;
	}
	php_mmsession_notice_fork();
	return *mod_data;
}

/* What is read or written beside the open session says nothing about that. */
static bool is_open(const struct handler *handler, const zend_string *id)
{
	return mms_store_is_open(handler->store, slice_of(id));
}

static bool is_unchanged(const struct handler *handler, zend_string *id, zend_string *data)
{
	return handler->read_data != NULL && zend_string_equals(handler->read_id, id)
			&& zend_string_equals(handler->read_data, data);
}

/* The end of it, with nothing said: nothing here may end in a bailout. */
static void free_handler(struct handler *handler)
{
	MMSG(open_handler) = NULL;
	MMSG(token_visit) = NULL;
	remember(handler, NULL, NULL);
	read_ended(handler);
	mms_store_free(handler->store);
	mms_process_look_after(php_mmsession_process(), handler->client->cluster, &handler->client->settings);
	handler->client->users--;
	efree(handler);
}

static void close_handler(void **mod_data)
{
	struct handler *handler = is_ours(mod_data) ? *mod_data : NULL;

	if (belongs_to_another(mod_data)) {
		return;
	}
	*mod_data = NULL;
	if (handler == NULL) {
		return;
	}
	php_mmsession_notice_fork(); /* a lock of the parent's is not given back */
	php_mmsession_log_events(handler->client);
	php_mmsession_token_close(handler->store);
	free_handler(handler);
}

/* PHP calls no close of a user's handler around ours when an exception is under way, or when its read or write never came back
 * (exit, a fatal error). A lock and the worker's memory would be held until the process ends. */
void php_mmsession_end_abandoned(void)
{
	if (MMSG(open_handler) != NULL) {
		php_mmsession_notice_fork();
		free_handler(MMSG(open_handler));
	}
}

/* Strict mode keeps the visitor's id even while his session is empty; otherwise an empty new session needs no key. */
static bool needs_no_key(struct handler *handler, zend_string *id, zend_string *data)
{
	return ZSTR_LEN(data) == 0 && mms_store_is_new(handler->store, slice_of(id))
			&& !PS(use_strict_mode);
}

static int store_data(struct handler *handler, zend_string *id, zend_string *data, zend_long lifetime)
{
	struct mms_error error = { "" };
	enum mms_status status;

	if (handler == NULL || !mms_store_id_valid(slice_of(id))) {
		return FAILURE;
	}
	if (handler->reading_id != NULL && zend_string_equals(handler->reading_id, id)) {
		php_error_docref(NULL, E_WARNING, "mmsession: session not stored: its read was broken off, for want of memory perhaps "
				"(memory_limit); what is stored stays");
		return FAILURE;
	}
	if (needs_no_key(handler, id, data)) {
		return SUCCESS;
	}
	php_mmsession_token_before_write(handler->store);
	if (is_unchanged(handler, id, data)) {
		status = mms_store_touch(handler->store, slice_of(id), slice_of(data), lifetime, &error);
	} else {
		status = mms_store_write(handler->store, slice_of(id), slice_of(data), lifetime, &error);
	}
	if (status != MMS_OK) {
		if (is_open(handler, id)) {
			remember(handler, NULL, NULL); /* it may be stored yet, from the mailbox: nothing is unchanged beside that */
		}
		php_error_docref(NULL, E_WARNING, "mmsession: session not stored: %s", error.text);
		return FAILURE;
	}
	if (is_open(handler, id)) {
		php_mmsession_token_announce(handler->store, PHP_MMSESSION_TOKEN_WRITTEN);
		remember(handler, id, data);
	}
	return SUCCESS;
}

/* No network here. May find mod_data set (session_reset()): that one is closed first. */
PS_OPEN_FUNC(mmsession)
{
	struct mms_error error = { "" };
	struct handler *handler;
	struct mms_client *client;
#if PHP_VERSION_ID >= 80600
	const char *path = save_path != NULL ? ZSTR_VAL(save_path) : "", *name = session_name != NULL ? ZSTR_VAL(session_name) : "";
#else
	const char *path = save_path, *name = session_name;
#endif

	if (belongs_to_another(mod_data)) {
		php_error_docref(NULL, E_WARNING, "mmsession: a session of the save handler %s is open: close it first", PS(mod)->s_name);
		return FAILURE;
	}
	close_handler(mod_data);
	php_mmsession_end_abandoned();
	client = php_mmsession_client(path, &error);
	if (client == NULL) {
		php_error_docref(NULL, E_WARNING, "mmsession: %s", error.text);
		return FAILURE;
	}
	handler = ecalloc(1, sizeof *handler);
	handler->client = client;
	if (client->settings.lock != 0) {
		client->settings.lock_ttl_ms = php_mmsession_lock_ttl_ms();
	}
	handler->store = mms_store_new(client);
	if (handler->store == NULL) {
		efree(handler);
		php_error_docref(NULL, E_WARNING, "mmsession: out of memory");
		return FAILURE;
	}
	client->users++;
	*mod_data = MMSG(open_handler) = handler;
	php_mmsession_token_open(handler->store, client, name);
	mms_process_tend(php_mmsession_process(), client->cluster, &client->settings, php_mmsession_cpu_allowance_ms());
	return SUCCESS;
}

/* Never fails; also called after a failed open or read. */
PS_CLOSE_FUNC(mmsession)
{
	close_handler(mod_data);
	return SUCCESS;
}

/* An unknown session is an empty string; on failure *val is left alone. */
static zend_result read_data(struct handler *handler, zend_string *key, zend_string **val)
{
	struct mms_error error = { "" };
	struct mms_slice payload;
	enum mms_status status;
	bool exists, open;

	status = mms_store_read(handler->store, slice_of(key), &payload, &exists, &error);
	open = is_open(handler, key);
	if (open) {
		remember(handler, NULL, NULL);
	}
	if (status != MMS_OK) {
		php_error_docref(NULL, E_WARNING, "mmsession: session not read: %s", error.text);
		return FAILURE;
	}
	*val = payload.len == 0 ? ZSTR_EMPTY_ALLOC() : zend_string_init(payload.ptr, payload.len, 0);
	if (exists && open) {
		remember(handler, key, *val);
	}
	php_mmsession_token_announce(handler->store, PHP_MMSESSION_TOKEN_READ);
	return SUCCESS;
}

/* PHP writes what it has at the end of a request that ran out of memory here: nothing, in the place of what it did not get. */
PS_READ_FUNC(mmsession)
{
	struct handler *handler = current(mod_data);
	zend_result result;

	(void)maxlifetime;
	if (handler == NULL || !mms_store_id_valid(slice_of(key))) {
		return FAILURE;
	}
	read_ended(handler);
	handler->reading_id = zend_string_copy(key);
	result = read_data(handler, key, val);
	if (*mod_data == handler) { /* a user's error handler may have closed it */
		read_ended(handler);
	}
	return result;
}

PS_WRITE_FUNC(mmsession)
{
	return store_data(current(mod_data), key, val, maxlifetime);
}

/* Called with the unchanged data (lazy_write). Should it differ after all, it is stored. */
PS_UPDATE_TIMESTAMP_FUNC(mmsession)
{
	return store_data(current(mod_data), key, val, maxlifetime);
}

PS_DESTROY_FUNC(mmsession)
{
	struct handler *handler = current(mod_data);
	struct mms_error error = { "" };
	zend_long lifetime = zend_ini_long("session.gc_maxlifetime", sizeof "session.gc_maxlifetime" - 1, 0);

	if (handler == NULL || !mms_store_id_valid(slice_of(key))) {
		return FAILURE;
	}
	if (is_open(handler, key)) {
		remember(handler, NULL, NULL);
	}
	php_mmsession_token_before_write(handler->store);
	if (mms_store_destroy(handler->store, slice_of(key), lifetime, &error) != MMS_OK) {
		php_error_docref(NULL, E_WARNING, "mmsession: session not destroyed: %s", error.text);
		return FAILURE;
	}
	return SUCCESS;
}

/* Keys expire on the nodes by themselves. */
PS_GC_FUNC(mmsession)
{
	(void)mod_data;
	(void)maxlifetime;
	*nrdels = 0;
	return 0;
}

/* mod_data may be NULL (SessionHandler). The collision check fetches what the read after it needs: one round trip. */
PS_CREATE_SID_FUNC(mmsession)
{
	struct handler *handler = current(mod_data);

	for (int tries = 1;; tries++) {
		zend_string *id = php_session_create_id(mod_data);

		if (handler == NULL || id == NULL || tries >= CREATE_TRIES || !mms_store_id_valid(slice_of(id))
				|| mms_store_created(handler->store, slice_of(id))) {
			return id;
		}
		zend_string_release(id);
	}
}

/* FAILURE means a new id, that is a logout: only for ids that are known not to exist. */
PS_VALIDATE_SID_FUNC(mmsession)
{
	struct handler *handler = current(mod_data);

	if (!mms_store_id_valid(slice_of(key))) {
		return FAILURE;
	}
	if (handler == NULL) {
		return SUCCESS;
	}
	return mms_store_exists(handler->store, slice_of(key)) == MMS_ID_UNKNOWN ? FAILURE : SUCCESS;
}
