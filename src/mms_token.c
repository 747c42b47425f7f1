/* Tokens. The difficulty is that they come from outside: any text may be one, any of its numbers a lie. So a text is taken
 * only if encoding what it says gives the same bytes, lengths are compared before anything is read, and the worst that a
 * made-up token can do is to cost its sender a read of all nodes, or to show him an older state of his own session. */
#include "mms_token.h"

#include <string.h>

#define FORMAT 1
#define SEQUENCE_BITS 48

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
static unsigned char *put(unsigned char *at, uint64_t value, unsigned bytes);
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

void mms_token_set_add(struct mms_token_set *set, struct mms_slice text, const struct mms_token_signer *signer)
{
	for (size_t start = 0; start < text.len;) {
		struct mms_slice rest = mms_slice_part(text, start, text.len);
		size_t len = mms_slice_find(rest, '.');

		struct mms_slice one = mms_slice_part(rest, 0, len);
		struct mms_token *token = &set->tokens[set->count];

		if (set->count == MMS_TOKEN_SLOTS) {
			set->too_many = true;
			return;
		}
		if (!mms_token_decode(one, signer, token)) {
			*token = (struct mms_token){ .digest = mms_crc32c(0, one.ptr, one.len) };
		}
		set->count++;
		start += len + 1;
	}
}

void mms_token_plan_make(const struct mms_token_set *set, uint64_t session, struct mms_token_plan *plan)
{
	plan->count = 0;
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
	}
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

/* A token covers those that came with the request which it answers. An uncertain one covers nothing for certain, but a plan
 * with it is empty anyway. */
static bool is_covered(const struct mms_token_set *set, uint64_t session, uint32_t digest)
{
	for (unsigned i = 0; i < set->count; i++) {
		const struct mms_token *token = &set->tokens[i];

		for (unsigned k = 0; token->session == session && k < token->digest_count; k++) {
			if (token->digests[k] == digest && token->digest != digest) {
				return true;
			}
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

	at = put(at, FORMAT, 1);
	at = put(at, flags, 1);
	at = put(at, token->slot, 1);
	at = put(at, token->digest_count, 1);
	at = put(at, token->session, 8);
	at = (flags & FLAG_READ_INCARNATION) != 0 ? put(at, token->read.incarnation, 8) : at;
	at = put(at, token->read.hlc, 8);
	at = put(at, token->read.writer, 8);
	at = put(at, token->read.sequence, 6);
	at = put(at, token->reserved.writer, 8);
	at = put(at, token->reserved.sequence, 6);
	at = (flags & FLAG_RESERVED_INCARNATION) != 0 ? put(at, token->reserved.incarnation, 8) : at;
	at = token->pending ? put(at, token->reserved.hlc, 8) : at;
	for (unsigned i = 0; i < token->digest_count && i < MMS_TOKEN_SLOTS; i++) {
		at = put(at, token->digests[i], 4);
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

static unsigned char *put(unsigned char *at, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++) {
		at[i] = (unsigned char)(value >> (8 * (bytes - 1 - i)));
	}
	return at + bytes;
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
	uint32_t held = 0;
	unsigned bits = 0;
	size_t written = 0;

	for (size_t i = 0; i < len; i++) {
		held = held << 8 | bytes[i];
		for (bits += 8; bits >= 6; bits -= 6) {
			out[written++] = ALPHABET[held >> (bits - 6) & 63];
		}
	}
	if (bits > 0) {
		out[written++] = ALPHABET[held << (6 - bits) & 63];
	}
	return written;
}

/* text is at most MMS_TOKEN_TEXT_MAX long. Refuses what to_text() would not have written. */
static bool to_binary(struct mms_slice text, unsigned char *out, size_t *len)
{
	uint32_t held = 0;
	unsigned bits = 0;

	*len = 0;
	for (size_t i = 0; i < text.len; i++) {
		const char *found = text.ptr[i] == '\0' ? NULL : strchr(ALPHABET, text.ptr[i]);

		if (found == NULL) {
			return false;
		}
		held = (held << 6 | (uint32_t)(found - ALPHABET)) & 0xffffffu;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			if (*len == MMS_TOKEN_BYTES_MAX) {
				return false;
			}
			out[(*len)++] = (unsigned char)(held >> bits);
		}
	}
	/* What is left over are fewer bits than a character has, and all of them zero. */
	return text.len % 4 != 1 && (held & ((1u << bits) - 1)) == 0;
}
