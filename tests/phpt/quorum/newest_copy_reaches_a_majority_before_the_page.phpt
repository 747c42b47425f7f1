--TEST--
read = quorum brings the newest copy to a majority before session_start() returns
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
ini_set('mmsession.read', 'quorum');
mms_request(mms_sid()); /* a miss: all nodes are met */
mms_all_complete();
foreach ([0, 1, 2] as $holder) {
    $sid = mms_sid();
    mms_put($sid, ['n' => 1]);
    mmsession_flush(5000);
    $key = mms_key($sid);
    $old = $servers[$holder]->client()('DUMP', $key);
    mms_put($sid, ['n' => 2]);
    mmsession_flush(5000);
    foreach ([0, 1, 2] as $node) { /* one node alone has the newest copy, as after a write that did not get far */
        if ($node !== $holder) {
            $servers[$node]->client()('RESTORE', $key, '1440000', $old, 'REPLACE');
        }
    }
    session_id($sid);
    session_start();
    mms_is(['n' => 2], $_SESSION, "holder $holder: the newest");
    $have = array_filter($servers, function ($server) use ($sid) {
        return (mms_record($server->client(), $sid)['payload'] ?? '') === 'n|i:2;';
    });
    mms_ok(count($have) >= 2, "holder $holder: on a majority by now");
    session_abort();
}
mms_ok(mms_counter('write_backs') >= 3, 'counted');

echo "ok\n";
?>
--EXPECT--
ok
