--TEST--
Unchanged data is a touch: same bytes, same version, longer life
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

foreach (['1', '0'] as $lazy) {
    ini_set('session.lazy_write', $lazy);
    mms_each_mode(function () use ($lazy) {
        $sid = mms_sid();
        mms_put($sid, ['cart' => 'apple']);
        mmsession_flush(5000);
        $before = mms_record(mms_node(), $sid)['bytes'];
        foreach (['a', 'b', 'c'] as $name) {
            mms_node($name)('PEXPIRE', mms_key($sid), '5000');
        }
        [$writes, $touches] = [mms_counter('writes'), mms_counter('touches')];
        mms_is(['cart' => 'apple'], mms_request($sid), "lazy_write $lazy: read");
        mms_is($writes, mms_counter('writes'), "lazy_write $lazy: writes");
        mms_is($touches + 1, mms_counter('touches'), "lazy_write $lazy: touches");
        mms_ok(mms_record(mms_node(), $sid)['bytes'] === $before, "lazy_write $lazy: same bytes, version included");
        $left = mms_node()('PTTL', mms_key($sid));
        mms_ok($left > 1400000, "lazy_write $lazy: the life is prolonged: $left ms");
    });
}

echo "ok\n";
?>
--EXPECT--
ok
