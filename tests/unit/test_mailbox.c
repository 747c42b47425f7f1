/* Mailbox: what goes in comes out, whole and in order; limits, settling, fencing, damage, sleeping and waking. */
#include "parcels.h"

#define SIZE MMS_MAILBOX_MIN_SIZE
#define POSITION_MASK ((UINT64_C(1) << 56) - 1)

/* Passes everything up to head; returns the number of entries. */
static uint64_t pass_all(struct mms_mailbox_sh *mailbox, uint8_t epoch)
{
	const uint64_t tail = mms_mailbox_tail(mailbox);
	struct mms_mailbox_item item;
	uint64_t position = tail;
	uint64_t count = 0;

	while (mms_mailbox_peek(mailbox, position, &item) == 1) {
		position = item.next;
		count++;
	}
	assert_true(mms_mailbox_advance(mailbox, epoch, tail, position, count));
	return count;
}

static uint64_t push_until_full(struct mms_mailbox_sh *mailbox, uint64_t first, size_t len)
{
	uint64_t number = first;

	while (push_number(mailbox, number, len, NULL)) {
		number++;
	}
	return number;
}

static void what_is_pushed_is_seen_unchanged(void **state)
{
	struct mms_mailbox_sh *mailbox = mailbox_of(SIZE);
	const struct mms_mono now = { 123456 };
	struct mms_mailbox_item item;
	struct mms_ticket ticket;
	struct parcel parcel;

	(void) state;
	assert_end(mailbox, mms_mailbox_tail(mailbox));
	parcel_fill(&parcel, 7, 42, 1000);
	assert_true(mms_mailbox_push(mailbox, &parcel.parcel, now, &ticket));
	assert_true(ticket.valid);
	assert_int_equal(mms_mailbox_peek(mailbox, mms_mailbox_tail(mailbox), &item), 1);
	assert_int_equal(item.kind, MMS_PARCEL_PUT);
	assert_int_equal(item.key.len, parcel.parcel.key.len);
	assert_memory_equal(item.key.ptr, parcel.key, item.key.len);
	assert_int_equal(item.record.len, MMS_RECORD_HEADER_SIZE + 1000);
	assert_memory_equal(item.record.ptr, parcel.header, MMS_RECORD_HEADER_SIZE);
	assert_memory_equal(item.record.ptr + MMS_RECORD_HEADER_SIZE, parcel.payload, 1000);
	assert_int_equal(item.ttl_ms, parcel.parcel.ttl_ms);
	assert_int_equal(item.pushed_at.us, now.us);
	assert_true(item.have_mask == PARCEL_MASK);
	assert_false(item.settled);
	assert_int_equal(item.next, mms_mailbox_head(mailbox));
	assert_end(mailbox, item.next);
	mailbox_unmap(mailbox);
}

static void a_touch_is_a_header_alone(void **state)
{
	struct mms_mailbox_sh *mailbox = mailbox_of(SIZE);
	struct mms_mailbox_item item;
	struct parcel parcel;

	(void) state;
	parcel_fill(&parcel, 1, 1, 0);
	parcel.parcel.kind = MMS_PARCEL_TOUCH;
	parcel.parcel.settled = true;
	assert_true(mms_mailbox_push(mailbox, &parcel.parcel, mms_clock_mono(), NULL));
	assert_int_equal(mms_mailbox_peek(mailbox, mms_mailbox_tail(mailbox), &item), 1);
	assert_int_equal(item.kind, MMS_PARCEL_TOUCH);
	assert_int_equal(item.record.len, MMS_RECORD_HEADER_SIZE);
	assert_true(item.settled);
	mailbox_unmap(mailbox);
}

