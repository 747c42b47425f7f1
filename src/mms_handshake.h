/* What a connection says first, and what the server's answers to it mean. */
#ifndef MMS_HANDSHAKE_H
#define MMS_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"
#include "mms_command.h"
#include "mms_reply_class.h"

/* Empty user = password only; neither = no authentication; db 0 needs no word. */
struct mms_login {
	struct mms_slice user, password; /* borrowed */
	uint32_t db;
	bool silent; /* no replies wanted, but for that to AUTH, which must come first */
};

/* Authentication and database as needed, then the scripts. Replies: reply_count of a fresh command; judge each, in order. */
void mms_handshake_command(const struct mms_login *login, struct mms_command *command);

/* Judges reply `index`. MMS_ERR_REFUSED: a server error (mms_reply_classify() has the class); the text names step, cause
 * and, where there is one, the remedy, and never holds the password. MMS_ERR_PROTOCOL: another answer than was asked for. */
enum mms_status mms_handshake_judge(const struct mms_login *login, uint32_t index, const struct mms_reply *reply,
		struct mms_error *error);

#endif
