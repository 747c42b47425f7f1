"""Workers, masters and scripts that end at any moment: what was acknowledged reaches all nodes."""
import http.client
import json
import os
import random
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from measure import BUDGET_US, Phases, ms, seconds
from rig.host import php_environment, php_program, write_ini
from rig.process import Late, alive, end, free_port, kill_with_children, open_files, spawn, until
from rig.results import bar

SIGNALS = {"SIGTERM": signal.SIGTERM, "SIGQUIT": signal.SIGQUIT, "SIGUSR2": signal.SIGUSR2}


def holders(shop, session):
    """Names of the nodes that have the session."""
    return [node.name for node in shop.nodes if node.call("EXISTS", f"mms:{session}")]


def missing_on_peers(shop, sessions, limit=3):
    """What is not on all nodes when `limit` seconds have passed."""
    wanted = set(sessions)

    def missing():
        return {node.name: len(wanted - set(node.raw_records())) for node in shop.nodes}
    try:
        until(lambda: not any(missing().values()), limit, "all writes on all nodes", every=0.05)
    except Late:
        pass
    return {name: count for name, count in missing().items() if count}


def write_sessions(host, sessions, threads=4):
    """Ids of those that were acknowledged."""
    def write(session):
        try:
            return session if host.put(session, "n", "1") else None
        except OSError:
            return None
    with ThreadPoolExecutor(threads) as pool:
        return [session for session in pool.map(write, sessions) if session]


# F41

_TRACER_READY_SECONDS = 10


# What a request's thread calls; strace counts each by itself.
_CALLS = ["accept4,accept", "poll,ppoll,epoll_wait", "read", "recvfrom", "sendmsg", "write", "futex", "shutdown,close"]


def _attach(pid, log, *inject):
    """strace on the main thread of a process; a thread of the replicator's is left alone."""
    tracer = spawn(["strace", "-o", log, *inject, "-p", str(pid)])

    def attached():
        try:
            with open(f"/proc/{pid}/status") as status:
                return any(line == f"TracerPid:\t{tracer.pid}\n" for line in status)
        except (FileNotFoundError, ProcessLookupError):
            return True  # attached, and killed at once: the system call it was waiting in counts too
    until(attached, _TRACER_READY_SECONDS, "strace is attached", every=0.005)
    return tracer


def _calls_of_one_write(host, session, log):
    """[(system call, its how manieth of this name)] of a worker that serves one changed write."""
    tracer = _attach(host.workers()[0], log)
    assert host.put(session, "n", "1")
    end(tracer, signal.SIGTERM)
    seen, calls = {}, []
    with open(log) as lines:
        for line in lines:
            name = line.split("(", 1)[0]
            if name.isidentifier() and not line.startswith(("---", "+++")):
                seen[name] = seen.get(name, 0) + 1
                calls.append((name, seen[name]))
    return calls


def _killed_write(shop, host, session, call, log):
    """(acknowledged, worker died) of a write whose worker is killed when it enters this system call."""
    worker, acknowledged = host.workers()[0], False
    tracer = _attach(worker, log, "-e", f"inject={call[0]}:signal=SIGKILL:when={call[1]}")
    try:
        acknowledged = host.put(session, "n", "1")
    except (OSError, AssertionError):
        pass
    end(tracer, signal.SIGTERM)
    return acknowledged, not alive(worker)


