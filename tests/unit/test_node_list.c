/* The node list: what is taken, and the message for everything that is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mms_node_list.h"

#define LIST "unix:///run/redis.sock, tcp://10.0.0.2:6379"
#define QUERY "tcp://10.0.0.2:6379?name=web2&db=3"

static struct mms_node_config nodes[MMS_NODES_MAX];
static uint32_t count;

/* On the heap without a NUL: a read beyond the end is seen. */
static enum mms_status parse(const char *list, size_t len, struct mms_error *error)
{
	char *copy = malloc(len == 0 ? 1 : len);
	enum mms_status status;

	assert_non_null(copy);
	memcpy(copy, list, len);
	memset(nodes, 0x5a, sizeof(nodes));
	count = 77;
	status = mms_node_list_parse((struct mms_slice) {copy, len}, nodes, &count, error);
	free(copy);
	return status;
}

static void take(const char *list)
{
	struct mms_error error = {""};

	if (parse(list, strlen(list), &error) != MMS_OK) {
		fail_msg("%s: %s", list, error.text);
	}
	assert_string_equal(error.text, "");
}

static void refuse_len(const char *list, size_t len, const char *message)
{
	struct mms_error error = {""};

	assert_int_equal(parse(list, len, &error), MMS_ERR_CONFIG);
	assert_string_equal(error.text, message);
	assert_int_equal(count, 0);
	/* nothing was cut off */
	assert_true(strlen(error.text) < sizeof(error.text) - 1);
}

static void refuse(const char *list, const char *message)
{
	refuse_len(list, strlen(list), message);
}

static void an_empty_list_is_the_node_on_this_host(void **state)
{
	static const char *const lists[] = {"", " ", "\t\r\n", ",", " , ,, "};

	(void) state;
	for (size_t index = 0; index < sizeof(lists) / sizeof(lists[0]); index++) {
		take(lists[index]);
		assert_int_equal(count, 1);
		assert_string_equal(nodes[0].address, "tcp://127.0.0.1:6379");
		assert_string_equal(nodes[0].host, "127.0.0.1");
		assert_int_equal(nodes[0].port, 6379);
		assert_int_equal(nodes[0].numeric, 1);
	}
	assert_int_equal(mms_node_list_parse(mms_slice_of(NULL), nodes, &count, NULL), MMS_OK);
	assert_int_equal(count, 1);
}

static void every_field_is_filled_in(void **state)
{
	(void) state;
	take("unix:///run/redis.sock, tcp://10.0.0.2:6380?name=web2&db=3");
	assert_int_equal(count, 2);
	assert_int_equal(nodes[0].scheme, MMS_SCHEME_UNIX);
	assert_int_equal(nodes[0].port, 0);
	assert_int_equal(nodes[0].db, 0);
	assert_int_equal(nodes[0].numeric, 1);
	assert_string_equal(nodes[0].host, "");
	assert_string_equal(nodes[0].path, "/run/redis.sock");
	assert_string_equal(nodes[0].name, "unix:///run/redis.sock");
	assert_string_equal(nodes[0].address, "unix:///run/redis.sock");
	assert_int_equal(nodes[1].scheme, MMS_SCHEME_TCP);
	assert_int_equal(nodes[1].port, 6380);
	assert_int_equal(nodes[1].db, 3);
	assert_int_equal(nodes[1].numeric, 1);
	assert_string_equal(nodes[1].host, "10.0.0.2");
	assert_string_equal(nodes[1].path, "");
	assert_string_equal(nodes[1].name, "web2");
	assert_string_equal(nodes[1].address, "tcp://10.0.0.2:6380");
}

static void equal_lists_give_equal_bytes(void **state)
{
	static struct mms_node_config first[2];

	(void) state;
	take("unix:///run/redis.sock?name=a, tcp://10.0.0.2?name=b");
	memcpy(first, nodes, sizeof(first));
	take("  tcp://10.0.0.2?name=b,unix:///run/redis.sock?name=a\n");
	assert_memory_equal(&first[0], &nodes[1], sizeof(first[0]));
	assert_memory_equal(&first[1], &nodes[0], sizeof(first[0]));
}

