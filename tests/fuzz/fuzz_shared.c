/* Any bytes in the shared mapping: requests, the status and the replicator's rounds must end, read nothing beyond their
 * memory and hand out nothing of another's. Input: steps, one byte each for what it does, some with arguments (see
 * take_steps()); a tenth of it decides what the nodes answer. Between two steps anything may be written over, but for the
 * locks that somebody holds at that moment: the C library follows pointers in those.
 *
 * TEST LINK: mms_replicator    TEST WITHOUT: mms_replicator mms_conn mms_clock mms_resolver    TEST OPTIONS: -max_len=512 -entropic=0
 * TEST BLIND: cmp */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* for the .c file below */
#endif
#include "conn.h"

#include <poll.h>
#include <stddef.h>

#include "mms_address.h"
#include "mms_store.h"

/* The replicator's parts without its thread. */
#include "../../src/mms_replicator.c"

#define PREFIX "f:"
#define NODES 3
#define MAILBOX MMS_MAILBOX_MIN_SIZE
#define WORDS 64          /* of the hint table: those that the input may write over */
#define STEPS_MAX 24
#define DAMAGE_MAX 16
#define FORGED_MAX 250
#define PAGE 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mms_shm *shm;
static struct mms_cluster_sh *cluster;
static struct mms_shm_shape shape;
static struct mms_settings settings;
static uint64_t fingerprint;
static unsigned char *saved_page, *saved_cluster;
static struct mms_client *client;
static struct mms_store *store;
static struct mms_replicator *replicator;
static int64_t clock_us;
static uint32_t damaged_keys; /* how many of the checkpoint's slots were written over */

#define check(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "line %d: not true: %s\n", __LINE__, #condition); \
			abort(); \
		} \
	} while (0)

/* Time passes by being asked for. */
static int64_t tick(void)
{
	return clock_us += 50;
}

struct mms_mono mms_clock_mono(void) { return (struct mms_mono){ tick() }; }
struct mms_wall mms_clock_wall(void) { return (struct mms_wall){ INT64_C(1760000000000) + tick() / 1000 }; }
struct mms_boot mms_clock_boot(void) { return (struct mms_boot){ tick() / 1000 }; }

/* Naps too: a read that waits for what a mirror may bring takes its time by our clock alone. */
int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	const struct timespec timeout = { timeout_ms / 1000, timeout_ms % 1000 * 1000000L };

	if (count == 0) {
		clock_us += INT64_C(1000) * (timeout_ms > 0 ? timeout_ms : 0);
		return 0;
	}
	return ppoll(fds, count, timeout_ms < 0 ? NULL : &timeout, NULL);
}

int64_t mms_clock_thread_cpu_us(void) { return clock_us; }

/* By the C library's clock such a wait would end when the machine has been up for as long as ours says. */
int pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until)
{
	const int result = pthread_mutex_trylock(mutex);

	(void)clock;
	if (result == EBUSY) {
		clock_us = (int64_t)until->tv_sec * 1000000 + until->tv_nsec / 1000;
	}
	return result == EBUSY ? ETIMEDOUT : result;
}

int64_t mms_clock_left_us(struct mms_mono now, struct mms_mono deadline)
{
	int64_t left_us;

	if (deadline.us <= now.us) {
		return 0;
	}
	return __builtin_sub_overflow(deadline.us, now.us, &left_us) ? INT64_MAX : left_us;
}

struct mms_resolver *mms_resolver_new(struct mms_office *office) { (void) office; return NULL; }
void mms_resolver_free(struct mms_resolver *resolver) { (void) resolver; }
void mms_resolver_run(struct mms_resolver *resolver) { (void) resolver; }
int64_t mms_resolver_next_us(const struct mms_resolver *resolver) { (void) resolver; return INT64_MAX; }

static unsigned char *table;
static unsigned char *ring;

static void prepare(void)
{
	struct mms_error error = { "" };

	check(mms_config_parse_nodes(mms_slice_of("unix:///run/a.sock, tcp://10.0.0.2:6379, tcp://peer.example:6379"),
			&settings, &error) == MMS_OK);
	settings.write_acks = 1;
	settings.connect_timeout_ms = 50;
	settings.read_timeout_ms = 100;
	settings.budget_ms = 250;
	settings.touch_interval_s = 60;
	settings.max_clock_drift_ms = 500;
	settings.max_session_size = 65536;
	settings.shutdown_drain_ms = 1000;
	strcpy(settings.host_id, "web1");
	strcpy(settings.prefix, PREFIX);
	fingerprint = mms_config_fingerprint(&settings);
	clock_us = INT64_C(1000000000);
	shm = mms_shm_map(1, MAILBOX, &error);
	check(shm != NULL);
	mms_shm_remember(shm, &shape);
	cluster = mms_shm_cluster(shm, &settings, fingerprint);
	check(cluster != NULL);
	table = (unsigned char *) &cluster->hints + cluster->hints.table_offset;
	ring = (unsigned char *) &cluster->mailbox + cluster->mailbox.ring_offset;
	saved_page = malloc(PAGE);
	saved_cluster = malloc(sizeof(*cluster));
	check(saved_page != NULL && saved_cluster != NULL);
	memcpy(saved_page, shm, PAGE);
	memcpy(saved_cluster, cluster, sizeof(*cluster));
}

