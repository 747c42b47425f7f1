/* Closed sequences on their way to the nodes. In this order: look which reservations are open, then where the mailbox' head
 * is; a reservation that was not open then has whatever it wrote before that head, or in a hint. When the node has
 * acknowledged everything up to there and no hint for it is left, what was looked at may be said there. So neither entries
 * nor hints have to carry a sequence.
 *
 * The difficulty is a node that is not what it was. What was acknowledged by a server that is gone is worth nothing: with
 * another run_id, or when our key is not there any more (emptied, evicted), and when the hints overflow, we start again
 * above all reservations made so far. Who asks for one below is told nothing and reads all nodes. */
#include "mms_closing.h"

#include <stdlib.h>

#include "mms_closed.h"
#include "mms_refusal.h"

#define INTERVAL_US 20000    /* between two words on one node, while the loop is awake */
#define LOOK_US 50000        /* between two looks that the loop is woken for */
#define BUSY_US 1000000      /* so long after the last reservation it is woken */
#define REAP_US 1000000
#define REFUSED_US 5000000   /* until a node that does not let us is asked again */
#define TTL_MS (24 * 3600 * 1000)

struct place {
	uint64_t run_hash;        /* of the server that `above` holds for, 0 = none */
	uint64_t above;
	bool fresh;               /* our key is not there yet, or not any more */
	bool looked;              /* `seen` waits until the node has everything before `head` */
	struct mms_closed seen;
	uint64_t head;
	bool asked;               /* `said` is on its way */
	struct mms_closed said;   /* by us, last */
	struct mms_mono said_at;
};

struct mms_closing {
	struct mms_office *office;
	uint64_t writer;
	struct mms_mono reaped_at;
	struct mms_mono looked_at;
	struct mms_mono busy_until;
	struct place places[MMS_NODES_MAX];
};

static void run_node(struct mms_closing *closing, struct mms_link *link);
static void forget(struct mms_closing *closing, struct mms_link *link);
static void start_again(struct mms_closing *closing, struct mms_link *link);
static bool look(struct mms_closing *closing, struct place *place);
static bool has_all(const struct mms_link *link, const struct place *place);
static void say(struct mms_closing *closing, struct mms_link *link);
static void on_said(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);

struct mms_closing *mms_closing_new(struct mms_office *office)
{
	struct mms_closing *closing = calloc(1, sizeof *closing);

	if (closing != NULL) {
		closing->office = office;
		closing->writer = mms_shm_writer(office->shm, office->cluster, office->settings->host_hash);
	}
	return closing;
}

void mms_closing_free(struct mms_closing *closing)
{
	free(closing);
}

void mms_closing_run(struct mms_closing *closing)
{
	struct mms_office *office = closing->office;

	if (atomic_load_explicit(&office->cluster->reserved, memory_order_relaxed) == 0) {
		return;
	}
	if (office->now.us - closing->reaped_at.us >= REAP_US) {
		closing->reaped_at = office->now;
		(void)mms_reservation_reap(mms_shm_reservations(office->shm));
	}
	closing->looked_at = office->now;
	for (unsigned i = 0; i < office->node_count; i++) {
		if (mms_link_ready(&office->links[i])) {
			run_node(closing, &office->links[i]);
		}
	}
}

int64_t mms_closing_next_us(const struct mms_closing *closing)
{
	return closing->looked_at.us < closing->busy_until.us ? closing->looked_at.us + LOOK_US : INT64_MAX;
}

static void run_node(struct mms_closing *closing, struct mms_link *link)
{
	struct mms_office *office = closing->office;
	struct place *place = &closing->places[link->index];
	struct mms_node_sh *node = mms_link_node(link);

	if (place->asked || atomic_load(&node->breaker.write_open) != 0) {
		return;
	}
	if (mms_hints_overflowed(&office->cluster->hints, link->index)) {
		forget(closing, link);
		return;
	}
	if (place->run_hash == 0 || place->run_hash != atomic_load(&node->run_hash)) {
		start_again(closing, link);
	}
	if (office->now.us - place->said_at.us < INTERVAL_US || (!place->looked && !look(closing, place))
			|| !has_all(link, place)) {
		return;
	}
	say(closing, link);
}

