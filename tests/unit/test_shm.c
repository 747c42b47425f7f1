/* The shared mapping: its size in memory, claims of slots, damage, wake-ups, published addresses.
 * TEST VARIANTS: asan tsan plain */
#include "processes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>

#include "mms_lock.h"
#include "mms_shm.h"

#define CLUSTERS 8
#define MAILBOX_SIZE (32u << 20)

static struct mms_shm *shm_of(uint32_t clusters)
{
	struct mms_error error = { "" };
	struct mms_shm *shm = mms_shm_map(clusters, MAILBOX_SIZE, &error);

	assert_string_equal(error.text, "");
	assert_non_null(shm);
	assert_true(mms_shm_valid(shm));
	return shm;
}

static struct mms_settings *settings_of(const char *name)
{
	struct mms_settings *settings = calloc(1, sizeof(*settings));

	assert_non_null(settings);
	settings->node_count = 3;
	snprintf(settings->host_id, sizeof(settings->host_id), "%s", name);
	return settings;
}

static struct mms_cluster_sh *claim(struct mms_shm *shm, uint64_t fingerprint)
{
	struct mms_settings *settings = settings_of("host");
	struct mms_cluster_sh *cluster = mms_shm_cluster(shm, settings, fingerprint);

	free(settings);
	return cluster;
}

/* Bytes of the mapping that are in memory, whoever touched them. */
static size_t resident(const struct mms_shm *shm)
{
	const size_t page = (size_t) sysconf(_SC_PAGESIZE);
	const size_t pages = (size_t) shm->size / page;
	unsigned char *in_memory = malloc(pages);
	size_t count = 0;

	assert_non_null(in_memory);
	assert_int_equal(mincore((void *) (uintptr_t) shm, pages * page, in_memory), 0);
	for (size_t i = 0; i < pages; i++) {
		count += in_memory[i] & 1;
	}
	free(in_memory);
	return count * page;
}

static void a_mapping_takes_memory_only_as_it_is_used(void **state)
{
	const struct mms_mono now = mms_clock_mono();
	struct mms_shm *shm = shm_of(CLUSTERS);
	static char payload[8000];
	unsigned char header[MMS_RECORD_HEADER_SIZE] = { 0 };
	struct mms_parcel parcel = { .kind = MMS_PARCEL_PUT, .key = mms_slice_of("key"), .header = header,
			.payload = { payload, sizeof(payload) } };
	struct mms_cluster_sh *cluster;
	uint8_t epoch;

	(void) state;
	assert_true(shm->size > (uint64_t) CLUSTERS * MAILBOX_SIZE);
	print_message("mapped %zu KiB: %zu KiB in memory", (size_t) shm->size / 1024, resident(shm) / 1024);
	assert_true(resident(shm) < 1024 * 1024);
	cluster = claim(shm, 1);
	print_message(", one cluster: %zu KiB", resident(shm) / 1024);
	assert_true(resident(shm) < 1024 * 1024);
	epoch = mms_mailbox_take_over(&cluster->mailbox);
	for (int i = 0; i < 10000; i++) {
		const uint64_t tail = mms_mailbox_tail(&cluster->mailbox);

		assert_true(mms_mailbox_push(&cluster->mailbox, &parcel, now, NULL));
		assert_true(mms_mailbox_advance(&cluster->mailbox, epoch, tail, mms_mailbox_head(&cluster->mailbox), 1));
	}
	print_message(", after 80 MB of writes: %zu KiB\n", resident(shm) / 1024);
	assert_true(resident(shm) < 1024 * 1024);
	mms_shm_unmap(shm);
}