@pytest.mark.row("F41")
def test_a_worker_killed_at_any_system_call_leaves_its_write_on_all_nodes_or_none(cluster, new_id, full):
    shop = cluster(3, 1, workers=1)
    host, log = shop.hosts[0], os.path.join(shop.folder, "strace.log")
    half, unkept, kills = [], [], 0

    def fresh_worker():
        until(lambda: host.put(new_id(), "a", "b"), 10, "a fresh worker serves")
    fresh_worker()
    calls = _calls_of_one_write(host, new_id(), log)
    for call in calls * (5 if full else 1):
        session = new_id()
        acknowledged, died = _killed_write(shop, host, session, call, log)
        kills += died
        # The replicator died with the only worker: the next one takes over what is in the mailbox.
        fresh_worker()
        try:
            until(lambda: len(holders(shop, session)) in (0, 3), 3, "on all nodes or on none")
        except Late:
            half.append((call, holders(shop, session)))
        if acknowledged and len(holders(shop, session)) != 3:
            unkept.append((call, holders(shop, session)))
    bar("F41", f"killed at each of {len(calls)} system calls: on all nodes within 3 s, or on none",
        f"{kills} killed, {len(half)} half {half[:3]}, {len(unkept)} acknowledged and not everywhere",
        kills >= 0.8 * len(calls) >= 10 and not half and not unkept)


