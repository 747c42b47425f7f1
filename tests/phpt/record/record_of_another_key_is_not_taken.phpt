--TEST--
A good record under a wrong key does not pass
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_each_mode(function () {
    [$ann, $bob] = [mms_sid('ann'), mms_sid('bob')];
    mms_put($ann, ['user' => 'ann']);
    mmsession_flush(5000);
    $record = mms_node()('GET', mms_key($ann));
    foreach (['a', 'b', 'c'] as $name) {
        mms_node($name)('SET', mms_key($bob), $record, 'PX', '600000');
    }
    mms_messages(function () use ($bob, &$read) { $read = mms_request($bob); });
    mms_ok(!isset($read['user']), "nothing of another's session");
});

echo "ok\n";
?>
--EXPECT--
ok
