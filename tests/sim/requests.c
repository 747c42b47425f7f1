/* Requests, and the two probes between store and protocol (put there by -Wl,--wrap) that tell which version was read and
 * which was written. */
#include "requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "hosts.h"
#include "mms_lease.h"
#include "mms_read.h"
#include "mms_refresh.h"
#include "mms_write.h"
#include "promises.h"
#include "tokens.h"
#include "trace.h"

#define PAYLOAD_MAX 40000
#define BUDGET_SLACK_US 60000 /* locks, and the wait for the lock of the hints */

static uint32_t request_count;

void __real_mms_read_for_visitor(struct mms_client *client, struct mms_slice key, struct mms_mono deadline,
		const struct mms_token_plan *plan, struct mms_answer *answer);
void __wrap_mms_read_for_visitor(struct mms_client *client, struct mms_slice key, struct mms_mono deadline,
		const struct mms_token_plan *plan, struct mms_answer *answer);
void __wrap_mms_read_record(struct mms_client *client, struct mms_slice key, struct mms_mono deadline,
		struct mms_answer *answer);
void __real_mms_refresh_answers(struct mms_fanout *fanout, const struct mms_question *question,
		const struct mms_command *header_only, struct mms_copy *copies);
void __wrap_mms_refresh_answers(struct mms_fanout *fanout, const struct mms_question *question,
		const struct mms_command *header_only, struct mms_copy *copies);
void __real_mms_quorum_write_back(struct mms_client *client, struct mms_slice key, struct mms_mono deadline,
		struct mms_answer *answer);
void __wrap_mms_quorum_write_back(struct mms_client *client, struct mms_slice key, struct mms_mono deadline,
		struct mms_answer *answer);
enum mms_status __real_mms_write_record(struct mms_client *client, const struct mms_write_order *order,
		struct mms_mono deadline, struct mms_write_result *result);

enum mms_status __real_mms_lease_take(struct mms_client *client, struct mms_lease *lease, struct mms_slice key,
		uint32_t wait_ms, struct mms_error *error);
enum mms_status __wrap_mms_lease_take(struct mms_client *client, struct mms_lease *lease, struct mms_slice key,
		uint32_t wait_ms, struct mms_error *error);
void __real_mms_lease_release(struct mms_client *client, struct mms_lease *lease, struct mms_slice key);
void __wrap_mms_lease_release(struct mms_client *client, struct mms_lease *lease, struct mms_slice key);
static void check_exclusion(const struct request *request, const struct mms_write_order *order,
		const struct mms_write_result *result);

void requests_reset(void)
{
	request_count = 0;
	tokens_reset();
}

static struct request *current(void)
{
	struct worker *worker = sched_self()->process->owner;

	return worker->request;
}

/* Time in which its thread was not let run is not its own. */
static void check_budget(const struct request *request, struct mms_mono deadline, int64_t began_us, int64_t held_us,
		const char *what)
{
	int64_t until_us = deadline.us > began_us ? deadline.us : began_us;
	int64_t late_us = sched_now() - until_us - (sched_self()->held_us - held_us);

	if (late_us > BUDGET_SLACK_US) {
		world_fail("8: request %u: %s took %lld ms longer than its budget", request->number, what,
				(long long)late_us / 1000);
	}
}

/* Is there one among the nodes that answered whose copy is not damaged? */
static bool has_sound_answer(const struct request *request, const struct mms_answer *answer)
{
	struct reference_version version;
	bool sound = false;

	for (unsigned k = 0; k < world.node_count; k++) {
		struct node *node = &world.nodes[(request->worker->process->host + k) % world.node_count];

		sound = sound || ((answer->answered_mask >> k & 1) != 0
				&& check_record_on(node, request->session, &version) != NULL);
	}
	return sound;
}

static void fail_older(const struct request *request, const struct reference_version *newer, const char *where)
{
	char shown[2][100] = { "nothing", "" };

	reference_format(newer, shown[1]);
	if (request->found) {
		reference_format(&request->read, shown[0]);
	}
	world_fail("4: request %u: s%u was read as {%s}, and %s {%s}", request->number, request->session, shown[0], where, shown[1]);
}

static bool is_read_older(const struct request *request, const struct reference_version *version)
{
	return !request->found || reference_compare(&request->read, version) < 0;
}

