--TEST--
A key that is not ours is never overwritten nor handed to PHP
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

$foreign = [
    'a plain string' => ['SET', 'x|s:5:"apple";'],
    'a short string' => ['SET', 'XY'],
    'another magic' => ['SET', str_repeat('Z', 100)],
    'another type' => ['HSET', 'field', 'value'],
    'a list' => ['RPUSH', 'one', 'two'],
];
foreach ($foreign as $what => $command) {
    mms_each_mode(function () use ($what, $command) {
        $sid = mms_sid();
        $key = mms_key($sid);
        foreach (['a', 'b', 'c'] as $name) {
            mms_node($name)($command[0], $key, ...array_slice($command, 1));
        }
        $before = mms_node()('DUMP', $key);
        $read = null;
        $counted = mms_counter('foreign_keys');
        $messages = mms_messages(function () use ($sid, &$read) {
            $read = mms_request($sid, function () { $_SESSION['mine'] = 1; });
        });
        mms_ok(!isset($read['x']), "$what: nothing of it reaches PHP");
        mms_ok(count($messages) > 0, "$what: there is a message");
        mms_ok(mms_counter('foreign_keys') > $counted, "$what: it is counted");
        mmsession_flush(5000);
        foreach (['a', 'b', 'c'] as $name) {
            mms_ok(mms_node($name)('DUMP', $key) === $before, "$what: unchanged on $name");
        }
    });
}

echo "ok\n";
?>
--EXPECT--
ok
