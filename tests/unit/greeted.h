/* An office whose nodes have been asked who they are, as the replicator does after every connect. */
#ifndef GREETED_H
#define GREETED_H

#include "office.h"

#include "mms_greeting.h"

static inline void desk_greet(struct desk *desk, unsigned node)
{
	mms_link_connect(desk_link(desk, node));
	mms_greeting_ask(desk_link(desk, node));
	desk_await(desk, mms_link_ready(desk_link(desk, node)));
}

static inline void desk_greet_all(struct desk *desk)
{
	for (unsigned node = 0; node < desk->office.node_count; node++) {
		desk_greet(desk, node);
	}
}

#endif
