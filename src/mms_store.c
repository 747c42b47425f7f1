/* The state of one session between its read and its write. Two answers are kept apart: `current` is the session that
 * was read and may be written, `ahead` what exists() or created() fetched for an id that may be read next
 * (session_create_id() asks about another id while a session is open). */
#include "mms_store.h"

#include <stdlib.h>
#include <string.h>

#include "mms_lease.h"
#include "mms_next.h"
#include "mms_overlap.h"
#include "mms_quorum.h"
#include "mms_read.h"
#include "mms_visit.h"
#include "mms_write.h"

#define DESTROY_ROUNDS_MAX 3      /* newer incarnations that one logout follows */
#define LIFETIME_MAX_S 0x7fffffff /* 68 years */

struct answer_for {
	bool valid;
	bool created_here;
	bool doubtful; /* a write failed since: nodes may hold what it carried, or get it yet */
	char key[MMS_KEY_MAX];
	size_t key_len;
	bool behind_lock; /* its read came after the session's lock was taken, or tried in vain */
	struct mms_lease lease;
	struct mms_answer answer;
};

struct mms_store {
	struct mms_client *client;
	struct mms_boot started; /* when the current session was read */
	struct answer_for current, ahead;
	struct mms_visit *visit; /* read = session-token; NULL otherwise */
};

static bool fill(struct mms_store *store, struct answer_for *target, struct mms_slice id, bool locking);
static bool lock(struct mms_store *store, struct answer_for *target);
static bool use_ahead(struct mms_store *store, struct mms_slice id);
static bool is_for(const struct mms_store *store, const struct answer_for *target, struct mms_slice id);
static void begin_empty(struct answer_for *target);
static void clear(struct mms_store *store, struct answer_for *target);
static struct mms_mono deadline_from_now(const struct mms_store *store);
static enum mms_status ensure_read(struct mms_store *store, struct mms_slice id, struct mms_error *error);
static uint32_t lifetime_of(const struct mms_store *store, int64_t lifetime_s);
static struct mms_version next_version(struct mms_store *store, bool tombstone);
static void read_by_visitor(struct mms_store *store);
static enum mms_status put(struct mms_store *store, const struct mms_write_order *order, struct mms_mono deadline,
		struct mms_write_result *result);
static enum mms_status put_payload(struct mms_store *store, struct mms_slice payload, uint32_t lifetime_s,
		struct mms_error *error);
static enum mms_status put_tombstone(struct mms_store *store, uint32_t lifetime_s, struct mms_error *error);
static void become(struct mms_store *store, const struct mms_record_header *header,
		const unsigned char *header_bytes, int64_t ttl_ms);

struct mms_store *mms_store_new(struct mms_client *client)
{
	struct mms_store *store = malloc(sizeof *store);

	if (store == NULL) {
		return NULL;
	}
	store->client = client;
	store->visit = NULL;
	begin_empty(&store->current);
	begin_empty(&store->ahead);
	if (client->settings.read_mode == MMS_READ_TOKEN) {
		store->visit = mms_visit_new(client);
		if (store->visit == NULL) {
			free(store);
			return NULL;
		}
	}
	return store;
}

void mms_store_free(struct mms_store *store)
{
	if (store != NULL) {
		mms_store_end(store);
		mms_visit_free(store->visit);
		free(store);
	}
}

void mms_store_end(struct mms_store *store)
{
	clear(store, &store->current);
	clear(store, &store->ahead);
	if (store->visit != NULL) {
		mms_visit_end(store->visit);
	}
}

struct mms_visit *mms_store_visit(struct mms_store *store)
{
	return store->visit;
}

bool mms_store_id_valid(struct mms_slice id)
{
	return mms_config_session_id_valid(id);
}

enum mms_status mms_store_read(struct mms_store *store, struct mms_slice id, struct mms_slice *payload, bool *exists,
		struct mms_error *error)
{
	const struct mms_answer *answer = &store->current.answer;

