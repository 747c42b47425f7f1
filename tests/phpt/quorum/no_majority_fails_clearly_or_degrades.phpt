--TEST--
read = quorum and write_acks = quorum without a majority: a clear failure, or, if configured, a counted downgrade
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

[$servers, $list] = mms_servers(3);
mms_use(implode(' ', array_map(function ($index, $server) { return "{$server->address}?name=n$index"; }, [0, 1, 2], $servers)));
ini_set('mmsession.read', 'quorum');
ini_set('mmsession.write_acks', 'quorum');
$sid = mms_sid();
mms_put($sid, ['n' => 1]);
mms_is(['n' => 1], mms_request($sid), 'three nodes');
$servers[2]->kill();
mms_is(['n' => 1], mms_request($sid, function () { $_SESSION['n']++; }), 'two nodes');
mms_is([0, 0], [mms_counter('degraded_reads'), mms_counter('degraded_writes')], 'nothing was degraded');

/* The majority goes away between read and write, and stays away. */
session_id($sid);
session_start();
$_SESSION['n']++;
$servers[1]->kill();
$messages = mms_messages('session_write_close');
mms_ok(strpos(implode($messages), '1 of 3 nodes took it (n0), 2 must: n1: ') !== false, 'who took it: ' . implode(' / ', $messages));
mms_ok(strpos(implode($messages), '; n2: ') !== false, 'and who did not');
$messages = mms_messages(function () use ($sid) { return mms_request($sid); }, $read);
mms_is(['session_start' => false], $read, 'not read');
mms_ok(strpos($messages[0], 'read = quorum: 1 of 3 nodes count, 2 are needed: n1: ') !== false, $messages[0]);

ini_set('mmsession.on_no_quorum', 'degrade');
$messages = mms_messages(function () use ($sid) { return mms_request($sid, function () { $_SESSION['n']++; }); }, $read);
mms_is([], $messages, 'degraded: quiet for PHP');
mms_is(['n' => 3], $read, 'degraded: what the one node has');
mms_is([1, 1], [mms_counter('degraded_reads'), mms_counter('degraded_writes')], 'and counted');
$servers[0]->kill();
mms_ok(mms_messages(function () use ($sid) { return mms_request($sid); }, $read) !== [], 'nothing at all is a failure');
mms_is(['session_start' => false], $read, 'nothing at all');

echo "ok\n";
?>
--EXPECT--
ok