static void malformed_parcels_are_refused(void **state)
{
	struct mms_mailbox_sh *mailbox = mailbox_of(SIZE);
	struct mms_ticket ticket = { 0, true };
	static char long_key[MMS_KEY_MAX + 1];
	struct parcel parcel;

	(void) state;
	parcel_fill(&parcel, 1, 1, 10);
	parcel.parcel.kind = MMS_PARCEL_TOUCH;
	assert_false(mms_mailbox_push(mailbox, &parcel.parcel, mms_clock_mono(), &ticket));
	assert_false(ticket.valid);
	parcel.parcel.kind = (enum mms_parcel_kind) 3;
	assert_false(mms_mailbox_push(mailbox, &parcel.parcel, mms_clock_mono(), &ticket));
	parcel.parcel.kind = MMS_PARCEL_PUT;
	parcel.parcel.key.len = 0;
	assert_false(mms_mailbox_push(mailbox, &parcel.parcel, mms_clock_mono(), &ticket));
	parcel.parcel.key.ptr = long_key;
	parcel.parcel.key.len = sizeof(long_key);
	assert_false(mms_mailbox_push(mailbox, &parcel.parcel, mms_clock_mono(), &ticket));
	parcel.parcel.key.len = MMS_KEY_MAX;
	parcel.parcel.payload.len = SIZE_MAX;
	assert_false(mms_mailbox_push(mailbox, &parcel.parcel, mms_clock_mono(), &ticket));
	parcel.parcel.payload.len = 10;
	assert_true(mms_mailbox_push(mailbox, &parcel.parcel, mms_clock_mono(), &ticket));
	mailbox_unmap(mailbox);
}

static void entries_up_to_a_quarter_of_the_ring_are_taken(void **state)
{
	struct mms_mailbox_sh *mailbox = mailbox_of(SIZE);
	const size_t fits = SIZE / 4 - 64 - MMS_RECORD_HEADER_SIZE - strlen("key:0:1");
	uint64_t position;

	(void) state;
	assert_int_equal(mms_mailbox_entry_max(mailbox), SIZE / 4);
	assert_false(push_number(mailbox, 1, fits + 1, NULL));
	assert_true(push_number(mailbox, 1, fits, NULL));
	position = mms_mailbox_tail(mailbox);
	assert_next_is(mailbox, &position, 1);
	mailbox_unmap(mailbox);
}

static void a_full_ring_refuses_until_something_is_passed(void **state)
{
	struct mms_mailbox_sh *mailbox = mailbox_of(SIZE);
	const uint8_t epoch = mms_mailbox_take_over(mailbox);
	const uint64_t end = push_until_full(mailbox, 10, 1000);
	uint64_t position = mms_mailbox_tail(mailbox);
	const uint64_t first = position;

	(void) state;
	assert_int_equal(end - 10, SIZE / 1152);
	assert_int_equal(mms_mailbox_entries(mailbox), end - 10);
	assert_next_is(mailbox, &position, 10);
	assert_next_is(mailbox, &position, 11);
	assert_true(mms_mailbox_advance(mailbox, epoch, first, position, 2));
	assert_true(push_number(mailbox, end, 1000, NULL));
	for (uint64_t number = 12; number <= end; number++) {
		assert_next_is(mailbox, &position, number);
	}
	assert_end(mailbox, position);
	mailbox_unmap(mailbox);
}

static void an_empty_ring_begins_at_its_start_and_is_all_usable(void **state)
{
	struct mms_mailbox_sh *mailbox = mailbox_of(SIZE);
	const uint8_t epoch = mms_mailbox_take_over(mailbox);
	struct mms_mailbox_item item;
	uint64_t end;

	(void) state;
	for (uint64_t number = 1; number < 1000; number++) {
		assert_true(push_number(mailbox, number, 500, NULL));
		assert_int_equal(mms_mailbox_peek(mailbox, mms_mailbox_tail(mailbox), &item), 1);
		assert_ptr_equal(item.key.ptr, (char *) mailbox + RING_OFFSET + 64);
		assert_int_equal(pass_all(mailbox, epoch), 1);
	}
	end = push_until_full(mailbox, 0, 1000);
	assert_int_equal(end, SIZE / 1152);
	mailbox_unmap(mailbox);
}

/* A queue beside the ring says what must come out. Refusals are right only when entry and pad may not fit. */
static void random_pushes_come_out_in_order(uint64_t start, uint64_t seed)
{
	struct mms_mailbox_sh *mailbox = mailbox_of(SIZE);
	const uint8_t epoch = mms_mailbox_take_over(mailbox);
	uint64_t next = 0;
	uint64_t expected = 0;

	assert_true(mms_mailbox_advance(mailbox, epoch, 0, start, 0));
	atomic_store(&mailbox->head, start);
	for (int step = 0; step < 30000; step++) {
		const uint64_t limit = random_below(&seed, 50) == 0 ? SIZE / 4 - 200 : 1500;
		const size_t len = (size_t) random_below(&seed, limit);

		if (push_number(mailbox, next, len, NULL)) {
			next++;
		} else {
			assert_true(mms_mailbox_used(mailbox) + 2 * (len + 256) > SIZE);
		}
		assert_int_equal(mms_mailbox_entries(mailbox), next - expected);
		while (random_below(&seed, 3) == 0 && expected < next) {
			const uint64_t tail = mms_mailbox_tail(mailbox);
			uint64_t position = tail;
			uint64_t count = 0;

			for (; expected < next && random_below(&seed, 4) != 0; count++) {
				assert_next_is(mailbox, &position, expected++);
			}
			assert_true(mms_mailbox_advance(mailbox, epoch, tail, position, count));
		}
	}
	assert_int_equal(pass_all(mailbox, epoch), next - expected);
	assert_int_equal(mms_mailbox_used(mailbox), 0);
	mailbox_unmap(mailbox);
}

