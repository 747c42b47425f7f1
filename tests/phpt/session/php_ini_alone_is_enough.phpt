--TEST--
session.save_handler and mmsession.nodes in php.ini, save_path set to a directory by the distribution
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

$sid = mms_sid();
$ini = ['session.save_handler' => 'mmsession', 'session.save_path' => '/var/lib/php/sessions',
    'mmsession.nodes' => mms_nodes(), 'session.use_cookies' => '0'];
$code = 'session_id("' . $sid . '"); session_start(); $_SESSION["n"] = ($_SESSION["n"] ?? 0) + 1; echo $_SESSION["n"];';
mms_is('1', mms_php('', $ini, ['-r', $code]), 'first request');
mms_is('2', mms_php('', $ini, ['-r', $code]), 'second request');
mms_is(2, mms_request($sid)['n'], 'the session');

echo "ok\n";
?>
--EXPECT--
ok
