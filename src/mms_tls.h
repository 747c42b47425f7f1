/* TLS over a socket that somebody else owns: the only door to OpenSSL. No waiting in here, no clock, no descriptor of its
 * own, and nothing that a thread shares with another: a context belongs to one request thread's client or one replicator,
 * its sessions to their connections.
 *
 * TLS 1.2 and newer, ciphers and security level as the system's openssl.cnf says. */
#ifndef MMS_TLS_H
#define MMS_TLS_H

#include <stdbool.h>
#include <sys/types.h>

#include "mms_base.h"

struct mms_tls_context; /* opaque: what is trusted, and what we show */
struct mms_tls;         /* opaque: one connection */

struct mms_tls_files {
	const char *ca;   /* PEM, one certificate or many; "" = what the system trusts */
	const char *cert; /* PEM, our certificate and its intermediates; "" = none */
	const char *key;  /* PEM, without a passphrase; "" = in the certificate's file */
	bool verify;      /* false: encrypted, but with whoever answers */
};

/* Was this built with OpenSSL? If not, mms_tls_context_new() gives NULL. */
bool mms_tls_available(void);
const char *mms_tls_library_version(void);

/* Copies files, reads nothing yet; NULL when memory is short. */
struct mms_tls_context *mms_tls_context_new(const struct mms_tls_files *files);
/* NULL is fine. Sessions must be gone before. */
void mms_tls_context_free(struct mms_tls_context *context);

/* Reads the files, the first time and whenever one of them has changed since; what was read before stays in use as long as
 * the new ones can't be read (or don't fit together, in the middle of a renewal). MMS_ERR_CONFIG: there is nothing to use
 * at all; the error names the file, the cause and what would be right. Never what is in a file. */
enum mms_status mms_tls_context_load(struct mms_tls_context *context, struct mms_error *error);
/* From now on no file is looked at again. NULL is fine. */
void mms_tls_context_freeze(struct mms_tls_context *context);

/* A session over fd (borrowed), whose connect may be under way still. name: the host that the certificate must be for, a
 * DNS name (also said as SNI) or an IP address. Loads the context. NULL with an error: MMS_ERR_CONFIG as above,
 * MMS_ERR_MEMORY. */
struct mms_tls *mms_tls_new(struct mms_tls_context *context, int fd, const char *name, enum mms_status *status,
		struct mms_error *error);
/* Not one byte is sent (no close_notify): a forked child frees what it inherited. NULL is fine. */
void mms_tls_free(struct mms_tls *tls);

/* These are like send() and recv(), after the handshake, with which they go on before anything else: -1 with errno EAGAIN when
 * the socket has to be waited for (for what: mms_tls_wants_write()), the socket's own errors, ENOMEM, and EPROTO for what TLS
 * itself finds wrong (mms_tls_failure()). After any other than EAGAIN the session is good for nothing but reading what came before. */

/* What is not taken must be offered again, with more behind it or not, from wherever it lies then. */
ssize_t mms_tls_write(struct mms_tls *tls, const void *bytes, size_t len);
/* 0: the end. One record at most (MMS_TLS_RECORD_MAX). */
#define MMS_TLS_RECORD_MAX 16384
ssize_t mms_tls_read(struct mms_tls *tls, void *buffer, size_t size);

/* The handshake is. */
bool mms_tls_finished(const struct mms_tls *tls);
/* The last call waits for room in the socket; otherwise for bytes. A new session waits for room. */
bool mms_tls_wants_write(const struct mms_tls *tls);
/* A byte of ours has reached the socket: the connection underneath stands. */
bool mms_tls_begun(const struct mms_tls *tls);
/* Decrypted bytes that no poll() on the socket tells of. */
bool mms_tls_pending(const struct mms_tls *tls);

/* Cause and remedy of EPROTO; "" before. Borrows until the next call on the session. */
const char *mms_tls_failure(const struct mms_tls *tls);

/* "TLSv1.3 TLS_AES_256_GCM_SHA384", and whether the certificate was verified; for people. */
void mms_tls_describe(const struct mms_tls *tls, char *out, size_t size);

#endif
