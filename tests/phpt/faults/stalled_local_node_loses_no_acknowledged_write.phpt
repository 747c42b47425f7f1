--TEST--
The local node stalls for 50 ms while it alone holds the newest copy: the next request waits for it
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

[$servers, $list] = mms_servers(3);
mms_use($list);
$sid = mms_sid();
mms_put($sid, ['cart' => 1]);
mmsession_flush(5000);
for ($n = 0; $n < 30; $n++) {
    mms_request($sid); /* the nodes' latencies are known now, and the wait for each is short */
}
/* Peers that answer reads and take no writes: their mirrors become hints. */
foreach ([1, 2] as $peer) {
    $servers[$peer]->client()('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
    $servers[$peer]->client()('CONFIG', 'SET', 'maxmemory', '1');
}
mms_put($sid, ['cart' => 2]);
mmsession_flush(5000);
mms_is([0, 1, 1], array_column(mmsession_status()['nodes'], 'hints'), 'this host knows that the peers lack it');

$servers[0]->pause();
$waker = proc_open(['sh', '-c', 'sleep 0.05; kill -CONT ' . $servers[0]->pid()], [], $pipes);
$messages = mms_messages(function () use ($sid, &$read) {
    $read = mms_request($sid, function () { $_SESSION['more'] = 1; });
});
proc_close($waker);
if ($messages === []) {
    mms_is(['cart' => 2], $read, 'the copy that was acknowledged');
}
$servers[0]->go_on();
mms_until(function () { return mmsession_status()['nodes'][0]['state'] === 'closed'; }, 'the local node is in use');
mms_is(2, mms_request($sid)['cart'] ?? null, 'and it is not overwritten by an older one');

echo "ok\n";
?>
--EXPECT--
ok
