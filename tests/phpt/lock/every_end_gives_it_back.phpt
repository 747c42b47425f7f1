--TEST--
The session lock stands from session_start() on and goes with whatever ends the session
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/lock.inc";

ini_set('mmsession.lock', '1');
mms_each_mode(function ($mode) {
    $ends = [
        'session_write_close' => function () { $_SESSION['n'] = 1; session_write_close(); },
        'unchanged' => function () { session_write_close(); },
        'session_abort' => function () { session_abort(); },
        'session_destroy' => function () { session_destroy(); },
    ];
    foreach ($ends as $what => $end) {
        $sid = mms_sid();
        mms_put($sid, ['cart' => 'apple']);
        mms_until(function () use ($sid) { return mms_locks($sid) === []; }, "$what: no lock before");
        session_id($sid);
        session_start();
        mms_is(1, count(mms_locks($sid)), "$what: locked on one node");
        $end();
        mms_until(function () use ($sid) { return mms_locks($sid) === []; }, "$what: no lock after");
    }
    $sid = mms_sid();
    mms_put($sid, ['cart' => 'apple']);
    session_id($sid);
    mms_ok(session_start(['read_and_close' => true]), 'read_and_close');
    mms_until(function () use ($sid) { return mms_locks($sid) === []; }, 'read_and_close: no lock after');

    /* session_reset() reads again, behind a lock of its own. */
    session_id($sid);
    session_start();
    session_reset();
    mms_is(1, count(mms_locks($sid)), 'session_reset: locked');
    session_abort();

    session_id($sid);
    session_start();
    session_regenerate_id();
    $new = session_id();
    mms_until(function () use ($sid) { return mms_locks($sid) === []; }, 'session_regenerate_id: the old id');
    mms_is(1, count(mms_locks($new)), 'session_regenerate_id: the new id');
    session_write_close();
    mms_until(function () use ($new) { return mms_locks($new) === []; }, 'session_regenerate_id: at the end');
});
mms_is([0, 0, 0], mms_lock_counters(), 'nobody waited');

/* The end of the script, a fatal error, exit() and a session that is left open. */
foreach (['', 'exit(3);', 'undefined_function();'] as $code) {
    $sid = mms_sid();
    mms_php("session_id('$sid'); session_start(); \$_SESSION['n'] = 1; $code", ['mmsession.lock' => '1']);
    mms_until(function () use ($sid) { return mms_locks($sid) === []; }, "after '$code'");
    mms_is(['n' => 1], mms_request($sid), "stored before '$code'");
}

echo "ok\n";
?>
--EXPECT--
ok
