/* A token is sent with the headers, mostly before anybody knows whether the request will write. So at session_start a version
 * is reserved and announced; the reservation stays open in shared memory until that write is in the mailbox or the request
 * is over. Everything that was not announced so goes to all nodes before PHP gets its answer. A page may close its session
 * long before it sends its headers, and these then bring a token that is older than what another page has written meanwhile:
 * so it counts as open, for others, until they are sent. */
#include "mms_visit.h"

#include <string.h>

#include "mms_hlc.h"

#define OPEN_MS 60000 /* for how long a page may go on after its headers before it writes, beside other pages */
#define STAMP_MAX_MS 30000 /* a reserved stamp may be so old when it is written; less than the margin of the watermark */
#define SPREAD_MAX_MS (INT64_C(1) << 47) /* beyond what stamps can say: the mapping is damaged */

struct mms_visit {
	struct mms_client *client;
	struct mms_token_set came;
	struct mms_token_plan plan;
	uint64_t session;                 /* 0 = none is open */
	struct mms_reservation_sh *place; /* of this thread when the session was opened; NULL = none was to be had */
	struct mms_token token;
	unsigned beside;                  /* of what came: bits of those that must stay with the visitor */
	bool told;                        /* token says something */
	bool reserved;                    /* token.reserved was not taken yet */
	bool announced;                   /* the reservation is with the visitor, or will be before he comes again */
	bool can_announce;
};

static void cover(struct mms_visit *visit, const struct mms_answer *answer);
static bool has_place(const struct mms_visit *visit);
static unsigned slot_of(const struct mms_client *client);
static void raise_to(struct mms_version *version, const struct mms_version *other);

size_t mms_visit_size(void)
{
	return sizeof(struct mms_visit);
}

void mms_visit_init(struct mms_visit *visit, struct mms_client *client)
{
	*visit = (struct mms_visit){ .client = client };
}

struct mms_token_set *mms_visit_came(struct mms_visit *visit)
{
	return &visit->came;
}

void mms_visit_begin(struct mms_visit *visit, struct mms_slice key)
{
	struct mms_client *client = visit->client;
	uint64_t session = mms_token_session(key);

	if (visit->session == session && !visit->told) {
		return;
	}
	mms_visit_end(visit);
	visit->session = session;
	if (client->reservation == NULL) {
		client->reservation = mms_reservation_claim(mms_shm_reservations(client->shm));
	}
	visit->place = client->reservation;
	if (visit->place != NULL) {
		mms_reservation_begin(mms_shm_reservations(client->shm), visit->place, session);
	}
	mms_token_plan_make(&visit->came, session, &visit->plan);
}

const struct mms_token_plan *mms_visit_plan(const struct mms_visit *visit)
{
	return &visit->plan;
}

void mms_visit_read(struct mms_visit *visit, const struct mms_answer *answer)
{
	struct mms_client *client = visit->client;
	struct mms_version bound;
	uint64_t hlc;

	mms_client_count(client, answer->enough ? MMS_METRIC_token_local_reads : MMS_METRIC_token_full_reads);
	if (answer->found == MMS_FOUND_UNREADABLE || answer->found == MMS_FOUND_FOREIGN) {
		return;
	}
	visit->told = true;
	visit->token = (struct mms_token){ .session = visit->session, .slot = slot_of(client) };
	visit->token.reserved.writer = mms_shm_writer(client->shm, client->cluster, client->settings.host_hash);
	if (answer->found != MMS_FOUND_NOTHING) {
		visit->token.read = answer->header.version;
	}
	cover(visit, answer);
	if (answer->enough || answer->authoritative) {
		return;
	}
	/* Something may be missing: what he was told before stays the least. If even that is not known, nothing but an
	 * authoritative read will do. */
	if (mms_token_bound(&visit->came, visit->session, &bound, &hlc)) {
		raise_to(&visit->token.read, &bound);
	}
	visit->token.uncertain = visit->plan.count == 0;
}

