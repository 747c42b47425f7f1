"""A node that dies, hangs, is emptied or refuses: visitors must not notice."""
import os
import statistics
import time

import pytest

from measure import BUDGET_US, TURNS, WORKERS, Phases, allowed, control, ms, no_harm, only_first_slow, quiet, seconds, turns, wait_closed
from rig import loglines
from rig.monitor import Monitor, connections
from rig.process import until
from rig.results import bar, timing, within


@pytest.mark.core
@pytest.mark.row("F01")
def test_a_killed_local_node_costs_only_requests_in_flight(cluster, full, size, server):
    shop = cluster(size, 2, program=server, workers=WORKERS)
    node = shop.nodes[0]
    with Phases(shop, full) as phases:
        for turn in range(TURNS):
            phases.run(f"healthy {turn}", seconds(full, 10, 2))
            node.save()
            node.kill()
            phases.run(f"dead {turn}", seconds(full, 20, 3))
            node.restart(empty=False)
            wait_closed(shop, node.name)
            phases.run(f"back {turn}", 1)
    told = control(cluster, full, "F01", lambda other: other.nodes[0].kill(), 3, size)
    slow = [len(phases.slow(f"dead {turn}")) for turn in range(TURNS)]
    timing("F01", "at most 25 slow requests in total, each time", slow, max(slow) <= 25, told)
    (after, _), (healthy, noise) = phases.p99_of_turns("dead", skip=0.1), phases.p99_of_turns("healthy")
    within("F01", "p99 below 5 ms from 100 ms on", f"{ms(after)}, healthy {ms(healthy)} +- {ms(noise)}", after,
        allowed(5000, healthy + noise, 1))
    no_harm("F01", shop, phases, turns("healthy", "dead", "back"))
    bar("F01", "all nodes equal within 10 s of the end", f"{shop.wait_equal(10):.1f} s", True)


@pytest.mark.core
@pytest.mark.row("F02")
def test_a_killed_peer_changes_nothing_for_visitors(cluster, full, size, server):
    shop = cluster(size, 2, program=server, workers=WORKERS)
    node = shop.nodes[-1]
    with Phases(shop, full) as phases:
        for turn in range(TURNS):
            phases.run(f"healthy {turn}", seconds(full, 20, 2.5))
            node.save()
            node.kill()
            phases.run(f"dead {turn}", seconds(full, 20, 2.5))
            node.restart(empty=False)
            wait_closed(shop, node.name)
    (after, _), (healthy, noise) = phases.p99_of_turns("dead", skip=0.1), phases.p99_of_turns("healthy")
    within("F02", "p99 changes by less than 1 ms", f"{ms(after - healthy)}, healthy {ms(healthy)} +- {ms(noise)}",
        after - healthy, allowed(1000, noise, 1))
    no_harm("F02", shop, phases, turns("healthy", "dead"))
    bar("F02", "all nodes equal within 10 s of the end", f"{shop.wait_equal(10):.1f} s", True)


@pytest.mark.row("F02")
def test_hints_count_the_distinct_sessions_that_a_peer_missed(cluster, new_id):
    shop = cluster(3, 2)
    for host in shop.hosts:
        assert host.put(new_id(), "a", "b") and host.flush()
    shop.nodes[2].kill()
    missed = [new_id() for _ in range(50)]
    for round_number in range(3):
        assert all(shop.hosts[0].put(session, "round", round_number) for session in missed)
    assert shop.hosts[0].flush()
    counts = [host.node_status("web3")["hints"] for host in shop.hosts]
    bar("F02", "hints = distinct missed ids exactly", counts, counts == [len(missed), 0])
    shop.nodes[2].restart(empty=True)
    until(lambda: shop.hosts[0].node_status("web3")["hints"] == 0, 10, "hints delivered")
    found = shop.nodes[2].raw_records()
    bar("F02", "the returned peer holds all of them", f"{len(set(missed) & set(found))} of {len(missed)}",
        set(missed) <= set(found))


