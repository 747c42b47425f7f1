/* The descriptors that a process's replicator threads have open, so that a forked child can close what it inherited
 * without touching anything else of them. The thread adds and removes; the child, alone in its process, closes. */
#ifndef MMS_DESCRIPTORS_H
#define MMS_DESCRIPTORS_H

#include <stdatomic.h>

#define MMS_DESCRIPTORS_MAX 512

struct mms_descriptors {
	_Atomic int slots[MMS_DESCRIPTORS_MAX]; /* descriptor + 1; 0 = free */
};

/* More than MMS_DESCRIPTORS_MAX are not kept (they are close-on-exec all the same). */
void mms_descriptors_add(struct mms_descriptors *table, int fd);
void mms_descriptors_remove(struct mms_descriptors *table, int fd);
/* In a forked child: closes them all. */
void mms_descriptors_close_all(struct mms_descriptors *table);

#endif
