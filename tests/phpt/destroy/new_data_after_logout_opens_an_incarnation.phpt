--TEST--
New data after a logout lives, and the old requests still can not come back
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_each_mode(function ($mode) {
    $sid = mms_sid();
    mms_put($sid, ['user' => 'ann']);
    $slow = mms_start("mms_mode('$mode'); session_id('$sid'); session_start(); mms_say('ready'); mms_wait();
        \$_SESSION['late'] = 1; session_write_close(); mmsession_flush(5000);");
    mms_is('ready', mms_hear($slow), 'the slow request has read the session');

    session_id($sid);
    session_start();
    session_destroy();
    $tombstone = mms_record(mms_node(), $sid);
    mms_is([], mms_request($sid, function () { $_SESSION['user'] = 'bob'; }), 'after logout');
    $record = mms_record(mms_node(), $sid);
    mms_is($tombstone['hlc'], $record['incarnation'], 'incarnation = clock of the tombstone');
    mms_is(false, $record['tombstone'], 'it lives');

    mms_tell($slow, 'go on');
    mms_is('', mms_finish($slow)[0], 'the slow request');
    mms_is(['user' => 'bob'], mms_request($sid), 'the new session');
});

echo "ok\n";
?>
--EXPECT--
ok
