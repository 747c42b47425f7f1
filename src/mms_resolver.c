/* A name may have several addresses, of which the first may be dead: while the node's breaker is open, each answer moves
 * on to the address after the one in use. Otherwise the one in use stays as long as the name still has it. */
#include "mms_resolver.h"

#include <event2/dns.h>
#include <event2/event.h>
#include <event2/util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mms_address.h"

#define AGAIN_US 15000000      /* a name that resolved */
#define AGAIN_DOWN_US 2000000  /* its node is down, or it did not resolve */

struct query {
	struct mms_resolver *resolver;
	unsigned node;
	bool by_name, under_way;
	struct evdns_getaddrinfo_request *request; /* while under way; NULL when it was answered at once */
	struct mms_mono due, due_down; /* while its node is in use, or down */
};

struct mms_resolver {
	struct mms_office *office;
	struct evdns_base *dns;
	struct query queries[MMS_NODES_MAX];
};

static void on_answer(int failed, struct evutil_addrinfo *answer, void *argument);

struct mms_resolver *mms_resolver_new(struct mms_office *office)
{
	struct mms_resolver *resolver = calloc(1, sizeof *resolver);
	struct sockaddr_storage address;
	bool any = false;
	socklen_t len;

	if (resolver == NULL) {
		return NULL;
	}
	resolver->office = office;
	for (unsigned i = 0; i < office->node_count; i++) {
		resolver->queries[i].resolver = resolver;
		resolver->queries[i].node = i;
		resolver->queries[i].by_name = !mms_address_numeric(&office->settings->nodes[i], &address, &len);
		any = any || resolver->queries[i].by_name;
	}
	resolver->dns = any ? evdns_base_new(office->base, EVDNS_BASE_DISABLE_WHEN_INACTIVE) : NULL;
	if (resolver->dns == NULL) {
		free(resolver);
		return NULL;
	}
	/* Neither file need be there; what could not be read leaves names unresolved, and asked for again. */
	(void)evdns_base_resolv_conf_parse(resolver->dns, DNS_OPTIONS_ALL, "/etc/resolv.conf");
	(void)evdns_base_load_hosts(resolver->dns, "/etc/hosts");
	/* The next server is tried after 2 s. A slow one is listened to for 10 s: nobody waits for it. */
	(void)evdns_base_set_option(resolver->dns, "timeout:", "2");
	(void)evdns_base_set_option(resolver->dns, "attempts:", "5");
	return resolver;
}

void mms_resolver_free(struct mms_resolver *resolver)
{
	if (resolver == NULL) {
		return;
	}
	for (unsigned i = 0; i < resolver->office->node_count; i++) {
		if (resolver->queries[i].under_way && resolver->queries[i].request != NULL) {
			evdns_getaddrinfo_cancel(resolver->queries[i].request);
		}
	}
	evdns_base_free(resolver->dns, 1);
	/* Whatever is under way is told now, and frees what it holds. */
	(void)event_base_loop(resolver->office->base, EVLOOP_NONBLOCK);
	free(resolver);
}

static bool is_down(const struct query *query)
{
	return !mms_breaker_allows_read(&query->resolver->office->cluster->nodes[query->node].breaker);
}

/* A node that goes down after its name was resolved may have moved: what was planned for it in use is too late. */
static int64_t due_us(const struct query *query)
{
	return is_down(query) ? query->due_down.us : query->due.us;
}

void mms_resolver_run(struct mms_resolver *resolver)
{
	struct mms_office *office;
	struct evutil_addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };

	if (resolver == NULL) {
		return;
	}
	office = resolver->office;
	for (unsigned i = 0; i < office->node_count; i++) {
		struct query *query = &resolver->queries[i];
		char port[8];

		if (!query->by_name || query->under_way || office->now.us < due_us(query)) {
			continue;
		}
		query->under_way = true;
		query->due.us = query->due_down.us = office->now.us + AGAIN_DOWN_US;
		(void)snprintf(port, sizeof port, "%u", office->settings->nodes[i].port);
		query->request = evdns_getaddrinfo(resolver->dns, office->settings->nodes[i].host, port, &hints, on_answer, query);
	}
}

