/* A pass counts only for what was known when the first of them began: a node that has become another since, or that is known
 * to miss more, is compared with everybody again. The scan that was begun last is kept in shared memory with each step that it
 * makes (mms_checkpoint), as an office is a short one: a worker's life, or what CPU time the request beside it allows. */
#include "mms_passes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mms_aftermath.h"
#include "mms_scanned.h"
#include "mms_strangers.h"

#define SHARE_US 60000000         /* between scans of a node that not all hosts know */
#define PARTIAL_US INT64_C(600000000) /* what is compared counts for so long, where a peer is away or takes nothing */
#define LOOK_US 100000            /* what is known of the dead is good for so long, if nothing else is heard */
#define SWEEP_AGE_S 86400         /* of a sweep that goes on, where no interval is set */

static void take_up(struct mms_passes *passes);

void mms_passes_init(struct mms_passes *passes, struct mms_office *office, struct mms_hosts *hosts)
{
	*passes = (struct mms_passes){ .office = office, .hosts = hosts, .checkpoint = mms_shm_checkpoint(office->cluster),
		.kept = office->node_count + 1 };
	take_up(passes);
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

	if (is_sweep(passes, target)) {
		return passes->dirty || mms_aftermath_sweep_due(passes->hosts);
	}
	return atomic_load(&shared->complete) == 0 || mms_hints_overflowed(&office->cluster->hints, target)
			|| atomic_load(&shared->repair.wanted) != atomic_load(&shared->repair.served)
			|| (passes->left_behind >> target & 1) != 0
			|| (mms_strangers_must_share(office, target)
				&& office->now.us - atomic_load(&shared->repair.ended_us) > SHARE_US);
}

/* What a scan that began now would know. */
static struct mms_pass fresh_pass(const struct mms_passes *passes, unsigned target)
{
	struct mms_office *office = passes->office;
	struct mms_pass fresh = { .mask = mms_passes_all_mask(office), .begun_us = office->now.us };

	if (!is_sweep(passes, target)) {
		fresh.incarnation = mms_shm_incarnation(&office->cluster->nodes[target]);
		fresh.overflows = mms_hints_overflow_count(&office->cluster->hints, target);
		fresh.wanted = atomic_load(&office->cluster->nodes[target].repair.wanted);
		return fresh;
	}
	for (unsigned i = 0; i < office->node_count; i++) {
		fresh.incarnation = fresh.incarnation * 131 + mms_shm_incarnation(&office->cluster->nodes[i]);
	}
	fresh.mask = mms_passes_able_mask(office);
	fresh.dead_us = passes->dead_us;
	/* A periodic one compares everything. */
	fresh.since_ms = passes->dirty && passes->dirty_since_ms != UINT64_MAX && !mms_aftermath_sweep_due(passes->hosts)
			? passes->dirty_since_ms : 0;
	return fresh;
}

/* A sweep says of all that it has been compared within the interval. */
static bool is_young(const struct mms_passes *passes, const struct mms_pass *pass)
{
	int64_t age_us = mms_clock_apart(passes->office->now.us, pass->begun_us);
	int64_t limit_s = (int64_t)passes->office->settings->repair_interval_s;

	return age_us >= 0 && age_us / 1000000 <= (limit_s == 0 ? SWEEP_AGE_S : limit_s);
}

/* With a node away a sweep does not end, and asks for no other one; whoever has died since it began may have left something too. */
static bool serves_the_dead(const struct mms_passes *passes, const struct mms_pass *pass, const struct mms_pass *fresh)
{
	return pass->mask == mms_passes_all_mask(passes->office) || fresh->dead_us <= pass->dead_us;
}

/* Does what it has compared still count? As long as a peer is away, or takes nothing, no scan comes to its end, and the reasons for
 * another one can't be told from those for this one: all is compared again now and then. */
static bool counts(const struct mms_passes *passes, unsigned target)
{
	const struct mms_pass *pass = &passes->each[target], fresh = fresh_pass(passes, target);

	return pass->incarnation == fresh.incarnation && pass->mask == fresh.mask
			&& pass->overflows == fresh.overflows && pass->since_ms <= fresh.since_ms
			&& (is_sweep(passes, target) ? is_young(passes, pass) && serves_the_dead(passes, pass, &fresh)
				: mms_passes_able_mask(passes->office) == mms_passes_all_mask(passes->office)
				|| mms_clock_apart(passes->office->now.us, pass->begun_us) < PARTIAL_US);
}

uint64_t mms_passes_done(const struct mms_passes *passes, unsigned target)
{
	return counts(passes, target) ? passes->each[target].done_mask : 0;
}

