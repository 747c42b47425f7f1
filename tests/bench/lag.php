<?php
/*
 * php lag.php <id> <socket of a peer> <count>: writes, then asks the peer until it has the write; 10 ms of rest between.
 * Prints JSON: microseconds from the return of session_write_close() (median, p99). 0 = it was there already.
 */
[, $id, $socket, $count] = $argv;
$options = ['use_cookies' => 0, 'use_only_cookies' => 0, 'cache_limiter' => ''];
$peer = stream_socket_client("unix://$socket");

function peer_has($peer, string $key, string $value): bool
{
    fwrite($peer, "GET $key\r\n");
    $size = (int) substr((string) fgets($peer), 1);
    return $size >= 0 && str_contains((string) stream_get_contents($peer, $size + 2), $value);
}

$lags = [];
for ($turn = 0; $turn < (int) $count; $turn++) {
    usleep(10000);
    session_id($id);
    session_start($options);
    $_SESSION['turn'] = $value = sprintf('turn-%08d', $turn);
    session_write_close();
    $began = hrtime(true);
    for ($asked = 0; !peer_has($peer, "mms:$id", $value); $asked++) {
        if (hrtime(true) - $began > 1e9) {
            exit('late');
        }
    }
    $lags[] = $asked ? (hrtime(true) - $began) / 1000 : 0;
}
sort($lags);
echo json_encode(['p50' => $lags[intdiv(count($lags), 2)], 'p99' => $lags[(int) (0.99 * count($lags))]]);
