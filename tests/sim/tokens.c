/* Visitors with cookies. A page is one of four kinds, by its number or by what the schedule says of it: its headers go out as soon
 * as the session was read, when it is closed, some time later, or never. A visitor's jar has a place for each slot, as a browser
 * has; or it has one place, for a header, and he sends back what the last answer brought, after answers at the same time all that
 * these brought. The table of reservations asks the system who lives; here the simulator knows. */
#include "tokens.h"

#include <string.h>

#include "mms_read.h"
#include "mms_reservation.h"
#include "mms_visit.h"
#include "mms_write.h"
#include "promises.h"
#include "trace.h"
#include "world.h"

#define OWNERS_MAX 256

enum manner { HEADERS_EARLY, HEADERS_AT_THE_END, HEADERS_LATE, HEADERS_NEVER, MANNERS };

struct jar {
	char texts[MMS_TOKEN_SLOTS][MMS_TOKEN_TEXT_MAX];
	size_t lens[MMS_TOKEN_SLOTS];
	int64_t made_at[MMS_TOKEN_SLOTS];
	unsigned sessions[MMS_TOKEN_SLOTS]; /* what they are of */
	struct told told[SESSIONS_MAX];
	char header[16 * REQUEST_TOKENS_MAX];
	size_t header_len;
	unsigned headers; /* that he has got */
	unsigned answers, host; /* that he has got; whose the last one was */
};

struct tokens_counts tokens_counts;
static struct jar jars[VISITORS_MAX];
/* What nodes had when it was damaged, until they have it, or something newer, again. */
static struct { bool known; struct reference_version version; } damaged[NODES_MAX][SESSIONS_MAX];
static struct owner { struct mms_reservation_sh *place; const struct process *process; } owners[OWNERS_MAX];

struct mms_reservation_sh *__wrap_mms_reservation_claim(struct mms_reservations_sh *table);
unsigned __wrap_mms_reservation_reap(struct mms_reservations_sh *table);

static const uint64_t key = UINT64_C(0x9e3779b97f4a7c15);
static struct mms_token_signer signer; /* of every second schedule */

/* Keyed and as wide as the real one; nobody here is out to break it. */
static void authenticate(const void *context, struct mms_slice bytes, unsigned char out[MMS_TOKEN_MAC_SIZE])
{
	uint64_t halves[2];

	for (unsigned k = 0; k < 2; k++) {
		uint64_t state = *(const uint64_t *)context + k;

		halves[k] = random_mix(&state);
		for (size_t i = 0; i < bytes.len; i++) {
			halves[k] = (halves[k] ^ (unsigned char)bytes.ptr[i]) * UINT64_C(1099511628211);
		}
		halves[k] = random_mix(&halves[k]);
	}
	memcpy(out, halves, MMS_TOKEN_MAC_SIZE);
}

void tokens_reset(void)
{
	signer = world.signing ? (struct mms_token_signer){ authenticate, &key } : (struct mms_token_signer){ NULL, NULL };
	memset(jars, 0, sizeof jars);
	memset(damaged, 0, sizeof damaged);
	memset(owners, 0, sizeof owners);
}

void tokens_reset_jars(void)
{
	for (unsigned i = 0; i < VISITORS_MAX; i++) {
		memset(jars[i].lens, 0, sizeof jars[i].lens);
		jars[i].header_len = 0;
		jars[i].headers++;
	}
}

void tokens_lost(void)
{
	for (unsigned i = 0; i < VISITORS_MAX; i++) {
		for (unsigned s = 0; s < world.session_count; s++) {
			if (jars[i].told[s].known && !promises_kept(s, &jars[i].told[s].version)) {
				jars[i].told[s].known = false;
				trace("every copy of what visitor %u was told of s%u is gone", i, s);
			}
		}
	}
}

void tokens_emptied(unsigned node)
{
	memset(damaged[node], 0, sizeof damaged[node]);
}

