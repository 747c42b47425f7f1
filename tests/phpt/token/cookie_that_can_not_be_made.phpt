--TEST--
A token whose cookie can't be made tells nobody: the write is on all nodes
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/web.inc";

$web = new Web('$path = $_GET["path"] ?? "/";
    $long = $_GET["long"] ?? 0;
    if (!isset($_GET["late"])) { session_set_cookie_params(["path" => $path . str_repeat("p", $long), "domain" => $_GET["domain"] ?? ""]); }
    session_name(str_repeat("n", $_GET["name"] ?? 1));
    session_id($_GET["id"]);
    session_start();
    if (isset($_GET["late"])) { session_write_close();
        session_set_cookie_params(["path" => $path . str_repeat("p", $long)]); session_start(); }
    $before = mmsession_status()["counters"]["token_wide_writes"];
    $_SESSION["n"] = ($_SESSION["n"] ?? 0) + 1;
    session_write_close();
    echo json_encode(mmsession_status()["counters"]["token_wide_writes"] - $before);',
    ['mmsession.read' => 'session-token', 'session.use_strict_mode' => '0']);
$sid = mms_sid();
/* Cookies with a token, writes that went to all nodes. */
$call = function (string $query) use ($web, $sid): array {
    [$lines, $body] = $web->get("id=$sid&$query");
    return [count(preg_grep('/_mms\d=/', $web->cookies($lines))), $body];
};
mms_is([1, '0'], $call('long=0'), 'a usual path');
mms_is([1, '0'], $call('long=400'), 'a long one');
mms_is([0, '1'], $call('long=600'), 'a longer one');
mms_is([0, '1'], $call('domain=' . str_repeat('d', 600)), 'a long domain');
mms_is([0, '1'], $call('long=300&domain=' . str_repeat('d', 300)), 'both together');
mms_is([0, '1'], $call('path=' . urlencode('/a;b')), 'a path that ends in the middle');
mms_is([1, '0'], $call('name=150'), 'a long name');
mms_is([1, '0'], $call('name=150&long=460'), 'a long name and a long path');
mms_is([0, '1'], $call('name=180'), 'a longer one');
mms_is([1, '1'], $call('late=1&long=600'), 'a session that is started again, with a path that does not fit');
mms_ok(strpos($web->log(), 'Warning') === false, 'no warning');

echo "ok\n";
?>
--EXPECT--
ok
