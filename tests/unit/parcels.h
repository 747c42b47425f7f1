/* Parcels that prove their own integrity, and mailboxes to put them in. */
#ifndef PARCELS_H
#define PARCELS_H

#include "processes.h"

#include "mms_config.h"
#include "mms_mailbox.h"
#include "mms_record.h"

#define PARCEL_PAYLOAD_MAX 20000
#define PARCEL_MASK (UINT64_C(1) << 63) /* have_mask of a fresh parcel */
#define RING_OFFSET 4096

struct parcel {
	struct mms_parcel parcel;
	char key[32];
	unsigned char header[MMS_RECORD_HEADER_SIZE];
	unsigned char payload[PARCEL_PAYLOAD_MAX];
	uint32_t payload_sum;
};

static inline struct mms_mailbox_sh *mailbox_of(uint64_t size)
{
	struct mms_mailbox_sh *mailbox = shared_pages((size_t) size + RING_OFFSET);
	struct mms_error error;

	assert_int_equal(mms_mailbox_init(mailbox, (char *) mailbox + RING_OFFSET, size, &error), MMS_OK);
	return mailbox;
}

static inline void mailbox_unmap(struct mms_mailbox_sh *mailbox)
{
	munmap(mailbox, (size_t) mailbox->size + RING_OFFSET);
}

/* The header holds producer and number; its last four bytes are a checksum of payload and header. */
static inline void parcel_number(struct parcel *out, uint32_t producer, uint64_t number)
{
	const size_t summed = sizeof(out->header) - sizeof(uint32_t);
	uint32_t sum;

	memset(out->header, (int) (number % 251), sizeof(out->header));
	memcpy(out->header, &producer, 4);
	memcpy(out->header + 4, &number, 8);
	sum = mms_crc32c(out->payload_sum, out->header, summed);
	memcpy(out->header + summed, &sum, sizeof(sum));
	out->parcel.key.ptr = out->key;
	out->parcel.key.len = (size_t) snprintf(out->key, sizeof(out->key), "key:%u:%llu", producer,
			(unsigned long long) number);
	out->parcel.ttl_ms = number * 3 + producer;
}

static inline void parcel_fill(struct parcel *out, uint32_t producer, uint64_t number, size_t len)
{
	uint64_t pattern = number << 8 | producer;

	memset(&out->parcel, 0, sizeof(out->parcel));
	for (size_t i = 0; i < len; i += sizeof(pattern)) {
		pattern = (pattern + 1) * UINT64_C(0x9e3779b97f4a7c15);
		memcpy(out->payload + i, &pattern, len - i < sizeof(pattern) ? len - i : sizeof(pattern));
	}
	out->payload_sum = mms_crc32c(0, out->payload, len);
	out->parcel.kind = MMS_PARCEL_PUT;
	out->parcel.header = out->header;
	out->parcel.payload.ptr = (const char *) out->payload;
	out->parcel.payload.len = len;
	out->parcel.have_mask = PARCEL_MASK;
	parcel_number(out, producer, number);
}

/* Whether the item is a parcel as filled above, and which. */
static inline bool item_is_intact(const struct mms_mailbox_item *item, uint32_t *producer, uint64_t *number)
{
	const char *header = item->record.ptr;
	char key[32];
	uint32_t sum;
	int key_len;

	memcpy(producer, header, 4);
	memcpy(number, header + 4, 8);
	memcpy(&sum, header + MMS_RECORD_HEADER_SIZE - 4, 4);
	key_len = snprintf(key, sizeof(key), "key:%u:%llu", *producer, (unsigned long long) *number);
	return item->key.len == (size_t) key_len && memcmp(item->key.ptr, key, item->key.len) == 0
			&& item->ttl_ms == *number * 3 + *producer
			&& sum == mms_crc32c(mms_crc32c(0, header + MMS_RECORD_HEADER_SIZE,
					item->record.len - MMS_RECORD_HEADER_SIZE), header, MMS_RECORD_HEADER_SIZE - 4);
}

static inline bool push_number(struct mms_mailbox_sh *mailbox, uint64_t number, size_t len, struct mms_ticket *ticket)
{
	struct parcel *parcel = malloc(sizeof(*parcel));
	bool pushed;

	assert_non_null(parcel);
	parcel_fill(parcel, 0, number, len);
	pushed = mms_mailbox_push(mailbox, &parcel->parcel, mms_clock_mono(), ticket);
	free(parcel);
	return pushed;
}

/* The entry at *position is this one; moves on. */
static inline void assert_next_is(struct mms_mailbox_sh *mailbox, uint64_t *position, uint64_t number)
{
	struct mms_mailbox_item item;
	uint32_t producer;
	uint64_t found;

	assert_int_equal(mms_mailbox_peek(mailbox, *position, &item), 1);
	assert_true(item_is_intact(&item, &producer, &found));
	assert_int_equal(found, number);
	*position = item.next;
}

static inline void assert_end(struct mms_mailbox_sh *mailbox, uint64_t position)
{
	struct mms_mailbox_item item;

	assert_int_equal(mms_mailbox_peek(mailbox, position, &item), 0);
}

#endif