void tokens_damaged(unsigned node, unsigned session, const struct reference_version *version)
{
	if (!damaged[node][session].known || reference_compare(version, &damaged[node][session].version) > 0) {
		damaged[node][session].known = true;
		damaged[node][session].version = *version;
	}
}

void tokens_stored(unsigned node, unsigned session, const struct reference_version *version)
{
	if (damaged[node][session].known && reference_compare(version, &damaged[node][session].version) >= 0) {
		damaged[node][session].known = false;
	}
}

struct mms_reservation_sh *__wrap_mms_reservation_claim(struct mms_reservations_sh *table)
{
	for (unsigned i = 0; i < OWNERS_MAX; i++) {
		struct mms_reservation_sh *place = &table->places[i];

		if (owners[i].process == NULL && atomic_load(&place->owner) == 0) {
			atomic_store(&place->owner, i + 1);
			if (atomic_load(&table->used) <= i) {
				atomic_store(&table->used, i + 1);
			}
			owners[i].place = place;
			owners[i].process = sched_self()->process;
			return place;
		}
	}
	return NULL;
}

unsigned __wrap_mms_reservation_reap(struct mms_reservations_sh *table)
{
	unsigned reaped = 0;

	for (unsigned i = 0; i < OWNERS_MAX; i++) {
		if (owners[i].place == &table->places[i] && !owners[i].process->alive) {
			mms_reservation_end(owners[i].place);
			atomic_store(&owners[i].place->owner, 0);
			owners[i].place = NULL;
			owners[i].process = NULL;
			reaped++;
		}
	}
	return reaped;
}

static enum manner manner_of(const struct request *request)
{
	static const char letters[] = "ECLN"; /* early, when it is closed, late, never */
	size_t at = request->number - 1;

	if (world.headers != NULL && at < strlen(world.headers)) {
		return (enum manner)(strchr(letters, world.headers[at]) - letters);
	}
	return (enum manner)(request->number % MANNERS);
}

static struct mms_visit *visit_of(const struct request *request)
{
	return mms_store_visit(request->worker->store);
}

/* Do its headers go out after the session was closed? */
static bool is_last_word(const struct request *request)
{
	return manner_of(request) == HEADERS_AT_THE_END || manner_of(request) == HEADERS_LATE;
}

static void add_those_beside(struct request *request)
{
	const struct mms_token *others[MMS_TOKEN_SLOTS];
	unsigned replaced, count = mms_visit_beside(visit_of(request), others, &replaced);

	for (unsigned i = 0; i < count; i++) {
		struct mms_token other = *others[i];

		request->token[request->token_len++] = '.';
		request->token_len += mms_token_encode(&other, &signer, request->token + request->token_len);
		trace("and %08x beside it", other.digest);
	}
}

static void keep_token(struct request *request, bool last)
{
	struct mms_token token;

	if (mms_visit_token(visit_of(request), last, &token)) {
		request->token_slot = token.slot;
		request->token_len = mms_token_encode(&token, &signer, request->token);
		request->token_made_at = sched_now();
		trace("request %u gives visitor %u token %08x in slot %u: read %llx, reserved %llx seq %llu%s%s", request->number,
				request->visitor, token.digest, token.slot, (unsigned long long)token.read.hlc,
				(unsigned long long)token.reserved.hlc, (unsigned long long)token.reserved.sequence,
				token.pending ? ", pending" : "", token.uncertain ? ", uncertain" : "");
		if (world.one_place) {
			add_those_beside(request);
		}
		mms_visit_announced(visit_of(request), true);
	}
}

static struct request *request_of(unsigned host, unsigned index)
{
	const struct worker *worker = &world.hosts[host].workers[index];

	return worker->process != NULL && worker->process->alive ? worker->request : NULL;
}

/* A known limit: a host's answers come to the browser in another order than it gave them, one of another session in the place of
 * a later one. What that had told is forgotten, and what its page may yet write nobody was told of. */
