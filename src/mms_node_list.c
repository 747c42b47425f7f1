/* The node list as people write it. The difficulty is the messages: they must show what is wrong and how it reads
 * right, and never repeat a password that somebody put into a URI. So nothing is quoted as soon as the list looks as
 * if it held credentials anywhere (a blank in a password would cut it into harmless-looking pieces). */
#include "mms_node_list.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define DEFAULT_NODE "tcp://127.0.0.1:6379"
#define DEFAULT_PORT 6379
#define DB_MAX 65535
#define EXCERPT_SIZE 64
#define REASON_SIZE 176

#define EXAMPLE_TCP "tcp://10.0.0.2:6379"
#define EXAMPLE_IPV6 "tcp://[fd00::2]:6379"
#define EXAMPLE_UNIX "unix:///run/redis.sock"
#define EXAMPLE_LIST EXAMPLE_UNIX ", " EXAMPLE_TCP
#define EXAMPLE_QUERY EXAMPLE_TCP "?name=web2&db=3"
#define EXAMPLE_TLS "tls://10.0.0.2:6380?tls_name=web2.example.com"

#define CREDENTIALS_REASON \
	"credentials don't belong here (PHP prints this setting): use mmsession.user and mmsession.password_file"

/* The list being parsed. */
struct list_reader {
	struct mms_slice list;
	bool secretive;          /* it may hold credentials: quote nothing */
	struct mms_error *error; /* the caller's */
};

static enum mms_status parse_node(const struct list_reader *reader, struct mms_slice item,
		struct mms_node_config *node);
static enum mms_status parse_scheme(const struct list_reader *reader, struct mms_slice item,
		struct mms_node_config *node, struct mms_slice *rest);
static enum mms_status parse_tcp(const struct list_reader *reader, struct mms_slice rest,
		struct mms_node_config *node);
static enum mms_status parse_host(const struct list_reader *reader, struct mms_slice host,
		struct mms_node_config *node);
static enum mms_status parse_host_ipv6(const struct list_reader *reader, struct mms_slice literal,
		struct mms_node_config *node);
static enum mms_status parse_port(const struct list_reader *reader, struct mms_slice port,
		struct mms_node_config *node);
static enum mms_status parse_unix(const struct list_reader *reader, struct mms_slice rest,
		struct mms_node_config *node);
static enum mms_status parse_query(const struct list_reader *reader, struct mms_slice query,
		struct mms_node_config *node);
static enum mms_status parse_name(const struct list_reader *reader, struct mms_slice value,
		struct mms_node_config *node);
static enum mms_status parse_tls_name(const struct list_reader *reader, struct mms_slice value,
		struct mms_node_config *node);
static enum mms_status decode_percent(const struct list_reader *reader, struct mms_slice text, char *out, size_t size);
static enum mms_status check_unique(const struct list_reader *reader, struct mms_slice item,
		const struct mms_node_config *node, const struct mms_node_config *others, uint32_t other_count);
static void name_by_address(struct mms_node_config *node);
static bool next_item(struct mms_slice list, size_t *position, struct mms_slice *item);
static bool looks_like_path(struct mms_slice item);
static bool names_credentials(struct mms_slice key);
static bool may_hold_credentials(struct mms_slice list);
static bool is_host_name(struct mms_slice host);
static bool ends_in_number(struct mms_slice host);
static enum mms_status refuse(const struct list_reader *reader, struct mms_slice part, const char *example,
		const char *format, ...) MMS_PRINTF(4, 5);
static int hex_digit(char byte);

enum mms_status mms_node_list_parse(struct mms_slice text, struct mms_node_config nodes[MMS_NODES_MAX],
		uint32_t *count, struct mms_error *error)
{
	const struct list_reader reader = {text, may_hold_credentials(text), error};
	struct mms_slice item;
	size_t position = 0;
	uint32_t found = 0;

	*count = 0;
	while (next_item(text, &position, &item)) {
		/* Zeroed: settings are compared and copied as bytes. */
		struct mms_node_config node = {0};
		enum mms_status status;

		if (found == MMS_NODES_MAX) {
			return refuse(&reader, item, EXAMPLE_LIST, "more than %d nodes", MMS_NODES_MAX);
		}
		status = parse_node(&reader, item, &node);
		if (status == MMS_OK) {
			status = check_unique(&reader, item, &node, nodes, found);
		}
		if (status != MMS_OK) {
			return status;
		}
		nodes[found++] = node;
	}
	if (found == 0) {
		return mms_node_list_parse(mms_slice_of(DEFAULT_NODE), nodes, count, error);
	}
	*count = found;
	return MMS_OK;
}

