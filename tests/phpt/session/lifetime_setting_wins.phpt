--TEST--
mmsession.lifetime wins over session.gc_maxlifetime
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--INI--
session.gc_maxlifetime=300
mmsession.lifetime=7200
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

$sid = mms_sid();
mms_put($sid, ['cart' => 'apple']);
$left = mms_node()('PTTL', mms_key($sid));
mms_ok($left > 7195000 && $left <= 7200000, "remaining life is about 7200 s: $left ms");
mms_is(7200, mms_record(mms_node(), $sid)['lifetime'], 'lifetime in the header');

echo "ok\n";
?>
--EXPECT--
ok
