/* Base: error text, slices, random bytes, CRC-32C. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mms_base.h"

static void error_text_is_cut_at_its_end(void **state)
{
	struct mms_error error;
	char long_text[2 * sizeof(error.text)];

	(void) state;
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	mms_error_set(&error, "node %s: %d", "web2", 7);
	assert_string_equal(error.text, "node web2: 7");
	mms_error_set(&error, "%s", long_text);
	assert_int_equal(strlen(error.text), sizeof(error.text) - 1);
	mms_error_set(NULL, "nobody listens: %d", 1);
}

static void copied_text_is_printable_and_ends(void **state)
{
	char out[8];

	(void) state;
	mms_text_copy(out, sizeof(out), (struct mms_slice) {"a\n\0b\x7f\xc3", 6});
	assert_string_equal(out, "a??b??");
	mms_text_copy(out, sizeof(out), mms_slice_of("0123456789"));
	assert_string_equal(out, "0123456");
	mms_text_copy(out, sizeof(out), mms_slice_of(NULL));
	assert_string_equal(out, "");
	out[0] = 'x';
	mms_text_copy(out, 0, mms_slice_of("y"));
	assert_int_equal(out[0], 'x');
}

static void slice_of_nothing_is_empty(void **state)
{
	(void) state;
	assert_int_equal(mms_slice_of(NULL).len, 0);
	assert_int_equal(mms_slice_of("").len, 0);
	assert_int_equal(mms_slice_of("abc").len, 3);
}

static void parts_stay_within_their_slice(void **state)
{
	const struct mms_slice text = mms_slice_of("abcdef");
	struct mms_slice part = mms_slice_part(text, 2, 4);

	(void) state;
	assert_int_equal(part.len, 2);
	assert_memory_equal(part.ptr, "cd", 2);
	part = mms_slice_part(text, 4, 100);
	assert_int_equal(part.len, 2);
	assert_ptr_equal(mms_slice_part(text, 100, 200).ptr, text.ptr + 6);
	assert_int_equal(mms_slice_part(text, 100, 200).len, 0);
	assert_int_equal(mms_slice_part(text, 4, 2).len, 0);
	assert_int_equal(mms_slice_part(mms_slice_of(NULL), 1, 2).len, 0);
}

static void find_gives_the_first_or_the_length(void **state)
{
	(void) state;
	assert_int_equal(mms_slice_find(mms_slice_of("a:b:c"), ':'), 1);
	assert_int_equal(mms_slice_find(mms_slice_of("abc"), ':'), 3);
	assert_int_equal(mms_slice_find(mms_slice_of(NULL), ':'), 0);
}

static void words_are_compared_without_case(void **state)
{
	(void) state;
	assert_true(mms_slice_is(mms_slice_of("NeWest"), "newest"));
	assert_false(mms_slice_is(mms_slice_of("newest "), "newest"));
	assert_false(mms_slice_is(mms_slice_of("newes"), "newest"));
	assert_true(mms_slice_starts_with(mms_slice_of("TCP://x"), "tcp://"));
	assert_false(mms_slice_starts_with(mms_slice_of("tcp:/"), "tcp://"));
	/* '[' lies next to 'Z': no letter */
	assert_int_equal(mms_byte_lower('['), '[');
	assert_int_equal(mms_byte_lower('@'), '@');
	assert_int_equal(mms_byte_lower('Z'), 'z');
}

static void decimal_takes_digits_up_to_the_limit(void **state)
{
	uint64_t value = 99;

	(void) state;
	assert_true(mms_slice_decimal(mms_slice_of("0"), 0, &value));
	assert_int_equal(value, 0);
	assert_true(mms_slice_decimal(mms_slice_of("65535"), 65535, &value));
	assert_int_equal(value, 65535);
	assert_true(mms_slice_decimal(mms_slice_of("18446744073709551615"), UINT64_MAX, &value));
	assert_true(value == UINT64_MAX);
	value = 99;
	assert_false(mms_slice_decimal(mms_slice_of("18446744073709551616"), UINT64_MAX, &value));
	assert_false(mms_slice_decimal(mms_slice_of("99999999999999999999999"), UINT64_MAX, &value));
	assert_false(mms_slice_decimal(mms_slice_of("65536"), 65535, &value));
	assert_false(mms_slice_decimal(mms_slice_of("5"), 4, &value));
	assert_false(mms_slice_decimal(mms_slice_of(""), 10, &value));
	assert_false(mms_slice_decimal(mms_slice_of("-1"), 10, &value));
	assert_false(mms_slice_decimal(mms_slice_of("1 "), 10, &value));
	assert_false(mms_slice_decimal(mms_slice_of("1a"), 100, &value));
	assert_int_equal(value, 99);
}

static void equality_looks_at_every_byte(void **state)
{
	unsigned char a[32] = {0};
	unsigned char b[32] = {0};
	const struct mms_slice first = {(char *) a, sizeof(a)};
	const struct mms_slice second = {(char *) b, sizeof(b)};

	(void) state;
	assert_true(mms_slice_equal_constant_time(first, second));
	for (size_t index = 0; index < sizeof(b); index++) {
		b[index] = 0x80;
		assert_false(mms_slice_equal_constant_time(first, second));
		b[index] = 0;
	}
	assert_false(mms_slice_equal_constant_time(first, mms_slice_part(second, 0, 31)));
	assert_true(mms_slice_equal_constant_time(mms_slice_of(NULL), mms_slice_of("")));
}

