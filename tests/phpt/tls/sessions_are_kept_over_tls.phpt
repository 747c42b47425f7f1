--TEST--
tls:// nodes: sessions are written, mirrored and read; the status says how they are encrypted
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif_tls.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";
require __DIR__ . "/../include/certs.inc";

$folder = mms_certificates();
list($local, $localAddress) = mms_tls_server($folder);
list($peer, $peerAddress) = mms_tls_server($folder);
$peerAddress = str_replace('127.0.0.1', 'localhost', $peerAddress) . '?tls_name=node.lan';
$code = 'mms_use("' . "$localAddress, $peerAddress" . '");
    foreach (MMS_SLOW_INI as $name => $value) ini_set($name, $value);
    $sid = mms_sid();
    mms_put($sid, ["n" => 1, "large" => str_repeat("0123456789", 300000)]);
    $data = mms_request($sid);
    echo $data["n"], " ", strlen($data["large"]), " ", var_export(mmsession_flush(10000), true), " $sid\n";
    foreach (mmsession_status()["nodes"] as $node) echo $node["state"], " ", $node["tls"], "\n";
    phpinfo(INFO_MODULES);';
$output = mms_php($code, ['mmsession.tls_ca_file' => "$folder/ca.pem"]);
$lines = explode("\n", $output);
mms_ok(preg_match('/^1 3000000 true (\S+)$/', $lines[0], $match), "read again, and on both: $output");
foreach ([1, 2] as $line) {
    mms_ok(preg_match('/^closed TLSv1\.[23] \S+$/', $lines[$line] ?? ''), "node $line: " . ($lines[$line] ?? ''));
}
foreach ([$local, $peer] as $index => $server) {
    mms_is(1, $server->client()('EXISTS', 'mms:' . ($match[1] ?? '')), "node $index has the session");
}
mms_ok(preg_match('/^TLS => OpenSSL /m', $output), 'phpinfo() names the library');
mms_ok(strpos($output, "$localAddress => TLSv1.") !== false, 'phpinfo() shows the connection');

echo "ok\n";
?>
--EXPECT--
ok