static void sizes_out_of_range_are_refused(void **state)
{
	struct mms_error error;

	(void) state;
	assert_null(mms_shm_map(0, MAILBOX_SIZE, &error));
	assert_non_null(strstr(error.text, "clusters"));
	assert_null(mms_shm_map(MMS_SHM_CLUSTERS_MAX + 1, MAILBOX_SIZE, &error));
	assert_null(mms_shm_map(1, MMS_MAILBOX_MIN_SIZE - 1, &error));
	assert_non_null(strstr(error.text, "mailbox"));
	assert_null(mms_shm_map(1, MMS_MAILBOX_MAX_SIZE + 1, &error));
	mms_shm_unmap(NULL);
}

static void mailboxes_are_rounded_up(void **state)
{
	struct mms_shm *shm = mms_shm_map(1, MMS_MAILBOX_MIN_SIZE + 1, NULL);

	(void) state;
	assert_non_null(shm);
	assert_true(mms_shm_valid(shm));
	assert_int_equal(claim(shm, 1)->mailbox.size, 2 * MMS_MAILBOX_MIN_SIZE);
	mms_shm_unmap(shm);
}

static void a_cluster_has_one_slot_with_its_settings(void **state)
{
	struct mms_shm *shm = shm_of(2);
	struct mms_settings *settings = settings_of("first");
	struct mms_cluster_sh *cluster;

	(void) state;
	assert_null(mms_shm_cluster_at(shm, 0));
	cluster = mms_shm_cluster(shm, settings, 11);
	assert_non_null(cluster);
	assert_memory_equal(&cluster->settings, settings, sizeof(*settings));
	assert_int_equal(cluster->claimer_uid, geteuid());
	assert_ptr_not_equal(claim(shm, 12), cluster);
	assert_null(claim(shm, 13));
	assert_ptr_equal(mms_shm_cluster(shm, settings, 11), cluster);
	free(settings);
	assert_ptr_equal(mms_shm_cluster_at(shm, 0), cluster);
	assert_non_null(mms_shm_cluster_at(shm, 1));
	assert_null(mms_shm_cluster_at(shm, 2));
	assert_true(mms_shm_valid(shm));
	mms_shm_unmap(shm);
}

static void unsound_settings_claim_nothing(void **state)
{
	struct mms_shm *shm = shm_of(1);
	struct mms_settings *settings = settings_of("host");

	(void) state;
	assert_null(mms_shm_cluster(shm, settings, 0));
	settings->node_count = MMS_NODES_MAX + 1;
	assert_null(mms_shm_cluster(shm, settings, 1));
	settings->node_count = 1;
	memset(settings->nodes[0].address, 'x', sizeof(settings->nodes[0].address));
	assert_null(mms_shm_cluster(shm, settings, 1));
	assert_null(mms_shm_cluster_at(shm, 0));
	free(settings);
	mms_shm_unmap(shm);
}

struct claimer {
	struct mms_shm *shm;
	uint64_t fingerprint;
	_Atomic uint32_t *go;
};

static int claim_with_the_others(void *argument)
{
	const struct claimer *claimer = argument;
	struct mms_cluster_sh *cluster;

	while (atomic_load(claimer->go) == 0) {
		nap_us(20);
	}
	cluster = claim(claimer->shm, claimer->fingerprint);
	return cluster != NULL && cluster->settings.node_count == 3 && cluster->mailbox.size == MAILBOX_SIZE ? 0 : 1;
}

static void processes_claiming_at_once_agree(void **state)
{
	struct mms_shm *shm = shm_of(4);
	_Atomic uint32_t *go = shared_pages(4096);
	pid_t pids[12];
	uint64_t seen = 0;

	(void) state;
	for (unsigned i = 0; i < 12; i++) {
		struct claimer claimer = { shm, 1 + i % 4, go };

		pids[i] = spawn(claim_with_the_others, &claimer);
	}
	atomic_store(go, 1);
	for (unsigned i = 0; i < 12; i++) {
		assert_exits_with_0(pids[i]);
	}
	for (uint32_t i = 0; i < 4; i++) {
		seen |= UINT64_C(1) << atomic_load(&mms_shm_cluster_at(shm, i)->fingerprint);
	}
	assert_int_equal(seen, 2 + 4 + 8 + 16);
	munmap(go, 4096);
	mms_shm_unmap(shm);
}