	*payload = (struct mms_slice){ "", 0 };
	*exists = false;
	clear(store, &store->current);
	if (use_ahead(store, id)) {
		store->current = store->ahead;
		begin_empty(&store->ahead);
	} else {
		(void)fill(store, &store->current, id, true);
	}
	store->started = mms_clock_boot();
	read_by_visitor(store);
	switch (answer->found) {
	case MMS_FOUND_RECORD:
		*payload = answer->payload;
		*exists = true;
		return MMS_OK;
	case MMS_FOUND_NOTHING:
	case MMS_FOUND_TOMBSTONE:
		return MMS_OK;
	case MMS_FOUND_FOREIGN:
		mms_error_set(error, "the key of this session holds something that is not mmsession's: it is left alone; give "
				"mmsession.prefix a value of its own");
		return MMS_ERR_FOREIGN;
	default:
		*error = answer->error;
		return MMS_ERR_NO_NODE;
	}
}

enum mms_verdict_id mms_store_exists(struct mms_store *store, struct mms_slice id)
{
	const struct mms_answer *answer = &store->ahead.answer;
	uint32_t no_count;

	if (!is_for(store, &store->ahead, id)) {
		clear(store, &store->ahead);
		/* Beside an open session no second lock: two that wait for each other's would wait in vain. */
		(void)fill(store, &store->ahead, id, !store->current.valid);
	}
	if (store->ahead.created_here) {
		return MMS_ID_UNKNOWN;
	}
	switch (answer->found) {
	case MMS_FOUND_RECORD:
		return MMS_ID_KNOWN;
	case MMS_FOUND_TOMBSTONE:
	case MMS_FOUND_FOREIGN:
		return MMS_ID_UNKNOWN;
	case MMS_FOUND_NOTHING:
		no_count = (uint32_t)__builtin_popcountll(answer->absent_mask);
		return no_count * 2 > store->client->settings.node_count ? MMS_ID_UNKNOWN : MMS_ID_UNCERTAIN;
	default:
		return MMS_ID_UNCERTAIN;
	}
}

bool mms_store_created(struct mms_store *store, struct mms_slice id)
{
	clear(store, &store->ahead);
	store->client->reads_new_id = true;
	(void)fill(store, &store->ahead, id, false);
	store->client->reads_new_id = false;
	store->ahead.created_here = true;
	return store->ahead.answer.found == MMS_FOUND_NOTHING || store->ahead.answer.found == MMS_FOUND_UNREADABLE;
}

bool mms_store_is_new(const struct mms_store *store, struct mms_slice id)
{
	return is_for(store, &store->current, id) && !store->current.doubtful
			&& (store->current.answer.found == MMS_FOUND_NOTHING || store->current.answer.found == MMS_FOUND_TOMBSTONE);
}

enum mms_status mms_store_write(struct mms_store *store, struct mms_slice id, struct mms_slice payload,
		int64_t lifetime_s, struct mms_error *error)
{
	struct mms_client *client = store->client;
	enum mms_status status;

	if (payload.len > client->settings.max_session_size) {
		mms_client_count(client, MMS_METRIC_refused_writes);
		mms_error_set(error, "session of %zu bytes is larger than mmsession.max_session_size (%u): not stored, the "
				"older content stays", payload.len, client->settings.max_session_size);
		return MMS_ERR_GUARD;
	}
	status = ensure_read(store, id, error);
	if (status != MMS_OK) {
		return status;
	}
	if (mms_clock_boot().ms - store->started.ms > MMS_TOMBSTONE_GRACE_MS) {
		mms_client_count(client, MMS_METRIC_refused_writes);
		mms_error_set(error, "session was read more than %d minutes ago: not stored, a logout since then may be "
				"forgotten already", MMS_TOMBSTONE_GRACE_MS / 60000);
		return MMS_ERR_GUARD;
	}
	return put_payload(store, payload, lifetime_of(store, lifetime_s), error);
}

