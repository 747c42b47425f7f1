/* Text of a life, written and read. */
#include "mms_life.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HEX_DIGITS 16

size_t mms_life_name(const char *host_id, uint64_t life, char out[MMS_LIFE_NAME_MAX])
{
	return (size_t)snprintf(out, MMS_LIFE_NAME_MAX, "%.64s %016" PRIx64, host_id, life);
}

bool mms_life_is_name(struct mms_slice name)
{
	return name.len > 0 && name.len < MMS_LIFE_NAME_MAX && memchr(name.ptr, ' ', name.len) != NULL;
}

size_t mms_life_write(const struct mms_life *life, char out[MMS_LIFE_TEXT_MAX])
{
	size_t len = (size_t)snprintf(out, MMS_LIFE_TEXT_MAX, "%" PRIu64 " %" PRIu64, life->beat, life->watermark_ms);

	for (uint32_t i = 0; i < life->node_count; i++) {
		const struct mms_life_node *node = &life->nodes[i];

		len += (size_t)snprintf(out + len, MMS_LIFE_TEXT_MAX - len, " %016" PRIx64 ":%016" PRIx64 ":%c%c", node->id,
				node->run_hash, node->settled ? 's' : 'p', node->connected ? 'c' : 'd');
	}
	return len;
}

/* Fifty hosts read fifty texts of fifty nodes from fifty nodes: sscanf() takes ten times as long. */
static bool take(struct mms_slice *rest, char wanted)
{
	if (rest->len == 0 || rest->ptr[0] != wanted) {
		return false;
	}
	*rest = (struct mms_slice){ rest->ptr + 1, rest->len - 1 };
	return true;
}

static bool take_decimal(struct mms_slice *rest, uint64_t *out)
{
	const char *const end = rest->ptr + rest->len, *at = rest->ptr;
	uint64_t value = 0;

	for (; at < end && *at >= '0' && *at <= '9'; at++) {
		if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value)) {
			return false;
		}
	}
	if (at == rest->ptr) {
		return false;
	}
	*rest = (struct mms_slice){ at, (size_t)(end - at) };
	*out = value;
	return true;
}

static bool take_hex(struct mms_slice *rest, uint64_t *out)
{
	uint64_t value = 0;

	if (rest->len < HEX_DIGITS) {
		return false;
	}
	for (unsigned i = 0; i < HEX_DIGITS; i++) {
		const char c = rest->ptr[i];

		if ((c < '0' || c > '9') && (c < 'a' || c > 'f')) {
			return false;
		}
		value = value << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	*rest = (struct mms_slice){ rest->ptr + HEX_DIGITS, rest->len - HEX_DIGITS };
	*out = value;
	return true;
}

static bool take_either(struct mms_slice *rest, char yes, char no, bool *out)
{
	*out = take(rest, yes);
	return *out || take(rest, no);
}

static bool take_node(struct mms_slice *rest, struct mms_life_node *out)
{
	return take(rest, ' ') && take_hex(rest, &out->id) && take(rest, ':') && take_hex(rest, &out->run_hash) && take(rest, ':')
			&& take_either(rest, 's', 'p', &out->settled) && take_either(rest, 'c', 'd', &out->connected);
}

bool mms_life_head(struct mms_slice text, uint64_t *beat, uint64_t *watermark_ms)
{
	*beat = *watermark_ms = 0;
	if (!take_decimal(&text, beat) || !take(&text, ' ') || !take_decimal(&text, watermark_ms)) {
		*beat = *watermark_ms = 0;
		return false;
	}
	return true;
}

bool mms_life_parse(struct mms_slice text, struct mms_life *out)
{
	out->beat = out->watermark_ms = 0;
	out->node_count = 0;
	if (!take_decimal(&text, &out->beat) || !take(&text, ' ') || !take_decimal(&text, &out->watermark_ms)) {
		return false;
	}
	while (text.len > 0) {
		if (out->node_count == MMS_NODES_MAX || !take_node(&text, &out->nodes[out->node_count])) {
			return false;
		}
		out->node_count++;
	}
	return true;
}

bool mms_life_lists(const struct mms_life *life, uint64_t id)
{
	for (uint32_t i = 0; i < life->node_count; i++) {
		if (life->nodes[i].id == id) {
			return true;
		}
	}
	return false;
}

static bool is_known(uint64_t id, const uint64_t *known, uint32_t known_count)
{
	for (uint32_t i = 0; i < known_count; i++) {
		if (known[i] == id) {
			return true;
		}
	}
	return false;
}

bool mms_life_settled(const struct mms_life *life, uint64_t id, uint64_t run_hash, bool heard, const uint64_t *known,
		uint32_t known_count)
{
	bool stranger = false;

	for (uint32_t i = 0; i < life->node_count; i++) {
		const struct mms_life_node *node = &life->nodes[i];

		if (node->id == id) {
			return node->settled && node->run_hash == run_hash;
		}
		stranger = stranger || (!node->connected && !is_known(node->id, known, known_count));
	}
	return heard && !stranger;
}
