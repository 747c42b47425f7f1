--TEST--
session_reset() brings back what is stored, also what another request stored meanwhile
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
    mms_ok(session_reset(), 'session_reset succeeds');
    mms_is(['cart' => 'apple'], $_SESSION, 'after session_reset');

    mms_is('', mms_php("mms_put('$sid', ['cart' => 'plum']);"), 'another process');
    mms_ok(session_reset(), 'second session_reset');
    mms_is(['cart' => 'plum'], $_SESSION, 'what the other request stored');
    $_SESSION['more'] = 1;
    session_write_close();
    mms_is(['cart' => 'plum', 'more' => 1], mms_request($sid), 'what is stored at last');
});

echo "ok\n";
?>
--EXPECT--
ok
