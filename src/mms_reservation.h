/* Reservations: which requests of this host are open, and which of them may still write a version that their visitor has
 * been told of already (docs/protocol.md, "Session token"). A table in shared memory; each place in it belongs to one
 * request thread and cluster until they end. Its owner's process is known by its id and the moment of its start, so a
 * successor with the same id is told apart. (No robust mutex: held for life, its list pointers would stand in shared
 * memory, where a damaged mapping could send this process anywhere.)
 *
 *   place = mms_reservation_claim(table);          once per thread and cluster
 *   mms_reservation_begin(table, place, session);  before the session is read
 *   sequence = mms_reservation_take(place, &shm->write_sequence);
 *   ... the write is in the mailbox or is a hint, or there is none ...
 *   mms_reservation_close(place);                  nothing more will be written
 *   mms_reservation_end(place);                    the answer is on its way
 */
#ifndef MMS_RESERVATION_H
#define MMS_RESERVATION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mms_base.h"
#include "mms_closed.h"

#define MMS_RESERVATIONS_MAX 1024u /* request threads x clusters of a host; more do without */
#define MMS_RESERVATION_MASK ((UINT64_C(1) << 48) - 1)

struct mms_reservation_sh {
	_Atomic uint64_t owner;      /* start << 32 | process id, 0 = free; by CAS */
	_Atomic uint64_t session;    /* 0 = no request is open, and none unanswered; the owner, and who has just taken the place from a
	                              * dead one */
	_Atomic uint64_t earlier;    /* one that the same request had before; all bits: several; 0 = none; as session */
	_Atomic uint64_t sequence;   /* 0 = none; 1 << 63 | lower bound while it is being fetched; as session */
	_Atomic uint64_t overlapped; /* 1: another request of this session was open or unanswered here meanwhile; whoever begins */
};

struct mms_reservations_sh {
	_Atomic uint32_t used;       /* places ever claimed are below it; who claims */
	_Atomic int64_t full_us;     /* monotonic; when all owners were looked at in vain, 0 = never; who claims */
	struct mms_reservation_sh places[MMS_RESERVATIONS_MAX];
};

/* A place for the calling thread, NULL when all are taken. A few system calls, and at most once a second three for each place: whether
 * its owner lives. */
struct mms_reservation_sh *mms_reservation_claim(struct mms_reservations_sh *table);
/* By a thread of the process that claimed it; NULL is fine. A child forked from it must forget the place instead. */
void mms_reservation_release(struct mms_reservation_sh *place);

/* A request of this session begins; all others of it that are open or unanswered here are told, and so is this one. */
void mms_reservation_begin(struct mms_reservations_sh *table, struct mms_reservation_sh *place, uint64_t session);
/* The next sequence of this mapping, reserved until the end. */
uint64_t mms_reservation_take(struct mms_reservation_sh *place, _Atomic uint64_t *counter);
/* The request writes nothing more. Its answer, with a token of what it has read, may still take the place of another's. */
void mms_reservation_close(struct mms_reservation_sh *place);
/* Its answer is on its way to the visitor, or none will come. */
void mms_reservation_end(struct mms_reservation_sh *place);

/* Was another request of this session open or unanswered here since this one began? One that begins later reads what the caller has had
 * acknowledged before the call. */
bool mms_reservation_overlapped(const struct mms_reservation_sh *place);

/* `highest` and `open` as they are now; `above` is left alone. Whatever a reservation that is closed by this has written is
 * in the mailbox, or is a hint, when this returns. */
void mms_reservation_snapshot(const struct mms_reservations_sh *table, const _Atomic uint64_t *counter,
		struct mms_closed *out);

/* Frees the places of dead processes: nobody is there to write what they left open. Returns how many. A system call or
 * four for each place whose request is open; none otherwise. */
unsigned mms_reservation_reap(struct mms_reservations_sh *table);

#endif
