/* A marker is wanted while the node can't be written or has hints left. Each change goes to all ready peers; what a peer
 * acknowledged is in marker_mask, so that one which comes back later is given (or relieved of) it then. */
#include "mms_marker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mms_identity.h"
#include "mms_life.h"
#include "mms_refusal.h"

#define TOKEN_FORMAT "%016" PRIx64
#define SOFT_APART_US 500000 /* longer: what failed is one key, tried again now and then */
#define REFUSED_US 5000000   /* until a peer that takes no markers is asked again */

struct line {
	struct mms_slice key, field;
	char key_text[MMS_MARKER_KEY_MAX], field_text[MMS_BEHIND_FIELD_MAX];
};

static bool wanted(const struct mms_link *missing);
static void take_token(struct mms_link *missing, bool want);
static void rename_marker(struct mms_link *missing);
static void name_line(const struct mms_link *missing, uint64_t id, struct line *out);
static bool takes_markers(const struct mms_link *peer);
static void ask_peer(struct mms_link *missing, struct mms_link *peer, bool set);
static uint64_t said(const struct mms_link *missing, bool set);
static void on_changed(struct mms_link *peer, void *context, uint64_t asked, struct mms_reply *const *replies);
static void forget_former(struct mms_link *missing, struct mms_link *peer);
static void on_forgotten(struct mms_link *peer, void *context, uint64_t former_id, struct mms_reply *const *replies);
static void on_stray_deleted(struct mms_link *peer, void *context, uint64_t token, struct mms_reply *const *replies);

void mms_marker_run(struct mms_office *office)
{
	for (unsigned i = 0; i < office->node_count; i++) {
		struct mms_link *missing = &office->links[i];
		bool want = wanted(missing);

		if (missing->marker_token[0] == '\0') {
			take_token(missing, want);
		} else if (want) {
			rename_marker(missing);
		}
		if (missing->marker_token[0] == '\0') {
			continue;
		}
		for (unsigned k = 0; k < office->node_count; k++) {
			struct mms_link *peer = &office->links[k];
			bool has = ((want ? missing->marker_mask : missing->marker_mask | missing->marker_perhaps_mask) >> k & 1) != 0;

			if (k == i || !takes_markers(peer) || (missing->marker_asked_mask >> k & 1) != 0) {
				continue;
			}
			if (has != want) {
				ask_peer(missing, peer, want);
			} else if ((missing->marker_former_mask >> k & 1) != 0) {
				forget_former(missing, peer);
			}
		}
		if (!want && (missing->marker_mask | missing->marker_perhaps_mask | missing->marker_former_mask
					| missing->marker_asked_mask) == 0) {
			missing->marker_token[0] = '\0';
			atomic_store(&mms_link_node(missing)->behind_token, 0);
			atomic_store(&mms_link_node(missing)->behind, 0);
		}
	}
}

static uint64_t peers_of(const struct mms_link *missing)
{
	const uint32_t count = missing->office->node_count;

	return (count >= 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1) & ~(UINT64_C(1) << missing->index);
}

/* A token for a marker that is wanted now, or the one that a predecessor in office left: he may have died before it stood
 * everywhere, or before it was deleted everywhere, so the worse is assumed. */
static void take_token(struct mms_link *missing, bool want)
{
	struct mms_node_sh *node = mms_link_node(missing);
	uint64_t token = atomic_load(&node->behind_token);

	if (token == 0 && (!want || mms_random_bytes(&token, sizeof token) != MMS_OK || token == 0)) {
		return;
	}
	if (atomic_load(&node->behind_token) == 0) {
		atomic_store(&node->behind_id, atomic_load(&node->node_id));
		atomic_store(&node->behind_token, token);
		missing->marker_mask = missing->marker_former_mask = missing->marker_perhaps_mask = 0;
	} else {
		missing->marker_mask = want ? 0 : peers_of(missing);
		missing->marker_former_mask = atomic_load(&node->behind_id) != 0 ? peers_of(missing) : 0;
	}
	missing->marker_former_id = 0;
	missing->marker_node_id = atomic_load(&node->behind_id);
	(void)snprintf(missing->marker_token, sizeof missing->marker_token, TOKEN_FORMAT, token);
	atomic_store(&node->behind, 1);
}

