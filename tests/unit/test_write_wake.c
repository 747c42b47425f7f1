/* When a write wakes the replicator: before its thread sleeps for a node's answer, or when the answer is there.
 *
 * TEST LINK: mms_write
 * TEST WRAP: mms_shm_wake */
#include "rig.h"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include "mms_write.h"

struct late_write {
	struct host *host;
	_Atomic bool over;
	enum mms_status status;
};

static struct host *watched;     /* whose replicator is woken; NULL: nobody looks */
static uint64_t entry_at;         /* position of what he writes next */
static bool had_entry, knew_node; /* what the mailbox held when he woke it: the entry, and the node that has it */

void __real_mms_shm_wake(struct mms_cluster_sh *cluster);
void __wrap_mms_shm_wake(struct mms_cluster_sh *cluster);

void __wrap_mms_shm_wake(struct mms_cluster_sh *cluster)
{
	struct mms_mailbox_item item = { .have_mask = 0 };

	if (watched != NULL) {
		had_entry = mms_mailbox_peek(&cluster->mailbox, entry_at, &item) == 1;
		knew_node = had_entry && item.settled && item.have_mask == 1;
	}
	__real_mms_shm_wake(cluster);
}

static enum mms_status write_now(struct host *host, const char *payload)
{
	const struct mms_version version = { .hlc = stamp_ago(0), .writer = 1, .sequence = 1 };
	struct mms_write_result result;
	struct mms_write_order order;
	struct sample written;

	sample_make(&written, "s", &version, payload);
	order = (struct mms_write_order){
		.kind = MMS_PARCEL_PUT,
		.key = key_of("s"),
		.header_bytes = written.bytes,
		.payload = { (const char *) written.bytes + MMS_RECORD_HEADER_SIZE, written.len - MMS_RECORD_HEADER_SIZE },
		.ttl_ms = RIG_TTL_MS,
		.acks_needed = 1,
	};
	host_calm(host);
	return mms_write_record(host->client, &order, host_deadline(host), &result);
}

static void *write_late(void *context)
{
	struct late_write *late = context;

	late->status = write_now(late->host, "late");
	atomic_store(&late->over, true);
	return NULL;
}

static struct pollfd wake_of(const struct host *host)
{
	return (struct pollfd){ atomic_load(&host->cluster->wake_fd), POLLIN, 0 };
}

static void fall_asleep(struct host *host)
{
	assert_true(mms_mailbox_fall_asleep(&host->cluster->mailbox, mms_mailbox_head(&host->cluster->mailbox)));
}

/* The mirrors of a write that a silent node is waited for are not to wait with it. */
static void it_is_woken_before_the_writer_sleeps(void **state)
{
	struct late_write late = { .over = false };
	struct pollfd wake;
	pthread_t thread;

	(void) state;
	rig_fresh();
	late.host = host_new(1, "web1");
	assert_int_equal(write_now(late.host, "connects"), MMS_OK);
	fall_asleep(late.host);
	wake = wake_of(late.host);
	node_stop(0);
	assert_int_equal(pthread_create(&thread, NULL, write_late, &late), 0);
	assert_int_equal(poll(&wake, 1, 5000), 1);
	assert_false(atomic_load(&late.over));
	node_continue(0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(late.status, MMS_OK);
	host_free(late.host);
}

/* Who looks for the answer instead of sleeping wakes it afterwards, when the mailbox knows which node has the entry. */
static void it_is_woken_after_an_answer_that_was_looked_for(void **state)
{
	unsigned without_sleep = 0;
	struct pollfd wake;
	struct host *host;

	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	assert_int_equal(write_now(host, "connects"), MMS_OK);
	wake = wake_of(host);
	watched = host;
	for (unsigned i = 0; i < 1000 && without_sleep < 5; i++) {
		uint64_t count;

		mms_spin_init(&host->client->spin, 100000, 2);
		fall_asleep(host);
		entry_at = mms_mailbox_head(&host->cluster->mailbox);
		had_entry = knew_node = false;
		assert_int_equal(write_now(host, "more"), MMS_OK);
		assert_int_equal(poll(&wake, 1, 0), 1);
		assert_int_equal(read(wake.fd, &count, sizeof count), sizeof count);
		assert_true(had_entry);
		if (host->client->spin.failures == 0) { /* who slept woke it before */
			assert_true(knew_node);
			without_sleep++;
		}
	}
	watched = NULL;
	assert_int_equal(without_sleep, 5);
	host_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_woken_before_the_writer_sleeps),
		cmocka_unit_test(it_is_woken_after_an_answer_that_was_looked_for),
	};

	return rig_run(tests);
}