enum mms_status mms_store_touch(struct mms_store *store, struct mms_slice id, struct mms_slice payload,
		int64_t lifetime_s, struct mms_error *error)
{
	struct mms_client *client = store->client;
	const struct mms_answer *answer = &store->current.answer;
	uint32_t lifetime = lifetime_of(store, lifetime_s);
	uint32_t interval = client->settings.touch_interval_s;
	struct mms_write_result result;
	struct mms_write_order order;
	enum mms_status status = ensure_read(store, id, error);

	if (status != MMS_OK) {
		return status;
	}
	if (store->current.doubtful || answer->found != MMS_FOUND_RECORD
			|| (answer->header.version.blind && answer->authoritative)) {
		return mms_store_write(store, id, payload, lifetime_s, error);
	}
	/* A touch once per interval is too rare for short lifetimes: they are prolonged when a quarter has passed. */
	if (interval > lifetime / 4) {
		interval = lifetime / 4;
	}
	if (answer->pttl_ms > ((int64_t)lifetime - interval) * 1000) {
		mms_client_count(client, MMS_METRIC_unchanged);
		return MMS_OK;
	}
	order = (struct mms_write_order){
		.kind = MMS_PARCEL_TOUCH,
		.key = { store->current.key, store->current.key_len },
		.header_bytes = answer->header_bytes,
		.payload = payload,
		.ttl_ms = (uint64_t)lifetime * 1000,
		.acks_needed = mms_config_acks_needed(&client->settings),
	};
	mms_client_count(client, MMS_METRIC_touches);
	status = put(store, &order, deadline_from_now(store), &result);
	if (status == MMS_OK) {
		store->current.answer.pttl_ms = (int64_t)order.ttl_ms;
	} else {
		*error = result.error;
		mms_client_count(client, MMS_METRIC_failed_writes);
	}
	return status;
}

enum mms_status mms_store_destroy(struct mms_store *store, struct mms_slice id, int64_t lifetime_s,
		struct mms_error *error)
{
	enum mms_status status = ensure_read(store, id, error);

	if (status != MMS_OK) {
		return status;
	}
	if (store->current.answer.found == MMS_FOUND_TOMBSTONE && !store->current.doubtful) {
		return MMS_OK; /* destroyed already, and nothing stored since */
	}
	mms_client_count(store->client, MMS_METRIC_destroys);
	return put_tombstone(store, lifetime_of(store, lifetime_s), error);
}

static bool fill(struct mms_store *store, struct answer_for *target, struct mms_slice id, bool locking)
{
	const char *prefix = store->client->settings.prefix;
	size_t prefix_len = strlen(prefix);
	struct mms_slice key = { target->key, prefix_len + id.len };
	struct mms_mono deadline;

	if (id.len > MMS_SESSION_ID_MAX || prefix_len > MMS_PREFIX_MAX) {
		return false;
	}
	memcpy(target->key, prefix, prefix_len);
	memcpy(target->key + prefix_len, id.ptr, id.len);
	target->key_len = key.len;
	target->valid = true;
	target->created_here = false;
	target->doubtful = false;
	if (locking && store->client->settings.lock != 0 && !lock(store, target)) {
		return false;
	}
	deadline = deadline_from_now(store);
	if (store->visit != NULL && (target == &store->current || !store->current.valid)) {
		mms_visit_begin(store->visit, key);
		mms_read_for_visitor(store->client, key, deadline,
				store->client->settings.lock == 0 ? mms_visit_plan(store->visit) : NULL, &target->answer);
		return true;
	}
	mms_read_record(store->client, key, deadline, &target->answer);
	if (store->client->settings.read_mode == MMS_READ_QUORUM) {
		mms_quorum_write_back(store->client, key, deadline, &target->answer);
	}
	return true;
}

/* The lock comes first, in a round trip of its own: what is read beside it may be older than what its last holder wrote.
 * False when another request kept it; without a node to ask, the read goes on without. */
