<?php
/*
 * php loop.php <id> <bytes> <views> <changed|unchanged> <busy us> [warm-up [views of another size first, bytes of those]]: start, maybe change, close, over and over, as one
 * visitor's page views; other work for a while between start and close.
 * Prints JSON, all in microseconds: start + close (p50, p99, mean, curve as [share, value]), start and close alone (p50),
 * CPU per view of the whole process and of the request thread without the other work; how often per view the request thread
 * slept, was preempted, had a page fault; kept: the last write is there.
 */
require __DIR__ . '/visitor.php';
[, $id, $bytes, $views, $kind, $busy_us] = $argv;
$visitor = new Visitor($id, (int) $bytes, (int) $busy_us);
$change = $kind === 'changed';
$warm_up = (int) ($argv[6] ?? 50);
$first = new Visitor("{$id}first", (int) ($argv[8] ?? 0), 0);
for ($turn = 0; $turn < (int) ($argv[7] ?? 0); $turn++) {
    $first->view($turn, true);
}
for ($turn = 0; $turn < $warm_up; $turn++) {
    $visitor->view($turn, true);
}
$starts = $closes = $sums = [];
usleep(100); // so that the kernel's book-keeping is up to date
$visitor->busy_ns = 0;
$events = thread_events();
[$process, $thread] = [process_cpu_us(), thread_cpu_us()];
for ($turn = 0; $turn < (int) $views; $turn++) {
    [$start, $close] = $visitor->view(100 + $turn, $change);
    $starts[] = $start;
    $closes[] = $close;
    $sums[] = $start + $close;
}
usleep(100);
$process = process_cpu_us() - $process - $visitor->busy_ns / 1000;
$thread = thread_cpu_us() - $thread - $visitor->busy_ns / 1000;
[$sleeps, $preempted, $faults] = array_map(fn(int $now, int $then) => ($now - $then) / $views, thread_events(), $events);
$kept = $visitor->kept($change ? 99 + $views : $warm_up - 1);
sort($starts);
sort($closes);
sort($sums);
$curve = [];
foreach ([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999] as $share) {
    $curve[] = [$share, share_of($sums, $share)];
}
echo json_encode([
    'p50' => share_of($sums, 0.5), 'p99' => share_of($sums, 0.99), 'mean' => array_sum($sums) / $views / 1000,
    'start' => share_of($starts, 0.5), 'close' => share_of($closes, 0.5), 'curve' => $curve,
    'cpu' => $process / $views, 'thread' => $thread / $views, 'kept' => $kept,
    'sleeps' => $sleeps, 'preempted' => $preempted, 'faults' => $faults,
    'anon_kib' => memory_kib('RssAnon'), 'shared_kib' => memory_kib('RssShmem'),
]), "\n";
