/* With read = session-token, a page of the same session begins while a write of another is on its way: what it has read may be older,
 * and its token says so. No replicator runs. */
/* TEST WRAP: mms_visit_overlaps */
#include "store.h"

#include "mms_visit.h"

#define ID "visitor"

/* Begins when the write of somebody else has been acknowledged, just before that one looks. */
static struct mms_store *latecomer;

bool __real_mms_visit_overlaps(const struct mms_visit *visit);
bool __wrap_mms_visit_overlaps(const struct mms_visit *visit);

bool __wrap_mms_visit_overlaps(const struct mms_visit *visit)
{
	if (latecomer != NULL) {
		mms_visit_begin(mms_store_visit(latecomer), key_of(ID));
	}
	return __real_mms_visit_overlaps(visit);
}

static void meet(struct host *host, struct mms_client *client)
{
	client->settings.read_mode = host->client->settings.read_mode = MMS_READ_TOKEN;
	host_meet(host);
	latecomer = mms_store_new(client);
	assert_non_null(latecomer);
}

static void leave(struct host *host, struct mms_client *client)
{
	mms_store_free(latecomer);
	latecomer = NULL;
	mms_client_free(client);
	host_free(host);
}

static void begin(struct request *request, struct host *host)
{
	request_begin(request, host);
	assert_int_equal(request_read(request, ID), MMS_OK);
	mms_visit_announced(mms_store_visit(request->store), true);
}

/* A page of three nodes' host that another one is about to come beside. */
static struct mms_client *begin_page(struct host **host, struct request *request)
{
	struct mms_client *other;

	rig_fresh();
	*host = host_new(3, "web1");
	other = client_on((*host)->shm, &(*host)->settings);
	meet(*host, other);
	begin(request, *host);
	return other;
}

static void it_goes_to_all_nodes_after_all(void **state)
{
	struct mms_client *client;
	struct request request;
	struct host *host;

	(void)state;
	client = begin_page(&host, &request);
	assert_int_equal(request_write(&request, ID, "data"), MMS_OK);
	request_end(&request);
	for (unsigned node = 0; node < 3; node++) {
		assert_true(node_has(node, ID, "data", NULL));
	}
	assert_int_equal(host_metric(host, MMS_METRIC_token_wide_writes), 1);
	leave(host, client);
}

/* The first exchanges have used up the page's time: for these it waits no second time. */
static void it_takes_no_longer_than_a_write_may(void **state)
{
	struct mms_client *client;
	struct request request;
	struct host *host;
	int64_t began_us;

	(void)state;
	client = begin_page(&host, &request);
	host->client->settings.read_timeout_ms = 500;
	host->client->settings.budget_ms = 800;
	node_stop(0);
	node_stop(2);
	began_us = now_us();
	assert_int_equal(request_write(&request, ID, "data"), MMS_OK);
	assert_in_range(now_us() - began_us, 800000, 1500000);
	request_end(&request);
	assert_true(node_has(1, ID, "data", NULL));
	assert_int_equal(host_metric(host, MMS_METRIC_token_wide_writes), 1);
	leave(host, client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_goes_to_all_nodes_after_all),
		cmocka_unit_test(it_takes_no_longer_than_a_write_may),
	};

	return rig_run(tests);
}
