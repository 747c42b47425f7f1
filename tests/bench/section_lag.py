"""lag: from the acknowledged write to its presence on every peer, how much one replicator can carry, and what that costs."""
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time

from handlers import HERE, MESH, Stage, our_settings
from report import number, spread
from rig.host import phpredis_settings

TITLE = "Mirrors"
LOADS = (0.01, 0.5, 0.9)
SECONDS = 2
PEER_COUNTS = (1, 2, 4, 6)
# Peers that are stopped on purpose are neither given up nor turned into hints.
PATIENT = {"mailbox_size": "512M", "read_timeout_ms": 10000, "budget_ms": 60000, "read": "local"}


def paced(handlers, name, *arguments):
    """(lines of seconds, closing line) of pace.php."""
    process = handlers.start(name, "pace.php", *arguments)
    # Not communicate(): it closes stdin, whose end would end the script.
    out, errors = process.stdout.read(), process.stderr.read()
    process.wait(60)
    process.stdin.close()
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    if process.returncode or not lines or not lines[-1].get("done"):
        raise RuntimeError(f"{name}: pace.php: code {process.returncode}: {out[-300:]} {errors[-500:]}")
    return lines[:-1], lines[-1]


class Observer:
    """Watches nodes for the probes of pace.php; use as context manager, then look at seen."""

    def __init__(self, nodes, events, prefix):
        for node in nodes:
            node.call("CONFIG", "SET", "notify-keyspace-events", "K$g")
        self._process = subprocess.Popen([sys.executable, "-B", os.path.join(HERE, "observer.py"), events, prefix, *(node.socket for node in nodes)],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout.readline() == "ready\n"
        self.seen = []

    def __enter__(self):
        return self

    def __exit__(self, *_exception):
        self._process.stdin.write("\n")
        self._process.stdin.close()
        self.seen = json.loads(self._process.stdout.readline() or "[]")
        self._process.wait(10)


def lags_us(probes, seen):
    """(lag of each probe that has arrived everywhere, how many have not)"""
    lags, missing = [], 0
    for turn, at in probes.items():
        arrivals = [each.get(turn) for each in seen]
        if None in arrivals:
            missing += 1
        else:
            lags.append(max(0, (max(arrivals) - at) / 1000))
    return sorted(lags), missing


def lag_at(stage, name, nodes, prefix, rate, run, seconds):
    every = max(1, int(rate * seconds / 400))
    session = f"lag{run}x{int(rate)}"
    with Observer(nodes, "rename_to,set", f"{prefix}{session}probe") as observer:
        _, done = paced(stage.handlers, name, session, 1024, rate, seconds, every)
        time.sleep(0.3)  # phpredis has nothing to wait with for the last ones
    lags, missing = lags_us(done["probes"], observer.seen)
    if not lags:
        raise RuntimeError(f"{name}: none of {len(done['probes'])} probes was seen on the peers")

    def at(share):
        return lags[min(len(lags) - 1, int(share * len(lags)))]
    return {"p50": at(0.5), "p99": at(0.99), "most": lags[-1], "missing": missing, "rate": done["count"] / done["seconds"]}


def by_load(section, stage):
    kinds = {mode: (stage.nodes[1:3], "mms:") for mode in ("newest",)}
    stage.handlers.add("newest", our_settings(stage.nodes[:3], read="newest"))
    if stage.mesh:
        stage.handlers.add(MESH, phpredis_settings(f"unix://{stage.mesh.nodes[0].socket}?persistent=1"))
        kinds[MESH] = (stage.mesh.nodes[1:], "PHPREDIS_SESSION:")
    seconds = SECONDS * (3 if section.full else 1)
    capacity = {name: [] for name in kinds}
    for run in range(section.runs):
        for name in kinds:
            _, done = paced(stage.handlers, name, f"capacity{run}", 1024, 0, seconds)
            capacity[name].append(done["count"] / (done["seconds"] + done["behind"]))
            section.dot()
    turns = {}
    for run in range(section.runs):
        for load in LOADS:
            for name, (nodes, prefix) in kinds.items():
                rate = max(5, load * statistics.median(capacity[name]))
                turns.setdefault((name, load), []).append(lag_at(stage, name, nodes, prefix, rate, run, seconds))
                section.dot()
    rows, lines = [], {}
    for (name, load), each in turns.items():
        rows.append((name, f"{load:.0%}", f"{statistics.median(turn['rate'] for turn in each):.0f}",
                     *(spread([turn[field] for turn in each], "{:.0f}") for field in ("p50", "p99", "most")),
                     sum(turn["missing"] for turn in each)))
        lines.setdefault(f"{name}, p50", []).append((100 * load, max(1, statistics.median(turn["p50"] for turn in each))))
        lines.setdefault(f"{name}, p99", []).append((100 * load, max(1, statistics.median(turn["p99"] for turn in each))))
    section.table("Lag of 1 KiB: from the return of session_write_close to presence on both peers, us (least..most); capacity of one "
                  "PHP process: " + ", ".join(f"{name} {spread(each, '{:.0f}')}/s" for name, each in capacity.items()),
                  ["handler", "load", "writes/s", "p50", "p99", "most", "missing"], rows)
    if not section.marks_only:
        section.picture("lag", "Mirror lag by load", "% of what one PHP process can write", "us (1: there before the answer)", lines, logy=True)
    half = [turn["p99"] / 1000 for turn in turns["newest", 0.5]]
    section.mark("lag-half", f"{spread(half)} ms", statistics.median(half) <= 5)


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


def capacity(section, stage):
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


# --- the flood --------------------------------------------------------------------------------------------------------

def digest(node, prefix):
    """(number of sessions, hash over their ids and bytes); not the module's own keys."""
    count, total = 0, 0
    with node.client(timeout=60) as client:
        cursor = b"0"
        while True:
            cursor, keys = client.call("SCAN", cursor, "MATCH", f"{prefix}*", "COUNT", 1000)
            keys = [key for key in set(keys) if not key.startswith(prefix.encode() + b":")]
            for key, value in zip(keys, client.pipeline([("GET", key) for key in keys]) if keys else ()):
                total ^= int.from_bytes(hashlib.blake2b(key + b"\0" + value, digest_size=16).digest(), "big")
                count += 1
            if cursor == b"0":
                return count, total


def flood(section, stage):
    """As many new sessions of 8 KiB as one process can write, until all nodes hold the same."""
    count = 200000 if section.runs >= 5 else 20000
    stage.handlers.add("flood", our_settings(stage.nodes[:3], prefix="f:"))
    for node in stage.nodes[:3]:
        node.call("FLUSHALL")
    ours = stage.handlers.run("flood", "flood.php", "flood", 8192, count)
    section.dot()
    contents = [digest(node, "f:") for node in stage.nodes[:3]]
    equal = len(set(contents)) == 1 and contents[0][0] == count
    counters = ours["counters"]
    resyncs = {name: counters[name] for name in ("repairs", "hints_made", "hint_overflows", "mirror_failures") if counters[name]}
    rows = [("newest", number(count / ours["seconds"]), f"{ours['behind']:.2f}", "yes" if equal else f"no: {contents}",
             f"{ours['peak_kib'] / 1024:.0f}", str(resyncs or "none"))]
    for node in stage.nodes[:3]:
        node.call("FLUSHALL")
    if stage.mesh:
        rows.append(flood_mesh(stage, count))
        section.dot()
    section.table(f"{count} new sessions of 8 KiB at full speed to 3 nodes; memory: the most that the writing process had",
                  ["handler", "sessions/s", "s until all nodes have them", "equal", "MiB", "resyncs, hints"], rows)
    what = "" if count == 200000 else f" (with {count} sessions only)"
    section.mark("flood-equal", f"{ours['behind']:.2f} s, {'equal' if equal else 'not equal'}{what}",
                 equal and ours["flushed"] and ours["behind"] <= 1)
    section.mark("flood-resync", f"{resyncs or 'none'}{what}", not resyncs)
    section.mark("flood-memory", f"{ours['peak_kib'] / 1024:.0f} MiB with mailbox_size = 32 MiB{what}", ours["peak_kib"] < (32 + 24) * 1024)


def flood_mesh(stage, count):
    nodes = stage.mesh.nodes
    for node in nodes:
        node.call("FLUSHALL")
    stage.handlers.add("flood mesh", phpredis_settings(f"unix://{nodes[0].socket}?persistent=1"))
    before, limit = stage.mesh.full_syncs(), 30
    theirs = stage.handlers.run("flood mesh", "flood.php", "flood", 8192, count)

    def equal():
        return len({digest(node, "PHPREDIS_SESSION:") for node in nodes}) == 1
    began, same = time.monotonic(), False
    while not same and time.monotonic() - began < limit:
        try:
            same = [node.call("DBSIZE") for node in nodes] == [count] * len(nodes) and equal()
        except Exception:  # it does not answer while it loads
            same = False
        time.sleep(0.2)
    took = time.monotonic() - began
    sizes = ", ".join(str(node.call("DBSIZE")) for node in nodes)
    return (MESH, number(count / theirs["seconds"]), f"{took:.1f}" if same else f"not within {limit}: {sizes}", "yes" if same else "no",
            f"{theirs['peak_kib'] / 1024:.0f}", f"{stage.mesh.full_syncs() - before} full syncs")


def run(section):
    with Stage(3, mesh=True) as stage:
        by_load(section, stage)
        flood(section, stage)
    with Stage(1 + max(PEER_COUNTS)) as stage:
        capacity(section, stage)
