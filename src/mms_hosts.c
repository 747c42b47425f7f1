/* Every node's two hashes are kept as they were read last; all questions are answered from there. A life is known to live by
 * its beat alone: clocks of hosts are not compared. */
#include "mms_hosts.h"

#include <stdlib.h>
#include <string.h>

#include "mms_identity.h"
#include "mms_life.h"
#include "mms_marker.h"
#include "mms_pairs.h"
#include "mms_refusal.h"
#include "mms_sightings.h"
#include "mms_watermark.h"

#define ASKED_PER_BEAT 8             /* nodes that are asked for their lives at each beat */
#define SUSPECT_US 2000000           /* without a new beat: all nodes are asked, until it is known to be dead */
#define EARLY_US 100000              /* rather with another wake-up than with one of its own */

/* What one office has seen, the next one goes on with, or short ones would never see that somebody is silent. */
#define PAUSE_US 3000000             /* without a replicator for longer: who looks then begins anew */
#define SERVED_US INT64_C(3600000000) /* what a node refuses to delete is served, and tried to delete, so often */
#define FIRST_LOOK_US 300000         /* for the first answers of all nodes, before anybody is taken for dead */

struct mms_hosts {
	struct mms_office *office;
	char name[MMS_LIFE_NAME_MAX];    /* of this life */
	struct mms_mono due;             /* next beat, on all nodes at once */
	uint64_t beat;                   /* the latest */
	struct mms_mono *asked;          /* per node: when it was last asked for its lives; 0 = it must be */
	struct mms_pairs *lists[MMS_HOSTS_HASHES];  /* per node */
	struct mms_sightings sightings;  /* other lives */
	uint32_t heard_count, change_count; /* answers about lives, so far; about lives and markers */
	struct mms_mono since;           /* when the replicators of this life began to look */
	struct mms_mono began_at;        /* when this one did */
	struct mms_watermark_mark mark;
	bool leaving;
	uint64_t asked_mask, left_mask;  /* nodes that were told to forget this life; that have */
};

