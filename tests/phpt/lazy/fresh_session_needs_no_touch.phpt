--TEST--
No touch while enough of the lifetime is left
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_each_mode(function () {
    $sid = mms_sid();
    mms_put($sid, ['cart' => 'apple']);
    [$writes, $touches] = [mms_counter('writes'), mms_counter('touches')];
    for ($n = 0; $n < 5; $n++) {
        mms_request($sid);
    }
    mms_is([$writes, $touches], [mms_counter('writes'), mms_counter('touches')], 'writes and touches');
});

echo "ok\n";
?>
--EXPECT--
ok
