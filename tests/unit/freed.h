/* free() and realloc() as the library under test calls them: what is given back is looked through for a word. The test has the
 * comment "TEST WRAP: free realloc". Include after cmocka.h. */
#ifndef MMS_TEST_FREED_H
#define MMS_TEST_FREED_H

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define FREED_WORD "hunter2"

static unsigned freed, freed_with_word; /* buffers given back */

void __real_free(void *pointer);
void __wrap_free(void *pointer);
void *__wrap_realloc(void *pointer, size_t size);

static inline bool holds(const char *bytes, size_t size, const char *word)
{
	return memmem(bytes, size, word, strlen(word)) != NULL;
}

void __wrap_free(void *pointer)
{
	if (pointer != NULL) {
		freed++;
		freed_with_word += holds(pointer, malloc_usable_size(pointer), FREED_WORD);
	}
	__real_free(pointer);
}

/* One that always moves. */
void *__wrap_realloc(void *pointer, size_t size)
{
	void *moved = malloc(size);
	size_t len = pointer == NULL ? 0 : malloc_usable_size(pointer);

	if (moved != NULL && pointer != NULL) {
		memcpy(moved, pointer, len < size ? len : size);
		__wrap_free(pointer);
	}
	return moved;
}

#endif
