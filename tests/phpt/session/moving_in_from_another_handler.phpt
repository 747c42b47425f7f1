--TEST--
mmsession.import_prefix: what another handler left goes on, in every mode; a logout and an emptied session stay
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_use();
ini_set('mmsession.import_prefix', 'PHPREDIS_SESSION:');

function left(string $data, int $seconds = 1000): string
{
    $sid = mms_sid();
    mms_node('b')('SET', "PHPREDIS_SESSION:$sid", $data, 'EX', (string) $seconds);
    return $sid;
}

$test = function (string $mode) {
    /* Unchanged, with and without lazy_write. */
    foreach (['1', '0'] as $lazy) {
        $sid = left('user|i:7;');
        mms_is(['user' => 7], mms_request($sid, null, ['lazy_write' => $lazy]), "$mode: lazy_write $lazy");
        mms_node('b')('DEL', "PHPREDIS_SESSION:$sid");
        mms_is(['user' => 7], mms_request($sid), "$mode: stored as ours, lazy_write $lazy");
    }

    $sid = left('user|i:7;');
    mms_is(['user' => 7], mms_request($sid, null, ['read_and_close' => true]), "$mode: read_and_close");
    mms_is(null, mms_record(mms_node('a'), $sid), "$mode: which stores nothing");

    $sid = left('user|i:7;', 100000);
    mms_is(['user' => 7], mms_request($sid, function () { $_SESSION = []; }), "$mode: emptied");
    mms_is([], mms_request($sid), "$mode: stays empty");

    $sid = left('user|i:7;', 100000);
    mms_request($sid, function () { session_destroy(); });
    mms_is([], mms_request($sid, null, ['use_strict_mode' => '0']), "$mode: logged out");

    /* A login there: the new id has it all, the old one nothing. */
    $sid = left('user|i:7;', 100000);
    $new = null;
    mms_request($sid, function () use (&$new) { session_regenerate_id(true); $new = session_id(); $_SESSION['more'] = 1; });
    mms_is(['user' => 7, 'more' => 1], mms_request($new), "$mode: regenerated");
    mms_is([], mms_request($sid, null, ['use_strict_mode' => '0']), "$mode: the old id is gone");
};
foreach (['newest', 'local', 'quorum', 'session-token'] as $read) {
    foreach (['0', '1'] as $lock) {
        ini_set('mmsession.read', $read);
        ini_set('mmsession.lock', $lock);
        mms_each_mode(fn (string $mode) => $test("$mode, read = $read, lock = $lock"));
    }
}

ini_set('mmsession.import_prefix', '');
mms_is([], mms_request(left('user|i:7;')), 'without the setting');
ini_set('mmsession.import_prefix', 'mms:');
$said = mms_messages(fn () => mms_request(mms_sid()));
mms_ok(strpos(implode("\n", $said), 'mmsession.import_prefix is mmsession.prefix, "mms:"') !== false, 'one prefix for both: ' . mms_show($said));

echo "ok\n";
?>
--EXPECT--
ok
