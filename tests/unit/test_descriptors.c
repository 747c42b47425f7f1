/* The table of descriptors that a forked child closes. */
#include "processes.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

#include "mms_descriptors.h"

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0 || errno != EBADF;
}

static int open_one(void)
{
	const int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static unsigned count_of(const struct mms_descriptors *table)
{
	unsigned count = 0;

	for (unsigned i = 0; i < MMS_DESCRIPTORS_MAX; i++) {
		count += atomic_load(&table->slots[i]) != 0;
	}
	return count;
}

static void what_was_added_is_closed_and_what_was_removed_is_not(void **state)
{
	static struct mms_descriptors table;
	int kept = open_one(), gone = open_one(), stranger = open_one();

	(void) state;
	mms_descriptors_add(&table, kept);
	mms_descriptors_add(&table, gone);
	mms_descriptors_remove(&table, kept);
	mms_descriptors_close_all(&table);
	assert_true(is_open(kept));
	assert_true(is_open(stranger));
	assert_false(is_open(gone));
	assert_int_equal(count_of(&table), 0);
	close(kept);
	close(stranger);
}

static void descriptor_0_is_one_like_others(void **state)
{
	static struct mms_descriptors table;

	(void) state;
	mms_descriptors_add(&table, 0);
	assert_int_equal(count_of(&table), 1);
	mms_descriptors_remove(&table, 0);
	assert_int_equal(count_of(&table), 0);
}

static void no_descriptor_is_not_kept(void **state)
{
	static struct mms_descriptors table;

	(void) state;
	mms_descriptors_add(&table, -1);
	assert_int_equal(count_of(&table), 0);
	mms_descriptors_remove(&table, -1);
	mms_descriptors_remove(&table, 77);
	mms_descriptors_close_all(&table);
}

static void more_than_fit_are_not_kept_and_harm_nothing(void **state)
{
	static struct mms_descriptors table;

	(void) state;
	for (int fd = 1000; fd < 1000 + MMS_DESCRIPTORS_MAX + 5; fd++) {
		mms_descriptors_add(&table, fd);
	}
	assert_int_equal(count_of(&table), MMS_DESCRIPTORS_MAX);
	mms_descriptors_remove(&table, 1007);
	mms_descriptors_remove(&table, 1000 + MMS_DESCRIPTORS_MAX);
	assert_int_equal(count_of(&table), MMS_DESCRIPTORS_MAX - 1);
	mms_descriptors_add(&table, 2000);
	assert_int_equal(count_of(&table), MMS_DESCRIPTORS_MAX);
}

struct busy {
	struct mms_descriptors *table;
	int first;
};

static void *add_and_remove(void *argument)
{
	const struct busy *busy = argument;

	for (int round = 0; round < 300; round++) {
		for (int fd = busy->first; fd < busy->first + 20; fd++) {
			mms_descriptors_add(busy->table, fd);
		}
		for (int fd = busy->first; fd < busy->first + 20; fd++) {
			mms_descriptors_remove(busy->table, fd);
		}
	}
	mms_descriptors_add(busy->table, busy->first);
	return NULL;
}

static void threads_share_it(void **state)
{
	static struct mms_descriptors table;
	struct busy busy[4];
	pthread_t threads[4];

	(void) state;
	for (int i = 0; i < 4; i++) {
		busy[i] = (struct busy){ &table, 5000 + 100 * i };
		assert_int_equal(pthread_create(&threads[i], NULL, add_and_remove, &busy[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
	}
	assert_int_equal(count_of(&table), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_added_is_closed_and_what_was_removed_is_not),
		cmocka_unit_test(descriptor_0_is_one_like_others),
		cmocka_unit_test(no_descriptor_is_not_kept),
		cmocka_unit_test(more_than_fit_are_not_kept_and_harm_nothing),
		cmocka_unit_test(threads_share_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
