--TEST--
A prefix that a session id could go on from is refused when a session opens, and nothing is stored under another one
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

foreach (['shop', 'shop2', 'shop-', 'A,'] as $prefix) {
    $sid = mms_sid();
    $output = mms_php("\$messages = mms_messages(function () { return mms_request('$sid'); }, \$read);
        echo json_encode([\$messages, \$read, mmsession_status()['error']]);", ['mmsession.prefix' => $prefix]);
    [$messages, $read, $error] = json_decode($output) ?? [[$output], null, ''];
    mms_is(false, $read->session_start ?? null, "$prefix: no session");
    mms_ok(strpos($messages[0], "prefix \"$prefix\" ends in a character of session ids") !== false, "$prefix: $messages[0]");
    mms_ok(strpos($error, "prefix \"$prefix\" ends in") === 0, "$prefix: the status says so too: $error");
    mms_is(null, mms_node('a')('GET', "mms:$sid"), "$prefix: nothing under the default");
}

echo "ok\n";
?>
--EXPECT--
ok
