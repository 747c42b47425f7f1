--TEST--
A request that took longer than its lock drops its data when another one has written since
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/lock.inc";

ini_set('mmsession.lock', '1');
$sid = mms_sid();
mms_put($sid, ['cart' => 'apple']);
$other = ['mmsession.lock' => '1'];
foreach (['nobody', 'another wrote', 'another has it'] as $case) {
    mms_put($sid, ['cart' => 'apple']);
    $before = mms_counter('lock_overlaps');
    ini_set('mmsession.lock_ttl_ms', '30');
    session_id($sid);
    session_start();
    $_SESSION['cart'] = 'stale';
    mms_until(function () use ($sid) { return mms_locks($sid) === []; }, 'the lease runs out');
    if ($case === 'another wrote') {
        mms_is('', mms_php("session_id('$sid'); session_start(); \$_SESSION['cart'] = 'newer';", $other), $case);
    } elseif ($case === 'another has it') {
        $holder = mms_start("session_id('$sid'); session_start(); mms_say('held'); mms_wait(); \$_SESSION['cart'] = 'newer';", $other);
        mms_is('held', mms_hear($holder), 'the holder');
    }
    $messages = mms_messages(function () { return session_write_close(); });
    if ($case === 'another has it') {
        mms_tell($holder, 'go');
        mms_is(['', 0], mms_finish($holder), 'the holder ends');
    }
    ini_set('mmsession.lock_ttl_ms', '0');
    $ours = array_values(preg_grep('/session lock/', $messages));
    mms_is($case === 'nobody' ? 0 : 1, count($ours), "$case: " . implode(' / ', $messages));
    if ($ours) {
        mms_ok(preg_match('/session not stored: session lock: it ran out.* the newer data stay.*mmsession.lock_ttl_ms/', $ours[0]), $ours[0]);
    }
    mms_is(['cart' => $case === 'nobody' ? 'stale' : 'newer'], mms_request($sid), "$case: what is stored");
    mms_is($case === 'nobody' ? 0 : 1, mms_counter('lock_overlaps') - $before, "$case: lock_overlaps");
}

echo "ok\n";
?>
--EXPECT--
ok
