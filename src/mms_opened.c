/* Reading a session behind its lock. The lock comes first, in a round trip of its own: what is read beside it may be older
 * than what its last holder wrote. */
#include "mms_opened.h"

#include <string.h>

#include "mms_import.h"
#include "mms_next.h"
#include "mms_quorum.h"
#include "mms_read.h"

static void begin_empty(struct mms_opened *opened);

/* The flags alone: every page view pays for three of these and fills one. */
void mms_opened_init(struct mms_opened *opened)
{
	begin_empty(opened);
}

bool mms_opened_is_for(const struct mms_opened *opened, struct mms_slice id)
{
	return opened->valid && opened->key_len == opened->prefix_len + id.len
			&& memcmp(opened->key + opened->prefix_len, id.ptr, id.len) == 0;
}

struct mms_slice mms_opened_key(const struct mms_opened *opened)
{
	return (struct mms_slice){ opened->key, opened->key_len };
}

/* Empties what is to be filled for this id, but for a lock that the same session goes on with. */
static void make_room(struct mms_client *client, struct mms_opened *opened, struct mms_slice id, bool locking)
{
	if (!locking || client->settings.lock == 0 || !mms_opened_is_for(opened, id)
			|| !mms_lease_holds(client, &opened->lease)) {
		mms_opened_clear(client, opened);
		mms_answer_init(&opened->answer);
		mms_lease_init(&opened->lease);
		return;
	}
	mms_answer_clear(&opened->answer);
	opened->lease.lost = false;
	opened->lease.waited = false;
	begin_empty(opened);
}

void mms_opened_fill(struct mms_client *client, struct mms_opened *opened, struct mms_slice id, struct mms_visit *visit,
		bool locking)
{
	const struct mms_settings *settings = &client->settings;
	size_t prefix_len = strlen(settings->prefix);
	struct mms_slice key = { opened->key, prefix_len + id.len };
	struct mms_mono deadline;

	make_room(client, opened, id, locking);
	opened->pttl_at = opened->read_at = mms_clock_boot();
	if (id.len > MMS_SESSION_ID_MAX || prefix_len > MMS_PREFIX_MAX) {
		return;
	}
	memcpy(opened->key, settings->prefix, prefix_len);
	memcpy(opened->key + prefix_len, id.ptr, id.len);
	opened->key_len = key.len;
	opened->prefix_len = prefix_len;
	opened->valid = true;
	if (locking && settings->lock != 0) {
		if (!mms_opened_lock(client, opened)) {
			return;
		}
		opened->pttl_at = opened->read_at = mms_clock_boot();
	}
	deadline = mms_client_deadline(client);
	if (visit != NULL) {
		mms_visit_begin(visit, key);
		mms_read_for_visitor(client, key, deadline, mms_visit_plan(visit), &opened->answer);
	} else {
		mms_read_record(client, key, deadline, &opened->answer);
		if (settings->read_mode == MMS_READ_QUORUM) {
			mms_quorum_write_back(client, key, deadline, &opened->answer);
		}
	}
	mms_import_find(client, id, deadline, &opened->answer);
	if (opened->answer.imported) {
		opened->as_read = mms_next_version(client, &opened->answer, visit != NULL ? mms_visit_above(visit) : 0, false);
	}
}

/* Without a node to ask, the read goes on without. */
bool mms_opened_lock(struct mms_client *client, struct mms_opened *opened)
{
	struct mms_error error;
	enum mms_status status = mms_lease_take(client, &opened->lease, mms_opened_key(opened), client->settings.lock_wait_ms,
			&error);

	opened->behind_lock = true;
	if (status == MMS_ERR_TIMEOUT) {
		mms_client_count(client, MMS_METRIC_lock_timeouts);
		mms_answer_clear(&opened->answer); /* unreadable, and so not to be written either */
		opened->answer.error = error;
		return false;
	}
	return true;
}

void mms_opened_clear(struct mms_client *client, struct mms_opened *opened)
{
	if (opened->valid) { /* else it is empty already */
		mms_answer_clear(&opened->answer);
		if (opened->behind_lock) {
			mms_lease_release(client, &opened->lease, mms_opened_key(opened));
		}
	}
	begin_empty(opened);
}

void mms_opened_become(struct mms_opened *opened, const struct mms_record_header *header, const unsigned char *header_bytes,
		int64_t ttl_ms)
{
	struct mms_answer *answer = &opened->answer;
	bool authoritative = answer->authoritative;

	opened->given = true;
	opened->doubtful = false;
	mms_answer_clear(answer);
	answer->found = header->version.tombstone ? MMS_FOUND_TOMBSTONE : MMS_FOUND_RECORD;
	answer->authoritative = authoritative;
	answer->header = *header;
	memcpy(answer->header_bytes, header_bytes, MMS_RECORD_HEADER_SIZE);
	answer->pttl_ms = ttl_ms;
	opened->pttl_at = mms_clock_boot();
}

void mms_opened_displace(const struct mms_opened *opened, struct mms_displaced *out)
{
	const struct mms_answer *answer = &opened->answer;

	if (!opened->valid || !opened->given || answer->found == MMS_FOUND_UNREADABLE) {
		return;
	}
	out->exists = answer->found == MMS_FOUND_RECORD || answer->found == MMS_FOUND_TOMBSTONE;
	out->version = answer->header.version;
	out->key_len = opened->key_len;
	memcpy(out->key, opened->key, opened->key_len);
}

bool mms_opened_differs(const struct mms_opened *now, const struct mms_displaced *then)
{
	return then->key_len != 0 && now->key_len == then->key_len && memcmp(now->key, then->key, then->key_len) == 0
			&& now->answer.found == MMS_FOUND_RECORD
			&& (!then->exists || mms_version_compare(&now->answer.header.version, &then->version) != 0);
}

static void begin_empty(struct mms_opened *opened)
{
	opened->valid = false;
	opened->given = false;
	opened->changed = false;
	opened->created_here = false;
	opened->doubtful = false;
	opened->behind_lock = false;
}
