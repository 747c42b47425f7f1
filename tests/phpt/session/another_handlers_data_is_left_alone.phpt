--TEST--
What another save handler has open is not taken for ours, whichever SessionHandler is asked
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

$folder = getenv('MMS_TEST_DIR') . '/files-' . bin2hex(random_bytes(4));
mkdir($folder);

/* php.ini has mmsession, so that SessionHandler calls that; the script has the files. Before 8.0 PHP goes on calling a handler that
 * did not open. */
$asked = [
    'create_sid' => 'is_string($handler->create_sid())',
    'open' => '$handler->open("", "PHPSESSID") === false',
    'open and close' => '@$handler->open("", "PHPSESSID") === false && is_bool(@$handler->close())',
    'open and read' => '[@$handler->open("", "PHPSESSID"), @$handler->read("abc")] === [false, false]',
    'open and write' => '[@$handler->open("", "PHPSESSID"), @$handler->write("abc", "x")] === [false, false]',
    'open and destroy' => '[@$handler->open("", "PHPSESSID"), @$handler->destroy("abc")] === [false, false]',
    'gc' => '@$handler->open("", "PHPSESSID") === false && in_array(@$handler->gc(1), [false, true, 0], true)',
];
foreach ($asked as $what => $call) {
    $code = 'mms_use(); ini_set("session.save_handler", "files"); ini_set("session.save_path", ' . var_export($folder, true) . ');
        session_id("abc"); session_start(); $_SESSION["n"] = 1; $handler = new SessionHandler();
        set_error_handler(function ($level, $message) {
            fwrite(STDOUT, preg_match("/files is open|handler is not open/", $message) ? "" : $message);
        });
        fwrite(STDOUT, var_export(' . $call . ', true)); session_write_close(); fwrite(STDOUT, " end");';
    @unlink("$folder/sess_abc");
    [$output, $status] = mms_finish(mms_start($code, ['session.save_handler' => 'mmsession']));
    mms_is('true end', $output, $what);
    mms_is(0, $status, "$what: exit status");
    mms_is('n|i:1;', (string) @file_get_contents("$folder/sess_abc"), "$what: the session of the files handler");
}

/* A handler around the files that breaks off leaves their data behind; then ours is opened. A debug build tells of that as a leak. */
$sid = mms_sid();
$code = 'class H extends SessionHandler
    {
        #[ReturnTypeWillChange]
        public function write($id, $data)
        {
            throw new Exception("in write");
        }
    }
    ini_set("session.save_handler", "files");
    ini_set("session.save_path", ' . var_export($folder, true) . ');
    session_set_save_handler(new H(), false);
    try {
        session_start();
        $_SESSION["n"] = 1;
        session_write_close();
    } catch (Exception $e) {
        fwrite(STDOUT, $e->getMessage());
    }
    mms_use(' . var_export(mms_nodes(), true) . ');
    session_id("' . $sid . '"); session_start(); $_SESSION["n"] = 2; session_write_close(); fwrite(STDOUT, " end");';
[$output, $status] = mms_finish(mms_start($code));
mms_is('in write end', PHP_DEBUG ? strtok($output, '[') : $output, 'broken off');
mms_is(0, $status, 'broken off: exit status');
mms_is(['n' => 2], mms_request($sid), 'broken off: what came after it is stored');

/* The other way round: what was a session of ours is gone when the files have their turn. */
$code = 'mms_use(); session_id("' . $sid . '"); session_start(); session_write_close();
    ini_set("session.save_handler", "files"); ini_set("session.save_path", ' . var_export($folder, true) . ');
    session_start(); fwrite(STDOUT, is_string((new SessionHandler())->create_sid()) ? "id" : ""); session_write_close();
    mms_use(); session_start(); fwrite(STDOUT, " " . $_SESSION["n"]); session_write_close();';
mms_is('id 2', mms_php($code, ['session.save_handler' => 'mmsession']), 'one after the other');

array_map('unlink', glob("$folder/*"));
rmdir($folder);
echo "ok\n";
?>
--EXPECT--
ok
