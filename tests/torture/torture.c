/* Every call of the C library, also of hiredis and libevent (linked statically), fails once, in each of its ways, in
 * scripts of what PHP does with a session, against three real nodes. No crash, no hang, no leak, and what was acknowledged
 * is there: on a node at once, with the others noted as lacking it (script "session", and "locked" with a session lock),
 * on all nodes in the end (script "process").
 *
 * MMS_TORTURE_STEP=k takes each k-th call only; MMS_TORTURE_ONLY="script n way" repeats one case. */
#include "../unit/store.h"

#include <dirent.h>

#include "faults.h"
#include "mms_process.h"

#define CASE_SECONDS 20   /* one case hangs when it takes longer */
#define IDS 3
#define CALLS_MAX 4000

/* What PHP was told about one session. */
struct claim {
	char id[32], payload[32];
	bool written;    /* the last write was acknowledged with this payload, and nothing was tried since */
	bool destroyed;  /* the last destroy was */
};

struct scene {
	struct mms_settings settings;
	char secret[64];
	struct claim claims[IDS];
	unsigned long number; /* of this case: makes ids */
};

struct script {
	const char *name;
	void (*prepare)(struct scene *scene);
	void (*act)(struct scene *scene);      /* armed */
	void (*judge)(struct scene *scene);
};

static struct scene scene;
static const char *current_script;
static unsigned long current_n;
static unsigned current_way;

static void too_long(int number)
{
	char line[160];

	(void) number;
	faults_disarm();
	(void) !write(2, line, (size_t) snprintf(line, sizeof(line), "HANG: script %s, call %lu, way %u (%s %s)\n", current_script,
			current_n, current_way, faults_hit() == NULL ? "none" : faults_hit(), faults_hit() == NULL ? "" : faults_how()));
	abort();
}

static void claim_ids(struct scene *now)
{
	for (unsigned i = 0; i < IDS; i++) {
		memset(&now->claims[i], 0, sizeof(now->claims[i]));
		snprintf(now->claims[i].id, sizeof(now->claims[i].id), "t%lux%u", now->number, i);
		snprintf(now->claims[i].payload, sizeof(now->claims[i].payload), "cart|%lu.%u", now->number, i);
	}
}

static void secret_write(struct scene *now)
{
	snprintf(now->secret, sizeof(now->secret), "/tmp/mms_torture_%d", getpid());
	FILE *file = fopen(now->secret, "w");

	assert_non_null(file);
	fputs("hunter2\n", file);
	fclose(file);
}

/* Waits as PHP's defaults have them: what fails must end soon. The nodes' default user takes any password. */
static void settings_make(struct scene *now)
{
	settings_default(&now->settings, RIG_NODES, "web1");
	now->settings.connect_timeout_ms = 50;
	now->settings.read_timeout_ms = 100;
	now->settings.budget_ms = 250;
	now->settings.touch_interval_s = 0;
	now->settings.shutdown_drain_ms = 1000;
	strcpy(now->settings.user, "default");
	snprintf(now->settings.password_file, sizeof(now->settings.password_file), "%s", now->secret);
}

/* One visitor: a new id, changed data, unchanged data, a new id again (regenerate), logout. */
static void visit_all(struct scene *now, struct mms_client *client)
{
	struct mms_slice payload = { "", 0 };
	struct mms_error error;
	bool exists;

	for (unsigned i = 0; i < IDS; i++) {
		struct claim *claim = &now->claims[i];
		struct mms_store *store = mms_store_new(client);

		if (store == NULL) {
			continue;
		}
		exists = false;
		client->settings.lock_ttl_ms = i == 2 ? 1 : 60000;
		if (i != 0) {
			(void) mms_store_created(store, slice(claim->id));
		}
		if (mms_store_read(store, slice(claim->id), &payload, &exists, &error) == MMS_OK) {
			assert_false(exists);
		}
		if (client->settings.lock != 0 && i == 2) {
			nap_us(2000);
		}
		claim->written = mms_store_write(store, slice(claim->id), slice(claim->payload), LIFETIME_S, &error) == MMS_OK;
		mms_store_end(store);
		exists = false;
		if (mms_store_read(store, slice(claim->id), &payload, &exists, &error) == MMS_OK && claim->written && exists) {
			assert_int_equal(payload.len, strlen(claim->payload));
			assert_memory_equal(payload.ptr, claim->payload, payload.len);
			(void) mms_store_touch(store, slice(claim->id), payload, LIFETIME_S, &error);
		}
		if (i == 1) {
			/* Of a session that nobody could find the logout is blind: it loses to a copy that turns up (rule c). */
			claim->destroyed = mms_store_destroy(store, slice(claim->id), LIFETIME_S, &error) == MMS_OK && exists;
			claim->written = false;
		}
		mms_store_free(store);
	}
}

