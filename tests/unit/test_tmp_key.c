/* Keys under which a record waits to be renamed: another for every writer and every write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "mms_tmp_key.h"

static void a_tmp_key_names_writer_and_write_within_the_prefix(void **state)
{
	char one[2 + MMS_TMP_KEY_EXTRA], other[2 + MMS_TMP_KEY_EXTRA];
	size_t len = mms_tmp_key("p:", 1, 0, one);

	(void) state;
	assert_int_equal(len, strlen(one));
	assert_int_equal(len, strlen("p::t") + 6 + 1);
	assert_memory_equal(one, "p::t", 4);
	mms_tmp_key("p:", 2, 0, other);
	assert_memory_not_equal(one, other, 10); /* neighbours look nothing alike */
	mms_tmp_key("p:", 1, 63, other);
	assert_memory_equal(one, other, 10);
	assert_string_equal(other + 10, "_");
	mms_tmp_key("p:", 1, 64, other);
	assert_string_equal(other + 10, "10");
	assert_int_equal(mms_tmp_key("p:", UINT64_MAX, UINT64_MAX, other), sizeof(other) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tmp_key_names_writer_and_write_within_the_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
