--TEST--
Two sessions in one request keep apart
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_each_mode(function () {
    [$one, $two] = [mms_sid('one'), mms_sid('two')];
    mms_put($one, ['who' => 'one']);
    mms_is([], mms_request($two, function () { $_SESSION['who'] = 'two'; }), 'the second session is new');
    mms_is(['who' => 'one'], mms_request($one, function () { $_SESSION['n'] = 1; }), 'the first again');
    mms_is(['who' => 'two'], mms_request($two), 'the second again');
    mms_is(['who' => 'one', 'n' => 1], mms_request($one), 'the first at last');
});

echo "ok\n";
?>
--EXPECT--
ok