void mms_marker_renew(struct mms_office *office)
{
	for (unsigned i = 0; i < office->node_count; i++) {
		struct mms_node_sh *node = &office->cluster->nodes[i];
		struct mms_link *missing = &office->links[i]; /* not set up yet where an office begins: it takes the token over */
		uint64_t token;

		if (atomic_load(&node->behind_token) == 0 || mms_random_bytes(&token, sizeof token) != MMS_OK
				|| token == 0) {
			continue;
		}
		atomic_store(&node->behind_token, token);
		if (missing->marker_token[0] != '\0') {
			(void)snprintf(missing->marker_token, sizeof missing->marker_token, TOKEN_FORMAT, token);
			missing->marker_mask = 0; /* what nobody wants any more is found, and deleted, as nobody's */
		}
	}
}

/* The node was emptied and has another id, or was met for the first time: who looks for markers of it looks for that one. Until the
 * new name stands, none does; then the old one goes. */
static void rename_marker(struct mms_link *missing)
{
	struct mms_node_sh *node = mms_link_node(missing);
	uint64_t id = atomic_load(&node->node_id);

	if (id != 0 && id != missing->marker_node_id) {
		/* An address is every name of the node's; other ids than its own are nobody's. */
		if (missing->marker_former_mask == 0 || missing->marker_former_id != 0) {
			missing->marker_former_id = missing->marker_node_id;
		}
		missing->marker_former_mask = peers_of(missing);
		missing->marker_node_id = id;
		missing->marker_mask = 0;
		atomic_store(&node->behind_id, id);
	}
}

/* Is this field one that a marker of this life has by now, or had before its node got another id? */
static bool is_in_use(const struct mms_office *office, struct mms_slice field)
{
	for (unsigned i = 0; i < office->node_count; i++) {
		const struct mms_link *missing = &office->links[i];
		const bool has_former = missing->marker_former_mask != 0;
		struct line line, former;

		if (missing->marker_token[0] == '\0') {
			if (atomic_load(&mms_link_node(missing)->behind_token) != 0) {
				return true; /* a predecessor's, about to be taken over */
			}
			continue;
		}
		name_line(missing, missing->marker_node_id, &line);
		name_line(missing, has_former ? missing->marker_former_id : missing->marker_node_id, &former);
		if (mms_pairs_same(field, line.field) || mms_pairs_same(field, former.field)) {
			return true;
		}
	}
	return false;
}

/* Lines of this life that no marker has: the peer was restarted with what it had before they were deleted, or what was sent on a
 * connection that is lost came after what was sent on the next. While this life lives nobody else deletes them, and other hosts avoid
 * those nodes. By compare: a marker set meanwhile has another token. */
static void delete_strays(struct mms_link *peer, const struct mms_pairs *there)
{
	const struct mms_office *office = peer->office;
	char own_text[MMS_LIFE_NAME_MAX], key_text[MMS_MARKER_KEY_MAX];
	const struct mms_slice own = { own_text, mms_life_name(office->settings->host_id, mms_shm_life(office->shm, office->cluster),
			own_text) };
	const struct mms_slice key = { key_text, mms_identity_behind_key(office->settings, key_text, sizeof key_text) };

	for (uint32_t k = 0; k < there->count; k++) {
		const struct mms_pair *pair = &there->pairs[k];
		struct mms_command command;

		if (mms_pairs_same(mms_identity_behind_life(pair->field), own) && !is_in_use(office, pair->field)) {
			mms_command_init(&command);
			mms_command_field_delete_if(&command, key, pair->field, pair->value);
			(void)mms_link_request(peer, &command, on_stray_deleted, NULL, 0);
		}
	}
}