static enum mms_status parse_node(const struct list_reader *reader, struct mms_slice item,
		struct mms_node_config *node)
{
	enum mms_status status;
	struct mms_slice rest;

	status = parse_scheme(reader, item, node, &rest);
	if (status != MMS_OK) {
		return status;
	}
	const size_t mark = mms_slice_find(rest, '?');
	const struct mms_slice place = mms_slice_part(rest, 0, mark);

	status = node->scheme == MMS_SCHEME_UNIX ? parse_unix(reader, place, node) : parse_tcp(reader, place, node);
	if (status == MMS_OK && mark < rest.len) {
		status = parse_query(reader, mms_slice_part(rest, mark + 1, rest.len), node);
	}
	if (status == MMS_OK && node->name[0] == '\0') {
		name_by_address(node);
	}
	return status;
}

/* Tells the scheme and what follows "://". */
static enum mms_status parse_scheme(const struct list_reader *reader, struct mms_slice item,
		struct mms_node_config *node, struct mms_slice *rest)
{
	const size_t colon = mms_slice_find(item, ':');
	const struct mms_slice scheme = mms_slice_part(item, 0, colon);

	if (looks_like_path(item)) {
		return refuse(reader, item, EXAMPLE_LIST, "this is a path (a directory, as PHP's files handler wants it?), but "
				"mmsession wants a list of nodes");
	}
	if (!mms_slice_starts_with(mms_slice_part(item, colon, item.len), "://")) {
		return refuse(reader, item, EXAMPLE_LIST, "a node starts with tcp://, tls:// or unix:///");
	}
	*rest = mms_slice_part(item, colon + 3, item.len);
	if (mms_slice_is(scheme, "tcp") || mms_slice_is(scheme, "redis")) {
		node->scheme = MMS_SCHEME_TCP;
	} else if (mms_slice_is(scheme, "tls") || mms_slice_is(scheme, "rediss")) {
		node->scheme = MMS_SCHEME_TLS;
	} else if (mms_slice_is(scheme, "unix")) {
		node->scheme = MMS_SCHEME_UNIX;
	} else {
		return refuse(reader, item, EXAMPLE_LIST, "this scheme is unknown: a node starts with tcp://, tls:// or unix:///");
	}
	return MMS_OK;
}

static enum mms_status parse_tcp(const struct list_reader *reader, struct mms_slice rest,
		struct mms_node_config *node)
{
	const size_t slash = mms_slice_find(rest, '/');
	const struct mms_slice authority = mms_slice_part(rest, 0, slash);
	const bool bracketed = mms_slice_starts_with(authority, "[");
	const size_t host_end = bracketed ? mms_slice_find(authority, ']') + 1 : mms_slice_find(authority, ':');
	const struct mms_slice port = mms_slice_part(authority, host_end, authority.len);
	enum mms_status status;

	if (mms_slice_find(rest, '@') < rest.len) {
		return refuse(reader, rest, EXAMPLE_TCP, CREDENTIALS_REASON);
	}
	if (slash + 1 < rest.len) {
		return refuse(reader, mms_slice_part(rest, slash, rest.len), EXAMPLE_QUERY,
				"a TCP node has no path; its database is written ?db=3");
	}
	if (host_end > authority.len) {
		return refuse(reader, authority, EXAMPLE_IPV6, "the closing ] is missing");
	}
	if (!bracketed && port.len > 0 && mms_slice_find(mms_slice_part(port, 1, port.len), ':') + 1 < port.len) {
		return refuse(reader, authority, EXAMPLE_IPV6, "an IPv6 address is written in brackets");
	}
	if (bracketed) {
		status = parse_host_ipv6(reader, mms_slice_part(authority, 1, host_end - 1), node);
	} else {
		status = parse_host(reader, mms_slice_part(authority, 0, host_end), node);
	}
	if (status == MMS_OK) {
		status = parse_port(reader, port, node);
	}
	snprintf(node->address, sizeof(node->address), bracketed ? "%s://[%s]:%u" : "%s://%s:%u",
			node->scheme == MMS_SCHEME_TLS ? "tls" : "tcp", node->host, node->port);
	return status;
}