static void blanks_and_commas_separate(void **state)
{
	static const char *const lists[] = {
		"tcp://a tcp://b tcp://c", "tcp://a,tcp://b,tcp://c", "tcp://a, tcp://b ,tcp://c", ",tcp://a,,tcp://b,\ttcp://c, ",
		"\n\ttcp://a\n\ttcp://b\r\n\ttcp://c\n"};

	(void) state;
	for (size_t index = 0; index < sizeof(lists) / sizeof(lists[0]); index++) {
		take(lists[index]);
		assert_int_equal(count, 3);
		assert_string_equal(nodes[0].host, "a");
		assert_string_equal(nodes[1].host, "b");
		assert_string_equal(nodes[2].host, "c");
		assert_int_equal(nodes[2].port, 6379);
	}
}

static void addresses_have_one_form(void **state)
{
	static const struct { const char *uri, *address, *host; unsigned port, numeric; } cases[] = {
		{"tcp://10.0.0.2", "tcp://10.0.0.2:6379", "10.0.0.2", 6379, 1},
		{"TCP://Web2.Example.COM:1", "tcp://web2.example.com:1", "web2.example.com", 1, 0},
		{"tcp://web2:65535/", "tcp://web2:65535", "web2", 65535, 0},
		{"tcp://redis_1", "tcp://redis_1:6379", "redis_1", 6379, 0},
		{"tcp://web2.example.com.", "tcp://web2.example.com.:6379", "web2.example.com.", 6379, 0},
		{"tcp://10.0.0.2:06379", "tcp://10.0.0.2:6379", "10.0.0.2", 6379, 1},
		{"tcp://1a", "tcp://1a:6379", "1a", 6379, 0},
		{"tcp://[::1]", "tcp://[::1]:6379", "::1", 6379, 1},
		{"tcp://[::1]:7000", "tcp://[::1]:7000", "::1", 7000, 1},
		{"tcp://[FD00:0:0::2]:7000/", "tcp://[fd00::2]:7000", "fd00::2", 7000, 1},
		{"tcp://[0:0:0:0:0:0:0:1]", "tcp://[::1]:6379", "::1", 6379, 1},
		{"tcp://[::ffff:10.0.0.2]:7000?db=1", "tcp://[::ffff:10.0.0.2]:7000", "::ffff:10.0.0.2", 7000, 1}};

	(void) state;
	for (size_t index = 0; index < sizeof(cases) / sizeof(cases[0]); index++) {
		take(cases[index].uri);
		assert_int_equal(count, 1);
		assert_string_equal(nodes[0].address, cases[index].address);
		assert_string_equal(nodes[0].name, cases[index].address);
		assert_string_equal(nodes[0].host, cases[index].host);
		assert_int_equal(nodes[0].port, cases[index].port);
		assert_int_equal(nodes[0].numeric, cases[index].numeric);
	}
}

static void percent_codes_stand_for_bytes(void **state)
{
	(void) state;
	take("UNIX:///run/a%20b%2Cc%3fd%25%c3%a9.sock?name=web%202%2c(main)");
	assert_string_equal(nodes[0].path, "/run/a b,c?d%\xc3\xa9.sock");
	assert_string_equal(nodes[0].name, "web 2,(main)");
	assert_string_equal(nodes[0].address, "unix:///run/a b,c?d%\xc3\xa9.sock");
	take("unix:///run/redis@web2.sock?db=65535");
	assert_string_equal(nodes[0].path, "/run/redis@web2.sock");
	assert_int_equal(nodes[0].db, 65535);
}

static void texts_may_be_as_long_as_their_fields(void **state)
{
	char list[600];
	char label[64];

	(void) state;
	snprintf(list, sizeof(list), "unix:///%0106d", 7);
	take(list);
	assert_int_equal(strlen(nodes[0].path), 107);
	assert_int_equal(strlen(nodes[0].name), 63);
	assert_string_equal(nodes[0].name + 61, "07");
	assert_memory_equal(nodes[0].name, "..", 2);
	assert_string_equal(nodes[0].address + 7, nodes[0].path);
	snprintf(list, sizeof(list), "tcp://h?name=%063d", 7);
	take(list);
	assert_int_equal(strlen(nodes[0].name), 63);
	memset(label, 'x', 63);
	label[63] = '\0';
	snprintf(list, sizeof(list), "tcp://%s.%s.%s.%s:65535", label, label, label, label);
	take(list);
	assert_int_equal(strlen(nodes[0].host), 255);
	assert_string_equal(nodes[0].address, list);
}

