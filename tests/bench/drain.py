"""What one replicator can carry: how fast a full mailbox empties, by number of peers (drain.php)."""
import glob
import json
import os
import statistics

from costs import parse
from handlers import cpu_us, our_settings
from report import number, spread

PEER_COUNTS = (1, 2, 4, 6)
POOL = 500  # sessions
FEW, MANY = 300, 1100  # writes to be counted by callgrind
# Peers that are stopped on purpose are neither given up nor turned into hints.
PATIENT = {"mailbox_size": "512M", "read_timeout_ms": 10000, "budget_ms": 60000, "read": "local"}


def one_drain(stage, name, peers, size, count, wrapper=()):
    """Peers are stopped, the mailbox is filled, the peers go on, and the time until all is acknowledged counts."""
    process = stage.handlers.start(name, "drain.php", f"drain{size}", size, count, POOL, wrapper=wrapper)

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
        cpu = sum(cpu_us(node.pid) for node in peers)
        # The line first: what is counted begins when the peers go on.
        process.stdin.write("\n")
        process.stdin.flush()
    finally:
        for node in peers:
            node.cont()
    figures = json.loads(process.stdout.readline())
    figures["servers"] = (sum(cpu_us(node.pid) for node in peers) - cpu) / count / len(peers)
    process.stdin.close()
    process.wait(60)
    if not figures["flushed"] or figures["refused"]:
        raise RuntimeError(f"drain: {figures}")
    figures["writes"] = count / figures["seconds"]
    figures["mirrors"] = figures["writes"] * len(peers)
    figures["mb"] = figures["mirrors"] * size / 1e6
    return figures


def replicator_instructions(stage, name, peers, count):
    """Instructions of all threads but the first, by callgrind, in a drain of so many writes."""
    out = os.path.join(stage.folder, "drain-callgrind")
    for old in glob.glob(out + "*"):
        os.unlink(old)
    one_drain(stage, name, peers, 1024, count, ["valgrind", "-q", "--tool=callgrind", "--separate-threads=yes", f"--callgrind-out-file={out}"])
    total = 0
    for path in glob.glob(out + "-*"):
        if not path.endswith("-01"):
            with open(path) as lines:
                total += sum(count for library, count in parse(lines).items() if library != "allocations")
    return total


def why_no_more(stage, turns):
    """The reason in instructions: what a write to two peers costs the replicator more where there are more of them."""
    few, many = (replicator_instructions(stage, "2 peers", stage.nodes[1:3], count) for count in (FEW, MANY))
    middle = {field: statistics.median(turn[field] for turn in turns) for field in ("replicator", "servers")}
    return (f"{(many - few) / (MANY - FEW):.0f} instructions of the replicator per write to two peers (callgrind; its rounds while the mailbox "
            f"fills are among them); {middle['replicator']:.1f} us of its CPU, and "
            f"{middle['servers']:.1f} us of CPU of each peer's server per mirror, on {os.cpu_count()} cores")


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
                     number(cpu), number(statistics.median(turn["servers"] for turn in each)), f"{1e6 / cpu:.0f}", f"{1e6 * peers / cpu:.0f}"))
    section.table("A full mailbox empties to peers on this machine; CPU of the replicator thread, and what it could do with that "
                  "alone on a core",
                  ["peers", "KiB", "writes/s (least..most)", "mirrors/s (least..most)", "MB/s", "us of CPU per write", "of a server per mirror", "writes/s by CPU", "mirrors/s by CPU"], rows)
    if not section.marks_only:
        section.picture("lag-capacity", "One replicator by number of peers, 1 KiB", "peers, all on one machine", "per second", {
            "writes": [(peers, statistics.median(turn["writes"] for turn in turns[peers, 1024])) for peers in PEER_COUNTS],
            "mirrors": [(peers, statistics.median(turn["mirrors"] for turn in turns[peers, 1024])) for peers in PEER_COUNTS],
            "mirrors, by the replicator's CPU": [(peers, 1e6 * peers / statistics.median(turn["replicator"] for turn in turns[peers, 1024]))
                                                 for peers in PEER_COUNTS]})
    two = turns[2, 1024]
    mirrors, cpu = statistics.median(turn["mirrors"] for turn in two), statistics.median(turn["replicator"] for turn in two)
    section.mark("lag-capacity", f"{mirrors:.0f} mirrors/s ({mirrors / 2:.0f} writes/s to both); {cpu:.1f} us of CPU of the replicator per write, "
                 f"{2e6 / cpu:.0f} mirrors/s if it had a core", mirrors >= 100000,
                 lambda: why_no_more(stage, two))
    return mirrors / 2
