--TEST--
The token's cookie has the session cookie's parameters, is HttpOnly, and is there once
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/web.inc";
mms_nodes_are_complete(); // a session of before would be blind

$code = 'if (isset($_GET["lifetime"])) { session_set_cookie_params(["lifetime" => 600, "path" => "/shop", "domain" => "shop.test",
        "secure" => true, "httponly" => false, "samesite" => "Strict"]); }
    if (isset($_GET["complete"])) { exit(in_array(false, array_column(mmsession_status()["nodes"], "complete"), true) ? "no" : "yes"); }
    session_name($_GET["name"] ?? "SHOP");
    session_start();
    $_SESSION["n"] = ($_SESSION["n"] ?? 0) + 1;
    header("Set-Cookie: mine=1", false);
    session_write_close();
    if (isset($_GET["again"])) { session_start(); $_SESSION["n"]++; session_write_close(); }
    $status = mmsession_status()["counters"];
    echo json_encode([$_SESSION["n"], $status["token_local_reads"], $status["token_full_reads"], $status["token_wide_writes"]]);';
$web = new Web($code, ['mmsession.read' => 'session-token']);
$token = function (array $lines) use ($web): array {
    return array_values(preg_grep('/_mms/', $web->cookies($lines)));
};

[$lines, $body] = $web->get();
mms_is('[1,0,1,0]', $body, 'a new visitor');
$cookies = $token($lines);
mms_is(1, count($cookies), implode(' / ', $lines));
mms_is(1, preg_match('/^SHOP_mms[0-7]=[A-Za-z0-9_-]{40,200}; path=\/; HttpOnly$/', $cookies[0]), $cookies[0]);
mms_is(3, count($web->cookies($lines)), 'all others are still there');

/* Only a node that is known as complete is enough. */
mms_until(function () use ($web) { return $web->get('complete')[1] === 'yes'; }, 'the nodes are complete');
[$lines, $body] = $web->get('again=1');
mms_is('[3,2,1,0]', $body, 'two sessions of one page, read from the local node');
mms_is(1, count($token($lines)), 'one cookie all the same');
[$lines, $body] = $web->get();
mms_is('[4,3,1,0]', $body, 'which tells of the second');

[$lines] = $web->get('lifetime=1');
$cookies = $token($lines);
mms_is(1, preg_match('/^SHOP_mms\d=[^;]+; expires=(\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT); Max-Age=600; path=\/shop; '
    . 'domain=shop.test; secure; HttpOnly; SameSite=Strict$/', $cookies[0], $match), $cookies[0]);
mms_ok(abs(strtotime($match[1]) - time() - 600) < 20 * MMS_SLOW, 'it expires with the session cookie: ' . $match[1]);

[$lines] = $web->get('name=OTHER');
mms_is(0, strpos($token($lines)[0] ?? '', 'OTHER_mms'), 'another session has another cookie');
mms_ok(strpos($web->log(), 'Warning') === false, 'no warning');

$web = new Web($code, ['mmsession.read' => 'newest']);
[$lines] = $web->get();
mms_is([], $token($lines), 'other read modes send none');
mms_ok(strpos($web->log(), 'Warning') === false, 'no warning');

echo "ok\n";
?>
--EXPECT--
ok
