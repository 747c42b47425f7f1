/* Which nodes other hosts do not use, as their markers say. */
#include "greeted.h"

#include "mms_avoided.h"
#include "mms_marker.h"

static struct desk *desk_of(const char *host_id)
{
	struct desk *desk = desk_open(host_new(3, host_id));

	desk_greet_all(desk);
	return desk;
}

static bool is_avoided(const struct desk *desk, unsigned node)
{
	return atomic_load(&desk->host->cluster->nodes[node].avoided) != 0;
}

/* A mirror was acknowledged a moment ago. */
static void mirrored(struct desk *desk)
{
	atomic_fetch_add(&desk->host->cluster->nodes[1].acked_count, 1);
}

/* Sets or deletes the markers of a desk's host. */
static void mark(struct desk *desk)
{
	desk_await(desk, (mms_marker_run(&desk->office), true));
	desk_quiet(desk);
	mms_marker_run(&desk->office);
	desk_quiet(desk);
}

static void look(struct desk *desk, struct mms_avoided *avoided, unsigned node, bool expected)
{
	desk_await(desk, (mirrored(desk), mms_avoided_run(avoided), is_avoided(desk, node) == expected));
	desk_quiet(desk);
}

static void leave(struct desk *desk)
{
	for (unsigned node = 0; node < RIG_NODES; node++) {
		mms_link_drop(desk_link(desk, node));
	}
}

static void a_node_is_avoided_while_another_host_says_so(void **state)
{
	struct desk *ours, *theirs;
	struct mms_hosts *hosts;
	struct mms_avoided *avoided;

	(void) state;
	rig_fresh();
	ours = desk_of("web1");
	theirs = desk_of("web2");
	hosts = mms_hosts_new(&ours->office);
	avoided = mms_avoided_new(&ours->office, hosts);
	look(ours, avoided, 0, false);
	host_open_breaker(theirs->host, 0, MMS_FAULT_HARD);
	mark(theirs);
	look(ours, avoided, 0, true);
	assert_false(is_avoided(ours, 1));
	assert_false(is_avoided(ours, 2));
	memset(desk_breaker(theirs, 0), 0, sizeof(*desk_breaker(theirs, 0)));
	mark(theirs);
	look(ours, avoided, 0, false);
	leave(ours);
	leave(theirs);
	mms_avoided_free(avoided);
	mms_hosts_free(hosts);
	desk_close(ours);
	desk_close(theirs);
}

static void ones_own_marker_and_that_of_a_dead_host_count_for_nothing(void **state)
{
	struct desk *ours, *theirs;
	struct mms_hosts *hosts;
	struct mms_avoided *avoided;

	(void) state;
	rig_fresh();
	ours = desk_of("web1");
	theirs = desk_of("web2");
	hosts = mms_hosts_new(&ours->office);
	avoided = mms_avoided_new(&ours->office, hosts);
	host_open_breaker(ours->host, 2, MMS_FAULT_HARD);
	mark(ours);
	host_open_breaker(theirs->host, 0, MMS_FAULT_HARD);
	mark(theirs);
	look(ours, avoided, 0, true);
	assert_false(is_avoided(ours, 2));
	/* One that has looked for long and never saw that life's beat. */
	mms_avoided_free(avoided);
	mms_hosts_free(hosts);
	ours->office.now.us -= 2 * MMS_HOSTS_DEAD_US;
	hosts = mms_hosts_new(&ours->office);
	avoided = mms_avoided_new(&ours->office, hosts);
	look(ours, avoided, 0, true); /* it may be anywhere that has not been read yet */
	desk_await(ours, (mms_hosts_run(hosts), mms_hosts_read_since(hosts, (struct mms_mono){ 0 })));
	look(ours, avoided, 0, false);
	leave(ours);
	leave(theirs);
	mms_avoided_free(avoided);
	mms_hosts_free(hosts);
	desk_close(ours);
	desk_close(theirs);
}

static void an_address_that_is_none_of_ours_may_be_the_local_nodes(void **state)
{
	struct desk *desk;
	struct mms_hosts *hosts;
	struct mms_avoided *avoided;
	char life[64];

	(void) state;
	rig_fresh();
	desk = desk_of("web1");
	hosts = mms_hosts_new(&desk->office);
	avoided = mms_avoided_new(&desk->office, hosts);
	for (unsigned node = 0; node < RIG_NODES; node++) {
		node_do(node, "HSET", RIG_PREFIX ":behind", "0123456789abcdef web2 00112233445566aa", "token"); /* a node of others */
		node_do(node, "HSET", RIG_PREFIX ":behind", "nonsense", "token");
		node_do(node, "HSET", RIG_PREFIX ":behind", "", "token");
	}
	for (unsigned round = 0; round < 3; round++) {
		mirrored(desk);
		desk_await(desk, (mms_avoided_run(avoided), node_calls(0, "hgetall") > round));
		desk_quiet(desk);
		assert_false(is_avoided(desk, 0) || is_avoided(desk, 1) || is_avoided(desk, 2));
	}
	node_do(1, "HSET", RIG_PREFIX ":behind", "tcp://10.0.0.1:6379 web2 00112233445566aa", "token");
	look(desk, avoided, 0, true);
	assert_false(is_avoided(desk, 1) || is_avoided(desk, 2));
	/* That host has met our local node: it means another one. */
	snprintf(life, sizeof(life), "1 0 %016llx:0011223344556677:sc",
			(unsigned long long) atomic_load(&desk->host->cluster->nodes[0].node_id));
	for (unsigned node = 0; node < RIG_NODES; node++) {
		node_do(node, "HSET", RIG_PREFIX ":lives", "web2 00112233445566aa", life);
	}
	desk_await(desk, (mms_hosts_run(hosts), mms_hosts_has_met(hosts, slice("web2 00112233445566aa"),
			atomic_load(&desk->host->cluster->nodes[0].node_id))));
	desk_quiet(desk);
	look(desk, avoided, 0, false);
	leave(desk);
	mms_avoided_free(avoided);
	mms_hosts_free(hosts);
	desk_close(desk);
}

static void nobody_is_asked_without_mirrors_before_its_time(void **state)
{
	struct desk *desk;
	struct mms_hosts *hosts;
	struct mms_avoided *avoided;

	(void) state;
	rig_fresh();
	desk = desk_of("web1");
	hosts = mms_hosts_new(&desk->office);
	avoided = mms_avoided_new(&desk->office, hosts);
	mms_avoided_run(avoided);
	desk_quiet(desk);
	for (unsigned round = 0; round < 100; round++) {
		mms_avoided_run(avoided);
		assert_int_equal(desk_link(desk, 0)->request_count + desk_link(desk, 1)->request_count
				+ desk_link(desk, 2)->request_count, 0);
	}
	desk->office.now.us += MMS_AVOIDED_REST_US;
	mms_avoided_run(avoided);
	assert_int_equal(desk_link(desk, 0)->request_count + desk_link(desk, 1)->request_count
			+ desk_link(desk, 2)->request_count, 2);
	mms_avoided_run(NULL);
	desk_quiet(desk);
	leave(desk);
	mms_avoided_free(avoided);
	mms_avoided_free(NULL);
	mms_hosts_free(hosts);
	desk_close(desk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_node_is_avoided_while_another_host_says_so),
		cmocka_unit_test(ones_own_marker_and_that_of_a_dead_host_count_for_nothing),
		cmocka_unit_test(an_address_that_is_none_of_ours_may_be_the_local_nodes),
		cmocka_unit_test(nobody_is_asked_without_mirrors_before_its_time),
	};

	return rig_run(tests);
}