static unsigned holders(const struct claim *claim, uint64_t *mask)
{
	unsigned count = 0;

	*mask = 0;
	for (unsigned node = 0; node < RIG_NODES; node++) {
		if (node_has(node, claim->id, claim->destroyed ? NULL : claim->payload, NULL)) {
			*mask |= bit(node);
			count++;
		}
	}
	return count;
}

/* --- a session without a replicator: what is noted for one --- */

static struct mms_shm *session_shm;

static void session_prepare(struct scene *now)
{
	(void) now;
	rig_fresh();
	session_shm = mms_shm_map(1, MMS_MAILBOX_MIN_SIZE, NULL);
	assert_non_null(session_shm);
}

static void session_act(struct scene *now)
{
	struct mms_error error;
	struct mms_client *client = mms_client_new(session_shm, &now->settings, mms_config_fingerprint(&now->settings), &error);

	if (client != NULL) {
		visit_all(now, client);
		mms_client_free(client);
	}
}

/* The same with the session lock on, which one of the visitors always loses before he writes. What a failure left locked
 * is not waited for long. */
static void locked_act(struct scene *now)
{
	struct mms_settings settings = now->settings;
	struct mms_error error;
	struct mms_client *client;

	settings.lock = 1;
	settings.lock_wait_ms = 10;
	settings.lock_ttl_ms = 60000;
	client = mms_client_new(session_shm, &settings, mms_config_fingerprint(&settings), &error);
	if (client != NULL) {
		visit_all(now, client);
		mms_client_free(client);
	}
}

/* For the reader of a failure. */
static void describe_notes(struct mms_cluster_sh *cluster, const struct claim *claim)
{
	const struct mms_slice key = key_of(claim->id);
	struct mms_mailbox_item item;

	faults_show();
	for (uint64_t at = mms_mailbox_tail(&cluster->mailbox); mms_mailbox_peek(&cluster->mailbox, at, &item) == 1; at = item.next) {
		if (item.key.len == key.len && memcmp(item.key.ptr, key.ptr, key.len) == 0) {
			fprintf(stderr, "entry: kind %d, tombstone %d, had by %llx, settled %d\n", item.kind,
					mms_record_is_tombstone((const unsigned char *) item.record.ptr), (unsigned long long) item.have_mask,
					item.settled);
		}
	}
	for (unsigned node = 0; node < RIG_NODES; node++) {
		struct mms_record_header found;

		if (node_has(node, claim->id, NULL, &found) || node_has(node, claim->id, claim->payload, &found)) {
			fprintf(stderr, "node %u: tombstone %d, hlc %llx, sequence %llu\n", node, found.version.tombstone,
					(unsigned long long) found.version.hlc, (unsigned long long) found.version.sequence);
		}
	}
}

/* Is there an entry on its way, or a hint, that brings this session to this node? */
static bool is_noted(struct mms_cluster_sh *cluster, const struct claim *claim, unsigned node)
{
	const struct mms_slice key = key_of(claim->id);
	struct mms_mailbox_item item;
	struct mms_hint hint;
	uint32_t cursor = 0;

	for (uint64_t at = mms_mailbox_tail(&cluster->mailbox); mms_mailbox_peek(&cluster->mailbox, at, &item) == 1; at = item.next) {
		if (item.key.len == key.len && memcmp(item.key.ptr, key.ptr, key.len) == 0 && (item.have_mask & bit(node)) == 0) {
			return true;
		}
	}
	do {
		if (mms_hints_next(&cluster->hints, node, &cursor, mms_clock_mono(), &hint) && hint.key_len == key.len
				&& memcmp(hint.key, key.ptr, key.len) == 0) {
			return true;
		}
	} while (cursor != 0);
	return mms_hints_overflowed(&cluster->hints, node);
}

static void session_judge(struct scene *now)
{
	for (unsigned i = 0; i < IDS; i++) {
		const struct claim *claim = &now->claims[i];
		uint64_t mask;

		if (!claim->written && !claim->destroyed) {
			continue;
		}
		if (holders(claim, &mask) == 0) {
			fail_msg("session %u was acknowledged and is on no node", i);
		}
		for (unsigned node = 0; node < RIG_NODES; node++) {
			if ((mask & bit(node)) == 0 && !is_noted(mms_shm_cluster_at(session_shm, 0), claim, node)) {
				describe_notes(mms_shm_cluster_at(session_shm, 0), claim);
				fail_msg("session %u was acknowledged, and node %u will never get it", i, node);
			}
		}
	}
	mms_shm_unmap(session_shm);
}

