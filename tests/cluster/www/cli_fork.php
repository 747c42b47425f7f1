<?php
/*
 * php cli_fork.php <id> <children>: parent and children use sessions at the same time. Each child closes a session
 * of its own, and one inherited open; the parent goes on with the connections that it had before. Prints JSON.
 */
[, $id, $children] = $argv;
$options = ['use_cookies' => 0, 'use_only_cookies' => 0, 'cache_limiter' => ''];

function visit(string $id, string $value, array $options): ?string
{
    session_id($id);
    session_start($options);
    $before = $_SESSION['value'] ?? null;
    $_SESSION['value'] = $value;
    session_write_close();
    return $before;
}

$answer = ['wrong' => [], 'exits' => []];
visit("{$id}parent", 'start', $options);
for ($number = 0; $number < (int) $children; $number++) {
    session_id("{$id}open$number");
    session_start($options);
    $_SESSION['value'] = 'by parent';
    $pid = pcntl_fork();
    if ($pid === 0) {
        $_SESSION['value'] = 'by child';
        session_write_close();
        visit("{$id}child$number", "child $number", $options);
        exit(visit("{$id}child$number", "child $number again", $options) === "child $number" ? 0 : 3);
    }
    session_abort();
    $expected = $number === 0 ? 'start' : 'turn ' . ($number - 1);
    $seen = visit("{$id}parent", "turn $number", $options);
    if ($seen !== $expected) {
        $answer['wrong'][] = [$number, $expected, $seen];
    }
    pcntl_waitpid($pid, $status);
    $answer['exits'][] = pcntl_wifexited($status) ? pcntl_wexitstatus($status) : -pcntl_wtermsig($status);
}
$answer['last'] = visit("{$id}parent", 'end', $options);
echo json_encode($answer);
