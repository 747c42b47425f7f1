/* The difficulty is a logout: the other handler's key stays where it is, so whatever stands in its place must outlive it, or the
 * session would come back. Hence its remaining life is asked for, and a key that never ends is not taken. */
#include "mms_import.h"

#include <stdio.h>
#include <string.h>

#include "mms_command.h"
#include "mms_fanout.h"
#include "mms_record.h"

struct importing {
	struct mms_client *client;
	bool unheard;                    /* some node did not say whether it has one */
	char key[MMS_KEY_MAX];
	size_t key_len;
	struct mms_command command;
	struct mms_fanout fanout;
};

_Static_assert(sizeof(struct importing) <= MMS_CLIENT_SCRATCH, "it lives in the client's scratch");

static void ask(struct importing *importing, struct mms_slice id);
static int longest_lived(struct importing *importing, struct mms_answer *answer);
static bool is_usable(struct importing *importing, unsigned node);
static void refuse_too_large(const struct importing *importing, unsigned node, struct mms_answer *answer);

void mms_import_find(struct mms_client *client, struct mms_slice id, struct mms_mono deadline, struct mms_answer *answer)
{
	struct importing *importing = client->scratch;
	int node;

	if (client->settings.import_prefix[0] == '\0' || answer->found != MMS_FOUND_NOTHING || client->reads_new_id) {
		return;
	}
	importing->client = client;
	importing->unheard = false;
	mms_fanout_begin(&importing->fanout, client, deadline);
	importing->fanout.patient = true;
	if (mms_clock_left_us(mms_clock_mono(), deadline) > 0) {
		ask(importing, id);
	}
	node = longest_lived(importing, answer);
	if (node < 0 && importing->unheard) { /* there may be one: this "nothing" proves nothing */
		answer->authoritative = false;
		answer->absent_mask = 0;
	}
	if (node >= 0 && answer->found == MMS_FOUND_NOTHING) {
		answer->imported = true;
		answer->pttl_ms = mms_reply_integer(importing->fanout.slots[node].replies[1]);
		answer->owner = mms_fanout_take_reply(&importing->fanout, (unsigned)node, 0);
		answer->payload = mms_reply_text(answer->owner);
		mms_client_count(client, MMS_METRIC_imports);
	}
	mms_fanout_end(&importing->fanout);
}

static void ask(struct importing *importing, struct mms_slice id)
{
	struct mms_client *client = importing->client;
	size_t prefix_len = strlen(client->settings.import_prefix);

	memcpy(importing->key, client->settings.import_prefix, prefix_len);
	memcpy(importing->key + prefix_len, id.ptr, id.len);
	importing->key_len = prefix_len + id.len;
	mms_command_init(&importing->command);
	mms_command_read_whole(&importing->command, (struct mms_slice){ importing->key, importing->key_len });
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		if (mms_client_can_read(client, i)) {
			(void)mms_fanout_ask(&importing->fanout, i, &importing->command, mms_client_wait_us(client));
		}
	}
	mms_fanout_wait(&importing->fanout, importing->fanout.asked_mask);
}

static bool is_too_large(const struct importing *importing, const struct mms_fanout_slot *slot)
{
	if (slot->state != MMS_FANOUT_ANSWERED) {
		return slot->state == MMS_FANOUT_FAILED && slot->status == MMS_ERR_TOO_LARGE;
	}
	return mms_reply_type(slot->replies[0]) == MMS_REPLY_STRING
			&& mms_reply_text(slot->replies[0]).len > importing->client->settings.max_session_size;
}

/* The handler that wrote them gave every write the same life. -1 = none. */
static int longest_lived(struct importing *importing, struct mms_answer *answer)
{
	int best = -1;

	for (unsigned i = 0; i < importing->client->settings.node_count; i++) {
		const struct mms_fanout_slot *slot = &importing->fanout.slots[i];

		importing->unheard = importing->unheard || slot->state != MMS_FANOUT_ANSWERED
				|| (mms_reply_type(slot->replies[0]) == MMS_REPLY_ERROR
					&& mms_reply_classify(slot->replies[0]) != MMS_CLASS_WRONGTYPE);
		if (is_too_large(importing, slot)) {
			refuse_too_large(importing, i, answer);
		} else if (slot->state == MMS_FANOUT_ANSWERED && is_usable(importing, i) && (best < 0
				|| mms_reply_integer(slot->replies[1]) > mms_reply_integer(importing->fanout.slots[best].replies[1]))) {
			best = (int)i;
		}
	}
	return best;
}

static void warn(struct mms_client *client, unsigned node, const char *what)
{
	const struct mms_node_config *config = &client->settings.nodes[node];
	struct mms_note_sh *notice = &client->cluster->notices[MMS_NOTICE_IMPORT];
	struct mms_error text;

	/* No session id: it is as good as a password. */
	mms_error_set(&text, "node %s (%s): a session under mmsession.import_prefix is not taken: %s", config->name, config->address, what);
	mms_note_write(notice, text.text, mms_clock_wall().ms);
	mms_note_raise(notice);
}

static bool is_usable(struct importing *importing, unsigned node)
{
	struct mms_client *client = importing->client;
	const struct mms_fanout_slot *slot = &importing->fanout.slots[node];
	struct mms_slice key = { importing->key, importing->key_len }, text;
	struct mms_record_header header;
	char words[128], what[256];

	if (mms_reply_type(slot->replies[0]) == MMS_REPLY_ERROR) {
		mms_reply_class_words(slot->replies[0], words, sizeof words);
		(void)snprintf(what, sizeof what, "the server says \"%s\": a plain string that this user may read can be taken", words);
		warn(client, node, what);
		return false;
	}
	text = mms_reply_text(slot->replies[0]);
	if (mms_reply_type(slot->replies[0]) != MMS_REPLY_STRING || text.len == 0) {
		return false;
	}
	if (mms_reply_type(slot->replies[1]) != MMS_REPLY_INTEGER || mms_reply_integer(slot->replies[1]) <= 0) {
		warn(client, node, "it has no end of life, so a logout could not be remembered for long enough; give such keys one (EXPIRE)");
		return false;
	}
	if (mms_record_decode(text, key, &header) != MMS_RECORD_FOREIGN) {
		warn(client, node, "it is a record of mmsession's own: import_prefix is for what another handler has left");
		return false;
	}
	return true;
}

/* Nothing in its place: what is written after that would replace it. */
static void refuse_too_large(const struct importing *importing, unsigned node, struct mms_answer *answer)
{
	const struct mms_settings *settings = &importing->client->settings;

	answer->found = MMS_FOUND_UNREADABLE;
	mms_error_set(&answer->error, "node %s (%s): the session to be taken over has more bytes than mmsession.max_session_size (%u) "
			"allows: not read, what is stored stays; raise it until the old sessions have been taken over",
			settings->nodes[node].name, settings->nodes[node].address,
			settings->max_session_size);
}
