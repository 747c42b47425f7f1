--TEST--
mmsession.password_file with requirepass, and its mistakes
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

$server = new Server([], false, 'p#w, "%/+');
$file = getenv('MMS_TEST_DIR') . '/password-' . getmypid();
$code = "mms_use('$server->address'); mms_put('SID', ['n' => 1]); echo count(mms_request('SID'));
    mmsession_flush(3000); echo ' ', mmsession_status()['nodes'][0]['state'];";
$try = function (?string $content, array $ini = []) use ($file, $code) {
    if ($content !== null) {
        file_put_contents($file, $content);
    }
    return mms_php(str_replace('SID', mms_sid(), $code), $ini + ['mmsession.password_file' => $file]);
};
mms_is('1 closed', $try('p#w, "%/+'), 'without end of line');
mms_is('1 closed', $try("p#w, \"%/+\n"), 'with end of line');
mms_is('1 closed', $try("p#w, \"%/+\r\nsecond line\n"), 'with CR LF and another line');
foreach ([
    'wrong' => 'wrong password',
    '' => 'empty file',
    "\n" => 'empty line',
    "s3cr3t" . str_repeat('x', 600) => 'too long',
] as $content => $what) {
    $output = $try((string) $content);
    mms_ok(strpos($output, 'Warning') !== false, "$what: there is a warning: $output");
    mms_ok(strpos($output, 's3cr3t') === false, "$what: no secret in it");
}
$output = $try('wrong');
mms_ok(preg_match('/WRONGPASS|NOAUTH|invalid password/i', $output) && strpos($output, $server->address) !== false,
    "a wrong password: node and cause are named: $output");
unlink($file);
$output = $try(null);
mms_ok(strpos($output, $file) !== false && strpos($output, 'No such file') !== false, "a missing file is named: $output");

/* Nothing shows the password. */
file_put_contents($file, 'p#w, "%/+');
$output = mms_php("mms_use('$server->address'); mms_put(mms_sid(), ['n' => 1]); phpinfo(INFO_MODULES | INFO_CONFIGURATION);
    var_dump(ini_get_all('mmsession'), mmsession_status());", ['mmsession.password_file' => $file]);
mms_ok(strlen($output) > 1000 && strpos($output, 'p#w') === false, 'phpinfo(), ini_get_all(), mmsession_status()');
unlink($file);

echo "ok\n";
?>
--EXPECT--
ok