static void publish(struct mms_hosts *hosts, struct mms_link *link);
static void on_lives(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void on_behind(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void on_written(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void clear_served(struct mms_hosts *hosts, enum mms_hosts_hash hash, unsigned node);

/* How long the replicators of this life have looked, if this one goes on without a pause. */
static void take_up(struct mms_hosts *hosts)
{
	struct mms_office *office = hosts->office;
	struct mms_cluster_sh *cluster = office->cluster;
	int64_t looked_us = atomic_load(&cluster->looked_us), looking_us = atomic_load(&cluster->looking_us);

	hosts->since = hosts->began_at = office->now;
	if (looked_us > 0 && looked_us <= office->now.us && office->now.us - looked_us < PAUSE_US && looking_us > 0
			&& looking_us <= looked_us) {
		hosts->since.us = looking_us;
		return;
	}
	office->markers_doubted = looked_us > 0;
	if (looked_us > 0) {
		mms_marker_renew(office);
	}
	atomic_store(&cluster->looking_us, office->now.us);
	for (unsigned i = 0; i < office->node_count; i++) {
		atomic_store(&cluster->nodes[i].unknown_us, 0);
	}
}

struct mms_hosts *mms_hosts_new(struct mms_office *office)
{
	struct mms_hosts *hosts = calloc(1, sizeof *hosts);
	bool complete = hosts != NULL;

	if (!complete) {
		return NULL;
	}
	hosts->office = office;
	take_up(hosts);
	hosts->asked = calloc(office->node_count, sizeof *hosts->asked);
	for (unsigned hash = 0; hash < MMS_HOSTS_HASHES; hash++) {
		hosts->lists[hash] = calloc(office->node_count, sizeof *hosts->lists[hash]);
		complete = complete && hosts->lists[hash] != NULL;
	}
	if (!mms_sightings_init(&hosts->sightings, office->cluster) || !complete || hosts->asked == NULL) {
		mms_hosts_free(hosts);
		return NULL;
	}
	(void)mms_life_name(office->settings->host_id, mms_shm_life(office->shm, office->cluster), hosts->name);
	return hosts;
}

void mms_hosts_free(struct mms_hosts *hosts)
{
	if (hosts == NULL) {
		return;
	}
	for (unsigned hash = 0; hash < MMS_HOSTS_HASHES; hash++) {
		for (unsigned i = 0; hosts->lists[hash] != NULL && i < hosts->office->node_count; i++) {
			mms_pairs_free(&hosts->lists[hash][i]);
		}
		free(hosts->lists[hash]);
	}
	free(hosts->asked);
	mms_sightings_fini(&hosts->sightings);
	free(hosts);
}

static const struct mms_sighting *sighting_of(const struct mms_hosts *hosts, struct mms_slice name)
{
	return mms_sightings_find(&hosts->sightings, name);
}

/* Without a search: places in the table change hands only when it is full. */
static const struct mms_sighting *sighting_by(const struct mms_hosts *hosts, const struct mms_pair *entry, struct mms_slice life)
{
	const struct mms_sighting *tagged = entry->tag < hosts->sightings.count ? &hosts->sightings.list[entry->tag] : NULL;

	if (tagged != NULL && (hosts->sightings.count < MMS_SIGHTINGS_MAX || mms_pairs_same(life, mms_slice_of(tagged->name)))) {
		return tagged;
	}
	return sighting_of(hosts, life);
}

static struct mms_slice life_in(enum mms_hosts_hash hash, const struct mms_pair *entry)
{
	return hash == MMS_HOSTS_LIVES ? entry->field : mms_identity_behind_life(entry->field);
}

/* Between two and seven seconds of silence a life may have died, or have left: what the nodes say of it must not be old. */
static bool is_suspect(const struct mms_hosts *hosts, const struct mms_pair *entry)
{
	const struct mms_sighting *sighting = sighting_by(hosts, entry, entry->field);
	int64_t since_us = sighting == NULL || sighting->changed_at.us < hosts->since.us ? hosts->since.us : sighting->changed_at.us;
	int64_t silent_us = sighting == NULL ? 0 : mms_clock_apart(hosts->office->now.us, since_us);

	return !entry->cleared && silent_us >= SUSPECT_US && silent_us < MMS_HOSTS_DEAD_US + SUSPECT_US;
}

/* While all is well, a few nodes tell enough: every life beats on every node. */
static bool is_something_amiss(const struct mms_hosts *hosts)
{
	for (unsigned i = 0; i < hosts->office->node_count; i++) {
		const struct mms_pairs *lives = &hosts->lists[MMS_HOSTS_LIVES][i];

		if (mms_link_ready(&hosts->office->links[i]) && atomic_load(&hosts->office->cluster->nodes[i].complete) == 0) {
			return true;
		}
		for (uint32_t k = 0; k < lives->count; k++) {
			if (is_suspect(hosts, &lives->pairs[k])) {
				return true;
			}
		}
	}
	return false;
}

/* Those are asked that were not for longest: with fifty hosts, fifty answers of 90 KB a second would be more than the sessions of
 * most shops. */
static bool is_turn_of(const struct mms_hosts *hosts, unsigned node)
{
	const int64_t asked_us = hosts->asked[node].us, beat_began_us = hosts->office->now.us - MMS_HOSTS_BEAT_US + EARLY_US;
	unsigned others = 0; /* that have had their turn in this beat, or have waited for longer */

	for (unsigned i = 0; i < hosts->office->node_count && asked_us != 0; i++) {
		const int64_t other_us = hosts->asked[i].us;

		others += mms_link_ready(&hosts->office->links[i]) && (other_us < asked_us || (other_us == asked_us && i < node)
				|| (other_us > asked_us && other_us > beat_began_us));
	}
	return others < ASKED_PER_BEAT;
}

/* Asks for what stands at this key of the module's own. */
static bool ask(struct mms_hosts *hosts, struct mms_link *link, enum mms_hosts_hash hash)
{
	char text[MMS_MARKER_KEY_MAX];
	struct mms_slice key = { text, (hash == MMS_HOSTS_LIVES ? mms_identity_lives_key : mms_identity_behind_key)(
			hosts->office->settings, text, sizeof text) };
	struct mms_command command;

	mms_command_init(&command);
	mms_command_fields_read(&command, key);
	return mms_link_request(link, &command, hash == MMS_HOSTS_LIVES ? on_lives : on_behind, hosts, 0);
}

/* Before the beat is sent: who hears of it hears of all that was missed by now. */
static void note_missed(struct mms_hosts *hosts, uint64_t beat)
{
	for (unsigned i = 0; i < hosts->office->node_count; i++) {
		struct mms_node_sh *node = &hosts->office->cluster->nodes[i];
		uint32_t overflows = mms_hints_overflow_count(&hosts->office->cluster->hints, i);

		if (atomic_load(&node->missed_beat) == 0 || atomic_load(&node->missed_overflows) != overflows) {
			atomic_store(&node->missed_beat, 0); /* whoever succeeds this one in between finds it anew */
			atomic_store(&node->missed_overflows, overflows);
			atomic_store(&node->missed_beat, beat);
		}
	}
}

/* One beat is one number, the same on all nodes: whichever of them is read tells how long a life has been heard of. */
static void begin_beat(struct mms_hosts *hosts)
{
	hosts->due.us = hosts->office->now.us + MMS_HOSTS_BEAT_US;
	hosts->beat = atomic_fetch_add(&hosts->office->cluster->beat, 1) + 1;
	note_missed(hosts, hosts->beat);
	if (is_something_amiss(hosts)) { /* all of them must be asked */
		memset(hosts->asked, 0, hosts->office->node_count * sizeof *hosts->asked);
	}
}

void mms_hosts_run(struct mms_hosts *hosts)
{
	struct mms_office *office = hosts->office;
	bool is_due;

	if (hosts->leaving) {
		return;
	}
	if (mms_link_ready_mask(office) != 0) {
		if (mms_clock_apart(office->now.us, atomic_load(&office->cluster->looked_us)) >= PAUSE_US) {
			take_up(hosts); /* it was stopped, or cut off from all nodes: nobody has heard of it meanwhile */
			mms_hosts_hurry(hosts);
		}
		atomic_store(&office->cluster->looked_us, office->now.us);
	}
	office->markers_doubted = office->markers_doubted && !mms_hosts_read_since(hosts, hosts->began_at);
	mms_watermark_move(&hosts->mark, office, mms_marker_covers(office));
	is_due = office->now.us >= hosts->due.us - EARLY_US && mms_link_ready_mask(office) != 0;
	if (is_due) {
		begin_beat(hosts);
	}
	for (unsigned i = 0; i < office->node_count; i++) {
		struct mms_link *link = &office->links[i];

		if (!mms_link_ready(link)) {
			hosts->asked[i].us = 0;
			mms_pairs_free(&hosts->lists[MMS_HOSTS_LIVES][i]);
			mms_pairs_free(&hosts->lists[MMS_HOSTS_BEHIND][i]);
			continue;
		}
		if (is_due || hosts->asked[i].us == 0) { /* one that was met between two beats is not kept waiting */
			publish(hosts, link);
			if (is_turn_of(hosts, i)) {
				/* Not taken, it is the first to be asked at the next beat, and no reason to be awake until then. */
				hosts->asked[i].us = ask(hosts, link, MMS_HOSTS_LIVES) ? office->now.us : 1;
			}
			(void)ask(hosts, link, MMS_HOSTS_BEHIND);
		}
	}
}

int64_t mms_hosts_next_us(const struct mms_hosts *hosts)
{
	int64_t next = INT64_MAX;

	for (unsigned i = 0; !hosts->leaving && i < hosts->office->node_count; i++) {
		if (mms_link_ready(&hosts->office->links[i])) {
			next = hosts->asked[i].us == 0 ? 0 : next < hosts->due.us ? next : hosts->due.us;
		}
		if (next == 0) {
			break;
		}
	}
	return next;
}

static void publish(struct mms_hosts *hosts, struct mms_link *link)
{
	struct mms_office *office = hosts->office;
	struct mms_life life = { .beat = hosts->beat, .watermark_ms = atomic_load(&office->cluster->watermark_ms) };
	char key[MMS_MARKER_KEY_MAX], text[MMS_LIFE_TEXT_MAX];
	struct mms_command command;

	for (unsigned i = 0; i < office->node_count; i++) {
		const struct mms_node_sh *node = mms_link_node(&office->links[i]);

		if (atomic_load(&node->node_id) != 0) {
			life.nodes[life.node_count++] = (struct mms_life_node){ .id = atomic_load(&node->node_id),
				.run_hash = atomic_load(&node->run_hash), .settled = mms_link_settled(&office->links[i]),
				.connected = mms_link_ready(&office->links[i]) };
		}
	}
	mms_command_init(&command);
	mms_command_field_set(&command, (struct mms_slice){ key, mms_identity_lives_key(office->settings, key, sizeof key) },
			mms_slice_of(hosts->name), (struct mms_slice){ text, mms_life_write(&life, text) });
	if (mms_link_request(link, &command, on_written, hosts, 0)) {
		atomic_store(&office->cluster->published, 1);
	}
}

static void on_written(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	(void)context;
	(void)token;
	if (replies != NULL) { /* a node that takes no writes now has no say in it either: it is asked again in a second */
		(void)mms_refusal_see(link, MMS_REFUSAL_LIVES_SET, replies[0]);
	}
}

static void sight(struct mms_hosts *hosts, struct mms_pair *entry)
{
	uint64_t beat, watermark_ms;

	if (mms_life_is_name(entry->field) && !mms_hosts_is_own(hosts, entry->field)) {
		(void)mms_life_head(entry->value, &beat, &watermark_ms);
		entry->tag = mms_sightings_note(&hosts->sightings, entry->field, beat, hosts->office->now);
	}
}

/* Where something else stands at the key, there is none; what may not be read is not known. */
static void read_hash(struct mms_link *link, struct mms_pairs *list, enum mms_refusal what, struct mms_reply *const *replies)
{
	mms_pairs_keep(list, replies == NULL ? NULL : replies[0], link->office->now);
	if (replies != NULL && mms_refusal_see(link, what, replies[0]) == MMS_CLASS_WRONGTYPE) {
		list->read_at = link->office->now;
	}
}

static void on_lives(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct mms_hosts *hosts = context;
	struct mms_pairs *list = &hosts->lists[MMS_HOSTS_LIVES][link->index];

	(void)token;
	read_hash(link, list, MMS_REFUSAL_LIVES_READ, replies);
	for (uint32_t i = 0; i < list->count; i++) {
		sight(hosts, &list->pairs[i]);
	}
	hosts->heard_count++;
	hosts->change_count++;
	clear_served(hosts, MMS_HOSTS_LIVES, link->index);
}

static void on_behind(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct mms_hosts *hosts = context;
	struct mms_pairs *list = &hosts->lists[MMS_HOSTS_BEHIND][link->index], before;
	uint32_t place = 0;

	(void)token;
	before = *list;
	*list = (struct mms_pairs){ 0 };
	read_hash(link, list, MMS_REFUSAL_BEHIND_READ, replies);
	for (uint32_t i = 0; i < list->count; i++) {
		struct mms_pair *pair = &list->pairs[i];
		const struct mms_slice life = life_in(MMS_HOSTS_BEHIND, pair);
		const struct mms_sighting *sighting = sighting_of(hosts, life);

		pair->tag = sighting == NULL ? MMS_PAIRS_NO_TAG : (uint32_t)(sighting - hosts->sightings.list);
		/* A life says that it lives before it leaves a marker: this very node knows of it. */
		if (sighting == NULL && mms_life_is_name(life) && !mms_hosts_is_own(hosts, life)
				&& !mms_pairs_has(&before, pair->field, &place)) {
			hosts->asked[link->index].us = 0;
		}
	}
	mms_pairs_free(&before);
	hosts->change_count++;
	mms_marker_see(link, list);
	clear_served(hosts, MMS_HOSTS_BEHIND, link->index);
}

/* The moment from which on a dead life's pair counts: it had been silent for long when what served all such pairs began. */
static struct mms_mono served_moment(const struct mms_hosts *hosts, enum mms_hosts_hash hash, struct mms_slice field)
{
	const struct mms_office *office = hosts->office;
	int64_t served_us = hash == MMS_HOSTS_LIVES ? atomic_load(&office->cluster->lives_served_us) : 0;

	for (unsigned i = 0; i < office->node_count && hash == MMS_HOSTS_BEHIND; i++) {
		const struct mms_node_sh *node = &office->cluster->nodes[i];
		int64_t node_served_us = atomic_load(&node->behind_served_us);

		if (node_served_us != 0 && mms_identity_is_behind(field, office->settings, i, atomic_load(&node->node_id))) {
			served_us = node_served_us;
		}
	}
	return (struct mms_mono){ served_us > 0 && served_us <= office->now.us && office->now.us - served_us < SERVED_US
			? served_us - MMS_HOSTS_DEAD_US : 0 };
}

static void clear_served(struct mms_hosts *hosts, enum mms_hosts_hash hash, unsigned node)
{
	struct mms_pairs *list = &hosts->lists[hash][node];

	for (uint32_t i = 0; i < list->count; i++) {
		struct mms_pair *pair = &list->pairs[i];
		const struct mms_slice life = life_in(hash, pair);
		const struct mms_mono moment = served_moment(hosts, hash, pair->field);

		pair->cleared = pair->cleared || (moment.us > 0 && mms_life_is_name(life) && !mms_hosts_heard_since(hosts, life, moment));
	}
}

bool mms_hosts_is_own(const struct mms_hosts *hosts, struct mms_slice name)
{
	return mms_pairs_same(name, mms_slice_of(hosts->name));
}

struct mms_slice mms_hosts_own(const struct mms_hosts *hosts)
{
	return mms_slice_of(hosts->name);
}

uint32_t mms_hosts_sighted_count(const struct mms_hosts *hosts)
{
	return hosts->sightings.count;
}

uint32_t mms_hosts_heard_count(const struct mms_hosts *hosts)
{
	return hosts->heard_count;
}

uint32_t mms_hosts_change_count(const struct mms_hosts *hosts)
{
	return hosts->change_count;
}

const char *mms_hosts_sighted(const struct mms_hosts *hosts, uint32_t index, uint64_t *beat)
{
	*beat = hosts->sightings.list[index].beat;
	return hosts->sightings.list[index].name;
}

bool mms_hosts_missed_by(const struct mms_hosts *hosts, unsigned node, uint64_t *beat, uint32_t *overflows)
{
	const struct mms_node_sh *shared = &hosts->office->cluster->nodes[node];

	*beat = atomic_load(&shared->missed_beat);
	*overflows = atomic_load(&shared->missed_overflows);
	return *beat != 0 && *overflows == mms_hints_overflow_count(&hosts->office->cluster->hints, node);
}

/* This replicator has read what all nodes have that answer. */
static bool has_looked(const struct mms_hosts *hosts)
{
	return hosts->office->now.us - hosts->began_at.us > FIRST_LOOK_US && mms_hosts_read_since(hosts, (struct mms_mono){ 0 });
}

/* It has been looked for for long enough, without a pause: while nobody looks, a beat is not seen. */
static bool is_silent(const struct mms_hosts *hosts, const struct mms_sighting *sighting)
{
	struct mms_mono since = sighting == NULL || sighting->changed_at.us < hosts->since.us ? hosts->since : sighting->changed_at;

	return hosts->office->now.us - since.us > MMS_HOSTS_DEAD_US;
}

static bool is_dead(const struct mms_hosts *hosts, struct mms_slice name, const struct mms_sighting *sighting)
{
	return is_silent(hosts, sighting) && mms_life_is_name(name) && !mms_hosts_is_own(hosts, name)
			&& (sighting != NULL || hosts->sightings.count < MMS_SIGHTINGS_MAX) && has_looked(hosts);
}

bool mms_hosts_is_dead(const struct mms_hosts *hosts, struct mms_slice name)
{
	return is_dead(hosts, name, sighting_of(hosts, name));
}

bool mms_hosts_is_of_dead(const struct mms_hosts *hosts, enum mms_hosts_hash hash, const struct mms_pair *entry)
{
	const struct mms_slice life = life_in(hash, entry);

	return is_dead(hosts, life, sighting_by(hosts, entry, life));
}

/* While nobody looked, it may have lived, and may have taken its entry back. */
bool mms_hosts_heard_since(const struct mms_hosts *hosts, struct mms_slice name, struct mms_mono moment)
{
	int64_t changed_us = mms_sightings_changed_us(&hosts->sightings, name);

	return hosts->since.us > moment.us || (changed_us >= moment.us && changed_us <= hosts->office->now.us);
}

struct mms_pairs *mms_hosts_list(const struct mms_hosts *hosts, enum mms_hosts_hash hash, unsigned node)
{
	return &hosts->lists[hash][node];
}

struct mms_office *mms_hosts_office(const struct mms_hosts *hosts)
{
	return hosts->office;
}

struct mms_mono mms_hosts_since(const struct mms_hosts *hosts)
{
	return hosts->since;
}

void mms_hosts_read_again(struct mms_hosts *hosts, unsigned node)
{
	hosts->asked[node].us = 0;
	mms_pairs_keep(&hosts->lists[MMS_HOSTS_LIVES][node], NULL, hosts->office->now);
}

void mms_hosts_hurry(struct mms_hosts *hosts)
{
	hosts->due.us = 0;
	memset(hosts->asked, 0, hosts->office->node_count * sizeof *hosts->asked);
}

bool mms_hosts_read_since(const struct mms_hosts *hosts, struct mms_mono moment)
{
	for (unsigned i = 0; i < hosts->office->node_count; i++) {
		if (mms_link_ready(&hosts->office->links[i]) && (hosts->lists[MMS_HOSTS_LIVES][i].read_at.us <= moment.us
					|| hosts->lists[MMS_HOSTS_BEHIND][i].read_at.us <= moment.us)) {
			return false;
		}
	}
	return true;
}

const struct mms_sighting *mms_hosts_sighting(const struct mms_hosts *hosts, const struct mms_pair *entry)
{
	return sighting_by(hosts, entry, entry->field);
}

bool mms_hosts_is_latest(const struct mms_hosts *hosts, const struct mms_pair *entry, uint64_t beat)
{
	const struct mms_sighting *sighting = sighting_by(hosts, entry, entry->field);

	return sighting == NULL || beat >= sighting->beat;
}

bool mms_hosts_latest(const struct mms_hosts *hosts, struct mms_slice name, struct mms_life *out)
{
	const struct mms_sighting *sighting = sighting_of(hosts, name);
	uint64_t beat, watermark_ms;

	for (unsigned i = 0; sighting != NULL && i < hosts->office->node_count; i++) {
		const struct mms_pairs *list = &hosts->lists[MMS_HOSTS_LIVES][i];

		for (uint32_t k = 0; k < list->count; k++) {
			const struct mms_pair *entry = &list->pairs[k];

			if (!entry->cleared && mms_pairs_same(entry->field, name) && mms_life_head(entry->value, &beat, &watermark_ms)
					&& beat == sighting->beat && mms_life_parse(entry->value, out)) {
				return true;
			}
		}
	}
	return false;
}

bool mms_hosts_has_met(const struct mms_hosts *hosts, struct mms_slice name, uint64_t node_id)
{
	struct mms_life life;

	return mms_hosts_latest(hosts, name, &life) && mms_life_lists(&life, node_id);
}

static void on_left(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct mms_hosts *hosts = context;

	(void)token;
	(void)replies;
	hosts->left_mask |= UINT64_C(1) << link->index;
}

bool mms_hosts_leave(struct mms_hosts *hosts)
{
	struct mms_office *office = hosts->office;
	char key[MMS_MARKER_KEY_MAX];
	struct mms_command command;
	bool done = true;

	if (atomic_load(&office->cluster->published) == 0 || !mms_marker_covers(office)
			|| mms_clock_apart(office->now.us, atomic_load(&office->cluster->looked_us)) >= PAUSE_US
			|| mms_mailbox_tail(&office->cluster->mailbox) != mms_mailbox_head(&office->cluster->mailbox)) {
		return true;
	}
	hosts->leaving = true;
	mms_command_init(&command);
	mms_command_hash_delete(&command, (struct mms_slice){ key, mms_identity_lives_key(office->settings, key,
			sizeof key) }, mms_slice_of(hosts->name));
	for (unsigned i = 0; i < office->node_count; i++) {
		struct mms_link *link = &office->links[i];
		uint64_t bit = UINT64_C(1) << i;

		if (mms_link_ready(link) && (hosts->asked_mask & bit) == 0
				&& mms_link_request(link, &command, on_left, hosts, 0)) {
			hosts->asked_mask |= bit;
		}
		if ((hosts->left_mask & bit) == 0 && mms_breaker_allows_write(&mms_link_node(link)->breaker)
				&& !(link->state == MMS_LINK_DOWN && link->spoken)) {
			done = false;
		}
	}
	if (done) {
		atomic_store(&office->cluster->published, 0);
	}
	return done;
}
