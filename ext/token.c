/* Session tokens on their way in and out: cookies beside the session cookie, a header, or mmsession_token(). What they mean
 * is in src/. The difficulty is to know what the visitor will have when he comes again: a token counts as announced only
 * if it was among the headers before these were sent. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "php_mmsession.h"

#include <strings.h>
#include <time.h>

#include "SAPI.h"
#include "ext/session/php_session.h"
#include "php_ini.h"

#include "../src/mms_store.h"

#define COOKIE_NAME_MAX 192
#define ATTRIBUTES_MAX 480  /* path, domain and SameSite together: with the longest of all else this fits into a header */
#define HEADER_MAX (900 + PHP_MMSESSION_TOKENS_MAX)
#define GIVEN_LOOK_MAX 16384 /* bytes given by mmsession_token() that are looked through; more has lost something */
#define COOKIE_NAME_END "_mms" /* behind the session's name; the slot follows, one digit */
#define FORBIDDEN_IN_NAME "=,;.[ \t\r\n\013\014"

_Static_assert(MMS_TOKEN_SLOTS <= 10, "a slot is one digit of a cookie's name");

/* As PHP's session module has them now. Later versions may keep texts in another type, and know more flags: there PHP's own table of
 * settings is asked for these. */
#if PHP_VERSION_ID < 80500
#define COOKIE_TEXT(name) (PS(name) == NULL ? "" : PS(name))
#define IS_PARTITIONED false
#else
#define COOKIE_TEXT(name) text_of_ini("session." #name, sizeof("session." #name) - 1)
#define IS_PARTITIONED is_on("session.cookie_partitioned", sizeof("session.cookie_partitioned") - 1)

static const char *text_of_ini(const char *name, size_t len)
{
	char *value = zend_ini_string((char *)name, len, 0);

	return value == NULL ? "" : value;
}

/* As PHP reads it: of php_admin_value, ini_set() and the like come words ("On"). */
static bool is_on(const char *name, size_t len)
{
	const char *value = text_of_ini(name, len);

	return strcasecmp(value, "on") == 0 || strcasecmp(value, "yes") == 0 || strcasecmp(value, "true") == 0
			|| atoi(value) != 0;
}
#endif

/* Text in the making; it is never longer than its place, and says when it had to be cut. */
struct line {
	char *text;
	size_t size, len; /* of the place; without the NUL */
	bool cut;
};

static void append_bytes(struct line *line, const char *text, size_t len)
{
	const size_t left = line->size - 1 - line->len, taken = len < left ? len : left;

	memcpy(line->text + line->len, text, taken);
	line->len += taken;
	line->text[line->len] = '\0';
	line->cut = line->cut || taken < len;
}

static void append(struct line *line, const char *text)
{
	append_bytes(line, text, strlen(text));
}

static bool uses_header(void)
{
	return MMSG(token_header) != NULL && MMSG(token_header)[0] != '\0';
}

static bool uses_cookies(const char *session_name)
{
	return PS(use_cookies) && strlen(session_name) < COOKIE_NAME_MAX - 16
			&& strpbrk(session_name, FORBIDDEN_IN_NAME) == NULL;
}

/* Several requests of one script run (workers) are told apart by the time of their begin. */
static bool has_own(void)
{
	return MMSG(token_own).len > 0 && MMSG(token_own).request == sapi_get_request_time();
}

/* Has this request had a session of the open one's name before? Then what came with the request is not all that counts. Of
 * more names than are kept nobody knows. */
static bool is_known_name(void)
{
	const struct php_mmsession_token_own *own = &MMSG(token_own);

	for (unsigned i = 0; has_own() && i < own->name_count; i++) {
		if (own->names[i] == MMSG(token_name_hash)) {
			return true;
		}
	}
	return has_own() && own->name_count == PHP_MMSESSION_NAMES_MAX;
}

/* An earlier session of that name has put its token in this slot. */
static bool is_replaced(unsigned slot)
{
	return has_own() && MMSG(token_own).name == MMSG(token_name_hash) && MMSG(token_own).token.slot == slot;
}

/* NULL when there is none, or it is empty. */
static const HashTable *find_array(const char *name, size_t len)
{
	zval *array = zend_hash_str_find(&EG(symbol_table), name, len);

	if (array == NULL) {
		return NULL;
	}
	ZVAL_DEINDIRECT(array);
	ZVAL_DEREF(array);
	return Z_TYPE_P(array) == IS_ARRAY && zend_hash_num_elements(Z_ARRVAL_P(array)) > 0 ? Z_ARRVAL_P(array) : NULL;
}

