--TEST--
OOM on the local node: it stays readable, a peer takes the write; status and log say why, what to do, and what follows
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

ini_set('error_log', $log = getenv('MMS_TEST_DIR') . '/log-' . getmypid());
ini_set('log_errors', '1');
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
$node = mmsession_status()['nodes'][0];
mms_is(['closed', false], [$node['state'], $node['writable']], 'the local node is read, not written');
mms_is("node {$node['name']} ({$node['address']}): server answered: OOM command not allowed when used memory > 'maxmemory': "
    . "raise the server's maxmemory, or remove what else it holds", $node['last_error'], 'node, cause and remedy');
$lines = array_values(preg_grep('/mmsession: /', file($log, FILE_IGNORE_NEW_LINES)));
mms_is(1, count($lines), 'one line in the log: ' . implode($lines));
mms_is("mmsession: {$node['last_error']}; it is read, but takes no writes: they go to the other nodes until it does",
    strstr($lines[0], 'mmsession: '), 'the log says what follows');
$servers[0]->client()('CONFIG', 'SET', 'maxmemory', '0');
mms_until(function () { return mmsession_status()['nodes'][0]['writable']; }, 'writable again');
mms_until(function () use ($servers, $sid) { return (mms_record($servers[0]->client(), $sid)['payload'] ?? '') === 'n|i:10;'; },
    'it catches up');

echo "ok\n";
?>
--EXPECT--
ok
