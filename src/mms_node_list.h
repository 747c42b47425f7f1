/* The node list: what people write as mmsession.nodes or session.save_path. Pure. */
#ifndef MMS_NODE_LIST_H
#define MMS_NODE_LIST_H

#include <stdint.h>

#include "mms_base.h"

#define MMS_NODES_MAX 64

enum mms_node_scheme { MMS_SCHEME_TCP, MMS_SCHEME_UNIX, MMS_SCHEME_TLS };

/* Plain data without pointers: it is copied into shared memory as it is. Strings are NUL-terminated. */
struct mms_node_config {
	uint32_t scheme;      /* enum mms_node_scheme */
	uint32_t port;        /* TCP and TLS */
	uint32_t db;
	uint32_t numeric;     /* 1: host is an IP address literal (or the node is a Unix socket) */
	char host[256];       /* TCP and TLS: host name or address, without brackets */
	char path[108];       /* Unix: socket path */
	char name[64];        /* for people; by default the address */
	char tls_name[128];   /* TLS: another name that the node's certificate is for; "" = the host */
	char address[300];    /* canonical URI for messages: tcp://10.0.0.2:6379, tls://10.0.0.3:6380, unix:///run/redis.sock */
};

/* Parses "unix:///run/redis.sock, tcp://10.0.0.2:6379?name=web2&db=3, tls://10.0.0.3:6380?tls_name=web3.lan": nodes between
 * blanks and commas; %XX in paths and names; port 6379 and database 0 unless given. redis:// is tcp://, rediss:// is tls://. Two
 * nodes of one address or one name are refused (one server is one node). An empty text is one node, tcp://127.0.0.1:6379. On
 * MMS_ERR_CONFIG *count is 0 and the error says the offset, the text there, what is wrong and an example of a right one;
 * credentials found in the list are not repeated. */
enum mms_status mms_node_list_parse(struct mms_slice text, struct mms_node_config nodes[MMS_NODES_MAX],
		uint32_t *count, struct mms_error *error);

/* What the certificate of a TLS node must be for: a DNS name or an IP address. NULL: the node is none. Borrows from node. */
const char *mms_node_list_tls_name(const struct mms_node_config *node);

#endif