static void start_afresh(void)
{
	memcpy(shm, saved_page, PAGE);
	memcpy(cluster, saved_cluster, sizeof(*cluster));
	memset(table, 0, MMS_HINT_CAPACITY * sizeof(uint32_t));
	memset(table + MMS_HINT_CAPACITY * sizeof(uint32_t), 0, WORDS * sizeof(struct mms_hint_sh));
	memset(ring, 0, 4 * PAGE);
	mms_checkpoint_drop(mms_shm_checkpoint(cluster));
	atomic_fetch_or(&mms_shm_checkpoint(cluster)->compared.count, damaged_keys);
	mms_keyset_clear(&mms_shm_checkpoint(cluster)->compared);
	damaged_keys = 0;
	clock_us = INT64_C(1000000000);
	client = mms_client_new(shm, &settings, fingerprint, NULL);
	check(client != NULL);
	store = mms_store_new(client);
	check(store != NULL);
}

static void close_down(void)
{
	if (replicator != NULL) {
		close_office(replicator);
		mms_election_resign(&replicator->candidate);
		free(replicator);
		replicator = NULL;
	}
	mms_store_free(store);
	mms_client_free(client);
}

/* As the first of mms_replicator_start() and run(). */
static void office(void)
{
	if (replicator != NULL) {
		return;
	}
	static struct mms_descriptors descriptors;
	static struct mms_replicator_host host;

	host.shm = shm;
	host.shape = &shape;
	host.descriptors = &descriptors;
	replicator = calloc(1, sizeof(*replicator));
	check(replicator != NULL);
	replicator->host = &host;
	replicator->cluster = cluster;
	replicator->settings = settings;
	replicator->shape = shape;
	replicator->candidate = (struct mms_candidate) {.cluster = cluster, .seat = MMS_ELECTION_NO_SEAT};
	replicator->stop_fd = -1;
	(void) mms_election_vacant(cluster, mms_clock_mono(), true);
	(void) mms_shm_mend(shm, &replicator->shape, cluster);
	if (!mms_election_win(&replicator->candidate, &replicator->office.epoch)) {
		free(replicator);
		replicator = NULL;
		return;
	}
	check(open_office(replicator));
}