/* What this host has still to deliver is one more copy, beside some node's answer. */
static void check_mailbox(const struct request *request, const struct mms_answer *answer)
{
	struct host *host = &world.hosts[request->worker->process->host];
	struct reference_version still;

	if (request->had_mailbox && !answer->enough && world.read_mode != MMS_READ_QUORUM && is_read_older(request, &request->in_mailbox)
			&& has_sound_answer(request, answer) && promises_in_mailbox(host, request->session, &request->in_mailbox,
				&still)) {
		fail_older(request, &request->in_mailbox, "its host's mailbox has");
	}
}

/* A read that has waited for a node in vain knows what came to the others meanwhile. */
static void check_refreshed(const struct request *request, const struct mms_answer *answer)
{
	unsigned host = request->worker->process->host;
	int64_t at = (request->refreshed_at != 0 ? request->refreshed_at : sched_now()) - MMS_REFRESH_AGE_US;
	uint64_t mask = request->refreshed_at != 0 ? request->refreshed_mask : answer->answered_mask;
	bool failure = request->refreshed_at != 0 ? request->saw_failure
			: answer->answered_mask != (UINT64_C(1) << world.node_count) - 1;

	for (unsigned k = 0; k < world.node_count && failure && !answer->enough && at > request->read_began_at; k++) {
		unsigned i = (host + k) % world.node_count;
		struct reference_version stood;

		if ((mask & answer->answered_mask) >> k & 1 && request->reach.sight.life[i] == world.nodes[i].life
				&& request->reach.sight.emptied[i] == world.nodes[i].emptied_count
				&& check_stood(&world.nodes[i], request->session, at, &stood) && is_read_older(request, &stood)) {
			fail_older(request, &stood, "a node that answered has had for some time");
		}
	}
}

/* With read = quorum and write_acks = quorum, what was acknowledged is read by every later request that is served, although any
 * minority is gone. */
static void check_quorum(const struct request *request)
{
	struct reference_version newer;

	if (world.read_mode == MMS_READ_QUORUM && promises_newer(request->session, request->read_began_at,
			request->found ? &request->read : NULL, &newer)) {
		fail_older(request, &newer, "acknowledged was");
	}
}

void __wrap_mms_refresh_answers(struct mms_fanout *fanout, const struct mms_question *question,
		const struct mms_command *header_only, struct mms_copy *copies)
{
	struct request *request = current();

	request->refreshed_at = sched_now();
	request->refreshed_mask = 0;
	for (unsigned i = 0; i < world.node_count; i++) {
		request->saw_failure = request->saw_failure || copies[i].verdict == MMS_VERDICT_FAILED;
	}
	__real_mms_refresh_answers(fanout, question, header_only, copies);
	for (unsigned i = 0; i < world.node_count; i++) {
		request->refreshed_mask |= fanout->slots[i].state == MMS_FANOUT_ANSWERED ? UINT64_C(1) << i : 0;
	}
}

void __wrap_mms_read_record(struct mms_client *client, struct mms_slice key, struct mms_mono deadline,
		struct mms_answer *answer)
{
	__wrap_mms_read_for_visitor(client, key, deadline, NULL, answer);
}

void __wrap_mms_read_for_visitor(struct mms_client *client, struct mms_slice key, struct mms_mono deadline,
		const struct mms_token_plan *plan, struct mms_answer *answer)
{
	struct request *request = current();
	int64_t held_us = sched_self()->held_us, began_us = sched_now();

	if (request->looking_again) {
		request->looking_again = false;
		__real_mms_read_for_visitor(client, key, deadline, plan, answer);
		check_budget(request, deadline, began_us, held_us, "a second read");
		return;
	}
	reach_begin(request->worker->process->host, request->session, &request->reach);
	request->root = promises_new_root();
	request->had_mailbox = promises_in_mailbox(&world.hosts[request->worker->process->host], request->session, NULL,
			&request->in_mailbox);
	request->read_began_at = began_us;
	request->refreshed_at = 0;
	request->saw_failure = false;
	__real_mms_read_for_visitor(client, key, deadline, plan, answer);
	check_budget(request, deadline, began_us, held_us, "a read");
	request->has_read = answer->found != MMS_FOUND_UNREADABLE;
	request->authoritative = answer->authoritative;
	request->found = answer->found == MMS_FOUND_RECORD || answer->found == MMS_FOUND_TOMBSTONE;
	if (answer->found == MMS_FOUND_RECORD) {
		(void)sscanf(answer->payload.ptr, "s%*u root %u", &request->root);
	}
	if (request->found) {
		(void)reference_decode((const char *)answer->header_bytes, sizeof answer->header_bytes, &request->read);
	}
	request->has_base = request->found;
	request->by_one_node = answer->enough;
	request->base = request->read;
	if (answer->found == MMS_FOUND_FOREIGN) {
		world_fail("10: request %u: s%u is taken for somebody else's key", request->number, request->session);
	}
	if (request->has_read) {
		reach_check(request, answer, deadline.us);
		check_mailbox(request, answer);
		check_refreshed(request, answer);
		check_quorum(request);
		request->was_shown = request->found;
		request->shown = request->read;
		tokens_read(request, answer);
	}
}

