/* Copied word by word, as two may write at once; a checksum over the words covers the text's own. */
#include "mms_checkpoint.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC UINT64_C(0x6d6d732d73636e31)

struct stored {
	uint64_t magic;
	struct mms_checkpoint checkpoint;
	uint64_t check;              /* of all before it */
};

_Static_assert(sizeof(struct stored) <= MMS_CHECKPOINT_WORDS * sizeof(uint64_t), "there is room for it");
_Static_assert(sizeof(struct stored) % sizeof(uint64_t) == 0, "copied in words");

static uint64_t check_of(const struct stored *stored)
{
	return mms_crc32c(0, stored, offsetof(struct stored, check));
}

static void put_words(_Atomic uint64_t *words, const void *from, size_t size)
{
	for (size_t i = 0; i * sizeof(uint64_t) < size; i++) {
		size_t left = size - i * sizeof(uint64_t);
		uint64_t word = 0;

		memcpy(&word, (const char *)from + i * sizeof word, left < sizeof word ? left : sizeof word);
		atomic_store_explicit(&words[i], word, memory_order_relaxed);
	}
}

static void take_words(const _Atomic uint64_t *words, void *to, size_t size)
{
	for (size_t i = 0; i * sizeof(uint64_t) < size; i++) {
		size_t left = size - i * sizeof(uint64_t);
		uint64_t word = atomic_load_explicit(&words[i], memory_order_relaxed);

		memcpy((char *)to + i * sizeof word, &word, left < sizeof word ? left : sizeof word);
	}
}

void mms_checkpoint_save(struct mms_checkpoint_sh *shared, const struct mms_checkpoint *checkpoint)
{
	struct stored stored;

	memset(&stored, 0, sizeof stored);
	stored.magic = MAGIC;
	stored.checkpoint = *checkpoint;
	stored.check = check_of(&stored);
	put_words(shared->words, &stored, sizeof stored);
}

bool mms_checkpoint_save_text(struct mms_checkpoint_sh *shared, struct mms_checkpoint *checkpoint, struct mms_slice text)
{
	mms_checkpoint_drop(shared); /* before the text is another's */
	if (text.len > MMS_CHECKPOINT_TEXT_MAX) {
		return false;
	}
	put_words(shared->text, text.ptr, text.len);
	checkpoint->text_len = text.len;
	checkpoint->text_check = mms_crc32c(0, text.ptr, text.len);
	mms_checkpoint_save(shared, checkpoint);
	return true;
}

bool mms_checkpoint_load(const struct mms_checkpoint_sh *shared, struct mms_checkpoint *out, char **text, size_t *len)
{
	struct stored stored;
	char *copy;

	take_words(shared->words, &stored, sizeof stored);
	if (stored.magic != MAGIC || stored.check != check_of(&stored) || stored.checkpoint.text_len > MMS_CHECKPOINT_TEXT_MAX
			|| (copy = malloc((size_t)stored.checkpoint.text_len + 1)) == NULL) {
		return false;
	}
	take_words(shared->text, copy, (size_t)stored.checkpoint.text_len);
	if (mms_crc32c(0, copy, (size_t)stored.checkpoint.text_len) != stored.checkpoint.text_check) {
		free(copy);
		return false;
	}
	copy[stored.checkpoint.text_len] = '\0';
	*out = stored.checkpoint;
	out->token[sizeof out->token - 1] = '\0';
	*text = copy;
	*len = (size_t)stored.checkpoint.text_len;
	return true;
}

void mms_checkpoint_drop(struct mms_checkpoint_sh *shared)
{
	atomic_store(&shared->words[0], 0);
}
