--TEST--
Every mistake in a node list: one message with the offset, the text there, and an example of a right one
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

$example = '; example: ';
$mistakes = [
    /* list => what its message says */
    '/var/lib/php/sessions' => 'offset 0, "/var/lib/php/sessions": this is a path',
    '2;/var/lib/php/sessions' => 'offset 0, ',
    'C:\\sessions' => 'offset 0, ',
    '10.0.0.1' => 'offset 0, "10.0.0.1": a node starts with tcp://',
    '10.0.0.1:6379' => 'offset 0, "10.0.0.1:6379": a node starts with tcp://',
    'localhost' => 'offset 0, "localhost": a node starts with tcp://',
    'memcached://10.0.0.1' => 'offset 0, "memcached://10.0.0.1": this scheme is unknown',
    'tcp://10.0.0.1, http://10.0.0.2' => 'offset 16, "http://10.0.0.2": this scheme is unknown',
    'ssl://10.0.0.1' => 'offset 0, "ssl://10.0.0.1": this scheme is unknown',
    'tcp://10.0.0.1?tls_name=web1' => 'offset 24, "web1": tls_name belongs to a node that starts with tls://',
    'tcp://' => 'offset 6, ',
    'tcp://:6379' => 'offset 6, ',
    'tcp://10.0.0.1:0' => 'offset 14, ":0": here a port from 1 to 65535',
    'tcp://10.0.0.1:65536' => 'offset 14, ":65536": here a port from 1 to 65535',
    'tcp://10.0.0.1:x' => 'offset 14, ":x": here a port',
    'tcp://10.0.0.1:' => 'offset 14, ',
    'tcp://10.0.0.1:-1' => 'offset 14, ',
    'tcp://10.0.0.256' => 'offset 6, "10.0.0.256": this is no IPv4 address',
    'tcp://fd00::2:6379' => 'an IPv6 address is written in brackets',
    'tcp://[fd00::2' => 'the closing ] is missing',
    'tcp://[fd00::zz]' => 'this is no IPv6 address',
    'tcp://10.0.0.1:6379/3' => 'a TCP node has no path',
    'unix://run/redis.sock' => 'offset 7, "run/redis.sock": a socket has an absolute path',
    'unix:///' => 'this is a directory',
    'unix:///run/%zz.sock' => 'offset 12, "%zz.sock": two hexadecimal digits',
    'unix:///run/%4' => 'two hexadecimal digits',
    'unix:///run/%00.sock' => 'a control character',
    'unix:///' . str_repeat('a', 200) => 'too long',
    'tcp://10.0.0.1, tcp://10.0.0.1:6379' => 'offset 16, "tcp://10.0.0.1:6379": this node is in the list already, as number 1',
    'tcp://10.0.0.1, tcp://10.0.0.1?db=3' => 'offset 16, ',
    'tcp://10.0.0.1?name=x tcp://10.0.0.2?name=x' => 'node number 1 has the same name',
    'tcp://10.0.0.1?persistent=1' => 'offset 15, "persistent": a node takes name= and db=',
    'tcp://10.0.0.1?db=x' => 'offset 18, "x": db is a number',
    'tcp://10.0.0.1?db=-1' => 'db is a number',
    'tcp://10.0.0.1?name=' => 'the name is empty',
    implode(' ', array_map(function ($i) { return "tcp://10.0.0.$i"; }, range(1, 65))) => 'more than 64 nodes',
];
foreach ($mistakes as $list => $expected) {
    mms_use((string) $list);
    $messages = mms_messages('session_start', $started);
    $ours = array_values(array_filter($messages, function ($message) { return strpos($message, 'mmsession: ') !== false; }));
    mms_is(false, $started, "$list: session_start");
    mms_is(1, count($ours), "$list: messages " . implode(' / ', $ours));
    mms_ok(strpos($ours[0] ?? '', $expected) !== false, "$list: it says '$expected': " . ($ours[0] ?? ''));
    mms_ok(preg_match('/node list, offset \d+/', $ours[0] ?? ''), "$list: it has the offset: " . ($ours[0] ?? ''));
    mms_ok(preg_match('~; example: \S~', $ours[0] ?? ''), "$list: it has an example: " . ($ours[0] ?? ''));
}
/* And the right one afterwards. */
mms_use();
mms_put($sid = mms_sid(), ['n' => 1]);
mms_is(['n' => 1], mms_request($sid), 'after all these');

echo "ok\n";
?>
--EXPECT--
ok
