/* Every node has its own place in the mailbox (ack_position), so a slow or dead one holds up nobody but the tail. An
 * entry whose producer has not said yet who took it is left to him for a while: he is about to send it to the local node
 * himself. Positions are moved by the acknowledgements, which come in order. */
#include "mms_mirror.h"

#include <string.h>

#include "mms_greeting.h"
#include "mms_hlc.h"
#include "mms_marker.h"
#include "mms_put.h"
#include "mms_record.h"

#define TOMBSTONE_US 20000  /* a tombstone that its producer brings to all nodes himself is left to him for so long */
/* Entries looked at per node and round; the next round goes on. */
#define BATCH_MAX 512
#define NOSCRIPTS_MAX 3 /* in a row */
#define FEW_FIRST 64    /* mirrors under way after two connections lost at one place; then an eighth of it each time */
#define FEW_LESS 8
#define MARKERS_PAUSE_US 20000 /* at least, from one look at all markers to the next */

static void send_batch(struct mms_link *link);
static void hint_batch(struct mms_link *link);
static bool is_settled(const struct mms_link *link, const struct mms_mailbox_item *item);
static bool in_producers_hands(const struct mms_link *link, const struct mms_mailbox_item *item);
static bool send_entry(struct mms_link *link, const struct mms_mailbox_item *item);
static void on_mirrored(struct mms_link *link, void *context, uint64_t next, struct mms_reply *const *replies);
static void note_loss(struct mms_link *link);
static bool may_send(struct mms_link *link);
static bool is_last_copy(const struct mms_link *link, const struct mms_mailbox_item *item);
static uint64_t holders_beside(const struct mms_link *lacking, const struct mms_mailbox_item *item);
static bool is_half_full(const struct mms_mailbox_sh *mailbox);
static void hint_entry(struct mms_link *link, const struct mms_mailbox_item *item);
static void see_markers(struct mms_office *office);
static bool is_held(const struct mms_office *office, uint64_t next);
static bool move_tail(struct mms_office *office);
static void abandon_ring(struct mms_office *office);

bool mms_mirror_run(struct mms_office *office)
{
	for (unsigned i = 0; i < office->node_count; i++) {
		struct mms_link *link = &office->links[i];
		const struct mms_breaker_sh *breaker = &mms_link_node(link)->breaker;

		if (mms_link_ready(link) && atomic_load(&breaker->write_open) == 0) {
			send_batch(link);
		} else if (!mms_breaker_allows_write(breaker) && !office->last_words) {
			hint_batch(link);
		}
	}
	see_markers(office);
	/* What was copied out of the ring is good only if nobody has taken over meanwhile: checked before it is sent. */
	if (!mms_mailbox_owned(&office->cluster->mailbox, office->epoch)) {
		return false;
	}
	for (unsigned i = 0; i < office->node_count; i++) {
		mms_link_flush(&office->links[i]);
	}
	return move_tail(office);
}

bool mms_mirror_all_heard(const struct mms_office *office)
{
	uint64_t head = mms_mailbox_head(&office->cluster->mailbox);

	for (unsigned i = 0; i < office->node_count; i++) {
		const struct mms_link *link = &office->links[i];

		if (link->ack_position != head && !(link->state == MMS_LINK_DOWN && link->spoken)) {
			return false;
		}
	}
	return true;
}

bool mms_mirror_all_acknowledged(const struct mms_office *office)
{
	uint64_t head = mms_mailbox_head(&office->cluster->mailbox);

	for (unsigned i = 0; i < office->node_count; i++) {
		if (office->links[i].ack_position != head) {
			return false;
		}
	}
	return true;
}

/* item->next lies behind the entry itself. */
bool mms_mirror_needs(const struct mms_link *link, const struct mms_mailbox_item *item)
{
	return (item->have_mask >> link->index & 1) == 0
			|| mms_mailbox_distance(item->next, link->distrust_until) >= 0;
}

