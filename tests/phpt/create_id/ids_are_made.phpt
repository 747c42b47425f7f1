--TEST--
session_create_id(), with and without an open session
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_each_mode(function ($mode) {
    if (PHP_VERSION_ID < 80000 && $mode !== 'native') {
        return; /* it takes every new id for a collision when a wrapper has no validateId() */
    }
    $one = session_create_id();
    $two = session_create_id('shop-');
    mms_ok(is_string($one) && strlen($one) >= 22, 'an id without a session');
    mms_is('shop-', substr((string) $two, 0, 5), 'a prefix');
    $sid = mms_sid();
    mms_put($sid, ['cart' => 'apple']);
    session_id($sid);
    session_start();
    $three = session_create_id('in-');
    mms_is('in-', substr((string) $three, 0, 3), 'an id beside an open session');
    mms_is($sid, session_id(), 'the open session goes on');
    mms_is(['cart' => 'apple'], $_SESSION, 'with its data');
    $_SESSION['n'] = 1;
    session_write_close();
    mms_is(['cart' => 'apple', 'n' => 1], mms_request($sid), 'and is stored under its own id');
    mms_is(null, mms_record(mms_node(), $three), 'no key for the other id');
    mms_is([], mms_request($three, function () { $_SESSION['m'] = 1; }), 'the other id can be used');
    mms_is(['m' => 1], mms_request($three), 'and read');
});

echo "ok\n";
?>
--EXPECT--
ok
