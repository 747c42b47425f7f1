--TEST--
mmsession.prefix
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

foreach (['shop:', '_', '', 'shop:de:'] as $prefix) {
    $sid = mms_sid();
    $output = mms_php("mms_put('$sid', ['n' => 1]); echo count(mms_request('$sid')); mmsession_flush(5000);",
        ['mmsession.prefix' => $prefix]);
    mms_is('1', $output, "prefix '$prefix'");
    foreach (['a', 'b', 'c'] as $name) {
        mms_is('n|i:1;', substr((string) mms_node($name)('GET', $prefix . $sid), 80), "the key of prefix '$prefix' on $name");
    }
    mms_is([], mms_request($sid), "not seen under prefix mms: ('$prefix')");
}

echo "ok\n";
?>
--EXPECT--
ok