static void sixty_four_nodes_are_the_most(void **state)
{
	char list[2000] = "";

	(void) state;
	for (int index = 0; index < 64; index++) {
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "tcp://10.0.0.%d, ", index);
	}
	take(list);
	assert_int_equal(count, 64);
	assert_string_equal(nodes[63].host, "10.0.0.63");
	strcat(list, "tcp://10.0.0.64");
	refuse(list, "node list, offset 1078, \"tcp://10.0.0.64\": more than 64 nodes; example: " LIST);
}

static void a_path_is_told_how_a_list_looks(void **state)
{
	static const char *const paths[] = {
		"/var/lib/php/sessions", "/", "5;/var/lib/php/sessions", "2;0600;/var/lib/php/sessions", "./sessions", "../x", "~/x",
		"/run/redis.sock"};

	(void) state;
	for (size_t index = 0; index < sizeof(paths) / sizeof(paths[0]); index++) {
		char message[400];

		snprintf(message, sizeof(message), "node list, offset 0, \"%s\": this is a path (a directory, as PHP's files handler "
				"wants it?), but mmsession wants a list of nodes; example: " LIST, paths[index]);
		refuse(paths[index], message);
	}
}

static void what_is_no_uri_is_told_how_one_starts(void **state)
{
	(void) state;
	refuse("10.0.0.2:6379", "node list, offset 0, \"10.0.0.2:6379\": a node starts with tcp://, tls:// or unix:///; example: " LIST);
	refuse("tcp://a, localhost",
			"node list, offset 9, \"localhost\": a node starts with tcp://, tls:// or unix:///; example: " LIST);
	refuse("tcp:10.0.0.2", "node list, offset 0, \"tcp:10.0.0.2\": a node starts with tcp://, tls:// or unix:///; example: " LIST);
	refuse("unix:/run/redis.sock",
			"node list, offset 0, \"unix:/run/redis.sock\": a node starts with tcp://, tls:// or unix:///; example: " LIST);
	refuse("http://10.0.0.2", "node list, offset 0, \"http://10.0.0.2\": this scheme is unknown: a node starts with tcp://, "
			"tls:// or unix:///; example: " LIST);
	refuse("://x", "node list, offset 0, \"://x\": this scheme is unknown: a node starts with tcp://, tls:// or unix:///; example: "
			LIST);
}

static void tls_is_told_by_its_scheme_and_may_have_a_name_of_its_own(void **state)
{
	(void) state;
	assert_int_equal(mms_node_list_parse(mms_slice_of("tls://10.0.0.2:6380?tls_name=web2.lan&name=b REDISS://Web3.lan, tls://[fd00::0:2] "
			"tls://10.0.0.4?tls_name=fd00::2, tcp://10.0.0.2:6380"), nodes, &count, NULL), MMS_OK);
	assert_int_equal(count, 5);
	for (uint32_t index = 0; index < 4; index++) {
		assert_int_equal(nodes[index].scheme, MMS_SCHEME_TLS);
	}
	assert_string_equal(nodes[0].address, "tls://10.0.0.2:6380");
	assert_string_equal(nodes[0].name, "b");
	assert_string_equal(mms_node_list_tls_name(&nodes[0]), "web2.lan");
	assert_string_equal(nodes[1].address, "tls://web3.lan:6379");
	assert_string_equal(mms_node_list_tls_name(&nodes[1]), "web3.lan");
	assert_string_equal(nodes[2].address, "tls://[fd00::2]:6379");
	assert_string_equal(mms_node_list_tls_name(&nodes[2]), "fd00::2");
	assert_int_equal(nodes[2].numeric, 1);
	assert_string_equal(mms_node_list_tls_name(&nodes[3]), "fd00::2");
	assert_int_equal(nodes[4].scheme, MMS_SCHEME_TCP);
	assert_null(mms_node_list_tls_name(&nodes[4]));
	refuse("tcp://10.0.0.2?tls_name=web2", "node list, offset 24, \"web2\": tls_name belongs to a node that starts with tls://; "
			"example: tls://10.0.0.2:6380?tls_name=web2.example.com");
	refuse("tls://10.0.0.2?tls_name=", "node list, offset 24, \"\": tls_name is a host name or address, as the node's certificate "
			"has it; example: tls://10.0.0.2:6380?tls_name=web2.example.com");
	refuse("tls://10.0.0.2?tls_name=a/b", "node list, offset 24, \"a/b\": tls_name is a host name or address, as the node's "
			"certificate has it; example: tls://10.0.0.2:6380?tls_name=web2.example.com");
	refuse("ssl://10.0.0.2", "node list, offset 0, \"ssl://10.0.0.2\": this scheme is unknown: a node starts with tcp://, tls:// "
			"or unix:///; example: " LIST);
}

