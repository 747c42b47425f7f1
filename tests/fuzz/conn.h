/* In place of mms_conn: connections to nodes that answer every command at once, by what its verb asks for and by the next
 * byte of the input. No socket: one descriptor, always readable, stands for all. */
#ifndef FUZZ_CONN_H
#define FUZZ_CONN_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "mms_conn.h"
#include "mms_record.h"

#define FUZZ_RUN_ID "0123456789012345678901234567890123456789"

struct mms_conn {
	uint64_t moved_bytes;
	struct mms_conn_options options;
	enum mms_conn_state state;
	struct mms_reply_reader *reader;
	uint32_t outstanding;
};

static const uint8_t *conn_choices;
static size_t conn_choices_len;
static int conn_readable = -1;

static uint8_t conn_choose(void)
{
	if (conn_choices_len == 0) {
		return 0;
	}
	conn_choices_len--;
	return *conn_choices++;
}

struct mms_conn *mms_conn_new(const struct mms_conn_options *options)
{
	struct mms_conn *conn = calloc(1, sizeof(*conn));

	if (conn != NULL) {
		conn->options = *options;
	}
	return conn;
}

void mms_conn_set_limits(struct mms_conn *conn, size_t max_reply_bytes, size_t max_output_bytes)
{
	(void) conn;
	(void) max_reply_bytes;
	(void) max_output_bytes;
}

void mms_conn_set_password(struct mms_conn *conn, struct mms_slice password)
{
	conn->options.password = password;
}

void mms_conn_close(struct mms_conn *conn)
{
	mms_reply_reader_free(conn->reader);
	conn->reader = NULL;
	conn->state = MMS_CONN_CLOSED;
	conn->outstanding = 0;
}

void mms_conn_free(struct mms_conn *conn)
{
	if (conn != NULL) {
		mms_conn_close(conn);
		free(conn);
	}
}

static enum mms_status conn_fail(struct mms_conn *conn, enum mms_status status, struct mms_error *error)
{
	mms_error_set(error, "node %s (%s): by the input", conn->options.node_name, conn->options.node_address);
	mms_conn_close(conn);
	return status;
}

enum mms_status mms_conn_open(struct mms_conn *conn, const struct sockaddr *address, socklen_t len,
		struct mms_error *error)
{
	uint8_t byte = 0;

	for (socklen_t index = 0; index < len; index++) {
		byte ^= ((const uint8_t *) address)[index]; /* all of it can be read */
	}
	mms_conn_close(conn);
	if (conn_readable < 0) {
		conn_readable = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	conn->reader = mms_reply_reader_new(1 << 20, 65536);
	conn->state = MMS_CONN_OPEN;
	return conn_choose() == 255 ? conn_fail(conn, byte % 2 == 0 ? MMS_ERR_CONNECT : MMS_ERR_LOCAL, error) : MMS_OK;
}

enum mms_conn_state mms_conn_state(const struct mms_conn *conn)
{
	return conn->state;
}

int mms_conn_fd(const struct mms_conn *conn)
{
	return conn->state == MMS_CONN_CLOSED ? -1 : conn_readable;
}

uint64_t mms_conn_moved_bytes(const struct mms_conn *conn)
{
	return conn->moved_bytes;
}

uint64_t mms_conn_received_bytes(const struct mms_conn *conn)
{
	return conn->moved_bytes;
}

bool mms_conn_wants_write(const struct mms_conn *conn)
{
	(void) conn;
	return false;
}

uint32_t mms_conn_outstanding(const struct mms_conn *conn)
{
	return conn->outstanding;
}

bool mms_conn_was_taken(const struct mms_conn *conn)
{
	return conn->state == MMS_CONN_OPEN;
}

const char *mms_conn_stage(const struct mms_conn *conn)
{
	(void)conn;
	return "connect";
}

const struct mms_tls *mms_conn_tls(const struct mms_conn *conn)
{
	(void)conn;
	return NULL;
}

bool mms_conn_was_used(const struct mms_conn *conn)
{
	return conn->outstanding == 0;
}

static void conn_answer(struct mms_conn *conn, const char *verb, const char *key, size_t key_len)
{
	static const char *const refusals[] = { "-OOM no\r\n", "-NOSCRIPT no\r\n", "-LOADING no\r\n", "-WRONGTYPE no\r\n",
		"-READONLY no\r\n", "$-1\r\n", "*0\r\n", ":7\r\n" };
	const uint8_t choice = conn_choose();
	unsigned char header[MMS_RECORD_HEADER_SIZE];
	struct mms_record_header record = { .version = { .hlc = (uint64_t) choice << 16, .writer = 9, .sequence = 1,
		.tombstone = choice % 2 == 1 }, .lifetime_s = 100 };
	char text[256] = "+OK\r\n";
	size_t len;

	if (choice >= 240) {
		strcpy(text, refusals[choice % 8]);
	} else if (strcmp(verb, "EVALSHA") == 0) {
		snprintf(text, sizeof(text), ":%d\r\n", choice < 200 ? 1 : choice % 6);
	} else if (strcmp(verb, "PTTL") == 0) {
		snprintf(text, sizeof(text), ":%d\r\n", choice < 200 ? 90000 : choice - 202);
	} else if (strcmp(verb, "INFO") == 0) {
		strcpy(text, "$49\r\nrun_id:" FUZZ_RUN_ID "\r\n\r\n");
	} else if (strcmp(verb, "SCAN") == 0) {
		strcpy(text, "*2\r\n$1\r\n0\r\n*1\r\n$3\r\nf:a\r\n");
	} else if (strcmp(verb, "GET") == 0 && key_len > 4 && memcmp(key, "f::node", 7) == 0) {
		snprintf(text, sizeof(text), "$59\r\n%016x " FUZZ_RUN_ID " %d\r\n", 17, choice % 2);
	} else if (strcmp(verb, "GET") == 0 && choice < 128) {
		strcpy(text, "$-1\r\n");
	} else if (strcmp(verb, "GETRANGE") == 0 && choice < 128) {
		strcpy(text, "$0\r\n\r\n");
	} else if (strncmp(verb, "GET", 3) == 0) {
		mms_record_describe(&record, (struct mms_slice){ "", 0 });
		mms_record_encode(&record, (struct mms_slice){ key, key_len }, header);
		memcpy(text, "$80\r\n", 5);
		memcpy(text + 5, header, sizeof(header));
		memcpy(text + 85, "\r\n", 2);
		(void) mms_reply_reader_feed(conn->reader, text, 87, NULL);
		return;
	}
	len = strlen(text);
	(void) mms_reply_reader_feed(conn->reader, text, len, NULL);
}

/* Takes the command to pieces: verb and first key are all that an answer needs. */
enum mms_status mms_conn_queue(struct mms_conn *conn, const struct mms_command *command, struct mms_error *error)
{
	static char bytes[1 << 18];
	size_t len = 0, at = 0;

