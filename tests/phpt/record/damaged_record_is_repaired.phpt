--TEST--
A damaged copy counts as absent and is repaired from another node
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_each_mode(function () {
    $offsets = [3, 4, 8, 16, 20, 24, 32, 39, 40, 64, 68, 72, 76, 79, 80, 90];
    foreach (array_merge($offsets, ['cut to 79', 'cut to 10', 'cut to 81', 'longer']) as $damage) {
        $sid = mms_sid();
        mms_put($sid, ['cart' => 'an apple, a pear']);
        mmsession_flush(5000);
        $good = mms_node('b')('GET', mms_key($sid));
        $bad = $good;
        if (is_int($damage)) {
            $bad[$damage] = chr(ord($bad[$damage]) ^ 0x10);
        } else {
            $bad = $damage === 'longer' ? $bad . 'x' : substr($bad, 0, (int) substr($damage, 7));
        }
        mms_node('a')('SET', mms_key($sid), $bad, 'PX', '600000');
        mms_is(['cart' => 'an apple, a pear'], mms_request($sid), "damage at $damage: the session");
        mms_until(function () use ($sid, $good) { return mms_node('a')('GET', mms_key($sid)) === $good; },
            "damage at $damage: the copy is repaired", 3);
    }
});

echo "ok\n";
?>
--EXPECT--
ok
