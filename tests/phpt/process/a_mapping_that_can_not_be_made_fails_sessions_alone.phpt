--TEST--
Under a limit of the address space that the mapping does not fit in, scripts without sessions run and sessions fail with the remedy
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

/* Room for PHP, not for 8 mailboxes of 512 MiB. */
function limited(string $code, array $ini = []): array
{
    $command = [getenv('TEST_PHP_EXECUTABLE') ?: PHP_BINARY, '-n', '-d', 'extension=' . getenv('MMS_MODULE'),
        '-d', 'display_errors=1', '-d', 'display_startup_errors=1', '-d', 'html_errors=0', '-d', 'log_errors=0'];
    foreach ($ini + ['mmsession.mailbox_size' => '512M', 'mmsession.max_clusters' => '8'] as $name => $value) {
        array_push($command, '-d', "$name=$value");
    }
    array_push($command, '-r', $code);
    $shell = 'ulimit -v 2000000; exec ' . implode(' ', array_map('escapeshellarg', $command)) . ' 2>&1';
    exec('exec sh -c ' . escapeshellarg($shell), $lines, $code);
    return [implode("\n", $lines), $code];
}

const REMEDY = 'raise the limit (ulimit -v, LimitAS=), or lower mmsession.mailbox_size or mmsession.max_clusters';
[$output, $code] = limited('echo "fine\n";');
mms_is(0, $code, 'a script without sessions ends well');
mms_ok(substr($output, -4) === 'fine', "it runs: $output");
mms_is(1, substr_count($output, 'Warning: mmsession: no session can be opened: '), "one line: $output");
mms_is(1, substr_count($output, REMEDY), "it names the remedy: $output");
mms_ok(strpos($output, 'Unable to start') === false, "PHP starts: $output");

[$output, $code] = limited('var_dump(@session_start(), error_get_last()["message"] ?? ""); session_start();'
    . ' echo count(mmsession_status()), mmsession_status()["error"], "\n"; var_dump(mmsession_flush()); phpinfo(); echo "end\n";',
    ['session.save_handler' => 'mmsession', 'session.use_cookies' => '0', 'session.cache_limiter' => '']);
mms_is(0, $code, "a script with sessions ends: $output");
mms_ok(strpos($output, 'bool(false)') !== false, "the session does not start: $output");
mms_is(1, preg_match('/session_start\(\): mmsession: its start failed: .*' . preg_quote(REMEDY) . '/', $output), "why: $output");
mms_ok(substr($output, -3) === 'end', "all functions return: $output");

[$output] = limited('echo ini_get("mmsession.mailbox_size"), "\n";', ['mmsession.mailbox_size' => '64K']);
mms_is('64K', $output, 'what fits is mapped');

echo "ok\n";
?>
--EXPECT--
ok
