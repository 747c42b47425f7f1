--TEST--
A lock that another request keeps fails session_start() once, and nothing is written
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
$holder = mms_start("session_id('$sid'); session_start(); mms_say('held'); mms_wait(); \$_SESSION['cart'] = 'pear';",
    ['mmsession.lock' => '1', 'mmsession.host_id' => 'holder']);
mms_is('held', mms_hear($holder), 'the holder');
foreach (['0', '1'] as $strict) {
    ini_set('session.use_strict_mode', $strict);
    mms_each_mode(function ($mode) use ($sid, $strict) {
        global $timeouts;
        ini_set('mmsession.lock_wait_ms', '150');
        session_id($sid);
        $began = microtime(true);
        $messages = mms_messages(function () { return session_start(); }, $result);
        $took = microtime(true) - $began;
        $ours = array_values(preg_grep('/session lock/', $messages));
        mms_is(1, count($ours), "strict $strict: one warning of the lock: " . implode(' / ', $messages));
        mms_ok(preg_match('/session not read: session lock: another request of this session \(on host holder\) has held it for '
            . '150 ms \(mmsession.lock_wait_ms\): .*session_write_close/', $ours[0]), $ours[0]);
        mms_ok($took >= 0.14 && $took < 3 * MMS_SLOW, "it took $took s");
        if (session_status() === PHP_SESSION_ACTIVE) {
            /* A wrapper that made an empty session of it: it is not written either. */
            $_SESSION['cart'] = 'nothing';
            $late = mms_messages(function () { session_write_close(); });
            mms_ok(strpos(implode($late), 'not written either') !== false, implode(' / ', $late));
        }
        $timeouts = ($timeouts ?? 0) + 1;
        mms_is($timeouts, mms_counter('lock_timeouts'), 'counted once');
    });
}
mms_tell($holder, 'go');
mms_is(['', 0], mms_finish($holder), 'the holder ends');
ini_set('mmsession.lock_wait_ms', '10000');
mms_is(['cart' => 'pear'], mms_request($sid), 'what the holder wrote');
/* 0: not at all. */
ini_set('mmsession.lock_wait_ms', '0');
mms_is(['cart' => 'pear'], mms_request($sid), 'a lock that is free needs no wait');

echo "ok\n";
?>
--EXPECT--
ok
