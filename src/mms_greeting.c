/* The marker is proposed with SET NX and read back in the same round trip, so two hosts that meet a new node at the same
 * moment agree on the id of the one that came first. */
#include "mms_greeting.h"

#include <stdio.h>
#include <string.h>

#include "mms_identity.h"

#define RECHECK_US 1000000
#define FOUNDING_US 20000
#define FOUNDING_FOR_US 3000000
#define OTHER_TYPE "(no text)" /* for a marker that is no string, or an empty one; nothing that anybody compares is that */

static void on_info(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void on_marker(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void on_recheck(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies);
static void become_ready(struct mms_link *link, const struct mms_identity *identity);
static bool found_all(struct mms_link *link, const struct mms_identity *identity);
static struct mms_link *find_copy(struct mms_link *link);
static void part_copy(struct mms_link *copy);
static void say_what_is_no_marker(struct mms_link *link, const struct mms_identity *identity);
static void write_founded(struct mms_office *office);

void mms_greeting_ask(struct mms_link *link)
{
	struct mms_command command;

	mms_command_init(&command);
	mms_command_info_server(&command);
	(void)mms_link_request(link, &command, on_info, NULL, 0);
}

/* Hosts that are installed at the same moment found the nodes together: one sees the marker that another has completed
 * already beside those that it has not. Looked at often for a while, or all would begin with blind sessions. */
static bool is_founding(const struct mms_link *link)
{
	const struct mms_node_sh *node = mms_link_node(link);

	return mms_link_ready(link) && atomic_load(&node->founded) != 0 && atomic_load(&node->complete) == 0
			&& link->office->now.us - link->ready_since.us < FOUNDING_FOR_US;
}

void mms_greeting_recheck(struct mms_link *link)
{
	struct mms_command command;
	char key[MMS_MARKER_KEY_MAX];

	bool founding = is_founding(link), wanted = link->marker_checked.us < link->office->markers_wanted.us;

	link->office->busy = link->office->busy || founding;
	if (!mms_link_ready(link) || (!wanted
			&& link->office->now.us - link->marker_checked.us < (founding ? FOUNDING_US : RECHECK_US))) {
		return;
	}
	link->marker_checked = link->office->now;
	mms_command_init(&command);
	mms_command_get(&command, (struct mms_slice){ key, mms_identity_marker_key(link->office->settings, key,
			sizeof key) });
	(void)mms_link_request(link, &command, on_recheck, NULL, (uint64_t)link->office->now.us);
}

/* A slow local node is asked by no request any more: that it is fast again is seen here. */
static void note_recovery(struct mms_link *link)
{
	struct mms_breaker_sh *breaker = &mms_link_node(link)->breaker;
	int64_t took_us = mms_clock_mono().us - link->marker_checked.us;

	if (link->index == 0 && atomic_load_explicit(&breaker->latency_us, memory_order_relaxed) >= MMS_BREAKER_SLOW_US
			&& took_us < MMS_BREAKER_SLOW_US) {
		mms_breaker_remeasured(breaker, (uint32_t)took_us);
	}
}

/* With this word of the node all are founded: a first installation. Nothing can be lacking anywhere, and all are complete at
 * once, for this host; the markers that say so to others follow. */
static bool found_all(struct mms_link *link, const struct mms_identity *identity)
{
	struct mms_office *office = link->office;
	struct mms_identity complete = *identity;

	if (!mms_identity_all_founded(office->cluster, office->node_count, link->index, identity)
			|| mms_identity_changed(mms_link_node(link), identity)) {
		return false;
	}
	complete.complete = true;
	(void)mms_identity_publish(mms_link_node(link), &complete);
	mms_identity_make_sure(office->cluster, office->node_count);
	return true;
}

static void refuse(struct mms_link *link, const char *what)
{
	const struct mms_node_config *config = &link->office->settings->nodes[link->index];
	struct mms_error error;

	mms_error_set(&error, "node %s (%s): %s", config->name, config->address, what);
	mms_link_fail(link, MMS_ERR_REFUSED, &error);
}

/* An error in answer to one of the questions. permission: what a user must have to ask it. */
static void refuse_answer(struct mms_link *link, const struct mms_reply *answer, const char *permission)
{
	char words[160], lacks[160], advice[280], what[320];
	bool may_not;

	mms_reply_class_words(answer, words, sizeof words);
	may_not = strncmp(words, "NOPERM", 6) == 0;
	(void)snprintf(lacks, sizeof lacks, "mmsession.user needs the permission +%s, for the keys ~%s*", permission,
			link->office->settings->prefix);
	mms_reply_class_advise(words, may_not ? lacks : mms_reply_class_remedy(mms_reply_text(answer)), advice, sizeof advice);
	(void)snprintf(what, sizeof what, "%s%s%s", may_not ? "" : permission, may_not ? "" : ": ", advice);
	refuse(link, what);
}

/* A key of another type in the marker's place: not ours, like any text that is no marker. */
static bool holds_something(const struct mms_reply *answer)
{
	return mms_reply_type(answer) == MMS_REPLY_STRING || mms_reply_classify(answer) == MMS_CLASS_WRONGTYPE;
}

/* What stands there, as text; what is no string has none, and must not look like nothing. */
static void keep_marker(struct mms_link *link, const struct mms_reply *answer)
{
	mms_text_copy(link->marker, sizeof link->marker, mms_reply_text(answer).len > 0 && mms_reply_type(answer) == MMS_REPLY_STRING
			? mms_reply_text(answer) : mms_slice_of(holds_something(answer) ? OTHER_TYPE : ""));
}

static void on_founded(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	(void)context;
	(void)token;
	if (replies != NULL && mms_reply_integer(replies[0]) == 1 && link->marker[0] != '\0') {
		link->marker[strlen(link->marker) - 1] = '0' + MMS_MARKER_COMPLETE;
		atomic_store(&mms_link_node(link)->founded, 0);
	}
}

static void write_founded(struct mms_office *office)
{
	char key[MMS_MARKER_KEY_MAX], value[MMS_MARKER_VALUE_MAX];
	struct mms_command command;

	for (unsigned i = 0; i < office->node_count; i++) {
		struct mms_link *link = &office->links[i];
		size_t len = strlen(link->marker);

		if (!mms_link_ready(link) || len == 0 || atomic_load(&mms_link_node(link)->founded) != MMS_FOUNDED_SURE
				|| link->marker[len - 1] != '0' + MMS_MARKER_FOUNDED) {
			continue;
		}
		(void)snprintf(value, sizeof value, "%.*s%d", (int)len - 1, link->marker, MMS_MARKER_COMPLETE);
		mms_command_init(&command);
		mms_command_replace_if(&command, (struct mms_slice){ key, mms_identity_marker_key(office->settings, key,
				sizeof key) }, mms_slice_of(link->marker), mms_slice_of(value), 0);
		(void)mms_link_request(link, &command, on_founded, NULL, 0);
	}
}

/* On a connection that stands: everything is asked as after a connect. */
static void meet_again(struct mms_link *link)
{
	link->state = MMS_LINK_CONNECTING;
	link->overdue = false;
	link->deadline.us = link->office->now.us + (int64_t)link->office->settings->read_timeout_ms * 1000;
	mms_greeting_ask(link);
	mms_link_flush(link);
}

static void on_recheck(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	char before[sizeof link->marker];
	struct mms_identity identity;
	struct mms_link *copy;

	(void)context;
	if (replies == NULL || !mms_link_ready(link)) {
		return;
	}
	if (mms_reply_type(replies[0]) == MMS_REPLY_ERROR && !holds_something(replies[0])) {
		refuse_answer(link, replies[0], "get");
		return;
	}
	note_recovery(link);
	if (mms_reply_type(replies[0]) == MMS_REPLY_NIL
			&& (link->marker[0] != '\0' || mms_breaker_allows_write(&mms_link_node(link)->breaker))) {
		/* Emptied under our connection, or it took no marker when we met: a stranger (again). */
		meet_again(link);
		return;
	}
	if (holds_something(replies[0])) {
		mms_text_copy(before, sizeof before, mms_slice_of(link->marker));
		keep_marker(link, replies[0]);
		mms_identity_judge(mms_slice_of(link->marker), link->run_id, &identity);
		if (strcmp(before, link->marker) != 0) {
			say_what_is_no_marker(link, &identity);
		}
		if (mms_identity_changed(mms_link_node(link), &identity)) {
			meet_again(link); /* another host was faster to see it emptied, or to tell it from its copy */
			return;
		}
		copy = find_copy(link);
		if (copy != NULL) {
			part_copy(copy); /* its server refused that until now */
		}
		if (!found_all(link, &identity)) {
			(void)mms_identity_publish(mms_link_node(link), &identity);
		}
		write_founded(link->office);
	}
	link->marker_seen.us = (int64_t)token; /* there is none, or something else: as when it was greeted */
}

static void on_info(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	char key[MMS_MARKER_KEY_MAX], value[MMS_MARKER_VALUE_MAX];
	struct mms_command command;
	struct mms_error error;

	(void)context;
	(void)token;
	if (replies == NULL) {
		return;
	}
	if (mms_reply_type(replies[0]) == MMS_REPLY_ERROR) {
		refuse_answer(link, replies[0], "info");
		return;
	}
	if (mms_identity_parse_info(mms_reply_text(replies[0]), link->run_id, &error) != MMS_OK) {
		refuse(link, error.text);
		return;
	}
	/* A node that this host knew and that has lost its marker was emptied: it starts incomplete. */
	if (mms_identity_propose(link->run_id, atomic_load(&mms_link_node(link)->node_id) == 0 ? MMS_MARKER_FOUNDED
			: MMS_MARKER_INCOMPLETE, value) != MMS_OK) {
		refuse(link, "no random bytes for a node id");
		return;
	}
	mms_command_init(&command);
	mms_command_set_once(&command, (struct mms_slice){ key, mms_identity_marker_key(link->office->settings, key,
			sizeof key) }, mms_slice_of(value));
	(void)mms_link_request(link, &command, on_marker, NULL, (uint64_t)link->office->now.us);
}

static void on_marker(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct mms_identity identity;
	struct mms_link *copy;

	(void)context;
	if (replies == NULL) {
		return;
	}
	if (mms_reply_type(replies[1]) == MMS_REPLY_ERROR && !holds_something(replies[1])) {
		refuse_answer(link, replies[1], "get");
		return;
	}
	/* A node that takes no writes now (OOM, READONLY) and has no marker is usable, and proves nothing. */
	if (mms_reply_type(replies[0]) == MMS_REPLY_ERROR && !holds_something(replies[1])
			&& mms_reply_classify(replies[0]) != MMS_CLASS_WRITE) {
		refuse_answer(link, replies[0], "set");
		return;
	}
	link->marker_seen.us = (int64_t)token;
	keep_marker(link, replies[1]);
	mms_identity_judge(mms_slice_of(link->marker), link->run_id, &identity);
	copy = find_copy(link);
	if (copy != NULL) {
		part_copy(copy);
	}
	if (copy != link) {
		become_ready(link, &identity);
	}
}

/* Rule e. Is there a node that answers with the same id, but is another server? Then one was started from a copy of the
 * other's dump: the one of the two that has to take a new id, else NULL. */
static struct mms_link *find_copy(struct mms_link *link)
{
	struct mms_office *office = link->office;
	struct mms_identity mine, theirs;

	mms_identity_judge(mms_slice_of(link->marker), link->run_id, &mine);
	for (unsigned i = 0; i < office->node_count && mine.node_id != 0; i++) {
		struct mms_link *other = &office->links[i];

		if (other == link || !mms_link_ready(other)) {
			continue;
		}
		mms_identity_judge(mms_slice_of(other->marker), other->run_id, &theirs);
		if (theirs.node_id != mine.node_id || theirs.run_hash == mine.run_hash) {
			continue;
		}
		/* The marker bears the run_id of the server that it was made for. */
		if (mine.current != theirs.current) {
			return mine.current ? other : link;
		}
		return i < link->index ? link : other;
	}
	return NULL;
}

static void on_parted(struct mms_link *link, void *context, uint64_t token, struct mms_reply *const *replies)
{
	struct mms_identity identity;

	(void)context;
	(void)token;
	if (replies == NULL) {
		return;
	}
	if (mms_reply_integer(replies[0]) == 1) {
		meet_again(link);
	} else if (link->state == MMS_LINK_CONNECTING) {
		/* Another host was faster, or the server takes no writes now: the next look at the marker says which. */
		mms_identity_judge(mms_slice_of(link->marker), link->run_id, &identity);
		become_ready(link, &identity);
	}
}

static void part_copy(struct mms_link *copy)
{
	char key[MMS_MARKER_KEY_MAX], value[MMS_MARKER_VALUE_MAX];
	struct mms_command command;

	if (mms_identity_propose(copy->run_id, MMS_MARKER_INCOMPLETE, value) != MMS_OK) {
		refuse(copy, "no random bytes for a node id");
		return;
	}
	mms_command_init(&command);
	mms_command_replace_if(&command, (struct mms_slice){ key, mms_identity_marker_key(copy->office->settings, key,
			sizeof key) }, mms_slice_of(copy->marker), mms_slice_of(value), 0);
	(void)mms_link_request(copy, &command, on_parted, NULL, 0);
	mms_link_flush(copy);
}

/* One server under two addresses would count as two copies. Same marker and same run_id: not a copied dump. */
static bool are_one_server(const struct mms_link *one, const struct mms_identity *identity, const struct mms_link *other)
{
	const struct mms_node_sh *node = mms_link_node(other);

	return one != other && mms_link_ready(other) && identity->node_id != 0
			&& atomic_load(&node->node_id) == identity->node_id && atomic_load(&node->run_hash) == identity->run_hash;
}

/* The first entry of the list stays. True when it is not this one. */
static bool refuse_twins(struct mms_link *link, const struct mms_identity *identity)
{
	struct mms_office *office = link->office;

	for (unsigned i = 0; i < office->node_count; i++) {
		struct mms_link *other = &office->links[i], *later = i < link->index ? link : other;
		const struct mms_node_config *first = &office->settings->nodes[later == link ? i : link->index];
		char text[384];

		if (!are_one_server(link, identity, other)) {
			continue;
		}
		(void)snprintf(text, sizeof text, "this is the same server as node %s (%s): left out, or it would count as two "
				"copies; take one of the two out of the list", first->name, first->address);
		refuse(later, text);
		if (later == link) {
			return true;
		}
	}
	return false;
}

bool mms_greeting_is_taken(const struct mms_link *link)
{
	struct mms_identity identity;

	mms_identity_judge(mms_slice_of(link->marker), link->run_id, &identity);
	return link->marker[0] != '\0' && identity.node_id == 0;
}

/* Somebody else's key in the marker's place: the node works and proves nothing. */
static void say_what_is_no_marker(struct mms_link *link, const struct mms_identity *identity)
{
	const struct mms_node_config *config = &link->office->settings->nodes[link->index];
	struct mms_error error;

	if (identity->node_id != 0 || link->marker[0] == '\0') {
		return;
	}
	mms_error_set(&error, "node %s (%s): the key %s:node holds something that is not mmsession's, so the node never counts as "
			"complete: delete it, or give mmsession.prefix a value of its own", config->name, config->address,
			link->office->settings->prefix);
	mms_breaker_note(&mms_link_node(link)->breaker, error.text, mms_clock_wall());
}

/* When this incarnation came: its connections are those of one office each. */
static void note_meeting(struct mms_node_sh *node, struct mms_mono now)
{
	uint64_t run = mms_shm_incarnation(node);

	if (atomic_load(&node->met_run) != run || atomic_load(&node->met_us) > now.us) {
		atomic_store(&node->met_us, now.us);
		atomic_store(&node->met_run, run);
	}
}

static void become_ready(struct mms_link *link, const struct mms_identity *identity)
{
	struct mms_office *office = link->office;
	struct mms_node_sh *node = mms_link_node(link);
	bool lost;

	if (refuse_twins(link, identity)) {
		return;
	}
	say_what_is_no_marker(link, identity);
	/* Emptied, and it takes no new marker now (OOM, READONLY): nothing names its new incarnation yet. */
	lost = identity->node_id == 0 && atomic_load(&node->node_id) != 0;
	if (atomic_exchange(&node->greeted, 1) == 0 || mms_identity_changed(node, identity) || (lost && !link->lost)) {
		/* Rule f: what the old incarnation of this node acknowledged is worth nothing, to us, to a request thread, or to a
		 * successor of ours; and whatever others miss, this one misses too. So is what was acknowledged before anybody
		 * knew who it was: it may have been emptied since. */
		link->ack_position = mms_mailbox_tail(&office->cluster->mailbox);
		link->send_position = link->ack_position;
		link->few = 0;
		link->careful_to = 0;
		link->distrust_until = mms_mailbox_head(&office->cluster->mailbox);
		atomic_store(&node->distrust_until, link->distrust_until);
		mms_hints_pend(&office->cluster->hints, link->index);
		for (unsigned i = 0; i < office->node_count; i++) {
			office->links[i].marker_mask &= ~(UINT64_C(1) << link->index);
		}
	}
	link->lost = lost;
	if (!found_all(link, identity)) {
		(void)mms_identity_publish(node, identity);
	}
	note_meeting(node, office->now);
	link->state = MMS_LINK_READY;
	link->ready_since = office->now;
	link->compare_until.us = office->now.us + MMS_LINK_COMPARE_US;
	link->compare_to = mms_mailbox_head(&office->cluster->mailbox);
	write_founded(office);
	link->marker_checked = office->now;
	link->hint_rounds = 0;
	mms_breaker_good(&node->breaker, 0);
	if (link->probing) {
		link->probing = false;
		(void)mms_breaker_probe_result(&node->breaker, true, office->now, mms_link_random(office));
	}
	/* Other nodes may wait for one more place to put their behind markers, and hints for one more source. */
	for (unsigned i = 0; i < office->node_count; i++) {
		office->links[i].hint_round_at = office->now;
	}
	office->busy = true;
}