int64_t mms_resolver_next_us(const struct mms_resolver *resolver)
{
	int64_t next = INT64_MAX;

	for (unsigned i = 0; resolver != NULL && i < resolver->office->node_count; i++) {
		const struct query *query = &resolver->queries[i];

		if (query->by_name && !query->under_way && due_us(query) < next) {
			next = due_us(query);
		}
	}
	return next;
}

static bool is_current(const struct mms_node_sh *node, const struct evutil_addrinfo *address)
{
	struct sockaddr_storage current;
	uint32_t len = 0;

	return mms_shm_node_address(node, &current, &len) && len == address->ai_addrlen && memcmp(&current, address->ai_addr, len) == 0;
}

/* Which of the addresses to use; see the top of this file. */
static const struct evutil_addrinfo *choose(const struct evutil_addrinfo *answer, const struct mms_node_sh *node,
		bool down)
{
	for (const struct evutil_addrinfo *one = answer; one != NULL; one = one->ai_next) {
		if (is_current(node, one)) {
			return !down ? one : one->ai_next != NULL ? one->ai_next : answer;
		}
	}
	return answer;
}

/* With an address from before, the node is used there on. Without any it is down like any other: its writes become hints. */
static void blame(struct mms_office *office, unsigned index, const struct mms_error *error)
{
	struct mms_node_sh *node = &office->cluster->nodes[index];
	struct sockaddr_storage current;
	uint32_t len;

	if (mms_shm_node_address(node, &current, &len)) {
		mms_breaker_note(&node->breaker, error->text, mms_clock_wall());
	} else {
		(void)mms_breaker_fault(&node->breaker, MMS_FAULT_HARD, error->text, office->now, mms_clock_wall(),
				mms_link_random(office));
		office->busy = true;
	}
}

/* The server at the old address may go on answering (kept for a way back): what is mirrored to the node would go there, while new
 * requests ask the new one. */
static void leave_old_address(struct mms_link *link)
{
	const struct mms_node_config *config = &link->office->settings->nodes[link->index];
	struct mms_error error;

	if (link->state != MMS_LINK_DOWN && link->address_sequence != mms_shm_address_sequence(mms_link_node(link))) {
		mms_error_set(&error, "node %s (%s): its host name stands for another address now", config->name, config->address);
		mms_link_fail(link, MMS_ERR_CLOSED, &error);
	}
}

static void on_answer(int failed, struct evutil_addrinfo *answer, void *argument)
{
	struct query *query = argument;
	struct mms_office *office = query->resolver->office;
	struct mms_node_sh *node = &office->cluster->nodes[query->node];
	const struct evutil_addrinfo *chosen;

	query->under_way = false;
	if (failed == EVUTIL_EAI_CANCEL) {
		return; /* the resolver is being freed */
	}
	if (failed != 0 || answer == NULL) {
		struct mms_error error;

		mms_error_set(&error, "node %s (%s): host name: %s", office->settings->nodes[query->node].name,
				office->settings->nodes[query->node].address, evutil_gai_strerror(failed));
		blame(office, query->node, &error);
		return;
	}
	chosen = choose(answer, node, is_down(query));
	if (!is_current(node, chosen)) {
		mms_shm_publish_address(node, chosen->ai_addr, (uint32_t)chosen->ai_addrlen);
	}
	leave_old_address(&office->links[query->node]);
	query->due.us = office->now.us + AGAIN_US;
	query->due_down.us = office->now.us + AGAIN_DOWN_US;
	office->links[query->node].retry_at = office->now;
	office->busy = true;
	evutil_freeaddrinfo(answer);
}
