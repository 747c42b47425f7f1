--TEST--
Ids with any byte and of any length are never stored under a wrong key
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

$odd = ['', ' ', 'a b', "a\0b", "\0", 'a/b', '../../etc/passwd', 'a:b', ':hints:1', 'a*', '[a]', "a\r\nSET x y", 'a%00',
    str_repeat('a', 300), str_repeat('a', 257), str_repeat('a', 5000), "\xc3\xa4", "\xff\xfe", '{a}b', "a\n", '"', '.', '_'];
for ($byte = 0; $byte < 256; $byte++) {
    if (!preg_match('/^[A-Za-z0-9,-]$/', chr($byte))) {
        $odd[] = 'x' . chr($byte) . 'y';
    }
}
$server = new Server();
mms_use($server->address);
mms_request(mms_sid());
mmsession_flush(5000);
/* All keys of the node but those that hosts leave there about themselves. */
function keys(): array
{
    $keys = array_diff($GLOBALS['server']->client()('KEYS', '*'), ['mms::node', 'mms::hosts', 'mms::lives']);
    sort($keys);
    return $keys;
}
$handler = new class extends SessionHandler {
    public $tried = 0;

    public function odd(array $odd): void
    {
        foreach ($odd as $id) {
            $read = $written = $destroyed = null;
            mms_messages(function () use ($id) { return $this->read($id); }, $read);
            mms_messages(function () use ($id) { return $this->write($id, 'mine|i:1;'); }, $written);
            mms_messages(function () use ($id) { return $this->destroy($id); }, $destroyed);
            mms_is([false, false], [$written, $destroyed], 'write, destroy of ' . bin2hex(substr($id, 0, 30)));
            mms_ok($read === false || $read === '', 'read of ' . bin2hex(substr($id, 0, 30)));
            $this->tried++;
        }
    }
};
ini_set('session.save_handler', 'mmsession');
session_set_save_handler($handler);
$sid = mms_sid();
session_id($sid);
session_start();
$before = keys();
mms_is([], $before, 'keys to begin with');
$handler->odd($odd);
mms_is($before, keys(), 'no key that was not there before');
mms_is(count($odd), $handler->tried, 'all were tried');
session_abort();

foreach (['a/b', "a:b", str_repeat('a', 300)] as $id) {
    mms_mode('native');
    session_id($id);
    mms_messages('session_start', $started);
    if ($started) {
        mms_ok(session_id() !== $id, 'another id is given');
        session_abort();
    }
}
mms_is($before, keys(), 'no key after session_start either');

foreach (['a', 'A-Z,09', str_repeat('b', 256), str_repeat('-', 22)] as $good) {
    $good .= '';
    $unique = strlen($good) > 200 ? substr($good, 0, 232) . bin2hex(random_bytes(12)) : $good . bin2hex(random_bytes(12));
    mms_put($unique, ['n' => 1]);
    mms_is(['n' => 1], mms_request($unique), 'a good id of ' . strlen($unique) . ' bytes');
}

echo "ok\n";
?>
--EXPECT--
ok
