/* Pairs of hashes on nodes that were read before some work began, and may be deleted, by compare, once it is done. */
#ifndef MMS_NOTES_H
#define MMS_NOTES_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"

struct mms_note {
	unsigned node;                   /* that has it */
	unsigned hash;                   /* which one: the caller's number */
	struct mms_slice field, value;   /* the note's own copies */
	struct mms_note *next;
};

struct mms_notes {
	struct mms_note *first;
};

/* False when memory is short: it then stays where it is. Copies the text. */
bool mms_notes_add(struct mms_notes *notes, unsigned node, unsigned hash, struct mms_slice field, struct mms_slice value);
void mms_notes_free(struct mms_notes *notes);

/* As bytes. Returns how many there are, all of them or 0 when they are more than size; with out = NULL, how many there would be. */
size_t mms_notes_write(const struct mms_notes *notes, char *out, size_t size);
/* Adds those that mms_notes_write() gave. False when the bytes are no such: some may have been added then. */
bool mms_notes_read(struct mms_notes *notes, struct mms_slice bytes);

#endif
