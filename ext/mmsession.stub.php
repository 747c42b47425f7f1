<?php

/** @generate-class-entries */

/** State of this host's view of the cluster: nodes, mailbox, replicator, counters. */
function mmsession_status(): array {}

/** True once every write of this host has been acknowledged by its nodes or has become a hint. */
function mmsession_flush(int $timeout_ms = 1000): bool {}