void __wrap_mms_quorum_write_back(struct mms_client *client, struct mms_slice key, struct mms_mono deadline,
		struct mms_answer *answer)
{
	struct request *request = current();
	int64_t held_us = sched_self()->held_us, began_us = sched_now();

	request->writing_back = true;
	__real_mms_quorum_write_back(client, key, deadline, answer);
	request->writing_back = false;
	check_budget(request, deadline, began_us, held_us, "a write back");
}

enum mms_status __wrap_mms_write_record(struct mms_client *client, const struct mms_write_order *order,
		struct mms_mono deadline, struct mms_write_result *result)
{
	struct request *request = current();
	int64_t held_us = sched_self()->held_us, began_us = sched_now();
	uint64_t logout = request->was_stamped && request->stamped.tombstone ? request->stamped.hlc : 0;
	enum mms_status status;
	char shown[2][100];

	if (request->writing_back) { /* what was read, as it is */
		return __real_mms_write_record(client, order, deadline, result);
	}
	request->was_stamped = true;
	request->expires_at = sched_now() + (int64_t)order->ttl_ms * 1000;
	(void)reference_decode((const char *)order->header_bytes, REFERENCE_HEADER, &request->stamped);
	if (world.tracing) {
		reference_format(&request->stamped, shown[0]);
		trace("request %u writes s%u as {%s}", request->number, request->session, shown[0]);
	}
	if (logout != 0 && request->stamped.incarnation == logout) {
		world_fail("3: request %u: a logout of s%u ends what began after it", request->number, request->session);
	}
	if (request->found && order->kind == MMS_PARCEL_PUT && reference_compare(&request->stamped, &request->read) <= 0) {
		reference_format(&request->read, shown[0]);
		reference_format(&request->stamped, shown[1]);
		world_fail("5: request %u: s%u was read as {%s} and written as {%s}", request->number, request->session,
				shown[0], shown[1]);
	}
	if (order->kind == MMS_PARCEL_PUT) {
		reach_check_base(request, (const char *)order->header_bytes);
		tokens_stamped(request);
	}
	check_written(request->session, &request->stamped, request->expires_at);
	promises_stamped(request->session, &request->stamped);
	status = __real_mms_write_record(client, order, deadline, result);
	check_budget(request, deadline, began_us, held_us, "a write");
	request->met_newer = result->met_newer;
	check_exclusion(request, order, result);
	if (result->met_newer) {
		request->newer = (struct reference_version){ .incarnation = result->newer.version.incarnation,
			.tombstone = result->newer.version.tombstone };
	}
	if (status == MMS_OK) {
		promises_acknowledged(request->session, &request->stamped, request->expires_at, request->root,
				request->stamped.tombstone && request->found && request->read.blind && !request->read.tombstone);
		if (order->kind == MMS_PARCEL_PUT) {
			if (!request->stamped.tombstone) { /* a logout that is issued again stays what it was */
				request->has_base = true;
				request->base = request->stamped;
			}
			tokens_acknowledged(request, result);
		}
	}
	return status;
}

/* Nobody else has it, as long as hosts and nodes are in order. */
static void check_alone(struct request *request, unsigned session)
{
	for (unsigned i = 0; i < world.host_count; i++) {
		for (unsigned k = 0; k < WORKERS_MAX; k++) {
			const struct worker *worker = &world.hosts[i].workers[k];
			const struct request *other = worker->process != NULL && worker->process->alive ? worker->request : NULL;

			if (world.calm && other != NULL && other != request && other->session == session
					&& other->locked_until > sched_now()) {
				world_fail("lock: requests %u and %u both have the lock of s%u", other->number, request->number, session);
			}
		}
	}
}