@pytest.mark.core
@pytest.mark.row("F04")
def test_a_stopped_local_node_slows_only_the_first_requests(cluster, full, size, server):
    shop = cluster(size, 2, program=server, workers=WORKERS)
    with Phases(shop, full) as phases:
        phases.run("healthy", seconds(full, 15, 3))
        phases.run_from("stopped", shop.nodes[0].stop, seconds(full, 30, 4))
        shop.nodes[0].cont()
        phases.run("back", seconds(full, 15, 3))
    only_first_slow("F04", phases, "stopped")  # the node is the other host's peer
    slowest, noise = phases.slowest_us("stopped"), phases.slowest_us("healthy")
    within("F04", "nothing above 250 ms", f"{ms(slowest)}, healthy {ms(noise)}", slowest, (BUDGET_US, BUDGET_US + noise))
    no_harm("F04", shop, phases, ["healthy", "stopped", "back"])
    bar("F04", "all nodes equal within 10 s of the end", f"{shop.wait_equal(10):.1f} s", True)


@pytest.mark.core
@pytest.mark.row("F05")
def test_a_stopped_peer_slows_only_the_first_requests(cluster, full, size, server):
    # Of two nodes the peer of one host is the other's local node, which is F04.
    shop = cluster(size, min(2, size - 1), program=server, workers=WORKERS)
    with Phases(shop, full) as phases:
        phases.run("healthy", seconds(full, 15, 3))
        phases.run_from("stopped", shop.nodes[-1].stop, seconds(full, 30, 4))
        shop.nodes[-1].cont()
        phases.run("back", seconds(full, 15, 3))
    only_first_slow("F05", phases, "stopped")
    slowest, noise = phases.slowest_call_us("stopped"), phases.slowest_call_us("healthy")
    within("F05", "each call <= read_timeout_ms (100 ms)", f"{ms(slowest)}, healthy {ms(noise)}", slowest,
        (100000, 100000 + noise))
    settled, healthy = phases.p50("stopped", skip=1), phases.p50("healthy")
    timing("F05", "base afterwards", f"p50 {ms(settled)}, healthy {ms(healthy)}", settled <= 1.25 * healthy)
    no_harm("F05", shop, phases, ["healthy", "stopped", "back"])
    bar("F05", "all nodes equal within 10 s of the end", f"{shop.wait_equal(10):.1f} s", True)


@pytest.mark.row("F10")
def test_an_idle_connection_closed_by_the_node_is_no_fault(cluster, new_id):
    shop = cluster(3, 2, workers=4)
    ids = [new_id() for _ in range(40)]

    def everybody():
        answers = [shop.hosts[number % 2].put(session, "n", "1") for number, session in enumerate(ids)]
        return answers.count(False)
    failed = everybody()
    for node in shop.nodes:
        node.call("CONFIG", "SET", "timeout", "1")
    before = [host.status()["counters"] for host in shop.hosts]
    until(lambda: all(node.connections() <= len(shop.hosts) for node in shop.nodes), 15, "idle connections closed")
    failed += everybody()
    for node in shop.nodes:
        node.call("CONFIG", "SET", "timeout", "0")
        node.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    failed += everybody()
    states = {node["state"] for host in shop.hosts for node in host.status()["nodes"]}
    after = [host.status()["counters"] for host in shop.hosts]
    failovers = sum(now["failovers"] - then["failovers"] for now, then in zip(after, before))
    bar("F10", "breakers closed, 0 errors, no failover", f"{states}, {failed} failed, {failovers} failovers",
        states == {"closed"} and failed == 0 and failovers == 0)


@pytest.mark.row("F10")
def test_a_quick_restart_of_a_node_fails_no_request(cluster, full):
    shop = cluster(3, 2, workers=8)
    count = seconds(full, 10, 3)
    with Phases(shop, full) as phases:
        for turn in range(count):
            shop.nodes[turn % 3].save()
            shop.nodes[turn % 3].restart(empty=False)
            phases.run(f"turn {turn}", 1.5)
    no_harm("F10", shop, phases, turns("turn", count=count))
    shop.wait_equal(10)


