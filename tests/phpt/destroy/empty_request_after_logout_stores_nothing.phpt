--TEST--
A request without data on a destroyed session leaves the tombstone alone
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_each_mode(function () {
    $sid = mms_sid();
    mms_put($sid, ['user' => 'ann']);
    session_id($sid);
    session_start();
    session_destroy();
    $tombstone = mms_record(mms_node(), $sid)['bytes'];
    mms_is([], mms_request($sid), 'the session after logout');
    mms_ok(mms_record(mms_node(), $sid)['bytes'] === $tombstone, 'the tombstone is untouched');
});

echo "ok\n";
?>
--EXPECT--
ok
