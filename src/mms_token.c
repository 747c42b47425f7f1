/* Tokens. The difficulty is that they come from outside: any text may be one, any of its numbers a lie. So a text is taken
 * only if encoding what it says gives the same bytes, lengths are compared before anything is read, and the worst that a
 * made-up token can do is to cost its sender a read of all nodes, or to show him an older state of his own session. */
#include "mms_token.h"

#include <string.h>

#define FORMAT 1
#define SEQUENCE_BITS 48
#define NO_VALUE 0x80000000u /* instead of the 6 bits of a character */

enum {
	FLAG_PENDING = 1, FLAG_UNCERTAIN = 2, FLAG_RESERVED_BLIND = 4, FLAG_READ_TOMBSTONE = 8, FLAG_READ_BLIND = 16,
	FLAG_READ_INCARNATION = 32, FLAG_RESERVED_INCARNATION = 64, FLAGS_KNOWN = 127
};

struct cursor {
	const unsigned char *at, *end;
	bool short_of; /* something was asked for beyond the end */
};

static const char ALPHABET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t to_bytes(const struct mms_token *token, unsigned char *out);
static bool from_bytes(struct cursor *cursor, struct mms_token *out);
static size_t to_text(const unsigned char *bytes, size_t len, char *out);
static bool to_binary(struct mms_slice text, unsigned char *out, size_t *len);
static uint32_t value_of(char character);
static unsigned char *put32(unsigned char *at, uint32_t value);
static unsigned char *put48(unsigned char *at, uint64_t value);
static unsigned char *put64(unsigned char *at, uint64_t value);
static uint64_t take(struct cursor *cursor, unsigned bytes);
static bool is_covered(const struct mms_token_set *set, uint64_t session, uint32_t digest);

/* FNV-1a (Fowler, Noll, Vo), 64 bits. It tells sessions apart, no more: the session id lies beside it in another cookie. */
uint64_t mms_token_session(struct mms_slice key)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (size_t i = 0; i < key.len; i++) {
		hash = (hash ^ (unsigned char)key.ptr[i]) * UINT64_C(1099511628211);
	}
	return hash == 0 ? 1 : hash;
}

size_t mms_token_encode(struct mms_token *token, const struct mms_token_signer *signer, char out[MMS_TOKEN_TEXT_MAX])
{
	unsigned char bytes[MMS_TOKEN_BYTES_MAX];
	size_t len = to_bytes(token, bytes);

	if (signer->mac_fn != NULL) {
		signer->mac_fn(signer->context, (struct mms_slice){ (const char *)bytes, len }, bytes + len);
		len += MMS_TOKEN_MAC_SIZE;
	}
	len = to_text(bytes, len, out);
	token->digest = mms_crc32c(0, out, len);
	return len;
}

bool mms_token_decode(struct mms_slice text, const struct mms_token_signer *signer, struct mms_token *out)
{
	unsigned char bytes[MMS_TOKEN_BYTES_MAX], again[MMS_TOKEN_BYTES_MAX], code[MMS_TOKEN_MAC_SIZE];
	size_t len;

	if (text.len > MMS_TOKEN_TEXT_MAX || !to_binary(text, bytes, &len)) {
		return false;
	}
	if (signer->mac_fn != NULL) {
		if (len < MMS_TOKEN_MAC_SIZE) {
			return false;
		}
		len -= MMS_TOKEN_MAC_SIZE;
		signer->mac_fn(signer->context, (struct mms_slice){ (const char *)bytes, len }, code);
		if (!mms_slice_equal_constant_time((struct mms_slice){ (const char *)code, sizeof code },
				(struct mms_slice){ (const char *)bytes + len, sizeof code })) {
			return false;
		}
	}

	struct cursor cursor = { bytes, bytes + len, false };

	if (!from_bytes(&cursor, out)) {
		return false;
	}
	out->authentic = signer->mac_fn != NULL;
	out->digest = mms_crc32c(0, text.ptr, text.len);
	return to_bytes(out, again) == len && memcmp(again, bytes, len) == 0;
}