@pytest.mark.core
@pytest.mark.row("F15")
def test_a_loading_local_node_is_left_alone(cluster, full, size, server):
    shop = cluster(size, 2, program=server, workers=WORKERS, proxied_local=True)
    link = shop.link(0, 0)
    with Phases(shop, full) as phases:
        phases.run("healthy", 2)
        hits = link.counts()["hit"]
        link.set(rules=[{"verb": "*", "do": "answer", "reply": "-LOADING Redis is loading the dataset in memory"}])
        phases.run("loading", 1)
        first = link.counts()["hit"] - hits
        phases.run("still loading", seconds(full, 29, 3))
        later = link.counts()["hit"] - hits - first
        link.clear()
        phases.run("loaded", 3)
        until(lambda: shop.hosts[0].node_status("web1")["state"] == "closed", 10, "the breaker closes")
    requests = len(phases.load.between(*phases.span("still loading")))
    bar("F15", "at most one LOADING per worker, then only probes",
        f"{first} commands in the first second, {later} afterwards during {requests} requests",
        first <= 3 * (WORKERS + 8) and later <= 8 * (3 + seconds(full, 29, 3)))
    no_harm("F15", shop, phases, ["healthy", "loading", "still loading", "loaded"])
    shop.wait_equal(10)


@pytest.mark.row("F18")
def test_a_read_only_local_node_is_read_and_not_written(cluster, full, new_id):
    shop = cluster(3, 2, workers=8)
    with Phases(shop, full) as phases:
        phases.run("healthy", 2)
        # A replica of nobody: refuses writes, goes on serving what it has.
        shop.nodes[0].call("REPLICAOF", "127.0.0.1", "1")
        phases.run("read-only", seconds(full, 30, 3))
        status = shop.hosts[0].node_status("web1")
        shop.nodes[0].call("REPLICAOF", "NO", "ONE")
        phases.run("writable", 3)
    bar("F18", "readable, not writable, the reason and the remedy named",
        f"state {status['state']}, writable {status['writable']}, {status['last_error']}",
        status["state"] == "closed" and status["writable"] is False and "READONLY" in str(status["last_error"])
        and str(status["last_error"]).endswith(": it is a replica: REPLICAOF NO ONE, or list its master instead"))
    until(lambda: shop.hosts[0].node_status("web1")["writable"], 10, "web1 writable again")
    no_harm("F18", shop, phases, ["healthy", "read-only", "writable"])
    bar("F18", "all nodes equal within 10 s of the end", f"{shop.wait_equal(10):.1f} s", True)


def _refuse_password(shop):
    shop.nodes[0].require_password("password-that-nobody-was-told")


def _refuse_scripts(shop):
    shop.nodes[0].call("ACL", "SETUSER", "default", "-evalsha", "-eval", "-script")


@pytest.mark.row("F20")
@pytest.mark.parametrize("cause, remedy, refuse", [("NOAUTH", "check mmsession.user and mmsession.password_file", _refuse_password),
                                                   ("NOPERM", "mmsession.user needs ", _refuse_scripts)])
def test_a_node_that_refuses_is_named_with_cause_and_remedy(cluster, full, cause, remedy, refuse):
    shop = cluster(3, 2, workers=8)
    with Phases(shop, full) as phases:
        phases.run("healthy", 1)
        refuse(shop)
        phases.run("refused", seconds(full, 30, 3))
        statuses = [host.node_status("web1") for host in shop.hosts]
    texts = [str(status["last_error"]) for status in statuses]
    logged = [line for host in shop.hosts for line in host.log_lines("web1") if cause in line]
    bar("F20", f"{cause}: message names node, cause and remedy, also in the log", f"{texts}, log {logged[:1]}",
        all(cause in text and "web1" in text and remedy in text and ".:" not in text for text in texts) and bool(logged)
        and all(remedy in line and "; sessions are served by the other nodes until it is back" in line for line in logged))
    no_harm("F20", shop, phases, ["healthy", "refused"])


