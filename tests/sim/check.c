/* Invariants 1 and 2 where records are stored, 7 at the end. Numbers in messages are those of the list. What PHP was told, and
 * what must be left of it, is promises.c. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mms_hints.h"
#include "mms_life.h"
#include "mms_mailbox.h"
#include "promises.h"
#include "tokens.h"
#include "world.h"

#define VERSIONS_MAX 2048
#define MARKER PREFIX ":node"
#define ID_LEN 16 /* of a node, at its marker's start */
#define WRITTEN_MAX 2048

struct content_of {
	unsigned session;
	struct reference_version version;
	uint64_t hash;
	uint32_t nodes; /* that have stored it at some time */
	int64_t stored_at[NODES_MAX];
};

/* What requests have tried to store, with how long it was to live, whatever became of it. */
struct written {
	unsigned session;
	struct reference_version version;
	int64_t expires_at;
};

static struct content_of contents[VERSIONS_MAX];
static unsigned content_count;
static struct written written[WRITTEN_MAX];
static unsigned written_count;
static uint32_t serials;
void check_reset(void)
{
	content_count = written_count = 0;
	serials = 0;
	promises_reset();
}

uint32_t check_new_serial(void)
{
	return ++serials;
}

static uint64_t hash_of(const char *bytes, size_t len)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < len; i++) {
		hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
	}
	return hash;
}

bool check_session_of(const char *key, size_t len, unsigned *session)
{
	size_t prefix_len = strlen(PREFIX);

	if (len != prefix_len + 2 || memcmp(key, PREFIX "s", prefix_len + 1) != 0) {
		return false;
	}
	*session = (unsigned)(key[len - 1] - '0');
	return *session < world.session_count;
}

static void check_content(unsigned session, const struct reference_version *version, const char *value, size_t len,
		unsigned node)
{
	uint64_t hash = hash_of(value, len);

	for (unsigned i = 0; i < content_count; i++) {
		if (contents[i].session == session && contents[i].version.sequence == version->sequence
				&& reference_compare(&contents[i].version, version) == 0) {
			if (contents[i].hash != hash) {
				world_fail("1: session s%u: one version, two contents", session);
			}
			contents[i].nodes |= 1u << node;
			contents[i].stored_at[node] = sched_now();
			return;
		}
	}
	if (content_count < VERSIONS_MAX) {
		contents[content_count] = (struct content_of){ .session = session, .version = *version, .hash = hash, .nodes = 1u << node };
		contents[content_count++].stored_at[node] = sched_now();
	}
}

void check_stored(struct node *node, const char *key, size_t key_len, const struct entry *old, const char *value,
		size_t len, int64_t expires_at)
{
	struct reference_version is, was;
	char shown[2][100];
	unsigned session;

	(void)expires_at;
	if (!check_session_of(key, key_len, &session)) {
		if (key_len == strlen(MARKER) && memcmp(key, MARKER, key_len) == 0 && len > 0) {
			promises_marked(node, value[len - 1]);
		}
		return;
	}
	if (!reference_decode(value, len, &is)
			|| len != REFERENCE_HEADER + (is.tombstone ? 0 : (size_t)is.payload_len)) {
		world_fail("1: node %u: session s%u: what was stored is no record", node->index, session);
		return;
	}
	if (!is.tombstone && (unsigned)atoi(value + REFERENCE_HEADER + 1) != session) {
		world_fail("10: node %u: under the key of s%u lies the content of another session", node->index, session);
	}
	check_content(session, &is, value, len, node->index);
	promises_stored(node->index, session, &is);
	tokens_stored(node->index, session, &is);
	if (old == NULL || old->damaged || !reference_decode(old->value, old->value_len, &was)) {
		return;
	}
	if (reference_compare(&is, &was) < 0) {
		reference_format(&was, shown[0]);
		reference_format(&is, shown[1]);
		world_fail("%d: node %u: session s%u went back from {%s} to {%s}",
				was.tombstone && !was.blind && was.incarnation == is.incarnation ? 3 : 2, node->index, session, shown[0],
				shown[1]);
	}
}

