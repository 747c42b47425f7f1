/* Other lives as they were seen on the nodes: the highest beat of each, and when that was first seen. What one office has seen, the
 * next one goes on with, out of shared memory: short ones would never see that somebody is silent. Part of the replicator's
 * thread. */
#ifndef MMS_SIGHTINGS_H
#define MMS_SIGHTINGS_H

#include "mms_life.h"
#include "mms_shm.h"

struct mms_sighting {
	char name[MMS_LIFE_NAME_MAX];
	uint64_t hash;                  /* of the name */
	uint64_t beat;
	struct mms_mono changed_at;
};

struct mms_sightings {
	struct mms_cluster_sh *cluster;
	struct mms_sighting *list;      /* MMS_SIGHTINGS_MAX places */
	uint32_t count;                 /* of these, used */
};

/* False without memory; fini is harmless then. */
bool mms_sightings_init(struct mms_sightings *sightings, struct mms_cluster_sh *cluster);
void mms_sightings_fini(struct mms_sightings *sightings);

/* A life was read with this beat. Nodes may differ in how far they are: only a higher beat is a sign of life. One seen for the
 * first time takes the place of the one that has been silent for longest, when there is none left. Returns the place in the list. */
uint32_t mms_sightings_note(struct mms_sightings *sightings, struct mms_slice name, uint64_t beat, struct mms_mono now);

/* What this office has seen of it, or NULL. Valid until the next note. */
const struct mms_sighting *mms_sightings_find(const struct mms_sightings *sightings, struct mms_slice name);
/* When its beat was last seen to be a new one, by this office, or by those before it when this one has not seen it at all.
 * 0: by none, as far as is kept. Monotonic microseconds. */
int64_t mms_sightings_changed_us(const struct mms_sightings *sightings, struct mms_slice name);

#endif
