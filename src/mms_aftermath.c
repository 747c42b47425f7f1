/* All of it is answered from what mms_hosts read last. */
#include "mms_aftermath.h"

#include <stdio.h>
#include <stdlib.h>

#include "mms_identity.h"
#include "mms_life.h"

#define SWEPT "swept"                /* field beside the lives: milliseconds of the latest sweep, by that node's clock */
#define CLOCK_SLACK_MS 3600000       /* a sweep of the future: the node's clock was wrong then */
#define FIRST_SWEEP_US 10000000      /* where none was noted, once hosts have met all nodes */

/* What is kept of a hash can be deleted by its text, and what a host writes is kept. */
_Static_assert(MMS_PAIRS_TEXT_MAX + MMS_PREFIX_MAX + 192 <= MMS_COMMAND_SCRATCH, "a pair fits into a command");
_Static_assert(MMS_LIFE_NAME_MAX + MMS_LIFE_TEXT_MAX <= MMS_PAIRS_TEXT_MAX, "a life fits into a pair");

static void on_written(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	(void)link;
	(void)context;
	(void)token;
	(void)replies; /* what a node did not take is found again */
}

/* A node that refuses it (a permission, MISCONF, READONLY) would have all compared again every second. token: when what served the
 * pair began; context: where that is kept, NULL: nowhere, the node has another id by now. */
static void on_deleted(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	_Atomic int64_t *served_us = context;

	(void)link;
	if (served_us != NULL && replies != NULL && mms_reply_type(replies[0]) == MMS_REPLY_ERROR) {
		atomic_store(served_us, (int64_t)token);
	}
}

static _Atomic int64_t *served_by(struct mms_office *office, const struct mms_note *note)
{
	for (unsigned i = 0; i < office->node_count && note->hash == MMS_HOSTS_BEHIND; i++) {
		struct mms_node_sh *node = &office->cluster->nodes[i];

		if (mms_identity_is_behind(note->field, office->settings, i, atomic_load(&node->node_id))) {
			return &node->behind_served_us;
		}
	}
	return note->hash == MMS_HOSTS_LIVES ? &office->cluster->lives_served_us : NULL;
}

bool mms_aftermath_dirty(const struct mms_hosts *hosts, uint64_t *since_ms, int64_t *latest_us)
{
	bool dirty = false;

	*since_ms = UINT64_MAX;
	*latest_us = 0;
	for (unsigned i = 0; i < mms_hosts_office(hosts)->node_count; i++) {
		const struct mms_pairs *list = mms_hosts_list(hosts, MMS_HOSTS_LIVES, i);

		for (uint32_t k = 0; k < list->count; k++) {
			const struct mms_pair *entry = &list->pairs[k];
			const struct mms_sighting *sighting;
			uint64_t beat, watermark_ms;

			if (entry->cleared || !mms_hosts_is_of_dead(hosts, MMS_HOSTS_LIVES, entry)) {
				continue;
			}
			dirty = true;
			sighting = mms_hosts_sighting(hosts, entry);
			*latest_us = sighting != NULL && sighting->changed_at.us > *latest_us ? sighting->changed_at.us : *latest_us;
			(void)mms_life_head(entry->value, &beat, &watermark_ms);
			if (mms_hosts_is_latest(hosts, entry, beat) && watermark_ms < *since_ms) {
				*since_ms = watermark_ms;
			}
		}
	}
	return dirty;
}

/* The server's own clock, by which notes on it are written and judged: hosts may differ about the time. One that does not say
 * has this host's. */
static int64_t clock_of(const struct mms_office *office, unsigned node)
{
	const struct mms_link *link = &office->links[node];
	int64_t now_ms;

	return link->clock_known && !__builtin_add_overflow(link->clock_ms, office->now.us / 1000, &now_ms) ? now_ms
			: mms_clock_wall().ms;
}

