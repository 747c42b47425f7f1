/* The record: its bytes for ever, its verdicts on damage, and the merge order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mms_record.h"

#define KEY "PHPSESSION:4f1c"
#define PAYLOAD "cart|a:1:{i:7;i:2;}"

/* Golden bytes of format 1, made by another program from docs/protocol.md. They never change. */
static const char golden_record[] =
	"\x4d\x4d\x53\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	"\x01\x8b\xcf\xe5\x68\x00\x00\x07\xde\xad\xbe\xef\x01\x23\x45\x67"
	"\x00\x00\x00\x00\x00\x00\x00\x2a\x01\x8b\xcf\xe5\x67\xff\x00\x00"
	"\x11\x22\x33\x44\x55\x66\x77\x88\x00\x00\x00\x00\x00\x00\x00\x29"
	"\x00\x00\x05\xa0\x00\x00\x00\x13\xa2\x01\xb2\x4b\x19\x35\x3f\x31"
	"\x63\x61\x72\x74\x7c\x61\x3a\x31\x3a\x7b\x69\x3a\x37\x3b\x69\x3a"
	"\x32\x3b\x7d";

static const char golden_tombstone[] =
	"\x4d\x4d\x53\x01\x03\x00\x00\x00\x01\x8b\xcf\xe5\x67\x00\x00\x01"
	"\x01\x8b\xcf\xe5\x69\x00\xff\xff\xde\xad\xbe\xef\x01\x23\x45\x67"
	"\x00\x00\xff\xff\xff\xff\xff\xff\x01\x8b\xcf\xe5\x68\x00\x00\x07"
	"\xde\xad\xbe\xef\x01\x23\x45\x67\x00\x00\x00\x00\x00\x00\x00\x2a"
	"\x00\x27\x8d\x00\x00\x00\x00\x00\x00\x00\x00\x00\x16\xcc\xdc\xfd";

static const struct mms_record_header live_header = {
	.version = {.hlc = UINT64_C(0x018bcfe568000007), .writer = UINT64_C(0xdeadbeef01234567), .sequence = 42},
	.base_hlc = UINT64_C(0x018bcfe567ff0000), .base_writer = UINT64_C(0x1122334455667788), .base_sequence = 41,
	.lifetime_s = 1440, .payload_len = sizeof(PAYLOAD) - 1, .payload_crc = 0xa201b24b};

static const struct mms_record_header tombstone_header = {
	.version = {.incarnation = UINT64_C(0x018bcfe567000001), .hlc = UINT64_C(0x018bcfe56900ffff),
		.writer = UINT64_C(0xdeadbeef01234567), .sequence = (UINT64_C(1) << 48) - 1, .tombstone = true, .blind = true},
	.base_hlc = UINT64_C(0x018bcfe568000007), .base_writer = UINT64_C(0xdeadbeef01234567), .base_sequence = 42,
	.lifetime_s = 2592000};

static struct mms_slice key_slice(void)
{
	return mms_slice_of(KEY);
}

static struct mms_slice golden_slice(void)
{
	return (struct mms_slice) {golden_record, sizeof(golden_record) - 1};
}

static void assert_same_header(const struct mms_record_header *a, const struct mms_record_header *b)
{
	assert_int_equal(mms_version_compare(&a->version, &b->version), 0);
	assert_true(a->base_hlc == b->base_hlc);
	assert_true(a->base_writer == b->base_writer);
	assert_true(a->base_sequence == b->base_sequence);
	assert_int_equal(a->lifetime_s, b->lifetime_s);
	assert_int_equal(a->payload_len, b->payload_len);
	assert_int_equal(a->payload_crc, b->payload_crc);
}

static enum mms_record_verdict verdict_on(const void *bytes, size_t len)
{
	struct mms_record_header header;

	return mms_record_decode((struct mms_slice) {bytes, len}, key_slice(), &header);
}

static enum mms_record_verdict verdict_on_whole(const void *bytes, size_t len)
{
	struct mms_record_header header;
	struct mms_slice payload;

	return mms_record_decode_whole((struct mms_slice) {bytes, len}, key_slice(), &header, &payload);
}

