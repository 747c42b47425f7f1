/* How far a scan has come: kept for a successor, and believed only whole.
 * TEST LINK: mms_repair
 * TEST WRAP: malloc */
#include "repairs.h"

#include "mms_checkpoint.h"
#include "mms_passes.h"

#define COUNT 4000

static bool no_memory;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);

void *__wrap_malloc(size_t size)
{
	return no_memory ? NULL : __real_malloc(size);
}

static struct mms_checkpoint_sh *checkpoint_new(void)
{
	struct mms_checkpoint_sh *shared = calloc(1, sizeof(*shared));

	assert_non_null(shared);
	return shared;
}

static bool is_none(const struct mms_checkpoint_sh *shared)
{
	struct mms_checkpoint found;
	char *text;
	size_t len;

	if (mms_checkpoint_load(shared, &found, &text, &len)) {
		free(text);
		return false;
	}
	return true;
}

static void what_was_saved_is_found(void **state)
{
	struct mms_checkpoint_sh *shared = checkpoint_new();
	struct mms_checkpoint saved = { .target = 2, .done_mask = 5, .salt = 7, .cursor = UINT64_MAX, .token = "abc" }, found;
	char *text;
	size_t len;

	(void) state;
	assert_true(is_none(shared));
	assert_true(mms_checkpoint_save_text(shared, &saved, slice("nine byte")));
	saved.source = 1;
	mms_checkpoint_save(shared, &saved);
	assert_true(mms_checkpoint_load(shared, &found, &text, &len));
	assert_memory_equal(&found, &saved, sizeof(saved));
	assert_int_equal(len, 9);
	assert_string_equal(text, "nine byte");
	free(text);
	mms_checkpoint_drop(shared);
	assert_true(is_none(shared));
	free(shared);
}

static void a_checkpoint_with_any_word_changed_is_none(void **state)
{
	struct mms_checkpoint_sh *shared = checkpoint_new();
	struct mms_checkpoint saved = { .target = 2, .done_mask = 5 };
	unsigned used = 0;

	(void) state;
	assert_true(mms_checkpoint_save_text(shared, &saved, slice("text")));
	for (unsigned word = 0; word < MMS_CHECKPOINT_WORDS; word++) {
		const uint64_t old = atomic_fetch_xor(&shared->words[word], 64);

		used += is_none(shared) ? 1 : 0;
		atomic_store(&shared->words[word], old);
		assert_false(is_none(shared));
	}
	assert_int_equal(used, 22); /* magic, 15 numbers, 5 words of token, checksum; all words that it has */
	atomic_fetch_xor(&shared->text[0], 64);
	assert_true(is_none(shared));
	free(shared);
}

/* One that was stopped in office and comes back late: its words do not go with its successor's text, nor that with them. */
static void what_two_have_written_is_none(void **state)
{
	struct mms_checkpoint_sh *shared = checkpoint_new();
	struct mms_checkpoint late = { .target = 2, .done_mask = 5 }, next = { .target = 2, .done_mask = 1 };

	(void) state;
	assert_true(mms_checkpoint_save_text(shared, &late, slice("known then")));
	assert_true(mms_checkpoint_save_text(shared, &next, slice("known now and then")));
	assert_false(is_none(shared));
	mms_checkpoint_save(shared, &late);
	assert_true(is_none(shared));
	mms_checkpoint_save(shared, &next);
	assert_false(is_none(shared));
	free(shared);
}

static void a_text_that_is_too_long_is_no_checkpoint(void **state)
{
	struct mms_checkpoint_sh *shared = checkpoint_new();
	struct mms_checkpoint saved = { .target = 2 };
	char *text = calloc(1, MMS_CHECKPOINT_TEXT_MAX + 1);

	(void) state;
	assert_true(mms_checkpoint_save_text(shared, &saved, (struct mms_slice){ text, MMS_CHECKPOINT_TEXT_MAX }));
	assert_false(is_none(shared));
	assert_false(mms_checkpoint_save_text(shared, &saved, (struct mms_slice){ text, MMS_CHECKPOINT_TEXT_MAX + 1 }));
	assert_true(is_none(shared));
	free(text);
	free(shared);
}

