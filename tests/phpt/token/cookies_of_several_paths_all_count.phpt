--TEST--
Token cookies of one name but several paths all count; more than a visitor carries are read around
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
    if (isset($_GET["path"])) { ini_set("session.cookie_path", $_GET["path"]); }
    session_name("SHOP");
    session_start();
    $_SESSION["n"] = ($_SESSION["n"] ?? 0) + 1;
    session_write_close();
    $status = mmsession_status()["counters"];
    echo json_encode([$_SESSION["n"], $status["token_local_reads"], $status["token_full_reads"]]);',
    ['mmsession.read' => 'session-token']);
$web->get();
mms_until(function () use ($web) { return $web->get('complete')[1] === 'yes'; }, 'the nodes are complete');
$cookies = array_values(preg_grep('/_mms/', $web->cookies($web->get('path=')[0])));
mms_is(1, preg_match('/^SHOP_mms[0-7]=[^;]+; path=\/; HttpOnly$/', $cookies[0] ?? ''), 'session.cookie_path is empty: ' . ($cookies[0] ?? ''));

[$name] = array_values(preg_grep('/_mms/', array_keys($web->jar)));
$other = substr($name, 0, -1) . ($name[-1] === '7' ? '6' : '7');
[$n, $local, $full] = json_decode($web->get()[1], true);
/* Is the local node enough for a visitor with these cookies? %s is the good token. */
$enough = function (string $cookies) use ($web, $name, &$n, &$local, &$full): bool {
    [$jar, $web->jar] = [$web->jar, []];
    [, $body] = $web->get('', ["Cookie: SHOP=$jar[SHOP]" . str_replace('%s', $jar[$name], $cookies)]);
    $web->jar += $jar;
    [$now, $local_now, $full_now] = json_decode($body, true);
    mms_is([++$n, $local + $full + 1], [$now, $local_now + $full_now], "one more read of $cookies");
    $was = $local_now > $local;
    [$local, $full] = [$local_now, $full_now];
    return $was;
};
foreach (["; $name=%s", ";$name=%s", ";  $name=%s ;", "; $name=%s; $name=%s", "; $name=%s; x=1; $other=%s", "; $name=%s;;; =; $name=",
          "; $name=%s; {$name}0=x; SHOP_mms8=x; SHOP_mms=x; OTHER_mms0=x; xSHOP_mms0=x; SHOP_mms", "; $name=%s.%s",
          str_repeat("; $name=%s", 8)] as $cookies) {
    mms_ok($enough($cookies), "$cookies: enough");
}
/* Rubbish that has come once is covered by the token of that answer: each time another. */
foreach (["; $name=%s; $name=x1", "; $name=x2; $name=%s", "; $name=%s; $other=x3", "; $name", "; $name=", str_repeat("; $name=%s", 9),
          "; $name=%s.x4"] as $cookies) {
    mms_ok(!$enough($cookies), "$cookies: not enough");
}

/* Without a request's own header $_COOKIE counts. */
mms_put($sid = mms_sid(), ['n' => 1]);
$call = function (string $cookie) use ($sid): array {
    $code = 'mms_put(mms_sid(), ["n" => 1]); mms_all_complete(); ini_set("mmsession.read", "session-token"); ini_set("session.use_cookies", "1");'
        . "session_id('$sid'); \$_COOKIE = [" . ($cookie === '' ? '' : "'PHPSESSID_mms3' => '$cookie'") . ']; session_start();'
        . 'mmsession_token(); session_write_close(); echo json_encode([mmsession_token(), mmsession_status()["counters"]["token_local_reads"]]);';
    return json_decode(mms_php($code), true) ?? ['', -1];
};
[$token, $read] = $call('');
mms_is(0, $read, 'without a cookie');
mms_is(1, $call($token)[1], 'with one in $_COOKIE');
mms_is(0, $call("$token.x")[1], 'and a wrong one');
mms_ok(strpos($web->log(), 'Warning') === false, 'no warning');

echo "ok\n";
?>
--EXPECT--
ok
