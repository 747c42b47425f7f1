--TEST--
The module is linked so that dlclose() leaves its code where a thread may still run it
--EXTENSIONS--
session
--SKIPIF--
<?php
require __DIR__ . "/../include/skipif.inc";
if (shell_exec("command -v readelf") === null) {
    die("skip readelf (binutils) is missing");
}
?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

$module = null;
foreach (file('/proc/self/maps') as $line) {
    if (preg_match('#(/\S*mmsession\.so)$#', trim($line), $match)) {
        $module = $match[1];
    }
}
mms_ok($module !== null, 'the module is loaded from a file');
$dynamic = (string) shell_exec('readelf -d ' . escapeshellarg($module));
mms_ok(strpos($dynamic, 'NODELETE') !== false, "it has the flag: $dynamic");

echo "ok\n";
?>
--EXPECT--
ok
