<?php
// One page view behind nginx: 1 KiB that changes. ?work=us: other work meanwhile. The pings of nginx's start have no session.
if (isset($_GET['ping'])) {
    exit('pong');
}
session_start();
$_SESSION['views'] = ($_SESSION['views'] ?? 0) + 1;
$_SESSION['payload'] ??= substr(str_repeat(hash('sha512', session_id()), 8), 0, 980);
if (isset($_GET['work'])) {
    for ($end = hrtime(true) + 1000 * (int) $_GET['work']; hrtime(true) < $end;);
}
session_write_close();
echo session_id(), ' ', $_SESSION['views'];
