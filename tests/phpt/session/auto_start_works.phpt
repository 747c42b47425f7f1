--TEST--
session.auto_start with everything in php.ini
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

$sid = mms_sid();
$ini = ['session.save_handler' => 'mmsession', 'session.save_path' => mms_nodes(), 'session.auto_start' => '1',
    'session.use_cookies' => '0'];
$output = mms_php('', $ini, ['-r', 'echo session_status() === PHP_SESSION_ACTIVE ? "active " : "none ", session_module_name();
    $_SESSION["cart"] = "apple"; file_put_contents("php://stderr", session_id());']);
[$said, $sid] = explode('[stderr] ', $output . '[stderr] ');
mms_is('active mmsession', $said, 'auto_start');
mms_is(['cart' => 'apple'], mms_request($sid), 'the session');

echo "ok\n";
?>
--EXPECT--
ok
