--TEST--
Many clusters in one process: each gets a slot, no session is mixed up; one too many is refused with the remedy
--EXTENSIONS--
session
--INI--
mmsession.max_clusters=24
mmsession.mailbox_size=1M
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

$sids = [];
for ($round = 0; $round < 2; $round++) {
    for ($n = 0; $n < 24; $n++) { /* more than a thread keeps connections to */
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

ini_set('mmsession.prefix', 'one-too-many:');
$messages = mms_messages(function () { return mms_request(mms_sid()); }, $read);
mms_is(['session_start' => false], $read, 'one too many: no session');
mms_ok(strpos($messages[0], 'mmsession.max_clusters = 24, and as many are in use: raise it in php.ini and restart PHP') !== false,
    $messages[0]);
mms_ok(strpos(mmsession_status()['error'], 'mmsession.max_clusters = 24') === 0, 'the status says so too');
mms_is([], mms_node()('KEYS', 'one-too-many:*'), 'nothing was stored');

/* A session stays open while the status of all the other clusters is looked at. */
ini_set('mmsession.prefix', 'c0:');
session_id($sids[0]);
session_start();
$_SESSION = ['n' => 1];
for ($n = 1; $n < 40; $n++) {
    @ini_set('mmsession.prefix', "c$n:");
    mmsession_status();
}
session_write_close();
mms_is('n|i:1;', substr((string) mms_node()('GET', "c0:$sids[0]"), 80), 'it is stored under its own prefix');

echo "ok\n";
?>
--EXPECT--
ok