/* As one that is killed, or stopped, in the middle of a claim: it has the lock and has written half of it. */
static int claim_halfway(void *argument)
{
	struct mms_shm *shm = argument;
	char *slot = (char *) shm + shm->slot_offset;
	const size_t kept = offsetof(struct mms_cluster_sh, settings);

	if (mms_lock_try(&shm->slots_lock) != MMS_LOCK_TAKEN) {
		return 1;
	}
	memset(slot + kept, 0xab, sizeof(struct mms_cluster_sh) - kept);
	raise(SIGSTOP);
	mms_lock_release(&shm->slots_lock);
	return 0;
}

static void a_half_claimed_slot_is_claimed_anew(void **state)
{
	struct mms_shm *shm = shm_of(1);
	const pid_t pid = spawn(claim_halfway, shm);
	struct mms_cluster_sh *cluster;

	(void) state;
	assert_true(WIFSTOPPED(await_child(pid, WUNTRACED)));
	kill_child(pid);
	cluster = claim(shm, 1);
	assert_non_null(cluster);
	assert_true(mms_shm_valid(shm));
	assert_int_equal(atomic_load(&cluster->election.owner_pid), 0);
	assert_int_equal(atomic_load(&cluster->nodes[MMS_NODES_MAX - 1].acked_count), 0);
	assert_int_equal(atomic_load(&cluster->hints.overflow_mask), 0);
	assert_int_equal(mms_mailbox_used(&cluster->mailbox), 0);
	assert_int_equal(mms_lock_try(&cluster->election.seats[0]), MMS_LOCK_TAKEN);
	mms_lock_release(&cluster->election.seats[0]);
	mms_shm_unmap(shm);
}

/* As on a host that is short of processors while all workers start. */
static int let_go_on_late(void *argument)
{
	nap_us(300000);
	return kill(*(pid_t *)argument, SIGCONT);
}

static void a_claimer_that_stands_still_for_a_moment_is_waited_for(void **state)
{
	struct mms_shm *shm = shm_of(2);
	pid_t claimer = spawn(claim_halfway, shm), other;

	(void) state;
	assert_true(WIFSTOPPED(await_child(claimer, WUNTRACED)));
	other = spawn(let_go_on_late, &claimer);
	assert_non_null(claim(shm, 1));
	assert_exits_with_0(claimer);
	assert_exits_with_0(other);
	mms_shm_unmap(shm);
}

static void a_stopped_claimer_delays_one_claim_and_no_known_cluster(void **state)
{
	struct mms_shm *shm = shm_of(2);
	const pid_t pid = spawn(claim_halfway, shm);
	int64_t before;

	(void) state;
	assert_true(WIFSTOPPED(await_child(pid, WUNTRACED)));
	before = now_us();
	assert_null(claim(shm, 1));
	assert_in_range(now_us() - before, 1000000, 1200000);
	before = now_us();
	for (int i = 0; i < 20; i++) {
		assert_null(claim(shm, 1));
	}
	assert_true(now_us() - before < 200000);
	kill(pid, SIGCONT);
	assert_exits_with_0(pid);
	assert_non_null(claim(shm, 1));
	mms_shm_unmap(shm);
}

