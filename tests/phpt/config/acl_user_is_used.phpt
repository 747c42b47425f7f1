--TEST--
mmsession.user with an ACL
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

$server = new Server();
$answer = $server->client()('ACL', 'SETUSER', 'php', 'on', '>s3cr3t', '~mms:*', '+@all');
if ($answer !== 'OK') {
    die('ok'); /* a server without ACLs */
}
$server->client()('ACL', 'SETUSER', 'default', 'off');
$file = getenv('MMS_TEST_DIR') . '/password-' . getmypid();
file_put_contents($file, "s3cr3t\n");
$code = "mms_use('$server->address'); mms_put('SID', ['n' => 1]); echo count(mms_request('SID'));";
$ini = ['mmsession.user' => 'php', 'mmsession.password_file' => $file];
mms_is('1', mms_php(str_replace('SID', mms_sid(), $code), $ini), 'the right user');
$output = mms_php(str_replace('SID', mms_sid(), $code), ['mmsession.user' => 'nobody'] + $ini);
mms_ok(strpos($output, 'WRONGPASS') !== false, "a wrong user: $output");
$output = mms_php(str_replace('SID', mms_sid(), $code));
mms_ok(strpos($output, 'NOAUTH') !== false, "no credentials: $output");
mms_ok(strpos($output, 's3cr3t') === false, 'no secret');

$server2 = new Resp($server->address);
$server2('AUTH', 'php', 's3cr3t');
$server2('ACL', 'SETUSER', 'reader', 'on', '>s3cr3t', '~*', '+@read', '+@connection');
$output = mms_php(str_replace('SID', mms_sid(), $code), ['mmsession.user' => 'reader'] + $ini);
mms_ok(strpos($output, 'NOPERM') !== false && strpos($output, $server->address) !== false,
    "missing permission: node and cause are named: $output");
unlink($file);

echo "ok\n";
?>
--EXPECT--
ok