static void entries_of_random_sizes_come_out_in_order(void **state)
{
	(void) state;
	random_pushes_come_out_in_order(0, random_seed("from 0"));
}

static void positions_may_come_round(void **state)
{
	(void) state;
	random_pushes_come_out_in_order(POSITION_MASK + 1 - SIZE / 2, random_seed("from 2^56"));
}

static void distances_have_a_sign(void **state)
{
	(void) state;
	assert_int_equal(mms_mailbox_distance(64, 192), 128);
	assert_int_equal(mms_mailbox_distance(POSITION_MASK - 63, 64), 128);
	assert_int_equal(mms_mailbox_distance(64, POSITION_MASK - 63), -128);
	assert_int_equal(mms_mailbox_distance(64, 64), 0);
}

static void settling_marks_the_own_entry_only(void **state)
{
	struct mms_mailbox_sh *mailbox = mailbox_of(SIZE);
	uint64_t position = mms_mailbox_tail(mailbox);
	struct mms_mailbox_item item;
	struct mms_ticket tickets[3];

	(void) state;
	for (uint64_t i = 0; i < 3; i++) {
		assert_true(push_number(mailbox, i, 100, &tickets[i]));
	}
	mms_mailbox_settle(mailbox, &tickets[1], 6);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(mms_mailbox_peek(mailbox, position, &item), 1);
		assert_true(item.have_mask == (i == 1 ? PARCEL_MASK | 6 : PARCEL_MASK));
		assert_int_equal(item.settled, i == 1);
		position = item.next;
	}
	mailbox_unmap(mailbox);
}

static void settling_what_has_been_passed_does_no_harm(void **state)
{
	struct mms_mailbox_sh *mailbox = mailbox_of(SIZE);
	const uint8_t epoch = mms_mailbox_take_over(mailbox);
	const struct mms_ticket invalid = { 0, false };
	struct mms_ticket old;
	uint64_t position;
	uint64_t end;

	(void) state;
	assert_true(push_number(mailbox, 1, 100, &old));
	assert_int_equal(pass_all(mailbox, epoch), 1);
	mms_mailbox_settle(mailbox, &old, 2);
	end = push_until_full(mailbox, 2, 333);
	mms_mailbox_settle(mailbox, &old, 2);
	mms_mailbox_settle(mailbox, &invalid, 2);
	position = mms_mailbox_tail(mailbox);
	for (uint64_t number = 2; number < end; number++) {
		struct mms_mailbox_item item;

		assert_int_equal(mms_mailbox_peek(mailbox, position, &item), 1);
		assert_false(item.settled);
		assert_true(item.have_mask == PARCEL_MASK);
		assert_next_is(mailbox, &position, number);
	}
	mailbox_unmap(mailbox);
}

/* A visitor's payload may look like anything, also like the head of an entry that stood there before. */
static void settling_what_has_been_passed_is_not_fooled_by_payloads(void **state)
{
	struct mms_mailbox_sh *mailbox = mailbox_of(SIZE);
	const uint8_t epoch = mms_mailbox_take_over(mailbox);
	struct mms_mailbox_item item;
	struct mms_ticket old;
	uint64_t position;
	struct parcel parcel;

	(void) state;
	assert_true(push_number(mailbox, 0, 100, NULL));
	assert_true(push_number(mailbox, 1, 100, &old));
	assert_true(push_number(mailbox, 2, 15000, NULL));
	assert_true(push_number(mailbox, 3, 15000, NULL)); /* so that its place is the middle of the ring begun anew */
	assert_int_equal(pass_all(mailbox, epoch), 4);
	parcel_fill(&parcel, 0, 10, 10000);
	assert_int_equal(parcel.parcel.key.len, 8); /* the payload is aligned */
	for (size_t i = 0; i < 10000; i += sizeof(old.position)) {
		memcpy(parcel.payload + i, &old.position, sizeof(old.position));
	}
	while (mms_mailbox_push(mailbox, &parcel.parcel, mms_clock_mono(), NULL)) {
	}
	mms_mailbox_settle(mailbox, &old, UINT64_MAX);
	for (position = mms_mailbox_tail(mailbox); mms_mailbox_peek(mailbox, position, &item) == 1; position = item.next) {
		assert_memory_equal(item.record.ptr + MMS_RECORD_HEADER_SIZE, parcel.payload, 10000);
	}
	mailbox_unmap(mailbox);
}