static void a_wake_reaches_a_sleeper_and_a_kick_everybody(void **state)
{
	struct mms_shm *shm = shm_of(1);
	struct mms_cluster_sh *cluster = claim(shm, 1);
	const int fd = atomic_load(&cluster->wake_fd);
	const uint64_t nearly_full = UINT64_MAX - 1;
	uint64_t wakes;

	(void) state;
	mms_shm_wake(cluster);
	assert_int_equal(read(fd, &wakes, sizeof(wakes)), -1);
	assert_int_equal(errno, EAGAIN);
	assert_true(mms_mailbox_fall_asleep(&cluster->mailbox, mms_mailbox_head(&cluster->mailbox)));
	mms_shm_wake(cluster);
	mms_shm_wake(cluster);
	assert_int_equal(read(fd, &wakes, sizeof(wakes)), sizeof(wakes));
	assert_int_equal(wakes, 1);
	mms_shm_kick(cluster);
	assert_int_equal(read(fd, &wakes, sizeof(wakes)), sizeof(wakes));
	assert_int_equal(write(fd, &nearly_full, sizeof(nearly_full)), sizeof(nearly_full));
	mms_shm_kick(cluster); /* returns */
	mms_shm_unmap(shm);
}

static int map_without_standard_descriptors(void *argument)
{
	struct mms_shm *shm;

	(void) argument;
	close(0);
	close(1);
	close(2);
	shm = mms_shm_map(3, MMS_MAILBOX_MIN_SIZE, NULL);
	return shm != NULL && mms_shm_valid(shm) && fcntl(0, F_GETFD) < 0 && fcntl(1, F_GETFD) < 0
			&& fcntl(2, F_GETFD) < 0 ? 0 : 1;
}

static void descriptors_are_closed_on_exec_and_never_standard_ones(void **state)
{
	struct mms_shm *shm = shm_of(1);
	const int fd = atomic_load(&claim(shm, 1)->wake_fd);

	(void) state;
	assert_true(fd > 2);
	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	mms_shm_unmap(shm);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_exits_with_0(spawn(map_without_standard_descriptors, NULL));
}

static void sequences_go_up_and_mappings_differ(void **state)
{
	struct mms_shm *one = shm_of(1);
	struct mms_shm *two = shm_of(1);

	(void) state;
	assert_int_equal(mms_shm_next_sequence(one), 1);
	assert_int_equal(mms_shm_next_sequence(one), 2);
	atomic_store(&one->write_sequence, UINT64_C(1) << 48);
	assert_true(mms_shm_next_sequence(one) < UINT64_C(1) << 48);
	assert_int_not_equal(one->mapping_random, 0);
	assert_int_not_equal(one->mapping_random, two->mapping_random);
	mms_shm_unmap(one);
	mms_shm_unmap(two);
}

static void assert_damage_is_seen(struct mms_shm *shm, void *field, size_t size)
{
	unsigned char saved[8];

	memcpy(saved, field, size);
	for (int i = 0; i < 4; i++) {
		static const unsigned char bytes[] = { 0x00, 0xff, 0x7f, 0x01 };

		memset(field, bytes[i], size);
		assert_true(memcmp(saved, field, size) == 0 || !mms_shm_valid(shm));
	}
	memcpy(field, saved, size);
	assert_true(mms_shm_valid(shm));
}

static void damaged_offsets_sizes_and_strings_are_seen(void **state)
{
	struct mms_shm *shm = shm_of(2);
	struct mms_cluster_sh *cluster = claim(shm, 1);
	char saved[MMS_HOST_ID_MAX + 1];

	(void) state;
	assert_damage_is_seen(shm, &shm->magic, sizeof(shm->magic));
	assert_damage_is_seen(shm, &shm->layout, sizeof(shm->layout));
	assert_damage_is_seen(shm, &shm->size, sizeof(shm->size));
	assert_damage_is_seen(shm, &shm->slot_offset, sizeof(shm->slot_offset));
	assert_damage_is_seen(shm, &shm->slot_size, sizeof(shm->slot_size));
	assert_damage_is_seen(shm, &shm->slot_count, sizeof(shm->slot_count));
	assert_damage_is_seen(shm, &cluster->hints.capacity, sizeof(cluster->hints.capacity));
	assert_damage_is_seen(shm, &cluster->hints.table_offset, sizeof(cluster->hints.table_offset));
	assert_damage_is_seen(shm, &cluster->mailbox.size, sizeof(cluster->mailbox.size));
	assert_damage_is_seen(shm, &cluster->mailbox.ring_offset, sizeof(cluster->mailbox.ring_offset));
	assert_damage_is_seen(shm, &cluster->settings.node_count, sizeof(cluster->settings.node_count));
	memcpy(saved, cluster->settings.host_id, sizeof(saved));
	memset(cluster->settings.host_id, 'x', sizeof(saved));
	assert_false(mms_shm_valid(shm));
	memcpy(cluster->settings.host_id, saved, sizeof(saved));
	assert_true(mms_shm_valid(shm));
	mms_shm_unmap(shm);
}

