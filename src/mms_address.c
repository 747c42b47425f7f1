/* Numeric conversion only: whoever asks here is on a request's way and must not wait for a name server. */
#include "mms_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

static bool unix_address(const struct mms_node_config *node, struct sockaddr_storage *out, socklen_t *len)
{
	struct sockaddr_un *address = (struct sockaddr_un *)out;
	size_t path_len = strnlen(node->path, sizeof node->path);

	if (path_len == 0 || path_len >= sizeof address->sun_path) {
		return false;
	}
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, node->path, path_len + 1);
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path_len + 1);
	return true;
}

bool mms_address_numeric(const struct mms_node_config *node, struct sockaddr_storage *out, socklen_t *len)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)out;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof *out);
	if (node->scheme == MMS_SCHEME_UNIX) {
		return unix_address(node, out, len);
	}
	/* "localhost" needs no name server, and must not wait for one. */
	if (inet_pton(AF_INET, strcmp(node->host, "localhost") == 0 ? "127.0.0.1" : node->host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)node->port);
		*len = sizeof *v4;
		return true;
	}
	if (inet_pton(AF_INET6, node->host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)node->port);
		*len = sizeof *v6;
		return true;
	}
	return false;
}

bool mms_address_current(const struct mms_node_config *node, const struct mms_node_sh *shared,
		struct sockaddr_storage *out, socklen_t *len)
{
	uint32_t published_len = 0;

	if (mms_address_numeric(node, out, len)) {
		return true;
	}
	if (!mms_shm_node_address(shared, out, &published_len)) {
		return false;
	}
	*len = (socklen_t)published_len;
	return true;
}