/* --- a whole process: mapping, thread, mirrors, the last drain --- */

static void process_prepare(struct scene *now)
{
	(void) now;
	rig_fresh();
}

static void process_act(struct scene *now)
{
	struct mms_error error;
	struct mms_process *process = mms_process_new(1, MMS_MAILBOX_MIN_SIZE, &error);
	struct mms_shm *shm = process == NULL ? NULL : mms_process_shm(process);
	struct mms_client *client = NULL;

	if (process == NULL) {
		return;
	}
	client = mms_client_new(shm, &now->settings, mms_config_fingerprint(&now->settings), &error);
	if (client != NULL) {
		mms_process_tend(process, client->cluster, &client->settings, 0);
		visit_all(now, client);
		(void) mms_process_flush(process, client->cluster, &client->settings, 50);
	}
	mms_client_free(client);
	mms_process_end(process, now->settings.shutdown_drain_ms);
	if (faults_hit() == NULL || strcmp(faults_hit(), "pthread_clockjoin_np") != 0) {
		mms_shm_unmap(shm); /* PHP leaves it to the kernel; a thread that was not joined may still look at it */
	}
}

/* Calls whose failure keeps the replicator from delivering, in a process that then ends at once: what was acknowledged is
 * where it was acknowledged. */
static bool kept_from_delivering(void)
{
	static const char *const names[] = { "pthread_create", "pthread_clockjoin_np", "calloc", "malloc", "eventfd", "open",
		"read", "socket", "pthread_mutex_trylock" };

	for (size_t index = 0; faults_hit() != NULL && index < sizeof(names) / sizeof(names[0]); index++) {
		if (strcmp(faults_hit(), names[index]) == 0) {
			return true;
		}
	}
	return false;
}

static void process_judge(struct scene *now)
{
	for (unsigned i = 0; i < IDS; i++) {
		const struct claim *claim = &now->claims[i];
		uint64_t mask;
		unsigned count;

		if (!claim->written && !claim->destroyed) {
			continue;
		}
		count = holders(claim, &mask);
		if (count == 0 || (count < RIG_NODES && !kept_from_delivering())) {
			fail_msg("session %u was acknowledged and is on %u nodes of %u", i, count, RIG_NODES);
		}
	}
}

/* --- a replicator that lives on: mirrors, a lost connection, another --- */

static struct mms_process *life;
static struct mms_client *life_client;

static void life_prepare(struct scene *now)
{
	struct mms_error error = { "" };

	if (life == NULL) {
		rig_fresh();
		life = mms_process_new(1, MMS_MAILBOX_MIN_SIZE, &error);
		assert_non_null(life);
		life_client = mms_client_new(mms_process_shm(life), &now->settings, mms_config_fingerprint(&now->settings), &error);
		assert_non_null(life_client);
	}
}