static enum mms_status parse_host(const struct list_reader *reader, struct mms_slice host,
		struct mms_node_config *node)
{
	struct in_addr address;

	if (host.len == 0) {
		return refuse(reader, host, EXAMPLE_TCP, "the host is missing");
	}
	if (host.len >= sizeof(node->host)) {
		return refuse(reader, host, EXAMPLE_TCP, "a host name has at most %zu bytes", sizeof(node->host) - 1);
	}
	if (!is_host_name(host)) {
		return refuse(reader, host, EXAMPLE_TCP, "this is no host name or address");
	}
	/* In lower case, so that one address is one text. */
	for (size_t index = 0; index < host.len; index++) {
		node->host[index] = mms_byte_lower(host.ptr[index]);
	}
	node->numeric = inet_pton(AF_INET, node->host, &address) == 1;
	if (!node->numeric && ends_in_number(host)) {
		return refuse(reader, host, EXAMPLE_TCP, "this is no IPv4 address (four numbers up to 255)");
	}
	return MMS_OK;
}

static enum mms_status parse_host_ipv6(const struct list_reader *reader, struct mms_slice literal,
		struct mms_node_config *node)
{
	char text[INET6_ADDRSTRLEN + 1];
	struct in6_addr address;

	mms_text_copy(text, sizeof(text), literal);
	if (literal.len >= sizeof(text) || inet_pton(AF_INET6, text, &address) != 1) {
		return refuse(reader, literal, EXAMPLE_IPV6, "this is no IPv6 address");
	}
	/* As the kernel writes it: [::1] and [0:0:0:0:0:0:0:1] are one node. */
	inet_ntop(AF_INET6, &address, node->host, sizeof(node->host));
	node->numeric = 1;
	return MMS_OK;
}

/* port: what follows the host, with its colon; empty = the default. */
static enum mms_status parse_port(const struct list_reader *reader, struct mms_slice port,
		struct mms_node_config *node)
{
	uint64_t number = DEFAULT_PORT;

	if (port.len > 0) {
		const struct mms_slice digits = mms_slice_part(port, 1, port.len);

		if (port.ptr[0] != ':' || !mms_slice_decimal(digits, UINT16_MAX, &number) || number == 0) {
			return refuse(reader, port, EXAMPLE_TCP, "here a port from 1 to 65535 is expected");
		}
	}
	node->port = (uint32_t) number;
	return MMS_OK;
}

static enum mms_status parse_unix(const struct list_reader *reader, struct mms_slice rest,
		struct mms_node_config *node)
{
	if (!mms_slice_starts_with(rest, "/")) {
		return refuse(reader, rest, EXAMPLE_UNIX, "a socket has an absolute path: three slashes after unix:");
	}
	enum mms_status status = decode_percent(reader, rest, node->path, sizeof(node->path));

	if (status != MMS_OK) {
		return status;
	}
	if (node->path[strlen(node->path) - 1] == '/') {
		return refuse(reader, rest, EXAMPLE_UNIX, "this is a directory; the socket's name is missing");
	}
	node->numeric = 1;
	snprintf(node->address, sizeof(node->address), "unix://%s", node->path);
	return MMS_OK;
}

static enum mms_status parse_query(const struct list_reader *reader, struct mms_slice query,
		struct mms_node_config *node)
{
	bool has_db = false;

	for (size_t start = 0, end; start <= query.len; start = end + 1) {
		end = start + mms_slice_find(mms_slice_part(query, start, query.len), '&');

		const struct mms_slice pair = mms_slice_part(query, start, end);
		const size_t sign = mms_slice_find(pair, '=');
		const struct mms_slice key = mms_slice_part(pair, 0, sign);
		const struct mms_slice value = mms_slice_part(pair, sign + 1, pair.len);
		uint64_t db;

		if (names_credentials(key)) {
			return refuse(reader, key, EXAMPLE_QUERY, CREDENTIALS_REASON);
		}
		if (mms_slice_is(key, "name") && node->name[0] == '\0') {
			enum mms_status status = parse_name(reader, value, node);

			if (status != MMS_OK) {
				return status;
			}
		} else if (mms_slice_is(key, "db") && !has_db) {
			if (!mms_slice_decimal(value, DB_MAX, &db)) {
				return refuse(reader, value, EXAMPLE_QUERY, "db is a number from 0 to %d", DB_MAX);
			}
			node->db = (uint32_t) db;
			has_db = true;
		} else if (mms_slice_is(key, "tls_name") && node->tls_name[0] == '\0') {
			enum mms_status status = parse_tls_name(reader, value, node);

			if (status != MMS_OK) {
				return status;
			}
		} else {
			return refuse(reader, key, EXAMPLE_QUERY, "a node takes name= and db= (and tls_name= with tls://), each once, "
					"and nothing else");
		}
	}
	return MMS_OK;
}

