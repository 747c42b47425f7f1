--TEST--
phpinfo()
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_put(mms_sid(), ['n' => 1]);
ob_start();
phpinfo(INFO_MODULES);
$info = ob_get_clean();
foreach (['hiredis', 'libevent', 'a => unix://', 'b => unix://', 'c => unix://', '=> none => local => closed', '=> none => peer => closed', 'TLS => ',
    'writes', 'mmsession.nodes', 'mmsession.budget_ms => '] as $text) {
    mms_ok(strpos($info, $text) !== false, "it shows '$text'");
}

/* PHP takes the handler's name in either case. */
ini_set('session.save_handler', 'MMSession');
ob_start();
phpinfo(INFO_MODULES);
mms_ok(strpos(ob_get_clean(), 'a => unix://') !== false, 'the name in other letters');
ini_set('session.save_handler', 'files');
ob_start();
phpinfo(INFO_MODULES);
mms_ok(strpos(ob_get_clean(), 'session.save_handler is not mmsession') !== false, 'with another it shows nothing');

echo "ok\n";
?>
--EXPECT--
ok