static void send_batch(struct mms_link *link)
{
	struct mms_mailbox_sh *mailbox = &link->office->cluster->mailbox;
	struct mms_mailbox_item item;

	for (unsigned n = 0; n < BATCH_MAX && may_send(link); n++) {
		int found = mms_mailbox_peek(mailbox, link->send_position, &item);

		if (found <= 0) {
			if (found < 0) {
				abandon_ring(link->office);
			}
			return;
		}
		if (in_producers_hands(link, &item)) {
			link->office->busy = true;
			return;
		}
		if (mms_mirror_needs(link, &item)) {
			if (link->suspect || !send_entry(link, &item)) {
				/* Not for want of room: this process can't, or connections end of it. Once those before it are answered, it is
				 * passed over. */
				if (!mms_link_ready(link) || link->mirrors_in_flight > 0) {
					return;
				}
				link->suspect = false;
				link->few = 0;
				mms_link_count(link->office, MMS_METRIC_mirror_failures);
				hint_entry(link, &item);
			}
			link->office->busy = true;
		}
		link->send_position = item.next;
		link->sent_to = mms_mailbox_distance(link->sent_to, item.next) > 0 ? item.next : link->sent_to;
		if (link->mirrors_in_flight == 0) {
			link->ack_position = link->send_position;
		}
	}
	link->office->busy = true;
}

/* Has its producer said who took it, or is he late (killed, stopped)? */
static bool is_settled(const struct mms_link *link, const struct mms_mailbox_item *item)
{
	const int64_t age_us = link->office->now.us - item->pushed_at.us, patience_us = mms_config_patience_us(link->office->settings);

	return item->settled || age_us >= patience_us || age_us < -patience_us; /* of a time to come: a damaged mapping */
}

/* The local node is the producer's own affair until then. With a tombstone all nodes are, for a moment: while a far one keeps him, or
 * he is stopped, what others have written behind it must not wait. */
static bool in_producers_hands(const struct mms_link *link, const struct mms_mailbox_item *item)
{
	const int64_t age_us = mms_clock_apart(link->office->now.us, item->pushed_at.us);

	return !is_settled(link, item) && (link->index == 0
			|| (mms_record_is_tombstone((const unsigned char *)item->record.ptr) && age_us < TOMBSTONE_US));
}

static uint64_t ttl_left_ms(const struct mms_office *office, const struct mms_mailbox_item *item)
{
	int64_t age_ms = (office->now.us - item->pushed_at.us) / 1000;

	if (age_ms < 0) {
		age_ms = 0;
	}
	return item->ttl_ms > (uint64_t)age_ms ? item->ttl_ms - (uint64_t)age_ms : 0;
}

bool mms_mirror_encode(struct mms_office *office, const struct mms_mailbox_item *item, bool may_be_new,
		char *tmp_key, struct mms_command *command)
{
	const unsigned char *header = (const unsigned char *)item->record.ptr;
	struct mms_slice payload = { item->record.ptr + MMS_RECORD_HEADER_SIZE,
			item->record.len - MMS_RECORD_HEADER_SIZE };
	uint64_t ttl_ms = ttl_left_ms(office, item);
	struct mms_slice tmp;

	if (ttl_ms == 0 || !mms_config_key_valid(office->settings, item->key)) {
		return false;
	}
	if (item->ttl_ms - ttl_ms < item->ttl_ms / 1000) {
		ttl_ms = item->ttl_ms; /* too little for anybody to notice, and mostly what the header says: bytes saved */
	}
	mms_command_init(command);
	if (item->kind == MMS_PARCEL_TOUCH) {
		mms_command_touch(command, item->key, header, ttl_ms);
		return true;
	}
	if (may_be_new && mms_record_is_first(header)) {
		mms_command_put_new(command, item->key, header, payload, ttl_ms);
		return true;
	}
	tmp.ptr = tmp_key;
	tmp.len = mms_link_tmp_key(office, tmp_key, MMS_MIRROR_TMP_KEY_MAX);
	mms_command_put(command, item->key, tmp, header, payload, ttl_ms, (struct mms_slice){ NULL, 0 });
	return true;
}

static bool send_entry(struct mms_link *link, const struct mms_mailbox_item *item)
{
	char tmp_key[MMS_MIRROR_TMP_KEY_MAX];
	struct mms_command command;

	bool may_be_new = link->office->now.us >= link->compare_until.us
			&& mms_mailbox_distance(link->send_position, link->compare_to) <= 0;

	if (!mms_mirror_encode(link->office, item, may_be_new, tmp_key, &command)) {
		return true; /* dead everywhere by now */
	}
	if (!mms_link_request(link, &command, on_mirrored, NULL, item->next)) {
		return false;
	}
	link->mirrors_in_flight++;
	return true;
}

/* "Newer" is the server's word for bytes that it can't verify. */
static bool is_damaged(const struct mms_office *office, const struct mms_mailbox_item *item, const struct mms_put_result *result)
{
	struct mms_slice stands = { (const char *)result->header, result->header_len };
	struct mms_record_header header;

	return stands.len > 0
			&& mms_hlc_decode(stands, item->key, mms_hlc_now(&office->shm->anchor), &header) == MMS_RECORD_DAMAGED;
}

