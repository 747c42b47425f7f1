/* The shared mapping. Its difficulty: it is made once, by a process that may be another than all that use it, and
 * whoever writes to it may be killed in between. So slots are published by one store, one half claimed is claimed anew,
 * and every offset is checked before it is followed. */
#include "mms_shm.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mms_lock.h"

#define PAGE_BYTES 4096u
#define PAGES(bytes) (((bytes) + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES)
#define SLOTS_OFFSET (PAGE_BYTES + PAGES(sizeof(struct mms_reservations_sh)))
/* Long: whoever is not let in has no sessions, and it is asked for once in a mapping's life, when all workers start at once. */
#define SLOTS_WAIT_MS 1000
#define ADDRESS_TRIES 16
#define ADDRESS_WORDS (sizeof(struct sockaddr_storage) / 8)
#define SEQUENCE_MASK ((UINT64_C(1) << 48) - 1)

/* Where things stand in a slot; all of it follows from the size of the mailbox. */
struct layout {
	uint64_t hints_offset, checkpoint_offset, ring_offset, slot_size; /* bytes from the start of the slot */
};

_Static_assert(sizeof(struct sockaddr_storage) % 8 == 0, "addresses are copied in words of 8 bytes");
_Static_assert(sizeof(struct mms_shm) <= PAGE_BYTES, "the first page is the mapping's own");

static bool sizes_allowed(uint32_t max_clusters, uint64_t *mailbox_size, struct mms_error *error);
static struct layout layout_for(uint64_t mailbox_size);
static uint64_t mailbox_size_of(const struct mms_shm *shm);
static uint64_t page_aligned(uint64_t size);
static enum mms_status prepare_mapping(struct mms_shm *shm, struct mms_error *error);
static struct mms_cluster_sh *slot_at(const struct mms_shm *shm, uint32_t index);
static bool slot_is_sound(const struct mms_shm *shm, uint32_t index);
static bool is_slot_of(struct mms_cluster_sh *cluster, const struct mms_settings *settings, uint64_t fingerprint);
static bool mend_cluster(struct mms_cluster_sh *cluster, const struct mms_shm_shape *shape, uint32_t index, bool in_use);
static struct mms_cluster_sh *find_slot(const struct mms_shm *shm, uint64_t fingerprint, bool *none_free);
static struct mms_cluster_sh *claim_slot_locked(struct mms_shm *shm, const struct mms_settings *settings,
		uint64_t fingerprint);
static bool prepare_slot_locked(struct mms_shm *shm, struct mms_cluster_sh *cluster,
		const struct mms_settings *settings);
static enum mms_status init_locks(struct mms_election_sh *election);
static uint32_t address_check(const void *address, uint32_t len);
static struct mms_sighting_sh *place_of_sighting(struct mms_cluster_sh *cluster, uint64_t name_hash);

struct mms_shm *mms_shm_map(uint32_t max_clusters, uint64_t mailbox_size, struct mms_error *error)
{
	struct mms_shm *shm;
	struct layout layout;
	uint64_t size;

	if (!sizes_allowed(max_clusters, &mailbox_size, error)) {
		return NULL;
	}
	layout = layout_for(mailbox_size);
	size = SLOTS_OFFSET + max_clusters * layout.slot_size;
	if (size > SIZE_MAX / 2) {
		mms_error_set(error, "shared memory: %u clusters with %llu bytes of mailbox each exceed the address space",
				max_clusters, (unsigned long long)mailbox_size);
		return NULL;
	}
	shm = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (shm == MAP_FAILED) {
		mms_error_set(error, "shared memory: %llu MiB of address space: %s; raise the limit (ulimit -v, LimitAS=), or lower "
				"mmsession.mailbox_size or mmsession.max_clusters", (unsigned long long)(size >> 20), strerror(errno));
		return NULL;
	}
	shm->size = size;
	shm->slot_offset = SLOTS_OFFSET;
	shm->slot_size = layout.slot_size;
	shm->slot_count = max_clusters;
	if (prepare_mapping(shm, error) != MMS_OK) {
		mms_shm_unmap(shm);
		return NULL;
	}
	return shm;
}

