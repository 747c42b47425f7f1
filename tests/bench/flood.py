"""As many new sessions of 8 KiB as one process can write (flood.php), until all nodes hold the same."""
import collections
import hashlib
import time

from handlers import MESH, our_settings, persistent_settings
from report import span, whole


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


def one_flood(stage, count):
    """Figures of flood.php; equal: all nodes hold the same then; resyncs: counters of what was not simply mirrored."""
    nodes = stage.nodes[:3]
    for node in nodes:
        node.call("FLUSHALL")
    figures = stage.handlers.run("flood", "flood.php", "flood", 8192, count)
    contents = [digest(node, "f:") for node in nodes]
    counters = figures["counters"]
    for node in nodes:
        node.call("FLUSHALL")
    return {**figures, "rate": count / figures["seconds"], "equal": len(set(contents)) == 1 and contents[0][0] == count,
            "mib": figures["peak_kib"] / 1024,
            "resyncs": {name: counters[name] for name in ("repairs", "hints_made", "hint_overflows", "mirror_failures") if counters[name]}}


def one_flood_of_mesh(stage, count, limit=30):
    """The same; behind: until all nodes had as many sessions as were written, if what they had then turns out to be equal. That
    takes seconds to find out, which count for nobody; infinite where it was not so within limit seconds."""
    nodes = stage.mesh.nodes
    for node in nodes:
        node.call("FLUSHALL")
    before = stage.mesh.full_syncs()
    figures = stage.handlers.run("flood mesh", "flood.php", "flood", 8192, count)

    def equal():
        return len({digest(node, "PHPREDIS_SESSION:") for node in nodes}) == 1
    began, same, behind = time.monotonic(), False, float("inf")
    while not same and time.monotonic() - began < limit:
        try:
            whole = [node.call("DBSIZE") for node in nodes] == [count] * len(nodes)
            behind = time.monotonic() - began
            same = whole and equal()
        except Exception:  # it does not answer while it loads
            same = False
        time.sleep(0.02)
    return {"rate": count / figures["seconds"], "behind": behind if same else float("inf"), "equal": same,
            "mib": figures["peak_kib"] / 1024, "resyncs": {"full syncs": syncs} if (syncs := stage.mesh.full_syncs() - before) else {}}


def summed(turns):
    """Counters of all turns as text."""
    total = collections.Counter()
    for turn in turns:
        total.update(turn["resyncs"])
    return ", ".join(f"{count} {name}" for name, count in total.items()) or "none"


def floods(section, stage):
    count, runs = 200000 if section.runs >= 5 else 20000, section.few_runs()
    stage.handlers.add("flood", our_settings(stage.nodes[:3], prefix="f:"))
    kinds = {"newest": one_flood}
    if stage.mesh:
        stage.handlers.add("flood mesh", persistent_settings(stage.mesh.nodes[0]))
        kinds[MESH] = one_flood_of_mesh
    turns = {name: [] for name in kinds}
    for _ in range(runs):
        for name, one in kinds.items():
            turns[name].append(one(stage, count))
            section.dot()
    rows = [(name, span([turn["rate"] for turn in each]), span([turn["behind"] for turn in each]),
             f"{sum(turn['equal'] for turn in each)} of {runs}", span([turn["mib"] for turn in each], whole), summed(each))
            for name, each in turns.items()]
    section.table(f"{count} new sessions of 8 KiB at full speed to 3 nodes, {runs} turns; memory: the most that the writing process had",
                  ["handler", "sessions/s", "s until all nodes have them", "equal", "MiB", "resyncs, hints"], rows)
    marks(section, turns["newest"], "" if count == 200000 else f" (with {count} sessions only)")


def marks(section, turns, what):
    behind, mib = [turn["behind"] for turn in turns], [turn["mib"] for turn in turns]
    equal = all(turn["equal"] for turn in turns)
    section.mark("flood-equal", f"{span(behind)} s, {'equal' if equal else 'not equal'}{what}",
                 equal and all(turn["flushed"] for turn in turns) and max(behind) <= 1, lambda: by_turn(turns))
    section.mark("flood-resync", f"{summed(turns)}{what}", not any(turn["resyncs"] for turn in turns), lambda: by_turn(turns))
    section.mark("flood-memory", f"{span(mib, whole)} MiB with mailbox_size = 32 MiB{what}", max(mib) < 32 + 24, lambda: by_turn(turns))


def by_turn(turns):
    """The reason, as far as it was counted: each turn's figures and what its mailbox did."""
    return "; ".join(f"turn {1 + index}: {turn['behind']:.2f} s behind, all nodes equal: {'yes' if turn['equal'] else 'no'}, mailbox full "
                     f"{turn['counters']['mailbox_full']} times, {turn['mailbox_entries']} entries in it at the end of writing, memory at its end "
                     f"{turn['anon_kib'] / 1024:.0f} MiB of its own and {turn['shared_kib'] / 1024:.0f} MiB shared, {summed([turn])}"
                     for index, turn in enumerate(turns))