static void wrong_hosts_are_shown(void **state)
{
	static const struct { const char *list, *where, *reason; } cases[] = {
		{"tcp://", "offset 6, \"\"", "the host is missing"},
		{"tcp://:6379", "offset 6, \"\"", "the host is missing"},
		{"tcp:///run/redis.sock", "offset 6, \"/run/redis.sock\"", "a TCP node has no path; its database is written ?db=3"},
		{"tcp://a/3", "offset 7, \"/3\"", "a TCP node has no path; its database is written ?db=3"},
		{"tcp://we!b", "offset 6, \"we!b\"", "this is no host name or address"},
		{"tcp://a..b", "offset 6, \"a..b\"", "this is no host name or address"},
		{"tcp://.a", "offset 6, \".a\"", "this is no host name or address"},
		{"tcp://b\xc3\xbc", "offset 6, \"b??\"", "this is no host name or address"},
		{"tcp://a%41", "offset 6, \"a%41\"", "this is no host name or address"},
		{"tcp://a#1", "offset 6, \"a#1\"", "this is no host name or address"},
		{"tcp://10.0.0.256", "offset 6, \"10.0.0.256\"", "this is no IPv4 address (four numbers up to 255)"},
		{"tcp://10.1", "offset 6, \"10.1\"", "this is no IPv4 address (four numbers up to 255)"},
		{"tcp://2130706433", "offset 6, \"2130706433\"", "this is no IPv4 address (four numbers up to 255)"},
		{"tcp://010.0.0.1", "offset 6, \"010.0.0.1\"", "this is no IPv4 address (four numbers up to 255)"},
	};

	(void) state;
	for (size_t index = 0; index < sizeof(cases) / sizeof(cases[0]); index++) {
		char message[400];

		snprintf(message, sizeof(message), "node list, %s: %s; example: %s", cases[index].where, cases[index].reason,
				strstr(cases[index].reason, "path") != NULL ? QUERY : "tcp://10.0.0.2:6379");
		refuse(cases[index].list, message);
	}
}

static void wrong_ipv6_addresses_are_shown_in_brackets(void **state)
{
	static const struct { const char *list, *where, *reason; } cases[] = {
		{"tcp://fd00::2", "offset 6, \"fd00::2\"", "an IPv6 address is written in brackets"},
		{"tcp://::1", "offset 6, \"::1\"", "an IPv6 address is written in brackets"},
		{"tcp://fd00::2:6379?db=1", "offset 6, \"fd00::2:6379\"", "an IPv6 address is written in brackets"},
		{"tcp://[fd00::2", "offset 6, \"[fd00::2\"", "the closing ] is missing"},
		{"tcp://[", "offset 6, \"[\"", "the closing ] is missing"},
		{"tcp://[]", "offset 7, \"\"", "this is no IPv6 address"},
		{"tcp://[10.0.0.2]:1", "offset 7, \"10.0.0.2\"", "this is no IPv6 address"},
		{"tcp://[fd00::2::3]", "offset 7, \"fd00::2::3\"", "this is no IPv6 address"},
		{"tcp://[fe80::1%25eth0]", "offset 7, \"fe80::1%25eth0\"", "this is no IPv6 address"},
		{"tcp://[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001]:7",
			"offset 7, \"0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:000\"", "this is no IPv6 address"}};

	(void) state;
	for (size_t index = 0; index < sizeof(cases) / sizeof(cases[0]); index++) {
		char message[400];

		snprintf(message, sizeof(message), "node list, %s: %s; example: tcp://[fd00::2]:6379", cases[index].where,
				cases[index].reason);
		refuse(cases[index].list, message);
	}
}

