--TEST--
A handler around ours that ends by an exception, by exit(), or without parent::close() leaves neither a lock nor memory
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/web.inc";
require __DIR__ . "/lock.inc";

$class = <<<'CODE'
class H extends SessionHandler
{
    public function read(string $id): string|false
    {
        $data = parent::read($id);
        return WHERE === 'read' ? throw new Exception('in read') : $data;
    }

    public function write(string $id, string $data): bool
    {
        if (WHERE === 'write') {
            throw new Exception('in write');
        }
        if (WHERE === 'exit') {
            exit(0);
        }
        return parent::write($id, $data);
    }

    public function close(): bool
    {
        return WHERE === 'close' ? true : parent::close();
    }
}
session_set_save_handler(new H(), SHUTDOWN);
CODE;
if (PHP_VERSION_ID < 80000) {
    $class = str_replace([': string|false', ': bool', 'string $', 'return WHERE === \'read\' ? throw new Exception(\'in read\') : $data;'],
        ['', '', '$', 'if (WHERE === \'read\') { throw new Exception(\'in read\'); } return $data;'], $class);
}
$caught = 'try { session_start(); $_SESSION["n"] = 1; session_write_close(); } catch (Exception $e) { }';
$endings = [
    'caught' => $caught,
    'at the end' => 'session_start(); $_SESSION["n"] = 1;',
    'and a session after it' => "$caught session_id('OTHER'); $caught",
];
foreach (['read', 'write', 'exit', 'close'] as $where) {
    foreach ($endings as $ending => $code) {
        foreach (['true', 'false'] as $shutdown) {
            $sid = mms_sid();
            $other = mms_sid('other');
            mms_put($sid, ['cart' => 'apple']);
            $code = str_replace('OTHER', $other, $code);
            mms_php(str_replace(['WHERE', 'SHUTDOWN'], ["'$where'", $shutdown], $class) . " session_id('$sid'); $code",
                ['mmsession.lock' => '1', 'session.save_handler' => 'mmsession', 'display_errors' => '0']);
            $what = "$where, $ending, $shutdown";
            mms_until(function () use ($sid, $other) { return mms_locks($sid) + mms_locks($other) === []; }, $what, 2.0);
            mms_is('apple', mms_request($sid)['cart'], "$what: what was stored");
        }
    }
}

/* A worker goes on after it, request after request. */
$sid = mms_sid();
mms_put($sid, ['cart' => str_repeat('apple', 200000)]);
$web = new Web(str_replace(['WHERE', 'SHUTDOWN'], ["'read'", 'false'], $class) . <<<'CODE'
try {
    @session_start();
} catch (Exception $e) {
}
echo (int) explode(' ', file_get_contents('/proc/self/statm'))[1] * 4096;
CODE
);
$web->jar['PHPSESSID'] = $sid;
for ($n = 0; $n < 60; $n++) {
    $resident[] = (int) $web->get()[1];
}
$grown = intdiv($resident[59] - $resident[9], 1 << 20);
mms_ok($resident[59] > 0 && $grown < 10, "50 sessions of 1 MB that were not closed: $grown MB more");
$web->log();

echo "ok\n";
?>
--EXPECT--
ok
