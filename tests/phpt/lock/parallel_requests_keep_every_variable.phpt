--TEST--
With the session lock parallel requests of one session run one after the other, and no variable is lost
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/lock.inc";

$sid = mms_sid();
mms_put($sid, ['start' => 1]);
foreach (['1' => 16, '0' => null] as $lock => $expected) {
    $started = [];
    for ($i = 0; $i < 8; $i++) {
        $started[] = mms_start("mms_say('ready'); mms_wait();
            for (\$n = 0; \$n < 2; \$n++) {
                session_id('$sid');
                session_start() || exit(1);
                \$_SESSION['l{$lock}_{$i}_' . \$n] = 1;
                usleep(3000);
                session_write_close() || exit(1);
            }
            echo mms_counter('lock_timeouts') + mms_counter('lock_overlaps');", ['mmsession.lock' => $lock,
            'mmsession.lock_wait_ms' => '60000']);
    }
    foreach ($started as $each) {
        mms_is('ready', mms_hear($each), 'a process');
    }
    foreach ($started as $each) {
        mms_tell($each, 'go');
    }
    foreach ($started as $each) {
        mms_is(['0', 0], mms_finish($each), 'its output and exit status');
    }
    $kept = preg_grep("/^l{$lock}_/", array_keys(mms_request($sid)));
    if ($expected !== null) {
        mms_is($expected, count($kept), 'variables kept');
    } else {
        mms_ok(count($kept) < 16, 'without it some are lost, or this test shows nothing');
    }
}

echo "ok\n";
?>
--EXPECT--
ok