	if (conn->state == MMS_CONN_CLOSED) {
		return conn_fail(conn, MMS_ERR_CLOSED, error);
	}
	for (uint32_t part = 0; part < command->part_count; part++) {
		if (len + command->parts[part].iov_len > sizeof(bytes) - 1) {
			abort();
		}
		memcpy(bytes + len, command->parts[part].iov_base, command->parts[part].iov_len);
		len += command->parts[part].iov_len;
	}
	bytes[len] = '\0';
	while (at < len) {
		const unsigned long words = strtoul(bytes + at + 1, NULL, 10);
		const char *keys[2] = { "", "" };
		size_t lens[2] = { 0, 0 };
		char verb[32] = "";

		at += strcspn(bytes + at, "\n") + 1;
		for (unsigned long word = 0; word < words; word++) {
			const size_t size = strtoul(bytes + at + 1, NULL, 10);

			at += strcspn(bytes + at, "\n") + 1;
			if (word == 0) {
				snprintf(verb, sizeof(verb), "%.*s", (int) size, bytes + at);
			} else if (word == 1) {
				keys[0] = bytes + at;
				lens[0] = size;
			}
			at += size + 2;
		}
		if (at > len) {
			abort();
		}
		conn_answer(conn, verb, keys[0], lens[0]);
	}
	conn->outstanding += command->reply_count;
	conn->moved_bytes += len;
	return MMS_OK;
}

enum mms_status mms_conn_send(struct mms_conn *conn, const struct mms_command *command, struct mms_error *error)
{
	return mms_conn_queue(conn, command, error);
}

/* Answers of fakes are made when they are taken: nobody takes these. */
enum mms_status mms_conn_send_unheard(struct mms_conn *conn, const struct mms_command *command, struct mms_error *error)
{
	(void)conn;
	(void)command;
	(void)error;
	return MMS_OK;
}

enum mms_status mms_conn_flush(struct mms_conn *conn, struct mms_error *error)
{
	(void) error;
	return conn->state == MMS_CONN_CLOSED ? MMS_ERR_CLOSED : MMS_OK;
}

size_t mms_conn_queued_bytes(const struct mms_conn *conn)
{
	(void) conn;
	return 0;
}

enum mms_status mms_conn_receive(struct mms_conn *conn, struct mms_error *error)
{
	return conn->state == MMS_CONN_CLOSED ? conn_fail(conn, MMS_ERR_CLOSED, error) : MMS_OK;
}

enum mms_status mms_conn_take_reply(struct mms_conn *conn, struct mms_reply **reply, struct mms_error *error)
{
	enum mms_status status = MMS_OK;

	*reply = NULL;
	if (conn->state == MMS_CONN_CLOSED) {
		return conn_fail(conn, MMS_ERR_CLOSED, error);
	}
	if (conn->outstanding > 0) {
		status = mms_reply_reader_next(conn->reader, reply, error);
		conn->outstanding -= *reply != NULL;
	}
	return status;
}

enum mms_reply_class mms_conn_refusal(const struct mms_conn *conn)
{
	(void) conn;
	return MMS_CLASS_NONE;
}

#endif
