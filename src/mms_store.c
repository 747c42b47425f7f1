/* The sessions of one open handler. The difficulty is that PHP's own session must keep its base and its lock whatever a
 * script does beside it: `current` is the session that was read first and may be written, `aside` another id that
 * SessionHandler's methods were called with meanwhile (log out my other devices), `ahead` what exists() or created() fetched
 * for an id that may be read next (session_create_id() asks about another id while a session is open). */
#include "mms_store.h"

#include <stdlib.h>
#include <string.h>

#include "mms_next.h"
#include "mms_opened.h"
#include "mms_overlap.h"
#include "mms_visit.h"
#include "mms_write.h"

/* A store that is freed is kept for the next one: the sanitizer is told, so that it sees who uses it meanwhile. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#endif
#endif
#ifndef ASAN_POISON_MEMORY_REGION
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

#define DESTROY_ROUNDS_MAX 3      /* newer incarnations that one logout follows */
#define LIFETIME_MAX_S 0x7fffffff /* 68 years */

struct mms_store {
	struct mms_client *client;
	struct mms_opened current, aside, ahead;
	struct mms_displaced displaced; /* what PHP has of an id that `aside` held last */
	struct mms_visit *visit; /* read = session-token: right behind this struct; NULL otherwise */
};

static struct mms_opened *place_for(struct mms_store *store, struct mms_slice id, bool to_read);
static void open_for(struct mms_store *store, struct mms_opened *opened, struct mms_slice id);
static bool use_ahead(struct mms_store *store, struct mms_slice id, bool locking);
static enum mms_status ensure_read(struct mms_store *store, struct mms_slice id, struct mms_opened **opened,
		struct mms_error *error);
static uint32_t lifetime_of(const struct mms_store *store, int64_t lifetime_s);
static struct mms_visit *visit_of(const struct mms_store *store, const struct mms_opened *opened);
static struct mms_version next_version(struct mms_store *store, const struct mms_opened *opened, bool tombstone);
static void read_by_visitor(struct mms_store *store);
static enum mms_status put(struct mms_store *store, struct mms_opened *opened, const struct mms_write_order *order,
		struct mms_mono deadline, struct mms_write_result *result);
static enum mms_status put_payload(struct mms_store *store, struct mms_opened *opened, struct mms_slice payload,
		uint32_t lifetime_s, const struct mms_version *as_read, struct mms_error *error);
static enum mms_status put_tombstone(struct mms_store *store, struct mms_opened *opened, uint32_t lifetime_s,
		struct mms_error *error);

struct mms_store *mms_store_new(struct mms_client *client)
{
	bool with_tokens = client->settings.read_mode == MMS_READ_TOKEN;
	struct mms_store *store = client->spare_store;

	if (store == NULL) {
		store = malloc(sizeof *store + mms_visit_size()); /* in any case: the next one's read mode may be another */
	}
	client->spare_store = NULL;
	if (store == NULL) {
		return NULL;
	}
	ASAN_UNPOISON_MEMORY_REGION(store, sizeof *store + mms_visit_size());
	store->client = client;
	store->visit = with_tokens ? (struct mms_visit *)(store + 1) : NULL;
	store->displaced.key_len = 0;
	mms_opened_init(&store->current);
	mms_opened_init(&store->aside);
	mms_opened_init(&store->ahead);
	if (with_tokens) {
		mms_visit_init(store->visit, client);
	}
	return store;
}

void mms_store_free(struct mms_store *store)
{
	if (store != NULL) {
		struct mms_client *client = store->client;

		mms_store_end(store);
		free(client->spare_store);
		client->spare_store = store;
		ASAN_POISON_MEMORY_REGION(store, sizeof *store + mms_visit_size());
	}
}

