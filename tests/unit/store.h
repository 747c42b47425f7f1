/* One visitor's request on a host: the store between session_start and session_write_close. */
#ifndef STORE_H
#define STORE_H

#include "rig.h"

#include "mms_read.h"
#include "mms_store.h"

#define LIFETIME_S 1440

struct request {
	struct host *host;
	struct mms_store *store;
	struct mms_slice payload;
	bool exists;
	struct mms_error error;
};

static inline void request_begin(struct request *request, struct host *host)
{
	memset(request, 0, sizeof(*request));
	host_calm(host);
	request->host = host;
	request->store = mms_store_new(host->client);
	assert_non_null(request->store);
}

static inline void request_end(struct request *request)
{
	mms_store_free(request->store);
	request->store = NULL;
}

static inline enum mms_status request_read(struct request *request, const char *id)
{
	host_calm(request->host);
	return mms_store_read(request->store, slice(id), &request->payload, &request->exists, &request->error);
}

static inline enum mms_status request_write(struct request *request, const char *id, const char *payload)
{
	host_calm(request->host);
	return mms_store_write(request->store, slice(id), slice(payload), LIFETIME_S, &request->error);
}

static inline enum mms_status request_touch(struct request *request, const char *id, const char *payload)
{
	host_calm(request->host);
	return mms_store_touch(request->store, slice(id), slice(payload), LIFETIME_S, &request->error);
}

static inline enum mms_status request_destroy(struct request *request, const char *id)
{
	host_calm(request->host);
	return mms_store_destroy(request->store, slice(id), LIFETIME_S, &request->error);
}

static inline bool request_got(const struct request *request, const char *payload)
{
	return request->exists && request->payload.len == strlen(payload)
			&& memcmp(request->payload.ptr, payload, request->payload.len) == 0;
}

/* A whole request that stores this. */
static inline void visit(struct host *host, const char *id, const char *payload)
{
	struct request request;

	request_begin(&request, host);
	assert_int_equal(request_read(&request, id), MMS_OK);
	assert_int_equal(request_write(&request, id, payload), MMS_OK);
	request_end(&request);
}

/* Nodes are met on a miss: afterwards what they say counts as complete. */
static inline void host_meet(struct host *host)
{
	struct request request;

	request_begin(&request, host);
	assert_int_equal(request_read(&request, "nobody"), MMS_OK);
	request_end(&request);
	for (unsigned node = 0; node < host->settings.node_count; node++) {
		assert_int_equal(atomic_load(&host->cluster->nodes[node].complete), 1);
	}
}

/* As the replicator would: the value of one node on another. */
static inline void node_copy(unsigned from, unsigned to, const char *id)
{
	char value[4096];
	const long len = node_get(from, id, value, sizeof(value));

	assert_in_range(len, 0, sizeof(value));
	node_put_bytes(to, id, value, (size_t) len);
}

/* The header of what stands there, which must be sound. */
static inline struct mms_record_header node_header(unsigned node, const char *id)
{
	struct mms_record_header header;
	char value[4096];
	const long len = node_get(node, id, value, sizeof(value));

	assert_in_range(len, MMS_RECORD_HEADER_SIZE, sizeof(value));
	assert_int_equal(mms_record_decode((struct mms_slice){ value, (size_t) len }, key_of(id), &header), MMS_RECORD_GOOD);
	return header;
}

static inline void make_incomplete(struct host *host, unsigned node)
{
	atomic_store(&host->cluster->nodes[node].complete, 0);
}

#endif
