--TEST--
A setting changed while another cluster was in use counts when the first is used again
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

ini_set('mmsession.lifetime', '1000');
mms_use(mms_nodes('a'));
mms_put($one = mms_sid(), ['n' => 1]);
mms_use(mms_nodes('b'));
mms_put(mms_sid(), ['n' => 1]);
ini_set('mmsession.lifetime', '5000');
mms_put(mms_sid(), ['n' => 1]);
mms_use(mms_nodes('a'));
mms_put($two = mms_sid(), ['n' => 1]);
mms_is(1000, mms_record(mms_node('a'), $one)['lifetime'], 'before');
mms_is(5000, mms_record(mms_node('a'), $two)['lifetime'], 'after');

echo "ok\n";
?>
--EXPECT--
ok
