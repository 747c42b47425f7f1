/* The replicator's side of one node: one pipelined connection, a queue of requests in flight with their callbacks, and
 * where this node stands in the mailbox. Only the replicator's thread touches any of this. */
#ifndef MMS_LINK_H
#define MMS_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"
#include "mms_clock.h"
#include "mms_command.h"
#include "mms_config.h"
#include "mms_conn.h"
#include "mms_descriptors.h"
#include "mms_reply.h"
#include "mms_shm.h"

struct event;
struct event_base;
struct mms_link;

#define MMS_LINK_WINDOW 1024              /* requests in flight per node */
#define MMS_LINK_WINDOW_BYTES (1u << 20)  /* queued bytes beyond which no further mirror is added */
/* One process of a host is its replicator, whatever its own mmsession.max_session_size: it carries what any other may have written.
 * A link holds one reply at a time that is not whole yet; queued are mirrors (one of them may pass the window) and what the
 * reconciler moves, which is one record if that is a large one. */
#define MMS_LINK_REPLY_MAX ((size_t)MMS_SESSION_SIZE_MAX + 65536u)
#define MMS_LINK_OUTPUT_MAX (2 * (size_t)MMS_SESSION_SIZE_MAX + 8 * (size_t)MMS_LINK_WINDOW_BYTES)
#define MMS_LINK_PROGRESS_BYTES 16384u /* that must have moved for a wait to go on */
#define MMS_LINK_REPLIES 2
#define MMS_LINK_COMPARE_US 1000000       /* after a connect, when much is sent again, or a first version that was none there: all
                                           * are compared with what stands there */

/* Called once per request, in order. replies: as many as the command has; NULL when the connection was lost first (the
 * node may or may not have executed it). Replies stay the link's. */
typedef void (*mms_link_reply_fn)(struct mms_link *link, void *context, uint64_t token,
		struct mms_reply *const *replies);

struct mms_link_request {
	mms_link_reply_fn reply_fn;
	void *context;
	uint64_t token;
	uint32_t reply_count;
};

enum mms_link_state {
	MMS_LINK_DOWN,        /* no connection */
	MMS_LINK_CONNECTING,  /* connect and handshake under way; commands may be queued already */
	MMS_LINK_READY        /* identified: mirrors and hints may go out */
};

/* Entries of the mailbox that became hints. */
struct mms_hinted {
	bool any;
	uint64_t next;         /* how far the first of them reaches */
	uint64_t holding_mask; /* nodes that have one or another of them */
};

/* The replicator in office: everything that its parts share. */
struct mms_office {
	struct mms_shm *shm;
	struct mms_cluster_sh *cluster;
	const struct mms_settings *settings;    /* the copy in shared memory */
	struct mms_descriptors *descriptors;
	struct event_base *base;
	uint8_t epoch;                          /* of the mailbox; stale = fenced off */
	uint32_t node_count;
	uint32_t random_state;
	uint64_t tmp_sequence;
	struct mms_mono now;                    /* of this round of the loop */
	char password[MMS_SECRET_MAX + 1];
	struct mms_tls_context *tls;            /* NULL = no node wants it */
	struct mms_link *links;                 /* node_count of them */
	bool last_words;                        /* the mapping is about to die: no more hints, one attempt per node */
	bool none_usable;                       /* every breaker is open: probes hurry */
	/* mailbox entries that became hints: they leave the ring once nodes have been seen to be the same since */
	struct mms_hinted hinted, hinted_asked; /* not asked about yet; all nodes are being asked */
	struct mms_mono short_since;            /* this process has had no descriptor or memory for a connection since; 0 = it had, last time */
	bool markers_doubted;                   /* this life was silent: who took it for dead may delete its markers, as the next look shows */
	struct mms_mono markers_wanted;         /* when the latter began: markers seen before are too old */
	uint64_t markers_asked_mask;            /* nodes that were asked for theirs then */
	bool markers_held_up;                   /* a node that may be back soon was waited for: what others showed before is old by now */
	bool busy;                              /* something happened in this round: stay awake */
};

