--TEST--
SCRIPT FLUSH on every node between requests
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
mms_each_mode(function () use ($servers) {
    $sid = mms_sid();
    for ($n = 0; $n < 10; $n++) {
        mms_is($n, mms_request($sid, function () { $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1; })['n'] ?? 0, "request $n");
        foreach ($servers as $server) {
            $server->client()('SCRIPT', 'FLUSH');
        }
    }
    mms_ok(mmsession_flush(5000), 'flush');
    mms_is('n|i:10;', mms_record($servers[1]->client(), $sid)['payload'] ?? null, 'on the peer');
});

echo "ok\n";
?>
--EXPECT--
ok
