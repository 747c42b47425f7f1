/* Nodes differ in how far they are, and of each life only the latest word counts. One that does not list the node may be about to
 * meet it: it must have been heard of since it had the time to. */
#include "mms_settled.h"

static bool all_read(const struct mms_hosts *hosts, int64_t after_us)
{
	for (unsigned i = 0; i < mms_hosts_office(hosts)->node_count; i++) {
		const struct mms_pairs *list = mms_hosts_list(hosts, MMS_HOSTS_LIVES, i);

		if (list->read_at.us == 0 || list->read_at.us < after_us || list->cut) {
			return false;
		}
	}
	return true;
}

bool mms_settled_by_all(const struct mms_hosts *hosts, unsigned node)
{
	const struct mms_office *office = mms_hosts_office(hosts);
	const struct mms_link *link = &office->links[node];
	uint64_t id = atomic_load(&mms_link_node(link)->node_id), run_hash = atomic_load(&mms_link_node(link)->run_hash);
	int64_t heard_us = mms_link_met_us(link) + MMS_HOSTS_BEAT_US;
	uint64_t known[MMS_NODES_MAX], beat, watermark_ms;
	struct mms_life life;

	if (!mms_link_settled(link) || !all_read(hosts, link->ready_since.us)) {
		return false;
	}
	for (unsigned i = 0; i < office->node_count; i++) {
		known[i] = atomic_load(&office->cluster->nodes[i].node_id);
	}
	for (unsigned i = 0; i < office->node_count; i++) {
		const struct mms_pairs *list = mms_hosts_list(hosts, MMS_HOSTS_LIVES, i);

		for (uint32_t k = 0; k < list->count; k++) {
			const struct mms_pair *entry = &list->pairs[k];
			const struct mms_sighting *sighting = mms_hosts_sighting(hosts, entry);

			if (entry->cleared || !mms_life_is_name(entry->field) || mms_hosts_is_own(hosts, entry->field)
					|| (mms_life_head(entry->value, &beat, &watermark_ms) && !mms_hosts_is_latest(hosts, entry, beat))) {
				continue;
			}
			if (!mms_life_parse(entry->value, &life) || !mms_life_settled(&life, id, run_hash,
					sighting != NULL && sighting->changed_at.us >= heard_us, known, office->node_count)) {
				return false;
			}
		}
	}
	return true;
}
