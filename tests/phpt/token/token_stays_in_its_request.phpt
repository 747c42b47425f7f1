--TEST--
What mmsession_token() is given does not outlive its request, nor does what it returned
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/web.inc";
mms_nodes_are_complete(); // a session of before would be blind

$web = new Web('if (isset($_GET["complete"])) { exit(in_array(false, array_column(mmsession_status()["nodes"], "complete"), true) ? "no" : "yes"); }
    if (isset($_GET["make"])) { $text = str_repeat("z", (int) $_GET["make"]); unset($text); }
    if (isset($_GET["give"])) { mmsession_token(str_repeat($_GET["give"], (int) ($_GET["times"] ?? 1))); }
    $first = mmsession_token();
    if (isset($_GET["session"])) { session_start(); $_SESSION["n"] = ($_SESSION["n"] ?? 0) + 1; session_write_close(); }
    $status = mmsession_status()["counters"];
    preg_match("/VmRSS:\s+(\d+)/", (string) @file_get_contents("/proc/self/status"), $match);
    echo json_encode([$first, $status["token_local_reads"], $status["token_full_reads"], (int) ($match[1] ?? 0)]);',
    ['mmsession.read' => 'session-token', 'memory_limit' => '200M']);
$web->get('session=1');
mms_until(function () use ($web) { return $web->get('complete')[1] === 'yes'; }, 'the nodes are complete');
[$none, $local, $full, $size] = json_decode($web->get('session=1')[1], true);
mms_is(['', 1, 1], [$none, $local, $full], 'one visitor');
[$none] = json_decode($web->get('give=x')[1], true);
mms_is(['', 2, 1], array_slice(json_decode($web->get('session=1')[1], true), 0, 3), 'somebody else gave rubbish in between');
/* Some allocators keep what was freed: as much as for a text that PHP alone has had is no matter. */
$web->get('make=30000000');
$made = json_decode($web->get('')[1], true)[3];
$web->get('give=y&times=30000000');
[$none, $local, $full, $given] = json_decode($web->get('session=1')[1], true);
mms_is(['', 3, 1], [$none, $local, $full], 'and much of it');
mms_ok($given - $made < max(0, $made - $size) + 15000, "memory of the worker: $size KiB, then $made, then $given");
mms_is(['', 3, 2], array_slice(json_decode($web->get('session=1&give=x')[1], true), 0, 3), 'in the request itself it counts');
mms_is(['', 3, 3], array_slice(json_decode($web->get('session=1&give=x&times=2000')[1], true), 0, 3), 'also what is longer than tokens are');
mms_is(['', 4, 3], array_slice(json_decode($web->get('session=1&give=')[1], true), 0, 3), 'nothing is none');
mms_is(['', 4, 4], array_slice(json_decode($web->get('session=1&give=z.&times=20000')[1], true), 0, 3), 'and so many that nobody looks through them');
mms_ok(strpos($web->log(), 'Warning') === false, 'no warning');

/* With session.auto_start the session is open before the module's own begin of the request. */
$web = new Web('$token = mmsession_token(); $_SESSION["n"] = ($_SESSION["n"] ?? 0) + 1; session_write_close();
    if (isset($_GET["give"])) { mmsession_token($_GET["give"]); }
    echo json_encode([$_SESSION["n"], $token === "", mmsession_status()["counters"]["token_local_reads"]]);',
    ['mmsession.read' => 'session-token', 'session.auto_start' => '1']);
$web->get();
$local = 0;
mms_until(function () use ($web, &$local) { return ($local = json_decode($web->get()[1], true)[2]) > 0; }, 'read from the local node');
foreach (['give=x', '', 'give=x', ''] as $query) {
    [, $none, $now] = json_decode($web->get($query)[1], true);
    mms_is([false, ++$local], [$none, $now], "auto_start, '$query'");
}
mms_ok(strpos($web->log(), 'Warning') === false, 'no warning');

echo "ok\n";
?>
--EXPECT--
ok
