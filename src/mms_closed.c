/* Values of closed sequences. They lie on a server that others may write to and that may have been restored from anything:
 * each is checked before it is believed. */
#include "mms_closed.h"

#include <string.h>

#define FIXED_SIZE 20 /* before the open reservations */
#define CHECK_SIZE 4

static void put(unsigned char *at, uint64_t value, unsigned bytes);
static uint64_t number(const unsigned char *at, unsigned bytes);
static uint32_t check(uint64_t mapping, const unsigned char *value, size_t len);

void mms_closed_add_open(struct mms_closed *closed, uint64_t sequence)
{
	uint32_t place = closed->open_count;

	while (place > 0 && closed->open[place - 1] > sequence) {
		place--;
	}
	if (closed->open_count == MMS_CLOSED_OPEN_MAX) {
		/* The list keeps the lowest ones: those that are open for long. */
		const uint64_t dropped = place == MMS_CLOSED_OPEN_MAX ? sequence : closed->open[MMS_CLOSED_OPEN_MAX - 1];

		closed->highest = dropped - 1 < closed->highest ? dropped - 1 : closed->highest;
		if (place == MMS_CLOSED_OPEN_MAX) {
			return;
		}
		closed->open_count--;
	}
	memmove(&closed->open[place + 1], &closed->open[place], (closed->open_count - place) * sizeof closed->open[0]);
	closed->open[place] = sequence;
	closed->open_count++;
}

bool mms_closed_has(const struct mms_closed *closed, uint64_t sequence)
{
	if (sequence <= closed->above || sequence > closed->highest) {
		return false;
	}
	for (uint32_t i = 0; i < closed->open_count; i++) {
		if (closed->open[i] == sequence) {
			return false;
		}
	}
	return true;
}

bool mms_closed_equal(const struct mms_closed *a, const struct mms_closed *b)
{
	return a->above == b->above && a->highest == b->highest && a->open_count == b->open_count
			&& memcmp(a->open, b->open, a->open_count * sizeof a->open[0]) == 0;
}

size_t mms_closed_encode(const struct mms_closed *closed, uint64_t mapping, unsigned char out[MMS_CLOSED_VALUE_MAX])
{
	size_t len = FIXED_SIZE + 8 * (size_t)closed->open_count;

	memcpy(out, "MCT\1", 4);
	put(out + 4, closed->above, 8);
	put(out + 12, closed->highest, 8);
	for (uint32_t i = 0; i < closed->open_count; i++) {
		put(out + FIXED_SIZE + 8 * (size_t)i, closed->open[i], 8);
	}
	put(out + len, check(mapping, out, len), CHECK_SIZE);
	return len + CHECK_SIZE;
}

bool mms_closed_decode(struct mms_slice value, uint64_t mapping, struct mms_closed *out)
{
	const unsigned char *bytes = (const unsigned char *)value.ptr;
	size_t len = value.len - CHECK_SIZE;

	if (value.len < FIXED_SIZE + CHECK_SIZE || value.len > MMS_CLOSED_VALUE_MAX || (len - FIXED_SIZE) % 8 != 0
			|| memcmp(bytes, "MCT\1", 4) != 0 || number(bytes + len, CHECK_SIZE) != check(mapping, bytes, len)) {
		return false;
	}
	out->above = number(bytes + 4, 8);
	out->highest = number(bytes + 12, 8);
	out->open_count = (uint32_t)((len - FIXED_SIZE) / 8);
	for (uint32_t i = 0; i < out->open_count; i++) {
		out->open[i] = number(bytes + FIXED_SIZE + 8 * (size_t)i, 8);
	}
	return true;
}

size_t mms_closed_key(const char *prefix, uint64_t mapping, char *out, size_t size)
{
	const size_t len = strnlen(prefix, size - MMS_CLOSED_KEY_EXTRA);

	memcpy(out, prefix, len);
	memcpy(out + len, ":ct:", 4);
	*mms_hex_write(out + len + 4, mapping, 16) = '\0';
	return len + MMS_CLOSED_KEY_EXTRA - 1;
}

static void put(unsigned char *at, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++) {
		at[i] = (unsigned char)(value >> (8 * (bytes - 1 - i)));
	}
}

static uint64_t number(const unsigned char *at, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes; i++) {
		value = value << 8 | at[i];
	}
	return value;
}

static uint32_t check(uint64_t mapping, const unsigned char *value, size_t len)
{
	unsigned char name[8];

	put(name, mapping, sizeof name);
	return mms_crc32c(mms_crc32c(0, name, sizeof name), value, len);
}