/* Puts the right checksum on 80 changed bytes. */
static void sign(char *header)
{
	const uint32_t crc = mms_crc32c(mms_crc32c(0, KEY, sizeof(KEY) - 1), header, 76);

	for (int index = 0; index < 4; index++) {
		header[76 + index] = (char) (unsigned char) (crc >> (24 - 8 * index));
	}
}

static void encoding_gives_the_golden_bytes(void **state)
{
	struct mms_record_header header = live_header;
	unsigned char out[MMS_RECORD_HEADER_SIZE + 2];

	(void) state;
	header.payload_len = header.payload_crc = 0;
	mms_record_describe(&header, mms_slice_of(PAYLOAD));
	assert_int_equal(header.payload_len, live_header.payload_len);
	assert_int_equal(header.payload_crc, live_header.payload_crc);
	out[0] = out[sizeof(out) - 1] = 0x5a;
	mms_record_encode(&header, key_slice(), out + 1);
	assert_memory_equal(out + 1, golden_record, MMS_RECORD_HEADER_SIZE);
	assert_int_equal(out[0], 0x5a);
	assert_int_equal(out[sizeof(out) - 1], 0x5a);
	mms_record_encode(&tombstone_header, key_slice(), out + 1);
	assert_memory_equal(out + 1, golden_tombstone, MMS_RECORD_HEADER_SIZE);
}

static void golden_bytes_decode(void **state)
{
	struct mms_record_header header;
	struct mms_slice payload;

	(void) state;
	assert_int_equal(mms_record_decode_whole(golden_slice(), key_slice(), &header, &payload), MMS_RECORD_GOOD);
	assert_same_header(&header, &live_header);
	assert_ptr_equal(payload.ptr, golden_record + MMS_RECORD_HEADER_SIZE);
	assert_int_equal(payload.len, sizeof(PAYLOAD) - 1);
	assert_false(mms_record_is_tombstone((const unsigned char *) golden_record));

	const struct mms_slice tombstone = {golden_tombstone, sizeof(golden_tombstone) - 1};

	assert_int_equal(mms_record_decode_whole(tombstone, key_slice(), &header, &payload), MMS_RECORD_GOOD);
	assert_same_header(&header, &tombstone_header);
	assert_true(header.version.tombstone && header.version.blind);
	assert_int_equal(payload.len, 0);
	assert_true(mms_record_is_tombstone((const unsigned char *) golden_tombstone));
}

static void a_first_version_has_no_base_and_the_first_incarnation(void **state)
{
	const struct mms_record_header first = {.version = {.hlc = 5, .writer = 6, .sequence = 7, .blind = true}, .lifetime_s = 1};
	struct mms_record_header others[] = {first, first, first, first, first};
	unsigned char bytes[MMS_RECORD_HEADER_SIZE];

	(void) state;
	mms_record_encode(&first, key_slice(), bytes);
	assert_true(mms_record_is_first(bytes));
	others[0].version.incarnation = 1;
	others[1].version.tombstone = true;
	others[2].base_hlc = 1;
	others[3].base_writer = 1;
	others[4].base_sequence = 1;
	for (unsigned i = 0; i < 5; i++) {
		mms_record_encode(&others[i], key_slice(), bytes);
		assert_false(mms_record_is_first(bytes));
	}
}

static void a_header_alone_decodes_and_is_no_whole_record(void **state)
{
	(void) state;
	assert_int_equal(verdict_on(golden_record, MMS_RECORD_HEADER_SIZE), MMS_RECORD_GOOD);
	assert_int_equal(verdict_on(golden_record, sizeof(golden_record) - 1), MMS_RECORD_GOOD);
	assert_int_equal(verdict_on_whole(golden_record, MMS_RECORD_HEADER_SIZE), MMS_RECORD_DAMAGED);
}

static void any_alignment_will_do(void **state)
{
	char buffer[sizeof(golden_record) + 16];

	(void) state;
	for (size_t shift = 0; shift < 16; shift++) {
		memcpy(buffer + shift, golden_record, sizeof(golden_record) - 1);
		assert_int_equal(verdict_on_whole(buffer + shift, sizeof(golden_record) - 1), MMS_RECORD_GOOD);
	}
}

