/* The difficulty is that an owner may die, be stopped for minutes, or leave at any instruction: his seat's robust mutex tells
 * of death, his heartbeat of a stop. Who stands by sleeps on that mutex, so that the kernel wakes him. */
#include "mms_election.h"

#include <unistd.h>

#include "mms_lock.h"
#include "mms_mailbox.h"
#include "mms_metrics.h"

#define LATE_US 500000  /* beyond a stale heartbeat: owners beat every second, so this makes a look every two seconds */
#define SOON_US 500000  /* the heartbeat is stale, and yet the seat could not be taken */

bool mms_election_win(struct mms_candidate *candidate, uint8_t *epoch)
{
	struct mms_cluster_sh *cluster = candidate->cluster;
	struct mms_election_sh *election = &cluster->election;
	struct mms_mono now = mms_clock_mono();
	const uint32_t word = atomic_load(&election->seat), seat = word % MMS_ELECTION_SEATS; /* the same, but for a damaged mapping */
	bool stale = mms_clock_apart(now.us, atomic_load(&election->beat_us)) > MMS_ELECTION_STALE_US;

	for (uint32_t k = 0; k < (stale ? MMS_ELECTION_SEATS : 1); k++) {
		uint32_t free_one = (seat + k) % MMS_ELECTION_SEATS, expected = word;

		if (mms_lock_try(&election->seats[free_one]) == MMS_LOCK_BUSY) {
			continue;
		}
		if (!atomic_compare_exchange_strong(&election->seat, &expected, free_one)) {
			mms_lock_release(&election->seats[free_one]); /* somebody else succeeded him */
			return false;
		}
		candidate->seat = free_one;
		now = mms_clock_mono(); /* it may have taken long to come here */
		atomic_store(&election->beat_us, now.us);
		atomic_store(&election->since_us, now.us);
		atomic_store(&election->owner_pid, getpid());
		*epoch = mms_mailbox_take_over(&cluster->mailbox);
		mms_metrics_add(&cluster->metrics, MMS_METRIC_takeovers, 1);
		if (candidate->standing_by) {
			atomic_store(&election->standby_beat_us, 0);
			mms_election_withdraw(candidate);
		}
		return true;
	}
	return false;
}

void mms_election_resign(struct mms_candidate *candidate)
{
	struct mms_cluster_sh *cluster = candidate->cluster;
	struct mms_election_sh *election = &cluster->election;

	if (atomic_load(&election->seat) == candidate->seat) {
		atomic_store(&election->owner_pid, 0);
		atomic_store(&election->beat_us, 0);
	}
	/* Producers must not believe that somebody is awake. */
	(void)mms_mailbox_fall_asleep(&cluster->mailbox, mms_mailbox_head(&cluster->mailbox));
	mms_lock_release(&election->seats[candidate->seat]);
	candidate->seat = MMS_ELECTION_NO_SEAT;
}

bool mms_election_stand_by(struct mms_candidate *candidate)
{
	struct mms_election_sh *election = &candidate->cluster->election;

	if (!candidate->standing_by) {
		/* Who asks whether the role is free holds it for a moment. */
		if (mms_lock_spin(&election->standby) == MMS_LOCK_BUSY) {
			return false;
		}
		candidate->standing_by = true;
	}
	atomic_store(&election->standby_beat_us, mms_clock_mono().us);
	return true;
}

void mms_election_withdraw(struct mms_candidate *candidate)
{
	if (candidate->standing_by) {
		candidate->standing_by = false;
		mms_lock_release(&candidate->cluster->election.standby);
	}
}

bool mms_election_watch(const struct mms_candidate *candidate)
{
	struct mms_election_sh *election = &candidate->cluster->election;
	int64_t now_us = mms_clock_mono().us;
	struct mms_mono until = { atomic_load(&election->beat_us) + MMS_ELECTION_STALE_US + LATE_US };

	/* A beat of the future is a damaged one. */
	if (until.us <= now_us || until.us > now_us + MMS_ELECTION_STALE_US + LATE_US) {
		until.us = now_us + SOON_US;
	}
	return mms_lock_watch(&election->seats[atomic_load(&election->seat) % MMS_ELECTION_SEATS], until);
}

void mms_election_rouse(struct mms_cluster_sh *cluster)
{
	for (uint32_t k = 0; k < MMS_ELECTION_SEATS; k++) {
		mms_lock_rouse(&cluster->election.seats[k]);
	}
}

bool mms_election_has_standby(struct mms_cluster_sh *cluster, struct mms_mono now)
{
	struct mms_election_sh *election = &cluster->election;

	return mms_clock_apart(now.us, atomic_load_explicit(&election->standby_beat_us, memory_order_relaxed))
			<= MMS_ELECTION_STANDBY_STALE_US && !mms_lock_is_free(&election->standby);
}

bool mms_election_vacant(struct mms_cluster_sh *cluster, struct mms_mono now, bool standby_too)
{
	struct mms_election_sh *election = &cluster->election;

	return mms_clock_apart(now.us, atomic_load_explicit(&election->beat_us, memory_order_relaxed)) > MMS_ELECTION_STALE_US
			|| (standby_too && !mms_election_has_standby(cluster, now))
			|| mms_lock_is_free(&election->seats[atomic_load(&election->seat) % MMS_ELECTION_SEATS]);
}
