/* Settings: words, numbers and texts with their ranges, the fingerprint, the password file. The difficulty is the
 * messages: each names the setting, the text and what would be right, and none a secret. */
#include "mms_config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <unistd.h>

#define EXCERPT_SIZE 64
#define HEADER_NAME_MAX 64

static enum mms_status parse_word(struct mms_slice text, const char *const words[], uint32_t count, uint32_t *index);
static uint64_t hash_text(uint64_t hash, const char *text);
static bool numbers_are_sound(const struct mms_settings *settings);
static bool is_terminated(const char *text, size_t size);
static const struct mms_node_config *first_tls_node(const struct mms_settings *settings);

enum mms_status mms_config_parse_nodes(struct mms_slice text, struct mms_settings *settings,
		struct mms_error *error)
{
	enum mms_status status = mms_node_list_parse(text, settings->nodes, &settings->node_count, error);
	const struct mms_node_config *node = first_tls_node(settings);

	if (status == MMS_OK && node != NULL && !mms_tls_available()) {
		settings->node_count = 0;
		mms_error_set(error, "node list, \"%s\": this build has no TLS: install OpenSSL's development files (libssl-dev, "
				"openssl-devel) and build mmsession anew", node->address);
		return MMS_ERR_CONFIG;
	}
	return status;
}

enum mms_status mms_config_parse_read_mode(struct mms_slice text, uint32_t *mode, struct mms_error *error)
{
	static const char *const modes[] = {
		[MMS_READ_NEWEST] = "newest", [MMS_READ_QUORUM] = "quorum", [MMS_READ_LOCAL] = "local",
		[MMS_READ_TOKEN] = "session-token"};
	char excerpt[EXCERPT_SIZE];

	if (parse_word(text, modes, sizeof(modes) / sizeof(modes[0]), mode) == MMS_OK) {
		return MMS_OK;
	}
	mms_text_copy(excerpt, sizeof(excerpt), text);
	mms_error_set(error, "read mode \"%s\" is unknown: write newest, quorum, local or session-token", excerpt);
	return MMS_ERR_CONFIG;
}

enum mms_status mms_config_parse_write_acks(struct mms_slice text, uint32_t *acks, struct mms_error *error)
{
	char excerpt[EXCERPT_SIZE];
	uint64_t value;

	if (mms_slice_is(text, "quorum")) {
		*acks = MMS_ACKS_QUORUM;
		return MMS_OK;
	}
	if (mms_slice_is(text, "all")) {
		*acks = MMS_ACKS_ALL;
		return MMS_OK;
	}
	if (mms_slice_decimal(text, MMS_NODES_MAX, &value) && value > 0) {
		*acks = (uint32_t) value;
		return MMS_OK;
	}
	mms_text_copy(excerpt, sizeof(excerpt), text);
	mms_error_set(error, "write acknowledgements \"%s\": write a number from 1 to %d, quorum or all", excerpt,
			MMS_NODES_MAX);
	return MMS_ERR_CONFIG;
}

enum mms_status mms_config_parse_no_quorum(struct mms_slice text, uint32_t *mode, struct mms_error *error)
{
	static const char *const modes[] = {[MMS_NO_QUORUM_FAIL] = "fail", [MMS_NO_QUORUM_DEGRADE] = "degrade"};
	char excerpt[EXCERPT_SIZE];

	if (parse_word(text, modes, sizeof(modes) / sizeof(modes[0]), mode) == MMS_OK) {
		return MMS_OK;
	}
	mms_text_copy(excerpt, sizeof(excerpt), text);
	mms_error_set(error, "\"%s\" is unknown: write fail or degrade", excerpt);
	return MMS_ERR_CONFIG;
}

enum mms_status mms_config_parse_switch(struct mms_slice text, uint64_t *value, struct mms_error *error)
{
	static const char *const words[] = {"", "1", "0", "on", "off", "yes", "no", "true", "false"};
	char excerpt[EXCERPT_SIZE];
	uint32_t index;

	if (parse_word(text, words, sizeof(words) / sizeof(words[0]), &index) == MMS_OK) {
		*value = index % 2;
		return MMS_OK;
	}
	mms_text_copy(excerpt, sizeof(excerpt), text);
	mms_error_set(error, "\"%s\" is unknown: write 0 or 1", excerpt);
	return MMS_ERR_CONFIG;
}

