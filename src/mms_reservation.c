/* The table of open requests. Its difficulty is the moment between two instructions: a sequence must never have been fetched
 * without standing in the table. So a lower bound stands there first; a snapshot reads the counter first and the table
 * after, both in the one order of sequentially consistent operations: a sequence up to the counter it saw was fetched
 * before, and then the bound is seen too. Whoever is killed in between leaves his bound, until somebody reaps. */
#include "mms_reservation.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "mms_clock.h"
#include "mms_lock.h"

#define BOUND (UINT64_C(1) << 63) /* marks a lower bound */
#define ANY_SESSION UINT64_MAX
#define FULL_US 1000000           /* until owners are looked at again */
#define STAT_START_FIELD 22       /* of /proc/<pid>/stat, see proc(5) */

struct life {
	bool known; /* there is a /proc to ask */
	char state;
	uint32_t start; /* clock ticks since boot, their lower half */
};

static uint32_t used_places(const struct mms_reservations_sh *table);
static void close_place(struct mms_reservation_sh *place);
static bool is_dead(uint64_t owner);
static bool take_from_dead(struct mms_reservation_sh *place, uint64_t me, uint64_t heir);
static uint64_t own_name(void);
static struct life life_of(pid_t pid);

/* All are taken, and a moment ago by the living: to look at each costs milliseconds, and every request may ask. */
static bool is_full(const struct mms_reservations_sh *table)
{
	const int64_t full_us = atomic_load(&table->full_us), age_us = full_us == 0 ? -1 : mms_clock_mono().us - full_us;

	if (age_us < 0 || age_us >= FULL_US) {
		return false;
	}
	for (uint32_t i = 0; i < MMS_RESERVATIONS_MAX; i++) {
		if (atomic_load(&table->places[i].owner) == 0) {
			return false;
		}
	}
	return true;
}

struct mms_reservation_sh *mms_reservation_claim(struct mms_reservations_sh *table)
{
	uint64_t me;

	if (is_full(table)) {
		return NULL;
	}
	me = own_name();
	for (uint32_t i = 0; i < MMS_RESERVATIONS_MAX; i++) {
		uint32_t used = atomic_load(&table->used);
		uint64_t nobody = 0;

		if (!atomic_compare_exchange_strong(&table->places[i].owner, &nobody, me)) {
			continue;
		}
		while (used <= i && !atomic_compare_exchange_weak(&table->used, &used, i + 1)) {
			/* somebody else raised it: bounded by the size of the table */
		}
		return &table->places[i];
	}
	for (uint32_t i = 0; i < MMS_RESERVATIONS_MAX; i++) {
		if (take_from_dead(&table->places[i], me, me)) {
			return &table->places[i];
		}
	}
	atomic_store(&table->full_us, mms_clock_mono().us);
	return NULL;
}

void mms_reservation_release(struct mms_reservation_sh *place)
{
	/* A child that was forked has the place of its parent, which goes on with it. */
	if (place != NULL && (uint32_t)atomic_load(&place->owner) == (uint32_t)getpid()) {
		close_place(place);
		atomic_store(&place->owner, 0);
	}
}

/* Of a request with several sessions, all are unanswered until its headers go: one is kept, more count as any. */
static void keep_earlier(struct mms_reservation_sh *place, uint64_t session)
{
	const uint64_t last = atomic_load(&place->session), earlier = atomic_load(&place->earlier);

	if (last != 0 && last != session && last != earlier) {
		atomic_store(&place->earlier, earlier == 0 ? last : ANY_SESSION);
	}
}

static bool is_at(const struct mms_reservation_sh *place, uint64_t session)
{
	const uint64_t earlier = atomic_load(&place->earlier);

	return atomic_load(&place->session) == session || earlier == session || earlier == ANY_SESSION;
}

/* Two that begin at the same time: each says so before it looks, so at least one of them sees the other. */
void mms_reservation_begin(struct mms_reservations_sh *table, struct mms_reservation_sh *place, uint64_t session)
{
	uint32_t used;

	atomic_store_explicit(&place->overlapped, 0, memory_order_relaxed);
	keep_earlier(place, session);
	MMS_TEST_POINT("beginning");
	atomic_store(&place->session, session);
	used = used_places(table); /* read after that: who claims a place from here on sees this session */
	for (uint32_t i = 0; i < used; i++) {
		if (&table->places[i] != place && is_at(&table->places[i], session)) {
			atomic_store(&table->places[i].overlapped, 1);
			atomic_store(&place->overlapped, 1);
		}
	}
}