static void every_flipped_bit_is_damage(void **state)
{
	char bytes[sizeof(golden_record) - 1];

	(void) state;
	memcpy(bytes, golden_record, sizeof(bytes));
	for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
		const bool in_header = bit < 8 * MMS_RECORD_HEADER_SIZE;

		bytes[bit / 8] = (char) (bytes[bit / 8] ^ (1 << bit % 8));
		/* magic and format included: they are told from a stranger's by the checksum */
		assert_int_equal(verdict_on(bytes, sizeof(bytes)), in_header ? MMS_RECORD_DAMAGED : MMS_RECORD_GOOD);
		assert_int_equal(verdict_on_whole(bytes, sizeof(bytes)), MMS_RECORD_DAMAGED);
		bytes[bit / 8] = (char) (bytes[bit / 8] ^ (1 << bit % 8));
	}
	assert_int_equal(verdict_on_whole(bytes, sizeof(bytes)), MMS_RECORD_GOOD);
}

static void every_truncation_is_damage(void **state)
{
	(void) state;
	for (size_t len = 0; len < sizeof(golden_record) - 1; len++) {
		/* on the heap, so that a read beyond the end is seen */
		char *bytes = malloc(len == 0 ? 1 : len);

		assert_non_null(bytes);
		memcpy(bytes, golden_record, len);
		assert_int_equal(verdict_on_whole(bytes, len), MMS_RECORD_DAMAGED);
		assert_int_equal(verdict_on(bytes, len), len < MMS_RECORD_HEADER_SIZE ? MMS_RECORD_DAMAGED : MMS_RECORD_GOOD);
		free(bytes);
	}
	assert_int_equal(verdict_on(NULL, 0), MMS_RECORD_DAMAGED);
}

static void a_lying_length_is_damage(void **state)
{
	static const uint32_t lies[] = {0, 1, sizeof(PAYLOAD) - 2, sizeof(PAYLOAD), 0x7fffffff, UINT32_MAX};
	char bytes[sizeof(golden_record)];

	(void) state;
	for (size_t index = 0; index < sizeof(lies) / sizeof(lies[0]); index++) {
		struct mms_record_header header = live_header;

		memcpy(bytes, golden_record, sizeof(bytes));
		header.payload_len = lies[index];
		mms_record_encode(&header, key_slice(), (unsigned char *) bytes);
		assert_int_equal(verdict_on_whole(bytes, sizeof(golden_record) - 1), MMS_RECORD_DAMAGED);
	}
	/* a byte too many */
	memcpy(bytes, golden_record, sizeof(bytes));
	assert_int_equal(verdict_on_whole(bytes, sizeof(bytes)), MMS_RECORD_DAMAGED);
}

static void a_tombstone_with_a_payload_is_damage(void **state)
{
	char bytes[sizeof(golden_record) - 1];

	(void) state;
	memcpy(bytes, golden_record, sizeof(bytes));
	bytes[4] = 1;
	sign(bytes);
	assert_int_equal(verdict_on(bytes, sizeof(bytes)), MMS_RECORD_DAMAGED);
	assert_int_equal(verdict_on_whole(bytes, sizeof(bytes)), MMS_RECORD_DAMAGED);
	/* and one with bytes behind it */
	memcpy(bytes, golden_tombstone, sizeof(golden_tombstone) - 1);
	assert_int_equal(verdict_on_whole(bytes, sizeof(golden_tombstone)), MMS_RECORD_DAMAGED);
}

static void a_sequence_of_49_bits_is_damage(void **state)
{
	static const int offsets[] = {32, 56};
	char bytes[MMS_RECORD_HEADER_SIZE];

	(void) state;
	for (size_t index = 0; index < 2; index++) {
		memcpy(bytes, golden_record, sizeof(bytes));
		bytes[offsets[index] + 1] = 1;
		sign(bytes);
		assert_int_equal(verdict_on(bytes, sizeof(bytes)), MMS_RECORD_DAMAGED);
	}
}

static void a_record_under_another_key_does_not_pass(void **state)
{
	static const char *const keys[] = {"PHPSESSION:4f1d", "PHPSESSION:4f1", "PHPSESSION:4f1cc", "", "phpsession:4f1c"};
	struct mms_record_header header;
	struct mms_slice payload;

	(void) state;
	for (size_t index = 0; index < sizeof(keys) / sizeof(keys[0]); index++) {
		assert_int_equal(mms_record_decode_whole(golden_slice(), mms_slice_of(keys[index]), &header, &payload),
				MMS_RECORD_DAMAGED);
	}
}