bool mms_token_stands_for_others(const struct mms_token *token)
{
	return token->pending && token->uncertain && token->reserved.sequence == 0;
}

void mms_token_set_add(struct mms_token_set *set, struct mms_slice text, const struct mms_token_signer *signer)
{
	for (size_t start = 0; start < text.len;) {
		struct mms_slice rest = mms_slice_part(text, start, text.len);
		size_t len = mms_slice_find(rest, '.');

		struct mms_slice one = mms_slice_part(rest, 0, len);
		struct mms_token token;

		if (!mms_token_decode(one, signer, &token)) {
			token = (struct mms_token){ .digest = mms_crc32c(0, one.ptr, one.len) };
		}
		if (set->count == MMS_TOKEN_SLOTS) {
			set->too_many = true;
			set->lost = set->lost || token.pending;
		} else {
			set->tokens[set->count++] = token;
		}
		start += len + 1;
	}
}

void mms_token_plan_make(const struct mms_token_set *set, uint64_t session, struct mms_token_plan *plan)
{
	plan->count = 0;
	plan->unclear = true;
	for (unsigned i = 0; i < set->count; i++) {
		const struct mms_token *token = &set->tokens[i];

		if (is_covered(set, session, token->digest)) {
			continue;
		}
		if (token->session != session || token->uncertain) {
			plan->count = 0;
			return;
		}
		plan->tokens[plan->count++] = token;
	}
	if (set->too_many) {
		plan->count = 0;
		return;
	}
	plan->unclear = false;
}

bool mms_token_satisfied(const struct mms_token *token, const struct mms_version *local, bool closed)
{
	if (token->uncertain || local->tombstone || local->blind) {
		return false;
	}
	if (token->pending && mms_version_compare(local, &token->reserved) >= 0) {
		/* Written or not, this copy is at least as new. But for what else he was shown: */
		return mms_version_compare(local, &token->read) >= 0;
	}
	return (closed || !token->pending) && mms_version_compare(local, &token->read) >= 0;
}

bool mms_token_plan_misses(const struct mms_token_plan *plan, const struct mms_version *shown)
{
	bool misses = plan->unclear;

	for (unsigned i = 0; i < plan->count; i++) {
		misses = misses || mms_version_compare(shown, &plan->tokens[i]->read) < 0;
	}
	return misses;
}

bool mms_token_bound(const struct mms_token_set *set, uint64_t session, struct mms_version *bound,
		uint64_t *authentic_hlc)
{
	bool found = false;

	memset(bound, 0, sizeof *bound);
	*authentic_hlc = 0;
	for (unsigned i = 0; i < set->count; i++) {
		const struct mms_token *token = &set->tokens[i];

		if (token->session != session) {
			continue;
		}
		if (!found || mms_version_compare(&token->read, bound) > 0) {
			*bound = token->read;
		}
		found = true;
		if (token->pending && mms_version_compare(&token->reserved, bound) > 0) {
			*bound = token->reserved;
		}
		if (token->authentic && token->read.hlc > *authentic_hlc) {
			*authentic_hlc = token->read.hlc;
		}
		if (token->authentic && token->pending && token->reserved.hlc > *authentic_hlc) {
			*authentic_hlc = token->reserved.hlc;
		}
	}
	return found;
}

/* Did that one come with the request which this token answers? */
static bool names(const struct mms_token *token, uint64_t session, uint32_t digest)
{
	bool found = false;

	for (unsigned k = 0; token->session == session && token->digest != digest && k < token->digest_count; k++) {
		found = found || token->digests[k] == digest;
	}
	return found;
}

static bool is_named(const struct mms_token_set *set, uint64_t session, uint32_t digest)
{
	bool found = false;

	for (unsigned i = 0; i < set->count; i++) {
		found = found || names(&set->tokens[i], session, digest);
	}
	return found;
}

/* A token covers those that came with the request which it answers; but one that is named itself covers nobody: the token that names
 * it may have left open what it closed. */
