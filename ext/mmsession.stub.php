<?php

/** @generate-class-entries */

/** State of this host's view of the cluster: nodes, mailbox, replicator, counters. */
function mmsession_status(): array {}

/** True once every write of this host has been acknowledged by its nodes or has become a hint. */
function mmsession_flush(int $timeout_ms = 1000): bool {}

/**
 * With mmsession.read = session-token: what this visitor must at least be shown, for clients without cookies. $token: what
 * the client sent (several joined by dots), before session_start(). Returns this request's token, "" when there is none;
 * with the session open, who asks for it is to bring it to the client.
 */
function mmsession_token(?string $token = null): string {}

/**
 * Asks for a repair scan of one node (its name, address or node id) or of all, unless one is under way or asked for already;
 * returns what is known of the latest ones, by node name. Repairs start by themselves where they are needed.
 */
function mmsession_repair(?string $node = null): array {}
