--TEST--
Lifetimes of 0, below 0 and far beyond any clock
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

foreach (['0', '-1', '-2147483648', '2147483647', '4294967296', '9223372036854775807'] as $lifetime) {
    ini_set('session.gc_maxlifetime', $lifetime);
    $sid = mms_sid();
    $messages = mms_messages(function () use ($sid) { mms_put($sid, ['cart' => 'apple']); });
    mms_is([], $messages, "messages at $lifetime");
    $left = mms_node()('PTTL', mms_key($sid));
    mms_ok($left === -2 || $left > 0, "the key has a life at $lifetime: $left");
    if ($lifetime[0] !== '-' && $lifetime !== '0') {
        mms_is(['cart' => 'apple'], mms_request($sid), "read back at $lifetime");
    }
}

echo "ok\n";
?>
--EXPECT--
ok
