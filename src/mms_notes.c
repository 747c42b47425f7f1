/* One block per note. */
#include "mms_notes.h"

#include <stdlib.h>
#include <string.h>

bool mms_notes_add(struct mms_notes *notes, unsigned node, unsigned hash, struct mms_slice field, struct mms_slice value)
{
	struct mms_note *note = malloc(sizeof *note + field.len + value.len);
	char *text;

	if (note == NULL) {
		return false;
	}
	text = (char *)(note + 1);
	*note = (struct mms_note){ .node = node, .hash = hash, .field = { text, field.len },
		.value = { text + field.len, value.len }, .next = notes->first };
	if (field.len > 0) {
		memcpy(text, field.ptr, field.len);
	}
	if (value.len > 0) {
		memcpy(text + field.len, value.ptr, value.len);
	}
	notes->first = note;
	return true;
}

void mms_notes_free(struct mms_notes *notes)
{
	while (notes->first != NULL) {
		struct mms_note *note = notes->first;

		notes->first = note->next;
		free(note);
	}
}
