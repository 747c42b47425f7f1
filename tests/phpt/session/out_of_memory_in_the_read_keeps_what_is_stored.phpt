--TEST--
Where memory runs out while a session is read, the end of the request does not store an empty one in its place
--EXTENSIONS--
session
--SKIPIF--
<?php
require __DIR__ . "/../include/skipif.inc";
if (getenv('USE_ZEND_ALLOC') === '0') {
    die('skip without its own allocator PHP has no memory_limit');
}
?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

/* Nodes of its own: a process that ends so is a dead host to all others. */
[$servers, $list] = mms_servers(1);
mms_use($list);
$node = $servers[0]->client();
foreach (MMS_MODES as $mode) {
    $sid = mms_sid();
    mms_php("mms_use('$list'); mms_mode('$mode'); session_id('$sid'); session_start(); \$_SESSION['cart'] = str_repeat('apple', 1000000);");
    $before = mms_record($node, $sid);
    $output = mms_php("mms_use('$list'); mms_mode('$mode'); session_id('$sid'); ini_set('display_errors', '1'); ini_set('html_errors', '0');
        ini_set('memory_limit', (string) (memory_get_usage(true) + (1 << 20))); session_start(); echo 'unreached';");
    mms_ok(strpos($output, ' bytes exhausted') !== false, "$mode: memory ran out: $output");
    mms_ok(strpos($output, 'unreached') === false, "$mode: within session_start()");
    /* A PHP that has a hard limit beside the soft one ends the process at it; others go on to the end of the request. */
    if ($mode === 'native' && strpos($output, 'Hard memory limit') === false) {
        mms_ok(strpos($output, 'mmsession: session not stored: its read was broken off') !== false, "$mode: the warning: $output");
    }
    mms_is($before, mms_record($node, $sid), "$mode: the record");
    mms_is(['cart' => str_repeat('apple', 1000000)], mms_request($sid), "$mode: the session");
}

echo "ok\n";
?>
--EXPECT--
ok