enum mms_status mms_config_check_together(const struct mms_settings *settings, struct mms_error *error)
{
	if (settings->write_acks < MMS_ACKS_QUORUM && settings->write_acks > settings->node_count) {
		mms_error_set(error, "mmsession.write_acks = %u, but the list has %u node%s: write %u at most, quorum or all",
				settings->write_acks, settings->node_count, settings->node_count == 1 ? "" : "s", settings->node_count);
		return MMS_ERR_CONFIG;
	}
	if (settings->import_prefix[0] != '\0' && strcmp(settings->import_prefix, settings->prefix) == 0) {
		mms_error_set(error, "mmsession.import_prefix is mmsession.prefix, \"%s\": the keys of the two handlers have to differ",
				settings->prefix);
		return MMS_ERR_CONFIG;
	}
	return MMS_OK;
}

static bool is_of_session_ids(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ',' || c == '-';
}

enum mms_status mms_config_check_prefix(struct mms_slice text, struct mms_error *error)
{
	char excerpt[EXCERPT_SIZE];

	mms_text_copy(excerpt, sizeof(excerpt), text);
	if (text.len > MMS_PREFIX_MAX) {
		mms_error_set(error, "prefix \"%s\" has %zu bytes: at most %d; example: shop:", excerpt, text.len,
				MMS_PREFIX_MAX);
		return MMS_ERR_CONFIG;
	}
	for (size_t index = 0; index < text.len; index++) {
		const unsigned char byte = (unsigned char) text.ptr[index];

		if (byte <= ' ' || byte == 0x7f || strchr("*?[]\\", byte) != NULL) {
			mms_error_set(error, "prefix \"%s\": no blanks, control characters or * ? [ ] \\ (offset %zu); "
					"example: shop:", excerpt, index);
			return MMS_ERR_CONFIG;
		}
	}
	return MMS_OK;
}

enum mms_status mms_config_check_own_prefix(struct mms_slice text, struct mms_error *error)
{
	enum mms_status status = mms_config_check_prefix(text, error);
	char excerpt[EXCERPT_SIZE];

	if (status == MMS_OK && text.len > 0 && is_of_session_ids(text.ptr[text.len - 1])) {
		mms_text_copy(excerpt, sizeof(excerpt), text);
		mms_error_set(error, "prefix \"%s\" ends in a character of session ids, so an id could name a session under a longer prefix: "
				"end it in another one; example: shop:", excerpt);
		return MMS_ERR_CONFIG;
	}
	return status;
}

enum mms_status mms_config_check_host_id(struct mms_slice text, struct mms_error *error)
{
	bool fits = text.len > 0 && text.len < sizeof(((struct mms_settings *) 0)->host_id);
	char excerpt[EXCERPT_SIZE];

	for (size_t index = 0; fits && index < text.len; index++) {
		const char byte = mms_byte_lower(text.ptr[index]);

		fits = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '.' || byte == '_' || byte == '-';
	}
	if (!fits) {
		mms_text_copy(excerpt, sizeof(excerpt), text);
		mms_error_set(error, "host id \"%s\": write 1 to 64 letters, digits, dots, hyphens or underscores; "
				"example: web1.example.com", excerpt);
	}
	return fits ? MMS_OK : MMS_ERR_CONFIG;
}

enum mms_status mms_config_check_header_name(struct mms_slice text, struct mms_error *error)
{
	bool fits = text.len > 0 && text.len <= HEADER_NAME_MAX;
	char excerpt[EXCERPT_SIZE];

	for (size_t index = 0; fits && index < text.len; index++) {
		const char byte = mms_byte_lower(text.ptr[index]);

		fits = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-';
	}
	if (!fits) {
		mms_text_copy(excerpt, sizeof(excerpt), text);
		mms_error_set(error, "\"%s\" is no header: write 1 to %d letters, digits or hyphens; example: X-Session-Token",
				excerpt, HEADER_NAME_MAX);
	}
	return fits ? MMS_OK : MMS_ERR_CONFIG;
}