@pytest.mark.row("F20")
def test_a_wrong_password_is_named_with_the_node(cluster, new_id):
    shop = cluster(3, 0)
    for node, password in zip(shop.nodes, ("another", "right-one", "right-one")):
        node.require_password(password)
    file = os.path.join(shop.folder, "password")
    with open(file, "w") as password:
        password.write("right-one\n")
    os.chmod(file, 0o644)
    host = shop.add_host(0, mmsession={"password_file": file})
    failed = sum(1 for _ in range(50) if not host.put(new_id(), "a", "b"))
    text = str(host.node_status("web1")["last_error"])
    bar("F20", "WRONGPASS: 0 failed with peers up, message names node, cause and remedy", f"{failed} failed, {text}",
        failed == 0 and "web1" in text and "WRONGPASS" in text and "check mmsession.user and mmsession.password_file" in text)
    others = [host.node_status(name)["state"] for name in ("web2", "web3")]
    bar("F20", "nodes with the right password serve", others, others == ["closed", "closed"])


def _places(host, new_id):
    """name -> what PHP shows there of its nodes; warnings of one page are shown, those of the others logged."""
    visit = host.visit(new_id(), "start;set:a:b;close")
    return {"warnings": str(visit["warnings"]), "status": host.get("status.php").body.decode(),
            "phpinfo()": host.get("info.php").body.decode(), "log": host.log_text()}


@pytest.mark.row("F20")
def test_a_password_is_shown_nowhere_when_nodes_refuse_it(cluster, new_id):
    shop, told, changed = cluster(3, 0, proxied=[1]), "Pa55word.that.PHP.was.told", "Pa55word.of.the.nodes.alone"
    for node in shop.nodes:
        node.require_password(told)
    file = os.path.join(shop.folder, "password")
    with open(file, "w") as password:
        password.write(f"{told}\n")
    os.chmod(file, 0o644)
    host, texts, good = shop.add_host(0, mmsession={"password_file": file}), {}, []

    def look(when):
        good.append(sum(host.put(new_id(), "a", "b") for _ in range(20)))
        texts.update({(when, place): text for place, text in _places(host, new_id).items()})
    look("right")
    shop.nodes[0].require_password(changed)
    look("web1 refuses")
    shop.link(0, 1).set(rules=[{"verb": "AUTH", "do": "answer", "reply": f"-ERR unknown command 'AUTH' '{told}'"}])
    shop.link(0, 1).reset_all()
    look("web2 quotes")
    for node in shop.nodes[1:]:
        node.require_password(changed)
    look("all refuse")
    assert good == [20, 20, 20, 0]
    shown = [(where, secret) for where, text in texts.items() for secret in (told, changed) if secret in text]
    bar("F20", f"a password that nodes refuse or quote is in none of {len(texts)} texts: log, status, phpinfo(), warnings",
        shown or "not found", not shown)
    # phpinfo() has no causes, only states. Where the others serve, no warning is due.
    signs = {"phpinfo()": ">open</td>", "warnings": "session not read", "web2 quotes": "whose text holds the password"}
    speak = [" ".join(where) for where, text in texts.items()
             if signs.get(where[1], signs.get(where[0], "WRONGPASS")).replace(" ", "") in text.replace(" ", "")]
    bar("F20", "each of them tells of the refusal, but for warnings where a node serves", speak, sorted(speak) == sorted(
        f"{when} {place}" for when, place in texts if when != "right" and (when == "all refuse" or place != "warnings")))


