/* What of a visitor's tokens must stay with him beside the one that he is given (read = session-token). No replicator runs. */
/* TEST LINK: mms_store */
#include "store.h"

#include "mms_visit.h"

#define ID "visitor"

static const struct mms_token_signer unsigned_ones = { NULL, NULL };

/* A host whose nodes all have an old record, and the token of a page that has looked at it. */
static struct host *fresh_host(struct mms_token *looked)
{
	struct request request;
	struct sample old;
	struct host *host;

	rig_fresh();
	host = host_new(3, "web1");
	host->client->settings.read_mode = MMS_READ_TOKEN;
	host_meet(host);
	sample_aged(&old, ID, 180000, "one");
	for (unsigned node = 0; node < 3; node++) {
		node_put(node, ID, &old);
	}
	request_begin(&request, host);
	assert_int_equal(request_read(&request, ID), MMS_OK);
	assert_true(mms_visit_token(mms_store_visit(request.store), true, looked));
	request_end(&request);
	return host;
}

/* A page of another host has begun so long ago; `number` tells several apart. */
static struct mms_token open_page(const struct mms_token *of, unsigned number, int64_t age_ms)
{
	struct mms_token token = *of;

	token.pending = true;
	token.digest_count = 0;
	token.reserved = (struct mms_version){ .hlc = stamp_ago(age_ms), .writer = 77, .sequence = 1 + number };
	return token;
}

/* Reads with these tokens, which cookies have as `cookies` says: how many must stay, and in *left what is told beside them. */
static unsigned stay_beside(struct host *host, const struct mms_token *tokens, unsigned count, const unsigned char *cookies,
		unsigned *replaced, struct mms_token *left)
{
	const struct mms_token *out[MMS_TOKEN_SLOTS];
	struct mms_token_set *set;
	char text[MMS_TOKEN_TEXT_MAX];
	struct request request;
	unsigned found;

	request_begin(&request, host);
	set = mms_visit_came(mms_store_visit(request.store));
	for (unsigned i = 0; i < count; i++) {
		struct mms_token copy = tokens[i];

		mms_token_set_add(set, (struct mms_slice){ text, mms_token_encode(&copy, &unsigned_ones, text) }, &unsigned_ones);
	}
	if (cookies != NULL) {
		memcpy(set->cookie, cookies, set->count);
	}
	assert_int_equal(request_read(&request, ID), MMS_OK);
	assert_true(mms_visit_token(mms_store_visit(request.store), false, left));
	found = mms_visit_beside(mms_store_visit(request.store), out, replaced);
	for (unsigned i = 0; i < found; i++) {
		assert_true(out[i]->pending);
	}
	request_end(&request);
	return found;
}

static void what_may_be_written_yet_stays_with_the_visitor(void **state)
{
	struct mms_token done;
	struct host *host = fresh_host(&done);
	struct mms_token pages[MMS_TOKEN_SLOTS + 1], left;
	unsigned char mine = (unsigned char)(1 + done.slot), other = (unsigned char)(1 + (done.slot + 1) % MMS_TOKEN_SLOTS);
	unsigned replaced;

	(void)state;
	assert_int_equal(stay_beside(host, &done, 1, NULL, &replaced, &left), 0);
	assert_false(left.uncertain);
	for (unsigned i = 0; i <= MMS_TOKEN_SLOTS; i++) {
		pages[i] = open_page(&done, i, 1000);
	}
	pages[1] = done;
	pages[2] = open_page(&done, 2, 61000);
	pages[3].session ^= 1;
	pages[4] = pages[0];
	assert_int_equal(stay_beside(host, pages, 5, NULL, &replaced, &left), 2); /* one of them of another session; that is covered */
	assert_int_equal(replaced, 2);
	assert_int_equal(left.digest_count, 3);
	/* Nothing is lost that has a cookie of its own, nor of a page of this host. */
	assert_int_equal(stay_beside(host, pages, 1, &mine, &replaced, &left), 1);
	assert_int_equal(replaced, 1);
	assert_int_equal(stay_beside(host, pages, 1, &other, &replaced, &left), 1);
	assert_int_equal(replaced, 0);
	pages[0].reserved.writer = left.reserved.writer;
	assert_int_equal(stay_beside(host, pages, 1, &mine, &replaced, &left), 1);
	assert_int_equal(replaced, 0);
	assert_int_equal(stay_beside(host, pages, 1, NULL, &replaced, &left), 1);
	assert_int_equal(replaced, 1);
	/* A read without some node covers it: the least is what it may have written. The next one may see that it has not. */
	host_open_breaker(host, 2, MMS_FAULT_HARD);
	assert_int_equal(stay_beside(host, pages, 1, NULL, &replaced, &left), 1);
	assert_int_equal(left.digest_count, 1);
	assert_int_equal(mms_version_compare(&left.read, &pages[0].reserved), 0);
	host_free(host);
}

static void one_token_stands_for_too_many_until_none_may_be_written(void **state)
{
	struct mms_token done;
	struct host *host = fresh_host(&done);
	struct mms_token pages[MMS_TOKEN_SLOTS + 1], one, left;
	unsigned char mine = (unsigned char)(1 + done.slot);
	unsigned replaced;

	(void)state;
	for (unsigned i = 0; i <= MMS_TOKEN_SLOTS; i++) {
		pages[i] = open_page(&done, i, 1000);
	}
	assert_int_equal(stay_beside(host, pages, MMS_TOKEN_SLOTS - 1, NULL, &replaced, &left), MMS_TOKEN_SLOTS - 1);
	assert_false(left.uncertain);
	for (unsigned count = MMS_TOKEN_SLOTS; count <= MMS_TOKEN_SLOTS + 1; count++) {
		assert_int_equal(stay_beside(host, pages, count, NULL, &replaced, &one), 0);
		assert_true(one.uncertain && one.pending);
	}
	/* It stays itself, on its own host, too, and nothing is pending beside it: else there were too many again. */
	assert_int_equal(stay_beside(host, &one, 1, &mine, &replaced, &left), 1);
	assert_int_equal(replaced, 1);
	assert_false(left.uncertain || left.pending);
	assert_int_equal(left.digest_count, 0);
	one.reserved.hlc = stamp_ago(61000);
	assert_int_equal(stay_beside(host, &one, 1, &mine, &replaced, &left), 0);
	assert_true(left.pending);
	assert_int_equal(left.digest_count, 1);
	/* What is beyond eight, and has nothing to write, is not missed. */
	pages[MMS_TOKEN_SLOTS] = done;
	for (unsigned i = 0; i < MMS_TOKEN_SLOTS; i++) {
		pages[i] = done;
	}
	assert_int_equal(stay_beside(host, pages, MMS_TOKEN_SLOTS + 1, NULL, &replaced, &left), 0);
	assert_false(left.uncertain);
	host_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_may_be_written_yet_stays_with_the_visitor),
		cmocka_unit_test(one_token_stands_for_too_many_until_none_may_be_written),
	};

	return rig_run(tests);
}
