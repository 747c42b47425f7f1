/* OpenSSL, in one place. Its difficulties: errors stand in a queue that all users of a thread share (cleared before each
 * call and behind us), SSL_write() would raise SIGPIPE over its own socket BIO (so there is one of ours), and what went
 * wrong is told by four different numbers (turned into one sentence with a remedy). Builds without OpenSSL have
 * mms_tls_none.c instead. */
#ifdef MMS_TLS

#include "mms_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define PATH_SIZE 256
#define FAILURE_SIZE 400
#define FILES 3 /* CA, certificate, key */

/* What a file was when it was read. */
struct file_state {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec changed;
};

struct mms_tls_context {
	char paths[FILES][PATH_SIZE];
	bool verify, frozen;
	SSL_CTX *ssl;        /* NULL: nothing could be read yet */
	BIO_METHOD *method;
	struct file_state states[FILES];
};

struct mms_tls {
	SSL *ssl;
	int fd;              /* borrowed */
	bool verify;
	bool wants_write, begun;
	bool ended;          /* the peer has closed */
	int number;          /* errno of the socket's last call */
	char name[PATH_SIZE];
	char failure[FAILURE_SIZE];
};

enum { FILE_CA, FILE_CERT, FILE_KEY };

static const char *const settings_names[FILES] = {"mmsession.tls_ca_file", "mmsession.tls_cert_file",
	"mmsession.tls_key_file"};

static bool make_method(struct mms_tls_context *context);
static enum mms_status look_at_files(const struct mms_tls_context *context, struct file_state states[FILES],
		struct mms_error *error);
static enum mms_status make_context(const struct mms_tls_context *context, SSL_CTX **made, struct mms_error *error);
static enum mms_status refuse_file(const struct mms_tls_context *context, int which, const char *remedy,
		struct mms_error *error);
static bool demand_name(struct mms_tls *tls);
static int fail(struct mms_tls *tls, int result);
static void explain(struct mms_tls *tls, unsigned long code);
static int socket_write(BIO *bio, const char *bytes, int len);
static int socket_read(BIO *bio, char *bytes, int len);
static long socket_control(BIO *bio, int command, long number, void *pointer);
static int no_passphrase(char *buffer, int size, int writing, void *context);

bool mms_tls_available(void)
{
	return true;
}

const char *mms_tls_library_version(void)
{
	return OpenSSL_version(OPENSSL_VERSION);
}

struct mms_tls_context *mms_tls_context_new(const struct mms_tls_files *files)
{
	struct mms_tls_context *context = calloc(1, sizeof(*context));

	/* No atexit(): a replicator that is stuck in the kernel may outlive exit(), and must not find its library taken down. */
	if (context == NULL || OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL) != 1 || !make_method(context)) {
		mms_tls_context_free(context);
		return NULL;
	}
	(void) snprintf(context->paths[FILE_CA], PATH_SIZE, "%s", files->ca);
	(void) snprintf(context->paths[FILE_CERT], PATH_SIZE, "%s", files->cert);
	(void) snprintf(context->paths[FILE_KEY], PATH_SIZE, "%s", files->key);
	context->verify = files->verify;
	return context;
}

void mms_tls_context_free(struct mms_tls_context *context)
{
	if (context != NULL) {
		SSL_CTX_free(context->ssl);
		BIO_meth_free(context->method);
		free(context);
	}
}

enum mms_status mms_tls_context_load(struct mms_tls_context *context, struct mms_error *error)
{
	struct file_state states[FILES];
	SSL_CTX *made = NULL;

	if (context->ssl != NULL && context->frozen) {
		return MMS_OK;
	}
	memset(states, 0, sizeof(states));
	enum mms_status status = look_at_files(context, states, error);

	if (status == MMS_OK && context->ssl != NULL && memcmp(states, context->states, sizeof(states)) == 0) {
		return MMS_OK;
	}
	if (status == MMS_OK) {
		ERR_clear_error();
		status = make_context(context, &made, error);
		ERR_clear_error();
	}
	if (status == MMS_OK) {
		SSL_CTX_free(context->ssl); /* sessions that stand hold on to theirs */
		context->ssl = made;
		memcpy(context->states, states, sizeof(states));
	}
	return context->ssl != NULL ? MMS_OK : status;
}

void mms_tls_context_freeze(struct mms_tls_context *context)
{
	if (context == NULL) {
		return;
	}
	context->frozen = true;
	if (context->ssl == NULL) {
		memset(context->paths, 0, sizeof(context->paths));
		(void) snprintf(context->paths[FILE_CA], PATH_SIZE, "(not read again)");
	}
}

