"""B2: what it costs when a node comes back. Headers are compared; records move only where versions differ. And who goes on
when whoever compares them is killed."""
import os
import signal
import threading
import time

import pytest

from rig.process import until
from rig.results import add, bar, timing

FILL = 1000             # bytes of each session
PER_KEY = 300           # bytes that one comparison may cost a node
IDLE = 256 << 10        # heartbeats, looks at the status, and what this test asks meanwhile
BATCH = 5000
MIB = 1 << 20


class Used:
    """used_memory of nodes at its start, and the highest while it runs."""

    def __init__(self, nodes):
        self._nodes, self._stopping = nodes, threading.Event()
        self.first = self.highest = self._look()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _look(self):
        return [int(node.info("memory")["used_memory"]) for node in self._nodes]

    def _watch(self):
        while not self._stopping.wait(0.05):
            self.highest = [max(pair) for pair in zip(self.highest, self._look())]

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exception):
        self._stopping.set()
        self._thread.join()


def _write(host, prefix, count, value):
    for start in range(0, count, BATCH):
        size = min(BATCH, count - start)
        assert host.bulk("write", prefix, size, start=start, value=value, fill=FILL)["good"] == size


def _net(node):
    stats = node.info("stats")
    return int(stats["total_net_input_bytes"]), int(stats["total_net_output_bytes"])


def _counter(shop, name):
    return sum(host.status()["counters"][name] for host in shop.hosts)


def _whole(hosts, victim):
    """Each of them says so, and has nothing left to deliver."""
    status = [host.node_status(victim.name) for host in hosts]
    return all(each["complete"] and each["state"] == "closed" and not each["hints"] and not each["behind"] for each in status)


def _rejoin(shop, victim, how, missed, limit):
    """Starts the killed node as `how` says, waits until it is whole, and holds the costs against what it missed (bytes)."""
    survivors = [node for node in shop.nodes if node is not victim]
    before = [_net(node) for node in survivors] + [(0, 0)]
    compared = _counter(shop, "repair_scanned")
    with Used(survivors) as used:
        data = min(used.first)
        victim.restart(empty=how == "empty")
        began = time.monotonic()
        if how == "empty":
            victim.call("CONFIG", "SET", "maxmemory", data * 11 // 10)
        until(lambda: _whole(shop.hosts, victim), limit, f"{victim.name} is whole", every=0.1)
        took = time.monotonic() - began
    compared = _counter(shop, "repair_scanned") - compared
    moved = [tuple(now - then for now, then in zip(_net(node), old)) for node, old in zip([*survivors, victim], before)]
    peak = int(victim.info("memory")["used_memory_peak"])
    look = shop.wait_equal(30)
    names = [node.name for node in (*survivors, victim)]
    add("B2", f"back {how}: MiB received and sent by each node, {victim.name} is the one that was away",
        ", ".join(f"{name} {got / MIB:.2f} and {sent / MIB:.2f}" for name, (got, sent) in zip(names, moved)))
    received = [got for got, _ in moved]
    bar("B2", f"back {how}: no node is sent more than {PER_KEY} bytes per comparison, and {victim.name} what it missed",
        f"{received[-1] / MIB:.2f} MiB, missed {missed / MIB:.2f}, others {max(received[:-1]) / MIB:.2f}, {compared} comparisons",
        received[-1] <= missed + PER_KEY * compared + IDLE and max(received[:-1]) <= PER_KEY * compared + IDLE)
    keys = sum(node.call("DBSIZE") for node in shop.nodes)
    goal = 1.15 * missed + 200 * keys
    bar("B2", f"back {how}: all nodes together are sent <= 1.15 of what it missed + 200 bytes per key and node",
        f"{sum(received) / MIB:.2f} MiB, goal {goal / MIB:.2f}", sum(received) <= goal)
    bar("B2", f"back {how}: its memory <= data + 16 MB", f"peak {peak / MIB:.1f} MiB, data {data / MIB:.1f}", peak <= data + 16 * MIB)
    bar("B2", f"back {how}: memory of the others grows by at most 5 % + 1 MB", f"{[round(each / MIB, 1) for each in used.highest]} of "
        f"{[round(each / MIB, 1) for each in used.first]} MiB",
        all(high <= 1.05 * first + MIB for high, first in zip(used.highest, used.first)))
    timing("B2", f"back {how}: complete and equal" + ", with maxmemory at 1.1 of the data" * (how == "empty"),
           f"complete after {took:.1f} s, all seen equal {look:.1f} s later", took < limit)
    return compared


@pytest.mark.row("B2")
def test_a_node_that_rejoins_is_sent_what_it_missed_and_no_more(cluster, new_id, full):
    count, limit = (100000, 240) if full else (20000, 30)
    shop, prefix = cluster(3, 2), new_id()
    victim, changed = shop.nodes[2], count // 100
    _write(shop.hosts[0], prefix, count, "first")
    assert all(host.flush(30000) for host in shop.hosts)
    until(lambda: all(node.call("DBSIZE") >= count for node in shop.nodes), 30, "all nodes have all")
    # The first comparison of everything, 10 s after PHP came, is not what this is about.
    until(lambda: all(node.call("HGET", "mms::lives", "swept") for node in shop.nodes), 60, "the first sweep is over")
    size = len(shop.nodes[0].call("GET", f"mms:{prefix}0")) + len(f"mms:{prefix}{count}")
    add("B2", "sessions, bytes of each, changed while it is away", f"{count}, {size}, {changed}")
    victim.save()
    victim.kill()
    _write(shop.hosts[1], prefix, changed, "second")
    compared = _rejoin(shop, victim, "with its old data", changed * size, limit)
    assert compared >= count, "no scan has run"
    victim.kill()
    _write(shop.hosts[1], prefix, changed, "third")
    compared = _rejoin(shop, victim, "empty", count * size, limit)
    assert compared >= count, "no scan has run"


LEASE_S = 5         # docs/protocol.md, "Repair scan"
STEP = 264          # sessions of one step of SCAN, and those under way
BETWEEN_S = 4       # from the lease's end to the next try (2 s) and its look at what was left (2 s)
RATE = 1 << 20      # bytes a second that a scan may compare and move; a comparison counts as 100 for each node


class Writer:
    """A host where visitors go on writing while others are killed."""

    def __init__(self, host, prefix):
        self._host, self._prefix, self._stopping = host, prefix, threading.Event()
        self.written, self.refused = 0, []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stopping.wait(0.02):
            answer = self._host.visit(f"{self._prefix}{self.written}", "start;set:value:meanwhile;close")
            self.refused += answer["warnings"]
            self.written += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_exception):
        self._stopping.set()
        self._thread.join()


