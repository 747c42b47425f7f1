/* malloc: size classes over one growing region. What free() takes goes to its class and is handed out again, so that a
 * use after free is as wrong as with any allocator. With SIM_REAL_MALLOC (sanitizers) the real one serves, and what killed
 * processes held leaks. */
#include "memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mms_shm.h"

#define FRESH_BYTES 65536
#define REGION_BYTES (UINT64_C(1) << 28)
#define MAPPINGS_MAX 256 /* of the hosts whose PHP is killed again and again within one schedule */
#define STEP 16
#define SMALL_CLASSES 64 /* up to 1024 bytes, by 16 */
#define LARGE_CLASSES 40

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *memory);
void *__real_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *address, size_t size);

struct block {
	uint64_t size; /* usable bytes behind this header */
	struct block *next;
};

static char *region;
static uint64_t region_used;
static bool begun;
static struct block *free_small[SMALL_CLASSES + 1], *free_large[LARGE_CLASSES];

struct mapping {
	void *memory;
	size_t size;
	bool used;
};
static struct mapping mappings[MAPPINGS_MAX];
static unsigned mapping_count;

void memory_begin(void)
{
	if (region == NULL) {
		region = __real_mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (region == MAP_FAILED) {
			perror("sim: memory");
			abort();
		}
	}
	begun = true;
}

/* What a host's processes wrote into their mapping: all but the ring, which nobody reads before it is written. */
static void wipe(const struct mapping *mapping)
{
	struct mms_shm *shm = mapping->memory;

	for (uint32_t i = 0; shm->magic == MMS_SHM_MAGIC && i < shm->slot_count; i++) {
		struct mms_cluster_sh *cluster = (struct mms_cluster_sh *)((char *)shm + shm->slot_offset
				+ i * shm->slot_size);

		if (cluster->hints.capacity != 0 && atomic_load(&cluster->hints.changed_count) != 0) {
			memset((char *)&cluster->hints + cluster->hints.table_offset, 0,
					cluster->hints.capacity * sizeof(uint32_t));
		}
		memset(cluster, 0, sizeof *cluster);
	}
	memset(shm, 0, shm->magic == MMS_SHM_MAGIC ? 4096 : mapping->size);
}

void memory_end(void)
{
	begun = false;
	region_used = 0;
	memset(free_small, 0, sizeof free_small);
	memset(free_large, 0, sizeof free_large);
	for (unsigned i = 0; i < mapping_count; i++) {
		if (mappings[i].used) {
			wipe(&mappings[i]);
			mappings[i].used = false;
		}
	}
}

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
	if (!begun) {
		return __real_mmap(address, size, protection, flags, fd, offset);
	}
	for (unsigned i = 0; i < mapping_count; i++) {
		if (!mappings[i].used && mappings[i].size == size) {
			mappings[i].used = true;
			/* As the kernel gives it, as far as anybody relies on that: the mapping's own words and the table of open
			 * requests. All of it would be 14 MB. */
			memset(mappings[i].memory, 0, size < FRESH_BYTES ? size : FRESH_BYTES);
			return mappings[i].memory;
		}
	}
	if (mapping_count == MAPPINGS_MAX) {
		return MAP_FAILED;
	}
	mappings[mapping_count] = (struct mapping){ __real_mmap(address, size, protection, flags, fd, offset), size, true };
	if (mappings[mapping_count].memory == MAP_FAILED) {
		return MAP_FAILED;
	}
	return mappings[mapping_count++].memory;
}

/* What mmap() is called where files have 64-bit offsets (hiredis' flags say so). */
void *__wrap_mmap64(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
	return __wrap_mmap(address, size, protection, flags, fd, offset);
}

int __wrap_munmap(void *address, size_t size)
{
	return begun ? 0 : __real_munmap(address, size);
}

#ifdef SIM_REAL_MALLOC
void *__wrap_malloc(size_t size) { return __real_malloc(size); }
void *__wrap_calloc(size_t count, size_t size) { return __real_calloc(count, size); }
void *__wrap_realloc(void *old, size_t size) { return __real_realloc(old, size); }
void __wrap_free(void *memory) { __real_free(memory); }
#else

static struct block **class_of(size_t size, size_t *rounded)
{
	unsigned class_ = 0;

	if (size <= STEP * SMALL_CLASSES) {
		*rounded = size == 0 ? STEP : (size + STEP - 1) / STEP * STEP;
		return &free_small[*rounded / STEP];
	}
	*rounded = 2048;
	while (*rounded < size) {
		*rounded *= 2;
		class_++;
	}
	return &free_large[class_];
}

void *__wrap_malloc(size_t size)
{
	struct block **list, *block;
	size_t rounded;

	if (!begun) {
		return __real_malloc(size);
	}
	list = class_of(size, &rounded);
	block = *list;
	if (block != NULL) {
		*list = block->next;
		return block + 1;
	}
	block = (struct block *)(region + region_used);
	region_used += sizeof *block + rounded;
	if (region_used > REGION_BYTES) {
		fprintf(stderr, "sim: out of a schedule's memory\n");
		abort();
	}
	block->size = rounded;
	return block + 1;
}

void *__wrap_calloc(size_t count, size_t size)
{
	void *memory;

	if (!begun) {
		return __real_calloc(count, size);
	}
	memory = __wrap_malloc(count * size);
	memset(memory, 0, count * size);
	return memory;
}

void __wrap_free(void *memory)
{
	struct block *block = (struct block *)memory - 1;
	struct block **list;
	size_t rounded;

	if (memory == NULL) {
		return;
	}
	if ((char *)memory < region || (char *)memory >= region + REGION_BYTES) {
		__real_free(memory);
		return;
	}
	if (!begun) {
		return;
	}
	list = class_of(block->size, &rounded);
	block->next = *list;
	*list = block;
}

void *__wrap_realloc(void *old, size_t size)
{
	struct block *block = (struct block *)old - 1;
	void *memory;

	if (old == NULL) {
		return __wrap_malloc(size);
	}
	if ((char *)old < region || (char *)old >= region + REGION_BYTES) {
		return __real_realloc(old, size);
	}
	if (block->size >= size) {
		return old;
	}
	memory = __wrap_malloc(size);
	memcpy(memory, old, block->size);
	__wrap_free(old);
	return memory;
}
#endif
