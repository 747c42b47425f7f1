"""Nodes that come back with nothing, with too little or too late, and what they must not spoil."""
import os
import random
import signal
import threading
import time

import pytest

from measure import WAIT_S, WORKERS, Phases, allowed, ms, no_harm, none_failed, only_first_slow, seconds, wait_closed
from rig import record
from rig.monitor import Monitor, connections
from rig.process import Late, memory_kib, until
from rig.resp import ReplyError
from rig.results import add, bar, timing, within


@pytest.mark.row("F03")
@pytest.mark.row("A5")
def test_a_write_is_on_a_peer_when_its_local_node_dies_right_after_the_answer(cluster, new_id, full):
    shop = cluster(3, 1, workers=2)
    host, node, trials = shop.hosts[0], shop.nodes[0], 1000 if full else 20
    late, took = [], []
    peers = [peer.client() for peer in shop.nodes[1:]]
    for number in range(trials):
        session = new_id()
        # A fresh start of PHP forgets the last trial: no breaker is open, no node counts as unsettled.
        assert host.put(new_id(), "a", "b") and host.flush()
        assert host.node_status("web1")["state"] == "closed"
        acknowledged = host.put(session, "n", number)
        os.kill(node.pid, signal.SIGKILL)
        answered = time.monotonic()
        assert acknowledged
        try:
            until(lambda: any(peer.call("EXISTS", f"mms:{session}") for peer in peers), 2, "on a peer", every=0.0005)
            took.append(time.monotonic() - answered)
        except Late:
            took.append(float("inf"))
        if took[-1] > 0.05:
            late.append((number, took[-1]))
        node.restart(empty=True)
        host.reload()
    for peer in peers:
        peer.close()
    reached = sum(1 for each in took if each < float("inf"))
    bar("F03", f"{trials} of {trials} on a peer", reached, reached == trials)
    timing("F03", "each readable there within 50 ms", f"{len(late)} late, slowest {max(took) * 1000:.1f} ms {late[:2]}",
           not late)


def _probes(host, node, lines):
    """(good probes, seconds from the first to the second, commands of workers before the second) of a host's return to a node that
    was silent. Probes are the replicator's PINGs, and the greeting where its connection is a new one. Connections that were given
    up do not count, though the node reads what was asked on them when it goes on."""
    alive = {f"{node.host}:{port}" for port in connections(host.workers(), node.port)}
    mine = [line for line in lines if line.address in alive]
    prober = next((line.address for line in mine if line.words[0] == "PING"), None)
    asked = [line for line in mine if line.address == prober]
    greeted = [line.at for line in asked[:1] if any(each.words[0] == "SCRIPT" for each in asked)]
    good = greeted + [line.at for line in asked if line.words[0] == "PING"]
    early = [line for line in mine if line.address != prober and line.at < good[1]] if len(good) > 1 else mine
    return len(good), good[1] - good[0] if len(good) > 1 else 0.0, len(early)


@pytest.mark.row("F06")
@pytest.mark.row("C9")
def test_a_node_that_wakes_with_old_content_shows_nothing_old(cluster, new_id, full):
    shop = cluster(3, 3, local_tcp=True)
    host, sleeper, prefix, count = shop.hosts[0], shop.nodes[1], new_id(), 2000 if full else 200
    assert host.bulk("write", prefix, count, value="old")["good"] == count
    shop.wait_equal(10)
    monitor = Monitor(sleeper).start()
    sleeper.stop()
    asleep = time.monotonic()
    refused = [answer for each in (host, shop.hosts[2]) for answer in each.bulk("write", prefix, count, value="new")["bad"]]
    until(lambda: all(each.node_status("web2")["state"] != "closed" for each in shop.hosts), 10, "web2 is given up by all")
    time.sleep(max(0.0, seconds(full, 60, 2) - (time.monotonic() - asleep)))
    sleeper.cont()
    awake, rounds, wrong, closed, extra = time.monotonic(), 0, [], None, 0
    while closed is None or extra < 2:
        for each in shop.hosts:
            wrong += each.bulk("read", prefix, count, value="new")["bad"]
        rounds += len(shop.hosts)
        if closed is None and all(each.node_status("web2")["state"] == "closed" for each in shop.hosts):
            closed = time.monotonic() - awake
        extra += closed is not None
        assert time.monotonic() - awake < 20, "web2 is not used again"
    took = shop.wait_equal(10)
    probes = [_probes(each, sleeper, monitor.lines) for each in shop.hosts]
    monitor.stop()
    said = ", ".join(f"{number} probes, {1000 * apart:.0f} ms apart, {early} requests before" for number, apart, early in probes)
    bar("F06", "no request is sent to it before the second good probe", said, all(early == 0 for _, _, early in probes))
    timing("F06", "each host uses it again after exactly two good probes 100 ms apart", said,
           all(number == 2 and apart >= 0.095 for number, apart, _ in probes))
    bar("F06", "0 refused while it slept", f"{len(refused)} {refused[:1]}", not refused)
    bar("F06", f"0 stale reads of {rounds * count} after it woke", f"{len(wrong)} {wrong[:2]}", not wrong)
    bar("F06", "converged within 10 s", f"used again after {closed:.1f} s, equal {took:.1f} s later", closed + took <= 10)


