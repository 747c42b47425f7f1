/* A pass counts only for what was known when the first of them began: a node that has become another since, or that is known
 * to miss more, is compared with everybody again. */
#include "mms_passes.h"

#include <stdlib.h>

#include "mms_aftermath.h"
#include "mms_scanned.h"

#define SHARE_US 60000000         /* between scans of a node that not all hosts know */

void mms_passes_init(struct mms_passes *passes, struct mms_office *office, struct mms_hosts *hosts)
{
	*passes = (struct mms_passes){ .office = office, .hosts = hosts };
}

void mms_passes_fini(struct mms_passes *passes)
{
	for (unsigned i = 0; i <= MMS_NODES_MAX; i++) {
		mms_notes_free(&passes->each[i].notes);
		free(passes->each[i].roll);
	}
}

uint64_t mms_passes_all_mask(const struct mms_office *office)
{
	return office->node_count >= 64 ? UINT64_MAX : (UINT64_C(1) << office->node_count) - 1;
}

static bool is_sweep(const struct mms_passes *passes, unsigned target)
{
	return target == passes->office->node_count;
}

uint64_t mms_passes_able_mask(const struct mms_office *office)
{
	uint64_t mask = mms_link_ready_mask(office);

	for (unsigned i = 0; i < office->node_count; i++) {
		mask &= mms_breaker_allows_write(&office->cluster->nodes[i].breaker) ? UINT64_MAX : ~(UINT64_C(1) << i);
	}
	return mask;
}

/* Is there a reason to compare this node with all others, or all with all? */
static bool is_needed(const struct mms_passes *passes, unsigned target)
{
	const struct mms_office *office = passes->office;
	const struct mms_node_sh *shared = &office->cluster->nodes[target];
	uint64_t since_ms;

	if (is_sweep(passes, target)) {
		return mms_aftermath_dirty(passes->hosts, &since_ms) || mms_aftermath_sweep_due(passes->hosts);
	}
	return atomic_load(&shared->complete) == 0 || mms_hints_overflowed(&office->cluster->hints, target)
			|| atomic_load(&shared->repair.wanted) != atomic_load(&shared->repair.served)
			|| mms_aftermath_left_behind(passes->hosts, target)
			|| (mms_hosts_must_share(passes->hosts, target)
				&& office->now.us - atomic_load(&shared->repair.ended_us) > SHARE_US);
}

static uint64_t incarnation_of(const struct mms_office *office, unsigned node)
{
	const struct mms_node_sh *shared = &office->cluster->nodes[node];

	return atomic_load(&shared->run_hash) * 31 + atomic_load(&shared->node_id);
}

/* What a scan that began now would know. */
static struct mms_pass fresh_pass(const struct mms_passes *passes, unsigned target)
{
	struct mms_office *office = passes->office;
	struct mms_pass fresh = { .mask = mms_passes_all_mask(office) };
	uint64_t since_ms;

	if (!is_sweep(passes, target)) {
		fresh.incarnation = incarnation_of(office, target);
		fresh.overflows = mms_hints_overflow_count(&office->cluster->hints, target);
		fresh.wanted = atomic_load(&office->cluster->nodes[target].repair.wanted);
		return fresh;
	}
	for (unsigned i = 0; i < office->node_count; i++) {
		fresh.incarnation = fresh.incarnation * 131 + incarnation_of(office, i);
	}
	fresh.mask = mms_passes_able_mask(office);
	/* A periodic one compares everything. */
	fresh.since_ms = mms_aftermath_dirty(passes->hosts, &since_ms) && since_ms != UINT64_MAX
			&& !mms_aftermath_sweep_due(passes->hosts) ? since_ms : 0;
	return fresh;
}

uint64_t mms_passes_done(const struct mms_passes *passes, unsigned target)
{
	const struct mms_pass *pass = &passes->each[target], fresh = fresh_pass(passes, target);
	bool same = pass->incarnation == fresh.incarnation && pass->mask == fresh.mask
			&& pass->overflows == fresh.overflows && pass->wanted == fresh.wanted
			&& pass->since_ms <= fresh.since_ms;

	return same ? pass->done_mask : 0;
}

/* Is it in need, and is there a source that has not been compared? */
static bool is_wanted(const struct mms_passes *passes, unsigned target)
{
	struct mms_office *office = passes->office;
	uint64_t able = mms_passes_able_mask(office), done, bit = UINT64_C(1) << target;

	if (is_sweep(passes, target)) {
		/* With a node missing it is made all the same, and again when that one is back. */
		if ((able & (able - 1)) == 0 || !is_needed(passes, target)) {
			return false;
		}
		done = mms_passes_done(passes, target);
		return done != able || done == mms_passes_all_mask(office);
	}
	if ((able & bit) == 0 || !is_needed(passes, target)) {
		return false;
	}
	done = mms_passes_done(passes, target);
	/* The pass over the node's own keys asks everybody: with a peer away it fails, however often that one was compared. */
	if ((done | bit) == mms_passes_all_mask(office)) {
		return done == mms_passes_all_mask(office) || mms_link_ready_mask(office) == mms_passes_all_mask(office);
	}
	return (mms_link_ready_mask(office) & ~done & ~bit) != 0;
}

bool mms_passes_ready(const struct mms_passes *passes, unsigned target)
{
	return passes->office->now.us >= passes->each[target].retry_at.us && is_wanted(passes, target);
}

int64_t mms_passes_next_us(const struct mms_passes *passes)
{
	int64_t next = INT64_MAX;

	for (unsigned i = 0; i <= passes->office->node_count; i++) {
		if (passes->each[i].retry_at.us < next && is_wanted(passes, i)) {
			next = passes->each[i].retry_at.us;
		}
	}
	return next;
}

bool mms_passes_begin(struct mms_passes *passes, unsigned target)
{
	struct mms_pass *pass = &passes->each[target];

	if (mms_passes_done(passes, target) != 0) {
		return false;
	}
	mms_notes_free(&pass->notes);
	free(pass->roll);
	*pass = fresh_pass(passes, target);
	pass->roll = is_sweep(passes, target) ? NULL : mms_scanned_roll(passes->hosts);
	mms_aftermath_note(passes->hosts, target, &pass->notes);
	return true;
}

void mms_passes_end(struct mms_passes *passes, unsigned target)
{
	struct mms_cluster_sh *cluster = passes->office->cluster;
	struct mms_pass *pass = &passes->each[target];

	if (!is_sweep(passes, target)) {
		(void)mms_hints_end_overflow(&cluster->hints, target, pass->overflows);
	} else if (pass->since_ms == 0) {
		mms_aftermath_swept(passes->hosts);
	}
	atomic_store(is_sweep(passes, target) ? &cluster->sweep.served : &cluster->nodes[target].repair.served, pass->wanted);
	mms_aftermath_clear(passes->hosts, &pass->notes);
	pass->done_mask = 0;
}
