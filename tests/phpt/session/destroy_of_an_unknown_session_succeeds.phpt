--TEST--
Destroying a session that was never stored
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_each_mode(function () {
    session_id(mms_sid());
    session_start();
    mms_is([], mms_messages('session_destroy', $result), 'messages');
    mms_is(true, $result, 'session_destroy');
});

echo "ok\n";
?>
--EXPECT--
ok