static bool lock(struct mms_store *store, struct answer_for *target)
{
	struct mms_client *client = store->client;
	struct mms_error error;
	enum mms_status status = mms_lease_take(client, &target->lease, (struct mms_slice){ target->key, target->key_len },
			client->settings.lock_wait_ms, &error);

	target->behind_lock = true;
	if (status == MMS_ERR_TIMEOUT) {
		mms_client_count(client, MMS_METRIC_lock_timeouts);
		mms_answer_clear(&target->answer); /* unreadable, and so not to be written either */
		target->answer.error = error;
		return false;
	}
	return true;
}

/* Is there an answer that was fetched for this id? With a lock to be taken it must have come after that; nobody else can
 * have written under an id that was made here a moment ago, unless somebody else has its lock. */
static bool use_ahead(struct mms_store *store, struct mms_slice id)
{
	struct answer_for *ahead = &store->ahead;

	if (!is_for(store, ahead, id)) {
		return false;
	}
	if (store->client->settings.lock == 0 || ahead->behind_lock
			|| (ahead->created_here && (!lock(store, ahead) || !ahead->lease.waited))) {
		return true;
	}
	clear(store, ahead);
	return false;
}

static bool is_for(const struct mms_store *store, const struct answer_for *target, struct mms_slice id)
{
	size_t prefix_len = strlen(store->client->settings.prefix);

	return target->valid && target->key_len == prefix_len + id.len
			&& memcmp(target->key + prefix_len, id.ptr, id.len) == 0;
}

/* Without the key, which calloc() would wipe too: every page view pays for that. */
static void begin_empty(struct answer_for *target)
{
	mms_answer_init(&target->answer);
	mms_lease_init(&target->lease);
	target->valid = false;
	clear(NULL, target);
}

static void clear(struct mms_store *store, struct answer_for *target)
{
	if (target->valid) { /* else it is empty already */
		mms_answer_clear(&target->answer);
		if (target->behind_lock) {
			mms_lease_release(store->client, &target->lease, (struct mms_slice){ target->key, target->key_len });
		}
	}
	target->behind_lock = false;
	target->valid = false;
	target->created_here = false;
	target->doubtful = false;
}

static struct mms_mono deadline_from_now(const struct mms_store *store)
{
	struct mms_mono now = mms_clock_mono();

	now.us += (int64_t)store->client->settings.budget_ms * 1000;
	return now;
}

/* The write guard: what was not read can't be written. A write or destroy of an id that nobody read reads it first. */
static enum mms_status ensure_read(struct mms_store *store, struct mms_slice id, struct mms_error *error)
{
	if (!is_for(store, &store->current, id)) {
		struct mms_slice payload;
		bool exists;
		enum mms_status status = mms_store_read(store, id, &payload, &exists, error);

		return status;
	}
	if (store->current.answer.found == MMS_FOUND_UNREADABLE) {
		mms_client_count(store->client, MMS_METRIC_refused_writes);
		mms_error_set(error, "this session could not be read in this request, so it is not written either: what is "
				"stored stays");
		return MMS_ERR_GUARD;
	}
	if (store->current.answer.found == MMS_FOUND_FOREIGN) {
		mms_error_set(error, "the key of this session holds something that is not mmsession's: it is left alone");
		return MMS_ERR_FOREIGN;
	}
	return MMS_OK;
}

static uint32_t lifetime_of(const struct mms_store *store, int64_t lifetime_s)
{
	if (store->client->settings.lifetime_s != 0) {
		return store->client->settings.lifetime_s;
	}
	if (lifetime_s < 1) {
		return 1;
	}
	return lifetime_s > LIFETIME_MAX_S ? LIFETIME_MAX_S : (uint32_t)lifetime_s;
}

static struct mms_version next_version(struct mms_store *store, bool tombstone)
{
	uint64_t told = store->visit != NULL ? mms_visit_above(store->visit) : 0;

	return mms_next_version(store->client, &store->current.answer, told, tombstone);
}

/* What the visitor is told of the read, and the version that his request may write: it is stamped now, so that it can be
 * told too. */
