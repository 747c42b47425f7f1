<?php
/*
 * Moving in: prints the sessions of PHP's files handler, or of memcached, as commands that put them on a node under `moved:`
 * (docs/operations.md, "Moving in"). Nothing is changed where they come from.
 *
 *   php copy-sessions.php files /var/lib/php/sessions 1440 | redis-cli -s /run/redis/redis-server.sock --pipe
 *   php copy-sessions.php memcached tcp://127.0.0.1:11211 'memc.sess.key.' | redis-cli -h 10.0.0.2 --pipe
 *
 * files: the folder (with its subfolders) and session.gc_maxlifetime in seconds, which begins with the last write.
 * memcached (1.5 or newer, its text protocol): its address, and the prefix of its keys, memcached.sess_prefix.
 */
const TARGET = 'moved:';
const WAIT_S = 10;

function put(string $id, string $data, int $seconds): bool
{
    if ($data === '' || $seconds < 1 || !preg_match('/^[A-Za-z0-9,-]{1,256}$/D', $id)) {
        return false;
    }
    $text = '';
    foreach (['SET', TARGET . $id, $data, 'EX', (string) $seconds] as $word) {
        $text .= '$' . strlen($word) . "\r\n$word\r\n";
    }
    fwrite(STDOUT, "*5\r\n$text");
    return true;
}

function stop(string $why): void
{
    fwrite(STDERR, "copy-sessions: $why\n");
    exit(1);
}

function is_prefix(string $prefix, string $text): bool
{
    return strncmp($prefix, $text, strlen($prefix)) === 0;
}

/* What can't be read is named, and the rest goes on. */
function copy_folder(string $folder, int $life): int
{
    $names = @scandir($folder);
    if ($names === false) {
        fwrite(STDERR, "copy-sessions: $folder can't be read\n");
        return 0;
    }
    $count = 0;
    foreach (array_diff($names, ['.', '..']) as $name) {
        $path = "$folder/$name";
        if (is_link($path)) {
            continue;
        }
        if (is_dir($path)) {
            $count += copy_folder($path, $life);
        } elseif (is_prefix('sess_', $name)) {
            $written = @filemtime($path);
            $data = @file_get_contents($path);
            if ($data === false || $written === false) {
                fwrite(STDERR, "copy-sessions: $path can't be read\n");
                continue;
            }
            $count += (int) put(substr($name, 5), $data, $written + $life - time());
        }
    }
    return $count;
}

function copy_files(string $folder, int $life): int
{
    if (!is_dir($folder) || !is_readable($folder)) {
        stop("$folder is no folder that can be read");
    }
    if ($life < 1) {
        stop('say how many seconds a session lives (session.gc_maxlifetime)');
    }
    return copy_folder($folder, $life);
}

function line($server): string
{
    $line = fgets($server);
    if ($line === false) {
        stop('memcached ended the connection, or was silent for ' . WAIT_S . ' s');
    }
    return rtrim($line, "\r\n");
}

function value($server, string $key): ?string
{
    fwrite($server, "get $key\r\n");
    $head = explode(' ', line($server));
    if ($head[0] === 'END') { /* it has ended since */
        return null;
    }
    if ($head[0] !== 'VALUE') {
        stop("memcached does not give a key that it has listed, it says \"" . implode(' ', $head) . '"');
    }
    $data = stream_get_contents($server, (int) $head[3]);
    if ($data === false || strlen($data) !== (int) $head[3] || line($server) !== '' || line($server) !== 'END') {
        stop('memcached gave an answer that ended too early');
    }
    return $data;
}

function copy_memcached(string $address, string $prefix): int
{
    $server = @stream_socket_client($address, $code, $why, WAIT_S);
    if ($server === false) {
        stop("$address: $why");
    }
    stream_set_timeout($server, WAIT_S);
    fwrite($server, "lru_crawler metadump all\r\n");
    $ends = [];
    while (($line = line($server)) !== 'END') {
        if (!preg_match('/^key=(\S+) exp=(-?\d+) /', $line, $found)) {
            stop("memcached does not list its keys, it says \"$line\"");
        }
        $ends[rawurldecode($found[1])] = (int) $found[2];
    }
    $count = 0;
    foreach ($ends as $key => $end) {
        $key = (string) $key;
        if (!is_prefix($prefix, $key) || $end < 0) { /* one without an end is no session */
            continue;
        }
        $data = value($server, $key);
        $count += $data === null ? 0 : (int) put(substr($key, strlen($prefix)), $data, $end - time());
    }
    return $count;
}

[, $from, $where, $third] = $argv + [1 => '', 2 => '', 3 => ''];
if ($where === '' || ($from !== 'files' && $from !== 'memcached')) {
    stop('copy-sessions.php files <folder> <seconds>, or copy-sessions.php memcached <address> [<prefix>]');
}
$count = $from === 'files' ? copy_files($where, (int) $third) : copy_memcached($where, $third === '' ? 'memc.sess.key.' : $third);
fwrite(STDERR, "copy-sessions: $count sessions\n");
