--TEST--
Sessions of 1 MB and more
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

/* Megabytes on a busy machine: more time than the defaults give. */
ini_set('mmsession.read_timeout_ms', '3000');
ini_set('mmsession.budget_ms', '10000');
mms_each_mode(function () {
    $sid = mms_sid();
    foreach ([1 << 16, 1 << 20, (1 << 20) + 1, 5 << 20, 100] as $size) {
        $value = str_repeat(random_bytes(64), (int) ceil($size / 64));
        mms_put($sid, ['big' => $value]);
        mms_ok(mmsession_flush(10000), "$size bytes: flush");
        mms_ok(mms_request($sid) === ['big' => $value], "$size bytes come back");
    }
    mms_put($sid, ['big' => str_repeat('x', 3 << 20)]);
    mms_ok(mmsession_flush(10000), 'flush');
    mms_is(mms_record(mms_node('a'), $sid)['bytes'], mms_record(mms_node('c'), $sid)['bytes'] ?? null, 'on a peer');
});

echo "ok\n";
?>
--EXPECT--
ok
