--TEST--
A key that is not ours on one node: untouched, and the session lives on the others, new or old
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

ini_set('error_log', $log = getenv('MMS_TEST_DIR') . '/log-' . getmypid());
ini_set('log_errors', '1');
foreach (['a', 'b', 'c'] as $name) {
    mms_each_mode(function () use ($name) {
        foreach (['new', 'old'] as $age) {
            $sid = mms_sid();
            if ($age === 'old') {
                mms_put($sid, ['n' => 0]);
                mmsession_flush(5000);
                mms_node($name)('DEL', mms_key($sid));
            }
            mms_node($name)('RPUSH', mms_key($sid), 'not', 'ours');
            $before = mms_node($name)('DUMP', mms_key($sid));
            $counted = mms_counter('foreign_keys');
            $messages = mms_messages(function () use ($sid, $age, $name) {
                mms_is($age === 'old' ? ['n' => 0] : [], mms_request($sid, function () { $_SESSION = ['n' => 1]; }), "$name $age: first");
                mms_is(['n' => 1], mms_request($sid, function () { $_SESSION['n']++; }), "$name $age: second");
                mms_is(['n' => 2], mms_request($sid), "$name $age: third");
            });
            mms_is([], $messages, "$name $age: nothing for the visitor to see");
            mms_ok(mms_counter('foreign_keys') > $counted, "$name $age: counted");
            mmsession_flush(5000);
            mms_ok(mms_node($name)('DUMP', mms_key($sid)) === $before, "$name $age: unchanged");
            foreach (array_diff(['a', 'b', 'c'], [$name]) as $other) {
                mms_is('n|i:2;', mms_record(mms_node($other), $sid)['payload'] ?? null, "$name $age: on $other");
            }
        }
    });
}
/* It is said once, in the log and in the status, and without any session id. */
$warning = array_values(array_filter(mmsession_status()['warnings'], function ($one) { return $one['kind'] === 'foreign_key'; }))[0] ?? null;
mms_ok($warning !== null && strpos($warning['text'], "the key of a session holds something that is not mmsession's") !== false,
    'the status has a warning');
mms_ok($warning['count'] > 1 && strpos($warning['text'], 'phpt-') === false, 'counted, no session id');
$lines = file($log);
mms_is(1, count($lines), 'one line in the log: ' . implode($lines));
mms_ok(strpos($lines[0], 'left alone; give mmsession.prefix a value of its own') !== false, $lines[0]);
mms_is(['closed'], array_values(array_unique(array_column(mmsession_status()['nodes'], 'state'))), 'no breaker opened');

echo "ok\n";
?>
--EXPECT--
ok
