<?php
/*
 * php costs.php <id> <bytes> <views> <changed|unchanged> [pause us] (or as a page: ?a[]=...&a[]=...): page views to be counted by strace or callgrind.
 * Each view begins with a look for a file that does not exist, which marks it in the list of system calls. A pause before it
 * begins with another such look.
 */
require __DIR__ . '/visitor.php';
$page = PHP_SAPI !== 'cli'; // then tokens go into cookies
[$id, $bytes, $views, $kind] = $arguments = $page ? $_GET['a'] : array_slice($argv, 1);
$pause_us = (int) ($arguments[4] ?? 0);
$visitor = new Visitor($id, (int) $bytes, 0, $page);
for ($turn = 0; $turn < 20; $turn++) {
    $visitor->view($turn, true);
}
for ($turn = 0; $turn < (int) $views; $turn++) {
    if ($pause_us) {
        file_exists('/a pause');
        usleep($pause_us);
    }
    file_exists('/the next view');
    $visitor->view(100 + $turn, $kind === 'changed');
}
file_exists('/the next view');
if (!$visitor->kept($kind === 'changed' ? 99 + $views : 19)) {
    exit("the session does not hold what was written last\n");
}
if ($page !== (bool) preg_grep('/^Set-Cookie: PHPSESSID_mms\d=\w/', headers_list())) {
    exit("tokens among the headers, or none: " . implode("\n", headers_list()));
}
echo "{}\n";
