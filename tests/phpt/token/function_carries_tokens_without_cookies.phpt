--TEST--
mmsession_token() gives and takes tokens where there are no cookies
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_is('', mmsession_token(), 'none yet');
mms_put($sid = mms_sid(), ['n' => 1]);
mms_is('', mmsession_token(), 'none in other read modes');

/* One request of an API: its own process, as another worker would be. Prints what was read, its token, the counters. */
function call(string $sid, ?string $token, string $work, bool $ask = true): array
{
    $code = 'mms_put(mms_sid(), ["n" => 1]); mms_all_complete(); ini_set("mmsession.read", "session-token"); ' . ($token === null ? '' : "mmsession_token('$token');")
        . "session_id('$sid'); session_start(); \$n = \$_SESSION['n'] ?? null; "
        . ($ask ? '$open = mmsession_token();' : '$open = "";') . " $work; session_write_close();"
        . 'mmsession_flush(5000); $c = mmsession_status()["counters"];'
        . 'echo json_encode([$n, $open, mmsession_token(), $c["token_local_reads"], $c["token_full_reads"], $c["token_wide_writes"]]);';
    return json_decode(mms_php($code), true) ?? [null, '', '', -1, -1, -1];
}

[$n, $open, $closed, $local, $full, $wide] = call($sid, null, '$_SESSION["n"] = 2');
mms_is([1, 0, 1, 0], [$n, $local, $full, $wide], 'without a token all nodes are read');
mms_ok($open !== '' && $closed !== '' && $open !== $closed, 'a token while open, another when closed');
foreach (['open' => $open, 'closed' => $closed, 'both' => "$open.$closed"] as $which => $token) {
    [$n, , , $local, $full] = call($sid, $token, '');
    mms_is([2, 1, 0], [$n, $local, $full], "$which: the local node is enough");
}
foreach (['nothing' => '', 'rubbish' => 'x', 'rubbish beside it' => "$closed.x", 'cut' => substr($closed, 0, -1)] as $which => $token) {
    [$n, , , $local, $full] = call($sid, $token, '');
    mms_is([2, 0, 1], [$n, $local, $full], "$which: all nodes are read");
}
[, , , , , $wide] = call($sid, $closed, '$_SESSION["n"] = 3', false);
mms_is(1, $wide, 'nobody asked for the token: the write goes to all nodes');
[$n, $open, $closed] = call($sid, null, '');
mms_is(3, $n, 'and is there');
mms_ok($open !== $closed, 'a request that did not write says so when it is closed');
[$n, , $later] = call($sid, $closed, '$_SESSION["n"] = 4');
mms_is([3, 4], [$n, call($sid, $later, '')[0]], 'one after the other');
mms_is([null, 0, 1], array_slice(call(mms_sid(), $closed, ''), 0, 1) + [1 => 0, 2 => call(mms_sid(), $closed, '')[4]],
    'the token of another session costs a full read');

/* In one process: a session that is started again builds on its own token. */
mms_all_complete();
ini_set('mmsession.read', 'session-token');
$before = [mms_counter('token_local_reads'), mms_counter('token_full_reads')];
mmsession_token($later);
for ($i = 5; $i < 9; $i++) {
    session_id($sid);
    session_start();
    mms_is($i - 1, $_SESSION['n'], "turn $i");
    mmsession_token();
    $_SESSION['n'] = $i;
    session_write_close();
}
mms_is([$before[0] + 4, $before[1]], [mms_counter('token_local_reads'), mms_counter('token_full_reads')], 'all local');

echo "ok\n";
?>
--EXPECT--
ok
