/* Invariants 3 and 6: what PHP was told is stored is there in the end, or superseded by what descends from it, or every copy of
 * it was lost. Only mailboxes, and hints of tombstones, count as copies beside the nodes. */
#include "promises.h"

#include <stdio.h>
#include <string.h>

#include "check.h"
#include "mms_hints.h"
#include "mms_mailbox.h"
#include "tokens.h"
#include "trace.h"
#include "world.h"

#define ACKNOWLEDGED_MAX 1024
#define ROOTS_MAX 1024
#define LOGOUTS_MAX 256
#define NEVER INT64_MIN
#define FOUNDING_US 3000000 /* hosts look for as long whether their nodes are all founded (mms_greeting.c) */
#define LOOKED_THROUGH 12 /* MMS_BACKLOG_FEW, less what may be pushed meanwhile */

/* States of a hint (mms_hints.h: two bits of its word). */
#define HINT_STATE 3u
#define HINT_VALID 2u

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
	unsigned told_by[HOSTS_MAX];
	bool may_go;      /* at that moment the last node that had it was emptied, this one: the mailbox alone has it, if still */
	unsigned emptied;
	/* Its holders were emptied, and all nodes were taken for a first installation while mailboxes alone had it: a known limit.
	 * What began then is not told from a first session. */
	bool refounded;
	int64_t alone_at; /* when a node was founded last while mailboxes alone had it; NEVER */
};

static struct acknowledged acknowledged[ACKNOWLEDGED_MAX];
static unsigned acknowledged_count;
static int64_t born_at[ROOTS_MAX]; /* when the read began that found nothing */
static uint32_t root_count;
/* Stamps of tombstones that are not blind, whether anybody was told or not. */
static uint64_t real_logouts[SESSIONS_MAX][LOGOUTS_MAX];
static unsigned real_logout_count[SESSIONS_MAX];
static int64_t founded_at[NODES_MAX]; /* since they were emptied last */

void promises_reset(void)
{
	acknowledged_count = 0;
	root_count = 1; /* 0: none */
	memset(real_logout_count, 0, sizeof real_logout_count);
	for (unsigned i = 0; i < NODES_MAX; i++) {
		founded_at[i] = NEVER;
	}
}

static bool is_opened_on_real(unsigned session, uint64_t incarnation)
{
	for (unsigned i = 0; i < real_logout_count[session]; i++) {
		if (real_logouts[session][i] == incarnation) {
			return true;
		}
	}
	return incarnation == 0 || real_logout_count[session] == LOGOUTS_MAX;
}

void promises_stored(unsigned node, unsigned session, const struct reference_version *version)
{
	if (!is_opened_on_real(session, version->incarnation)) {
		char shown[100];

		reference_format(version, shown);
		world_fail("6: session s%u: {%s} is stored, of an incarnation that no real logout opened", session, shown);
	}
	for (unsigned i = 0; i < acknowledged_count; i++) {
		struct acknowledged *one = &acknowledged[i];

		if (one->session == session && !one->gone && reference_compare(version, &one->version) >= 0) {
			one->may_go = false;
			for (unsigned k = 0; k < HOSTS_MAX; k++) {
				one->told[k] = one->told[k] && one->told_by[k] == node;
			}
		}
	}
}

void promises_stamped(unsigned session, const struct reference_version *version)
{
	if (version->tombstone && !version->blind && real_logout_count[session] < LOGOUTS_MAX) {
		real_logouts[session][real_logout_count[session]++] = version->hlc;
	}
}

static bool is_for(struct mms_slice key, unsigned session)
{
	unsigned found;

	return check_session_of(key.ptr, key.len, &found) && found == session;
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
static const struct mms_hint_sh *find_hint(struct host *host, unsigned session)
{
	const struct mms_hints_sh *hints = host->cluster != NULL ? &host->cluster->hints : NULL;
	char key[] = PREFIX "s0";
	uint32_t place;

	if (hints == NULL || atomic_load(&hints->used) == 0) {
		return NULL;
	}
	key[sizeof key - 2] = (char)('0' + session);
	place = hint_place(key, sizeof key - 1);
	for (uint32_t step = 0; step < hints->capacity; step++) {
		const uint32_t *words = (const uint32_t *)((const char *)hints + hints->table_offset);
		uint32_t at = (place + step) & (hints->capacity - 1);
		const struct mms_hint_sh *hint = (const struct mms_hint_sh *)(words + hints->capacity) + at;

		if (words[at] == 0) {
			return NULL;
		}
		if ((words[at] & HINT_STATE) == HINT_VALID && is_for((struct mms_slice){ hint->key, hint->key_len }, session)) {
			return hint;
		}
	}
	return NULL;
}

static bool read_hint(struct host *host, unsigned session, struct reference_version *out)
{
	const struct mms_hint_sh *hint = find_hint(host, session);

	return hint != NULL && reference_decode((const char *)hint->header, sizeof hint->header, out);
}

/* Does its hint have a tombstone to deliver that is this version, or newer and must stay? */
static bool hint_holds(struct host *host, unsigned session, const struct reference_version *version)
{
	const struct mms_hint_sh *hint = find_hint(host, session);
	struct reference_version found;
	bool any = hint != NULL && ((reference_decode((const char *)hint->header, sizeof hint->header, &found) && found.tombstone)
			|| reference_decode((const char *)hint->tombstone, sizeof hint->tombstone, &found));

	return any && reference_compare(&found, version) >= 0 && must_stay(session, &found, version);
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
				&& !check_went_everywhere(session, &found)) {
			return true;
		}
	}
	return hint_holds(host, session, version);
}

