--TEST--
A request that was running while another logged the visitor out does not bring the session back
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

foreach (MMS_MODES as $mode) {
    $sid = mms_sid();
    mms_mode($mode);
    mms_put($sid, ['user' => 'ann']);
    $slow = mms_start("mms_mode('$mode'); session_id('$sid'); session_start(); mms_say(\$_SESSION['user']); mms_wait();
        \$_SESSION['late'] = 1; var_dump(session_write_close());
        echo mms_counter('late_writes'); mmsession_flush(5000);");
    mms_is('ann', mms_hear($slow), 'the slow request has read the session');

    session_id($sid);
    session_start();
    mms_ok(session_destroy(), 'logout');
    mmsession_flush(5000);

    mms_tell($slow, 'go on');
    [$output] = mms_finish($slow);
    mms_is("bool(true)\n1", $output, 'the slow request: stored without a word, one late write counted');
    foreach (['a', 'b', 'c'] as $name) {
        mms_is(true, mms_record(mms_node($name), $sid)['tombstone'], "tombstone on $name");
    }
    mms_is([], mms_request($sid), 'the session stays destroyed');
}

echo "ok\n";
?>
--EXPECT--
ok
