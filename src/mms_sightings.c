/* A table of this office's own, with the names; in shared memory their hashes. */
#include "mms_sightings.h"

#include <stdlib.h>

#include "mms_identity.h"
#include "mms_pairs.h"

bool mms_sightings_init(struct mms_sightings *sightings, struct mms_cluster_sh *cluster)
{
	*sightings = (struct mms_sightings){ .cluster = cluster, .list = calloc(MMS_SIGHTINGS_MAX, sizeof *sightings->list) };
	return sightings->list != NULL;
}

void mms_sightings_fini(struct mms_sightings *sightings)
{
	free(sightings->list);
}

static struct mms_sighting *find(const struct mms_sightings *sightings, struct mms_slice name)
{
	const uint64_t hash = mms_identity_hash(name);

	for (uint32_t i = 0; i < sightings->count; i++) {
		if (sightings->list[i].hash == hash && mms_pairs_same(name, mms_slice_of(sightings->list[i].name))) {
			return &sightings->list[i];
		}
	}
	return NULL;
}

static struct mms_sighting *new_place(struct mms_sightings *sightings)
{
	struct mms_sighting *oldest = &sightings->list[0];

	if (sightings->count < MMS_SIGHTINGS_MAX) {
		return &sightings->list[sightings->count++];
	}
	for (uint32_t i = 1; i < sightings->count; i++) {
		oldest = sightings->list[i].changed_at.us < oldest->changed_at.us ? &sightings->list[i] : oldest;
	}
	return oldest;
}

static void remember(const struct mms_sightings *sightings, const struct mms_sighting *sighting)
{
	mms_shm_note_sighting(sightings->cluster, sighting->hash, sighting->beat,
			sighting->changed_at.us);
}

/* What predecessors have seen of it counts, if they saw as much and no time of theirs is of the future. */
static void take_over(const struct mms_sightings *sightings, struct mms_sighting *sighting, struct mms_mono now)
{
	const struct mms_sighting_sh *seen = mms_shm_find_sighting(sightings->cluster, sighting->hash);
	uint64_t beat = seen == NULL ? 0 : atomic_load(&seen->beat);
	int64_t changed_us = seen == NULL ? 0 : atomic_load(&seen->changed_us);

	if (beat >= sighting->beat && changed_us > 0 && changed_us <= now.us) {
		sighting->beat = beat;
		sighting->changed_at.us = changed_us;
	} else {
		remember(sightings, sighting);
	}
}

uint32_t mms_sightings_note(struct mms_sightings *sightings, struct mms_slice name, uint64_t beat, struct mms_mono now)
{
	struct mms_sighting *sighting = find(sightings, name);

	if (sighting == NULL) {
		sighting = new_place(sightings);
		mms_text_copy(sighting->name, sizeof sighting->name, name);
		sighting->hash = mms_identity_hash(name);
		sighting->beat = beat;
		sighting->changed_at = now;
		take_over(sightings, sighting, now);
	} else if (beat > sighting->beat) {
		sighting->beat = beat;
		sighting->changed_at = now;
		remember(sightings, sighting);
	}
	return (uint32_t)(sighting - sightings->list);
}

const struct mms_sighting *mms_sightings_find(const struct mms_sightings *sightings, struct mms_slice name)
{
	return find(sightings, name);
}

int64_t mms_sightings_changed_us(const struct mms_sightings *sightings, struct mms_slice name)
{
	const struct mms_sighting *sighting = find(sightings, name);
	const struct mms_sighting_sh *seen = sighting != NULL ? NULL : mms_shm_find_sighting(sightings->cluster, mms_identity_hash(name));

	return sighting != NULL ? sighting->changed_at.us : seen != NULL ? atomic_load(&seen->changed_us) : 0;
}
