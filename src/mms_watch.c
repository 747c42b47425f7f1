/* A WATCH belongs to its connection and is used up by the next EXEC; client->watch_serial tells whether one still stands
 * for the answer at hand. The difficulty is a user without permission: behind a refused MULTI the SET of a watched put
 * would go through unwatched, so every connection's first WATCH follows an empty transaction that shows that he has it. */
#include "mms_watch.h"

void mms_watch_lead(struct mms_client *client, struct mms_watching *watching, unsigned node, struct mms_slice key,
		struct mms_command *command)
{
	const struct mms_watch *watch = &client->watches[node];

	mms_command_init(command);
	watching->node = -1;
	if (!watch->refused) {
		watching->node = (int)node;
		watching->rehearsing = !watch->rehearsed;
		mms_command_watch(command, key, watch->standing, watching->rehearsing);
		client->watch_serial++;
	}
}

static void build(struct mms_client *client, struct mms_watching *watching, unsigned node, struct mms_slice key,
		struct mms_command *command)
{
	mms_watch_lead(client, watching, node, key, command);
	mms_command_read_whole(command, key);
}

void mms_watch_note(struct mms_fanout *fanout, struct mms_watching *watching, struct mms_command *command,
		struct mms_slice key)
{
	struct mms_client *client = fanout->client;
	unsigned node = (unsigned)watching->node;
	const struct mms_fanout_slot *slot;
	struct mms_watch *watch;

	if (watching->node < 0) {
		return;
	}
	slot = &fanout->slots[node];
	watch = &client->watches[node];
	if (slot->state == MMS_FANOUT_ANSWERED && !slot->led) {
		watch->refused = true;
		mms_conn_close(client->conns[node]);
		build(client, watching, node, key, command);
		if (mms_fanout_ask(fanout, node, command, (int64_t)client->settings.read_timeout_ms * 1000)) {
			mms_fanout_wait(fanout, UINT64_C(1) << node);
		}
		return;
	}
	if (slot->state == MMS_FANOUT_ANSWERED) {
		watch->standing = true;
		watch->rehearsed = watch->rehearsed || watching->rehearsing;
	}
	if (slot->state != MMS_FANOUT_ANSWERED || !watch->rehearsed) {
		watching->node = -1;
	}
}

struct mms_watched mms_watch_offer(const struct mms_client *client, const struct mms_watching *watching, bool sound)
{
	/* The connection may have been lost and made anew since (a stranger is met within the same read): no WATCH stands on
	 * that one, and a watched put there would overwrite whatever came in between. */
	return (struct mms_watched){
		.valid = watching->node >= 0 && client->watches[watching->node].standing && sound,
		.node = watching->node >= 0 ? (uint32_t)watching->node : 0,
		.serial = client->watch_serial,
	};
}

void mms_watch_use(struct mms_client *client, unsigned node)
{
	client->watch_serial++;
	client->watches[node].standing = false;
}