class Reloads:
    """Who has loaded the scripts into a node anew, flush by flush, as MONITOR tells. A load is a connection's, at its beginning; one
    whose script is gone ends. So of a worker that was told twice there would be a connection with a load that stands no more."""

    def __init__(self, shop, node):
        self._shop, self._node = shop, node
        self._monitor = Monitor(node).start()
        self.most, self.ended, self.loads, self._seen = 0, 0, 0, 0

    def flushed(self):
        """Counts what came of a flush; call it before the next."""
        lines, self._seen = self._monitor.lines[self._seen:], len(self._monitor.lines)
        loaded = {line.address for line in lines if line.words[:1] == ["SCRIPT"] and line.words[1].upper() == "LOAD"}
        standing = [{f"{self._node.host}:{port}": pid for port, pid in connections(host.workers(), self._node.port).items()}
                    for host in self._shop.hosts]
        owners = {address: pid for each in standing for address, pid in each.items()}
        mine = [owners[address] for address in loaded if address in owners]
        # The replicator is a thread of a worker, with a connection of its own.
        replicators = {host.status()["replicator"]["pid"] for host in self._shop.hosts}
        self.most = max([self.most, *(mine.count(pid) - (pid in replicators) for pid in mine)])
        self.ended += len(loaded) - len(mine)
        self.loads += len(loaded)

    def stop(self):
        self._monitor.stop()


def _noscripts(node):
    found = node.info("errorstats").get("errorstat_NOSCRIPT")
    return int(found.split("=")[1]) if found else 0


@pytest.mark.row("F21")
def test_scripts_that_vanish_from_a_node_are_loaded_again(cluster, full):
    shop = cluster(3, 2, workers=8, local_tcp=True)
    rounds, told = seconds(full, 100, 10), []
    with Phases(shop, full, fill=500, leave=0.2) as phases:
        phases.run("healthy", 2)
        reloads = Reloads(shop, shop.nodes[1])
        before, loads = sum(map(_noscripts, shop.nodes)), _script_loads(shop, 0)
        for number in range(rounds):
            for node in shop.nodes:
                node.call("SCRIPT", "FLUSH")
            phases.run(f"flushed {number}", 0.3)
            reloads.flushed()
        told, loads = sum(map(_noscripts, shop.nodes)) - before, _script_loads(shop, rounds) - loads
    reloads.stop()
    said = f"at most {reloads.most}, {reloads.ended} in vain, {reloads.loads} reloads after {rounds} flushes"
    bar("F21", "a worker or replicator loads the scripts at most once for each flush (MONITOR on one node)", said, reloads.most <= 1)
    # A connection that a stall of the machine has ended is made again, and loads them.
    timing("F21", "none is loaded in vain", said, reloads.ended == 0 and reloads.loads > 0)
    # Of mirrors under way together each is told so, and the connection is made anew once.
    bar("F21", "each answer that the script is gone costs at most one reload", f"{told} answers, {loads / SCRIPTS:.0f} reloads",
        0 < loads <= SCRIPTS * told)
    no_harm("F21", shop, phases, ["healthy", *(f"flushed {number}" for number in range(rounds))])
    shop.wait_equal(10)


SCRIPTS = 4


def _script_loads(shop, flushes):
    """flushes: how often the rig has flushed each node; servers before Redis 7 count all of SCRIPT's commands as one."""
    calls = [node.command_calls() for node in shop.nodes]
    return sum(each.get("script|load", each.get("script", flushes) - flushes) + each.get("eval", 0) for each in calls)


@pytest.mark.row("F21")
def test_a_script_that_is_gone_costs_a_request_one_round_trip(cluster, new_id, full):
    """A logout puts its tombstone on all nodes by script, with no replicator before it."""
    away_ms, costs = 25, {False: [], True: []}
    shop = cluster(3, 1, workers=1, proxied=True, proxied_local=True, mmsession={"read_timeout_ms": 500, "budget_ms": 2000})
    host = shop.hosts[0]
    told = sum(map(_noscripts, shop.nodes))
    for number in range(2 * (30 if full else 8)):
        session, flush = new_id(), number % 2 == 1
        assert host.put(session, "n", "1") and host.flush()
        for node, link in zip(shop.nodes, shop.links_to(0) + shop.links_to(1) + shop.links_to(2)):
            if flush:
                node.call("SCRIPT", "FLUSH")
            link.set(latency_ms=away_ms)
        answer = host.visit(session, "start;destroy")
        assert not answer["warnings"]
        costs[flush].append(answer["us"]["destroy"] / 1000)
        for node in range(3):
            shop.link(0, node).clear()
    told = sum(map(_noscripts, shop.nodes)) - told
    # Mirrors do not wait for a page that is kept by far nodes: they bring the tombstone to its peers too, and are told the same.
    bar("F21", "a logout after a flush: each node says so once, the two peers once more to the mirrors at most",
        f"{told} answers of 3 nodes, {len(costs[True])} flushes", 3 * len(costs[True]) <= told <= 5 * len(costs[True]))
    (usual, flushed) = (statistics.median(costs[flush]) for flush in (False, True))
    timing("F21", f"a logout after a flush: one round trip more, of {away_ms} ms (and a connect)",
           f"{(flushed - usual) / away_ms:.2f}: {flushed:.1f} ms, else {usual:.1f} ms", flushed - usual < 1.5 * away_ms)


