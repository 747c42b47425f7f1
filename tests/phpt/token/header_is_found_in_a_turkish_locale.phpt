--TEST--
mmsession.token_header: its name is found whatever locale a script has set
--EXTENSIONS--
session
--SKIPIF--
<?php
require __DIR__ . "/../include/skipif.inc";
if (shell_exec('command -v localedef') === null || !is_file('/usr/share/i18n/locales/tr_TR')) {
    die('skip no Turkish locale can be made here (localedef)');
}
?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/web.inc";

$locales = getenv('MMS_TEST_DIR') . '/locales-' . bin2hex(random_bytes(4));
mkdir($locales);
shell_exec("localedef -i tr_TR -f UTF-8 $locales/tr_TR.UTF-8 2>&1");
putenv("LOCPATH=$locales");

$web = new Web('setlocale(LC_CTYPE, "tr_TR.UTF-8"); $was = count($_SERVER); session_start();
    $_SESSION["n"] = ($_SESSION["n"] ?? 0) + 1; session_write_close();
    $status = mmsession_status()["counters"];
    echo json_encode([setlocale(LC_CTYPE, "0"), $_SESSION["n"], $status["token_local_reads"]]);',
    ['mmsession.read' => 'session-token', 'mmsession.token_header' => 'X-visit-token']);
[$lines, $body] = $web->get();
mms_is('["tr_TR.UTF-8",1,0]', $body, 'a new visitor');
$found = array_values(preg_grep('/^X-visit-token: /', $lines));
mms_is(1, count($found), 'one header');
[$lines, $body] = $web->get('', ['X-visit-token: ' . substr($found[0] ?? '', 15)]);
mms_is('["tr_TR.UTF-8",2,1]', $body, 'with what was answered');
mms_ok(strpos($web->log(), 'Warning') === false, 'no warning');
shell_exec("rm -r $locales");

echo "ok\n";
?>
--EXPECT--
ok
