/* Putting one record on the nodes, from the request thread: into the mailbox first, then onto as many nodes as must
 * have acknowledged before PHP gets its answer (docs/protocol.md, "Operations" and rule k). */
#ifndef MMS_WRITE_H
#define MMS_WRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_answer.h"
#include "mms_client.h"
#include "mms_record.h"

struct mms_write_order {
	enum mms_parcel_kind kind;
	struct mms_slice key;
	const unsigned char *header_bytes;   /* of the record, or of the version to touch */
	struct mms_slice payload;            /* of the record; for a touch: to bring it back where it is lacking */
	uint64_t ttl_ms;
	uint64_t have_mask;                  /* nodes that are known to hold it: not asked, counted as acknowledged */
	uint32_t acks_needed;                /* nodes that must have it before this returns success */
	bool everywhere;                     /* tombstone: all usable nodes are tried, however few are needed */
	struct mms_watched watched;          /* of the answer that the record is based on; not for a tombstone */
};

struct mms_write_result {
	uint64_t acked_mask;                 /* nodes that hold it, or something newer */
	bool met_newer;                      /* some node held something newer: the newest such header is `newer` */
	struct mms_record_header newer;
	bool over_unread;                    /* on some node it replaced a live record that its request had not read */
	bool foreign;                        /* some node held something that is not ours */
	struct mms_error error;              /* unless OK: how many took it, and why the others did not */
};

/* MMS_OK when enough nodes acknowledged, MMS_ERR_NO_NODE otherwise (the mailbox may still deliver), MMS_ERR_FOREIGN when
 * none did and one holds a foreign key. Ends at deadline at the latest. */
enum mms_status mms_write_record(struct mms_client *client, const struct mms_write_order *order,
		struct mms_mono deadline, struct mms_write_result *result);

#endif
