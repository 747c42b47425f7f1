--TEST--
mmsession_flush()
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_is(true, mmsession_flush(), 'nothing to wait for');
for ($n = 0; $n < 200; $n++) {
    mms_put($sids[] = mms_sid(), ['n' => $n]);
}
mms_is(true, mmsession_flush(10000), 'after 200 writes');
mms_is(0, mmsession_status()['mailbox']['entries'], 'the mailbox is empty');
foreach ($sids as $n => $sid) {
    mms_is("n|i:$n;", mms_record(mms_node('b'), $sid)['payload'] ?? null, "session $n on b");
    mms_is("n|i:$n;", mms_record(mms_node('c'), $sid)['payload'] ?? null, "session $n on c");
}
mms_is(true, mmsession_flush(0), 'no time to wait, nothing to wait for');
foreach ([-1, 3600001] as $wrong) {
    try {
        $messages = mms_messages(function () use ($wrong) { return mmsession_flush($wrong); }, $result);
        mms_ok(PHP_VERSION_ID < 80000 && $result === false && count($messages) === 1, "timeout $wrong is refused"); // by a warning there
    } catch (Error $error) {
        mms_ok(strpos($error->getMessage(), '3600000') !== false, $error->getMessage());
    }
}

echo "ok\n";
?>
--EXPECT--
ok