static void life_act(struct scene *now)
{
	mms_process_tend(life, life_client->cluster, &life_client->settings, 0);
	visit_all(now, life_client);
	(void) mms_process_flush(life, life_client->cluster, &life_client->settings, 20);
	faults_disarm();
	node_do((unsigned) (now->number % RIG_NODES), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
	faults_resume();
	(void) mms_process_flush(life, life_client->cluster, &life_client->settings, 10);
}

static void life_judge(struct scene *now)
{
	for (unsigned i = 0; i < IDS; i++) {
		const struct claim *claim = &now->claims[i];
		const int64_t until = now_us() + DEADLINE_US;
		uint64_t mask;

		while ((claim->written || claim->destroyed) && holders(claim, &mask) < RIG_NODES) {
			if (now_us() > until) {
				fail_msg("session %u was acknowledged and is not on all nodes: %llx", i, (unsigned long long) mask);
			}
			mms_process_tend(life, life_client->cluster, &life_client->settings, 0);
			nap_us(1000);
		}
	}
}

static void life_end(void)
{
	mms_client_free(life_client);
	mms_process_end(life, 1000);
	life = NULL;
	life_client = NULL;
}

/* --- the driver --- */

static unsigned open_descriptors(void)
{
	unsigned count = 0;
	DIR *folder = opendir("/proc/self/fd");

	assert_non_null(folder);
	while (readdir(folder) != NULL) {
		count++;
	}
	closedir(folder);
	return count;
}

/* One case. Returns whether the n-th call was reached. */
static bool run_case(const struct script *script, unsigned long n, unsigned way, unsigned *ways, bool lasting)
{
	unsigned before, after;
	long blocks;
	bool hit;

	current_script = script->name;
	current_n = n;
	current_way = way;
	scene.number++;
	claim_ids(&scene);
	alarm(CASE_SECONDS);
	script->prepare(&scene);
	before = open_descriptors();
	blocks = faults_blocks();
	faults_arm(n, way);
	script->act(&scene);
	faults_disarm();
	hit = faults_hit() != NULL;
	*ways = faults_ways();
	if (!lasting) {
		/* A thread that could not be joined ends a little later. */
		const bool late = hit && strcmp(faults_hit(), "pthread_clockjoin_np") == 0;

		after = open_descriptors();
		if (!late && (faults_blocks() != blocks || after > before)) {
			fail_msg("%s: call %lu (%s %s): %ld blocks and %d descriptors left", script->name, n, hit ? faults_hit() : "none",
					hit ? faults_how() : "", faults_blocks() - blocks, (int) after - (int) before);
		}
		if (late) {
			nap_us(200000); /* it still uses what the next case may be given */
		}
	}
	print_message("%s %lu %u %s %s\n", script->name, n, way, hit ? faults_hit() : "-", hit ? faults_how() : "-");
	script->judge(&scene);
	alarm(0);
	return hit;
}

static void run_script(const struct script *script, bool lasting)
{
	const char *step_text = getenv("MMS_TORTURE_STEP"), *only = getenv("MMS_TORTURE_ONLY");
	const unsigned long step = step_text == NULL || atol(step_text) < 1 ? 1 : (unsigned long) atol(step_text);
	unsigned long cases = 0, calls, n;
	unsigned ways, way;
	char name[32];

	if (only != NULL) {
		if (sscanf(only, "%31s %lu %u", name, &n, &way) == 3 && strcmp(name, script->name) == 0) {
			(void) run_case(script, n, way, &ways, lasting);
		}
		return;
	}
	for (unsigned warm = 0; warm < 2; warm++) { /* the first may allocate what stays */
		(void) run_case(script, CALLS_MAX * 1000ul, 0, &ways, lasting);
	}
	calls = faults_calls() < CALLS_MAX ? faults_calls() : CALLS_MAX;
	for (n = 1; n <= calls + calls / 5; n += step) {
		if (!run_case(script, n, 0, &ways, lasting)) {
			continue;
		}
		cases++;
		for (way = 1; way < ways; way++) {
			cases += run_case(script, n, way, &ways, lasting);
		}
	}
	fprintf(stderr, "# %s: %lu calls, %lu cases\n", script->name, calls, cases);
	assert_true(cases > 0);
}

static void a_session_survives_every_failing_call(void **state)
{
	static const struct script script = { "session", session_prepare, session_act, session_judge };

	(void) state;
	run_script(&script, false);
}

static void a_locked_session_survives_every_failing_call(void **state)
{
	static const struct script script = { "locked", session_prepare, locked_act, session_judge };

	(void) state;
	run_script(&script, false);
}

static void a_process_survives_every_failing_call(void **state)
{
	static const struct script script = { "process", process_prepare, process_act, process_judge };

	(void) state;
	run_script(&script, false);
}

static void a_replicator_survives_every_failing_call(void **state)
{
	static const struct script script = { "replicator", life_prepare, life_act, life_judge };

	(void) state;
	run_script(&script, true);
	if (life != NULL) {
		life_end();
	}
}

static int torture_start(void **state)
{
	secret_write(&scene);
	if (rig_start(state) != 0) {
		return -1;
	}
	settings_make(&scene);
	return 0;
}

static int torture_end(void **state)
{
	unlink(scene.secret);
	return rig_end(state);
}

int main(int count, char **arguments)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_survives_every_failing_call),
		cmocka_unit_test(a_locked_session_survives_every_failing_call),
		cmocka_unit_test(a_process_survives_every_failing_call),
		cmocka_unit_test(a_replicator_survives_every_failing_call),
	};

	if (count > 1) {
		cmocka_set_test_filter(arguments[1]);
	}
	signal(SIGALRM, too_long);
	if (!rig_find()) {
		fprintf(stderr, "torture: there is no server to test with\n");
		return 1;
	}
	return _cmocka_run_group_tests("torture", tests, sizeof(tests) / sizeof(tests[0]), torture_start, torture_end);
}