/* Who may choose nodes and prefix can make settings of any fingerprint. */
static void a_slot_whose_fingerprint_was_made_to_fit_is_not_given_away(void **state)
{
	struct mms_shm *shm = shm_of(2);
	struct mms_settings *ours = settings_of("host"), *theirs = settings_of("host");
	const uint64_t fingerprint = mms_config_fingerprint(ours);
	struct mms_cluster_sh *cluster = mms_shm_cluster(shm, ours, fingerprint);

	(void) state;
	assert_non_null(cluster);
	assert_ptr_equal(mms_shm_cluster(shm, theirs, fingerprint), cluster);
	strcpy(theirs->prefix, "theirs:");
	assert_null(mms_shm_cluster(shm, theirs, fingerprint));
	strcpy(theirs->prefix, "");
	strcpy(theirs->nodes[2].address, "tcp://10.0.0.9:6379");
	assert_null(mms_shm_cluster(shm, theirs, fingerprint));
	assert_memory_equal(&cluster->settings, ours, sizeof(*ours));
	free(theirs);
	free(ours);
	mms_shm_unmap(shm);
}

static void a_slot_whose_settings_were_written_over_gets_its_own_again(void **state)
{
	struct mms_shm *shm = shm_of(2);
	struct mms_settings *settings = settings_of("host");
	const uint64_t fingerprint = mms_config_fingerprint(settings);
	struct mms_cluster_sh *cluster = mms_shm_cluster(shm, settings, fingerprint);

	(void) state;
	assert_non_null(cluster);
	cluster->settings.read_timeout_ms = UINT32_MAX;
	assert_ptr_equal(mms_shm_cluster(shm, settings, fingerprint), cluster);
	assert_memory_equal(&cluster->settings, settings, sizeof(*settings));
	strcpy(cluster->settings.nodes[1].address, "tcp://10.0.0.9:6379");
	assert_ptr_equal(mms_shm_cluster(shm, settings, fingerprint), cluster);
	assert_memory_equal(&cluster->settings, settings, sizeof(*settings));
	free(settings);
	mms_shm_unmap(shm);
}

static void assert_is_mended(struct mms_shm *shm, const struct mms_shm_shape *shape, void *field, size_t size)
{
	unsigned char saved[8];

	memcpy(saved, field, size);
	memset(field, 0x5a, size);
	assert_false(mms_shm_mend(shm, shape, NULL));
	assert_memory_equal(field, saved, size);
	assert_true(mms_shm_mend(shm, shape, NULL));
}

