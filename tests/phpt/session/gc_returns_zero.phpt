--TEST--
session_gc() succeeds and deletes nothing: nodes expire keys themselves
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
    session_id($sid);
    session_start();
    $deleted = session_gc();
    session_write_close();
    mms_is(0, $deleted, 'session_gc()');
    mms_is(['cart' => 'apple'], mms_request($sid), 'the session');
});

echo "ok\n";
?>
--EXPECT--
ok
