<?php
// Waits until all mirrors of this host are acknowledged or hints.
session_id('flush-page');
session_start(['read_and_close' => true, 'use_cookies' => 0]);
$began = hrtime(true);
$flushed = mmsession_flush((int) ($_GET['ms'] ?? 1000));
echo json_encode(['flushed' => $flushed, 'us' => intdiv(hrtime(true) - $began, 1000)]);
