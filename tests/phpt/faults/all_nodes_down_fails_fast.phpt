--TEST--
No node: a warning within the budget, and service again when one returns
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

[$servers, $list] = mms_servers(2);
mms_use($list);
$sid = mms_sid();
mms_put($sid, ['n' => 1]);
mmsession_flush(5000);
$servers[1]->kill();
$servers[0]->pause();
mms_each_mode(function ($mode) {
    for ($n = 0; $n < 5; $n++) {
        session_id(mms_sid());
        $start = microtime(true);
        $messages = mms_messages('session_start', $started);
        $took = microtime(true) - $start;
        mms_ok($took < 0.35 * MMS_SLOW, "request $n fails within the budget: $took s");
        mms_ok($n < 4 || $took < 0.03 * MMS_SLOW, "request $n fails at once: $took s");
        mms_ok($messages !== [], 'there is a warning');
        if ($started) {
            mms_messages('session_write_close');
        }
    }
});
$servers[0]->go_on();
mms_mode('native');
mms_until(function () use ($sid, &$read) {
    mms_messages(function () use ($sid, &$read) { $read = mms_request($sid); });
    return $read === ['n' => 1];
}, 'the session is back');

echo "ok\n";
?>
--EXPECT--
ok
