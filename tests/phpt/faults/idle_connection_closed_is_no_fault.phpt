--TEST--
CLIENT KILL between requests: reconnect, breaker stays closed
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

/* The kill may meet the replicator between two answers of its housekeeping, which is a fault; not three times in a row. */
for ($try = 0, $errors = ['none yet']; $errors !== [] && $try < 3; $try++) {
    [$servers, $list] = mms_servers(2);
    mms_use($list);
    $sid = mms_sid();
    for ($n = 0; $n < 10; $n++) {
        mms_is($n, mms_request($sid, function () { $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1; })['n'] ?? 0, "request $n");
        foreach ($servers as $server) {
            /* Both connections of this process, the replicator's included, must be idle: in a handshake it would be a fault. */
            mms_until(function () use ($server) {
                $list = $server->client()('CLIENT', 'LIST');
                return mmsession_flush(5000) && substr_count($list, 'id=') >= 3
                    && !preg_match('/cmd=(auth|select|script|info|client)/i', preg_replace('/.*cmd=client.*\n/', '', $list, 1));
            }, 'connections are idle');
            $server->client()('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
        }
    }
    mms_ok(mmsession_flush(5000), 'flush');
    $errors = [];
    foreach (mmsession_status()['nodes'] as $node) {
        mms_is('closed', $node['state'], $node['name']);
        $errors = array_merge($errors, array_filter([$node['last_error']]));
    }
}
mms_is([], $errors, 'faults, in each of three tries');

echo "ok\n";
?>
--EXPECT--
ok
