--TEST--
Sessions of several names in one request: each has its own tokens
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/web.inc";
mms_nodes_are_complete(); // a session of before would be blind

$script = 'if (isset($_GET["complete"])) { exit(in_array(false, array_column(mmsession_status()["nodes"], "complete"), true) ? "no" : "yes"); }
    $found = [];
    foreach (explode(",", $_GET["names"]) as $name) {
        $before = mmsession_status()["counters"];
        session_name($name);
        session_id($_GET["id"] . $name);
        session_start();
        $n = $_SESSION["n"] = ($_SESSION["n"] ?? 0) + 1;
        session_write_close();
        $after = mmsession_status()["counters"];
        $found[] = [$n, $after["token_local_reads"] - $before["token_local_reads"], $after["token_full_reads"] - $before["token_full_reads"]];
    }
    echo json_encode($found);';
$web = new Web($script, ['mmsession.read' => 'session-token']);
$sid = mms_sid();
$numbers = [];
/* What the read of each session was, 'local' or 'full'; none is shown less than it has written. */
$call = function (string $names, array $headers = []) use (&$web, $sid, &$numbers, &$lines): string {
    [$lines, $body] = $web->get("id=$sid&names=$names", $headers);
    $kinds = [];
    foreach (json_decode($body, true) as $i => [$n, $local, $full]) {
        $name = explode(',', $names)[$i];
        mms_is([$numbers[$name] = ($numbers[$name] ?? 0) + 1, 1], [$n, $local + $full], "$name of $names");
        $kinds[] = $local ? 'local' : 'full';
    }
    return implode(',', $kinds);
};
mms_is('full,full', $call('AA,BB'), 'a new visitor');
mms_until(function () use ($web) { return $web->get('complete')[1] === 'yes'; }, 'the nodes are complete');
$call('AA,BB');
for ($i = 0; $i < 3; $i++) {
    mms_is('local,local', $call('AA,BB'), 'both have their tokens');
}
mms_is('local', $call('AA'), 'one alone');
mms_is('local,local', $call('BB,AA'), 'the other way round');
mms_is('local,local', $call('BB,BB'), 'twice the same');
/* Its first token is not here any more, and the cookies that came are older. */
mms_is('local,local,full', $call('AA,BB,AA'), 'one beside the other');
mms_is('local,local', $call('AA,BB'), 'after that');
mms_is('full,full,full,full,full,full', $call('CC,DD,EE,FF,GG,HH'), 'new names');
mms_is('local,local,local,local,full,full', $call('CC,DD,EE,FF,GG,HH'), 'more than are told apart');
mms_ok(strpos($web->log(), 'Warning') === false, 'no warning');

/* In a header there is room for one of them: where the last one is of another, nobody knows what it has covered. */
$web = new Web($script, ['mmsession.read' => 'session-token', 'mmsession.token_header' => 'X-Token']);
$token = function () use (&$lines): array {
    return ['X-Token: ' . substr(array_values(preg_grep('/^X-Token: /', $lines))[0] ?? '', 9)];
};
$call('AA,BB');
mms_until(function () use ($web) { return $web->get('complete')[1] === 'yes'; }, 'the nodes are complete');
$call('AA,BB', $token());
mms_is('full,local', $call('AA,BB', $token()), 'header');
mms_is('full', $call('AA', $token()), 'header, the other alone');
mms_is('local', $call('AA', $token()), 'and again');
mms_is('local,full,full', $call('AA,BB,AA', $token()), 'header, one beside the other');
mms_ok(strpos($web->log(), 'Warning') === false, 'no warning');

echo "ok\n";
?>
--EXPECT--
ok
