/* The replicator's office without its thread: links on an event loop that the test turns by hand. */
#ifndef OFFICE_H
#define OFFICE_H

#include "fake.h"

#include <event2/event.h>

#include "mms_link.h"

struct desk {
	struct host *host;
	struct mms_office office;
	struct mms_descriptors descriptors;
};

/* Turns the loop until something has come about. */
#define desk_await(desk, condition) \
	do { \
		const int64_t desk_until_us = now_us() + DEADLINE_US; \
		while (!(condition)) { \
			if (now_us() > desk_until_us) { \
				fail_msg("waited in vain for %s", #condition); \
			} \
			desk_turn(desk); \
		} \
	} while (0)

/* host is freed with the desk. */
static inline struct desk *desk_open(struct host *host)
{
	struct desk *desk = calloc(1, sizeof(*desk));
	struct event_config *config = event_config_new();
	struct mms_office *office;
	struct mms_error error;

	assert_non_null(desk);
	event_config_avoid_method(config, "epoll");
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	office = &desk->office;
	desk->host = host;
	office->shm = host->shm;
	office->cluster = host->cluster;
	office->settings = &host->cluster->settings;
	office->descriptors = &desk->descriptors;
	office->base = event_base_new_with_config(config);
	event_config_free(config);
	office->node_count = host->settings.node_count;
	office->random_state = 1;
	office->now = mms_clock_mono();
	office->epoch = mms_mailbox_take_over(&host->cluster->mailbox);
	office->links = calloc(office->node_count, sizeof(*office->links));
	assert_non_null(office->base);
	assert_non_null(office->links);
	for (unsigned node = 0; node < office->node_count; node++) {
		assert_int_equal(mms_link_init(&office->links[node], office, node, &error), MMS_OK);
		office->links[node].ack_position = mms_mailbox_tail(&host->cluster->mailbox);
		office->links[node].send_position = office->links[node].ack_position;
	}
	return desk;
}

static inline unsigned desk_descriptors(const struct desk *desk)
{
	unsigned count = 0;

	for (unsigned i = 0; i < MMS_DESCRIPTORS_MAX; i++) {
		count += atomic_load(&desk->descriptors.slots[i]) != 0;
	}
	return count;
}

static inline void desk_close(struct desk *desk)
{
	for (unsigned node = 0; node < desk->office.node_count; node++) {
		mms_link_fini(&desk->office.links[node]);
	}
	event_base_free(desk->office.base);
	free(desk->office.links);
	assert_int_equal(desk_descriptors(desk), 0);
	host_free(desk->host);
	free(desk);
}

static inline void desk_turn(struct desk *desk)
{
	desk->office.now = mms_clock_mono();
	for (unsigned node = 0; node < desk->office.node_count; node++) {
		mms_link_flush(&desk->office.links[node]);
	}
	event_base_loop(desk->office.base, EVLOOP_NONBLOCK);
	nap_us(200);
}

/* Turns the loop until nothing is asked any more. */
static inline void desk_quiet(struct desk *desk)
{
	for (unsigned node = 0; node < desk->office.node_count; node++) {
		desk_await(desk, desk->office.links[node].request_count == 0);
	}
}

static inline struct mms_link *desk_link(struct desk *desk, unsigned node)
{
	return &desk->office.links[node];
}

static inline struct mms_breaker_sh *desk_breaker(struct desk *desk, unsigned node)
{
	return &desk->host->cluster->nodes[node].breaker;
}

#endif