static void what_never_changes_is_put_right(void **state)
{
	struct mms_shm *shm = shm_of(2);
	struct mms_cluster_sh *cluster = claim(shm, 1), *unused = (void *) ((char *) cluster + shm->slot_size);
	struct mms_shm_shape shape;

	(void) state;
	mms_shm_remember(shm, &shape);
	assert_true(mms_shm_mend(shm, &shape, NULL));
	assert_is_mended(shm, &shape, &shm->magic, sizeof(shm->magic));
	assert_is_mended(shm, &shape, &shm->layout, sizeof(shm->layout));
	assert_is_mended(shm, &shape, &shm->size, sizeof(shm->size));
	assert_is_mended(shm, &shape, &shm->slot_offset, sizeof(shm->slot_offset));
	assert_is_mended(shm, &shape, &shm->slot_size, sizeof(shm->slot_size));
	assert_is_mended(shm, &shape, &shm->slot_count, sizeof(shm->slot_count));
	assert_is_mended(shm, &shape, &shm->mapping_random, sizeof(shm->mapping_random));
	assert_is_mended(shm, &shape, &cluster->wake_fd, sizeof(cluster->wake_fd));
	assert_is_mended(shm, &shape, &unused->wake_fd, sizeof(unused->wake_fd));
	assert_int_equal(atomic_load(&cluster->hints.overflow_mask), 0);
	assert_is_mended(shm, &shape, &cluster->hints.capacity, sizeof(cluster->hints.capacity));
	assert_int_equal(atomic_load(&cluster->hints.overflow_mask), UINT64_MAX);
	assert_true(mms_hints_overflow_count(&cluster->hints, 3) > 0); /* a scan that began before does not end it */
	assert_false(mms_hints_end_overflow(&cluster->hints, 3, 0));
	assert_is_mended(shm, &shape, &cluster->hints.table_offset, sizeof(cluster->hints.table_offset));
	assert_is_mended(shm, &shape, &cluster->mailbox.size, sizeof(cluster->mailbox.size));
	assert_is_mended(shm, &shape, &cluster->mailbox.ring_offset, sizeof(cluster->mailbox.ring_offset));
	atomic_store(&unused->wake_fd, 0);
	assert_true(mms_shm_mend(shm, &shape, cluster));
	assert_false(mms_shm_mend(shm, &shape, unused));
	assert_true(mms_shm_valid(shm));
	mms_shm_unmap(shm);
}

static struct sockaddr_in address_of(unsigned number)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t) number) };

	address.sin_addr.s_addr = htonl(number * 0x01010101u);
	return address;
}

static bool address_is(const struct sockaddr_storage *found, uint32_t len, unsigned number)
{
	const struct sockaddr_in expected = address_of(number);

	return len == sizeof(expected) && memcmp(found, &expected, sizeof(expected)) == 0;
}

static void publish(struct mms_node_sh *node, unsigned number)
{
	const struct sockaddr_in address = address_of(number);

	mms_shm_publish_address(node, (const struct sockaddr *) &address, sizeof(address));
}

static void addresses_are_read_as_they_were_published(void **state)
{
	struct mms_shm *shm = shm_of(1);
	struct mms_node_sh *node = &claim(shm, 1)->nodes[1];
	struct sockaddr_storage found;
	uint32_t len;

	(void) state;
	assert_false(mms_shm_node_address(node, &found, &len));
	publish(node, 1);
	assert_true(mms_shm_node_address(node, &found, &len));
	assert_true(address_is(&found, len, 1));
	/* A replicator that died in between, and two that wrote at once. */
	atomic_fetch_add(&node->address_sequence, 1);
	assert_false(mms_shm_node_address(node, &found, &len));
	publish(node, 2);
	assert_true(mms_shm_node_address(node, &found, &len) && address_is(&found, len, 2));
	atomic_fetch_xor(&node->address[0], UINT64_C(1) << 40);
	assert_false(mms_shm_node_address(node, &found, &len));
	publish(node, 3);
	assert_true(mms_shm_node_address(node, &found, &len) && address_is(&found, len, 3));
	atomic_store(&node->address_len, UINT32_MAX);
	assert_false(mms_shm_node_address(node, &found, &len));
	mms_shm_publish_address(node, NULL, 0);
	assert_false(mms_shm_node_address(node, &found, &len));
	mms_shm_publish_address(node, (const struct sockaddr *) &found, sizeof(found) + 1);
	assert_false(mms_shm_node_address(node, &found, &len));
	mms_shm_unmap(shm);
}

struct post {
	struct mms_node_sh *node;
	_Atomic bool done;
};

static void *publish_many(void *argument)
{
	struct post *post = argument;

	for (unsigned i = 0; i < 20000; i++) {
		publish(post->node, 1 + i % 2);
	}
	atomic_store(&post->done, true);
	return NULL;
}

