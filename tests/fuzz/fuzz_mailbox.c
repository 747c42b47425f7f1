/* A mailbox whose bytes are anything: head, tail, base and the ring of a sound one are damaged as the input says; size
 * and place stay right (mms_shm_valid checks them). Walking it must end, and nothing that it hands out may reach beyond
 * the ring. Input: head, tail and base (8 bytes each), then pairs of a 2-byte cache line number and 64 bytes for it,
 * all of them xored to what is there.
 *
 *   clang -g -O1 -fsanitize=fuzzer,address,undefined -Isrc tests/fuzz/fuzz_mailbox.c src/mms_mailbox.c src/mms_lock.c \
 *     src/mms_base.c src/mms_clock.c -pthread -lisal */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mms_mailbox.h"
#include "mms_record.h"

#define LINE 64
#define STEPS_MAX (MMS_MAILBOX_MIN_SIZE / LINE + 1)

struct box {
	_Alignas(64) struct mms_mailbox_sh mailbox;
	_Alignas(64) unsigned char ring[MMS_MAILBOX_MIN_SIZE];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds)
{
	if (!holds) {
		abort();
	}
}

/* Entries of several sizes, with a pad among them. */
static void fill(struct box *box, const struct mms_parcel *parcel, uint8_t epoch)
{
	static const char payload[MMS_MAILBOX_MIN_SIZE / 4];
	struct mms_parcel bigger = *parcel;
	struct mms_mailbox_item item;
	uint64_t position = 0;

	for (size_t i = 0; i < 8; i++) {
		bigger.payload.ptr = payload;
		bigger.payload.len = i * 1500;
		check(mms_mailbox_push(&box->mailbox, &bigger, (struct mms_mono){ 1 }, NULL));
		if (i == 3) {
			check(mms_mailbox_peek(&box->mailbox, 0, &item) == 1);
			check(mms_mailbox_advance(&box->mailbox, epoch, 0, item.next, 1));
			position = item.next;
		}
	}
	for (size_t i = 0; i < 5; i++) {
		check(mms_mailbox_peek(&box->mailbox, position, &item) == 1);
		check(mms_mailbox_advance(&box->mailbox, epoch, position, item.next, 1));
		position = item.next;
	}
	for (size_t i = 0; i < 4; i++) {
		check(mms_mailbox_push(&box->mailbox, &bigger, (struct mms_mono){ 1 }, NULL));
	}
}

static void damage(struct box *box, const uint8_t *data, size_t size)
{
	uint64_t words[3] = { 0 };

	if (size != 0) {
		memcpy(words, data, size < sizeof(words) ? size : sizeof(words));
	}
	atomic_fetch_xor(&box->mailbox.head, words[0]);
	atomic_fetch_xor(&box->mailbox.tail, words[1]);
	atomic_fetch_xor(&box->mailbox.base, words[2]);
	for (size_t at = sizeof(words); at + 2 < size; at += 2 + LINE) {
		const size_t line = (size_t) (data[at] | data[at + 1] << 8) % (sizeof(box->ring) / LINE);

		for (size_t i = 0; i < LINE && at + 2 + i < size; i++) {
			box->ring[line * LINE + i] ^= data[at + 2 + i];
		}
	}
}

static void check_item(const struct box *box, const struct mms_mailbox_item *item)
{
	const char *start = (const char *) box->ring;
	const char *end = start + sizeof(box->ring);

	check(item->key.ptr >= start && item->key.ptr < end && item->key.len != 0);
	check(item->key.len <= (size_t) (end - item->key.ptr));
	check(item->record.ptr >= start && item->record.ptr < end && item->record.len >= MMS_RECORD_HEADER_SIZE);
	check(item->record.len <= (size_t) (end - item->record.ptr));
	check(item->kind == MMS_PARCEL_PUT || item->kind == MMS_PARCEL_TOUCH);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const unsigned char header[MMS_RECORD_HEADER_SIZE] = { 0 };
	const struct mms_parcel parcel = { .kind = MMS_PARCEL_PUT, .key = { "key", 3 }, .header = header };
	struct box *box = aligned_alloc(64, sizeof(*box));
	struct mms_mailbox_item item;
	struct mms_ticket ticket;
	uint64_t position;
	uint64_t tail;
	uint8_t epoch;
	size_t steps = 0;

	check(box != NULL);
	memset(box, 0, sizeof(*box));
	check(mms_mailbox_init(&box->mailbox, box->ring, sizeof(box->ring), NULL) == MMS_OK);
	fill(box, &parcel, mms_mailbox_take_over(&box->mailbox));
	damage(box, data, size);
	epoch = mms_mailbox_take_over(&box->mailbox);
	tail = mms_mailbox_tail(&box->mailbox);
	position = tail;
	while (mms_mailbox_peek(&box->mailbox, position, &item) == 1) {
		check_item(box, &item);
		check(++steps <= STEPS_MAX);
		position = item.next;
	}
	check(mms_mailbox_used(&box->mailbox) <= sizeof(box->ring));
	/* A producer comes by, and the consumer skips to head: all is well again. */
	if (mms_mailbox_push(&box->mailbox, &parcel, (struct mms_mono){ 1 }, &ticket)) {
		mms_mailbox_settle(&box->mailbox, &ticket, 1);
	}
	check(mms_mailbox_advance(&box->mailbox, epoch, tail, mms_mailbox_head(&box->mailbox), 0));
	check(mms_mailbox_push(&box->mailbox, &parcel, (struct mms_mono){ 1 }, &ticket));
	check(mms_mailbox_peek(&box->mailbox, mms_mailbox_tail(&box->mailbox), &item) == 1);
	check_item(box, &item);
	free(box);
	return 0;
}