static void notes_are_written_and_read(void **state)
{
	struct mms_notes notes = { 0 }, copy = { 0 };
	char bytes[256];
	size_t len, notes_count = 0;

	(void) state;
	assert_int_equal(mms_notes_write(&notes, bytes, sizeof(bytes)), 0);
	assert_true(mms_notes_add(&notes, 1, 0, slice("web1 aa"), slice("5 6")));
	assert_true(mms_notes_add(&notes, 63, 1, slice("f"), slice("")));
	len = mms_notes_write(&notes, NULL, 0);
	assert_int_equal(mms_notes_write(&notes, bytes, len - 1), 0);
	assert_int_equal(mms_notes_write(&notes, bytes, sizeof(bytes)), len);
	assert_true(mms_notes_read(&copy, (struct mms_slice){ bytes, len }));
	for (const struct mms_note *note = copy.first; note != NULL; note = note->next, notes_count++) {
		assert_true(note->node == 1 ? note->hash == 0 && note->field.len == 7 && memcmp(note->value.ptr, "5 6", 3) == 0
				: note->node == 63 && note->hash == 1 && note->field.len == 1 && note->value.len == 0);
	}
	assert_int_equal(notes_count, 2);
	for (size_t cut = 1; cut < len; cut++) {
		mms_notes_free(&copy);
		assert_int_equal(mms_notes_read(&copy, (struct mms_slice){ bytes, cut }), cut == len - 18);
	}
	mms_notes_free(&copy);
	mms_notes_free(&notes);
}

/* A replicator's view of the passes, as a predecessor's checkpoint gives it. */
static struct mms_passes *passes_new(void)
{
	struct mms_passes *passes = malloc(sizeof(*passes));

	assert_non_null(passes);
	mms_passes_init(passes, &desk->office, hosts);
	return passes;
}

static void passes_free(struct mms_passes *passes)
{
	mms_passes_fini(passes);
	free(passes);
}

static void a_pass_is_taken_up_as_it_was(void **state)
{
	struct mms_passes *first, *second;

	(void) state;
	begin(3);
	first = passes_new();
	assert_int_equal(first->kept, 4);
	atomic_store(&desk->host->cluster->nodes[1].complete, 0);
	assert_true(mms_passes_begin(first, 1));
	assert_true(mms_notes_add(&first->each[1].notes, 2, 1, slice("field"), slice("value")));
	first->each[1].done_mask = 0;
	assert_true(mms_passes_begin(first, 1)); /* nothing was compared: with what is known now */
	mms_passes_leased(first, 1, "token");
	assert_int_equal(mms_passes_walk(first, 1, 0), 0);
	mms_passes_walked(first, 1);
	assert_int_equal(mms_passes_walk(first, 1, 2), 0);
	mms_passes_advance(first, 1, 77);
	second = passes_new();
	assert_int_equal(second->kept, 1);
	assert_int_equal(mms_passes_done(second, 1), 1);
	assert_int_equal(mms_passes_walk(second, 1, 2), 77);
	assert_string_equal(second->each[1].token, "token");
	assert_int_equal(second->each[1].salt, first->each[1].salt);
	assert_string_equal(second->each[1].roll, first->each[1].roll);
	assert_false(mms_passes_begin(second, 1)); /* goes on */
	/* Another server has another table: its cursors mean something else. */
	atomic_fetch_add(&desk->host->cluster->nodes[2].run_hash, 1);
	mms_passes_advance(second, 1, 88); /* what the walk of the one before has still come to */
	assert_int_equal(mms_passes_walk(second, 1, 2), 0);
	assert_int_equal(mms_passes_done(second, 1), 1);
	/* Another target has nothing of what it was given. */
	atomic_fetch_add(&desk->host->cluster->nodes[1].run_hash, 1);
	assert_int_equal(mms_passes_done(second, 1), 0);
	assert_true(mms_passes_begin(second, 1));
	assert_true(second->each[1].salt != first->each[1].salt);
	mms_passes_end(second, 1);
	assert_true(is_none(mms_shm_checkpoint(desk->host->cluster)));
	passes_free(first);
	passes_free(second);
	end();
}

/* A pass over node 1 that has compared one source, and the checkpoint of another pass that was begun after it. */
static struct mms_passes *passes_of_two(void)
{
	struct mms_passes *passes = passes_new();

	atomic_store(&desk->host->cluster->nodes[1].complete, 0);
	atomic_store(&desk->host->cluster->nodes[2].complete, 0);
	assert_true(mms_passes_begin(passes, 1));
	assert_int_equal(mms_passes_walk(passes, 1, 0), 0);
	mms_passes_walked(passes, 1);
	assert_true(mms_passes_begin(passes, 2));
	assert_int_equal(passes->kept, 2);
	return passes;
}

