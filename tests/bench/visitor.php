<?php
/* What the scripts of the benchmark share: a visitor's page view, CPU clocks, memory, percentiles. */

class Visitor
{
    public const OPTIONS = ['use_cookies' => 0, 'use_only_cookies' => 0, 'cache_limiter' => ''];
    private const PREEMPTED_NS = 5000; // a longer step of the clock: somebody else had the core
    private string $payload;
    /** CPU that the other work took, in ns. */
    public int $busy_ns = 0;
    private bool $has_token;
    private array $options;

    /** $cookies: as a web server's pages, with cookies among the headers. */
    public function __construct(private string $id, int $bytes, private int $busy_us = 0, bool $cookies = false)
    {
        $this->options = ['use_cookies' => (int) $cookies] + self::OPTIONS;
        $this->has_token = !$cookies && ini_get('mmsession.read') === 'session-token' && function_exists('mmsession_token');
        // "payload|s:N:"...";turn|s:8:"00000000";" is what PHP makes of it: some 40 bytes around the payload.
        $size = max(1, $bytes - 40);
        $this->payload = substr(str_repeat(hash('sha512', $id), 1 + intdiv($size, 128)), 0, $size);
    }

    /** [ns of session_start, ns of session_write_close] */
    public function view(int $turn, bool $change): array
    {
        session_id($this->id);
        $began = hrtime(true);
        session_start($this->options);
        $start = hrtime(true) - $began;
        if ($change) {
            $_SESSION = ['payload' => $this->payload, 'turn' => sprintf('%08d', $turn)];
        }
        if ($this->busy_us) {
            $this->busy();
        }
        $began = hrtime(true);
        if ($this->has_token) {
            mmsession_token(); // there are no cookies on the command line; who asks for it brings it to the visitor
        }
        session_write_close();
        return [$start, hrtime(true) - $began];
    }

    private function busy(): void
    {
        $then = hrtime(true);
        for ($end = $then + 1000 * $this->busy_us; $then < $end; $then = $now) {
            $now = hrtime(true);
            $this->busy_ns += $now - $then < self::PREEMPTED_NS ? $now - $then : 0;
        }
    }

    /** Whether the next page would see this turn, not what this one remembers. */
    public function kept(int $turn): bool
    {
        session_id($this->id);
        session_start(self::OPTIONS);
        $seen = $_SESSION['turn'] ?? null;
        session_abort();
        return $seen === sprintf('%08d', $turn);
    }
}

function process_cpu_us(): float
{
    $usage = getrusage();
    return ($usage['ru_utime.tv_sec'] + $usage['ru_stime.tv_sec']) * 1e6 + $usage['ru_utime.tv_usec'] + $usage['ru_stime.tv_usec'];
}

function thread_cpu_us(): float
{
    return (int) file_get_contents('/proc/thread-self/schedstat') / 1000;
}

/** Of this thread since it began: [voluntary switches (it slept), involuntary ones (it was preempted), page faults]. */
function thread_events(): array
{
    $status = (string) file_get_contents('/proc/thread-self/status');
    preg_match('/\nvoluntary_ctxt_switches:\s+(\d+)\s+nonvoluntary_ctxt_switches:\s+(\d+)/', $status, $switches);
    $stat = (string) file_get_contents('/proc/thread-self/stat');
    $fields = explode(' ', substr($stat, strrpos($stat, ')') + 2));
    return [(int) ($switches[1] ?? 0), (int) ($switches[2] ?? 0), (int) ($fields[7] ?? 0)];
}

/** CPU of all other threads of this process: the replicator, and who stands by for it. */
function other_threads_cpu_us(): float
{
    $sum = 0;
    foreach (glob('/proc/self/task/*', GLOB_NOSORT) as $task) {
        $sum += basename($task) === (string) getmypid() ? 0 : (int) @file_get_contents("$task/schedstat") / 1000;
    }
    return $sum;
}

function memory_kib(string $field): int
{
    return preg_match("/$field:\\s+(\\d+)/", (string) file_get_contents('/proc/self/status'), $match) ? (int) $match[1] : 0;
}

/** Microseconds at a share of sorted nanoseconds. */
function share_of(array $sorted, float $share): float
{
    return $sorted ? round($sorted[min(count($sorted) - 1, (int) ($share * count($sorted)))] / 1000, 2) : 0.0;
}