/* Is it in need, and is there a source that has not been compared? */
static bool is_wanted(const struct mms_passes *passes, unsigned target)
{
	struct mms_office *office = passes->office;
	uint64_t able = mms_passes_able_mask(office), done, bit = target < 64 ? UINT64_C(1) << target : 0;

	if (is_sweep(passes, target)) {
		/* With a node missing it is made all the same, and again when that one is back. */
		if (((able & (able - 1)) == 0 && office->node_count > 1) || able == 0 || !is_needed(passes, target)) {
			return false;
		}
		done = mms_passes_done(passes, target);
		return done != able || done == mms_passes_all_mask(office);
	}
	if ((able & bit) == 0 || !is_needed(passes, target)) {
		return false;
	}
	done = mms_passes_done(passes, target);
	/* The pass over the node's own keys is for everybody: with a peer away, or one that takes nothing, it fails, however often that
	 * one was compared. */
	if ((done | bit) == mms_passes_all_mask(office)) {
		return done == mms_passes_all_mask(office) || able == mms_passes_all_mask(office);
	}
	return (mms_link_ready_mask(office) & ~done & ~bit) != 0;
}

static void look_now(struct mms_passes *passes)
{
	passes->looked_at = passes->office->now;
	passes->heard = mms_hosts_change_count(passes->hosts);
	passes->left_behind = mms_aftermath_left_behind(passes->hosts);
	passes->dirty = mms_aftermath_dirty(passes->hosts, &passes->dirty_since_ms, &passes->dead_us);
}

