/* A byte queue. Its one difficulty is memory: it must not grow by being half empty, an idle worker must not keep the buffer of
 * the largest session it ever wrote, and a password must not be left in memory that was freed (nor megabytes be overwritten
 * because of it). */
#include "mms_output.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 4096
/* A larger buffer is not kept once it is empty. */
#define CAPACITY_KEEP 65536

static bool grow(struct mms_output *output, size_t capacity);
static void wipe_secret(struct mms_output *output, size_t from, size_t to);

void mms_output_fini(struct mms_output *output)
{
	wipe_secret(output, 0, output->capacity);
	free(output->bytes);
	memset(output, 0, sizeof(*output));
}

void mms_output_expect_secret(struct mms_output *output, size_t len)
{
	size_t end = len < SIZE_MAX - output->end ? output->end + len : SIZE_MAX;

	output->secret_end = end > output->secret_end ? end : output->secret_end;
}

void mms_output_wipe(struct mms_output *output)
{
	wipe_secret(output, 0, output->first);
	wipe_secret(output, output->end, output->capacity);
	if (output->first == output->end || output->first >= output->secret_end) {
		output->secret_end = 0;
	}
}

struct mms_slice mms_output_waiting(const struct mms_output *output)
{
	size_t len = output->end - output->first;

	return (struct mms_slice) {len > 0 ? output->bytes + output->first : "", len};
}

bool mms_output_reserve(struct mms_output *output, size_t len)
{
	size_t waiting = output->end - output->first;
	size_t capacity = output->capacity < CAPACITY_MIN ? CAPACITY_MIN : output->capacity;

	if (len <= output->capacity - output->end) {
		return true;
	}
	if (len > SIZE_MAX / 4 - waiting) {
		return false;
	}
	if (waiting + len <= output->capacity / 2) { /* at most half: what is moved was paid for by what has gone */
		memmove(output->bytes, output->bytes + output->first, waiting);
		output->first = 0;
		output->end = waiting;
		return true;
	}
	while (capacity - output->end < len) {
		capacity *= 2;
	}
	return grow(output, capacity);
}

bool mms_output_append(struct mms_output *output, const void *bytes, size_t len)
{
	if (len == 0) {
		return true;
	}
	if (!mms_output_reserve(output, len)) {
		return false;
	}
	memcpy(output->bytes + output->end, bytes, len);
	output->end += len;
	return true;
}

size_t mms_output_drop(struct mms_output *output, size_t len)
{
	size_t waiting = output->end - output->first;

	if (len < waiting) {
		output->first += len;
		return 0;
	}
	output->first = output->end = 0;
	if (output->capacity > CAPACITY_KEEP) {
		mms_output_fini(output);
	}
	return len - waiting;
}

/* Secrets are copied by hand: realloc() would leave the old buffer as it was. */
static bool grow(struct mms_output *output, size_t capacity)
{
	const bool by_hand = output->bytes != NULL && output->secret_end > 0;
	char *larger = by_hand ? malloc(capacity) : realloc(output->bytes, capacity);

	if (larger == NULL) {
		return false;
	}
	if (by_hand) {
		memcpy(larger, output->bytes, output->end);
		wipe_secret(output, 0, output->capacity);
		free(output->bytes);
	}
	output->bytes = larger;
	output->capacity = capacity;
	return true;
}

/* What may be secret of bytes[from .. to). Bytes only ever move towards the start, so secret_end holds for them as well. */
static void wipe_secret(struct mms_output *output, size_t from, size_t to)
{
	to = to < output->secret_end ? to : output->secret_end;
	if (from < to) {
		explicit_bzero(output->bytes + from, to - from);
	}
}
