/* Status codes, error text and slices: what every other module speaks in. */
#ifndef MMS_BASE_H
#define MMS_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mms_status {
	MMS_OK = 0,
	MMS_ERR_CONFIG,      /* a setting or URI is wrong; the text says which and how it should read */
	MMS_ERR_MEMORY,      /* malloc or mmap failed */
	MMS_ERR_TIMEOUT,     /* no answer within the wait; soft fault of the node */
	MMS_ERR_CLOSED,      /* the server closed an idle connection before any byte of a reply: no fault */
	MMS_ERR_RESET,       /* connection lost in the middle of a reply; soft fault */
	MMS_ERR_CONNECT,     /* refused, unreachable, connect timeout; hard fault */
	MMS_ERR_PROTOCOL,    /* bytes that are no RESP, or a reply of a wrong shape or size; hard fault */
	MMS_ERR_TOO_LARGE,   /* a reply longer than allowed here: no fault of the node where the value asked for may be so long */
	MMS_ERR_REFUSED,     /* the server answered with an error; see enum mms_reply_class */
	MMS_ERR_LOCAL,       /* this process ran out of something (fds, ports, buffers): no fault of the node */
	MMS_ERR_NO_ADDRESS,  /* this host has no address or port of its own that leads to the node: no fault of the node's, but it lasts */
	MMS_ERR_NO_NODE,     /* no usable node answered */
	MMS_ERR_GUARD,       /* refused by a rule of ours (write after failed read, too large, ...) */
	MMS_ERR_FOREIGN      /* the key holds something that is not ours */
};

/* One message for people: "node web2 (tcp://10.0.0.2:6379): connect: Connection refused". Never a secret. Has room for what was
 * noted about a node (MMS_NOTE_TEXT_SIZE) behind some words of its own. */
struct mms_error {
	char text[640];
};

/* Borrowed bytes; not NUL-terminated. */
struct mms_slice {
	const char *ptr;
	size_t len;
};

#if defined(__GNUC__)
#define MMS_PRINTF(fmt_index, arg_index) __attribute__((format(printf, fmt_index, arg_index)))
#else
#define MMS_PRINTF(fmt_index, arg_index)
#endif

/* Writes the text (cut at the buffer's end); error may be NULL. */
void mms_error_set(struct mms_error *error, const char *format, ...) MMS_PRINTF(2, 3);

/* Copies a slice into a NUL-terminated buffer, cut at its end; bytes that are not printable become '?'. */
void mms_text_copy(char *out, size_t size, struct mms_slice text);

/* A NUL-terminated string as a slice; text may be NULL (empty slice). */
struct mms_slice mms_slice_of(const char *text);

/* The bytes from offset `from` to before `to`; what lies beyond the end is cut. Borrows from text. */
struct mms_slice mms_slice_part(struct mms_slice text, size_t from, size_t to);

/* Offset of the first such byte; text.len when there is none. */
size_t mms_slice_find(struct mms_slice text, char byte);

/* Equal to / starting with word, which is in lower case; ASCII letters of either case are the same in text. */
bool mms_slice_is(struct mms_slice text, const char *word);
bool mms_slice_starts_with(struct mms_slice text, const char *word);

/* Decimal digits alone, of a number up to max. */
bool mms_slice_decimal(struct mms_slice text, uint64_t max, uint64_t *value);

/* ASCII alone: the locale belongs to the host process. */
char mms_byte_lower(char byte);

/* Byte equality in time that depends on the lengths only. */
int mms_slice_equal_constant_time(struct mms_slice a, struct mms_slice b);

/* len random bytes from the kernel; MMS_ERR_LOCAL when it has none to give. */
enum mms_status mms_random_bytes(void *out, size_t len);

/* A descriptor is never one of the standard ones, even where the process was started without them or has closed them: what a script
 * prints would go to a node, and php-fpm puts its own in their places. Takes one that was just opened, also -1, and returns it or
 * a close-on-exec copy in its place; -1 with errno when there is none. */
#define MMS_FD_FIRST 3
int mms_fd_move_up(int fd);

/* CRC-32C (Castagnoli), continued from crc; start with 0. */
uint32_t mms_crc32c(uint32_t crc, const void *data, size_t len);

/* How many of them: of the few nodes that there are, sooner counted than by a call of the compiler's library. */
static inline uint32_t mms_count_bits(uint64_t mask)
{
	uint32_t count = 0;

	for (; mask != 0; mask &= mask - 1) {
		count++;
	}
	return count;
}

/* Writes the lowest `digits` hex digits of value, without an end; returns where the next character goes. (printf takes
 * fifty times as long.) */
char *mms_hex_write(char *out, uint64_t value, unsigned digits);

#endif
