--TEST--
A token whose page may yet write is handed back beside the answer's own: in the header, by mmsession_token(), in a shared slot
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/web.inc";
mms_nodes_are_complete(); // a session of before would be blind

/* Each is a request of a client that has one place for tokens, and a session that nobody else has. */
$sid = mms_sid();
foreach ([$sid, $other_sid = mms_sid()] as $id) {
    mms_put($id, ['n' => 1]);
}
mms_all_complete();
ini_set('mmsession.read', 'session-token');
$call = function (?string $given, string $id) use (&$local): string {
    if ($given !== null) {
        mmsession_token($given);
    }
    $before = mms_counter('token_local_reads');
    session_id($id);
    session_start();
    mms_is(1, $_SESSION['n'], 'what is stored');
    session_write_close();
    $local = mms_counter('token_local_reads') > $before;
    return mmsession_token();
};
/* The token of a page of another host (its mapping is made up) that has begun just now, and nobody says that it is over. */
$page = function (string $id) use ($call): string {
    mmsession_token('');
    session_id($id);
    session_start();
    $bytes = base64_decode(strtr(mmsession_token(), '-_', '+/'));
    session_write_close();
    $at = 12 + (ord($bytes[1]) & 32 ? 8 : 0) + 22;
    mms_is([1, 1], [ord($bytes[0]), ord($bytes[1]) & 3], 'a pending one');
    $bytes = substr_replace(substr_replace($bytes, random_bytes(8), $at, 8), "\0", 3, 1);
    return rtrim(strtr(base64_encode(substr($bytes, 0, $at + 14 + (ord($bytes[1]) & 64 ? 8 : 0) + 8)), '+/', '-_'), '=');
};
$tail = function (string $text): string { return strstr($text, '.') ?: ''; };

$open = $page($sid);
$first = $call($open, $sid);
mms_is([".$open", false], [$tail($first), $local], 'all nodes are read, and it goes along');
$second = $call($first, $sid);
mms_is([".$open", false], [$tail($second), $local], 'as long as it counts; what has been answered does not');
mms_ok($first !== $second, 'with another token');
$third = $call(null, $sid);
mms_is([".$open", false], [$tail($third), $local], 'also from one start to the next in one request');
mms_is(['', true], [$tail($call(strstr($third, '.', true), $sid)), $local], 'nothing else made it a read of all nodes');
mms_is([".$open", false], [$tail($call("$open.$open.$open", $sid)), $local], 'once is enough');

/* Of another session: it is covered, for this session has nothing of it, and lost it would be all the same. */
$foreign = $page($other_sid);
$text = $call($foreign, $sid);
mms_is([".$foreign", false], [$tail($text), $local], 'of another session');
$text = $call($text, $sid);
mms_is([".$foreign", true], [$tail($text), $local], 'the second time it costs nothing');
mms_is([".$foreign", false], [$tail($call($text, $other_sid)), $local], 'and counts where it belongs');

/* As many as a request looks at; with more, one token stands for all, and no full read ends that. */
$pages = [];
for ($i = 0; $i < 7; $i++) {
    $pages[] = $page($sid);
}
$text = $call(implode('.', $pages), $sid);
mms_is(['.' . implode('.', $pages), false], [$tail($text), $local], 'seven go along');
mms_is(['.' . implode('.', $pages), false], [$tail($call($text, $sid)), $local], 'again');
mms_ok(strlen($text) > 500, strlen($text) . ' bytes');
$rubbish = str_repeat('x', 1200);
foreach (['eight' => [$page($sid)], 'nine' => [$page($sid), $page($sid)], 'more than is kept' => array_map(function () use ($page, $sid) {
    return $page($sid);
}, range(1, 12))] as $which => $more) {
    $text = $call(implode('.', array_merge($pages, $more)), $sid);
    mms_is(['', false], [$tail($text), $local], "$which: one for all");
    $next = $call($text, $sid);
    mms_is([".$text", false], [$tail($next), $local], "$which: which counts");
    mms_is([".$text", false], [$tail($call($next, $sid)), $local], "$which: and goes on to");
}
$text = $call("$rubbish.$open", $sid);
mms_is([".$open", false], [$tail($text), $local], 'behind what is no token');
$text = $call("x$rubbish.$rubbish.$open", $sid);
mms_is(['', false], [$tail($text), $local], 'behind what is not kept');
mms_is([".$text", false], [$tail($call($text, $sid)), $local], 'it is not known, and not forgotten');
foreach (["$rubbish.$rubbish", str_repeat('x.', 2000), strstr($third, '.', true) . '.' . str_repeat('x', 2000)] as $nothing) {
    $text = $call($nothing, $sid);
    mms_is(['', false], [$tail($text), $local], 'rubbish does not go along');
    mms_is(['', true], [$tail($call($text, $sid)), $local], 'and costs one full read');
}

