/* What the log says about a node that is out of use: what is true for sessions now. */
#include "rig.h"

#include "mms_explain.h"

static struct host *host;

static void assert_consequence(unsigned node, const char *text)
{
	assert_string_equal(mms_explain_consequence(host->client, node), text);
	assert_in_range(strlen(text), 1, MMS_EXPLAIN_CONSEQUENCE_MAX);
}

static void it_is_told_who_serves_instead(void **state)
{
	(void) state;
	rig_fresh();
	host = host_new(3, "web1");
	assert_consequence(0, "by now it is used again");
	host_open_breaker(host, 0, MMS_FAULT_WRITE_ONLY);
	assert_consequence(0, "it is read, but takes no writes: they go to the other nodes until it does");
	host_open_breaker(host, 1, MMS_FAULT_HARD);
	assert_consequence(0, "it is read, but takes no writes: they go to the other nodes until it does");
	assert_consequence(1, "sessions are served by the other nodes until it is back");
	host_open_breaker(host, 2, MMS_FAULT_WRITE_ONLY);
	assert_consequence(2, "it is read, but takes no writes, nor does another node: writes fail until one does");
	assert_consequence(1, "sessions are served by the other nodes until it is back");
	host_open_breaker(host, 0, MMS_FAULT_HARD);
	host_open_breaker(host, 2, MMS_FAULT_HARD);
	assert_consequence(2, "no other node is left: sessions fail until one is back");
	host_free(host);
}

static void the_only_node_has_no_others(void **state)
{
	(void) state;
	rig_fresh();
	host = host_new(1, "web1");
	host_open_breaker(host, 0, MMS_FAULT_WRITE_ONLY);
	assert_consequence(0, "it is the only node: sessions are read, but writes fail until it takes them");
	host_open_breaker(host, 0, MMS_FAULT_HARD);
	assert_consequence(0, "it is the only node: sessions fail until it is back");
	host_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_told_who_serves_instead),
		cmocka_unit_test(the_only_node_has_no_others),
	};

	return rig_run(tests);
}
