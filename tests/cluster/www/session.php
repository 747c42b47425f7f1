<?php
/*
 * One request as a list of session steps: ?do=start;append:cart:apple;get:cart;close
 * Answers with JSON: who served, what each step gave, how long session calls took in microseconds, and every
 * warning. A request without "close" is closed by PHP at its end, like most pages.
 */
$answer = [
    'host' => getenv('RIG_HOST'), 'pid' => getmypid(), 'values' => [], 'ok' => [], 'us' => [], 'warnings' => [],
];
set_error_handler(function (int $level, string $text) use (&$answer): bool {
    $answer['warnings'][] = $text;
    return true;
});

// When the headers go out: the order in which a host answers is not the one in which a busy client gets to look.
header_register_callback(fn () => header('X-Answered: ' . hrtime(true)));

function step(string $verb, array $words, array &$answer)
{
    switch ($verb) {
        case 'start':
            return session_start();
        case 'quiet': // sessions of this request may start when the headers are gone
            return ini_set('session.use_cookies', '0') !== false && ini_set('session.cache_limiter', '') !== false;
        case 'read_and_close':
            return session_start(['read_and_close' => true]);
        case 'strict':
            return ini_set('session.use_strict_mode', $words[0]);
        case 'ini': // ini:name:value
            return ini_set($words[0], $words[1]) !== false;
        case 'id':
            return session_id($words[0]);
        case 'set':
            $_SESSION[$words[0]] = $words[1];
            return true;
        case 'fill': // fill:key:bytes:seed, bytes that no compression shrinks and that the seed decides
            $_SESSION[$words[0]] = substr(str_repeat(hash('sha512', $words[2] ?? 's'), 1 + intdiv((int) $words[1], 128)), 0, (int) $words[1]);
            return true;
        case 'append':
            $_SESSION[$words[0]][] = $words[1];
            return true;
        case 'get':
            $answer['values'][$words[0]] = $_SESSION[$words[0]] ?? null;
            return true;
        case 'size':
            $answer['values'][$words[0]] = isset($_SESSION[$words[0]]) ? strlen($_SESSION[$words[0]]) : null;
            return true;
        case 'digest': // [length, MD5] of a text, null where there is none
            $text = $_SESSION[$words[0]] ?? null;
            $answer['values'][$words[0]] = is_string($text) ? [strlen($text), md5($text)] : null;
            return true;
        case 'gc':
            $answer['values']['gc'] = session_gc();
            return true;
        case 'all':
            $answer['values'] = $_SESSION;
            return true;
        case 'unset':
            unset($_SESSION[$words[0]]);
            return true;
        case 'close':
            return session_write_close();
        case 'abort':
            return session_abort();
        case 'reset':
            return session_reset();
        case 'destroy':
            return session_destroy();
        case 'regenerate':
            return session_regenerate_id((bool) ($words[0] ?? false));
        case 'sleep': // ms
            usleep(1000 * (int) $words[0]);
            return true;
        case 'busy': // us
            for ($end = hrtime(true) + 1000 * (int) $words[0]; hrtime(true) < $end;);
            return true;
        case 'early': // the headers go out now
            echo ' ';
            flush();
            return headers_sent();
        case 'no_headers': // takes out whatever was to be sent, cookies too
            header_remove();
            return true;
        case 'answer': // with what there is so far; what the page does from here on nobody sees
            echo json_encode($answer, JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR);
            return fastcgi_finish_request();
        case 'finish':
            return fastcgi_finish_request();
        case 'touch': // touch:path, a sign for the test that this request has come so far
            return touch($words[0]);
        case 'await': // await:path, goes on once the test has made the file
            for ($end = hrtime(true) + 30e9; !file_exists($words[0]) && hrtime(true) < $end; clearstatcache()) {
                usleep(1000);
            }
            return file_exists($words[0]);
        case 'flush':
            return mmsession_flush((int) ($words[0] ?? 1000));
        case 'token': // token, or token:what the client sent
            $answer['values']['token'] = mmsession_token($words[0] ?? null);
            return true;
        case 'counter':
            $answer['values'][$words[0]] = mmsession_status()['counters'][$words[0]];
            return true;
        case 'status':
            $answer['values']['status'] = mmsession_status();
            return true;
        default:
            throw new InvalidArgumentException("no step $verb");
    }
}

const TIMED = ['start' => 1, 'read_and_close' => 1, 'close' => 1, 'destroy' => 1, 'regenerate' => 1, 'abort' => 1, 'flush' => 1];

foreach (explode(';', $_GET['do'] ?? 'start;close') as $text) {
    $words = explode(':', $text);
    $verb = array_shift($words);
    $began = hrtime(true);
    $ok = step($verb, $words, $answer);
    if (isset(TIMED[$verb])) {
        $answer['us'][$verb] = ($answer['us'][$verb] ?? 0) + intdiv(hrtime(true) - $began, 1000);
    }
    $answer['ok'][$verb] = $ok !== false && ($answer['ok'][$verb] ?? true);
}

$answer['id'] = session_id();
$answer['session_us'] = array_sum($answer['us']);
echo json_encode($answer, JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR);