/* The same in a header, and where two hosts share a slot in its cookie. */
$script = 'if (isset($_GET["complete"])) { exit(in_array(false, array_column(mmsession_status()["nodes"], "complete"), true) ? "no" : "yes"); }
    session_id($_GET["id"]); session_start(); $n = $_SESSION["n"] ?? null;
    if (isset($_GET["twice"])) { session_write_close(); session_start(); }
    session_write_close();
    echo json_encode([$n, mmsession_status()["counters"]["token_local_reads"], mmsession_token()]);';
$web = new Web($script, ['mmsession.read' => 'session-token', 'mmsession.token_header' => 'X-Token']);
$web->get("id=$sid");
mms_until(function () use ($web) { return $web->get('complete')[1] === 'yes'; }, 'the nodes are complete');
$header = function (string $token, string $more = '') use ($web, $sid): array {
    [$lines, $body] = $web->get("id=$sid$more", ["X-Token: $token"]);
    $found = substr(array_values(preg_grep('/^X-Token: /', $lines))[0] ?? '', 9);
    [$n, $local, $asked] = json_decode($body, true);
    mms_is([1, $asked], [$n, $found], 'header and function say the same');
    return [$found, $local];
};
[$text, $local] = $header($open);
mms_is([".$open", 0], [$tail($text), $local], 'header');
mms_is([".$open", 0], [$tail($header($text, '&twice=1')[0]), $local], 'header, started twice');
[$text, $local] = $header(implode('.', $pages));
mms_is(['.' . implode('.', $pages), 0], [$tail($text), $local], 'header with seven');
[$text, $local] = $header($text . '.' . $page($sid));
mms_is(['', 0], [$tail($text), $local], 'header with more');
[$next, $local] = $header($text);
mms_is([".$text", 0], [$tail($next), $local], 'header that stands for all');
mms_ok(strpos($web->log(), 'Warning') === false, 'no warning');

$web = new Web($script, ['mmsession.read' => 'session-token', 'session.cookie_samesite' => 'Strict']);
$web->get("id=$sid");
mms_until(function () use ($web) { return $web->get('complete')[1] === 'yes'; }, 'the nodes are complete');
$web->jar = []; /* from here on the slot is what it will be */
$web->get("id=$sid");
[$name] = array_values(preg_grep('/_mms/', array_keys($web->jar)));
$elsewhere = substr($name, 0, -1) . ($name[-1] === '7' ? '6' : '7');
$cookie = function (array $jar, string $more = '') use ($web, $sid, $name): array {
    $web->jar = $jar;
    [$n, $local, $asked] = json_decode($web->get("id=$sid$more")[1], true);
    mms_is(1, $n, 'what is stored');
    return [$web->jar[$name], $asked, $local];
};
[$good, , $local] = $cookie([$name => $web->jar[$name]]);
[$text, $asked, $now] = $cookie([$name => "$good.$open"]);
mms_is([".$open", ".$open", $local], [$tail($text), $tail($asked), $now], 'another host had the slot');
[$text, $asked, $now] = $cookie([$name => $text], '&twice=1');
mms_is([".$open", ".$open", $local], [$tail($text), $tail($asked), $now], 'and a session is started twice');
[$text, $asked, $now] = $cookie([$name => $good, $elsewhere => $open], '&twice=1');
mms_is(['', ".$open", $local], [$tail($text), $tail($asked), $now], 'it has a cookie of its own: who asks gets it');
[$text, $asked, $now] = $cookie([$name => implode('.', $pages)]);
mms_is(['.' . implode('.', $pages), $text, $local], [$tail($text), $asked, $now], 'a long cookie');
[$text, $asked, $now] = $cookie([$name => $good, $elsewhere => implode('.', $pages) . ".$open"]);
mms_is(['', $text, $local], [$tail($text), $asked, $now], 'too many');
[$next, $asked, $now] = $cookie([$name => $text]);
mms_is([".$text", $next, $local], [$tail($next), $asked, $now], 'one that stands for all');
mms_ok(strpos($web->log(), 'Warning') === false, 'no warning');

echo "ok\n";
?>
--EXPECT--
ok