static void a_successor_fences_off_the_consumer_before(void **state)
{
	struct mms_mailbox_sh *mailbox = mailbox_of(SIZE);
	const uint8_t first = mms_mailbox_take_over(mailbox);
	const uint64_t tail = mms_mailbox_tail(mailbox);
	uint64_t position = tail;
	uint8_t second;

	(void) state;
	assert_true(push_number(mailbox, 1, 100, NULL));
	assert_next_is(mailbox, &position, 1);
	assert_true(mms_mailbox_owned(mailbox, first));
	second = mms_mailbox_take_over(mailbox);
	assert_false(mms_mailbox_owned(mailbox, first));
	assert_true(mms_mailbox_owned(mailbox, second));
	assert_int_equal(mms_mailbox_tail(mailbox), tail);
	assert_false(mms_mailbox_advance(mailbox, first, tail, position, 1));
	assert_int_equal(mms_mailbox_tail(mailbox), tail);
	assert_true(mms_mailbox_advance(mailbox, second, tail, position, 1));
	assert_false(mms_mailbox_advance(mailbox, second, tail, position, 1));
	mailbox_unmap(mailbox);
}

static void epochs_come_round_without_moving_the_tail(void **state)
{
	struct mms_mailbox_sh *mailbox = mailbox_of(SIZE);
	uint8_t epoch = mms_mailbox_take_over(mailbox);

	(void) state;
	assert_true(push_number(mailbox, 1, 100, NULL));
	assert_int_equal(pass_all(mailbox, epoch), 1);
	for (int i = 0; i < 1000; i++) {
		const uint8_t next = mms_mailbox_take_over(mailbox);

		assert_int_equal(next, (uint8_t) (epoch + 1));
		assert_int_equal(mms_mailbox_tail(mailbox), mms_mailbox_head(mailbox));
		epoch = next;
	}
	mailbox_unmap(mailbox);
}

static void one_producer_wakes_a_sleeping_consumer(void **state)
{
	struct mms_mailbox_sh *mailbox = mailbox_of(SIZE);
	const uint64_t seen = mms_mailbox_head(mailbox);

	(void) state;
	assert_false(mms_mailbox_must_wake(mailbox));
	assert_true(mms_mailbox_fall_asleep(mailbox, seen));
	assert_true(push_number(mailbox, 1, 1, NULL));
	assert_true(mms_mailbox_must_wake(mailbox));
	assert_false(mms_mailbox_must_wake(mailbox));
	assert_false(mms_mailbox_fall_asleep(mailbox, seen));
	assert_true(mms_mailbox_must_wake(mailbox)); /* needless, harmless */
	assert_true(mms_mailbox_fall_asleep(mailbox, mms_mailbox_head(mailbox)));
	mms_mailbox_stay_awake(mailbox);
	assert_false(mms_mailbox_must_wake(mailbox));
	mailbox_unmap(mailbox);
}

