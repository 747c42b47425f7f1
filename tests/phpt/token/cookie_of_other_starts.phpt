--TEST--
Tokens of regenerated ids and of read_and_close; SameSite=None
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
    if (isset($_GET["cross"])) { session_set_cookie_params(["secure" => true, "samesite" => "None"]); }
    session_start(isset($_GET["look"]) ? ["read_and_close" => true] : []);
    $n = $_SESSION["n"] ?? 0;
    if (!isset($_GET["look"])) { $_SESSION["n"] = $n + 1; }
    if (isset($_GET["regenerate"])) { session_regenerate_id((bool) $_GET["regenerate"]); }
    if (isset($_GET["twice"])) { session_regenerate_id(); }
    session_write_close();
    $status = mmsession_status()["counters"];
    echo json_encode([$n, $status["token_local_reads"], $status["token_wide_writes"]]);', ['mmsession.read' => 'session-token']);
$tokens = [];
$call = function (string $query = '') use ($web, &$tokens): array {
    [$lines, $body] = $web->get($query);
    $tokens = array_values(preg_grep('/_mms/', $web->cookies($lines)));
    mms_is(1, count($tokens), "one token of '$query': " . implode(' / ', $lines));
    return json_decode($body, true);
};
$call();
mms_until(function () use ($web) { return $web->get('complete')[1] === 'yes'; }, 'the nodes are complete');
mms_is([1, 1, 0], $call('look=1'), 'read and closed, from the local node');
mms_is([1, 2, 0], $call('look=1'), 'as it is with the token of that');
mms_is([1, 3, 0], $call(), 'and written');
$local = 3;
foreach (['regenerate=0', 'regenerate=1', 'regenerate=0&twice=1'] as $turn => $query) {
    $old = $web->jar['PHPSESSID'];
    mms_is($turn * 2 + 2, $call($query)[0], $query);
    mms_ok($old !== $web->jar['PHPSESSID'], "$query: a new id");
    [, $before] = json_decode($web->get('look=1')[1], true);
    [$n, $local, $wide] = $call();
    mms_is([$turn * 2 + 3, $before + 1], [$n, $local], "$query: the token is of the new session");
}
$call('cross=1');
mms_is(1, preg_match('/^PHPSESSID_mms\d=[^;]+; path=\/; secure; HttpOnly; SameSite=None$/', $tokens[0]), $tokens[0]);
mms_ok(strpos($web->log(), 'Warning') === false, 'no warning');

echo "ok\n";
?>
--EXPECT--
ok
