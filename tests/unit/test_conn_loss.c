/* Connections that are lost at every offset, replies that are none, come late, or that nobody asked for. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4 */
#endif
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "peer.h"

/* What comes after `sent` bytes of the answers to the handshake and two pings when the peer then ends or resets. */
static void cut_after(size_t sent, bool tcp, bool reset)
{
	char answer[HANDSHAKE_LEN + 64];
	size_t len = handshake_answer(answer);
	struct mms_reply *reply;
	enum mms_status status = MMS_OK;

	len += (size_t) sprintf(answer + len, "+one\r\n$3\r\ntwo\r\n");
	setup_peer(tcp);
	assert_int_equal(send_ping(), MMS_OK);
	assert_int_equal(send_ping(), MMS_OK);
	size_t got = 0;

	if (sent > 0) {
		peer_write(answer, sent);
		assert_int_equal(receive(), MMS_OK); /* before the reset overtakes it */
	}
	reset ? peer_reset() : peer_close();
	for (int round = 0; round < 10 && status == MMS_OK; round++) {
		while (mms_conn_state(conn) != MMS_CONN_CLOSED && mms_conn_take_reply(conn, &reply, &error) == MMS_OK
				&& reply != NULL) {
			got++;
			mms_reply_free(reply);
		}
		status = receive();
	}
	size_t whole = sent < HANDSHAKE_LEN + 6 ? 0 : sent < len ? 1 : 2;

	assert_int_equal(got, whole);
	if (status != (whole == 2 ? MMS_ERR_CLOSED : MMS_ERR_RESET)) {
		fail_msg("cut after %zu of %zu: status %d, %s", sent, len, status, error.text);
	}
	assert_closed();
	teardown_peer();
}

static void a_cut_at_any_offset_gives_whole_replies_and_then_the_right_error(void **state)
{
	(void) state;
	for (size_t sent = 0; sent <= HANDSHAKE_LEN + 6 + 9; sent++) {
		cut_after(sent, false, false);
		cut_after(sent, true, false);
		cut_after(sent, true, true);
	}
}

static void a_connection_closed_while_idle_is_no_fault(void **state)
{
	for (int tcp = 0; tcp < 2; tcp++) {
		for (int reset = 0; reset <= tcp; reset++) {
			(void) state;
			setup_peer(tcp == 1);
			finish_handshake();
			reset ? peer_reset() : peer_close();
			assert_int_equal(receive(), MMS_ERR_CLOSED);
			assert_non_null(strstr(error.text, "receive: the server closed the idle connection"));
			assert_closed();
			connect_now(); /* the next one is as good as new */
			finish_handshake();
			assert_int_equal(send_ping(), MMS_OK);
			peer_write("+PONG\r\n", 7);
			assert_int_equal(receive(), MMS_OK);
			assert_reply("PONG");
			/* Closed after the last answer, found by the next command, which nothing has answered. */
			reset ? peer_reset() : peer_close();
			enum mms_status status = send_ping();

			if (status == MMS_OK) {
				status = receive();
			}
			assert_int_equal(status, MMS_ERR_CLOSED);
			assert_closed();
			teardown_peer();
		}
	}
}

static void a_connection_lost_before_the_handshake_was_answered_is_a_fault(void **state)
{
	(void) state;
	setup_peer(true);
	peer_close();
	assert_int_equal(receive(), MMS_ERR_RESET);
	teardown_peer();
	/* Nor when half of the handshake was answered and no command waits. */
	char answer[HANDSHAKE_LEN + 1];

	setup_peer(true);
	handshake_answer(answer);
	peer_write(answer, HANDSHAKE_LEN / MMS_SCRIPT_COUNT);
	assert_int_equal(receive(), MMS_OK);
	assert_true(mms_conn_was_used(conn));
	peer_close();
	assert_int_equal(receive(), MMS_ERR_RESET);
	teardown_peer();
}