/* The scan goes on without being kept: of it, and of the one that was kept before, a successor knows nothing. */
static void assert_goes_on_unkept(struct mms_passes *passes)
{
	struct mms_passes *successor;

	assert_int_equal(passes->kept, 4);
	assert_int_equal(mms_passes_done(passes, 1), 1);
	assert_int_equal(mms_passes_walk(passes, 1, 2), 0);
	mms_passes_advance(passes, 1, 77);
	mms_passes_leased(passes, 1, "token");
	assert_int_equal(mms_passes_walk(passes, 1, 2), 77);
	assert_true(is_none(mms_shm_checkpoint(desk->host->cluster)));
	successor = passes_new();
	assert_int_equal(successor->kept, 4);
	assert_int_equal(mms_passes_done(successor, 1) | mms_passes_done(successor, 2), 0);
	passes_free(successor);
	passes_free(passes);
}

static void a_scan_with_more_to_note_than_fits_is_not_kept(void **state)
{
	char value[MMS_PAIRS_TEXT_MAX - 5] = { 0 };
	struct mms_passes *passes;

	(void) state;
	begin(3);
	passes = passes_of_two();
	for (size_t len = 0; len < MMS_CHECKPOINT_TEXT_MAX; len += sizeof(value)) {
		assert_true(mms_notes_add(&passes->each[1].notes, 0, 0, slice("field"), (struct mms_slice){ value, sizeof(value) }));
	}
	assert_false(mms_passes_begin(passes, 1));
	assert_goes_on_unkept(passes);
	end();
}

static void without_memory_a_scan_is_not_kept(void **state)
{
	struct mms_passes *passes;

	(void) state;
	begin(3);
	passes = passes_of_two();
	no_memory = true;
	assert_false(mms_passes_begin(passes, 1));
	no_memory = false;
	assert_goes_on_unkept(passes);
	end();
}

/* A successor that has no memory for what is kept begins anew, and leaves it to whoever has. */
static void without_memory_nothing_is_taken_up(void **state)
{
	struct mms_passes *passes, *successor;

	(void) state;
	begin(3);
	passes = passes_of_two();
	assert_int_equal(mms_passes_walk(passes, 2, 0), 0);
	mms_passes_walked(passes, 2);
	passes_free(passes);
	successor = malloc(sizeof(*successor));
	no_memory = true;
	mms_passes_init(successor, &desk->office, hosts);
	no_memory = false;
	assert_int_equal(successor->kept, 4);
	assert_int_equal(mms_passes_done(successor, 2), 0);
	passes_free(successor);
	successor = passes_new();
	assert_int_equal(successor->kept, 2);
	assert_int_equal(mms_passes_done(successor, 2), 1);
	passes_free(successor);
	end();
}

static void numbers_that_can_not_be_are_no_pass(void **state)
{
	const struct mms_checkpoint hostile[] = {
		{ .target = 4 }, { .target = UINT64_MAX }, { .target = 1, .source = 3 }, { .target = 1, .source = UINT64_C(1) << 32 },
		{ .target = 1, .mask = 8 }, { .target = 1, .done_mask = 8 },
	};
	const char zeros[8] = { 0 }, too_long[8] = { 9 }, foreign_note[16] = { 8, 0, 0, 0, 0, 0, 0, 0, 3 },
			foreign_hash[16] = { 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2 };
	const struct mms_slice texts[] = { { zeros, 7 }, { too_long, 8 }, { foreign_note, 16 }, { foreign_hash, 16 } };
	struct mms_checkpoint_sh *shared;
	struct mms_checkpoint sound = { .target = 1, .source = 2, .mask = 7, .done_mask = 1 };
	struct mms_passes *passes;

	(void) state;
	begin(3);
	shared = mms_shm_checkpoint(desk->host->cluster);
	for (unsigned i = 0; i < sizeof(hostile) / sizeof(hostile[0]) + sizeof(texts) / sizeof(texts[0]); i++) {
		const bool by_text = i >= sizeof(hostile) / sizeof(hostile[0]);
		struct mms_checkpoint found = by_text ? sound : hostile[i];

		assert_true(mms_checkpoint_save_text(shared, &found, by_text ? texts[i - sizeof(hostile) / sizeof(hostile[0])]
				: (struct mms_slice){ zeros, 8 }));
		passes = passes_new();
		assert_int_equal(passes->kept, 4);
		assert_int_equal(passes->each[1].done_mask, 0);
		passes_free(passes);
	}
	assert_true(mms_checkpoint_save_text(shared, &sound, (struct mms_slice){ zeros, 8 }));
	passes = passes_new();
	assert_int_equal(passes->kept, 1);
	passes_free(passes);
	end();
}