void check_deleted(struct node *node, const struct entry *entry)
{
	unsigned session;

	if (check_session_of(entry->key, entry->key_len, &session)) {
		world_fail("2: node %u: session s%u was deleted", node->index, session);
	}
}

static struct entry *entry_on(struct node *node, unsigned session)
{
	char key[] = PREFIX "s0";

	key[sizeof key - 2] = (char)('0' + session);
	return node_find(node, key, sizeof key - 1);
}

struct entry *check_record_on(struct node *node, unsigned session, struct reference_version *version)
{
	struct entry *entry = entry_on(node, session);

	return entry != NULL && !entry->damaged && reference_decode(entry->value, entry->value_len, version) ? entry : NULL;
}

bool check_went_everywhere(unsigned session, const struct reference_version *version)
{
	uint32_t nodes = 0;

	for (unsigned i = 0; i < content_count; i++) {
		if (contents[i].session == session && reference_compare(&contents[i].version, version) >= 0) {
			nodes |= contents[i].nodes;
		}
	}
	return nodes == (1u << world.node_count) - 1;
}

bool check_stood(struct node *node, unsigned session, int64_t at, struct reference_version *version)
{
	if (check_record_on(node, session, version) == NULL) {
		return false;
	}
	for (unsigned i = 0; i < content_count; i++) {
		if (contents[i].session == session && reference_compare(&contents[i].version, version) == 0) {
			return (contents[i].nodes >> node->index & 1) != 0 && contents[i].stored_at[node->index] <= at;
		}
	}
	return false;
}

void check_sight(unsigned session, struct sight *sight)
{
	for (unsigned i = 0; i < world.node_count; i++) {
		sight->present[i] = check_record_on(&world.nodes[i], session, &sight->version[i]) != NULL;
		sight->life[i] = world.nodes[i].life;
		sight->emptied[i] = world.nodes[i].emptied_count;
	}
}

void check_written(unsigned session, const struct reference_version *version, int64_t expires_at)
{
	if (written_count < WRITTEN_MAX) {
		written[written_count++] = (struct written){ session, *version, expires_at };
	}
}

/* A mirror that was long under way (its server was stopped) may bring back, on one node, what has lived its life, touches
 * included (as the model found too): lives are relative. What the other nodes have, or lack, need not be equal to that. */
static bool has_lived(unsigned session, const struct entry *entry)
{
	struct reference_version version;
	bool lived = false;

	for (unsigned i = 0; entry != NULL && reference_decode(entry->value, entry->value_len, &version)
			&& i < written_count; i++) {
		if (written[i].session != session || reference_compare(&written[i].version, &version) != 0) {
			continue;
		}
		if (written[i].expires_at > sched_now()) {
			return false;
		}
		lived = true;
	}
	return lived;
}

static bool same_value(const struct entry *one, const struct entry *other)
{
	return one == NULL || other == NULL ? one == other : one->value_len == other->value_len
			&& memcmp(one->value, other->value, one->value_len) == 0;
}

/* Do all nodes hold the same of a session? NULL, or the first two that do not. */
static const char *find_difference(unsigned session)
{
	static char text[64];
	struct entry *first = NULL;
	int first_node = -1;

	for (unsigned i = 0; i < world.node_count; i++) {
		struct entry *entry = entry_on(&world.nodes[i], session);

		if (has_lived(session, entry)) {
			continue;
		}
		if (first_node >= 0 && !same_value(first, entry)) {
			snprintf(text, sizeof text, "s%u differs between nodes %d and %u", session, first_node, i);
			return text;
		}
		first = entry;
		first_node = (int)i;
	}
	return NULL;
}

/* Does a PHP that runs now set markers under this name? */
static bool is_alive(const char *life, size_t len)
{
	char name[MMS_LIFE_NAME_MAX];

	for (unsigned i = 0; i < world.host_count; i++) {
		const struct host *host = &world.hosts[i];

		if (host->cluster != NULL && mms_life_name(host->settings->host_id, mms_shm_life(host->shm, host->cluster), name) == len
				&& memcmp(name, life, len) == 0) {
			return true;
		}
	}
	return false;
}