static void damage_is_met_with_minus_one(void **state)
{
	struct mms_mailbox_sh *mailbox = mailbox_of(SIZE);
	const uint8_t epoch = mms_mailbox_take_over(mailbox);
	const uint64_t heads[] = { 1, 63, 64, SIZE + 64, POSITION_MASK, 8 };
	struct mms_mailbox_item item;

	(void) state;
	assert_true(push_number(mailbox, 1, 100, NULL));
	memset((char *) mailbox + RING_OFFSET, 0xff, 64);
	assert_int_equal(mms_mailbox_peek(mailbox, mms_mailbox_tail(mailbox), &item), -1);
	assert_true(mms_mailbox_advance(mailbox, epoch, mms_mailbox_tail(mailbox), mms_mailbox_head(mailbox), 1));
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		uint64_t position = mms_mailbox_tail(mailbox);

		assert_true(push_number(mailbox, i, 100, NULL));
		atomic_store(&mailbox->head, (position + heads[i]) & POSITION_MASK);
		assert_int_equal(mms_mailbox_peek(mailbox, position, &item), -1);
		push_number(mailbox, i, 100, NULL);
		/* The consumer skips to head, and all is well again. */
		assert_true(mms_mailbox_advance(mailbox, epoch, position, mms_mailbox_head(mailbox), 0));
		assert_true(push_number(mailbox, i, 100, NULL));
		position = mms_mailbox_tail(mailbox);
		assert_next_is(mailbox, &position, i);
		assert_int_equal(pass_all(mailbox, epoch), 1);
	}
	mailbox_unmap(mailbox);
}

/* Every single field of an entry, set to values that it can't have. */
static void no_field_of_an_entry_is_believed(void **state)
{
	static const uint64_t values[] = { 0, 1, 3, 63, 64, 128, 4096, SIZE, SIZE * 2, UINT32_MAX, UINT64_MAX, 1u << 31 };
	struct mms_mailbox_sh *mailbox = mailbox_of(SIZE);
	const char *start = (char *) mailbox + RING_OFFSET;
	unsigned char *field = (unsigned char *) mailbox + RING_OFFSET;

	(void) state;
	assert_true(push_number(mailbox, 1, 100, NULL));
	for (size_t offset = 0; offset < 64; offset += 4) {
		for (size_t value = 0; value < sizeof(values) / sizeof(values[0]); value++) {
			unsigned char saved[8];
			struct mms_mailbox_item item;
			const size_t width = offset <= 56 && offset % 8 == 0 ? 8 : 4;

			memcpy(saved, field + offset, width);
			memcpy(field + offset, &values[value], width);
			if (mms_mailbox_peek(mailbox, mms_mailbox_tail(mailbox), &item) == 1) {
				assert_true(item.key.ptr >= start && item.record.ptr + item.record.len <= start + SIZE);
				assert_int_equal(item.next, mms_mailbox_head(mailbox));
			}
			memcpy(field + offset, saved, width);
		}
	}
	mailbox_unmap(mailbox);
}

static void a_ring_that_will_not_do_is_refused(void **state)
{
	struct mms_mailbox_sh *mailbox = shared_pages(SIZE * 4);
	char *ring = (char *) mailbox + RING_OFFSET;
	struct mms_error error;

	(void) state;
	assert_int_equal(mms_mailbox_init(mailbox, ring, SIZE - 1, &error), MMS_ERR_CONFIG);
	assert_int_equal(mms_mailbox_init(mailbox, ring + 1, SIZE, &error), MMS_ERR_CONFIG);
	assert_int_equal(mms_mailbox_init(mailbox, ring, SIZE * 2 - 1, &error), MMS_OK);
	assert_int_equal(mailbox->size, SIZE);
	munmap(mailbox, SIZE * 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_pushed_is_seen_unchanged),
		cmocka_unit_test(a_touch_is_a_header_alone),
		cmocka_unit_test(malformed_parcels_are_refused),
		cmocka_unit_test(entries_up_to_a_quarter_of_the_ring_are_taken),
		cmocka_unit_test(a_full_ring_refuses_until_something_is_passed),
		cmocka_unit_test(an_empty_ring_begins_at_its_start_and_is_all_usable),
		cmocka_unit_test(entries_of_random_sizes_come_out_in_order),
		cmocka_unit_test(positions_may_come_round),
		cmocka_unit_test(distances_have_a_sign),
		cmocka_unit_test(settling_marks_the_own_entry_only),
		cmocka_unit_test(settling_what_has_been_passed_does_no_harm),
		cmocka_unit_test(settling_what_has_been_passed_is_not_fooled_by_payloads),
		cmocka_unit_test(a_successor_fences_off_the_consumer_before),
		cmocka_unit_test(epochs_come_round_without_moving_the_tail),
		cmocka_unit_test(one_producer_wakes_a_sleeping_consumer),
		cmocka_unit_test(damage_is_met_with_minus_one),
		cmocka_unit_test(no_field_of_an_entry_is_believed),
		cmocka_unit_test(a_ring_that_will_not_do_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
