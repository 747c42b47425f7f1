/* A machine that slept, or a request that ran, for longer than a tombstone's grace: what was read before it is not written. */
#include "store.h"

#include <sys/syscall.h>
#include <time.h>

static int64_t slept_s;

/* Stands in for the C library's: the clock that goes on while the machine sleeps is ours to move. */
int clock_gettime(clockid_t clock, struct timespec *time)
{
	const int result = (int) syscall(SYS_clock_gettime, clock, time);

	if (clock == CLOCK_BOOTTIME) {
		time->tv_sec += slept_s;
	}
	return result;
}

static void a_write_an_hour_after_its_read_is_refused(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	host_meet(host);
	visit(host, "s", "first");
	request_begin(&request, host);
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	slept_s += MMS_TOMBSTONE_GRACE_MS / 1000 - 60;
	assert_int_equal(request_write(&request, "s", "second"), MMS_OK);
	slept_s += 61;
	assert_int_equal(request_write(&request, "s", "third"), MMS_ERR_GUARD);
	assert_non_null(strstr(request.error.text, "60 minutes"));
	assert_true(node_has(0, "s", "second", NULL));
	assert_int_equal(host_metric(host, MMS_METRIC_refused_writes), 1);
	assert_int_equal(request_read(&request, "s"), MMS_OK);
	assert_int_equal(request_write(&request, "s", "fourth"), MMS_OK);
	request_end(&request);
	host_free(host);
}

/* Nor is it prolonged: where nothing stands any more, a touch would put it there, and the logout may be forgotten. */
static void an_unchanged_session_an_hour_after_its_read_is_let_alone(void **state)
{
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	host->client->settings.touch_interval_s = 0;
	host_meet(host);
	for (int64_t late_s = 0; late_s < 2; late_s++) {
		visit(host, "s", "first");
		request_begin(&request, host);
		assert_int_equal(request_read(&request, "s"), MMS_OK);
		for (unsigned node = 0; node < 3; node++) {
			node_do(node, "DEL", RIG_PREFIX "s");
		}
		slept_s += MMS_TOMBSTONE_GRACE_MS / 1000 - 1 + 2 * late_s;
		assert_int_equal(request_touch(&request, "s", "first"), MMS_OK);
		assert_int_equal(node_number(0, "EXISTS", RIG_PREFIX "s"), 1 - late_s);
		request_end(&request);
	}
	assert_int_equal(host_metric(host, MMS_METRIC_touches), 1);
	host_free(host);
}

/* What was left of its session's life when a page began is not what is left when it ends. */
static void a_page_that_ran_for_long_prolongs_its_session(void **state)
{
	static const int64_t runs_s[] = { 1, 301, 2000 };
	struct request request;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	host_meet(host);
	visit(host, "s", "first");
	for (uint64_t run = 0; run < 3; run++) {
		request_begin(&request, host);
		assert_int_equal(request_read(&request, "s"), MMS_OK);
		slept_s += runs_s[run];
		for (unsigned node = 0; node < 3 && runs_s[run] > 1440; node++) {
			node_do(node, "DEL", RIG_PREFIX "s"); /* it has expired meanwhile, and is brought back */
		}
		assert_int_equal(request_touch(&request, "s", "first"), MMS_OK);
		assert_int_equal(host_metric(host, MMS_METRIC_touches), run);
		assert_int_equal(node_number(0, "EXISTS", RIG_PREFIX "s"), 1);
		request_end(&request);
	}
	host_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_write_an_hour_after_its_read_is_refused),
		cmocka_unit_test(an_unchanged_session_an_hour_after_its_read_is_let_alone),
		cmocka_unit_test(a_page_that_ran_for_long_prolongs_its_session),
	};

	return rig_run(tests);
}
