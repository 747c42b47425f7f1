/* How far a repair scan has come, in shared memory: the process that scans may end at any time, as php-fpm's workers do, and so
 * may its turn as the replicator; whoever succeeds it goes on from here. One checkpoint per cluster, of the scan that was begun
 * last. Believed only as a whole, by its checksums: one that was being written when its writer died, and one that two have
 * written at once (one of them stopped before, and late), are none. */
#ifndef MMS_CHECKPOINT_H
#define MMS_CHECKPOINT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mms_keyset.h"

#define MMS_CHECKPOINT_WORDS 24
#define MMS_CHECKPOINT_TOKEN 40
#define MMS_CHECKPOINT_TEXT_MAX (4u << 20)

struct mms_checkpoint {
	uint64_t target, incarnation, mask, done_mask, since_ms, dead_us, begun_us, overflows, wanted; /* as in struct mms_pass */
	uint64_t salt;               /* of the keys that this scan has compared */
	uint64_t source;             /* node whose keys are being walked */
	uint64_t source_run;         /* hash of its run_id: a cursor means nothing to another server */
	uint64_t cursor;             /* of SCAN: all keys before it have been compared; 0 = none has */
	uint64_t text_len, text_check; /* as mms_checkpoint_save_text() gave them: which text this goes with */
	char token[MMS_CHECKPOINT_TOKEN]; /* of the lease, with its end; empty = none */
};

/* Zeroed: no checkpoint. */
struct mms_checkpoint_sh {
	_Atomic uint64_t words[MMS_CHECKPOINT_WORDS];           /* of the struct, with checksums; the replicator */
	_Atomic uint64_t text[MMS_CHECKPOINT_TEXT_MAX / 8];     /* what goes with it; the replicator */
	struct mms_keyset_sh compared;
};

/* Replaces it; the text stays what it is: if that is another's by now, there is no checkpoint. */
void mms_checkpoint_save(struct mms_checkpoint_sh *shared, const struct mms_checkpoint *checkpoint);
/* Replaces both, and says in *checkpoint which text it is. False when the text is too long: there is no checkpoint then. */
bool mms_checkpoint_save_text(struct mms_checkpoint_sh *shared, struct mms_checkpoint *checkpoint, struct mms_slice text);
/* False when there is none. *text is NUL-terminated and the caller's to free. Values are as somebody wrote them: any. */
bool mms_checkpoint_load(const struct mms_checkpoint_sh *shared, struct mms_checkpoint *out, char **text, size_t *len);
void mms_checkpoint_drop(struct mms_checkpoint_sh *shared);

#endif
