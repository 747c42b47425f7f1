--TEST--
session_write_close() followed by another session_start() of the same session
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_each_mode(function () {
    $sid = mms_sid();
    for ($n = 0; $n < 20; $n++) {
        $read = mms_request($sid, function () { $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1; });
        mms_is($n, $read['n'] ?? 0, 'counter');
    }
});

echo "ok\n";
?>
--EXPECT--
ok