static void parse(struct mms_reply *const *replies, bool touch, struct mms_put_result *result)
{
	if (touch) {
		mms_put_parse(NULL, replies[0], result);
	} else if (replies[1] == NULL) {
		mms_put_parse_new(replies[0], result);
	} else {
		mms_put_parse(replies[0], replies[1], result);
	}
}

/* From this entry on everything is sent again, once what is under way has been answered: acknowledgements come in order. */
static void go_back(struct mms_link *link, uint64_t position)
{
	link->ack_position = position;
	link->going_back = link->mirrors_in_flight > 0;
	if (!link->going_back) {
		link->send_position = position;
	}
}

static void on_mirrored(struct mms_link *link, void *context, uint64_t next, struct mms_reply *const *replies)
{
	struct mms_office *office = link->office;
	struct mms_node_sh *node = mms_link_node(link);
	struct mms_put_result result;
	struct mms_mailbox_item item;
	uint64_t position;

	(void)context;
	link->mirrors_in_flight--;
	if (replies == NULL) {
		if (link->mirrors_in_flight == 0) {
			note_loss(link);
		}
		return;
	}
	if (link->going_back) {
		go_back(link, link->ack_position);
		return;
	}
	/* The entry is still in the ring: its position is passed only here. Entries in between that needed no mirror are
	 * skipped over, and so are those behind the last one in flight. */
	do {
		position = link->ack_position;
		if (mms_mailbox_peek(&office->cluster->mailbox, position, &item) <= 0) {
			return;
		}
		link->ack_position = item.next;
	} while (item.next != next && mms_mailbox_distance(item.next, next) > 0);
	if (link->mirrors_in_flight == 0) {
		link->ack_position = link->send_position;
	}
	parse(replies, item.kind == MMS_PARCEL_TOUCH, &result);
	switch (result.outcome) {
	case MMS_PUT_STORED:
		if (result.over_unread) {
			mms_link_count(office, MMS_METRIC_discards);
		}
		break;
	case MMS_PUT_EQUAL:
		break;
	case MMS_PUT_NEWER:
		if (result.damaged || is_damaged(link->office, &item, &result)) {
			hint_entry(link, &item); /* the delivery replaces it by compare-and-set */
			return;
		}
		break;
	case MMS_PUT_FOREIGN:
		if (is_damaged(link->office, &item, &result)) {
			hint_entry(link, &item); /* ours, but short */
			return;
		}
		mms_link_count(office, MMS_METRIC_foreign_keys);
		return;
	case MMS_PUT_LACKING:
		hint_entry(link, &item);
		return;
	case MMS_PUT_CHANGED:
		/* It is not new there: the script decides, also of all that is under way behind it, however slowly that goes, and for a
		 * while of what follows, or a stream of such would go out twice. */
		link->compare_to = link->send_position;
		link->compare_until.us = office->now.us + MMS_LINK_COMPARE_US;
		go_back(link, position);
		return;
	case MMS_PUT_NOSCRIPT:
		/* The link ends; a new connection loads the scripts, and what was not acknowledged goes out again. A server that
		 * forgets them every time gets its entries by hint. */
		mms_link_count(office, MMS_METRIC_noscripts);
		if (++link->noscripts > NOSCRIPTS_MAX) {
			hint_entry(link, &item);
		} else {
			link->ack_position = position;
		}
		return;
	default:
		mms_link_count(office, MMS_METRIC_mirror_failures);
		mms_marker_blame(link, result.error_class, result.error_text);
		if (link->state != MMS_LINK_DOWN && !mms_breaker_allows_write(&node->breaker) && is_last_copy(link, &item)
				&& !is_half_full(&office->cluster->mailbox)) {
			go_back(link, position);
		} else {
			hint_entry(link, &item);
		}
		return;
	}
	link->noscripts = link->soft_errors = 0;
	link->few = link->few >= FEW_FIRST ? 0 : 2 * link->few;
	atomic_fetch_add_explicit(&node->acked_count, 1, memory_order_relaxed);
	mms_link_count(office, MMS_METRIC_mirrored);
}

/* The connection was lost with mirrors under way. Once more at the same place: one of them may be what the server (a query buffer that
 * is too small for it) or something on the way ends connections for. It is looked for with fewer and fewer at a time (more again
 * with each that is answered), and becomes a hint, so that the others get through. */