/* May the page that reserved this stamp be about to write it yet? */
static bool may_be_written(const struct mms_client *client, uint64_t reserved)
{
	const struct mms_wall now = mms_hlc_now(&client->shm->anchor);
	int64_t spread_ms = atomic_load_explicit(&client->cluster->clock_spread_ms, memory_order_relaxed);

	/* Another host's clock may have stamped it: hosts differ by so much at most. What nobody can show is nobody's to wait for. */
	spread_ms = spread_ms < 0 || spread_ms > SPREAD_MAX_MS ? 0 : spread_ms;
	return (int64_t)mms_hlc_ms(reserved) + OPEN_MS + spread_ms > now.ms && !mms_hlc_absurd(reserved, now);
}

static bool is_repeated(const struct mms_visit *visit, unsigned number)
{
	for (unsigned i = 0; i < number; i++) {
		if (visit->came.tokens[i].digest == visit->came.tokens[number].digest && (visit->beside & 1u << i) != 0) {
			return true;
		}
	}
	return false;
}

/* What came is answered by this, but for versions that other pages of the visitor may be about to write: that all nodes agree
 * not to have them says nothing. After a minute it does, or the token of a host that died would cost full reads for good.
 * Such a token is not lost with this one's successors either, also while this one answers for it: being of another session,
 * or because what was read is no less than all that came. */
static void cover(struct mms_visit *visit, const struct mms_answer *answer)
{
	visit->beside = 0;
	for (unsigned i = 0; i < visit->came.count; i++) {
		const struct mms_token *came = &visit->came.tokens[i];
		bool ours = came->session == visit->session;
		bool unseen = came->pending && (!ours || (!answer->enough
				&& (came->uncertain || mms_version_compare(&came->reserved, &visit->token.read) > 0)))
				&& may_be_written(visit->client, came->reserved.hlc);
		bool open = unseen && ours && answer->authoritative;

		if (unseen && !is_repeated(visit, i)) {
			visit->beside |= 1u << i;
		}
		if (!open) {
			visit->token.digests[visit->token.digest_count++] = came->digest;
		}
	}
}

/* More than the next request would look at: then the token stands for them all. */
static bool are_too_many_beside(const struct mms_visit *visit)
{
	return visit->came.lost || visit->beside == (1u << MMS_TOKEN_SLOTS) - 1;
}

/* All nodes will be read as long as such a token is about. What pages leave pending meanwhile would be too many again, and so
 * for ever: they reserve nothing, and write everywhere. */
static bool is_one_for_others_about(const struct mms_visit *visit)
{
	bool found = are_too_many_beside(visit);

	for (unsigned i = 0; i < visit->came.count; i++) {
		const struct mms_token *came = &visit->came.tokens[i];

		found = found || ((visit->beside & 1u << i) != 0 && came->session == visit->session && mms_token_stands_for_others(came));
	}
	return found;
}

/* Of this host's own pages no token needs to stay: that they overlap is seen here, and they write everywhere. */
static bool is_in_place(const struct mms_visit *visit, unsigned number)
{
	const struct mms_token *came = &visit->came.tokens[number];
	unsigned cookie = visit->came.cookie[number];

	return cookie == 0 || (cookie == 1 + visit->token.slot
			&& (came->session != visit->session || came->reserved.writer != visit->token.reserved.writer
			|| mms_token_stands_for_others(came)));
}

unsigned mms_visit_beside(const struct mms_visit *visit, const struct mms_token *out[MMS_TOKEN_SLOTS], unsigned *replaced)
{
	unsigned count = 0;

	*replaced = 0;
	for (unsigned round = 0; round < 2 && !are_too_many_beside(visit); round++) {
		for (unsigned i = 0; i < visit->came.count; i++) {
			if ((visit->beside & 1u << i) != 0 && is_in_place(visit, i) == (round == 0)) {
				out[count++] = &visit->came.tokens[i];
				*replaced += round == 0;
			}
		}
	}
	return count;
}

uint64_t mms_visit_above(const struct mms_visit *visit)
{
	struct mms_version bound;
	uint64_t hlc;

	(void)mms_token_bound(&visit->came, visit->session, &bound, &hlc);
	return hlc;
}

