/* A connection watches one key at a time, and queues few commands: more is a finding. */
#include "transaction.h"

#include <stdlib.h>
#include <string.h>

#include "net.h"
#include "world.h"

static bool is(const struct argument *argument, const char *word)
{
	return argument->len == strlen(word) && memcmp(argument->ptr, word, argument->len) == 0;
}

static void unwatch(struct node *node, struct connection *connection)
{
	for (struct connection **link = &node->watchers; *link != NULL; link = &(*link)->transaction.next_watcher) {
		if (*link == connection) {
			*link = connection->transaction.next_watcher;
			break;
		}
	}
	connection->transaction.watching = connection->transaction.changed = false;
}

static void watch(struct node *node, struct connection *connection, const struct argument *key)
{
	struct transaction *transaction = &connection->transaction;

	if (transaction->watching || key->len > sizeof transaction->key) {
		world_fail("a connection watches two keys: what the first was watched for decides about the second");
	}
	transaction->watching = true;
	memcpy(transaction->key, key->ptr, key->len);
	transaction->key_len = key->len;
	transaction->watched_expiry = node_find(node, key->ptr, key->len) != NULL
			? node_find(node, key->ptr, key->len)->expires_at : NODE_NO_EXPIRY;
	transaction->next_watcher = node->watchers;
	node->watchers = connection;
}

void transaction_touched(struct node *node, const char *key, size_t len)
{
	for (struct connection *one = node->watchers; one != NULL; one = one->transaction.next_watcher) {
		if (key == NULL || (one->transaction.key_len == len && memcmp(one->transaction.key, key, len) == 0)) {
			one->transaction.changed = true;
		}
	}
}

static void queue(struct node *node, struct transaction *transaction, const struct argument *arguments, unsigned count,
		struct reply *reply)
{
	if (node->refuses_writes) {
		transaction->failed = true;
		reply_printf(reply, "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
		return;
	}
	if (!is(&arguments[0], "SET") || count != 5 || !is(&arguments[3], "PX") || transaction->queued) {
		world_fail("the simulated node does not know this transaction: %.*s", (int)arguments[0].len, arguments[0].ptr);
	}
	transaction->queued = true;
	transaction->set_key = memcpy(malloc(arguments[1].len + 1), arguments[1].ptr, arguments[1].len);
	transaction->set_key_len = arguments[1].len;
	transaction->value = memcpy(malloc(arguments[2].len + 1), arguments[2].ptr, arguments[2].len);
	transaction->value_len = arguments[2].len;
	transaction->ttl_ms = strtoll(arguments[4].ptr, NULL, 10);
	reply_printf(reply, "+QUEUED\r\n");
}

static void execute(struct node *node, struct connection *connection, struct reply *reply)
{
	struct transaction *transaction = &connection->transaction;
	bool expired = transaction->watching && transaction->watched_expiry <= sched_now();
	bool refused = transaction->changed || expired;

	transaction->open = false;
	unwatch(node, connection);
	if (transaction->failed) {
		reply_printf(reply, "-EXECABORT Transaction discarded because of previous errors.\r\n");
	} else if (refused) {
		reply_printf(reply, "*-1\r\n");
	} else if (!transaction->queued) {
		reply_printf(reply, "*0\r\n");
	} else {
		node_set(node, transaction->set_key, transaction->set_key_len, transaction->value, transaction->value_len,
				sched_now() + transaction->ttl_ms * 1000);
		reply_printf(reply, "*1\r\n+OK\r\n");
	}
	transaction->failed = transaction->queued = false;
}

bool transaction_takes(struct node *node, struct connection *connection, const struct argument *arguments,
		unsigned count, struct reply *reply)
{
	struct transaction *transaction = &connection->transaction;

	if (is(&arguments[0], "EXEC")) {
		if (transaction->open) {
			execute(node, connection, reply);
		} else {
			reply_printf(reply, "-ERR EXEC without MULTI\r\n");
		}
	} else if (transaction->open) {
		queue(node, transaction, arguments, count, reply);
	} else if (is(&arguments[0], "MULTI")) {
		transaction->open = true;
		reply_printf(reply, "+OK\r\n");
	} else if (is(&arguments[0], "WATCH")) {
		watch(node, connection, &arguments[1]);
		reply_printf(reply, "+OK\r\n");
	} else if (is(&arguments[0], "UNWATCH")) {
		unwatch(node, connection);
		reply_printf(reply, "+OK\r\n");
	} else {
		return false;
	}
	return true;
}