static void host_names_that_are_too_long_are_refused(void **state)
{
	char list[400];
	struct mms_error error;

	(void) state;
	snprintf(list, sizeof(list), "tcp://a%0255d", 1);
	assert_int_equal(parse(list, strlen(list), &error), MMS_ERR_CONFIG);
	assert_non_null(strstr(error.text, ": a host name has at most 255 bytes; example: tcp://10.0.0.2:6379"));
	/* a label over 63 */
	snprintf(list, sizeof(list), "tcp://a%063d", 1);
	assert_int_equal(parse(list, strlen(list), &error), MMS_ERR_CONFIG);
	assert_non_null(strstr(error.text, ": this is no host name or address; "));
}

static void wrong_ports_are_shown(void **state)
{
	static const struct { const char *list, *where; } cases[] = {
		{"tcp://a:", "offset 7, \":\""}, {"tcp://a:0", "offset 7, \":0\""}, {"tcp://a:65536", "offset 7, \":65536\""},
		{"tcp://a:x", "offset 7, \":x\""}, {"tcp://a:-1", "offset 7, \":-1\""}, {"tcp://a:+1", "offset 7, \":+1\""},
		{"tcp://b tcp://10.0.0.2:6379x", "offset 22, \":6379x\""}, {"tcp://[::1]6379", "offset 11, \"6379\""},
		{"tcp://[::1]:6379:1", "offset 11, \":6379:1\""}, {"tcp://a:99999999999999999999", "offset 7, \":99999999999999999999\""}};

	(void) state;
	for (size_t index = 0; index < sizeof(cases) / sizeof(cases[0]); index++) {
		char message[400];

		snprintf(message, sizeof(message), "node list, %s: here a port from 1 to 65535 is expected; example: "
				"tcp://10.0.0.2:6379", cases[index].where);
		refuse(cases[index].list, message);
	}
}

static void wrong_socket_paths_are_shown(void **state)
{
	char list[300];
	char message[400];

	(void) state;
	refuse("unix://run/redis.sock", "node list, offset 7, \"run/redis.sock\": a socket has an absolute path: three slashes "
			"after unix:; example: unix:///run/redis.sock");
	refuse("unix://", "node list, offset 7, \"\": a socket has an absolute path: three slashes after unix:; example: "
			"unix:///run/redis.sock");
	refuse("unix:///", "node list, offset 7, \"/\": this is a directory; the socket's name is missing; example: "
			"unix:///run/redis.sock");
	refuse("unix:///run/", "node list, offset 7, \"/run/\": this is a directory; the socket's name is missing; example: "
			"unix:///run/redis.sock");
	snprintf(list, sizeof(list), "unix:///%0107d", 7);
	snprintf(message, sizeof(message), "node list, offset 7, \"/%062d\": this is too long: at most 107 bytes; example: " LIST, 0);
	refuse(list, message);
}

static void wrong_percent_codes_are_shown(void **state)
{
	static const char *const endings[] = {"%", "%2", "%zz", "%2g", "%%20", "% 20"};

	(void) state;
	for (size_t index = 0; index < sizeof(endings) / sizeof(endings[0]); index++) {
		char list[100];
		char message[300];

		snprintf(list, sizeof(list), "unix:///run/x%s", endings[index]);
		/* a blank ends the item */
		snprintf(message, sizeof(message), "node list, offset 13, \"%.*s\": two hexadecimal digits follow a %%; example: %%2C "
				"for a comma", (int) strcspn(endings[index], " "), endings[index]);
		refuse(list, message);
	}
	refuse("unix:///run/x%00y", "node list, offset 13, \"%00y\": a control character can't stand here; example: " LIST);
	refuse("unix:///run/x%0ay", "node list, offset 13, \"%0ay\": a control character can't stand here; example: " LIST);
	refuse("unix:///run/x\x01y", "node list, offset 13, \"?y\": a control character can't stand here; example: " LIST);
	refuse_len("unix:///run/x\0y", 15, "node list, offset 13, \"?y\": a control character can't stand here; example: " LIST);
	refuse("tcp://a?name=x%1f", "node list, offset 14, \"%1f\": a control character can't stand here; example: " LIST);
}

