--TEST--
A touch with a shorter lifetime leaves the longer one
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_each_mode(function () {
    $sid = mms_sid();
    ini_set('session.gc_maxlifetime', '9000');
    mms_put($sid, ['cart' => 'apple']);
    ini_set('session.gc_maxlifetime', '60');
    mms_request($sid);
    mms_request($sid, function () { $_SESSION['n'] = 1; });
    mmsession_flush(5000);
    foreach (['a', 'b', 'c'] as $name) {
        $left = mms_node($name)('PTTL', mms_key($sid));
        mms_ok($left > 8990000 && $left <= 9000000, "life on $name: $left");
    }
    ini_set('session.gc_maxlifetime', '1440');
});

echo "ok\n";
?>
--EXPECT--
ok