static void lease_token(char out[64])
{
	struct mms_reply *reply = node_ask(1, "GET", LEASE);

	mms_text_copy(out, 64, mms_reply_text(reply));
	mms_reply_free(reply);
}

/* Workers come and go while one scan is made: each goes on, nothing is compared twice but what was under way, the lease is
 * not waited for, and the report is the same one's. */
static void successors_go_on_where_the_one_before_was(void **state)
{
	unsigned long scanned, offices = 1;
	char token[64], next[64];

	(void) state;
	begin(3);
	put_numbered(0, 0, COUNT);
	put_numbered(2, 0, COUNT / 2);
	desk->host->cluster->settings.repair_rate = 1 << 30;
	empty(1);
	scanned = host_metric(desk->host, MMS_METRIC_repair_scanned);
	while (!is_complete(1)) {
		const unsigned long done = host_metric(desk->host, MMS_METRIC_repair_scanned);

		turn_until(is_complete(1) || host_metric(desk->host, MMS_METRIC_repair_scanned) >= done + 700);
		if (!is_complete(1)) {
			lease_token(token);
			assert_int_equal(strlen(token), 32);
			leave_office();
			take_office();
			offices++;
			desk_await(desk, (turn(), lease_token(next), strlen(next) == 32 && strcmp(token, next) != 0));
		}
	}
	assert_in_range(offices, 4, 10);
	scanned = host_metric(desk->host, MMS_METRIC_repair_scanned) - scanned;
	assert_in_range(scanned, COUNT, COUNT + offices * 300);
	assert_true(has_numbered(1, 0, COUNT));
	assert_true(has_numbered(2, 0, COUNT));
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].repair.scanned), scanned);
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].repair.finished), 1);
	end();
}

/* One record, in the second of ten steps of SCAN, can't be read. The pass goes on behind it, is made again from before
 * it, by whoever is in office then, and compares no more than that. */
static void what_was_not_compared_is_not_passed_over(void **state)
{
	struct fake *fake;
	unsigned long scanned;

	(void) state;
	for (unsigned succeeded = 0; succeeded < 2; succeeded++) {
		rig_fresh();
		fake = fake_start(0);
		begin_with(host_with_fake(2, 0, fake));
		note_sweep(0);
		note_sweep(1);
		put_numbered(0, 0, COUNT / 2);
		desk->host->cluster->settings.repair_rate = 1 << 30;
		empty(1);
		scanned = host_metric(desk->host, MMS_METRIC_repair_scanned);
		fake_rule(fake, (struct fake_rule){ .verb = "GETRANGE", .act = FAKE_ANSWER, .bytes = "-ERR not this one\r\n",
				.skip = 700, .times = 1 });
		turn_until(host_metric(desk->host, MMS_METRIC_repair_scanned) >= scanned + COUNT / 2);
		assert_false(has_numbered(1, 0, COUNT / 2));
		if (succeeded == 1) {
			leave_office();
			take_office();
		}
		turn_until(is_complete(1));
		assert_true(has_numbered(1, 0, COUNT / 2));
		scanned = host_metric(desk->host, MMS_METRIC_repair_scanned) - scanned;
		assert_in_range(scanned, COUNT / 2 + 1, COUNT / 2 + 300); /* of the others all were equal by then */
		end();
		fake_free(fake);
	}
}

/* While nothing is asked, as the rate wants it, the source is connected anew: it may be another server by now, and to that one the
 * cursor means something else. */