static const zval *find_text(const HashTable *array, const char *name, size_t len)
{
	zval *value = array == NULL ? NULL : zend_hash_str_find(array, name, len);

	if (value != NULL) {
		ZVAL_DEREF(value);
	}
	return value != NULL && Z_TYPE_P(value) == IS_STRING && Z_STRLEN_P(value) > 0 ? value : NULL;
}

static void add_text(struct mms_token_set *set, const zval *text)
{
	const struct mms_token_signer signed_by = php_mmsession_token_signer();

	if (text != NULL) {
		mms_token_set_add(set, (struct mms_slice){ Z_STRVAL_P(text), Z_STRLEN_P(text) }, &signed_by);
	}
}

/* ASCII alone: in a Turkish locale, which a script may have set, toupper() makes no I of an i. */
static char upper(char byte)
{
	return byte >= 'a' && byte <= 'z' ? (char)(byte - ('a' - 'A')) : byte;
}

static void collect_header(struct mms_token_set *set)
{
	char name[128] = "HTTP_";
	size_t len = 5;

	for (const char *at = MMSG(token_header); *at != '\0' && len + 1 < sizeof name; at++) {
		name[len++] = *at == '-' ? '_' : upper(*at);
	}
	name[len] = '\0';
	(void)zend_is_auto_global_str(ZEND_STRL("_SERVER"));
	add_text(set, find_text(find_array(ZEND_STRL("_SERVER")), name, len));
}

/* $_COOKIE has one cookie of each name, of several with different paths that of the longest path, which may be the oldest.
 * start: what a name of ours begins with, all but the slot. */
static void collect_cookie_header(struct mms_token_set *set, const char *header, const struct line *start)
{
	const struct mms_token_signer signed_by = php_mmsession_token_signer();

	for (const char *at = header; at != NULL; at = strchr(at, ';')) {
		at += strspn(at, "; \t");
		if (strncmp(at, start->text, start->len) == 0) {
			const char *value = at + start->len + 2; /* a digit and '=' */
			const unsigned slot = (unsigned char)at[start->len] - (unsigned)'0';

			if (slot < MMS_TOKEN_SLOTS && value[-1] == '=' && !is_replaced(slot)) {
				const unsigned before = set->count;

				mms_token_set_add(set, (struct mms_slice){ value, strcspn(value, "; \t") }, &signed_by);
				memset(set->cookie + before, (int)(1 + slot), set->count - before);
			}
		}
	}
}

static void collect_cookies(struct mms_token_set *set, const char *session_name)
{
	char name[COOKIE_NAME_MAX];
	struct line line = { name, sizeof name, 0, false };
	const HashTable *cookies;

	append(&line, session_name);
	append(&line, COOKIE_NAME_END);
	if (SG(request_info).cookie_data != NULL) {
		collect_cookie_header(set, SG(request_info).cookie_data, &line);
		return;
	}
	/* Where scripts make requests of their own, they fill in $_COOKIE. */
	cookies = find_array(ZEND_STRL("_COOKIE"));
	append(&line, "0");
	for (unsigned slot = 0; slot < MMS_TOKEN_SLOTS && cookies != NULL; slot++) {
		if (!is_replaced(slot)) {
			name[line.len - 1] = (char)('0' + slot);
			add_text(set, find_text(cookies, name, line.len));
		}
	}
}

static void collect_given(struct mms_token_set *set)
{
	const struct php_mmsession_token_given *given = &MMSG(token_given);
	const struct mms_token_signer signed_by = php_mmsession_token_signer();

	if (given->len > 0 && given->request == sapi_get_request_time()) {
		mms_token_set_add(set, (struct mms_slice){ given->text, given->len }, &signed_by);
		set->too_many = set->too_many || given->cut;
		set->lost = set->lost || given->lost;
	}
}

