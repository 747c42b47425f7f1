/* Metrics: every counter has its own number and name; many threads lose nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "mms_metrics.h"

#define THREADS 4
#define ADDITIONS 20000

static void every_counter_is_its_own(void **state)
{
	struct mms_metrics_sh metrics = {0};

	(void) state;
	assert_int_equal(sizeof(metrics), MMS_METRIC_COUNT * sizeof(uint64_t));
	for (unsigned metric = 0; metric < MMS_METRIC_COUNT; metric++) {
		mms_metrics_add(&metrics, metric, metric + 1);
	}
	for (unsigned metric = 0; metric < MMS_METRIC_COUNT; metric++) {
		assert_int_equal(mms_metrics_get(&metrics, metric), metric + 1);
	}
	mms_metrics_add(&metrics, MMS_METRIC_reads, UINT64_C(1) << 40);
	assert_true(atomic_load(&metrics.reads) == (UINT64_C(1) << 40) + 1);
	assert_int_equal(atomic_load(&metrics.noscripts), MMS_METRIC_noscripts + 1);
}

static void names_are_those_of_the_fields_and_all_different(void **state)
{
	(void) state;
	assert_string_equal(mms_metrics_name(MMS_METRIC_reads), "reads");
	assert_string_equal(mms_metrics_name(MMS_METRIC_corrupt_records), "corrupt_records");
	assert_string_equal(mms_metrics_name(MMS_METRIC_noscripts), "noscripts");
	for (unsigned a = 0; a < MMS_METRIC_COUNT; a++) {
		for (unsigned b = a + 1; b < MMS_METRIC_COUNT; b++) {
			assert_string_not_equal(mms_metrics_name(a), mms_metrics_name(b));
		}
	}
}

static void numbers_beyond_the_list_touch_nothing(void **state)
{
	struct mms_metrics_sh metrics[2];

	(void) state;
	memset(metrics, 0, sizeof(metrics));
	mms_metrics_add(metrics, MMS_METRIC_COUNT, 1);
	mms_metrics_add(metrics, (enum mms_metric) -1, 1);
	assert_int_equal(mms_metrics_get(metrics, MMS_METRIC_COUNT), 0);
	assert_int_equal(mms_metrics_get(&metrics[1], MMS_METRIC_reads), 0);
	assert_string_equal(mms_metrics_name(MMS_METRIC_COUNT), "");
}

static void *add_many(void *metrics)
{
	for (int count = 0; count < ADDITIONS; count++) {
		mms_metrics_add(metrics, MMS_METRIC_writes, 1);
		mms_metrics_add(metrics, MMS_METRIC_mirrored, 2);
	}
	return NULL;
}

static void threads_lose_no_addition(void **state)
{
	struct mms_metrics_sh metrics = {0};
	pthread_t threads[THREADS];

	(void) state;
	for (int index = 0; index < THREADS; index++) {
		assert_int_equal(pthread_create(&threads[index], NULL, add_many, &metrics), 0);
	}
	for (int index = 0; index < THREADS; index++) {
		assert_int_equal(pthread_join(threads[index], NULL), 0);
	}
	assert_int_equal(mms_metrics_get(&metrics, MMS_METRIC_writes), THREADS * ADDITIONS);
	assert_int_equal(mms_metrics_get(&metrics, MMS_METRIC_mirrored), 2 * THREADS * ADDITIONS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_counter_is_its_own),
		cmocka_unit_test(names_are_those_of_the_fields_and_all_different),
		cmocka_unit_test(numbers_beyond_the_list_touch_nothing),
		cmocka_unit_test(threads_lose_no_addition),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
