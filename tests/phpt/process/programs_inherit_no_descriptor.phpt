--TEST--
A program that a script starts inherits none of our descriptors
--EXTENSIONS--
session
--SKIPIF--
<?php require __DIR__ . "/../include/skipif.inc"; if (!is_dir("/proc/self/fd")) die("skip there is no /proc"); ?>
--FILE--
<?php
require __DIR__ . "/../include/mms.inc";

mms_use();
mms_put(mms_sid(), ['n' => 1]);
mms_ok(mmsession_flush(5000), 'the replicator is connected too');
function descriptors(string $process): array
{
    $found = [];
    foreach (scandir("/proc/$process/fd") as $fd) {
        $target = (string) @readlink("/proc/$process/fd/$fd");
        if (preg_match('/^(socket|pipe|anon_inode)/', $target)) {
            $found[$fd] = $target;
        }
    }
    return $found;
}
/* Not what PHP was started with itself. */
$parent = preg_replace('/.*\) \S (\d+) .*/s', '$1', file_get_contents('/proc/self/stat'));
$ours = array_diff(descriptors('self'), descriptors($parent));
mms_ok(count(preg_grep('/^socket/', $ours)) >= 6, 'a request and the replicator have a connection to each node');
/* Its own pipes are new ones. */
$program = proc_open('exec ls -l /proc/self/fd', [0 => ['file', '/dev/null', 'r'], 1 => ['pipe', 'w']], $pipes);
$listing = stream_get_contents($pipes[1]);
proc_close($program);
foreach ($ours as $fd => $target) {
    mms_ok(strpos($listing, $target) === false, "descriptor $fd ($target) is inherited: $listing");
}
echo "ok\n";
?>
--EXPECT--
ok
