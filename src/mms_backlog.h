/* What this host has acknowledged and not delivered yet, seen as one more copy of a session: its mailbox. When the local node
 * is lost or emptied in those milliseconds, no node has it. For the request thread. */
#ifndef MMS_BACKLOG_H
#define MMS_BACKLOG_H

#include "mms_shm.h"

#define MMS_BACKLOG_FEW 16            /* entries that every read may look through */
#define MMS_BACKLOG_MANY (1u << 17)   /* those of a read whose local node has no copy: some milliseconds */

struct mms_backlog {
	bool found;
	bool whole;                       /* all entries were looked at */
	uint64_t tail;                    /* of the mailbox, when the look began */
	uint64_t position;                /* of the newest entry with this key */
	struct mms_record_header header;  /* its record's */
	int64_t ttl_ms;                   /* remaining life */
};

/* Looks through at most entries_max entries for the newest record of this key that has some life left and, at `now`, a stamp that
 * can be believed. To be asked before the nodes are: what is passed later was not there for their answers. */
void mms_backlog_find(const struct mms_cluster_sh *cluster, struct mms_slice key, struct mms_wall now, unsigned entries_max,
		struct mms_backlog *out);

/* The same with MMS_BACKLOG_MANY; what was found before stays unless there is something newer. True when entries were passed
 * since the first look: the nodes may have got them after they answered. */
bool mms_backlog_find_more(const struct mms_cluster_sh *cluster, struct mms_slice key, struct mms_wall now,
		struct mms_backlog *backlog);

/* The record that was found, header and payload, checked: *len bytes that the caller frees. NULL when the entry was passed
 * meanwhile (the nodes have it now), or there is no memory. */
char *mms_backlog_take(const struct mms_cluster_sh *cluster, struct mms_slice key, const struct mms_backlog *backlog,
		size_t *len);

#endif