static void readers_never_see_two_addresses_mixed(void **state)
{
	struct mms_shm *shm = shm_of(1);
	struct post post = { .node = &claim(shm, 1)->nodes[0] };
	struct sockaddr_storage found;
	pthread_t threads[2];
	uint32_t len;

	(void) state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, publish_many, &post), 0);
	}
	while (!atomic_load(&post.done)) {
		if (mms_shm_node_address(post.node, &found, &len)) {
			assert_true(address_is(&found, len, 1) || address_is(&found, len, 2));
		}
	}
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
	}
	mms_shm_unmap(shm);
}

/* With more lives than places the longest silent one is given up; when it stirs again it takes nobody else's. */
static void a_life_that_was_given_up_gets_a_place_of_its_own_again(void **state)
{
	struct mms_shm *shm = shm_of(CLUSTERS);
	struct mms_cluster_sh *cluster;
	const struct mms_sighting_sh *found;

	(void) state;
	cluster = claim(shm, 1);
	for (uint64_t life = 1; life <= MMS_SIGHTINGS_MAX + 1; life++) {
		mms_shm_note_sighting(cluster, life, 10 * life, (int64_t) life);
	}
	assert_null(mms_shm_find_sighting(cluster, 1));
	found = mms_shm_find_sighting(cluster, MMS_SIGHTINGS_MAX + 1);
	assert_int_equal(atomic_load(&found->beat), 10 * (MMS_SIGHTINGS_MAX + 1));
	mms_shm_note_sighting(cluster, 1, 11, 100000);
	assert_int_equal(atomic_load(&mms_shm_find_sighting(cluster, 1)->beat), 11);
	assert_null(mms_shm_find_sighting(cluster, 2));
	for (uint64_t life = 3; life <= MMS_SIGHTINGS_MAX + 1; life++) {
		found = mms_shm_find_sighting(cluster, life);
		assert_int_equal(atomic_load(&found->beat), 10 * life);
		assert_int_equal(atomic_load(&found->changed_us), life);
	}
	mms_shm_note_sighting(cluster, 1, 12, 100001);
	assert_int_equal(atomic_load(&mms_shm_find_sighting(cluster, 1)->beat), 12);
	assert_non_null(mms_shm_find_sighting(cluster, 3));
	mms_shm_unmap(shm);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mapping_takes_memory_only_as_it_is_used),
		cmocka_unit_test(sizes_out_of_range_are_refused),
		cmocka_unit_test(mailboxes_are_rounded_up),
		cmocka_unit_test(a_cluster_has_one_slot_with_its_settings),
		cmocka_unit_test(unsound_settings_claim_nothing),
		cmocka_unit_test(processes_claiming_at_once_agree),
		cmocka_unit_test(a_half_claimed_slot_is_claimed_anew),
		cmocka_unit_test(a_claimer_that_stands_still_for_a_moment_is_waited_for),
		cmocka_unit_test(a_stopped_claimer_delays_one_claim_and_no_known_cluster),
		cmocka_unit_test(a_wake_reaches_a_sleeper_and_a_kick_everybody),
		cmocka_unit_test(descriptors_are_closed_on_exec_and_never_standard_ones),
		cmocka_unit_test(sequences_go_up_and_mappings_differ),
		cmocka_unit_test(damaged_offsets_sizes_and_strings_are_seen),
		cmocka_unit_test(a_slot_whose_fingerprint_was_made_to_fit_is_not_given_away),
		cmocka_unit_test(a_slot_whose_settings_were_written_over_gets_its_own_again),
		cmocka_unit_test(what_never_changes_is_put_right),
		cmocka_unit_test(addresses_are_read_as_they_were_published),
		cmocka_unit_test(readers_never_see_two_addresses_mixed),
		cmocka_unit_test(a_life_that_was_given_up_gets_a_place_of_its_own_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