static void note_loss(struct mms_link *link)
{
	if (link->careful_to != 0 && link->lost_at == link->ack_position) {
		link->suspect = link->few == 1;
		link->few = link->few == 0 ? FEW_FIRST : link->few < FEW_LESS ? 1 : link->few / FEW_LESS;
	}
	link->lost_at = link->ack_position;
	link->careful_to = link->sent_to;
}

static bool may_send(struct mms_link *link)
{
	if (link->few > 0 && mms_mailbox_distance(link->ack_position, link->careful_to) <= 0) {
		link->few = 0;
	}
	link->suspect = link->suspect && link->ack_position == link->lost_at;
	return !link->going_back && mms_link_has_room(link, 1) && (link->few == 0 || link->mirrors_in_flight < link->few);
}

/* Somebody took it once, and nobody known has it now: a hint would find no copy. It waits for a node that takes it. */
static bool is_last_copy(const struct mms_link *link, const struct mms_mailbox_item *item)
{
	return item->have_mask != 0 && mms_mirror_needs(link, item) && holders_beside(link, item) == 0;
}

/* The node's breaker is open: its entries become hints, once the behind marker stands where it can. */
static void hint_batch(struct mms_link *link)
{
	struct mms_office *office = link->office;
	struct mms_mailbox_item item;

	/* Its positions are those of mirrors under way; other questions may be: one is, in every round, where the node is far. */
	if (link->mirrors_in_flight > 0 || !mms_marker_stands(link)) {
		return;
	}
	for (unsigned n = 0; n < BATCH_MAX; n++) {
		int found = mms_mailbox_peek(&office->cluster->mailbox, link->ack_position, &item);

		if (found <= 0) {
			if (found < 0) {
				abandon_ring(office);
			}
			break;
		}
		if (!is_settled(link, &item)) {
			office->busy = true;
			break;
		}
		if (is_last_copy(link, &item) && ttl_left_ms(office, &item) > 0 && !is_half_full(&office->cluster->mailbox)) {
			break;
		}
		if (mms_mirror_needs(link, &item) && ttl_left_ms(office, &item) > 0) {
			hint_entry(link, &item);
			mms_link_count(office, MMS_METRIC_mirror_failures);
			office->busy = true;
		}
		link->ack_position = item.next;
	}
	link->send_position = link->ack_position;
}

/* Other nodes that have this entry: who took it from its producer, and who has acknowledged it since and can be written. Whoever
 * misses something by hints may miss this: a hint moves his position too. */
static uint64_t holders_beside(const struct mms_link *lacking, const struct mms_mailbox_item *item)
{
	const struct mms_office *office = lacking->office;
	uint64_t mask = 0;

	for (unsigned i = 0; i < office->node_count; i++) {
		const struct mms_link *link = &office->links[i];
		bool acknowledged = mms_mailbox_distance(item->next, link->ack_position) >= 0
				&& mms_breaker_allows_write(&mms_link_node(link)->breaker)
				&& mms_hints_count(&office->cluster->hints, i) == 0 && !mms_hints_overflowed(&office->cluster->hints, i);

		mask |= i != lacking->index && (acknowledged || !mms_mirror_needs(link, item)) ? UINT64_C(1) << i : 0;
	}
	return mask;
}

static void hint_entry(struct mms_link *link, const struct mms_mailbox_item *item)
{
	struct mms_office *office = link->office;
	struct mms_mono until = { item->pushed_at.us + (int64_t)item->ttl_ms * 1000 };

	if (!office->hinted.any || mms_mailbox_distance(item->next, office->hinted.next) > 0) {
		office->hinted.next = item->next;
	}
	office->hinted.any = true;
	office->hinted.holding_mask |= holders_beside(link, item);
	if (mms_hints_add(&office->cluster->hints, item->key, (const unsigned char *)item->record.ptr,
			UINT64_C(1) << link->index, until, office->now)) {
		mms_link_count(office, MMS_METRIC_hints_made);
	} else {
		mms_link_count(office, MMS_METRIC_hint_overflows);
	}
}

static bool is_half_full(const struct mms_mailbox_sh *mailbox)
{
	return mms_mailbox_distance(mms_mailbox_tail(mailbox), mms_mailbox_head(mailbox)) > (int64_t)(mailbox->size / 2);
}

/* Have all nodes that can be reached shown since that they are the same, and is one among them that has everything, or, where
 * there is no such node, is each that has anything? With none of those in reach (it may be back empty) the ring keeps it as long
 * as it has room. */