def _repairer(shop, victim, moved):
    """The host whose scan of this node has moved so many sessions by now; None while there is none."""
    for host in shop.hosts:
        repair = host.node_status(victim.name)["repair"]
        if repair["running"] and repair["moved"] > moved:
            return host
    return None


def _kill(host, what):
    if what == "host":
        host.kill_all()
    else:
        os.kill(host.status()["replicator"]["pid"], signal.SIGKILL)


@pytest.mark.row("repair-killed")
@pytest.mark.row("F42")
@pytest.mark.parametrize("what", ["host", "replicator"])
def test_a_scan_goes_on_when_whoever_holds_its_lease_is_killed(cluster, new_id, full, what):
    count = 20000 if full else 1500
    shop, prefix, later = cluster(3, 3, mmsession={"repair_rate": RATE, "repair_interval": 0}), new_id(), new_id()
    victim = shop.nodes[2]
    _write(shop.hosts[0], prefix, count, "first")
    assert all(host.flush(30000) for host in shop.hosts)
    until(lambda: all(node.call("DBSIZE") >= count for node in shop.nodes), 30, "all nodes have all")
    scan = count * (len(shop.nodes[0].call("GET", f"mms:{prefix}0")) + 3 * 100) / RATE
    before = [host.status()["counters"]["repair_scanned"] for host in shop.hosts]
    victim.restart(empty=True)
    holder = until(lambda: _repairer(shop, victim, count // 5), 30, "a scan", every=0.02)
    others = [host for host in shop.hosts if host is not holder]
    compared = [host.status()["counters"]["repair_scanned"] for host in others]
    with Writer(others[0], later) as writer:
        lease, left = victim.call("GET", "mms::lease"), count - victim.call("DBSIZE")
        _kill(holder, what)
        killed = time.monotonic()
        until(lambda: _whole(others, victim), 60 + 3 * scan, f"{victim.name} is whole", every=0.1)
        took = time.monotonic() - killed
    compared = [host.status()["counters"]["repair_scanned"] - then for host, then in zip(others, compared)]
    bar("repair-killed", f"{what}: killed with the lease, in the middle", f"{left} of {count} sessions were missing",
        lease is not None and left > count // 10)
    timing("repair-killed", f"{what}: complete within lease ({LEASE_S} s), next try ({BETWEEN_S} s) and scan ({scan:.1f} s)",
           f"{took:.1f} s, compared by other hosts {compared}", took <= LEASE_S + BETWEEN_S + scan)
    assert what == "replicator" or any(compared), "nobody went on"
    if what == "replicator":
        compared = sum(host.status()["counters"]["repair_scanned"] for host in shop.hosts) - sum(before)
        bar("repair-killed", "replicator: the next process goes on where it was: of the sessions at most those of two steps are compared twice",
            f"{compared} comparisons of {count} sessions and {writer.written} written meanwhile", compared <= count + writer.written + 2 * STEP)
    bar("repair-killed", f"{what}: all nodes equal within 10 s", f"{shop.wait_equal(10):.1f} s", True)
    good = [others[1].bulk("read", start, number, value=value)["good"]
            for start, number, value in ((prefix, count, "first"), (later, writer.written, "meanwhile"))]
    bar("repair-killed", f"{what}: nothing is lost, also of what is written meanwhile", f"{good} of {[count, writer.written]} as written, "
        f"{len(writer.refused)} refused {writer.refused[:1]}", good == [count, writer.written] and not writer.refused and writer.written > 10)
