/* Records larger than the settings of a test allow. */
#ifndef LARGE_H
#define LARGE_H

#include "rig.h"

struct large {
	struct mms_record_header header;
	unsigned char *bytes; /* header and payload */
	size_t len;
};

/* As sample_aged(), with a payload of so many bytes. Freed by large_free(). */
static inline struct large large_aged(const char *id, int64_t age_ms, size_t payload_len)
{
	struct large large = { .header = { .version = { .hlc = stamp_ago(age_ms), .writer = 7, .sequence = 1 }, .lifetime_s = 1440 },
		.len = MMS_RECORD_HEADER_SIZE + payload_len };
	unsigned char *payload;

	large.bytes = malloc(large.len);
	assert_non_null(large.bytes);
	payload = large.bytes + MMS_RECORD_HEADER_SIZE;
	for (size_t at = 0; at < payload_len; at++) {
		payload[at] = (unsigned char) (at * 7 + at / 251);
	}
	mms_record_describe(&large.header, (struct mms_slice){ (const char *) payload, payload_len });
	mms_record_encode(&large.header, key_of(id), large.bytes);
	return large;
}

static inline void large_free(struct large *large)
{
	free(large->bytes);
}

static inline void node_put_large(unsigned node, const char *id, const struct large *large)
{
	node_put_bytes(node, id, large->bytes, large->len);
}

static inline bool node_holds_large(unsigned node, const char *id, const struct large *large)
{
	unsigned char *value = malloc(large->len);
	bool same;

	assert_non_null(value);
	same = node_get(node, id, value, large->len) == (long) large->len && memcmp(value, large->bytes, large->len) == 0;
	free(value);
	return same;
}

/* Nobody is blamed for anything. */
static inline bool nodes_are_in_order(const struct host *host)
{
	for (unsigned node = 0; node < host->settings.node_count; node++) {
		const struct mms_breaker_sh *breaker = &host->cluster->nodes[node].breaker;

		if (!mms_breaker_allows_write(breaker) || atomic_load(&breaker->soft_faults) != 0) {
			return false;
		}
	}
	return true;
}

#endif