static enum mms_status parse_name(const struct list_reader *reader, struct mms_slice value,
		struct mms_node_config *node)
{
	enum mms_status status = decode_percent(reader, value, node->name, sizeof(node->name));

	if (status != MMS_OK) {
		return status;
	}
	/* It stands in logs, in HTML and in JSON. */
	for (const char *next = node->name; *next != '\0'; next++) {
		if (*next < ' ' || *next > '~' || strchr("\"'<>&\\", *next) != NULL) {
			return refuse(reader, value, EXAMPLE_QUERY, "a name is ASCII text without quotes, < > & and \\");
		}
	}
	if (node->name[0] == '\0') {
		return refuse(reader, value, EXAMPLE_QUERY, "the name is empty");
	}
	return MMS_OK;
}

static enum mms_status parse_tls_name(const struct list_reader *reader, struct mms_slice value,
		struct mms_node_config *node)
{
	struct in6_addr address;

	if (node->scheme != MMS_SCHEME_TLS) {
		return refuse(reader, value, EXAMPLE_TLS, "tls_name belongs to a node that starts with tls://");
	}
	if (value.len >= sizeof(node->tls_name)) {
		return refuse(reader, value, EXAMPLE_TLS, "this is too long: at most %zu bytes", sizeof(node->tls_name) - 1);
	}
	mms_text_copy(node->tls_name, sizeof(node->tls_name), value);
	if (value.len == 0 || (!is_host_name(value) && inet_pton(AF_INET6, node->tls_name, &address) != 1)) {
		return refuse(reader, value, EXAMPLE_TLS, "tls_name is a host name or address, as the node's certificate has it");
	}
	return MMS_OK;
}

const char *mms_node_list_tls_name(const struct mms_node_config *node)
{
	return node->scheme != MMS_SCHEME_TLS ? NULL : node->tls_name[0] != '\0' ? node->tls_name : node->host;
}

/* %2C becomes a comma. Control characters are refused however they are written; so is what does not fit. */
static enum mms_status decode_percent(const struct list_reader *reader, struct mms_slice text, char *out, size_t size)
{
	size_t used = 0;

	for (size_t index = 0; index < text.len; index++) {
		const struct mms_slice here = mms_slice_part(text, index, text.len);
		unsigned char byte = (unsigned char) text.ptr[index];

		if (byte == '%') {
			const int high = here.len > 2 ? hex_digit(here.ptr[1]) : -1;
			const int low = here.len > 2 ? hex_digit(here.ptr[2]) : -1;

			if (high < 0 || low < 0) {
				return refuse(reader, here, "%2C for a comma", "two hexadecimal digits follow a %%");
			}
			byte = (unsigned char) (high * 16 + low);
			index += 2;
		}
		if (byte < ' ' || byte == 0x7f) {
			return refuse(reader, here, EXAMPLE_LIST, "a control character can't stand here");
		}
		if (used == size - 1) {
			return refuse(reader, text, EXAMPLE_LIST, "this is too long: at most %zu bytes", size - 1);
		}
		out[used++] = (char) byte;
	}
	out[used] = '\0';
	return MMS_OK;
}

/* One server is one node: twice the same would count as two copies. Names tell nodes apart in messages. */
static enum mms_status check_unique(const struct list_reader *reader, struct mms_slice item,
		const struct mms_node_config *node, const struct mms_node_config *others, uint32_t other_count)
{
	for (uint32_t index = 0; index < other_count; index++) {
		if (strcmp(others[index].address, node->address) == 0) {
			return refuse(reader, item, EXAMPLE_LIST, "this node is in the list already, as number %u", index + 1);
		}
		if (strcmp(others[index].name, node->name) == 0) {
			return refuse(reader, item, EXAMPLE_QUERY, "node number %u has the same name", index + 1);
		}
	}
	return MMS_OK;
}