@pytest.mark.core
@pytest.mark.row("F37")
def test_with_all_nodes_down_requests_fail_fast_and_recover_soon(cluster, new_id, full, size, server):
    shop = cluster(size, 2, program=server, workers=8)
    for host in shop.hosts:
        assert all(host.put(new_id(), "a", "b") for _ in range(30))
    healthy = [shop.hosts[0].visit(new_id(), "start;set:a:b;close")["session_us"] for _ in range(200)]
    for node in shop.nodes:
        node.kill()
    answers, deadline = [], time.monotonic() + seconds(full, 60, 3)
    while time.monotonic() < deadline:
        for host in shop.hosts:
            answers.append(host.visit(new_id(), "start;set:a:b;close;sleep:5"))
    slowest = max(answer["session_us"] for answer in answers)
    within("F37", "each request below 30 ms", f"{ms(slowest)} of {len(answers)}, healthy at most {ms(max(healthy))}", slowest,
        allowed(30000, max(healthy)))
    warned = sum(1 for answer in answers if answer["warnings"])
    bar("F37", "PHP is told every time", f"{warned} of {len(answers)} warned", warned == len(answers))
    told = [line for host in shop.hosts for line in host.log_lines("sessions fail until one is back")]
    bar("F37", "the log says that no node is left", told[:1], bool(told))
    down = [{event[2] for event in loglines.events(host.log_text())} for host in shop.hosts]
    bar("F37", "log: a line for each node that went down", down, all(each == {("down", node.name) for node in shop.nodes} for each in down))
    quiet("F37", shop)
    shop.nodes[1].restart(empty=True)
    back = time.monotonic()
    took = []
    for host in shop.hosts:
        until(lambda: host.put(new_id(), "a", "b"), 10, f"{host.name} serves again")
        took.append(time.monotonic() - back)
    timing("F37", "recovers within 1.2 s of a node's return", [f"{each:.2f} s" for each in took], max(took) <= 1.2)


@pytest.mark.row("F03")
@pytest.mark.row("F30")
@pytest.mark.parametrize("how", ("killed", "flushed", "evicted"))
def test_the_next_page_shows_what_a_node_had_taken_that_is_lost_at_once(cluster, new_id, full, how):
    # No think time: the mailbox may have the only copy.
    shop = cluster(3, 1, workers=2)
    host, node, wrong, count = shop.hosts[0], shop.nodes[0], [], ((75 if full else 4) if how == "killed" else (300 if full else 40))
    for trial in range(count):
        session = new_id()
        assert host.put(session, "n", "before") and host.flush()
        assert host.put(session, "n", str(trial))
        if how == "killed":
            node.kill()
        elif how == "flushed":
            node.call("FLUSHALL")
        else:
            node.call("DEL", f"mms:{session}")
        seen = host.fetch(session, "n")
        if seen != str(trial):
            wrong.append((trial, seen))
        if how == "killed":
            node.restart(empty=True)
        until(lambda: host.node_status(node.name)["state"] == "closed", 15, "the node is in use again")
    bar("F03", f"{how} right after the write, {count} times: the next page shows it", f"{len(wrong)} not {wrong[:2]}", not wrong)
