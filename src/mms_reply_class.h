/* The meaning of server errors. */
#ifndef MMS_REPLY_CLASS_H
#define MMS_REPLY_CLASS_H

#include <stdbool.h>

#include "mms_breaker.h"
#include "mms_node_list.h"
#include "mms_reply.h"

/* What a server error means for us. */
enum mms_reply_class {
	MMS_CLASS_NONE,      /* no error */
	MMS_CLASS_HARD,      /* LOADING, MASTERDOWN, max clients, BUSY: node unusable for now */
	MMS_CLASS_WRITE,     /* OOM, READONLY, MISCONF, NOREPLICAS: readable, not writable */
	MMS_CLASS_AUTH,      /* NOAUTH, WRONGPASS, ERR invalid password, DENIED (protected mode): configuration */
	MMS_CLASS_PERMISSION, /* NOPERM: this user may not do this */
	MMS_CLASS_CLUSTER,   /* MOVED, ASK, CLUSTERDOWN, CROSSSLOT: Redis Cluster mode is refused */
	MMS_CLASS_NOSCRIPT,  /* load and repeat */
	MMS_CLASS_WRONGTYPE, /* the key is not ours */
	MMS_CLASS_OTHER
};

enum mms_reply_class mms_reply_classify(const struct mms_reply *reply);

/* The fault that a breaker is told for this class; classes that are no fault of the node give false. */
bool mms_reply_class_fault(enum mms_reply_class class_, enum mms_fault *fault);

/* The text up to where a server that does not know a command quotes its arguments: ids of sessions, tokens, passwords. */
struct mms_slice mms_reply_class_unquoted(struct mms_slice text);

/* The server's words, for people: printable, cut at size, without what older servers put around an error in a script, and without
 * arguments. */
void mms_reply_class_words(const struct mms_reply *reply, char *out, size_t size);

/* What to do about an error with this text, or these words; NULL when that is not known. */
const char *mms_reply_class_remedy(struct mms_slice text);

/* "OOM command not allowed when used memory > 'maxmemory': <remedy>". The remedy is whole: the words give way to it, and what
 * they say behind their first sentence (mostly another remedy). No dot at the end. remedy may be NULL. */
void mms_reply_class_advise(const char *words, const char *remedy, char *out, size_t size);

/* The message about a node that answered with an error: node, cause and remedy, short enough for a note. */
void mms_reply_class_tell(const struct mms_node_config *node, const char *words, struct mms_error *error);

#endif
