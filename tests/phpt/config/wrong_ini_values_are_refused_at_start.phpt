--TEST--
A wrong INI value is refused at start-up with the allowed range, and the default is used
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

$wrong = [
    'connect_timeout_ms' => [['0', '10001', '-1', 'x', '1.5', ''], 'from 1 to 10000', '50'],
    'read_timeout_ms' => [['0', '10001', 'fast'], 'from 1 to 10000', '100'],
    'budget_ms' => [['0', '60001'], 'from 1 to 60000', '250'],
    'touch_interval' => [['-1', '86401'], 'from 0 to 86400', '60'],
    'spin_us' => [['-1', '1001'], 'from 0 to 1000', '50'],
    'max_clock_drift_ms' => [['0', '3600001'], 'from 1 to 3600000', '500'],
    'max_session_size' => [['1023', '513M', '1G', '16MB'], 'from 1024 to 536870912', '16M'],
    'mailbox_size' => [['1K', '5G', '99999999999999999999'], 'from 65536 to 4294967296', '32M'],
    'max_clusters' => [['0', '65'], 'from 1 to 64', '8'],
    'shutdown_drain_ms' => [['-1', '60001'], 'from 0 to 60000', '1000'],
    'repair_interval' => [['-1', '2592001'], 'from 0 to 2592000', '86400'],
    'repair_rate' => [['65535', '5G', 'fast'], 'from 65536 to 4294967296', '16M'],
    'lifetime' => [['-1', '99999999999'], 'from 0 to 2147483647', '0'],
    'lock' => [['2', 'maybe', '-1'], 'write 0 or 1', '0'],
    'tls_verify' => [['2', 'maybe', '-1'], 'write 0 or 1', '1'],
    'lock_wait_ms' => [['-1', '600001'], 'from 0 to 600000', '10000'],
    'lock_ttl_ms' => [['-1', '3600001'], 'from 0 to 3600000', '0'],
    'read' => [['fastest', 'Newest ', ''], 'newest, quorum, local or session-token', 'newest'],
    'write_acks' => [['0', '65', 'most', '-1'], 'quorum or all', '1'],
    'on_no_quorum' => [['ok', ''], 'fail or degrade', 'fail'],
    'prefix' => [['my prefix:', 'a*', str_repeat('x', 65)], 'prefix', 'mms:'],
    'import_prefix' => [['my prefix:', 'a*', str_repeat('x', 65)], 'prefix', ''],
    'host_id' => [['my host', str_repeat('x', 65), 'a/b'], 'host id', ''],
    'user' => [[str_repeat('x', 64)], '63', ''],
];
foreach ($wrong as $name => [$values, $range, $default]) {
    foreach ($values as $value) {
        $output = mms_php('', ["mmsession.$name" => $value],
            ['-d', 'display_startup_errors=1', '-r', "echo '<', ini_get('mmsession.$name'), '>', count(mmsession_status());"]);
        mms_is(1, preg_match_all('/^Warning: /m', $output), "$name=$value: one message: $output");
        mms_ok(strpos($output, $range) !== false, "$name=$value: it says '$range': $output");
        mms_ok(strpos($output, "<$default>") !== false, "$name=$value: the default: $output");
    }
}
/* As it is written into a php.ini, where Off is an empty text. */
foreach (['lock', 'tls_verify'] as $name) {
    foreach (['On' => '1', 'Off' => '', 'yes' => '1', 'false' => '', '0' => '0', '1' => '1', '"off"' => 'off'] as $written => $value) {
        $file = tempnam(sys_get_temp_dir(), 'mms');
        file_put_contents($file, "mmsession.$name = $written\n");
        $output = mms_php('', [], ['-c', $file, '-d', 'display_startup_errors=1', '-r', "echo '<', ini_get('mmsession.$name'), '>';"]);
        unlink($file);
        mms_is("<$value>", $output, "mmsession.$name = $written in a php.ini");
    }
}
foreach (['max_session_size' => '512m', 'mailbox_size' => '64K', 'budget_ms' => '60000', 'touch_interval' => '0',
    'write_acks' => 'all', 'on_no_quorum' => 'degrade', 'read' => 'quorum', 'prefix' => '', 'host_id' => 'web-1.example.com'] as $name => $value) {
    $output = mms_php('', ["mmsession.$name" => $value],
        ['-d', 'display_startup_errors=1', '-r', "echo '<', ini_get('mmsession.$name'), '>';"]);
    mms_is("<$value>", $output, "$name=$value is right");
}
/* The longest host id is that of this host, whole. */
mms_is(str_repeat('h', 64), mms_php("echo mmsession_status()['host_id'];", ['mmsession.host_id' => str_repeat('h', 64)]),
    'host_id of 64 bytes');
/* At run time: refused, the old value stays. */
ini_set('mmsession.budget_ms', '333');
$messages = mms_messages(function () { return ini_set('mmsession.budget_ms', '0'); }, $result);
mms_is(false, $result, 'ini_set of a wrong value');
mms_ok(count($messages) === 1 && strpos($messages[0], 'from 1 to 60000') !== false, implode(' / ', $messages));
mms_is(1, substr_count(implode(' ', $messages), 'mmsession.budget_ms'), 'the setting is named once');
mms_is('333', ini_get('mmsession.budget_ms'), 'the old value stays');

echo "ok\n";
?>
--EXPECT--
ok