/* What was said so far stays true of what is there now; nothing is added to it. */
static void forget(struct mms_closing *closing, struct mms_link *link)
{
	closing->places[link->index] = (struct place){ .said_at = closing->places[link->index].said_at };
	atomic_store(&mms_link_node(link)->closed_run, 0);
}

/* A successor in office goes on with what the last one said of the same server. */
static void start_again(struct mms_closing *closing, struct mms_link *link)
{
	struct place *place = &closing->places[link->index];
	struct mms_node_sh *node = mms_link_node(link);
	uint64_t run_hash = atomic_load(&node->run_hash);
	bool succeeds = place->run_hash == 0 && run_hash != 0 && atomic_load(&node->closed_run) == run_hash;

	if (!succeeds) {
		forget(closing, link);
		atomic_store(&node->closed_above, atomic_load(&closing->office->shm->write_sequence) & MMS_RESERVATION_MASK);
		atomic_store(&node->closed_run, run_hash);
	}
	place->looked = false;
	place->fresh = !succeeds;
	place->run_hash = run_hash;
	place->above = atomic_load(&node->closed_above);
}

/* Is a reservation closed by now that was said to be open? */
static bool closes_more(const struct mms_closed *seen, const struct mms_closed *said)
{
	for (uint32_t i = 0; i < said->open_count; i++) {
		if (mms_closed_has(seen, said->open[i])) {
			return true;
		}
	}
	return false;
}

/* False when there is nothing to say that was not said. */
static bool look(struct mms_closing *closing, struct place *place)
{
	struct mms_office *office = closing->office;
	uint64_t reserved = atomic_load_explicit(&office->cluster->reserved, memory_order_relaxed);

	place->seen.above = place->above;
	mms_reservation_snapshot(mms_shm_reservations(office->shm), &office->shm->write_sequence, &place->seen);
	place->head = mms_mailbox_head(&office->cluster->mailbox);
	if (!place->fresh && (place->said.highest >= reserved || place->seen.highest <= place->said.highest)
			&& !closes_more(&place->seen, &place->said)) {
		return false;
	}
	place->looked = true;
	closing->busy_until.us = office->now.us + BUSY_US;
	return true;
}

static bool has_all(const struct mms_link *link, const struct place *place)
{
	const struct mms_cluster_sh *cluster = link->office->cluster;

	return place->run_hash != 0 && mms_mailbox_distance(link->ack_position, place->head) <= 0
			&& mms_hints_count(&cluster->hints, link->index) == 0
			&& !mms_hints_overflowed(&cluster->hints, link->index);
}

static void say(struct mms_closing *closing, struct mms_link *link)
{
	struct mms_office *office = closing->office;
	struct place *place = &closing->places[link->index];
	unsigned char value[MMS_CLOSED_VALUE_MAX];
	char key[MMS_PREFIX_MAX + MMS_CLOSED_KEY_EXTRA];
	struct mms_command command;
	struct mms_slice name = { key, mms_closed_key(office->settings->prefix, closing->writer, key, sizeof key) };
	struct mms_slice text = { (const char *)value, mms_closed_encode(&place->seen, closing->writer, value) };

	mms_command_init(&command);
	if (place->fresh) {
		mms_command_set(&command, name, text, TTL_MS);
	} else {
		mms_command_set_existing(&command, name, text, TTL_MS);
	}
	place->asked = mms_link_request(link, &command, on_said, closing, 0);
	if (place->asked) {
		place->said_at = office->now;
		place->said = place->seen;
		place->looked = false;
	}
}

static void on_said(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct mms_closing *closing = context;
	struct place *place = &closing->places[link->index];

	(void)token;
	place->asked = false;
	if (replies != NULL && mms_reply_type(replies[0]) == MMS_REPLY_STATUS) {
		(void)mms_refusal_see(link, MMS_REFUSAL_CLOSED, replies[0]);
		place->fresh = false;
		return;
	}
	/* Refused, or nobody knows: it is said again. Not there any more, or perhaps never there: of what is reserved from now
	 * on alone. */
	place->said = (struct mms_closed){ .above = 0 };
	if (place->fresh || (replies != NULL && mms_reply_type(replies[0]) == MMS_REPLY_NIL)) {
		forget(closing, link);
	}
	if (replies != NULL && mms_refusal_see(link, MMS_REFUSAL_CLOSED, replies[0]) != MMS_CLASS_NONE) {
		place->said_at.us = closing->office->now.us + REFUSED_US;
	}
}
