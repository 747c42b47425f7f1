/* A bounded set of keys in shared memory. */
#include "processes.h"

#include <sys/mman.h>

#include "mms_keyset.h"

static struct mms_slice key_number(unsigned number)
{
	static char text[32];

	snprintf(text, sizeof(text), "mms:%u", number);
	return mms_slice_of(text);
}

static struct mms_keyset fresh(int sharing)
{
	void *memory = mmap(NULL, sizeof(struct mms_keyset_sh), PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS, -1, 0);

	assert_true(memory != MAP_FAILED);
	return (struct mms_keyset){ memory, 17 };
}

static void done_with(struct mms_keyset keyset)
{
	munmap(keyset.shared, sizeof(*keyset.shared));
}

static uint32_t count_of(struct mms_keyset keyset)
{
	return atomic_load(&keyset.shared->count);
}

static bool is_zero(struct mms_keyset keyset)
{
	for (uint32_t i = 0; i < MMS_KEYSET_SLOTS; i++) {
		if (atomic_load(&keyset.shared->slots[i]) != 0) {
			return false;
		}
	}
	return count_of(keyset) == 0;
}

static void an_empty_set_has_nothing(void **state)
{
	struct mms_keyset keyset = fresh(MAP_SHARED);

	(void) state;
	assert_false(mms_keyset_has(&keyset, mms_slice_of("a")));
	assert_false(mms_keyset_has(&keyset, mms_slice_of("")));
	mms_keyset_clear(keyset.shared);
	done_with(keyset);
}

static void what_was_added_is_there_and_nothing_else(void **state)
{
	struct mms_keyset keyset = fresh(MAP_SHARED);

	(void) state;
	for (unsigned number = 0; number < 100000; number++) {
		assert_false(mms_keyset_has(&keyset, key_number(number)));
		assert_true(mms_keyset_add(&keyset, key_number(number)));
		assert_true(mms_keyset_add(&keyset, key_number(number)));
		assert_int_equal(count_of(keyset), number + 1);
	}
	for (unsigned number = 0; number < 200000; number++) {
		assert_int_equal(mms_keyset_has(&keyset, key_number(number)), number < 100000);
	}
	mms_keyset_clear(keyset.shared);
	assert_true(is_zero(keyset));
	done_with(keyset);
}

/* Wherever the table begins in its page, and on memory that the kernel can't take back. */
static void clearing_leaves_nothing_and_touches_nothing_else(void **state)
{
	const int kinds[] = { MAP_SHARED, MAP_PRIVATE };

	(void) state;
	for (unsigned kind = 0; kind < 2; kind++) {
		for (size_t offset = 0; offset < 4096; offset += 1000 / 8 * 8) {
			const size_t size = offset + sizeof(struct mms_keyset_sh) + 4096;
			char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, kinds[kind] | MAP_ANONYMOUS, -1, 0);
			struct mms_keyset keyset = { (struct mms_keyset_sh *) (memory + offset), 1 };

			memset(memory, 'x', offset);
			memset(memory + offset + sizeof(*keyset.shared), 'x', 4096);
			for (unsigned number = 0; number < 20000; number++) {
				assert_true(mms_keyset_add(&keyset, key_number(number)));
			}
			mms_keyset_clear(keyset.shared);
			assert_true(is_zero(keyset));
			for (size_t i = 0; i < size; i++) {
				assert_int_equal(memory[i], i < offset || i >= offset + sizeof(*keyset.shared) ? 'x' : 0);
			}
			munmap(memory, size);
		}
	}
}

static void another_salt_is_another_set(void **state)
{
	struct mms_keyset keyset = fresh(MAP_SHARED), other = { keyset.shared, keyset.salt + 1 };

	(void) state;
	for (unsigned number = 0; number < 1000; number++) {
		assert_true(mms_keyset_add(&keyset, key_number(number)));
		assert_false(mms_keyset_has(&other, key_number(number)));
	}
	done_with(keyset);
}

static void a_full_set_takes_no_more_and_keeps_what_it_has(void **state)
{
	struct mms_keyset keyset = fresh(MAP_SHARED);
	unsigned number = 0;

	(void) state;
	while (mms_keyset_add(&keyset, key_number(number))) {
		number++;
	}
	assert_int_equal(number, MMS_KEYSET_SLOTS / 4 * 3);
	assert_false(mms_keyset_has(&keyset, key_number(number)));
	for (unsigned each = 0; each < number; each += 1000) {
		assert_true(mms_keyset_has(&keyset, key_number(each)));
	}
	mms_keyset_clear(keyset.shared);
	assert_true(mms_keyset_add(&keyset, key_number(number)));
	done_with(keyset);
}

static void a_table_full_of_rubbish_has_nothing_and_takes_nothing(void **state)
{
	struct mms_keyset keyset = fresh(MAP_SHARED);

	(void) state;
	memset(keyset.shared, 0xa5, sizeof(*keyset.shared));
	atomic_store(&keyset.shared->count, 1);
	for (unsigned number = 0; number < 1000; number++) {
		assert_false(mms_keyset_has(&keyset, key_number(number)));
		assert_false(mms_keyset_add(&keyset, key_number(number)));
	}
	done_with(keyset);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_set_has_nothing),
		cmocka_unit_test(what_was_added_is_there_and_nothing_else),
		cmocka_unit_test(clearing_leaves_nothing_and_touches_nothing_else),
		cmocka_unit_test(another_salt_is_another_set),
		cmocka_unit_test(a_full_set_takes_no_more_and_keeps_what_it_has),
		cmocka_unit_test(a_table_full_of_rubbish_has_nothing_and_takes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
