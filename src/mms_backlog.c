/* The ring is read without its lock, while the replicator passes entries and producers overwrite what was passed. So nothing is
 * believed that is not whole by its checksums, and what was copied counts only if its entry had not been passed by then. */
#include "mms_backlog.h"

#include <stdlib.h>
#include <string.h>

#include "mms_hlc.h"

#define ROUNDS_MAX 3 /* the tail may overtake the walk */

/* The newest entry so far, as it says. */
struct candidate {
	bool any;
	uint64_t position;
	int64_t ttl_ms;
	unsigned char header[MMS_RECORD_HEADER_SIZE];
};

static bool is_newer(const struct mms_record_header *header, const struct mms_backlog *than)
{
	return !than->found || mms_version_compare(&header->version, &than->header.version) > 0;
}

/* As mms_version_compare(), on headers that nobody has verified yet (docs/protocol.md has their bytes): a visitor's own writes
 * one after the other each are newer, and only the last one has to be sound. */
static int compare_raw(const unsigned char *a, const unsigned char *b)
{
	int order = memcmp(a + 8, b + 8, 8);

	if (order == 0 && (a[4] & 2) != (b[4] & 2)) {
		return (b[4] & 2) - (a[4] & 2);
	}
	if (order == 0 && (a[4] & 2) != 0) {
		order = memcmp(a + 5, b + 5, 3);
	}
	if (order == 0 && (a[4] & 1) != (b[4] & 1)) {
		return (a[4] & 1) - (b[4] & 1);
	}
	return order != 0 ? order : memcmp(a + 16, b + 16, 24);
}

static void consider(const struct mms_mailbox_item *item, uint64_t position, struct mms_slice key, struct mms_mono now,
		struct candidate *best)
{
	int64_t ttl_ms = (int64_t)item->ttl_ms - (now.us - item->pushed_at.us) / 1000;

	/* What has lived its life is nowhere; and a logout's tombstone outlives every copy by an hour, but not for ever. */
	if (item->kind != MMS_PARCEL_PUT || item->key.len != key.len || memcmp(item->key.ptr, key.ptr, key.len) != 0 || ttl_ms <= 0
			|| (best->any && compare_raw((const unsigned char *)item->record.ptr, best->header) <= 0)) {
		return;
	}
	best->any = true;
	best->position = position;
	best->ttl_ms = ttl_ms;
	memcpy(best->header, item->record.ptr, sizeof best->header);
}

/* From the tail on; false when the tail has overtaken. */
static bool walk(const struct mms_mailbox_sh *mailbox, struct mms_slice key, unsigned entries_max, struct mms_backlog *out,
		struct candidate *best)
{
	const uint32_t hash = mms_crc32c(0, key.ptr, key.len);
	uint64_t position = mms_mailbox_tail(mailbox);
	unsigned left = entries_max;
	const struct mms_mono now = mms_clock_mono();
	struct mms_mailbox_item item;
	int found;

	while ((found = mms_mailbox_seek(mailbox, hash, &position, &left)) > 0) {
		if (mms_mailbox_peek(mailbox, position, &item) <= 0) {
			return false;
		}
		consider(&item, position, key, now, best);
		position = item.next;
		left -= left > 0 ? 1 : 0;
	}
	out->whole = found == 0 && left > 0;
	return found == 0;
}

void mms_backlog_find(const struct mms_cluster_sh *cluster, struct mms_slice key, struct mms_wall now, unsigned entries_max,
		struct mms_backlog *out)
{
	const struct mms_mailbox_sh *mailbox = &cluster->mailbox;
	struct candidate best = { .any = false };

	out->found = false;
	out->tail = mms_mailbox_tail(mailbox);
	out->whole = out->tail == mms_mailbox_head(mailbox);
	for (unsigned round = 0; round < ROUNDS_MAX && !out->whole && !walk(mailbox, key, entries_max, out, &best); round++) {
	}
	if (best.any && mms_hlc_decode((struct mms_slice){ (const char *)best.header, sizeof best.header }, key, now,
			&out->header) == MMS_RECORD_GOOD) {
		out->found = true;
		out->position = best.position;
		out->ttl_ms = best.ttl_ms;
	}
}

bool mms_backlog_find_more(const struct mms_cluster_sh *cluster, struct mms_slice key, struct mms_wall now,
		struct mms_backlog *backlog)
{
	const struct mms_backlog first = *backlog;

	mms_backlog_find(cluster, key, now, MMS_BACKLOG_MANY, backlog);
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
