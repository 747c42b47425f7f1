/* A command's bytes, read back as the server reads them. Include after cmocka.h. */
#ifndef MMS_TEST_COMMANDS_H
#define MMS_TEST_COMMANDS_H

#include <stdio.h>

#include "mms_command.h"
#include "mms_reply.h"

#define S(literal) ((struct mms_slice) {literal, sizeof(literal) - 1})
#define EMPTY ((struct mms_slice) {"", 0})

/* The bytes of a command, as the server reads them: arrays of strings. Owned by the test. */
struct sent {
	struct mms_reply *commands[16];
	size_t count;
};

static inline struct sent sent_of(const struct mms_command *command)
{
	struct mms_reply_reader *reader = mms_reply_reader_new(1 << 20, 64);
	struct mms_reply *reply;
	struct sent sent = {{NULL}, 0};

	assert_false(command->overflow);
	assert_true(command->part_count <= MMS_COMMAND_PARTS);
	for (uint32_t index = 0; index < command->part_count; index++) {
		assert_true(command->parts[index].iov_len > 0);
		assert_int_equal(mms_reply_reader_feed(reader, command->parts[index].iov_base, command->parts[index].iov_len,
				NULL), MMS_OK);
	}
	assert_false(mms_reply_reader_partial(reader)); /* every length is exact */
	while (mms_reply_reader_next(reader, &reply, NULL) == MMS_OK && reply != NULL) {
		assert_int_equal(mms_reply_type(reply), MMS_REPLY_ARRAY);
		sent.commands[sent.count++] = reply;
	}
	assert_int_equal(sent.count, command->reply_count);
	mms_reply_reader_free(reader);
	return sent;
}

static inline void forget(struct sent *sent)
{
	while (sent->count > 0) {
		mms_reply_free(sent->commands[--sent->count]);
	}
}

static inline struct mms_slice argument_of(const struct sent *sent, size_t command, size_t index)
{
	assert_true(command < sent->count);
	assert_non_null(mms_reply_element(sent->commands[command], index));
	return mms_reply_text(mms_reply_element(sent->commands[command], index));
}

/* The command's arguments joined by blanks. */
static inline void assert_line(const struct sent *sent, size_t command, const char *line)
{
	char joined[2048] = "";
	size_t len = 0;

	for (size_t index = 0; index < mms_reply_count(sent->commands[command]); index++) {
		struct mms_slice text = argument_of(sent, command, index);

		len += (size_t) snprintf(joined + len, sizeof(joined) - len, "%s%.*s", index == 0 ? "" : " ", (int) text.len,
				text.ptr);
	}
	assert_string_equal(joined, line);
}

#endif