void mms_shm_unmap(struct mms_shm *shm)
{
	if (shm == NULL) {
		return;
	}
	for (uint32_t index = 0; index < shm->slot_count; index++) {
		const int fd = atomic_load(&slot_at(shm, index)->wake_fd);

		if (fd >= MMS_FD_FIRST) {
			close(fd);
		}
	}
	munmap(shm, (size_t)shm->size);
}

bool mms_shm_valid(const struct mms_shm *shm)
{
	if (shm->magic != MMS_SHM_MAGIC || shm->layout != MMS_SHM_LAYOUT || shm->slot_offset != SLOTS_OFFSET) {
		return false;
	}
	if (shm->slot_count == 0 || shm->slot_count > MMS_SHM_CLUSTERS_MAX || mailbox_size_of(shm) == 0
			|| shm->size != SLOTS_OFFSET + shm->slot_count * shm->slot_size) {
		return false;
	}
	for (uint32_t index = 0; index < shm->slot_count; index++) {
		if (!slot_is_sound(shm, index)) {
			return false;
		}
	}
	return true;
}

void mms_shm_remember(const struct mms_shm *shm, struct mms_shm_shape *shape)
{
	shape->size = shm->size;
	shape->slot_size = shm->slot_size;
	shape->slot_count = shm->slot_count;
	shape->mapping_random = shm->mapping_random;
	for (uint32_t index = 0; index < shape->slot_count; index++) {
		shape->wake_fds[index] = atomic_load_explicit(&slot_at(shm, index)->wake_fd, memory_order_relaxed);
	}
}

bool mms_shm_mend(struct mms_shm *shm, const struct mms_shm_shape *shape, const struct mms_cluster_sh *one)
{
	bool sound = shm->magic == MMS_SHM_MAGIC && shm->layout == MMS_SHM_LAYOUT && shm->size == shape->size
			&& shm->slot_offset == SLOTS_OFFSET && shm->slot_size == shape->slot_size
			&& shm->slot_count == shape->slot_count && shm->mapping_random == shape->mapping_random;

	if (!sound) {
		shm->magic = MMS_SHM_MAGIC;
		shm->layout = MMS_SHM_LAYOUT;
		shm->size = shape->size;
		shm->slot_offset = SLOTS_OFFSET;
		shm->slot_size = shape->slot_size;
		shm->slot_count = shape->slot_count;
		shm->mapping_random = shape->mapping_random;
	}
	for (uint32_t index = 0; index < shape->slot_count; index++) {
		struct mms_cluster_sh *cluster =
				(struct mms_cluster_sh *)((uintptr_t)shm + SLOTS_OFFSET + index * shape->slot_size);

		if (one == NULL || one == cluster) {
			sound = mend_cluster(cluster, shape, index, one != NULL) && sound;
		}
	}
	return sound;
}

struct mms_cluster_sh *mms_shm_cluster(struct mms_shm *shm, const struct mms_settings *settings, uint64_t fingerprint)
{
	struct mms_cluster_sh *cluster;
	bool none_free;

	if (fingerprint == 0 || !mms_config_sound(settings)) {
		return NULL;
	}
	cluster = find_slot(shm, fingerprint, &none_free);
	if (cluster != NULL || none_free
			|| mms_lock_wait_unless_stalled(&shm->slots_lock, &shm->slots_stalled, SLOTS_WAIT_MS) == MMS_LOCK_BUSY) {
		return is_slot_of(cluster, settings, fingerprint) ? cluster : NULL;
	}
	cluster = find_slot(shm, fingerprint, &none_free);
	if (cluster == NULL) {
		cluster = claim_slot_locked(shm, settings, fingerprint);
	}
	mms_lock_release(&shm->slots_lock);
	return is_slot_of(cluster, settings, fingerprint) ? cluster : NULL;
}