static void round_of_the_replicator(void)
{
	office();
	if (replicator == NULL) {
		return;
	}
	if (!round_once(replicator)) {
		close_office(replicator);
		mms_election_resign(&replicator->candidate);
		free(replicator);
		replicator = NULL;
		return;
	}
	(void) event_base_loop(replicator->office.base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
	(void) next_look_us(replicator);
}

/* What mmsession_status() and phpinfo() look at. */
static void status(void)
{
	volatile uint64_t sum = 0;

	for (unsigned node = 0; node < NODES; node++) {
		char text[MMS_BREAKER_TEXT_SIZE];
		struct sockaddr_storage address;
		socklen_t len = 0;

		(void) mms_breaker_last_error(&cluster->nodes[node].breaker, text, sizeof(text));
		check(strlen(text) < sizeof(text));
		sum += mms_hints_count(&cluster->hints, node) + mms_hints_overflowed(&cluster->hints, node);
		if (mms_address_current(&settings.nodes[node], &cluster->nodes[node], &address, &len)) {
			check(len <= sizeof(address));
		}
	}
	check(mms_mailbox_used(&cluster->mailbox) <= MAILBOX);
	sum += mms_mailbox_entries(&cluster->mailbox);
	for (unsigned metric = 0; metric < MMS_METRIC_COUNT; metric++) {
		sum += mms_metrics_get(&cluster->metrics, (enum mms_metric) metric);
	}
}

static struct mms_slice id_of(uint8_t byte)
{
	static const char *const ids[] = { "a", "b", "c4", "d" };

	return mms_slice_of(ids[byte % 4]);
}

static void request(uint8_t what, uint8_t byte)
{
	static const char payload[20000];
	struct mms_slice id = id_of(byte), found = { "", 0 };
	struct mms_error error = { "" };
	bool exists = false;

	switch (what % 6) {
	case 0:
		if (mms_store_read(store, id, &found, &exists, &error) == MMS_OK) {
			/* No node has anything; the mailbox may have what was written here. */
			check(found.len <= sizeof(payload) && memcmp(found.ptr, payload, found.len) == 0);
		}
		break;
	case 1:
		(void) mms_store_write(store, id, (struct mms_slice){ payload, byte < 250 ? byte : sizeof(payload) }, 1440, &error);
		break;
	case 2:
		(void) mms_store_touch(store, id, (struct mms_slice){ payload, 0 }, byte, &error);
		break;
	case 3:
		(void) mms_store_destroy(store, id, 1440, &error);
		break;
	case 4:
		(void) mms_store_exists(store, id);
		break;
	default:
		(void) mms_store_created(store, id);
		break;
	}
}

/* Where the input may write. */
static unsigned char *place(uint8_t area, uint16_t offset, size_t *room)
{
	static const struct { size_t at, size; } parts[] = {
#define PART(member) { offsetof(struct mms_cluster_sh, member), sizeof(((struct mms_cluster_sh *) 0)->member) }
		PART(hints), PART(mailbox), PART(election), PART(metrics), PART(nodes[0]), PART(nodes[1]), PART(nodes[2]),
		PART(settings), { 0, offsetof(struct mms_cluster_sh, settings) },
#undef PART
	};
	enum { COUNT = sizeof(parts) / sizeof(parts[0]) };
	unsigned char *start;
	size_t size;

	if (area % (COUNT + 4) < COUNT) {
		start = (unsigned char *) cluster + parts[area % (COUNT + 4)].at;
		size = parts[area % (COUNT + 4)].size;
	} else if (area % (COUNT + 4) == COUNT) {
		start = (unsigned char *) shm;
		size = sizeof(*shm);
	} else if (area % (COUNT + 4) == COUNT + 1) {
		start = table;
		size = WORDS * sizeof(uint32_t);
	} else if (area % (COUNT + 4) == COUNT + 2) {
		start = table + MMS_HINT_CAPACITY * sizeof(uint32_t);
		size = WORDS * sizeof(struct mms_hint_sh);
	} else {
		start = ring;
		size = 4 * PAGE;
	}
	*room = size - offset % size;
	return start + offset % size;
}

static bool is_held(const unsigned char *at, size_t len)
{
	const unsigned char *seats = (const unsigned char *) &cluster->election.seats;

	return replicator != NULL && at < seats + sizeof(cluster->election.seats) && at + len > seats;
}

static void damage(const uint8_t **data, const uint8_t *end)
{
	size_t room, len;
	unsigned char *at;

	if (end - *data < 4) {
		return;
	}
	at = place((*data)[0], (uint16_t) ((*data)[1] | (*data)[2] << 8), &room);
	len = (*data)[3] % DAMAGE_MAX + 1;
	*data += 4;
	len = len < room ? len : room;
	len = len < (size_t) (end - *data) ? len : (size_t) (end - *data);
	if (!is_held(at, len)) {
		memcpy(at, *data, len);
	}
	*data += len;
}

/* A checkpoint of any content that passes for sound, and any slots of its keys. */
static void forge(const uint8_t **data, const uint8_t *end)
{
	struct mms_checkpoint_sh *checkpoint = mms_shm_checkpoint(cluster);
	struct mms_checkpoint forged = { .target = 1, .source = 2, .mask = 7 };
	const size_t len = (size_t) (end - *data) < FORGED_MAX ? (size_t) (end - *data) : FORGED_MAX;
	const size_t of_struct = len > 0 ? (*data)[0] % (sizeof(forged) + 1) : 0;

	if (len < 1 + of_struct) {
		return;
	}
	memcpy(&forged, *data + 1, of_struct);
	(void) mms_checkpoint_save_text(checkpoint, &forged, (struct mms_slice){ (const char *) *data + 1 + of_struct, len - 1 - of_struct });
	atomic_store(&checkpoint->compared.slots[of_struct], of_struct);
	atomic_store(&checkpoint->compared.count, (uint32_t) of_struct);
	damaged_keys = 1;
	*data += len;
}

static void take_steps(const uint8_t *data, const uint8_t *end)
{
	for (unsigned step = 0; step < STEPS_MAX && data < end; step++) {
		const uint8_t what = *data++;
		const uint8_t byte = data < end && what % 8 >= 3 && what % 8 <= 6 ? *data++ : 0;

		switch (what % 8) {
		case 0:
			damage(&data, end);
			break;
		case 1:
			if (what / 8 % 4 == 0) {
				forge(&data, end);
			} else {
				damage(&data, end);
			}
			break;
		case 2:
			round_of_the_replicator();
			break;
		case 3:
		case 4:
			(void) mms_shm_mend(shm, &shape, cluster);
			request(what / 8, byte);
			break;
		case 5:
			clock_us += (int64_t) byte * byte * 1000;
			break;
		case 6:
			(void) mms_shm_mend(shm, &shape, NULL);
			check(mms_shm_valid(shm) || !mms_config_sound(&cluster->settings)
					|| atomic_load(&cluster->fingerprint) != fingerprint);
			if (mms_shm_cluster(shm, &settings, fingerprint) == cluster) {
				check(mms_config_same_cluster(&cluster->settings, &settings));
			}
			break;
		default:
			(void) mms_shm_mend(shm, &shape, cluster);
			status();
			break;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (shm == NULL) {
		prepare();
	}
	conn_choices_len = size / 10;
	conn_choices = data + size - conn_choices_len;
	start_afresh();
	take_steps(data, conn_choices);
	close_down();
	return 0;
}