class Peak:
    """Highest private memory of some processes while it runs, in KiB above what they had at its start."""

    def __init__(self, pids):
        self._pids, self._stopping = list(pids), threading.Event()
        self.first = {pid: memory_kib(pid) for pid in self._pids}
        self.highest = dict(self.first)
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def _watch(self):
        while not self._stopping.wait(0.02):
            for pid in self._pids:
                try:
                    self.highest[pid] = max(self.highest[pid], memory_kib(pid))
                except (FileNotFoundError, KeyError, ProcessLookupError):
                    pass

    def __exit__(self, *_exception):
        self._stopping.set()
        self._thread.join()

    @property
    def grown_kib(self):
        return max(self.highest[pid] - self.first[pid] for pid in self._pids)


def _logged_out(host, prefix, numbers, value):
    """Visitors whom a strict host gave another id, or who do not find their value."""
    found = []
    for number in numbers:
        answer = host.visit(f"{prefix}{number}", "strict:1;start;get:value;close")
        if answer["id"] != f"{prefix}{number}" or answer["values"].get("value") != value or answer["warnings"]:
            found.append((number, answer["id"], answer["values"], answer["warnings"]))
    return found


@pytest.mark.core
@pytest.mark.row("F30")
@pytest.mark.row("C9")
def test_an_emptied_local_node_logs_nobody_out_and_is_filled_again(cluster, new_id, full, size, server):
    shop = cluster(size, 2, program=server)
    host, node, prefix, count = shop.hosts[0], shop.nodes[0], new_id(), 2000
    chance, out, looked = random.Random(30), [], 0
    assert host.bulk("write", prefix, count, value="here", fill=8000)["good"] == count
    shop.wait_equal(10)
    moved = sum(each.status()["counters"]["repair_bytes"] for each in shop.hosts)
    with Phases(shop, full) as phases:
        phases.run("healthy", 1)
        workers = [pid for each in shop.hosts for pid in each.workers()]
        with Peak(workers) as peak:
            node.restart(empty=True)
            back = time.monotonic()
            while time.monotonic() - back < seconds(full, 60, 3) or not all(
                    each.node_status("web1")["complete"] for each in shop.hosts):
                for each in shop.hosts:
                    numbers = chance.sample(range(count), 20)
                    out, looked = out + _logged_out(each, prefix, numbers, "here"), looked + 20
                phases.run("empty", 0.2)
                assert time.monotonic() - back < 90, "web1 is not complete again"
            whole = time.monotonic() - back
    failed = phases.load.failed()
    took = shop.wait_equal(10)
    moved = sum(each.status()["counters"]["repair_bytes"] for each in shop.hosts) - moved
    bar("F30", f"0 logouts of {looked} visits, strict mode", f"{len(out)} {out[:1]}", not out)
    bar("F30", "the node is filled without any command", f"complete after {whole:.1f} s (looked at every 0.2 s), equal "
        f"{took:.1f} s later, {moved >> 10} KiB moved", moved >= count * 8000 // 2)
    # Loaded workers grow by themselves at first; the healthy phase is behind them.
    bar("F30", "extra memory of any worker <= 16 MB", f"{peak.grown_kib} KiB", peak.grown_kib <= 16384)
    none_failed("F30", failed, f"0 failed requests of {len(phases.load.samples)}")
    no_harm("F30", shop, phases, ["healthy"])


@pytest.mark.row("F31")
@pytest.mark.row("C9")
def test_a_node_restored_from_an_old_dump_shows_nothing_old(cluster, new_id, full):
    shop = cluster(3, 2)
    count, prefix, node = (2000 if full else 400), new_id(), shop.nodes[0]
    third = count // 4
    assert shop.hosts[0].bulk("write", prefix, count, value="old")["good"] == count
    shop.wait_equal(10)
    node.save()
    assert shop.hosts[1].bulk("write", prefix, third, value="new")["good"] == third
    assert shop.hosts[1].bulk("destroy", prefix, third, start=third)["good"] == third
    assert all(host.flush() for host in shop.hosts)
    node.restart(empty=False)
    back, wrong, undone, rounds = time.monotonic(), [], 0, 0
    while rounds < 4 or time.monotonic() - back < seconds(full, 20, 1):
        for host in shop.hosts:
            wrong += host.bulk("read", prefix, third, value="new")["bad"]
            undone += host.bulk("read", prefix, third, start=third, value="old")["good"]
            wrong += host.bulk("read", prefix, count - 2 * third, start=2 * third, value="old")["bad"]
        rounds += 1
    bar("F31", f"0 stale reads in {rounds * 2 * count}", f"{len(wrong)} {wrong[:2]}", not wrong)
    bar("F31", "0 logouts undone", undone, undone == 0)
    bar("F31", "all nodes equal within 10 s of its return", f"{shop.wait_equal(10):.1f} s", True)
    alive = [key for each in shop.nodes for key, data in each.raw_records().items()
             if int(key[len(prefix):]) in range(third, 2 * third) and not record.parse(data).tombstone]
    bar("F31", "0 logouts undone on the nodes", len(alive), not alive)


@pytest.mark.row("F48")
@pytest.mark.row("C7")
@pytest.mark.row("C4")
def test_more_missed_sessions_than_hints_hold_end_with_a_scan(cluster, new_id, full):
    shop = cluster(3, 2)
    host, node, count, prefix = shop.hosts[0], shop.nodes[2], 250000 if full else 27000, new_id()
    writers = shop.hosts if full else [host] # at full length each host has missed more than it holds hints for
    left, kept = f"{prefix}left", f"{prefix}kept"
    assert all(each.put(session, "value", "before") for each in shop.hosts for session in (left, kept))
    shop.wait_equal(10)
    # The first comparison of everything, 10 s after PHP came, is not what this is about.
    until(lambda: all(each.call("HGET", "mms::lives", "swept") for each in shop.nodes), 60, "the first sweep is over")
    workers = host.workers()
    node.save()
    node.kill()
    assert host.put(kept, "value", "after") and host.visit(left, "start;destroy")["ok"]["destroy"]
    refused = 0
    with Peak(workers) as peak:
        for number, start in enumerate(range(0, count, 9000)):
            answer = writers[number % len(writers)].bulk("write", prefix, min(9000, count - start), start=start, value="missed")
            refused += min(9000, count - start) - answer["good"]
        for writer in writers:
            writer.flush(10000)
    status = host.node_status("web3")
    scanned = [each.status()["counters"]["repair_scanned"] for each in shop.hosts]
    bar("F48", "0 refused", f"{refused} of {count}", refused == 0)
    bar("F48", "hints stop growing, the node is marked as behind", f"{status['hints']} hints, behind {status['behind']}",
        status["hints"] <= 24576 and status["behind"])
    bar("F48", "bounded memory: no worker grows by more than 16 MB", f"{peak.grown_kib} KiB", peak.grown_kib <= 16384)
    node.restart(empty=False)
    back, lengths = time.monotonic(), 120 if full else 30
    wait_closed(shop, "web3")
    until(lambda: all(node.call("EXISTS", f"mms:{prefix}{number}") for number in range(0, count, 97)), lengths, "the scan brought them")
    took = shop.wait_equal(lengths)
    until(lambda: not any(each.node_status("web3")["behind"] for each in shop.hosts), 30, "no longer behind")
    scanned = [each.status()["counters"]["repair_scanned"] - before for each, before in zip(shop.hosts, scanned)]
    bar("F48", "all hosts together compare each session once", f"{scanned} of {count}", sum(scanned) <= 1.1 * count)
    bar("F48", "converged after the repair scan, logouts included",
        f"{time.monotonic() - back:.1f} s, last look {took:.1f} s", node.record(left).tombstone and not node.record(kept).tombstone)


@pytest.mark.row("F54")
@pytest.mark.row("A8")
@pytest.mark.row("B13")
def test_a_rolling_restart_of_all_nodes_is_not_noticed(cluster, full):
    shop = cluster(3, 2, workers=WORKERS)
    rounds, pause = (10, 58) if full else (3, 1.5)
    with Phases(shop, full) as phases:
        phases.run("healthy", 3)
        for number in range(rounds):
            node = shop.nodes[number % 3]
            node.save()
            node.restart(empty=False)
            phases.run(f"restart {number}", pause)
            wait_closed(shop, node.name)
    begin, end = phases.span("restart 0")[0], phases.span(f"restart {rounds - 1}")[1]
    worst, healthy = phases.load.p(0.999, begin, end), phases.load.p(0.999, *phases.span("healthy"))
    within("F54", "p99.9 below 50 ms", f"{ms(worst)}, healthy {ms(healthy)}", worst, allowed(50000, healthy))
    no_harm("F54", shop, phases, ["healthy", *(f"restart {number}" for number in range(rounds))])
    add("F54", "requests", len(phases.load.samples))
    bar("F54", "all nodes equal within 10 s of the end", f"{shop.wait_equal(10):.1f} s", True)


BUSY_MS = 50  # so long a script may run before the server says so


class Busy:
    """A foreign script that keeps a server busy. says_so: the server answers -BUSY meanwhile, else nothing at all."""

    def __init__(self, node, length, says_so):
        self._node, self._says_so = node, says_so
        node.call("CONFIG", "SET", "lua-time-limit", BUSY_MS if says_so else "60000")
        script = "while true do end" if says_so else f"for i = 1, {self._turns(length)} do end"
        self._thread = threading.Thread(target=self._run, args=(script,))

    def begin(self):
        self._thread.start()

    def _turns(self, length):
        began = time.monotonic()
        self._node.call("EVAL", "for i = 1, 10000000 do end", "0")
        return int(length / (time.monotonic() - began) * 10000000)

    def _run(self, script):
        with self._node.client(timeout=120) as client:
            try:
                client.call("EVAL", script, "0")
            except ReplyError:
                assert self._says_so  # killed by end()

    def end(self):
        if self._says_so:
            self._node.call("SCRIPT", "KILL")
        self._thread.join()


@pytest.mark.row("F22")
@pytest.mark.parametrize("says_so", [True, False], ids=["busy", "silent"])
def test_a_server_kept_busy_by_a_foreign_script_slows_only_the_first_requests(cluster, full, says_so):
    shop = cluster(3, 2, workers=WORKERS)
    with Phases(shop, full) as phases:
        phases.run("healthy", 1.5)
        script = Busy(shop.nodes[0], seconds(full, 5, 2), says_so)
        phases.run("measured", 0.2)  # who waited while the script's speed was measured is served
        phases.run_from("busy", script.begin, seconds(full, 5, 2))
        script.end()
        phases.run("back", seconds(full, 10, 1))
    wait_closed(shop, "web1")
    how = "-BUSY" if says_so else "silent"
    only_first_slow("F22", phases, "busy", f"{how}: ", BUSY_MS / 1000 if says_so else WAIT_S)
    slowest, noise = phases.slowest_us("busy"), phases.slowest_us("healthy")
    within("F22", f"{how}: nothing above 250 ms", f"{ms(slowest)}, healthy {ms(noise)}", slowest, (250000, 250000 + noise))
    no_harm("F22", shop, phases, ["healthy", "busy", "back"])
    bar("F22", "all nodes equal within 10 s of the end", f"{shop.wait_equal(10):.1f} s", True)
