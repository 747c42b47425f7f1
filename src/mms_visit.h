/* One visitor's request under read = session-token: what he must be shown, what his answer tells him of it, and how far a
 * write has to go before it returns (docs/protocol.md, "Session token").
 *
 *   mms_visit_init(visit, client);   mms_token_set_add(mms_visit_came(visit), ...)
 *   mms_visit_begin(visit, key);     the read, with mms_visit_plan(visit)
 *   mms_visit_read(visit, &answer);  mms_visit_reserve(visit, &version);
 *   each write: mms_visit_take(), mms_visit_reaches_all(), and when it was acknowledged mms_visit_wrote()
 *   mms_visit_end(visit);            nothing more is written
 *   mms_visit_answered(client);      the headers are on their way
 */
#ifndef MMS_VISIT_H
#define MMS_VISIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mms_answer.h"
#include "mms_client.h"
#include "mms_token.h"

struct mms_visit; /* opaque; belongs to one thread */

/* In memory of its owner, of mms_visit_size() bytes, aligned as for malloc; mms_visit_end() is its end too. client is borrowed. */
size_t mms_visit_size(void);
void mms_visit_init(struct mms_visit *visit, struct mms_client *client);

/* Where the tokens go that came with the request. */
struct mms_token_set *mms_visit_came(struct mms_visit *visit);

/* This session is open here from now on; ends what was open. Does nothing when it is open already. */
void mms_visit_begin(struct mms_visit *visit, struct mms_slice key);
const struct mms_token_plan *mms_visit_plan(const struct mms_visit *visit);

/* What the read has found; counts it. */
void mms_visit_read(struct mms_visit *visit, const struct mms_answer *answer);

/* Stamp that this request's versions must be above, as far as the visitor's authentic tokens say; 0 = any. */
uint64_t mms_visit_above(const struct mms_visit *visit);

/* Reserves: the version that the first write of this request will have, should the visitor be told of it before. Its sequence is
 * set here. Nothing is reserved when the visitor is to read all nodes next time in any case, or when this thread has no place:
 * false, version as it was. */
bool mms_visit_reserve(struct mms_visit *visit, struct mms_version *version);

/* The reserved version, once; false when there is none (any more), also because what is written can still be announced, whatever its
 * version (mms_visit_can_announce()), or because its stamp is half a minute old: what has left the
 * mailbox is told by stamps (mms_hosts.h), and an older one would be passed over by the sweep after this host's death. */
bool mms_visit_take(struct mms_visit *visit, struct mms_version *version);

/* Must a write be on all usable nodes before it returns? Yes if the visitor can't be told of it, and if another request of
 * this session is open or unanswered on this host, whose answer may replace this one's token. taken: mms_visit_take() gave its version. */
bool mms_visit_reaches_all(struct mms_visit *visit, bool taken);
/* The same question once more, right after the local node has acknowledged: who begins later reads what was written. */
bool mms_visit_overlaps(const struct mms_visit *visit);

/* Acknowledged: version, and what stood there if that was newer (else NULL). */
void mms_visit_wrote(struct mms_visit *visit, const struct mms_version *version, const struct mms_version *newer);

/* The token for the visitor as things stand; false when there is none (nothing was read). last: no write will follow, so
 * what was reserved and not written is not pending any more. */
bool mms_visit_token(struct mms_visit *visit, bool last, struct mms_token *out);

/* What came and must stay with the visitor beside that token: other pages may yet write what these tell of. First those that
 * go with the place which that token takes, as many as *replaced says, then those that have cookies of their own. Returns how
 * many; borrows from the set. Together with the token they are no more than a set takes. */
unsigned mms_visit_beside(const struct mms_visit *visit, const struct mms_token *out[MMS_TOKEN_SLOTS], unsigned *replaced);

/* can: what mms_visit_token() gives after a write can still be sent. is: what it gave last is on its way; false when it is no
 * more. */
void mms_visit_can_announce(struct mms_visit *visit, bool can);
void mms_visit_announced(struct mms_visit *visit, bool is);

/* Nothing is open any more. What was read or written last counts as unanswered until mms_visit_answered(). */
void mms_visit_end(struct mms_visit *visit);

/* The headers are on their way: the visitor has the tokens of all that this thread has ended, or will have them before those
 * of what begins now. Also when the visit is gone. */
void mms_visit_answered(struct mms_client *client);

#endif
