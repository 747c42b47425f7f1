--TEST--
The token's cookie is partitioned where the session cookie is
--EXTENSIONS--
session
--SKIPIF--
<?php
if (ini_get('session.cookie_partitioned') === false) {
    die('skip PHP has no session.cookie_partitioned before 8.5');
}
require __DIR__ . "/../include/skipif.inc";
?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/web.inc";

$web = new Web('session_start(); $_SESSION["n"] = 1;', ['mmsession.read' => 'session-token', 'session.cookie_partitioned' => '1',
    'session.cookie_secure' => '1', 'session.cookie_samesite' => 'None']);
$cookies = $web->cookies($web->get()[0]);
[$token] = array_values(preg_grep('/_mms/', $cookies));
[$session] = array_values(preg_grep('/^PHPSESSID=/', $cookies));
mms_is(1, preg_match('/^PHPSESSID_mms\d=[^;]+; path=\/; secure; Partitioned; HttpOnly; SameSite=None$/', $token), $token);
mms_ok(stripos($session, 'partitioned') !== false, $session);
mms_ok(strpos($web->log(), 'Warning') === false, 'no warning');

echo "ok\n";
?>
--EXPECT--
ok