void mms_store_end(struct mms_store *store)
{
	mms_opened_clear(store->client, &store->current);
	mms_opened_clear(store->client, &store->aside);
	mms_opened_clear(store->client, &store->ahead);
	store->displaced.key_len = 0;
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
	struct mms_opened *opened = place_for(store, id, true);
	const struct mms_answer *answer = &opened->answer;

	*payload = (struct mms_slice){ "", 0 };
	*exists = false;
	open_for(store, opened, id);
	opened->given = true;
	switch (answer->found) {
	case MMS_FOUND_RECORD:
		*payload = answer->payload;
		*exists = true;
		return MMS_OK;
	case MMS_FOUND_NOTHING: /* or what another handler left */
		*payload = answer->imported ? answer->payload : *payload;
		*exists = answer->imported;
		return MMS_OK;
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

	if (!mms_opened_is_for(&store->ahead, id)) {
		bool first = !store->current.valid;

		mms_opened_fill(store->client, &store->ahead, id, first ? store->visit : NULL, first);
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
		if (answer->imported) {
			return MMS_ID_KNOWN;
		}
		no_count = mms_count_bits(answer->absent_mask);
		return no_count * 2 > store->client->settings.node_count ? MMS_ID_UNKNOWN : MMS_ID_UNCERTAIN;
	default:
		return MMS_ID_UNCERTAIN;
	}
}

bool mms_store_created(struct mms_store *store, struct mms_slice id)
{
	store->client->reads_new_id = true;
	mms_opened_fill(store->client, &store->ahead, id, store->current.valid ? NULL : store->visit, false);
	store->client->reads_new_id = false;
	store->ahead.created_here = true;
	return store->ahead.answer.found == MMS_FOUND_NOTHING || store->ahead.answer.found == MMS_FOUND_UNREADABLE;
}

bool mms_store_is_open(const struct mms_store *store, struct mms_slice id)
{
	return mms_opened_is_for(&store->current, id);
}

bool mms_store_is_new(const struct mms_store *store, struct mms_slice id)
{
	const struct mms_opened *opened = mms_opened_is_for(&store->current, id) ? &store->current : &store->aside;

	return mms_opened_is_for(opened, id) && !opened->doubtful && !opened->answer.imported
			&& (opened->answer.found == MMS_FOUND_NOTHING || opened->answer.found == MMS_FOUND_TOMBSTONE);
}

/* A logout since this was read may be forgotten by now. */
static bool is_too_old(const struct mms_opened *opened)
{
	return mms_clock_boot().ms - opened->read_at.ms > MMS_TOMBSTONE_GRACE_MS;
}

enum mms_status mms_store_write(struct mms_store *store, struct mms_slice id, struct mms_slice payload,
		int64_t lifetime_s, struct mms_error *error)
{
	struct mms_client *client = store->client;
	struct mms_opened *opened;
	enum mms_status status;

	if (payload.len > client->settings.max_session_size) {
		mms_client_count(client, MMS_METRIC_refused_writes);
		mms_error_set(error, "session of %zu bytes is larger than mmsession.max_session_size (%u): not stored, the "
				"older content stays; raise it on all hosts, or keep less in the session", payload.len, client->settings.max_session_size);
		return MMS_ERR_GUARD;
	}
	status = ensure_read(store, id, &opened, error);
	if (status != MMS_OK) {
		return status;
	}
	if (is_too_old(opened)) {
		mms_client_count(client, MMS_METRIC_refused_writes);
		mms_error_set(error, "session was read more than %d minutes ago: not stored, a logout since then may be "
				"forgotten already; long requests end their session early by session_write_close()", MMS_TOMBSTONE_GRACE_MS / 60000);
		return MMS_ERR_GUARD;
	}
	if (opened->changed && !opened->given) { /* another request's write is about to be replaced unread */
		mms_client_count(client, MMS_METRIC_conflicts);
	}
	return put_payload(store, opened, payload, lifetime_of(store, lifetime_s), NULL, error);
}

enum mms_status mms_store_touch(struct mms_store *store, struct mms_slice id, struct mms_slice payload,
		int64_t lifetime_s, struct mms_error *error)
{
	struct mms_client *client = store->client;
	uint32_t lifetime = lifetime_of(store, lifetime_s);
	uint32_t interval = client->settings.touch_interval_s;
	struct mms_write_result result;
	struct mms_write_order order;
	const struct mms_answer *answer;
	struct mms_opened *opened;
	enum mms_status status = ensure_read(store, id, &opened, error);

	if (status != MMS_OK) {
		return status;
	}
	answer = &opened->answer;
	if (answer->imported && !opened->doubtful && !is_too_old(opened)) {
		return put_payload(store, opened, payload, lifetime, &opened->as_read, error);
	}
	if (opened->doubtful || answer->found != MMS_FOUND_RECORD
			|| (answer->header.version.blind && answer->authoritative)) {
		return mms_store_write(store, id, payload, lifetime_s, error);
	}
	/* Where nothing stands any more a touch puts the record there: a logout that is forgotten already would be undone. */
	if (is_too_old(opened)) {
		mms_client_count(client, MMS_METRIC_unchanged);
		return MMS_OK;
	}
	/* A touch once per interval is too rare for short lifetimes: they are prolonged when a quarter has passed. */
	if (interval > lifetime / 4) {
		interval = lifetime / 4;
	}
	/* A page may have its session open for long: what is left now counts. */
	if (answer->pttl_ms - (mms_clock_boot().ms - opened->pttl_at.ms) > ((int64_t)lifetime - interval) * 1000) {
		mms_client_count(client, MMS_METRIC_unchanged);
		return MMS_OK;
	}
	order = (struct mms_write_order){
		.kind = MMS_PARCEL_TOUCH,
		.key = mms_opened_key(opened),
		.header_bytes = answer->header_bytes,
		.payload = opened->given ? payload : answer->payload, /* what belongs to the header */
		.ttl_ms = (uint64_t)lifetime * 1000,
		.acks_needed = mms_config_acks_needed(&client->settings),
	};
	mms_client_count(client, MMS_METRIC_touches);
	status = put(store, opened, &order, mms_client_deadline(client), &result);
	if (status == MMS_OK) {
		opened->answer.pttl_ms = (int64_t)order.ttl_ms;
		opened->pttl_at = mms_clock_boot();
	} else {
		*error = result.error;
		mms_client_count(client, MMS_METRIC_failed_writes);
	}
	return status;
}

enum mms_status mms_store_destroy(struct mms_store *store, struct mms_slice id, int64_t lifetime_s,
		struct mms_error *error)
{
	struct mms_opened *opened;
	enum mms_status status = ensure_read(store, id, &opened, error);

	if (status != MMS_OK) {
		return status;
	}
	if (opened->answer.found == MMS_FOUND_TOMBSTONE && !opened->doubtful) {
		return MMS_OK; /* destroyed already, and nothing stored since */
	}
	mms_client_count(store->client, MMS_METRIC_destroys);
	return put_tombstone(store, opened, lifetime_of(store, lifetime_s), error);
}

/* Where this id is read to. The session that was read first stays what it is until the end, whatever else is read beside it;
 * but an id that was made here and is read is one that PHP goes on with. */
static struct mms_opened *place_for(struct mms_store *store, struct mms_slice id, bool to_read)
{
	if (!store->current.valid || mms_opened_is_for(&store->current, id)
			|| (to_read && store->ahead.created_here && mms_opened_is_for(&store->ahead, id))) {
		return &store->current;
	}
	return &store->aside;
}

static struct mms_opened *find(struct mms_store *store, struct mms_slice id)
{
	if (mms_opened_is_for(&store->current, id)) {
		return &store->current;
	}
	return mms_opened_is_for(&store->aside, id) ? &store->aside : NULL;
}

/* Beside an open session without a lock: two that wait for each other's would wait in vain. */
static void open_for(struct mms_store *store, struct mms_opened *opened, struct mms_slice id)
{
	bool locking = opened == &store->current;
	struct mms_displaced last;

	last.key_len = 0;
	if (opened == &store->aside) {
		last = store->displaced;
		mms_opened_displace(&store->aside, &store->displaced);
	}
	if (!mms_opened_is_for(opened, id)) {
		mms_opened_clear(store->client, opened); /* its lock is not kept while another one is waited for */
	}
	if (use_ahead(store, id, locking)) {
		mms_opened_clear(store->client, opened);
		*opened = store->ahead;
		mms_opened_init(&store->ahead);
	} else {
		mms_opened_fill(store->client, opened, id, visit_of(store, opened), locking);
	}
	opened->changed = mms_opened_differs(opened, &last);
	if (opened == &store->current) {
		read_by_visitor(store);
	}
}

/* Is there an answer that was fetched for this id? With a lock to be taken it must have come after that; nobody else can
 * have written under an id that was made here a moment ago, unless somebody else has its lock. */
static bool use_ahead(struct mms_store *store, struct mms_slice id, bool locking)
{
	struct mms_client *client = store->client;
	struct mms_opened *ahead = &store->ahead;

	if (!mms_opened_is_for(ahead, id)) {
		return false;
	}
	if (client->settings.lock == 0 || ahead->behind_lock
			|| (ahead->created_here && (!locking || !mms_opened_lock(client, ahead) || !ahead->lease.waited))) {
		return true;
	}
	mms_opened_clear(client, ahead);
	return false;
}

/* The write guard: what was not read can't be written. A write or destroy of an id that nobody read reads it first. */
static enum mms_status ensure_read(struct mms_store *store, struct mms_slice id, struct mms_opened **opened,
		struct mms_error *error)
{
	struct mms_opened *found = find(store, id);
	bool read_before = found != NULL;

	*opened = read_before ? found : place_for(store, id, false);
	if (!read_before) {
		open_for(store, *opened, id);
	}
	switch ((*opened)->answer.found) {
	case MMS_FOUND_UNREADABLE:
		if (!read_before) {
			*error = (*opened)->answer.error;
			return MMS_ERR_NO_NODE;
		}
		mms_client_count(store->client, MMS_METRIC_refused_writes);
		mms_error_set(error, "this session could not be read in this request, so it is not written either: what is "
				"stored stays");
		return MMS_ERR_GUARD;
	case MMS_FOUND_FOREIGN:
		mms_error_set(error, "the key of this session holds something that is not mmsession's: it is left alone; give "
				"mmsession.prefix a value of its own");
		return MMS_ERR_FOREIGN;
	default:
		return MMS_OK;
	}
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

/* The visitor is told of one session, his; NULL = not of this one, or of none. */
static struct mms_visit *visit_of(const struct mms_store *store, const struct mms_opened *opened)
{
	return opened == &store->current ? store->visit : NULL;
}

static struct mms_version next_version(struct mms_store *store, const struct mms_opened *opened, bool tombstone)
{
	const struct mms_visit *visit = visit_of(store, opened);

	return mms_next_version(store->client, &opened->answer, visit != NULL ? mms_visit_above(visit) : 0, tombstone);
}

/* What the visitor is told of the read, and the version that his request may write: it is stamped now, so that it can be
 * told too. */
static void read_by_visitor(struct mms_store *store)
{
	struct mms_version version;

	if (store->visit == NULL || !store->current.valid) {
		return;
	}
	mms_visit_begin(store->visit, mms_opened_key(&store->current));
	mms_visit_read(store->visit, &store->current.answer);
	version = next_version(store, &store->current, false);
	(void)mms_visit_reserve(store->visit, &version);
}

/* The version of a write; *everywhere: it has to be on all usable nodes before it returns. */
static struct mms_version version_for_visitor(struct mms_store *store, const struct mms_opened *opened, bool *everywhere)
{
	struct mms_visit *visit = visit_of(store, opened);
	struct mms_version version;
	bool taken = visit != NULL && mms_visit_take(visit, &version);

	if (visit != NULL) {
		*everywhere = mms_visit_reaches_all(visit, taken);
	} else if (store->visit != NULL) {
		*everywhere = true; /* this one's visitor is somebody else */
		mms_client_count(store->client, MMS_METRIC_token_wide_writes);
	}
	return taken ? version : next_version(store, opened, false);
}

/* Acknowledged. A request of this session that has begun here meanwhile may have read before it and tells the visitor so:
 * then it goes to all nodes after all. */
static void tell_visitor(struct mms_client *client, struct mms_visit *visit, struct mms_write_order *order,
		const struct mms_version *version, struct mms_mono deadline, const struct mms_write_result *result)
{
	struct mms_write_result rest;

	if (visit == NULL) {
		return;
	}
	if (!order->everywhere && mms_visit_overlaps(visit)) {
		order->everywhere = true;
		order->have_mask = result->acked_mask;
		order->watched.valid = false;
		(void)mms_write_record(client, order, deadline, &rest);
		mms_client_count(client, MMS_METRIC_token_wide_writes);
	}
	mms_visit_wrote(visit, version, result->met_newer ? &result->newer.version : NULL);
}

/* With on_no_quorum = degrade, too few acknowledgements are better than none. What failed may be in the mailbox, or on a
 * node that did not say so: what is stored is known again when a write above it has been acknowledged. */
static enum mms_status put(struct mms_store *store, struct mms_opened *opened, const struct mms_write_order *order,
		struct mms_mono deadline, struct mms_write_result *result)
{
	struct mms_client *client = store->client;
	enum mms_status status = mms_write_record(client, order, deadline, result);

	if (status == MMS_ERR_NO_NODE && result->acked_mask != 0
			&& client->settings.on_no_quorum == MMS_NO_QUORUM_DEGRADE) {
		mms_client_count(client, MMS_METRIC_degraded_writes);
		return MMS_OK;
	}
	opened->doubtful = opened->doubtful || status != MMS_OK;
	return status;
}

/* as_read: its version, where it is what another handler left, unchanged: of what was written since the read, any wins. */
static enum mms_status put_payload(struct mms_store *store, struct mms_opened *opened, struct mms_slice payload,
		uint32_t lifetime_s, const struct mms_version *as_read, struct mms_error *error)
{
	struct mms_client *client = store->client;
	const struct mms_answer *answer = &opened->answer;
	struct mms_record_header header = { .lifetime_s = lifetime_s };
	unsigned char header_bytes[MMS_RECORD_HEADER_SIZE];
	struct mms_slice key = mms_opened_key(opened);
	struct mms_write_result result;
	struct mms_mono deadline;
	struct mms_write_order order = {
		.kind = MMS_PARCEL_PUT, .key = key, .header_bytes = header_bytes, .payload = payload,
		.ttl_ms = (uint64_t)lifetime_s * 1000, .acks_needed = mms_config_acks_needed(&client->settings),
	};
	enum mms_status status;

	header.version = version_for_visitor(store, opened, &order.everywhere);
	header.version = as_read != NULL ? *as_read : header.version;
	if (mms_overlap_stops(client, key, &opened->lease, &opened->answer, &status, error)) {
		opened->doubtful = true; /* what PHP has now was not stored: the same once more is no unchanged session */
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
	deadline = mms_client_deadline(client);
	status = put(store, opened, &order, deadline, &result);
	if (status != MMS_OK) {
		*error = result.error;
		mms_client_count(client, MMS_METRIC_failed_writes);
		return status;
	}
	mms_overlap_count(client, &result);
	if (result.met_newer) {
		(void)mms_hlc_observe(&client->shm->hlc, mms_hlc_now(&client->shm->anchor), result.newer.version.hlc,
				client->settings.max_clock_drift_ms);
	}
	tell_visitor(client, visit_of(store, opened), &order, &header.version, deadline, &result);
	mms_opened_become(opened, &header, header_bytes, (int64_t)order.ttl_ms);
	return mms_overlap_after(client, &opened->lease, &result, error);
}

/* Of a newer incarnation, or, of blind ones, of a newer generation? */
static bool lives_again(const struct mms_version *live, const struct mms_version *tombstone)
{
	return live->incarnation > tombstone->incarnation || (live->incarnation == tombstone->incarnation && live->blind
			&& tombstone->blind && live->generation > tombstone->generation);
}

static enum mms_status put_tombstone(struct mms_store *store, struct mms_opened *opened, uint32_t lifetime_s,
		struct mms_error *error)
{
	struct mms_client *client = store->client;
	const struct mms_answer *answer = &opened->answer;
	struct mms_slice key = mms_opened_key(opened);
	struct mms_record_header header = { .version = next_version(store, opened, true), .lifetime_s = lifetime_s };
	unsigned char header_bytes[MMS_RECORD_HEADER_SIZE];
	struct mms_write_result result;
	struct mms_write_order order = {
		.kind = MMS_PARCEL_PUT, .key = key, .header_bytes = header_bytes,
		.acks_needed = mms_config_acks_needed(&client->settings), .everywhere = true,
	};
	struct mms_mono deadline = mms_client_deadline(client);
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
		status = put(store, opened, &order, deadline, &result);
		/* What was opened on this very tombstone began after the logout. */
		if (status != MMS_OK || !result.met_newer || result.newer.version.tombstone
				|| result.newer.version.incarnation == header.version.hlc
				|| !lives_again(&result.newer.version, &header.version)) {
			break;
		}
		/* Rule c: somebody opened a newer incarnation meanwhile. A blind logout stays blind: it loses to what is real. */
		header.version.incarnation = result.newer.version.incarnation;
		header.version.generation = header.version.blind ? result.newer.version.generation : 0;
		header.version.hlc = mms_hlc_stamp(&client->shm->hlc, mms_hlc_now(&client->shm->anchor), result.newer.version.hlc,
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
	tell_visitor(client, visit_of(store, opened), &order, &header.version, deadline, &result);
	mms_opened_become(opened, &header, header_bytes, (int64_t)order.ttl_ms);
	return MMS_OK;
}
