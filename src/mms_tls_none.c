/* What stands in for mms_tls.c in a build without OpenSSL: nothing but the word that there is no TLS. Node lists that want
 * it are refused before anything else here is called. */
#ifndef MMS_TLS

#include "mms_tls.h"

#include <stdio.h>

bool mms_tls_available(void)
{
	return false;
}

const char *mms_tls_library_version(void)
{
	return "not built in";
}

struct mms_tls_context *mms_tls_context_new(const struct mms_tls_files *files)
{
	(void) files;
	return NULL;
}

void mms_tls_context_free(struct mms_tls_context *context)
{
	(void) context;
}

enum mms_status mms_tls_context_load(struct mms_tls_context *context, struct mms_error *error)
{
	(void) context;
	mms_error_set(error, "this build has no TLS");
	return MMS_ERR_CONFIG;
}

void mms_tls_context_freeze(struct mms_tls_context *context)
{
	(void) context;
}

struct mms_tls *mms_tls_new(struct mms_tls_context *context, int fd, const char *name, enum mms_status *status,
		struct mms_error *error)
{
	(void) fd;
	(void) name;
	*status = mms_tls_context_load(context, error);
	return NULL;
}

void mms_tls_free(struct mms_tls *tls)
{
	(void) tls;
}

ssize_t mms_tls_write(struct mms_tls *tls, const void *bytes, size_t len)
{
	(void) tls;
	(void) bytes;
	(void) len;
	return 0;
}

ssize_t mms_tls_read(struct mms_tls *tls, void *buffer, size_t size)
{
	(void) tls;
	(void) buffer;
	(void) size;
	return 0;
}

bool mms_tls_finished(const struct mms_tls *tls)
{
	(void) tls;
	return false;
}

bool mms_tls_wants_write(const struct mms_tls *tls)
{
	(void) tls;
	return false;
}

bool mms_tls_begun(const struct mms_tls *tls)
{
	(void) tls;
	return false;
}

bool mms_tls_pending(const struct mms_tls *tls)
{
	(void) tls;
	return false;
}

const char *mms_tls_failure(const struct mms_tls *tls)
{
	(void) tls;
	return "";
}

void mms_tls_describe(const struct mms_tls *tls, char *out, size_t size)
{
	(void) tls;
	(void) snprintf(out, size, "none");
}

#endif
