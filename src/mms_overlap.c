/* A lock is a lease, and a lease runs out while its holder is stopped, or takes longer than it asked for. The holder
 * knows by his own clock. What he does then hangs on the order: the version is stamped first, then the lock is taken
 * again, then the nodes are read. So whatever is written behind his back after that read is newer than his own write by
 * the merge order, as far as the hosts' clocks agree, and stays. */
#include "mms_overlap.h"

#include "mms_read.h"

static enum mms_status refuse(struct mms_client *client, struct mms_lease *lease, const char *what, struct mms_error *error);

static bool is_newer(const struct mms_answer *now, const struct mms_answer *then)
{
	bool had = then->found == MMS_FOUND_RECORD || then->found == MMS_FOUND_TOMBSTONE;

	return (now->found == MMS_FOUND_RECORD || now->found == MMS_FOUND_TOMBSTONE)
			&& (!had || mms_version_compare(&now->header.version, &then->header.version) > 0);
}

bool mms_overlap_stops(struct mms_client *client, struct mms_slice key, struct mms_lease *lease, struct mms_answer *answer,
		enum mms_status *status, struct mms_error *error)
{
	struct mms_answer now;
	bool stops = true;

	if (!lease->had || (!lease->lost && mms_lease_holds(client, lease))) {
		return false;
	}
	if (lease->lost) {
		*status = refuse(client, lease, "another request has written since", error);
		return true;
	}
	if (mms_lease_take(client, lease, key, 0, error) == MMS_ERR_TIMEOUT) {
		*status = refuse(client, lease, "another request has taken the lock since", error);
		return true;
	}
	mms_answer_init(&now);
	/* A budget of its own: silent nodes may have used up the lock's. */
	mms_read_record(client, key, mms_client_deadline(client), &now);
	if (now.found == MMS_FOUND_UNREADABLE) {
		mms_client_count(client, MMS_METRIC_failed_writes);
		*error = now.error;
		*status = MMS_ERR_NO_NODE;
	} else if (!is_newer(&now, answer)) {
		answer->watched = now.watched; /* the first read's WATCH is gone */
		stops = false;
	} else if (now.found == MMS_FOUND_TOMBSTONE) {
		mms_client_count(client, MMS_METRIC_late_writes);
		*status = MMS_OK;
	} else {
		*status = refuse(client, lease, "another request has written since", error);
	}
	mms_answer_clear(&now);
	return stops;
}

/* Of two concurrent writes the one that comes second finds the other: newer, or older and not what its request has read.
 * Acknowledged all the same, one of the two is superseded. */
void mms_overlap_count(struct mms_client *client, const struct mms_write_result *result)
{
	bool late = result->met_newer && result->newer.version.tombstone; /* a logout that came first has the last word */

	if (late) {
		mms_client_count(client, MMS_METRIC_late_writes);
	}
	if (result->over_unread || (result->met_newer && !late)) {
		mms_client_count(client, MMS_METRIC_conflicts);
	}
}

enum mms_status mms_overlap_after(struct mms_client *client, struct mms_lease *lease,
		const struct mms_write_result *result, struct mms_error *error)
{
	bool superseded = result->met_newer && !result->newer.version.tombstone;

	if (!lease->had || (!superseded && !result->over_unread)) {
		return MMS_OK;
	}
	if (superseded) {
		return refuse(client, lease, "another request has written all the same", error);
	}
	mms_client_count(client, MMS_METRIC_lock_overlaps);
	return MMS_OK;
}

/* Counts a request once. */
static enum mms_status refuse(struct mms_client *client, struct mms_lease *lease, const char *what, struct mms_error *error)
{
	if (!lease->lost) {
		mms_client_count(client, MMS_METRIC_lock_overlaps);
	}
	lease->lost = true;
	mms_error_set(error, "session lock: it ran out, or was lost with its node, while this request ran, and %s: the newer "
			"data stay. Give mmsession.lock_ttl_ms more than the longest request takes, or end its session early by "
			"session_write_close()", what);
	return MMS_ERR_GUARD;
}
