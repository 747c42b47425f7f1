/* The facade that the PHP glue sees: one open session handler, its state between read and write, and the rules that
 * need both (blind records, incarnations, write guard, unchanged data).
 *
 *   store = mms_store_new(client);               one per open handler
 *   mms_store_read(...); mms_store_write(...) or mms_store_touch(...) or mms_store_destroy(...)
 *   mms_store_end(store);                        at close: forgets the session
 */
#ifndef MMS_STORE_H
#define MMS_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"
#include "mms_client.h"
#include "mms_visit.h"

struct mms_store; /* opaque; belongs to one thread */

/* client is borrowed, and must live until mms_store_free(); it keeps the memory for the next one. NULL when memory is short. */
struct mms_store *mms_store_new(struct mms_client *client);
void mms_store_free(struct mms_store *store);

/* Forgets the session and its payload, keeps the connections. */
void mms_store_end(struct mms_store *store);

/* The visitor's side of it with read = session-token, NULL otherwise. Give it what came with the request before anything is
 * read; what his answer is to tell is asked of it after that. The store begins and ends it. */
struct mms_visit *mms_store_visit(struct mms_store *store);

/* True for ids that may become a key: 1..MMS_SESSION_ID_MAX of [A-Za-z0-9,-]. */
bool mms_store_id_valid(struct mms_slice id);

/* Reads a session. The first one is the session that is open here until mms_store_end(): it keeps its lock and what its writes build
 * on, whatever is read, written or destroyed beside it. Of other ids one is held at a time, without a lock; with session-token
 * their writes go to all nodes. An id that mms_store_created() was asked about takes the open session's place. MMS_OK: *payload
 * (borrowed until the next call on this store) is its data, empty for a session that does not exist or was destroyed; *exists
 * tells. With import_prefix it may be another handler's data, of which any write or touch makes a record. MMS_ERR_NO_NODE: could
 * not be read, and can't be written until a read succeeds. MMS_ERR_FOREIGN: the key holds something that is not ours. An answer
 * that exists() or created() fetched for this id is used up instead of a second round trip. */
enum mms_status mms_store_read(struct mms_store *store, struct mms_slice id, struct mms_slice *payload, bool *exists,
		struct mms_error *error);

enum mms_verdict_id { MMS_ID_KNOWN, MMS_ID_UNKNOWN, MMS_ID_UNCERTAIN };
/* Strict mode's question. UNKNOWN only on a tombstone, a foreign key, an id just created here, or a "no" by a majority
 * of all nodes that are complete. The answer is kept for the read that follows. */
enum mms_verdict_id mms_store_exists(struct mms_store *store, struct mms_slice id);

/* An id was created here: asks the nodes (for the collision check and the read that follows, in one round trip). True
 * when nothing is known to stand there. */
bool mms_store_created(struct mms_store *store, struct mms_slice id);

/* Stores changed data. lifetime_s: session.gc_maxlifetime, used when settings' lifetime is 0. MMS_OK also when a logout
 * elsewhere came first (the data is dropped and counted). MMS_ERR_NO_NODE, MMS_ERR_GUARD, MMS_ERR_FOREIGN otherwise. */
enum mms_status mms_store_write(struct mms_store *store, struct mms_slice id, struct mms_slice payload,
		int64_t lifetime_s, struct mms_error *error);

/* The data is what was read (payload, given again): prolongs its life if that is due. Brings back a session that
 * vanished meanwhile, and makes a blind record real after an authoritative read. After a write or touch that failed, what was
 * read may not be what is stored: then it is a write. */
enum mms_status mms_store_touch(struct mms_store *store, struct mms_slice id, struct mms_slice payload,
		int64_t lifetime_s, struct mms_error *error);

/* Destroys the session on all usable nodes; MMS_OK when at least one took it (or there was nothing and nothing could be
 * asked for in vain). */
enum mms_status mms_store_destroy(struct mms_store *store, struct mms_slice id, int64_t lifetime_s,
		struct mms_error *error);

/* This is the session that mms_store_read() was called for first: the one that PHP has open, of which the visitor is told. */
bool mms_store_is_open(const struct mms_store *store, struct mms_slice id);

/* True when this session was read here and there is none (no node has it, or it was destroyed): it needs no key as long as
 * it is empty. Not where another handler left something, which would be read again. */
bool mms_store_is_new(const struct mms_store *store, struct mms_slice id);

#endif
