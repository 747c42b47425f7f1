/* A seqlock for a text, and an event for it. Its difficulty is that any process may be killed between two of its stores:
 * what is left half-done heals by itself (a text is dropped, or taken over from a writer that is long gone). No fences:
 * ThreadSanitizer can't follow them. */
#include "mms_note.h"

#include <string.h>

#define EVENT_INTERVAL_US INT64_C(60000000)
#define READS_MAX 100
#define WRITER_DEAD_MS 1000

static bool claim_text(struct mms_note_sh *note, int64_t wall_ms, uint32_t *sequence);
static int64_t apart(int64_t a, int64_t b);

#define load(field) atomic_load_explicit(&(field), memory_order_relaxed)
#define store(field, value) atomic_store_explicit(&(field), (value), memory_order_relaxed)

void mms_note_write(struct mms_note_sh *note, const char *text, int64_t wall_ms)
{
	uint32_t sequence;

	if (!claim_text(note, wall_ms, &sequence)) {
		return;
	}
	const size_t len = strnlen(text, MMS_NOTE_TEXT_SIZE - 1);

	/* Release: no byte may be seen before the odd sequence. */
	atomic_store_explicit(&note->at_ms, wall_ms, memory_order_release);
	for (size_t index = 0; index < MMS_NOTE_TEXT_SIZE; index++) {
		__atomic_store_n(&note->text[index], index < len ? text[index] : '\0', __ATOMIC_RELEASE);
	}
	/* Fails when this writer was stopped for so long that another took the text over. */
	atomic_compare_exchange_strong(&note->sequence, &sequence, sequence + 1);
}

int64_t mms_note_read(const struct mms_note_sh *note, char *out, size_t size)
{
	char text[MMS_NOTE_TEXT_SIZE];
	int64_t at_ms = 0;

	/* A seqlock. The acquire loads keep the second look at the sequence behind the copy. A writer that was killed
	 * leaves the sequence odd: after some tries a mixed text is better than none. */
	for (int tries = 0; tries < READS_MAX; tries++) {
		const uint32_t before = atomic_load_explicit(&note->sequence, memory_order_acquire);

		at_ms = atomic_load_explicit(&note->at_ms, memory_order_acquire);
		for (size_t index = 0; index < sizeof(text); index++) {
			text[index] = __atomic_load_n(&note->text[index], __ATOMIC_ACQUIRE);
		}
		if (before % 2 == 0 && before == atomic_load_explicit(&note->sequence, memory_order_relaxed)) {
			break;
		}
	}
	text[sizeof(text) - 1] = '\0';
	if (size > 0) {
		const size_t len = strnlen(text, size - 1);

		/* It ends in logs: what another process left in the mapping must not make lines of its own there. */
		for (size_t index = 0; index < len; index++) {
			out[index] = text[index] >= ' ' && text[index] <= '~' ? text[index] : '?';
		}
		out[len] = '\0';
	}
	return at_ms;
}

void mms_note_raise(struct mms_note_sh *note)
{
	atomic_fetch_add_explicit(&note->raised_count, 1, memory_order_relaxed);
}

void mms_note_state(struct mms_note_sh *note, const char *text, int64_t wall_ms)
{
	if (text == NULL) {
		if (load(note->active) != 0) {
			store(note->active, 0);
		}
		return;
	}
	mms_note_write(note, text, wall_ms);
	if (atomic_exchange_explicit(&note->active, 1, memory_order_relaxed) == 0) {
		mms_note_raise(note);
	}
}

bool mms_note_pending(const struct mms_note_sh *note)
{
	return load(note->raised_count) != load(note->logged_count);
}

bool mms_note_take_event(struct mms_note_sh *note, int64_t mono_us)
{
	const uint64_t raised_count = load(note->raised_count);
	int64_t logged_at_us = load(note->logged_at_us);

	if (raised_count == load(note->logged_count)) {
		return false;
	}
	if (logged_at_us != 0 && apart(mono_us, logged_at_us) < EVENT_INTERVAL_US) {
		return false;
	}
	if (!atomic_compare_exchange_strong(&note->logged_at_us, &logged_at_us, mono_us == 0 ? 1 : mono_us)) {
		return false;
	}
	store(note->logged_count, raised_count);
	return true;
}

/* Makes the sequence odd. An odd one whose time is long past belongs to a writer that was killed: taken over. */
static bool claim_text(struct mms_note_sh *note, int64_t wall_ms, uint32_t *sequence)
{
	uint32_t found = atomic_load(&note->sequence);
	uint32_t claimed = found + 1;

	if (found % 2 != 0) {
		if (apart(wall_ms, load(note->at_ms)) < WRITER_DEAD_MS) {
			return false;
		}
		claimed = found + 2;
	}
	*sequence = claimed;
	return atomic_compare_exchange_strong(&note->sequence, &found, claimed);
}

/* |a - b|, held within 64 bits: one of them may come from a damaged mapping. */
static int64_t apart(int64_t a, int64_t b)
{
	int64_t difference;

	if (__builtin_sub_overflow(a, b, &difference) || difference == INT64_MIN) {
		return INT64_MAX;
	}
	return difference < 0 ? -difference : difference;
}
