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

/* Before the texts of each note. */
struct head {
	uint16_t node, hash, field_len, value_len;
};

size_t mms_notes_write(const struct mms_notes *notes, char *out, size_t size)
{
	size_t len = 0;

	for (const struct mms_note *note = notes->first; note != NULL; note = note->next) {
		len += sizeof(struct head) + note->field.len + note->value.len;
		if (note->field.len > UINT16_MAX || note->value.len > UINT16_MAX) {
			return 0;
		}
	}
	if (out == NULL || len > size) {
		return out == NULL ? len : 0;
	}
	for (const struct mms_note *note = notes->first; note != NULL; note = note->next) {
		struct head head = { (uint16_t)note->node, (uint16_t)note->hash, (uint16_t)note->field.len, (uint16_t)note->value.len };

		memcpy(out, &head, sizeof head);
		memcpy(out + sizeof head, note->field.ptr, note->field.len);
		memcpy(out + sizeof head + note->field.len, note->value.ptr, note->value.len);
		out += sizeof head + note->field.len + note->value.len;
	}
	return len;
}

bool mms_notes_read(struct mms_notes *notes, struct mms_slice bytes)
{
	while (bytes.len > 0) {
		struct head head;

		if (bytes.len < sizeof head) {
			return false;
		}
		memcpy(&head, bytes.ptr, sizeof head);
		bytes = mms_slice_part(bytes, sizeof head, bytes.len);
		if (bytes.len < (size_t)head.field_len + head.value_len
				|| !mms_notes_add(notes, head.node, head.hash, mms_slice_part(bytes, 0, head.field_len),
					mms_slice_part(bytes, head.field_len, (size_t)head.field_len + head.value_len))) {
			return false;
		}
		bytes = mms_slice_part(bytes, (size_t)head.field_len + head.value_len, bytes.len);
	}
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