struct mms_link {
	struct mms_office *office;
	unsigned index;
	enum mms_link_state state;
	struct mms_conn *conn;
	bool lost;                              /* its marker was gone at the last greeting, and it took no other */
	int fd;                                 /* as entered in the office's descriptors, -1 = none: the connection may be
	                                         * closed by its own failure before the link hears of it */
	struct event *readable, *writable;
	int64_t clock_ms;                       /* what the server's clock said when the monotonic one was at 0; the survey keeps it */
	bool clock_known;
	struct mms_mono deadline;               /* of connecting, or of the oldest request without progress */
	bool overdue;                           /* it has passed, and the socket is read once more */
	uint64_t moved_bytes, received_bytes;   /* of the connection, when the deadline was set last */
	uint32_t address_sequence;              /* mms_shm_address_sequence() at the last connect */
	struct mms_mono retry_at;               /* DOWN: no connect before */
	struct mms_mono ready_since;
	char run_id[41];                        /* of the server that was greeted */
	char marker[96];                        /* its marker's value as seen last, "" = none */
	struct mms_mono marker_checked;         /* when it was asked for last */
	struct mms_mono marker_seen;            /* when that was asked which was answered last: it was the same then */
	bool probing;                           /* this connect or ping is a breaker's probe */
	bool probe_sent;
	struct mms_mono probed_at;              /* when the last probe began */
	bool spoken;                            /* last words: the one attempt to connect was made */
	struct mms_link_request requests[MMS_LINK_WINDOW];
	uint32_t request_head, request_count;
	struct mms_reply *replies[MMS_LINK_REPLIES];
	uint32_t replies_got;
	/* mailbox: entries before ack_position are settled for this node, those up to send_position are on their way */
	uint64_t send_position, ack_position;
	uint32_t mirrors_in_flight;
	uint64_t sent_to;                       /* the farthest that was sent */
	uint64_t lost_at, careful_to;           /* ack_position and sent_to when the connection was lost with mirrors under way */
	uint32_t few;                           /* mirrors under way at once before careful_to; 0 = as many as there is room for */
	bool suspect;                           /* with the one at lost_at alone under way, it was lost again */
	bool going_back;                        /* all from ack_position on is sent again when those in flight are answered */
	struct mms_mono compare_until;          /* see MMS_LINK_COMPARE_US */
	uint64_t compare_to;                    /* entries before it are compared, however long they take */
	uint32_t soft_errors;                   /* in a row, none long after the other: of writes, perhaps of single keys */
	struct mms_mono soft_error_at;          /* the last of them */
	uint32_t noscripts;                     /* mirrors in a row that found their script gone */
	uint64_t distrust_until;                /* entries before it: what their mask says of this node was said of another */
	/* behind marker for this node, on its peers (rule h) */
	uint64_t marker_mask;                   /* nodes that hold it */
	uint64_t marker_asked_mask;             /* nodes that were sent it, or its deletion */
	char marker_token[33];                  /* empty = none wanted */
	uint64_t marker_node_id;                /* the id that the marker's key names: an emptied node comes back with another */
	uint64_t marker_former_id;              /* 0 = its address */
	uint64_t marker_former_mask;            /* nodes that may hold it under that one as well */
	uint64_t marker_perhaps_mask;           /* nodes that were sent it, and lost before they answered */
	struct mms_mono markers_refused_until;  /* this node takes or gives back no markers before */
	/* hints */
	uint32_t hint_cursor;
	uint32_t hint_rounds;                   /* through all hints since it became ready */
	struct mms_mono hint_round_at;          /* no new round through the hints before */
	struct mms_mono hint_pause_until;       /* nor anything of one: a delivery failed on this node */
	uint32_t hint_jobs;                     /* deliveries under way to it */
	uint32_t hint_alone_to;                 /* cursor before which they go one at a time; 0 = not */
};

/* Prepares a closed link. The link is registered with libevent once it is connected. */
enum mms_status mms_link_init(struct mms_link *link, struct mms_office *office, unsigned index,
		struct mms_error *error);
void mms_link_fini(struct mms_link *link);

/* Starts connecting; on_ready is called when the handshake stands (the link is still CONNECTING: identify, then
 * mms_link_set_ready()). */
void mms_link_connect(struct mms_link *link);

/* The connection is of no use any more: closes it, tells the breaker what status is worth (what this process lacks is noted as
 * the node's last error, and no fault), answers every outstanding request with NULL, schedules the next attempt. */
void mms_link_fail(struct mms_link *link, enum mms_status status, const struct mms_error *error);
/* Closes without blame (shutdown, fenced off). */
void mms_link_drop(struct mms_link *link);

/* Queues a command; false when the window is full, the connection gone, or this process can't queue it (memory; more than
 * MMS_LINK_OUTPUT_MAX): the link stays ready then, and the node's last error says why. The callback is not called. */
bool mms_link_request(struct mms_link *link, const struct mms_command *command, mms_link_reply_fn reply_fn,
		void *context, uint64_t token);
bool mms_link_has_room(const struct mms_link *link, uint32_t requests);

/* Sends what is queued. */
void mms_link_flush(struct mms_link *link);

/* Fails the link when its deadline had passed at the last look already, and few bytes have moved since it was set: a large record
 * takes its time. */
void mms_link_check_deadline(struct mms_link *link);

bool mms_link_ready(const struct mms_link *link);
/* Nodes whose link is ready. */
uint64_t mms_link_ready_mask(const struct mms_office *office);
/* Is the answer to a request of any link still to come? */
bool mms_link_any_asked(const struct mms_office *office);

struct mms_node_sh *mms_link_node(const struct mms_link *link);
/* Since when the node's incarnation has been known here, by any replicator; monotonic. */
int64_t mms_link_met_us(const struct mms_link *link);
uint32_t mms_link_random(struct mms_office *office);
void mms_link_count(struct mms_office *office, enum mms_metric metric);
/* A tmp key that no other write uses; see mms_client_tmp_key(). */
size_t mms_link_tmp_key(struct mms_office *office, char *out, size_t size);

/* Of this host's mailbox and hints: nothing that was there when this incarnation of the node was met is open any more. */
bool mms_link_settled(const struct mms_link *link);

#endif
