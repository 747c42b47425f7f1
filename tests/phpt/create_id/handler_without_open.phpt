--TEST--
SessionHandler::create_sid(), validateId() and the rest without an open session
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

$handler = new SessionHandler();
foreach ([
    'create_sid' => function () use ($handler) { return $handler->create_sid(); },
    'read' => function () use ($handler) { return $handler->read('abc'); },
    'write' => function () use ($handler) { return $handler->write('abc', 'x'); },
    'destroy' => function () use ($handler) { return $handler->destroy('abc'); },
    'gc' => function () use ($handler) { return $handler->gc(1); },
    'close' => function () use ($handler) { return $handler->close(); },
] as $what => $call) {
    try {
        mms_messages($call, $result);
        mms_is(false, $result, $what);
    } catch (Error $error) {
        /* PHP itself refuses: "Session is not active" */
    }
}
class Maker extends SessionHandler
{
    public $made;

    #[ReturnTypeWillChange]
    public function create_sid()
    {
        return $this->made = parent::create_sid();
    }
}
$maker = new Maker();
session_set_save_handler($maker);
$sid = session_create_id();
mms_ok(is_string($sid) && $sid !== '', 'an id although nothing is open');
session_start();
mms_is($maker->made, session_id(), 'session_start takes the id that was made');
$_SESSION['n'] = 1;
session_write_close();
mms_is(['n' => 1], mms_request($maker->made), 'and stores it');

echo "ok\n";
?>
--EXPECT--
ok
