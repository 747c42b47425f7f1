--TEST--
Without mmsession.lifetime a session lives session.gc_maxlifetime seconds
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--INI--
session.gc_maxlifetime=300
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_each_mode(function () {
    $sid = mms_sid();
    mms_put($sid, ['cart' => 'apple']);
    mmsession_flush(5000);
    foreach (['a', 'b', 'c'] as $name) {
        $left = mms_node($name)('PTTL', mms_key($sid));
        mms_ok($left > 295000 && $left <= 300000, "remaining life on $name is about 300 s: $left ms");
    }
    mms_is(300, mms_record(mms_node(), $sid)['lifetime'], 'lifetime in the header');
});

echo "ok\n";
?>
--EXPECT--
ok
