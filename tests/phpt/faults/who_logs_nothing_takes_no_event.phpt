--TEST--
log_errors = 0: what happened is left for a worker that writes a log
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

$log = getenv('MMS_TEST_DIR') . '/log-' . bin2hex(random_bytes(4));
ini_set('error_log', $log);
ini_set('log_errors', '0');
[$servers] = mms_servers(1);
mms_use($servers[0]->address . ', unix:///nonexistent/redis.sock?name=gone');
$sid = mms_sid();
$count = function () { $_SESSION['n'] = ($_SESSION['n'] ?? 0) + 1; };
mms_request($sid, $count);
mms_until(function () { return mmsession_status()['nodes'][1]['state'] !== 'closed'; }, 'the second is open');
for ($n = 0; $n < 3; $n++) {
    mms_request($sid, $count);
}
mms_is(false, file_exists($log), 'nothing is written');

ini_set('log_errors', '1');
mms_request($sid, $count);
mms_is(1, preg_match_all('/mmsession: node gone .*\n/', (string) @file_get_contents($log)), 'one line of the node that is down');
mms_request($sid, $count);
mms_is(1, preg_match_all('/mmsession: node gone .*\n/', (string) @file_get_contents($log)), 'and no other');
@unlink($log);

echo "ok\n";
?>
--EXPECT--
ok
