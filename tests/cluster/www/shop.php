<?php
/*
 * The demo's shop: ?add=apple, ?logout, and &json for the shoppers. Without json it is a page for people that
 * also shows which host served it and which version of the session each node holds.
 */
if (isset($_GET['ping'])) {
    exit('pong');
}

$warnings = [];
set_error_handler(function (int $level, string $text) use (&$warnings): bool {
    $warnings[] = $text;
    return true;
});

$started = session_start();
$id = session_id();
if ($started && isset($_GET['add'])) {
    $_SESSION['cart'][] = (string) $_GET['add'];
}
$cart = $_SESSION['cart'] ?? [];
$ended = isset($_GET['logout']) ? session_destroy() : session_write_close();
if (isset($_GET['logout'])) {
    $cart = [];
}
if (!$started || !$ended) {
    http_response_code(503);
}

if (isset($_GET['json'])) {
    header('Content-Type: application/json');
    echo json_encode(['host' => getenv('RIG_HOST'), 'id' => $id, 'cart' => $cart, 'warnings' => $warnings]);
    exit;
}

/** One command to a node over its Unix socket; null when it does not answer. */
function ask_node(string $socket, string $command): ?string
{
    $connection = @stream_socket_client("unix://$socket", $code, $text, 0.2);
    if (!$connection) {
        return null;
    }
    stream_set_timeout($connection, 0, 200000);
    fwrite($connection, $command . "\r\n");
    $head = fgets($connection);
    if ($head === false || $head[0] !== '$' || (int) substr($head, 1) < 0) {
        return $head === false ? null : '';
    }
    return stream_get_contents($connection, (int) substr($head, 1));
}

/** The version in a record's header: clock in ms, counter, writer. */
function version_text(?string $header): string
{
    if ($header === null) {
        return 'no answer';
    }
    if (strlen($header) < 80) {
        return 'no such session';
    }
    $field = unpack('Jincarnation/Jhlc/Jwriter/Jsequence', $header, 8);
    return sprintf('%s%s, count %d, writer %x, write %d',
        ord($header[4]) & 1 ? 'logged out at ' : '',
        date('H:i:s', intdiv($field['hlc'] >> 16, 1000)) . sprintf('.%03d', ($field['hlc'] >> 16) % 1000),
        $field['hlc'] & 0xffff, $field['writer'], $field['sequence']);
}

$states = [];
if (function_exists('mmsession_status')) {
    foreach (mmsession_status()['nodes'] as $node) {
        $states[$node['name']] = $node['role'] . ', ' . $node['state'];
    }
}
$rows = '';
foreach (explode(' ', getenv('RIG_NODES') ?: '') as $pair) {
    [$name, $socket] = explode('=', $pair) + [1 => ''];
    $rows .= sprintf('<tr><td>%s<td>%s<td>%s', htmlspecialchars($name), htmlspecialchars($states[$name] ?? ''),
        version_text(ask_node($socket, "GETRANGE mms:$id 0 79")));
}
?>
<!doctype html>
<meta charset="utf-8">
<title>mmsession demo</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .2rem .6rem; border-bottom: 1px solid #ccc }
</style>
<h1>A small shop</h1>
<p>Served by <b><?= htmlspecialchars((string) getenv('RIG_HOST')) ?></b>, mmsession <?= phpversion('mmsession') ?: 'not loaded' ?>.
<p>Cart: <b><?= $cart ? htmlspecialchars(implode(', ', $cart)) : 'empty' ?></b>
<p><a href="?add=apple">add an apple</a> &middot; <a href="?add=bread">add bread</a> &middot; <a href="?">look again</a> &middot; <a href="?logout">log out</a>
<h2>This session on the nodes</h2>
<table><tr><th>node<th>seen from this host<th>version<?= $rows ?></table>
<?php foreach ($warnings as $text): ?><p><b>Warning:</b> <?= htmlspecialchars($text) ?><?php endforeach ?>
