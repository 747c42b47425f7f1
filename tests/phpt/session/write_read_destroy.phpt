--TEST--
A session is stored, read back, destroyed
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_each_mode(function () {
    $sid = mms_sid();
    mms_is([], mms_request($sid, function () { $_SESSION['cart'] = ['apple', 3]; }), 'a new session');
    mms_is(['cart' => ['apple', 3]], mms_request($sid, function () { $_SESSION['more'] = true; }), 'second request');
    mms_is(['cart' => ['apple', 3], 'more' => true], mms_request($sid), 'third request');

    session_id($sid);
    session_start();
    mms_ok(session_destroy(), 'session_destroy succeeds');
    mms_is(true, mms_record(mms_node(), $sid)['tombstone'], 'a tombstone is left');
    mms_is([], mms_request($sid), 'after session_destroy');
});

echo "ok\n";
?>
--EXPECT--
ok