static void forget_displaced(const struct request *request, struct jar *jar)
{
	unsigned session = jar->sessions[request->token_slot];

	if (jar->lens[request->token_slot] == 0 || session == request->session
			|| jar->made_at[request->token_slot] <= request->token_made_at) {
		return;
	}
	tokens_counts.displaced += jar->told[session].known;
	jar->told[session].known = false;
	for (unsigned i = 0; i < world.host_count * WORKERS_MAX; i++) {
		for (struct request *other = request_of(i / WORKERS_MAX, i % WORKERS_MAX); other != NULL; other = other->outer) {
			if (other->visitor == request->visitor && other->session == session && other->token_sent) {
				other->beside = other->unseen = true;
			}
		}
	}
}

static void give_header(struct request *request, struct jar *jar)
{
	/* What he has got since he sent this request, the request does not know. */
	size_t kept = jar->headers != request->headers_before ? jar->header_len : 0;

	if (request->token_len + 1 + kept > sizeof jar->header) {
		world_fail("token: visitor %u has %zu bytes of tokens", request->visitor, kept);
		return;
	}
	if (kept > 0) {
		memmove(jar->header + request->token_len + 1, jar->header, kept);
		jar->header[request->token_len] = '.';
		kept++;
	}
	memcpy(jar->header, request->token, request->token_len);
	jar->header_len = request->token_len + kept;
	request->headers_before = ++jar->headers;
}

static void give_token(struct request *request)
{
	struct jar *jar = &jars[request->visitor];

	if (request->token_len > 0 && world.one_place) {
		give_header(request, jar);
	} else if (request->token_len > 0) {
		forget_displaced(request, jar);
		jar->made_at[request->token_slot] = request->token_made_at;
		jar->sessions[request->token_slot] = request->session;
		memcpy(jar->texts[request->token_slot], request->token, request->token_len);
		jar->lens[request->token_slot] = request->token_len;
	}
}

/* A slot is the local node's rank among the ids of all. */
static bool hosts_have_own_slots(void)
{
	uint64_t ids[NODES_MAX] = { 0 };

	if (world.host_count > world.node_count) {
		return false;
	}
	for (unsigned i = 0; i < world.host_count; i++) {
		for (unsigned k = 0; k < world.node_count; k++) {
			uint64_t id = world.hosts[i].cluster == NULL ? 0 : atomic_load(&world.hosts[i].cluster->nodes[k].node_id);
			uint64_t *known = &ids[(i + k) % world.node_count];

			if (id == 0 || (*known != 0 && *known != id)) {
				return false;
			}
			*known = id;
		}
	}
	return true;
}

/* Answers of the same host, or of hosts with the same slot, take each other's place in the jar. */
static void find_those_beside(struct request *request)
{
	request->shares_slot = request->shares_slot || (!world.one_place && !hosts_have_own_slots());
	for (unsigned i = 0; i < world.host_count; i++) {
		for (unsigned k = 0; k < WORKERS_MAX; k++) {
			for (struct request *other = request_of(i, k); other != NULL; other = other->outer) {
				if (other != request && other->visitor == request->visitor && other->session == request->session
						&& (i == request->worker->process->host || request->shares_slot || other->shares_slot)) {
					other->beside = request->beside = true;
					other->unseen = request->unseen = request->unseen || other->unseen || i != request->worker->process->host;
				}
			}
		}
	}
}

/* Where tokens are signed, what makes no token of ours: somebody has changed it, or left out its code. */
static size_t forge(const char *text, size_t len, char out[MMS_TOKEN_TEXT_MAX])
{
	struct mms_token token;
	const struct mms_token_signer unsigned_ = { NULL, NULL };

	if (random_one_in(&sched_random, 2) && mms_token_decode((struct mms_slice){ text, len }, &signer, &token)) {
		return mms_token_encode(&token, &unsigned_, out);
	}
	memcpy(out, text, len);
	out[random_below(&sched_random, (uint32_t)len)] ^= 1;
	return len;
}

