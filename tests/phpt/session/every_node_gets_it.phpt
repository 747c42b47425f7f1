--TEST--
Every node holds the same record after mmsession_flush()
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
    mms_is(true, mmsession_flush(5000), 'flush');
    $local = mms_record(mms_node('a'), $sid);
    mms_is('cart|s:5:"apple";', $local['payload'] ?? null, 'payload on the local node');
    foreach (['b', 'c'] as $name) {
        mms_is($local['bytes'], mms_record(mms_node($name), $sid)['bytes'] ?? null, "record on $name");
    }
    session_id($sid);
    session_start();
    session_destroy();
    mmsession_flush(5000);
    foreach (['a', 'b', 'c'] as $name) {
        mms_is(true, mms_record(mms_node($name), $sid)['tombstone'] ?? null, "tombstone on $name");
    }
});

echo "ok\n";
?>
--EXPECT--
ok
