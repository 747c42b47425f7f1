/* What runs on the servers: text in Lua, and the SHA-1 under which a server knows it. mms_command sends it. */
#ifndef MMS_SCRIPT_H
#define MMS_SCRIPT_H

#include <stddef.h>

enum mms_script { MMS_SCRIPT_PUT, MMS_SCRIPT_TOUCH, MMS_SCRIPT_DELETE_IF, MMS_SCRIPT_REPLACE_IF,
	MMS_SCRIPT_COUNT };

struct mms_script_source {
	const char *text;
	size_t len;       /* of text */
	const char *sha1; /* in hex; the test compares it with what SCRIPT LOAD answers */
};

const struct mms_script_source *mms_script(enum mms_script script);

#endif
