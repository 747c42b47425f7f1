/* The ring is read without its lock, while the replicator passes entries and producers overwrite what was passed. So nothing is
 * believed that is not whole by its checksums, and what was copied counts only if its entry had not been passed by then. */
#include "mms_backlog.h"

#include <stdlib.h>
#include <string.h>

#include "mms_hlc.h"

#define ROUNDS_MAX 3 /* the tail may overtake the walk */

static bool is_newer(const struct mms_record_header *header, const struct mms_backlog *than)
{
	return !than->found || mms_version_compare(&header->version, &than->header.version) > 0;
}

static void judge(const struct mms_mailbox_item *item, uint64_t position, struct mms_slice key, struct mms_backlog *out)
{
	struct mms_slice bytes = { item->record.ptr, MMS_RECORD_HEADER_SIZE };
	int64_t ttl_ms = (int64_t)item->ttl_ms - (mms_clock_mono().us - item->pushed_at.us) / 1000;
	struct mms_record_header header;

	/* What has lived its life is nowhere; and a logout's tombstone outlives every copy by an hour, but not for ever. */
	if (ttl_ms <= 0 || item->kind != MMS_PARCEL_PUT || item->key.len != key.len || memcmp(item->key.ptr, key.ptr, key.len) != 0
			|| mms_hlc_decode(bytes, key, mms_clock_wall(), &header) != MMS_RECORD_GOOD || !is_newer(&header, out)) {
		return;
	}
	out->found = true;
	out->position = position;
	out->header = header;
	out->ttl_ms = ttl_ms;
}

/* From the tail on; false when the tail has overtaken. */
static bool walk(const struct mms_mailbox_sh *mailbox, struct mms_slice key, unsigned entries_max, struct mms_backlog *out)
{
	uint64_t position = mms_mailbox_tail(mailbox);
	struct mms_mailbox_item item;

	for (unsigned i = 0; i < entries_max; i++) {
		int found = mms_mailbox_peek(mailbox, position, &item);

		if (found <= 0) {
			out->whole = found == 0;
			return found == 0;
		}
		judge(&item, position, key, out);
		position = item.next;
	}
	return true;
}

void mms_backlog_find(const struct mms_cluster_sh *cluster, struct mms_slice key, unsigned entries_max,
		struct mms_backlog *out)
{
	const struct mms_mailbox_sh *mailbox = &cluster->mailbox;

	out->found = false;
	out->tail = mms_mailbox_tail(mailbox);
	out->whole = out->tail == mms_mailbox_head(mailbox);
	for (unsigned round = 0; round < ROUNDS_MAX && !out->whole; round++) {
		if (walk(mailbox, key, entries_max, out)) {
			return;
		}
	}
}

bool mms_backlog_find_more(const struct mms_cluster_sh *cluster, struct mms_slice key, struct mms_backlog *backlog)
{
	const struct mms_backlog first = *backlog;

	mms_backlog_find(cluster, key, MMS_BACKLOG_MANY, backlog);
	if (first.found && (!backlog->found || is_newer(&first.header, backlog))) {
		*backlog = first;
	}
	return mms_mailbox_tail(&cluster->mailbox) != first.tail;
}

char *mms_backlog_take(const struct mms_cluster_sh *cluster, struct mms_slice key, const struct mms_backlog *backlog,
		size_t *len)
{
	const struct mms_mailbox_sh *mailbox = &cluster->mailbox;
	struct mms_record_header header;
	struct mms_mailbox_item item;
	struct mms_slice payload;
	char *record;

	if (mms_mailbox_peek(mailbox, backlog->position, &item) <= 0 || (record = malloc(item.record.len)) == NULL) {
		return NULL;
	}
	memcpy(record, item.record.ptr, item.record.len);
	*len = item.record.len;
	if (!mms_mailbox_holds(mailbox, backlog->position) || mms_record_decode_whole((struct mms_slice){ record, *len }, key,
			&header, &payload) != MMS_RECORD_GOOD
			|| mms_version_compare(&header.version, &backlog->header.version) != 0) {
		free(record);
		return NULL;
	}
	return record;
}
