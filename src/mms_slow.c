/* Leaving out a slow local node. The difficulty is the mailbox: only what this host wrote can be on the local node alone, and
 * of that only entries for which no other node's acknowledgement is known. The ring is looked at without its lock; an entry
 * that is passed meanwhile has been delivered, and what can't be read counts as pending. */
#include "mms_slow.h"

#include <string.h>

#define ENTRIES_MAX 4096 /* looked through, by the hashes of their keys: less than a millisecond, where the wait is a hundred */

bool mms_slow_local(const struct mms_client *client)
{
	const struct mms_node_sh *nodes = client->cluster->nodes;
	uint32_t local_us = atomic_load_explicit(&nodes[0].breaker.latency_us, memory_order_relaxed);

	if (local_us < MMS_BREAKER_SLOW_US) {
		return false;
	}
	for (unsigned i = 1; i < client->settings.node_count; i++) {
		uint32_t peer_us = atomic_load_explicit(&nodes[i].breaker.latency_us, memory_order_relaxed);

		if (peer_us != 0 && peer_us <= local_us / MMS_SLOW_TIMES && mms_breaker_allows_write(&nodes[i].breaker)) {
			return true;
		}
	}
	return false;
}

static bool pending_in_mailbox(const struct mms_mailbox_sh *mailbox, struct mms_slice key)
{
	uint64_t position = mms_mailbox_tail(mailbox);
	uint32_t hash = mms_crc32c(0, key.ptr, key.len);
	unsigned left = ENTRIES_MAX;
	struct mms_mailbox_item item;
	int found;

	while ((found = mms_mailbox_seek(mailbox, hash, &position, &left)) > 0) {
		if (mms_mailbox_peek(mailbox, position, &item) <= 0 || (item.key.len == key.len && memcmp(item.key.ptr, key.ptr, key.len) == 0
				&& (!item.settled || (item.have_mask & ~UINT64_C(1)) == 0))) {
			return true;
		}
		position = item.next;
		left -= left > 0 ? 1 : 0;
	}
	return found < 0 || left == 0;
}

bool mms_slow_may_skip(const struct mms_client *client, struct mms_slice key)
{
	const struct mms_cluster_sh *cluster = client->cluster;

	if (atomic_load_explicit(&cluster->dead_swept, memory_order_relaxed) == 0) {
		return false;
	}
	for (unsigned i = 1; i < client->settings.node_count; i++) {
		const struct mms_node_sh *node = &cluster->nodes[i];

		if (!mms_breaker_allows_read(&node->breaker) || atomic_load_explicit(&node->complete, memory_order_relaxed) == 0
				|| atomic_load_explicit(&node->avoided, memory_order_relaxed) != 0) {
			return false;
		}
	}
	if (pending_in_mailbox(&cluster->mailbox, key)) { /* before the hints, as entries become such */
		return false;
	}
	for (unsigned i = 1; i < client->settings.node_count; i++) {
		if (mms_hints_count(&cluster->hints, i) > 0 || mms_hints_overflowed(&cluster->hints, i)) {
			return false;
		}
	}
	return true;
}
