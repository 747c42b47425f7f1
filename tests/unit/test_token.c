/* Tokens: their text, what is refused, which of several count, and when a copy is enough. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "mms_token.h"

#define SESSION UINT64_C(0x0102030405060708)
#define OTHER UINT64_C(0x1111111111111111)
#define HOST_A UINT64_C(0xaaaaaaaa00000001)
#define HOST_B UINT64_C(0xbbbbbbbb00000002)

static const struct mms_token_signer unsigned_ones = { NULL, NULL };

/* No cryptography: a code that depends on all bytes and on the key. */
static void toy_mac(const void *context, struct mms_slice bytes, unsigned char out[MMS_TOKEN_MAC_SIZE])
{
	const uint32_t key = *(const uint32_t *)context;

	for (unsigned i = 0; i < MMS_TOKEN_MAC_SIZE / 4; i++) {
		const uint32_t sum = mms_crc32c(key + i, bytes.ptr, bytes.len);

		memcpy(out + 4 * i, &sum, 4);
	}
}

static const uint32_t keys[] = { 4711, 4712 };
static const struct mms_token_signer signed_ones = { toy_mac, &keys[0] };
static const struct mms_token_signer others_key = { toy_mac, &keys[1] };

static struct mms_token token_of(uint64_t session, uint64_t read_hlc, uint64_t mapping, uint64_t sequence,
		uint64_t reserved_hlc)
{
	return (struct mms_token){ .session = session, .read = { .hlc = read_hlc, .writer = HOST_A, .sequence = 3 },
		.reserved = { .hlc = reserved_hlc, .writer = mapping, .sequence = sequence }, .pending = reserved_hlc != 0 };
}

/* The text of a token, in one of a few buffers. */
static struct mms_slice text_of(struct mms_token *token, const struct mms_token_signer *signer)
{
	static char texts[16][MMS_TOKEN_TEXT_MAX];
	static unsigned next;
	char *text = texts[next++ % 16];

	return (struct mms_slice){ text, mms_token_encode(token, signer, text) };
}

static void assert_same(const struct mms_token *a, const struct mms_token *b)
{
	assert_true(a->session == b->session);
	assert_int_equal(mms_version_compare(&a->read, &b->read), 0);
	assert_true(a->pending == b->pending && a->uncertain == b->uncertain && a->slot == b->slot);
	assert_true(a->reserved.writer == b->reserved.writer && a->reserved.sequence == b->reserved.sequence);
	if (a->pending) {
		assert_int_equal(mms_version_compare(&a->reserved, &b->reserved), 0);
	}
	assert_int_equal(a->digest_count, b->digest_count);
	assert_memory_equal(a->digests, b->digests, a->digest_count * sizeof a->digests[0]);
	assert_int_equal(a->digest, b->digest);
}

static void comes_back_as_it_was_encoded(void **state)
{
	struct mms_token tokens[5], back;

	(void)state;
	tokens[0] = token_of(SESSION, 5, HOST_B, 7, 9);
	tokens[1] = token_of(SESSION, 0, HOST_B, 1, 0);
	tokens[2] = token_of(~UINT64_C(0), ~UINT64_C(0), ~UINT64_C(0), (UINT64_C(1) << 48) - 1, ~UINT64_C(0));
	tokens[2].read.incarnation = tokens[2].reserved.incarnation = ~UINT64_C(0);
	tokens[2].read.tombstone = tokens[2].read.blind = tokens[2].reserved.blind = tokens[2].uncertain = true;
	tokens[2].slot = MMS_TOKEN_SLOTS - 1;
	tokens[2].digest_count = MMS_TOKEN_SLOTS;
	memset(tokens[2].digests, 0xff, sizeof tokens[2].digests);
	tokens[3] = token_of(SESSION, 5, HOST_B, 7, 9);
	tokens[3].reserved.incarnation = 4;
	tokens[3].digest_count = 2;
	tokens[3].digests[0] = 1;
	tokens[3].digests[1] = 2;
	tokens[4] = token_of(SESSION, 5, HOST_B, 7, 0);
	tokens[4].uncertain = true;
	for (unsigned i = 0; i < 5; i++) {
		assert_true(mms_token_decode(text_of(&tokens[i], &unsigned_ones), &unsigned_ones, &back));
		assert_same(&tokens[i], &back);
		assert_false(back.authentic);
		assert_true(mms_token_decode(text_of(&tokens[i], &signed_ones), &signed_ones, &back));
		assert_same(&tokens[i], &back);
		assert_true(back.authentic);
	}
	assert_int_equal(text_of(&tokens[2], &signed_ones).len, MMS_TOKEN_TEXT_MAX);
}

