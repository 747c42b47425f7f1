/* One process with several request threads (ZTS), so that the thread sanitizer can watch.
 * TEST VARIANTS: asan tsan */
#include "rig.h"

#include <pthread.h>

#include "mms_lock.h"
#include "mms_process.h"
#include "mms_replicator.h"

#define THREADS 3
#define TENDED_FOR_US 1000000 /* some ten times as long as the pause between two starts of one thread */

struct requests {
	struct mms_process *process;
	struct host host;
	_Atomic bool over;
};

static void *make_requests(void *argument)
{
	struct requests *requests = argument;

	while (!atomic_load(&requests->over)) {
		(void) mms_process_generation(requests->process);
		mms_process_tend(requests->process, requests->host.cluster, &requests->host.settings, 0);
	}
	return NULL;
}

/* As other processes would: whoever is started finds no place and ends. Nobody beats, so requests go on starting one. */
static void take_all_places(struct mms_election_sh *election)
{
	for (unsigned seat = 0; seat < MMS_ELECTION_SEATS; seat++) {
		assert_int_not_equal(mms_lock_try(&election->seats[seat]), MMS_LOCK_BUSY);
	}
	assert_int_not_equal(mms_lock_try(&election->standby), MMS_LOCK_BUSY);
}

static void leave_all_places(struct mms_election_sh *election)
{
	mms_lock_release(&election->standby);
	for (unsigned seat = 0; seat < MMS_ELECTION_SEATS; seat++) {
		mms_lock_release(&election->seats[seat]);
	}
}

static void requests_of_all_threads_tend_while_replicators_end_and_are_started_anew(void **state)
{
	struct requests requests = { .over = false };
	struct mms_error error = { "" };
	pthread_t threads[THREADS];

	(void) state;
	rig_fresh();
	requests.process = mms_process_new(1, RIG_MAILBOX, &error);
	assert_non_null(requests.process);
	settings_default(&requests.host.settings, 1, "web1");
	requests.host.shm = mms_process_shm(requests.process);
	requests.host.client = client_on(requests.host.shm, &requests.host.settings);
	requests.host.cluster = requests.host.client->cluster;
	take_all_places(&requests.host.cluster->election);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, make_requests, &requests), 0);
	}
	nap_us(TENDED_FOR_US);
	assert_int_equal(atomic_load(&requests.host.cluster->election.owner_pid), 0);
	leave_all_places(&requests.host.cluster->election);
	await(atomic_load(&requests.host.cluster->election.owner_pid) == getpid());
	atomic_store(&requests.over, true);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
	mms_process_end(requests.process, 1000);
	mms_client_free(requests.host.client);
	mms_shm_unmap(requests.host.shm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_of_all_threads_tend_while_replicators_end_and_are_started_anew),
	};

	return rig_run(tests);
}
