<?php
/*
 * php pace.php <id> <bytes> <rate> <seconds> [probe every [pool [writers]]]: changed page views at a rate per second (0: as
 * fast as it goes), each of one of <pool> (1000) sessions, each n-th one of a new session <id>probe<writer>x<number>.
 * writers (1): so many processes share the rate, each with sessions of its own, and one replicator, as the workers of one
 * php-fpm do. Ends after so many seconds, or when stdin does. What is late is not made up for by more than a second's worth.
 *
 * Prints, for each writer, a line of JSON for every second with requests: at (CLOCK_MONOTONIC, s), count, failed, mean and
 * slowest (us of start + close), memory in KiB, what mmsession says of the last node. Then one with "done": count, seconds,
 * seconds until all was acknowledged, p50, p99 (us), probes (<writer>x<number> -> CLOCK_MONOTONIC in ns when
 * session_write_close had returned), CPU in us per write of this process' other threads (the replicator, in one of them).
 */
require __DIR__ . '/visitor.php';
[, $id, $bytes, $rate, $seconds] = $argv;
$every = (int) ($argv[5] ?? 0);
$pool = (int) ($argv[6] ?? 1000);
$writers = (int) ($argv[7] ?? 1);
$children = [];
for ($writer = 1; $writer < $writers; $writer++) {
    $child = pcntl_fork();
    if ($child === 0) {
        $children = [];
        break;
    }
    $children[] = $child;
}
$writer = $writer === $writers ? 0 : $writer; // the parent is one of them
$rate /= $writers;
$payload = substr(str_repeat(hash('sha512', $id), 1 + intdiv((int) $bytes, 128)), 0, max(1, $bytes - 60));
$ours = function_exists('mmsession_status');
$warnings = 0;
set_error_handler(function () use (&$warnings): bool {
    $warnings++;
    return true;
});

/** The last line is longer than what a pipe takes at once, and there are several writers. */
function say(array $line): void
{
    static $turn = null;
    $turn ??= fopen(__FILE__, 'r');
    flock($turn, LOCK_EX);
    fwrite(STDOUT, json_encode($line) . "\n");
    flock($turn, LOCK_UN);
}

function of_second(int $at, array $times, int $failed, bool $ours): array
{
    $status = $ours ? mmsession_status() : null;
    $last = $status ? end($status['nodes']) : null;
    return [
        'at' => $at, 'count' => count($times), 'failed' => $failed, 'mean' => array_sum($times) / max(1, count($times)) / 1000,
        'slowest' => max($times ?: [0]) / 1000, 'kib' => memory_kib('RssAnon') + memory_kib('RssShmem'),
        'state' => $last['state'] ?? '', 'complete' => $last['complete'] ?? true, 'hints' => $last['hints'] ?? 0,
        'counters' => $status['counters'] ?? [],
    ];
}

function stdin_ended(): bool
{
    $read = [STDIN];
    $none = null;
    return stream_select($read, $none, $none, 0) > 0;
}

$step = $rate > 0 ? 1e9 / $rate : 0;
$began = $due = hrtime(true);
$until = $began + 1e9 * $seconds;
$second = intdiv($began, 1000000000);
$all = $times = $probes = [];
$failed = 0;
for ($turn = 0; ($now = hrtime(true)) < $until; $turn++) {
    if ($due > $now) {
        usleep((int) (($due - $now) / 1000));
        $now = hrtime(true);
    }
    $due = max($due + $step, $now - 1e9);
    if (intdiv($now, 1000000000) !== $second) {
        say(of_second($second, $times, $failed, $ours));
        $second = intdiv($now, 1000000000);
        $times = [];
        $failed = 0;
        if (stdin_ended()) {
            break;
        }
    }
    $probe = $every && $turn % $every === 0 && $now - $began > 2e8; // not while connections are being made
    $before = $warnings;
    // phpredis takes the node from the first bytes of the id.
    session_id($probe ? "{$id}probe{$writer}x$turn" : md5("$id $writer " . $turn % $pool));
    $from = hrtime(true);
    try {
        $ok = session_start(Visitor::OPTIONS);
        $_SESSION = ['turn' => $turn, 'payload' => $payload];
        $ok = session_write_close() && $ok;
    } catch (Throwable) { // phpredis throws where others warn
        $ok = false;
        session_abort();
    }
    $end = hrtime(true);
    $times[] = $all[] = $end - $from;
    $failed += !$ok || $warnings > $before;
    if ($probe) {
        $probes["{$writer}x$turn"] = $end;
    }
}
$written = hrtime(true);
say(of_second($second, $times, $failed, $ours));
$flushed = !$ours || mmsession_flush(60000);
$behind = hrtime(true) - $written;
sort($all);
say([
    'done' => true, 'count' => $turn, 'seconds' => ($written - $began) / 1e9, 'behind' => $behind / 1e9, 'flushed' => $flushed,
    'p50' => share_of($all, 0.5), 'p99' => share_of($all, 0.99), 'probes' => (object) $probes, 'replicator' => other_threads_cpu_us() / max(1, $turn),
]);
foreach ($children as $child) {
    pcntl_waitpid($child, $status);
}
