<?php
// mmsession_status() of the worker that serves this, after it opened the cluster by one read.
session_id('status-page');
session_start(['read_and_close' => true, 'use_cookies' => 0]);
echo json_encode(mmsession_status(), JSON_INVALID_UTF8_SUBSTITUTE);