static void what_is_not_ours_is_foreign(void **state)
{
	static const char *const strangers[] = {
		"x", "a:1:{s:4:\"cart\";i:7;}", "MMT", "MMS\x02", "mms\x01",
		"cart|a:1:{i:7;i:2;}cart|a:1:{i:7;i:2;}cart|a:1:{i:7;i:2;}cart|a:1:{i:7;i:2;}cart|a:1:{i:7;i:2;}",
		"MMX\x01 and much more than eighty bytes of text that nobody would take for one of our records, however long"};

	(void) state;
	for (size_t index = 0; index < sizeof(strangers) / sizeof(strangers[0]); index++) {
		assert_int_equal(verdict_on(strangers[index], strlen(strangers[index])), MMS_RECORD_FOREIGN);
		assert_int_equal(verdict_on_whole(strangers[index], strlen(strangers[index])), MMS_RECORD_FOREIGN);
	}
}

static void what_a_newer_release_wrote_is_foreign(void **state)
{
	static const struct { int offset; char value; } changes[] = {
		{3, 2}, {3, 0}, {3, 9}, {4, 4}, {4, 8}, {4, 16}, {4, 32}, {4, (char) 0x80}, {4, 1 | 16}, {0, 'N'}};
	char bytes[MMS_RECORD_HEADER_SIZE];

	(void) state;
	for (size_t index = 0; index < sizeof(changes) / sizeof(changes[0]); index++) {
		memcpy(bytes, golden_record, sizeof(bytes));
		bytes[changes[index].offset] = changes[index].value;
		sign(bytes);
		assert_int_equal(verdict_on(bytes, sizeof(bytes)), MMS_RECORD_FOREIGN);
	}
}

static void generations_are_of_blind_records_alone(void **state)
{
	struct mms_record_header header;
	char bytes[MMS_RECORD_HEADER_SIZE];

	(void) state;
	memcpy(bytes, golden_record, sizeof(bytes));
	memcpy(bytes + 4, "\2\1\2\3", 4);
	sign(bytes);
	assert_int_equal(mms_record_decode((struct mms_slice) {bytes, sizeof(bytes)}, key_slice(), &header), MMS_RECORD_GOOD);
	assert_int_equal(header.version.generation, 0x010203);
	for (size_t at = 5; at < 8; at++) {
		memcpy(bytes + 4, "\0\0\0\0", 4);
		bytes[at] = 1;
		sign(bytes);
		assert_int_equal(verdict_on(bytes, sizeof(bytes)), MMS_RECORD_DAMAGED);
	}
}

static uint64_t seed = 20240229;

static uint64_t next_random(void)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return seed >> 16 ^ seed << 40;
}

/* Small ranges, so that every field is equal often; now and then numbers that a double can't hold apart. */
static struct mms_version random_version(void)
{
	const uint64_t big = next_random() % 3 == 0 ? UINT64_MAX - 3 : 0;
	struct mms_version version = {
		.incarnation = big + next_random() % 3, .hlc = big + next_random() % 3, .writer = big + next_random() % 3,
		.sequence = (big >> 16) - (big != 0 ? 3 : 0) + next_random() % 3, .tombstone = next_random() % 3 == 0,
		.blind = next_random() % 3 == 0};

	version.generation = version.blind ? next_random() % 3 : 0;
	return version;
}

static void random_records_survive_encoding(void **state)
{
	(void) state;
	for (int count = 0; count < 20000; count++) {
		char bytes[MMS_RECORD_HEADER_SIZE + 200];
		const size_t len = next_random() % 200;
		struct mms_record_header header = {.version = random_version(), .base_hlc = next_random(),
			.base_writer = next_random(), .base_sequence = next_random() >> 16, .lifetime_s = (uint32_t) next_random()};
		struct mms_record_header decoded;
		struct mms_slice payload = {bytes + MMS_RECORD_HEADER_SIZE, header.version.tombstone ? 0 : len};
		const struct mms_slice key = {KEY, next_random() % sizeof(KEY)};

		for (size_t index = 0; index < payload.len; index++) {
			bytes[MMS_RECORD_HEADER_SIZE + index] = (char) next_random();
		}
		mms_record_describe(&header, payload);
		mms_record_encode(&header, key, (unsigned char *) bytes);

		const struct mms_slice whole = {bytes, MMS_RECORD_HEADER_SIZE + payload.len};

		assert_int_equal(mms_record_decode_whole(whole, key, &decoded, &payload), MMS_RECORD_GOOD);
		assert_same_header(&decoded, &header);
	}
}

