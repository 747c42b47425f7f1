--TEST--
tls:// nodes: what is wrong is refused, never spoken to in plain text, and said with its remedy
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
list($server, $address) = mms_tls_server($folder);
list(, $strict) = mms_tls_server($folder, 'yes');
$good = ['mmsession.tls_ca_file' => "$folder/ca.pem"];
$mine = $good + ['mmsession.tls_cert_file' => "$folder/node.pem", 'mmsession.tls_key_file' => "$folder/node.key"];
$try = function (string $nodes, array $ini): string {
    return mms_php('mms_use("' . $nodes . '"); foreach (MMS_SLOW_INI as $name => $value) ini_set($name, $value);
        session_id(mms_sid()); echo var_export(session_start(), true);', $ini);
};
mms_is('true', $try($address, $good), 'as it should be');
mms_is('true', $try($address, ['mmsession.tls_verify' => '0']), 'unverified');
mms_is('true', $try($strict, $mine), 'with a client certificate');
foreach ([
    'a wrong CA' => [$address, ['mmsession.tls_ca_file' => "$folder/other.pem"],
        "TLS handshake: the node's certificate: ", 'mmsession.tls_ca_file must hold the certificate of the CA'],
    'no CA' => [$address, [], "TLS handshake: the node's certificate: ", 'mmsession.tls_ca_file must hold'],
    'a wrong name' => ["$address?tls_name=web2.lan", $good, "the node's certificate is not for web2.lan", 'as ?tls_name='],
    'no client certificate' => [$strict, $good, 'TLS', 'set mmsession.tls_cert_file and mmsession.tls_key_file'],
    'a missing file' => [$address, ['mmsession.tls_ca_file' => "$folder/none.pem"],
        "mmsession.tls_ca_file = $folder/none.pem", 'No such file or directory'],
    'a file of something else' => [$address, ['mmsession.tls_ca_file' => "$folder/san"],
        "mmsession.tls_ca_file = $folder/san", "it must hold the CA's certificate as PEM"],
    'a key without certificate' => [$address, $good + ['mmsession.tls_key_file' => "$folder/node.key"],
        'mmsession.tls_cert_file is empty', 'set both or none'],
] as $what => list($nodes, $ini, $cause, $remedy)) {
    $output = $try($nodes, $ini);
    mms_ok(strpos($output, 'false') !== false, "$what: no session: $output");
    foreach ([$cause, $remedy] as $text) {
        mms_ok(strpos($output, $text) !== false, "$what: it says '$text': $output");
    }
}
/* A port that does not speak TLS, and one that speaks nothing else. */
$plain = new Server([], true);
$output = $try(str_replace('tcp:', 'tls:', $plain->address), $good);
mms_ok(strpos($output, 'TLS handshake') !== false && strpos($output, 'false') !== false, "TLS to a plain port: $output");
$output = $try(str_replace('tls:', 'tcp:', $address), $good);
mms_ok(strpos($output, 'false') !== false, "plain to a TLS port: $output");

echo "ok\n";
?>
--EXPECT--
ok
