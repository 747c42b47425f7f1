--TEST--
More clusters than slots: served without a mailbox, no session is mixed up, an open one survives
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

$sids = [];
for ($round = 0; $round < 2; $round++) {
    for ($n = 0; $n < 24; $n++) {
        ini_set('mmsession.prefix', "c$n:");
        $sid = $sids[$n] = $sids[$n] ?? mms_sid();
        $read = mms_request($sid, function () use ($n, $round) { $_SESSION = ['cluster' => $n, 'round' => $round]; });
        mms_is($round ? ['cluster' => $n, 'round' => 0] : [], $read, "cluster $n, round $round");
        mms_ok(mmsession_flush(5000), "flush of cluster $n");
    }
}
foreach (['a', 'b', 'c'] as $name) {
    foreach ($sids as $n => $sid) {
        mms_is('cluster|i:' . $n . ';round|i:1;', substr((string) mms_node($name)('GET', "c$n:$sid"), 80), "cluster $n on $name");
    }
}
/* A session stays open while the status of many other clusters is looked at. */
ini_set('mmsession.prefix', 'open:');
session_id($sid = mms_sid());
session_start();
$_SESSION['n'] = 1;
for ($n = 0; $n < 40; $n++) {
    @ini_set('mmsession.prefix', "look$n:");
    mmsession_status();
}
session_write_close();
mms_is('n|i:1;', substr((string) mms_node()('GET', "open:$sid"), 80), 'it is stored under its own prefix');

echo "ok\n";
?>
--EXPECT--
ok