struct mms_cluster_sh *mms_shm_cluster_at(struct mms_shm *shm, uint32_t index)
{
	if (index >= shm->slot_count
			|| atomic_load_explicit(&slot_at(shm, index)->fingerprint, memory_order_acquire) == 0) {
		return NULL;
	}
	return slot_at(shm, index);
}

struct mms_checkpoint_sh *mms_shm_checkpoint(struct mms_cluster_sh *cluster)
{
	return (struct mms_checkpoint_sh *)((uintptr_t)cluster + layout_for(0).checkpoint_offset);
}

struct mms_reservations_sh *mms_shm_reservations(struct mms_shm *shm)
{
	return (struct mms_reservations_sh *)((uintptr_t)shm + PAGE_BYTES);
}

uint64_t mms_shm_next_sequence(struct mms_shm *shm)
{
	return (atomic_fetch_add_explicit(&shm->write_sequence, 1, memory_order_relaxed) + 1) & SEQUENCE_MASK;
}

uint64_t mms_shm_life(const struct mms_shm *shm, const struct mms_cluster_sh *cluster)
{
	return (uint64_t)shm->mapping_random << 32 | (atomic_load(&cluster->fingerprint) & UINT32_MAX);
}

uint64_t mms_shm_writer(const struct mms_shm *shm, const struct mms_cluster_sh *cluster, uint32_t host_hash)
{
	const uint64_t fingerprint = atomic_load_explicit(&cluster->fingerprint, memory_order_relaxed);
	const uint32_t low = shm->mapping_random ^ (uint32_t)(fingerprint ^ fingerprint >> 32);

	return (uint64_t)host_hash << 32 | (low == 0 ? 1 : low);
}

void mms_shm_wake(struct mms_cluster_sh *cluster)
{
	if (mms_mailbox_must_wake(&cluster->mailbox)) {
		mms_shm_kick(cluster);
	}
}

/* A write that fails finds the counter full: whoever reads it is awake then. */
void mms_shm_kick(struct mms_cluster_sh *cluster)
{
	const uint64_t one = 1;
	const ssize_t written = write(atomic_load_explicit(&cluster->wake_fd, memory_order_relaxed), &one, sizeof(one));

	(void)written;
}

uint64_t mms_shm_incarnation(const struct mms_node_sh *node)
{
	return atomic_load(&node->run_hash) * 31 + atomic_load(&node->node_id);
}

const struct mms_sighting_sh *mms_shm_find_sighting(const struct mms_cluster_sh *cluster, uint64_t name_hash)
{
	for (uint32_t i = 0; i < MMS_SIGHTINGS_MAX; i++) {
		if (atomic_load(&cluster->sightings[i].name_hash) == name_hash) {
			return &cluster->sightings[i];
		}
	}
	return NULL;
}

/* A free place, else that of the one that has been silent for longest. */
static struct mms_sighting_sh *place_of_sighting(struct mms_cluster_sh *cluster, uint64_t name_hash)
{
	struct mms_sighting_sh *chosen = NULL;

	for (uint32_t i = 0; i < MMS_SIGHTINGS_MAX; i++) {
		struct mms_sighting_sh *place = &cluster->sightings[i];
		uint64_t there = atomic_load(&place->name_hash);

		if (there == name_hash) {
			return place;
		}
		if (chosen == NULL || (atomic_load(&chosen->name_hash) != 0
					&& (there == 0 || atomic_load(&place->changed_us) < atomic_load(&chosen->changed_us)))) {
			chosen = place;
		}
	}
	return chosen;
}

void mms_shm_note_sighting(struct mms_cluster_sh *cluster, uint64_t name_hash, uint64_t beat, int64_t changed_us)
{
	struct mms_sighting_sh *place = place_of_sighting(cluster, name_hash);

	if (atomic_load(&place->name_hash) != name_hash) {
		atomic_store(&place->name_hash, 0); /* until the rest is its own */
	}
	atomic_store(&place->changed_us, changed_us);
	atomic_store(&place->beat, beat);
	atomic_store(&place->name_hash, name_hash);
}