void mms_passes_look(struct mms_passes *passes, bool afresh)
{
	if (afresh || passes->heard != mms_hosts_change_count(passes->hosts)
			|| mms_clock_apart(passes->office->now.us, passes->looked_at.us) >= LOOK_US) {
		look_now(passes);
	}
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

/* The text of a checkpoint: length of the notes, notes, roll. */
static struct mms_slice write_text(const struct mms_pass *pass)
{
	uint64_t notes_len = mms_notes_write(&pass->notes, NULL, 0);
	size_t roll_len = pass->roll == NULL ? 0 : strlen(pass->roll), len = sizeof notes_len + (size_t)notes_len + roll_len;
	char *text = len > MMS_CHECKPOINT_TEXT_MAX ? NULL : malloc(len);

	if (text != NULL) {
		memcpy(text, &notes_len, sizeof notes_len);
		(void)mms_notes_write(&pass->notes, text + sizeof notes_len, (size_t)notes_len);
		memcpy(text + sizeof notes_len + notes_len, pass->roll == NULL ? "" : pass->roll, roll_len);
	}
	return (struct mms_slice){ text, len };
}

static bool read_text(struct mms_pass *pass, const char *text, size_t len)
{
	struct mms_slice all = { text, len };
	uint64_t notes_len;

	if (len < sizeof notes_len) {
		return false;
	}
	memcpy(&notes_len, text, sizeof notes_len);
	all = mms_slice_part(all, sizeof notes_len, len);
	if (notes_len > all.len || !mms_notes_read(&pass->notes, mms_slice_part(all, 0, (size_t)notes_len))) {
		return false;
	}
	pass->roll = strdup(all.ptr + notes_len); /* up to the end of the text, which is a NUL */
	return pass->roll != NULL;
}

static struct mms_checkpoint checkpoint_of(const struct mms_passes *passes, unsigned target)
{
	const struct mms_pass *pass = &passes->each[target];
	struct mms_checkpoint checkpoint = { .target = target, .incarnation = pass->incarnation, .mask = pass->mask,
		.done_mask = pass->done_mask, .since_ms = pass->since_ms, .dead_us = (uint64_t)pass->dead_us,
		.begun_us = (uint64_t)pass->begun_us,
		.overflows = pass->overflows, .wanted = pass->wanted,
		.salt = pass->salt, .source = pass->source, .source_run = pass->source_run, .cursor = pass->cursor,
		.text_len = passes->text_len, .text_check = passes->text_check };

	memcpy(checkpoint.token, pass->token, sizeof checkpoint.token);
	return checkpoint;
}

static void keep(const struct mms_passes *passes, unsigned target)
{
	struct mms_checkpoint checkpoint = checkpoint_of(passes, target);

	if (passes->kept == target) {
		mms_checkpoint_save(passes->checkpoint, &checkpoint);
	}
}

/* From now on, this is the scan that is kept; without memory, or with too much to note, none is. */
static void keep_all(struct mms_passes *passes, unsigned target)
{
	struct mms_pass *pass = &passes->each[target];
	struct mms_checkpoint checkpoint;
	struct mms_slice text = write_text(pass);

	mms_keyset_clear(&passes->checkpoint->compared);
	(void)mms_random_bytes(&pass->salt, sizeof pass->salt); /* on failure it stays what it was, and the set is empty all the same */
	checkpoint = checkpoint_of(passes, target);
	passes->kept = passes->office->node_count + 1;
	mms_checkpoint_drop(passes->checkpoint);
	if (text.ptr != NULL && mms_checkpoint_save_text(passes->checkpoint, &checkpoint, text)) {
		passes->kept = target;
		passes->text_len = checkpoint.text_len;
		passes->text_check = checkpoint.text_check;
	}
	free((char *)text.ptr);
}

static void forget(struct mms_pass *pass)
{
	mms_notes_free(&pass->notes);
	free(pass->roll);
	pass->roll = NULL;
}

static bool is_sound(const struct mms_passes *passes, const struct mms_pass *pass, const struct mms_checkpoint *checkpoint)
{
	unsigned count = passes->office->node_count;

	for (const struct mms_note *note = pass->notes.first; note != NULL; note = note->next) {
		if (note->node >= count || note->hash >= MMS_HOSTS_HASHES) {
			return false;
		}
	}
	return checkpoint->source < count && ((checkpoint->mask | checkpoint->done_mask) & ~mms_passes_all_mask(passes->office)) == 0;
}

/* What a predecessor was at. */
static void take_up(struct mms_passes *passes)
{
	struct mms_checkpoint found;
	struct mms_pass *pass;
	char *text;
	size_t len;

	if (!mms_checkpoint_load(passes->checkpoint, &found, &text, &len)) {
		return;
	}
	if (found.target <= passes->office->node_count) {
		pass = &passes->each[found.target];
		*pass = (struct mms_pass){ .incarnation = found.incarnation, .mask = found.mask, .done_mask = found.done_mask,
			.since_ms = found.since_ms, .dead_us = (int64_t)found.dead_us, .begun_us = (int64_t)found.begun_us,
			.overflows = (uint32_t)found.overflows, .wanted = (uint32_t)found.wanted,
			.salt = found.salt, .source = (unsigned)found.source, .source_run = found.source_run, .cursor = found.cursor };
		memcpy(pass->token, found.token, sizeof pass->token);
		passes->kept = (unsigned)found.target;
		passes->text_len = found.text_len;
		passes->text_check = found.text_check;
		if (!read_text(pass, text, len) || !is_sound(passes, pass, &found)) {
			forget(pass);
			*pass = (struct mms_pass){ 0 };
			passes->kept = passes->office->node_count + 1;
		}
	}
	free(text);
}

bool mms_passes_begin(struct mms_passes *passes, unsigned target)
{
	struct mms_pass *pass = &passes->each[target];

	look_now(passes); /* whom it will clear, and from when on their writes are compared, is known at one moment */
	if (counts(passes, target) && (pass->done_mask != 0 || pass->cursor != 0)) {
		if (passes->kept != target) {
			keep_all(passes, target);
		}
		return false;
	}
	forget(pass);
	*pass = fresh_pass(passes, target);
	pass->roll = is_sweep(passes, target) ? NULL : mms_scanned_roll(passes->hosts);
	mms_aftermath_note(passes->hosts, target, &pass->notes);
	keep_all(passes, target);
	return true;
}

void mms_passes_leased(struct mms_passes *passes, unsigned target, const char *token)
{
	(void)snprintf(passes->each[target].token, sizeof passes->each[target].token, "%s", token);
	keep(passes, target);
}

uint64_t mms_passes_walk(struct mms_passes *passes, unsigned target, unsigned source)
{
	struct mms_pass *pass = &passes->each[target];
	uint64_t run = mms_shm_incarnation(&passes->office->cluster->nodes[source]);

	if (pass->source != source || pass->source_run != run) {
		pass->source = source;
		pass->source_run = run;
		pass->cursor = 0;
	}
	return pass->cursor;
}

void mms_passes_advance(struct mms_passes *passes, unsigned target, uint64_t cursor)
{
	struct mms_pass *pass = &passes->each[target];

	if (pass->cursor != cursor) {
		pass->cursor = cursor;
		keep(passes, target);
	}
}

void mms_passes_walked(struct mms_passes *passes, unsigned target)
{
	struct mms_pass *pass = &passes->each[target];

	pass->done_mask |= UINT64_C(1) << pass->source;
	pass->cursor = 0;
	keep(passes, target);
}

struct mms_keyset mms_passes_compared(const struct mms_passes *passes, unsigned target)
{
	return (struct mms_keyset){ &passes->checkpoint->compared, passes->each[target].salt };
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
	mms_aftermath_clear(passes->hosts, &pass->notes, (struct mms_mono){ pass->begun_us });
	pass->done_mask = pass->cursor = 0;
	if (passes->kept == target) {
		mms_checkpoint_drop(passes->checkpoint);
		mms_keyset_clear(&passes->checkpoint->compared);
		passes->kept = passes->office->node_count + 1;
	}
}
