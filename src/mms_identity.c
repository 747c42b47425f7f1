/* Marker and run_id, as text and as numbers. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif

#include "mms_identity.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

size_t mms_identity_marker_key(const struct mms_settings *settings, char *out, size_t size)
{
	const size_t len = strnlen(settings->prefix, size - sizeof ":node");

	memcpy(out, settings->prefix, len);
	memcpy(out + len, ":node", sizeof ":node");
	return len + sizeof ":node" - 1;
}

size_t mms_identity_lives_key(const struct mms_settings *settings, char *out, size_t size)
{
	return (size_t)snprintf(out, size, "%s:lives", settings->prefix);
}

size_t mms_identity_behind_key(const struct mms_settings *settings, char *out, size_t size)
{
	return (size_t)snprintf(out, size, "%s:behind", settings->prefix);
}

size_t mms_identity_scanned_key(const struct mms_settings *settings, char *out, size_t size)
{
	return (size_t)snprintf(out, size, "%s:scanned", settings->prefix);
}

#define ID_DIGITS 16

/* The first part of a behind marker's field, with the blank that ends it. */
static size_t behind_node(const struct mms_settings *settings, unsigned index, uint64_t node_id, char *out, size_t size)
{
	if (node_id == 0) { /* never met: only hosts that spell its address alike will find it */
		return (size_t)snprintf(out, size, "%s ", settings->nodes[index].address);
	}
	return (size_t)snprintf(out, size, "%016" PRIx64 " ", node_id);
}

size_t mms_identity_behind_field(const struct mms_settings *settings, unsigned index, uint64_t node_id, uint64_t life,
		char *out, size_t size)
{
	char name[MMS_LIFE_NAME_MAX];
	size_t len = behind_node(settings, index, node_id, out, size);

	(void)mms_life_name(settings->host_id, life, name);
	return len + (size_t)snprintf(out + len, size - len, "%s", name);
}