/* The highest stamp that the tokens of this session bear which are signed. */
static uint64_t highest_stamp(const struct mms_token_set *set, unsigned session)
{
	uint64_t highest = 0;
	char id[] = PREFIX "s0";

	id[sizeof id - 2] = (char)('0' + session);
	for (unsigned i = 0; i < set->count; i++) {
		const struct mms_token *token = &set->tokens[i];

		if (token->authentic && token->session == mms_token_session((struct mms_slice){ id, sizeof id - 1 })) {
			highest = token->read.hlc > highest ? token->read.hlc : highest;
			highest = token->pending && token->reserved.hlc > highest ? token->reserved.hlc : highest;
		}
	}
	return highest;
}

/* Is there one that is no token, and that no other answers for? (An answer to the same one, forged in the same way before, does.) */
static bool is_any_forged(const struct mms_token_set *set)
{
	for (unsigned i = 0; i < set->count; i++) {
		bool covered = set->tokens[i].session != 0;

		for (unsigned k = 0; k < set->count && !covered; k++) {
			for (unsigned d = 0; d < set->tokens[k].digest_count; d++) {
				covered = covered || set->tokens[k].digests[d] == set->tokens[i].digest;
			}
		}
		if (!covered) {
			return true;
		}
	}
	return false;
}

void tokens_bring(struct request *request)
{
	struct jar *jar = &jars[request->visitor];
	struct mms_visit *visit = visit_of(request);

	if (visit == NULL) {
		return;
	}
	find_those_beside(request);
	request->told_before = jar->told[request->session];
	memset(mms_visit_came(visit), 0, sizeof *mms_visit_came(visit));
	request->headers_before = jar->headers;
	mms_token_set_add(mms_visit_came(visit), (struct mms_slice){ jar->header, jar->header_len }, &signer);
	for (unsigned i = 0; i < MMS_TOKEN_SLOTS; i++) {
		char forged[MMS_TOKEN_TEXT_MAX];
		struct mms_slice text = { jar->texts[i], jar->lens[i] };

		if (world.signing && text.len > 0 && random_one_in(&sched_random, 32)) {
			text = (struct mms_slice){ forged, forge(text.ptr, text.len, forged) };
		}
		mms_token_set_add(mms_visit_came(visit), text, &signer);
	}
	request->signed_hlc = highest_stamp(mms_visit_came(visit), request->session);
	request->forged = is_any_forged(mms_visit_came(visit));
}

/* A known limit: the copy that the visitor was told of was damaged on the node that answered, and an older write, which was under
 * way, has taken its place. */
static bool was_damaged(const struct request *request, const struct mms_answer *answer)
{
	const struct reference_version *told = &request->told_before.version;

	for (unsigned k = 0; k < world.node_count; k++) {
		unsigned node = (request->worker->process->host + k) % world.node_count;

		if ((answer->answered_mask >> k & 1) != 0 && damaged[node][request->session].known
				&& reference_compare(&damaged[node][request->session].version, told) >= 0) {
			return true;
		}
	}
	return false;
}

static bool is_older(const struct request *request, const struct reference_version *version)
{
	return !request->found || reference_compare(&request->read, version) < 0;
}

static void fail_told(const struct request *request, const char *by)
{
	char shown[2][100] = { "nothing", "" };

	if (request->found) {
		reference_format(&request->read, shown[0]);
	}
	reference_format(&request->told_before.version, shown[1]);
	world_fail("token: request %u: visitor %u was shown {%s} of s%u by %s, and has been told of {%s}", request->number,
			request->visitor, shown[0], request->session, by, shown[1]);
}

