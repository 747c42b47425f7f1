/* Pages of one visitor that overlap on three hosts: which token answers for which (read = session-token). No replicator runs. */
#include "store.h"

#include "mms_visit.h"

#define ID "visitor"

static const struct mms_token_signer unsigned_ones = { NULL, NULL };

/* A host whose local node is the first of these. */
static struct host *host_at(unsigned first, const char *name)
{
	struct mms_settings settings;
	struct host *host;
	char text[1024];
	size_t len = 0;

	for (unsigned i = 0; i < 3; i++) {
		unsigned node = (first + i) % 3;

		len += (size_t) snprintf(text + len, sizeof text - len, "unix://%s?name=n%u ", rig_servers[node].socket_path, node);
	}
	settings_from(&settings, text, name);
	host = host_with(&settings, RIG_MAILBOX);
	host->client->settings.read_mode = MMS_READ_TOKEN;
	host_meet(host);
	return host;
}

static void begin(struct request *request, struct host *host, const struct mms_token *tokens, unsigned count)
{
	char text[MMS_TOKEN_TEXT_MAX];

	request_begin(request, host);
	for (unsigned i = 0; i < count; i++) {
		struct mms_token copy = tokens[i];

		mms_token_set_add(mms_visit_came(mms_store_visit(request->store)),
				(struct mms_slice){ text, mms_token_encode(&copy, &unsigned_ones, text) }, &unsigned_ones);
	}
	assert_int_equal(request_read(request, ID), MMS_OK);
}

/* The token of a page that came with those and has only looked. */
static struct mms_token look(struct host *host, const struct mms_token *tokens, unsigned count)
{
	struct mms_token left;
	struct request request;

	begin(&request, host, tokens, count);
	assert_true(request_got(&request, "old"));
	assert_true(mms_visit_token(mms_store_visit(request.store), true, &left));
	request_end(&request);
	return left;
}

/* Page A is open, B has named it while a node was away, and C, which names B, has left A open: A still counts. */
static void a_token_that_is_named_itself_covers_nobody(void **state)
{
	struct mms_token tokens[3];
	struct host *hosts[3];
	struct request open, last;
	struct sample old;

	(void) state;
	rig_fresh();
	for (unsigned i = 0; i < 3; i++) {
		hosts[i] = host_at(i, i == 0 ? "web1" : i == 1 ? "web2" : "web3");
	}
	sample_aged(&old, ID, 180000, "old");
	for (unsigned node = 0; node < 3; node++) {
		node_put(node, ID, &old);
	}
	begin(&open, hosts[0], NULL, 0);
	mms_visit_announced(mms_store_visit(open.store), true);
	assert_true(mms_visit_token(mms_store_visit(open.store), false, &tokens[0]));
	assert_true(tokens[0].pending);
	host_open_breaker(hosts[1], 2, MMS_FAULT_HARD);
	tokens[1] = look(hosts[1], tokens, 1);
	tokens[2] = look(hosts[2], tokens, 2);
	assert_int_equal(request_write(&open, ID, "new"), MMS_OK); /* on its local node: mirrors are late */
	request_end(&open);
	mms_visit_answered(hosts[0]->client);
	assert_true(node_has(0, ID, "new", NULL));
	assert_false(node_has(2, ID, "new", NULL));
	begin(&last, hosts[2], tokens, 3);
	assert_true(request_got(&last, "new"));
	request_end(&last);
	for (unsigned i = 0; i < 3; i++) {
		host_free(hosts[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_that_is_named_itself_covers_nobody),
	};

	return rig_run(tests);
}