/* Format 1, written by hand from the header file. It never changes. */
static void keeps_its_golden_bytes(void **state)
{
	struct mms_token token = token_of(SESSION, 5, HOST_B, 7, 9);
	struct mms_slice text = text_of(&token, &unsigned_ones);
	static const char golden[] = "AQEAAAECAwQFBgcIAAAAAAAAAAWqqqqqAAAAAQAAAAAAA7u7u7sAAAACAAAAAAAHAAAAAAAAAAk";

	(void)state;
	assert_int_equal(text.len, sizeof golden - 1);
	assert_memory_equal(text.ptr, golden, text.len);
}

static void is_refused_when_any_character_is_another(void **state)
{
	struct mms_token token = token_of(SESSION, 5, HOST_B, 7, 9), back;
	struct mms_slice text = text_of(&token, &signed_ones);
	char changed[MMS_TOKEN_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < text.len; i++) {
		for (int byte = 0; byte < 256; byte++) {
			memcpy(changed, text.ptr, text.len);
			changed[i] = (char)byte;
			assert_int_equal(mms_token_decode((struct mms_slice){ changed, text.len }, &signed_ones, &back),
					changed[i] == text.ptr[i]);
		}
		assert_false(mms_token_decode((struct mms_slice){ text.ptr, i }, &signed_ones, &back));
	}
}

static void is_refused_with_another_key_with_none_or_with_one_too_many(void **state)
{
	struct mms_token token = token_of(SESSION, 5, HOST_B, 7, 9), back;

	(void)state;
	assert_false(mms_token_decode(text_of(&token, &others_key), &signed_ones, &back));
	assert_false(mms_token_decode(text_of(&token, &unsigned_ones), &signed_ones, &back));
	assert_false(mms_token_decode(text_of(&token, &signed_ones), &unsigned_ones, &back));
	assert_false(mms_token_decode((struct mms_slice){ NULL, 0 }, &signed_ones, &back));
	assert_false(mms_token_decode((struct mms_slice){ NULL, 0 }, &unsigned_ones, &back));
}

static void plan_for(const struct mms_token_set *set, unsigned count)
{
	struct mms_token_plan plan;

	mms_token_plan_make(set, SESSION, &plan);
	assert_int_equal(plan.count, count);
}

static void several_count_together(void **state)
{
	struct mms_token a = token_of(SESSION, 5, HOST_A, 1, 6), b = token_of(SESSION, 4, HOST_B, 1, 7);
	struct mms_token_set set = { .count = 0 };
	char joined[2 * MMS_TOKEN_TEXT_MAX + 1];
	struct mms_slice one = text_of(&a, &signed_ones), two = text_of(&b, &signed_ones);
	struct mms_version bound;
	uint64_t hlc;

	(void)state;
	memcpy(joined, one.ptr, one.len);
	joined[one.len] = '.';
	memcpy(joined + one.len + 1, two.ptr, two.len);
	mms_token_set_add(&set, (struct mms_slice){ joined, one.len + 1 + two.len }, &signed_ones);
	plan_for(&set, 2);
	assert_true(mms_token_bound(&set, SESSION, &bound, &hlc));
	assert_int_equal(bound.hlc, 7);
	assert_int_equal(hlc, 7);
	assert_false(mms_token_bound(&set, OTHER, &bound, &hlc));
}

static void one_that_anybody_could_have_made_raises_no_stamp(void **state)
{
	struct mms_token a = token_of(SESSION, 5, HOST_A, 1, 6);
	struct mms_token_set set = { .count = 0 };
	struct mms_version bound;
	uint64_t hlc;

	(void)state;
	mms_token_set_add(&set, text_of(&a, &unsigned_ones), &unsigned_ones);
	assert_true(mms_token_bound(&set, SESSION, &bound, &hlc));
	assert_int_equal(bound.hlc, 6);
	assert_int_equal(hlc, 0);
}

static void none_counts_beside_one_that_tells_nothing(void **state)
{
	struct mms_token good = token_of(SESSION, 5, HOST_A, 1, 6), foreign = token_of(OTHER, 5, HOST_B, 1, 6);
	struct mms_token uncertain = token_of(SESSION, 5, HOST_B, 2, 6);
	struct mms_token_set empty = { .count = 0 }, set;

	(void)state;
	uncertain.uncertain = true;
	plan_for(&empty, 0);
	mms_token_set_add(&empty, text_of(&good, &signed_ones), &signed_ones);
	plan_for(&empty, 1);
	set = empty;
	mms_token_set_add(&set, text_of(&foreign, &signed_ones), &signed_ones);
	plan_for(&set, 0);
	set = empty;
	mms_token_set_add(&set, text_of(&uncertain, &signed_ones), &signed_ones);
	plan_for(&set, 0);
	set = empty;
	mms_token_set_add(&set, mms_slice_of("no-token"), &signed_ones);
	plan_for(&set, 0);
	set = empty;
	mms_token_set_add(&set, text_of(&foreign, &others_key), &signed_ones);
	plan_for(&set, 0);
	set = empty;
	for (unsigned i = 0; i < MMS_TOKEN_SLOTS; i++) {
		mms_token_set_add(&set, text_of(&good, &signed_ones), &signed_ones);
	}
	plan_for(&set, 0); /* more than a visitor can have: one of them was not looked at */
}