bool mms_config_session_id_valid(struct mms_slice id)
{
	if (id.len == 0 || id.len > MMS_SESSION_ID_MAX) {
		return false;
	}
	for (size_t i = 0; i < id.len; i++) {
		if (!is_of_session_ids(id.ptr[i])) {
			return false;
		}
	}
	return true;
}

bool mms_config_key_valid(const struct mms_settings *settings, struct mms_slice key)
{
	const size_t prefix_len = strnlen(settings->prefix, sizeof(settings->prefix));

	return key.len > prefix_len && (prefix_len == 0 || memcmp(key.ptr, settings->prefix, prefix_len) == 0)
			&& mms_config_session_id_valid((struct mms_slice) {key.ptr + prefix_len, key.len - prefix_len});
}

enum mms_status mms_config_parse_number(struct mms_slice text, const char *what, uint64_t min, uint64_t max,
		uint64_t *value, struct mms_error *error)
{
	struct mms_slice digits = text;
	char excerpt[EXCERPT_SIZE];
	unsigned shift = 0;
	uint64_t number;

	switch (text.len > 0 ? mms_byte_lower(text.ptr[text.len - 1]) : '\0') {
	case 'k':
		shift = 10;
		break;
	case 'm':
		shift = 20;
		break;
	case 'g':
		shift = 30;
		break;
	default:
		break;
	}
	digits.len -= shift != 0;
	if (!mms_slice_decimal(digits, max >> shift, &number) || number << shift < min) {
		mms_text_copy(excerpt, sizeof(excerpt), text);
		mms_error_set(error, "%s: \"%s\" is not a number from %llu to %llu (K, M or G may follow it)", what, excerpt,
				(unsigned long long) min, (unsigned long long) max);
		return MMS_ERR_CONFIG;
	}
	*value = number << shift;
	return MMS_OK;
}

bool mms_config_sound(const struct mms_settings *settings)
{
	if (settings->node_count == 0 || settings->node_count > MMS_NODES_MAX || !numbers_are_sound(settings)
			|| !is_terminated(settings->host_id, sizeof(settings->host_id))
			|| !is_terminated(settings->prefix, sizeof(settings->prefix))
			|| !is_terminated(settings->import_prefix, sizeof(settings->import_prefix))
			|| !is_terminated(settings->user, sizeof(settings->user))
			|| !is_terminated(settings->password_file, sizeof(settings->password_file))
			|| !is_terminated(settings->tls_ca_file, sizeof(settings->tls_ca_file))
			|| !is_terminated(settings->tls_cert_file, sizeof(settings->tls_cert_file))
			|| !is_terminated(settings->tls_key_file, sizeof(settings->tls_key_file))) {
		return false;
	}
	for (uint32_t index = 0; index < settings->node_count; index++) {
		const struct mms_node_config *node = &settings->nodes[index];

		if (node->scheme > MMS_SCHEME_TLS || node->port > 65535
				|| !is_terminated(node->host, sizeof(node->host)) || !is_terminated(node->path, sizeof(node->path))
				|| !is_terminated(node->name, sizeof(node->name))
				|| !is_terminated(node->tls_name, sizeof(node->tls_name))
				|| !is_terminated(node->address, sizeof(node->address))) {
			return false;
		}
	}
	return true;
}

bool mms_config_same_cluster(const struct mms_settings *a, const struct mms_settings *b)
{
	bool same = a->node_count == b->node_count && strcmp(a->prefix, b->prefix) == 0 && strcmp(a->user, b->user) == 0
			&& strcmp(a->password_file, b->password_file) == 0 && strcmp(a->host_id, b->host_id) == 0
			&& a->tls_verify == b->tls_verify && strcmp(a->tls_ca_file, b->tls_ca_file) == 0
			&& strcmp(a->tls_cert_file, b->tls_cert_file) == 0 && strcmp(a->tls_key_file, b->tls_key_file) == 0;

	for (uint32_t index = 0; same && index < a->node_count; index++) {
		same = a->nodes[index].db == b->nodes[index].db
				&& strcmp(a->nodes[index].address, b->nodes[index].address) == 0
				&& strcmp(a->nodes[index].tls_name, b->nodes[index].tls_name) == 0;
	}
	return same;
}