static bool markers_seen(struct mms_office *office)
{
	uint64_t holders = 0, seen = 0;

	for (unsigned i = 0; i < office->node_count; i++) {
		const struct mms_link *link = &office->links[i];
		uint64_t bit = UINT64_C(1) << i;

		if (mms_link_ready(link) ? link->marker_seen.us < office->markers_wanted.us
				: mms_breaker_allows_write(&mms_link_node(link)->breaker)) {
			office->markers_held_up = office->markers_held_up || !mms_link_ready(link);
			return false;
		}
		/* Who has been given what hints said he missed has it all; who has not may miss this, by whichever hint. */
		if (mms_hints_count(&office->cluster->hints, i) == 0 && !mms_hints_overflowed(&office->cluster->hints, i)) {
			holders |= bit;
		}
		seen |= mms_link_ready(link) ? bit : 0;
	}
	return (holders != 0 ? (holders & seen) != 0 : (office->hinted_asked.holding_mask & ~seen) == 0)
			|| is_half_full(&office->cluster->mailbox);
}

static void ask_markers(struct mms_office *office)
{
	office->markers_wanted = office->now;
	office->markers_asked_mask = mms_link_ready_mask(office);
	office->markers_held_up = false;
	for (unsigned i = 0; i < office->node_count; i++) {
		struct mms_link *link = &office->links[i];

		if (link->marker_checked.us == office->now.us) { /* just greeted: what that showed is older than this question */
			link->marker_checked.us--;
		}
		mms_greeting_recheck(link);
	}
}

/* A hint has no payload. Was the node that holds the entry emptied under its connection, this host may not have noticed yet,
 * and the ring has the last copy: it is given up only when markers have been seen after the hint was made. */
static void see_markers(struct mms_office *office)
{
	if (office->hinted_asked.any && markers_seen(office)) {
		if (office->markers_held_up || (office->markers_asked_mask & ~mms_link_ready_mask(office)) != 0) {
			ask_markers(office); /* what was seen may be as old as the wait for him who did not answer */
		} else {
			office->hinted_asked.any = false;
		}
	}
	if (office->hinted.any && !office->hinted_asked.any
			&& office->now.us - office->markers_wanted.us >= MARKERS_PAUSE_US) {
		office->hinted_asked = office->hinted;
		office->hinted = (struct mms_hinted){ .any = false };
		ask_markers(office);
	}
	office->busy = office->busy || (office->hinted.any && !office->hinted_asked.any);
}

static bool is_held(const struct mms_office *office, uint64_t next)
{
	return !office->last_words
			&& ((office->hinted.any && mms_mailbox_distance(office->hinted.next, next) >= 0)
				|| (office->hinted_asked.any && mms_mailbox_distance(office->hinted_asked.next, next) >= 0));
}

/* The tail follows the slowest node. Lag is published on the way. */
static bool move_tail(struct mms_office *office)
{
	struct mms_mailbox_sh *mailbox = &office->cluster->mailbox;
	uint64_t tail = mms_mailbox_tail(mailbox), lowest = mms_mailbox_head(mailbox), position, passed = 0;
	struct mms_mailbox_item item;

	for (unsigned i = 0; i < office->node_count; i++) {
		struct mms_link *link = &office->links[i];
		int64_t lag_us = 0;

		if (mms_mailbox_peek(mailbox, link->ack_position, &item) > 0) {
			lag_us = office->now.us - item.pushed_at.us;
		}
		atomic_store_explicit(&mms_link_node(link)->lag_us, lag_us < 0 ? 0 : lag_us, memory_order_relaxed);
		if (mms_mailbox_distance(link->ack_position, lowest) > 0) {
			lowest = link->ack_position;
		}
	}
	for (position = tail; mms_mailbox_distance(position, lowest) > 0; position = item.next) {
		if (mms_mailbox_peek(mailbox, position, &item) <= 0) {
			break;
		}
		if (is_held(office, item.next) && ttl_left_ms(office, &item) > 0) {
			lowest = position;
			break;
		}
		passed++;
	}
	return lowest == tail || mms_mailbox_advance(mailbox, office->epoch, tail, lowest, passed);
}

/* The ring holds something that can't be an entry: skip it all; what was lost is for a repair scan to find. */
static void abandon_ring(struct mms_office *office)
{
	uint64_t head = mms_mailbox_head(&office->cluster->mailbox);

	mms_hints_overflow(&office->cluster->hints, UINT64_MAX);
	for (unsigned i = 0; i < office->node_count; i++) {
		office->links[i].ack_position = head;
		office->links[i].send_position = head;
	}
}
