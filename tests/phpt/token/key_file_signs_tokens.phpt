--TEST--
mmsession.token_key_file: only tokens made with the same key count
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

$file = getenv('MMS_TEST_DIR') . '/token-key-' . getmypid();
function call(string $sid, ?string $token, ?string $file): array
{
    $code = 'mms_put(mms_sid(), ["n" => 1]); mms_all_complete(); ini_set("mmsession.read", "session-token"); ' . ($token === null ? '' : "mmsession_token('$token');")
        . "session_id('$sid'); session_start(); \$_SESSION['n'] = 1; mmsession_token(); session_write_close();"
        . '$c = mmsession_status()["counters"]; echo json_encode([mmsession_token(), $c["token_local_reads"]]);';
    $output = mms_php($code, $file === null ? [] : ['mmsession.token_key_file' => $file]);
    return json_decode($output, true) ?? [$output, -1];
}

mms_put($sid = mms_sid(), ['n' => 1]);
[$unsigned] = call($sid, null, null);
mms_is(1, call($sid, $unsigned, null)[1], 'without a key anybody\'s token counts');
file_put_contents($file, "correct horse battery staple\n");
[$signed] = call($sid, null, $file);
mms_ok(in_array(strlen($signed) - strlen($unsigned), [21, 22]), 'a code of 16 bytes');
mms_is(1, call($sid, $signed, $file)[1], 'made with this key');
mms_is(0, call($sid, $unsigned, $file)[1], 'made without');
mms_is(0, call($sid, $signed, null)[1], 'made with one, read without');
file_put_contents($file, str_repeat('long key ', 50));
mms_is(0, call($sid, $signed, $file)[1], 'made with another');
[$signed] = call($sid, null, $file);
mms_is(1, call($sid, $signed, $file)[1], 'a key longer than a block');

/* HMAC-SHA-256 as PHP has it, over all but the code. */
$bytes = base64_decode(strtr($signed, '-_', '+/'));
mms_is(substr(hash_hmac('sha256', substr($bytes, 0, -16), rtrim(str_repeat('long key ', 50), "\n"), true), 0, 16), substr($bytes, -16), 'HMAC');

foreach (['short' => 'at least 16', '' => 'empty'] as $content => $message) {
    file_put_contents($file, $content);
    $output = call($sid, null, $file)[0];
    mms_ok(strpos($output, $message) !== false && strpos($output, $file) !== false, "'$content': $output");
}
unlink($file);
$output = call($sid, null, $file)[0];
mms_ok(strpos($output, 'No such file') !== false, "a missing file is named: $output");
$output = mms_php('echo count(mmsession_status());', ['mmsession.token_header' => 'X Token']);
mms_ok(strpos($output, 'X-Session-Token') !== false, "a wrong header's name: $output");

echo "ok\n";
?>
--EXPECT--
ok