/* The peer answers in order: a marker that counts as standing was there before this question came. */
void mms_marker_see(struct mms_link *peer, const struct mms_pairs *there)
{
	const struct mms_office *office = peer->office;
	char field[MMS_BEHIND_FIELD_MAX];

	if (there->read_at.us == 0 || there->cut) {
		return;
	}
	for (unsigned i = 0; i < office->node_count; i++) {
		struct mms_link *missing = &office->links[i];
		bool found = missing->marker_token[0] == '\0' || (missing->marker_mask >> peer->index & 1) == 0;
		struct mms_slice own = { field, found ? 0 : mms_identity_behind_field(office->settings, i, missing->marker_node_id,
				mms_shm_life(office->shm, office->cluster), field, sizeof field) };

		for (uint32_t k = 0; k < there->count && !found; k++) {
			found = mms_pairs_same(there->pairs[k].field, own)
					&& mms_pairs_same(there->pairs[k].value, mms_slice_of(missing->marker_token));
		}
		if (!found) {
			missing->marker_mask &= ~(UINT64_C(1) << peer->index);
		}
	}
	if (takes_markers(peer)) {
		delete_strays(peer, there);
	}
}

bool mms_marker_stands(const struct mms_link *link)
{
	uint64_t peers = 0;

	for (unsigned i = 0; i < link->office->node_count; i++) {
		peers |= i != link->index && takes_markers(&link->office->links[i]) ? UINT64_C(1) << i : 0;
	}
	return link->marker_token[0] != '\0' && (peers & ~link->marker_mask) == 0;
}

bool mms_marker_covers(const struct mms_office *office)
{
	for (unsigned i = 0; i < office->node_count; i++) {
		if (wanted(&office->links[i]) && (office->markers_doubted || office->links[i].marker_mask == 0
					|| !mms_marker_stands(&office->links[i]))) {
			return false;
		}
	}
	return true;
}

/* It may be about one key: only a row of them says that the node is at fault. */
static bool is_in_a_row(struct mms_link *link)
{
	struct mms_mono now = link->office->now;

	link->soft_errors = now.us - link->soft_error_at.us < SOFT_APART_US ? link->soft_errors + 1 : 1;
	link->soft_error_at = now;
	if (link->soft_errors < MMS_BREAKER_SOFT_LIMIT) {
		return false;
	}
	link->soft_errors = 0;
	return true;
}

void mms_marker_blame(struct mms_link *link, enum mms_reply_class refusal, const char *text)
{
	struct mms_office *office = link->office;
	enum mms_fault fault;
	struct mms_error error;

	if (!mms_reply_class_fault(refusal, &fault)) {
		return;
	}
	mms_reply_class_tell(&office->settings->nodes[link->index], text, &error);
	if (fault == MMS_FAULT_SOFT && !is_in_a_row(link)) {
		mms_breaker_note(&mms_link_node(link)->breaker, error.text, mms_clock_wall());
	} else if (fault == MMS_FAULT_WRITE_ONLY) {
		(void)mms_breaker_fault(&mms_link_node(link)->breaker, fault, error.text, office->now,
				mms_clock_wall(), mms_link_random(office));
	} else {
		mms_link_fail(link, MMS_ERR_PROTOCOL, &error);
	}
}

static bool wanted(const struct mms_link *missing)
{
	const struct mms_cluster_sh *cluster = missing->office->cluster;

	return !mms_breaker_allows_write(&cluster->nodes[missing->index].breaker)
			|| mms_hints_count(&cluster->hints, missing->index) > 0
			|| mms_hints_overflowed(&cluster->hints, missing->index);
}

static bool takes_markers(const struct mms_link *peer)
{
	return mms_link_ready(peer) && mms_breaker_allows_write(&mms_link_node(peer)->breaker)
			&& peer->office->now.us >= peer->markers_refused_until.us;
}

/* This life's line for the node, under this id of it. */
static void name_line(const struct mms_link *missing, uint64_t id, struct line *out)
{
	const struct mms_office *office = missing->office;

	out->key = (struct mms_slice){ out->key_text, mms_identity_behind_key(office->settings, out->key_text, sizeof out->key_text) };
	out->field = (struct mms_slice){ out->field_text, mms_identity_behind_field(office->settings, missing->index, id,
			mms_shm_life(office->shm, office->cluster), out->field_text, sizeof out->field_text) };
}

