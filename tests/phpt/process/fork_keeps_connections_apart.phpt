--TEST--
A pcntl_fork() child uses connections of its own, the parent goes on with its own
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; if (!function_exists("pcntl_fork")) die("skip PHP has no pcntl"); ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

[$servers, $list] = mms_servers(2);
mms_use($list);
$sid = mms_sid();
mms_put($sid, ['who' => 'parent', 'n' => 0]);
for ($round = 0; $round < 5; $round++) {
    $child = pcntl_fork();
    if ($child === 0) {
        $own = mms_sid('child');
        for ($n = 0; $n < 20; $n++) {
            mms_is($n, mms_request($own, function () { $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1; })['n'] ?? 0, 'child');
        }
        mms_ok(mmsession_flush(5000 * min(MMS_SLOW, 6)), 'flush in the child');
        mms_ok(mms_record($servers[1]->client(), $own) !== null, "the child's session on the peer");
        exit(0);
    }
    for ($n = 0; $n < 20; $n++) {
        mms_is($round * 20 + $n, mms_request($sid, function () { $_SESSION['n']++; })['n'] ?? null, 'parent');
    }
    pcntl_waitpid($child, $status);
    mms_is(0, $status, 'exit status of the child');
}
mms_ok(mmsession_flush(5000), 'flush in the parent');

echo "ok\n";
?>
--EXPECT--
ok