static void covers_what_came_with_its_request(void **state)
{
	struct mms_token old = token_of(SESSION, 2, HOST_A, 1, 3), foreign = token_of(OTHER, 5, HOST_B, 1, 6), later;
	struct mms_token_set set = { .count = 0 };
	struct mms_token_plan plan;

	(void)state;
	mms_token_set_add(&set, text_of(&old, &unsigned_ones), &unsigned_ones);
	mms_token_set_add(&set, text_of(&foreign, &unsigned_ones), &unsigned_ones);
	mms_token_set_add(&set, mms_slice_of("rubbish"), &unsigned_ones);
	plan_for(&set, 0);
	mms_token_plan_make(&set, SESSION, &plan);
	assert_true(mms_token_plan_misses(&plan, &(struct mms_version){ .hlc = 99 }));
	later = token_of(SESSION, 8, HOST_B, 2, 9);
	for (unsigned i = 0; i < set.count; i++) {
		later.digests[later.digest_count++] = set.tokens[i].digest;
	}
	mms_token_set_add(&set, text_of(&later, &unsigned_ones), &unsigned_ones);
	mms_token_plan_make(&set, SESSION, &plan);
	assert_int_equal(plan.count, 1);
	assert_int_equal(plan.tokens[0]->read.hlc, 8);
	assert_true(mms_token_plan_misses(&plan, &(struct mms_version){ .hlc = 7 }));
	assert_false(mms_token_plan_misses(&plan, &(struct mms_version){ .hlc = 9 }));
	/* The other session's token covers nothing of this one. */
	mms_token_plan_make(&set, OTHER, &plan);
	assert_int_equal(plan.count, 0);
}

static void a_copy_is_enough_or_not(void **state)
{
	const struct mms_token pending = token_of(SESSION, 5, HOST_B, 7, 9), settled = token_of(SESSION, 5, HOST_B, 7, 0);
	struct mms_token uncertain = settled, strange = pending;
	struct mms_version local = { .hlc = 5, .writer = HOST_A, .sequence = 3 };

	(void)state;
	uncertain.uncertain = true;
	/* What was read is there; whether the reserved version was written is not known, or is. */
	assert_false(mms_token_satisfied(&pending, &local, false));
	assert_true(mms_token_satisfied(&pending, &local, true));
	assert_true(mms_token_satisfied(&settled, &local, false));
	assert_false(mms_token_satisfied(&uncertain, &local, true));
	local.hlc = 4;
	assert_false(mms_token_satisfied(&pending, &local, true));
	assert_false(mms_token_satisfied(&settled, &local, true));
	/* The reserved version itself, or something newer. */
	local = pending.reserved;
	assert_true(mms_token_satisfied(&pending, &local, false));
	local.sequence--;
	assert_false(mms_token_satisfied(&pending, &local, false));
	local.hlc = 10;
	assert_true(mms_token_satisfied(&pending, &local, false));
	/* A made-up one whose reservation lies below what it says was read. */
	strange.reserved.hlc = 1;
	local.hlc = 2;
	assert_false(mms_token_satisfied(&strange, &local, true));
	/* Nothing but live, real records. */
	local.hlc = 10;
	local.tombstone = true;
	assert_false(mms_token_satisfied(&pending, &local, true));
	local.tombstone = false;
	local.blind = true;
	assert_false(mms_token_satisfied(&pending, &local, true));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comes_back_as_it_was_encoded),
		cmocka_unit_test(keeps_its_golden_bytes),
		cmocka_unit_test(is_refused_when_any_character_is_another),
		cmocka_unit_test(is_refused_with_another_key_with_none_or_with_one_too_many),
		cmocka_unit_test(several_count_together),
		cmocka_unit_test(one_that_anybody_could_have_made_raises_no_stamp),
		cmocka_unit_test(none_counts_beside_one_that_tells_nothing),
		cmocka_unit_test(covers_what_came_with_its_request),
		cmocka_unit_test(a_copy_is_enough_or_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