bool promises_in_mailbox(struct host *host, unsigned session, const struct reference_version *wanted,
		struct reference_version *out)
{
	struct reference_version found;
	struct mms_mailbox_item item;
	unsigned count = 0;
	bool any = false;

	if (host->cluster == NULL) {
		return false;
	}
	for (uint64_t at = mms_mailbox_tail(&host->cluster->mailbox); count < LOOKED_THROUGH
			&& mms_mailbox_peek(&host->cluster->mailbox, at, &item) > 0; at = item.next, count++) {
		if (is_for(item.key, session) && item.kind == MMS_PARCEL_PUT
				&& item.pushed_at.us + (int64_t)item.ttl_ms * 1000 > sched_now()
				&& reference_decode(item.record.ptr, item.record.len, &found)
				&& (wanted == NULL || reference_compare(&found, wanted) == 0)
				&& (!any || reference_compare(&found, out) > 0)) {
			*out = found;
			any = true;
		}
	}
	return any;
}

bool promises_kept(unsigned session, const struct reference_version *version)
{
	struct reference_version found;

	for (unsigned i = 0; i < world.node_count; i++) {
		if (check_record_on(&world.nodes[i], session, &found) != NULL && reference_compare(&found, version) >= 0) {
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

bool promises_newer(unsigned session, int64_t before_us, const struct reference_version *shown, struct reference_version *out)
{
	for (unsigned i = 0; i < acknowledged_count; i++) {
		const struct acknowledged *one = &acknowledged[i];

		if (one->session == session && one->at < before_us && !one->gone && one->expires_at > sched_now()
				&& (shown == NULL || reference_compare(shown, &one->version) < 0)) {
			*out = one->version;
			return true;
		}
	}
	return false;
}

bool promises_owed(unsigned session, const struct reference_version *version, int64_t before_us)
{
	for (unsigned i = 0; i < acknowledged_count; i++) {
		const struct acknowledged *one = &acknowledged[i];

		if (one->session == session && one->at < before_us && !one->gone && !one->may_go && !one->refounded
				&& one->expires_at > sched_now() && reference_compare(&one->version, version) == 0) {
			return true;
		}
	}
	return false;
}

static bool is_on_a_node(const struct acknowledged *one)
{
	struct reference_version found;

	for (unsigned i = 0; i < world.node_count; i++) {
		if (check_record_on(&world.nodes[i], one->session, &found) != NULL && reference_compare(&found, &one->version) >= 0) {
			return true;
		}
	}
	return false;
}

/* The last node that had it was emptied. Has each host that still holds it been told that the node is the same? What they make
 * of that word is not known here: the mailbox is emptied when it comes, or when the next one says otherwise. */
static void note_risk(struct acknowledged *one, unsigned node)
{
	if (is_on_a_node(one)) {
		return;
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

/* A host takes for stored what a node has acknowledged and lost by damage alone: its marker still stands. Where nobody else could take
 * it meanwhile, the mailbox gives it up for a hint that there is nothing to deliver from: a known limit. */
void promises_damaged(unsigned node, unsigned session, const struct reference_version *version)
{
	promises_lost(-1);
	founded_at[node] = NEVER;
	for (unsigned i = 0; i < acknowledged_count; i++) {
		struct acknowledged *one = &acknowledged[i];

		if (one->session == session && reference_compare(version, &one->version) >= 0 && !one->gone
				&& one->expires_at > sched_now() && !is_on_a_node(one)) {
			one->may_go = true;
			one->emptied = NODES_MAX; /* no word tells */
		}
	}
}

void promises_marker_asked(struct node *node, unsigned host)
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
				&& check_record_on(node, one->session, &found) != NULL && reference_compare(&found, &one->version) >= 0) {
			one->told[host] = true;
			one->told_by[host] = node->index;
		}
	}
}

bool promises_all_founded(void)
{
	bool emptied = false;

	for (unsigned i = 0; i < world.node_count; i++) {
		if (founded_at[i] < sched_now() - FOUNDING_US) {
			return false;
		}
		emptied = emptied || world.nodes[i].emptied_count > 0;
	}
	return emptied;
}

void promises_marked(const struct node *node, char flag)
{
	if (flag == '2') {
		founded_at[node->index] = sched_now();
	} else if (flag == '0') {
		founded_at[node->index] = NEVER;
	}
	for (unsigned i = 0; i < acknowledged_count && flag == '2'; i++) {
		struct acknowledged *one = &acknowledged[i];

		/* It may have come to the first of them while the others were being founded, after somebody had read there. */
		one->alone_at = is_on_a_node(one) ? one->alone_at : sched_now();
		if (!one->gone && !one->refounded && one->alone_at >= sched_now() - FOUNDING_US && promises_all_founded()) {
			one->refounded = true;
			trace("the nodes are founded anew, and only mailboxes have s%u's write %u", one->session, i);
		}
	}
}

void promises_lost(int node)
{
	for (unsigned i = 0; i < acknowledged_count; i++) {
		struct acknowledged *one = &acknowledged[i];

		if (!one->gone && one->expires_at > sched_now() && !promises_kept(one->session, &one->version)) {
			one->gone = true;
			trace("every copy of s%u's write %u is gone", one->session, i);
		} else if (!one->gone && node >= 0) {
			note_risk(one, (unsigned)node);
		}
	}
	if (node >= 0) {
		founded_at[node] = NEVER;
	}
	tokens_lost();
}

uint32_t promises_new_root(void)
{
	if (root_count < ROOTS_MAX) {
		born_at[root_count++] = sched_now();
	}
	return root_count - 1;
}

void promises_acknowledged(unsigned session, const struct reference_version *version, int64_t expires_at, uint32_t root,
		bool of_blind)
{
	if (acknowledged_count < ACKNOWLEDGED_MAX) {
		acknowledged[acknowledged_count++] = (struct acknowledged){ .session = session, .version = *version,
			.expires_at = expires_at, .at = sched_now(), .root = root, .of_blind = of_blind,
			.gone = !promises_kept(session, version), .alone_at = NEVER };
	}
}

/* What descends from a read that found nothing must not win over what was acknowledged before that read and was there all
 * the time; nor may a logout of nothing. */
static void check_not_wiped(const struct acknowledged *one, const struct entry *left, const struct reference_version *found)
{
	uint32_t root = 0;
	char shown[2][100];

	if (one->refounded || one->version.blind || one->version.tombstone
			|| (found->incarnation != one->version.incarnation && is_opened_on_real(one->session, found->incarnation))) {
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

/* Logged out means logged out, also when the tombstone has lived its life: no copy may outlive it. */
static void check_logouts(void)
{
	for (unsigned i = 0; i < acknowledged_count; i++) {
		struct acknowledged *one = &acknowledged[i];
		struct reference_version found;
		struct entry *left = one->version.tombstone && !one->version.blind && !one->gone && one->expires_at <= sched_now()
				? check_record_on(&world.nodes[0], one->session, &found) : NULL;
		uint32_t root;
		char shown[100];

		if (left != NULL && !found.tombstone && found.incarnation <= one->version.incarnation
				&& sscanf(left->value + REFERENCE_HEADER, "s%*u root %u", &root) == 1 && root == one->root) {
			reference_format(&found, shown);
			world_fail("3: session s%u: {%s} outlived the tombstone of its logout", one->session, shown);
		}
	}
}

/* Something newer was acknowledged too, a logout for example, and has lived its own, shorter life. */
static bool is_outlived(const struct acknowledged *one)
{
	for (unsigned i = 0; i < acknowledged_count; i++) {
		if (acknowledged[i].session == one->session && acknowledged[i].expires_at <= sched_now()
				&& reference_compare(&acknowledged[i].version, &one->version) > 0) {
			return true;
		}
	}
	return false;
}

void promises_final(void)
{
	check_logouts();
	for (unsigned i = 0; i < acknowledged_count; i++) {
		struct acknowledged *one = &acknowledged[i];
		struct reference_version found;
		struct entry *left = check_record_on(&world.nodes[0], one->session, &found);
		char shown[2][100] = { "", "nothing" };

		if (one->gone || one->expires_at <= sched_now() || is_outlived(one)) {
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
