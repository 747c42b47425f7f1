/* What makes the next version. The difficulty is blind: a write that builds on what proves nothing must not win over a
 * real one. */
#include "mms_next.h"

static uint32_t generation_after(const struct mms_version *tombstone)
{
	return tombstone->generation < MMS_GENERATION_MAX ? tombstone->generation + 1 : MMS_GENERATION_MAX;
}

struct mms_version mms_next_version(struct mms_client *client, const struct mms_answer *answer, uint64_t above,
		bool tombstone)
{
	bool has_base = answer->found == MMS_FOUND_RECORD || answer->found == MMS_FOUND_TOMBSTONE;
	uint64_t base = has_base ? answer->header.version.hlc : 0;
	struct mms_version version = {
		.tombstone = tombstone,
		.hlc = mms_hlc_stamp(&client->shm->hlc, mms_hlc_now(&client->shm->anchor), above > base ? above : base,
				client->settings.max_clock_drift_ms),
		.writer = mms_shm_writer(client->shm, client->cluster, client->settings.host_hash),
		.sequence = mms_shm_next_sequence(client->shm),
	};

	switch (answer->found) {
	case MMS_FOUND_RECORD:
		version.incarnation = answer->header.version.incarnation;
		/* A logout of a session that was really read is real, even of a blind one (rule c). */
		version.blind = !tombstone && answer->header.version.blind && !answer->authoritative;
		version.generation = version.blind ? answer->header.version.generation : 0;
		break;
	case MMS_FOUND_TOMBSTONE:
		version.blind = !answer->authoritative;
		if (answer->header.version.blind) { /* a new incarnation would win over a real session that its maker could not see */
			version.incarnation = answer->header.version.incarnation;
			version.generation = version.blind ? generation_after(&answer->header.version) : 0;
		} else {
			version.incarnation = answer->header.version.hlc;
		}
		break;
	default:
		version.blind = !answer->authoritative;
		break;
	}
	return version;
}

void mms_next_describe_base(const struct mms_answer *answer, struct mms_record_header *header)
{
	if (answer->imported) { /* and whatever replaces it has to outlive what was taken over */
		int64_t left_s = (answer->pttl_ms + 999) / 1000;

		header->lifetime_s = left_s > (int64_t)header->lifetime_s ? (uint32_t)(left_s < MMS_LIFETIME_MAX_S ? left_s
				: MMS_LIFETIME_MAX_S) : header->lifetime_s;
	}
	if (answer->found != MMS_FOUND_RECORD && answer->found != MMS_FOUND_TOMBSTONE) {
		return;
	}
	header->base_hlc = answer->header.version.hlc;
	header->base_writer = answer->header.version.writer;
	header->base_sequence = answer->header.version.sequence;
	if (answer->header.lifetime_s > header->lifetime_s) {
		header->lifetime_s = answer->header.lifetime_s;
	}
}
