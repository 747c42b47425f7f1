--TEST--
Separators, escapes, names, TCP, IPv6, redis://, an empty list
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";
require __DIR__ . "/../include/server.inc";

$tcp = new Server([], true);
$port = (int) substr($tcp->address, strrpos($tcp->address, ':') + 1);
$unix = new Server();
$path = substr($unix->address, strlen('unix://'));
$lists = [
    $tcp->address => [$tcp->address],
    "redis://127.0.0.1:$port" => ["tcp://127.0.0.1:$port"],
    "TCP://127.0.0.1:$port" => [$tcp->address],
    "tcp://localhost:$port" => ["tcp://localhost:$port"],
    "$tcp->address,$unix->address" => [$tcp->address, $unix->address],
    "$tcp->address $unix->address" => [$tcp->address, $unix->address],
    " \t$tcp->address ,\n\t $unix->address , " => [$tcp->address, $unix->address],
    "unix://" . str_replace('own', '%6fwn', $path) => [$unix->address],
    "$unix->address?name=web1&db=3" => [$unix->address],
    "$unix->address?db=3&name=web%201" => [$unix->address],
];
foreach ($lists as $list => $addresses) {
    mms_use($list);
    mms_is([], mms_messages(function () { mms_put($GLOBALS['sid'] = mms_sid(), ['n' => 1]); }), "$list: messages");
    if ($addresses !== array_column(mmsession_status()['nodes'] ?? [], 'address')) {
        mms_is($addresses, array_column(mmsession_status()['nodes'] ?? [], 'address'), "$list: addresses");
        continue;
    }
    mms_is(['n' => 1], mms_request($sid), "$list: the session");
}
mms_is('web 1', mmsession_status()['nodes'][0]['name'], 'the name of the last list');
$client = $unix->client();
$client('SELECT', '3');
mms_ok(mms_record($client, $sid) !== null, 'db=3 is database 3');
mms_is(null, mms_record($unix->client(), $sid), 'and not database 0');

mms_use('');
mms_is(['tcp://127.0.0.1:6379'], array_column(mmsession_status()['nodes'], 'address'), 'the default');

echo "ok\n";
?>
--EXPECT--
ok