/* An address that is too long keeps its end: sockets differ in their last part. */
static void name_by_address(struct mms_node_config *node)
{
	const size_t len = strlen(node->address);
	const size_t room = sizeof(node->name) - 1;

	if (len <= room) {
		memcpy(node->name, node->address, len);
		return;
	}
	memcpy(node->name, "..", 2);
	memcpy(node->name + 2, node->address + len - (room - 2), room - 2);
}

/* Items stand between blanks and commas. */
static bool next_item(struct mms_slice list, size_t *position, struct mms_slice *item)
{
	static const char separators[] = {' ', '\t', '\r', '\n', ','};
	size_t start = *position;
	size_t end;

	while (start < list.len && memchr(separators, list.ptr[start], sizeof(separators)) != NULL) {
		start++;
	}
	end = start;
	while (end < list.len && memchr(separators, list.ptr[end], sizeof(separators)) == NULL) {
		end++;
	}
	*item = mms_slice_part(list, start, end);
	*position = end;
	return start < end;
}

/* "/var/lib/php/sessions", and "2;0600;/var/lib/php/sessions" as the files handler takes it. */
static bool looks_like_path(struct mms_slice item)
{
	size_t start = 0;

	while (start < item.len && ((item.ptr[start] >= '0' && item.ptr[start] <= '9') || item.ptr[start] == ';')) {
		start++;
	}
	const struct mms_slice path = mms_slice_part(item, start, item.len);

	return mms_slice_starts_with(path, "/") || mms_slice_starts_with(path, "./")
			|| mms_slice_starts_with(path, "../") || mms_slice_starts_with(path, "~");
}

static bool names_credentials(struct mms_slice key)
{
	static const char *const words[] = {"auth", "pass", "pwd", "user"};

	for (size_t index = 0; index < sizeof(words) / sizeof(words[0]); index++) {
		if (mms_slice_starts_with(key, words[index])) {
			return true;
		}
	}
	return false;
}

static bool may_hold_credentials(struct mms_slice list)
{
	for (size_t index = 0; index < list.len; index++) {
		if (list.ptr[index] == '@' || names_credentials(mms_slice_part(list, index, list.len))) {
			return true;
		}
	}
	return false;
}

/* Letters, digits, hyphens, underscores (container names have them); labels of 1 to 63; a dot may end it. */
static bool is_host_name(struct mms_slice host)
{
	size_t label_len = 0;

	for (size_t index = 0; index < host.len; index++) {
		const char byte = mms_byte_lower(host.ptr[index]);

		if (byte == '.') {
			if (label_len == 0) {
				return false;
			}
			label_len = 0;
			continue;
		}
		if (!((byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' || byte == '_')
				|| ++label_len > 63) {
			return false;
		}
	}
	return true;
}

/* Whose last label is a number: an address or nothing (resolvers read "10.1" as 10.0.0.1). */
static bool ends_in_number(struct mms_slice host)
{
	size_t start = host.len;
	uint64_t number;

	while (start > 0 && host.ptr[start - 1] != '.') {
		start--;
	}
	return mms_slice_decimal(mms_slice_part(host, start, host.len), UINT64_MAX, &number);
}

/* "node list, offset 12, "...": reason; example: ...". part lies within the list. */
static enum mms_status refuse(const struct list_reader *reader, struct mms_slice part, const char *example,
		const char *format, ...)
{
	char excerpt[EXCERPT_SIZE];
	char reason[REASON_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, sizeof(reason), format, arguments);
	va_end(arguments);
	mms_text_copy(excerpt, sizeof(excerpt), part);
	if (reader->secretive) {
		snprintf(excerpt, sizeof(excerpt), "(text not repeated)");
	}
	mms_error_set(reader->error, reader->secretive ? "node list, offset %zu %s: %s; example: %s"
			: "node list, offset %zu, \"%s\": %s; example: %s", (size_t) (part.ptr - reader->list.ptr), excerpt, reason,
			example);
	return MMS_ERR_CONFIG;
}

static int hex_digit(char byte)
{
	const char digit = mms_byte_lower(byte);

	if (digit >= '0' && digit <= '9') {
		return digit - '0';
	}
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}
