--TEST--
The 80 bytes of the header
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_each_mode(function () {
    $sid = mms_sid();
    $before = (int) (microtime(true) * 1000);
    mms_put($sid, ['a' => 1]);
    $first = mms_record(mms_node(), $sid);
    mms_is('MMS', $first['magic'], 'magic');
    mms_is(1, $first['format'], 'format');
    mms_is(0, $first['flags'] & ~2, 'flags but blind');
    mms_is("\0\0\0", $first['zero'], 'reserved bytes');
    mms_is(0, $first['incarnation'], 'incarnation');
    mms_ok(($first['hlc'] >> 16) >= $before && ($first['hlc'] >> 16) < $before + 60000, 'clock part is Unix milliseconds');
    mms_ok($first['sequence'] > 0 && $first['writer'] !== 0, 'writer and sequence');
    mms_is([0, 0, 0], [$first['base_hlc'], $first['base_writer'], $first['base_sequence']], 'no base');
    mms_is('a|i:1;', $first['payload'], 'payload');
    mms_is(6, $first['payload_len'], 'payload length');
    mms_is(hexdec(hash('crc32c', 'a|i:1;')), $first['payload_crc'], 'payload checksum');
    mms_is(hexdec(hash('crc32c', mms_key($sid) . substr($first['bytes'], 0, 76))), $first['header_crc'],
        'checksum over key and header');

    mms_request($sid, function () { $_SESSION['a'] = 2; });
    $second = mms_record(mms_node(), $sid);
    mms_ok($second['hlc'] > $first['hlc'], 'the clock goes on');
    mms_is(substr($first['bytes'], 16, 24), substr($second['bytes'], 40, 24), 'base is the version that was read');
    mms_is($first['writer'], $second['writer'], 'same writer');

    session_id($sid);
    session_start();
    session_destroy();
    $third = mms_record(mms_node(), $sid);
    mms_is(80, strlen($third['bytes']), 'a tombstone is the header alone');
    mms_is(1, $third['flags'], 'flags of a tombstone');
    mms_is([0, 0], [$third['payload_len'], $third['payload_crc']], 'no payload');
    mms_is($first['incarnation'], $third['incarnation'], 'same incarnation');
    mms_is(substr($second['bytes'], 16, 24), substr($third['bytes'], 40, 24), 'base of the tombstone');
});

echo "ok\n";
?>
--EXPECT--
ok