/* Whether any node notes a sweep; *recent: one that is no older than the interval. */
static bool any_noted(const struct mms_hosts *hosts, int64_t interval_ms, bool *recent)
{
	const struct mms_office *office = mms_hosts_office(hosts);
	bool noted = false;

	*recent = false;
	for (unsigned i = 0; i < office->node_count; i++) {
		const struct mms_pairs *list = mms_hosts_list(hosts, MMS_HOSTS_LIVES, i);

		for (uint32_t k = 0; k < list->count; k++) {
			char text[24];
			int64_t age_ms;

			if (mms_pairs_same(list->pairs[k].field, mms_slice_of(SWEPT))) {
				mms_text_copy(text, sizeof text, list->pairs[k].value);
				age_ms = mms_clock_apart(clock_of(office, i), strtoll(text, NULL, 10));
				noted = noted || strtoll(text, NULL, 10) > 0;
				*recent = *recent || (age_ms <= interval_ms && age_ms >= -CLOCK_SLACK_MS);
			}
		}
	}
	return noted;
}

/* This life has compared everything within the interval, whatever notes and clocks say: no clock makes it do so again. */
static bool has_swept(const struct mms_office *office, int64_t interval_ms)
{
	int64_t swept_us = atomic_load(&office->cluster->swept_us);

	return swept_us != 0 && swept_us <= office->now.us
			&& mms_clock_apart(office->now.us, swept_us) / 1000 <= interval_ms;
}

static uint64_t servers_of(const struct mms_office *office)
{
	uint64_t servers = 0;

	for (unsigned i = 0; i < office->node_count; i++) {
		servers = servers * 131 + mms_shm_incarnation(&office->cluster->nodes[i]);
	}
	return servers;
}

static bool any_read(const struct mms_hosts *hosts)
{
	for (unsigned i = 0; i < mms_hosts_office(hosts)->node_count; i++) {
		if (mms_hosts_list(hosts, MMS_HOSTS_LIVES, i)->read_at.us != 0) {
			return true;
		}
	}
	return false;
}

bool mms_aftermath_sweep_due(const struct mms_hosts *hosts)
{
	const struct mms_office *office = mms_hosts_office(hosts);
	int64_t interval_ms = (int64_t)office->settings->repair_interval_s * 1000;
	bool recent;

	if (interval_ms == 0 || !any_read(hosts)) {
		return false;
	}
	/* Hosts take turns: each waits a little longer than the interval, by a tenth of it at most. */
	interval_ms += interval_ms / 10 * (int64_t)(mms_shm_life(office->shm, office->cluster) >> 32 & 255) / 256;
	/* None was ever noted: a first installation, which costs nothing; or all nodes lost everything, notes and markers too, and
	 * were taken for one. Then what one of them was given since is not on the others. */
	if (!any_noted(hosts, interval_ms, &recent)) {
		/* Or no node takes such a note: then this life remembers which servers it has compared. */
		return office->now.us - mms_hosts_since(hosts).us > FIRST_SWEEP_US
				&& (!has_swept(office, interval_ms) || atomic_load(&office->cluster->swept_servers) != servers_of(office));
	}
	return !recent && !has_swept(office, interval_ms);
}

void mms_aftermath_swept(struct mms_hosts *hosts)
{
	struct mms_office *office = mms_hosts_office(hosts);
	char key[MMS_MARKER_KEY_MAX], text[24];
	struct mms_command command;

	atomic_store(&office->cluster->swept_servers, servers_of(office));
	atomic_store(&office->cluster->swept_us, office->now.us);
	for (unsigned i = 0; i < office->node_count; i++) {
		(void)snprintf(text, sizeof text, "%lld", (long long)clock_of(office, i));
		mms_command_init(&command);
		mms_command_field_set(&command, (struct mms_slice){ key, mms_identity_lives_key(office->settings, key, sizeof key) },
				mms_slice_of(SWEPT), mms_slice_of(text));
		(void)mms_link_request(&office->links[i], &command, on_written, NULL, 0);
		mms_hosts_read_again(hosts, i); /* until then it would be due */
	}
}