static void read_by_visitor(struct mms_store *store)
{
	struct mms_version version;

	if (store->visit == NULL || !store->current.valid) {
		return;
	}
	mms_visit_begin(store->visit, (struct mms_slice){ store->current.key, store->current.key_len });
	mms_visit_read(store->visit, &store->current.answer);
	version = next_version(store, false);
	(void)mms_visit_reserve(store->visit, &version);
}

/* The version of a write; *everywhere: it has to be on all usable nodes before it returns. */
static struct mms_version version_for_visitor(struct mms_store *store, bool *everywhere)
{
	struct mms_version version;
	bool taken = store->visit != NULL && mms_visit_take(store->visit, &version);

	*everywhere = store->visit != NULL && mms_visit_reaches_all(store->visit, taken);
	return taken ? version : next_version(store, false);
}

/* Acknowledged. A request of this session that has begun here meanwhile may have read before it and tells the visitor so:
 * then it goes to all nodes after all. */
static void tell_visitor(struct mms_store *store, struct mms_write_order *order, const struct mms_version *version,
		const struct mms_write_result *result)
{
	struct mms_write_result rest;

	if (store->visit == NULL) {
		return;
	}
	if (!order->everywhere && mms_visit_overlaps(store->visit)) {
		order->everywhere = true;
		order->have_mask = result->acked_mask;
		order->watched.valid = false;
		(void)mms_write_record(store->client, order, deadline_from_now(store), &rest);
		mms_client_count(store->client, MMS_METRIC_token_wide_writes);
	}
	mms_visit_wrote(store->visit, version, result->met_newer ? &result->newer.version : NULL);
}

/* With on_no_quorum = degrade, too few acknowledgements are better than none. What failed may be in the mailbox, or on a
 * node that did not say so: what is stored is known again when a write above it has been acknowledged. */
static enum mms_status put(struct mms_store *store, const struct mms_write_order *order, struct mms_mono deadline,
		struct mms_write_result *result)
{
	struct mms_client *client = store->client;
	enum mms_status status = mms_write_record(client, order, deadline, result);

	if (status == MMS_ERR_NO_NODE && result->acked_mask != 0
			&& client->settings.on_no_quorum == MMS_NO_QUORUM_DEGRADE) {
		mms_client_count(client, MMS_METRIC_degraded_writes);
		return MMS_OK;
	}
	store->current.doubtful = store->current.doubtful || status != MMS_OK;
	return status;
}

static enum mms_status put_payload(struct mms_store *store, struct mms_slice payload, uint32_t lifetime_s,
		struct mms_error *error)
{
	struct mms_client *client = store->client;
	const struct mms_answer *answer = &store->current.answer;
	struct mms_record_header header = { .lifetime_s = lifetime_s };
	unsigned char header_bytes[MMS_RECORD_HEADER_SIZE];
	struct mms_slice key = { store->current.key, store->current.key_len };
	struct mms_write_result result;
	struct mms_write_order order = {
		.kind = MMS_PARCEL_PUT, .key = key, .header_bytes = header_bytes, .payload = payload,
		.ttl_ms = (uint64_t)lifetime_s * 1000, .acks_needed = mms_config_acks_needed(&client->settings),
	};
	enum mms_status status;

	header.version = version_for_visitor(store, &order.everywhere);
	if (mms_overlap_stops(client, key, &store->current.lease, &store->current.answer, deadline_from_now(store), &status,
			error)) {
		return status;
	}
	order.watched = answer->watched;
	mms_next_describe_base(answer, &header);
	if (answer->pttl_ms > 0 && (uint64_t)answer->pttl_ms > order.ttl_ms) {
		order.ttl_ms = (uint64_t)answer->pttl_ms;
	}
	mms_record_describe(&header, payload);
	mms_record_encode(&header, key, header_bytes);
	if (header.version.blind) {
		mms_client_count(client, MMS_METRIC_blind_writes);
	}
	mms_client_count(client, MMS_METRIC_writes);
	status = put(store, &order, deadline_from_now(store), &result);
	if (status != MMS_OK) {
		*error = result.error;
		mms_client_count(client, MMS_METRIC_failed_writes);
		return status;
	}
	mms_overlap_count(client, &result);
	if (result.met_newer) {
		(void)mms_hlc_observe(&client->shm->hlc, mms_clock_wall(), result.newer.version.hlc,
				client->settings.max_clock_drift_ms);
	}
	tell_visitor(store, &order, &header.version, &result);
	become(store, &header, header_bytes, (int64_t)order.ttl_ms);
	return mms_overlap_after(client, &store->current.lease, &result, error);
}

