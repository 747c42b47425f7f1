--TEST--
read_and_close reads and never writes
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_each_mode(function () {
    $sid = mms_sid();
    mms_put($sid, ['cart' => 'apple']);
    $before = mms_record(mms_node(), $sid)['bytes'];
    session_id($sid);
    mms_ok(session_start(['read_and_close' => true]), 'session_start');
    mms_is(['cart' => 'apple'], $_SESSION, 'the data');
    mms_is(PHP_SESSION_NONE, session_status(), 'the session is closed');
    $_SESSION['cart'] = 'pear';
    mms_is(false, session_write_close(), 'nothing to close');
    mms_is($before, mms_record(mms_node(), $sid)['bytes'], 'the record');
    mms_is(['cart' => 'apple'], mms_request($sid), 'the next request');
});

echo "ok\n";
?>
--EXPECT--
ok