/* The node id that such a line begins with, 0 when it is an address. Asked for each line of each list, and often: nothing is formatted. */
static uint64_t id_in(struct mms_slice field)
{
	uint64_t id = 0;

	if (field.len <= ID_DIGITS + 1 || field.ptr[ID_DIGITS] != ' ') {
		return 0;
	}
	for (unsigned i = 0; i < ID_DIGITS; i++) {
		const char digit = field.ptr[i];

		if (!((digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f'))) {
			return 0;
		}
		id = id << 4 | (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
	}
	return id;
}

static bool begins_with_address(struct mms_slice field, const char *address)
{
	size_t len = strlen(address);

	return field.len > len + 1 && field.ptr[len] == ' ' && memcmp(field.ptr, address, len) == 0;
}

bool mms_identity_is_behind(struct mms_slice field, const struct mms_settings *settings, unsigned index, uint64_t node_id)
{
	return begins_with_address(field, settings->nodes[index].address) || (node_id != 0 && id_in(field) == node_id);
}

uint64_t mms_identity_behind_mask(struct mms_slice field, const struct mms_settings *settings, const struct mms_cluster_sh *cluster)
{
	const uint64_t id = id_in(field); /* no address looks like one */
	uint64_t mask = 0;

	for (unsigned i = 0; i < settings->node_count; i++) {
		mask |= (id != 0 ? atomic_load(&cluster->nodes[i].node_id) == id
				: begins_with_address(field, settings->nodes[i].address)) ? UINT64_C(1) << i : 0;
	}
	return mask;
}

struct mms_slice mms_identity_behind_life(struct mms_slice field)
{
	const char *blank = field.len == 0 ? NULL : memchr(field.ptr, ' ', field.len);
	struct mms_slice life = { NULL, 0 };

	if (blank != NULL) {
		life.ptr = blank + 1;
		life.len = field.len - (size_t)(life.ptr - field.ptr);
	}
	return life;
}

size_t mms_identity_hosts_key(const struct mms_settings *settings, char *out, size_t size)
{
	return (size_t)snprintf(out, size, "%s:hosts", settings->prefix);
}

/* FNV-1a (Fowler, Noll, Vo), to remember a run_id in one word. */
uint64_t mms_identity_hash(struct mms_slice text)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < text.len; i++) {
		hash = (hash ^ (unsigned char)text.ptr[i]) * UINT64_C(1099511628211);
	}
	return hash == 0 ? 1 : hash;
}

static uint64_t hash_text(const char *text)
{
	return mms_identity_hash(mms_slice_of(text));
}

bool mms_identity_info_field(struct mms_slice info, const char *name, char *out, size_t size)
{
	const char *found = info.len == 0 ? NULL : memmem(info.ptr, info.len, name, strlen(name));
	size_t len = 0;

	if (found == NULL) {
		return false;
	}
	found += strlen(name);
	while (found + len < info.ptr + info.len && found[len] != '\r' && found[len] != '\n' && len + 1 < size) {
		out[len] = found[len];
		len++;
	}
	out[len] = '\0';
	return len > 0;
}

enum mms_status mms_identity_parse_info(struct mms_slice info, char run_id[MMS_RUN_ID_MAX + 1],
		struct mms_error *error)
{
	char mode[16];

	if (mms_identity_info_field(info, "redis_mode:", mode, sizeof mode) && strcmp(mode, "cluster") == 0) {
		mms_error_set(error, "Redis Cluster mode is not supported: set cluster-enabled no, every node stands alone");
		return MMS_ERR_REFUSED;
	}
	if (!mms_identity_info_field(info, "run_id:", run_id, MMS_RUN_ID_MAX + 1)) {
		mms_error_set(error, "INFO server has no run_id: allow INFO for mmsession.user, or connect without a proxy");
		return MMS_ERR_REFUSED;
	}
	return MMS_OK;
}

enum mms_status mms_identity_propose(const char *run_id, enum mms_marker_flag flag, char out[MMS_MARKER_VALUE_MAX])
{
	uint64_t id = 0;
	enum mms_status status = mms_random_bytes(&id, sizeof id);

	(void)snprintf(out, MMS_MARKER_VALUE_MAX, "%016" PRIx64 " %s %d", id == 0 ? 1 : id, run_id, (int)flag);
	return status;
}

void mms_identity_judge(struct mms_slice marker, const char *run_id, struct mms_identity *out)
{
	mms_identity_judge_hash(marker, hash_text(run_id), out);
}

void mms_identity_judge_hash(struct mms_slice marker, uint64_t run_hash, struct mms_identity *out)
{
	char value[MMS_MARKER_VALUE_MAX], marked_run_id[MMS_RUN_ID_MAX + 1];
	int flag = 0;

	*out = (struct mms_identity){ .run_hash = run_hash };
	mms_text_copy(value, sizeof value, marker);
	if (sscanf(value, "%16" SCNx64 " %40s %d", &out->node_id, marked_run_id, &flag) != 3) {
		out->node_id = 0;
		return;
	}
	if (out->node_id != 0 && hash_text(marked_run_id) == run_hash) {
		out->current = true;
		out->complete = flag == MMS_MARKER_COMPLETE;
		out->founded = flag == MMS_MARKER_FOUNDED;
	}
}

bool mms_identity_all_founded(const struct mms_cluster_sh *cluster, unsigned node_count, unsigned index,
		const struct mms_identity *identity)
{
	for (unsigned i = 0; i < node_count; i++) {
		if (i == index ? !identity->founded : atomic_load(&cluster->nodes[i].founded) == 0) {
			return false;
		}
	}
	return true;
}

void mms_identity_make_sure(struct mms_cluster_sh *cluster, unsigned node_count)
{
	for (unsigned i = 0; i < node_count; i++) {
		atomic_store(&cluster->nodes[i].founded, MMS_FOUNDED_SURE);
		atomic_store(&cluster->nodes[i].complete, 1);
	}
}

bool mms_identity_changed(const struct mms_node_sh *node, const struct mms_identity *identity)
{
	uint64_t old_run = atomic_load(&node->run_hash), old_id = atomic_load(&node->node_id);

	return (old_run != 0 && old_run != identity->run_hash)
			|| (old_id != 0 && identity->node_id != 0 && old_id != identity->node_id);
}

bool mms_identity_publish(struct mms_node_sh *node, const struct mms_identity *identity)
{
	bool changed = mms_identity_changed(node, identity);

	if (identity->node_id != 0) {
		atomic_store(&node->node_id, identity->node_id);
	}
	bool sure = identity->founded && !changed && atomic_load(&node->founded) == MMS_FOUNDED_SURE;

	atomic_store(&node->complete, (identity->complete || sure) && !changed ? 1 : 0);
	atomic_store(&node->founded, sure ? MMS_FOUNDED_SURE : identity->founded ? MMS_FOUNDED : MMS_FOUNDED_NOT);
	atomic_store(&node->run_hash, identity->run_hash);
	return changed;
}
