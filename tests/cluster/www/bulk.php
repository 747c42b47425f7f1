<?php
/*
 * Many sessions in one request: ?prefix=<start of the ids>&from=0&count=1000&do=write|read|destroy&value=text&fill=bytes
 * Answers with JSON: acknowledged (or read as expected), what went wrong (the first five), slowest session in us, digest
 * of all that was read.
 */
$answer = ['good' => 0, 'bad' => [], 'slowest_us' => 0, 'host' => getenv('RIG_HOST')];
[$warning, $all] = ['', hash_init('crc32b')];
set_error_handler(function (int $level, string $text) use (&$warning): bool {
    $warning = $text;
    return true;
});
set_time_limit(600);
[$from, $count, $value] = [(int) ($_GET['from'] ?? 0), (int) $_GET['count'], $_GET['value'] ?? ''];
$options = ['use_cookies' => 0, 'use_only_cookies' => 0, 'cache_limiter' => ''];
for ($number = $from; $number < $from + $count; $number++) {
    $warning = '';
    session_id($_GET['prefix'] . $number);
    $began = hrtime(true);
    $good = session_start($options);
    $seen = $_SESSION['value'] ?? null;
    hash_update($all, "$number=$seen;");
    if ($_GET['do'] === 'read') {
        $good = $good && $seen === $value;
        session_abort();
    } elseif ($_GET['do'] === 'destroy') {
        $good = $good && session_destroy();
    } else {
        $_SESSION['value'] = $value;
        if (isset($_GET['fill'])) {
            $_SESSION['filler'] = substr(str_repeat(hash('sha512', $value . $number), 1 + intdiv((int) $_GET['fill'], 128)), 0, (int) $_GET['fill']);
        }
        $good = session_write_close() && $good;
    }
    $answer['slowest_us'] = max($answer['slowest_us'], intdiv(hrtime(true) - $began, 1000));
    if ($good && $warning === '') {
        $answer['good']++;
    } elseif (count($answer['bad']) < 5) {
        $answer['bad'][] = [$number, $warning ?: $seen];
    }
}
$answer['digest'] = hash_final($all);
echo json_encode($answer, JSON_INVALID_UTF8_SUBSTITUTE);
