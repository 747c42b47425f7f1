/* Texts about nodes. The one difficulty is room: an address may be long, and every other text about a node starts with it,
 * so only names are repeated here. */
#include "mms_explain.h"

#include <stdio.h>
#include <string.h>

void mms_explain_append(const char *text, struct mms_error *error)
{
	size_t len = strlen(error->text);

	(void)snprintf(error->text + len, sizeof error->text - len, "%s", text);
}

/* "node web2 (tcp://10.0.0.2:6379): connect: ..." without what stands before the cause. */
static const char *cause_in(const struct mms_node_config *node, const char *text)
{
	char start[sizeof(struct mms_error)];
	int len = snprintf(start, sizeof start, "node %s (%s): ", node->name, node->address);

	return len > 0 && strncmp(text, start, (size_t)len) == 0 ? text + len : text;
}

void mms_explain_cause(const struct mms_fanout *fanout, unsigned node, const char *cause, struct mms_error *error)
{
	char last = error->text[0] == '\0' ? '\0' : error->text[strlen(error->text) - 1];

	mms_explain_append(last == '\0' || last == ' ' ? "" : last == ':' ? " " : "; ", error);
	mms_explain_append(fanout->client->settings.nodes[node].name, error);
	mms_explain_append(": ", error);
	mms_explain_append(cause, error);
}

void mms_explain_node(const struct mms_fanout *fanout, unsigned node, struct mms_error *error)
{
	const struct mms_node_config *config = &fanout->client->settings.nodes[node];
	const struct mms_breaker_sh *breaker = &fanout->client->cluster->nodes[node].breaker;
	char text[MMS_BREAKER_TEXT_SIZE] = "", cause[MMS_BREAKER_TEXT_SIZE + 32];

	if ((fanout->blamed_mask >> node & 1) != 0) {
		mms_explain_cause(fanout, node, cause_in(config, fanout->errors[node].text), error);
		return;
	}
	(void)mms_breaker_last_error(breaker, text, sizeof text);
	(void)snprintf(cause, sizeof cause, "%s%s%s", cause_in(config, text), text[0] != '\0' ? " " : "",
			!mms_breaker_allows_read(breaker) ? "(marked down)"
			: !mms_breaker_allows_write(breaker) ? "(takes no writes)" : "(not asked)");
	mms_explain_cause(fanout, node, cause, error);
}

void mms_explain_names(const struct mms_fanout *fanout, uint64_t mask, struct mms_error *error)
{
	const char *separator = "";

	for (unsigned i = 0; i < fanout->client->settings.node_count; i++) {
		if ((mask >> i & 1) != 0) {
			mms_explain_append(separator, error);
			mms_explain_append(fanout->client->settings.nodes[i].name, error);
			separator = ", ";
		}
	}
}

void mms_explain_all_down(const struct mms_client *client, struct mms_error *error)
{
	char text[MMS_BREAKER_TEXT_SIZE] = "";
	struct mms_wall latest = { 0 };

	for (unsigned i = 0; i < client->settings.node_count; i++) {
		char one[MMS_BREAKER_TEXT_SIZE];
		struct mms_wall at = mms_breaker_last_error(&client->cluster->nodes[i].breaker, one, sizeof one);

		if (at.ms > latest.ms) {
			latest = at;
			memcpy(text, one, sizeof text);
		}
	}
	mms_error_set(error, "all %u nodes are marked down (see mmsession_status()), the last one: %s",
			client->settings.node_count, text[0] != '\0' ? text : "cause unknown");
}

const char *mms_explain_consequence(struct mms_client *client, unsigned node)
{
	bool readable = mms_client_can_read(client, node), others = false;

	if (mms_client_can_write(client, node)) {
		return "by now it is used again";
	}
	for (unsigned i = 0; i < client->settings.node_count; i++) {
		others = others || (i != node && (readable ? mms_client_can_write(client, i) : mms_client_can_read(client, i)));
	}
	if (readable) {
		return others ? "it is read, but takes no writes: they go to the other nodes until it does"
				: client->settings.node_count == 1 ? "it is the only node: sessions are read, but writes fail until it takes them"
				: "it is read, but takes no writes, nor does another node: writes fail until one does";
	}
	return others ? "sessions are served by the other nodes until it is back"
			: client->settings.node_count == 1 ? "it is the only node: sessions fail until it is back"
			: "no other node is left: sessions fail until one is back";
}