uint64_t mms_config_fingerprint(const struct mms_settings *settings)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	/* Texts go in with their NUL, numbers as text: no two settings run together to the same bytes. */
	for (uint32_t index = 0; index < settings->node_count; index++) {
		const struct mms_node_config *node = &settings->nodes[index];
		char db[16];

		snprintf(db, sizeof(db), "%u", node->db);
		hash = hash_text(hash, node->address);
		hash = hash_text(hash, db);
		hash = hash_text(hash, node->tls_name);
	}
	hash = hash_text(hash, ""); /* end of the nodes: no address is empty */
	hash = hash_text(hash, settings->prefix);
	hash = hash_text(hash, settings->user);
	hash = hash_text(hash, settings->password_file);
	hash = hash_text(hash, settings->host_id);
	hash = hash_text(hash, settings->tls_verify ? "1" : "0");
	hash = hash_text(hash, settings->tls_ca_file);
	hash = hash_text(hash, settings->tls_cert_file);
	hash = hash_text(hash, settings->tls_key_file);
	return hash == 0 ? 1 : hash;
}

bool mms_config_reads_one(const struct mms_settings *settings)
{
	return settings->read_mode == MMS_READ_LOCAL && settings->lock == 0;
}

enum mms_status mms_config_tls_context(const struct mms_settings *settings, struct mms_tls_context **context,
		struct mms_error *error)
{
	const struct mms_tls_files files = {settings->tls_ca_file, settings->tls_cert_file, settings->tls_key_file,
		settings->tls_verify != 0};

	*context = NULL;
	if (first_tls_node(settings) == NULL) {
		return MMS_OK;
	}
	*context = mms_tls_context_new(&files);
	if (*context == NULL) {
		mms_error_set(error, "TLS: out of memory");
		return MMS_ERR_MEMORY;
	}
	return MMS_OK;
}

uint32_t mms_config_quorum(const struct mms_settings *settings)
{
	return settings->node_count / 2 + 1;
}

uint32_t mms_config_acks_needed(const struct mms_settings *settings)
{
	const uint32_t count = settings->node_count == 0 ? 1 : settings->node_count;

	if (settings->write_acks == MMS_ACKS_QUORUM) {
		return mms_config_quorum(settings);
	}
	if (settings->write_acks == 0) {
		return 1;
	}
	return settings->write_acks < count ? settings->write_acks : count;
}

enum mms_status mms_config_read_secret(const char *setting, const char *path, char out[MMS_SECRET_MAX + 1], struct mms_error *error)
{
	enum mms_status status = MMS_ERR_CONFIG;
	char content[MMS_SECRET_MAX + 1];
	size_t len = 0;
	ssize_t taken = 0;
	int fd;

	out[0] = '\0';
	if (path[0] == '\0') {
		return MMS_OK;
	}
	/* Non-blocking: a FIFO in its place must not stop the worker. %m is strerror(errno), safe in threads. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		status = errno == EMFILE || errno == ENFILE ? MMS_ERR_LOCAL : MMS_ERR_CONFIG;
		mms_error_set(error, errno == EACCES ? "%s %s: open: %m: user %u, as whom PHP runs here, must be able to read it"
				: "%s %s: open: %m", setting, path, geteuid());
		return status;
	}
	while (len < sizeof(content)) {
		taken = read(fd, content + len, sizeof(content) - len);
		if (taken < 0 && errno == EINTR) {
			continue;
		}
		if (taken <= 0) {
			break;
		}
		len += (size_t) taken;
	}
	if (taken < 0) {
		mms_error_set(error, "%s %s: read: %m", setting, path);
		goto done;
	}
	if (len > MMS_SECRET_MAX) {
		mms_error_set(error, "%s %s: more than %d bytes; it should hold one line", setting, path, MMS_SECRET_MAX);
		goto done;
	}
	content[len] = '\0';

	const size_t line_len = strcspn(content, "\r\n");

	if (line_len == 0 || memchr(content, '\0', len) != NULL) {
		mms_error_set(error, "%s %s: its first line is %s; it should be the secret", setting, path,
				line_len == 0 ? "empty" : "no text (a zero byte)");
		goto done;
	}
	memcpy(out, content, line_len);
	out[line_len] = '\0';
	status = MMS_OK;
done:
	explicit_bzero(content, sizeof(content));
	close(fd);
	return status;
}

enum mms_status mms_config_read_password(const char *path, char out[MMS_SECRET_MAX + 1], struct mms_error *error)
{
	return mms_config_read_secret("mmsession.password_file", path, out, error);
}

static enum mms_status parse_word(struct mms_slice text, const char *const words[], uint32_t count, uint32_t *index)
{
	for (uint32_t i = 0; i < count; i++) {
		if (mms_slice_is(text, words[i])) {
			*index = i;
			return MMS_OK;
		}
	}
	return MMS_ERR_CONFIG;
}

/* Both, although one may fail: a node without TLS wants the password alone. */
static enum mms_status read_secrets(const char *path, char out[MMS_SECRET_MAX + 1], struct mms_tls_context *tls,
		struct mms_error *error)
{
	enum mms_status status = mms_config_read_password(path, out, error);
	enum mms_status tls_status = tls == NULL ? MMS_OK : mms_tls_context_load(tls, status == MMS_OK ? error : NULL);