void php_mmsession_token_open(struct mms_store *store, struct mms_client *client, const char *session_name)
{
	struct mms_visit *visit = mms_store_visit(store);
	const struct mms_token_signer signed_by = php_mmsession_token_signer();
	struct mms_token_set *set;

	if (visit == NULL) {
		return;
	}
	set = mms_visit_came(visit);
	MMSG(token_visit) = visit;
	MMSG(token_client) = client;
	MMSG(token_name)[0] = '\0';
	MMSG(token_name_hash) = mms_token_session((struct mms_slice){ session_name, strlen(session_name) });
	if (uses_header()) {
		if (!is_known_name()) {
			collect_header(set);
		}
	} else if (uses_cookies(session_name)) {
		snprintf(MMSG(token_name), sizeof MMSG(token_name), "%s", session_name);
		collect_cookies(set, session_name);
	}
	/* If a session of another name came between, its token stands here and makes this a read of all nodes. */
	if (is_known_name()) {
		mms_token_set_add(set, (struct mms_slice){ MMSG(token_own).text, MMSG(token_own).joined }, &signed_by);
	} else {
		collect_given(set);
	}
}

static bool can_send(void)
{
	return !SG(headers_sent) && !SG(request_info).no_headers && (uses_header() || MMSG(token_name)[0] != '\0');
}

/* The parameters that the session cookie would have now. */
struct attributes {
	const char *path, *domain, *samesite;
};

static bool is_attribute(const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == ';' || (unsigned char)*text < ' ' || *text == 0x7f) {
			return false;
		}
	}
	return true;
}

/* False when no cookie can be made of them. */
static bool get_attributes(struct attributes *out)
{
	out->path = COOKIE_TEXT(cookie_path);
	out->domain = COOKIE_TEXT(cookie_domain);
	out->samesite = COOKIE_TEXT(cookie_samesite);
	if (out->path[0] == '\0') {
		out->path = "/"; /* else each of the site's folders had one of its own */
	}
	return strlen(out->path) + strlen(out->domain) + strlen(out->samesite) <= ATTRIBUTES_MAX && is_attribute(out->path)
			&& is_attribute(out->domain) && is_attribute(out->samesite);
}

/* Scripts may have removed or replaced it, unless it was sent. */
static bool is_among_headers(const char *text, size_t len, size_t place)
{
	zend_llist_position at;

	if (place == 0) {
		return false;
	}
	for (sapi_header_struct *header = zend_llist_get_first_ex(&SG(sapi_headers).headers, &at); header != NULL;
			header = zend_llist_get_next_ex(&SG(sapi_headers).headers, &at)) {
		if (header->header_len >= place + len && memcmp(header->header + place, text, len) == 0) {
			return true;
		}
	}
	return false;
}

void php_mmsession_token_before_write(struct mms_store *store)
{
	const struct php_mmsession_token_own *own = &MMSG(token_own);
	struct mms_visit *visit = mms_store_visit(store);
	struct attributes attributes;
	bool can;

	if (visit == NULL) {
		return;
	}
	can = can_send() && (uses_header() || get_attributes(&attributes));
	mms_visit_can_announce(visit, can && !own->asked); /* who asked may have it from the page, and never see the headers' */
	/* What was announced counts if it was sent, or asked for. */
	if (!can && !own->asked && !(SG(headers_sent) && is_among_headers(own->text, own->len, own->place))) {
		mms_visit_announced(visit, false);
	}
}

static int begins_alike(void *element, void *prefix)
{
	const sapi_header_struct *header = element;
	const char *wanted = prefix;

	return strncmp(header->header, wanted, strlen(wanted)) == 0;
}

static void append_expiry(struct line *line)
{
	const zend_long lifetime = PS(cookie_lifetime);
	char text[96];
	time_t then;
	struct tm tm;

	if (lifetime <= 0) {
		return;
	}
	then = (time_t)(sapi_get_request_time() + (double)lifetime);
	/* Month and day are English whatever the locale: strftime would ask it. */
	if (gmtime_r(&then, &tm) != NULL) {
		static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

		snprintf(text, sizeof text, "; expires=%.3s, %02d %.3s %04d %02d:%02d:%02d GMT; Max-Age=" ZEND_LONG_FMT,
				days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
				tm.tm_sec, lifetime);
		append(line, text);
	}
}

static bool add_header(const struct line *line, bool replace)
{
	return !line->cut && sapi_add_header_ex(estrndup(line->text, line->len), line->len, 0, replace) == SUCCESS;
}

