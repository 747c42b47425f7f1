--TEST--
session_regenerate_id() both ways
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

foreach (['0', '1'] as $strict) {
    ini_set('session.use_strict_mode', $strict);
    foreach ([false, true] as $delete) {
        mms_each_mode(function () use ($strict, $delete) {
            $what = "strict $strict, delete " . ($delete ? 'yes' : 'no');
            $old = mms_new_session(['cart' => 'apple']);
            session_id($old);
            session_start();
            mms_is($old, session_id(), "$what: the id is taken");
            mms_is([], mms_messages(function () use ($delete) { return session_regenerate_id($delete); }, $result),
                "$what: messages");
            mms_is(true, $result, "$what: session_regenerate_id");
            $new = session_id();
            mms_ok($new !== $old, "$what: another id");
            $_SESSION['more'] = 1;
            session_write_close();
            mms_is(['cart' => 'apple', 'more' => 1], mms_request($new), "$what: the new id");
            $record = mms_record(mms_node(), $old);
            mms_is($delete, $record['tombstone'], "$what: tombstone of the old id");
            if (!$delete) {
                mms_is(['cart' => 'apple'], mms_request($old), "$what: the old id");
            }
        });
    }
}

echo "ok\n";
?>
--EXPECT--
ok
