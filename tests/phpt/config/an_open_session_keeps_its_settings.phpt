--TEST--
Settings that a script changes count from the next session on, also when it looks at the status in between
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

ini_set('mmsession.lifetime', '1000');
mms_nodes_are_complete();
foreach ([false, true] as $looks) {
    $change = function () use ($looks) {
        $_SESSION['n'] = 1;
        ini_set('mmsession.lifetime', '5000');
        ini_set('mmsession.read', 'session-token');
        ini_set('mmsession.lock', '1');
        if ($looks) {
            mmsession_status();
            mmsession_flush();
        }
    };
    ini_set('mmsession.lifetime', '1000');
    ini_set('mmsession.read', 'newest');
    ini_set('mmsession.lock', '0');
    $before = mmsession_token();
    mms_request($sid = mms_sid(), $change);
    mms_is(1000, mms_record(mms_node('a'), $sid)['lifetime'], 'the open session');
    mms_is($before, mmsession_token(), 'it has no token');
    mms_request($sid, function () { $_SESSION['n'] = 2; });
    mms_is(5000, mms_record(mms_node('a'), $sid)['lifetime'], 'the next');
    mms_ok(mmsession_token() !== $before, 'the next has a token');
}

/* One that is locked gives its lock back, though no other would be locked any more. */
ini_set('mmsession.read', 'newest');
mms_request($sid, function () {
    $_SESSION['n'] = 3;
    ini_set('mmsession.lock', '0');
    mmsession_status();
});
ini_set('mmsession.lock', '1');
$start = microtime(true);
mms_is(['n' => 3], mms_request($sid), 'the lock is free');
mms_ok(microtime(true) - $start < 2.0 * MMS_SLOW, 'at once');

/* A token key that can not be read in the midst of it. */
$file = getenv('MMS_TEST_DIR') . '/midst-key-' . getmypid();
foreach (['there' => '', 'gone' => 'unlink($file);'] as $what => $gone) {
    file_put_contents($file, "correct horse battery staple\n");
    $code = '$file = ' . var_export($file, true) . '; ini_set("mmsession.read", "session-token"); session_id(mms_sid()); session_start();
        $_SESSION["n"] = 1; ' . $gone . ' ini_set("mmsession.lifetime", "5000"); mmsession_status(); session_write_close();
        $bytes = base64_decode(strtr(strtok(mmsession_token(), "."), "-_", "+/"));
        echo json_encode(substr(hash_hmac("sha256", substr($bytes, 0, -16), "correct horse battery staple", true), 0, 16)
            === substr($bytes, -16));';
    mms_is('true', mms_php($code, ['mmsession.token_key_file' => $file]), "signed with the key that is $what");
}
@unlink($file);

echo "ok\n";
?>
--EXPECT--
ok
