<?php
/*
 * php drain.php <id> <bytes> <count> <pool>: how fast a full mailbox empties. Writes <pool> sessions, waits until all nodes
 * have them and prints "ready"; after a line on stdin writes <count> times, over and over the same, and prints "full"; after
 * another line waits until all is acknowledged. Prints JSON: seconds of that, CPU of the other threads (the replicator) in us
 * per write since "ready", entries that were in the mailbox, writes that it did not take.
 */
require __DIR__ . '/visitor.php';
[, $id, $bytes, $count, $pool] = $argv;
$payload = substr(str_repeat(hash('sha512', $id), 1 + intdiv((int) $bytes, 128)), 0, max(1, $bytes - 60));

function write(string $id, int $turn, string $payload): void
{
    session_id($id);
    session_start(Visitor::OPTIONS);
    $_SESSION = ['turn' => $turn, 'payload' => $payload];
    session_write_close();
}

function mailbox(): array
{
    $status = mmsession_status();
    return [$status['mailbox']['entries'], $status['counters']['mailbox_full'] + $status['counters']['hints_made']];
}

for ($turn = 0; $turn < $pool; $turn++) {
    write($id . $turn, 0, $payload);
}
mmsession_flush(60000);
fwrite(STDOUT, "ready\n"); // not echo: output would be followed by no session
fgets(STDIN);
usleep(1000);
[, $refused] = mailbox();
$cpu = other_threads_cpu_us();
for ($turn = 0; $turn < $count; $turn++) {
    write($id . $turn % $pool, 1 + $turn, $payload);
}
[$entries] = mailbox();
fwrite(STDOUT, "full\n");
fgets(STDIN);
$began = hrtime(true);
$flushed = mmsession_flush(120000);
$took = hrtime(true) - $began;
echo json_encode([
    'seconds' => $took / 1e9, 'flushed' => $flushed, 'replicator' => (other_threads_cpu_us() - $cpu) / $count, 'entries' => $entries,
    'refused' => mailbox()[1] - $refused,
]), "\n";
