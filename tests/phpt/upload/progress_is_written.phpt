--TEST--
session.upload_progress through the built-in server
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

$sid = mms_sid('upload');
mms_put($sid, ['cart' => 'apple']);
$script = getenv('MMS_TEST_DIR') . '/upload-' . getmypid() . '.php';
file_put_contents($script, '<?php session_start(); $_SESSION["done"] = $_FILES["file"]["size"] ?? -1; session_write_close();'
    . ' echo "writes ", mmsession_status()["counters"]["writes"], " size ", $_SESSION["done"], " cart ", $_SESSION["cart"] ?? "lost";');
$port = Server::freePort();
$web = mms_start('', ['session.save_handler' => 'mmsession', 'mmsession.nodes' => mms_nodes(),
    'session.use_cookies' => '1', 'session.upload_progress.enabled' => '1', 'session.upload_progress.cleanup' => '0',
    'session.upload_progress.freq' => '1', 'session.upload_progress.min_freq' => '0', 'post_max_size' => '64M',
    'upload_max_filesize' => '64M'], ['-S', "127.0.0.1:$port", $script]);
mms_until(function () use ($port) { return (bool) @fsockopen('127.0.0.1', $port); }, 'the server listens');

$mark = 'B' . bin2hex(random_bytes(8));
$body = "--$mark\r\nContent-Disposition: form-data; name=\"PHP_SESSION_UPLOAD_PROGRESS\"\r\n\r\nmyform\r\n"
    . "--$mark\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n"
    . "Content-Type: application/octet-stream\r\n\r\n" . str_repeat('x', 3000000) . "\r\n--$mark--\r\n";
$stream = stream_socket_client("tcp://127.0.0.1:$port");
fwrite($stream, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nCookie: PHPSESSID=$sid\r\n"
    . "Content-Type: multipart/form-data; boundary=$mark\r\nContent-Length: " . strlen($body) . "\r\n\r\n");
for ($sent = 0; $sent < strlen($body); $sent += fwrite($stream, substr($body, $sent, 8192)));
$answer = stream_get_contents($stream);
mms_ok(preg_match('/writes (\d+)/', $answer, $match) && $match[1] > 100, 'many ticks were stored: ' . ($match[1] ?? '?'));
mms_ok(substr($answer, -23) === 'size 3000000 cart apple', 'the answer: ' . substr($answer, -60));
proc_terminate($web['process'], 2); /* SIGINT: it ends as it should */
[$log] = mms_finish($web);
mms_ok(strpos($log, 'Warning') === false, "no warning in the server's log: $log");
$read = mms_request($sid);
mms_is([true, 3000000, 'apple'], [$read['upload_progress_myform']['done'] ?? null, $read['done'] ?? null,
    $read['cart'] ?? null], 'the session at last');
unlink($script);

echo "ok\n";
?>
--EXPECT--
ok
