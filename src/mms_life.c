/* Text of a life, written and read. */
#include "mms_life.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

size_t mms_life_name(const char *host_id, uint64_t life, char out[MMS_LIFE_NAME_MAX])
{
	return (size_t)snprintf(out, MMS_LIFE_NAME_MAX, "%.64s %016" PRIx64, host_id, life);
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

bool mms_life_parse(struct mms_slice text, struct mms_life *out)
{
	char copy[MMS_LIFE_TEXT_MAX];
	int used = 0;
	const char *at = copy;

	memset(out, 0, sizeof *out);
	if (text.len >= sizeof copy) {
		return false;
	}
	mms_text_copy(copy, sizeof copy, text);
	if (sscanf(at, "%20" SCNu64 " %20" SCNu64 "%n", &out->beat, &out->watermark_ms, &used) != 2) {
		return false;
	}
	for (at += used; *at != '\0'; at += used) {
		struct mms_life_node *node = &out->nodes[out->node_count];
		char settled, connected;

		if (out->node_count == MMS_NODES_MAX || sscanf(at, " %16" SCNx64 ":%16" SCNx64 ":%c%c%n", &node->id,
				&node->run_hash, &settled, &connected, &used) != 4) {
			return false;
		}
		node->settled = settled == 's';
		node->connected = connected == 'c';
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
