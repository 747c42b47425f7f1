--TEST--
OOM on the local node: it stays readable, a peer takes the write
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

[$servers, $list] = mms_servers(2);
mms_use($list);
$sid = mms_sid();
mms_put($sid, ['n' => 1]);
mmsession_flush(5000);
$servers[0]->client()('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
$servers[0]->client()('CONFIG', 'SET', 'maxmemory', '1');
for ($n = 1; $n < 10; $n++) {
    mms_is(['n' => $n], mms_request($sid, function () { $_SESSION['n']++; }), "request $n");
}
mms_is(false, mmsession_status()['nodes'][0]['writable'], 'the local node is not writable');
$servers[0]->client()('CONFIG', 'SET', 'maxmemory', '0');
mms_until(function () { return mmsession_status()['nodes'][0]['writable']; }, 'writable again');
mms_until(function () use ($servers, $sid) { return (mms_record($servers[0]->client(), $sid)['payload'] ?? '') === 'n|i:10;'; },
    'it catches up');

echo "ok\n";
?>
--EXPECT--
ok
