<?php
/*
 * php flood.php <id> <bytes> <count> [stay]: writes that many new sessions, <id>0, <id>1, ..., as fast as it goes, then
 * waits until all nodes have them. Prints JSON: seconds of writing, seconds until all was acknowledged after the last,
 * CPU in us per session, memory in KiB (the most that it was), what the mailbox could not take. stay: until stdin ends.
 */
require __DIR__ . '/visitor.php';
[, $id, $bytes, $count] = $argv;
$payload = substr(str_repeat(hash('sha512', $id), 1 + intdiv((int) $bytes, 128)), 0, max(1, $bytes - 20));
$ours = function_exists('mmsession_status');
$began = hrtime(true);
$peak = $most = 0;
for ($number = 0; $number < (int) $count; $number++) {
    session_id($id . $number);
    session_start(Visitor::OPTIONS);
    $_SESSION = ['payload' => $payload];
    session_write_close();
    if ($number % 2000 === 0) {
        $peak = max($peak, memory_kib('RssAnon') + memory_kib('RssShmem'));
    }
}
$written = hrtime(true);
$status = $ours ? mmsession_status() : [];
$flushed = !$ours || mmsession_flush(120000);
$acknowledged = hrtime(true);
$peak = max($peak, memory_kib('RssAnon') + memory_kib('RssShmem'));
echo json_encode([
    'seconds' => ($written - $began) / 1e9, 'behind' => ($acknowledged - $written) / 1e9, 'flushed' => $flushed,
    'cpu' => process_cpu_us() / $count, 'replicator' => other_threads_cpu_us() / $count, 'peak_kib' => $peak,
    'anon_kib' => memory_kib('RssAnon'), 'shared_kib' => memory_kib('RssShmem'),
    'mailbox_entries' => $status['mailbox']['entries'] ?? 0, 'counters' => $ours ? mmsession_status()['counters'] : [],
]), "\n";
if (($argv[4] ?? '') === 'stay') {
    stream_get_contents(STDIN);
}
