/* Error text, slices, random bytes, descriptors, CRC-32C. The one difficulty is ISA-L's contract: its function works on the
 * register before the final inversion, takes a non-const pointer (it only reads) and a length of type int. */
#include "mms_base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <isa-l/crc.h>

/* Most bytes in one call, so that the length fits in an int. */
#define CRC_CHUNK_MAX ((size_t) 1 << 30)

/* getrandom() gives up to 256 bytes without being interrupted halfway. */
#define RANDOM_CHUNK_MAX ((size_t) 256)

void mms_error_set(struct mms_error *error, const char *format, ...)
{
	va_list arguments;

	if (error == NULL) {
		return;
	}
	va_start(arguments, format);
	if (vsnprintf(error->text, sizeof(error->text), format, arguments) < 0) {
		error->text[0] = '\0';
	}
	va_end(arguments);
}

void mms_text_copy(char *out, size_t size, struct mms_slice text)
{
	size_t len = 0;

	if (size == 0) {
		return;
	}
	for (; len < text.len && len < size - 1; len++) {
		/* Not isprint(): the locale belongs to the host process. */
		const bool printable = text.ptr[len] >= ' ' && text.ptr[len] <= '~';

		out[len] = printable ? text.ptr[len] : '?';
	}
	out[len] = '\0';
}

struct mms_slice mms_slice_of(const char *text)
{
	struct mms_slice slice = {text, text == NULL ? 0 : strlen(text)};

	return slice;
}

struct mms_slice mms_slice_part(struct mms_slice text, size_t from, size_t to)
{
	struct mms_slice part = {text.ptr, 0};

	if (to > text.len) {
		to = text.len;
	}
	if (from > to) {
		from = to;
	}
	/* Adding even 0 to NULL is undefined. */
	if (from > 0) {
		part.ptr += from;
	}
	part.len = to - from;
	return part;
}

size_t mms_slice_find(struct mms_slice text, char byte)
{
	const char *found = text.len == 0 ? NULL : memchr(text.ptr, byte, text.len);

	return found == NULL ? text.len : (size_t) (found - text.ptr);
}

bool mms_slice_is(struct mms_slice text, const char *word)
{
	return text.len == strlen(word) && mms_slice_starts_with(text, word);
}

bool mms_slice_starts_with(struct mms_slice text, const char *word)
{
	const size_t len = strlen(word);

	if (text.len < len) {
		return false;
	}
	for (size_t index = 0; index < len; index++) {
		if (mms_byte_lower(text.ptr[index]) != word[index]) {
			return false;
		}
	}
	return true;
}

bool mms_slice_decimal(struct mms_slice text, uint64_t max, uint64_t *value)
{
	uint64_t number = 0;

	for (size_t index = 0; index < text.len; index++) {
		const unsigned digit = (unsigned) (text.ptr[index] - '0');

		if (digit > 9 || digit > max || number > (max - digit) / 10) {
			return false;
		}
		number = number * 10 + digit;
	}
	if (text.len == 0) {
		return false;
	}
	*value = number;
	return true;
}

char mms_byte_lower(char byte)
{
	return byte >= 'A' && byte <= 'Z' ? (char) (byte + ('a' - 'A')) : byte;
}

int mms_slice_equal_constant_time(struct mms_slice a, struct mms_slice b)
{
	/* volatile: the compiler must not leave the loop at the first difference. */
	volatile unsigned char difference = 0;

	if (a.len != b.len) {
		return 0;
	}
	for (size_t index = 0; index < a.len; index++) {
		difference = (unsigned char) (difference | ((unsigned char) a.ptr[index] ^ (unsigned char) b.ptr[index]));
	}
	return difference == 0;
}

enum mms_status mms_random_bytes(void *out, size_t len)
{
	unsigned char *next = out;

	while (len > 0) {
		size_t wanted = len < RANDOM_CHUNK_MAX ? len : RANDOM_CHUNK_MAX;
		/* Early in a machine's start-up the kernel may have none yet: an error is better than an unbounded wait. */
		ssize_t taken = getrandom(next, wanted, GRND_NONBLOCK);

		if (taken > 0) {
			next += taken;
			len -= (size_t) taken;
		} else if (taken == 0 || errno != EINTR) {
			return MMS_ERR_LOCAL;
		}
	}
	return MMS_OK;
}

int mms_fd_move_up(int fd)
{
	int moved, reason;

	if (fd < 0 || fd >= MMS_FD_FIRST) {
		return fd;
	}
	moved = fcntl(fd, F_DUPFD_CLOEXEC, MMS_FD_FIRST);
	reason = errno;
	(void) close(fd);
	errno = reason;
	return moved;
}

uint32_t mms_crc32c(uint32_t crc, const void *data, size_t len)
{
	const unsigned char *next = data;
	unsigned int state = ~crc;

	while (len > 0) {
		size_t chunk = len < CRC_CHUNK_MAX ? len : CRC_CHUNK_MAX;

		state = crc32_iscsi((unsigned char *) next, (int) chunk, state);
		next += chunk;
		len -= chunk;
	}
	return ~state;
}

char *mms_hex_write(char *out, uint64_t value, unsigned digits)
{
	for (unsigned i = digits; i > 0; i--) {
		out[i - 1] = "0123456789abcdef"[value & 15];
		value >>= 4;
	}
	return out + digits;
}
