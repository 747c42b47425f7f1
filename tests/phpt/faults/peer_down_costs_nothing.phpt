--TEST--
Two nodes, the second is down from the start
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

[$servers] = mms_servers(1);
mms_use($servers[0]->address . ', unix:///nonexistent/redis.sock?name=gone');
mms_each_mode(function () {
    $sid = mms_sid();
    mms_is([], mms_request($sid, function () { $_SESSION['n'] = 1; }), 'a new session');
    for ($n = 1; $n < 20; $n++) {
        $start = microtime(true);
        $read = mms_request($sid, function () { $_SESSION['n']++; });
        mms_is($n, $read['n'] ?? null, 'the counter');
        mms_ok(microtime(true) - $start < 0.25 * MMS_SLOW, 'within the budget');
    }
});
[$one, $two] = mmsession_status()['nodes'];
mms_is(['closed', 'local'], [$one['state'], $one['role']], 'the first node');
mms_ok($two['state'] !== 'closed', 'the second is open: ' . $two['state']);
mms_is('gone', $two['name'], 'its name');
mms_ok(strpos((string) $two['last_error'], 'gone') !== false, 'the error names the node: ' . $two['last_error']);
mms_ok(mmsession_flush(5000), 'flush: what the second misses is a hint');
mms_ok(mmsession_status()['nodes'][1]['hints'] >= 3, 'hints: ' . mmsession_status()['nodes'][1]['hints']);

echo "ok\n";
?>
--EXPECT--
ok
