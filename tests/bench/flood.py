"""As many new sessions of 8 KiB as one process can write (flood.php), until all nodes hold the same."""
import hashlib
import time

from handlers import MESH, our_settings
from report import number
from rig.host import phpredis_settings


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


def floods(section, stage):
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