/* With the session cookie's parameters as they are now, but never for scripts. False when it does not fit. */
static bool send_cookie(void)
{
	char start[COOKIE_NAME_MAX + 32], text_of_line[HEADER_MAX];
	const char slot[] = { (char)('0' + MMSG(token_own).token.slot), '=', '\0' };
	struct line line = { text_of_line, sizeof text_of_line, 0, false };
	struct attributes attributes;

	if (!get_attributes(&attributes)) {
		return false;
	}
	append(&line, "Set-Cookie: ");
	append(&line, MMSG(token_name));
	append(&line, COOKIE_NAME_END);
	append(&line, slot);
	memcpy(start, line.text, line.len + 1);
	MMSG(token_own).place = line.len;
	append_bytes(&line, MMSG(token_own).text, MMSG(token_own).joined);
	append_expiry(&line);
	append(&line, "; path=");
	append(&line, attributes.path);
	if (attributes.domain[0] != '\0') {
		append(&line, "; domain=");
		append(&line, attributes.domain);
	}
	if (PS(cookie_secure)) {
		append(&line, "; secure");
	}
	if (IS_PARTITIONED) {
		append(&line, "; Partitioned");
	}
	append(&line, "; HttpOnly");
	if (attributes.samesite[0] != '\0') {
		append(&line, "; SameSite=");
		append(&line, attributes.samesite);
	}
	if (line.cut) {
		return false;
	}
	zend_llist_del_element(&SG(sapi_headers).headers, start, begins_alike);
	return add_header(&line, false);
}

static bool send_header(void)
{
	char text_of_line[HEADER_MAX];
	struct line line = { text_of_line, sizeof text_of_line, 0, false };

	append(&line, MMSG(token_header));
	append(&line, ": ");
	MMSG(token_own).place = line.len;
	append_bytes(&line, MMSG(token_own).text, MMSG(token_own).all);
	return add_header(&line, true);
}

/* One request's token: its reservation names it, and the rest of it changes with these two alone. */
static bool says_the_same(const struct mms_token *a, const struct mms_token *b)
{
	return a->reserved.writer == b->reserved.writer && a->reserved.sequence == b->reserved.sequence
			&& a->reserved.hlc == b->reserved.hlc && a->session == b->session && a->pending == b->pending
			&& mms_version_compare(&a->read, &b->read) == 0;
}

/* What would be lost with the place that the token takes goes with it. Encoded anew they are what they were: else they would
 * not have been taken for tokens. */
static void join_others(const struct mms_visit *visit)
{
	const struct mms_token_signer signed_by = php_mmsession_token_signer();
	struct php_mmsession_token_own *own = &MMSG(token_own);
	const struct mms_token *others[MMS_TOKEN_SLOTS];
	unsigned replaced, count = mms_visit_beside(visit, others, &replaced);

	own->joined = own->all = own->len;
	for (unsigned i = 0; i < count; i++) {
		struct mms_token other = *others[i];

		own->text[own->all++] = '.';
		own->all += mms_token_encode(&other, &signed_by, own->text + own->all);
		own->joined = i < replaced ? own->all : own->joined;
	}
}

/* The token as things stand, as text; false when there is none. */
static bool renew_own(struct mms_visit *visit, bool last)
{
	const struct mms_token_signer signed_by = php_mmsession_token_signer();
	struct php_mmsession_token_own *own = &MMSG(token_own);
	struct mms_token token;

	if (!mms_visit_token(visit, last, &token)) {
		return false;
	}
	if (own->len == 0 || !says_the_same(&own->token, &token)) {
		own->len = mms_token_encode(&token, &signed_by, own->text);
		own->token = token;
		join_others(visit);
		own->written = own->asked = false;
		own->place = 0;
	}
	if (!is_known_name()) {
		own->name_count = own->request == sapi_get_request_time() ? own->name_count : 0;
		own->names[own->name_count++] = MMSG(token_name_hash);
	}
	own->name = MMSG(token_name_hash);
	own->request = sapi_get_request_time();
	return true;
}

/* The headers have it, in place of what they may have had. */
static void rely_on_own(void)
{
	const struct php_mmsession_token_own *own = &MMSG(token_own);
	struct php_mmsession_token_relied *relied = &MMSG(token_relied);

	memcpy(relied->text, own->text, own->len);
	relied->len = own->len;
	relied->place = own->place;
}

