--TEST--
A tombstone on the peers wins over a live record on the local node, which is repaired
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
$away = mms_php("mms_use(mms_nodes('b', 'c')); session_id('$sid'); session_start(); session_destroy();
    mmsession_flush(5000); echo 'gone';");
mms_is('gone', $away, 'logout on two other nodes, unknown to the third');
mms_is(false, mms_record(mms_node('a'), $sid)['tombstone'], 'a still has the session');
mms_is([], mms_request($sid, null, ['read_and_close' => true]), 'the session is gone all the same');
/* Very young copies are left to their writer's mailbox: a later read repairs. */
mms_until(function () use ($sid) {
    mms_is([], mms_request($sid, null, ['read_and_close' => true]), 'the session stays gone');
    return mms_record(mms_node('a'), $sid)['tombstone'] ?? false;
}, 'a is repaired');

echo "ok\n";
?>
--EXPECT--
ok
