--TEST--
A new session without data leaves no key behind
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_each_mode(function () {
    $sid = mms_sid();
    mms_is([], mms_request($sid), 'first request');
    mms_is([], mms_request($sid), 'second request');
    mmsession_flush(5000);
    foreach (['a', 'b', 'c'] as $name) {
        mms_is(null, mms_record(mms_node($name), $sid), "key on $name");
    }
});

echo "ok\n";
?>
--EXPECT--
ok