static enum mms_status put_tombstone(struct mms_store *store, uint32_t lifetime_s, struct mms_error *error)
{
	struct mms_client *client = store->client;
	const struct mms_answer *answer = &store->current.answer;
	struct mms_slice key = { store->current.key, store->current.key_len };
	struct mms_record_header header = { .version = next_version(store, true), .lifetime_s = lifetime_s };
	unsigned char header_bytes[MMS_RECORD_HEADER_SIZE];
	struct mms_write_result result;
	struct mms_write_order order = {
		.kind = MMS_PARCEL_PUT, .key = key, .header_bytes = header_bytes,
		.acks_needed = mms_config_acks_needed(&client->settings), .everywhere = true,
	};
	struct mms_mono deadline = deadline_from_now(store);
	enum mms_status status = MMS_ERR_NO_NODE;

	mms_next_describe_base(answer, &header);
	for (unsigned round = 0; round < DESTROY_ROUNDS_MAX; round++) {
		/* Rule l: the tombstone outlives every copy, "remember me" ones included. */
		order.ttl_ms = (uint64_t)header.lifetime_s * 1000;
		if (answer->pttl_ms > 0 && (uint64_t)answer->pttl_ms > order.ttl_ms) {
			order.ttl_ms = (uint64_t)answer->pttl_ms;
		}
		order.ttl_ms += MMS_TOMBSTONE_GRACE_MS;
		mms_record_describe(&header, order.payload);
		mms_record_encode(&header, key, header_bytes);
		status = put(store, &order, deadline, &result);
		if (status != MMS_OK || !result.met_newer || result.newer.version.tombstone
				|| result.newer.version.incarnation <= header.version.incarnation) {
			break;
		}
		/* Rule c: somebody opened a newer incarnation meanwhile. A blind logout stays blind: it loses to what is real. */
		header.version.incarnation = result.newer.version.incarnation;
		header.version.hlc = mms_hlc_stamp(&client->shm->hlc, mms_clock_wall(), result.newer.version.hlc,
				client->settings.max_clock_drift_ms);
		header.version.sequence = mms_shm_next_sequence(client->shm);
		if (result.newer.lifetime_s > header.lifetime_s) {
			header.lifetime_s = result.newer.lifetime_s;
		}
	}
	if (status != MMS_OK) {
		*error = result.error;
		mms_client_count(client, MMS_METRIC_failed_writes);
		return status;
	}
	tell_visitor(store, &order, &header.version, &result);
	become(store, &header, header_bytes, (int64_t)order.ttl_ms);
	return MMS_OK;
}

/* After a successful write, what was written is what was read: the next write of this request builds on it. */
static void become(struct mms_store *store, const struct mms_record_header *header,
		const unsigned char *header_bytes, int64_t ttl_ms)
{
	struct mms_answer *answer = &store->current.answer;
	bool authoritative = answer->authoritative;

	store->current.doubtful = false;
	mms_answer_clear(answer);
	answer->found = header->version.tombstone ? MMS_FOUND_TOMBSTONE : MMS_FOUND_RECORD;
	answer->authoritative = authoritative;
	answer->header = *header;
	memcpy(answer->header_bytes, header_bytes, MMS_RECORD_HEADER_SIZE);
	answer->pttl_ms = ttl_ms;
}