	return status != MMS_OK ? status : tls_status;
}

/* The file system's user and group belong to a thread, unlike all other credentials. That they were taken is only seen by
 * asking for an impossible one. */
enum mms_status mms_config_read_secrets_for(uint32_t uid, uint32_t gid, const char *path, char out[MMS_SECRET_MAX + 1],
		struct mms_tls_context *tls, struct mms_error *error)
{
	enum mms_status status = MMS_ERR_CONFIG;
	int old_uid, old_gid;

	if ((path[0] == '\0' && tls == NULL) || geteuid() != 0) {
		return read_secrets(path, out, tls, error);
	}
	out[0] = '\0';
	old_gid = setfsgid(gid);
	old_uid = setfsuid(uid);
	if (uid != 0 && (uint32_t) setfsuid((uid_t) -1) == uid && (uint32_t) setfsgid((gid_t) -1) == gid) {
		status = read_secrets(path, out, tls, error);
	} else {
		mms_error_set(error, "password file %s: not read by root for user %u", path, uid);
	}
	(void) setfsuid((uid_t) old_uid);
	(void) setfsgid((gid_t) old_gid);
	return status;
}

/* FNV-1a, with the text's NUL. */
static uint64_t hash_text(uint64_t hash, const char *text)
{
	const size_t size = strlen(text) + 1;

	for (size_t index = 0; index < size; index++) {
		hash = (hash ^ (unsigned char) text[index]) * UINT64_C(0x100000001b3);
	}
	return hash;
}

static bool numbers_are_sound(const struct mms_settings *settings)
{
	return settings->read_mode <= MMS_READ_TOKEN && settings->on_no_quorum <= MMS_NO_QUORUM_DEGRADE
			&& settings->lifetime_s <= MMS_LIFETIME_MAX_S
			&& settings->connect_timeout_ms <= MMS_TIMEOUT_MAX_MS && settings->read_timeout_ms <= MMS_TIMEOUT_MAX_MS
			&& settings->budget_ms <= MMS_BUDGET_MAX_MS && settings->touch_interval_s <= MMS_TOUCH_INTERVAL_MAX_S
			&& settings->spin_us <= MMS_SPIN_MAX_US && settings->max_clock_drift_ms <= MMS_CLOCK_DRIFT_MAX_MS
			&& settings->max_session_size <= MMS_SESSION_SIZE_MAX && settings->shutdown_drain_ms <= MMS_DRAIN_MAX_MS
			&& settings->lock <= 1 && settings->lock_wait_ms <= MMS_LOCK_WAIT_MAX_MS
			&& settings->lock_ttl_ms <= MMS_LOCK_TTL_MAX_MS && settings->repair_rate <= MMS_REPAIR_RATE_MAX
			&& settings->repair_interval_s <= MMS_REPAIR_INTERVAL_MAX_S;
}

static bool is_terminated(const char *text, size_t size)
{
	return memchr(text, '\0', size) != NULL;
}

static const struct mms_node_config *first_tls_node(const struct mms_settings *settings)
{
	for (uint32_t index = 0; index < settings->node_count; index++) {
		if (settings->nodes[index].scheme == MMS_SCHEME_TLS) {
			return &settings->nodes[index];
		}
	}
	return NULL;
}
