--TEST--
A tombstone lives an hour longer than the longest life the session ever had
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--INI--
session.gc_maxlifetime=100
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_each_mode(function () {
    $sid = mms_sid();
    ini_set('session.gc_maxlifetime', '5000');
    mms_put($sid, ['user' => 'ann']);
    ini_set('session.gc_maxlifetime', '100');
    mms_request($sid, function () { $_SESSION['n'] = 1; });
    session_id($sid);
    session_start();
    session_destroy();
    mmsession_flush(5000);
    foreach (['a', 'b', 'c'] as $name) {
        $left = mms_node($name)('PTTL', mms_key($sid));
        mms_ok($left > (5000 + 3500) * 1000 && $left <= (5000 + 3600 + 1) * 1000, "life of the tombstone on $name: $left");
    }
});

echo "ok\n";
?>
--EXPECT--
ok
