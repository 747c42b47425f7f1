/* The write-back. It is an ordinary put of bytes that exist already, so it can't undo anything newer, and the mailbox takes
 * it to the remaining nodes. */
#include "mms_quorum.h"

#include "mms_write.h"

static uint64_t ttl_of(const struct mms_answer *answer)
{
	uint64_t lifetime_ms = (uint64_t)answer->header.lifetime_s * 1000;

	if (answer->found == MMS_FOUND_TOMBSTONE) {
		return lifetime_ms + MMS_TOMBSTONE_GRACE_MS;
	}
	return answer->pttl_ms > 0 ? (uint64_t)answer->pttl_ms : lifetime_ms;
}

void mms_quorum_write_back(struct mms_client *client, struct mms_slice key, struct mms_mono deadline,
		struct mms_answer *answer)
{
	uint32_t needed = mms_config_quorum(&client->settings);
	struct mms_write_order order = {
		.kind = MMS_PARCEL_PUT,
		.key = key,
		.header_bytes = answer->header_bytes,
		.payload = answer->payload,
		.have_mask = answer->holders_mask,
		.acks_needed = needed,
	};
	struct mms_write_result result;

	if ((answer->found != MMS_FOUND_RECORD && answer->found != MMS_FOUND_TOMBSTONE)
			|| mms_count_bits(answer->holders_mask) >= needed) {
		return;
	}
	order.ttl_ms = ttl_of(answer);
	mms_client_count(client, MMS_METRIC_write_backs);
	if (mms_write_record(client, &order, deadline, &result) == MMS_OK) {
		answer->holders_mask |= result.acked_mask;
		return;
	}
	if (client->settings.on_no_quorum == MMS_NO_QUORUM_DEGRADE) {
		if (!answer->degraded) {
			answer->degraded = true;
			mms_client_count(client, MMS_METRIC_degraded_reads);
		}
		return;
	}
	mms_client_count(client, MMS_METRIC_failed_reads);
	mms_answer_clear(answer);
	mms_error_set(&answer->error, "read = quorum: the newest copy could not be brought to a majority: %s",
			result.error.text);
}
