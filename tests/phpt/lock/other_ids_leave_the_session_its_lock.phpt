--TEST--
What SessionHandler's methods do to other ids leaves the open session its lock, and its data what they build on
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/lock.inc";

class Handler extends SessionHandler
{
}

ini_set('session.save_handler', 'mmsession');
$handler = new Handler();
session_set_save_handler($handler, true);
$calls = [
    'destroy' => function ($other) use ($handler) { return $handler->destroy($other); },
    'read' => function ($other) use ($handler) { return $handler->read($other) === 'cart|s:4:"pear";'; },
    'write' => function ($other) use ($handler) { return $handler->write($other, 'cart|s:4:"plum";'); },
];
$left = ['destroy' => [], 'read' => ['cart' => 'pear'], 'write' => ['cart' => 'plum']];
foreach (['1', '0'] as $lock) {
    foreach ($calls as $what => $call) {
        ini_set('mmsession.lock', $lock);
        $before = [mms_lock_counters(), mms_counter('conflicts')];
        $sid = mms_sid();
        $other = mms_sid('other');
        mms_put($sid, ['cart' => 'apple']);
        mms_put($other, ['cart' => 'pear']);
        session_id($sid);
        session_start();
        mms_ok($call($other), "lock $lock: $what of another id");
        mms_ok($call($other), "lock $lock: $what, once more");
        mms_is((int) $lock, count(mms_locks($sid)), "lock $lock: $what: the session is locked");
        mms_is([], mms_locks($other), "lock $lock: $what: and the other is not");
        if ($lock === '0') {
            /* Without a lock another request writes: a conflict, as it is one without such calls. */
            mms_is('', mms_php("session_id('$sid'); session_start(); \$_SESSION['b'] = 1;", ['mmsession.host_id' => 'second']), 'the second request');
        }
        $_SESSION['n'] = 1;
        mms_ok(session_write_close(), "lock $lock: $what: session_write_close()");
        mms_is(['cart' => 'apple', 'n' => 1], mms_request($sid), "lock $lock: $what: the session");
        mms_is($left[$what], mms_request($other), "lock $lock: $what: the other");
        mms_is([$before[0], $before[1] + ($lock === '0' ? 1 : 0)], [mms_lock_counters(), mms_counter('conflicts')], "lock $lock: $what: counters");
    }
}

/* An id that was made here is PHP's next one only when it is read. */
ini_set('mmsession.lock', '1');
foreach (['write', 'destroy'] as $what) {
    $sid = mms_sid();
    mms_put($sid, ['cart' => 'apple']);
    session_id($sid);
    session_start();
    $made = session_create_id();
    mms_ok($calls[$what]($made), "$what of an id that was made");
    mms_is(1, count(mms_locks($sid)), "$what of an id that was made: the session is locked");
    mms_is([], mms_locks($made), "$what of an id that was made: that one is not");
    $_SESSION['n'] = 1;
    mms_ok(session_write_close(), "$what of an id that was made: session_write_close()");
    mms_is(['cart' => 'apple', 'n' => 1], mms_request($sid), "$what of an id that was made: the session");
    mms_is($left[$what], mms_request($made), "$what of an id that was made: that one");
}
ini_set('mmsession.lock', '0');

/* What has not changed is not written, whatever was done beside it. */
foreach ($calls as $what => $call) {
    $before = mms_counter('conflicts');
    $sid = mms_sid();
    $other = mms_sid('other');
    mms_put($sid, ['cart' => 'apple']);
    mms_put($other, ['cart' => 'pear']);
    session_id($sid);
    session_start();
    mms_ok($call($other), "unchanged: $what of another id");
    mms_is('', mms_php("session_id('$sid'); session_start(); \$_SESSION['b'] = 1;", ['mmsession.host_id' => 'second']), 'the second request');
    mms_ok(session_write_close(), "unchanged: $what: session_write_close()");
    mms_is(['cart' => 'apple', 'b' => 1], mms_request($sid), "unchanged: $what: the session");
    mms_is($before, mms_counter('conflicts'), "unchanged: $what: conflicts");
}

/* Another session in the same request is locked as the first one was. */
ini_set('mmsession.lock', '1');
$sids = [mms_sid(), mms_sid()];
foreach ($sids as $sid) {
    session_id($sid);
    session_start();
    mms_is(1, count(mms_locks($sid)), 'one session after the other');
    $_SESSION['n'] = 1;
    session_write_close();
    mms_until(function () use ($sid) { return mms_locks($sid) === []; }, 'given back');
}

/* Read again in the same request. */
session_id($sid);
session_start();
mms_is('n|i:1;', $handler->read($sid), 'read again');
mms_is(1, count(mms_locks($sid)), 'locked after it');
session_abort();

echo "ok\n";
?>
--EXPECT--
ok
