<?php
// phpinfo() of the worker that serves this, after it opened the cluster by one read.
session_id('info-page');
session_start(['read_and_close' => true, 'use_cookies' => 0]);
phpinfo();
