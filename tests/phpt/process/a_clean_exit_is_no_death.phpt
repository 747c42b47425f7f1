--TEST--
PHP that ends with everything delivered takes its life back: nobody has to sweep for it
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

$lives = function (string $name) {
    $fields = mms_node($name)('HKEYS', 'leave::lives');
    return array_values(array_diff(is_array($fields) ? $fields : [], ['swept']));
};
for ($round = 0; $round < 5; $round++) {
    $sid = mms_sid();
    $seen = mms_php('mms_put("' . $sid . '", ["n" => ' . $round . ']); $lives = mms_node()("HKEYS", "leave::lives");'
        . ' echo count(array_diff($lives, ["swept"])), " ";'
        . ($round % 2 ? ' mms_put("' . $sid . '", ["n" => 100]);' : ''), ['mmsession.prefix' => 'leave:']);
    mms_is('1 ', $seen, 'its life, while it lives');
    foreach (['a', 'b', 'c'] as $name) {
        mms_is([], $lives($name), "lives on node $name after round $round");
        mms_ok(mms_node($name)('EXISTS', "leave:$sid") === 1, "the session on node $name");
    }
}

echo "ok\n";
?>
--EXPECT--
ok
