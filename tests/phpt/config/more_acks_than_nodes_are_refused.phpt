--TEST--
write_acks above the number of nodes is refused with one message that says what to write
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_use(mms_nodes('a', 'b'));
foreach (['3', '64'] as $acks) {
    ini_set('mmsession.write_acks', $acks);
    $messages = mms_messages(function () { return mms_request(mms_sid()); }, $read);
    mms_is(['session_start' => false], $read, "$acks: no session");
    mms_is(1, count(array_filter($messages, function ($text) { return strpos($text, 'mmsession: ') !== false; })),
        "$acks: one message: " . implode(' / ', $messages));
    mms_ok(strpos($messages[0], "mmsession.write_acks = $acks, but the list has 2 nodes: write 2 at most, quorum or all")
        !== false, $messages[0]);
    mms_ok(strpos(mmsession_status()['error'], "mmsession.write_acks = $acks") === 0, "$acks: the status says so too");
}
foreach (['1', '2', 'quorum', 'all'] as $acks) {
    ini_set('mmsession.write_acks', $acks);
    $sid = mms_sid();
    mms_put($sid, ['acks' => $acks]);
    mms_is(['acks' => $acks], mms_request($sid), $acks);
}

echo "ok\n";
?>
--EXPECT--
ok