struct mms_tls *mms_tls_new(struct mms_tls_context *context, int fd, const char *name, enum mms_status *status,
		struct mms_error *error)
{
	struct mms_tls *tls = NULL;
	BIO *bio = NULL;

	if (context == NULL) {
		mms_error_set(error, "TLS: there is no context for it");
		*status = MMS_ERR_CONFIG;
		return NULL;
	}
	*status = mms_tls_context_load(context, error);
	if (*status != MMS_OK) {
		return NULL;
	}
	ERR_clear_error();
	tls = calloc(1, sizeof(*tls));
	if (tls == NULL) {
		goto failed;
	}
	tls->fd = fd;
	tls->verify = context->verify;
	tls->wants_write = true;
	(void) snprintf(tls->name, sizeof(tls->name), "%s", name);
	tls->ssl = SSL_new(context->ssl);
	bio = BIO_new(context->method);
	if (tls->ssl == NULL || bio == NULL) {
		BIO_free(bio);
		goto failed;
	}
	BIO_set_data(bio, tls);
	BIO_set_init(bio, 1);
	SSL_set_bio(tls->ssl, bio, bio); /* takes it */
	SSL_set_connect_state(tls->ssl);
	if (!demand_name(tls)) {
		goto failed;
	}
	return tls;
failed:
	ERR_clear_error();
	mms_tls_free(tls);
	*status = MMS_ERR_MEMORY;
	mms_error_set(error, "TLS: out of memory");
	return NULL;
}

void mms_tls_free(struct mms_tls *tls)
{
	if (tls != NULL) {
		SSL_free(tls->ssl);
		free(tls);
	}
}

ssize_t mms_tls_write(struct mms_tls *tls, const void *bytes, size_t len)
{
	size_t done = 0;

	/* A record at a time: each turn takes one, or ends it. */
	while (done < len) {
		size_t taken = 0;

		ERR_clear_error();
		tls->number = 0;
		int result = SSL_write_ex(tls->ssl, (const char *) bytes + done, len - done, &taken);

		if (result != 1) {
			if (fail(tls, result) == 0) {
				errno = ECONNRESET;
			}
			return done > 0 && errno == EAGAIN ? (ssize_t) done : -1;
		}
		done += taken;
	}
	tls->wants_write = false;
	return (ssize_t) done;
}

ssize_t mms_tls_read(struct mms_tls *tls, void *buffer, size_t size)
{
	size_t taken = 0;

	ERR_clear_error();
	tls->number = 0;
	int result = SSL_read_ex(tls->ssl, buffer, size, &taken);

	return result == 1 ? (ssize_t) taken : fail(tls, result);
}

bool mms_tls_finished(const struct mms_tls *tls)
{
	return SSL_is_init_finished(tls->ssl) == 1;
}

bool mms_tls_wants_write(const struct mms_tls *tls)
{
	return tls->wants_write;
}

bool mms_tls_begun(const struct mms_tls *tls)
{
	return tls->begun;
}

bool mms_tls_pending(const struct mms_tls *tls)
{
	return SSL_pending(tls->ssl) > 0;
}

const char *mms_tls_failure(const struct mms_tls *tls)
{
	return tls->failure;
}

void mms_tls_describe(const struct mms_tls *tls, char *out, size_t size)
{
	(void) snprintf(out, size, "%s %s%s", SSL_get_version(tls->ssl), SSL_get_cipher_name(tls->ssl),
			tls->verify ? "" : ", certificate not verified");
}

static bool make_method(struct mms_tls_context *context)
{
	context->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "mmsession socket");
	return context->method != NULL && BIO_meth_set_write(context->method, socket_write) == 1
			&& BIO_meth_set_read(context->method, socket_read) == 1
			&& BIO_meth_set_ctrl(context->method, socket_control) == 1;
}

/* Regular files alone: a FIFO in their place must not stop the worker. */
static enum mms_status look_at_files(const struct mms_tls_context *context, struct file_state states[FILES],
		struct mms_error *error)
{
	for (int which = 0; which < FILES; which++) {
		struct stat found;

		if (context->paths[which][0] == '\0') {
			continue;
		}
		if (stat(context->paths[which], &found) != 0) {
			mms_error_set(error, "%s = %s: %s", settings_names[which], context->paths[which], strerror(errno));
			return MMS_ERR_CONFIG;
		}
		if (!S_ISREG(found.st_mode)) {
			mms_error_set(error, "%s = %s: it must be a file", settings_names[which], context->paths[which]);
			return MMS_ERR_CONFIG;
		}
		states[which].device = found.st_dev;
		states[which].inode = found.st_ino;
		states[which].size = found.st_size;
		states[which].changed = found.st_mtim;
	}
	return MMS_OK;
}

