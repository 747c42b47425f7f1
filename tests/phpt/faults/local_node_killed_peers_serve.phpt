--TEST--
The local node dies: reads and writes go on with the peers, and it is brought up to date when it returns
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

[$servers, $list] = mms_servers(3);
mms_use($list);
foreach (MMS_MODES as $mode) {
    mms_mode($mode);
    $sid = mms_sid();
    mms_put($sid, ['n' => 1]);
    mms_ok(mmsession_flush(5000), 'flush');
    $servers[0]->kill();
    for ($n = 1; $n < 10; $n++) {
        mms_is(['n' => $n], mms_request($sid, function () { $_SESSION['n']++; }), "$mode: request $n");
    }
    mmsession_flush(5000);
    $expected = mms_record($servers[1]->client(), $sid)['bytes'];
    $servers[0]->start();
    mms_until(function () use ($servers, $sid, $expected) {
        return (mms_record($servers[0]->client(), $sid)['bytes'] ?? null) === $expected;
    }, "$mode: the returned node gets what it missed");
    mms_until(function () { return mmsession_status()['nodes'][0]['state'] === 'closed'; }, "$mode: it is used again");
    mms_is(['n' => 10], mms_request($sid), "$mode: the session at last");
}

echo "ok\n";
?>
--EXPECT--
ok
