/* Bytes on their way out: what a socket did not take yet, in order, in one growing buffer. Knows no socket. */
#ifndef MMS_OUTPUT_H
#define MMS_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "mms_base.h"

/* Lives in its owner; all zeros is an empty one. */
struct mms_output {
	char *bytes;                 /* waiting: bytes[first .. end) */
	size_t first, end, capacity;
	size_t secret_end;           /* beyond bytes[0 .. secret_end) nothing secret lies, nor has any lain */
};

/* Frees the buffer, and overwrites what is secret in it; it is empty and usable again. */
void mms_output_fini(struct mms_output *output);

/* The next len bytes to be appended are secret: however the buffer grows, no copy of them stays in memory that is freed. */
void mms_output_expect_secret(struct mms_output *output, size_t len);

/* Overwrites what was secret in the buffer and waits no more. */
void mms_output_wipe(struct mms_output *output);

/* What waits. Borrows until the next call. */
struct mms_slice mms_output_waiting(const struct mms_output *output);

/* Room for len bytes behind what waits: the next appends of so many can't fail. False when memory is short. */
bool mms_output_reserve(struct mms_output *output, size_t len);

/* Copies bytes behind what waits. False when memory is short: nothing has changed then. */
bool mms_output_append(struct mms_output *output, const void *bytes, size_t len);

/* Forgets the first len bytes. Returns how many of len were more than waited. A large buffer goes once it is empty. */
size_t mms_output_drop(struct mms_output *output, size_t len);

#endif
