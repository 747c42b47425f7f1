--TEST--
Strict mode: an id that no node knows is replaced, one that is known is kept
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

ini_set('session.use_strict_mode', '1');
mms_request(mms_sid());
mms_all_complete();
/* Behind a SessionHandler wrapper PHP has no validate_sid to ask: every id passes there, with any handler. */
foreach (['native'] as $mode) {
    mms_mode($mode);
    $sid = mms_sid('unknown');
    session_id($sid);
    session_start();
    mms_ok(session_id() !== $sid, "$mode: an unknown id is replaced");
    $_SESSION['n'] = 1;
    $kept = session_id();
    session_write_close();
    mms_is(null, mms_record(mms_node(), $sid), "$mode: no key for the refused id");
    session_id($kept);
    session_start();
    mms_is($kept, session_id(), "$mode: a known id is kept");
    mms_is(['n' => 1], $_SESSION, "$mode: with its data");
    session_destroy();
    session_id($kept);
    session_start();
    mms_ok(session_id() !== $kept, "$mode: the id of a destroyed session is replaced");
    session_abort();
}

echo "ok\n";
?>
--EXPECT--
ok