void php_mmsession_token_announce(struct mms_store *store, enum php_mmsession_token_moment moment)
{
	struct mms_visit *visit = mms_store_visit(store);
	struct php_mmsession_token_own *own = &MMSG(token_own);
	bool told; /* of the write */

	if (visit == NULL || !renew_own(visit, moment == PHP_MMSESSION_TOKEN_CLOSED) || !can_send()
			|| (moment == PHP_MMSESSION_TOKEN_CLOSED && own->written)) {
		return;
	}
	own->written = false;
	if (uses_header() ? send_header() : send_cookie()) {
		mms_visit_announced(visit, true);
		own->written = moment == PHP_MMSESSION_TOKEN_WRITTEN;
	}
	told = !own->token.pending || mms_token_stands_for_others(&own->token);
	if (moment == PHP_MMSESSION_TOKEN_WRITTEN ? told : MMSG(token_relied).len > 0) {
		rely_on_own();
	}
}

void php_mmsession_token_close(struct mms_store *store)
{
	if (mms_store_visit(store) != NULL) {
		php_mmsession_token_announce(store, PHP_MMSESSION_TOKEN_CLOSED);
		MMSG(token_visit) = NULL;
	}
}

/* Every mirror of this host, for that of the write is among them. */
static void wait_for_mirrors(void)
{
	php_mmsession_notice_fork();
	for (unsigned i = 0; i < PHP_MMSESSION_CLIENTS_MAX && MMSG(clients)[i] != NULL; i++) {
		struct mms_client *client = MMSG(clients)[i];

		if (client == MMSG(token_client)) {
			mms_client_count(client, MMS_METRIC_token_wide_writes);
			(void)mms_process_flush(php_mmsession_process(), client->cluster, &client->settings,
					client->settings.budget_ms);
			return;
		}
	}
}

static void answer_all(void)
{
	php_mmsession_notice_fork();
	for (unsigned i = 0; i < PHP_MMSESSION_CLIENTS_MAX && MMSG(clients)[i] != NULL; i++) {
		mms_visit_answered(MMSG(clients)[i]);
	}
}

static void forget_own(void)
{
	MMSG(token_own).len = 0;
	MMSG(token_own).name_count = 0;
}

void php_mmsession_token_end_request(void)
{
	const struct php_mmsession_token_relied *relied = &MMSG(token_relied);

	if (relied->len > 0 && !is_among_headers(relied->text, relied->len, relied->place)) {
		wait_for_mirrors();
	}
	/* Whatever PHP says, the server API may have kept the headers in its buffer until now. */
	if (MMSG(token_client) != NULL) {
		answer_all();
	}
	MMSG(token_relied).len = 0;
	forget_own();
	MMSG(token_given).len = 0;
	MMSG(token_visit) = NULL;
	MMSG(token_client) = NULL;
}

/* Of a text that is too long: stands in what is not kept something that has to count on? */
static bool is_lost_behind(struct mms_slice text, size_t kept)
{
	const struct mms_token_signer signed_by = php_mmsession_token_signer();
	struct mms_token_set none = { .count = MMS_TOKEN_SLOTS };

	while (kept > 0 && text.ptr[kept - 1] != '.') {
		kept--;
	}
	mms_token_set_add(&none, mms_slice_part(text, kept, text.len), &signed_by);
	return none.lost;
}

static void keep_given(const zend_string *text)
{
	struct php_mmsession_token_given *given = &MMSG(token_given);
	const struct mms_slice all = { ZSTR_VAL(text), ZSTR_LEN(text) };

	given->cut = all.len > sizeof given->text;
	given->len = given->cut ? sizeof given->text : all.len;
	given->lost = given->cut && (all.len > GIVEN_LOOK_MAX || is_lost_behind(all, given->len));
	given->request = sapi_get_request_time();
	memcpy(given->text, all.ptr, given->len);
	forget_own();
}

/* An open session's token as it is now: who asks for it brings it to the visitor. */
PHP_FUNCTION(mmsession_token)
{
	zend_string *given = NULL;

	ZEND_PARSE_PARAMETERS_START(0, 1)
		Z_PARAM_OPTIONAL
		Z_PARAM_STR_EX(given, 1, 0) /* PHP 7.4 has no Z_PARAM_STR_OR_NULL */
	ZEND_PARSE_PARAMETERS_END();
	if (given != NULL) {
		keep_given(given);
	}
	if (MMSG(token_visit) != NULL && renew_own(MMSG(token_visit), false)) {
		mms_visit_announced(MMSG(token_visit), true);
		MMSG(token_own).asked = true;
		MMSG(token_relied).len = 0;
	}
	if (!has_own()) {
		RETURN_EMPTY_STRING();
	}
	RETURN_STRINGL(MMSG(token_own).text, MMSG(token_own).all);
}
