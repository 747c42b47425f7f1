--TEST--
After a write or touch that failed, the bytes that were read are written, not touched: what failed may be stored yet
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

const A = 'is|s:1:"A";', B = 'is|s:1:"B";';
[$servers, $list] = mms_servers(2);
mms_use($list);
$handler = new MmsSubclass();
session_set_save_handler($handler);

function without_nodes(array $servers, callable $work)
{
    foreach ($servers as $server) {
        $server->pause();
    }
    mms_ok(mms_messages($work, $result) !== [], 'there is a message');
    foreach ($servers as $server) {
        $server->go_on();
    }
    mms_until(function () {
        return array_column(mmsession_status()['nodes'], 'state') === ['closed', 'closed'];
    }, 'the nodes are back');
    return $result;
}

function stored(array $servers, string $sid): array
{
    mms_ok(mmsession_flush(5000), 'all is delivered');
    return array_map(function ($server) use ($sid) {
        return mms_record($server->client(), $sid)['payload'] ?? null;
    }, $servers);
}

/* Read A; B fails; A again. */
$sid = mms_sid();
mms_put($sid, ['is' => 'A']);
session_id($sid);
session_start();
mms_is(false, without_nodes($servers, function () use ($handler, $sid) { return $handler->write($sid, B); }), 'B fails');
mms_is(true, $handler->write($sid, A), 'A is taken');
mms_is([A, A], stored($servers, $sid), 'A after the failed B');
session_abort();
mms_is(['is' => 'A'], mms_request($sid), 'the next request');

/* The touch fails; the second one is a write. */
foreach ($servers as $server) {
    $server->client()('PEXPIRE', mms_key($sid), '60000');
}
session_id($sid);
session_start();
[$writes, $touches] = [mms_counter('writes'), mms_counter('touches')];
mms_is(false, without_nodes($servers, function () use ($handler, $sid) { return $handler->write($sid, A); }), 'the touch fails');
mms_is([$writes, $touches + 1], [mms_counter('writes'), mms_counter('touches')], 'a touch');
mms_is(true, $handler->write($sid, A), 'A is taken after the failed touch');
mms_is([$writes + 1, $touches + 1], [mms_counter('writes'), mms_counter('touches')], 'a write');
mms_is(true, $handler->write($sid, A), 'and again');
mms_is($writes + 1, mms_counter('writes'), 'what a write stored is known');
session_abort();

/* A new session whose first data failed is not empty without a key. */
$sid = mms_sid();
session_id($sid);
session_start();
mms_is(false, without_nodes($servers, function () use ($handler, $sid) { return $handler->write($sid, B); }), 'the first data fails');
mms_is(true, $handler->write($sid, ''), 'emptied');
mms_is(['', ''], stored($servers, $sid), 'empty after the failed B');
session_abort();

echo "ok\n";
?>
--EXPECT--
ok
