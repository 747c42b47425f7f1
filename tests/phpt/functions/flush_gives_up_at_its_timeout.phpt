--TEST--
mmsession_flush() with a peer that neither answers nor is known to be down
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
mms_put($sid = mms_sid(), ['n' => 1]);
mmsession_flush(5000);
mms_put($sid, ['n' => 2]);
$servers[1]->pause();
mms_request($sid, function () { $_SESSION['n'] = 3; });
$start = microtime(true);
$early = mmsession_flush(20);
mms_ok(microtime(true) - $start < 0.3 * MMS_SLOW, 'it keeps to its time: ' . (microtime(true) - $start));
mms_ok($early || microtime(true) - $start >= 0.015, 'false only after that time');
mms_is(true, mmsession_flush(5000 * min(MMS_SLOW, 6)), 'in the end the write is a hint');
$servers[1]->go_on();
mms_until(function () use ($servers, $sid) { return (mms_record($servers[1]->client(), $sid)['payload'] ?? '') === 'n|i:3;'; },
    'and is delivered');

echo "ok\n";
?>
--EXPECT--
ok
