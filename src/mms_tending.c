/* Who may connect when: a closed breaker's link at once, an open one's when its probe is due. A node whose connection stands
 * is probed with PING, or with a write. */
#include "mms_tending.h"

#include "mms_greeting.h"

#define WRITE_PROBE_TTL_MS 1000

static void on_pong(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);

void mms_tending_run(struct mms_link *link)
{
	struct mms_office *office = link->office;
	struct mms_breaker_sh *breaker = &mms_link_node(link)->breaker;
	struct mms_command command;
	bool closed = mms_breaker_allows_write(breaker);
	char text[MMS_PREFIX_MAX + 64];
	struct mms_slice key = { text, 0 };

	mms_link_check_deadline(link);
	if (office->last_words) {
		if (link->state != MMS_LINK_DOWN || link->spoken) {
			return;
		}
		link->spoken = true; /* one attempt, whatever the breaker says */
		mms_link_connect(link);
	} else if (closed && link->state == MMS_LINK_DOWN && office->now.us >= link->retry_at.us) {
		mms_link_connect(link);
	} else if (!closed && !link->probing && (mms_breaker_probe_due(breaker, office->now)
			|| (office->none_usable && office->now.us - link->probed_at.us > MMS_TENDING_ALL_DOWN_US))) {
		mms_breaker_probe_begin(breaker);
		link->probed_at = office->now;
		link->probing = true;
		if (link->state == MMS_LINK_DOWN) {
			mms_link_connect(link);
		} else if (link->state == MMS_LINK_READY && !link->probe_sent) {
			mms_command_init(&command);
			if (mms_breaker_allows_read(breaker)) {
				/* Only its write side is open, and PING says nothing about writing. */
				key.len = mms_link_tmp_key(office, text, sizeof text);
				mms_command_set(&command, key, mms_slice_of(""), WRITE_PROBE_TTL_MS);
			} else {
				mms_command_ping(&command);
			}
			link->probe_sent = mms_link_request(link, &command, on_pong, NULL, 0);
			link->probing = link->probing && link->probe_sent; /* no room now: it stays due */
		}
	} else {
		return;
	}
	if (link->state == MMS_LINK_CONNECTING && link->request_count == 0) {
		mms_greeting_ask(link);
	}
	mms_link_flush(link);
}

int64_t mms_tending_next_us(const struct mms_link *link)
{
	const struct mms_breaker_sh *breaker = &mms_link_node(link)->breaker;
	int64_t at = INT64_MAX;

	if (link->state != MMS_LINK_DOWN && (link->state == MMS_LINK_CONNECTING || link->request_count > 0)) {
		at = link->deadline.us;
	} else if (mms_breaker_allows_write(breaker) && link->state == MMS_LINK_DOWN) {
		at = link->retry_at.us;
	}
	if (!mms_breaker_allows_write(breaker) && !link->probing && atomic_load(&breaker->probe_at_us) < at) {
		at = atomic_load(&breaker->probe_at_us);
	}
	if (link->office->none_usable && link->office->now.us + MMS_TENDING_ALL_DOWN_US < at) {
		at = link->office->now.us + MMS_TENDING_ALL_DOWN_US;
	}
	return at;
}

static void on_pong(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	(void)context;
	(void)token;
	link->probe_sent = false;
	if (replies == NULL || !link->probing) {
		return;
	}
	link->probing = false;
	(void)mms_breaker_probe_result(&mms_link_node(link)->breaker, mms_reply_type(replies[0]) == MMS_REPLY_STATUS,
			link->office->now, mms_link_random(link->office));
	link->office->busy = true;
}
