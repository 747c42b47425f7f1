--TEST--
A local node that does not answer: the first requests wait at most the budget, the others not at all
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
mms_put($sid, ['n' => 0]);
mmsession_flush(5000);
$servers[0]->pause();
$slow = 0;
for ($n = 0; $n < 20; $n++) {
    $start = microtime(true);
    $read = mms_request($sid, function () { $_SESSION['n']++; });
    $took = microtime(true) - $start;
    mms_is(['n' => $n], $read, "request $n");
    mms_ok($took < 0.55 * MMS_SLOW, "request $n: both operations within their budgets: $took s");
    $slow += $took > 0.05 * MMS_SLOW;
}
mms_ok($slow <= 3, "slow requests: $slow");
$servers[0]->go_on();
mmsession_flush(5000);
mms_until(function () use ($servers, $sid) { return (mms_record($servers[0]->client(), $sid)['payload'] ?? '') === 'n|i:20;'; },
    'the node that was stopped catches up');

echo "ok\n";
?>
--EXPECT--
ok
