/* Invariants 1 to 3 and 6 where records are stored, 7 at the end. Numbers in messages are those of the list. */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mms_hints.h"
#include "mms_mailbox.h"
#include "trace.h"
#include "world.h"

#define VERSIONS_MAX 2048
#define ACKNOWLEDGED_MAX 1024
#define ROOTS_MAX 1024

/* States of a hint (mms_hints.h: two bits of its word). */
#define HINT_STATE 3u
#define HINT_VALID 2u

struct content_of {
	unsigned session;
	struct reference_version version;
	uint64_t hash;
	uint32_t nodes; /* that have stored it at some time */
};

struct acknowledged {
	unsigned session;
	struct reference_version version;
	int64_t expires_at, at;
	uint32_t root;
	bool of_blind; /* a logout of a blind session that was really read: real, by rule c */
	bool gone; /* every copy of it, and of anything newer, was lost: a known limit */
	/* Hosts that have a hint for it, and were told after it was made that a node that had it was still the same. With that word
	 * under way to them, they are about to give up what their mailbox holds. */
	bool told[HOSTS_MAX];
	bool may_go;      /* at that moment the last node that had it was emptied, this one: the mailbox alone has it, if still */
	unsigned emptied;
};

static struct content_of contents[VERSIONS_MAX];
static unsigned content_count;
static struct acknowledged acknowledged[ACKNOWLEDGED_MAX];
static unsigned acknowledged_count;
static uint32_t serials;
static int64_t born_at[ROOTS_MAX]; /* when the read began that found nothing */
static uint32_t root_count;

void check_reset(void)
{
	content_count = acknowledged_count = 0;
	serials = 0;
	root_count = 1; /* 0: none */
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

/* "mms:s<n>" */
static bool session_of(const char *key, size_t len, unsigned *session)
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
			return;
		}
	}
	if (content_count < VERSIONS_MAX) {
		contents[content_count++] = (struct content_of){ session, *version, hash, 1u << node };
	}
}

/* It stands on a node (again): whatever hosts were told before says nothing of this copy. */
static void end_risk(unsigned session, const struct reference_version *version)
{
	for (unsigned i = 0; i < acknowledged_count; i++) {
		struct acknowledged *one = &acknowledged[i];

		if (one->session == session && !one->gone && reference_compare(version, &one->version) >= 0) {
			one->may_go = false;
			memset(one->told, 0, sizeof one->told);
		}
	}
}

