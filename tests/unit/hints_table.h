/* Hint tables and headers for them. */
#ifndef HINTS_TABLE_H
#define HINTS_TABLE_H

#include "processes.h"

#include "mms_hints.h"

#define TABLE_OFFSET 4096

struct hinted {
	char key[32];
	unsigned char header[MMS_RECORD_HEADER_SIZE];
	struct mms_slice slice;
	struct mms_version version;
};

static inline struct mms_hints_sh *hints_of(uint32_t capacity)
{
	struct mms_hints_sh *hints = shared_pages(TABLE_OFFSET + (size_t) mms_hints_table_size(capacity));
	struct mms_error error;

	assert_int_equal(mms_hints_init(hints, (char *) hints + TABLE_OFFSET, capacity, &error), MMS_OK);
	return hints;
}

static inline void hints_unmap(struct mms_hints_sh *hints)
{
	munmap(hints, TABLE_OFFSET + (size_t) mms_hints_table_size(hints->capacity));
}

/* The key of this number and the header of its version with this HLC. */
static inline void hinted_of(struct hinted *out, uint64_t number, uint64_t hlc)
{
	struct mms_record_header header = { .version = { .hlc = hlc, .writer = 9, .sequence = number } };

	out->slice.ptr = out->key;
	out->slice.len = (size_t) snprintf(out->key, sizeof(out->key), "session:%llu", (unsigned long long) number);
	out->version = header.version;
	mms_record_encode(&header, out->slice, out->header);
}

/* Which key and HLC a hint is about; false when it is torn. */
static inline bool hint_is_intact(const struct mms_hint *hint, uint64_t *number, uint64_t *hlc)
{
	const struct mms_slice bytes = { (const char *) hint->header, MMS_RECORD_HEADER_SIZE };
	const struct mms_slice key = { hint->key, hint->key_len };
	struct mms_record_header header;

	*number = 0;
	*hlc = 0;
	if (hint->key_len > MMS_KEY_MAX || mms_record_decode(bytes, key, &header) != MMS_RECORD_GOOD) {
		return false;
	}
	*number = header.version.sequence;
	*hlc = header.version.hlc;
	return true;
}

#endif
