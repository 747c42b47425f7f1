/* The watermark follows the mailbox: what was stamped before a mark was taken has been passed by the tail, or never came to
 * the mailbox within the margin. Hints that no behind marker covers hold it. */
#include "mms_watermark.h"

#include "mms_hlc.h"

#define STAMP_MARGIN_MS 60000        /* a write may have been stamped so long before it came to the mailbox */

static uint64_t less_margin(uint64_t ms)
{
	return ms > STAMP_MARGIN_MS ? ms - STAMP_MARGIN_MS : 0;
}

/* The clock's word bounds all later stamps; the wall clock does nearly, before the first and where the word is about to be
 * brought back to it. */
static uint64_t stamped_until_ms(const struct mms_office *office)
{
	const struct mms_wall now = mms_hlc_now(&office->shm->anchor);
	const uint64_t word = atomic_load(&office->shm->hlc);

	return word == 0 || mms_hlc_absurd(word, now) ? (uint64_t)now.ms : mms_hlc_ms(word);
}

void mms_watermark_move(struct mms_watermark_mark *mark, struct mms_office *office, bool covered)
{
	struct mms_mailbox_sh *mailbox = &office->cluster->mailbox;
	_Atomic uint64_t *watermark_ms = &office->cluster->watermark_ms;
	const uint64_t now_ms = stamped_until_ms(office);

	/* The clock's word came back from a time that nobody would believe: marks of that time bound nothing. */
	if (atomic_load(watermark_ms) > now_ms) {
		atomic_store(watermark_ms, less_margin(now_ms));
		mark->taken = false;
	}
	if (mark->taken && covered && mms_mailbox_distance(mms_mailbox_tail(mailbox), mark->position) <= 0) {
		if (mark->ms > atomic_load(watermark_ms)) {
			atomic_store(watermark_ms, mark->ms);
		}
		mark->taken = false;
	}
	if (!mark->taken) {
		mark->ms = less_margin(now_ms);
		mark->position = mms_mailbox_head(mailbox);
		mark->taken = true;
	}
}
