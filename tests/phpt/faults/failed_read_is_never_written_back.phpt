--TEST--
A session that could not be read can not be written in that request, not even by a wrapper that made an empty string of the failure
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
foreach (MMS_MODES as $mode) {
    mms_mode($mode);
    $sid = mms_sid();
    mms_put($sid, ['cart' => 'ten things']);
    mmsession_flush(5000);
    $stored = [mms_record($servers[0]->client(), $sid)['bytes'], mms_record($servers[1]->client(), $sid)['bytes']];
    $servers[0]->pause();
    $servers[1]->pause();
    session_id($sid);
    $messages = mms_messages('session_start', $started);
    mms_ok($messages !== [], "$mode: there is a message");
    mms_is($mode === 'callables', $started, "$mode: session_start");
    $servers[0]->go_on();
    $servers[1]->go_on();
    mms_until(function () {
        foreach (mmsession_status()['nodes'] as $node) {
            if ($node['state'] !== 'closed') {
                return false;
            }
        }
        return true;
    }, "$mode: the nodes are back");
    if ($started) {
        mms_is([], $_SESSION, "$mode: the wrapper gave an empty session");
        $_SESSION['fresh'] = 1;
        mms_ok(mms_messages('session_write_close') !== [], "$mode: writing it is refused with a message");
    }
    foreach ($servers as $index => $server) {
        mms_ok(mms_record($server->client(), $sid)['bytes'] === $stored[$index], "$mode: node $index keeps the record");
    }
    mms_is(['cart' => 'ten things'], mms_request($sid), "$mode: the next request");
}

echo "ok\n";
?>
--EXPECT--
ok
