--TEST--
A write made through another local node is seen at once
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

$sid = mms_sid();
mms_use(mms_nodes('a', 'b', 'c'));
mms_put($sid, ['n' => 1]);
for ($n = 2; $n < 60; $n++) {
    $order = [['b', 'c', 'a'], ['c', 'a', 'b'], ['a', 'b', 'c']][$n % 3];
    mms_use(mms_nodes(...$order));
    mms_is(['n' => $n - 1], mms_request($sid, function () use ($n) { $_SESSION['n'] = $n; }), "request $n");
}

echo "ok\n";
?>
--EXPECT--
ok