static void wrong_parameters_are_shown(void **state)
{
	static const char only[] = "a node takes name= and db= (and tls_name= with tls://), each once, and nothing else";
	static const struct { const char *list, *where, *reason; } cases[] = {
		{"tcp://a?", "offset 8, \"\"", only},
		{"tcp://a?db=1&", "offset 13, \"\"", only},
		{"tcp://a?weight=2", "offset 8, \"weight\"", only},
		{"tcp://a?db=1&timeout=secret", "offset 13, \"timeout\"", only},
		{"tcp://a?db=1&db=1", "offset 13, \"db\"", only},
		{"tcp://a?db=0&db=1", "offset 13, \"db\"", only},
		{"tcp://a?name=a&name=b", "offset 15, \"name\"", only},
		{"tcp://a?db", "offset 10, \"\"", "db is a number from 0 to 65535"},
		{"tcp://a?db=", "offset 11, \"\"", "db is a number from 0 to 65535"},
		{"tcp://a?db=x", "offset 11, \"x\"", "db is a number from 0 to 65535"},
		{"unix:///s?db=65536", "offset 13, \"65536\"", "db is a number from 0 to 65535"},
		{"tcp://a?db=-1", "offset 11, \"-1\"", "db is a number from 0 to 65535"},
		{"tcp://a?db=1?name=x", "offset 11, \"1?name=x\"", "db is a number from 0 to 65535"},
		{"tcp://a?name=", "offset 13, \"\"", "the name is empty"},
		{"tcp://a?name", "offset 12, \"\"", "the name is empty"},
		{"tcp://a?name=%3Cb%3E", "offset 13, \"%3Cb%3E\"", "a name is ASCII text without quotes, < > & and \\"},
		{"tcp://a?name=a%26b", "offset 13, \"a%26b\"", "a name is ASCII text without quotes, < > & and \\"},
		{"tcp://a?name=%22", "offset 13, \"%22\"", "a name is ASCII text without quotes, < > & and \\"},
		{"tcp://a?name=\xc3\xa9", "offset 13, \"??\"", "a name is ASCII text without quotes, < > & and \\"}};

	(void) state;
	for (size_t index = 0; index < sizeof(cases) / sizeof(cases[0]); index++) {
		char message[400];

		snprintf(message, sizeof(message), "node list, %s: %s; example: " QUERY, cases[index].where, cases[index].reason);
		refuse(cases[index].list, message);
	}
	refuse("tcp://a?name=0123456789012345678901234567890123456789012345678901234567890123", "node list, offset 13, "
			"\"012345678901234567890123456789012345678901234567890123456789012\": this is too long: at most 63 bytes; "
			"example: " LIST);
}

static void one_server_is_one_node(void **state)
{
	static const char *const lists[] = {
		"tcp://10.0.0.2 tcp://10.0.0.2:6379", "tcp://10.0.0.2?db=1&name=a tcp://10.0.0.2?db=2&name=b",
		"tcp://Web2 tcp://wEB2", "tcp://[::1] tcp://[0:0::1]:6379", "unix:///run/%61 unix:///run/a",
		"tcp://a tcp://b tcp://c tcp://b/"};
	struct mms_error error;

	(void) state;
	for (size_t index = 0; index < sizeof(lists) / sizeof(lists[0]); index++) {
		assert_int_equal(parse(lists[index], strlen(lists[index]), &error), MMS_ERR_CONFIG);
		assert_non_null(strstr(error.text, index == 5 ? ": this node is in the list already, as number 2; example: " LIST
				: ": this node is in the list already, as number 1; example: " LIST));
	}
	take("tcp://10.0.0.2:6379 tcp://10.0.0.2:6380");
	assert_int_equal(count, 2);
	refuse("tcp://a?name=x tcp://b?name=x", "node list, offset 15, \"tcp://b?name=x\": node number 1 has the same name; "
			"example: " QUERY);
}