static void ask_peer(struct mms_link *missing, struct mms_link *peer, bool set)
{
	struct mms_command command;
	struct line line;

	name_line(missing, missing->marker_node_id, &line);
	mms_command_init(&command);
	if (set) { /* the field is this life's own: no other marker is overwritten */
		mms_command_field_set(&command, line.key, line.field, mms_slice_of(missing->marker_token));
	} else {
		mms_command_field_delete_if(&command, line.key, line.field, mms_slice_of(missing->marker_token));
	}
	if (mms_link_request(peer, &command, on_changed, missing, said(missing, set))) {
		missing->marker_asked_mask |= UINT64_C(1) << peer->index;
	}
}

/* The line under the node's former name: this life's own, whatever its token. */
static void forget_former(struct mms_link *missing, struct mms_link *peer)
{
	struct mms_command command;
	struct line line;

	name_line(missing, missing->marker_former_id, &line);
	mms_command_init(&command);
	mms_command_hash_delete(&command, line.key, line.field);
	if (mms_link_request(peer, &command, on_forgotten, missing, missing->marker_former_id)) {
		missing->marker_asked_mask |= UINT64_C(1) << peer->index;
	}
}

/* What is about the node goes to its breaker; a node that serves sessions and takes no markers is one that has none, and is asked
 * again in a while. */
static bool is_refused(struct mms_link *peer, enum mms_refusal what, const struct mms_reply *reply)
{
	const enum mms_reply_class class_ = mms_refusal_see(peer, what, reply);
	char words[128];

	if (class_ == MMS_CLASS_NONE) {
		return false;
	}
	if (class_ == MMS_CLASS_PERMISSION || class_ == MMS_CLASS_WRONGTYPE || class_ == MMS_CLASS_OTHER) {
		peer->markers_refused_until.us = peer->office->now.us + REFUSED_US;
		return true;
	}
	mms_reply_class_words(reply, words, sizeof words);
	mms_marker_blame(peer, class_, words);
	return true;
}

static void on_stray_deleted(struct mms_link *peer, void *context, uint64_t token, struct mms_reply *const *replies)
{
	(void)context;
	(void)token;
	if (replies != NULL) {
		(void)is_refused(peer, MMS_REFUSAL_BEHIND_DELETE, replies[0]); /* it is seen again, and deleted then */
	}
}

/* What was asked, with whether it was to be set: a word that knows names and tokens apart. */
static uint64_t said(const struct mms_link *missing, bool set)
{
	return (mms_identity_hash(mms_slice_of(missing->marker_token)) ^ missing->marker_node_id) << 1 | (set ? 1 : 0);
}

static void on_forgotten(struct mms_link *peer, void *context, uint64_t former_id, struct mms_reply *const *replies)
{
	struct mms_link *missing = context;
	uint64_t bit = UINT64_C(1) << peer->index;

	missing->marker_asked_mask &= ~bit;
	if (replies != NULL && !is_refused(peer, MMS_REFUSAL_BEHIND_DELETE, replies[0]) && former_id == missing->marker_former_id) {
		missing->marker_former_mask &= ~bit;
	}
}

static void on_changed(struct mms_link *peer, void *context, uint64_t asked, struct mms_reply *const *replies)
{
	struct mms_link *missing = context;
	uint64_t bit = UINT64_C(1) << peer->index;
	bool set = (asked & 1) != 0;

	missing->marker_asked_mask &= ~bit;
	if (replies == NULL) {
		missing->marker_perhaps_mask |= set ? bit : 0;
		return;
	}
	if (is_refused(peer, set ? MMS_REFUSAL_BEHIND_SET : MMS_REFUSAL_BEHIND_DELETE, replies[0])) {
		return;
	}
	if (asked != said(missing, set)) {
		return; /* of another name or token than it has by now */
	}
	missing->marker_mask = set ? missing->marker_mask | bit : missing->marker_mask & ~bit;
	missing->marker_perhaps_mask &= ~bit;
}
