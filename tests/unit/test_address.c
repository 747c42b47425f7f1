/* Addresses: literals at once, names from shared memory alone. */
#include "processes.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "mms_address.h"

static struct mms_node_config node_of(const char *text)
{
	struct mms_node_config nodes[MMS_NODES_MAX];
	uint32_t count = 0;
	struct mms_error error = { "" };

	assert_int_equal(mms_node_list_parse(mms_slice_of(text), nodes, &count, &error), MMS_OK);
	assert_int_equal(count, 1);
	return nodes[0];
}

static void an_ipv4_literal_is_an_address(void **state)
{
	const struct mms_node_config node = node_of("tcp://127.0.0.5:7001");
	struct sockaddr_storage address;
	struct sockaddr_in v4;
	socklen_t len = 0;

	(void) state;
	assert_true(mms_address_numeric(&node, &address, &len));
	assert_int_equal(len, sizeof(v4));
	memcpy(&v4, &address, sizeof(v4));
	assert_int_equal(v4.sin_family, AF_INET);
	assert_int_equal(ntohs(v4.sin_port), 7001);
	assert_int_equal(ntohl(v4.sin_addr.s_addr), INADDR_LOOPBACK + 4);
}

static void an_ipv6_literal_is_an_address(void **state)
{
	const struct mms_node_config node = node_of("tcp://[::1]:7002");
	struct sockaddr_storage address;
	struct sockaddr_in6 v6;
	socklen_t len = 0;

	(void) state;
	assert_true(mms_address_numeric(&node, &address, &len));
	assert_int_equal(len, sizeof(v6));
	memcpy(&v6, &address, sizeof(v6));
	assert_int_equal(v6.sin6_family, AF_INET6);
	assert_int_equal(ntohs(v6.sin6_port), 7002);
	assert_memory_equal(&v6.sin6_addr, &in6addr_loopback, sizeof(in6addr_loopback));
}

static void a_socket_path_is_an_address(void **state)
{
	const struct mms_node_config node = node_of("unix:///run/some/redis.sock");
	struct sockaddr_storage address;
	struct sockaddr_un local;
	socklen_t len = 0;

	(void) state;
	assert_true(mms_address_numeric(&node, &address, &len));
	assert_true(len <= sizeof(local));
	memcpy(&local, &address, sizeof(local));
	assert_int_equal(local.sun_family, AF_UNIX);
	assert_string_equal(local.sun_path, "/run/some/redis.sock");
	assert_int_equal(len, offsetof(struct sockaddr_un, sun_path) + strlen(local.sun_path) + 1);
}

static void a_path_that_is_empty_or_fills_its_field_is_none(void **state)
{
	struct mms_node_config node = node_of("unix:///run/redis.sock");
	struct sockaddr_storage address;
	socklen_t len = 0;

	(void) state;
	memset(node.path, 'x', sizeof(node.path));
	assert_false(mms_address_numeric(&node, &address, &len));
	node.path[sizeof(node.path) - 1] = '\0';
	assert_true(mms_address_numeric(&node, &address, &len));
	node.path[0] = '\0';
	assert_false(mms_address_numeric(&node, &address, &len));
}

static void a_name_is_known_only_once_it_was_published(void **state)
{
	const struct mms_node_config node = node_of("tcp://sessions.example:7003");
	struct mms_node_sh *shared = shared_pages(sizeof(*shared));
	struct sockaddr_in resolved = { .sin_family = AF_INET, .sin_port = htons(7003),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 8) };
	struct sockaddr_storage address;
	socklen_t len = 0;

	(void) state;
	assert_false(mms_address_numeric(&node, &address, &len));
	assert_false(mms_address_current(&node, shared, &address, &len));
	mms_shm_publish_address(shared, (struct sockaddr *) &resolved, sizeof(resolved));
	assert_true(mms_address_current(&node, shared, &address, &len));
	assert_int_equal(len, sizeof(resolved));
	assert_memory_equal(&address, &resolved, sizeof(resolved));
	mms_shm_publish_address(shared, NULL, 0);
	assert_false(mms_address_current(&node, shared, &address, &len));
	munmap(shared, sizeof(*shared));
}

static void a_literal_needs_nothing_published(void **state)
{
	const struct mms_node_config node = node_of("tcp://127.0.0.1:7004");
	struct mms_node_sh *shared = shared_pages(sizeof(*shared));
	struct sockaddr_storage address;
	socklen_t len = 0;

	(void) state;
	assert_true(mms_address_current(&node, shared, &address, &len));
	assert_int_equal(address.ss_family, AF_INET);
	munmap(shared, sizeof(*shared));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_ipv4_literal_is_an_address),
		cmocka_unit_test(an_ipv6_literal_is_an_address),
		cmocka_unit_test(a_socket_path_is_an_address),
		cmocka_unit_test(a_path_that_is_empty_or_fills_its_field_is_none),
		cmocka_unit_test(a_name_is_known_only_once_it_was_published),
		cmocka_unit_test(a_literal_needs_nothing_published),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