enum mms_status __wrap_mms_lease_take(struct mms_client *client, struct mms_lease *lease, struct mms_slice key,
		uint32_t wait_ms, struct mms_error *error)
{
	struct request *request = current();
	int64_t held_us = sched_self()->held_us, began_us = sched_now();
	struct mms_mono until = { began_us + ((int64_t)wait_ms + client->settings.budget_ms) * 1000 };
	enum mms_status status = __real_mms_lease_take(client, lease, key, wait_ms, error);

	check_budget(request, until, began_us, held_us, "a lock");
	request->looking_again = wait_ms == 0 && status != MMS_ERR_TIMEOUT;
	if (status == MMS_OK) {
		check_alone(request, request->session);
		request->locked_until = sched_now() + (lease->until.ms - mms_clock_boot().ms - 1) * 1000; /* both are cut to ms */
	}
	if (status == MMS_OK || world.tracing) {
		trace("request %u lock of s%u: %s%s", request->number, request->session, status == MMS_OK ? "taken" : error->text,
				lease->waited ? " (waited)" : "");
	}
	if (world.calm && status == MMS_ERR_NO_NODE) {
		world_fail("lock: request %u found no node for it: %s", request->number, error->text);
	}
	return status;
}

void __wrap_mms_lease_release(struct mms_client *client, struct mms_lease *lease, struct mms_slice key)
{
	int64_t began_us = sched_now(), held_us = sched_self()->held_us;
	struct request *request = current();

	request->locked_until = 0;
	__real_mms_lease_release(client, lease, key);
	check_budget(request, (struct mms_mono){ began_us + 20000 * client->settings.node_count }, began_us, held_us,
			"giving back a lock");
}

/* With the lock, no write of a schedule without faults meets one that its request has not read. */
static void check_exclusion(const struct request *request, const struct mms_write_order *order,
		const struct mms_write_result *result)
{
	if (world.lock != 0 && world.calm && order->kind == MMS_PARCEL_PUT && !request->stamped.tombstone
			&& (result->over_unread || (result->met_newer && !result->newer.version.tombstone))) {
		world_fail("lock: request %u wrote s%u past another request's write", request->number, request->session);
	}
}

static size_t make_payload(const struct request *request, char *out)
{
	size_t len = (size_t)sprintf(out, "s%u root %u serial %u request %u visitor %u ", request->session, request->root, check_new_serial(),
			request->number, request->visitor);

	while (len < request->payload_len) {
		out[len] = (char)('a' + len % 26);
		len++;
	}
	return len;
}

static void check_payload(const struct request *request, struct mms_slice payload)
{
	if (payload.len < 2 || payload.ptr[0] != 's' || (unsigned)atoi(payload.ptr + 1) != request->session) {
		world_fail("10: request %u asked for s%u and was given %.*s", request->number, request->session,
				(int)(payload.len > 40 ? 40 : payload.len), payload.ptr);
	}
}

static void think(const struct request *request)
{
	if (request->think_us > 0) {
		(void)sched_block(sched_now() + request->think_us);
	}
}

static void report(const struct request *request, const char *what, enum mms_status status, const struct mms_error *error)
{
	trace("request %u %s s%u: %s%s%s", request->number, what, request->session, status == MMS_OK ? "ok" : "failed: ",
			status == MMS_OK ? "" : error->text, status == MMS_OK && request->met_newer ? " (met newer)" : "");
}

static void write_once(struct request *request, struct mms_slice id)
{
	static char bytes[PAYLOAD_MAX + 200]; /* the store copies it before it waits or borrows our own copy */
	struct mms_error error = { "" };
	size_t len = make_payload(request, bytes);
	char *payload = memcpy(malloc(len), bytes, len);
	enum mms_status status = mms_store_write(request->worker->store, id, (struct mms_slice){ payload, len }, request->lifetime_s,
			&error);

	report(request, "wrote", status, &error);
}

/* Rule c: who logs out logs out of what there is, or says that he could not. What was opened on his own tombstone began after it. */
static void check_logout(const struct request *request, enum mms_status status)
{
	if (status == MMS_OK && request->was_stamped && request->met_newer && !request->newer.tombstone
			&& request->newer.incarnation > request->stamped.incarnation && request->newer.incarnation != request->stamped.hlc) {
		world_fail("3: request %u: a logout of s%u met a newer incarnation and left it", request->number, request->session);
	}
}

