--TEST--
Strict mode: a session that stays empty is known all the same
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_request(mms_sid());
mms_all_complete();
/* As words it comes from php_admin_value, Apache's php_value and ini_set(). */
foreach (['1 native', 'On native', 'yes native', 'true native', '1 subclass', 'On subclass'] as $mode) {
    list($strict, $handler) = explode(' ', $mode);
    ini_set('session.use_strict_mode', $strict);
    mms_mode($handler);
    session_id('');
    session_start();
    $sid = session_id();
    session_write_close();
    for ($n = 0; $n < 3; $n++) {
        session_id($sid);
        session_start();
        mms_is($sid, session_id(), "$mode: request $n keeps the id");
        mms_is([], $_SESSION, "$mode: request $n is empty");
        session_write_close();
    }
}

echo "ok\n";
?>
--EXPECT--
ok
