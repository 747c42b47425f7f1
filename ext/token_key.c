/* The key that session tokens are signed with: mmsession.token_key_file, read once by each thread, and HMAC with what that
 * makes of it. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include "php_mmsession.h"

#define SHA256_SIZE 32
#define SHA256_BLOCK 64
#define KEY_MIN 16 /* bytes: less is guessed */

/* HMAC (RFC 2104) with SHA-256, cut. */
static void authenticate(const void *context, struct mms_slice bytes, unsigned char out[MMS_TOKEN_MAC_SIZE])
{
	const struct php_mmsession_token_key *key = context;
	PHP_SHA256_CTX inner = key->inner, outer = key->outer;
	unsigned char digest[SHA256_SIZE];

	PHP_SHA256Update(&inner, (const unsigned char *)bytes.ptr, bytes.len);
	PHP_SHA256Final(digest, &inner);
	PHP_SHA256Update(&outer, digest, sizeof digest);
	PHP_SHA256Final(digest, &outer);
	memcpy(out, digest, MMS_TOKEN_MAC_SIZE);
}

/* block: the key, filled up with zeros; pad: RFC 2104's ipad or opad. */
static void take_in(PHP_SHA256_CTX *sha, const unsigned char block[SHA256_BLOCK], unsigned char pad)
{
	unsigned char padded[SHA256_BLOCK];

	for (unsigned i = 0; i < SHA256_BLOCK; i++) {
		padded[i] = block[i] ^ pad;
	}
	PHP_SHA256Init(sha);
	PHP_SHA256Update(sha, padded, sizeof padded);
	explicit_bzero(padded, sizeof padded);
}

struct mms_token_signer php_mmsession_token_signer(void)
{
	return (struct mms_token_signer){ MMSG(token_key).set ? authenticate : NULL, &MMSG(token_key) };
}

enum mms_status php_mmsession_token_read_key(struct mms_error *error)
{
	struct php_mmsession_token_key key = { 0 };
	unsigned char block[SHA256_BLOCK] = { 0 };
	char secret[MMS_SECRET_MAX + 1];
	enum mms_status status;
	size_t len;

	if (MMSG(token_key_file) == NULL || MMSG(token_key_file)[0] == '\0') {
		MMSG(token_key) = key;
		return MMS_OK;
	}
	status = mms_config_read_secret("mmsession.token_key_file", MMSG(token_key_file), secret, error);
	len = strlen(secret);
	if (status == MMS_OK && len < KEY_MIN) {
		mms_error_set(error, "mmsession.token_key_file %s: its first line has %zu bytes: at least %d, best random",
				MMSG(token_key_file), len, KEY_MIN);
		status = MMS_ERR_CONFIG;
	}
	if (status == MMS_OK) {
		if (len <= SHA256_BLOCK) {
			memcpy(block, secret, len);
		} else {
			PHP_SHA256_CTX sha;

			PHP_SHA256Init(&sha);
			PHP_SHA256Update(&sha, (const unsigned char *)secret, len);
			PHP_SHA256Final(block, &sha);
		}
		take_in(&key.inner, block, 0x36);
		take_in(&key.outer, block, 0x5c);
		key.set = true;
		MMSG(token_key) = key; /* where it can not be read, an open session signs with the one it began with */
	}
	explicit_bzero(&key, sizeof key);
	explicit_bzero(block, sizeof block);
	explicit_bzero(secret, sizeof secret);
	return status;
}

void php_mmsession_token_forget(zend_mmsession_globals *globals)
{
	explicit_bzero(&globals->token_key, sizeof globals->token_key);
}