void tokens_read(struct request *request, const struct mms_answer *answer)
{
	struct jar *jar = &jars[request->visitor];
	struct told *now = &jar->told[request->session];
	const struct told *told = &request->told_before;

	if (visit_of(request) != NULL) {
		tokens_counts.reads++;
		tokens_counts.hops += jar->answers > 0 && jar->host != request->worker->process->host;
		tokens_counts.enough += answer->enough;
		tokens_counts.compared += answer->enough && told->known && now->known;
	}
	/* The nodes agree that they don't have it: he was shown what they all refused, from a mailbox, and PHP was not told that it is
	 * stored. (That a full read shows the newest that there is, is looked at elsewhere.) */
	if (!answer->enough && answer->authoritative && told->known && is_older(request, &told->version)) {
		if (!(!request->found && promises_all_founded()) && promises_owed(request->session, &told->version, request->read_began_at)) {
			fail_told(request, "all nodes");
		}
		/* Not what another page has told him meanwhile. */
		now->known = now->known && reference_compare(&now->version, &told->version) != 0;
		tokens_counts.unanimous++;
		trace("what visitor %u was told of s%u is on no node", request->visitor, request->session);
	}

	if (answer->enough && request->forged) {
		world_fail("token: request %u: visitor %u came with a forged token, and one node's copy of s%u was enough", request->number,
				request->visitor, request->session);
	}
	/* Now, too: every copy of it may be gone since. */
	if (answer->enough && told->known && now->known && is_older(request, &told->version)) {
		if (was_damaged(request, answer)) {
			tokens_counts.damaged++;
		} else {
			fail_told(request, "one node");
		}
	}
}

void tokens_before_write(struct request *request)
{
	if (visit_of(request) != NULL) {
		mms_visit_can_announce(visit_of(request), is_last_word(request));
	}
}

/* Also where the host's clock is behind the one that the visitor comes from, and its nodes have not got what he was told of. */
void tokens_stamped(const struct request *request)
{
	if (request->stamped.hlc <= request->signed_hlc) {
		world_fail("token: request %u: s%u is written with stamp %llx, and the visitor's tokens have %llx", request->number,
				request->session, (unsigned long long)request->stamped.hlc, (unsigned long long)request->signed_hlc);
	}
}

/* What no token tells of, or one that another answer may replace, is only told if it is everywhere, as it must be where all nodes
 * are in order. A token that went out early tells of a write, not of a logout. */
void tokens_acknowledged(struct request *request, const struct mms_write_result *result)
{
	bool first = !request->has_told;
	bool announced = is_last_word(request) || (request->token_sent && first && !request->stamped.tombstone);

	if ((!request->unseen && (world.sound || (announced && !request->beside)))
			|| result->acked_mask == (UINT64_C(1) << world.node_count) - 1) {
		request->told = request->stamped;
		request->has_told = true;
	} else {
		tokens_counts.untold++;
	}
}

void tokens_answer(struct request *request)
{
	struct jar *jar = &jars[request->visitor];
	struct reference_version told = request->has_told ? request->told : request->shown;

	if (visit_of(request) == NULL) {
		return;
	}
	find_those_beside(request);
	if (is_last_word(request)) {
		give_token(request);
	}
	mms_visit_answered(request->worker->client);
	jar->answers++;
	jar->host = request->worker->process->host;
	/* What a page without headers shows, nobody can carry on, nor what one shows whose token is replaced; what they write is
	 * everywhere. */
	if ((request->has_told || (request->was_shown && !request->beside && (request->token_sent || is_last_word(request))))
			&& (!jar->told[request->session].known || reference_compare(&told, &jar->told[request->session].version) > 0)
			&& promises_kept(request->session, &told)) {
		jar->told[request->session].known = true;
		jar->told[request->session].version = told;
	}
}

void tokens_early(struct request *request)
{
	if (visit_of(request) != NULL && manner_of(request) == HEADERS_EARLY) {
		request->token_sent = true;
		keep_token(request, false);
		give_token(request);
	}
}

int64_t tokens_close(struct request *request)
{
	if (visit_of(request) == NULL || !is_last_word(request)) {
		return 0;
	}
	keep_token(request, true);
	return manner_of(request) == HEADERS_LATE ? (int64_t)random_below(&sched_random, 20000) : 0;
}
