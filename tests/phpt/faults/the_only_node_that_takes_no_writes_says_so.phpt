--TEST--
One node alone, and it is a replica: sessions are read, writes fail; warning and log name node, cause and remedy
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

ini_set('error_log', $log = getenv('MMS_TEST_DIR') . '/log-' . getmypid());
[$servers, $list] = mms_servers(1);
mms_use($list);
$sid = mms_sid();
mms_put($sid, ['n' => 1]);
mmsession_flush(5000);
$servers[0]->client()('REPLICAOF', '127.0.0.1', '1');
$remedy = 'it is a replica: REPLICAOF NO ONE, or list its master instead';
ini_set('log_errors', '1');
$messages = mms_messages(function () use ($sid) { mms_request($sid, function () { $_SESSION['n']++; }); });
ini_set('log_errors', '0');
mms_ok(strpos(implode($messages), 'READONLY') !== false && strpos(implode($messages), $remedy) !== false, implode($messages));
mms_ok(in_array(mms_request($sid), [['n' => 1], ['n' => 2]], true), 'it is read, or found in the mailbox');
$lines = array_values(preg_grep('/it is the only node/', file($log, FILE_IGNORE_NEW_LINES)));
mms_is(1, count($lines), 'one line in the log');
mms_is('mmsession: ' . mmsession_status()['nodes'][0]['last_error'] . '; it is the only node: sessions are read, but writes '
    . 'fail until it takes them', strstr($lines[0], 'mmsession: '), 'the log says what follows');
mms_ok(strpos($lines[0], "$remedy; it is") !== false, "node, cause and remedy: $lines[0]");

echo "ok\n";
?>
--EXPECT--
ok
