/* Two questions of each node, and they differ: whom must a scan serve (any living host that does not list the node, from its first
 * beat on), and what should people be told (of a host that has had the time to meet all nodes, about a node that this one reaches).
 * The difficulty is that nodes are read one by one, and hosts come and go: one look proves neither that a state has begun nor that
 * it is over. */
#include "mms_strangers.h"

#include <stdio.h>
#include <string.h>

#define TEXT_MAX 360
#define SETTLED_BEATS 5              /* seconds that a life has had to meet all nodes: it beats once a second on each */
#define UNKNOWN_US 10000000          /* a node that others don't list for so long is not just being met by them */

/* What the living say of one node. */
struct word {
	bool unknown;             /* one does not list it */
	bool first;               /* none before this life does list it */
	const char *unlisted_by;  /* a life that should have met it by now and has not; "" = none */
};

static void hear_all(const struct mms_hosts *hosts, struct word words[MMS_NODES_MAX]);
static void note_unknown(const struct mms_office *office, unsigned node, const struct word *word);
static bool is_unlisted(const struct mms_office *office, unsigned node, const struct word *word);
static void watch(const struct mms_hosts *hosts);

void mms_strangers_init(struct mms_strangers *strangers, const struct mms_hosts *hosts)
{
	strangers->hosts = hosts;
	strangers->heard = mms_hosts_heard_count(hosts);
}

void mms_strangers_run(struct mms_strangers *strangers)
{
	uint32_t heard = mms_hosts_heard_count(strangers->hosts);

	if (heard != strangers->heard) {
		strangers->heard = heard;
		watch(strangers->hosts);
	}
}

bool mms_strangers_must_share(const struct mms_office *office, unsigned node)
{
	int64_t since_us = atomic_load(&office->cluster->nodes[node].unknown_us);

	return since_us != 0 && office->now.us - since_us > UNKNOWN_US;
}

static void watch(const struct mms_hosts *hosts)
{
	struct mms_office *office = mms_hosts_office(hosts);
	struct word words[MMS_NODES_MAX];
	char list[TEXT_MAX] = "";
	bool stands = false;
	struct mms_error text;

	hear_all(hosts, words);
	for (unsigned node = 0; node < office->node_count; node++) {
		const struct word *word = &words[node];

		note_unknown(office, node, word);
		if (is_unlisted(office, node, word)) {
			stands = true;
			if (word->unlisted_by[0] != '\0') {
				(void)snprintf(list + strlen(list), sizeof list - strlen(list), "%s host %.*s has not met node %s",
						list[0] != '\0' ? "," : "", (int)strcspn(word->unlisted_by, " "), word->unlisted_by,
						office->settings->nodes[node].name);
			}
		}
	}
	mms_error_set(&text, "lists of nodes differ:%s: give all hosts the same mmsession.nodes, or see why one is not reached there", list);
	if (list[0] != '\0' || !stands) {
		mms_note_state(&office->cluster->notices[MMS_NOTICE_NODES], list[0] != '\0' ? text.text : NULL, mms_clock_wall().ms);
	}
}

/* Each life is read once, whatever the number of nodes. */
static void hear_all(const struct mms_hosts *hosts, struct word words[MMS_NODES_MAX])
{
	const struct mms_office *office = mms_hosts_office(hosts);
	struct mms_life life;
	uint64_t beat;

	for (unsigned node = 0; node < office->node_count; node++) {
		words[node] = (struct word){ .first = true, .unlisted_by = "" };
	}
	for (uint32_t i = 0; i < mms_hosts_sighted_count(hosts); i++) {
		const char *name = mms_hosts_sighted(hosts, i, &beat);
		const bool before = strcmp(name, mms_hosts_own(hosts).ptr) < 0;

		if (mms_hosts_is_dead(hosts, mms_slice_of(name)) || !mms_hosts_latest(hosts, mms_slice_of(name), &life)) {
			continue;
		}
		for (unsigned node = 0; node < office->node_count; node++) {
			uint64_t id = atomic_load(&office->cluster->nodes[node].node_id);

			if (id != 0 && !mms_life_lists(&life, id)) {
				words[node].unknown = true;
				words[node].unlisted_by = beat > SETTLED_BEATS ? name : words[node].unlisted_by;
			} else if (id != 0 && before) {
				words[node].first = false;
			}
		}
	}
}

static void note_unknown(const struct mms_office *office, unsigned node, const struct word *word)
{
	_Atomic int64_t *since_us = &office->cluster->nodes[node].unknown_us;

	if (!word->unknown || !word->first) {
		atomic_store(since_us, 0);
	} else if (atomic_load(since_us) == 0) {
		atomic_store(since_us, office->now.us);
	}
}

/* Has some life been without this node for so long that it is worth a warning? It is over when none has been seen for a while. */
static bool is_unlisted(const struct mms_office *office, unsigned node, const struct word *word)
{
	struct mms_node_sh *shared = &office->cluster->nodes[node];
	const int64_t now_us = office->now.us, since_us = atomic_load(&shared->unlisted_us);

	if (word->unlisted_by[0] != '\0') {
		atomic_store(&shared->unlisted_seen_us, now_us);
	}
	if (!mms_link_ready(&office->links[node]) || now_us - atomic_load(&shared->unlisted_seen_us) > UNKNOWN_US) {
		atomic_store(&shared->unlisted_us, 0);
	} else if (since_us == 0) {
		atomic_store(&shared->unlisted_us, now_us);
	} else {
		return now_us - since_us > UNKNOWN_US;
	}
	return false;
}
