--TEST--
Any byte survives
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

$bytes = '';
for ($i = 0; $i < 256; $i++) {
    $bytes .= chr($i);
}
mms_each_mode(function () use ($bytes) {
    $sid = mms_sid();
    foreach ([$bytes, strrev($bytes), "\0", "\r\n", "\xff\xfe|;:\"", random_bytes(5000)] as $value) {
        mms_put($sid, ['bytes' => $value, "k\u{e4}y" => "\0"]);
        mms_ok(mms_request($sid) === ['bytes' => $value, "k\u{e4}y" => "\0"], strlen($value) . ' bytes come back');
    }
    mmsession_flush(5000);
    $record = mms_record(mms_node('b'), $sid);
    mms_is(strlen($record['payload']), $record['payload_len'], 'length in the header');
    mms_is(hexdec(hash('crc32c', $record['payload'])), $record['payload_crc'], 'checksum of the payload');
});

echo "ok\n";
?>
--EXPECT--
ok
