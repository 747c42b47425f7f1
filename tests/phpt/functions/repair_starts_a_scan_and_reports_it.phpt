--TEST--
mmsession_repair()
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

[$servers, $list] = mms_servers(3);
mms_use("{$servers[0]->address}?name=one, {$servers[1]->address}?name=two, {$servers[2]->address}?name=three");
for ($n = 0; $n < 50; $n++) {
    mms_put($sids[] = mms_sid(), ['n' => $n]);
}
mmsession_flush(5000);
mms_all_complete();
$before = mmsession_status()['nodes'][1]['repair'];
mms_is([false, false, 0, null], [$before['running'], $before['pending'], $before['finished'], $before['started_at']],
    'nothing was repaired yet');

/* What a node has lost, and nobody knows. */
$two = $servers[1]->client();
foreach (array_slice($sids, 0, 20) as $sid) {
    mms_is(1, $two('DEL', mms_key($sid)), 'a session vanishes');
}
$answer = mmsession_repair('two');
mms_is(['two'], array_keys($answer), 'the node that was asked for');
mms_is(true, $answer['two']['running'] || $answer['two']['pending'] || $answer['two']['finished'] > 0, 'it is asked for');
mms_until(function () {
    return mmsession_status()['nodes'][1]['repair']['finished'] === 1;
}, 'the scan has ended');
foreach ($sids as $n => $sid) {
    mms_is("n|i:$n;", mms_record($two, $sid)['payload'] ?? null, "session $n on two");
}
$report = mmsession_status()['nodes'][1]['repair'];
mms_is([false, false, 50, 20, null], [$report['running'], $report['pending'], $report['scanned'], $report['moved'],
    $report['estimated_end']], 'the report');
mms_ok($report['bytes'] >= 20 * 84 && $report['bytes'] < 20 * 100, "bytes: {$report['bytes']}");
mms_ok($report['started_at'] <= $report['ended_at'] && abs(microtime(true) - $report['ended_at']) < 60, 'times');

/* By address and by node id, and all of them. */
$node = mmsession_status()['nodes'][2];
mms_is(['three'], array_keys(mmsession_repair($node['address'])), 'by address');
mms_is(['three'], array_keys(mmsession_repair($node['node_id'])), 'by node id');
mms_is(['one', 'two', 'three'], array_keys(mmsession_repair()), 'all');
mms_until(function () {
    foreach (mmsession_status()['nodes'] as $node) {
        if ($node['repair']['finished'] === 0 || $node['repair']['pending']) {
            return false;
        }
    }
    return true;
}, 'all have been scanned', 30);

$messages = mms_messages(function () { return mmsession_repair('four'); }, $result);
mms_is([], $result, 'an unknown node');
mms_ok(count($messages) === 1 && strpos($messages[0], '"four"') !== false, implode(' / ', $messages));

/* A name of digits alone is a key like that of any array. */
mms_use("{$servers[0]->address}?name=1, {$servers[1]->address}?name=02");
$answer = mmsession_repair('1');
mms_ok(is_array($answer[1] ?? null) && is_array($answer['1'] ?? null), 'a name of digits');
mms_is([1, '02'], array_keys(mmsession_repair()), 'and one that is no number');

echo "ok\n";
?>
--EXPECT--
ok
