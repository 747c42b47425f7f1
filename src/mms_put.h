/* What a node made of a put or touch (mms_command.h), from its replies. Pure. */
#ifndef MMS_PUT_H
#define MMS_PUT_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_record.h"
#include "mms_reply_class.h"

enum mms_put_outcome {
	MMS_PUT_STORED,   /* it is there now */
	MMS_PUT_EQUAL,    /* it was there already */
	MMS_PUT_NEWER,    /* something newer stands there, or says so: see header, pttl_ms and damaged */
	MMS_PUT_LACKING,  /* touch: the node lacks this version */
	MMS_PUT_FOREIGN,  /* not ours, or short or with a damaged magic (verify header): left alone */
	MMS_PUT_CHANGED,  /* watched: somebody wrote since the WATCH; new: something stands there. Nothing was done: ask with a
	                   * conditional put */
	MMS_PUT_NOSCRIPT, /* load the scripts and repeat */
	MMS_PUT_ERROR     /* a server error: classify the reply that says so */
};

struct mms_put_result {
	enum mms_put_outcome outcome;
	bool over_unread;                             /* STORED by a put: over a live record of its incarnation that is newer than
	                                               * its base. In a mirror's answer: the writer's own node may
	                                               * have told it already; one copy more is gone (`discards`) */
	unsigned char header[MMS_RECORD_HEADER_SIZE]; /* of what stands there, for NEWER, and FOREIGN if it is a string */
	uint32_t header_len;                          /* bytes of it: fewer than all for a short value, FOREIGN only */
	bool has_header;                              /* header_len is MMS_RECORD_HEADER_SIZE */
	bool damaged;                                 /* NEWER: its length is not what its header says, or it is of the
	                                               * version put, with another header: verify, repeat with expected */
	int64_t pttl_ms;                              /* remaining life of it, for NEWER; -1 = without end */
	enum mms_reply_class error_class;             /* for ERROR */
	char error_text[128];                         /* for ERROR: the server's words, without a remedy */
};

/* mms_command_put(), mms_command_touch(). first: reply to SET (NULL for a touch), second: reply to the script. */
void mms_put_parse(const struct mms_reply *first, const struct mms_reply *second, struct mms_put_result *out);

/* The reply to mms_command_put_new(): STORED, CHANGED (something stands there) or ERROR. */
void mms_put_parse_new(const struct mms_reply *reply, struct mms_put_result *out);

/* mms_command_put_watched(). first: reply to SET within the transaction, second: reply to EXEC. */
void mms_put_parse_watched(const struct mms_reply *first, const struct mms_reply *second,
		struct mms_put_result *out);

#endif
