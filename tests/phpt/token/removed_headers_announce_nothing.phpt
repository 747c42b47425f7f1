--TEST--
A token that a script took out of the headers tells nobody: the write is on all nodes
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/web.inc";

$web = new Web('$remove = ["all" => function () { header_remove(); }, "cookies" => function () { header_remove("Set-Cookie"); },
        "replaced" => function () { header("Set-Cookie: lang=de"); }, "none" => function () { header("X-Other: 1"); },
        "token" => function () { header_remove("X-Shop-Token"); }][$_GET["how"] ?? "none"];
    $before = mmsession_status()["counters"];
    if (isset($_GET["header"])) { ini_set("mmsession.token_header", "X-Shop-Token"); }
    session_start();
    if (isset($_GET["ask"])) { mmsession_token(); }
    if (isset($_GET["remove"])) { $remove(); }
    if (isset($_GET["early"])) { echo " "; flush(); }
    $_SESSION["n"] = $_GET["n"] ?? 0;
    session_write_close();
    if (isset($_GET["ask_late"])) { session_start(); mmsession_token(); }
    if (isset($_GET["remove_late"])) { @$remove(); }
    if (isset($_GET["callback"])) { header_register_callback(function () { header_remove(); }); }
    $status = mmsession_status()["counters"];
    echo json_encode([$status["token_wide_writes"] - $before["token_wide_writes"], $before["token_wide_writes"]]);',
    ['mmsession.read' => 'session-token']);
$wide = 0;
/* How many writes were on all nodes when the script ended, and when the answer ended. */
$call = function (string $query) use ($web, &$wide): array {
    static $number = 0;
    $number++;
    [, $body] = $web->get("n=$number&$query");
    [$within] = json_decode($body, true);
    [, $body] = $web->get('n=' . $number++);
    [, $after] = json_decode($body, true);
    [$before, $wide] = [$wide, $after];
    return [$within, $after - $before];
};
mms_is([0, 0], $call('early=1'), 'nothing removed, headers sent before the write');
mms_is([0, 0], $call(''), 'nothing removed, written before the headers are sent');
mms_is([0, 0], $call('remove=1&how=all'), 'removed before the write, which queues the cookie again');
foreach (['all', 'cookies', 'replaced'] as $how) {
    mms_is([1, 1], $call("how=$how&remove=1&early=1"), "$how: removed, sent, written");
    mms_is([0, 1], $call("how=$how&remove_late=1"), "$how: written, removed, sent");
    mms_is([0, 0], $call("how=$how&early=1&remove_late=1"), "$how: sent, written, and then nothing can be removed");
}
mms_is([0, 1], $call('callback=1'), 'removed in the very last moment');
mms_is([0, 0], $call('ask=1&how=all&remove=1&early=1'), 'who asks for the token brings it himself, whatever happens to headers');
mms_is([0, 0], $call('ask_late=1&how=all&remove_late=1'), 'also when he asks after the write');
mms_is([0, 0], $call('header=1&early=1'), 'a header that nobody removes');
mms_is([1, 1], $call('header=1&how=token&remove=1&early=1'), 'a header removed before it was sent');
mms_is([0, 1], $call('header=1&how=token&remove_late=1'), 'and after the write');
mms_ok(strpos($web->log(), 'Warning') === false, 'no warning');

echo "ok\n";
?>
--EXPECT--
ok
