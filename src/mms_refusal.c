/* The moments stand in shared memory beside the text: a new replicator does not take the first thing that is allowed for the end of all
 * refusals. What was refused and is not asked for any more, as no marker is wanted, is over after a while. */
#include "mms_refusal.h"

#include <stdio.h>
#include <string.h>

#define OFTEN_US 15000000  /* lives are asked for every second, markers that are refused every five */
#define RARE_US 660000000  /* hosts every ten minutes, once refused */
#define REMEDY_TAKEN "DEL it there, it is in the way of what hosts tell each other"

_Static_assert(MMS_REFUSAL_COUNT == MMS_REFUSALS, "there is a place for each in shared memory");

static const struct {
	const char *words, *hash;
} refusals[MMS_REFUSAL_COUNT] = {
	[MMS_REFUSAL_LIVES_SET] = { "HSET to", "lives" },
	[MMS_REFUSAL_LIVES_READ] = { "HGETALL of", "lives" },
	[MMS_REFUSAL_BEHIND_SET] = { "HSET to", "behind" },
	[MMS_REFUSAL_BEHIND_READ] = { "HGETALL of", "behind" },
	[MMS_REFUSAL_BEHIND_DELETE] = { "HGET or HDEL at", "behind" },
	[MMS_REFUSAL_HOSTS_READ] = { "TIME, or HGETALL of", "hosts" },
	[MMS_REFUSAL_LEASE] = { "GET or SET of", "lease" },
	[MMS_REFUSAL_SWEEP_LEASE] = { "GET or SET of", "lease:sweep" },
	[MMS_REFUSAL_CLOSED] = { "SET of", "ct:*" },
};

static void describe(const struct mms_link *link, enum mms_refusal what, enum mms_reply_class class_,
		const struct mms_reply *reply, struct mms_error *out)
{
	const struct mms_node_config *node = &link->office->settings->nodes[link->index];
	const char *prefix = link->office->settings->prefix;
	char words[128];
	size_t len;

	if (class_ == MMS_CLASS_WRONGTYPE) {
		mms_error_set(out, "node %s (%s): something else than mmsession's stands at the key %s:%s: " REMEDY_TAKEN, node->name,
				node->address, prefix, refusals[what].hash);
		return;
	}
	mms_error_set(out, "node %s (%s): server refused %s %s:%s: ", node->name, node->address, refusals[what].words, prefix,
			refusals[what].hash);
	len = strlen(out->text);
	mms_reply_class_words(reply, words, sizeof words);
	mms_reply_class_advise(words, mms_reply_class_remedy(mms_slice_of(words)), out->text + len, MMS_NOTE_TEXT_SIZE - len);
}

/* What is refused still; MMS_REFUSAL_COUNT = nothing. What is not asked for any more ends here. */
static enum mms_refusal first_left(const struct mms_link *link, bool *ended)
{
	struct mms_node_sh *node = mms_link_node(link);

	for (unsigned i = 0; i < MMS_REFUSAL_COUNT; i++) {
		const int64_t refused_us = atomic_load(&node->refused_us[i]);
		const int64_t age_us = mms_clock_apart(link->office->now.us, refused_us);

		if (refused_us != 0 && age_us >= 0 && age_us < (i == MMS_REFUSAL_HOSTS_READ ? RARE_US : OFTEN_US)) {
			return (enum mms_refusal)i;
		}
		if (refused_us != 0) {
			atomic_store(&node->refused_us[i], 0);
			*ended = true;
		}
	}
	return MMS_REFUSAL_COUNT;
}

/* The text may be of what has just ended: the server's words for another are gone, what it is about is known. */
static void tell_what_is_left(struct mms_link *link, bool ended)
{
	const struct mms_node_config *config = &link->office->settings->nodes[link->index];
	const enum mms_refusal left = first_left(link, &ended);
	struct mms_error text;

	if (left == MMS_REFUSAL_COUNT) {
		mms_note_state(&mms_link_node(link)->refusal, NULL, 0);
	} else if (ended) {
		mms_error_set(&text, "node %s (%s): server refused %s %s:%s: mmsession.user needs that permission, see docs/operations.md, "
				"or the key is not mmsession's", config->name, config->address, refusals[left].words,
				link->office->settings->prefix, refusals[left].hash);
		mms_note_state(&mms_link_node(link)->refusal, text.text, mms_clock_wall().ms);
	}
}

/* A key that is somebody else's is seen by every reading. */
static enum mms_refusal reading_of(enum mms_refusal what)
{
	return what == MMS_REFUSAL_LIVES_SET ? MMS_REFUSAL_LIVES_READ
			: what == MMS_REFUSAL_BEHIND_SET || what == MMS_REFUSAL_BEHIND_DELETE ? MMS_REFUSAL_BEHIND_READ : what;
}

enum mms_reply_class mms_refusal_see(struct mms_link *link, enum mms_refusal what, const struct mms_reply *reply)
{
	struct mms_node_sh *node = mms_link_node(link);
	enum mms_reply_class class_ = mms_reply_classify(reply);
	const bool ended = atomic_load(&node->refused_us[what]) != 0;
	struct mms_error text;

	if (class_ == MMS_CLASS_NONE) {
		if (ended) {
			atomic_store(&node->refused_us[what], 0);
		}
		if (atomic_load(&node->refusal.active) != 0) {
			tell_what_is_left(link, ended);
		}
	} else if (class_ == MMS_CLASS_PERMISSION || class_ == MMS_CLASS_WRONGTYPE || class_ == MMS_CLASS_OTHER) {
		atomic_store(&node->refused_us[class_ == MMS_CLASS_WRONGTYPE ? reading_of(what) : what], link->office->now.us);
		describe(link, what, class_, reply, &text);
		mms_note_state(&node->refusal, text.text, mms_clock_wall().ms);
	}
	return class_;
}
