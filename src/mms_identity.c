/* The marker is proposed with SET NX and read back in the same round trip, so two hosts that meet a new node at the same
 * moment agree on the id of the one that came first. */
#include "mms_identity.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_ID_LEN 40

static void on_info(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void on_marker(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void become_ready(struct mms_link *link, uint64_t node_id, uint64_t run_hash, bool complete);

void mms_identity_ask(struct mms_link *link)
{
	struct mms_command command;

	mms_command_init(&command);
	mms_command_info_server(&command);
	(void)mms_link_request(link, &command, on_info, NULL, 0);
}

size_t mms_identity_marker_key(const struct mms_office *office, char *out, size_t size)
{
	return (size_t)snprintf(out, size, "%s:node", office->settings->prefix);
}

size_t mms_identity_behind_key(const struct mms_office *office, unsigned missing_node, char *out, size_t size)
{
	uint64_t id = atomic_load(&office->cluster->nodes[missing_node].node_id);

	if (id == 0) { /* never met: only hosts that spell its address alike will find it */
		return (size_t)snprintf(out, size, "%s:behind:%s:%s", office->settings->prefix,
				office->settings->nodes[missing_node].address, office->settings->host_id);
	}
	return (size_t)snprintf(out, size, "%s:behind:%016" PRIx64 ":%s", office->settings->prefix, id,
			office->settings->host_id);
}

/* FNV-1a (Fowler, Noll, Vo), to remember a run_id in one word. */
static uint64_t hash_text(const char *text, size_t len)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < len; i++) {
		hash = (hash ^ (unsigned char)text[i]) * UINT64_C(1099511628211);
	}
	return hash == 0 ? 1 : hash;
}

/* Copies the value of "name:value\r\n" out of INFO's text. */
static bool info_field(struct mms_slice info, const char *name, char *out, size_t size)
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

static void refuse(struct mms_link *link, const char *what, struct mms_slice text)
{
	const struct mms_node_config *config = &link->office->settings->nodes[link->index];
	struct mms_error error;
	char shown[128];

	mms_text_copy(shown, sizeof shown, text);
	mms_error_set(&error, "node %s (%s): %s: %s", config->name, config->address, what, shown);
	mms_link_fail(link, MMS_ERR_REFUSED, &error);
}

static void on_info(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct mms_office *office = link->office;
	char run_id[RUN_ID_LEN + 1] = "", mode[16] = "", key[MMS_PREFIX_MAX + 16], value[96];
	struct mms_node_sh *node = mms_link_node(link);
	struct mms_command command;
	struct mms_slice info;
	uint64_t id = 0;
	size_t key_len;

	(void)context;
	(void)token;
	if (replies == NULL) {
		return;
	}
	info = mms_reply_text(replies[0]);
	if (mms_reply_type(replies[0]) == MMS_REPLY_ERROR) {
		refuse(link, "INFO refused (LOADING: wait; NOPERM: allow INFO for mmsession.user)", info);
		return;
	}
	if (info_field(info, "redis_mode:", mode, sizeof mode) && strcmp(mode, "cluster") == 0) {
		refuse(link, "Redis Cluster mode is not supported: set cluster-enabled no, every node stands alone",
				mms_slice_of(mode));
		return;
	}
	if (!info_field(info, "run_id:", run_id, sizeof run_id) || mms_random_bytes(&id, sizeof id) != MMS_OK) {
		refuse(link, "INFO server without run_id", info);
		return;
	}
	key_len = mms_identity_marker_key(office, key, sizeof key);
	/* A node that this host knew and that has lost its marker was emptied: it starts incomplete. */
	(void)snprintf(value, sizeof value, "%016" PRIx64 " %s %d", id == 0 ? 1 : id, run_id,
			atomic_load(&node->node_id) == 0 ? 1 : 0);
	mms_command_init(&command);
	mms_command_set_once(&command, (struct mms_slice){ key, key_len }, mms_slice_of(value));
	(void)mms_link_request(link, &command, on_marker, NULL, hash_text(run_id, strlen(run_id)));
}

static void on_marker(struct mms_link *link, void *context, uint64_t run_hash, struct mms_reply *const *replies)
{
	char value[96], run_id[RUN_ID_LEN + 1] = "";
	uint64_t node_id = 0;
	int complete = 0;

	(void)context;
	if (replies == NULL) {
		return;
	}
	if (mms_reply_type(replies[0]) == MMS_REPLY_ERROR && mms_reply_type(replies[1]) != MMS_REPLY_STRING) {
		enum mms_reply_class refusal = mms_reply_classify(replies[0]);

		if (refusal != MMS_CLASS_WRITE) {
			refuse(link, "marker key refused", mms_reply_text(replies[0]));
			return;
		}
	}
	mms_text_copy(value, sizeof value, mms_reply_text(replies[1]));
	if (sscanf(value, "%16" SCNx64 " %40s %d", &node_id, run_id, &complete) != 3 || node_id == 0) {
		/* Readable but not writable (OOM, READONLY) and never met, or somebody else's key: usable, proves nothing. */
		become_ready(link, atomic_load(&mms_link_node(link)->node_id), run_hash, false);
		return;
	}
	become_ready(link, node_id, run_hash, complete == 1 && hash_text(run_id, strlen(run_id)) == run_hash);
}

static void become_ready(struct mms_link *link, uint64_t node_id, uint64_t run_hash, bool complete)
{
	struct mms_office *office = link->office;
	struct mms_node_sh *node = mms_link_node(link);
	uint64_t old_run = atomic_load(&node->run_hash), old_id = atomic_load(&node->node_id);

	if ((old_run != 0 && old_run != run_hash) || (old_id != 0 && old_id != node_id)) {
		/* Rule f: what the old incarnation of this node acknowledged is worth nothing. */
		complete = false;
		link->ack_position = mms_mailbox_tail(&office->cluster->mailbox);
		link->send_position = link->ack_position;
	}
	atomic_store(&node->node_id, node_id);
	atomic_store(&node->run_hash, run_hash);
	atomic_store(&node->complete, complete ? 1 : 0);
	link->state = MMS_LINK_READY;
	link->ready_since = office->now;
	link->hint_round_at = office->now;
	link->hint_cursor = 0;
	mms_breaker_good(&node->breaker, 0);
	if (link->probing) {
		link->probing = false;
		(void)mms_breaker_probe_result(&node->breaker, true, office->now, mms_link_random(office));
	}
	/* Other nodes may wait for one more place to put their behind markers, and hints for one more source. */
	for (unsigned i = 0; i < office->node_count; i++) {
		office->links[i].hint_round_at = office->now;
	}
	office->busy = true;
}