static bool is_covered(const struct mms_token_set *set, uint64_t session, uint32_t digest)
{
	for (unsigned i = 0; i < set->count; i++) {
		if (names(&set->tokens[i], session, digest) && !is_named(set, session, set->tokens[i].digest)) {
			return true;
		}
	}
	return false;
}

static unsigned flags_of(const struct mms_token *token)
{
	return (token->pending ? FLAG_PENDING : 0u) | (token->uncertain ? FLAG_UNCERTAIN : 0u)
			| (token->pending && token->reserved.blind ? FLAG_RESERVED_BLIND : 0u)
			| (token->read.tombstone ? FLAG_READ_TOMBSTONE : 0u) | (token->read.blind ? FLAG_READ_BLIND : 0u)
			| (token->read.incarnation != 0 ? FLAG_READ_INCARNATION : 0u)
			| (token->pending && token->reserved.incarnation != 0 ? FLAG_RESERVED_INCARNATION : 0u);
}

static size_t to_bytes(const struct mms_token *token, unsigned char *out)
{
	const unsigned flags = flags_of(token);
	unsigned char *at = out;

	*at++ = FORMAT;
	*at++ = (unsigned char)flags;
	*at++ = (unsigned char)token->slot;
	*at++ = (unsigned char)token->digest_count;
	at = put64(at, token->session);
	at = (flags & FLAG_READ_INCARNATION) != 0 ? put64(at, token->read.incarnation) : at;
	at = put64(at, token->read.hlc);
	at = put64(at, token->read.writer);
	at = put48(at, token->read.sequence);
	at = put64(at, token->reserved.writer);
	at = put48(at, token->reserved.sequence);
	at = (flags & FLAG_RESERVED_INCARNATION) != 0 ? put64(at, token->reserved.incarnation) : at;
	at = token->pending ? put64(at, token->reserved.hlc) : at;
	for (unsigned i = 0; i < token->digest_count && i < MMS_TOKEN_SLOTS; i++) {
		at = put32(at, token->digests[i]);
	}
	return (size_t)(at - out);
}

static bool from_bytes(struct cursor *cursor, struct mms_token *out)
{
	uint64_t format, flags;

	memset(out, 0, sizeof *out);
	format = take(cursor, 1);
	flags = take(cursor, 1);
	out->slot = (unsigned)take(cursor, 1);
	out->digest_count = (unsigned)take(cursor, 1);
	if (format != FORMAT || (flags & ~(uint64_t)FLAGS_KNOWN) != 0 || out->slot >= MMS_TOKEN_SLOTS
			|| out->digest_count > MMS_TOKEN_SLOTS) {
		return false;
	}
	out->pending = (flags & FLAG_PENDING) != 0;
	out->uncertain = (flags & FLAG_UNCERTAIN) != 0;
	out->session = take(cursor, 8);
	out->read.tombstone = (flags & FLAG_READ_TOMBSTONE) != 0;
	out->read.blind = (flags & FLAG_READ_BLIND) != 0;
	out->read.incarnation = (flags & FLAG_READ_INCARNATION) != 0 ? take(cursor, 8) : 0;
	out->read.hlc = take(cursor, 8);
	out->read.writer = take(cursor, 8);
	out->read.sequence = take(cursor, SEQUENCE_BITS / 8);
	out->reserved.writer = take(cursor, 8);
	out->reserved.sequence = take(cursor, SEQUENCE_BITS / 8);
	out->reserved.blind = (flags & FLAG_RESERVED_BLIND) != 0;
	out->reserved.incarnation = (flags & FLAG_RESERVED_INCARNATION) != 0 ? take(cursor, 8) : 0;
	out->reserved.hlc = out->pending ? take(cursor, 8) : 0;
	for (unsigned i = 0; i < out->digest_count; i++) {
		out->digests[i] = (uint32_t)take(cursor, 4);
	}
	return !cursor->short_of && cursor->at == cursor->end;
}