uint64_t mms_aftermath_left_behind(const struct mms_hosts *hosts)
{
	const struct mms_office *office = mms_hosts_office(hosts);
	uint64_t mask = 0;

	for (unsigned i = 0; i < office->node_count; i++) {
		const struct mms_pairs *list = mms_hosts_list(hosts, MMS_HOSTS_BEHIND, i);

		for (uint32_t k = 0; k < list->count; k++) {
			const struct mms_pair *entry = &list->pairs[k];

			uint64_t more = entry->cleared ? 0 : mms_identity_behind_mask(entry->field, office->settings, office->cluster)
					& ~(UINT64_C(1) << i) & ~mask;

			mask |= more != 0 && mms_hosts_is_of_dead(hosts, MMS_HOSTS_BEHIND, entry) ? more : 0;
		}
	}
	return mask;
}

/* What of an entry belongs into the notes for this node, or for the dead? */
static bool is_noted(const struct mms_hosts *hosts, enum mms_hosts_hash hash, const struct mms_pair *entry, unsigned source,
		unsigned node)
{
	const struct mms_office *office = mms_hosts_office(hosts);

	if (entry->cleared) {
		return false;
	}
	if (node == office->node_count) {
		return hash == MMS_HOSTS_LIVES && mms_hosts_is_of_dead(hosts, hash, entry);
	}
	return hash == MMS_HOSTS_BEHIND && source != node && mms_hosts_is_of_dead(hosts, hash, entry)
			&& mms_identity_is_behind(entry->field, office->settings, node,
				atomic_load(&office->cluster->nodes[node].node_id));
}

void mms_aftermath_note(const struct mms_hosts *hosts, unsigned node, struct mms_notes *notes)
{
	enum mms_hosts_hash hash = node == mms_hosts_office(hosts)->node_count ? MMS_HOSTS_LIVES : MMS_HOSTS_BEHIND;

	for (unsigned i = 0; i < mms_hosts_office(hosts)->node_count; i++) {
		const struct mms_pairs *list = mms_hosts_list(hosts, hash, i);

		for (uint32_t k = 0; k < list->count; k++) {
			if (is_noted(hosts, hash, &list->pairs[k], i, node)) {
				(void)mms_notes_add(notes, i, hash, list->pairs[k].field, list->pairs[k].value);
			}
		}
	}
}

/* Only the marker of a life that has been silent all the time: one that lives, or lived in between, told by the same marker of what
 * it has missed since, perhaps behind what the scan had walked by then. The text of a life tells by itself. */
static bool may_go(const struct mms_hosts *hosts, const struct mms_note *note, struct mms_mono begun_at)
{
	struct mms_slice life = mms_identity_behind_life(note->field);

	return note->hash != MMS_HOSTS_BEHIND || (mms_hosts_is_dead(hosts, life) && !mms_hosts_heard_since(hosts, life, begun_at));
}

void mms_aftermath_clear(struct mms_hosts *hosts, struct mms_notes *notes, struct mms_mono begun_at)
{
	struct mms_office *office = mms_hosts_office(hosts);
	const struct mms_settings *settings = office->settings;
	char key_text[MMS_MARKER_KEY_MAX];
	struct mms_slice key = { key_text, 0 };
	struct mms_command command;

	for (const struct mms_note *note = notes->first; note != NULL; note = note->next) {
		if (!may_go(hosts, note, begun_at)) {
			continue;
		}
		key.len = note->hash == MMS_HOSTS_LIVES ? mms_identity_lives_key(settings, key_text, sizeof key_text)
				: mms_identity_behind_key(settings, key_text, sizeof key_text);
		mms_command_init(&command);
		mms_command_field_delete_if(&command, key, note->field, note->value);
		/* What can't be asked for stays, and another scan clears it. */
		if (mms_link_request(&office->links[note->node], &command, on_deleted, served_by(office, note), (uint64_t)begun_at.us)) {
			mms_pairs_clear(mms_hosts_list(hosts, note->hash, note->node), note->field, note->value);
		}
	}
	mms_notes_free(notes);
}
