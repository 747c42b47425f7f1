"""Planted bugs: exact replacements in a copy of src/. The simulator must find each within the normal number of schedules of
the profile named (None: the mix of the normal run), on a seed that is good without it. A text that does not stand there
exactly once fails loudly: that mutant needs a new one."""


class Mutant:
    def __init__(self, name, rule, profile, *edits):
        self.name, self.rule, self.profile, self.edits = name, rule, profile, edits


MUTANTS = [
    Mutant("payload-not-checked", "a", "damage",
           ("mms_record.c", "rest.len != out->payload_len || mms_crc32c(0, rest.ptr, rest.len) != out->payload_crc",
            "rest.len != out->payload_len")),
    Mutant("header-not-checked", "a", "damage",
           ("mms_record.c", "if (get32(header + AT_HEADER_CRC) == header_crc(header, key)) {", "if (key.len > 0) {")),
    Mutant("miss-is-never-blind", "b", "empty-cut",
           ("mms_store.c", "\tdefault:\n\t\tversion.blind = !answer->authoritative;",
            "\tdefault:\n\t\tversion.blind = tombstone && !answer->authoritative;")),
    Mutant("every-miss-is-authoritative", "b", "empty-cut",
           ("mms_read.c", "\t\tanswer->authoritative = is_authoritative(reading);",
            "\t\tanswer->authoritative = is_authoritative(reading) || newest < 0;")),
    Mutant("blind-stays-blind-in-order", "b", "empty-cut",
           ("mms_record.c", "\tif (a->blind != b->blind) {\n\t\treturn a->blind ? -1 : 1;\n\t}\n", ""),
           ("mms_script.c", '\t"elseif (f%4>1)~=(g%4>1) then n=f%4>1\\n" \\\n', "")),
    Mutant("logout-of-nothing-is-real", "c", "empty-cut",
           ("mms_store.c", "\tdefault:\n\t\tversion.blind = !answer->authoritative;",
            "\tdefault:\n\t\tversion.blind = !tombstone && !answer->authoritative;")),
    Mutant("logout-stops-at-newer-incarnation", "c", None,
           ("mms_store.c", "#define DESTROY_ROUNDS_MAX 3 ", "#define DESTROY_ROUNDS_MAX 1 ")),
    Mutant("no-sequence", "d", "clocks",
           ("mms_store.c", "\t\t.sequence = mms_shm_next_sequence(client->shm),", "\t\t.sequence = 1,")),
    Mutant("any-run-id-is-complete", "e", "restore",
           ("mms_identity.c", "complete == 1 && strcmp(marked_run_id, run_id) == 0", "complete == 1"),
           ("mms_identity.c", "\treturn (old_run != 0 && old_run != identity->run_hash)\n\t\t\t|| (old_id", "\treturn ((old_id"),
           ("mms_identity.c", "old_id != identity->node_id);", "old_id != identity->node_id) || old_run == 1);")),
    Mutant("old-acknowledgements-count", "f", "empty",
           ("mms_greeting.c", "\tif (mms_identity_changed(node, identity)) {", "\tif (mms_identity_changed(node, identity) && false) {"),
           ("mms_repair.c", "#define SETTLE_US 2000000 ", "#define SETTLE_US 0 ")),
    Mutant("hint-dropped-at-first-try", "g", None,
           ("mms_delivery.c", "!enough && has_newest && result->answered_mask == all && parcel->ring_empty", "!enough")),
    Mutant("hint-dropped-when-node-lacks-newest", "g", "errors",
           ("mms_delivery.c", "!enough && has_newest && result", "!enough && result")),
    Mutant("hint-not-made", "g", None,
           ("mms_mirror.c", "\tif (mms_hints_add(&office->cluster->hints, item->key,",
            "\tif (item->ttl_ms > 0 || mms_hints_add(&office->cluster->hints, item->key,")),
    Mutant("nobody-sweeps-for-the-dead", "j", "php",
           ("mms_hosts.c", "\treturn is_life(name) && !mms_pairs_same(name", "\treturn since.us < 0 && is_life(name) && !mms_pairs_same(name")),
    Mutant("complete-after-one-source", "i", "empty-cut",
           ("mms_repair.c", "\tif (open == 0) {\n\t\trepair->step = STEP_CLOSING;",
            "\tif (open == 0 || progress->done_mask != 0) {\n\t\tprogress->done_mask = all_mask(office);\n"
            "\t\trepair->step = STEP_CLOSING;")),
    Mutant("full-mailbox-leaves-no-hint", "k", "cut",
           ("mms_write.c", "\t\thint_missing(writing);", "\t\t(void)hint_missing;")),
    Mutant("tombstone-lives-as-long-as-its-maker-says", "l", "life",
           ("mms_store.c", "\tif (answer->header.lifetime_s > header->lifetime_s) {",
            "\tif (!header->version.tombstone && answer->header.lifetime_s > header->lifetime_s) {"),
           ("mms_store.c", "\t\tif (answer->pttl_ms > 0 && (uint64_t)answer->pttl_ms > order.ttl_ms) {\n"
            "\t\t\torder.ttl_ms = (uint64_t)answer->pttl_ms;\n\t\t}\n\t\torder.ttl_ms += MMS_TOMBSTONE_GRACE_MS;", ""),
           ("mms_script.c", '" if p>0 and g%2==1 and f%2==0 then w=p+tonumber(ARGV[3]) end\\n"', '" w=l\\n"')),
    Mutant("tombstone-out-of-the-order", "order", None,
           ("mms_record.c", "\tif (a->tombstone != b->tombstone) {\n\t\treturn a->tombstone ? 1 : -1;\n\t}\n", ""),
           ("mms_script.c", '\t"elseif f%2~=g%2 then n=g%2==1\\n" \\\n', "")),
    Mutant("tie-break-swapped-here", "order", "clocks",
           ("mms_record.c", "return compare_numbers(a->writer, b->writer);", "return compare_numbers(b->writer, a->writer);")),
    Mutant("tie-break-swapped-on-the-server", "order", "clocks",
           ("mms_script.c", '"elseif a5~=b5 then n=b5>a5\\n"', '"elseif a5~=b5 then n=b5<a5\\n"'),
           ("mms_script.c", '"elseif a6~=b6 then n=b6>a6\\n"', '"elseif a6~=b6 then n=b6<a6\\n"')),
    Mutant("stamp-not-above-what-was-read", "hlc", "clocks",
           ("mms_store.c", "has_base ? answer->header.version.hlc : 0,", "has_base ? 0 : 0,")),
    Mutant("oldest-copy-read", "read", None,
           ("mms_read.c", "if (order > 0 || (order == 0", "if (order < 0 || newest < 0 || (order == 0")),
    Mutant("connection-used-after-a-timeout", "10", "network",
           ("mms_client.c", "\tif (mms_conn_state(conn) != MMS_CONN_CLOSED && mms_conn_outstanding(conn) == 0) {",
            "\tif (mms_conn_state(conn) != MMS_CONN_CLOSED) {"),
           ("mms_client.c", "\tmms_conn_close(client->conns[node]);\n\tswitch (status) {",
            "\tif (status != MMS_ERR_TIMEOUT) {\n\t\tmms_conn_close(client->conns[node]);\n\t}\n\tswitch (status) {")),
    Mutant("everybody-has-it", "mailbox", None,
           ("mms_write.c", "mms_mailbox_settle(&client->cluster->mailbox, &ticket, result->acked_mask);",
            "mms_mailbox_settle(&client->cluster->mailbox, &ticket, UINT64_MAX);")),
    Mutant("lost-mirrors-not-sent-again", "mailbox", None,
           ("mms_link.c", "\tlink->send_position = link->ack_position;\n", "\tlink->ack_position = link->send_position;\n")),
    Mutant("tail-does-not-wait-for-the-slowest", "mailbox", None,
           ("mms_mirror.c", "\t\tif (mms_mailbox_distance(link->ack_position, lowest) > 0) {",
            "\t\tif (i == 0 && mms_mailbox_distance(link->ack_position, lowest) > 0) {")),
    Mutant("watch-of-another-connection", "watch", "empty",
           ("mms_watch.c", "client->watches[watching->node].standing && sound", "sound")),
]

# Taken out and not found in 40000 schedules; run names them, so that nobody takes them for shown.
UNSEEN = {
    "h": "scan behind a dead host's marker: the sweep after its death (rule j) brings the same records",
    "g": "version in mms_hints_settle(): a hint that becomes newer while its delivery is under way",
}
