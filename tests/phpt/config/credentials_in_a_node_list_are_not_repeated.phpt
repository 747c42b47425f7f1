--TEST--
Credentials in a node list are refused and never repeated
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

foreach (['tcp://user:s3cr3t@10.0.0.1', 'tcp://:s3cr3t@10.0.0.1:6379', 'tcp://10.0.0.1?auth=s3cr3t',
    'tcp://10.0.0.1?auth[]=user&auth[]=s3cr3t', 'tcp://10.0.0.1?password=s3cr3t', 'tcp://10.0.0.1?pass=s3cr3t',
    'tcp://user:s3cr3t two@10.0.0.1', 'tcp://user:a,s3cr3t@10.0.0.1', 'redis://user:s3cr3t@10.0.0.1',
    'user:s3cr3t@10.0.0.1', 'unix:///run/redis.sock?auth=s3cr3t', 'tcp://10.0.0.1, tcp://user:s3cr3t@10.0.0.2'] as $list) {
    mms_use($list);
    $messages = mms_messages('session_start', $started);
    mms_is(false, $started, "$list: session_start");
    $ours = array_values(array_filter($messages, function ($message) { return strpos($message, 'mmsession: ') !== false; }));
    mms_is(1, count($ours), "$list: messages");
    mms_ok(strpos($ours[0] ?? 's3cr3t', 's3cr3t') === false, "$list: no secret in the message: " . ($ours[0] ?? ''));
    mms_ok(strpos(json_encode_plain(mmsession_status()), 's3cr3t') === false, "$list: nor in mmsession_status()");
    ob_start();
    phpinfo(INFO_MODULES);
    $info = preg_replace('/^session\.save_path => .*$/m', '', ob_get_clean());
    mms_ok(strpos($info, 's3cr3t') === false, "$list: nor in phpinfo() but for PHP's own session.save_path");
}
function json_encode_plain($value): string
{
    return var_export($value, true);
}

echo "ok\n";
?>
--EXPECT--
ok