void check_stored(struct node *node, const char *key, size_t key_len, const struct entry *old, const char *value,
		size_t len, int64_t expires_at)
{
	struct reference_version is, was;
	char shown[2][100];
	unsigned session;

	(void)expires_at;
	if (!session_of(key, key_len, &session)) {
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
	end_risk(session, &is);
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

	if (session_of(entry->key, entry->key_len, &session)) {
		world_fail("2: node %u: session s%u was deleted", node->index, session);
	}
}

static struct entry *entry_on(struct node *node, unsigned session)
{
	char key[] = PREFIX "s0";

	key[sizeof key - 2] = (char)('0' + session);
	return node_find(node, key, sizeof key - 1);
}

/* The record, if it is sound. */
static struct entry *record_on(struct node *node, unsigned session, struct reference_version *version)
{
	struct entry *entry = entry_on(node, session);

	return entry != NULL && !entry->damaged && reference_decode(entry->value, entry->value_len, version) ? entry : NULL;
}

static bool is_for(struct mms_slice key, unsigned session)
{
	unsigned found;

	return session_of(key.ptr, key.len, &found) && found == session;
}

/* Has every node stored it, or something newer? Then a mailbox that still has it is only waiting for answers under way. */
static bool went_everywhere(unsigned session, const struct reference_version *version)
{
	uint32_t nodes = 0;

	for (unsigned i = 0; i < content_count; i++) {
		if (contents[i].session == session && reference_compare(&contents[i].version, version) >= 0) {
			nodes |= contents[i].nodes;
		}
	}
	return nodes == (1u << world.node_count) - 1;
}

/* What is newer than `wanted` and was never acknowledged may be lost, and with it what it replaced. */
static bool must_stay(unsigned session, const struct reference_version *version, const struct reference_version *wanted)
{
	for (unsigned i = 0; i < acknowledged_count; i++) {
		if (acknowledged[i].session == session && reference_compare(&acknowledged[i].version, version) == 0) {
			return true;
		}
	}
	return reference_compare(version, wanted) == 0;
}

/* Where the search for a key's hint begins (mms_hints.c). */
static uint32_t hint_place(const char *key, size_t len)
{
	uint32_t hash = mms_crc32c(0, key, len);

	hash = (hash ^ hash >> 16) * UINT32_C(0x7feb352d);
	hash = (hash ^ hash >> 15) * UINT32_C(0x846ca68b);
	return (hash ^ hash >> 16) >> 8;
}

/* This host's hint for a session; false when it has none. The table is looked at as it stands, whoever has its lock. */
static bool read_hint(struct host *host, unsigned session, struct reference_version *out)
{
	const struct mms_hints_sh *hints = host->cluster != NULL ? &host->cluster->hints : NULL;
	char key[] = PREFIX "s0";
	uint32_t place;

	if (hints == NULL || atomic_load(&hints->used) == 0) {
		return false;
	}
	key[sizeof key - 2] = (char)('0' + session);
	place = hint_place(key, sizeof key - 1);
	for (uint32_t step = 0; step < hints->capacity; step++) {
		const uint32_t *words = (const uint32_t *)((const char *)hints + hints->table_offset);
		uint32_t at = (place + step) & (hints->capacity - 1);
		const struct mms_hint_sh *hint = (const struct mms_hint_sh *)(words + hints->capacity) + at;

		if (words[at] == 0) {
			return false;
		}
		if ((words[at] & HINT_STATE) == HINT_VALID && is_for((struct mms_slice){ hint->key, hint->key_len }, session)) {
			return reference_decode((const char *)hint->header, sizeof hint->header, out);
		}
	}
	return false;
}

/* Does this host still have it to deliver? Only its mailbox and a tombstone's hint hold anything. */
static bool host_holds(struct host *host, unsigned session, const struct reference_version *version)
{
	struct reference_version found;
	struct mms_mailbox_item item;

	if (host->cluster == NULL) {
		return false;
	}
	for (uint64_t at = mms_mailbox_tail(&host->cluster->mailbox); mms_mailbox_peek(&host->cluster->mailbox, at, &item) > 0;
			at = item.next) {
		if (is_for(item.key, session) && item.kind == MMS_PARCEL_PUT
				&& reference_decode(item.record.ptr, item.record.len, &found)
				&& reference_compare(&found, version) >= 0 && must_stay(session, &found, version)
				&& !went_everywhere(session, &found)) {
			return true;
		}
	}
	return read_hint(host, session, &found) && found.tombstone && reference_compare(&found, version) >= 0
			&& must_stay(session, &found, version);
}

static bool exists_anywhere(unsigned session, const struct reference_version *version)
{
	struct reference_version found;

	for (unsigned i = 0; i < world.node_count; i++) {
		if (record_on(&world.nodes[i], session, &found) != NULL && reference_compare(&found, version) >= 0) {
			return true;
		}
	}
	for (unsigned i = 0; i < world.host_count; i++) {
		if (host_holds(&world.hosts[i], session, version)) {
			return true;
		}
	}
	return false;
}

/* The last node that had it was emptied. Has each host that still holds it been told that the node is the same? What they make
 * of that word is not known here: the mailbox is emptied when it comes, or when the next one says otherwise. */
static void note_risk(struct acknowledged *one, unsigned node)
{
	struct reference_version found;

	for (unsigned i = 0; i < world.node_count; i++) {
		if (record_on(&world.nodes[i], one->session, &found) != NULL && reference_compare(&found, &one->version) >= 0) {
			return;
		}
	}
	for (unsigned i = 0; i < world.host_count; i++) {
		if (!one->told[i] && host_holds(&world.hosts[i], one->session, &one->version)) {
			return;
		}
	}
	one->may_go = true;
	one->emptied = node;
	trace("only mailboxes that may be about to give it up have s%u's write %u", one->session,
			(unsigned)(one - acknowledged));
}

void check_marker_asked(struct node *node, unsigned host)
{
	struct reference_version found, hinted;

	for (unsigned i = 0; i < acknowledged_count; i++) {
		struct acknowledged *one = &acknowledged[i];

		if (one->gone || one->expires_at <= sched_now()) {
			continue;
		}
		if (one->may_go) { /* this word tells the host in time */
			one->may_go = one->emptied != node->index || !host_holds(&world.hosts[host], one->session, &one->version);
		} else if (!one->told[host] && read_hint(&world.hosts[host], one->session, &hinted)
				&& reference_compare(&hinted, &one->version) >= 0
				&& record_on(node, one->session, &found) != NULL && reference_compare(&found, &one->version) >= 0) {
			one->told[host] = true;
		}
	}
}

void check_content_lost(int node)
{
	for (unsigned i = 0; i < acknowledged_count; i++) {
		struct acknowledged *one = &acknowledged[i];

		if (!one->gone && one->expires_at > sched_now() && !exists_anywhere(one->session, &one->version)) {
			one->gone = true;
			trace("every copy of s%u's write %u is gone", one->session, i);
		} else if (!one->gone && node >= 0) {
			note_risk(one, (unsigned)node);
		}
	}
}

void check_sight(unsigned session, struct sight *sight)
{
	for (unsigned i = 0; i < world.node_count; i++) {
		sight->present[i] = record_on(&world.nodes[i], session, &sight->version[i]) != NULL;
		sight->life[i] = world.nodes[i].life;
		sight->emptied[i] = world.nodes[i].emptied_count;
	}
}

uint32_t check_new_root(void)
{
	if (root_count < ROOTS_MAX) {
		born_at[root_count++] = sched_now();
	}
	return root_count - 1;
}

void check_acknowledged(unsigned session, const struct reference_version *version, int64_t expires_at, uint32_t root,
		bool of_blind)
{
	if (acknowledged_count < ACKNOWLEDGED_MAX) {
		acknowledged[acknowledged_count++] = (struct acknowledged){ .session = session, .version = *version,
			.expires_at = expires_at, .at = sched_now(), .root = root, .of_blind = of_blind,
			.gone = !exists_anywhere(session, version) };
	}
}

/* What descends from a read that found nothing must not win over what was acknowledged before that read and was there all
 * the time; nor may a logout of nothing. */
static void check_not_wiped(const struct acknowledged *one, const struct entry *left, const struct reference_version *found)
{
	uint32_t root = 0;
	char shown[2][100];

	if (found->incarnation != one->version.incarnation || one->version.blind || found->blind || one->version.tombstone) {
		return;
	}
	if (!found->tombstone && sscanf(left->value + REFERENCE_HEADER, "s%*u root %u", &root) != 1) {
		return;
	}
	for (unsigned i = 0; found->tombstone && i < acknowledged_count; i++) {
		root = reference_compare(&acknowledged[i].version, found) != 0 ? root
				: acknowledged[i].of_blind ? 0 : acknowledged[i].root;
	}
	if (root != 0 && root < root_count && root != one->root && born_at[root] > one->at) {
		reference_format(&one->version, shown[0]);
		reference_format(found, shown[1]);
		world_fail("6: session s%u: {%s} was acknowledged; {%s} is left, which began with a read that did not see it",
				one->session, shown[0], shown[1]);
	}
}

/* A mirror that was long under way (its server was stopped) may bring back, on one node, what has lived its life, touches
 * included (as the model found too): lives are relative. What the other nodes have, or lack, need not be equal to that. */
static bool has_lived(unsigned session, const struct entry *entry)
{
	struct reference_version version;
	bool lived = false;

	for (unsigned i = 0; entry != NULL && reference_decode(entry->value, entry->value_len, &version)
			&& i < acknowledged_count; i++) {
		if (acknowledged[i].session != session || reference_compare(&acknowledged[i].version, &version) != 0) {
			continue;
		}
		if (acknowledged[i].expires_at > sched_now()) {
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
			difference = record_on(&world.nodes[i], s, &version) != NULL ? find_difference(s) : NULL;
		}
		if (difference != NULL) {
			return difference;
		}
	}
	return NULL;
}

/* Logged out means logged out, also when the tombstone has lived its life: no copy may outlive it. */
static void check_logouts(void)
{
	for (unsigned i = 0; i < acknowledged_count; i++) {
		struct acknowledged *one = &acknowledged[i];
		struct reference_version found;
		struct entry *left = one->version.tombstone && !one->version.blind && !one->gone && one->expires_at <= sched_now()
				? record_on(&world.nodes[0], one->session, &found) : NULL;
		uint32_t root;
		char shown[100];

		if (left != NULL && !found.tombstone && found.incarnation <= one->version.incarnation
				&& sscanf(left->value + REFERENCE_HEADER, "s%*u root %u", &root) == 1 && root == one->root) {
			reference_format(&found, shown);
			world_fail("3: session s%u: {%s} outlived the tombstone of its logout", one->session, shown);
		}
	}
}

void check_final(void)
{
	check_logouts();
	for (unsigned i = 0; i < acknowledged_count; i++) {
		struct acknowledged *one = &acknowledged[i];
		struct reference_version found;
		struct entry *left = record_on(&world.nodes[0], one->session, &found);
		char shown[2][100] = { "", "nothing" };

		if (one->gone || one->expires_at <= sched_now()) {
			continue;
		}
		if (left != NULL && reference_compare(&found, &one->version) >= 0) {
			check_not_wiped(one, left, &found);
			continue;
		}
		reference_format(&one->version, shown[0]);
		if (left != NULL) {
			reference_format(&found, shown[1]);
		}
		if (one->may_go) {
			continue;
		}
		world_fail("6: session s%u: {%s} was acknowledged, and what is left is {%s}", one->session, shown[0], shown[1]);
	}
}
