--TEST--
A write is on the local node alone when the cookie tells of it, and on all nodes when it can't
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/web.inc";

$web = new Web('session_start();
    $_SESSION["n"] = $_GET["n"];
    if (isset($_GET["twice"])) {
        session_write_close();
        ini_set("session.use_cookies", 0);
    }
    if (isset($_GET["early"])) { echo "early "; flush(); }
    if (isset($_GET["twice"])) { session_start(); $_SESSION["n"] .= "b"; }
    session_write_close();
    $status = mmsession_status()["counters"];
    echo json_encode([$_SESSION["n"], headers_sent(), $status["writes"], $status["token_wide_writes"]]);',
    ['mmsession.read' => 'session-token']);
mms_is('["1",false,1,0]', $web->get('n=1')[1], 'headers not sent yet');
mms_is('early ["2",true,2,0]', $web->get('n=2&early=1')[1], 'the cookie tells of the write before it is made');
mms_is('["3b",false,4,1]', $web->get('n=3&twice=1')[1], 'the second write of a page, when cookies are off');
mms_is('early ["4b",true,6,2]', $web->get('n=4&early=1&twice=1')[1], 'and with the headers gone');
mms_ok(strpos($web->log(), 'Warning') === false, 'no warning');

echo "ok\n";
?>
--EXPECT--
ok
