/* Settings as anybody may write them: no read beyond the end, every refusal with a whole printable message, no secret
 * in it, and what was taken keeps its promises. Input: a byte that picks the setting, then its text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "mms_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int holds)
{
	if (!holds) {
		abort();
	}
}

static void check_message(const struct mms_error *error)
{
	const size_t len = strlen(error->text);

	check(len > 0 && len < sizeof(error->text) - 1);
	for (size_t index = 0; index < len; index++) {
		check(error->text[index] >= ' ' && error->text[index] <= '~');
	}
}

static int ends(const char *field, size_t size)
{
	return memchr(field, '\0', size) != NULL;
}

/* Canonical addresses parse to themselves (but for socket paths that need %XX). */
static void check_address(const struct mms_node_config *node)
{
	static struct mms_node_config again[MMS_NODES_MAX];
	uint32_t count;

	check(mms_node_list_parse(mms_slice_of(node->address), again, &count, NULL) == MMS_OK);
	check(count == 1 && strcmp(again[0].address, node->address) == 0);
	check(strcmp(again[0].host, node->host) == 0 && again[0].port == node->port && again[0].numeric == node->numeric);
}

static void check_nodes(const struct mms_settings *settings)
{
	check(settings->node_count >= 1 && settings->node_count <= MMS_NODES_MAX);
	for (uint32_t index = 0; index < settings->node_count; index++) {
		const struct mms_node_config *node = &settings->nodes[index];

		check(ends(node->host, sizeof(node->host)) && ends(node->path, sizeof(node->path)));
		check(ends(node->name, sizeof(node->name)) && ends(node->address, sizeof(node->address)));
		check(node->name[0] != '\0');
		for (uint32_t other = 0; other < index; other++) {
			check(strcmp(settings->nodes[other].address, node->address) != 0);
			check(strcmp(settings->nodes[other].name, node->name) != 0);
		}
		check(ends(node->tls_name, sizeof(node->tls_name)));
		check((mms_node_list_tls_name(node) != NULL) == (node->scheme == MMS_SCHEME_TLS));
		if (node->scheme != MMS_SCHEME_UNIX) {
			check(node->host[0] != '\0' && node->port >= 1 && node->port <= 65535);
			check_address(node);
		} else {
			check(node->path[0] == '/' && node->path[strlen(node->path) - 1] != '/');
		}
	}
	check(mms_config_fingerprint(settings) != 0);
}

static void fuzz_nodes(struct mms_slice text)
{
	static struct mms_settings settings;
	struct mms_error error = {""};

	if (mms_config_parse_nodes(text, &settings, &error) == MMS_OK) {
		check_nodes(&settings);
		return;
	}
	check(settings.node_count == 0);
	check_message(&error);
	/* nothing of a list with an @ is quoted */
	check(mms_slice_find(text, '@') == text.len || strchr(error.text, '"') == NULL);
}

static void fuzz_number(struct mms_slice text)
{
	struct mms_error error = {""};
	uint64_t value;

	if (mms_config_parse_number(text, "mmsession.max_session_size", 16, 1u << 30, &value, &error) == MMS_OK) {
		check(value >= 16 && value <= 1u << 30);
	} else {
		check_message(&error);
	}
}

static void fuzz_words(struct mms_slice text)
{
	struct mms_error error = {""};
	uint32_t value;

	if (mms_config_parse_read_mode(text, &value, &error) == MMS_OK) {
		check(value <= MMS_READ_TOKEN);
	} else {
		check_message(&error);
	}
	if (mms_config_parse_write_acks(text, &value, &error) != MMS_OK) {
		check_message(&error);
	}
	if (mms_config_check_own_prefix(text, &error) != MMS_OK) {
		check_message(&error);
	}
	if (mms_config_check_prefix(text, &error) == MMS_OK) {
		check(text.len <= MMS_PREFIX_MAX && mms_slice_find(text, '\0') == text.len);
	} else {
		check_message(&error);
	}
	if (mms_config_check_host_id(text, &error) == MMS_OK) {
		check(text.len >= 1 && text.len <= MMS_HOST_ID_MAX);
	} else {
		check_message(&error);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1) {
		return 0;
	}
	const size_t len = size - 1;
	char *copy = malloc(len == 0 ? 1 : len);

	check(copy != NULL);
	memcpy(copy, data + 1, len);
	const struct mms_slice text = {copy, len};

	switch (data[0] % 8) {
	case 0:
		fuzz_number(text);
		break;
	case 1:
		fuzz_words(text);
		break;
	default:
		fuzz_nodes(text);
		break;
	}
	free(copy);
	return 0;
}
