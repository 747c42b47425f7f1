<?php
// php cli_write.php <id> <value> [repeat]: a script that writes a session and exits at once.
for ($turn = 0; $turn < (int) ($argv[3] ?? 1); $turn++) {
    session_id($argv[1] . ($turn ? "x$turn" : ''));
    session_start(['use_cookies' => 0, 'use_only_cookies' => 0, 'cache_limiter' => '']);
    $_SESSION['value'] = $argv[2];
    session_write_close();
}
