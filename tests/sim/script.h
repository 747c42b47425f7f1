/* The scripts, in a real Lua 5.1 with what Redis gives them. */
#ifndef SCRIPT_H
#define SCRIPT_H

#include <stdbool.h>
#include <stddef.h>

#include "node.h"

struct argument {
	const char *ptr;
	size_t len;
};

/* RESP being written. */
struct reply {
	char *bytes;
	size_t len, size;
};
void reply_raw(struct reply *reply, const char *bytes, size_t len);
void reply_printf(struct reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reply_bulk(struct reply *reply, const char *bytes, size_t len);

/* Index of the script with this text or SHA-1, -1 = none. */
int script_by_text(const char *text, size_t len);
int script_by_sha1(const char *sha1, size_t len);

/* EVALSHA: runs it on the node, appends its answer. */
void script_run(struct node *node, int script, const struct argument *keys, unsigned key_count,
		const struct argument *arguments, unsigned argument_count, struct reply *reply);

#endif
