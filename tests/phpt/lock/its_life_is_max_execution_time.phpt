--TEST--
The lock's lease is mmsession.lock_ttl_ms, else max_execution_time as it is when the session starts, else 30 s
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/lock.inc";

ini_set('mmsession.lock', '1');
foreach ([['0', 0, 30000], ['0', 77, 77000], ['0', 900000, 3600000], ['5000', 77, 5000]] as [$ttl, $limit, $expected]) {
    ini_set('mmsession.lock_ttl_ms', $ttl);
    set_time_limit($limit);
    $sid = mms_sid();
    session_id($sid);
    session_start();
    $left = array_values(mms_locks($sid));
    mms_is(1, count($left), 'locked');
    mms_ok($left[0] <= $expected && $left[0] > $expected - 4000, "mmsession.lock_ttl_ms = $ttl, set_time_limit($limit): {$left[0]} ms");
    session_abort();
}
set_time_limit(0);
ini_set('mmsession.lock_ttl_ms', '0');

/* What people write for yes and no. */
foreach (['1' => 1, 'On' => 1, 'yes' => 1, 'true' => 1, '0' => 0, 'off' => 0, 'no' => 0, 'false' => 0, '' => 0] as $word => $locked) {
    mms_ok(ini_set('mmsession.lock', (string) $word) !== false, "'$word'");
    $sid = mms_sid();
    session_id($sid);
    session_start();
    mms_is($locked, count(mms_locks($sid)), "'$word'");
    session_abort();
}

echo "ok\n";
?>
--EXPECT--
ok