/* No fence, because the thread sanitizer knows none: each acquiring load keeps those after it, each releasing store
 * those before it in their places. */
bool mms_shm_node_address(const struct mms_node_sh *node, struct sockaddr_storage *out, uint32_t *len)
{
	uint64_t words[ADDRESS_WORDS];

	for (int try = 0; try < ADDRESS_TRIES; try++) {
		const uint32_t before = atomic_load_explicit(&node->address_sequence, memory_order_acquire);
		const uint32_t bytes = atomic_load_explicit(&node->address_len, memory_order_acquire);
		const uint32_t check = atomic_load_explicit(&node->address_check, memory_order_acquire);

		for (size_t word = 0; word < ADDRESS_WORDS; word++) {
			words[word] = atomic_load_explicit(&node->address[word], memory_order_acquire);
		}
		if (before == atomic_load_explicit(&node->address_sequence, memory_order_relaxed) && before % 2 == 0
				&& bytes <= sizeof(*out) && (bytes == 0 || check == address_check(words, bytes))) {
			memcpy(out, words, sizeof(*out));
			*len = bytes;
			return bytes != 0;
		}
	}
	return false;
}

void mms_shm_publish_address(struct mms_node_sh *node, const struct sockaddr *address, uint32_t len)
{
	/* One that died in between left an odd number: it stays odd and changes all the same. */
	const uint32_t before = atomic_load_explicit(&node->address_sequence, memory_order_relaxed);
	const uint32_t odd = before % 2 == 0 ? before + 1 : before + 2;
	uint64_t words[ADDRESS_WORDS] = { 0 };

	if (len > sizeof(words)) {
		return;
	}
	if (len != 0) {
		memcpy(words, address, len);
	}
	atomic_store_explicit(&node->address_sequence, odd, memory_order_relaxed);
	atomic_store_explicit(&node->address_len, len, memory_order_release);
	atomic_store_explicit(&node->address_check, address_check(words, len), memory_order_release);
	for (size_t word = 0; word < ADDRESS_WORDS; word++) {
		atomic_store_explicit(&node->address[word], words[word], memory_order_release);
	}
	atomic_store_explicit(&node->address_sequence, odd + 1, memory_order_release);
}

static bool sizes_allowed(uint32_t max_clusters, uint64_t *mailbox_size, struct mms_error *error)
{
	uint64_t rounded = MMS_MAILBOX_MIN_SIZE;

	if (max_clusters == 0 || max_clusters > MMS_SHM_CLUSTERS_MAX) {
		mms_error_set(error, "shared memory: room for %u clusters asked for, 1 to %u are possible", max_clusters,
				MMS_SHM_CLUSTERS_MAX);
		return false;
	}
	if (*mailbox_size < MMS_MAILBOX_MIN_SIZE || *mailbox_size > MMS_MAILBOX_MAX_SIZE) {
		mms_error_set(error, "shared memory: a mailbox of %llu bytes asked for, %u to %llu are possible",
				(unsigned long long)*mailbox_size, MMS_MAILBOX_MIN_SIZE, (unsigned long long)MMS_MAILBOX_MAX_SIZE);
		return false;
	}
	while (rounded < *mailbox_size) {
		rounded *= 2;
	}
	*mailbox_size = rounded;
	return true;
}

static struct layout layout_for(uint64_t mailbox_size)
{
	struct layout layout;

	layout.hints_offset = page_aligned(sizeof(struct mms_cluster_sh));
	layout.checkpoint_offset = page_aligned(layout.hints_offset + mms_hints_table_size(MMS_HINT_CAPACITY));
	layout.ring_offset = page_aligned(layout.checkpoint_offset + sizeof(struct mms_checkpoint_sh));
	layout.slot_size = layout.ring_offset + mailbox_size;
	return layout;
}