/* An id that no node has any more: of one that was emptied. Nobody looks for what a dead host left under it. */
static bool is_former(const char *id)
{
	for (unsigned i = 0; i < world.node_count; i++) {
		const struct entry *marker = node_find(&world.nodes[i], MARKER, strlen(MARKER));

		if (marker != NULL && marker->value_len > ID_LEN && memcmp(marker->value, id, ID_LEN) == 0) {
			return false;
		}
	}
	return strspn(id, "0123456789abcdef") == ID_LEN && id[ID_LEN] == ' ';
}

/* Shared memory says what a host believes to stand on the nodes; this is what stands there, and what other hosts go by. NULL, or a
 * behind marker that should be gone. */
static const char *find_marker(void)
{
	static const char hash[] = PREFIX ":behind\n";
	static char text[NODE_FIELD_MAX + 100];

	for (unsigned i = 0; i < world.node_count; i++) {
		const struct content *content = &world.nodes[i].content;

		for (unsigned k = 0; k < content->count; k++) {
			const struct entry *entry = &content->entries[k];
			char field[NODE_FIELD_MAX], *life;
			bool alive;

			if (entry->key_len <= strlen(hash) || memcmp(entry->key, hash, strlen(hash)) != 0) {
				continue;
			}
			snprintf(field, sizeof field, "%.*s", (int)(entry->key_len - strlen(hash)), entry->key + strlen(hash));
			life = strchr(field, ' ');
			alive = life != NULL && is_alive(life + 1, strlen(life + 1));
			if (alive || !is_former(field)) {
				snprintf(text, sizeof text, "node %u: the behind marker %s of a %s life is left%s", i, field, alive ? "living" : "dead",
						is_former(field) ? ", under an id that no node has any more" : "");
				return text;
			}
		}
	}
	return NULL;
}

void check_delivered(unsigned host)
{
	const struct mms_cluster_sh *cluster = world.hosts[host].cluster;

	for (unsigned i = 0; cluster != NULL && i < world.node_count; i++) {
		if (mms_hints_count(&cluster->hints, i) != 0) {
			world_fail("7: host %u: node %u: hints are left", host, (host + i) % world.node_count);
		}
	}
}

const char *check_unsettled(void)
{
	static char text[200];

	for (unsigned i = 0; i < world.host_count; i++) {
		struct host *host = &world.hosts[i];

		if (host->cluster == NULL) {
			continue;
		}
		if (mms_mailbox_entries(&host->cluster->mailbox) != 0) {
			snprintf(text, sizeof text, "host %u: its mailbox is not empty", i);
			return text;
		}
		for (unsigned k = 0; k < world.node_count; k++) {
			struct mms_node_sh *node = &host->cluster->nodes[k];
			const char *what = !mms_breaker_allows_write(&node->breaker) ? "its breaker is open"
					: mms_hints_count(&host->cluster->hints, k) != 0 ? "hints are left"
					: mms_hints_overflowed(&host->cluster->hints, k) ? "its hints overflowed"
					: atomic_load(&node->behind_token) != 0 ? "it is marked as behind"
					: atomic_load(&node->complete) == 0 ? "it is not complete" : NULL;

			if (what != NULL) {
				snprintf(text, sizeof text, "host %u: node %u: %s", i, (i + k) % world.node_count, what);
				return text;
			}
		}
	}
	for (unsigned s = 0; s < world.session_count; s++) {
		const char *difference = NULL;
		struct reference_version version;

		for (unsigned i = 0; i < world.node_count && difference == NULL; i++) {
			difference = check_record_on(&world.nodes[i], s, &version) != NULL ? find_difference(s) : NULL;
		}
		if (difference != NULL) {
			return difference;
		}
	}
	return find_marker();
}