bool mms_visit_reserve(struct mms_visit *visit, struct mms_version *version)
{
	struct mms_client *client = visit->client;

	if (!visit->told) {
		return false;
	}
	if (visit->token.uncertain || !has_place(visit) || is_one_for_others_about(visit)) {
		visit->token.reserved = *version;
		visit->token.reserved.sequence = mms_shm_next_sequence(client->shm); /* names the token, no more */
		visit->token.pending = visit->token.uncertain;
		return false;
	}
	version->sequence = mms_reservation_take(visit->place, &client->shm->write_sequence);
	atomic_store_explicit(&client->cluster->reserved, version->sequence, memory_order_relaxed);
	visit->token.reserved = *version;
	visit->token.pending = true;
	visit->reserved = true;
	return true;
}

bool mms_visit_take(struct mms_visit *visit, struct mms_version *version)
{
	if (!visit->reserved || !has_place(visit)) {
		return false;
	}
	visit->reserved = false;
	/* Its headers will tell of whatever is written: a stamp of now, or a page that began early and ends late would lose to one that
	 * came in between. */
	if (visit->can_announce) {
		return false;
	}
	if ((int64_t)mms_hlc_ms(visit->token.reserved.hlc) + STAMP_MAX_MS < mms_hlc_now(&visit->client->shm->anchor).ms) {
		return false;
	}
	*version = visit->token.reserved;
	return true;
}

bool mms_visit_reaches_all(struct mms_visit *visit, bool taken)
{
	bool told = visit->can_announce || (visit->announced && (taken || visit->token.uncertain));
	bool all = !told || !has_place(visit) || mms_visit_overlaps(visit);

	if (all) {
		mms_client_count(visit->client, MMS_METRIC_token_wide_writes);
	}
	return all;
}

bool mms_visit_overlaps(const struct mms_visit *visit)
{
	return has_place(visit) && mms_reservation_overlapped(visit->place);
}

void mms_visit_wrote(struct mms_visit *visit, const struct mms_version *version, const struct mms_version *newer)
{
	raise_to(&visit->token.read, version);
	if (newer != NULL) {
		raise_to(&visit->token.read, newer);
	}
	visit->token.pending = false;
	visit->reserved = false; /* the next write follows this one, a logout perhaps */
}

bool mms_visit_token(struct mms_visit *visit, bool last, struct mms_token *out)
{
	if (!visit->told) {
		return false;
	}
	if (last) {
		visit->token.pending = false;
		visit->reserved = false;
	}
	*out = visit->token;
	if (are_too_many_beside(visit)) {
		/* As one whose page may write for a minute yet: so long none covers it, and all nodes are read. */
		out->uncertain = out->pending = true;
		out->reserved.sequence = 0; /* which no reservation has */
	}
	return true;
}

void mms_visit_can_announce(struct mms_visit *visit, bool can)
{
	visit->can_announce = can;
}

void mms_visit_announced(struct mms_visit *visit, bool is)
{
	visit->announced = is;
}

void mms_visit_end(struct mms_visit *visit)
{
	if (visit->session != 0 && has_place(visit)) {
		mms_reservation_close(visit->place);
	}
	visit->session = 0;
	visit->place = NULL;
	visit->plan.count = 0;
	visit->plan.unclear = false;
	visit->told = visit->reserved = visit->announced = false;
}

void mms_visit_answered(struct mms_client *client)
{
	if (client->reservation != NULL) {
		mms_reservation_end(client->reservation);
	}
}

/* A child that was forked with an open session has lost it: the place is its parent's, and so is what was reserved. */
static bool has_place(const struct mms_visit *visit)
{
	return visit->place != NULL && visit->place == visit->client->reservation;
}

/* Hosts agree on the ids of nodes: each is its local node's place among them. Until they are known, any will do. */
static unsigned slot_of(const struct mms_client *client)
{
	const struct mms_node_sh *nodes = client->cluster->nodes;
	uint64_t mine = atomic_load_explicit(&nodes[0].node_id, memory_order_relaxed);
	unsigned rank = 0;

	if (mine == 0) {
		return client->settings.host_hash % MMS_TOKEN_SLOTS;
	}
	for (unsigned i = 1; i < client->settings.node_count; i++) {
		rank += atomic_load_explicit(&nodes[i].node_id, memory_order_relaxed) < mine;
	}
	return rank % MMS_TOKEN_SLOTS;
}

static void raise_to(struct mms_version *version, const struct mms_version *other)
{
	if (mms_version_compare(other, version) > 0) {
		*version = *other;
	}
}