/* 0 when the slots' size can't be right. */
static uint64_t mailbox_size_of(const struct mms_shm *shm)
{
	const uint64_t others = layout_for(0).slot_size;
	const uint64_t size = shm->slot_size - others;

	if (shm->slot_size < others || size < MMS_MAILBOX_MIN_SIZE || size > MMS_MAILBOX_MAX_SIZE
			|| (size & (size - 1)) != 0) {
		return 0;
	}
	return size;
}

static uint64_t page_aligned(uint64_t size)
{
	return (size + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1);
}

static enum mms_status prepare_mapping(struct mms_shm *shm, struct mms_error *error)
{
	enum mms_status status = mms_lock_init(&shm->slots_lock, error);

	for (uint32_t index = 0; index < shm->slot_count; index++) {
		const int fd = status == MMS_OK ? mms_fd_move_up(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) : -1;

		atomic_store(&slot_at(shm, index)->wake_fd, fd);
		if (fd < 0 && status == MMS_OK) {
			mms_error_set(error, "shared memory: eventfd: %s", strerror(errno));
			status = MMS_ERR_LOCAL;
		}
	}
	if (status == MMS_OK && mms_random_bytes(&shm->mapping_random, sizeof(shm->mapping_random)) != MMS_OK) {
		mms_error_set(error, "shared memory: the kernel has no random bytes");
		status = MMS_ERR_LOCAL;
	}
	if (shm->mapping_random == 0) {
		shm->mapping_random = 1;
	}
	mms_hlc_settle(&shm->anchor, mms_clock_wall(), mms_clock_boot());
	shm->layout = MMS_SHM_LAYOUT;
	shm->magic = MMS_SHM_MAGIC;
	return status;
}

static struct mms_cluster_sh *slot_at(const struct mms_shm *shm, uint32_t index)
{
	return (struct mms_cluster_sh *)((uintptr_t)shm + shm->slot_offset + index * shm->slot_size);
}

static bool slot_is_sound(const struct mms_shm *shm, uint32_t index)
{
	const struct mms_cluster_sh *cluster = slot_at(shm, index);
	const struct layout layout = layout_for(mailbox_size_of(shm));

	if (atomic_load_explicit(&cluster->wake_fd, memory_order_relaxed) < MMS_FD_FIRST) {
		return false;
	}
	if (atomic_load_explicit(&cluster->fingerprint, memory_order_acquire) == 0) {
		return true; /* free: all but the descriptor is written by the claim */
	}
	return mms_config_sound(&cluster->settings) && cluster->hints.capacity == MMS_HINT_CAPACITY
			&& cluster->hints.table_offset == layout.hints_offset - offsetof(struct mms_cluster_sh, hints)
			&& cluster->mailbox.size == mailbox_size_of(shm)
			&& cluster->mailbox.ring_offset == layout.ring_offset - offsetof(struct mms_cluster_sh, mailbox);
}

/* A fingerprint can be made to fit: another cluster that has it does not get this one's mailbox. Settings that are not
 * those of the slot's fingerprint were written over, and are put right. */
static bool is_slot_of(struct mms_cluster_sh *cluster, const struct mms_settings *settings, uint64_t fingerprint)
{
	if (cluster == NULL) {
		return false;
	}
	if (mms_config_sound(&cluster->settings)) {
		if (mms_config_same_cluster(&cluster->settings, settings)) {
			return true;
		}
		if (mms_config_fingerprint(&cluster->settings) == fingerprint) {
			return false;
		}
	}
	memcpy(&cluster->settings, settings, sizeof(*settings));
	cluster->claimer_uid = geteuid();
	cluster->claimer_gid = getegid();
	return true;
}

/* Where a slot's hints and ring stand, how large they are and who is woken never changes: what is there now, if it is
 * anything else, would lead out of the slot. What its hints and ring hold is then in doubt too: repair scans follow. */
