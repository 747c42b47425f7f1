--TEST--
A session over mmsession.max_session_size is refused with a message, the old content stays
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--INI--
mmsession.max_session_size=10K
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_each_mode(function () {
    $sid = mms_sid();
    mms_put($sid, ['small' => 1]);
    $refused = mms_counter('refused_writes');
    $messages = mms_messages(function () use ($sid) {
        mms_request($sid, function () { $_SESSION['big'] = str_repeat('x', 20000); });
    });
    mms_ok(count($messages) >= 1 && strpos($messages[0], 'mmsession.max_session_size') !== false,
        'the message names the setting: ' . implode(' / ', $messages));
    mms_is($refused + 1, mms_counter('refused_writes'), 'refused_writes');
    mms_is(['small' => 1], mms_request($sid), 'the old content');
    mms_put($sid, ['small' => str_repeat('x', 9000)]);
    mms_is(9000, strlen(mms_request($sid)['small']), 'below the limit it works');
});

echo "ok\n";
?>
--EXPECT--
ok
