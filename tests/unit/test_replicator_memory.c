/* A replicator that takes office without memory: whatever is not to be had, it leaves in order or does without, and is there as
 * soon as there is memory again. */
/* TEST WRAP: calloc event_config_new event_base_new_with_config event_new */
#include "crew.h"

#include <event2/event.h>
#include <pthread.h>

#define PLACES_MAX 60 /* where something is allocated in the thread until nodes are connected */

/* The one that fails, of those that threads ask for; 0 = none. */
static _Atomic int countdown;
static _Atomic unsigned failed_count;
static pthread_t test_thread;

static bool fails(void)
{
	if (pthread_equal(pthread_self(), test_thread) || atomic_load(&countdown) == 0 || atomic_fetch_sub(&countdown, 1) != 1) {
		return false;
	}
	atomic_fetch_add(&failed_count, 1);
	return true;
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
struct event_config *__real_event_config_new(void);
struct event_config *__wrap_event_config_new(void);
struct event_base *__real_event_base_new_with_config(const struct event_config *config);
struct event_base *__wrap_event_base_new_with_config(const struct event_config *config);
struct event *__real_event_new(struct event_base *base, evutil_socket_t fd, short what, event_callback_fn callback, void *argument);
struct event *__wrap_event_new(struct event_base *base, evutil_socket_t fd, short what, event_callback_fn callback, void *argument);

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

struct event_config *__wrap_event_config_new(void)
{
	return fails() ? NULL : __real_event_config_new();
}

struct event_base *__wrap_event_base_new_with_config(const struct event_config *config)
{
	return fails() ? NULL : __real_event_base_new_with_config(config);
}

struct event *__wrap_event_new(struct event_base *base, evutil_socket_t fd, short what, event_callback_fn callback, void *argument)
{
	return fails() ? NULL : __real_event_new(base, fd, what, callback, argument);
}

static struct mms_replicator *start(struct mms_replicator_host *in, struct host *host)
{
	struct mms_error error = { "" };
	struct mms_replicator *replicator = mms_replicator_start(in, host->cluster, &host->cluster->settings, &error);

	if (replicator == NULL) {
		fail_msg("%s", error.text);
	}
	return replicator;
}

static bool mirrors(struct host *host)
{
	return mailbox_is_empty(host) && node_has(1, "s", "data", NULL);
}

static void whatever_it_lacks_it_leaves_in_order_or_does_without(void **state)
{
	struct mms_descriptors *descriptors = calloc(1, sizeof(*descriptors));
	struct mms_replicator_host in = { .descriptors = descriptors };
	struct mms_replicator *replicator;
	unsigned left = 0;
	struct host *host;

	(void)state;
	test_thread = pthread_self();
	assert_non_null(descriptors);
	for (int place = 1; place <= PLACES_MAX; place++) {
		rig_fresh();
		host = crew_host(2);
		in.shm = host->shm;
		in.shape = &host->shape;
		put_session(host, "s", "data");
		atomic_store(&failed_count, 0);
		atomic_store(&countdown, place);
		replicator = start(&in, host);
		await(!mms_replicator_running(replicator) || mirrors(host));
		atomic_store(&countdown, 0);
		if (!mirrors(host)) {
			left++;
			assert_int_equal(atomic_load(&failed_count), 1);
			assert_true(mms_replicator_stop(replicator, 0, false));
			replicator = start(&in, host); /* as the next request does */
			await(mirrors(host));
		}
		/* It sleeps and is woken. */
		await(atomic_load(&host->cluster->mailbox.sleeping) == 1);
		put_session(host, "later", "data");
		await(mailbox_is_empty(host) && node_has(1, "later", "data", NULL));
		assert_true(mms_replicator_stop(replicator, 0, false));
		for (unsigned i = 0; i < MMS_DESCRIPTORS_MAX; i++) {
			assert_int_equal(atomic_load(&descriptors->slots[i]), 0);
		}
		host_free(host);
		if (atomic_load(&failed_count) == 0) {
			break; /* there are not so many places */
		}
	}
	assert_int_equal(atomic_load(&failed_count), 0);
	assert_in_range(left, 10, PLACES_MAX - 1);
	free(descriptors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_it_lacks_it_leaves_in_order_or_does_without),
	};

	return rig_run(tests);
}