static void credentials_are_refused_and_never_repeated(void **state)
{
	static const char *const lists[] = {
		"tcp://user:hunter2@10.0.0.2:6379", "tcp://:hunter2@10.0.0.2", "tcp://hunter2@10.0.0.2", "tcp://10.0.0.2?auth=hunter2",
		"tcp://10.0.0.2?password=hunter2", "tcp://10.0.0.2?db=1&PASS=hunter2", "unix:///run/redis.sock?user=hunter2",
		"tcp://10.0.0.2?auth[]=hunter2", "tcp://10.0.0.2?auth[user]=x&auth[pass]=hunter2"};
	/* refused for another reason first, but as silent */
	static const char *const pieces[] = {
		"redis://:hunter2@10.0.0.2", "rediss://u:hunter2@10.0.0.2", "user:hunter2@10.0.0.2", "tcp://:hunter2,x@10.0.0.2",
		"tcp://:x hunter2@10.0.0.2", "tcp://a, hunter2@b", "tcp://:x?hunter2@10.0.0.2", "tcp://:hunter2/x@10.0.0.2",
		"tcp://10.0.0.2:hunter2?auth=1", "tcp://hunter2:hunter2?x=@", "/hunter2@x", "tcp://a?db=hunter2 tcp://u:p@b"};
	struct mms_error error;

	(void) state;
	for (size_t index = 0; index < sizeof(lists) / sizeof(lists[0]); index++) {
		assert_int_equal(parse(lists[index], strlen(lists[index]), &error), MMS_ERR_CONFIG);
		assert_non_null(strstr(error.text, " (text not repeated): credentials don't belong here (PHP prints this setting): use "
				"mmsession.user and mmsession.password_file; example: tcp://10.0.0.2:6379"));
		assert_null(strstr(error.text, "hunter2"));
	}
	for (size_t index = 0; index < sizeof(pieces) / sizeof(pieces[0]); index++) {
		assert_int_equal(parse(pieces[index], strlen(pieces[index]), &error), MMS_ERR_CONFIG);
		assert_non_null(strstr(error.text, " (text not repeated): "));
		assert_null(strstr(error.text, "hunter2"));
	}
	refuse("tcp://a, tcp://u:p@b", "node list, offset 15 (text not repeated): credentials don't belong here (PHP prints this "
			"setting): use mmsession.user and mmsession.password_file; example: tcp://10.0.0.2:6379");
}

static void messages_stay_whole_and_printable_with_any_bytes(void **state)
{
	uint64_t seed = 31;

	(void) state;
	for (int round = 0; round < 20000; round++) {
		char list[120] = "tcp://10.0.0.2:6379?name=web2&db=3, unix:///run/redis.sock tcp://[fd00::2]:7000,tcp://web3/";
		struct mms_error error = {""};
		const size_t len = strlen(list);

		for (int change = 0; change < 3; change++) {
			seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			list[(seed >> 33) % len] = (char) (seed >> 56);
		}
		if (parse(list, len, &error) == MMS_OK) {
			assert_string_equal(error.text, "");
			continue;
		}
		assert_int_equal(strncmp(error.text, "node list, offset ", 18), 0);
		assert_non_null(strstr(error.text, "; example: "));
		for (const char *next = error.text; *next != '\0'; next++) {
			assert_in_range(*next, ' ', '~');
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_list_is_the_node_on_this_host),
		cmocka_unit_test(every_field_is_filled_in),
		cmocka_unit_test(equal_lists_give_equal_bytes),
		cmocka_unit_test(blanks_and_commas_separate),
		cmocka_unit_test(addresses_have_one_form),
		cmocka_unit_test(percent_codes_stand_for_bytes),
		cmocka_unit_test(texts_may_be_as_long_as_their_fields),
		cmocka_unit_test(sixty_four_nodes_are_the_most),
		cmocka_unit_test(a_path_is_told_how_a_list_looks),
		cmocka_unit_test(what_is_no_uri_is_told_how_one_starts),
		cmocka_unit_test(tls_is_told_by_its_scheme_and_may_have_a_name_of_its_own),
		cmocka_unit_test(wrong_hosts_are_shown),
		cmocka_unit_test(wrong_ipv6_addresses_are_shown_in_brackets),
		cmocka_unit_test(host_names_that_are_too_long_are_refused),
		cmocka_unit_test(wrong_ports_are_shown),
		cmocka_unit_test(wrong_socket_paths_are_shown),
		cmocka_unit_test(wrong_percent_codes_are_shown),
		cmocka_unit_test(wrong_parameters_are_shown),
		cmocka_unit_test(one_server_is_one_node),
		cmocka_unit_test(credentials_are_refused_and_never_repeated),
		cmocka_unit_test(messages_stay_whole_and_printable_with_any_bytes),
	};

	return cmocka_run_group_tests_name("node_list", tests, NULL, NULL);
}