/* The order as docs/protocol.md writes it down, with nothing clever about it. */
static int plain_compare(const struct mms_version *a, const struct mms_version *b)
{
	const uint64_t first[] = {a->incarnation, !a->blind, a->generation, a->tombstone, a->hlc, a->writer, a->sequence};
	const uint64_t second[] = {b->incarnation, !b->blind, b->generation, b->tombstone, b->hlc, b->writer, b->sequence};

	for (int index = 0; index < 7; index++) {
		if (first[index] < second[index]) {
			return -1;
		}
		if (first[index] > second[index]) {
			return 1;
		}
	}
	return 0;
}

static int sign_of(int number)
{
	return (number > 0) - (number < 0);
}

static struct mms_version merge(struct mms_version a, struct mms_version b)
{
	return mms_version_compare(&a, &b) >= 0 ? a : b;
}

static void assert_same_version(struct mms_version a, struct mms_version b)
{
	assert_int_equal(plain_compare(&a, &b), 0);
}

static void order_equals_the_plain_one(void **state)
{
	unsigned equal = 0;

	(void) state;
	for (int count = 0; count < 500000; count++) {
		const struct mms_version a = random_version();
		const struct mms_version b = random_version();

		assert_int_equal(sign_of(mms_version_compare(&a, &b)), plain_compare(&a, &b));
		equal += plain_compare(&a, &b) == 0;
	}
	assert_true(equal > 50);
}

static void order_is_total(void **state)
{
	(void) state;
	for (int count = 0; count < 300000; count++) {
		const struct mms_version a = random_version();
		const struct mms_version b = random_version();
		const struct mms_version c = random_version();

		assert_int_equal(mms_version_compare(&a, &a), 0);
		assert_int_equal(sign_of(mms_version_compare(&a, &b)), -sign_of(mms_version_compare(&b, &a)));
		if (mms_version_compare(&a, &b) <= 0 && mms_version_compare(&b, &c) <= 0) {
			assert_true(mms_version_compare(&a, &c) <= 0);
		}
	}
}

static void merge_is_commutative_associative_and_idempotent(void **state)
{
	(void) state;
	for (int count = 0; count < 300000; count++) {
		const struct mms_version a = random_version();
		const struct mms_version b = random_version();
		const struct mms_version c = random_version();

		assert_same_version(merge(a, a), a);
		assert_same_version(merge(a, b), merge(b, a));
		assert_same_version(merge(merge(a, b), c), merge(a, merge(b, c)));
		assert_same_version(merge(merge(a, b), b), merge(a, b));
	}
}

static void deliveries_in_any_order_any_number_of_times_end_alike(void **state)
{
	(void) state;
	for (int count = 0; count < 5000; count++) {
		struct mms_version versions[8];
		struct mms_version first, second;

		for (int index = 0; index < 8; index++) {
			versions[index] = random_version();
		}
		first = second = versions[0];
		for (int index = 0; index < 8; index++) {
			first = merge(first, versions[index]);
		}
		for (int index = 0; index < 100; index++) {
			second = merge(second, versions[next_random() % 8]);
		}
		for (int index = 7; index >= 0; index--) {
			second = merge(versions[index], second);
		}
		assert_same_version(first, second);
	}
}

