/* All of it is answered from what mms_hosts read last. */
#include "mms_aftermath.h"

#include <stdio.h>
#include <stdlib.h>

#include "mms_identity.h"
#include "mms_life.h"

#define SWEPT "swept"                /* field beside the lives: Unix milliseconds of the latest sweep */
#define CLOCK_SLACK_MS 3600000       /* a sweep of the future: somebody's clock is wrong */
#define FIRST_SWEEP_US 10000000      /* where none was noted, once hosts have met all nodes */

static void on_written(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	(void)link;
	(void)context;
	(void)token;
	(void)replies; /* what a node did not take is found again */
}

bool mms_aftermath_dirty(const struct mms_hosts *hosts, uint64_t *since_ms)
{
	bool dirty = false;

	*since_ms = UINT64_MAX;
	for (unsigned i = 0; i < mms_hosts_office(hosts)->node_count; i++) {
		const struct mms_pairs *list = mms_hosts_list(hosts, MMS_HOSTS_LIVES, i);

		for (uint32_t k = 0; k < list->count; k++) {
			const struct mms_pair *entry = &list->pairs[k];
			struct mms_life life;

			if (entry->cleared || !mms_hosts_is_dead(hosts, entry->field)) {
				continue;
			}
			dirty = true;
			(void)mms_life_parse(entry->value, &life);
			if (mms_hosts_is_latest(hosts, entry, &life) && life.watermark_ms < *since_ms) {
				*since_ms = life.watermark_ms;
			}
		}
	}
	return dirty;
}

bool mms_aftermath_sweep_due(const struct mms_hosts *hosts)
{
	const struct mms_office *office = mms_hosts_office(hosts);
	int64_t now_ms = mms_clock_wall().ms, last_ms = 0;
	int64_t interval_ms = (int64_t)office->settings->repair_interval_s * 1000;
	bool read = false;

	for (unsigned i = 0; i < office->node_count; i++) {
		const struct mms_pairs *list = mms_hosts_list(hosts, MMS_HOSTS_LIVES, i);

		read = read || list->read_at.us != 0;
		for (uint32_t k = 0; k < list->count; k++) {
			char text[24];

			if (mms_pairs_same(list->pairs[k].field, mms_slice_of(SWEPT))) {
				mms_text_copy(text, sizeof text, list->pairs[k].value);
				last_ms = strtoll(text, NULL, 10) > last_ms ? strtoll(text, NULL, 10) : last_ms;
			}
		}
	}
	if (!read || interval_ms == 0) {
		return false;
	}
	/* None was ever noted: a first installation, which costs nothing; or all nodes lost everything, notes and markers too, and
	 * were taken for one. Then what one of them was given since is not on the others. */
	if (last_ms == 0) {
		return office->now.us - mms_hosts_since(hosts).us > FIRST_SWEEP_US;
	}
	/* Hosts take turns: each waits a little longer than the interval, by a tenth of it at most. */
	interval_ms += interval_ms / 10 * (int64_t)(mms_shm_life(office->shm, office->cluster) >> 32 & 255) / 256;
	return now_ms - last_ms > interval_ms || last_ms - now_ms > CLOCK_SLACK_MS;
}

void mms_aftermath_swept(struct mms_hosts *hosts)
{
	struct mms_office *office = mms_hosts_office(hosts);
	char key[MMS_MARKER_KEY_MAX], text[24];
	struct mms_command command;

	(void)snprintf(text, sizeof text, "%lld", (long long)mms_clock_wall().ms);
	mms_command_init(&command);
	mms_command_field_set(&command, (struct mms_slice){ key, mms_identity_lives_key(office->settings, key, sizeof key) },
			mms_slice_of(SWEPT), mms_slice_of(text));
	for (unsigned i = 0; i < office->node_count; i++) {
		(void)mms_link_request(&office->links[i], &command, on_written, NULL, 0);
		mms_hosts_read_again(hosts, i); /* until then it would be due */
	}
}

bool mms_aftermath_left_behind(const struct mms_hosts *hosts, unsigned node)
{
	const struct mms_office *office = mms_hosts_office(hosts);
	uint64_t id = atomic_load(&office->cluster->nodes[node].node_id);

	for (unsigned i = 0; i < office->node_count; i++) {
		const struct mms_pairs *list = mms_hosts_list(hosts, MMS_HOSTS_BEHIND, i);

		for (uint32_t k = 0; i != node && k < list->count; k++) {
			const struct mms_pair *entry = &list->pairs[k];

			if (!entry->cleared && mms_identity_is_behind(entry->field, office->settings, node, id)
					&& mms_hosts_is_dead(hosts, mms_identity_behind_life(entry->field))) {
				return true;
			}
		}
	}
	return false;
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
		return hash == MMS_HOSTS_LIVES && mms_hosts_is_dead(hosts, entry->field);
	}
	return hash == MMS_HOSTS_BEHIND && source != node
			&& mms_identity_is_behind(entry->field, office->settings, node,
				atomic_load(&office->cluster->nodes[node].node_id))
			&& mms_hosts_is_dead(hosts, mms_identity_behind_life(entry->field));
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

void mms_aftermath_clear(struct mms_hosts *hosts, struct mms_notes *notes)
{
	struct mms_office *office = mms_hosts_office(hosts);
	const struct mms_settings *settings = office->settings;
	char key_text[MMS_MARKER_KEY_MAX];
	struct mms_slice key = { key_text, 0 };
	struct mms_command command;

	for (const struct mms_note *note = notes->first; note != NULL; note = note->next) {
		key.len = note->hash == MMS_HOSTS_LIVES ? mms_identity_lives_key(settings, key_text, sizeof key_text)
				: mms_identity_behind_key(settings, key_text, sizeof key_text);
		mms_command_init(&command);
		mms_command_field_delete_if(&command, key, note->field, note->value);
		/* What can't be asked for stays, and another scan clears it. */
		if (mms_link_request(&office->links[note->node], &command, on_written, NULL, 0)) {
			mms_pairs_clear(mms_hosts_list(hosts, note->hash, note->node), note->field, note->value);
		}
	}
	mms_notes_free(notes);
}