static enum mms_status make_context(const struct mms_tls_context *context, SSL_CTX **made, struct mms_error *error)
{
	const char *ca = context->paths[FILE_CA], *cert = context->paths[FILE_CERT];
	int key_file = context->paths[FILE_KEY][0] != '\0' ? FILE_KEY : FILE_CERT;
	SSL_CTX *ssl = SSL_CTX_new(TLS_client_method());
	enum mms_status status = MMS_ERR_CONFIG;

	if (ssl == NULL || SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) != 1) {
		mms_error_set(error, "TLS: the library gives no context: %s", ERR_reason_error_string(ERR_peek_last_error()));
		status = MMS_ERR_MEMORY;
		goto failed;
	}
	(void) SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	(void) SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	(void) SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(ssl, context->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_default_passwd_cb(ssl, no_passphrase); /* the library would ask at the terminal */
	if (context->verify && (ca[0] != '\0' ? SSL_CTX_load_verify_locations(ssl, ca, NULL)
			: SSL_CTX_set_default_verify_paths(ssl)) != 1) {
		status = refuse_file(context, FILE_CA, "it must hold the CA's certificate as PEM", error);
		goto failed;
	}
	if (cert[0] == '\0' && key_file == FILE_KEY) {
		mms_error_set(error, "mmsession.tls_key_file = %s, but mmsession.tls_cert_file is empty: set both or none",
				context->paths[FILE_KEY]);
		goto failed;
	}
	if (cert[0] != '\0' && SSL_CTX_use_certificate_chain_file(ssl, cert) != 1) {
		status = refuse_file(context, FILE_CERT, "it must hold this host's certificate as PEM", error);
		goto failed;
	}
	if (cert[0] != '\0' && SSL_CTX_use_PrivateKey_file(ssl, context->paths[key_file], SSL_FILETYPE_PEM) != 1) {
		status = refuse_file(context, key_file, "it must hold the key of the certificate as PEM, without a passphrase, "
				"readable for PHP's workers", error);
		goto failed;
	}
	*made = ssl;
	return MMS_OK;
failed:
	SSL_CTX_free(ssl);
	return status;
}

/* The oldest error says most: that a file can't be opened, then that there is no certificate. */
static enum mms_status refuse_file(const struct mms_tls_context *context, int which, const char *remedy,
		struct mms_error *error)
{
	unsigned long code = ERR_peek_error();
	const char *cause = ERR_GET_LIB(code) == ERR_LIB_SYS ? strerror((int) ERR_GET_REASON(code)) : ERR_reason_error_string(code);

	mms_error_set(error, "%s = %s: %s: %s", settings_names[which],
			context->paths[which][0] != '\0' ? context->paths[which] : "(the system's)", cause != NULL ? cause : "not usable",
			remedy);
	return ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE ? MMS_ERR_MEMORY : MMS_ERR_CONFIG;
}

/* SNI, and what is checked; an address is no SNI (RFC 6066). */
static bool demand_name(struct mms_tls *tls)
{
	size_t len = strlen(tls->name);
	unsigned char address[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, tls->name, address) == 1 || inet_pton(AF_INET6, tls->name, address) == 1) {
		return !tls->verify || X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls->ssl), tls->name) == 1;
	}
	if (len > 0 && tls->name[len - 1] == '.') {
		tls->name[len - 1] = '\0'; /* the root's dot stands in no certificate */
	}
	SSL_set_hostflags(tls->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set_tlsext_host_name(tls->ssl, tls->name) == 1 && (!tls->verify || SSL_set1_host(tls->ssl, tls->name) == 1);
}

/* What a call that did not succeed leaves: -1 and errno, or 0 for the end. */
static int fail(struct mms_tls *tls, int result)
{
	int kind = SSL_get_error(tls->ssl, result);
	unsigned long code = ERR_peek_error(), last = ERR_peek_last_error();

	ERR_clear_error();
	if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE) {
		tls->wants_write = kind == SSL_ERROR_WANT_WRITE;
		errno = EAGAIN;
		return -1;
	}
	if (kind == SSL_ERROR_ZERO_RETURN || (tls->ended && tls->number == 0)) {
		return 0;
	}
	if (tls->number != 0) {
		errno = tls->number;
		return -1;
	}
	if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE || ERR_GET_REASON(last) == ERR_R_MALLOC_FAILURE) {
		errno = ENOMEM;
		return -1;
	}
	explain(tls, code);
	errno = EPROTO;
	return -1;
}

