--TEST--
mmsession.token_header: tokens in a header instead of cookies
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/web.inc";

$web = new Web('session_start(); $_SESSION["n"] = ($_SESSION["n"] ?? 0) + 1; session_write_close();
    $status = mmsession_status()["counters"];
    echo json_encode([$_SESSION["n"], $status["token_local_reads"], $status["token_full_reads"]]);',
    ['mmsession.read' => 'session-token', 'mmsession.token_header' => 'X-Shop-Token']);
$token = function (array $lines): string {
    $found = array_values(preg_grep('/^X-Shop-Token: /', $lines));
    mms_is(1, count($found), 'one header: ' . implode(' / ', $lines));
    return substr($found[0] ?? '', 14);
};
[$lines, $body] = $web->get();
mms_is('[1,0,1]', $body, 'a new visitor');
mms_is([], preg_grep('/_mms/', $web->cookies($lines)), 'no cookie');
[$lines, $body] = $web->get('', ['X-Shop-Token: ' . $token($lines)]);
mms_is('[2,1,1]', $body, 'with what was answered');
[$lines, $body] = $web->get();
mms_is('[3,1,2]', $body, 'without');
[$lines, $body] = $web->get('', ['X-Shop-Token: ' . $token($lines) . 'x']);
mms_is('[4,1,3]', $body, 'with another');
mms_ok(strpos($web->log(), 'Warning') === false, 'no warning');

echo "ok\n";
?>
--EXPECT--
ok