static void replies_that_came_before_the_end_can_be_taken(void **state)
{
	char answer[HANDSHAKE_LEN + 64];

	(void) state;
	setup_peer(true);
	assert_int_equal(send_ping(), MMS_OK);
	assert_int_equal(send_ping(), MMS_OK);
	size_t len = handshake_answer(answer);

	peer_write(answer, len + (size_t) sprintf(answer + len, "+one\r\n+two\r\n"));
	peer_close();
	for (int round = 0; round < 3; round++) { /* nobody takes them, and they are not lost */
		assert_int_equal(receive(), MMS_OK);
	}
	assert_reply("one");
	assert_reply("two");
	assert_int_equal(receive(), MMS_ERR_CLOSED);
	teardown_peer();
}

static void assert_ends_with(enum mms_status expected, const char *bytes, size_t len, const char *words)
{
	for (int whole = 0; whole < 2; whole++) {
		enum mms_status status = MMS_OK;

		setup_peer(true);
		finish_handshake();
		assert_int_equal(send_ping(), MMS_OK);
		for (size_t index = 0; index < len && status == MMS_OK; index += whole ? len : 1) {
			peer_write(bytes + index, whole ? len : 1);
			status = receive();
		}
		assert_int_equal(status, expected);
		if (strstr(error.text, words) == NULL) {
			fail_msg("%s lacks: %s", error.text, words);
		}
		assert_closed();
		teardown_peer();
	}
}

static void what_is_no_reply_or_too_much_ends_the_connection(void **state)
{
	(void) state;
	assert_ends_with(MMS_ERR_PROTOCOL, "HTTP/1.1 400 Bad Request\r\n", 26, "node web2 (tcp://10.0.0.2:6379): receive: ");
	assert_ends_with(MMS_ERR_TOO_LARGE, "$99999999999\r\n", 14, "longer than allowed");
	assert_ends_with(MMS_ERR_PROTOCOL, "*99999999\r\n", 11, "more elements than allowed");
	assert_ends_with(MMS_ERR_PROTOCOL, "$3\r\nabcde\r\n", 11, "does not end");
}

static void a_reply_that_nobody_asked_for_ends_the_connection(void **state)
{
	(void) state;
	assert_ends_with(MMS_ERR_PROTOCOL, "+PONG\r\n+more\r\n", 14, "nobody asked for");
	assert_ends_with(MMS_ERR_PROTOCOL, "+PONG\r\n$5\r\nmo", 13, "nobody asked for");
	setup_peer(true);
	finish_handshake();
	peer_write("+", 1);
	assert_int_equal(receive(), MMS_ERR_PROTOCOL);
	assert_closed();
	teardown_peer();
	/* Also behind the last reply of the handshake. */
	char answer[HANDSHAKE_LEN + 16];

	setup_peer(true);
	size_t len = handshake_answer(answer);

	peer_write(answer, len + (size_t) sprintf(answer + len, "+OK\r\n"));
	assert_int_equal(receive(), MMS_ERR_PROTOCOL);
	teardown_peer();
}

static void a_late_reply_never_answers_a_later_command(void **state)
{
	(void) state;
	setup_peer(true);
	finish_handshake();
	assert_int_equal(send_ping(), MMS_OK);
	assert_int_equal(mms_conn_outstanding(conn), 1);
	int late = peer.fd;

	mms_conn_close(conn); /* the caller gave up waiting */
	connect_now();
	(void) !send(late, "+late\r\n", 7, MSG_NOSIGNAL);
	finish_handshake();
	assert_int_equal(send_ping(), MMS_OK);
	assert_int_equal(mms_conn_receive(conn, &error), MMS_OK);
	assert_reply(NULL);
	peer_write("+right\r\n", 8);
	assert_int_equal(receive(), MMS_OK);
	assert_reply("right");
	close(late);
	teardown_peer();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cut_at_any_offset_gives_whole_replies_and_then_the_right_error),
		cmocka_unit_test(a_connection_closed_while_idle_is_no_fault),
		cmocka_unit_test(a_connection_lost_before_the_handshake_was_answered_is_a_fault),
		cmocka_unit_test(replies_that_came_before_the_end_can_be_taken),
		cmocka_unit_test(what_is_no_reply_or_too_much_ends_the_connection),
		cmocka_unit_test(a_reply_that_nobody_asked_for_ends_the_connection),
		cmocka_unit_test(a_late_reply_never_answers_a_later_command),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
