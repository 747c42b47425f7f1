<?php
/*
 * php loop.php <id> <count> <changed|unchanged> <busy us>: start, maybe change, close, over and over, as one visitor's
 * page views. Prints JSON: microseconds of start + close (median, p99) and CPU seconds of this process, threads included.
 */
[, $id, $count, $kind, $busy_us] = $argv;
$options = ['use_cookies' => 0, 'use_only_cookies' => 0, 'cache_limiter' => ''];
$payload = substr(str_repeat(hash('sha512', $id), 8), 0, 1000);

function cpu_seconds(): float
{
    $usage = getrusage();
    return $usage['ru_utime.tv_sec'] + $usage['ru_stime.tv_sec']
        + ($usage['ru_utime.tv_usec'] + $usage['ru_stime.tv_usec']) / 1e6;
}

function busy(int $microseconds): void
{
    for ($end = hrtime(true) + 1000 * $microseconds; hrtime(true) < $end;);
}

function view(string $id, array $options, string $payload, int $turn, bool $change, int $busy_us): int
{
    session_id($id);
    $began = hrtime(true);
    session_start($options);
    $took = hrtime(true) - $began;
    if ($change) {
        $_SESSION = ['payload' => $payload, 'turn' => sprintf('%08d', $turn)];
    }
    busy($busy_us);
    $began = hrtime(true);
    session_write_close();
    return $took + hrtime(true) - $began;
}

$change = $kind === 'changed';
for ($turn = 0; $turn < 50; $turn++) {
    view($id, $options, $payload, $turn, true, 0);
}
$times = [];
$cpu = cpu_seconds();
for ($turn = 0; $turn < (int) $count; $turn++) {
    $times[] = view($id, $options, $payload, 100 + $turn, $change, (int) $busy_us);
}
$cpu = cpu_seconds() - $cpu;
// What the next page would see, not what this one remembers.
session_id($id);
session_start($options);
$seen = $_SESSION['turn'] ?? null;
session_abort();
sort($times);
preg_match('/RssAnon:\s+(\d+)/', (string) file_get_contents('/proc/self/status'), $match);
echo json_encode([
    'p50' => $times[intdiv(count($times), 2)] / 1000, 'p99' => $times[(int) (0.99 * count($times))] / 1000,
    'cpu' => $cpu - $count * $busy_us / 1e6, 'rss_anon_kib' => (int) $match[1],
    'kept' => $seen === sprintf('%08d', $change ? 99 + $count : 49),
]);
