"""What one replicator can carry: how fast a full mailbox empties, by number of peers (drain.php)."""
import json
import statistics

from handlers import our_settings
from report import number, spread

PEER_COUNTS = (1, 2, 4, 6)
# Peers that are stopped on purpose are neither given up nor turned into hints.
PATIENT = {"mailbox_size": "512M", "read_timeout_ms": 10000, "budget_ms": 60000, "read": "local"}


def one_drain(stage, name, peers, size, count):
    """Peers are stopped, the mailbox is filled, the peers go on, and the time until all is acknowledged counts."""
    process = stage.handlers.start(name, "drain.php", f"drain{size}", size, count, 500)

    def expect(word):
        line = process.stdout.readline()
        if line.strip() != word:
            process.kill()
            raise RuntimeError(f"drain.php: {line}{process.stdout.read()[:300]}{process.stderr.read()[:500]}")
    expect("ready")
    for node in peers:
        node.stop()
    try:
        process.stdin.write("\n")
        process.stdin.flush()
        expect("full")
        # The line first: what is counted begins when the peers go on.
        process.stdin.write("\n")
        process.stdin.flush()
    finally:
        for node in peers:
            node.cont()
    figures = json.loads(process.stdout.readline())
    process.stdin.close()
    process.wait(60)
    if not figures["flushed"] or figures["refused"]:
        raise RuntimeError(f"drain: {figures}")
    figures["writes"] = count / figures["seconds"]
    figures["mirrors"] = figures["writes"] * len(peers)
    figures["mb"] = figures["mirrors"] * size / 1e6
    return figures


def drains(section, stage):
    """The table; returns writes/s of 1 KiB that reach two peers."""
    count = 60000 if section.full else 20000
    cases = [(2, 1024)] if section.marks_only else [(peers, 1024) for peers in PEER_COUNTS] + [(2, 8192)]
    for peers in {peers for peers, _ in cases}:
        stage.handlers.add(f"{peers} peers", our_settings(stage.nodes[:peers + 1], prefix=f"d{peers}:", **PATIENT))
    turns = {case: [] for case in cases}
    for _ in range(section.runs):
        for peers, size in cases:
            turns[peers, size].append(one_drain(stage, f"{peers} peers", stage.nodes[1:peers + 1], size, count if size == 1024 else count // 4))
            section.dot()
    rows = []
    for (peers, size), each in turns.items():
        cpu = statistics.median(turn["replicator"] for turn in each)
        rows.append((peers, number(size / 1024), *(spread([turn[field] for turn in each], "{:.0f}") for field in ("writes", "mirrors", "mb")),
                     number(cpu), f"{1e6 / cpu:.0f}", f"{1e6 * peers / cpu:.0f}"))
    section.table("A full mailbox empties to peers on this machine; CPU of the replicator thread, and what it could do with that "
                  "alone on a core",
                  ["peers", "KiB", "writes/s (least..most)", "mirrors/s (least..most)", "MB/s", "us of CPU per write", "writes/s by CPU", "mirrors/s by CPU"], rows)
    if not section.marks_only:
        section.picture("lag-capacity", "One replicator by number of peers, 1 KiB", "peers, all on one machine", "per second", {
            "writes": [(peers, statistics.median(turn["writes"] for turn in turns[peers, 1024])) for peers in PEER_COUNTS],
            "mirrors": [(peers, statistics.median(turn["mirrors"] for turn in turns[peers, 1024])) for peers in PEER_COUNTS],
            "mirrors, by the replicator's CPU": [(peers, 1e6 * peers / statistics.median(turn["replicator"] for turn in turns[peers, 1024]))
                                                 for peers in PEER_COUNTS]})
    two = turns[2, 1024]
    mirrors, cpu = statistics.median(turn["mirrors"] for turn in two), statistics.median(turn["replicator"] for turn in two)
    section.mark("lag-capacity", f"{mirrors:.0f} mirrors/s ({mirrors / 2:.0f} writes/s to both); {cpu:.1f} us of CPU of the replicator per write, "
                 f"{2e6 / cpu:.0f} mirrors/s if it had a core", mirrors >= 100000)
    return mirrors / 2
