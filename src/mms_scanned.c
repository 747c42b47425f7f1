/* Lives come from other hosts' hands, and so does the text: nothing in it is believed but whole lines. */
#include "mms_scanned.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mms_life.h"
#include "mms_pairs.h"

#define LINE_MAX_BYTES (MMS_LIFE_NAME_MAX + 24) /* "<life> <beat>\n" */
#define BEAT_DIGITS_MAX 20

char *mms_scanned_roll(const struct mms_hosts *hosts)
{
	uint32_t count = mms_hosts_sighted_count(hosts);
	size_t size = (size_t)count * LINE_MAX_BYTES + 1, len = 0;
	char *roll = malloc(size);

	if (roll == NULL) {
		return NULL;
	}
	roll[0] = '\0';
	for (uint32_t i = 0; i < count; i++) {
		uint64_t beat;
		const char *name = mms_hosts_sighted(hosts, i, &beat);

		len += (size_t)snprintf(roll + len, size - len, "%s %" PRIu64 "\n", name, beat);
	}
	return roll;
}

char *mms_scanned_text(const char *marker, const char *roll)
{
	size_t size = strlen(marker) + strlen(roll) + 2;
	char *text = malloc(size);

	if (text != NULL) {
		(void)snprintf(text, size, "%s\n%s", marker, roll);
	}
	return text;
}

/* The next line without its end; what is behind it stays in *rest. */
static struct mms_slice take_line(struct mms_slice *rest)
{
	size_t len = mms_slice_find(*rest, '\n');
	struct mms_slice line = mms_slice_part(*rest, 0, len);

	*rest = mms_slice_part(*rest, len < rest->len ? len + 1 : len, rest->len);
	return line;
}

/* "<life> <beat>"; a life's name has spaces of its own. */
static bool is_of(struct mms_slice line, struct mms_slice life, uint64_t *beat)
{
	char digits[BEAT_DIGITS_MAX + 1];

	if (line.len <= life.len + 1 || line.len - life.len - 1 > BEAT_DIGITS_MAX || line.ptr[life.len] != ' '
			|| memcmp(line.ptr, life.ptr, life.len) != 0) {
		return false;
	}
	mms_text_copy(digits, sizeof digits, mms_slice_part(line, life.len + 1, line.len));
	if (strspn(digits, "0123456789") != strlen(digits)) {
		return false;
	}
	*beat = strtoull(digits, NULL, 10);
	return true;
}

bool mms_scanned_covers(struct mms_slice text, struct mms_slice marker, struct mms_slice life, uint64_t beat)
{
	if (marker.len == 0 || !mms_pairs_same(take_line(&text), marker)) {
		return false;
	}
	while (text.len > 0) {
		struct mms_slice line = take_line(&text);
		uint64_t heard;

		if (is_of(line, life, &heard)) {
			return heard >= beat;
		}
	}
	return false;
}
