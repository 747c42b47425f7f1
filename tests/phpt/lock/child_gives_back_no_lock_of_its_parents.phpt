--TEST--
A forked child neither gives back its parent's lock nor writes past it
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; if (!function_exists("pcntl_fork")) die("skip PHP has no pcntl"); ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/lock.inc";

ini_set('mmsession.lock', '1');
$sid = mms_sid();
mms_put($sid, ['who' => 'nobody']);
session_id($sid);
session_start();
foreach (['abort', 'write'] as $what) {
    $child = pcntl_fork();
    if ($child === 0) {
        if ($what === 'abort') {
            session_abort();
        } else {
            $_SESSION['who'] = 'child';
            $messages = mms_messages(function () { session_write_close(); });
            mms_ok(strpos(implode($messages), 'session lock') !== false, 'the child is told: ' . implode(' / ', $messages));
        }
        exit(ob_get_contents() === '' ? 0 : 1);
    }
    pcntl_waitpid($child, $status);
    mms_is(0, $status, "$what: exit status of the child");
    usleep(20000);
    mms_is(1, count(mms_locks($sid)), "$what: the lock stands");
}
$_SESSION['who'] = 'parent';
session_write_close();
mms_is(['who' => 'parent'], mms_request($sid), 'what is stored');

echo "ok\n";
?>
--EXPECT--
ok
