/* WATCH, MULTI and EXEC of a node. */
#ifndef TRANSACTION_H
#define TRANSACTION_H

#include <stdbool.h>

#include "script.h"

struct connection;

/* True when the command belongs to a transaction and has been answered (queued, watched, executed, ...). */
bool transaction_takes(struct node *node, struct connection *connection, const struct argument *arguments,
		unsigned count, struct reply *reply);
/* This key was written, deleted or given another life; key NULL: all keys. */
void transaction_touched(struct node *node, const char *key, size_t len);

#endif