/* Byte by byte, not in a loop: so compilers make one instruction of it. */
static unsigned char *put32(unsigned char *at, uint32_t value)
{
	at[0] = (unsigned char)(value >> 24);
	at[1] = (unsigned char)(value >> 16);
	at[2] = (unsigned char)(value >> 8);
	at[3] = (unsigned char)value;
	return at + 4;
}

static unsigned char *put48(unsigned char *at, uint64_t value)
{
	at[0] = (unsigned char)(value >> 40);
	at[1] = (unsigned char)(value >> 32);
	return put32(at + 2, (uint32_t)value);
}

static unsigned char *put64(unsigned char *at, uint64_t value)
{
	return put32(put32(at, (uint32_t)(value >> 32)), (uint32_t)value);
}

/* 0 beyond the end. */
static uint64_t take(struct cursor *cursor, unsigned bytes)
{
	uint64_t value = 0;

	if ((size_t)(cursor->end - cursor->at) < bytes) {
		cursor->short_of = true;
		return 0;
	}
	for (unsigned i = 0; i < bytes; i++) {
		value = value << 8 | *cursor->at++;
	}
	return value;
}

static size_t to_text(const unsigned char *bytes, size_t len, char *out)
{
	char *at = out;
	uint32_t held;

	for (; len >= 3; len -= 3, bytes += 3, at += 4) {
		held = (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2];
		at[0] = ALPHABET[held >> 18];
		at[1] = ALPHABET[held >> 12 & 63];
		at[2] = ALPHABET[held >> 6 & 63];
		at[3] = ALPHABET[held & 63];
	}
	if (len > 0) {
		held = (uint32_t)bytes[0] << 16 | (len > 1 ? (uint32_t)bytes[1] << 8 : 0);
		*at++ = ALPHABET[held >> 18];
		*at++ = ALPHABET[held >> 12 & 63];
		if (len > 1) {
			*at++ = ALPHABET[held >> 6 & 63];
		}
	}
	return (size_t)(at - out);
}

/* text is at most MMS_TOKEN_TEXT_MAX long. Refuses what to_text() would not have written. */
static bool to_binary(struct mms_slice text, unsigned char *out, size_t *len)
{
	const size_t rest = text.len % 4;
	const char *at = text.ptr;
	uint32_t held = 0, wrong = 0;

	*len = text.len / 4 * 3 + (rest > 0 ? rest - 1 : 0);
	if (text.len == 0 || rest == 1 || *len > MMS_TOKEN_BYTES_MAX) {
		return false;
	}
	for (const char *end = at + (text.len - rest); at < end; at += 4, out += 3) {
		const uint32_t a = value_of(at[0]), b = value_of(at[1]), c = value_of(at[2]), d = value_of(at[3]);

		wrong |= a | b | c | d;
		held = a << 18 | b << 12 | c << 6 | d;
		out[0] = (unsigned char)(held >> 16);
		out[1] = (unsigned char)(held >> 8);
		out[2] = (unsigned char)held;
	}
	if (rest > 0) {
		const uint32_t a = value_of(at[0]), b = value_of(at[1]), c = rest > 2 ? value_of(at[2]) : 0;

		wrong |= a | b | c;
		held = a << 18 | b << 12 | c << 6;
		out[0] = (unsigned char)(held >> 16);
		if (rest > 2) {
			out[1] = (unsigned char)(held >> 8);
		}
		/* What is left over are fewer bits than a character has, and all of them zero. */
		wrong |= (held & (rest > 2 ? 0xffu : 0xffffu)) != 0 ? NO_VALUE : 0;
	}
	return (wrong & NO_VALUE) == 0;
}

/* 6 bits; NO_VALUE for what is not in the alphabet. */
static uint32_t value_of(char character)
{
	static const unsigned char values[] = {
		['A'] = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
		['a'] = 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 52,
		['0'] = 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, ['-'] = 63, ['_'] = 64, [255] = 0,
	}; /* one more than the value, 0 = none */

	return (values[(unsigned char)character] - 1u) & (NO_VALUE | 63u);
}
