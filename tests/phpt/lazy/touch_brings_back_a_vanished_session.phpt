--TEST--
A key that vanished between read and close comes back, although nothing changed
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
    mmsession_flush(5000);
    foreach (['a', 'b', 'c'] as $name) { // whichever is read: the life that is left must be worth a touch
        mms_node($name)('PEXPIRE', mms_key($sid), '5000');
    }
    mms_request($sid, function () use ($sid) {
        foreach (['a', 'b', 'c'] as $name) {
            mms_node($name)('DEL', mms_key($sid));
        }
    });
    mms_is(['cart' => 'apple'], mms_request($sid), 'the session');
});

echo "ok\n";
?>
--EXPECT--
ok
