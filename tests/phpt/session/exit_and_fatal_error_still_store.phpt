--TEST--
A script that ends with its session open stores it
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

$endings = [
    'exit' => 'exit(0);',
    'end of script' => '',
    'fatal error' => 'ini_set("display_errors", "0"); undefined_function();',
    'exception' => 'ini_set("display_errors", "0"); throw new Exception("not caught");',
    'out of memory' => 'ini_set("display_errors", "0"); ini_set("memory_limit", "8M"); str_repeat("x", 1 << 24);',
];
foreach (MMS_MODES as $mode) {
    foreach ($endings as $name => $ending) {
        $sid = mms_sid();
        $output = mms_php("mms_mode('$mode'); session_id('$sid'); session_start(); \$_SESSION['cart'] = 'apple'; $ending");
        mms_is('', $output, "$mode, $name: output");
        mms_is(['cart' => 'apple'], mms_request($sid), "$mode, $name: the session");
    }
}
foreach (['a', 'b', 'c'] as $name) {
    mms_until(function () use ($name, $sid) { return mms_record(mms_node($name), $sid) !== null; }, "mirror on $name");
}

echo "ok\n";
?>
--EXPECT--
ok