static void explain_certificate(struct mms_tls *tls, long verdict)
{
	const char *remedy = "";

	switch (verdict) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		remedy = ": renew it on the node";
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
		remedy = ": is this host's clock right?";
		break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		remedy = ": mmsession.tls_ca_file must hold the certificate of the CA that signed the node's";
		break;
	default:
		break;
	}
	if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH) {
		(void) snprintf(tls->failure, sizeof(tls->failure), "the node's certificate is not for %.200s: write a name that it is for "
				"into the node list, as host or as ?tls_name=", tls->name);
		return;
	}
	(void) snprintf(tls->failure, sizeof(tls->failure), "the node's certificate: %s%s",
			X509_verify_cert_error_string(verdict), remedy);
}

static void explain(struct mms_tls *tls, unsigned long code)
{
	long verdict = SSL_get_verify_result(tls->ssl);
	const char *cause = ERR_reason_error_string(code), *remedy = "";

	if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_CERTIFICATE_VERIFY_FAILED && verdict != X509_V_OK) {
		explain_certificate(tls, verdict);
		return;
	}
	if (ERR_GET_LIB(code) == ERR_LIB_SSL) {
		switch (ERR_GET_REASON(code)) {
		case SSL_R_WRONG_VERSION_NUMBER:
		case SSL_R_PACKET_LENGTH_TOO_LONG:
		case SSL_R_HTTP_REQUEST:
			remedy = ": what answers does not speak TLS; is this the node's tls-port?";
			break;
		case SSL_AD_REASON_OFFSET + SSL_AD_CERTIFICATE_REQUIRED:
			remedy = ": set mmsession.tls_cert_file and mmsession.tls_key_file, or tls-auth-clients on the node";
			break;
		case SSL_AD_REASON_OFFSET + SSL_AD_HANDSHAKE_FAILURE:
		case SSL_AD_REASON_OFFSET + SSL_AD_BAD_CERTIFICATE:
		case SSL_AD_REASON_OFFSET + SSL_AD_UNKNOWN_CA:
		case SSL_AD_REASON_OFFSET + SSL_AD_CERTIFICATE_EXPIRED:
		case SSL_AD_REASON_OFFSET + SSL_AD_CERTIFICATE_UNKNOWN:
			remedy = ": the node refuses; does it want a client certificate (mmsession.tls_cert_file) that its CA signed?";
			break;
		case SSL_R_UNSUPPORTED_PROTOCOL:
		case SSL_AD_REASON_OFFSET + SSL_AD_PROTOCOL_VERSION:
			remedy = ": TLS 1.2 or newer is needed (tls-protocols on the node)";
			break;
		default:
			break;
		}
	}
	(void) snprintf(tls->failure, sizeof(tls->failure), "%s%s", cause != NULL ? cause : "the library says no reason", remedy);
}

static int socket_write(BIO *bio, const char *bytes, int len)
{
	struct mms_tls *tls = BIO_get_data(bio);
	ssize_t result;

	BIO_clear_retry_flags(bio);
	do {
		result = send(tls->fd, bytes, (size_t) len, MSG_NOSIGNAL);
	} while (result < 0 && errno == EINTR);

	if (result < 0 && errno == EAGAIN) {
		BIO_set_retry_write(bio);
	} else if (result < 0) {
		tls->number = errno;
	} else {
		tls->begun = true;
	}
	return (int) result;
}

static int socket_read(BIO *bio, char *bytes, int len)
{
	struct mms_tls *tls = BIO_get_data(bio);
	ssize_t result;

	BIO_clear_retry_flags(bio);
	do {
		result = recv(tls->fd, bytes, (size_t) len, 0);
	} while (result < 0 && errno == EINTR);

	if (result < 0 && errno == EAGAIN) {
		BIO_set_retry_read(bio);
	} else if (result < 0) {
		tls->number = errno;
	} else if (result == 0) {
		tls->ended = true;
	}
	return (int) result;
}

static long socket_control(BIO *bio, int command, long number, void *pointer)
{
	(void) number;
	(void) pointer;
	if (command == BIO_CTRL_EOF) {
		const struct mms_tls *tls = BIO_get_data(bio);

		return tls->ended;
	}
	return command == BIO_CTRL_FLUSH;
}

static int no_passphrase(char *buffer, int size, int writing, void *context)
{
	(void) buffer;
	(void) size;
	(void) writing;
	(void) context;
	return -1;
}

#endif
