--TEST--
An error handler that closes or destroys the session whose read has failed does no harm
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

[$servers, $list] = mms_servers(1);
mms_use($list);
$sid = mms_sid();
mms_put($sid, ['n' => 1]);
$servers[0]->kill();
foreach (['session_write_close', 'session_abort', 'session_destroy'] as $end) {
    foreach (MMS_MODES as $mode) {
        $output = mms_php("mms_mode('$mode'); mms_use('$list'); session_id('$sid');
            set_error_handler(function (\$number, \$text) use (&\$seen) {
                \$seen[] = \$text;
                count(\$seen) === 1 and @$end();
                for (\$n = 0; \$n < 100; \$n++) { \$fill[] = str_repeat(chr(65 + \$n % 26), 8 + \$n % 8); } // where something was freed
                return true;
            });
            @session_start();
            restore_error_handler();
            unset(\$fill);
            for (\$n = 0; \$n < 100; \$n++) { \$more[] = str_repeat('z', 8 + \$n % 8); }
            echo strpos(implode(' ', \$seen), 'session not read') !== false ? 'told' : implode(' ', \$seen);");
        mms_is('told', $output, "$mode, $end()");
    }
}

echo "ok\n";
?>
--EXPECT--
ok
