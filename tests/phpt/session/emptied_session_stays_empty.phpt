--TEST--
A session whose data was removed is empty afterwards
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
    mms_request($sid, function () { $_SESSION = []; });
    mms_is([], mms_request($sid), 'after emptying it');
});

echo "ok\n";
?>
--EXPECT--
ok