static bool mend_cluster(struct mms_cluster_sh *cluster, const struct mms_shm_shape *shape, uint32_t index, bool in_use)
{
	const struct layout layout = layout_for(0);
	const uint64_t mailbox_size = shape->slot_size - layout.slot_size;
	const uint64_t table_offset = layout.hints_offset - offsetof(struct mms_cluster_sh, hints);
	const uint64_t ring_offset = layout.ring_offset - offsetof(struct mms_cluster_sh, mailbox);
	bool sound = atomic_load_explicit(&cluster->wake_fd, memory_order_relaxed) == shape->wake_fds[index];

	if (!sound) {
		atomic_store(&cluster->wake_fd, shape->wake_fds[index]);
	}
	if ((!in_use && atomic_load_explicit(&cluster->fingerprint, memory_order_acquire) == 0)
			|| (cluster->hints.capacity == MMS_HINT_CAPACITY && cluster->hints.table_offset == table_offset
				&& cluster->mailbox.size == mailbox_size && cluster->mailbox.ring_offset == ring_offset)) {
		return sound;
	}
	cluster->hints.capacity = MMS_HINT_CAPACITY;
	cluster->hints.table_offset = table_offset;
	cluster->mailbox.size = mailbox_size;
	cluster->mailbox.ring_offset = ring_offset;
	mms_hints_overflow(&cluster->hints, UINT64_MAX);
	return false;
}

static struct mms_cluster_sh *find_slot(const struct mms_shm *shm, uint64_t fingerprint, bool *none_free)
{
	*none_free = true;
	for (uint32_t index = 0; index < shm->slot_count; index++) {
		const uint64_t found = atomic_load_explicit(&slot_at(shm, index)->fingerprint, memory_order_acquire);

		if (found == fingerprint) {
			return slot_at(shm, index);
		}
		*none_free = *none_free && found != 0;
	}
	return NULL;
}

static struct mms_cluster_sh *claim_slot_locked(struct mms_shm *shm, const struct mms_settings *settings,
		uint64_t fingerprint)
{
	for (uint32_t index = 0; index < shm->slot_count; index++) {
		struct mms_cluster_sh *cluster = slot_at(shm, index);

		if (atomic_load_explicit(&cluster->fingerprint, memory_order_relaxed) == 0) {
			if (!prepare_slot_locked(shm, cluster, settings)) {
				return NULL;
			}
			MMS_TEST_POINT("claimed");
			atomic_store_explicit(&cluster->fingerprint, fingerprint, memory_order_release);
			return cluster;
		}
	}
	return NULL;
}

/* Everything behind the descriptor is written, also over what a claimer left that was killed here. Its hints' table,
 * checkpoint and ring are as the kernel gave them, for nobody uses a slot without fingerprint. */
static bool prepare_slot_locked(struct mms_shm *shm, struct mms_cluster_sh *cluster,
		const struct mms_settings *settings)
{
	const uint64_t mailbox_size = mailbox_size_of(shm);
	const struct layout layout = layout_for(mailbox_size);
	const size_t kept = offsetof(struct mms_cluster_sh, settings);
	char *slot = (char *)cluster;

	memset(slot + kept, 0, sizeof(*cluster) - kept);
	memcpy(&cluster->settings, settings, sizeof(*settings));
	cluster->claimer_uid = geteuid();
	cluster->claimer_gid = getegid();
	MMS_TEST_POINT("claiming");
	return init_locks(&cluster->election) == MMS_OK
			&& mms_hints_init(&cluster->hints, slot + layout.hints_offset, MMS_HINT_CAPACITY, NULL) == MMS_OK
			&& mms_mailbox_init(&cluster->mailbox, slot + layout.ring_offset, mailbox_size, NULL) == MMS_OK;
}

static enum mms_status init_locks(struct mms_election_sh *election)
{
	enum mms_status status = mms_lock_init(&election->standby, NULL);

	for (int seat = 0; seat < MMS_ELECTION_SEATS && status == MMS_OK; seat++) {
		status = mms_lock_init(&election->seats[seat], NULL);
	}
	return status;
}

static uint32_t address_check(const void *address, uint32_t len)
{
	return mms_crc32c(mms_crc32c(0, &len, sizeof(len)), address, len);
}
