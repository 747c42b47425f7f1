--TEST--
A tombstone wins over a record of its incarnation with a later clock
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

$sid = mms_sid();
mms_put($sid, ['user' => 'ann']);
mmsession_flush(5000);
$late = mms_php("mms_use(mms_nodes('b', 'c')); session_id('$sid'); session_start(); session_destroy();
    mmsession_flush(5000); echo 'gone';");
mms_is('gone', $late, 'logout on two other nodes, unknown to the third');
mms_is(false, mms_record(mms_node('a'), $sid)['tombstone'], 'a still has the session');
mms_is([], mms_request($sid), 'the session is gone all the same');
mms_until(function () use ($sid) { return mms_record(mms_node('a'), $sid)['tombstone'] ?? false; }, 'a is repaired');

echo "ok\n";
?>
--EXPECT--
ok
