--TEST--
mmsession_status()
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_put($sid = mms_sid(), ['n' => 1]);
mmsession_flush(5000);
mms_until(function () { return mmsession_status()['replicator']['pid'] === getmypid(); }, 'the replicator is ours');
$status = mmsession_status();
$shape = function (array $values) {
    return array_map('gettype', $values);
};
mms_is(['version', 'host_id', 'cluster', 'nodes', 'mailbox', 'replicator', 'sweep', 'warnings', 'counters'], array_keys($status), 'keys');
mms_is(phpversion('mmsession'), $status['version'], 'version');
mms_ok($status['host_id'] !== '', 'host_id');
mms_is(3, count($status['nodes']), 'nodes');
foreach ($status['nodes'] as $index => $node) {
    mms_is(['name' => 'string', 'address' => 'string', 'role' => 'string', 'tls' => 'NULL', 'state' => 'string', 'writable' => 'boolean',
        'complete' => 'boolean', 'node_id' => 'string', 'lag_ms' => 'integer', 'hints' => 'integer', 'behind' => 'boolean', 'avoided' => 'boolean',
        'last_error' => 'NULL', 'last_error_at' => 'NULL', 'latency_us' => 'integer', 'repair' => 'array'], $shape($node), "node $index");
    mms_is(['running' => 'boolean', 'pending' => 'boolean', 'finished' => 'integer', 'scanned' => 'integer',
        'moved' => 'integer', 'bytes' => 'integer', 'started_at' => 'NULL', 'ended_at' => 'NULL', 'estimated_end' => 'NULL'],
        $shape($node['repair']), "repair of node $index");
    mms_is([['a', 'b', 'c'][$index], $index ? 'peer' : 'local', 'closed', true, 0, 0, false],
        [$node['name'], $node['role'], $node['state'], $node['writable'], $node['lag_ms'], $node['hints'], $node['behind']],
        "values of node $index");
    mms_is(getenv('MMS_TEST_NODE_' . strtoupper($node['name'])), $node['address'], "address of node $index");
}
mms_is(3, count(array_unique(array_column($status['nodes'], 'node_id'))), 'node ids differ');
mms_is(['used' => 'integer', 'size' => 'integer', 'entries' => 'integer', 'stalled' => 'boolean'],
    $shape($status['mailbox']), 'mailbox');
mms_is([0, 32 << 20, 0, false], array_values($status['mailbox']), 'an empty mailbox of 32 MB');
mms_is(['pid' => 'integer', 'age_ms' => 'integer', 'beat_ms' => 'integer', 'epoch' => 'integer'],
    $shape($status['replicator']), 'replicator');
mms_is([], $status['warnings'], 'no warnings');
mms_is(['integer'], array_values(array_unique($shape($status['counters']))), 'counters are integers');
foreach (['reads', 'writes', 'touches', 'destroys', 'mirrored', 'mirror_failures', 'conflicts', 'discards', 'late_writes',
    'read_repairs', 'failovers', 'corrupt_records', 'future_stamps', 'foreign_keys', 'mailbox_full',
    'lock_waits', 'lock_timeouts', 'lock_overlaps'] as $name) {
    mms_ok(isset($status['counters'][$name]), "counter $name");
}
mms_is([1, 1], [$status['counters']['reads'], $status['counters']['writes']], 'one read, one write');
/* What the local node took before it was met, it is sent again. */
mms_ok(in_array($status['counters']['mirrored'], [2, 3], true), 'two mirrors, or three');
mms_request($sid, function () { $_SESSION['n'] = 2; });
mmsession_flush(5000);
mms_is($status['counters']['mirrored'] + 2, mmsession_status()['counters']['mirrored'], 'two more mirrors');
session_id($sid);
session_start();
session_destroy();
$counters = mmsession_status()['counters'];
mms_is([3, 2, 1], [$counters['reads'], $counters['writes'], $counters['destroys']], 'reads, writes, destroys');

echo "ok\n";
?>
--EXPECT--
ok