static void each_part_of_the_version_outranks_all_behind_it(void **state)
{
	static const struct mms_version rising[] = {
		/* among blind ones, what is stored after a logout is of a newer generation */
		{.incarnation = 0, .hlc = 9, .writer = 9, .sequence = 9, .blind = true},
		{.incarnation = 0, .hlc = 8, .writer = 9, .sequence = 9, .tombstone = true, .blind = true},
		{.incarnation = 0, .hlc = 7, .writer = 9, .sequence = 9, .blind = true, .generation = 1},
		{.incarnation = 0, .hlc = 6, .writer = 9, .sequence = 9, .tombstone = true, .blind = true, .generation = 1},
		{.incarnation = 0, .hlc = 5, .writer = 9, .sequence = 9, .blind = true, .generation = MMS_GENERATION_MAX},
		{.incarnation = 0, .hlc = 1, .writer = 1, .sequence = 1},
		{.incarnation = 0, .hlc = 1, .writer = 1, .sequence = 2},
		{.incarnation = 0, .hlc = 1, .writer = 2, .sequence = 0},
		{.incarnation = 0, .hlc = 2, .writer = 0, .sequence = 0},
		/* a logout beats the later write of a request that was running when it came */
		{.incarnation = 0, .hlc = 1, .writer = 0, .sequence = 0, .tombstone = true},
		/* a new incarnation beats the tombstone that it was opened on, even blind */
		{.incarnation = 1, .hlc = 0, .writer = 0, .sequence = 0, .blind = true},
		{.incarnation = 1, .hlc = 0, .writer = 0, .sequence = 0},
		{.incarnation = UINT64_C(1) << 53, .hlc = 0, .writer = 0, .sequence = 0},
		{.incarnation = (UINT64_C(1) << 53) + 1, .hlc = 0, .writer = 0, .sequence = 0},
		{.incarnation = UINT64_MAX, .hlc = 0, .writer = 0, .sequence = 0}};
	const size_t count = sizeof(rising) / sizeof(rising[0]);

	(void) state;
	for (size_t a = 0; a < count; a++) {
		for (size_t b = 0; b < count; b++) {
			assert_int_equal(sign_of(mms_version_compare(&rising[a], &rising[b])), (a > b) - (a < b));
		}
	}
}

static void versions_read_well(void **state)
{
	struct mms_version version = {
		.hlc = UINT64_C(1234) << 16 | 5, .writer = 0xabcdef, .sequence = 17, .tombstone = true};
	char out[200];

	(void) state;
	mms_version_format(&version, out, sizeof(out));
	assert_string_equal(out, "1234.5/abcdef.17 tombstone");
	version.blind = true;
	version.incarnation = UINT64_C(1200) << 16 | 1;
	mms_version_format(&version, out, sizeof(out));
	assert_string_equal(out, "1234.5/abcdef.17 incarnation 1200.1 tombstone blind");
	mms_version_format(&version, out, 8);
	assert_string_equal(out, "1234.5/");
	memset(&version, 0xff, offsetof(struct mms_version, tombstone));
	mms_version_format(&version, out, sizeof(out));
	assert_string_equal(out, "281474976710655.65535/ffffffffffffffff.18446744073709551615 "
			"incarnation 281474976710655.65535 tombstone blind");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_first_version_has_no_base_and_the_first_incarnation),
		cmocka_unit_test(encoding_gives_the_golden_bytes),
		cmocka_unit_test(golden_bytes_decode),
		cmocka_unit_test(a_header_alone_decodes_and_is_no_whole_record),
		cmocka_unit_test(any_alignment_will_do),
		cmocka_unit_test(every_flipped_bit_is_damage),
		cmocka_unit_test(every_truncation_is_damage),
		cmocka_unit_test(a_lying_length_is_damage),
		cmocka_unit_test(a_tombstone_with_a_payload_is_damage),
		cmocka_unit_test(a_sequence_of_49_bits_is_damage),
		cmocka_unit_test(a_record_under_another_key_does_not_pass),
		cmocka_unit_test(what_is_not_ours_is_foreign),
		cmocka_unit_test(what_a_newer_release_wrote_is_foreign),
		cmocka_unit_test(generations_are_of_blind_records_alone),
		cmocka_unit_test(random_records_survive_encoding),
		cmocka_unit_test(order_equals_the_plain_one),
		cmocka_unit_test(order_is_total),
		cmocka_unit_test(merge_is_commutative_associative_and_idempotent),
		cmocka_unit_test(deliveries_in_any_order_any_number_of_times_end_alike),
		cmocka_unit_test(each_part_of_the_version_outranks_all_behind_it),
		cmocka_unit_test(versions_read_well),
	};

	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
