/* One text in shared memory that people should see: in the log once, and in mmsession_status(). Any process writes it, any
 * may be killed while it does. Plain numbers for time, so that this can stand below everything else. */
#ifndef MMS_NOTE_H
#define MMS_NOTE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MMS_NOTE_TEXT_SIZE 512 /* a remedy stands at the end, behind a node's name, a socket's path and the server's words */

struct mms_note_sh {
	_Atomic uint64_t raised_count;   /* ever; who logs compares it with what was logged */
	_Atomic uint64_t logged_count;   /* raised_count as of the last log line */
	_Atomic int64_t logged_at_us;    /* monotonic time of that line */
	_Atomic uint32_t active;         /* 1: the state that it speaks of goes on; whoever watches that state */
	_Atomic uint32_t sequence;       /* seqlock of the text: odd while one writes */
	_Atomic int64_t at_ms;           /* wall time of the text, 0 = none yet */
	char text[MMS_NOTE_TEXT_SIZE];   /* written under sequence */
};

/* Remembers the text (copied, cut at the end). When another is being written just now, this one is dropped. */
void mms_note_write(struct mms_note_sh *note, const char *text, int64_t wall_ms);

/* Copies the text (consistent, NUL-terminated); returns its wall time, 0 when there is none. */
int64_t mms_note_read(const struct mms_note_sh *note, char *out, size_t size);

/* There is something to log: the text, or a later one. */
void mms_note_raise(struct mms_note_sh *note);

/* A state begins or goes on (text), or is over (NULL). Raises when it begins. */
void mms_note_state(struct mms_note_sh *note, const char *text, int64_t wall_ms);

/* Two relaxed loads: is there anything that was not logged? */
bool mms_note_pending(const struct mms_note_sh *note);

/* True for one caller per raise, at most once a minute: who gets true writes the log line. */
bool mms_note_take_event(struct mms_note_sh *note, int64_t mono_us);

#endif
