<?php
// No session: tells that this host's php-fpm serves.
echo 'pong';
