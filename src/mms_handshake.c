/* The handshake. Its difficulty is the text: it must say what an administrator has to change, and a server that does not
 * know a command quotes its arguments, the password among them. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include "mms_handshake.h"

#include <stdbool.h>
#include <string.h>

#define TEXT_SIZE 240 /* the server's words with a remedy: what stands before them must fit into a note too */

enum handshake_step { STEP_AUTH, STEP_SELECT, STEP_LOAD };

/* What to do about a refused handshake, by a part of the server's text, where the step tells more than the text alone. */
static const struct {
	enum handshake_step step;
	const char *cause, *text;
} remedies[] = {
	{STEP_AUTH, "wrong number of arguments", "this server knows no users, leave mmsession.user empty"},
	{STEP_SELECT, "NOPERM", "mmsession.user needs the permission +select, or use db 0"},
	{STEP_LOAD, "NOPERM", "mmsession.user needs the permissions +script|load and +evalsha, see docs/operations.md"},
};

static bool has_auth(const struct mms_login *login);
static enum handshake_step step_of(const struct mms_login *login, uint32_t index, enum mms_script *script);
static const char *remedy_of(enum handshake_step step, enum mms_reply_class class_, struct mms_slice text);
static void server_text(const struct mms_login *login, struct mms_slice text, char *out, size_t size);
static bool contains(struct mms_slice text, struct mms_slice part);

void mms_handshake_command(const struct mms_login *login, struct mms_command *command)
{
	if (has_auth(login)) {
		mms_command_auth(command, login->user, login->password);
	}
	if (login->silent) {
		mms_command_reply_off(command);
	}
	if (login->db > 0) {
		mms_command_select(command, login->db);
	}
	mms_command_load_scripts(command);
}

enum mms_status mms_handshake_judge(const struct mms_login *login, uint32_t index,
		const struct mms_reply *reply, struct mms_error *error)
{
	static const char *const names[] = {"AUTH:", "SELECT:", "loading the scripts (SCRIPT LOAD):"};
	enum mms_script script = MMS_SCRIPT_PUT;
	enum handshake_step step = step_of(login, index, &script);
	struct mms_slice text = mms_reply_text(reply);
	enum mms_reply_type type = mms_reply_type(reply);

	if (type == MMS_REPLY_ERROR) {
		char safe[160], advice[TEXT_SIZE];

		server_text(login, text, safe, sizeof(safe));
		mms_reply_class_advise(safe, remedy_of(step, mms_reply_classify(reply), text), advice, sizeof(advice));
		mms_error_set(error, "%s %s", names[step], advice);
		return MMS_ERR_REFUSED;
	}
	if (step == STEP_LOAD) {
		if (type != MMS_REPLY_STRING || text.len != 40 || memcmp(text.ptr, mms_command_script_sha1(script), 40) != 0) {
			mms_error_set(error, "%s the server answers with another SHA-1 than that of the script", names[step]);
			return MMS_ERR_PROTOCOL;
		}
	} else if (type != MMS_REPLY_STATUS || text.len != 2 || memcmp(text.ptr, "OK", 2) != 0) {
		mms_error_set(error, "%s the server answers neither OK nor an error", names[step]);
		return MMS_ERR_PROTOCOL;
	}
	return MMS_OK;
}

static bool has_auth(const struct mms_login *login)
{
	return login->user.len > 0 || login->password.len > 0;
}

static enum handshake_step step_of(const struct mms_login *login, uint32_t index, enum mms_script *script)
{
	uint32_t before_select = has_auth(login) ? 1 : 0;
	uint32_t before_load = before_select + (login->db > 0 ? 1 : 0);

	if (index < before_load) {
		return index < before_select ? STEP_AUTH : STEP_SELECT;
	}
	*script = index - before_load < MMS_SCRIPT_COUNT ? (enum mms_script) (index - before_load) : MMS_SCRIPT_PUT;
	return STEP_LOAD;
}

static const char *remedy_of(enum handshake_step step, enum mms_reply_class class_, struct mms_slice text)
{
	for (size_t index = 0; index < sizeof(remedies) / sizeof(remedies[0]); index++) {
		if (remedies[index].step == step && contains(text, mms_slice_of(remedies[index].cause))) {
			return remedies[index].text;
		}
	}
	if (class_ == MMS_CLASS_OTHER) {
		return step == STEP_SELECT ? "check the db of this node" : NULL;
	}
	return mms_reply_class_remedy(text);
}

/* A server that does not know AUTH quotes its arguments; other software may quote other things. */
static void server_text(const struct mms_login *login, struct mms_slice text, char *out, size_t size)
{
	text = mms_reply_class_unquoted(text);
	if (login->password.len > 0 && contains(text, login->password)) {
		text = mms_slice_of("an error whose text holds the password");
	}
	mms_text_copy(out, size, text);
}

static bool contains(struct mms_slice text, struct mms_slice part)
{
	return part.len <= text.len && memmem(text.ptr, text.len, part.ptr, part.len) != NULL;
}
