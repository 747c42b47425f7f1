/* Spin: when a wait is spun for, and how often after spins in vain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mms_spin.h"

#define NEAR_US 40

static void one_core_or_no_limit_means_never(void **state)
{
	struct mms_spin spin;

	(void) state;
	mms_spin_init(&spin, 50, 1);
	assert_false(mms_spin_begin(&spin, NEAR_US));
	mms_spin_init(&spin, 0, 8);
	assert_false(mms_spin_begin(&spin, NEAR_US));
}

static void far_nodes_are_slept_for(void **state)
{
	struct mms_spin spin;

	(void) state;
	mms_spin_init(&spin, 50, 2);
	assert_true(mms_spin_begin(&spin, 0));
	assert_true(mms_spin_begin(&spin, MMS_SPIN_NEAR_US));
	assert_false(mms_spin_begin(&spin, MMS_SPIN_NEAR_US + 1));
	assert_int_equal(spin.skip, 0);
}

static uint32_t left_out_after_a_failure(struct mms_spin *spin)
{
	uint32_t count = 0;

	mms_spin_end(spin, false);
	while (!mms_spin_begin(spin, NEAR_US)) {
		count++;
	}
	return count;
}

static void spins_in_vain_double_what_is_left_out_up_to_a_bound(void **state)
{
	struct mms_spin spin;

	(void) state;
	mms_spin_init(&spin, 50, 2);
	assert_true(mms_spin_begin(&spin, NEAR_US));
	for (uint32_t expected = 2; expected <= 512; expected *= 2) {
		assert_int_equal(left_out_after_a_failure(&spin), expected);
	}
	assert_int_equal(left_out_after_a_failure(&spin), 512);
}

static void success_takes_one_step_back(void **state)
{
	struct mms_spin spin;

	(void) state;
	mms_spin_init(&spin, 50, 2);
	assert_int_equal(left_out_after_a_failure(&spin), 2);
	assert_int_equal(left_out_after_a_failure(&spin), 4);
	mms_spin_end(&spin, true);
	assert_int_equal(left_out_after_a_failure(&spin), 4);
	for (unsigned k = 0; k < 5; k++) {
		mms_spin_end(&spin, true);
		assert_true(mms_spin_begin(&spin, NEAR_US));
	}
	assert_int_equal(left_out_after_a_failure(&spin), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_core_or_no_limit_means_never),
		cmocka_unit_test(far_nodes_are_slept_for),
		cmocka_unit_test(spins_in_vain_double_what_is_left_out_up_to_a_bound),
		cmocka_unit_test(success_takes_one_step_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
