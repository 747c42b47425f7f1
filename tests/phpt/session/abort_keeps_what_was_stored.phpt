--TEST--
session_abort() stores nothing
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
    $_SESSION['cart'] = 'pear';
    mms_ok(session_abort(), 'session_abort succeeds');
    mms_is(['cart' => 'apple'], mms_request($sid), 'after session_abort');
});

echo "ok\n";
?>
--EXPECT--
ok