@pytest.mark.row("F41")
def test_workers_killed_at_random_under_load_leave_nothing_half_done(cluster, new_id, full):
    shop = cluster(3, 1, workers=6)
    host, chance, tried, kept = shop.hosts[0], random.Random(41), [], []
    stopping = threading.Event()

    def write():
        while not stopping.is_set():
            session = new_id()
            tried.append(session)
            try:
                if host.put(session, "n", "1"):
                    kept.append(session)
            except (OSError, AssertionError):
                pass
    threads = [threading.Thread(target=write, daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(1000 if full else 60):
        before = len(tried)
        until(lambda: len(tried) > before + chance.randrange(1, 12), 10, "writes go on", every=0.001)
        for victim in host.workers()[:1 + chance.randrange(2)]:
            try:
                os.kill(victim, signal.SIGKILL)
            except ProcessLookupError:
                pass
    stopping.set()
    for thread in threads:
        thread.join(30)
    until(lambda: host.put(new_id(), "a", "b"), 10, "host serves")
    missing = missing_on_peers(shop, kept)
    if missing:  # is anybody in office? status.php would start somebody
        print("threads:", {pid: len(os.listdir(f"/proc/{pid}/task")) for pid in host.workers()})
    later = missing and missing_on_peers(shop, kept, 30)
    if missing:
        print(host.status())
    # The replicator leaves the local node to a producer for twice his budget, in case he lives.
    unkept = set(tried) - set(kept)
    half = []

    def whole():
        half[:] = [session for session in unkept if len(holders(shop, session)) not in (0, 3)]
        return not half
    try:
        until(whole, 3, "on all nodes or on none")
    except Late:
        pass
    bar("F41", f"{len(kept)} acknowledged writes on all nodes within 3 s", f"missing {missing}, half a minute later {later or 'none'}",
        kept and not missing)
    bar("F41", f"{len(unkept)} writes of killed workers on all nodes within 3 s, or on none", f"{len(half)} half done", not half)


def _with_replicators(host):
    """Workers that have a thread beside PHP's."""
    found = []
    for pid in host.workers():
        try:
            if len(os.listdir(f"/proc/{pid}/task")) > 1:
                found.append(pid)
        except FileNotFoundError:
            pass
    return found


@pytest.mark.row("F41")
def test_who_mirrors_and_who_stands_by_die_while_the_last_request_runs(cluster, new_id, full):
    shop = cluster(3, 1, workers=6)
    host, shown, missing = shop.hosts[0], 0, []
    wanted = 20 if full else 3
    for _ in range(10 * wanted):
        until(lambda: all(host.put(new_id(), "a", "b") for _ in range(12)), 10, "host serves")
        session, answers = new_id(), []

        def visit():
            try:
                answers.append(host.visit(session, "start;set:n:1;sleep:400;close"))
            except (OSError, AssertionError, ValueError):
                pass
        last = threading.Thread(target=visit, daemon=True)
        begun = time.monotonic()
        last.start()
        time.sleep(0.05)
        victims = _with_replicators(host)
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        killed = time.monotonic() - begun
        last.join(30)
        if not answers or not answers[0]["ok"].get("close") or len(victims) < 2 or killed > 0.3:
            continue  # it ran in one of those, or had ended before
        shown += 1
        try:  # asks the nodes alone: no request may come
            until(lambda: len(holders(shop, session)) == 3, 3, "on all nodes")
        except Late:
            missing.append(holders(shop, session))
        if shown == wanted:
            break
    bar("F41", f"{wanted} times: the last request of a host finds who mirrors and who stands by dead at its end: on all nodes within 3 s",
        f"{shown} times, not {missing[:3]}", shown == wanted and not missing)


# F42

@pytest.mark.row("F42")
def test_others_go_on_when_workers_and_replicators_are_killed(cluster, full):
    shop = cluster(3, 2, workers=8)
    host, chance = shop.hosts[0], random.Random(42)
    with Phases(shop, full, hosts=shop.hosts) as phases:
        phases.run("healthy", 2)
        for _ in range(200 if full else 25):
            victims = [host.status()["replicator"]["pid"] or 0] if chance.random() < 0.5 else host.workers()
            victim = chance.choice(victims)
            if victim in host.workers():
                os.kill(victim, signal.SIGKILL)
            phases.run("kills", 0.1)
    begin = phases.span("healthy")[1]
    # A killed worker's own request fails with it, and only that one.
    warned = phases.load.warnings
    slowest = max(sample.session_us for sample in phases.load.between(begin, 1e9))
    bar("F42", "no other request is told of it, each within budget", f"{len(warned)} warned {warned[:2]}, slowest {ms(slowest)}",
        not warned and slowest <= BUDGET_US)
    bar("F42", "0 stale reads", f"{len(phases.load.stale)} {phases.load.stale[:2]}", not phases.load.stale)
    assert host.flush(3000)
    lost = phases.load.lost(shop.hosts[1])
    bar("F42", "0 acknowledged writes lost, all nodes equal", f"{len(lost)}, equal after {shop.wait_equal(10):.1f} s", not lost)


@pytest.mark.row("F42")
def test_others_go_on_when_the_replicator_is_stopped(cluster, new_id, full):
    shop = cluster(3, 1, workers=6)
    host = shop.hosts[0]
    slowest, missing, taken = 0, {}, []
    for _ in range(20 if full else 3):
        assert host.put(new_id(), "a", "b")
        owner = until(lambda: host.status()["replicator"]["pid"], 5, "a replicator")
        os.kill(owner, signal.SIGSTOP)
        stopped = time.monotonic()
        try:
            written = []
            while time.monotonic() - stopped < 2.5:
                session = new_id()
                try:
                    answer = host.visit(session, "start;set:n:1;close", timeout=0.5)
                except OSError:
                    continue  # php-fpm gave the request to the stopped worker
                assert not answer["warnings"], answer
                slowest = max(slowest, answer["session_us"])
                written.append(session)
            missing.update(missing_on_peers(shop, written))
            taken.append(until(lambda: host.get("status.php", timeout=0.5).json["replicator"]["pid"], 5, "status") != owner)
        finally:
            os.kill(owner, signal.SIGCONT)
        until(lambda: host.put(new_id(), "a", "b"), 10, "host serves")
    bar("F42", "another takes over, writes reach all nodes", f"taken over {taken}, missing {missing}",
        all(taken) and not missing)
    bar("F42", "no other request waits", ms(slowest), slowest <= BUDGET_US)


# F43

@pytest.mark.row("F43")
@pytest.mark.parametrize("daemonize", [False, True], ids=["foreground", "daemon"])
@pytest.mark.parametrize("patience", ["0", "10s"])
@pytest.mark.parametrize("name", SIGNALS)
def test_what_was_written_before_a_signal_reaches_stopped_peers_later(cluster, new_id, full, name, patience, daemonize):
    shop = cluster(3, 1, workers=6, fpm={"daemonize": daemonize, "fpm_global": [f"process_control_timeout = {patience}"]})
    host, written = shop.hosts[0], []
    for hold in (0.3, 3.0) if full else (0.3,):
        written += write_sessions(host, [new_id() for _ in range(40)])
        for node in shop.nodes[1:]:
            node.stop()
        written += write_sessions(host, [new_id() for _ in range(40)])
        _signal_while_peers_are_stopped(shop, host, name, hold)
    missing = missing_on_peers(shop, written, 10)
    bar("F43", f"{name}, process_control_timeout {patience}, {'-D' if daemonize else 'foreground'}: "
        f"nothing missing of {len(written)}", missing or "0 missing", not missing and len(written) >= 60)


def _signal_while_peers_are_stopped(shop, host, name, hold):
    victims = [host.master, *host.workers()]
    waiter = threading.Timer(hold, lambda: [node.cont() for node in shop.nodes[1:]])
    waiter.start()
    if name == "SIGUSR2":
        host.reload()
    else:
        host.send_signal(SIGNALS[name])
        until(lambda: not any(alive(pid) for pid in victims), 20, "php-fpm is gone")
        host.start()
    waiter.join()


@pytest.mark.row("F43")
def test_a_graceful_reload_under_load_fails_nothing(cluster, full):
    shop = cluster(3, 2, workers=8, fpm={"fpm_global": ["process_control_timeout = 10s"]})
    with Phases(shop, full) as phases:
        for number in range(20 if full else 4):
            phases.run(f"turn {number}", 0.7)
            shop.hosts[number % 2].reload()
        phases.run("end", 1)
    # php-fpm itself may cut a request that it has accepted and not begun; what was acknowledged counts here.
    warned = phases.load.warnings
    bar("F43", "reload under load: no request is told of it", f"{len(warned)} warned {warned[:2]}", not warned)
    bar("F43", "reload under load: 0 stale reads", f"{len(phases.load.stale)} {phases.load.stale[:2]}", not phases.load.stale)
    lost = phases.load.lost(shop.hosts[0])
    bar("F43", "reload under load: 0 lost, nodes equal", f"{len(lost)}, {shop.wait_equal(10):.1f} s", not lost)


@pytest.mark.row("F43")
@pytest.mark.parametrize("pool", [["pm.max_requests = 1"], ["pm = ondemand", "pm.process_idle_timeout = 1s"]],
                         ids=["max_requests=1", "ondemand"])
def test_short_lived_workers_lose_no_write(cluster, new_id, full, pool):
    shop = cluster(3, 1, workers=4, fpm={"pool": pool})
    host, sessions = shop.hosts[0], [new_id() for _ in range(3000 if full else 300)]
    kept = write_sessions(host, sessions)
    bar("F43", f"{pool[0]}: 0 failed", f"{len(sessions) - len(kept)} of {len(sessions)}", len(kept) == len(sessions))
    missing = missing_on_peers(shop, kept)
    bar("F43", f"{pool[0]}: every write on all nodes within 3 s", missing or "0 missing", not missing)
    if "ondemand" in pool[0]:
        until(lambda: not host.workers(), 10, "idle workers gone")
        more = write_sessions(host, [new_id() for _ in range(20)])
        until(lambda: not host.workers(), 10, "idle workers gone again")
        missing = missing_on_peers(shop, more)
        bar("F43", "ondemand: the last worker leaves nothing behind", missing or "0 missing", len(more) == 20 and not missing)


@pytest.mark.row("F43")
def test_short_lived_workers_bring_a_node_back_and_notice_the_dead(cluster, new_id, full):
    shop = cluster(3, 2, workers=3, fpm={"pool": ["pm.max_requests = 20"]}, mmsession={"repair_interval": 0})
    host, stop = shop.hosts[0], threading.Event()
    assert host.bulk("write", new_id(), 500, value="there")["good"] == 500
    shop.wait_equal(10)

    def visit():
        while not stop.wait(0.015):
            host.put(new_id(), "n", "x")
    threads = [threading.Thread(target=visit, daemon=True)]
    threads[0].start()
    began = host.status()["counters"]["takeovers"]
    shop.nodes[2].restart(empty=True)
    back = time.monotonic()
    until(lambda: host.node_status("web3")["repair"]["finished"] > 0 and host.node_status("web3")["complete"], 30, "web3 complete")
    took = time.monotonic() - back
    for node in shop.nodes:
        node.call("HSET", "mms::lives", "web9 00000000000000ff", "7 1000")
    until(lambda: not any(node.call("HEXISTS", "mms::lives", "web9 00000000000000ff") for node in shop.nodes), 30, "the dead are noticed")
    noticed = time.monotonic() - back - took
    offices = host.status()["counters"]["takeovers"] - began
    stop.set()
    threads[0].join()
    bar("F43", "pm.max_requests = 20: a node that came back empty is complete, a silent host found dead and swept after",
        f"{took:.1f} s and {noticed:.1f} s, {offices} replicators one after the other", offices > 5)


@pytest.mark.row("F43")
def test_request_terminate_timeout_takes_nothing_of_others_along(cluster, new_id, full):
    shop = cluster(3, 1, workers=4, fpm={"pool": ["request_terminate_timeout = 1s"]})
    host = shop.hosts[0]
    sessions, turns = [], 10 if full else 2
    for _ in range(turns):
        with ThreadPoolExecutor(2) as doomed:
            victims = [doomed.submit(host.visit, new_id(), "start;set:n:1;sleep:8000;close") for _ in range(2)]
            failed = 0
            while not all(victim.done() for victim in victims):
                kept = write_sessions(host, [new_id() for _ in range(10)], 1)
                sessions, failed = sessions + kept, failed + 10 - len(kept)
            assert all(victim.exception() for victim in victims)
            assert failed == 0
    missing = missing_on_peers(shop, sessions)
    bar("F43", f"request_terminate_timeout: {len(sessions)} writes of others on all nodes", missing or "0 missing",
        not missing and len(sessions) >= 10 * turns)


@pytest.mark.row("F43")
def test_no_file_descriptor_leaks(cluster, new_id, full):
    shop = cluster(3, 1, workers=4, fpm={"fpm_global": ["process_control_timeout = 10s"]})
    host = shop.hosts[0]
    ids = [new_id() for _ in range(50)]

    def requests(count):
        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(lambda number: host.put(ids[number % 50], "n", number), range(count)))
        return {pid: open_files(pid) for pid in host.workers()}
    before = requests(400)
    after = requests(10000 if full else 2500)
    grown = {pid: (before[pid], count) for pid, count in after.items() if count > before.get(pid, 0) + 2}
    bar("F43", "no descriptors leak in workers", f"{sorted(before.values())} -> {sorted(after.values())}", not grown)

    def reloaded():
        """The master holds two pipes for each worker: all are to be there before it is counted."""
        host.reload()
        host.put(ids[0], "n", "reload")
        until(lambda: len(host.workers()) == 4, 5, "all workers forked")
    reloaded()
    first = open_files(host.master)
    for _ in range(10 if full else 4):
        reloaded()
    try: # a leak stays, what the master has open for a moment does not
        until(lambda: open_files(host.master) <= first, 5, "as many descriptors as before")
    except Late:
        pass
    last = open_files(host.master)
    bar("F43", "no descriptors leak over reloads of the master", f"{first} -> {last}", last <= first)


# Scripts

class Php:
    """PHP on the command line with the settings of a host whose local node is node 0."""

    def __init__(self, shop):
        self._folder = os.path.join(shop.folder, "cli")
        os.makedirs(self._folder)
        self.ini = os.path.join(self._folder, "php.ini")
        extensions, settings = shop.settings(0)
        write_ini(self.ini, extensions, {**settings, "display_errors": "stderr"})
        self.www = os.path.join(os.path.dirname(os.path.abspath(__file__)), "www")

    def run(self, script, *arguments):
        return subprocess.run([php_program(), "-c", self.ini, os.path.join(self.www, script), *map(str, arguments)],
                              capture_output=True, text=True, env=php_environment(), timeout=60)


@pytest.mark.row("cli")
def test_a_script_that_exits_at_once_leaves_its_writes_on_all_nodes(cluster, new_id, full):
    shop = cluster(3, 0)
    php, written, bad, took = Php(shop), [], [], []
    for number in range(200 if full else 20):
        session = new_id()
        began = time.monotonic()
        result = php.run("cli_write.php", session, number)
        took.append(time.monotonic() - began)
        if result.returncode or result.stderr:
            bad.append((result.returncode, result.stderr[:200]))
        written.append(session)
    missing = missing_on_peers(shop, written, 0)
    bar("cli", f"{len(written)} scripts end well, their writes are on all nodes when they have ended",
        f"{bad[:2]}, {missing or '0 missing'}, slowest {max(took):.2f} s", not bad and not missing)


@pytest.mark.row("cli")
def test_a_script_ends_soon_when_a_peer_is_down_or_stopped(cluster, new_id):
    shop = cluster(3, 0)
    php = Php(shop)
    plain = min(_timed(php, new_id()) for _ in range(3))
    shop.nodes[1].kill()
    shop.nodes[2].stop()
    slow = max(_timed(php, new_id()) for _ in range(3))
    shop.nodes[2].cont()
    bar("cli", "a dead and a stopped peer hold a script's end up by shutdown_drain_ms (1000) at most",
        f"{slow:.2f} s, healthy {plain:.2f} s", slow - plain < 1.0 + 0.25 + 0.3)


def _timed(php, session):
    began = time.monotonic()
    result = php.run("cli_write.php", session, "1")
    # One line of the log per node that went down is meant to be there.
    others = [line for line in result.stderr.splitlines() if not line.startswith("mmsession: node ")]
    assert result.returncode == 0 and not others, result.stderr
    return time.monotonic() - began


@pytest.mark.row("fork")
def test_forked_children_and_their_parent_use_sessions_side_by_side(cluster, new_id, full):
    shop = cluster(3, 0)
    children, tag = (200 if full else 25), new_id()
    result = Php(shop).run("cli_fork.php", tag, children)
    assert result.returncode == 0 and result.stdout, (result.returncode, result.stdout, result.stderr)
    answer = json.loads(result.stdout)
    bar("fork", f"{children} children end well, the parent reads its own values",
        f"wrong {answer['wrong'][:2]}, exits {sorted(set(answer['exits']))}, {result.stderr[:200]}",
        not answer["wrong"] and set(answer["exits"]) == {0} and answer["last"] == f"turn {children - 1}" and not result.stderr)
    written = [f"{tag}parent"] + [f"{tag}{kind}{number}" for number in range(children) for kind in ("child", "open")]
    missing = missing_on_peers(shop, written)
    bar("fork", "writes of parent and children are on all nodes", missing or "0 missing", not missing)


@pytest.mark.row("cli-server")
def test_the_built_in_server_with_workers_mirrors_its_writes(cluster, new_id, full):
    shop = cluster(3, 0)
    php, port = Php(shop), free_port()
    server = spawn([php_program(), "-c", php.ini, "-S", f"127.0.0.1:{port}", "-t", php.www],
                   log=os.path.join(shop.folder, "server.log"), env={**php_environment(), "PHP_CLI_SERVER_WORKERS": "4"})

    def put(session):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/session.php?do=start;set:n:1;close", headers={"Cookie": f"PHPSESSID={session}"})
            answer = json.loads(connection.getresponse().read())
            return session if answer["ok"]["close"] and not answer["warnings"] else None
        except OSError:
            return None
        finally:
            connection.close()
    try:
        until(lambda: put(new_id()), 10, "the built-in server answers")
        with ThreadPoolExecutor(4) as pool:
            sessions = [new_id() for _ in range(2000 if full else 200)]
            kept = [session for session in pool.map(put, sessions) if session]
        missing = missing_on_peers(shop, kept)
        bar("cli-server", f"{len(sessions)} writes acknowledged and on all nodes within 3 s",
            f"{len(kept)} acknowledged, {missing or '0 missing'}", len(kept) == len(sessions) and not missing)
    finally:
        kill_with_children(server.pid)  # its workers would outlive it
        end(server)