static void act(struct request *request, struct mms_slice id, struct mms_slice payload, bool exists)
{
	struct mms_store *store = request->worker->store;
	struct mms_error error = { "" };
	enum mms_status status;
	char *copy;

	switch (request->kind) {
	case REQUEST_WRITE_TWICE:
		write_once(request, id);
		request->found = false; /* the second builds on the first, which the probe does not know */
		think(request);
		write_once(request, id);
		break;
	case REQUEST_STRICT:
	case REQUEST_WRITE:
		write_once(request, id);
		break;
	case REQUEST_TOUCH:
		if (exists) {
			copy = memcpy(malloc(payload.len + 1), payload.ptr, payload.len);
			status = mms_store_touch(store, id, (struct mms_slice){ copy, payload.len }, request->lifetime_s, &error);
			report(request, "touched", status, &error);
		}
		break;
	case REQUEST_DESTROY:
		status = mms_store_destroy(store, id, request->lifetime_s, &error);
		report(request, "destroyed", status, &error);
		check_logout(request, status);
		break;
	default:
		break;
	}
}

/* A page that is closed and not answered yet looks into another session, as one with an administrator's of another name does. */
static void look_beside(struct request *page)
{
	struct request look = { .kind = REQUEST_READ, .visitor = page->visitor, .session = (page->session + 1) % world.session_count,
			.worker = page->worker, .number = page->number, .lifetime_s = page->lifetime_s, .outer = page };
	struct mms_slice payload;
	struct mms_error error = { "" };
	bool exists;
	char id[8];

	page->worker->request = &look;
	(void)mms_store_read(page->worker->store, (struct mms_slice){ id, (size_t)snprintf(id, sizeof id, "s%u", look.session) }, &payload,
			&exists, &error);
	mms_store_end(page->worker->store);
	page->worker->request = page;
}

static void *run(void *argument)
{
	struct request *request = argument;
	struct worker *worker = request->worker;
	struct mms_slice payload = { "", 0 };
	struct mms_error error = { "" };
	enum mms_status status;
	bool exists = false;
	int64_t late_us;
	char id[8];
	struct mms_slice id_slice = { id, (size_t)snprintf(id, sizeof id, "s%u", request->session) };

	host_tend(worker);
	tokens_bring(request);
	if (request->kind == REQUEST_BLUNT) {
		status = mms_store_destroy(worker->store, id_slice, request->lifetime_s, &error);
		report(request, "destroyed, unread,", status, &error);
		check_logout(request, status);
	} else {
		if (request->kind == REQUEST_STRICT) {
			(void)mms_store_exists(worker->store, id_slice);
		}
		status = mms_store_read(worker->store, id_slice, &payload, &exists, &error);
		if (world.tracing) {
			char shown[100] = "nothing";

			if (request->found) {
				reference_format(&request->read, shown);
			}
			trace("request %u on host %u worker %u read s%u: %s {%s}%s", request->number, worker->process->host,
					worker->process->number, request->session, status == MMS_OK ? "ok" : error.text, shown,
					request->authoritative ? "" : " (uncertain)");
		}
		if (exists) {
			check_payload(request, payload);
		}
		if (status == MMS_OK) {
			tokens_early(request);
			tokens_before_write(request);
			think(request);
			act(request, id_slice, payload, exists);
		}
	}
	late_us = tokens_close(request);
	mms_store_end(worker->store);
	host_tend(worker); /* who mirrors may have died since it began */
	if (late_us > 0) {
		(void)sched_block(sched_now() + late_us / 2);
		if (late_us % 4 != 0 && world.session_count > 1) {
			look_beside(request);
		}
		(void)sched_block(sched_now() + late_us / 2);
	}
	tokens_answer(request);
	worker->request = NULL;
	return NULL;
}

bool request_start(unsigned host, unsigned worker_index, unsigned visitor, unsigned session, enum request_kind kind,
		int64_t think_us, uint32_t payload_len, uint32_t lifetime_s)
{
	struct worker *worker = host_worker(&world.hosts[host], worker_index);
	struct request *request;

	if (worker->request != NULL) {
		return false;
	}
	request = calloc(1, sizeof *request);
	request->kind = kind;
	request->visitor = visitor;
	request->session = session;
	request->worker = worker;
	request->number = ++request_count;
	request->think_us = think_us;
	request->lifetime_s = lifetime_s;
	request->payload_len = payload_len > PAYLOAD_MAX ? PAYLOAD_MAX : payload_len;
	worker->request = request;
	(void)sched_spawn(worker->process, run, request);
	return true;
}

bool requests_under_way(void)
{
	for (unsigned i = 0; i < world.host_count; i++) {
		for (unsigned k = 0; k < WORKERS_MAX; k++) {
			struct worker *worker = &world.hosts[i].workers[k];

			if (worker->process != NULL && worker->process->alive && worker->request != NULL) {
				return true;
			}
		}
	}
	return false;
}
