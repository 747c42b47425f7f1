--TEST--
Strict mode: an outage must not log visitors out
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

ini_set('session.use_strict_mode', '1');
$servers = [new Server(), new Server(), new Server()];
mms_use(implode(' ', array_column($servers, 'address')));
ini_set('session.use_strict_mode', '1');
mms_request(mms_sid());
mms_all_complete();
$known = mms_new_session(['cart' => 'apple']);
mmsession_flush(5000);

$servers[0]->kill();
$servers[1]->kill();
$unknown = mms_sid('unknown');
session_id($unknown);
session_start();
mms_is($unknown, session_id(), 'an unknown id is accepted: one node of three can not prove that it does not exist');
session_write_close();
session_id($known);
session_start();
mms_is($known, session_id(), 'a known id');
mms_is(['cart' => 'apple'], $_SESSION, 'its data from the last node');
session_write_close();

$servers[2]->kill();
session_id($known);
mms_messages('session_start');
mms_ok(in_array(session_id(), ['', $known], true), 'no node at all: no other id is made: ' . session_id());

echo "ok\n";
?>
--EXPECT--
ok