uint64_t mms_reservation_take(struct mms_reservation_sh *place, _Atomic uint64_t *counter)
{
	uint64_t sequence;

	atomic_store(&place->sequence, BOUND | ((atomic_load(counter) + 1) & MMS_RESERVATION_MASK));
	MMS_TEST_POINT("bound");
	sequence = (atomic_fetch_add(counter, 1) + 1) & MMS_RESERVATION_MASK;
	MMS_TEST_POINT("fetched");
	atomic_store(&place->sequence, sequence);
	return sequence;
}

void mms_reservation_close(struct mms_reservation_sh *place)
{
	atomic_store(&place->sequence, 0);
}

void mms_reservation_end(struct mms_reservation_sh *place)
{
	close_place(place);
}

bool mms_reservation_overlapped(const struct mms_reservation_sh *place)
{
	return atomic_load(&place->overlapped) != 0;
}

void mms_reservation_snapshot(const struct mms_reservations_sh *table, const _Atomic uint64_t *counter,
		struct mms_closed *out)
{
	const uint64_t highest = atomic_load(counter) & MMS_RESERVATION_MASK;
	const uint32_t used = used_places(table);

	out->highest = highest;
	out->open_count = 0;
	for (uint32_t i = 0; i < used; i++) {
		const uint64_t found = atomic_load(&table->places[i].sequence);

		if (found == 0) {
			continue;
		}
		if ((found & BOUND) == 0) {
			if (found <= highest) {
				mms_closed_add_open(out, found);
			}
		} else if ((found & ~BOUND) - 1 < out->highest) {
			out->highest = (found & ~BOUND) - 1;
		}
	}
	while (out->open_count > 0 && out->open[out->open_count - 1] > out->highest) {
		out->open_count--;
	}
}

unsigned mms_reservation_reap(struct mms_reservations_sh *table)
{
	const uint32_t used = used_places(table);
	unsigned reaped = 0;
	uint64_t me = 0;

	for (uint32_t i = 0; i < used; i++) {
		struct mms_reservation_sh *place = &table->places[i];

		if (atomic_load(&place->sequence) != 0 || atomic_load(&place->session) != 0) {
			me = me == 0 ? own_name() : me;
			reaped += take_from_dead(place, me, 0) ? 1 : 0;
		}
	}
	return reaped;
}

/* What stands in the mapping is checked before it is an index. */
static uint32_t used_places(const struct mms_reservations_sh *table)
{
	const uint32_t used = atomic_load(&table->used);

	return used < MMS_RESERVATIONS_MAX ? used : MMS_RESERVATIONS_MAX;
}

/* The sequence first: once the session is gone, nothing of this request is open. */
static void close_place(struct mms_reservation_sh *place)
{
	atomic_store(&place->sequence, 0);
	atomic_store(&place->earlier, 0);
	atomic_store(&place->session, 0);
}

static bool is_dead(uint64_t owner)
{
	const pid_t pid = (pid_t)(uint32_t)owner;
	struct life life;

	if (pid <= 0) {
		return true; /* nobody, or nothing that anybody wrote on purpose */
	}
	if (kill(pid, 0) != 0 && errno == ESRCH) {
		return true;
	}
	life = life_of(pid);
	/* No start: the owner could not tell it (a chroot without /proc, no descriptor left). */
	return life.known && (life.state == 'Z' || life.state == 'X' || (owner >> 32 != 0 && life.start != (uint32_t)(owner >> 32)));
}

static uint64_t own_name(void)
{
	return (uint64_t)life_of(getpid()).start << 32 | (uint32_t)getpid();
}

/* Two may find the same owner dead: whoever has the place marked as being cleared clears it. */
static bool take_from_dead(struct mms_reservation_sh *place, uint64_t me, uint64_t heir)
{
	uint64_t owner = atomic_load(&place->owner);

	if (owner == 0 || owner == me || !is_dead(owner) || !atomic_compare_exchange_strong(&place->owner, &owner, me)) {
		return false;
	}
	close_place(place);
	atomic_store(&place->owner, heir);
	return true;
}

/* "pid (name) S ppid ...": the name may hold anything, so fields are counted from its closing parenthesis. */
static struct life life_of(pid_t pid)
{
	struct life life = { false, '?', 0 };
	char path[32], text[512];
	ssize_t len = -1;
	const char *at;
	int fd;

	(void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		len = read(fd, text, sizeof text - 1);
		(void)close(fd);
	}
	if (len <= 0) {
		return life;
	}
	text[len] = '\0';
	at = strrchr(text, ')');
	for (int field = 2; at != NULL && field < STAT_START_FIELD; field++) {
		at = strchr(at + 1, ' ');
		if (at != NULL && field == 2) {
			life.state = at[1];
		}
	}
	if (at != NULL) {
		life.start = (uint32_t)strtoull(at, NULL, 10);
		life.known = true;
	}
	return life;
}