static void random_bytes_fill_exactly_what_was_asked_for(void **state)
{
	unsigned char first[1002] = {0};
	unsigned char second[1002] = {0};
	unsigned untouched = 0;

	(void) state;
	first[0] = first[1001] = 0x5a;
	assert_int_equal(mms_random_bytes(first + 1, 1000), MMS_OK);
	assert_int_equal(mms_random_bytes(second + 1, 1000), MMS_OK);
	assert_int_equal(first[0], 0x5a);
	assert_int_equal(first[1001], 0x5a);
	assert_memory_not_equal(first + 1, second + 1, 1000);
	for (size_t index = 1; index <= 1000; index++) {
		untouched += first[index] == 0 && second[index] == 0;
	}
	/* 1 in 65536 bytes is zero twice. */
	assert_true(untouched < 5);
	assert_int_equal(mms_random_bytes(first, 0), MMS_OK);
	assert_int_equal(first[0], 0x5a);
}

/* Bit by bit, from the polynomial. */
static uint32_t plain_crc32c(uint32_t crc, const unsigned char *bytes, size_t len)
{
	crc = ~crc;
	for (size_t index = 0; index < len; index++) {
		crc ^= bytes[index];
		for (int bit = 0; bit < 8; bit++) {
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
		}
	}
	return ~crc;
}

static void crc32c_gives_the_published_values(void **state)
{
	unsigned char bytes[32];

	(void) state;
	assert_int_equal(mms_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(mms_crc32c(0, "", 0), 0);
	assert_int_equal(mms_crc32c(0, NULL, 0), 0);
	memset(bytes, 0, sizeof(bytes)); /* RFC 3720, B.4 */
	assert_int_equal(mms_crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(mms_crc32c(0, bytes, 32), 0x62a8ab43);
	for (size_t index = 0; index < 32; index++) {
		bytes[index] = (unsigned char) index;
	}
	assert_int_equal(mms_crc32c(0, bytes, 32), 0x46dd794e);
}

static void crc32c_of_any_alignment_and_split_equals_the_plain_one(void **state)
{
	unsigned char bytes[700];

	(void) state;
	assert_int_equal(mms_random_bytes(bytes, sizeof(bytes)), MMS_OK);
	for (size_t from = 0; from < 20; from++) {
		for (size_t len = 0; len < 300; len++) {
			const uint32_t whole = plain_crc32c(0, bytes + from, len);

			assert_int_equal(mms_crc32c(0, bytes + from, len), whole);
			assert_int_equal(mms_crc32c(mms_crc32c(0, bytes + from, len / 3), bytes + from + len / 3, len - len / 3), whole);
		}
	}
}

static void crc32c_takes_more_than_fits_an_int(void **state)
{
	const size_t len = ((size_t) 1 << 31) + 4099;
	const size_t step = 123456789;
	char *zeros = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint32_t in_parts = 0;

	(void) state;
	assert_ptr_not_equal(zeros, MAP_FAILED);
	for (size_t done = 0; done < len; done += step) {
		in_parts = mms_crc32c(in_parts, zeros + done, len - done < step ? len - done : step);
	}
	assert_int_equal(mms_crc32c(0, zeros, len), in_parts);
	assert_int_not_equal(mms_crc32c(0, zeros, 4099), in_parts);
	munmap(zeros, len);
}

static void hex_digits_are_written_without_an_end(void **state)
{
	char out[20] = "...................";

	(void) state;
	assert_ptr_equal(mms_hex_write(out, UINT64_C(0x0123456789abcdef), 16), out + 16);
	assert_ptr_equal(mms_hex_write(out + 16, 0xff, 1), out + 17);
	assert_string_equal(out, "0123456789abcdeff..");
	assert_ptr_equal(mms_hex_write(out, 1, 0), out);
}

/* In a child of its own: the runner wants its output. */
static int move_up_without_standard_descriptors(void)
{
	int fd, moved;

	close(0);
	close(1);
	close(2);
	fd = open("/dev/null", O_RDWR);
	moved = mms_fd_move_up(fd);
	if (fd != 0 || moved < MMS_FD_FIRST || (fcntl(moved, F_GETFD) & FD_CLOEXEC) == 0 || fcntl(0, F_GETFD) >= 0) {
		return 1;
	}
	return mms_fd_move_up(moved) == moved ? 0 : 2;
}

static void descriptors_are_moved_up_from_the_standard_ones(void **state)
{
	int ended = 0;
	pid_t pid;

	(void) state;
	pid = fork();
	if (pid == 0) {
		_exit(move_up_without_standard_descriptors());
	}
	assert_int_equal(waitpid(pid, &ended, 0), pid);
	assert_true(WIFEXITED(ended));
	assert_int_equal(WEXITSTATUS(ended), 0);
	errno = EMFILE;
	assert_int_equal(mms_fd_move_up(-1), -1);
	assert_int_equal(errno, EMFILE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hex_digits_are_written_without_an_end),
		cmocka_unit_test(error_text_is_cut_at_its_end),
		cmocka_unit_test(copied_text_is_printable_and_ends),
		cmocka_unit_test(slice_of_nothing_is_empty),
		cmocka_unit_test(parts_stay_within_their_slice),
		cmocka_unit_test(find_gives_the_first_or_the_length),
		cmocka_unit_test(words_are_compared_without_case),
		cmocka_unit_test(decimal_takes_digits_up_to_the_limit),
		cmocka_unit_test(equality_looks_at_every_byte),
		cmocka_unit_test(random_bytes_fill_exactly_what_was_asked_for),
		cmocka_unit_test(crc32c_gives_the_published_values),
		cmocka_unit_test(crc32c_of_any_alignment_and_split_equals_the_plain_one),
		cmocka_unit_test(crc32c_takes_more_than_fits_an_int),
		cmocka_unit_test(descriptors_are_moved_up_from_the_standard_ones),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