static void a_walk_ends_with_the_sources_connection(void **state)
{
	unsigned long scanned;

	(void) state;
	begin(2);
	put_numbered(0, 0, COUNT / 2);
	desk->host->cluster->settings.repair_rate = 65536;
	empty(1);
	scanned = host_metric(desk->host, MMS_METRIC_repair_scanned);
	turn_until(host_metric(desk->host, MMS_METRIC_repair_scanned) > scanned + 300);
	assert_int_equal(atomic_load(&desk->host->cluster->nodes[1].repair.running), 1);
	desk_quiet(desk);
	greet(0);
	turn_until(atomic_load(&desk->host->cluster->nodes[1].repair.running) == 0);
	assert_false(is_complete(1));
	desk->host->cluster->settings.repair_rate = 1 << 30;
	turn_until(is_complete(1));
	assert_true(has_numbered(1, 0, COUNT / 2));
	assert_in_range(host_metric(desk->host, MMS_METRIC_repair_scanned) - scanned, COUNT / 2, COUNT / 2 + 300);
	end();
}

/* Offices of a second each, while two pass from a node's return until it may be called complete. */
static void short_offices_bring_a_node_back_too(void **state)
{
	unsigned offices = 0;

	(void) state;
	begin(3);
	put_numbered(0, 0, 50);
	empty(1);
	while (!is_complete(1) && offices < 12) {
		turn_for(SECOND);
		leave_office();
		take_office();
		offices++;
	}
	assert_in_range(offices, 2, 5);
	assert_true(has_numbered(1, 0, 50));
	end();
}

/* The target is silent, while the source's keys, few among many of others, have been walked to the end. */
static void what_is_being_compared_is_not_passed_over(void **state)
{
	struct fake *fake;
	unsigned long scans;

	(void) state;
	rig_fresh();
	fake = fake_start(1);
	begin_with(host_with_fake(2, 1, fake));
	note_sweep(0);
	note_sweep(1);
	put_numbered(0, 0, 30);
	node_do(0, "EVAL", "for i = 1, 6000 do redis.call('SET', 'other:' .. i, 'x') end", "0");
	empty(1);
	scans = node_calls(0, "scan");
	fake_rule(fake, (struct fake_rule){ .verb = "GETRANGE", .act = FAKE_HOLD, .times = -1 });
	turn_until(atomic_load(&desk->host->cluster->nodes[1].repair.running) == 1);
	desk_await(desk, (turn(), node_calls(0, "scan") - scans >= 20));
	assert_false(has_numbered(1, 0, 30));
	leave_office();
	fake_release(fake);
	take_office();
	turn_until(is_complete(1));
	assert_true(has_numbered(1, 0, 30));
	end();
	fake_free(fake);
}

/* By which beat this life had missed what it did: another host's scan is judged by it, whoever is in office here by then. */
static void a_successor_knows_by_which_beat_something_was_missed(void **state)
{
	uint64_t first, later;
	uint32_t overflows;

	(void) state;
	begin(2);
	turn_until(mms_hosts_missed_by(hosts, 1, &first, &overflows));
	for (unsigned i = 0; i < 2; i++) {
		leave_office();
		take_office();
		turn_for(3 * SECOND);
		assert_true(mms_hosts_missed_by(hosts, 1, &later, &overflows));
		assert_int_equal(later, first);
	}
	assert_true(atomic_load(&desk->host->cluster->beat) > first + 2);
	atomic_fetch_add(&desk->host->cluster->hints.overflow_count[1], 1);
	assert_false(mms_hosts_missed_by(hosts, 1, &later, &overflows));
	turn_until(mms_hosts_missed_by(hosts, 1, &later, &overflows));
	assert_true(later > first + 2);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_saved_is_found),
		cmocka_unit_test(a_checkpoint_with_any_word_changed_is_none),
		cmocka_unit_test(what_two_have_written_is_none),
		cmocka_unit_test(a_text_that_is_too_long_is_no_checkpoint),
		cmocka_unit_test(notes_are_written_and_read),
		cmocka_unit_test(a_pass_is_taken_up_as_it_was),
		cmocka_unit_test(a_scan_with_more_to_note_than_fits_is_not_kept),
		cmocka_unit_test(without_memory_a_scan_is_not_kept),
		cmocka_unit_test(without_memory_nothing_is_taken_up),
		cmocka_unit_test(numbers_that_can_not_be_are_no_pass),
		cmocka_unit_test(successors_go_on_where_the_one_before_was),
		cmocka_unit_test(what_was_not_compared_is_not_passed_over),
		cmocka_unit_test(a_walk_ends_with_the_sources_connection),
		cmocka_unit_test(short_offices_bring_a_node_back_too),
		cmocka_unit_test(what_is_being_compared_is_not_passed_over),
		cmocka_unit_test(a_successor_knows_by_which_beat_something_was_missed),
	};

	return rig_run(tests);
}
