/* Markers stand on all nodes that their host reaches, so a few nodes in turn are asked. The difficulty is to hear of one soon
 * without asking often: who writes hears within MMS_AVOIDED_LOOK_US, who does not need not know. */
#include "mms_avoided.h"

#include <stdlib.h>
#include <string.h>

#include "mms_command.h"
#include "mms_identity.h"
#include "mms_pairs.h"

#define ASKED_AT_ONCE 2

struct mms_avoided {
	struct mms_office *office;
	const struct mms_hosts *hosts;
	struct mms_mono looked_at;
	uint64_t looked_count;           /* mirrors acknowledged by then, on all nodes */
	unsigned turn;                   /* node that is asked next */
	uint64_t masks[MMS_NODES_MAX];   /* per node: those that somebody's marker there is about */
};

static uint64_t mirrors_acknowledged(const struct mms_office *office);
static void ask(struct mms_avoided *avoided, struct mms_link *link);
static void on_markers(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void publish(const struct mms_avoided *avoided);

struct mms_avoided *mms_avoided_new(struct mms_office *office, const struct mms_hosts *hosts)
{
	struct mms_avoided *avoided = calloc(1, sizeof *avoided);

	if (avoided != NULL) {
		avoided->office = office;
		avoided->hosts = hosts;
	}
	return avoided;
}

void mms_avoided_free(struct mms_avoided *avoided)
{
	free(avoided);
}

void mms_avoided_run(struct mms_avoided *avoided)
{
	struct mms_office *office;
	int64_t since_us;
	uint64_t count;

	if (avoided == NULL) {
		return;
	}
	office = avoided->office;
	since_us = office->now.us - avoided->looked_at.us;
	count = mirrors_acknowledged(office);
	if (since_us < (count == avoided->looked_count ? MMS_AVOIDED_REST_US : MMS_AVOIDED_LOOK_US)) {
		return;
	}
	avoided->looked_count = count;
	avoided->looked_at = office->now;
	for (unsigned k = 0, asked = 0; k < office->node_count && asked < ASKED_AT_ONCE; k++) {
		struct mms_link *link = &office->links[avoided->turn];

		avoided->turn = (avoided->turn + 1) % office->node_count;
		if (mms_link_ready(link)) {
			ask(avoided, link);
			asked++;
		} else {
			avoided->masks[link->index] = 0;
		}
	}
}

static uint64_t mirrors_acknowledged(const struct mms_office *office)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < office->node_count; i++) {
		count += atomic_load_explicit(&office->cluster->nodes[i].acked_count, memory_order_relaxed);
	}
	return count;
}

static void ask(struct mms_avoided *avoided, struct mms_link *link)
{
	char text[MMS_MARKER_KEY_MAX];
	struct mms_slice key = { text, mms_identity_behind_key(avoided->office->settings, text, sizeof text) };
	struct mms_command command;

	mms_command_init(&command);
	mms_command_fields_read(&command, key);
	(void)mms_link_request(link, &command, on_markers, avoided, 0);
}

/* Nodes that this marker of another life is about; a life that is dead avoids nobody. */
static uint64_t named_by(const struct mms_avoided *avoided, struct mms_slice field)
{
	const struct mms_office *office = avoided->office;
	const char *blank = field.len == 0 ? NULL : memchr(field.ptr, ' ', field.len);
	uint64_t mask;

	if (mms_hosts_is_own(avoided->hosts, mms_identity_behind_life(field))
			|| mms_hosts_is_dead(avoided->hosts, mms_identity_behind_life(field))) {
		return 0;
	}
	mask = mms_identity_behind_mask(field, office->settings, office->cluster);
	/* Who never met a node knows only its own address for it. One that is none of ours may be that of our local node, which we
	 * reach by another way, unless that host has met this one. */
	return mask == 0 && blank != NULL && memchr(field.ptr, '/', (size_t)(blank - field.ptr)) != NULL
			&& !mms_hosts_has_met(avoided->hosts, mms_identity_behind_life(field),
				atomic_load(&office->cluster->nodes[0].node_id)) ? 1 : mask;
}

static void on_markers(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct mms_avoided *avoided = context;
	struct mms_pairs markers = { 0 };

	(void)token;
	mms_pairs_keep(&markers, replies == NULL ? NULL : replies[0], avoided->office->now);
	avoided->masks[link->index] = 0;
	for (uint32_t k = 0; k < markers.count; k++) {
		avoided->masks[link->index] |= named_by(avoided, markers.pairs[k].field);
	}
	mms_pairs_free(&markers);
	publish(avoided);
}

static void publish(const struct mms_avoided *avoided)
{
	const struct mms_office *office = avoided->office;
	uint64_t mask = 0;

	for (unsigned i = 0; i < office->node_count; i++) {
		mask |= avoided->masks[i];
	}
	for (unsigned i = 0; i < office->node_count; i++) {
		_Atomic uint32_t *word = &office->cluster->nodes[i].avoided;
		uint32_t value = (uint32_t)(mask >> i & 1);

		if (atomic_load_explicit(word, memory_order_relaxed) != value) {
			atomic_store_explicit(word, value, memory_order_relaxed);
		}
	}
}
